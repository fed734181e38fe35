//! Where things are: the repository, its tools and the built function binaries.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Top of the repository.
pub fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_owned()
}

/// A program that `tests/setup` puts into `.venv`.
pub fn venv_program(name: &str) -> Result<PathBuf> {
    let program = repository().join(".venv/bin").join(name);
    if program.is_file() {
        Ok(program)
    } else {
        Err(Error::missing(program.display().to_string(), "run `tests/setup`"))
    }
}

/// A program of the machine, or one that `tests/setup` put into `.venv` for want of it.
pub fn program(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).map(|directory| directory.join(name)).find(|program| program.is_file());
    found.map_or_else(|| venv_program(name), Ok)
}

/// A binary of this workspace, built with the same profile as the running program: `target/<profile>/<name>`.
pub fn built_binary(name: &str) -> Result<PathBuf> {
    let running = std::env::current_exe().map_err(Error::io("find the running program"))?;
    let mut directory = running.parent().unwrap_or(Path::new("/"));
    // Tests run from target/<profile>/deps.
    if directory.ends_with("deps") {
        directory = directory.parent().unwrap_or(directory);
    }
    let binary = directory.join(name);
    if binary.is_file() {
        Ok(binary)
    } else {
        Err(Error::missing(format!("function binary {}", binary.display()), "run `make build`"))
    }
}
