//! AWS Lambda, as far as functions and their callers can tell: the Runtime API that the real function binaries poll,
//! the Invoke API that the real AWS CLI calls, and an HTTP API in front of one function.
//!
//! Each instance is a process with a Runtime API of its own (a port each), works on one invocation at a time and is
//! reused warm; instances start when they are first needed, up to the function's limit. What a caller sees of a
//! failure (function error, time-out, exit, throttle) is what AWS answers. Not imitated: memory limits, freezing
//! between invocations, extensions.

pub mod front;
mod function;
mod instance;
mod invoke_api;
mod logs;
mod runtime_api;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::runtime::Handle;

use self::function::Function;
pub use self::function::Outcome;
pub use self::logs::LogLine;
use crate::engine::serve;
use crate::error::{Error, Result};
use crate::iam::{Evidence, KeyRing};

/// Payload of a synchronous invocation and of its answer: 6 MB.
pub const PAYLOAD_BYTES_MAX: usize = 6 * 1024 * 1024;
/// Payload of an asynchronous invocation: 1 MB.
pub const EVENT_PAYLOAD_BYTES_MAX: usize = 1024 * 1024;
/// What `X-Amz-Log-Type: Tail` gives.
pub const LOG_TAIL_BYTES: usize = 4096;

/// One function: what AWS calls its configuration.
#[derive(Debug, Clone)]
pub struct FunctionConfig {
    /// Name, as in `--function-name`.
    pub name: String,
    /// The program to run.
    pub binary: PathBuf,
    /// Environment beyond what Lambda itself sets. Nothing is inherited from this process.
    pub environment: BTreeMap<String, String>,
    /// Instances at most, which is also the number of invocations at a time; one more is throttled (429).
    pub instances_max: usize,
    /// Time limit of one invocation; then the instance is killed.
    pub timeout: Duration,
    /// Told to the function; not enforced.
    pub memory_mb: u32,
    /// How often a failed asynchronous invocation is tried again.
    pub event_retries: u32,
    /// Wait before the first such retry, doubled for the second. AWS waits a minute.
    pub event_retry_delay: Duration,
    /// Where each instance gets an access key of its own; without it has none but what its environment says.
    pub(crate) keys: Option<KeyRing>,
    /// What its log shows is noted there.
    pub(crate) evidence: Evidence,
}

impl FunctionConfig {
    /// A function with AWS's usual limits: time-out 3 s, 128 MB, two retries of events (a second apart instead of a
    /// minute), and ten instances.
    pub fn new(name: impl Into<String>, binary: impl Into<PathBuf>) -> FunctionConfig {
        FunctionConfig {
            name: name.into(),
            binary: binary.into(),
            environment: BTreeMap::new(),
            instances_max: 10,
            timeout: Duration::from_secs(3),
            memory_mb: 128,
            event_retries: 2,
            event_retry_delay: Duration::from_secs(1),
            keys: None,
            evidence: Evidence::default(),
        }
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> FunctionConfig {
        self.environment.insert(name.into(), value.into());
        self
    }
}

/// What an invocation answered.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status of the Invoke API: 200 (also for a function error), 202 for an event, 429 when throttled.
    pub status: u16,
    /// `Some("Unhandled")` where the function failed; the payload then has `errorType` and `errorMessage`.
    pub function_error: Option<String>,
    /// The answer.
    pub payload: Value,
    /// The last 4 KB of what the invocation logged.
    pub log_tail: String,
}

/// A running Lambda service. Clones are handles to the same one.
#[derive(Debug, Clone)]
pub struct Lambda {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    functions: BTreeMap<String, Arc<Function>>,
    endpoint: String,
}

impl Lambda {
    /// Serves the Invoke API for these functions on a free loopback port. Fails if a binary is missing.
    pub fn start(handle: &Handle, functions: impl IntoIterator<Item = FunctionConfig>) -> Result<Lambda> {
        let mut named = BTreeMap::new();
        for config in functions {
            if !config.binary.is_file() {
                return Err(Error::missing(
                    format!("binary {} of function {}", config.binary.display(), config.name),
                    "run `make build`",
                ));
            }
            named.insert(config.name.clone(), Function::new(config, handle.clone()));
        }
        let router = invoke_api::router(named.clone());
        let address = serve(handle, router, std::future::pending())?;
        Ok(Lambda { inner: Arc::new(Inner { functions: named, endpoint: format!("http://{address}") }) })
    }

