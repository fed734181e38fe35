//! The lines of checkout sessions, fetched with a key that may be rotated while the function runs.

use std::time::{Duration, Instant};

use recoup::events::checkout_session::Line;
use recoup::events::receive::LineItems;
use recoup::failure::Failure;
use recoup::secrets::{self, Cached, SecretStore};
use recoup::stripe::{Client, StripeError};

/// One attempt at Stripe's API while Stripe's own delivery waits.
const STRIPE_TIMEOUT: Duration = Duration::from_secs(3);

/// Stripe's API with the key of a secret.
pub struct StripeApi {
    secret_id: String,
    client: Cached<Client>,
}

impl StripeApi {
    /// Reads the key from the secret.
    ///
    /// # Errors
    /// See [`secrets::stripe_api_key`].
    pub async fn read(store: &impl SecretStore, secret_id: String, base: String) -> Result<Self, Failure> {
        let key = secrets::stripe_api_key(store, &secret_id).await?;
        let client = Client::impatient(base, key.into(), STRIPE_TIMEOUT).of_secret(&secret_id);
        let client = Cached::new(client);
        Ok(Self { secret_id, client })
    }

    /// Where lines are fetched, with `store` to read the key from again.
    pub fn line_items<'s, S>(&'s self, store: &'s S) -> FromStripe<'s, S> {
        FromStripe { api: self, store }
    }
}

/// Lines from [`StripeApi`]. Where Stripe refuses the key it may have been rotated since it was read: it is read
/// again, seldom, and the lines are asked for once more.
pub struct FromStripe<'s, S> {
    api: &'s StripeApi,
    store: &'s S,
}

impl<S: SecretStore + Sync> LineItems for FromStripe<'_, S> {
    type Error = StripeError;

    async fn of_session(&self, session: &str, account: Option<&str>) -> Result<Vec<Line>, StripeError> {
        let StripeApi { secret_id, client } = self.api;
        let known = client.get();
        let refused = match known.of_session(session, account).await {
            Err(refused @ StripeError::KeyRefused { .. }) => refused,
            answered => return answered,
        };
        let read = async {
            secrets::stripe_api_key(self.store, secret_id).await.map(|key| known.with_key(key.into()))
        };
        match client.refresh(Instant::now(), read).await {
            Some(Ok(client)) => client.of_session(session, account).await,
            Some(Err(failure)) => {
                tracing::error!(error_type = failure.error_type(), error = %failure, "Stripe API key not refreshed");
                Err(refused)
            }
            None => Err(refused),
        }
    }
}
