//! A backup of a newer Postgres on an older server.
//!
//! Nearly all that a shop has means the same on both, so that it is tried, and proven equal like any other. What the older
//! server does not know it refuses itself; then the error names the object and the version that takes it.

use super::super::error::ArchiveError;
use super::super::manifest::Manifest;

/// How `server_version_num` counts.
const MAJOR: i32 = 10_000;

/// The two major versions, where the server's is the older one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OlderServer {
    backup: i32,
    server: i32,
}

impl OlderServer {
    /// `None` where the server is as new as the backup, or does not say how new it is.
    pub(super) fn of(manifest: &Manifest, server_version: Option<u32>) -> Option<Self> {
        let server = i32::try_from(server_version?).ok()? / MAJOR;
        let backup = manifest.postgres_version / MAJOR;
        (server < backup).then_some(Self { backup, server })
    }

    /// What an operator should know of a copy that is whole all the same.
    pub(super) fn warning(self) -> String {
        let Self { backup, server } = self;
        format!(
            "the backup is of Postgres {backup} and this server is Postgres {server}: everything came back, but what was tested there runs on an older server here; for production use Postgres {backup} or later"
        )
    }

    /// Says of what the server refused that a newer one takes it.
    pub(super) fn explain(self, error: ArchiveError) -> ArchiveError {
        match error {
            ArchiveError::Database { operation, reason } if reason.is_refusal() => {
                let Self { backup, server } = self;
                ArchiveError::NewerPostgres { operation, reason, backup, server }
            }
            error => error,
        }
    }
}
