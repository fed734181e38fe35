//! Restores that something ends for good: nothing of them remains, and the message says what to do.

use serde_json::json;

use crate::archive_stack::{
    archive_stack, databases_like, drop_database, execute, fail, full_backup, id_of, succeed, target,
};

/// A table whose rows do not fit on the disk, except where they come from.
const FULL: &str = "
    CREATE TABLE public.place (origin text);
    INSERT INTO public.place VALUES (current_database());
    CREATE FUNCTION public.fits(a int) RETURNS boolean LANGUAGE plpgsql AS $$
    BEGIN
        IF a > 900 AND current_database() LIKE 'recoup\\_test\\_full%' THEN
            RAISE 'could not extend file \"base/1/2\": No space left on device' USING ERRCODE = 'disk_full';
        END IF;
        RETURN true;
    END $$;
    CREATE TABLE public.many (a int CHECK (public.fits(a)));
    INSERT INTO public.many SELECT generate_series(1, 1000);";

#[tokio::test]
async fn a_full_disk_ends_the_restore_and_gives_its_room_back() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, FULL).await;
    full_backup(&stack).await;
    let copy = target("full");
    let request =
        |copy: &str| json!({"action": "backup_restore", "backup_id": "latest", "target_database": copy});

    let (error_type, message) = fail(&stack, "restore", request(&copy)).await;

    assert_eq!(error_type, "DatabaseUnavailable", "{message}");
    for part in
        ["load table public.many", "disk is full: make room", "was dropped; production was not touched"]
    {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(databases_like(&stack, &copy).await, Vec::<String>::new());
    let roomy = target("roomy");
    assert_eq!(succeed(&stack, "restore", request(&roomy)).await["status"], "completed");
    drop_database(&stack, &roomy).await;
}

#[tokio::test]
async fn an_object_that_turns_out_to_be_damaged_ends_the_restore() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, FULL).await;
    let backup_id = id_of(&full_backup(&stack).await);
    let object = "data/public.many/00000.copy.zst.age";
    let key = format!("v1/backups/{backup_id}/{object}");
    let mut bytes = stack.s3.read(&key).await.unwrap().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let put = stack.s3.client().put_object().bucket(stack.s3.bucket()).key(&key);
    put.body(bytes.into()).send().await.unwrap();
    let copy = target("damaged");

    let request = json!({"action": "backup_restore", "backup_id": backup_id, "target_database": copy});
    let (error_type, message) = fail(&stack, "restore", request).await;

    assert_eq!(error_type, "BackupDamaged", "{message}");
    assert!(message.contains(object) && message.contains("was dropped"), "{message}");
    assert_eq!(databases_like(&stack, &copy).await, Vec::<String>::new());
}
