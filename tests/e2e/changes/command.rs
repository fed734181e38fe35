//! Tables are captured by command, and all of our own without one.

use serde_json::{Value, json};

use super::apply::changes_stack;
use crate::archive_stack::{execute, fail, succeed, texts};

const SHOP: &str = "CREATE SCHEMA \"My shop\";
    CREATE TABLE \"My shop\".\"Ord\"\"ers\" (id int PRIMARY KEY);
    CREATE TABLE public.loose (id int, note text);
    CREATE TABLE public.late (id int UNIQUE DEFERRABLE);
    CREATE TABLE public.base (id int PRIMARY KEY); CREATE TABLE public.heir (more int) INHERITS (public.base);
    CREATE TABLE public.unique_one (id int NOT NULL UNIQUE, note text)";

fn order(action: &str, tables: &[&str], dry_run: bool) -> Value {
    json!({"action": action, "tables": tables, "dry_run": dry_run, "actor": "ada", "reason": "to the minute"})
}

fn tables(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|table| table["table"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn capture_and_release_are_dry_by_default_audited_and_all_or_nothing() {
    let stack = changes_stack().start().await.unwrap();
    execute(&stack.database_url, SHOP).await;
    let both = ["\"My shop\".\"Ord\"\"ers\"", "public.unique_one"];
    let triggers = "SELECT tgname::text FROM pg_trigger WHERE tgname LIKE 'recoup_capture%' AND tgrelid = 'public.unique_one'::regclass";

    let dry = succeed(&stack, "backup", order("capture", &both, true)).await;
    assert!(tables(&dry["captured"]).contains(&"public.unique_one"), "{dry}");
    assert_eq!(texts(&stack.database_url, triggers).await, Vec::<String>::new());
    let done = succeed(&stack, "backup", order("capture", &both, false)).await;
    assert_eq!((&done["dry_run"], &done["action"]), (&json!(false), &json!("capture")));
    assert_eq!(texts(&stack.database_url, triggers).await.len(), 5);
    let (error_type, message) = fail(&stack, "backup", order("capture", &both, false)).await;
    assert!(error_type == "UnknownTable" && message.contains("captured already"), "{message}");

    let released = succeed(&stack, "backup", order("release", &both[1..], false)).await;
    assert!(!tables(&released["captured"]).contains(&"public.unique_one"), "{released}");
    assert!(tables(&released["not_captured"]).contains(&"public.unique_one"), "{released}");
    assert_eq!(texts(&stack.database_url, triggers).await, Vec::<String>::new());
    let audited =
        "SELECT actor || ' ' || action || ' ' || reason || ' ' || after::text FROM recoup.audit_log";
    let log = texts(&stack.database_url, audited).await;
    assert_eq!(log.len(), 2, "{log:?}");
    assert!(log[0].starts_with("ada capture to the minute") && log[0].contains("unique_one"), "{log:?}");
    assert!(log[1].starts_with("ada release to the minute"), "{log:?}");
}

#[tokio::test]
async fn what_cannot_be_captured_is_refused_with_the_remedy() {
    let stack = changes_stack().start().await.unwrap();
    execute(&stack.database_url, SHOP).await;
    for (table, why) in [
        ("public.loose", "Give it a primary key"),
        ("public.late", "Give it a primary key"),
        ("public.base", "partitioned"),
        ("public.heir", "partitioned"),
        ("public.nowhere", "no such table"),
        ("pg_catalog.pg_class", "permission denied"),
    ] {
        let both = [table, "public.unique_one"];
        let (error_type, message) = fail(&stack, "backup", order("capture", &both, false)).await;
        assert!(message.contains(why), "{table}: {error_type} {message}");
    }
    let captured = "SELECT table_name FROM recoup.captured WHERE table_id >= 1000";
    assert_eq!(texts(&stack.database_url, captured).await, Vec::<String>::new(), "none of two");
    let (_, message) = fail(&stack, "backup", order("release", &["public.loose"], false)).await;
    assert!(message.contains("not captured"), "{message}");
}

#[tokio::test]
async fn every_table_of_ours_is_captured_or_not_on_purpose() {
    let stack = changes_stack().start().await.unwrap();
    let captured = "SELECT table_name FROM recoup.captured WHERE schema_name = 'recoup' AND complete";
    let mut known = texts(&stack.database_url, captured).await;
    known.extend(recoup::changes::uncaptured::NOT_CAPTURED.map(str::to_owned));
    known.sort();
    let all = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'recoup'";
    assert_eq!(texts(&stack.database_url, all).await, known);
}

#[tokio::test]
async fn who_writes_needs_no_right_on_what_is_captured() {
    let stack = changes_stack().start().await.unwrap();
    execute(
        &stack.database_url,
        "CREATE TABLE public.orders (id int PRIMARY KEY);
        SELECT recoup.capture_table('public.orders');
        DO $$ BEGIN CREATE ROLE recoup_test_shop; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
        GRANT ALL ON public.orders TO recoup_test_shop",
    )
    .await;
    execute(
        &stack.database_url,
        "SET ROLE recoup_test_shop; INSERT INTO public.orders VALUES (1); UPDATE public.orders SET id = 2; TRUNCATE public.orders",
    )
    .await;
    let written = "SELECT operation::text FROM recoup.row_changes";
    assert_eq!(texts(&stack.database_url, written).await, ["D", "I", "T", "U"]);
    execute(&stack.database_url, "DROP OWNED BY recoup_test_shop").await;
}
