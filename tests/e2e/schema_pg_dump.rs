//! What is read of a schema, as `pg_dump` sees what becomes of it on the server that the tests run on. `versions` has the
//! same schemas on every other version.

use recoup::archive::schema::{SchemaSelection, Unsupported, read_schema};
use sqlx::AssertSqlSafe;

use crate::schema_judge::{Server, round_trip};

#[tokio::test]
async fn shop_comes_back_as_pg_dump_sees_it() {
    let dump = round_trip(&Server::shared().await, "schema_shop", include_str!("schemas/shop.sql")).await;
    assert_eq!(dump.unsupported, []);
}

#[tokio::test]
async fn awkward_schema_comes_back_as_pg_dump_sees_it() {
    let dump =
        round_trip(&Server::shared().await, "schema_awkward", include_str!("schemas/awkward.sql")).await;
    assert_eq!(dump.unsupported, []);
}

#[tokio::test]
async fn tenants_come_back_as_pg_dump_sees_them() {
    let dump = round_trip(&Server::shared().await, "schema_tenant", include_str!("schemas/tenant.sql")).await;
    assert_eq!(dump.unsupported, []);
}

/// An ordinary role that may connect and log in, and owns nothing.
const RESTORER: &str = "recoup_schema_restorer";

#[tokio::test]
async fn an_ordinary_user_restores_without_the_roles() {
    let server = Server::shared().await;
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
    server.as_user(RESTORER).psql(copy, &dump.to_sql());
    let found = server.pg_dump(copy, &["--schema-only"]);
    assert!(found.contains(&format!("ALTER TABLE public.orders OWNER TO {RESTORER};")), "{found}");
    assert!(found.contains("ALTER TABLE public.orders ENABLE ROW LEVEL SECURITY;"), "{found}");
    assert!(!found.contains("CREATE POLICY"), "a policy for a missing role became one for somebody: {found}");

    // The same role reads the definition of what it owns, and can be restored from that.
    let mut ordinary = server.as_user(RESTORER).connect(copy).await;
    let again = read_schema(&mut ordinary, &SchemaSelection::All).await.expect("read as an ordinary role");
    assert_eq!(again.pre_data, dump.pre_data);
}

#[tokio::test]
async fn what_is_not_written_is_named() {
    let server = Server::shared().await;
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
    let dump = round_trip(&Server::shared().await, "schema_grown", include_str!("schemas/grown.sql")).await;
    assert_eq!(dump.unsupported, []);
}

#[tokio::test]
async fn families_of_tables_come_back_as_pg_dump_sees_them() {
    let dump = round_trip(&Server::shared().await, "schema_family", include_str!("schemas/family.sql")).await;
    assert_eq!(dump.unsupported, []);
}
