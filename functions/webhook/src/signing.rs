//! Whose signature a request bears.

use std::time::SystemTime;

use recoup::secrets::{EndpointSecrets, SigningSecrets};
use recoup::stripe::signature::{self, SignatureError};
use secrecy::ExposeSecret;

/// The signing secrets of every endpoint that Stripe calls.
pub struct Signing {
    endpoints: SigningSecrets,
}

impl Signing {
    /// With at least one endpoint.
    pub fn new(endpoints: SigningSecrets) -> Self {
        Self { endpoints }
    }

    /// The name of the endpoint whose current or previous secret signed the body.
    ///
    /// # Errors
    /// Why it is not accepted. A signature that fits one endpoint but is stale is called stale.
    pub fn endpoint_of(
        &self,
        header: Option<&str>,
        body: &[u8],
        now: SystemTime,
    ) -> Result<&str, SignatureError> {
        let mut refused = SignatureError::NoMatch;
        for (name, secrets) in &self.endpoints {
            match signature::verify(header, body, secrets.accepted().map(ExposeSecret::expose_secret), now) {
                Ok(()) => return Ok(name),
                Err(SignatureError::NoMatch) => {}
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// How many secrets are accepted, for `/health`.
    pub fn accepted(&self) -> usize {
        self.endpoints.values().flat_map(EndpointSecrets::accepted).count()
    }
}
