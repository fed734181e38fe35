//! A gate before an S3 server: requests pass through it; those that a test chooses wait at it, or come to grief there.
//!
//! What waits has been sent and is not answered, as with a store that stalls; who sent it can be looked at meanwhile, or
//! killed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Method, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::watch;

use crate::engine::{Engine, serve};
use crate::error::Result;

type Rule = Arc<dyn Fn(&Method, &Uri) -> bool + Send + Sync>;

/// What a request comes to at the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// This status and error code; the store never hears of it.
    Refused(u16, &'static str),
    /// The connection ends; the store never hears of it.
    Reset,
    /// The store does what it is asked, and the connection ends before it can say so.
    AnswerLost,
    /// Nothing ever comes back.
    Silence,
    /// The answer's head, and half of its body.
    CutShort,
    /// The answer's body comes byte by byte, twenty a second.
    Crawl,
    /// The store does what it is asked after a second.
    Late,
}

/// A fault that is still to come.
struct Planned {
    rule: Rule,
    fault: Fault,
    times: usize,
}

/// A gate that runs until it is dropped.
pub struct StoreGate {
    endpoint: String,
    state: Arc<State>,
    _engine: Engine,
}

struct State {
    store: String,
    client: Client<HttpConnector, Full<Bytes>>,
    waits: Mutex<Option<Rule>>,
    faults: Mutex<Vec<Planned>>,
    opened: watch::Sender<u64>,
    waiting: watch::Sender<usize>,
    under_way: watch::Sender<Vec<&'static str>>,
    abandoned: Mutex<Vec<&'static str>>,
}

/// A request between its coming and its answer.
struct UnderWay {
    state: Arc<State>,
    operation: &'static str,
    answered: bool,
}

impl UnderWay {
    fn begin(state: Arc<State>, operation: &'static str) -> Self {
        state.under_way.send_modify(|all| all.push(operation));
        Self { state, operation, answered: false }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.state.under_way.send_modify(|all| {
            let place = all.iter().position(|operation| *operation == self.operation);
            place.map(|place| all.swap_remove(place));
        });
        if !self.answered {
            self.state.abandoned.lock().unwrap_or_else(PoisonError::into_inner).push(self.operation);
        }
    }
}

impl StoreGate {
    /// An open gate before the S3 server at `store` (its base URL).
    pub fn before(store: &str) -> Result<StoreGate> {
        let engine = Engine::start()?;
        let state = Arc::new(State {
            store: store.to_owned(),
            client: Client::builder(TokioExecutor::new()).build_http(),
            waits: Mutex::default(),
            faults: Mutex::default(),
            opened: watch::Sender::new(0),
            waiting: watch::Sender::new(0),
            under_way: watch::Sender::default(),
            abandoned: Mutex::default(),
        });
        let shared = state.clone();
        let router = Router::new().fallback(move |request| pass(shared.clone(), request));
        let address = serve(engine.handle(), router, std::future::pending())?;
        Ok(StoreGate { endpoint: format!("http://{address}"), state, _engine: engine })
    }

    /// Base URL, for `AWS_ENDPOINT_URL_S3`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// From now on, requests of which `rule` is true wait.
    pub fn hold(&self, rule: impl Fn(&Method, &Uri) -> bool + Send + Sync + 'static) {
        *self.state.waits.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(rule));
    }

    /// The next `times` requests of which `rule` is true come to `fault`.
    pub fn fail(
        &self,
        rule: impl Fn(&Method, &Uri) -> bool + Send + Sync + 'static,
        fault: Fault,
        times: usize,
    ) {
        let planned = Planned { rule: Arc::new(rule), fault, times };
        self.state.faults.lock().unwrap_or_else(PoisonError::into_inner).push(planned);
    }

    /// Forgets what was to fail; gives how many faults had not come.
    pub fn heal(&self) -> usize {
        let left = std::mem::take(&mut *self.state.faults.lock().unwrap_or_else(PoisonError::into_inner));
        left.iter().fold(0, |times: usize, planned| times.saturating_add(planned.times))
    }

    /// Lets pass what waits and what comes.
    pub fn open(&self) {
        *self.state.waits.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.state.opened.send_modify(|times| *times += 1);
    }

    /// Returns when `count` requests wait or have waited since the gate was made.
    pub async fn until_waiting(&self, count: usize) {
        // The sender lives as long as the gate.
        let _ = self.state.waiting.subscribe().wait_for(|waiting| *waiting >= count).await;
    }
}

impl StoreGate {
    /// Returns when a request for this operation has come and is not answered.
    pub async fn until_under_way(&self, operation: &str) {
        // The sender lives as long as the gate.
        let _ = self.state.under_way.subscribe().wait_for(|all| all.contains(&operation)).await;
    }

