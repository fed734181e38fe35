//! Somebody changes something between two steps: the rotation stops before it does harm, and goes on when it is mended.

use serde_json::{Value, json};
use stack::Stack;
use stack::lambda::FunctionConfig;

use super::arena::{Guarded, act, event, login, metrics, refused, step, stepped, token};
use crate::support::{eager, failed};

/// Takes the database's address from the webhook.
fn fall_ill(stack: &Stack) {
    database_of_the_webhook(stack, stack.secrets.id("gone"));
}

fn recover(stack: &Stack) {
    database_of_the_webhook(stack, stack.secrets.id("database"));
    let denied = stack.take_denied();
    assert!(!denied.is_empty() && denied.iter().all(|denied| denied.resource.contains("gone-")));
}

fn database_of_the_webhook(stack: &Stack, id: String) {
    let change = |config: &mut FunctionConfig| {
        config.environment.insert("DATABASE_SECRET_ID".to_owned(), id);
    };
    stack.lambda.configure("webhook", change).expect("configured");
}

#[tokio::test]
async fn the_second_user_loses_its_password_or_its_role() {
    let guarded = Guarded::start(None, "superuser").await;
    let stack = guarded.stack().functions(["webhook", "rotate"]).start().await.expect("a stack");
    let token = token();
    stepped(&stack, "database", "createSecret", &token).await;
    for (change, expected, said) in [
        ("alter role shop_alternate password 'another'", "DatabaseLoginRefused", "shop_alternate"),
        ("alter role shop_alternate reset role", "DatabaseUserHasOtherRights", "SET ROLE = shop"),
        (
            "revoke select on recoup.webhook_events from shop; alter role shop nosuperuser",
            "DatabaseNotUsable",
            "permission",
        ),
    ] {
        stepped(&stack, "database", "setSecret", &token).await;
        guarded.run(change).await;
        let (kind, message) = refused(&stack, "database", "testSecret", &token).await;
        assert_eq!(kind, expected, "{message}");
        assert!(message.contains(said), "{message}");
    }
    guarded.run("grant select on recoup.webhook_events to shop").await;
    stepped(&stack, "database", "testSecret", &token).await;
}

#[tokio::test]
async fn what_uses_the_new_password_is_looked_at_last() {
    let guarded = Guarded::start(None, "superuser").await;
    let stack = guarded.stack().functions(["webhook", "rotate"]).start().await.expect("a stack");
    let token = token();
    for name in ["createSecret", "setSecret", "testSecret"] {
        stepped(&stack, "database", name, &token).await;
    }
    fall_ill(&stack);
    let reply = step(&stack, "database", "finishSecret", &token).await;
    assert_eq!(failed(&reply), "WebhookUnhealthy", "{}", reply.payload);
    assert_eq!((metrics(&stack, "Rotations"), metrics(&stack, "RotationsFailed")), (0, 1));
    recover(&stack);
    assert_eq!(stepped(&stack, "database", "finishSecret", &token).await, "already_done");
    assert_eq!(
        (metrics(&stack, "Rotations"), login(&stack, "database").await.0.as_str()),
        (1, "shop_alternate")
    );
}

#[tokio::test]
async fn two_that_set_the_password_at_once_both_succeed() {
    let guarded = Guarded::start(None, "superuser").await;
    let stack = guarded.stack().functions(["webhook", "rotate"]).start().await.expect("a stack");
    // The first makes the user, the second changes it.
    for _ in 0..2 {
        let token = token();
        stepped(&stack, "database", "createSecret", &token).await;
        for _ in 0..3 {
            let payload = event(&stack, "database", "setSecret", &token);
            let one = || stack.lambda.invoke("rotate", &payload);
            let (a, b, c, d) = tokio::join!(one(), one(), one(), one());
            for reply in [a, b, c, d] {
                let reply = reply.expect("invoked");
                assert!(reply.function_error.is_none(), "{}", reply.payload);
            }
        }
        for name in ["testSecret", "finishSecret"] {
            stepped(&stack, "database", name, &token).await;
        }
    }
}

