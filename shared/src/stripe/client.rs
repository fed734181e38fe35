//! A client for Stripe's API that keeps its connections, bounds its time, spaces its requests and repeats what may be
//! repeated.
//!
//! It moves bytes: what a reply means is its callers' concern, so that one odd object never costs a page.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, StatusCode};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rand::Rng;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::api_key::ApiKey;
use super::error::{StripeError, code_of};
use super::pace::{Pace, Share};

/// Where Stripe's API is.
pub const API_BASE: &str = "https://api.stripe.com";

/// A page of a hundred large objects stays well below this.
const REPLY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A request waits no longer than this, whatever `Retry-After` says.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// How a request is asked beside its path.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked<'a> {
    /// The connected account that it is about.
    pub account: Option<&'a str>,
    /// The API version whose shapes the answer has; `None` is the account's own.
    pub version: Option<&'a str>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The body, to the byte.
    pub body: Bytes,
    /// By Stripe's own clock, the last second that the answer is certain to know all of. By ours where it does not say.
    pub knows_until: OffsetDateTime,
    /// By how many seconds our clock is ahead of Stripe's.
    pub ahead_seconds: i64,
}

/// A client of Stripe's API. Clones share connections and pace.
#[derive(Clone)]
pub struct Client {
    http: hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    key: ApiKey,
    /// What an error calls the place that the key was read from.
    secret: Arc<str>,
    pace: Option<Arc<Pace>>,
    attempt_timeout: Duration,
    attempts: u32,
}

impl Client {
    /// A client that tries once and gives up after `attempt_timeout`; for work that somebody waits for.
    pub fn impatient(base: impl Into<String>, key: ApiKey, attempt_timeout: Duration) -> Self {
        Self::new(base, key, attempt_timeout, 1)
    }

    /// A client that repeats what may pass (5 attempts, 30 seconds each); for work on a schedule.
    pub fn patient(base: impl Into<String>, key: ApiKey) -> Self {
        Self::new(base, key, Duration::from_secs(30), 5)
    }

    /// A client that repeats what may pass, so many attempts of that length.
    pub fn hasty(base: impl Into<String>, key: ApiKey, attempt_timeout: Duration, attempts: u32) -> Self {
        Self::new(base, key, attempt_timeout, attempts)
    }

