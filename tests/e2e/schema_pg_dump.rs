//! The outside judge of `recoup::archive::schema`: `pg_dump` of a database made from what it wrote equals `pg_dump`
//! of the original, first without data, then with every row copied over.

use std::{path::PathBuf, process::Command};

use futures::TryStreamExt;
use recoup::archive::schema::{
    POST_DATA_MARKER, SchemaDump, SchemaSelection, read_schema, read_sequences, read_tables,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// A running server and its client programs.
struct Server {
    /// Connection string of a superuser, without a database: `postgres://postgres@127.0.0.1:5432`.
    url: String,
    /// Where `psql` and `pg_dump` of the server's version are.
    bin: PathBuf,
}

/// The server that the tests run on.
fn server() -> Server {
    let variable = |name: &str| {
        std::env::var(name)
            .unwrap_or_else(|_| panic!("{name} is not set: the schema tests need a Postgres server"))
    };
    Server { url: variable("SCHEMA_TEST_URL"), bin: variable("SCHEMA_TEST_BIN").into() }
}

impl Server {
    async fn connect(&self, database: &str) -> PgConnection {
        PgConnection::connect(&format!("{}/{database}", self.url)).await.expect("connect")
    }

    async fn create(&self, database: &str) {
        let mut admin = self.connect("postgres").await;
        for sql in [
            format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"),
            format!("CREATE DATABASE {database} TEMPLATE template0"),
        ] {
            sqlx::query(AssertSqlSafe(sql)).execute(&mut admin).await.expect("create database");
        }
    }

    fn psql(&self, database: &str, sql: &str) {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        std::fs::write(file.path(), sql).expect("write sql");
        let output = Command::new(self.bin.join("psql"))
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f"])
            .arg(file.path())
            .args(["-d", &format!("{}/{database}", self.url)])
            .output()
            .expect("run psql");
        assert!(output.status.success(), "psql {database}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// `pg_dump`'s output without what differs between two runs on one database.
    fn pg_dump(&self, database: &str, options: &[&str]) -> String {
        let output = Command::new(self.bin.join("pg_dump"))
            .args(options)
            .args(["-d", &format!("{}/{database}", self.url)])
            .output()
            .expect("run pg_dump");
        assert!(output.status.success(), "pg_dump {database}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout)
            .expect("pg_dump writes UTF-8")
            .lines()
            .filter(|line| !line.starts_with("\\restrict ") && !line.starts_with("\\unrestrict "))
            .fold(String::new(), |text, line| text + line + "\n")
    }
}

/// Loads a schema, reads it, makes it again from what was read, copies the rows, and lets `pg_dump` compare.
async fn round_trip(name: &str, sql: &str) -> SchemaDump {
    let server = server();
    let (source, copy) = (format!("{name}_source"), format!("{name}_copy"));
    server.create(&source).await;
    server.psql(&source, sql);

    let mut from = server.connect(&source).await;
    let selection = SchemaSelection::All;
    sqlx::query("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").execute(&mut from).await.expect("begin");
    let dump = read_schema(&mut from, &selection).await.expect("read schema");
    let again = read_schema(&mut from, &selection).await.expect("read schema again");
    assert_eq!(dump, again, "two reads of one database differ");
    let tables = read_tables(&mut from, &selection).await.expect("read tables");
    let sequences = read_sequences(&mut from, &selection).await.expect("read sequences");

    server.create(&copy).await;
    let text = dump.to_sql();
    if let Ok(directory) = std::env::var("SCHEMA_TEST_KEEP") {
        std::fs::write(format!("{directory}/{name}.sql"), &text).expect("keep the file");
    }
    server.psql(&copy, &text);
    let expected = server.pg_dump(&source, &["--schema-only"]);
    let found = server.pg_dump(&copy, &["--schema-only"]);
    assert_same(name, &expected, &found);

    // Again, with the rows between the two halves: the order of a real restore.
    server.create(&copy).await;
    let cut = text.find(POST_DATA_MARKER).expect("the marker");
    server.psql(&copy, &text[..cut]);
    let mut to = server.connect(&copy).await;
    for table in &tables {
        let what = table.copy_target();
        let rows: Vec<_> = from
            .copy_out_raw(&format!("COPY {what} TO STDOUT"))
            .await
            .expect("copy out")
            .try_collect()
            .await
            .expect("rows");
        let mut copying = to.copy_in_raw(&format!("COPY {what} FROM STDIN")).await.expect("copy in");
        for row in rows {
            copying.send(row).await.expect("send a row");
        }
        copying.finish().await.expect("finish the copy");
    }
    for sequence in &sequences {
        sqlx::query("SELECT pg_catalog.setval($1::text::regclass, $2, $3)")
            .bind(&sequence.ident)
            .bind(sequence.last_value)
            .bind(sequence.is_called)
            .execute(&mut to)
            .await
            .expect("set a sequence");
    }
    server.psql(&copy, &text[cut..]);
    let expected = server.pg_dump(&source, &[]);
    assert!(expected.contains("\nCOPY "), "{name} has no rows to compare");
    assert_same(name, &expected, &server.pg_dump(&copy, &[]));
    dump
}

fn assert_same(name: &str, expected: &str, found: &str) {
    if expected == found {
        return;
    }
    let directory = tempfile::tempdir().expect("temporary directory");
    let (a, b) = (directory.path().join("original"), directory.path().join("restored"));
    std::fs::write(&a, expected).expect("write");
    std::fs::write(&b, found).expect("write");
    let diff = Command::new("diff").arg("-u").args([a, b]).output().expect("run diff");
    panic!("{name}: pg_dump differs\n{}", String::from_utf8_lossy(&diff.stdout));
}

#[tokio::test]
async fn shop_comes_back_as_pg_dump_sees_it() {
    let dump = round_trip("schema_shop", include_str!("schemas/shop.sql")).await;
    assert_eq!(dump.unsupported, []);
}

#[tokio::test]
async fn awkward_schema_comes_back_as_pg_dump_sees_it() {
    let dump = round_trip("schema_awkward", include_str!("schemas/awkward.sql")).await;
    assert_eq!(dump.unsupported, []);
}

#[tokio::test]
async fn tenants_come_back_as_pg_dump_sees_them() {
    let dump = round_trip("schema_tenant", include_str!("schemas/tenant.sql")).await;
    assert_eq!(dump.unsupported, []);
}

#[tokio::test]
async fn what_postgres_18_added_comes_back() {
    let (version,): (String,) = sqlx::query_as("SELECT current_setting('server_version_num')")
        .fetch_one(&mut server().connect("postgres").await)
        .await
        .expect("server version");
    // Older servers do not understand the file at all.
    if version.parse::<u32>().expect("a number") < 180_000 {
        return;
    }
    let dump = round_trip("schema_since_18", include_str!("schemas/since_18.sql")).await;
    assert_eq!(dump.unsupported, []);
}
