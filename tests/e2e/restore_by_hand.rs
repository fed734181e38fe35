//! RESTORE.md, followed to the letter: every `sh` block of the page that lies in a real backup, run as it stands by a
//! bash that has the programs which the page names, and nothing of ours. `pg_dump` judges what came back.

use std::path::Path;
use std::process::Output;
use std::str::FromStr;

use serde_json::{Value, json};
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use stack::shop::Shop;
use stack::{Stack, place};
use tokio::process::Command;

use crate::archive_stack::{
    archive_stack, assert_same_dump, databases_like, drop_copy, drop_database, dump, every_kind_of_value,
    execute, id_of, restore_copy, succeed, target,
};
use crate::backup_windows::{a_full_window, shop_of_november};
use crate::support::{eager, sell};

/// What the page asks for, besides `age` where the backup is encrypted; then what every Unix has.
const PROGRAMS: [&str; 9] = ["aws", "zstd", "psql", "bash", "awk", "cut", "grep", "sed", "sha256sum"];

/// The commands of a page: its blocks in `sh`, whatever the length of their fences.
fn commands(page: &str) -> String {
    let mut commands = String::new();
    let mut open: Option<(&str, bool)> = None;
    for line in page.lines() {
        match open {
            None if line.starts_with("```") => {
                let (fence, language) = line.split_at(line.rfind('`').unwrap() + 1);
                open = Some((fence, language == "sh"));
            }
            Some((fence, _)) if line == fence => open = None,
            Some((_, true)) => commands.extend([line, "\n"]),
            _ => {}
        }
    }
    assert!(open.is_none(), "a block is not closed:\n{page}");
    commands
}

/// The page of a backup.
async fn page(stack: &Stack, backup_id: &str) -> String {
    let page = stack.s3.read(&format!("v1/backups/{backup_id}/RESTORE.md")).await.unwrap();
    String::from_utf8(page.to_vec()).unwrap()
}

/// A directory with these programs and no other.
fn programs(stack: &Stack, encrypted: bool) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let age = encrypted.then_some("age");
    for name in PROGRAMS.into_iter().chain(age) {
        let program = match name {
            "aws" => place::venv_program(name).unwrap(),
            "psql" => stack.postgres.bin_dir().unwrap().join(name),
            _ => place::program(name).unwrap(),
        };
        std::os::unix::fs::symlink(program, directory.path().join(name)).unwrap();
    }
    directory
}

/// Does what `page` says in an empty directory, to restore into `database`.
async fn follow(stack: &Stack, page: &str, identity: Option<&str>, database: &str) -> Output {
    let server = PgConnectOptions::from_str(stack.postgres.url()).unwrap().to_url_lossy();
    let mut script = commands(page);
    for (blank, value) in [
        ("YOUR-BUCKET", stack.bucket.as_str()),
        ("YOUR-SERVER", server.host_str().unwrap()),
        ("YOUR-USER", server.username()),
        ("YOUR-NEW-DATABASE", database),
    ] {
        assert!(script.contains(blank), "{blank} is not on the page:\n{script}");
        script = script.replace(blank, value);
    }
    assert!(!script.contains("YOUR-"), "a blank that this test does not know:\n{script}");
    let scripts = tempfile::tempdir().unwrap();
    let script_file = scripts.path().join("commands.sh");
    std::fs::write(&script_file, script).unwrap();

    let directory = tempfile::tempdir().unwrap();
    if let Some(identity) = identity {
        std::fs::write(directory.path().join("backup-key.txt"), format!("{identity}\n")).unwrap();
    }
    let programs = programs(stack, identity.is_some());
    let password = server.password().unwrap_or_default();
    let password = percent_encoding::percent_decode_str(password).decode_utf8().unwrap();
    run(&script_file, directory.path(), programs.path())
        .envs([
            ("AWS_ACCESS_KEY_ID", stack.access_key.id.as_str()),
            ("AWS_SECRET_ACCESS_KEY", stack.access_key.secret.as_str()),
            ("AWS_DEFAULT_REGION", "eu-central-1"),
            ("AWS_ENDPOINT_URL", stack.s3.endpoint()),
            ("PGPORT", &server.port().unwrap_or(5432).to_string()),
            ("PGPASSWORD", &*password),
        ])
        .output()
        .await
        .unwrap()
}

