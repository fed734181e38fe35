//! Receives Stripe's webhooks.

use recoup::telemetry;
use webhook::Webhook;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    webhook::serve(Webhook::from_environment().await).await
}
