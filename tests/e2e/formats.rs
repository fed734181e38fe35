//! Backups in CSV and JSON: the same rows, the same digests, and what other programs expect of the format.

use std::process::Stdio;

use futures::TryStreamExt;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use stack::{Stack, place};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::archive_stack::{
    archive_stack, assert_same_dump, drop_database, dump, every_kind_of_value, execute, fail, id_of, succeed,
    target,
};

async fn backup_as(stack: &Stack, format: &str) -> String {
    let backup = succeed(stack, "backup", json!({"backup_type": "full", "format": format})).await;
    assert_eq!(backup["format"], format);
    id_of(&backup)
}

async fn manifest(stack: &Stack, backup_id: &str) -> Value {
    let bytes = stack.s3.read(&format!("v1/backups/{backup_id}/manifest.json")).await.unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// The text of a part of an unencrypted backup, by the real `zstd`.
async fn text_of(stack: &Stack, backup_id: &str, part: &Value) -> Vec<u8> {
    let key = format!("v1/backups/{backup_id}/{}", part["key"].as_str().unwrap());
    let stored = stack.s3.read(&key).await.unwrap();
    let mut zstd = Command::new(place::program("zstd").unwrap())
        .args(["--decompress", "--stdout"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = zstd.stdin.take().unwrap();
    let feed = tokio::spawn(async move { stdin.write_all(&stored).await });
    let output = zstd.wait_with_output().await.unwrap();
    feed.await.unwrap().unwrap();
    assert!(output.status.success());
    output.stdout
}

#[tokio::test]
async fn every_format_verifies_restores_and_has_the_same_digests() {
    every_format_comes_back(&archive_stack().start().await.unwrap()).await;
}

/// Backs every kind of value up in each format, verifies, restores, and lets `pg_dump` compare.
pub async fn every_format_comes_back(stack: &Stack) {
    every_kind_of_value(stack).await;
    // Recording a run changes these tables, and with them the digests.
    execute(&stack.database_url, "DROP TABLE recoup.backups, recoup.verifications CASCADE").await;
    let before = dump(stack, &stack.database_url).await;
    let mut digests: Vec<Vec<(Value, Value, Value)>> = Vec::new();

    for format in ["copy", "csv", "json"] {
        let backup_id = backup_as(stack, format).await;
        succeed(stack, "verify", json!({"action": "full", "backup_id": backup_id})).await;
        let manifest = manifest(stack, &backup_id).await;
        assert_eq!(manifest["table_format"], format);
        let tables = manifest["tables"].as_array().unwrap();
        let ending = format!(".{format}.zst.age");
        let mut parts = tables.iter().flat_map(|table| table["parts"].as_array().unwrap());
        assert!(parts.all(|part| part["key"].as_str().unwrap().ends_with(&ending)), "{format}");
        let field = |table: &Value, name: &str| table[name].clone();
        digests.push(
            tables
                .iter()
                .map(|table| (field(table, "name"), field(table, "row_count"), field(table, "digest")))
                .collect(),
        );

        let copy = target(format);
        let request = json!({"action": "backup_restore", "backup_id": backup_id, "target_database": copy});
        let restored = succeed(stack, "restore", request).await;
        let after = dump(stack, &stack.postgres.url_of(&copy)).await;
        drop_database(stack, &copy).await;
        assert_eq!(restored["difference_to_production"]["result"], "equal", "{format}");
        assert_same_dump(&before, &after);
    }
    assert_eq!(digests[0], digests[1]);
    assert_eq!(digests[0], digests[2]);
}

#[tokio::test]
async fn csv_is_what_postgres_writes_and_json_has_its_values() {
    let stack = archive_stack()
        .env("backup", "BACKUP_AGE_RECIPIENTS", "")
        .env("backup", "BACKUP_ENCRYPTION", "none")
        .start()
        .await
        .unwrap();
    every_kind_of_value(&stack).await;
    // A line `\.` Postgres writes as it could not read it before version 18: what has one is not compared.
    let unreadable =
        r#"DELETE FROM "it's 100% $HOME".alone WHERE a ~ E'\n'; DROP TABLE recoup.backups CASCADE"#;
    execute(&stack.database_url, unreadable).await;
    let (csv, json) = (backup_as(&stack, "csv").await, backup_as(&stack, "json").await);
    let mut connection = PgConnection::connect(&stack.database_url).await.unwrap();
    let settings =
        "SET timezone = 'UTC'; SET extra_float_digits = 3; SET lc_monetary = 'C'; SET search_path = ''";
    sqlx::raw_sql(settings).execute(&mut connection).await.unwrap();
    let mut compared = 0;

    for table in manifest(&stack, &csv).await["tables"].as_array().unwrap() {
        let quoted = |name: &Value| format!("\"{}\"", name.as_str().unwrap().replace('"', "\"\""));
        let columns: Vec<String> =
            table["columns"].as_array().unwrap().iter().map(|column| quoted(&column["name"])).collect();
        let [part] = &table["parts"].as_array().unwrap()[..] else { continue };
        let name = format!("{}.{}", quoted(&table["schema"]), quoted(&table["name"]));
        if name.contains("lines ```") {
            continue;
        }
        let select = format!("SELECT {} FROM ONLY {name}", columns.join(", "));
        let copy = format!("COPY ({select}) TO STDOUT (FORMAT csv, HEADER)");
        let rows = connection.copy_out_raw(&copy).await.unwrap();
        let expected: Vec<u8> = rows.try_collect::<Vec<_>>().await.unwrap().concat();
        let found = text_of(&stack, &csv, part).await;
        assert_eq!(String::from_utf8_lossy(&found), String::from_utf8_lossy(&expected), "{name}");
        compared += 1;
    }
    assert!(compared >= 20, "only {compared} tables were compared");

    let manifest = manifest(&stack, &json).await;
    let of = |name: &str| {
        let tables = manifest["tables"].as_array().unwrap();
        tables.iter().find(|table| table["name"] == name).unwrap().clone()
    };
    let scalars = of("scalars");
    let text = String::from_utf8(text_of(&stack, &json, &scalars["parts"][0]).await).unwrap();
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 4);
    let row = &rows[0];
    assert_eq!((&row["f8"], &rows[1]["f8"]), (&json!(0.3), &json!("-Infinity")));
    assert_eq!((&row["n"], &row["ts"]), (&json!("NaN"), &json!("infinity")));
    assert_eq!(row["jb"], json!({"b": 1.10}));
    assert_eq!(row["j"], r#"{"a" : [1,2,  3], "a": 1}"#);
    assert_eq!((&row["t"], &row["b"]), (&json!("tab\there"), &json!("\\x00ff5c")));
    assert!(text.contains(r#""n":12345678901234567890.123456789,"#), "a number lost digits");
    assert_eq!((&rows[1]["jb"], &rows[2]["jb"]), (&json!("null"), &Value::Null));
}

#[tokio::test]
async fn a_format_that_is_not_known_is_refused_with_those_that_are() {
    let stack = archive_stack().start().await.unwrap();

    let (error_type, message) =
        fail(&stack, "backup", json!({"backup_type": "full", "format": "parquet"})).await;

    assert_eq!(error_type, "InvalidRequest");
    assert!(["parquet", "copy", "csv", "json"].iter().all(|word| message.contains(word)), "{message}");
}