fn run(script: &Path, directory: &Path, programs: &Path) -> Command {
    let mut command = Command::new(programs.join("bash"));
    command.arg(script).current_dir(directory).env_clear().env("PATH", programs).env("HOME", directory);
    command
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Restores an encrypted backup by hand into `copy`.
pub async fn assert_followed(stack: &Stack, backup_id: &str, copy: &str) {
    let page = page(stack, backup_id).await;
    let output = follow(stack, &page, Some(&stack.age_identity), copy).await;
    assert!(output.status.success(), "{}\n{}", said(&output), commands(&page));
}

/// Restores a new backup by hand and lets `pg_dump` compare.
async fn assert_comes_back(stack: &Stack, format: &str, identity: Option<&str>) {
    let before = dump(stack, &stack.database_url).await;
    let backup = succeed(stack, "backup", json!({"backup_type": "full", "format": format})).await;
    let page = page(stack, &id_of(&backup)).await;
    let copy = target("by_hand");

    let output = follow(stack, &page, identity, &copy).await;

    assert!(output.status.success(), "{format}: {}\n{}", said(&output), commands(&page));
    let after = dump(stack, &stack.postgres.url_of(&copy)).await;
    drop_database(stack, &copy).await;
    assert_same_dump(&before, &after);
}

#[tokio::test]
async fn its_page_alone_brings_an_encrypted_backup_back_in_every_format() {
    let stack = archive_stack().start().await.unwrap();
    every_kind_of_value(&stack).await;
    for format in ["copy", "csv", "json"] {
        // The run before has recorded itself.
        execute(&stack.database_url, "TRUNCATE recoup.backups").await;
        assert_comes_back(&stack, format, Some(&stack.age_identity)).await;
    }
}

#[tokio::test]
async fn its_page_alone_brings_a_plain_backup_back_without_age() {
    let stack = archive_stack()
        .env("backup", "BACKUP_AGE_RECIPIENTS", "")
        .env("backup", "BACKUP_ENCRYPTION", "none")
        .start()
        .await
        .unwrap();
    every_kind_of_value(&stack).await;

    assert_comes_back(&stack, "copy", None).await;
}

/// Restores a part of a database by hand and by the function, and lets `pg_dump` compare the two.
async fn assert_part_comes_back(stack: &Stack, request: Value, table: &str) {
    let backup = succeed(stack, "backup", request).await;
    let page = page(stack, &id_of(&backup)).await;
    let copy = target("by_hand_part");

    let output = follow(stack, &page, Some(&stack.age_identity), &copy).await;

    assert!(output.status.success(), "{}\n{}", said(&output), commands(&page));
    let by_hand = dump(stack, &stack.postgres.url_of(&copy)).await;
    drop_database(stack, &copy).await;
    let (restored, url) = restore_copy(stack, &id_of(&backup)).await;
    let by_function = dump(stack, &url).await;
    drop_copy(stack, &restored).await;
    let rows = by_hand.split_once(&format!("COPY {table} (")).map(|(_, rows)| rows.lines().nth(1));
    assert!(rows.flatten().is_some_and(|row| row != "\\."), "{table} has no rows:\n{by_hand}");
    assert_same_dump(&by_function, &by_hand);
}

#[tokio::test]
async fn its_page_alone_brings_a_set_back() {
    let stack = eager().start().await.unwrap();
    sell(&stack, &mut Shop::open(&stack.stripe, 11).unwrap(), 25).await;
    for (kind, format, table) in
        [("payments", "copy", "recoup.charges"), ("orders", "csv", "recoup.order_items")]
    {
        assert_part_comes_back(&stack, json!({"backup_type": kind, "format": format}), table).await;
    }
}

#[tokio::test]
async fn its_page_alone_brings_a_window_back() {
    let stack = archive_stack().start().await.unwrap();
    shop_of_november(&stack).await;
    for format in ["copy", "json"] {
        assert_part_comes_back(&stack, a_full_window(format), "shop.lines").await;
    }
}

#[tokio::test]
async fn what_is_damaged_is_named_before_a_database_is_made() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, "CREATE TABLE one (a int); INSERT INTO one VALUES (1)").await;
    let backup = succeed(&stack, "backup", json!({"backup_type": "full"})).await;
    let folder = format!("v1/backups/{}/", id_of(&backup));
    let page = page(&stack, &id_of(&backup)).await;
    let copy = target("by_hand_damaged");

    for object in ["manifest.json", "RESTORE.md", "schema.sql.age", "data/public.one/00000.copy.zst.age"] {
        let key = format!("{folder}{object}");
        stack.s3.flip_byte(&key, 200).await.unwrap();

        let output = follow(&stack, &page, Some(&stack.age_identity), &copy).await;

        assert!(!output.status.success(), "{object}: {}", said(&output));
        assert!(said(&output).contains(object), "{object} is not named: {}", said(&output));
        assert_eq!(databases_like(&stack, &copy).await, Vec::<String>::new(), "{object}");
        stack.s3.flip_byte(&key, 200).await.unwrap();
    }
}