    fn new(base: impl Into<String>, key: ApiKey, attempt_timeout: Duration, attempts: u32) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(attempt_timeout.min(Duration::from_secs(10))));
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Self {
            http: hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector),
            base: base.into(),
            key,
            secret: "its secret".into(),
            pace: None,
            attempt_timeout,
            attempts,
        }
    }

    /// The same client with another key; they share connections.
    #[must_use]
    pub fn with_key(&self, key: ApiKey) -> Self {
        Self { key, ..self.clone() }
    }

    /// The same client, whose errors say which secret the key was read from.
    #[must_use]
    pub fn of_secret(mut self, secret_id: &str) -> Self {
        self.secret = format!("secret {secret_id}").into();
        self
    }

    /// The same client at a share of the rate that Stripe allows its key.
    #[must_use]
    pub fn at_share(mut self, share: Share) -> Self {
        self.pace = Pace::new(self.is_live(), share).map(Arc::new);
        self
    }

    /// Whether its key moves real money.
    pub fn is_live(&self) -> bool {
        self.key.livemode() == Some(true)
    }

    /// Gets `path_and_query` (it begins with `/v1/`), in a connected account where one is named.
    ///
    /// # Errors
    /// Why Stripe did not answer, after the attempts that the client makes.
    pub async fn get(&self, path_and_query: &str, account: Option<&str>) -> Result<Bytes, StripeError> {
        self.read(path_and_query, Asked { account, version: None }).await.map(|answer| answer.body)
    }

    /// Gets `path_and_query`, with what is known of the answer besides.
    ///
    /// # Errors
    /// Why Stripe did not answer, after the attempts that the client makes.
    pub async fn read(&self, path_and_query: &str, asked: Asked<'_>) -> Result<Answer, StripeError> {
        self.send(Method::GET, path_and_query, None, asked, None).await
    }

    /// Posts a form. All attempts carry one idempotency key, so that Stripe does it once, whichever of them arrives
    /// (Stripe documentation, "Idempotent requests").
    ///
    /// # Errors
    /// Why Stripe did not answer, after the attempts that the client makes.
    pub async fn post(&self, path: &str, form: &str, asked: Asked<'_>) -> Result<Answer, StripeError> {
        let key = format!("recoup-{:032x}", rand::rng().random::<u128>());
        self.post_once(path, form, asked, &key).await
    }

    /// Posts a form under an idempotency key of the caller's: whoever posts it again under this key, in a day or so, gets
    /// the first answer, and nothing is done twice.
    ///
    /// # Errors
    /// Why Stripe did not answer, after the attempts that the client makes.
    pub async fn post_once(
        &self,
        path: &str,
        form: &str,
        asked: Asked<'_>,
        idempotency_key: &str,
    ) -> Result<Answer, StripeError> {
        self.send(Method::POST, path, Some(form), asked, Some(idempotency_key)).await
    }

    /// Deletes what is at `path`.
    ///
    /// # Errors
    /// Why Stripe did not answer, after the attempts that the client makes.
    pub async fn delete(&self, path: &str, asked: Asked<'_>) -> Result<Answer, StripeError> {
        self.send(Method::DELETE, path, None, asked, None).await
    }

    async fn send(
        &self,
        method: Method,
        path_and_query: &str,
        form: Option<&str>,
        asked: Asked<'_>,
        idempotency_key: Option<&str>,
    ) -> Result<Answer, StripeError> {
        let path = path_and_query.split('?').next().unwrap_or_default();
        let mut attempt = 1;
        loop {
            if let Some(pace) = &self.pace {
                pace.turn(method.as_str(), path).await;
            }
            let request = self.request(&method, path_and_query, form, asked, idempotency_key)?;
            let (error, wait) = match self.send_once(request, path, asked).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            if attempt == self.attempts || !error.may_pass() {
                return Err(error);
            }
            let backoff = Duration::from_millis(250 << attempt).mul_f64(rand::rng().random_range(0.5..1.0));
            let wait = wait.unwrap_or(backoff).min(WAIT_MAX);
            if let (StripeError::RateLimited, Some(pace)) = (&error, &self.pace) {
                pace.hold(wait);
            }
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    fn request(
        &self,
        method: &Method,
        path_and_query: &str,
        form: Option<&str>,
        asked: Asked<'_>,
        idempotency_key: Option<&str>,
    ) -> Result<Request<Full<Bytes>>, StripeError> {
        let mut bearer = HeaderValue::try_from(self.key.bearer()).map_err(|_| {
            self.key_refused(StatusCode::UNAUTHORIZED, "not a key".to_owned(), path_and_query)
        })?;
        bearer.set_sensitive(true);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path_and_query}", self.base))
            .header(AUTHORIZATION, bearer);
        let others = [
            ("Stripe-Account", asked.account),
            ("Stripe-Version", asked.version),
            ("Idempotency-Key", idempotency_key),
            (CONTENT_TYPE.as_str(), form.map(|_| "application/x-www-form-urlencoded")),
        ];
        for (name, value) in others {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let body = Full::new(Bytes::from(form.unwrap_or_default().to_owned()));
        request.body(body).map_err(|error| StripeError::Unreachable(error.into()))
    }

    async fn send_once(
        &self,
        request: Request<Full<Bytes>>,
        path: &str,
        asked: Asked<'_>,
    ) -> Result<Answer, (StripeError, Option<Duration>)> {
        let began = std::time::Instant::now();
        let exchange = async {
            let response =
                self.http.request(request).await.map_err(|error| StripeError::Unreachable(error.into()))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, REPLY_BYTES_MAX)
                .collect()
                .await
                .map_err(StripeError::Unreachable)?
                .to_bytes();
            Ok((head, body))
        };
        let (head, body) = match tokio::time::timeout(self.attempt_timeout, exchange).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err((error, None)),
            Err(_) => return Err((StripeError::TimedOut(self.attempt_timeout), None)),
        };
        let error = match (head.status, asked.account) {
            (status, _) if status.is_success() => return Ok(answer(body, &head.headers, began.elapsed())),
            (status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN), account) => {
                match (code_of(&body), account) {
                    (code, Some(account)) if code == "account_invalid" => {
                        StripeError::AccountRefused { account: account.to_owned() }
                    }
                    (code, _) => self.key_refused(status, code, path),
                }
            }
            (StatusCode::TOO_MANY_REQUESTS, _) => StripeError::RateLimited,
            (status, _) if status.is_server_error() || status == StatusCode::CONFLICT => {
                StripeError::Failed(status)
            }
            (status, _) => StripeError::Refused { status, code: code_of(&body), path: path.to_owned() },
        };
        let wait = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        Err((error, wait.map(Duration::from_secs)))
    }

    fn key_refused(&self, status: StatusCode, code: String, path_and_query: &str) -> StripeError {
        let path = path_and_query.split('?').next().unwrap_or_default().to_owned();
        StripeError::KeyRefused {
            status,
            code,
            key: self.key.masked(),
            path,
            secret: self.secret.to_string(),
        }
    }
}

/// Stripe's answer was made at some instant within `took` of its arrival. What happened in the second of that instant
/// it may know in part; what happened before, all.
fn answer(body: Bytes, headers: &HeaderMap, took: Duration) -> Answer {
    let ours = OffsetDateTime::from(SystemTime::now());
    let stripes =
        headers.get(DATE).and_then(|date| OffsetDateTime::parse(date.to_str().ok()?, &Rfc2822).ok());
    let earliest = stripes.unwrap_or(ours) - took;
    let knows_until = OffsetDateTime::from_unix_timestamp(earliest.unix_timestamp() - 1).unwrap_or(earliest);
    let ahead_seconds = stripes.map_or(0, |stripes| (ours - stripes).whole_seconds());
    Answer { body, knows_until, ahead_seconds }
}
