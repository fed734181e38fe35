//! The backup function's wiring.

use backup::Backup;
use recoup::secrets::SecretsManager;
use recoup::{invocation, telemetry};

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let aws = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
    let backup = Backup::from_env(recoup::config::Env::from_process(), &aws, SecretsManager::new(&aws));
    invocation::serve(backup).await
}
