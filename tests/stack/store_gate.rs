//! A gate before an S3 server: requests pass through it, and those that a test chooses wait at it.
//!
//! What waits has been sent and is not answered, as with a store that stalls; who sent it can be looked at meanwhile, or
//! killed.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::watch;

use crate::engine::{Engine, serve};
use crate::error::Result;

type Rule = Arc<dyn Fn(&Method, &Uri) -> bool + Send + Sync>;

/// A gate that runs until it is dropped.
pub struct StoreGate {
    endpoint: String,
    state: Arc<State>,
    _engine: Engine,
}

struct State {
    store: String,
    client: Client<HttpConnector, Full<bytes::Bytes>>,
    waits: Mutex<Option<Rule>>,
    opened: watch::Sender<u64>,
    waiting: watch::Sender<usize>,
}

impl StoreGate {
    /// An open gate before the S3 server at `store` (its base URL).
    pub fn before(store: &str) -> Result<StoreGate> {
        let engine = Engine::start()?;
        let state = Arc::new(State {
            store: store.to_owned(),
            client: Client::builder(TokioExecutor::new()).build_http(),
            waits: Mutex::default(),
            opened: watch::Sender::new(0),
            waiting: watch::Sender::new(0),
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

async fn pass(state: Arc<State>, request: Request) -> Response {
    let rule = state.waits.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if rule.is_some_and(|rule| rule(request.method(), request.uri())) {
        let mut opened = state.opened.subscribe();
        state.waiting.send_modify(|waiting| *waiting += 1);
        let _ = opened.changed().await;
    }
    forward(&state.client, &state.store, request).await
}

/// Sends a request on to the server at `store`, with its headers as they are: they are signed.
pub(crate) async fn forward(
    client: &Client<HttpConnector, Full<bytes::Bytes>>,
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
