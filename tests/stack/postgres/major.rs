//! The major versions of Postgres that `tests/setup` brings, each with its server in a folder of its own.

use std::fmt;
use std::path::PathBuf;

use super::find;
use crate::error::{Error, Result};
use crate::place;

/// A major version that recoup works with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "a number each")]
pub enum Major {
    V14 = 14,
    V15 = 15,
    V16 = 16,
    V17 = 17,
    V18 = 18,
}

impl Major {
    /// Every version that recoup works with, the oldest first.
    pub const EVERY: [Major; 5] = [Major::V14, Major::V15, Major::V16, Major::V17, Major::V18];

    /// As in `PG_VERSION`.
    pub fn number(self) -> u32 {
        self as u32
    }

    /// Whether `tests/setup` can bring it to this machine: npm has no 14 for Apple's processors.
    pub fn can_be_had(self) -> bool {
        self != Major::V14 || !cfg!(all(target_os = "macos", target_arch = "aarch64"))
    }

    /// Directory with its `initdb` and `postgres`.
    pub(super) fn server_directory(self) -> Result<PathBuf> {
        let directory = place::repository().join(format!(".postgres/{}/bin", self.number()));
        if find::is_server(&directory) {
            return Ok(directory);
        }
        Err(Error::missing(format!("Postgres {self} in {}", directory.display()), "run `tests/setup`"))
    }
}

impl fmt::Display for Major {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number())
    }
}
