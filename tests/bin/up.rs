//! `make up`: brings the stack up, says where everything is, and stays until Ctrl-C.
//!
//! An argument is another place for the file `target/stack/env`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use stack::leash::Sweeper;
use stack::{DatabaseChoice, Stack, place};
use tempfile::NamedTempFile;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("up: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    println!("Starting Postgres, S3, Secrets Manager, Stripe and the functions ...");
    let database = match std::env::var("DATABASE_URL") {
        Ok(url) => DatabaseChoice::Given(url),
        Err(_) => DatabaseChoice::Migrated,
    };
    // As a marketplace would: what connected accounts do is applied too.
    let stack = Stack::builder()
        .database(database)
        .env("webhook", "STRIPE_ACCOUNTS", "all")
        .env("reconcile", "STRIPE_ACCOUNTS", "all")
        .start()
        .await?;

    // From here on Ctrl-C means an orderly end.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let path = std::env::args_os()
        .nth(1)
        .map_or_else(|| place::repository().join("target/stack/env"), PathBuf::from);
    let variables = stack.environment();
    let file = EnvironmentFile::write(path, &variables)?;
    describe(&variables, &file.path);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    println!("Ending.");
    drop(file);
    drop(stack);
    Ok(())
}

fn describe(variables: &[(&str, String)], file: &Path) {
    println!("Ready. Where everything is:\n");
    for (name, value) in variables {
        println!("  {name:<32} {value}");
    }
    println!("\nThe same is in {}. To play, in another terminal:\n", file.display());
    println!("  set -a; . {}; set +a; export PATH=\"$PWD/.venv/bin:$PATH\"", file.display());
    println!("  curl \"$HEALTH_URL\"");
    println!(
        "  aws lambda invoke --function-name backup --payload '{{\"backup_type\":\"full\"}}' reply.json"
    );
    println!("  stripe trigger payment_intent.succeeded --api-base \"$STRIPE_API_BASE\"");
    println!("  aws s3 ls --recursive \"s3://$BACKUP_BUCKET\"");
    println!("\nRUNBOOK.md has more; its commands work as they stand.");
    println!("\nCtrl-C ends it all.");
}

/// Its presence means that the stack is ready; it goes with the stack, also after SIGKILL.
struct EnvironmentFile {
    path: PathBuf,
    content: String,
    _sweeper: Sweeper,
}

impl EnvironmentFile {
    fn write(path: PathBuf, variables: &[(&str, String)]) -> std::io::Result<EnvironmentFile> {
        let content: String = variables.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        let directory = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(directory)?;
        let sweeper = Sweeper::start([path.as_path()])?;
        // Temporary files have mode 0600; the rename shows all of it at once.
        let mut file = NamedTempFile::new_in(directory)?;
        file.write_all(content.as_bytes())?;
        file.persist(&path)?;
        Ok(EnvironmentFile { path, content, _sweeper: sweeper })
    }
}

impl Drop for EnvironmentFile {
    fn drop(&mut self) {
        // A stack that was started after this one has put its own file there.
        if std::fs::read_to_string(&self.path).is_ok_and(|content| content == self.content) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
