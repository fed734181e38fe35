//! Restores that take more than one invocation: out of time, killed, cut off.

use std::time::Duration;

use serde_json::{Value, json};
use stack::gate::Stop;

use crate::archive_stack::{
    archive_stack, assert_same_dump, databases_like, drop_database, dump, execute, fail, full_backup,
    gate_before_database, killed_at, restore_of, succeed, target,
};

/// Rows for a COPY of some length, and indexes that take as long as they are told to.
fn slow(seconds_per_index: f64) -> String {
    let pause = seconds_per_index / 1000.0;
    format!(
        "CREATE TABLE bulk (a int, b text);
        INSERT INTO bulk SELECT i, repeat(md5(i::text), 6) FROM generate_series(1, 200000) AS i;
        CREATE FUNCTION pause(a int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT a';
        CREATE TABLE one AS SELECT i AS a FROM generate_series(1, 1000) AS i;
        CREATE TABLE two AS SELECT i AS a FROM generate_series(1, 1000) AS i;
        CREATE TABLE three AS SELECT i AS a FROM generate_series(1, 1000) AS i;
        CREATE INDEX one_paused ON one (pause(a));
        CREATE INDEX two_paused ON two (pause(a));
        CREATE INDEX three_paused ON three (pause(a));
        CREATE SEQUENCE counted; SELECT setval('counted', 4711);
        CREATE MATERIALIZED VIEW sums AS SELECT sum(a) AS sum FROM bulk;
        CREATE OR REPLACE FUNCTION pause(a int) RETURNS int LANGUAGE plpgsql IMMUTABLE
            AS 'BEGIN PERFORM pg_catalog.pg_sleep({pause}); RETURN a; END';"
    )
}

fn restore(copy: &str) -> Value {
    json!({"action": "backup_restore", "backup_id": "latest", "target_database": copy})
}

#[tokio::test]
async fn a_restore_that_takes_longer_than_an_invocation_is_handed_on_and_ends_equal() {
    // Twenty seconds are kept back to hand over in: five are left to work.
    let stack = archive_stack().timeout("restore", Duration::from_secs(25)).start().await.unwrap();
    execute(&stack.database_url, &slow(8.0)).await;
    let before = dump(&stack, &stack.database_url).await;
    full_backup(&stack).await;
    let copy = target("handed_on");

    let mut reply = succeed(&stack, "restore", restore(&copy)).await;
    let restore_id = reply["restore_id"].clone();
    let mut invocations = 1;
    while reply["status"] == "in_progress" {
        assert_eq!((&reply["restore_id"], &reply["target_database"]), (&restore_id, &json!(copy)), "{reply}");
        assert_eq!(reply["next"], json!({"action": "resume", "restore_id": restore_id}));
        let status = json!({"action": "status", "restore_id": restore_id});
        let status = succeed(&stack, "restore", status).await;
        assert_eq!((&status["status"], &status["next"]), (&json!("waiting"), &reply["next"]), "{status}");
        assert_eq!(status["progress"]["bytes_loaded"], reply["progress"]["bytes_loaded"]);
        assert!(invocations < 60, "{reply}");
        invocations += 1;
        reply = succeed(&stack, "restore", reply["next"].clone()).await;
    }

    assert!(invocations > 2, "{invocations}: {reply}");
    assert_eq!(reply["status"], "completed", "{reply}");
    assert!(reply["elapsed_seconds"].as_f64().unwrap() > 4.0, "{reply}");
    assert_same_dump(&before, &dump(&stack, &stack.postgres.url_of(&copy)).await);
    let status = json!({"action": "status", "restore_id": restore_id});
    let status = succeed(&stack, "restore", status).await;
    assert_eq!((&status["status"], &status["fit_for"]), (&json!("completed"), &json!(["promote", "merge"])));
    let (error_type, message) =
        fail(&stack, "restore", json!({"action": "resume", "restore_id": restore_id})).await;
    assert_eq!(error_type, "RestoreFinished", "{message}");
    drop_database(&stack, &copy).await;
}

/// Statements of a restore in their order, each at the heart of something that is done.
const PHASES: [&str; 9] = [
    "CREATE TABLE public.bulk",
    "COPY \"public\".\"bulk\"",
    "SELECT pg_catalog.setval",
    "CREATE INDEX one_paused",
    "CREATE INDEX two_paused",
    "REFRESH MATERIALIZED VIEW",
    "ANALYZE public.bulk",
    "COPY (SELECT",
    "INSERT INTO recoup_staging.done (step, item, note, rows, sum) VALUES ('proven'",
];

#[tokio::test]
async fn a_restore_that_is_killed_in_every_phase_goes_on_and_ends_equal() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, &slow(0.5)).await;
    let before = dump(&stack, &stack.database_url).await;
    full_backup(&stack).await;
    let gate = gate_before_database(&stack).await;
    let copy = target("kills");

    killed_at(&stack, &gate, "restore", &restore(&copy), PHASES[0]).await;
    let resume = json!({"action": "resume", "restore_id": restore_of(&stack, &copy).await});
    for phase in &PHASES[1..] {
        killed_at(&stack, &gate, "restore", &resume, phase).await;
        // What the server had of it is gone with the session.
        if phase.starts_with("COPY") {
            killed_at(&stack, &gate, "restore", &resume, phase).await;
        }
    }
    let reply = succeed(&stack, "restore", resume).await;

    assert_eq!(reply["status"], "completed", "{reply}");
    assert_same_dump(&before, &dump(&stack, &stack.postgres.url_of(&copy)).await);
    drop_database(&stack, &copy).await;
}

