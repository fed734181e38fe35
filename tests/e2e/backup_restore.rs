//! Backup, verify and restore through the real functions, with `pg_dump` as the outside judge.

use std::time::Duration;

use serde_json::{Value, json};
use stack::{DatabaseChoice, Stack, StackBuilder, place};

use crate::archive_stack::{
    archive_stack, assert_same_dump, databases_like, drop_database, dump, execute, fail, full_backup,
    gate_before_database, id_of, killed_at, succeed, target,
};

const OUR_ROWS: &str = "
    INSERT INTO recoup.webhook_events (id, type, api_version, livemode, created, payload, source, status)
    SELECT 'evt_' || i, 'charge.succeeded', '2026-09-30', false, now(), '{\"id\":\"evt_' || i || '\"}', 'webhook', 'ignored'
    FROM generate_series(1, 500) AS i;
";

#[tokio::test]
async fn after_the_database_is_dropped_everything_comes_back_as_pg_dump_sees_it() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, include_str!("schemas/awkward.sql")).await;
    execute(&stack.database_url, include_str!("schemas/values.sql")).await;
    execute(&stack.database_url, OUR_ROWS).await;
    let before = dump(&stack, &stack.database_url).await;
    assert!(before.contains("evt_500") && before.len() > 40_000_000);

    let backup = full_backup(&stack).await;
    assert_eq!(backup["warnings"], json!([]));
    assert_eq!(backup["status"], "completed");
    let backup_id = id_of(&backup);
    let objects = stack.s3.list(&format!("v1/backups/{backup_id}/data/values_of.noise/")).await.unwrap();
    assert!(objects.len() > 1, "the large table has one part: {objects:?}");
    assert!(
        objects.iter().any(|object| object.size > 5 << 20),
        "no part was uploaded in pieces: {objects:?}"
    );
    let verified = succeed(&stack, "verify", json!({"action": "full", "backup_id": "latest"})).await;
    assert_eq!((&verified["status"], &verified["backup_id"]), (&json!("whole"), &json!(backup_id)));
    assert_eq!(verified["record_count"], backup["record_count"]);

    stack.pool.close().await;
    let production = stack.database_url.rsplit('/').next().unwrap().split('?').next().unwrap().to_owned();
    drop_database(&stack, &production).await;
    let copy = target("judge");
    let restored = succeed(
        &stack,
        "restore",
        json!({"action": "backup_restore", "backup_id": "latest", "target_database": copy}),
    )
    .await;

    assert_eq!((&restored["status"], &restored["target_database"]), (&json!("completed"), &json!(copy)));
    assert_eq!(restored["difference_to_production"]["result"], "production unreachable");
    assert!(restored["tables"].as_array().unwrap().iter().all(|table| table["digest_equal"] == true));
    let after = dump(&stack, &stack.postgres.url_of(&copy)).await;
    drop_database(&stack, &copy).await;
    assert_same_dump(&before, &after);
}

#[tokio::test]
async fn an_empty_database_without_our_tables_is_backed_up_and_restored_and_says_so() {
    let stack = archive_stack().database(DatabaseChoice::Empty).start().await.unwrap();

    let backup = full_backup(&stack).await;

    assert_eq!((&backup["record_count"], &backup["status"]), (&json!(0), &json!("completed")));
    let warning = backup["warnings"][0].as_str().unwrap();
    assert!(warning.contains("recoup.backups"), "{warning}");
    let copy = target("empty");
    let restore = json!({"action": "backup_restore", "backup_id": id_of(&backup), "target_database": copy});
    let restored = succeed(&stack, "restore", restore).await;
    drop_database(&stack, &copy).await;
    assert_eq!(restored["difference_to_production"]["result"], "equal");
}