    /// Base URL of the Invoke API, for `aws lambda --endpoint-url`.
    pub fn endpoint(&self) -> &str {
        &self.inner.endpoint
    }

    /// Names of the functions.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.inner.functions.keys().map(String::as_str)
    }

    /// Invokes a function and waits for its answer (`RequestResponse`).
    pub async fn invoke(&self, function: &str, payload: &Value) -> Result<Reply> {
        let function = self.function(function)?.clone();
        let completed = function.invoke(Bytes::from(payload.to_string()), true).await;
        let (status, function_error, bytes) = match completed.outcome {
            Outcome::Answer(bytes) => (200, None, bytes),
            Outcome::FunctionError(bytes) => (200, Some("Unhandled".to_owned()), bytes),
            Outcome::Throttled => (429, None, Bytes::from_static(invoke_api::THROTTLED.as_bytes())),
        };
        let payload = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes)
                .map_err(|error| Error::failed("read the function's answer as JSON", &error))?
        };
        Ok(Reply { status, function_error, payload, log_tail: completed.log_tail })
    }

    /// Hands a function an event and returns at once (`Event`); failures are retried as configured.
    pub fn invoke_event(&self, function: &str, payload: &Value) -> Result<()> {
        self.function(function)?.invoke_event(Bytes::from(payload.to_string()));
        Ok(())
    }

    /// Sends SIGKILL to every instance of a function. Returns how many there were. The invocations in flight fail as
    /// on AWS; the next one starts a new instance.
    pub fn kill(&self, function: &str) -> Result<usize> {
        Ok(self.function(function)?.kill_all())
    }

    /// Sends SIGKILL to one instance, named by its process id. Returns whether there was such an instance.
    pub fn kill_instance(&self, function: &str, pid: u32) -> Result<bool> {
        Ok(self.function(function)?.kill_one(pid))
    }

    /// Has the instance that answers next be killed just after it has: its caller is told of the exit instead.
    pub fn lose_next_answer(&self, function: &str) -> Result<()> {
        self.function(function)?.lose_next_answer();
        Ok(())
    }

    /// Process ids of a function's living instances, oldest first.
    pub fn pids(&self, function: &str) -> Result<Vec<u32>> {
        Ok(self.function(function)?.pids())
    }

    /// What a function's instances wrote to standard output and standard error, oldest first (the last 20,000 lines).
    pub fn logs(&self, function: &str) -> Result<Vec<LogLine>> {
        Ok(self.function(function)?.log_lines())
    }

    /// Changes a function's configuration. Its instances are replaced: idle ones at once, busy ones after the
    /// invocation that they are in.
    pub fn configure(&self, function: &str, change: impl FnOnce(&mut FunctionConfig)) -> Result<()> {
        self.function(function)?.configure(change);
        Ok(())
    }

    /// Ends all instances and waits for their ends (two seconds at most).
    pub(crate) fn stop(&self) {
        let functions: Vec<_> = self.inner.functions.values().cloned().collect();
        for function in &functions {
            function.kill_all();
        }
        let deadline = std::time::Instant::now() + Duration::from_secs(2);
        while std::time::Instant::now() < deadline && functions.iter().any(|f| f.processes() > 0) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn function(&self, name: &str) -> Result<&Arc<Function>> {
        self.inner.functions.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.names().collect();
            Error::failed(format!("find function {name}"), &format!("there are {}", known.join(", ")))
        })
    }
}

/// A random id in the form of AWS's request ids (UUID version 4).
fn request_id() -> String {
    let random: u128 = rand::random();
    let uuid = (random & !(0xf << 76) & !(0x3 << 62)) | (4 << 76) | (2 << 62);
    let hex = format!("{uuid:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
