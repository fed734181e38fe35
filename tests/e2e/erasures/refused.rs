//! What is refused, damaged, or cut off in the middle.

use serde_json::json;
use stack::store_gate::Fault;

use super::{EMAIL, delete_at_stripe, erase, found, found_in_copy, records, sell_to_her};
use crate::archive_stack::{fail, full_backup, gate_before_store_of, id_of, succeed};
use crate::support::eager;

#[tokio::test]
async fn a_record_that_cannot_be_read_stops_no_restore_and_is_named() {
    let stack = eager().start().await.unwrap();
    let customer = sell_to_her(&stack).await;
    let backup = id_of(&full_backup(&stack).await);
    delete_at_stripe(&stack, &customer).await;
    succeed(&stack, "operate", erase(json!({}))).await;
    let record = records(&stack).await.remove(0);
    let stored = stack.s3.read(&record).await.unwrap();
    let text = String::from_utf8_lossy(&stored);
    assert!(record.ends_with(".age") && !text.contains(&customer), "who was erased is nobody's to read");

    stack.s3.flip_byte(&record, 300).await.unwrap();
    let (restored, left) =
        found_in_copy(&stack, json!({"action": "backup_restore", "backup_id": backup})).await;

    assert!(!left.is_empty(), "nothing says any more who she is");
    assert!(restored["erased"]["not_applied"][0].as_str().unwrap().contains(&record), "{restored}");
    assert!(restored["warnings"].to_string().contains("1 erasures could not be applied"), "{restored}");
}

#[tokio::test]
async fn who_cannot_be_erased_is_named_and_a_death_in_between_loses_nothing() {
    let stack = eager().start().await.unwrap();
    let customer = sell_to_her(&stack).await;
    let backup = id_of(&full_backup(&stack).await);
    for (payload, error_type) in [
        (erase(json!({})), "CustomerAtStripe"),
        (erase(json!({"email": "nobody@example.com"})), "CustomerNotFound"),
        (json!({"action": "erase_customer", "customer": "cus_nobody"}), "CustomerNotFound"),
        (erase(json!({"actor": " "})), "InvalidRequest"),
        (erase(json!({"customer": customer})), "InvalidRequest"),
    ] {
        let (found, message) = fail(&stack, "operate", payload).await;
        assert_eq!(found, error_type, "{message}");
        assert!(!message.contains('@'), "{message}");
    }
    let dry = succeed(&stack, "operate", json!({"action": "erase_customer", "customer": customer})).await;
    assert_eq!(dry["status"], "not possible", "{dry}");
    assert!(dry["problems"][0].as_str().unwrap().contains("delete them there first"), "{dry}");
    assert!(records(&stack).await.is_empty());
    delete_at_stripe(&stack, &customer).await;

    // It dies when the record is stored, before the database hears of it.
    let gate = gate_before_store_of(&stack, "operate");
    gate.hold(|method, uri| method == http::Method::PUT && uri.path().contains("/v1/erasures/"));
    let killing = async {
        gate.until_waiting(1).await;
        stack.lambda.kill("operate").unwrap();
    };
    let (reply, ()) = tokio::join!(stack.invoke("operate", erase(json!({}))), killing);
    assert!(reply.unwrap().function_error.is_some());
    gate.open();
    assert!(!found(&stack, &stack.database_url).await.is_empty());
    gate.fail(|method, _| method == http::Method::PUT, Fault::Refused(403, "AccessDenied"), 1);
    let (error_type, _) = fail(&stack, "operate", erase(json!({}))).await;
    assert_eq!(error_type, "StoreDenied");
    assert!(!found(&stack, &stack.database_url).await.is_empty(), "the database is not ahead of the bucket");

    // Two at once, and once more.
    let (one, other) = tokio::join!(
        stack.invoke("operate", erase(json!({}))),
        stack.invoke("operate", erase(json!({"email": EMAIL.to_uppercase()}))),
    );
    assert!([one, other].into_iter().any(|reply| reply.unwrap().function_error.is_none()));
    assert_eq!(found(&stack, &stack.database_url).await, Vec::<String>::new());
    let again = succeed(
        &stack,
        "operate",
        json!({
            "action": "erase_customer", "customer": customer, "dry_run": false, "actor": "ada", "reason": "again",
        }),
    );
    assert_eq!(again.await["status"], "erased already");
    let (_, left) = found_in_copy(&stack, json!({"action": "backup_restore", "backup_id": backup})).await;
    assert_eq!(left, Vec::<String>::new());
    let logs = stack.lambda.logs("operate").unwrap();
    assert!(!logs.is_empty(), "failures are logged");
    assert!(logs.iter().all(|line| !line.text.to_lowercase().contains("forgotten.example")), "{logs:?}");
}
