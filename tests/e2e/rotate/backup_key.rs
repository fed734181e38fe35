//! The backup key.

use age::x25519::Identity;
use serde_json::{Value, json};
use stack::Stack;
use stack::shop::Shop;

use super::arena::{act, assert_unlogged, rotate_twice_each, stepped, token};
use crate::support::{eager, sell, succeeded};

async fn back_up(stack: &Stack) -> (String, Vec<String>) {
    let made = succeeded(stack.invoke("backup", json!({"backup_type": "full"})).await.expect("invoked"));
    let id = made["backup_id"].as_str().expect("an id").to_owned();
    let manifest = stack.s3.read(&format!("v1/backups/{id}/manifest.json")).await.expect("a manifest");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    let recipients = manifest["encryption"]["recipients"].as_array().expect("recipients");
    let recipients = recipients.iter().map(|key| key.as_str().expect("a key").to_owned()).collect();
    (id, recipients)
}

async fn verify(stack: &Stack, backup_id: &str) {
    succeeded(
        stack.invoke("verify", json!({"action": "full", "backup_id": backup_id})).await.expect("invoked"),
    );
}

async fn identities(stack: &Stack) -> Vec<String> {
    let secret = stack.secrets.get("backup-key").await.expect("a value");
    let list = secret["identities"].as_array().expect("identities");
    list.iter().map(|text| text.as_str().expect("a text").to_owned()).collect()
}

fn public(identity: &str) -> String {
    identity.parse::<Identity>().expect("an identity").to_public().to_string()
}

#[tokio::test]
async fn new_backups_are_for_the_new_identity_and_old_ones_still_open() {
    let safe = Identity::generate().to_public().to_string();
    let stack = eager().start().await.expect("a stack");
    let both = format!("{},{safe}", stack.age_recipient);
    let named = |config: &mut stack::lambda::FunctionConfig| {
        config.environment.insert("BACKUP_AGE_RECIPIENTS".to_owned(), both.clone());
    };
    stack.lambda.configure("backup", named).expect("configured");
    let mut shop = Shop::open(&stack.stripe, 1).expect("a shop");
    sell(&stack, &mut shop, 5).await;
    let (first, recipients) = back_up(&stack).await;
    assert_eq!(recipients, [stack.age_recipient.clone(), safe.clone()]);
    succeeded(stack.invoke("backup", json!({"backup_type": "changes"})).await.expect("invoked"));

    rotate_twice_each(&stack, "backup-key").await;
    let known = identities(&stack).await;
    assert_eq!((known.len(), &known[1]), (2, &stack.age_identity));
    let (second, recipients) = back_up(&stack).await;
    assert_eq!(
        recipients,
        [public(&known[0]), safe.clone()],
        "the old one is retired, whatever the stack still names"
    );
    sell(&stack, &mut shop, 2).await;
    succeeded(stack.invoke("backup", json!({"backup_type": "changes"})).await.expect("invoked"));

    rotate_twice_each(&stack, "backup-key").await;
    let known = identities(&stack).await;
    assert_eq!(known.len(), 3);
    let (third, recipients) = back_up(&stack).await;
    assert_eq!(recipients, [public(&known[0]), safe]);
    for id in [first, second, third] {
        verify(&stack, &id).await;
    }
    for payload in [json!({"action": "changes"}), json!({"action": "drill"})] {
        succeeded(stack.invoke("verify", payload).await.expect("invoked"));
    }
    assert_unlogged(&stack, &known.iter().map(String::as_str).collect::<Vec<_>>());
}

#[tokio::test]
async fn backups_never_run_ahead_of_the_identities() {
    let stack = eager().functions(["backup", "verify", "rotate"]).start().await.expect("a stack");
    let token = token();
    for step in ["createSecret", "setSecret", "testSecret"] {
        stepped(&stack, "backup-key", step, &token).await;
        let (id, recipients) = back_up(&stack).await;
        assert_eq!(recipients, std::slice::from_ref(&stack.age_recipient), "{step}");
        verify(&stack, &id).await;
    }
    // The function died after the identities became current, and before backup was told.
    stack
        .secrets
        .client()
        .update_secret_version_stage()
        .secret_id(stack.secrets.id("backup-key"))
        .version_stage("AWSCURRENT")
        .move_to_version_id(&token)
        .remove_from_version_id(
            stack.secrets.version_at("backup-key", "AWSCURRENT").await.expect("versions").expect("one"),
        )
        .send()
        .await
        .expect("moved");
    let (id, recipients) = back_up(&stack).await;
    assert_eq!(recipients, std::slice::from_ref(&stack.age_recipient));
    verify(&stack, &id).await;
    assert_eq!(stepped(&stack, "backup-key", "finishSecret", &token).await, "already_done");
    let (id, recipients) = back_up(&stack).await;
    assert_eq!(recipients, [public(&identities(&stack).await[0])]);
    verify(&stack, &id).await;
    let status = act(&stack, json!({"action": "status"})).await;
    assert!(status["secrets"][2]["pending_version"].is_null(), "{status}");
}
