//! The outside judge of `recoup::archive::schema`: `pg_dump` of a database made from what it wrote equals `pg_dump`
//! of the original, first without data, then with every row copied over.

use std::{path::PathBuf, process::Command};

use futures::TryStreamExt;
use recoup::archive::schema::{
    OWNERSHIP_MARKER, POST_DATA_MARKER, SETTINGS, SchemaDump, SchemaSelection, read_schema, read_sequences,
    read_tables,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use stack::postgres::Postgres;

/// A running server and its client programs.
pub struct Server {
    /// Ended with the last handle.
    _postgres: Postgres,
    /// Connection string of a superuser, without a database: `postgres://postgres@127.0.0.1:5432`.
    url: String,
    /// Where `psql` and `pg_dump` of the server's version are.
    bin: PathBuf,
}

impl Server {
    /// The server that the tests run on.
    pub async fn shared() -> Server {
        Server::on(Postgres::shared().await.expect("a server"))
    }

    /// This one.
    pub fn on(postgres: Postgres) -> Server {
        let url = postgres.url().rsplit_once('/').expect("a database in the URL").0.to_owned();
        Server { url, bin: postgres.bin_dir().expect("client programs"), _postgres: postgres }
    }

    /// Without a database.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The same with another user; the test servers trust theirs.
    pub fn as_user(&self, user: &str) -> Server {
        let (_, host) = self.url.rsplit_once('@').expect("a url with a user");
        Server {
            url: format!("postgres://{user}:{user}@{host}"),
            bin: self.bin.clone(),
            _postgres: self._postgres.clone(),
        }
    }

    /// A connection to one of its databases.
    pub async fn connect(&self, database: &str) -> PgConnection {
        PgConnection::connect(&format!("{}/{database}", self.url)).await.expect("connect")
    }

    /// Makes a database anew.
    pub async fn create(&self, database: &str) {
        let mut admin = self.connect("postgres").await;
        for sql in [
            format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"),
            format!("CREATE DATABASE {database} TEMPLATE template0"),
        ] {
            sqlx::query(AssertSqlSafe(sql)).execute(&mut admin).await.expect("create database");
        }
    }

    /// Runs statements until the first that fails.
    pub fn psql(&self, database: &str, sql: &str) {
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
    pub fn pg_dump(&self, database: &str, options: &[&str]) -> String {
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

/// The statements after the data in the most unusual order that phases and `after` allow.
fn unusual_order(dump: &SchemaDump) -> String {
    let statements = &dump.post_data;
    let mut done = vec![false; statements.len()];
    let mut text = String::new();
    let mut phases: Vec<_> = statements.iter().map(|statement| statement.phase).collect();
    assert!(phases.is_sorted(), "phases are mixed");
    phases.dedup();
    for phase in phases {
        while let Some(next) = (0..statements.len()).rev().find(|at| {
            statements[*at].phase == phase
                && !done[*at]
                && statements[*at].after.iter().all(|need| done[*need])
        }) {
            done[next] = true;
            text.push_str(&format!("{}\n", statements[next]));
        }
    }
    assert!(done.iter().all(|done| *done), "some statements wait for each other");
    text
}

/// Loads a schema, reads it, makes it again from what was read, copies the rows, and lets `pg_dump` compare.
pub async fn round_trip(server: &Server, name: &str, sql: &str) -> SchemaDump {
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
    let ownership = text.find(OWNERSHIP_MARKER).expect("the marker");
    server.psql(&copy, &format!("{SETTINGS}{}{}", unusual_order(&dump), &text[ownership..]));
    let expected = server.pg_dump(&source, &[]);
    assert!(expected.contains("\nCOPY "), "{name} has no rows to compare");
    assert_same(name, &expected, &server.pg_dump(&copy, &[]));
    dump
}

/// Shows how two dumps differ.
pub fn assert_same(name: &str, expected: &str, found: &str) {
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
