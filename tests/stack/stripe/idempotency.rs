//! `Idempotency-Key`: a repeated request gets the stored answer (<https://docs.stripe.com/api/idempotent_requests>).

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::errors::{ApiError, Result};

const KEY_LENGTH_MAX: usize = 255;

/// An answer that is kept for repeats of its request.
#[derive(Clone)]
pub struct Kept {
    pub path: String,
    pub parameters: u64,
    pub status: u16,
    pub body: Arc<str>,
    pub request_id: Arc<str>,
}

/// A digest of a form body that does not depend on the order of its parameters.
pub fn fingerprint(body: &str) -> u64 {
    let mut pairs: Vec<&str> = body.split('&').collect();
    pairs.sort_unstable();
    let mut hasher = DefaultHasher::new();
    pairs.hash(&mut hasher);
    hasher.finish()
}

pub fn check_key(key: &str) -> Result<()> {
    if key.len() > KEY_LENGTH_MAX {
        let message = format!(
            "Idempotency keys must be at most {KEY_LENGTH_MAX} characters; this one has {}.",
            key.len()
        );
        return Err(ApiError::idempotency(message));
    }
    Ok(())
}

/// Whether a request is the one that an answer was kept for.
pub fn check_same(key: &str, kept: &Kept, path: &str, parameters: u64) -> Result<()> {
    if kept.path != path {
        return Err(ApiError::idempotency(format!(
            "Keys for idempotent requests can only be used for the same endpoint they were first used for ('{path}' vs \
             '{}'). Try using a key other than '{key}' if you meant to execute a different request.",
            kept.path
        )));
    }
    if kept.parameters != parameters {
        return Err(ApiError::idempotency(format!(
            "Keys for idempotent requests can only be used with the same parameters they were first used with. Try using \
             a key other than '{key}' if you meant to execute a different request."
        )));
    }
    Ok(())
}