#[tokio::test]
async fn the_endpoint_or_the_webhook_changes() {
    let stack = eager().functions(["webhook", "rotate"]).start().await.expect("a stack");
    let token = token();
    for name in ["createSecret", "setSecret"] {
        stepped(&stack, "stripe-webhook", name, &token).await;
    }
    let secret = stack.secrets.get("stripe-webhook").await.expect("a value");
    let old = secret["endpoints"]["platform"]["endpoint_id"].as_str().expect("an id").to_owned();
    let mut endpoint = stack.stripe.object(&old).expect("an endpoint");
    let (before, elsewhere) = (endpoint.clone(), json!("https://shop.example/elsewhere"));
    for (field, value) in [("url", elsewhere), ("api_version", json!("2019-01-01"))] {
        endpoint[field] = value;
        stack.stripe.put(&endpoint);
        let (kind, message) = refused(&stack, "stripe-webhook", "testSecret", &token).await;
        assert_eq!(kind, "StripeEndpointDiffers", "{message}");
        assert!(message.contains(&old) && message.contains("abandon"), "{message}");
        endpoint = before.clone();
    }
    stack.stripe.put(&before);

    // It starts, proves signatures, and has no database.
    let (database, nowhere) = (
        stack.secrets.get("database").await.expect("a value"),
        json!({"url": "postgres://nobody@127.0.0.1:1/nowhere"}),
    );
    stack.secrets.put("database", &nowhere).await.expect("put");
    stack.lambda.kill("webhook").expect("killed");
    let (kind, message) = refused(&stack, "stripe-webhook", "testSecret", &token).await;
    assert_eq!(kind, "WebhookUnhealthy", "{message}");
    stack.secrets.put("database", &database).await.expect("put");
    stack.lambda.kill("webhook").expect("killed");
    stepped(&stack, "stripe-webhook", "testSecret", &token).await;
}

#[tokio::test]
async fn an_identity_is_lost_or_backups_go_to_strangers() {
    let stack = eager().functions(["webhook", "rotate"]).start().await.expect("a stack");
    let stranger = age::x25519::Identity::generate();
    let alone = json!({"identities": [age::secrecy::ExposeSecret::expose_secret(&stranger.to_string())]});
    let token = token();
    stack.secrets.put_pending("backup-key", &token, &alone).await.expect("put");
    let (kind, message) = refused(&stack, "backup-key", "testSecret", &token).await;
    assert_eq!(kind, "SecretInvalid", "{message}");
    assert!(message.contains("opens older backups") && message.contains("abandon"), "{message}");

    act(&stack, json!({"action": "abandon", "secret": "backup_key"})).await;
    let foreign = json!({"recipients": [stranger.to_public().to_string()], "retired": []});
    stack.secrets.put("backup-recipients", &foreign).await.expect("put");
    // As Secrets Manager tries a rotation: with a copy of what is current.
    let (copy, current) = (super::arena::token(), stack.secrets.get("backup-key").await.expect("a value"));
    stack.secrets.put_pending("backup-key", &copy, &current).await.expect("put");
    let (kind, message) = refused(&stack, "backup-key", "testSecret", &copy).await;
    assert_eq!(kind, "BackupKeyUnproven", "{message}");
    assert!(message.contains("rotate the backup key again"), "{message}");
    act(&stack, json!({"action": "abandon", "secret": "backup_key"})).await;
    let mended = act(&stack, json!({"action": "rotate", "secret": "backup_key"})).await;
    assert!(mended["warnings"][0].as_str().expect("a warning").contains("outside AWS"), "{mended}");
}

#[tokio::test]
async fn the_current_stripe_key_is_dead() {
    let stack = eager().functions(["webhook", "rotate"]).start().await.expect("a stack");
    let current: Value = stack.secrets.get("stripe-api").await.expect("a value");
    let copy = token();
    stack.secrets.put_pending("stripe-api", &copy, &current).await.expect("put");
    stepped(&stack, "stripe-api", "testSecret", &copy).await;
    stack.stripe.revoke_api_key(&stack.stripe.api_key());
    let (kind, message) = refused(&stack, "stripe-api", "testSecret", &copy).await;
    assert_eq!(kind, "StripeKeyRefused", "{message}");
}