#[tokio::test]
async fn the_difference_to_production_is_told_by_table() {
    let stack = archive_stack().start().await.unwrap();
    execute(
        &stack.database_url,
        "CREATE TABLE kept (a int); CREATE TABLE gone (a int); CREATE TABLE changed (a int);
        INSERT INTO kept VALUES (1); INSERT INTO changed VALUES (1), (2);",
    )
    .await;
    let backup = full_backup(&stack).await;
    execute(
        &stack.database_url,
        "DROP TABLE gone; UPDATE changed SET a = 3 WHERE a = 2; CREATE TABLE fresh (a int);",
    )
    .await;

    // Without a name, the copy gets one.
    let restored =
        succeed(&stack, "restore", json!({"action": "backup_restore", "backup_id": id_of(&backup)})).await;

    drop_database(&stack, restored["target_database"].as_str().unwrap()).await;
    let difference = &restored["difference_to_production"];
    assert_eq!(difference["result"], "different");
    let of = |table: &str| {
        let tables = difference["tables"].as_array().unwrap();
        let found = tables.iter().find(|entry| entry["table"] == table).unwrap();
        found["result"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        [of("public.kept"), of("public.gone"), of("public.changed"), of("public.fresh")],
        ["equal", "missing in production", "different", "missing in copy"]
    );
}

#[tokio::test]
async fn the_bucket_alone_tells_which_backups_there_are() {
    let stack = archive_stack().start().await.unwrap();
    let none = succeed(&stack, "backup", json!({"action": "list"})).await;
    assert_eq!(none, json!({"backups": [], "incomplete": []}));

    let first = full_backup(&stack).await;
    // Names are to the second.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let labelled = json!({"backup_type": "full", "label": "before release 12 (größe)"});
    let second = succeed(&stack, "backup", labelled).await;
    stack
        .s3
        .write("v1/backups/20990101T000000Z-full-00000000/data/public.t/00000.copy.zst.age", "x")
        .await
        .unwrap();
    execute(&stack.database_url, "DROP TABLE recoup.backups CASCADE").await;

    let list = succeed(&stack, "backup", json!({"action": "list"})).await;
    let ids: Vec<_> = list["backups"].as_array().unwrap().iter().map(id_of).collect();
    assert_eq!(ids, [id_of(&second), id_of(&first)]);
    assert_eq!(list["incomplete"], json!(["20990101T000000Z-full-00000000"]));
    let newest = &list["backups"][0];
    assert_eq!(newest["label"], "before release 12 (größe)");
    assert_eq!(newest["record_count"], second["record_count"]);
    assert_eq!(newest["expires_at"].as_str().unwrap()[..19], second["expires_at"].as_str().unwrap()[..19]);
    // What has no manifest is not the latest either.
    let verified = succeed(&stack, "verify", json!({"action": "quick", "backup_id": "latest"})).await;
    assert_eq!(verified["backup_id"], second["backup_id"]);
}

#[tokio::test]
async fn a_run_is_recorded_in_postgres_whether_it_succeeds_or_not() {
    let stack = archive_stack().start().await.unwrap();
    let backup = full_backup(&stack).await;
    let denied =
        archive_stack_on(&stack).env("backup", "AWS_SECRET_ACCESS_KEY", "not-the-key").start().await.unwrap();

    let (error_type, message) = fail(&denied, "backup", json!({"backup_type": "full"})).await;

    assert_eq!(error_type, "StoreDenied", "{message}");
    let rows: Vec<(String, Option<i64>, Option<String>)> =
        sqlx::query_as("SELECT status, record_count, error FROM recoup.backups ORDER BY completed_at")
            .fetch_all(&stack.pool)
            .await
            .unwrap();
    assert_eq!((rows.len(), rows[0].0.as_str(), rows[1].0.as_str()), (2, "completed", "failed"));
    assert_eq!(rows[0].1, backup["record_count"].as_i64());
    assert!(rows[1].2.as_deref().unwrap().contains("policy"));
}

/// Another stack on the database of `stack`.
fn archive_stack_on(stack: &Stack) -> StackBuilder {
    archive_stack().database(DatabaseChoice::Given(stack.database_url.clone()))
}

#[tokio::test]
async fn what_cannot_be_restored_is_refused_before_anything_is_made() {
    let stack = archive_stack().start().await.unwrap();
    let nothing = fail(&stack, "restore", json!({"action": "backup_restore", "backup_id": "latest"})).await;
    assert_eq!(nothing.0, "BackupNotFound");
    let backup_id = id_of(&full_backup(&stack).await);
    let pattern = "recoup\\_test\\_refused%";
    let restore = |backup_id: &str, target: &str| json!({"action": "backup_restore", "backup_id": backup_id, "target_database": target});
    let existing = target("refused");
    execute(stack.postgres.url(), &format!("CREATE DATABASE {existing}")).await;

    let (error_type, message) = fail(&stack, "restore", restore(&backup_id, &existing)).await;
    assert_eq!(error_type, "StagingExists");
    assert!(message.contains(&existing) && message.contains("DROP DATABASE"), "{message}");
    drop_database(&stack, &existing).await;

    let unknown = "20200101T000000Z-full-00000000";
    for (backup_id, target, expected) in [
        (unknown, target("refused"), "BackupNotFound"),
        ("../secrets", target("refused"), "InvalidRequest"),
        (&backup_id, "postgres".to_owned(), "InvalidRequest"),
        (&backup_id, "x".repeat(64), "InvalidRequest"),
    ] {
        let (error_type, message) = fail(&stack, "restore", restore(backup_id, &target)).await;
        assert_eq!(error_type, expected, "{message}");
    }

    let other = age::x25519::Identity::generate();
    let other = age::secrecy::ExposeSecret::expose_secret(&other.to_string()).to_owned();
    stack.secrets.put("backup-key", &json!({"identities": [other]})).await.unwrap();
    for (function, payload) in [
        ("restore", restore(&backup_id, &target("refused"))),
        ("verify", json!({"action": "full", "backup_id": backup_id})),
    ] {
        let (error_type, message) = fail(&stack, function, payload).await;
        assert_eq!(error_type, "WrongKey", "{message}");
        assert!(message.contains(&stack.age_recipient), "{message}");
        assert!(!message.contains("AGE-SECRET-KEY-1"), "{message}");
    }
    // An old key among new ones still opens old backups.
    let both = json!({"identities": [other, stack.age_identity]});
    stack.secrets.put("backup-key", &both).await.unwrap();
    succeed(&stack, "verify", json!({"action": "full", "backup_id": backup_id})).await;
    assert_eq!(databases_like(&stack, pattern).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_table_that_may_not_be_read_fails_the_backup_by_name_and_leaves_none() {
    let stack = archive_stack().start().await.unwrap();
    let role = target("reader");
    let owner_url = stack.database_url.clone();
    execute(
        &owner_url,
        &format!(
            "CREATE ROLE {role} LOGIN PASSWORD 'reader'; GRANT USAGE ON SCHEMA recoup, public TO {role};
            GRANT SELECT ON ALL TABLES IN SCHEMA recoup, public TO {role};
            GRANT SELECT ON ALL SEQUENCES IN SCHEMA recoup, public TO {role};
            CREATE TABLE public.hidden (a int);"
        ),
    )
    .await;
    let (_, rest) = owner_url.split_once('@').unwrap();
    let url = format!("postgres://{role}:reader@{rest}");
    stack.secrets.put("database", &json!({"url": url})).await.unwrap();

    let (error_type, message) = fail(&stack, "backup", json!({"backup_type": "full"})).await;
    let list = succeed(&stack, "backup", json!({"action": "list"})).await;

    execute(&owner_url, &format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    assert_eq!(error_type, "PermissionDenied", "{message}");
    assert!(message.contains("hidden"), "{message}");
    assert_eq!(list["backups"], json!([]));
}

#[tokio::test]
async fn a_database_that_is_down_is_said_to_be() {
    let stack = archive_stack().start().await.unwrap();
    full_backup(&stack).await;
    stack.secrets.put("database", &json!({"url": "postgres://u:hunter2@127.0.0.1:1/x"})).await.unwrap();
    for (function, payload) in [
        ("backup", json!({"backup_type": "full"})),
        ("restore", json!({"action": "backup_restore", "backup_id": "latest"})),
    ] {
        let (error_type, message) = fail(&stack, function, payload).await;
        assert_eq!(error_type, "DatabaseUnavailable", "{message}");
        assert!(message.contains("127.0.0.1:1") && !message.contains("hunter2"), "{message}");
    }
}

#[tokio::test]
async fn plaintext_must_be_asked_for_and_comes_back_without_a_key() {
    let unset = archive_stack().env("backup", "BACKUP_AGE_RECIPIENTS", "").start().await.unwrap();
    let (error_type, message) = fail(&unset, "backup", json!({"backup_type": "full"})).await;
    assert_eq!(error_type, "ConfigurationInvalid");
    assert!(message.contains("BACKUP_AGE_RECIPIENTS"), "{message}");

    let stack = archive_stack_on(&unset)
        .env("backup", "BACKUP_AGE_RECIPIENTS", "")
        .env("backup", "BACKUP_ENCRYPTION", "none")
        .start()
        .await
        .unwrap();
    let backup_id = id_of(&full_backup(&stack).await);
    stack.secrets.put("backup-key", &json!({"identities": []})).await.unwrap();
    let verified = succeed(&stack, "verify", json!({"action": "full", "backup_id": backup_id})).await;
    assert_eq!(verified["encryption"], "none");
    let copy = target("plain");
    let restore = json!({"action": "backup_restore", "backup_id": backup_id, "target_database": copy});
    succeed(&stack, "restore", restore).await;
    drop_database(&stack, &copy).await;
}

#[tokio::test]
async fn a_restore_that_is_killed_leaves_a_marked_copy_and_production_as_it_was() {
    let stack = archive_stack().start().await.unwrap();
    execute(
        &stack.database_url,
        "CREATE TABLE many (a int, b text);
        INSERT INTO many SELECT i, md5(i::text) FROM generate_series(1, 1000) AS i;",
    )
    .await;
    full_backup(&stack).await;
    let before = dump(&stack, &stack.database_url).await;
    let gate = gate_before_database(&stack).await;
    let copy = target("killed");
    let request = json!({"action": "backup_restore", "backup_id": "latest", "target_database": copy});

    killed_at(&stack, &gate, "restore", &request, "COPY \"public\".\"many\"").await;

    let comment: Option<String> = sqlx::query_scalar(
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = $1",
    )
    .bind(&copy)
    .fetch_one(&stack.pool)
    .await
    .unwrap();
    assert!(
        comment.as_deref().is_some_and(|text| text.starts_with("recoup staging: incomplete")),
        "{comment:?}"
    );
    assert_same_dump(&before, &dump(&stack, &stack.database_url).await);
    assert_eq!(fail(&stack, "restore", request.clone()).await.0, "StagingExists");
    drop_database(&stack, &copy).await;
    succeed(&stack, "restore", request).await;
    drop_database(&stack, &copy).await;
}

#[tokio::test]
async fn the_manifest_is_what_its_json_schema_says() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, "CREATE TABLE t (a int, \"b c\" text[]); INSERT INTO t VALUES (1, '{x}')")
        .await;
    let backup_id = id_of(&full_backup(&stack).await);
    let bytes = stack.s3.read(&format!("v1/backups/{backup_id}/manifest.json")).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("manifest.json");
    let schema = place::repository().join("docs/manifest.schema.json");
    let validate = |manifest: &Value| {
        std::fs::write(&path, manifest.to_string()).unwrap();
        let program = "import json,sys,jsonschema; s=json.load(open(sys.argv[1])); \
            jsonschema.Draft202012Validator.check_schema(s); \
            jsonschema.validate(json.load(open(sys.argv[2])), s)";
        let python = place::venv_program("python").unwrap();
        let output =
            std::process::Command::new(python).args(["-c", program]).args([&schema, &path]).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };

    let manifest: Value = serde_json::from_slice(&bytes).unwrap();
    let (valid, why) = validate(&manifest);
    assert!(valid, "{why}");
    let window = json!({"backup_type": "orders", "date_from": "2024-11-01T00:00:00Z"});
    let window = id_of(&succeed(&stack, "backup", window).await);
    let window = stack.s3.read(&format!("v1/backups/{window}/manifest.json")).await.unwrap();
    let (valid, why) = validate(&serde_json::from_slice(&window).unwrap());
    assert!(valid, "{why}");

    let mut unknown_field = manifest.clone();
    unknown_field["tables"][0]["parts"] = json!([{"key": "x"}]);
    assert!(!validate(&unknown_field).0);
    let mut no_version = manifest;
    no_version.as_object_mut().unwrap().remove("format_version");
    assert!(!validate(&no_version).0);
}
