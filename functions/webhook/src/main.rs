//! Receives Stripe's webhooks.

use recoup::config::Env;
use recoup::secrets::SecretsManager;
use recoup::telemetry;
use webhook::Webhook;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let setup = async || {
        let output = Box::new(std::io::stdout());
        Webhook::from_env(Env::from_process(), SecretsManager::from_lambda(), output).await
    };
    Box::pin(webhook::serve(setup)).await
}
