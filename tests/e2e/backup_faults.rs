//! Backups under load, and backups that something interrupts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use http::StatusCode;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use stack::Stack;
use stack::gate::{Count, Stop};
use stack::lambda::FunctionConfig;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use crate::archive_stack::{
    archive_stack, drop_database, execute, fail, full_backup, gate_before_database, id_of, succeed, target,
};

const BULK: &str = "
    CREATE TABLE bulk (a int, b bytea);
    INSERT INTO bulk
    SELECT i, decode(repeat(md5(i::text) || md5((i * 7)::text), 8), 'hex') FROM generate_series(1, 150000) AS i;
";

/// Bytes on the wire to the middle of its rows, of which each is some 520.
const HALF_OF_BULK: u64 = 40_000_000;

/// The bucket shows no backup, and `backup` makes a whole one.
async fn assert_none_and_works_again(stack: &Stack) {
    let list = succeed(stack, "backup", json!({"action": "list"})).await;
    assert_eq!(list["backups"], json!([]));
    let backup_id = id_of(&full_backup(stack).await);
    succeed(stack, "verify", json!({"action": "full", "backup_id": backup_id})).await;
}

/// Waits until a session of the backup function waits for a lock.
async fn until_locked_out(stack: &Stack) {
    let sql = "SELECT EXISTS (
            SELECT FROM pg_stat_activity
            WHERE application_name = 'recoup backup' AND datname = current_database() AND wait_event_type = 'Lock'
        )";
    for _ in 0..2000 {
        if sqlx::query_scalar(sql).fetch_one(&stack.pool).await.unwrap() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("no session of the backup waits for a lock after ten seconds");
}

#[tokio::test]
async fn a_backup_under_load_shows_one_instant() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, "CREATE TABLE debits (id serial); CREATE TABLE credits (id serial);").await;
    execute(&stack.database_url, BULK).await;
    let done = AtomicBool::new(false);
    let writes = async {
        let mut connection = PgConnection::connect(&stack.database_url).await.unwrap();
        let mut transfers = 0_u32;
        while !done.load(Ordering::Relaxed) {
            let both = "INSERT INTO debits DEFAULT VALUES; INSERT INTO credits DEFAULT VALUES";
            sqlx::raw_sql(both).execute(&mut connection).await.unwrap();
            transfers += 1;
        }
        transfers
    };
    let backups = async {
        let backup = full_backup(&stack).await;
        done.store(true, Ordering::Relaxed);
        backup
    };

    let (transfers, backup) = tokio::join!(writes, backups);

    let rows = |name: &str| {
        let tables = backup["tables"].as_array().unwrap();
        tables.iter().find(|table| table["table"] == name).unwrap()["rows"].as_u64().unwrap()
    };
    assert!(transfers > 20, "only {transfers} transfers while the backup ran");
    assert!(rows("public.debits") < u64::from(transfers), "no transfer came after the snapshot");
    assert_eq!(rows("public.debits"), rows("public.credits"));
    let copy = target("load");
    let request = json!({"action": "backup_restore", "backup_id": id_of(&backup), "target_database": copy});
    let restored = succeed(&stack, "restore", request).await;
    execute(stack.postgres.url(), &format!("DROP DATABASE {copy} WITH (FORCE)")).await;
    assert_eq!(restored["difference_to_production"]["result"], "different");
}

#[tokio::test]
async fn a_table_that_is_truncated_between_snapshot_and_lock_is_refused() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, "CREATE TABLE emptied (a int); INSERT INTO emptied VALUES (1)").await;
    let mut other = PgConnection::connect(&stack.database_url).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE emptied").execute(&mut other).await.unwrap();

    let truncate = async {
        // The backup has its snapshot and waits for its lock.
        until_locked_out(&stack).await;
        sqlx::raw_sql("TRUNCATE emptied; COMMIT").execute(&mut other).await.unwrap();
    };
    let ((error_type, message), ()) =
        tokio::join!(fail(&stack, "backup", json!({"backup_type": "full"})), truncate);

    assert_eq!(error_type, "TableChanged", "{message}");
    assert!(message.contains("public.emptied"), "{message}");
    assert_none_and_works_again(&stack).await;
}

