//! From Lambda's Runtime API to the receiver.

use std::time::{Duration, Instant};

use lambda_runtime::{LambdaEvent, Runtime, service_fn};
use recoup::failure::Failure;
use recoup::secrets::SecretStore;
use serde_json::value::RawValue;
use tokio::sync::Mutex;

use crate::invocation::Invocation;
use crate::{Reply, Webhook};

/// Between two attempts to set the function up.
const SETUP_INTERVAL: Duration = Duration::from_secs(5);

/// Serves until Lambda ends the process. A function that could not be set up answers every request with 503 and
/// the reason's type, and tries again now and then: an empty secret may have been filled meanwhile. The reason
/// itself, which may name secrets and hosts, is in its log.
///
/// # Errors
/// What the Lambda runtime itself could not do.
pub async fn serve<S: SecretStore + Sync>(
    setup: impl AsyncFn() -> Result<Webhook<S>, Failure>,
) -> Result<(), lambda_runtime::Error> {
    let door = &Door { webhook: Mutex::new(attempt(&setup).await), setup: &setup };
    // Without the runtime's tracing layer: its spans are not in our log, and cost as much as the signature.
    Runtime::new(service_fn(async move |event: LambdaEvent<Box<RawValue>>| door.answer(&event.payload).await))
        .run()
        .await
}

/// The receiver once it is there. An instance has one invocation at a time, so nobody waits for the lock.
struct Door<'d, S, F> {
    webhook: Mutex<Result<Webhook<S>, Unready>>,
    setup: &'d F,
}

/// Why there is no receiver yet.
struct Unready {
    failure: Failure,
    since: Instant,
}

impl<S: SecretStore + Sync, F: AsyncFn() -> Result<Webhook<S>, Failure>> Door<'_, S, F> {
    async fn answer(&self, payload: &RawValue) -> Result<Reply, Failure> {
        let mut webhook = self.webhook.lock().await;
        if webhook.as_ref().is_err_and(|unready| unready.since.elapsed() >= SETUP_INTERVAL) {
            *webhook = attempt(self.setup).await;
        }
        match &*webhook {
            Ok(webhook) => webhook.invoke(payload).await,
            Err(Unready { failure, .. }) => match Invocation::read(payload)? {
                Invocation::Http(_) => Ok(Reply::error(
                    503,
                    failure.error_type(),
                    "the function is not set up; its log says what is missing",
                )),
                Invocation::Partner(_) => Err(Failure::new(failure.error_type(), failure.to_string())),
            },
        }
    }
}

async fn attempt<S>(setup: &impl AsyncFn() -> Result<Webhook<S>, Failure>) -> Result<Webhook<S>, Unready> {
    setup().await.map_err(|failure| {
        tracing::error!(error_type = failure.error_type(), error = %failure, "function not set up");
        Unready { failure, since: Instant::now() }
    })
}
