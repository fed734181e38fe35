//! One function: its instances, who gets which invocation, and what its callers are told.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::instance::{Ended, Instance};
use super::logs::{LogLine, Logs};
use super::{FunctionConfig, LOG_TAIL_BYTES, request_id};
use crate::s3::REGION;

/// As a process status has it that was ended by it.
const SIGKILL: i32 = 9;

/// What became of an invocation.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The function's answer.
    Answer(Bytes),
    /// The function failed: JSON with `errorType` and `errorMessage`.
    FunctionError(Bytes),
    /// All instances were busy.
    Throttled,
}

/// An invocation that has ended.
#[derive(Debug)]
pub(super) struct Completed {
    pub(super) request_id: String,
    pub(super) outcome: Outcome,
    /// Empty unless it was asked for.
    pub(super) log_tail: String,
}

#[derive(Debug)]
pub(super) struct Function {
    name: String,
    handle: Handle,
    logs: Arc<Logs>,
    instances: Mutex<Instances>,
    /// Told whenever an instance has become free or ended.
    freed: Notify,
    /// The next answer is lost, and its instance with it.
    loses_answer: AtomicBool,
}

#[derive(Debug)]
struct Instances {
    config: Arc<FunctionConfig>,
    /// Warm ones, the last used at the end.
    idle: Vec<Arc<Instance>>,
    /// All that have not been reaped, oldest first.
    all: Vec<Arc<Instance>>,
    started: u64,
}

impl Function {
    pub(super) fn new(config: FunctionConfig, handle: Handle) -> Arc<Function> {
        Arc::new(Function {
            name: config.name.clone(),
            handle,
            logs: Arc::new(Logs::new(config.evidence.clone())),
            instances: Mutex::new(Instances {
                config: Arc::new(config),
                idle: Vec::new(),
                all: Vec::new(),
                started: 0,
            }),
            freed: Notify::new(),
            loses_answer: AtomicBool::new(false),
        })
    }

    fn instances(&self) -> MutexGuard<'_, Instances> {
        let mut instances = self.instances.lock().unwrap_or_else(PoisonError::into_inner);
        instances.all.retain(|instance| instance.is_running());
        instances
    }

    /// Runs one invocation to its end, even if the caller goes away meanwhile, as Lambda does.
    pub(super) async fn invoke(self: &Arc<Self>, payload: Bytes, tail: bool) -> Completed {
        let request_id = request_id();
        let function = self.clone();
        let id = request_id.clone();
        let invocation = self.handle.spawn(async move { function.run(&id, payload, tail).await });
        match invocation.await {
            Ok((outcome, log_tail)) => Completed { request_id, outcome, log_tail },
            Err(error) => Completed {
                outcome: failure("Runtime.Unknown", &request_id, &format!("the stack ended: {error}")),
                request_id,
                log_tail: String::new(),
            },
        }
    }

    /// Queues an event. A throttled one waits for its turn; a failed one is tried again as configured.
    pub(super) fn invoke_event(self: &Arc<Self>, payload: Bytes) -> String {
        let request_id = request_id();
        let function = self.clone();
        let id = request_id.clone();
        self.handle.spawn(async move {
            let mut retries = 0;
            loop {
                match function.run(&id, payload.clone(), false).await.0 {
                    Outcome::Answer(_) => return,
                    Outcome::Throttled => {
                        let _ =
                            tokio::time::timeout(Duration::from_millis(50), function.freed.notified()).await;
                    }
                    Outcome::FunctionError(_) => {
                        let config = function.instances().config.clone();
                        if retries == config.event_retries {
                            return;
                        }
                        tokio::time::sleep(config.event_retry_delay * 2_u32.pow(retries)).await;
                        retries += 1;
                    }
                }
            }
        });
        request_id
    }

    async fn run(&self, request_id: &str, payload: Bytes, tail: bool) -> (Outcome, String) {
        let acquired = self.acquire();
        let (instance, config) = match acquired {
            Ok(Some(acquired)) => acquired,
            Ok(None) => return (Outcome::Throttled, String::new()),
            Err(error) => {
                return (failure("Runtime.InvalidEntrypoint", request_id, &error.to_string()), String::new());
            }
        };
        let log_start = self.logs.position();
        let started = Instant::now();
        let arn = format!("arn:aws:lambda:{REGION}:000000000000:function:{}", self.name);
        let mut ended = instance.work(request_id, payload, arn, config.timeout).await;
        if matches!(ended, Ended::Response(_)) && self.loses_answer.swap(false, Ordering::AcqRel) {
            ended = Ended::Exit(ExitStatus::from_raw(SIGKILL));
        }
        let took = started.elapsed();
        if tail {
            instance.flush_log().await;
        }
        let reusable = matches!(ended, Ended::Response(_) | Ended::Error(_));
        let outcome = outcome(ended, request_id, config.timeout);
        let log_tail = if tail {
            log_tail(request_id, &self.logs.since(log_start, instance.pid()), took, config.memory_mb)
        } else {
            String::new()
        };
        self.release(instance, reusable);
        (outcome, log_tail)
    }

    /// A warm instance, or a new one, or none if all that may exist are busy.
    fn acquire(&self) -> crate::Result<Option<(Arc<Instance>, Arc<FunctionConfig>)>> {
        let mut instances = self.instances();
        let config = instances.config.clone();
        while let Some(instance) = instances.idle.pop() {
            if instance.is_usable() {
                return Ok(Some((instance, config)));
            }
        }
        if instances.all.iter().filter(|instance| instance.is_usable()).count() >= config.instances_max {
            return Ok(None);
        }
        instances.started += 1;
        let today = time::OffsetDateTime::now_utc().date();
        let stream = format!(
            "{}/{:02}/{:02}/[$LATEST]{:032x}",
            today.year(),
            u8::from(today.month()),
            today.day(),
            instances.started
        );
        let instance = Instance::start(&config, &stream, self.logs.clone(), &self.handle)?;
        instances.all.push(instance.clone());
        Ok(Some((instance, config)))
    }

    fn release(&self, instance: Arc<Instance>, reusable: bool) {
        if reusable && instance.is_usable() {
            self.instances().idle.push(instance);
        } else {
            instance.kill();
        }
        self.freed.notify_one();
    }

    pub(super) fn kill_all(&self) -> usize {
        let mut instances = self.instances();
        instances.idle.clear();
        let living: Vec<_> = instances.all.iter().filter(|instance| instance.is_usable()).collect();
        living.iter().for_each(|instance| instance.kill());
        living.len()
    }

    pub(super) fn lose_next_answer(&self) {
        self.loses_answer.store(true, Ordering::Release);
    }

    pub(super) fn kill_one(&self, pid: u32) -> bool {
        let instances = self.instances();
        let found = instances.all.iter().find(|instance| instance.pid() == pid && instance.is_usable());
        found.inspect(|instance| instance.kill()).is_some()
    }

    pub(super) fn pids(&self) -> Vec<u32> {
        self.instances().all.iter().filter(|i| i.is_usable()).map(|i| i.pid()).collect()
    }

    /// Processes that have not been reaped, killed ones included.
    pub(super) fn processes(&self) -> usize {
        self.instances().all.len()
    }

    pub(super) fn log_lines(&self) -> Vec<LogLine> {
        self.logs.all()
    }

    pub(super) fn configure(&self, change: impl FnOnce(&mut FunctionConfig)) {
        let mut instances = self.instances();
        change(Arc::make_mut(&mut instances.config));
        // Busy ones end when their invocation does.
        instances.all.iter().for_each(|instance| instance.retire());
        instances.idle.drain(..).for_each(|instance| instance.kill());
    }
}

