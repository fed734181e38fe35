//! Stripe's own Python SDK as the client: the stand-in must not be only our idea of Stripe.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::api::Api;
use super::receiver::Receiver;

const SECRET: &str = "whsec_for_the_official_sdk";

/// The repository's root, where `make setup` puts `.venv`.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the repository").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_official_sdk_works_against_it() {
    let python = root().join(".venv/bin/python");
    assert!(python.exists(), "{} is missing: run make setup", python.display());
    let api = Api::start().await;
    let hook = Receiver::start().await;
    api.stripe.add_endpoint(&hook.url, SECRET, &["customer.created"]);
    api.stripe.request("POST", "/v1/customers", "name=Signed").expect("customers are made");
    api.stripe.settle(Duration::from_secs(10)).await.expect("the receiver answers 200");
    let delivery = hook.deliveries().remove(0);
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let body = scratch.path().join("body.json");
    std::fs::write(&body, &delivery.body).expect("the directory is writable");

    let output = tokio::process::Command::new(python)
        .arg(root().join("tests/e2e/official_sdk.py"))
        .env("STRIPE_API_BASE", api.stripe.api_base())
        .env("STRIPE_API_KEY", api.stripe.api_key())
        .env("STRIPE_WEBHOOK_SECRET", SECRET)
        .env("DELIVERED_BODY", &body)
        .env("DELIVERED_SIGNATURE", delivery.signature())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(60), output)
        .await
        .expect("it takes seconds")
        .expect("python starts");
    let (told, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success(),
        "official_sdk.py failed: was .venv made by make setup?\n{told}\n{complained}"
    );
    assert!(told.lines().any(|line| line == "all checks passed"), "{told}");
}
