//! What capturing changes costs: processor time of the server and bytes of its log a transaction, with capture and
//! without, in turns.

use std::path::PathBuf;
use std::time::Duration;

use sqlx::{AssertSqlSafe, PgPool};
use stack::Stack;
use tokio::process::Command;

use crate::effort::Effort;
use crate::figures::{Figures, median};
use crate::{Result, process};

/// Rows before anything is measured.
const ROWS: u32 = 20_000;

const TABLE: &str = "
    create schema bench;
    create table bench.orders (
        id bigint generated always as identity primary key,
        customer text not null,
        amount bigint not null,
        status text not null,
        note text,
        created_at timestamptz not null default now()
    )";

/// Transactions of one row, as a shop has them.
const SCRIPTS: [(&str, &str); 2] = [
    (
        "insert",
        "insert into bench.orders (customer, amount, status, note) values ('cus_NffrFeUfNV2Hib', 1999, 'paid', \
         'some words about this order, as there often are');\n",
    ),
    (
        "update",
        "\\set id random(1, 20000)\nupdate bench.orders set status = 'shipped', amount = amount + 1 where id = :id;\n",
    ),
];

/// One run.
struct Run {
    cpu_us: f64,
    wal_bytes: f64,
}

pub async fn measure(figures: &mut Figures, effort: &Effort) -> Result<()> {
    println!("capture: a transaction of one row, with capture and without");
    let stack = Stack::builder().durable(true).functions(std::iter::empty::<&str>()).start().await?;
    let server = Server::of(&stack).await?;
    let bench = Bench { program: stack.postgres.bin_dir()?.join("pgbench"), stack: &stack, server };
    bench.sql(TABLE).await?;
    for (name, script) in SCRIPTS {
        let (mut cpu, mut wal) = (Vec::new(), Vec::new());
        let (mut plain_cpu, mut plain_wal) = (Vec::new(), Vec::new());
        for _ in 0..effort.runs {
            let without = bench.run(script, effort.run_seconds, false).await?;
            let with = bench.run(script, effort.run_seconds, true).await?;
            cpu.push(with.cpu_us / without.cpu_us);
            wal.push(with.wal_bytes - without.wal_bytes);
            plain_cpu.push(without.cpu_us);
            plain_wal.push(without.wal_bytes);
        }
        let goal = if name == "insert" { "<= 1.25" } else { "<= 1.35" };
        let peer = format!("without capture {:.0} us of the server", median(&plain_cpu));
        figures.median(&format!("capture_cpu_{name}"), goal, "x", peer, cpu);
        let peer = format!("without capture {:.0} B of log", median(&plain_wal));
        figures.median(&format!("capture_wal_{name}"), "", "B more", peer, wal);
    }
    Ok(())
}

struct Bench<'s> {
    program: PathBuf,
    stack: &'s Stack,
    server: Server,
}

impl Bench<'_> {
    async fn sql(&self, sql: &str) -> Result<()> {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&self.stack.pool).await?;
        Ok(())
    }

    async fn run(&self, script: &str, seconds: u64, captured: bool) -> Result<Run> {
        self.sql(&format!(
            "truncate bench.orders restart identity;
            insert into bench.orders (customer, amount, status, note)
                select 'cus_NffrFeUfNV2Hib', 1999, 'paid', 'some words' from generate_series(1, {ROWS});
            truncate recoup.row_changes"
        ))
        .await?;
        if captured {
            self.sql("select recoup.capture_table('bench.orders')").await?;
        }
        self.sql("vacuum analyze bench.orders").await?;
        self.sql("checkpoint").await?;
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), script)?;
        let (cpu, wal) = (self.server.cpu()?, self.wal().await?);
        let output = Command::new(&self.program)
            .args(["--no-vacuum", "--protocol=prepared", "--client=1"])
            .arg(format!("--time={seconds}"))
            .arg("-f")
            .arg(file.path())
            .arg(&self.stack.database_url)
            .output()
            .await?;
        // A backend's time is its parent's once it has ended.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let (cpu, wal) = (self.server.cpu()?.saturating_sub(cpu), self.wal().await? - wal);
        if captured {
            self.sql("select recoup.release_table('bench.orders')").await?;
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let processed = text.lines().find_map(|line| {
            line.strip_prefix("number of transactions actually processed: ")?.trim().parse::<f64>().ok()
        });
        let processed = processed
            .filter(|count| *count > 0.0)
            .ok_or_else(|| format!("pgbench: {}{text}", String::from_utf8_lossy(&output.stderr)))?;
        Ok(Run { cpu_us: cpu.as_secs_f64() * 1e6 / processed, wal_bytes: wal / processed })
    }

    async fn wal(&self) -> Result<f64> {
        wal_position(&self.stack.pool).await
    }
}

async fn wal_position(pool: &PgPool) -> Result<f64> {
    Ok(sqlx::query_scalar("select (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::float8")
        .fetch_one(pool)
        .await?)
}

/// All processes of the private server.
struct Server {
    postmaster: u32,
}

impl Server {
    async fn of(stack: &Stack) -> Result<Server> {
        let backend: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&stack.pool).await?;
        Ok(Server { postmaster: process::parent(u32::try_from(backend)?)? })
    }

    fn cpu(&self) -> Result<Duration> {
        let mut sum = process::cpu_with_ended(self.postmaster)?;
        for child in process::children(self.postmaster)? {
            // One that ends meanwhile is counted by its parent.
            sum += process::cpu(child).unwrap_or_default();
        }
        Ok(sum)
    }
}
