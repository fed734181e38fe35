//! Compares Postgres with Stripe and mends what is missing.

use reconcile::Reconcile;
use recoup::{invocation, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    invocation::serve(Reconcile::from_environment().await).await
}
