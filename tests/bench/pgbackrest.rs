//! pgBackRest as a peer: a full backup of the same server's files, compressed and encrypted, by two processes.
//!
//! It reads files and not rows, which is why no managed database has it: it needs the server's disk. It takes the indexes
//! too and writes into a directory, where ours goes to S3.

use std::path::{Path, PathBuf};

use sqlx::PgPool;
use tokio::process::Command;

use crate::Result;

/// A repository for the server that a pool is connected to.
pub struct PgBackRest {
    program: PathBuf,
    /// Its options, as it takes them from the environment: a passphrase it takes from nowhere else.
    options: Vec<(&'static str, String)>,
}

impl PgBackRest {
    /// Makes its repository in `directory`; a word on why there is none where the program is missing or refuses the server.
    pub async fn prepare(pool: &PgPool, directory: &Path) -> Result<std::result::Result<Self, String>> {
        let Some(program) = find("pgbackrest") else {
            return Ok(Err("pgBackRest is not installed (Debian: apt-get install pgbackrest)".to_owned()));
        };
        let (data, sockets, port): (String, String, String) = sqlx::query_as(
            "select current_setting('data_directory'), current_setting('unix_socket_directories'),
                current_setting('port')",
        )
        .fetch_one(pool)
        .await?;
        let path = |name: &str| directory.join(name).to_string_lossy().into_owned();
        for name in ["repository", "locks"] {
            std::fs::create_dir_all(directory.join(name))?;
        }
        let options = vec![
            ("PGBACKREST_CONFIG", "/dev/null".to_owned()),
            ("PGBACKREST_STANZA", "bench".to_owned()),
            ("PGBACKREST_PG1_PATH", data),
            ("PGBACKREST_PG1_SOCKET_PATH", sockets),
            ("PGBACKREST_PG1_PORT", port),
            ("PGBACKREST_PG1_USER", "postgres".to_owned()),
            ("PGBACKREST_REPO1_PATH", path("repository")),
            ("PGBACKREST_REPO1_RETENTION_FULL", "1".to_owned()),
            ("PGBACKREST_REPO1_CIPHER_TYPE", "aes-256-cbc".to_owned()),
            ("PGBACKREST_REPO1_CIPHER_PASS", "a passphrase for the bench".to_owned()),
            ("PGBACKREST_LOCK_PATH", path("locks")),
            ("PGBACKREST_LOG_PATH", path("locks")),
            ("PGBACKREST_LOG_LEVEL_FILE", "off".to_owned()),
            ("PGBACKREST_LOG_LEVEL_CONSOLE", "warn".to_owned()),
            // No log of the server is archived here, and nobody waits for a checkpoint that takes its time.
            ("PGBACKREST_ARCHIVE_CHECK", "n".to_owned()),
            ("PGBACKREST_START_FAST", "y".to_owned()),
            ("PGBACKREST_COMPRESS_TYPE", "zst".to_owned()),
            ("PGBACKREST_PROCESS_MAX", "2".to_owned()),
        ];
        let peer = Self { program, options };
        let made = peer.command(&["stanza-create"]).output().await?;
        if !made.status.success() {
            let said = String::from_utf8_lossy(&made.stdout).into_owned();
            return Ok(Err(format!("pgBackRest refuses this server: {}", said.trim())));
        }
        Ok(Ok(peer))
    }

    /// The command of a full backup.
    pub fn full_backup(&self) -> Command {
        self.command(&["--type=full", "backup"])
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        let options = self.options.iter().map(|(name, value)| (*name, value.as_str()));
        command.args(arguments).envs(options);
        command
    }
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|path| path.is_file())
}
