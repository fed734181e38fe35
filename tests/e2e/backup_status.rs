//! What is to be seen of a backup while it runs, when it died, and when its time was up.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use stack::Stack;
use stack::lambda::FunctionConfig;
use stack::store_gate::StoreGate;

use crate::archive_stack::{archive_stack, execute, fail, full_backup, id_of, succeed};

/// Two tables of the same size; backups read them in the order of their names.
const TABLES: &str = "
    CREATE TABLE a_first AS
        SELECT i, decode(repeat(md5(i::text) || md5((i * 7)::text), 8), 'hex') AS b FROM generate_series(1, 20000) AS i;
    CREATE TABLE z_last AS TABLE a_first;
";

/// A stack whose store takes nothing of the second table.
async fn stuck(stack: &Stack) -> StoreGate {
    execute(&stack.database_url, TABLES).await;
    let gate = StoreGate::before(stack.s3.endpoint()).unwrap();
    let change = |config: &mut FunctionConfig| {
        config.environment.insert("AWS_ENDPOINT_URL_S3".to_owned(), gate.endpoint().to_owned());
    };
    stack.lambda.configure("backup", change).unwrap();
    // Giving an upload up is let through.
    gate.hold(|method, uri| method != Method::DELETE && uri.path().contains("public.z_last"));
    gate
}

async fn status(stack: &Stack, backup_id: &str) -> Value {
    succeed(stack, "backup", json!({"action": "status", "backup_id": backup_id})).await
}

/// Asks until the answer is as wanted.
async fn status_until(stack: &Stack, wanted: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..200 {
        if let Ok(reply) = stack.invoke("backup", json!({"action": "status", "backup_id": "latest"})).await
            && reply.function_error.is_none()
            && wanted(&reply.payload)
        {
            return reply.payload;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not within ten seconds: {}", status(stack, "latest").await);
}

#[tokio::test]
async fn a_run_tells_how_far_it_is_and_one_that_died_does_not_look_alive() {
    let stack = archive_stack().instances("backup", 3).start().await.unwrap();
    let gate = stuck(&stack).await;
    let looked = async {
        gate.until_waiting(1).await;
        let seen = status_until(&stack, |reply| reply["progress"]["percent"].as_f64() > Some(0.0)).await;
        stack.lambda.kill("backup").unwrap();
        seen
    };

    let (killed, seen) = tokio::join!(stack.invoke("backup", json!({"backup_type": "full"})), looked);

    assert!(killed.unwrap().function_error.is_some());
    assert_eq!(seen["status"], "running", "{seen}");
    let progress = &seen["progress"];
    let number = |field: &str| progress[field].as_f64().unwrap_or_else(|| panic!("{field}: {seen}"));
    // Half of the tables' bytes, and what little the other tables have.
    assert!((30.0..70.0).contains(&number("percent")), "{seen}");
    assert!(number("rows") >= 20_000.0 && number("bytes") > 5_000_000.0, "{seen}");
    assert!(number("bytes_per_second") > 0.0 && number("seconds_left") >= 1.0, "{seen}");
    assert!(number("heartbeat_age_seconds") < 60.0, "{seen}");
    let logged = stack.lambda.logs("backup").unwrap();
    let line = logged.iter().find(|line| line.text.contains("backup goes on")).expect("a line of progress");
    let line: Value = serde_json::from_str(&line.text).unwrap();
    for field in ["backup_id", "rows", "bytes", "percent", "bytes_per_second"] {
        assert!(line.get(field).is_some(), "{field}: {line}");
    }

    let backup_id = id_of(&seen);
    let died = status_until(&stack, |reply| reply["status"] != "running").await;
    assert_eq!((&died["status"], id_of(&died)), (&json!("died"), backup_id.clone()));
    let rebuilt = succeed(&stack, "backup", json!({"action": "rebuild"})).await;
    assert_eq!(rebuilt["died"], json!([backup_id]));
    assert_eq!(status(&stack, &backup_id).await["status"], "failed");
    gate.open();
    let made = id_of(&full_backup(&stack).await);
    let completed = status(&stack, "latest").await;
    assert_eq!((&completed["status"], id_of(&completed)), (&json!("completed"), made));
    assert_eq!(
        (&completed["progress"]["percent"], &completed["progress"]["seconds_left"]),
        (&json!(100.0), &json!(null))
    );
}

#[tokio::test]
async fn a_backup_whose_time_is_up_ends_as_failed_and_leaves_no_backup() {
    // Ten seconds are kept back to give up in.
    let stack = archive_stack().timeout("backup", Duration::from_secs(13)).start().await.unwrap();
    let gate = stuck(&stack).await;

    let (error_type, message) = fail(&stack, "backup", json!({"backup_type": "full"})).await;

    assert_eq!(error_type, "TimeLimit", "{message}");
    for part in ["give the function more time or memory", "bytes read (", "it has no manifest"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let failed = status(&stack, "latest").await;
    assert_eq!(failed["status"], "failed", "{failed}");
    assert!(failed["error"].as_str().unwrap().contains("time limit"), "{failed}");
    assert!(failed["progress"]["rows"].as_i64() > Some(0), "{failed}");
    let list = succeed(&stack, "backup", json!({"action": "list"})).await;
    assert_eq!((&list["backups"], &list["incomplete"]), (&json!([]), &json!([id_of(&failed)])));
    gate.open();
    let made = id_of(&full_backup(&stack).await);
    succeed(&stack, "verify", json!({"action": "full", "backup_id": made})).await;
}

#[tokio::test]
async fn a_backup_does_not_wait_for_whoever_holds_the_table_of_backups() {
    let stack = archive_stack().start().await.unwrap();
    let mut other = PgConnection::connect(&stack.database_url).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE recoup.backups IN SHARE MODE").execute(&mut other).await.unwrap();

    let made = full_backup(&stack).await;

    let warning = made["warnings"][0].as_str().unwrap();
    assert!(warning.starts_with("the run is not recorded in recoup.backups"), "{warning}");
    assert_eq!(status(&stack, "latest").await["status"], "completed");
}

#[tokio::test]
async fn nobody_knows_a_backup_that_never_was() {
    let stack = archive_stack().start().await.unwrap();
    for (wanted, expected) in [
        ("latest", "BackupNotFound"),
        ("20200101T000000Z-full-00000001", "BackupNotFound"),
        ("yesterday", "InvalidRequest"),
    ] {
        let (error_type, message) =
            fail(&stack, "backup", json!({"action": "status", "backup_id": wanted})).await;
        assert_eq!(error_type, expected, "{message}");
    }
}