#[tokio::test]
async fn a_restore_that_is_killed_at_its_first_or_its_last_word_says_how_it_stands() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, &slow(0.0)).await;
    full_backup(&stack).await;
    let gate = gate_before_database(&stack).await;
    let (begun, ended) = (target("begun"), target("ended"));

    // It is marked, and not written down yet what is to be done.
    killed_at(&stack, &gate, "restore", &restore(&begun), "COMMENT ON DATABASE").await;
    gate.empty().await;
    let resume = json!({"action": "resume", "restore_id": restore_of(&stack, &begun).await});
    let (error_type, message) = fail(&stack, "restore", resume).await;
    assert_eq!(error_type, "RestoreNotBegun", "{message}");
    assert!(message.contains(&format!("drop database {begun} and restore again")), "{message}");

    // It is proven and marked as that, and nobody heard of it.
    killed_at(&stack, &gate, "restore", &restore(&ended), "DROP SCHEMA recoup_staging").await;
    let restore_id = restore_of(&stack, &ended).await;
    let resume = json!({"action": "resume", "restore_id": restore_id});
    let (error_type, message) = fail(&stack, "restore", resume).await;
    assert_eq!(error_type, "RestoreFinished", "{message}");
    let status = json!({"action": "status", "restore_id": restore_id});
    let status = succeed(&stack, "restore", status).await;
    assert_eq!((&status["status"], &status["fit_for"]), (&json!("completed"), &json!(["promote", "merge"])));
    for copy in [begun, ended] {
        drop_database(&stack, &copy).await;
    }
}

