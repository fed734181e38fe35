//! A client for Stripe's API that keeps its connections, bounds its time and repeats what may be repeated.
//!
//! It moves bytes: what a reply means is its callers' concern, so that one odd object never costs a page.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};
use hyper::{Request, StatusCode};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rand::Rng;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::failure::Failure;

/// Where Stripe's API is.
pub const API_BASE: &str = "https://api.stripe.com";

/// A page of a hundred large objects stays well below this.
const REPLY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A secret or restricted key.
#[derive(Clone)]
pub struct ApiKey(SecretString);

impl From<SecretString> for ApiKey {
    fn from(key: SecretString) -> Self {
        Self(key)
    }
}

/// Why Stripe did not answer a request.
#[derive(Debug, thiserror::Error)]
pub enum StripeError {
    /// The key is unknown, revoked, or may not read this.
    #[error("Stripe refused the API key ({0}); put a valid key into the secret")]
    KeyRefused(StatusCode),
    /// Too many requests, even after waiting.
    #[error("Stripe's rate limit was reached; try again later")]
    RateLimited,
    /// Stripe refused the request itself.
    #[error("Stripe answered {status} ({code}) to {path}")]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// Stripe's error code, such as `resource_missing`.
        code: String,
        /// The path that was asked.
        path: String,
    },
    /// Stripe failed, even after repeats.
    #[error("Stripe failed with {0}; try again later")]
    Failed(StatusCode),
    /// No answer within the time allowed.
    #[error("Stripe did not answer within {0:?}; try again later")]
    TimedOut(Duration),
    /// The connection failed.
    #[error("Stripe could not be reached; check the network")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The answer could not be read.
    #[error("Stripe's answer to {path} cannot be read: {reason}")]
    Unreadable {
        /// The path that was asked.
        path: String,
        /// What is wrong with the answer.
        reason: String,
    },
}

impl StripeError {
    fn may_pass(&self) -> bool {
        matches!(self, Self::RateLimited | Self::Failed(_) | Self::TimedOut(_) | Self::Unreachable(_))
    }
}

impl From<StripeError> for Failure {
    fn from(error: StripeError) -> Self {
        let error_type = match &error {
            StripeError::KeyRefused(_) => "StripeKeyRefused",
            StripeError::RateLimited => "StripeRateLimited",
            StripeError::Refused { .. } | StripeError::Unreadable { .. } => "StripeRefused",
            StripeError::Failed(_) | StripeError::TimedOut(_) | StripeError::Unreachable(_) => {
                "StripeUnavailable"
            }
        };
        Self::new(error_type, error.to_string()).with_source(error)
    }
}

/// A client of Stripe's API. Cloning shares its connections.
#[derive(Clone)]
pub struct Client {
    http: hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    base: String,
    key: ApiKey,
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

    fn new(base: impl Into<String>, key: ApiKey, attempt_timeout: Duration, attempts: u32) -> Self {
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .build();
        Self {
            http: hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector),
            base: base.into(),
            key,
            attempt_timeout,
            attempts,
        }
    }

    /// The same client with another key; they share connections.
    #[must_use]
    pub fn with_key(&self, key: ApiKey) -> Self {
        Self { key, ..self.clone() }
    }

    /// Gets `path_and_query` (it begins with `/v1/`), in a connected account where one is named.
    ///
    /// # Errors
    /// Why Stripe did not answer, after the attempts that the client makes.
    pub async fn get(&self, path_and_query: &str, account: Option<&str>) -> Result<Bytes, StripeError> {
        let mut attempt = 1;
        loop {
            let (error, wait) = match self.get_once(path_and_query, account).await {
                Ok(body) => return Ok(body),
                Err(failed) => failed,
            };
            if attempt == self.attempts || !error.may_pass() {
                return Err(error);
            }
            let backoff = Duration::from_millis(250 << attempt).mul_f64(rand::rng().random_range(0.5..1.0));
            tokio::time::sleep(wait.unwrap_or(backoff)).await;
            attempt += 1;
        }
    }

    async fn get_once(
        &self,
        path_and_query: &str,
        account: Option<&str>,
    ) -> Result<Bytes, (StripeError, Option<Duration>)> {
        let exchange = async {
            let mut request = Request::get(format!("{}{path_and_query}", self.base));
            let mut bearer = HeaderValue::try_from(format!("Bearer {}", self.key.0.expose_secret()))
                .map_err(|_| StripeError::KeyRefused(StatusCode::UNAUTHORIZED))?;
            bearer.set_sensitive(true);
            request = request.header(AUTHORIZATION, bearer);
            if let Some(account) = account {
                request = request.header("Stripe-Account", account);
            }
            let request =
                request.body(Empty::new()).map_err(|error| StripeError::Unreachable(error.into()))?;
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
        let error = match head.status {
            status if status.is_success() => return Ok(body),
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => StripeError::KeyRefused(status),
            StatusCode::TOO_MANY_REQUESTS => StripeError::RateLimited,
            status if status.is_server_error() || status == StatusCode::CONFLICT => {
                StripeError::Failed(status)
            }
            status => StripeError::Refused {
                status,
                code: error_code(&body),
                path: path_and_query.split('?').next().unwrap_or_default().to_owned(),
            },
        };
        let wait = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        Err((error, wait.map(|seconds: u64| Duration::from_secs(seconds.min(60)))))
    }
}

fn error_code(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Body {
        error: Detail,
    }
    #[derive(Deserialize)]
    struct Detail {
        code: Option<String>,
        r#type: Option<String>,
    }
    let detail = serde_json::from_slice::<Body>(body).ok().map(|body| body.error);
    detail.and_then(|detail| detail.code.or(detail.r#type)).unwrap_or_else(|| "no code".to_owned())
}
