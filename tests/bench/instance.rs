//! One instance of a function: the real binary, over the Lambda Runtime API, fed with prepared invocations.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};

use crate::Result;
use crate::load::Client;
use crate::wire::{Connection, response};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// An invocation, as the Runtime API answers `next` with it.
pub fn invocation(payload: &[u8]) -> Bytes {
    let headers = "content-type: application/json\r\n\
        lambda-runtime-aws-request-id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n\
        lambda-runtime-deadline-ms: 4102444800000\r\n\
        lambda-runtime-invoked-function-arn: arn:aws:lambda:eu-central-1:000000000000:function:webhook\r\n\
        lambda-runtime-trace-id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0\r\n";
    Bytes::from(response("200 OK", headers, payload))
}

/// A running instance. It ends when this is dropped.
pub struct Instance {
    /// Its process id.
    pub pid: u32,
    /// From exec to the first `next`.
    pub cold_start: Duration,
    work: mpsc::Sender<Bytes>,
    answers: mpsc::Receiver<Vec<u8>>,
    _child: Child,
}

type Shared<T> = Arc<Mutex<Option<T>>>;

impl Instance {
    /// Starts the binary and waits until it asks for its first invocation.
    pub async fn start(binary: &Path, environment: &BTreeMap<String, String>) -> Result<Instance> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (work, receiver) = mpsc::channel::<Bytes>(1);
        let (sender, answers) = mpsc::channel(1);
        let (ready, first_next) = oneshot::channel();
        let mut command = Command::new(binary);
        command
            .env_clear()
            .envs(environment)
            .env("AWS_LAMBDA_RUNTIME_API", listener.local_addr()?.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "webhook")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        tokio::spawn(serve(
            listener,
            Arc::new(tokio::sync::Mutex::new(receiver)),
            sender,
            Arc::new(Mutex::new(Some(ready))),
        ));
        let started = Instant::now();
        let child = command.spawn()?;
        let first = tokio::time::timeout(PATIENCE, first_next).await??;
        let pid = child.id().ok_or("the function ended at once")?;
        Ok(Instance { pid, cold_start: first.duration_since(started), work, answers, _child: child })
    }
}

impl Instance {
    /// An invocation; gives its answer.
    pub async fn ask(&mut self, invocation: Bytes, patience: Duration) -> Result<Vec<u8>> {
        self.work.send(invocation).await?;
        Ok(tokio::time::timeout(patience, self.answers.recv()).await?.ok_or("the function ended")?)
    }
}

impl Client for Instance {
    /// An invocation, whose event has to be applied.
    async fn deliver(&mut self, invocation: Bytes) -> Result<()> {
        let answer = self.ask(invocation, PATIENCE).await?;
        let word = br#"\"outcome\":\"applied\""#;
        match answer.windows(word.len()).any(|window| window == word) {
            true => Ok(()),
            false => Err(format!("not applied: {}", String::from_utf8_lossy(&answer)).into()),
        }
    }
}

/// The Runtime API. A client may hold more than one connection; each speaks for itself.
async fn serve(
    listener: TcpListener,
    work: Arc<tokio::sync::Mutex<mpsc::Receiver<Bytes>>>,
    answers: mpsc::Sender<Vec<u8>>,
    ready: Shared<oneshot::Sender<Instant>>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let Ok(connection) = Connection::new(stream) else { return };
        tokio::spawn(speak(connection, work.clone(), answers.clone(), ready.clone()));
    }
}

async fn speak(
    mut connection: Connection,
    work: Arc<tokio::sync::Mutex<mpsc::Receiver<Bytes>>>,
    answers: mpsc::Sender<Vec<u8>>,
    ready: Shared<oneshot::Sender<Instant>>,
) {
    let accepted = response("202 Accepted", "", b"");
    while let Ok(Some(request)) = connection.message().await {
        let sent = if request.head.starts_with("GET ") {
            if let Some(ready) = ready.lock().unwrap_or_else(PoisonError::into_inner).take() {
                let _ = ready.send(Instant::now());
            }
            let Some(invocation) = work.lock().await.recv().await else { return };
            connection.send(&invocation).await
        } else {
            let answered = connection.send(&accepted).await;
            if answers.send(request.body).await.is_err() {
                return;
            }
            answered
        };
        if sent.is_err() {
            return;
        }
    }
}
