//! Damage: whatever is changed in a backup, `verify` names it and `restore` refuses it.

use serde_json::json;
use stack::Stack;

use crate::archive_stack::{
    archive_stack, databases_like, execute, fail, full_backup, id_of, succeed, target,
};

/// A small backup in which every kind of object occurs, and the keys of its objects inside its folder.
async fn backed_up(stack: &Stack) -> (String, Vec<String>) {
    execute(
        &stack.database_url,
        "CREATE TABLE IF NOT EXISTS public.one (a int PRIMARY KEY, b text);
        CREATE TABLE IF NOT EXISTS public.two (a int REFERENCES public.one);
        INSERT INTO public.one SELECT i, md5(i::text) FROM generate_series(1, 2000) AS i ON CONFLICT DO NOTHING;
        INSERT INTO public.two SELECT a FROM public.one;",
    )
    .await;
    let backup_id = id_of(&full_backup(stack).await);
    let folder = format!("v1/backups/{backup_id}/");
    let objects = stack.s3.list(&folder).await.unwrap();
    let keys = objects.into_iter().map(|object| object.key[folder.len()..].to_owned()).collect();
    (backup_id, keys)
}

/// `verify` must name `object`, and `restore` must name it and leave no database behind.
async fn assert_found(stack: &Stack, backup_id: &str, object: &str, how: &str) {
    let (error_type, message) =
        fail(stack, "verify", json!({"action": "full", "backup_id": backup_id})).await;
    assert_eq!(error_type, "BackupDamaged", "{object} {how}: {message}");
    assert!(message.contains(object), "{object} {how}: verify says {message}");

    let copy = target("damaged");
    let request = json!({"action": "backup_restore", "backup_id": backup_id, "target_database": copy});
    let (error_type, message) = fail(stack, "restore", request).await;
    assert_eq!(error_type, "BackupDamaged", "{object} {how}: {message}");
    assert!(message.contains(object), "{object} {how}: restore says {message}");
    assert_eq!(databases_like(stack, &copy).await, Vec::<String>::new(), "{object} {how}");
}

#[tokio::test]
async fn one_flipped_byte_in_any_object_is_found_and_named() {
    let stack = archive_stack().start().await.unwrap();
    let (backup_id, keys) = backed_up(&stack).await;
    for kind in
        ["manifest.json", "RESTORE.md", "schema.sql.age", "summary/", "data/public.one/", "data/public.two/"]
    {
        assert!(keys.iter().any(|key| key.starts_with(kind)), "no {kind} among {keys:?}");
    }

    for object in &keys {
        let key = format!("v1/backups/{backup_id}/{object}");
        let size = stack.s3.read(&key).await.unwrap().len();
        for position in [0, size / 2, size - 1] {
            stack.s3.flip_byte(&key, position).await.unwrap();
            assert_found(&stack, &backup_id, object, &format!("flipped at {position}")).await;
            stack.s3.flip_byte(&key, position).await.unwrap();
        }
    }
    succeed(&stack, "verify", json!({"action": "full", "backup_id": backup_id})).await;
}

#[tokio::test]
async fn what_is_cut_lengthened_missing_or_too_much_is_found_and_named() {
    let stack = archive_stack().start().await.unwrap();
    let (backup_id, keys) = backed_up(&stack).await;

    for object in keys.iter().filter(|key| *key != "manifest.json") {
        let key = format!("v1/backups/{backup_id}/{object}");
        let whole = stack.s3.read(&key).await.unwrap();
        stack.s3.write(&key, whole.slice(..whole.len() - 1)).await.unwrap();
        assert_found(&stack, &backup_id, object, "cut").await;
        let (error_type, message) =
            fail(&stack, "verify", json!({"action": "quick", "backup_id": backup_id})).await;
        assert!(error_type == "BackupDamaged" && message.contains(object), "quick: {message}");
        stack.s3.write(&key, [&whole[..], b"\0"].concat()).await.unwrap();
        assert_found(&stack, &backup_id, object, "lengthened").await;
        stack.s3.delete(&key).await.unwrap();
        assert_found(&stack, &backup_id, object, "deleted").await;
        stack.s3.write(&key, whole).await.unwrap();
    }

    let manifest = format!("v1/backups/{backup_id}/manifest.json");
    let whole = stack.s3.read(&manifest).await.unwrap();
    stack.s3.write(&manifest, whole.slice(..whole.len() / 2)).await.unwrap();
    assert_found(&stack, &backup_id, "manifest.json", "cut").await;
    stack.s3.delete(&manifest).await.unwrap();
    for (function, payload) in [
        ("verify", json!({"action": "full", "backup_id": backup_id})),
        ("restore", json!({"action": "backup_restore", "backup_id": backup_id})),
    ] {
        let (error_type, message) = fail(&stack, function, payload).await;
        assert_eq!(error_type, "BackupNotFound");
        assert!(message.contains("no manifest.json"), "{message}");
    }
    stack.s3.write(&manifest, whole).await.unwrap();

    let stray = format!("v1/backups/{backup_id}/data/public.one/99999.copy.zst.age");
    stack.s3.write(&stray, "stray").await.unwrap();
    assert_found(&stack, &backup_id, "data/public.one/99999.copy.zst.age", "added").await;
}

#[tokio::test]
async fn what_is_swapped_with_another_backups_is_found_and_named() {
    let stack = archive_stack().start().await.unwrap();
    let (first, keys) = backed_up(&stack).await;
    let (second, _) = backed_up(&stack).await;

    for object in keys.iter().filter(|key| !key.starts_with("summary/")) {
        let (key, other) = (format!("v1/backups/{first}/{object}"), format!("v1/backups/{second}/{object}"));
        let whole = stack.s3.read(&key).await.unwrap();
        let strange = stack.s3.read(&other).await.unwrap();
        stack.s3.write(&key, strange).await.unwrap();
        assert_found(&stack, &first, object, "swapped").await;
        stack.s3.write(&key, whole).await.unwrap();
    }
}
