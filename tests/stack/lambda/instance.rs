//! One instance: a process of a function, its Runtime API, its log, its end.

use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::unix::pipe;
use tokio::process::Child;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::FunctionConfig;
use super::logs::{LineCutter, Logs};
use super::runtime_api::{Answer, RuntimeApi, Work};
use crate::engine::serve;
use crate::error::{Error, Result};
use crate::leash::{EndSignal, Leash};
use crate::s3::REGION;

/// Lambda's limit for the time before the first `next`.
pub(super) const INIT_TIMEOUT: Duration = Duration::from_secs(10);

/// How one invocation on an instance ended.
#[derive(Debug)]
pub(super) enum Ended {
    Response(Bytes),
    /// The function posted an error; the process lives on.
    Error(Bytes),
    InitError(Bytes),
    Exit(ExitStatus),
    TimedOut,
    InitTimedOut,
}

/// A process of a function.
#[derive(Debug)]
pub(super) struct Instance {
    pid: u32,
    /// Room for one: an instance works on one invocation at a time.
    work: mpsc::Sender<Work>,
    runtime_api: Arc<RuntimeApi>,
    exit: watch::Receiver<Option<ExitStatus>>,
    kill: Arc<Notify>,
    flush: mpsc::Sender<oneshot::Sender<()>>,
    /// No further invocations: killed, or configured anew.
    retired: AtomicBool,
}

