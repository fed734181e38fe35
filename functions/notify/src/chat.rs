//! A chat's incoming webhook: one POST of `{"text": …}`, repeated while the chat is busy or cannot be reached.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, RETRY_AFTER};
use hyper::{Request, StatusCode};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use recoup::failure::Failure;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

/// With waits of half a second, one and two in between.
const ATTEMPTS: u32 = 4;

/// How long the chat may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A wait is no longer than this, whatever `Retry-After` says: all of it has to fit into the function's minute.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// A client that keeps nothing.
pub(crate) struct Chat {
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// Why an attempt did not do.
enum Refusal {
    /// Nothing that is sent there will ever do.
    Final(StatusCode),
    /// It may do later, after this wait where the chat says so.
    Passing(String, Option<Duration>),
}

impl Chat {
    pub(crate) fn new() -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(PATIENCE));
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Self { http: Client::builder(TokioExecutor::new()).build(connector) }
    }

    /// Says `text` at `url`, which is a secret itself: whoever has it can write there. Errors call it by its secret.
    ///
    /// # Errors
    /// `ChatRefused` where the chat will not have it, `ChatUnavailable` where it did not answer well in all attempts.
    pub(crate) async fn say(&self, url: &SecretString, secret_id: &str, text: &str) -> Result<(), Failure> {
        let mut last = String::new();
        for attempt in 0..ATTEMPTS {
            match self.post(url, text).await {
                Ok(()) => return Ok(()),
                Err(Refusal::Final(status)) => {
                    let message = format!(
                        "tell the chat of secret {secret_id}: it answers {status}; make a new incoming webhook there and \
                         put its address into the secret"
                    );
                    return Err(Failure::new("ChatRefused", message));
                }
                Err(Refusal::Passing(reason, wait)) => {
                    last = reason;
                    if attempt + 1 < ATTEMPTS {
                        let usual = Duration::from_millis(500) * 2_u32.pow(attempt);
                        tokio::time::sleep(wait.unwrap_or(usual).min(WAIT_MAX)).await;
                    }
                }
            }
        }
        let message = format!(
            "tell the chat of secret {secret_id}: {ATTEMPTS} attempts failed, the last with {last}; check that it can be \
             reached from here"
        );
        Err(Failure::new("ChatUnavailable", message))
    }

    async fn post(&self, url: &SecretString, text: &str) -> Result<(), Refusal> {
        let body = Full::new(Bytes::from(json!({"text": text}).to_string()));
        let request = Request::post(url.expose_secret()).header(CONTENT_TYPE, "application/json").body(body);
        // The address was read as one.
        let request = request.map_err(|_| Refusal::Final(StatusCode::BAD_REQUEST))?;
        let answer = match tokio::time::timeout(PATIENCE, self.http.request(request)).await {
            Err(_) => return Err(Refusal::Passing("no answer in time".to_owned(), None)),
            // Its own words may have the address in them.
            Ok(Err(error)) if error.is_connect() => {
                return Err(Refusal::Passing("no connection".to_owned(), None));
            }
            Ok(Err(_)) => return Err(Refusal::Passing("a connection that ended".to_owned(), None)),
            Ok(Ok(answer)) => answer,
        };
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let passes = status.is_server_error()
            || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
        if !passes {
            return Err(Refusal::Final(status));
        }
        let wait = answer.headers().get(RETRY_AFTER).and_then(|wait| wait.to_str().ok()?.parse().ok());
        Err(Refusal::Passing(status.to_string(), wait.map(Duration::from_secs)))
    }
}
