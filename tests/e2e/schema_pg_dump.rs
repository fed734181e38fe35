//! The outside judge of `recoup::archive::schema`: `pg_dump` of a database made from what it wrote equals `pg_dump`
//! of the original, first without data, then with every row copied over.

use std::{path::PathBuf, process::Command};

use futures::TryStreamExt;
use recoup::archive::schema::{
    OWNERSHIP_MARKER, POST_DATA_MARKER, SETTINGS, SchemaDump, SchemaSelection, Unsupported, read_schema,
    read_sequences, read_tables,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use stack::postgres::Postgres;

/// A running server and its client programs.
struct Server {
    /// Ended with the last handle.
    _postgres: Postgres,
    /// Connection string of a superuser, without a database: `postgres://postgres@127.0.0.1:5432`.
    url: String,
    /// Where `psql` and `pg_dump` of the server's version are.
    bin: PathBuf,
}

/// The server that the tests run on.
async fn server() -> Server {
    let postgres = Postgres::shared().await.expect("a server");
    let url = postgres.url().rsplit_once('/').expect("a database in the URL").0.to_owned();
    Server { url, bin: postgres.bin_dir().expect("client programs"), _postgres: postgres }
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
async fn round_trip(name: &str, sql: &str) -> SchemaDump {
    let server = server().await;
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
        .fetch_one(&mut server().await.connect("postgres").await)
        .await
        .expect("server version");
    // Older servers do not understand the file at all.
    if version.parse::<u32>().expect("a number") < 180_000 {
        return;
    }
    let dump = round_trip("schema_since_18", include_str!("schemas/since_18.sql")).await;
    assert_eq!(dump.unsupported, []);
}

/// An ordinary role that may connect and log in, and owns nothing.
const RESTORER: &str = "recoup_schema_restorer";

/// Connection string with another user; the test servers trust theirs.
fn as_restorer(server: &Server) -> Server {
    let (_, host) = server.url.rsplit_once('@').expect("a url with a user");
    Server {
        url: format!("postgres://{RESTORER}:{RESTORER}@{host}"),
        bin: server.bin.clone(),
        _postgres: server._postgres.clone(),
    }
}

#[tokio::test]
async fn an_ordinary_user_restores_without_the_roles() {
    let server = server().await;
    let mut admin = server.connect("postgres").await;
    let role = format!(
        "DO $$ BEGIN CREATE ROLE {RESTORER} LOGIN PASSWORD '{RESTORER}'; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    );
    sqlx::query(AssertSqlSafe(role)).execute(&mut admin).await.expect("role");
    let (source, copy) = ("schema_ordinary_source", "schema_ordinary_copy");
    server.create(source).await;
    // Roles that are dropped once they stand in the file: nobody else may use them.
    server.psql(
        source,
        "DO $$ BEGIN CREATE ROLE recoup_schema_gone; EXCEPTION WHEN duplicate_object THEN NULL; END $$;",
    );
    server.psql(source, include_str!("schemas/shop.sql"));
    server.psql(
        source,
        "GRANT SELECT ON public.orders TO recoup_schema_gone;
         ALTER TABLE public.products OWNER TO recoup_schema_gone;
         ALTER TABLE public.orders ENABLE ROW LEVEL SECURITY;
         CREATE POLICY mine ON public.orders TO recoup_schema_gone USING (true);
         COMMENT ON POLICY mine ON public.orders IS 'for one role';
         COMMENT ON SCHEMA public IS 'not mine';",
    );
    let mut from = server.connect(source).await;
    let dump = read_schema(&mut from, &SchemaSelection::All).await.expect("read schema");
    server.psql(source, "DROP OWNED BY recoup_schema_gone CASCADE; DROP ROLE recoup_schema_gone;");

    server.create(copy).await;
    let owner =
        format!("ALTER DATABASE {copy} OWNER TO {RESTORER}; GRANT CREATE ON SCHEMA public TO {RESTORER}");
    server.psql(copy, &owner);
    as_restorer(&server).psql(copy, &dump.to_sql());
    let found = server.pg_dump(copy, &["--schema-only"]);
    assert!(found.contains(&format!("ALTER TABLE public.orders OWNER TO {RESTORER};")), "{found}");
    assert!(found.contains("ALTER TABLE public.orders ENABLE ROW LEVEL SECURITY;"), "{found}");
    assert!(!found.contains("CREATE POLICY"), "a policy for a missing role became one for somebody: {found}");

    // The same role reads the definition of what it owns, and can be restored from that.
    let mut ordinary = as_restorer(&server).connect(copy).await;
    let again = read_schema(&mut ordinary, &SchemaSelection::All).await.expect("read as an ordinary role");
    assert_eq!(again.pre_data, dump.pre_data);
}

#[tokio::test]
async fn what_is_not_written_is_named() {
    let server = server().await;
    let source = "schema_unsupported_source";
    server.create(source).await;
    server.psql(
        source,
        "CREATE SCHEMA other;
         CREATE TABLE other.t (id int PRIMARY KEY);
         CREATE TABLE public.t (id int REFERENCES other.t);
         CREATE PUBLICATION everything FOR TABLE public.t;
         CREATE TYPE public.shell;
         CREATE CONVERSION public.latin FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
         CREATE FOREIGN DATA WRAPPER nowhere;
         CREATE SERVER there FOREIGN DATA WRAPPER nowhere OPTIONS (host 'x y');
         CREATE USER MAPPING FOR CURRENT_USER SERVER there OPTIONS (password 'hidden');
         CREATE FOREIGN TABLE public.far (a int OPTIONS (name 'b') NOT NULL) SERVER there OPTIONS (\"table\" 'c''d');
         CREATE TRUSTED LANGUAGE nothing HANDLER plpgsql_call_handler;
         ALTER DATABASE schema_unsupported_source SET work_mem = '5MB';
         SELECT lo_create(4711);
         REVOKE EXECUTE ON FUNCTION pg_catalog.pg_sleep(float8) FROM PUBLIC;",
    );
    let mut conn = server.connect(source).await;
    let only = SchemaSelection::Only(vec!["public".into()]);
    let dump = read_schema(&mut conn, &only).await.expect("read schema");
    let named: Vec<(&str, &str)> = dump
        .unsupported
        .iter()
        .map(|Unsupported { kind, name, .. }| (kind.as_str(), name.as_str()))
        .collect();
    assert_eq!(
        named,
        [
            ("conversion", "public.latin"),
            ("database setting", "work_mem"),
            ("foreign-data wrapper", "nowhere"),
            ("language", "nothing"),
            ("large objects", "1"),
            ("privileges on system objects", "FUNCTION pg_catalog.pg_sleep(double precision)"),
            ("publication", "everything"),
            ("reference", "CONSTRAINT t_id_fkey ON public.t"),
            ("reference", "CONSTRAINT t_id_fkey ON public.t"),
            ("reference", "SERVER there"),
            ("shell type", "public.shell"),
            ("unselected schema", "other"),
            ("user mapping", "postgres on there"),
        ]
    );
    assert!(!dump.to_sql().contains("hidden"), "a password is in the file");
    let missing = SchemaSelection::Only(vec!["public".into(), "nowhere".into()]);
    let error = read_schema(&mut conn, &missing).await.expect_err("there is no such schema");
    assert_eq!(error.to_string(), "read schema: schema nowhere does not exist; correct the list of schemas");
    let (path,): (String,) = sqlx::query_as("SELECT current_setting('search_path')")
        .fetch_one(&mut conn)
        .await
        .expect("search_path");
    assert_eq!(path, "\"$user\", public", "the caller's search_path is put back");
}

#[tokio::test]
async fn a_schema_that_grew_comes_back_as_pg_dump_sees_it() {
    let dump = round_trip("schema_grown", include_str!("schemas/grown.sql")).await;
    assert_eq!(dump.unsupported, []);
}

#[tokio::test]
async fn families_of_tables_come_back_as_pg_dump_sees_them() {
    let dump = round_trip("schema_family", include_str!("schemas/family.sql")).await;
    assert_eq!(dump.unsupported, []);
}
