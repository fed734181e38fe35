//! A private Postgres server: initdb, start, wait until it answers, end with the stack.

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use tempfile::TempDir;

use super::{PostgresOptions, Shutdown, find};
use crate::error::{Error, Result};
use crate::leash::{EndSignal, Leash, Process};

const START_PATIENCE: Duration = Duration::from_secs(60);
/// Somebody may take the port between our look and the server's.
const PORT_TRIES: u32 = 5;
/// Longest path of a Unix socket on macOS; Linux allows a little more.
const SOCKET_PATH_BYTES_MAX: usize = 103;

/// An unprivileged user, for when this process is root, which Postgres refuses.
#[derive(Debug, Clone, Copy)]
struct Nobody {
    uid: u32,
    gid: u32,
}

/// A running private server. The fields end in their order: first the server, then its directory.
#[derive(Debug)]
pub(super) struct Server {
    process: tokio::sync::Mutex<Process>,
    directory: TempDir,
    port: u16,
    nobody: Option<Nobody>,
    options: PostgresOptions,
    /// Where the server's programs are, with or without `psql` and `pg_dump`.
    pub(super) bin_dir: PathBuf,
    /// Connects to the maintenance database as superuser.
    pub(super) url: String,
}

impl Server {
    pub(super) async fn start(options: PostgresOptions) -> Result<Server> {
        let (directory, bin_dir, nobody) = {
            let options = options.clone();
            tokio::task::spawn_blocking(move || prepare(&options))
                .await
                .map_err(|error| Error::failed("prepare Postgres", &error))??
        };
        let mut tries = 0;
        loop {
            tries += 1;
            let port = free_port()?;
            let (command, leash) = server_command(directory.path(), &bin_dir, nobody, port, &options)?;
            let mut process = Process::spawn(command, leash).map_err(Error::io("start postgres"))?;
            let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
            match wait_until_ready(&mut process, &url).await {
                Ok(()) => {
                    let process = tokio::sync::Mutex::new(process);
                    return Ok(Server { process, directory, port, nobody, options, bin_dir, url });
                }
                Err(error) => {
                    let log =
                        std::fs::read_to_string(directory.path().join("server.log")).unwrap_or_default();
                    if tries == PORT_TRIES || !log.contains("Address already in use") {
                        return Err(Error::failed("start postgres", &format!("{error}; its log:\n{log}")));
                    }
                }
            }
        }
    }
}

impl Server {
    /// Shuts it down and starts it again, on the same files and port.
    pub(super) async fn restart(&self, shutdown: Shutdown) -> Result<()> {
        let operation = "restart postgres";
        let mut process = self.process.lock().await;
        let signal = match shutdown {
            Shutdown::Fast => "INT",
            Shutdown::Immediate => "QUIT",
        };
        let script = format!("kill -s {signal} {}", process.id());
        let told = Command::new("/bin/sh").args(["-c", &script]).status().map_err(Error::io(operation))?;
        if !told.success() {
            return Err(Error::failed(operation, "it was not running"));
        }
        let deadline = Instant::now() + START_PATIENCE;
        while process.try_wait().map_err(Error::io(operation))?.is_none() {
            if Instant::now() > deadline {
                return Err(Error::failed(operation, &format!("it did not end within {START_PATIENCE:?}")));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let (command, leash) =
            server_command(self.directory.path(), &self.bin_dir, self.nobody, self.port, &self.options)?;
        *process = Process::spawn(command, leash).map_err(Error::io(operation))?;
        wait_until_ready(&mut process, &self.url).await
    }
}

fn prepare(options: &PostgresOptions) -> Result<(TempDir, PathBuf, Option<Nobody>)> {
    let mut bin_dir = match options.major {
        Some(major) => major.server_directory()?,
        None => find::server_directory()?,
    };
    let directory = tempfile::Builder::new()
        .prefix("recoup-postgres-")
        .tempdir_in(open_temporary_directory())
        .map_err(Error::io("make a directory for Postgres"))?;
    let path = directory.path();
    // Who owns a new file is who we are.
    let root = std::fs::metadata(path).map_err(Error::io("look at the Postgres directory"))?.uid() == 0;
    let nobody = if root { Some(nobody()?) } else { None };
    if let Some(user) = nobody {
        std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid))
            .map_err(Error::io("give the Postgres directory to nobody"))?;
        if !is_reachable(&bin_dir.join("initdb"), user, path) {
            bin_dir = copy_installation(&bin_dir, path, user)?;
        }
    }
    let mut initdb = Command::new(bin_dir.join("initdb"));
    initdb
        .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"])
        .arg("--pgdata")
        .arg(path.join("data"));
    if !options.durable {
        initdb.arg("--no-sync");
    }
    let output = as_user(&mut initdb, nobody, path).output().map_err(Error::io("run initdb"))?;
    if output.status.success() {
        Ok((directory, bin_dir, nobody))
    } else {
        let words = [output.stdout, output.stderr].concat();
        Err(Error::failed(
            format!("run {}", bin_dir.join("initdb").display()),
            &String::from_utf8_lossy(&words),
        ))
    }
}

/// The child sees nothing of our environment but what it needs: PGDATA and the like would mislead it.
fn as_user<'a>(command: &'a mut Command, nobody: Option<Nobody>, directory: &Path) -> &'a mut Command {
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .current_dir(directory);
    if let Some(user) = nobody {
        command.uid(user.uid).gid(user.gid);
    }
    command
}

