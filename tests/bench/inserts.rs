//! The limit that Postgres sets: `pgbench`, one INSERT of the same bytes a transaction.

use std::path::PathBuf;

use sqlx::PgPool;
use stack::Stack;
use tempfile::TempDir;
use tokio::process::Command;

use crate::Result;

/// A table with nothing but a key, and a script for each event of the mix.
pub struct Inserts {
    program: PathBuf,
    database_url: String,
    scripts: TempDir,
    bodies: Vec<String>,
}

impl Inserts {
    /// Makes the table. `bodies` are inserted in turn.
    pub async fn prepare(stack: &Stack, pool: &PgPool, bodies: Vec<String>) -> Result<Inserts> {
        sqlx::raw_sql(
            "create schema bench; create table bench.inserts (id text primary key, payload text not null)",
        )
        .execute(pool)
        .await?;
        Inserts::again(stack, bodies)
    }

    /// The same with the table that is there.
    pub fn again(stack: &Stack, bodies: Vec<String>) -> Result<Inserts> {
        let program = stack.postgres.bin_dir()?.join("pgbench");
        if !program.is_file() {
            return Err(
                format!("{} is missing; install Postgres' own client programs", program.display()).into()
            );
        }
        let scripts = tempfile::tempdir()?;
        for number in 0..bodies.len() {
            let script = format!(
                "\\set id random(1, 9223372036854775807)\ninsert into bench.inserts values (:id, :p{number});\n"
            );
            std::fs::write(scripts.path().join(format!("{number}.sql")), script)?;
        }
        Ok(Inserts { program, database_url: stack.database_url.clone(), scripts, bodies })
    }

    /// Transactions per second.
    pub async fn run(&self, clients: usize, seconds: u64) -> Result<f64> {
        let mut command = Command::new(&self.program);
        command.args(["--no-vacuum", "--protocol=prepared"]);
        command.arg(format!("--client={clients}")).arg(format!("--jobs={}", clients.min(2)));
        command.arg(format!("--time={seconds}"));
        for (number, body) in self.bodies.iter().enumerate() {
            command.arg("-D").arg(format!("p{number}={body}"));
            command.arg("-f").arg(self.scripts.path().join(format!("{number}.sql")));
        }
        let output = command.arg(&self.database_url).output().await?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let tps = text
            .lines()
            .find_map(|line| line.strip_prefix("tps = ")?.split_whitespace().next()?.parse().ok());
        tps.ok_or_else(|| format!("pgbench: {}{text}", String::from_utf8_lossy(&output.stderr)).into())
    }
}
