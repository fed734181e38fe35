//! The one place where the stack and the Stripe stand-in meet.

use crate::engine::Engine;
use crate::error::Result;

/// Stripe as the functions see it.
#[derive(Debug, Clone)]
pub(crate) struct StripeSide {
    /// `STRIPE_API_BASE`.
    pub(crate) api_base: String,
    /// The secret API key.
    pub(crate) api_key: String,
}

/// Starts Stripe's API.
pub(crate) async fn start(_engine: &Engine) -> Result<StripeSide> {
    // Port 9 (discard) refuses connections: nothing answers for Stripe here.
    Ok(StripeSide {
        api_base: "http://127.0.0.1:9".to_owned(),
        api_key: format!("sk_test_{:032x}", rand::random::<u128>()),
    })
}

/// Has Stripe deliver all events to `webhook_url`, signed with `webhook_secret`.
pub(crate) async fn deliver(
    _side: &StripeSide,
    _engine: &Engine,
    _webhook_url: &str,
    _webhook_secret: &str,
) -> Result<()> {
    Ok(())
}
