//! Compares Postgres with Stripe and mends what is missing.

use reconcile::Reconcile;
use recoup::config::Env;
use recoup::secrets::SecretsManager;
use recoup::{invocation, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let aws = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
    let reconcile = Reconcile::from_env(Env::from_process(), &aws, SecretsManager::new(&aws));
    invocation::serve(reconcile).await
}
