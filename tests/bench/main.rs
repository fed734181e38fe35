//! `make bench`: measures recoup against its peers on this machine, prints a table, and writes
//! `bench/results.json`. `make bench ONLY=webhook` measures one part and leaves the other figures in the file.
//!
//! Everything is built with the release profile; Postgres is a private server whose commits are on disk when
//! they return. Options: `--rows N` (inbox rows of the growth figure), `--mb N` (size of the
//! database that is backed up).

mod backup;
mod cold_start;
mod figures;
mod instance;
mod mix;
mod payments_database;
mod peers;
mod process;
mod round_trips;
mod webhook;
mod wire;

use std::error::Error;
use std::process::ExitCode;

use crate::figures::Figures;

/// What can go wrong here ends the benchmark.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Parts that can be measured alone.
const PARTS: [&str; 2] = ["backup", "webhook"];

/// Rows of the growth figure unless `--rows` says otherwise: the goal's ten million take an hour to fill.
const GROWTH_ROWS: u64 = 1_000_000;

/// Size of the database that is backed up unless `--mb` says otherwise, in MB of 10^6 bytes.
const DATABASE_MEGABYTES: u64 = 1_000;

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
    let mut rows = GROWTH_ROWS;
    let mut megabytes = DATABASE_MEGABYTES;
    let mut only = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--rows" => {
                rows = arguments.next().ok_or("--rows needs a number")?.replace('_', "").parse()?;
            }
            "--mb" => {
                megabytes = arguments.next().ok_or("--mb needs a number")?.replace('_', "").parse()?;
            }
            part if PARTS.contains(&part) => only = Some(part.to_owned()),
            other => return Err(format!("{other:?} is no part; there are {}", PARTS.join(", ")).into()),
        }
    }
    if cfg!(debug_assertions) {
        println!("These are debug binaries: the figures mean nothing. Run `make bench`.");
    }
    let mut figures = Figures::default();
    if only.is_none() || only.as_deref() == Some("webhook") {
        Box::pin(webhook::measure(&mut figures, rows)).await?;
    }
    if only.is_none() || only.as_deref() == Some("backup") {
        Box::pin(backup::measure(&mut figures, megabytes)).await?;
    }
    figures.print();
    if cfg!(debug_assertions) {
        return Ok(());
    }
    figures.write(&stack::place::repository().join("bench/results.json"))
}
