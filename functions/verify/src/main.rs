//! The verify function's wiring.

use recoup::secrets::SecretsManager;
use recoup::{invocation, telemetry};
use verify::Verify;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let aws = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
    let secrets = SecretsManager::new(&aws);
    let output = Box::new(std::io::stdout());
    let verify = Verify::from_env(recoup::config::Env::from_process(), &aws, secrets, output);
    invocation::serve(verify).await
}