fn server_command(
    directory: &Path,
    bin_dir: &Path,
    nobody: Option<Nobody>,
    port: u16,
    options: &PostgresOptions,
) -> Result<(Command, Leash)> {
    let (mut command, leash) = Leash::command(bin_dir.join("postgres"), EndSignal::Quit, Some(directory))
        .map_err(Error::io("prepare postgres"))?;
    as_user(&mut command, nobody, directory);
    let log =
        std::fs::File::create(directory.join("server.log")).map_err(Error::io("make the Postgres log"))?;
    let errors = log.try_clone().map_err(Error::io("make the Postgres log"))?;
    command.stdout(Stdio::from(log)).stderr(Stdio::from(errors));
    command.arg("-D").arg(directory.join("data"));
    let mut set = |name: &str, value: &str| {
        command.arg("-c").arg(format!("{name}={value}"));
    };
    set("listen_addresses", "127.0.0.1");
    set("port", &port.to_string());
    let socket = directory.join(format!(".s.PGSQL.{port}.lock"));
    let fits = socket.as_os_str().len() <= SOCKET_PATH_BYTES_MAX;
    set("unix_socket_directories", if fits { directory.to_str().unwrap_or_default() } else { "" });
    set("max_connections", &options.connections_max.to_string());
    set("timezone", "UTC");
    if !options.durable {
        // Nothing here outlives the process; a crash of the machine may take it.
        set("fsync", "off");
        set("synchronous_commit", "off");
        set("full_page_writes", "off");
    }
    for (name, value) in &options.settings {
        set(name, value);
    }
    Ok((command, leash))
}

async fn wait_until_ready(process: &mut Process, url: &str) -> Result<()> {
    let options = PgConnectOptions::from_str(url)
        .map_err(Error::database(format!("read {url}")))?
        .disable_statement_logging();
    let deadline = Instant::now() + START_PATIENCE;
    loop {
        if let Some(status) = process.try_wait().map_err(Error::io("wait for postgres"))? {
            return Err(Error::failed("wait for postgres", &format!("it ended with {status}")));
        }
        match PgConnection::connect_with(&options).await {
            Ok(connection) => {
                let _ = connection.close().await;
                return Ok(());
            }
            Err(error) if Instant::now() > deadline => {
                return Err(Error::database(format!("connect to {url} for {START_PATIENCE:?}"))(error));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(Error::io("find a free port"))?;
    Ok(listener.local_addr().map_err(Error::io("find a free port"))?.port())
}

/// The temporary directory; for root one that the user nobody can reach, and clear of its files when we are gone:
/// TMPDIR may be inside somebody's home.
fn open_temporary_directory() -> PathBuf {
    let usual = std::env::temp_dir();
    let allows = |directory: &Path, rights: u32| {
        std::fs::metadata(directory).is_ok_and(|metadata| metadata.permissions().mode() & rights == rights)
    };
    let open = allows(&usual, 0o003) && usual.ancestors().all(|directory| allows(directory, 0o001));
    let own = std::fs::metadata(&usual).is_ok_and(|metadata| metadata.uid() != 0);
    if open || own { usual } else { PathBuf::from("/tmp") }
}

fn nobody() -> Result<Nobody> {
    let users = std::fs::read_to_string("/etc/passwd").map_err(Error::io("read /etc/passwd"))?;
    let find = |line: &str| {
        let mut fields = line.strip_prefix("nobody:")?.split(':').skip(1);
        // macOS writes -2, meaning the highest number but one.
        let uid: i64 = fields.next()?.parse().ok()?;
        let gid: i64 = fields.next()?.parse().ok()?;
        Some(Nobody { uid: uid as u32, gid: gid as u32 })
    };
    users.lines().find_map(find).ok_or_else(|| {
        Error::missing(
            "the user nobody in /etc/passwd",
            "run as an ordinary user, because Postgres refuses root",
        )
    })
}

fn is_reachable(program: &Path, user: Nobody, directory: &Path) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    as_user(&mut command, Some(user), directory).status().is_ok_and(|status| status.success())
}

/// The installation may lie below a home directory that only root can enter: a copy of it goes where nobody can read it.
fn copy_installation(bin_dir: &Path, directory: &Path, user: Nobody) -> Result<PathBuf> {
    let installation = bin_dir.parent().unwrap_or(bin_dir);
    let copy = directory.join("installation");
    let operation = || format!("copy {} for the user nobody", installation.display());
    let run = |command: &mut Command| {
        let output = command.output().map_err(Error::io(operation()))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(Error::failed(operation(), &String::from_utf8_lossy(&output.stderr))),
        }
    };
    run(Command::new("cp").arg("-R").arg(installation).arg(&copy))?;
    // The watcher, which is nobody's as the server is, removes it all if we are killed.
    run(Command::new("chown").arg("-R").arg(format!("{}:{}", user.uid, user.gid)).arg(&copy))?;
    let bin_copy = copy.join("bin");
    if is_reachable(&bin_copy.join("initdb"), user, directory) {
        return Ok(bin_copy);
    }
    Err(Error::missing(
        format!("a Postgres server that the user nobody can run ({} is not)", bin_dir.display()),
        "install Postgres for the whole machine, or run as an ordinary user",
    ))
}
