//! The operate function's wiring.

use operate::Operate;
use recoup::config::Env;
use recoup::secrets::SecretsManager;
use recoup::{invocation, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let aws = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
    invocation::serve(Operate::from_env(Env::from_process(), &aws, SecretsManager::new(&aws))).await
}
