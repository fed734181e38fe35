//! A backup of a newer Postgres on an older server: whole where the older one knows all that is in it, else refused with
//! the object's name, without a row, and without a database left behind.

use serde_json::{Value, json};
use stack::postgres::Major;

use super::{assert_same_but_for_public, move_to, moved_by_pg_dump, restored_on};
use crate::archive_stack::{
    archive_stack, every_kind_of_value, execute, fail, full_backup, id_of, target, texts,
};

#[tokio::test]
async fn what_the_older_one_knows_comes_back_whole_with_a_warning() {
    let stack = archive_stack().major(Major::V18).start().await.unwrap();
    every_kind_of_value(&stack).await;
    let expected = moved_by_pg_dump(&stack, Major::V14).await;
    let backup_id = id_of(&full_backup(&stack).await);

    let (restored, found) = restored_on(&stack, Major::V14, &backup_id).await;

    assert!(restored["tables"].as_array().unwrap().iter().all(|table| table["digest_equal"] == true));
    let [Value::String(warning)] = &restored["warnings"].as_array().unwrap()[..] else {
        panic!("{restored}");
    };
    assert!(warning.contains("Postgres 18") && warning.contains("Postgres 14"), "{warning}");
    assert!(warning.contains("use Postgres 18 or later"), "{warning}");
    assert_same_but_for_public(&expected, &found);
}

/// What `sql` makes on `newer` cannot be restored on `older`; the error has `object` and not `row`.
async fn is_refused(newer: Major, older: Major, sql: &str, object: &str, row: &str) {
    let stack = archive_stack().major(newer).start().await.unwrap();
    execute(&stack.database_url, sql).await;
    let backup_id = id_of(&full_backup(&stack).await);
    let server = move_to(&stack, older).await;
    let copy = target("older");

    let request = json!({"action": "backup_restore", "backup_id": backup_id, "target_database": copy});
    let (error_type, message) = fail(&stack, "restore", request).await;

    assert_eq!(error_type, "NewerPostgresNeeded", "{message}");
    assert!(message.contains(object), "{object} is not named: {message}");
    assert!(message.contains(&format!("restore it on Postgres {newer} or later")), "{message}");
    assert!(!message.contains(row), "a row is quoted: {message}");
    assert!(message.contains("was dropped; production was not touched"), "{message}");
    let left = format!("SELECT datname::text FROM pg_database WHERE datname = '{copy}'");
    assert_eq!(texts(server.url(), &left).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_definition_that_only_the_newer_one_knows_is_named() {
    for (newer, older, sql, object) in [
        (
            Major::V18,
            Major::V17,
            "CREATE TABLE public.doubled (a int, b int GENERATED ALWAYS AS (a * 2) VIRTUAL)",
            "public.doubled",
        ),
        (
            Major::V15,
            Major::V14,
            "CREATE TABLE public.codes (code text, CONSTRAINT once UNIQUE NULLS NOT DISTINCT (code));
             INSERT INTO public.codes VALUES ('secret-code')",
            "once",
        ),
        (
            Major::V16,
            Major::V15,
            "CREATE COLLATION public.own_order (provider = icu, locale = 'und', rules = '&V << w <<< W')",
            "public.own_order",
        ),
    ] {
        is_refused(newer, older, sql, object, "secret-code").await;
    }
}

#[tokio::test]
async fn a_row_that_only_the_newer_one_can_hold_names_its_table_and_is_not_quoted() {
    let sql = "CREATE TABLE public.terms (id int, term interval);
        INSERT INTO public.terms VALUES (1, '1 day'), (4711, 'infinity')";
    is_refused(Major::V17, Major::V16, sql, "load table public.terms", "infinity").await;
}
