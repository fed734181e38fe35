//! `make drill`: the total loss, again and again. Stripe's events, an application's transactions and operators' commands
//! run at once while changes are exported; instants are recorded with what every captured table held; the database is
//! destroyed in the middle of it all. Then each recorded instant is restored and compared, the newest one goes live, and
//! `reconcile` brings what Stripe knows: every table has to be equal, digest for digest.
//!
//! Options: `--instants N` (default 1000) and `--seed N` (default: a new one, which is printed).

mod application;
mod business;
mod model;
mod recovery;

use std::process::ExitCode;
use std::time::Instant;

use stack::{Error, Result, Stack};

use crate::business::Business;

const INSTANTS: usize = 1_000;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nThe drill failed: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let (instants, seed) = options()?;
    println!("drill: {instants} instants, --seed {seed}");
    let began = Instant::now();
    let stack =
        Stack::builder().functions(["webhook", "backup", "restore", "verify", "reconcile"]).start().await?;
    application::make(&stack).await?;
    let business = Business::open(stack, seed).await?;
    let lost = business.until_the_database_is_lost(instants).await?;
    println!("   {}", lost.words());
    recovery::every_instant(&lost).await?;
    recovery::go_live(&lost).await?;
    println!("everything came back, digest for digest ({:.0} s in all)", began.elapsed().as_secs_f64());
    Ok(())
}

fn options() -> Result<(usize, u64)> {
    let (mut instants, mut seed) = (INSTANTS, rand::random::<u32>().into());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        let number = |what: &str| {
            value
                .parse::<u64>()
                .map_err(|_| Error::failed("read the options", &format!("{what} needs a number")))
        };
        match argument.as_str() {
            "--instants" => instants = number("--instants")? as usize,
            "--seed" => seed = number("--seed")?,
            other => {
                return Err(Error::failed(
                    "read the options",
                    &format!("{other:?} is none of --instants, --seed"),
                ));
            }
        }
    }
    Ok((instants.max(4), seed))
}
