//! `make bench`: measures recoup against its peers on this machine, prints a table, and writes
//! `bench/results.json`. `make bench ONLY=webhook` measures one part and leaves the other figures in the file.
//!
//! Everything is built with the release profile; Postgres is a private server whose commits are on disk when
//! they return. Options: `--rows N` (inbox rows of the growth figure), `--mb N` (size of the database that is
//! backed up) and `--quick` (to see that everything runs: one run of a second for each figure, and no file).

mod backup;
mod bare;
mod capture;
mod cold_start;
mod comparison;
mod effort;
mod figures;
mod growth;
mod inserts;
mod instance;
mod load;
mod mix;
mod payments_database;
mod pgbackrest;
mod process;
mod reconcile;
mod restore;
mod round_trips;
mod sync_engine;
mod webhook;
mod wire;

use std::error::Error;
use std::process::ExitCode;

use crate::effort::Effort;
use crate::figures::Figures;

/// What can go wrong here ends the benchmark.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Parts that can be measured alone.
const PARTS: [&str; 5] = ["backup", "capture", "reconcile", "restore", "webhook"];

// One thread: what drives the function must leave it the machine.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let (mut effort, mut rows, mut megabytes, mut quick, mut only) =
        (Effort::full(), None, None, false, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--rows" => {
                let number = arguments.next().ok_or("--rows needs a number")?;
                rows = Some(number.replace('_', "").parse()?);
            }
            "--mb" => {
                let number = arguments.next().ok_or("--mb needs a number")?;
                megabytes = Some(number.replace('_', "").parse()?);
            }
            "--quick" => quick = true,
            part if PARTS.contains(&part) => only = Some(part.to_owned()),
            other => return Err(format!("{other:?} is no part; there are {}", PARTS.join(", ")).into()),
        }
    }
    if quick {
        effort = Effort::quick();
    }
    effort.growth_rows = rows.unwrap_or(effort.growth_rows);
    effort.database_megabytes = megabytes.unwrap_or(effort.database_megabytes);
    let meaningless = match (quick, cfg!(debug_assertions)) {
        (_, true) => Some("These are debug binaries: the figures mean nothing. Run `make bench`."),
        (true, _) => Some("These are single runs of a second: the figures mean nothing."),
        _ => None,
    };
    if let Some(word) = meaningless {
        println!("{word}");
    }
    let mut figures = Figures::default();
    if only.is_none() || only.as_deref() == Some("webhook") {
        Box::pin(webhook::measure(&mut figures, effort.clone())).await?;
    }
    if only.is_none() || only.as_deref() == Some("backup") {
        Box::pin(backup::measure(&mut figures, &effort)).await?;
    }
    if only.is_none() || only.as_deref() == Some("capture") {
        Box::pin(capture::measure(&mut figures, &effort)).await?;
    }
    if only.is_none() || only.as_deref() == Some("reconcile") {
        Box::pin(reconcile::measure(&mut figures, &effort)).await?;
    }
    if only.is_none() || only.as_deref() == Some("restore") {
        Box::pin(restore::measure(&mut figures, &effort)).await?;
    }
    figures.print();
    if meaningless.is_some() {
        return Ok(());
    }
    figures.write(&stack::place::repository().join("bench/results.json"))
}
