//! A scheduled backup is delivered at least once, and made once.

use http::Method;
use serde_json::{Value, json};
use stack::Stack;
use stack::lambda::FunctionConfig;
use stack::store_gate::StoreGate;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime, Time};

use crate::archive_stack::{archive_stack, fail, full_backup, id_of, succeed};

/// What a schedule sends that meant this minute of the last hour.
fn delivery(minute: i64) -> Value {
    let hour = OffsetDateTime::now_utc() - Duration::hours(1);
    let at = hour.replace_time(Time::from_hms(hour.hour(), 0, 0).unwrap()) + Duration::minutes(minute);
    json!({"backup_type": "full", "scheduled_at": at.format(&Rfc3339).unwrap()})
}

/// A gate that holds every object but the manifest's.
fn holding_gate(stack: &Stack) -> StoreGate {
    let gate = StoreGate::before(stack.s3.endpoint()).unwrap();
    let change = |config: &mut FunctionConfig| {
        config.environment.insert("AWS_ENDPOINT_URL_S3".to_owned(), gate.endpoint().to_owned());
    };
    stack.lambda.configure("backup", change).unwrap();
    gate.hold(|method, uri| method == Method::PUT && uri.path().contains("/data/"));
    gate
}

async fn list(stack: &Stack) -> (Vec<String>, usize) {
    let list = succeed(stack, "backup", json!({"action": "list"})).await;
    let backups = list["backups"].as_array().unwrap().iter().map(id_of).collect();
    (backups, list["incomplete"].as_array().unwrap().len())
}

#[tokio::test]
async fn a_second_delivery_makes_no_second_backup() {
    let stack = archive_stack().start().await.unwrap();
    let delivery_of_ten = delivery(10);
    let made = succeed(&stack, "backup", delivery_of_ten.clone()).await;
    assert_eq!((&made["status"], made.get("duplicate")), (&json!("completed"), None));

    let again = succeed(&stack, "backup", delivery_of_ten).await;

    assert_eq!((&again["status"], &again["duplicate"]), (&json!("completed"), &json!(true)));
    for field in ["backup_id", "backup_type", "record_count", "file_size_bytes"] {
        assert_eq!(again[field], made[field], "{field}");
    }
    assert_eq!(list(&stack).await, (vec![id_of(&made)], 0));
    let rows: i64 =
        sqlx::query_scalar("select count(*) from recoup.backups").fetch_one(&stack.pool).await.unwrap();
    assert_eq!(rows, 1);
    // Another time, and one by hand, are others.
    succeed(&stack, "backup", delivery(11)).await;
    full_backup(&stack).await;
    assert_eq!(list(&stack).await.0.len(), 3);
}

#[tokio::test]
async fn deliveries_truly_at_once_make_one_backup() {
    let stack = archive_stack().instances("backup", 3).start().await.unwrap();
    for minute in 0..6 {
        let payload = delivery(minute);
        let deliver = || succeed(&stack, "backup", payload.clone());
        let replies = <[Value; 3]>::from(tokio::join!(deliver(), deliver(), deliver()));
        let made = replies.iter().filter(|reply| reply.get("duplicate").is_none()).count();
        assert_eq!(made, 1, "{replies:?}");
        let (backups, incomplete) = list(&stack).await;
        assert_eq!((i64::try_from(backups.len()), incomplete), (Ok(minute + 1), 0));
    }
}

#[tokio::test]
async fn a_delivery_while_the_first_runs_says_so_and_one_after_its_death_makes_the_backup() {
    let stack = archive_stack().instances("backup", 3).start().await.unwrap();
    let gate = holding_gate(&stack);
    let payload = delivery(10);
    let second = async {
        gate.until_waiting(1).await;
        let answer = succeed(&stack, "backup", payload.clone());
        let second = tokio::time::timeout(std::time::Duration::from_secs(60), answer).await;
        let second = second.expect("it is told at once, and does not wait with the first");
        stack.lambda.kill("backup").unwrap();
        second
    };

    let (first, second) = tokio::join!(stack.invoke("backup", payload.clone()), second);

    assert_eq!((&second["status"], &second["duplicate"]), (&json!("running"), &json!(true)));
    assert!(first.unwrap().function_error.is_some());
    gate.open();
    let third = succeed(&stack, "backup", payload.clone()).await;
    assert_eq!((&third["status"], third.get("duplicate")), (&json!("completed"), None));
    assert_eq!(list(&stack).await.0, [id_of(&third)]);
    succeed(&stack, "verify", json!({"action": "full", "backup_id": id_of(&third)})).await;
    let fourth = succeed(&stack, "backup", payload.clone()).await;
    assert_eq!((&fourth["duplicate"], id_of(&fourth)), (&json!(true), id_of(&third)));
}

#[tokio::test]
async fn two_different_backups_at_once_are_both_made() {
    let stack = archive_stack().start().await.unwrap();
    let gate = holding_gate(&stack);
    let both = async {
        // Each reads on two connections.
        gate.until_waiting(4).await;
        gate.open();
    };

    let (one, other, ()) = tokio::join!(full_backup(&stack), succeed(&stack, "backup", delivery(10)), both);

    let ids = [id_of(&one), id_of(&other)];
    for id in &ids {
        succeed(&stack, "verify", json!({"action": "full", "backup_id": id})).await;
    }
    let (mut listed, incomplete) = list(&stack).await;
    listed.sort_by_key(|id| *id != ids[0]);
    assert_eq!((listed.as_slice(), incomplete), (ids.as_slice(), 0));
}

#[tokio::test]
async fn a_time_that_has_not_come_is_refused() {
    let stack = archive_stack().start().await.unwrap();
    let request = json!({"backup_type": "full", "scheduled_at": "2999-01-01T00:00:00Z"});
    let (error_type, message) = fail(&stack, "backup", request).await;
    assert_eq!(error_type, "InvalidRequest");
    assert!(message.contains("lies in the future"), "{message}");
    assert_eq!(stack.s3.list("").await.unwrap(), []);
}
