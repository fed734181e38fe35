//! Receives Stripe's webhooks.

use recoup::config::Env;
use recoup::secrets::SecretsManager;
use recoup::telemetry;
use webhook::Webhook;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let aws = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
    let setup = async || {
        let output = Box::new(std::io::stdout());
        Webhook::from_env(Env::from_process(), SecretsManager::new(&aws), output).await
    };
    Box::pin(webhook::serve(setup)).await
}
