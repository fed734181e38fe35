//! Tables that others change, alter, empty, rewrite and drop while a backup reads them: the backup is the database of
//! its snapshot, or a clear error.

use std::time::Duration;

use serde_json::json;
use sqlx::{Connection, PgConnection};
use stack::Stack;
use stack::store_gate::operation;

use crate::archive_stack::{
    archive_stack, drop_copy, execute, fail, full_backup, gate_before_store, id_of, restore_copy, rows_where,
    succeed,
};

/// The table that goes up in pieces comes first, so that the rest is still to be read when its first piece waits; it
/// is read by two connections, a part each. Whoever waits to alter one of the others comes before them.
const TABLES: &str = "
    CREATE TABLE public.a_large (a int, b text, c text DEFAULT 'c');
    ALTER TABLE public.a_large ALTER b SET STORAGE PLAIN;
    INSERT INTO public.a_large
    SELECT i, (SELECT string_agg(md5(i || '.' || j), '') FROM generate_series(1, 200) AS j)
    FROM generate_series(1, 5000) AS i;
    CREATE TABLE public.b_later AS SELECT i AS a, md5(i::text) AS b FROM generate_series(1, 2000) AS i;
    CREATE TABLE public.c_dropped AS SELECT * FROM public.b_later;
    CREATE TABLE public.d_emptied AS SELECT * FROM public.b_later;
";

const NAMES: [&str; 4] = ["public.a_large", "public.b_later", "public.c_dropped", "public.d_emptied"];

/// The rows of each table.
async fn rows(url: &str) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for table in NAMES {
        all.push(rows_where(url, table, "true").await);
    }
    all
}

/// Waits until `count` sessions of this database wait for a lock.
async fn until_locked_out(stack: &Stack, count: i64) {
    let sql = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    for _ in 0..2000 {
        let waiting: i64 = sqlx::query_scalar(sql).fetch_one(&stack.pool).await.unwrap();
        if waiting >= count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("fewer than {count} sessions wait for a lock after ten seconds");
}

#[tokio::test]
async fn what_others_do_while_a_backup_reads_is_not_in_it() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, TABLES).await;
    let before = rows(&stack.database_url).await;
    let gate = gate_before_store(&stack);
    gate.hold(|method, uri| operation(method, uri) == "UploadPart");

    // These go on at once; those wait until the backup is done.
    let at_once = "
        INSERT INTO a_large (a, b) SELECT a, 'new' FROM b_later;
        UPDATE a_large SET b = 'changed' WHERE a % 3 = 0;
        DELETE FROM a_large WHERE a % 7 = 0;
        UPDATE b_later SET b = 'changed';
        DELETE FROM d_emptied WHERE a > 1000;";
    let waiting = [
        "ALTER TABLE a_large ALTER a TYPE bigint",
        "VACUUM FULL b_later",
        "DROP TABLE c_dropped",
        "TRUNCATE d_emptied",
    ];
    let others = async {
        gate.until_waiting(1).await;
        execute(&stack.database_url, at_once).await;
        execute(&stack.database_url, "VACUUM a_large").await;
        let url = &stack.database_url;
        let all = futures::future::join_all(waiting.iter().map(|sql| execute(url, sql)));
        let opened = async {
            until_locked_out(&stack, waiting.len() as i64).await;
            gate.open();
        };
        tokio::join!(all, opened);
    };
    let (backup, ()) = tokio::join!(full_backup(&stack), others);

    let (restored, url) = restore_copy(&stack, &id_of(&backup)).await;
    assert_eq!(rows(&url).await, before);
    assert_eq!(restored["difference_to_production"]["result"], "different");
    drop_copy(&stack, &restored).await;
}

#[tokio::test]
async fn a_table_that_is_altered_between_snapshot_and_lock_is_as_it_was_or_is_refused() {
    let stack = archive_stack().start().await.unwrap();
    let changes = [
        ("TRUNCATE t", Some("TableChanged")),
        ("VACUUM FULL t", Some("TableChanged")),
        ("ALTER TABLE t ALTER a TYPE bigint", Some("TableChanged")),
        ("ALTER TABLE t DROP COLUMN b", Some("TableChanged")),
        ("ALTER TABLE t RENAME COLUMN b TO d", Some("TableChanged")),
        ("ALTER TABLE t RENAME TO u", Some("DatabaseRefused")),
        ("DROP TABLE t", Some("DatabaseRefused")),
        ("ALTER TABLE t ADD COLUMN c text DEFAULT 'c'", None),
        ("ALTER TABLE t ALTER b TYPE varchar(200)", None),
    ];
    for (change, expected) in changes {
        let table = "DROP TABLE IF EXISTS t, u; CREATE TABLE t (a int, b varchar(100)); INSERT INTO t VALUES (1, 'x')";
        execute(&stack.database_url, table).await;
        let mut holder = PgConnection::connect(&stack.database_url).await.unwrap();
        sqlx::raw_sql("BEGIN; LOCK TABLE t").execute(&mut holder).await.unwrap();
        let altering = execute(&stack.database_url, change);
        let backing_up = async {
            until_locked_out(&stack, 1).await;
            stack.invoke("backup", json!({"backup_type": "full"})).await.unwrap()
        };
        let letting_go = async {
            // The change waits in front of the backup, which has its snapshot.
            until_locked_out(&stack, 2).await;
            sqlx::raw_sql("COMMIT").execute(&mut holder).await.unwrap();
        };

        let ((), reply, ()) = tokio::join!(altering, backing_up, letting_go);

        assert_eq!(reply.payload["errorType"].as_str(), expected, "{change}: {}", reply.payload);
        if expected.is_some() {
            let message = reply.payload["errorMessage"].as_str().unwrap();
            assert!(message.contains("t\"") || message.contains("public.t"), "{change}: {message}");
            assert!(message.contains("has no manifest"), "{change}: {message}");
            continue;
        }
        let (restored, url) = restore_copy(&stack, &id_of(&reply.payload)).await;
        assert_eq!(rows_where(&url, "public.t", "true").await, ["(1,x)"], "{change}");
        drop_copy(&stack, &restored).await;
    }
}

#[tokio::test]
async fn a_backup_that_loses_its_locks_half_way_is_none() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, TABLES).await;
    let gate = gate_before_store(&stack);
    gate.hold(|method, uri| operation(method, uri) == "UploadPart");

    let others = async {
        gate.until_waiting(1).await;
        // The session that took the snapshot is the one that sits idle.
        let ended: Vec<bool> = sqlx::query_scalar(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE application_name = 'recoup backup' AND datname = current_database()
                AND state = 'idle in transaction' AND query NOT LIKE 'COPY%'",
        )
        .fetch_all(&stack.pool)
        .await
        .unwrap();
        assert_eq!(ended, [true]);
        // Nothing protects what no session has read yet; an old snapshot would see it empty.
        execute(&stack.database_url, "SET lock_timeout = '5s'; TRUNCATE d_emptied").await;
        gate.open();
    };
    let ((error_type, message), ()) =
        tokio::join!(fail(&stack, "backup", json!({"backup_type": "full"})), others);

    assert_eq!(error_type, "DatabaseUnavailable", "{message}");
    assert!(message.contains("hold the snapshot") && message.contains("has no manifest"), "{message}");
    let list = succeed(&stack, "backup", json!({"action": "list"})).await;
    assert_eq!(list["backups"], json!([]));
}
