//! Which of several swaps is undone, and what it leaves behind.

use serde_json::{Value, json};
use stack::Stack;

use crate::archive_stack::{archive_stack, execute, fail, full_backup, succeed, target};
use crate::promote_stack::{copy_of, exists, production_of, promote, signed, text, tidy_up, which};

/// A table whose row says which database it is.
async fn named(stack: &Stack, name: &str) {
    let sql = format!("UPDATE public.which SET name = '{name}'");
    execute(&stack.database_url, &sql).await;
}

async fn swap(stack: &Stack, copy: &str) -> Value {
    let swapped = succeed(stack, "restore", signed(promote("swap", copy))).await;
    assert_eq!(swapped["status"], "promoted", "{swapped}");
    // What is kept is told apart by the second.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    swapped
}

#[tokio::test]
async fn of_several_swaps_the_last_is_undone_unless_another_is_named() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, "CREATE TABLE public.which AS SELECT 'backup' AS name").await;
    full_backup(&stack).await;
    let copies = [target("first"), target("second"), target("third")];
    for copy in &copies {
        copy_of(&stack, copy).await;
    }
    named(&stack, "production").await;
    let first = swap(&stack, &copies[0]).await;
    named(&stack, "after the first").await;
    swap(&stack, &copies[1]).await;
    named(&stack, "after the second").await;

    let undone = succeed(&stack, "restore", signed(json!({"action": "undo"}))).await;
    assert_eq!(
        (which(&stack).await.as_str(), &undone["kept_database"]),
        ("after the first", &json!(copies[1]))
    );
    swap(&stack, &copies[2]).await;
    let undo = signed(json!({"action": "undo", "target_database": first["kept_database"]}));
    succeed(&stack, "restore", undo).await;
    assert_eq!(which(&stack).await, "production");
    let unknown = signed(json!({"action": "undo", "target_database": target("none")}));
    assert_eq!(fail(&stack, "restore", unknown).await.0, "PromoteRefused");
    assert_eq!(which(&stack).await, "production");
    let copies: Vec<&str> = copies.iter().map(String::as_str).collect();
    tidy_up(&stack, &copies).await;
}

#[tokio::test]
async fn a_copy_whose_name_is_taken_meanwhile_gets_another_and_is_kept_for_its_writes() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, "CREATE TABLE public.which AS SELECT 'backup' AS name").await;
    full_backup(&stack).await;
    let (production, copy) = (production_of(&stack), target("taken"));
    copy_of(&stack, &copy).await;
    named(&stack, "production").await;
    swap(&stack, &copy).await;
    named(&stack, "written meanwhile").await;
    copy_of(&stack, &copy).await;

    let undone = succeed(&stack, "restore", signed(json!({"action": "undo"}))).await;

    assert_eq!(which(&stack).await, "production");
    let aside = undone["kept_database"].as_str().unwrap();
    assert!(aside.starts_with(&format!("{production}_undone_")), "{undone}");
    let written = text(&stack.postgres.url_of(aside), "SELECT name FROM public.which").await;
    assert_eq!(written.as_deref(), Some("written meanwhile"));
    let discard = signed(json!({"action": "discard", "target_database": aside}));
    let (error_type, message) = fail(&stack, "restore", discard).await;
    assert!(error_type == "PromoteRefused" && message.contains("written meanwhile"), "{message}");
    assert!(exists(&stack, aside).await);
    tidy_up(&stack, &[&copy]).await;
}
