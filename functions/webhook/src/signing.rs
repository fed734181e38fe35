//! Whose signature a request bears.

use std::time::{Instant, SystemTime};

use recoup::failure::Failure;
use recoup::secrets::{Cached, EndpointSecrets, SecretStore, SigningSecrets, signing_secrets};
use recoup::stripe::signature::{self, SignatureError};
use secrecy::ExposeSecret;

/// The signing secrets of every endpoint that Stripe calls, current and previous.
pub struct Signing {
    secret_id: String,
    endpoints: Cached<SigningSecrets>,
}

impl Signing {
    /// Reads them from the secret.
    ///
    /// # Errors
    /// See [`signing_secrets`].
    pub async fn read(store: &impl SecretStore, secret_id: String) -> Result<Self, Failure> {
        let endpoints = Cached::new(signing_secrets(store, &secret_id).await?);
        Ok(Self { secret_id, endpoints })
    }

    /// The name of the endpoint whose current or previous secret signed the body. Where none did, the secret may
    /// have been rolled since it was read: it is read again, so seldom that forgeries cost nothing.
    ///
    /// # Errors
    /// Why it is not accepted. A signature that fits one endpoint but is stale is called stale.
    pub async fn endpoint_of(
        &self,
        store: &impl SecretStore,
        header: Option<&str>,
        body: &[u8],
    ) -> Result<String, SignatureError> {
        let refused = match endpoint_of(&self.endpoints.get(), header, body, SystemTime::now()) {
            Err(SignatureError::NoMatch) => SignatureError::NoMatch,
            decided => return decided,
        };
        match self.endpoints.refresh(Instant::now(), signing_secrets(store, &self.secret_id)).await {
            Some(Ok(endpoints)) => endpoint_of(&endpoints, header, body, SystemTime::now()),
            Some(Err(failure)) => {
                tracing::error!(error_type = failure.error_type(), error = %failure, "signing secrets not refreshed");
                Err(refused)
            }
            None => Err(refused),
        }
    }

    /// How many secrets are accepted, for `/health`.
    pub fn accepted(&self) -> usize {
        self.endpoints.get().values().flat_map(EndpointSecrets::accepted).count()
    }
}

fn endpoint_of(
    endpoints: &SigningSecrets,
    header: Option<&str>,
    body: &[u8],
    now: SystemTime,
) -> Result<String, SignatureError> {
    let mut refused = SignatureError::NoMatch;
    for (name, secrets) in endpoints {
        match signature::verify(header, body, secrets.accepted().map(ExposeSecret::expose_secret), now) {
            Ok(()) => return Ok(name.clone()),
            Err(SignatureError::NoMatch) => {}
            Err(error) => refused = error,
        }
    }
    Err(refused)
}
