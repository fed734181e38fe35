//! A restore of one database, against `pg_restore` of `pg_dump`'s archives of it, in the same run.
//!
//! Both begin with an empty database on the same server and end with keys, indexes, constraints and the planner's
//! statistics, for which `pg_restore` is followed by `vacuumdb --analyze-only -j2`. Ours also makes the database, reads each
//! object's checksums, and proves every digest; how long it takes without that proof is said too, for `pg_restore` proves
//! nothing.

use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, PgPool};
use stack::Stack;
use tokio::process::Command;

use crate::Result;
use crate::effort::Effort;
use crate::figures::{Figures, median};
use crate::mix::Mix;
use crate::payments_database;

/// From here on what counts is how long somebody waits for the database, and the peer would take the rest of the day.
const LARGE_MEGABYTES: u64 = 10_000;

/// Measures all of it.
pub async fn measure(figures: &mut Figures, effort: &Effort) -> Result<()> {
    let (megabytes, runs) = (effort.database_megabytes, effort.runs.min(3));
    println!("restore: a payments database of {megabytes} MB");
    let stack = Stack::builder().functions(["backup", "restore"]).start().await?;
    stack.stripe.pause_deliveries();
    let pool = PgPool::connect(&stack.database_url).await?;
    payments_database::fill(&pool, &Mix::from_sales(&stack.stripe)?, megabytes).await?;
    let size = payments_database::size(&pool).await?;
    figures.say(format!("a database of {:.2} GB (pg_database_size) to restore", size as f64 / 1e9));
    let reply = stack.invoke("backup", json!({"backup_type": "full"})).await?;
    succeeded("backup", &reply.payload, reply.function_error.as_deref())?;
    if megabytes >= LARGE_MEGABYTES {
        return recovery_time(figures, &stack).await;
    }

    let directory = tempfile::tempdir()?;
    let custom = directory.path().join("custom.dump");
    let folder = directory.path().join("folder.dump");
    pg_dump(&stack, &["--format=custom"], &custom).await?;
    pg_dump(&stack, &["--format=directory", "--jobs=2"], &folder).await?;

    let (mut ours, mut with_proof, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    let (mut of_custom, mut of_folder) = (Vec::new(), Vec::new());
    for run in 0..runs {
        let copy = format!("recoup_bench_{run}");
        let request = json!({"action": "backup_restore", "backup_id": "latest", "target_database": copy});
        let reply = stack.invoke("restore", request).await?;
        succeeded("restore", &reply.payload, reply.function_error.as_deref())?;
        // What it then finds out about production is no part of either.
        let seconds = |value: &Value| value.as_f64().ok_or("no seconds in the reply");
        let elapsed = seconds(&reply.payload["elapsed_seconds"])?;
        with_proof.push(elapsed);
        ours.push(elapsed - seconds(&reply.payload["phases"]["proof_seconds"])?);
        rows.push(seconds(&reply.payload["phases"]["rows_seconds"])?);
        drop_database(&stack, &copy).await?;
        of_custom.push(pg_restore(&stack, &custom).await?);
        of_folder.push(pg_restore(&stack, &folder).await?);
    }
    for (name, peer, walls) in
        [("restore_vs_pg_restore", "-Fc", &of_custom), ("restore_vs_pg_restore_fd", "-Fd", &of_folder)]
    {
        let words = format!(
            "pg_restore -j2 of {peer}, vacuumdb: {:.2} s; ours {:.2} s, of which {:.2} s the rows; {:.2} s with the proof of each",
            median(walls),
            median(&ours),
            median(&rows),
            median(&with_proof)
        );
        figures.median(
            name,
            "<= 0.7",
            "ratio",
            words,
            ours.iter().zip(walls).map(|(ours, peer)| ours / peer).collect(),
        );
    }
    Ok(())
}

/// From the first request to a database in production's place that was proven equal, over as many invocations as it takes.
async fn recovery_time(figures: &mut Figures, stack: &Stack) -> Result<()> {
    let started = Instant::now();
    let mut request =
        json!({"action": "backup_restore", "backup_id": "latest", "target_database": "recoup_bench"});
    let mut invocations = 0;
    let restored = loop {
        invocations += 1;
        let reply = stack.invoke("restore", request).await?;
        succeeded("restore", &reply.payload, reply.function_error.as_deref())?;
        if reply.payload["status"] != "in_progress" {
            break reply.payload;
        }
        request = reply.payload["next"].clone();
    };
    let restored_after = started.elapsed().as_secs_f64();
    let promote = json!({
        "action": "promote", "mode": "swap", "target_database": "recoup_bench", "dry_run": false,
        "actor": "bench", "reason": "recovery time",
    });
    let reply = stack.invoke("restore", promote).await?;
    succeeded("restore", &reply.payload, reply.function_error.as_deref())?;
    let words = format!(
        "of them the last invocation's: {} s the rows, {} s keys, indexes and statistics, {} s the proof; {restored_after:.0} s until it answered, {invocations} invocations; then the swap",
        restored["phases"]["rows_seconds"],
        restored["phases"]["definitions_seconds"],
        restored["phases"]["proof_seconds"],
    );
    figures.median("recovery_s_10gb", "<= 600", "s", words, vec![started.elapsed().as_secs_f64()]);
    Ok(())
}

fn succeeded(function: &str, payload: &Value, error: Option<&str>) -> Result<()> {
    match error {
        None => Ok(()),
        Some(_) => Err(format!("{function}: {payload}").into()),
    }
}

async fn pg_dump(stack: &Stack, options: &[&str], file: &Path) -> Result<()> {
    let program = stack.postgres.bin_dir()?.join("pg_dump");
    run(Command::new(program).args(options).arg("--file").arg(file).arg(&stack.database_url)).await
}

/// Seconds until an empty database has everything.
async fn pg_restore(stack: &Stack, file: &Path) -> Result<f64> {
    const COPY: &str = "recoup_bench_peer";
    let started = Instant::now();
    let mut server = PgConnection::connect(stack.postgres.url()).await?;
    sqlx::raw_sql("CREATE DATABASE recoup_bench_peer TEMPLATE template0").execute(&mut server).await?;
    let program = stack.postgres.bin_dir()?.join("pg_restore");
    let url = stack.postgres.url_of(COPY);
    run(Command::new(program).args(["--jobs=2", "--exit-on-error", "--dbname", &url]).arg(file)).await?;
    let program = stack.postgres.bin_dir()?.join("vacuumdb");
    run(Command::new(program).args(["--analyze-only", "--jobs=2", "--quiet", "--dbname", &url])).await?;
    let seconds = started.elapsed().as_secs_f64();
    drop_database(stack, COPY).await?;
    Ok(seconds)
}

async fn drop_database(stack: &Stack, database: &str) -> Result<()> {
    let mut server = PgConnection::connect(stack.postgres.url()).await?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("DROP DATABASE {database} WITH (FORCE)")))
        .execute(&mut server)
        .await?;
    Ok(())
}

async fn run(command: &mut Command) -> Result<()> {
    let output = command.output().await?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{:?}: {}", command.as_std().get_program(), String::from_utf8_lossy(&output.stderr)).into())
}