    /// The operations of the requests whose sender went away before the answer.
    pub fn abandoned(&self) -> Vec<&'static str> {
        self.state.abandoned.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The operation that a request asks for, by its name in the Amazon S3 API Reference.
pub fn operation(method: &Method, uri: &Uri) -> &'static str {
    let fields: Vec<&str> = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .map(|field| field.split_once('=').map_or(field, |(name, _)| name))
        .collect();
    let asks = |name: &str| fields.contains(&name);
    match method.as_str() {
        "POST" if asks("uploads") => "CreateMultipartUpload",
        "POST" if asks("uploadId") => "CompleteMultipartUpload",
        "POST" if asks("delete") => "DeleteObjects",
        "PUT" if asks("uploadId") => "UploadPart",
        "PUT" => "PutObject",
        "HEAD" => "HeadObject",
        "DELETE" if asks("uploadId") => "AbortMultipartUpload",
        "DELETE" => "DeleteObject",
        "GET" if asks("list-type") => "ListObjectsV2",
        "GET" if asks("uploads") => "ListMultipartUploads",
        "GET" if asks("legal-hold") => "GetObjectLegalHold",
        "GET" if asks("retention") => "GetObjectRetention",
        "GET" => "GetObject",
        _ => "another",
    }
}

async fn pass(state: Arc<State>, request: Request) -> Response {
    let mut under_way = UnderWay::begin(Arc::clone(&state), operation(request.method(), request.uri()));
    let response = answer(state, request).await;
    under_way.answered = true;
    response
}

async fn answer(state: Arc<State>, request: Request) -> Response {
    let rule = state.waits.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if rule.is_some_and(|rule| rule(request.method(), request.uri())) {
        let mut opened = state.opened.subscribe();
        state.waiting.send_modify(|waiting| *waiting += 1);
        let _ = opened.changed().await;
    }
    let fault = fault_of(&state, &request);
    match fault {
        None => forward(&state.client, &state.store, request).await,
        Some(Fault::Refused(status, code)) => {
            // A store reads what it is sent before it refuses it.
            let _ = request.into_body().collect().await;
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, format!("<Error><Code>{code}</Code><Message>at the gate</Message></Error>"))
                .into_response()
        }
        Some(Fault::Reset) => end_connection(),
        Some(Fault::Silence) => std::future::pending().await,
        Some(Fault::Late) => {
            tokio::time::sleep(Duration::from_secs(1)).await;
            forward(&state.client, &state.store, request).await
        }
        Some(Fault::AnswerLost) => {
            forward(&state.client, &state.store, request).await;
            end_connection()
        }
        Some(fault @ (Fault::CutShort | Fault::Crawl)) => {
            let (head, body) = forward(&state.client, &state.store, request).await.into_parts();
            let Ok(body) = body.collect().await else { return StatusCode::BAD_GATEWAY.into_response() };
            let body = body.to_bytes();
            let body = if fault == Fault::CutShort { cut_short(&body) } else { crawling(body) };
            Response::from_parts(head, body)
        }
    }
}

fn fault_of(state: &State, request: &Request) -> Option<Fault> {
    let mut faults = state.faults.lock().unwrap_or_else(PoisonError::into_inner);
    let meant = |planned: &&mut Planned| planned.times > 0 && (planned.rule)(request.method(), request.uri());
    let planned = faults.iter_mut().find(meant)?;
    planned.times -= 1;
    Some(planned.fault)
}

/// Unwinds the task that serves the connection, without the words of a panic: its socket goes with it.
fn end_connection() -> ! {
    std::panic::resume_unwind(Box::new("the gate ends this connection"))
}

fn cut_short(body: &Bytes) -> Body {
    let half = Ok(body.slice(..body.len() / 2));
    let then = Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
    // The half has to be on its way before the connection ends.
    Body::from_stream(stream::iter([half, then]).then(|part| async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        part
    }))
}

fn crawling(body: Bytes) -> Body {
    Body::from_stream(stream::iter(0..body.len()).then(move |at| {
        let byte = body.slice(at..=at);
        async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok::<_, std::io::Error>(byte)
        }
    }))
}

/// Sends a request on to the server at `store`, with its headers as they are: they are signed.
pub(crate) async fn forward(
    client: &Client<HttpConnector, Full<Bytes>>,
    store: &str,
    request: Request,
) -> Response {
    let refused = |reason: String| (StatusCode::BAD_GATEWAY, reason).into_response();
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = match format!("{store}{path}").parse() {
        Ok(uri) => uri,
        Err(error) => return refused(format!("{error}")),
    };
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return refused(error.to_string()),
    };
    // The body goes in one piece.
    parts.headers.remove(header::TRANSFER_ENCODING);
    parts.headers.remove(header::EXPECT);
    match client.request(http::Request::from_parts(parts, Full::new(body))).await {
        Ok(response) => response.map(Body::new),
        Err(error) => refused(error.to_string()),
    }
}
