//! Backup and verification of one database, against `pg_dump`, pgBackRest and bare COPY in the same run.

use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use serde_json::{Value, json};
use sqlx::PgPool;
use stack::Stack;
use tokio::process::Command;

use crate::Result;
use crate::effort::Effort;
use crate::figures::{Figures, median};
use crate::mix::Mix;
use crate::payments_database;
use crate::pgbackrest::PgBackRest;
use crate::process;

/// Pages of one statement of the limit, as many as a part of a backup has.
const PAGES_PER_COPY: i64 = 4096;

/// What one command took.
#[derive(Clone, Copy)]
struct Took {
    wall: f64,
    cpu: f64,
}

/// Measures all of it. What takes this long is not run more than three times.
pub async fn measure(figures: &mut Figures, effort: &Effort) -> Result<()> {
    let (megabytes, runs) = (effort.database_megabytes, effort.runs.min(3));
    println!("backup: a payments database of {megabytes} MB");
    let stack = Stack::builder().functions(["backup", "verify"]).start().await?;
    stack.stripe.pause_deliveries();
    let pool = PgPool::connect(&stack.database_url).await?;
    let started = Instant::now();
    payments_database::fill(&pool, &Mix::from_sales(&stack.stripe)?, megabytes).await?;
    let size = payments_database::size(&pool).await?;
    figures.say(format!(
        "a database of {:.2} GB (pg_database_size), filled in {:.0} s; its bucket is a server in the bench's own process",
        size as f64 / 1e9,
        started.elapsed().as_secs_f64()
    ));
    let directory = tempfile::tempdir()?;
    // Whoever is first finds the pages cold.
    copy_to_nowhere(&stack, &pool).await?;

    let pgbackrest = match PgBackRest::prepare(&pool, &directory.path().join("pgbackrest")).await? {
        Ok(peer) => Some(peer),
        Err(word) => {
            figures.say(format!("{word}: it is not measured"));
            None
        }
    };

    let mut limit = Vec::new();
    let (mut ours, mut custom, mut parallel, mut files) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut stored, mut raw, mut custom_bytes) = (0.0, 0.0, 0);
    for run in 0..runs {
        limit.push(copy_to_nowhere(&stack, &pool).await?);
        let (took, reply) = invoke(&stack, "backup", json!({"backup_type": "full"})).await?;
        ours.push(took);
        stored = reply["file_size_bytes"].as_f64().unwrap_or_default();
        let file = directory.path().join(format!("{run}.dump"));
        custom.push(pg_dump(&stack, &["--format=custom"], &file).await?);
        custom_bytes = std::fs::metadata(&file)?.len();
        let folder = directory.path().join(format!("{run}.folder"));
        parallel.push(pg_dump(&stack, &["--format=directory", "--jobs=2"], &folder).await?);
        if let Some(peer) = &pgbackrest {
            files.push(timed(&mut peer.full_backup()).await?);
        }
    }
    let (_, peak) = process::memory_mb(pid_of(&stack, "backup")?)?;
    let ratio = |peers: &[Took]| ours.iter().zip(peers).map(|(ours, peer)| ours.wall / peer.wall).collect();
    let of = |name: &str, peers: &[Took]| {
        let seconds = |took: &[Took], of: fn(&Took) -> f64| median(&took.iter().map(of).collect::<Vec<_>>());
        format!(
            "{name}: {:.2} s, {:.2} s of CPU; ours {:.2} s, {:.2} s of CPU",
            seconds(peers, |took| took.wall),
            seconds(peers, |took| took.cpu),
            seconds(&ours, |took| took.wall),
            seconds(&ours, |took| took.cpu)
        )
    };
    figures.median("backup_vs_pg_dump_fc", "<= 0.20", "ratio", of("pg_dump -Fc", &custom), ratio(&custom));
    figures.median(
        "backup_vs_pg_dump_fd",
        "<= 0.25",
        "ratio",
        of("pg_dump -Fd -j2", &parallel),
        ratio(&parallel),
    );
    if pgbackrest.is_some() {
        let words = of("pgBackRest, zst + aes-256-cbc, 2 processes, into a directory", &files);
        figures.median("backup_vs_pgbackrest", "", "ratio", words, ratio(&files));
    }
    let share = ours.iter().zip(&limit).map(|(ours, limit)| limit.wall / ours.wall).collect();
    figures.median(
        "backup_vs_limit",
        ">= 0.6",
        "ratio",
        of("COPY to nowhere on 2 connections", &limit),
        share,
    );
    let words = format!("{:.1} MB stored, pg_dump -Fc {:.1} MB", stored / 1e6, custom_bytes as f64 / 1e6);
    figures.median("backup_size_vs_pg_dump_fc", "<= 1.0", "ratio", words, vec![stored / custom_bytes as f64]);
    let name = format!("backup_rss_mb_{}", if megabytes >= 10_000 { "10gb" } else { "1gb" });
    figures.median(&name, "<= 64", "MB", "peak of the function's process", vec![peak]);
    let cpu = ours.iter().map(|took| took.cpu).collect();
    figures.median("backup_cpu_s", "", "s", "user and system time of the function", cpu);

    let mut per_core = Vec::new();
    let mut wall = Vec::new();
    for _ in 0..runs {
        let (took, reply) =
            invoke(&stack, "verify", json!({"action": "full", "backup_id": "latest"})).await?;
        raw = reply["bytes_raw"].as_f64().unwrap_or_default();
        per_core.push(raw / 1e6 / took.cpu);
        wall.push(raw / 1e6 / took.wall);
    }
    let words = format!("{:.0} MB of rows; {:.0} MB/s by the clock", raw / 1e6, median(&wall));
    figures.median("verify_full_mb_s", ">= 400", "MB/s/core", words, per_core);
    let (_, peak) = process::memory_mb(pid_of(&stack, "verify")?)?;
    figures.median("verify_rss_mb", "", "MB", "peak of the function's process", vec![peak]);
    Ok(())
}

