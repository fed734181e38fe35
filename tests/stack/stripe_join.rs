//! The one place where the stack and the Stripe stand-in meet.

use crate::contract::{Endpoints, SigningSecrets};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::lambda::Lambda;
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

/// Tells those functions that look at what Stripe calls, which only stands now.
pub(crate) fn name_url(lambda: &Lambda, functions: &[String], webhook_url: Option<&str>) -> Result<()> {
    for function in ["reconcile", "rotate"] {
        if functions.iter().any(|name| name == function) {
            let url = webhook_url.unwrap_or("none").to_owned();
            lambda.configure(function, |config| {
                config.environment.entry("STRIPE_WEBHOOK_URL".to_owned()).or_insert(url);
            })?;
        }
    }
    Ok(())
}
