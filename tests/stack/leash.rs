//! Child processes that end with this process, however it ends.
//!
//! A child cannot be told portably (Linux and macOS, without unsafe code) to die with its parent. So each one is
//! started through `sh`, which first puts a watcher beside it: the watcher reads from a pipe whose only write end this
//! process holds. End of file without a line means that this process is gone, or has pulled the leash: the watcher
//! signals the child, waits for its end and removes the directory that was the child's. A line means that the child has
//! been reaped and that its process id may by now belong to somebody else: the watcher leaves quietly.
//!
//! `sh` then becomes the real command by `exec`, so that the id of the child is the command's own. The watcher is
//! handed to init (the double fork), so that the command finds no child that it does not know. Children get a process
//! group each: a Ctrl-C in the terminal is for this process, which ends them in order.

use std::ffi::OsStr;
use std::io::{self, PipeWriter, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a child may take to end by its own signal before SIGKILL.
const END_PATIENCE: Duration = Duration::from_secs(10);

const WATCHED: &str = r#"
exec 3<&0
signal=$1 remove=$2
shift 2
( (
    trap '' HUP INT QUIT TERM
    if ! read -r reaped <&3; then
        kill -s "$signal" $$
        if [ -n "$remove" ]; then
            tries=0
            while kill -s 0 $$ && [ "$tries" -lt 200 ]; do
                sleep 0.05
                tries=$((tries + 1))
            done
            kill -s KILL $$
            rm -rf -- "$remove"
        fi
    fi
) >/dev/null 2>&1 & )
exec "$@" 3<&- </dev/null
"#;

const SWEEPER: &str = r#"trap '' HUP INT QUIT TERM; read -r kept || rm -rf -- "$@""#;

/// Signal by which a watcher ends its child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndSignal {
    /// At once; nothing of the child runs again.
    Kill,
    /// The usual request to end.
    Term,
    /// Postgres: immediate shutdown with all its backends.
    Quit,
}

impl EndSignal {
    fn name(self) -> &'static str {
        match self {
            EndSignal::Kill => "KILL",
            EndSignal::Term => "TERM",
            EndSignal::Quit => "QUIT",
        }
    }
}

/// Our end of the pipe to a child's watcher. Dropping it ends the child.
#[derive(Debug)]
pub struct Leash {
    line: PipeWriter,
}

impl Leash {
    /// A command that will run `program` on a leash. `remove` is deleted by the watcher after it had to end the
    /// child. Standard input is the watcher's; everything else of the command is free to be set.
    pub fn command(
        program: impl AsRef<OsStr>,
        signal: EndSignal,
        remove: Option<&Path>,
    ) -> io::Result<(Command, Leash)> {
        let (reader, line) = io::pipe()?;
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", WATCHED, "sh", signal.name()])
            .arg(remove.map_or(OsStr::new(""), Path::as_os_str))
            .arg(program)
            .stdin(Stdio::from(reader))
            .process_group(0);
        Ok((command, Leash { line }))
    }

    /// Sends the watcher home. Call it once the child has been waited for, and only then.
    pub fn release(mut self) {
        // The watcher may be gone already; then there is nobody to tell.
        let _ = self.line.write_all(b"reaped\n");
    }
}

/// A child on a leash, ended and reaped on drop.
#[derive(Debug)]
pub struct Process {
    child: Child,
    leash: Option<Leash>,
}

impl Process {
    /// Starts what [`Leash::command`] prepared.
    pub fn spawn(mut command: Command, leash: Leash) -> io::Result<Process> {
        Ok(Process { child: command.spawn()?, leash: Some(leash) })
    }

    /// Process id of the command itself.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Standard error, where it was piped and has not been taken.
    pub fn take_stderr(&mut self) -> Option<std::process::ChildStderr> {
        self.child.stderr.take()
    }

    /// The exit status, if the child has ended.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        if status.is_some()
            && let Some(leash) = self.leash.take()
        {
            leash.release();
        }
        Ok(status)
    }

    /// Ends the child by its signal, by SIGKILL where that does not help, and waits for it.
    pub fn end(&mut self) {
        if matches!(self.try_wait(), Ok(Some(_))) {
            return;
        }
        drop(self.leash.take());
        let deadline = Instant::now() + END_PATIENCE;
        while Instant::now() < deadline {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Removes files and directories when this process is gone, should it not come to doing so itself.
#[derive(Debug)]
pub struct Sweeper {
    child: Child,
    line: Option<PipeWriter>,
}

impl Sweeper {
    /// Watches over `paths` until dropped.
    pub fn start<'a>(paths: impl IntoIterator<Item = &'a Path>) -> io::Result<Sweeper> {
        let (reader, line) = io::pipe()?;
        let child = Command::new("/bin/sh")
            .args(["-c", SWEEPER, "sh"])
            .args(paths)
            .stdin(Stdio::from(reader))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Sweeper { child, line: Some(line) })
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        if let Some(mut line) = self.line.take() {
            let _ = line.write_all(b"kept\n");
        }
        let _ = self.child.wait();
    }
}
