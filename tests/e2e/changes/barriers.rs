//! Across what no replay goes, and what an error says then.

use recoup::changes::ChangesError;
use serde_json::json;
use stack::Stack;
use time::{Duration, OffsetDateTime};

use super::apply::{
    assert_same, base, captured_orders, changes_stack, export, now, plan, state_at, state_now,
};
use crate::archive_stack::{execute, full_backup, id_of, succeed};

async fn refused(stack: &Stack, full: &str, target: OffsetDateTime) -> ChangesError {
    plan(stack, full, target).await.expect_err("refused")
}

#[tokio::test]
async fn a_definition_that_changed_is_a_barrier_from_the_last_export_to_the_next_full_backup() {
    let ways = [
        ("ALTER TABLE public.orders ADD COLUMN note text", "was altered"),
        ("ALTER TABLE public.orders ALTER COLUMN amount TYPE numeric", "was altered"),
        ("ALTER TABLE public.orders DROP COLUMN amount", "was altered"),
        ("ALTER TABLE public.orders DROP CONSTRAINT positive", "was altered"),
        ("ALTER TYPE public.state ADD VALUE 'shipped'", "was altered"),
        ("ALTER TABLE public.orders RENAME TO sales", "was altered"),
        (
            "ALTER TABLE public.orders DISABLE TRIGGER recoup_capture_delete;
            ALTER TABLE public.orders ENABLE ALWAYS TRIGGER recoup_capture_delete",
            "was altered",
        ),
        ("ALTER TABLE public.orders DISABLE TRIGGER recoup_capture_update", "ceased to be captured"),
        ("SELECT recoup.release_table('public.orders')", "ceased to be captured"),
        ("DROP TABLE public.orders", "ceased to be captured"),
        ("SELECT recoup.capture_table('public.others')", "began to be captured"),
    ];
    for (way, what) in ways {
        let stack = changes_stack().start().await.unwrap();
        execute(
            &stack.database_url,
            "CREATE TYPE public.state AS ENUM ('new');
            CREATE TABLE public.orders (id int PRIMARY KEY, amount int CONSTRAINT positive CHECK (amount > 0), state public.state);
            CREATE TABLE public.others (id int PRIMARY KEY);
            SELECT recoup.capture_table('public.orders')",
        )
        .await;
        let full = base(&stack).await;
        execute(&stack.database_url, "INSERT INTO public.orders VALUES (1, 5, 'new')").await;
        let (before, before_at) = (state_now(&stack).await, now(&stack).await);
        export(&stack).await;
        execute(&stack.database_url, way).await;
        let after = now(&stack).await;
        let exported = export(&stack).await;
        assert!(!exported["barriers"].as_array().unwrap().is_empty(), "{way}: {exported}");
        assert_same(&before, &state_at(&stack, &full, before_at).await);

        let error = refused(&stack, &full, after).await;
        assert_eq!(error.error_type(), "InstantAcrossDefinitionChange", "{way}: {error}");
        let message = error.to_string();
        assert!(message.contains(what) && message.contains("take one now"), "{way}: {message}");
        // The next full backup shows what came after, whether it was taken before the next export or after it.
        let next = id_of(&full_backup(&stack).await);
        export(&stack).await;
        let message = refused(&stack, &full, after).await.to_string();
        assert!(message.contains(&next), "{way}: {message}");
        let latest = now(&stack).await;
        export(&stack).await;
        plan(&stack, &next, latest).await.unwrap_or_else(|error| panic!("{way}: {error}"));
    }
}

#[tokio::test]
async fn a_full_backup_right_after_a_change_of_definition_is_enough() {
    let stack = changes_stack().start().await.unwrap();
    captured_orders(&stack).await;
    base(&stack).await;
    // A row of before, with one column, is in the same segment as those of after: the backup shows it already.
    execute(&stack.database_url, "INSERT INTO public.orders VALUES (7)").await;
    execute(&stack.database_url, "ALTER TABLE public.orders ADD COLUMN note text").await;
    let full = id_of(&full_backup(&stack).await);
    execute(&stack.database_url, "INSERT INTO public.orders VALUES (1, 'new')").await;
    let (expected, at) = (state_now(&stack).await, now(&stack).await);
    export(&stack).await;
    assert_same(&expected, &state_at(&stack, &full, at).await);
}

#[tokio::test]
async fn instants_that_cannot_be_restored_say_which_can() {
    let stack = changes_stack().start().await.unwrap();
    // A full backup before there is a chain.
    let alone = id_of(&full_backup(&stack).await);
    let lonely = now(&stack).await;
    let full = base(&stack).await;
    let reached: OffsetDateTime = {
        let exported = export(&stack).await;
        OffsetDateTime::parse(
            exported["taken_at"].as_str().unwrap(),
            &time::format_description::well_known::Rfc3339,
        )
        .unwrap()
    };
    let gap = refused(&stack, &alone, lonely).await;
    assert!(matches!(&gap, ChangesError::Gap { after: Some(after), .. } if *after > lonely), "{gap}");
    let late = refused(&stack, &full, reached + Duration::seconds(1)).await;
    assert!(matches!(late, ChangesError::AfterLastChange { newest, .. } if newest == reached), "{late}");
    plan(&stack, &full, reached).await.unwrap();

    // A segment is lost: what lies before it can be restored, and what lies after the next full backup.
    let segments: Vec<String> = {
        export(&stack).await;
        export(&stack).await;
        let objects = stack.s3.list("v1/changes/").await.unwrap();
        objects.into_iter().map(|object| object.key).filter(|key| key.ends_with("/manifest.json")).collect()
    };
    assert_eq!(segments.len(), 4, "{segments:?}");
    let beyond = now(&stack).await;
    export(&stack).await;
    stack.s3.delete(&segments[2]).await.unwrap();
    let next = id_of(&full_backup(&stack).await);
    let error = refused(&stack, &full, beyond).await;
    let ChangesError::Gap { before, after, ref reason, .. } = error else { panic!("{error}") };
    assert_eq!((before, reason.contains("segment 2")), (Some(reached), true), "{error}");
    assert!(after.is_some_and(|after| after > beyond), "{error}");
    plan(&stack, &full, reached).await.unwrap();
    let last = now(&stack).await;
    export(&stack).await;
    plan(&stack, &next, last).await.unwrap();
}

#[tokio::test]
async fn tables_that_are_not_captured_are_named() {
    let stack = changes_stack().env("verify", "BACKUP_SCHEMAS", "public,recoup").start().await.unwrap();
    execute(
        &stack.database_url,
        "CREATE TABLE public.kept (id int PRIMARY KEY); CREATE TABLE public.lost (id int PRIMARY KEY);
        SELECT recoup.capture_table('public.kept')",
    )
    .await;
    let full = base(&stack).await;
    let at = now(&stack).await;
    let exported = export(&stack).await;
    assert_eq!(exported["not_captured"][0]["table"], "public.lost", "{exported}");
    let not_captured = plan(&stack, &full, at).await.unwrap().not_captured;
    assert!(not_captured.contains(&"public.lost".to_owned()), "{not_captured:?}");
    assert!(!not_captured.contains(&"public.kept".to_owned()), "{not_captured:?}");
    // A trigger that somebody switched off.
    let list = json!({"action": "capture"});
    execute(&stack.database_url, "ALTER TABLE public.kept DISABLE TRIGGER USER").await;
    let listed = succeed(&stack, "backup", list).await;
    let why = listed["not_captured"][0]["why"].as_str().unwrap();
    assert!(listed["not_captured"][0]["table"] == "public.kept" && why.contains("switched off"), "{listed}");
}
