//! Damage: whatever is changed in a backup, `verify` names it and `restore` refuses it.

use serde_json::json;
use stack::Stack;

use crate::archive_stack::{archive_stack, databases_like, execute, fail, id_of, succeed, target};

/// A small backup in which every kind of object occurs, and the keys of its objects inside its folder.
pub async fn backed_up(stack: &Stack, format: &str) -> (String, Vec<String>) {
    execute(
        &stack.database_url,
        "CREATE TABLE IF NOT EXISTS public.one (a int PRIMARY KEY, b text);
        CREATE TABLE IF NOT EXISTS public.two (a int REFERENCES public.one);
        INSERT INTO public.one SELECT i, md5(i::text) FROM generate_series(1, 2000) AS i ON CONFLICT DO NOTHING;
        INSERT INTO public.two SELECT a FROM public.one;",
    )
    .await;
    let request = json!({"backup_type": "full", "format": format});
    let backup_id = id_of(&succeed(stack, "backup", request).await);
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
    let (backup_id, keys) = backed_up(&stack, "copy").await;
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
    let (backup_id, keys) = backed_up(&stack, "copy").await;

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

/// Puts `other`'s bytes in the place of `key`'s, sees that it is found, and puts them back.
async fn assert_swap_is_found(stack: &Stack, backup_id: &str, object: &str, other: &str, how: &str) {
    let key = format!("v1/backups/{backup_id}/{object}");
    let whole = stack.s3.read(&key).await.unwrap();
    let strange = stack.s3.read(other).await.unwrap();
    assert_ne!(whole, strange, "{object} and {other} are the same");
    stack.s3.write(&key, strange).await.unwrap();
    assert_found(stack, backup_id, object, how).await;
    stack.s3.write(&key, whole).await.unwrap();
}

async fn assert_whole(stack: &Stack, backup_id: &str) {
    succeed(stack, "verify", json!({"action": "full", "backup_id": backup_id})).await;
}

#[tokio::test]
async fn what_is_swapped_with_another_backups_is_found_and_named() {
    let stack = archive_stack().start().await.unwrap();
    let (first, keys) = backed_up(&stack, "copy").await;
    let (second, keys_of_second) = backed_up(&stack, "copy").await;

    for object in &keys {
        // A summary's name tells of its backup; every other object has the same name in both.
        let name = object.split_once('/').filter(|(folder, _)| *folder == "summary");
        let same = |key: &&String| name.map_or(*key == object, |_| key.starts_with("summary/"));
        let other = keys_of_second.iter().find(same).unwrap();
        let other_key = format!("v1/backups/{second}/{other}");
        assert_swap_is_found(&stack, &first, object, &other_key, "swapped").await;
    }
    assert_whole(&stack, &first).await;

    let summary = |keys: &[String]| keys.iter().find(|key| key.starts_with("summary/")).unwrap().clone();
    let (own, strange) = (summary(&keys), summary(&keys_of_second));
    assert_ne!(own, strange);
    let text = stack.s3.read(&format!("v1/backups/{second}/{strange}")).await.unwrap();
    stack.s3.write(&format!("v1/backups/{first}/{strange}"), text).await.unwrap();
    assert_found(&stack, &first, &strange, "added").await;
    stack.s3.delete(&format!("v1/backups/{first}/{own}")).await.unwrap();
    assert_found(&stack, &first, &own, "put in place of its own").await;
}

#[tokio::test]
async fn parts_that_changed_places_within_a_backup_are_found_and_named() {
    let stack = archive_stack().start().await.unwrap();
    // One row a page, so that a table of two parts is quick to make.
    execute(
        &stack.database_url,
        "CREATE TABLE public.pages (a int, b text);
        ALTER TABLE public.pages ALTER b SET STORAGE PLAIN;
        INSERT INTO public.pages SELECT i, repeat('x', 7000) FROM generate_series(1, 4500) AS i;",
    )
    .await;
    let (backup_id, keys) = backed_up(&stack, "copy").await;
    let parts_of = |table: &str| -> Vec<&String> {
        let folder = format!("data/public.{table}/");
        keys.iter().filter(|key| key.starts_with(&folder)).collect()
    };
    let (pages, one, two) = (parts_of("pages"), parts_of("one"), parts_of("two"));
    assert_eq!((pages.len(), one.len(), two.len()), (2, 1, 1), "{keys:?}");

    for (object, other) in [(one[0], two[0]), (two[0], one[0]), (pages[0], pages[1]), (pages[1], pages[0])] {
        let other_key = format!("v1/backups/{backup_id}/{other}");
        assert_swap_is_found(&stack, &backup_id, object, &other_key, "swapped within its backup").await;
    }
    assert_whole(&stack, &backup_id).await;
}

#[tokio::test]
async fn damage_is_found_in_every_format() {
    let stack = archive_stack().start().await.unwrap();
    for format in ["csv", "json"] {
        let (first, keys) = backed_up(&stack, format).await;
        let (second, _) = backed_up(&stack, format).await;
        let part = format!("data/public.one/00000.{format}.zst.age");
        assert!(keys.contains(&part), "{keys:?}");
        let key = format!("v1/backups/{first}/{part}");
        let whole = stack.s3.read(&key).await.unwrap();

        stack.s3.flip_byte(&key, whole.len() / 2).await.unwrap();
        assert_found(&stack, &first, &part, "flipped").await;
        stack.s3.write(&key, whole.slice(..whole.len() / 2)).await.unwrap();
        assert_found(&stack, &first, &part, "cut").await;
        stack.s3.delete(&key).await.unwrap();
        assert_found(&stack, &first, &part, "deleted").await;
        stack.s3.write(&key, whole).await.unwrap();
        let other = format!("v1/backups/{second}/{part}");
        assert_swap_is_found(&stack, &first, &part, &other, "swapped").await;
        assert_whole(&stack, &first).await;
    }
}

#[tokio::test]
async fn damage_is_found_by_whichever_recipient_reads() {
    let other = age::x25519::Identity::generate();
    let own = age::x25519::Identity::generate();
    let recipients = format!("{},{}", other.to_public(), own.to_public());
    let stack = archive_stack().env("backup", "BACKUP_AGE_RECIPIENTS", &recipients).start().await.unwrap();
    let (backup_id, _) = backed_up(&stack, "copy").await;
    let part = "data/public.one/00000.copy.zst.age";
    let key = format!("v1/backups/{backup_id}/{part}");
    let stored = stack.s3.read(&key).await.unwrap();
    let header = String::from_utf8_lossy(&stored);
    // A byte of each recipient's own stanza, which the other one never reads.
    let mut stanzas = header.match_indices("-> X25519 ").map(|(at, stanza)| at + stanza.len() + 5);
    let (first, second) = (stanzas.next().unwrap(), stanzas.next().unwrap());

    for identity in [other, own] {
        let text = age::secrecy::ExposeSecret::expose_secret(&identity.to_string()).to_owned();
        stack.secrets.put("backup-key", &json!({"identities": [text]})).await.unwrap();
        for position in [first, second, stored.len() - 1] {
            stack.s3.flip_byte(&key, position).await.unwrap();
            assert_found(&stack, &backup_id, part, &format!("flipped at {position}")).await;
            stack.s3.flip_byte(&key, position).await.unwrap();
        }
        assert_whole(&stack, &backup_id).await;
    }
}
