//! Single rows of a copy into production, by their keys.

use serde_json::{Value, json};

use crate::archive_stack::{archive_stack, execute, fail, full_backup, id_of, succeed, target, texts};
use crate::promote_stack::{copy_of, promote, signed, tidy_up, with};

#[tokio::test]
async fn only_the_rows_with_the_named_keys_are_overwritten() {
    let stack = archive_stack().start().await.unwrap();
    execute(
        &stack.database_url,
        "CREATE TABLE public.prices (shop text, item int, cents int, PRIMARY KEY (shop, item));
        INSERT INTO public.prices SELECT 'a', i, i * 100 FROM generate_series(1, 50) AS i;",
    )
    .await;
    full_backup(&stack).await;
    let copy = target("keys");
    copy_of(&stack, &copy).await;
    execute(&stack.database_url, "UPDATE public.prices SET cents = 7; DELETE FROM public.prices WHERE item = 3; INSERT INTO public.prices VALUES ('b', 1, 7), ('b', 2, 7)").await;
    let keys = json!({"public.prices": [{"shop": "a", "item": 2}, {"shop": "a", "item": "3"}, {"shop": "b", "item": 1}]});
    let request = with(promote("overwrite", &copy), "keys", keys);

    let done = succeed(&stack, "restore", signed(request.clone())).await;

    let prices = &done["tables"][0];
    assert_eq!(
        (&prices["inserted"], &prices["updated"], &prices["deleted"]),
        (&json!(1), &json!(1), &json!(1))
    );
    let found = "SELECT concat(shop, item, ' ', cents) FROM public.prices WHERE item < 4";
    assert_eq!(texts(&stack.database_url, found).await, ["a1 7", "a2 200", "a3 300", "b2 7"]);
    for keys in [
        json!({"public.prices": [{"shop": "a"}]}),
        json!({"public.prices": []}),
        json!({"public.none": [{"a": 1}]}),
        json!({"public.prices": vec![json!({"shop": "a", "item": 1}); 1001]}),
    ] {
        let (error_type, message) = fail(&stack, "restore", with(request.clone(), "keys", keys)).await;
        assert_eq!(error_type, "InvalidRequest", "{message}");
    }
    tidy_up(&stack, &[&copy]).await;
}

#[tokio::test]
async fn a_copy_that_is_a_part_changes_rows_and_deletes_none() {
    let stack = archive_stack().start().await.unwrap();
    execute(
        &stack.database_url,
        "CREATE TABLE public.prices (id int PRIMARY KEY, cents int, created_at timestamptz NOT NULL);
        INSERT INTO public.prices SELECT i, i, timestamptz '2026-01-01' + i * interval '1 day' FROM generate_series(1, 9) AS i;",
    )
    .await;
    let window = json!({
        "backup_type": "tables", "tables": ["public.prices"], "date_from": "2026-01-06T00:00:00Z",
        "date_to": "2026-02-01T00:00:00Z",
    });
    let backup_id = id_of(&succeed(&stack, "backup", window).await);
    let copy = target("window");
    let request = json!({"action": "backup_restore", "backup_id": backup_id, "target_database": copy});
    assert_eq!(succeed(&stack, "restore", request).await["partial"], true);
    execute(&stack.database_url, "UPDATE public.prices SET cents = 0").await;
    let of = |ids: &[i32]| {
        let keys: Vec<Value> = ids.iter().map(|id| json!({"id": id})).collect();
        signed(with(promote("overwrite", &copy), "keys", json!({"public.prices": keys})))
    };

    // Row 1 is none that the copy knows to be gone: it was made before the window.
    let (error_type, message) = fail(&stack, "restore", of(&[1, 8])).await;
    assert_eq!(error_type, "PromoteRefused", "{message}");
    assert!(message.contains("1 rows of public.prices") && message.contains("\"force\""), "{message}");
    let changed = "SELECT id::text FROM public.prices WHERE cents > 0";
    assert_eq!(texts(&stack.database_url, changed).await, Vec::<String>::new());
    succeed(&stack, "restore", of(&[8])).await;
    assert_eq!(texts(&stack.database_url, changed).await, ["8"]);
    let forced = with(of(&[1]), "force", json!(copy));
    assert_eq!(succeed(&stack, "restore", forced).await["tables"][0]["deleted"], 1);
    tidy_up(&stack, &[&copy]).await;
}
