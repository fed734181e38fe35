//! A copy on another server than production's: it is compared, and its rows go live, as if it were beside it.

use serde_json::{Value, json};
use stack::Stack;
use stack::postgres::{Postgres, PostgresOptions};

use crate::archive_stack::{
    archive_stack, databases_like, execute, fail, full_backup, succeed, target, texts,
};
use crate::promote_stack::{promote, signed, text};

const SHOP: &str = "
    CREATE TABLE public.people (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, price float8);
    CREATE TABLE public.notes (id int PRIMARY KEY, person bigint REFERENCES public.people, at timestamptz);
    INSERT INTO public.people (name, price) SELECT 'n' || i, i / 3.0 FROM generate_series(1, 500) AS i;
    INSERT INTO public.notes SELECT i, i, timestamptz '2026-03-29 01:30+00' + i * interval '1 hour' FROM generate_series(1, 500) AS i;";

const ROWS: [&str; 2] = ["SELECT p::text FROM public.people AS p", "SELECT n::text FROM public.notes AS n"];

async fn rows(stack: &Stack) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for sql in ROWS {
        rows.push(texts(&stack.database_url, sql).await);
    }
    rows
}

/// A shop, and a copy of it on a server whose defaults are others.
async fn shop_and_copy() -> (Stack, Postgres, String, String) {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, SHOP).await;
    full_backup(&stack).await;
    let other = Postgres::start(PostgresOptions::default()).await.unwrap();
    execute(
        other.url(),
        "ALTER ROLE CURRENT_USER SET TimeZone = 'Asia/Kolkata'; ALTER ROLE CURRENT_USER SET extra_float_digits = -5",
    )
    .await;
    let secret = stack.secrets.put("restore-target", &json!({"url": other.url()})).await.unwrap();
    let copy = target("elsewhere");
    let request = json!({
        "action": "backup_restore", "backup_id": "latest", "target_database": copy, "target_secret": secret,
    });
    succeed(&stack, "restore", request).await;
    assert_eq!(databases_like(&stack, &copy).await, Vec::<String>::new());
    (stack, other, secret, copy)
}

fn there(mut request: Value, secret: &str) -> Value {
    request["target_secret"] = json!(secret);
    request["tables"] = json!(["public.people", "public.notes"]);
    request
}

#[tokio::test]
async fn rows_of_a_copy_on_another_server_are_compared_and_go_live() {
    let (stack, other, secret, copy) = shop_and_copy().await;
    let before = rows(&stack).await;
    let compare = there(json!({"action": "compare", "target_database": copy}), &secret);
    assert_eq!(succeed(&stack, "restore", compare.clone()).await["result"], "equal");
    let lose = "DELETE FROM public.notes WHERE id > 490; DELETE FROM public.people WHERE id > 490";
    execute(&stack.database_url, lose).await;

    let compared = succeed(&stack, "restore", compare.clone()).await;
    let missing = |table: usize| &compared["tables"][table]["missing_in_production"];
    assert_eq!((missing(0), missing(1)), (&json!(10), &json!(10)), "{compared}");
    let merge = there(promote("merge_missing", &copy), &secret);
    let planned = succeed(&stack, "restore", merge.clone()).await;
    assert_ne!(rows(&stack).await, before);
    let merged = succeed(&stack, "restore", signed(merge)).await;
    assert_eq!((&merged["status"], &merged["tables"]), (&json!("promoted"), &planned["tables"]));
    assert_eq!(rows(&stack).await, before);
    // The next person's number is one that nobody has had.
    execute(&stack.database_url, "INSERT INTO public.people (name) VALUES ('next')").await;

    let spoil = "UPDATE public.people SET name = 'x' WHERE id < 5; DELETE FROM public.notes WHERE id = 7";
    execute(&stack.database_url, spoil).await;
    let overwritten = there(promote("overwrite", &copy), &secret);
    succeed(&stack, "restore", signed(overwritten)).await;
    assert_eq!(rows(&stack).await, before);
    assert_eq!(succeed(&stack, "restore", compare).await["result"], "equal");
    let log =
        "SELECT (before ->> 'target_database') || ' ' || (before ->> 'target_server') FROM recoup.audit_log";
    let (_, server) = other.url().split_once('@').unwrap();
    let server = format!("{copy} {}", server.split_once('/').unwrap().0);
    assert_eq!(texts(&stack.database_url, log).await, [server.clone(), server]);
}

#[tokio::test]
async fn what_a_copy_on_another_server_is_not_fit_for_is_refused() {
    let (stack, other, secret, copy) = shop_and_copy().await;
    let mut swap = signed(promote("swap", &copy));
    swap["target_secret"] = json!(secret);
    let (error_type, message) = fail(&stack, "restore", swap).await;
    assert_eq!(error_type, "InvalidRequest");
    assert!(message.contains("merge_missing") && message.contains("production's"), "{message}");

    // A copy is looked for where it is said to be, and only there.
    let here = signed(promote("merge_missing", &copy));
    let (error_type, message) = fail(&stack, "restore", here).await;
    assert!(error_type == "DatabaseMissing" && message.contains("target_secret"), "{message}");
    let other_name = signed(there(promote("merge_missing", &target("none")), &secret));
    let (error_type, message) = fail(&stack, "restore", other_name).await;
    assert!(error_type == "DatabaseMissing" && message.contains(&copy), "{message}");

    // And what was not proven there is not taken.
    execute(
        other.url(),
        &format!("COMMENT ON DATABASE {copy} IS 'recoup staging: incomplete, from backup x'"),
    )
    .await;
    execute(&stack.database_url, "DELETE FROM public.notes").await;
    for mode in ["merge_missing", "overwrite"] {
        let request = signed(there(promote(mode, &copy), &secret));
        let (error_type, message) = fail(&stack, "restore", request).await;
        assert!(error_type == "PromoteRefused" && message.contains("incomplete"), "{message}");
    }
    let left = text(&stack.database_url, "SELECT count(*)::text FROM public.notes").await;
    assert_eq!(left.as_deref(), Some("0"));
}