fn outcome(ended: Ended, request_id: &str, timeout: Duration) -> Outcome {
    let timed_out = |limit: Duration| {
        let seconds = limit.as_secs_f64();
        failure("Sandbox.Timedout", request_id, &format!("Task timed out after {seconds:.2} seconds"))
    };
    match ended {
        Ended::Response(bytes) => Outcome::Answer(bytes),
        Ended::Error(bytes) | Ended::InitError(bytes) => Outcome::FunctionError(bytes),
        Ended::Exit(status) => failure("Runtime.ExitError", request_id, &exit_message(status)),
        Ended::TimedOut => timed_out(timeout),
        Ended::InitTimedOut => timed_out(super::instance::INIT_TIMEOUT),
    }
}

fn failure(error_type: &str, request_id: &str, message: &str) -> Outcome {
    let error = json!({
        "errorType": error_type,
        "errorMessage": format!("RequestId: {request_id} Error: {message}"),
    });
    Outcome::FunctionError(Bytes::from(error.to_string()))
}

/// In the words of Lambda, which are those of Go.
fn exit_message(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) => "Runtime exited without providing a reason".to_owned(),
        (Some(code), _) => format!("Runtime exited with error: exit status {code}"),
        (None, Some(signal)) => {
            let name = match signal {
                6 => "aborted",
                9 => "killed",
                11 => "segmentation fault",
                15 => "terminated",
                _ => return format!("Runtime exited with error: signal: signal {signal}"),
            };
            format!("Runtime exited with error: signal: {name}")
        }
        (None, None) => "Runtime exited".to_owned(),
    }
}

fn log_tail(request_id: &str, lines: &[String], took: Duration, memory_mb: u32) -> String {
    let ms = took.as_secs_f64() * 1000.0;
    let mut log = format!("START RequestId: {request_id} Version: $LATEST\n");
    for line in lines {
        log.push_str(line);
        log.push('\n');
    }
    log.push_str(&format!("END RequestId: {request_id}\n"));
    log.push_str(&format!(
        "REPORT RequestId: {request_id}\tDuration: {ms:.2} ms\tBilled Duration: {} ms\tMemory Size: {memory_mb} MB\t\n",
        ms.ceil()
    ));
    let mut start = log.len().saturating_sub(LOG_TAIL_BYTES);
    while !log.is_char_boundary(start) {
        start += 1;
    }
    log.split_off(start)
}