#[tokio::test]
async fn a_session_that_is_cut_ends_the_backup_without_a_trace() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, BULK).await;

    let gate = gate_before_database(&stack).await;
    gate.arm(Count::Bytes, HALF_OF_BULK, Stop::Cut);

    let (error_type, message) = fail(&stack, "backup", json!({"backup_type": "full"})).await;

    assert_eq!(gate.caught().map(|message| message.kind), Some(b'd'), "a row of a COPY");
    assert_eq!(error_type, "DatabaseUnavailable", "{message}");
    assert!(message.contains("public.bulk") && message.contains("has no manifest"), "{message}");
    assert_none_and_works_again(&stack).await;
}

#[tokio::test]
async fn a_backup_that_is_killed_is_no_backup() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, BULK).await;

    let gate = gate_before_database(&stack).await;
    gate.arm(Count::Bytes, HALF_OF_BULK, Stop::Hold);

    let kill = async {
        assert_eq!(gate.stopped().await.kind, b'd', "a row of a COPY");
        stack.lambda.kill("backup").unwrap();
    };
    let (reply, ()) = tokio::join!(stack.invoke("backup", json!({"backup_type": "full"})), kill);

    assert!(reply.unwrap().function_error.is_some());
    assert_none_and_works_again(&stack).await;
}

#[tokio::test]
async fn a_full_store_is_called_full() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let full = "<Error><Code>QuotaExceeded</Code><Message>no room left</Message></Error>";
    let store = Router::new().fallback(move || async move { (StatusCode::INSUFFICIENT_STORAGE, full) });
    let serving = tokio::spawn(async move { axum::serve(listener, store).await });
    let stack = archive_stack().env("backup", "AWS_ENDPOINT_URL_S3", &endpoint).start().await.unwrap();

    let (error_type, message) = fail(&stack, "backup", json!({"backup_type": "full"})).await;

    serving.abort();
    assert_eq!(error_type, "StoreFull", "{message}");
    assert!(message.contains("make room"), "{message}");
}

#[tokio::test]
async fn a_restore_whose_session_is_cut_takes_its_work_up_again() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, BULK).await;
    full_backup(&stack).await;
    let copy = target("cut");

    let gate = gate_before_database(&stack).await;
    gate.arm(Count::Bytes, HALF_OF_BULK, Stop::Cut);
    let request = json!({"action": "backup_restore", "backup_id": "latest", "target_database": copy});

    let restored = succeed(&stack, "restore", request).await;

    assert_eq!(gate.caught().map(|message| message.kind), Some(b'd'), "a row of a COPY");
    assert_eq!(restored["status"], "completed");
    let rows =
        restored["tables"].as_array().unwrap().iter().find(|table| table["table"] == "public.bulk").unwrap();
    assert_eq!((&rows["rows"], &rows["digest_equal"]), (&json!(150_000), &json!(true)));
    drop_database(&stack, &copy).await;
}

/// A way to the store that cuts each of its first `cuts` connections after `bytes` bytes of answers.
async fn cutting_proxy(store: &str, cuts: usize, bytes: u64) -> String {
    let store = store.trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for connection in 0.. {
            let Ok((mut client, _)) = listener.accept().await else { return };
            let mut server = TcpStream::connect(&store).await.unwrap();
            let limit = if connection < cuts { bytes } else { u64::MAX };
            tokio::spawn(async move {
                let ((mut from_client, mut to_client), (from_server, mut to_server)) =
                    (client.split(), server.split());
                let mut answers = from_server.take(limit);
                tokio::select! {
                    _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
                    _ = tokio::io::copy(&mut answers, &mut to_client) => {}
                }
            });
        }
    });
    endpoint
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_read_on_from_there() {
    let writing = archive_stack().start().await.unwrap();
    execute(&writing.database_url, BULK).await;
    full_backup(&writing).await;
    for (cuts, bytes, expected) in [(4, 1_000_000, None), (usize::MAX, 100_000, Some("StoreUnavailable"))] {
        let endpoint = cutting_proxy(writing.s3.endpoint(), cuts, bytes).await;
        let change = |config: &mut FunctionConfig| {
            config.environment.insert("AWS_ENDPOINT_URL_S3".to_owned(), endpoint);
        };
        writing.lambda.configure("verify", change).unwrap();
        let reply = writing.invoke("verify", json!({"action": "full", "backup_id": "latest"})).await.unwrap();
        assert_eq!(reply.payload["errorType"].as_str(), expected, "{}", reply.payload);
    }
}