/// Invokes a function and measures its process.
async fn invoke(stack: &Stack, function: &str, payload: Value) -> Result<(Took, Value)> {
    let before = match pid_of(stack, function) {
        Ok(pid) => process::cpu(pid)?.as_secs_f64(),
        Err(_) => 0.0,
    };
    let started = Instant::now();
    let reply = stack.invoke(function, payload).await?;
    let wall = started.elapsed().as_secs_f64();
    if reply.function_error.is_some() {
        return Err(format!("{function}: {}", reply.payload).into());
    }
    let cpu = process::cpu(pid_of(stack, function)?)?.as_secs_f64() - before;
    Ok((Took { wall, cpu }, reply.payload))
}

fn pid_of(stack: &Stack, function: &str) -> Result<u32> {
    Ok(*stack.lambda.pids(function)?.first().ok_or_else(|| format!("{function} has no instance"))?)
}

async fn pg_dump(stack: &Stack, options: &[&str], file: &Path) -> Result<Took> {
    let program = stack.postgres.bin_dir()?.join("pg_dump");
    timed(Command::new(program).args(options).arg("--file").arg(file).arg(&stack.database_url)).await
}

/// Every table's rows to the client and away, in two sessions: what no backup over SQL can be faster than.
async fn copy_to_nowhere(stack: &Stack, pool: &PgPool) -> Result<Took> {
    let copies: Vec<String> = sqlx::query_scalar(
        "select format(
            $$copy (select * from only %I.%I where ctid >= '(%s,0)' and ctid < '(%s,0)') to stdout;$$,
            nspname, relname, first, first + $1
        )
        from pg_class
        join pg_namespace on pg_namespace.oid = relnamespace
        cross join generate_series(0, greatest(pg_relation_size(pg_class.oid) / 8192 - 1, 0), $1) as first
        where relkind = 'r' and nspname in ('recoup', 'public')
        order by nspname, relname, first",
    )
    .bind(PAGES_PER_COPY)
    .fetch_all(pool)
    .await?;
    let program = stack.postgres.bin_dir()?.join("psql");
    let half = |odd: usize| {
        let copies = copies.iter().skip(odd).step_by(2).map(String::as_str).collect::<Vec<_>>().join("\n");
        let mut command = Command::new(&program);
        command
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-c", &copies])
            .arg(&stack.database_url);
        command
    };
    let (mut even, mut odd) = (half(0), half(1));
    let started = Instant::now();
    let (even, odd) = tokio::try_join!(timed(&mut even), timed(&mut odd))?;
    Ok(Took { wall: started.elapsed().as_secs_f64(), cpu: even.cpu + odd.cpu })
}

/// Runs a program to its end. Its processor time is what the shell that waits for it says.
async fn timed(command: &mut Command) -> Result<Took> {
    let inner = command.as_std();
    let mut shell = Command::new("bash");
    shell
        .args(["-c", "TIMEFORMAT='%U %S'; time \"$@\"", "bash"])
        .arg(inner.get_program())
        .args(inner.get_args())
        .envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let started = Instant::now();
    let output = shell.stdin(Stdio::null()).stdout(Stdio::null()).output().await?;
    let wall = started.elapsed().as_secs_f64();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(format!("{}: {errors}", inner.get_program().to_string_lossy()).into());
    }
    let last = errors.lines().last().unwrap_or_default();
    let cpu = last.split_whitespace().filter_map(|seconds| seconds.parse::<f64>().ok()).sum();
    Ok(Took { wall, cpu })
}
