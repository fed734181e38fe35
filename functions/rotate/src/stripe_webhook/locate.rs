//! Which endpoint at Stripe an entry of the secret is about.

use recoup::failure::Failure;

use super::endpoints::Endpoint;
use super::{Entry, found};
use crate::Rotate;
use crate::steps::Turn;

impl Rotate {
    /// The endpoint that signs with the entry's current secret: by its id where the entry has it, else the only one at our
    /// URL.
    pub(super) fn locate<'e>(
        &self,
        turn: &Turn,
        entry: &Entry,
        entries: &[Entry],
        all: &'e [Endpoint],
    ) -> Result<&'e Endpoint, Failure> {
        if entry.endpoint_id().is_some() {
            return found(all, entry.endpoint_id()).ok_or_else(|| {
                failure(
                    "StripeEndpointMissing",
                    turn,
                    entry,
                    &format!(
                        "endpoint {} is not at Stripe; correct endpoint_id in the secret, or make the endpoint as README says",
                        entry.endpoint_id().unwrap_or_default()
                    ),
                )
            });
        }
        let Some(url) = &self.webhook_url else {
            let reason =
                "STRIPE_WEBHOOK_URL is none: Stripe has no endpoint here whose secret could be rotated";
            return Err(failure("StripeEndpointMissing", turn, entry, reason));
        };
        let ours: Vec<&Endpoint> =
            all.iter().filter(|endpoint| endpoint.url == *url && endpoint.made_for().is_none()).collect();
        match ours[..] {
            [] => {
                let reason = format!("Stripe has no endpoint for {url}; make it as README says");
                Err(failure("StripeEndpointMissing", turn, entry, &reason))
            }
            [endpoint] if entries.len() == 1 => Ok(endpoint),
            _ => {
                let ids: Vec<&str> = ours.iter().map(|endpoint| endpoint.id.as_str()).collect();
                let reason = format!(
                    "Stripe has {} for our URL, and does not say which of them hears of connected accounts; put the right \
                     one as \"endpoint_id\" beside \"current\" in each entry of the secret",
                    ids.join(", ")
                );
                Err(failure("StripeEndpointAmbiguous", turn, entry, &reason))
            }
        }
    }
}

fn failure(error_type: &'static str, turn: &Turn, entry: &Entry, reason: &str) -> Failure {
    Failure::new(error_type, format!("{}, entry {}: {reason}. Nothing was changed", turn.what(), entry.name))
}
