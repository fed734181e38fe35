//! The restore function's wiring.

use recoup::secrets::SecretsManager;
use recoup::{invocation, telemetry};
use restore::Restore;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let aws = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
    let restore = Restore::from_env(recoup::config::Env::from_process(), &aws, SecretsManager::new(&aws));
    invocation::serve(restore).await
}
