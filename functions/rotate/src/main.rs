//! The rotate function's wiring.

use recoup::config::Env;
use recoup::secrets::SecretsManager;
use recoup::{invocation, telemetry};
use rotate::Rotate;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let aws = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
    let output = Box::new(std::io::stdout());
    invocation::serve(Rotate::from_env(Env::from_process(), SecretsManager::new(&aws), output)).await
}
