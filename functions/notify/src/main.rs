//! Tells a chat of alarms and drills.

use notify::Notify;
use recoup::config::Env;
use recoup::secrets::SecretsManager;
use recoup::{invocation, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let notify = Notify::from_env(Env::from_process(), SecretsManager::from_lambda());
    invocation::serve(notify).await
}
