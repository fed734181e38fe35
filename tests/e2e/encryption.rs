//! Who can open a backup, and what the others are told before they have read any of it.

use age::secrecy::ExposeSecret;
use serde_json::{Value, json};
use stack::lambda::FunctionConfig;
use stack::{Stack, place};
use tokio::process::Command;

use crate::archive_stack::{
    archive_stack, databases_like, drop_database, execute, fail, full_backup, id_of, succeed, target,
};

/// Both halves of a new key.
struct Key {
    identity: String,
    recipient: String,
}

impl Key {
    fn generate() -> Key {
        let identity = age::x25519::Identity::generate();
        let recipient = identity.to_public().to_string();
        Key { identity: identity.to_string().expose_secret().to_owned(), recipient }
    }
}

async fn give_identities(stack: &Stack, identities: &[&str]) {
    stack.secrets.put("backup-key", &json!({"identities": identities})).await.unwrap();
}

/// From now on backups are encrypted to these.
fn encrypt_to(stack: &Stack, recipients: &str) {
    let change = |config: &mut FunctionConfig| {
        config.environment.insert("BACKUP_AGE_RECIPIENTS".to_owned(), recipients.to_owned());
    };
    stack.lambda.configure("backup", change).unwrap();
}

fn verify(backup_id: &str) -> Value {
    json!({"action": "full", "backup_id": backup_id})
}

fn restore(backup_id: &str, database: &str) -> Value {
    json!({"action": "backup_restore", "backup_id": backup_id, "target_database": database})
}

/// What the real `age` makes of an object.
async fn opened_by_age(stored: &[u8], identity: &str) -> Option<Vec<u8>> {
    let directory = tempfile::tempdir().unwrap();
    let (key, object) = (directory.path().join("key.txt"), directory.path().join("object.age"));
    std::fs::write(&key, format!("{identity}\n")).unwrap();
    std::fs::write(&object, stored).unwrap();
    let mut age = Command::new(place::program("age").unwrap());
    let output = age.args(["--decrypt", "--identity"]).args([key, object]).output().await.unwrap();
    output.status.success().then_some(output.stdout)
}

#[tokio::test]
async fn each_of_several_recipients_opens_a_backup_alone() {
    let keys = [Key::generate(), Key::generate(), Key::generate()];
    let recipients = format!("{},{}", keys[0].recipient, keys[1].recipient);
    let stack = archive_stack().env("backup", "BACKUP_AGE_RECIPIENTS", &recipients).start().await.unwrap();
    execute(&stack.database_url, "CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2)").await;
    let backup_id = id_of(&full_backup(&stack).await);
    let definitions = stack.s3.read(&format!("v1/backups/{backup_id}/schema.sql.age")).await.unwrap();

    for key in &keys[..2] {
        give_identities(&stack, &[&key.identity]).await;
        succeed(&stack, "verify", verify(&backup_id)).await;
        let copy = target("recipient");
        succeed(&stack, "restore", restore(&backup_id, &copy)).await;
        drop_database(&stack, &copy).await;
        let text = opened_by_age(&definitions, &key.identity).await.expect("age opens it");
        assert!(String::from_utf8(text).unwrap().contains("CREATE TABLE public.t"));
    }
    give_identities(&stack, &[&keys[2].identity]).await;
    let (error_type, message) = fail(&stack, "verify", verify(&backup_id)).await;
    assert_eq!(error_type, "WrongKey");
    assert!(keys[..2].iter().all(|key| message.contains(&key.recipient)), "{message}");
    assert_eq!(opened_by_age(&definitions, &keys[2].identity).await, None);
}

#[tokio::test]
async fn a_wrong_or_missing_identity_is_named_before_any_data_is_read() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, "CREATE TABLE t (a int); INSERT INTO t VALUES (1)").await;
    let backup_id = id_of(&full_backup(&stack).await);
    let other = Key::generate();
    let copy = target("no_key");
    stack.s3.take_reads();

    for (identities, expected) in [
        (vec![other.identity.as_str()], "WrongKey"),
        (vec![], "SecretInvalid"),
        (vec!["AGE-SECRET-KEY-1NOT-A-KEY"], "EncryptionFailed"),
    ] {
        give_identities(&stack, &identities).await;
        for (function, payload) in [("verify", verify(&backup_id)), ("restore", restore(&backup_id, &copy))] {
            let (error_type, message) = fail(&stack, function, payload).await;
            assert_eq!(error_type, expected, "{function}: {message}");
            assert!(message.contains("identities") || message.contains("identity"), "{function}: {message}");
            assert!(!message.contains(&other.identity) && !message.contains("NOT-A-KEY"), "{message}");
            let manifest = format!("v1/backups/{backup_id}/manifest.json");
            assert_eq!(stack.s3.take_reads(), [manifest], "{function} with {expected} read");
        }
    }
    assert_eq!(databases_like(&stack, &copy).await, Vec::<String>::new());

    // The count can see what is read.
    give_identities(&stack, &[&stack.age_identity]).await;
    succeed(&stack, "verify", verify(&backup_id)).await;
    assert!(stack.s3.take_reads().len() > 4);
}

#[tokio::test]
async fn a_retired_key_that_stays_in_the_secret_opens_old_backups() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, "CREATE TABLE t (a int); INSERT INTO t VALUES (1)").await;
    let old = id_of(&full_backup(&stack).await);
    let fresh = Key::generate();
    encrypt_to(&stack, &fresh.recipient);
    let new = id_of(&full_backup(&stack).await);

    give_identities(&stack, &[&fresh.identity, &stack.age_identity]).await;
    for backup_id in [&old, &new] {
        succeed(&stack, "verify", verify(backup_id)).await;
        let copy = target("retired");
        succeed(&stack, "restore", restore(backup_id, &copy)).await;
        drop_database(&stack, &copy).await;
    }
    give_identities(&stack, &[&fresh.identity]).await;
    succeed(&stack, "verify", verify(&new)).await;
    assert_eq!(fail(&stack, "verify", verify(&old)).await.0, "WrongKey");
}
