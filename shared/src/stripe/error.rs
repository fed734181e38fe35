//! Why Stripe did not answer, and what to do about it.

use std::time::Duration;

use hyper::StatusCode;
use serde::Deserialize;

use crate::failure::Failure;

/// Why Stripe did not answer a request.
#[derive(Debug, thiserror::Error)]
pub enum StripeError {
    /// The key is unknown, revoked, or may not read this.
    #[error(
        "Stripe refused the API key {key} ({status}, {code}) for {path}; make a key with the rights that README names in \
         Stripe's dashboard, and put it into {secret} as {{\"api_key\":\"…\"}}; the next run uses it"
    )]
    KeyRefused {
        /// The HTTP status.
        status: StatusCode,
        /// Stripe's error code, such as `api_key_expired`.
        code: String,
        /// Which key: its kind and its last four characters.
        key: String,
        /// The path that was asked.
        path: String,
        /// Where the key was read from.
        secret: String,
    },
    /// A connected account that is not ours any more.
    #[error("Stripe has no access to account {account} for us: it left the platform, or never was connected")]
    AccountRefused {
        /// The account.
        account: String,
    },
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
    /// Whether the same request may be answered later.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::RateLimited | Self::Failed(_) | Self::TimedOut(_) | Self::Unreachable(_))
    }

    /// Whether Stripe does not know what was asked for.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::NOT_FOUND)
    }
}

impl From<StripeError> for Failure {
    fn from(error: StripeError) -> Self {
        let error_type = match &error {
            StripeError::KeyRefused { .. } => "StripeKeyRefused",
            StripeError::AccountRefused { .. } => "StripeAccountRefused",
            StripeError::RateLimited => "StripeRateLimited",
            StripeError::Refused { .. } | StripeError::Unreadable { .. } => "StripeRefused",
            StripeError::Failed(_) | StripeError::TimedOut(_) | StripeError::Unreachable(_) => {
                "StripeUnavailable"
            }
        };
        Self::new(error_type, error.to_string()).with_source(error)
    }
}

/// Stripe's error code, or else its type.
pub(super) fn code_of(body: &[u8]) -> String {
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
