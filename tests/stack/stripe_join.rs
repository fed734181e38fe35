//! The one place where the stack and the Stripe stand-in meet.

use crate::contract::{Endpoints, SigningSecrets};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::stripe::{Stripe, StripeOptions};

/// Starts Stripe on the stack's threads, so that a test that blocks its own does not stop deliveries.
pub(crate) async fn start(engine: &Engine, options: StripeOptions) -> Result<Stripe> {
    engine.run(Stripe::start(options)).await?.map_err(Error::io("start the Stripe stand-in"))
}

/// Has Stripe deliver all events to `webhook_url`: those of the platform's account by one endpoint, those of connected
/// accounts by another.
pub(crate) fn deliver(stripe: &Stripe, webhook_url: &str, signing: &SigningSecrets) -> Endpoints {
    Endpoints {
        connect: stripe.add_connect_endpoint(webhook_url, &signing.connect, &["*"]),
        platform: stripe.add_endpoint(webhook_url, &signing.platform, &["*"]),
    }
}