#[tokio::test]
async fn two_invocations_do_not_fill_one_database_and_an_index_may_take_longer_than_either() {
    let stack = archive_stack()
        .instances("restore", 2)
        // Five seconds are left to work, and an index takes seven.
        .timeout("restore", Duration::from_secs(25))
        .start()
        .await
        .unwrap();
    execute(&stack.database_url, &slow(7.0)).await;
    let before = dump(&stack, &stack.database_url).await;
    full_backup(&stack).await;
    let copy = target("twice");
    let first = succeed(&stack, "restore", restore(&copy)).await;
    assert_eq!(first["status"], "in_progress", "{first}");

    let (one, other) = tokio::join!(
        stack.invoke("restore", first["next"].clone()),
        stack.invoke("restore", first["next"].clone())
    );

    // One of them had it; the other said so, or came after it.
    let errors: Vec<Value> = [one, other]
        .into_iter()
        .map(|reply| reply.unwrap().payload["errorType"].clone())
        .filter(|e| !e.is_null())
        .collect();
    assert!(errors.iter().all(|error| error == "RestoreRuns" || error == "RestoreFinished"), "{errors:?}");
    let mut reply = first;
    for _ in 0..60 {
        if reply["status"] != "in_progress" {
            break;
        }
        let answered = stack.invoke("restore", reply["next"].clone()).await.unwrap();
        match answered.payload["errorType"].as_str() {
            Some("RestoreFinished") => break,
            Some(other) => panic!("{other}: {}", answered.payload),
            None => reply = answered.payload,
        }
    }
    assert_same_dump(&before, &dump(&stack, &stack.postgres.url_of(&copy)).await);
    drop_database(&stack, &copy).await;
}

#[tokio::test]
async fn who_waits_while_another_invocation_ends_the_restore_is_told_that_it_is_finished() {
    let stack = archive_stack().instances("restore", 2).start().await.unwrap();
    execute(&stack.database_url, &slow(0.5)).await;
    full_backup(&stack).await;
    let gate = gate_before_database(&stack).await;
    let copy = target("waited");
    killed_at(&stack, &gate, "restore", &restore(&copy), "CREATE INDEX one_paused").await;
    let resume = json!({"action": "resume", "restore_id": restore_of(&stack, &copy).await});

    let (one, other) =
        tokio::join!(stack.invoke("restore", resume.clone()), stack.invoke("restore", resume.clone()));

    let (mut done, mut refused) = (one.unwrap().payload, other.unwrap().payload);
    if done["status"] != "completed" {
        std::mem::swap(&mut done, &mut refused);
    }
    assert_eq!(done["status"], "completed", "{done}\n{refused}");
    // Where the first takes long, the other does not wait for its end.
    let error_type = refused["errorType"].as_str().unwrap_or_default();
    assert!(["RestoreFinished", "RestoreRuns"].contains(&error_type), "{refused}");
    drop_database(&stack, &copy).await;
}

#[tokio::test]
async fn a_session_that_is_cut_again_and_again_keeps_what_is_done() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, &slow(0.2)).await;
    let before = dump(&stack, &stack.database_url).await;
    full_backup(&stack).await;
    let gate = gate_before_database(&stack).await;
    let copy = target("cut_again");

    // Every session that loads is cut, for as long as somebody tries.
    gate.arm_at("COPY \"public\".\"bulk\"", Stop::Cut);
    let (error_type, message) = fail(&stack, "restore", restore(&copy)).await;
    gate.disarm();

    assert_eq!(error_type, "DatabaseUnavailable", "{message}");
    assert!(message.contains("was kept with what is done: go on with {\"action\":\"resume\""), "{message}");
    assert_eq!(databases_like(&stack, &copy).await, [copy.as_str()]);
    let (_, rest) = message.split_once("\"restore_id\":\"").unwrap();
    let (restore_id, _) = rest.split_once('"').unwrap();
    let reply = succeed(&stack, "restore", json!({"action": "resume", "restore_id": restore_id})).await;
    assert_eq!(reply["status"], "completed", "{reply}");
    assert_same_dump(&before, &dump(&stack, &stack.postgres.url_of(&copy)).await);
    drop_database(&stack, &copy).await;
}

#[tokio::test]
async fn what_nobody_began_is_not_found() {
    let stack = archive_stack().start().await.unwrap();
    for action in ["resume", "status"] {
        let unknown = json!({"action": action, "restore_id": "20200101T000000Z-restore-00000000"});
        let (error_type, message) = fail(&stack, "restore", unknown).await;
        assert_eq!(error_type, "RestoreNotFound", "{message}");
    }
}