impl Instance {
    /// Starts the process. It initialises itself while its first invocation waits.
    pub(super) fn start(
        config: &FunctionConfig,
        log_stream: &str,
        logs: Arc<Logs>,
        handle: &Handle,
    ) -> Result<Arc<Instance>> {
        let (work, receiver) = mpsc::channel(1);
        let runtime_api = RuntimeApi::new(receiver);
        let (exited, exit) = watch::channel(None);
        let mut until = exit.clone();
        let address = serve(handle, runtime_api.router(), async move {
            let _ = until.wait_for(Option::is_some).await;
        })?;

        let operation = format!("start {} for function {}", config.binary.display(), config.name);
        let (mut command, leash) =
            Leash::command(&config.binary, EndSignal::Kill, None).map_err(Error::io(&*operation))?;
        let (reader, writer) = std::io::pipe().map_err(Error::io(&*operation))?;
        command.env_clear();
        command.envs(lambda_environment(config, &address.to_string(), log_stream));
        if let Some(keys) = &config.keys {
            command.envs(keys.issue(&config.name).variables());
        }
        command.envs(&config.environment);
        command.stdout(writer.try_clone().map_err(Error::io(&*operation))?).stderr(writer);

        let _inside = handle.enter();
        let output = pipe::Receiver::from_owned_fd(OwnedFd::from(reader)).map_err(Error::io(&*operation))?;
        let mut command = tokio::process::Command::from(command);
        let child = command.kill_on_drop(true).spawn().map_err(Error::io(&*operation))?;
        // Our copies of the log's write end must go, or its end would never be seen.
        drop(command);
        let pid = child.id().ok_or_else(|| Error::failed(operation, "it ended at once"))?;
        let kill = Arc::new(Notify::new());
        let (flush, flushes) = mpsc::channel(8);
        let supervisor = Supervisor {
            child,
            leash,
            output: Output { pipe: output, cutter: LineCutter::default(), logs, pid, open: true },
            exited,
            kill: kill.clone(),
            flushes,
        };
        handle.spawn(supervisor.run());
        let retired = AtomicBool::new(false);
        Ok(Arc::new(Instance { pid, work, runtime_api, exit, kill, flush, retired }))
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether the process exists (a killed one does until it has been reaped).
    pub(super) fn is_running(&self) -> bool {
        self.exit.borrow().is_none()
    }

    /// Whether it may get an invocation.
    pub(super) fn is_usable(&self) -> bool {
        !self.retired.load(Ordering::Acquire) && self.is_running()
    }

    /// No further invocations.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// SIGKILL.
    pub(super) fn kill(&self) {
        self.retire();
        self.kill.notify_one();
    }

    /// Everything that the process has written so far is in the log when this returns.
    pub(super) async fn flush_log(&self) {
        let (done, flushed) = oneshot::channel();
        if self.flush.send(done).await.is_ok() {
            let _ = flushed.await;
        }
    }

    /// Has the process work on one invocation.
    pub(super) async fn work(
        &self,
        request_id: &str,
        payload: Bytes,
        function_arn: String,
        timeout: Duration,
    ) -> Ended {
        let (taken, was_taken) = oneshot::channel();
        let (answered, mut answer) = oneshot::channel();
        let work =
            Work { request_id: request_id.to_owned(), payload, function_arn, timeout, taken, answered };
        // Cannot be full: whoever calls this holds the instance alone. Closed means that it has ended, seen below.
        let _ = self.work.try_send(work);
        let mut exit = self.exit.clone();
        tokio::select! {
            biased;
            _ = was_taken => {}
            status = exited(&mut exit) => return self.ended(status),
            () = tokio::time::sleep(INIT_TIMEOUT) => return Ended::InitTimedOut,
        }
        tokio::select! {
            biased;
            Ok(answer) = &mut answer => match answer {
                Answer::Response(bytes) => Ended::Response(bytes),
                Answer::Error(bytes) => Ended::Error(bytes),
            },
            status = exited(&mut exit) => match answer.try_recv() {
                Ok(Answer::Response(bytes)) => Ended::Response(bytes),
                Ok(Answer::Error(bytes)) => Ended::Error(bytes),
                Err(_) => self.ended(status),
            },
            () = tokio::time::sleep(timeout) => Ended::TimedOut,
        }
    }

    fn ended(&self, status: ExitStatus) -> Ended {
        match self.runtime_api.take_init_error() {
            Some(error) => Ended::InitError(error),
            None => Ended::Exit(status),
        }
    }
}

async fn exited(exit: &mut watch::Receiver<Option<ExitStatus>>) -> ExitStatus {
    match exit.wait_for(Option::is_some).await.map(|status| *status) {
        Ok(Some(status)) => status,
        // The supervisor went with the stack, and the process with it.
        Ok(None) | Err(_) => ExitStatus::from_raw(9),
    }
}

/// Looks after the process until its end.
struct Supervisor {
    child: Child,
    leash: Leash,
    output: Output,
    exited: watch::Sender<Option<ExitStatus>>,
    kill: Arc<Notify>,
    flushes: mpsc::Receiver<oneshot::Sender<()>>,
}

impl Supervisor {
    async fn run(mut self) {
        let status = loop {
            tokio::select! {
                status = self.child.wait() => break status,
                () = self.kill.notified() => {
                    let _ = self.child.start_kill();
                }
                () = self.output.readable() => self.output.drain(),
                Some(done) = self.flushes.recv() => {
                    self.output.drain();
                    let _ = done.send(());
                }
            }
        };
        self.leash.release();
        self.output.finish();
        let _ = self.exited.send(Some(status.unwrap_or(ExitStatus::from_raw(9))));
    }
}

/// The process's standard output and error, one pipe, so that their lines keep their order.
struct Output {
    pipe: pipe::Receiver,
    cutter: LineCutter,
    logs: Arc<Logs>,
    pid: u32,
    open: bool,
}

impl Output {
    async fn readable(&self) {
        if !self.open || self.pipe.readable().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    fn drain(&mut self) {
        let mut buffer = [0; 8192];
        while self.open {
            match self.pipe.try_read(&mut buffer) {
                Ok(0) => self.open = false,
                Ok(length) => {
                    let (logs, pid) = (&self.logs, self.pid);
                    self.cutter.cut(&buffer[..length], |line| logs.append(pid, line));
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(_) => self.open = false,
            }
        }
    }

    fn finish(&mut self) {
        self.drain();
        if let Some(line) = self.cutter.finish() {
            self.logs.append(self.pid, line);
        }
    }
}

/// What Lambda itself sets ("Defined runtime environment variables").
fn lambda_environment(config: &FunctionConfig, runtime_api: &str, log_stream: &str) -> Vec<(String, String)> {
    let task_root = config.binary.parent().unwrap_or(&config.binary).display().to_string();
    [
        ("AWS_LAMBDA_RUNTIME_API", runtime_api.to_owned()),
        ("AWS_LAMBDA_FUNCTION_NAME", config.name.clone()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", config.memory_mb.to_string()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", config.name)),
        ("AWS_LAMBDA_LOG_STREAM_NAME", log_stream.to_owned()),
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_DEFAULT_REGION", REGION.to_owned()),
        ("_HANDLER", "bootstrap".to_owned()),
        ("LAMBDA_TASK_ROOT", task_root.clone()),
        ("LAMBDA_RUNTIME_DIR", task_root),
        ("LANG", "en_US.UTF-8".to_owned()),
        ("TZ", ":UTC".to_owned()),
        ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}
