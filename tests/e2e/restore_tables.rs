//! Some tables of a backup, a look before a restore, and another server than production's.

use serde_json::{Value, json};
use stack::Stack;
use stack::postgres::{Postgres, PostgresOptions};

use crate::archive_stack::{
    archive_stack, assert_same_dump, databases_like, drop_copy, drop_database, dump, dump_with, execute,
    fail, full_backup, id_of, row_counts, succeed, target, texts,
};

/// A shop whose tables lean on each other in every way that matters for a part of them.
const LEANING: &str = r#"
    CREATE SCHEMA shop;
    CREATE TYPE shop.state AS ENUM ('new', 'paid');
    CREATE SEQUENCE shop.numbers START 100;
    CREATE FUNCTION shop.shout(what text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper(what)';
    CREATE TABLE shop.people (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL);
    CREATE TABLE shop.orders (
        id bigint PRIMARY KEY DEFAULT nextval('shop.numbers'),
        person_id bigint REFERENCES shop.people,
        state shop.state NOT NULL,
        loud text GENERATED ALWAYS AS (shop.shout('x')) STORED
    );
    CREATE INDEX orders_state ON shop.orders (state);
    CREATE TABLE shop.lines (order_id bigint REFERENCES shop.orders, n int, PRIMARY KEY (order_id, n));
    CREATE VIEW shop.paid AS SELECT o.id, p.name FROM shop.orders o JOIN shop.people p ON p.id = o.person_id;
    CREATE VIEW shop.states AS SELECT state, count(*) FROM shop.orders GROUP BY state;
    CREATE TABLE shop.events (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
    CREATE TABLE shop.events_2025 PARTITION OF shop.events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
    CREATE TABLE shop.events_2026 PARTITION OF shop.events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    INSERT INTO shop.people (name) SELECT 'person ' || i FROM generate_series(1, 40) AS i;
    INSERT INTO shop.orders (person_id, state) SELECT 1 + i % 40, 'paid' FROM generate_series(1, 300) AS i;
    INSERT INTO shop.lines SELECT o.id, n FROM shop.orders o, generate_series(1, 2) AS n;
    INSERT INTO shop.events SELECT i, date '2025-06-01' + i FROM generate_series(1, 300) AS i;
"#;

async fn restore_tables(stack: &Stack, tables: Value) -> (Value, String) {
    let copy = target("tables");
    let request = json!({
        "action": "backup_restore", "backup_id": "latest", "target_database": copy, "tables": tables,
    });
    (succeed(stack, "restore", request).await, stack.postgres.url_of(&copy))
}

#[tokio::test]
async fn some_tables_come_with_what_they_need_and_without_the_rest() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, LEANING).await;
    full_backup(&stack).await;

    let (restored, url) = restore_tables(&stack, json!(["shop.orders"])).await;

    assert_eq!(row_counts(&restored), [("shop.orders".to_owned(), 300)]);
    assert_eq!((&restored["fit_for"], &restored["status"]), (&json!(["merge"]), &json!("completed")));
    assert_eq!(restored["selection"]["tables"], json!(["shop.orders"]));
    // Only the table that is here is compared, and it is equal.
    assert_eq!(restored["difference_to_production"]["result"], "equal", "{restored}");
    let left_out = restored["left_out"].to_string();
    assert!(left_out.contains("orders_person_id_fkey"), "{left_out}");
    assert!(!left_out.contains("lines"), "{left_out}");
    let there = texts(
        &url,
        "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_toast'",
    )
    .await;
    assert_eq!(there, ["numbers", "orders", "orders_pkey", "orders_state", "states"]);
    // To the byte as in production, but for the key that leads out of it.
    let options = ["--table=shop.orders", "--table=shop.numbers"];
    let expected = dump_with(&stack, &stack.database_url, &options).await;
    let found = dump_with(&stack, &url, &options).await;
    let (before, after) = expected.split_once("--\n-- Name: orders orders_person_id_fkey").unwrap();
    let (_, after) = after.split_once("REFERENCES shop.people(id);\n\n\n").unwrap();
    assert_same_dump(&format!("{before}{after}"), &found);
    drop_copy(&stack, &restored).await;
}

#[tokio::test]
async fn a_partitioned_table_stands_for_its_partitions_and_a_partition_for_itself() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, LEANING).await;
    full_backup(&stack).await;

    let (whole, whole_url) = restore_tables(&stack, json!(["shop.events"])).await;
    let (part, part_url) = restore_tables(&stack, json!(["shop.events_2026", "shop.people"])).await;

    assert_eq!(row_counts(&whole).len(), 2, "{whole}");
    let rows = "SELECT e::text FROM shop.events AS e";
    assert_eq!(texts(&whole_url, rows).await, texts(&stack.database_url, rows).await);
    let of_2026 = "SELECT e::text FROM shop.events AS e WHERE at >= '2026-01-01'";
    assert_eq!(texts(&part_url, rows).await, texts(&stack.database_url, of_2026).await);
    assert_eq!(texts(&part_url, "SELECT to_regclass('shop.events_2025') IS NULL || ''").await, ["true"]);
    let left_out = part["left_out"].to_string();
    assert!(left_out.contains("shop.events: only its definition is here"), "{left_out}");
    drop_copy(&stack, &whole).await;
    drop_copy(&stack, &part).await;
}

/// Tables that need others in ways that no foreign key tells.
const TIED: &str = r#"
    CREATE SCHEMA tied;
    CREATE TABLE tied.parents (id int PRIMARY KEY);
    CREATE TABLE tied.children (n int, parent_id int REFERENCES tied.parents) INHERITS (tied.parents);
    CREATE TABLE tied.owner_of_numbers (n serial);
    CREATE TABLE tied.numbered (n int DEFAULT nextval('tied.owner_of_numbers_n_seq'), note text);
    CREATE TABLE tied.shapes (a int, b text);
    CREATE TABLE tied.checked (x int, CONSTRAINT as_a_shape CHECK (((x, 'b')::tied.shapes).a > 0));
    CREATE TABLE tied.forms (a int, b text);
    CREATE DOMAIN tied.positive AS int CONSTRAINT as_a_form CHECK (((VALUE, 'x')::tied.forms).a > 0);
    CREATE TABLE tied.amounts (amount tied.positive);
    CREATE TABLE tied.rest (id int PRIMARY KEY);
    INSERT INTO tied.parents SELECT generate_series(1, 20);
    INSERT INTO tied.children SELECT i, i, i FROM generate_series(1, 20) AS i;
    INSERT INTO tied.owner_of_numbers SELECT FROM generate_series(1, 20);
    INSERT INTO tied.numbered (note) SELECT 'n' FROM generate_series(1, 20);
    INSERT INTO tied.checked SELECT generate_series(1, 20);
    INSERT INTO tied.amounts SELECT generate_series(1, 20);
"#;

#[tokio::test]
async fn what_a_table_needs_without_a_foreign_key_comes_as_a_definition() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, TIED).await;
    full_backup(&stack).await;
    let wanted = ["tied.amounts", "tied.checked", "tied.children", "tied.numbered"];

    let (restored, url) = restore_tables(&stack, json!(wanted)).await;

    assert_eq!(row_counts(&restored), wanted.map(|table| (table.to_owned(), 20)));
    let left_out: Vec<&str> =
        restored["left_out"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    let needed = ["forms", "owner_of_numbers", "parents", "shapes"];
    for table in needed {
        let definition = format!("rows of tied.{table}: only its definition is here");
        assert!(left_out.iter().any(|text| text.starts_with(&definition)), "{table}: {left_out:?}");
    }
    let key = "children_parent_id_fkey: it refers to tied.parents, which is here without its rows";
    assert!(left_out.iter().any(|text| text.ends_with(key)), "{left_out:?}");
    assert_eq!(left_out.len(), needed.len() + 1, "{left_out:?}");
    let tables =
        "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'tied'::regnamespace";
    let mut expected = [wanted.map(|table| table.trim_start_matches("tied.")), needed].concat();
    expected.sort_unstable();
    assert_eq!(texts(&url, tables).await, expected);
    // To the byte as in production, but for the key.
    let options = ["--table=tied.amounts", "--table=tied.checked", "--table=tied.numbered"];
    let in_production = dump_with(&stack, &stack.database_url, &options).await;
    assert_same_dump(&in_production, &dump_with(&stack, &url, &options).await);
    let checks = "SELECT conname::text FROM pg_constraint WHERE conname IN ('as_a_shape', 'as_a_form')";
    assert_eq!(texts(&url, checks).await, ["as_a_form", "as_a_shape"]);
    drop_copy(&stack, &restored).await;
}

#[tokio::test]
async fn tables_that_are_not_there_are_refused_with_those_that_are_near() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, LEANING).await;
    full_backup(&stack).await;
    for (table, expected, near) in
        [("shop.ordres", "UnknownTable", "shop.orders"), ("orders", "InvalidRequest", "schema and table")]
    {
        let copy = target("unknown");
        let request = json!({
            "action": "backup_restore", "backup_id": "latest", "target_database": copy, "tables": [table],
        });
        let (error_type, message) = fail(&stack, "restore", request).await;
        assert_eq!(error_type, expected, "{message}");
        assert!(message.contains(near), "{message}");
        assert_eq!(databases_like(&stack, &copy).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_dry_run_tells_what_a_restore_would_do_and_what_would_stop_it() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, LEANING).await;
    let backup = full_backup(&stack).await;
    let copy = target("preview");
    let look = |tables: Value| {
        json!({
            "action": "backup_restore", "backup_id": "latest", "target_database": copy, "tables": tables, "dry_run": true,
        })
    };

    let whole = succeed(&stack, "restore", look(Value::Null)).await;

    assert_eq!((&whole["dry_run"], &whole["status"]), (&json!(true), &json!("possible")), "{whole}");
    assert_eq!(
        (&whole["backup_id"], &whole["record_count"]),
        (&backup["backup_id"], &backup["record_count"])
    );
    assert_eq!(whole["problems"], json!([]));
    assert_eq!(whole["target"]["database_exists"], false);
    assert_eq!(whole["target"]["may_create_databases"], true);
    assert_eq!(whole["seconds_expected"], Value::Null);
    assert!(whole["seconds_expected_from"].as_str().unwrap().contains("drill"), "{whole}");
    assert_eq!(databases_like(&stack, &copy).await, Vec::<String>::new());

    // A drill is what measures.
    let drilled = succeed(&stack, "verify", json!({"action": "drill"})).await;
    let some = succeed(&stack, "restore", look(json!(["shop.orders", "shop.events"]))).await;
    assert_eq!(some["record_count"], 600, "{some}");
    let expected = drilled["recovery_seconds"].as_f64().unwrap() * some["bytes_raw"].as_f64().unwrap()
        / drilled["bytes_raw"].as_f64().unwrap();
    assert!((some["seconds_expected"].as_f64().unwrap() - expected).abs() < 0.1, "{some}");
    let objects: Vec<&Value> = some["tables"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|table| table["objects"].as_array().unwrap())
        .collect();
    assert!(objects.contains(&&json!("data/shop.orders/00000.copy.zst.age")), "{some}");
    assert_eq!(some["objects"], objects.len() + 4, "{some}");

    execute(stack.postgres.url(), &format!("CREATE DATABASE {copy}")).await;
    let key = format!("v1/backups/{}/data/shop.people/00000.copy.zst.age", id_of(&backup));
    stack.s3.client().delete_object().bucket(stack.s3.bucket()).key(&key).send().await.unwrap();
    let damaged = succeed(&stack, "restore", look(Value::Null)).await;
    assert_eq!(damaged["status"], "not possible");
    assert!(damaged["unfit"].as_str().unwrap().contains("data/shop.people/00000.copy.zst.age"), "{damaged}");
    drop_database(&stack, &copy).await;
}

/// The url of a role that may do nothing but log in.
async fn powerless(stack: &Stack) -> String {
    let role = target("powerless");
    let grants = format!("CREATE ROLE {role} LOGIN PASSWORD 'powerless'; GRANT pg_read_all_data TO {role}",);
    execute(&stack.database_url, &grants).await;
    let (_, rest) = stack.database_url.split_once('@').unwrap();
    format!("postgres://{role}:powerless@{rest}")
}

#[tokio::test]
async fn where_databases_may_not_be_created_another_server_takes_the_copy() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, LEANING).await;
    let before = dump(&stack, &stack.database_url).await;
    full_backup(&stack).await;
    let url = powerless(&stack).await;
    stack.secrets.put("database", &json!({"url": url})).await.unwrap();
    let copy = target("elsewhere");
    let request = |secret: Option<&str>, dry_run: bool| {
        json!({
            "action": "backup_restore", "backup_id": "latest", "target_database": copy, "target_secret": secret,
            "dry_run": dry_run,
        })
    };

    let look = succeed(&stack, "restore", request(None, true)).await;
    let (error_type, message) = fail(&stack, "restore", request(None, false)).await;

    assert_eq!(
        (&look["status"], &look["target"]["may_create_databases"]),
        (&json!("not possible"), &json!(false))
    );
    assert!(look["problems"][0].as_str().unwrap().contains("target_secret"), "{look}");
    assert_eq!(error_type, "PermissionDenied");
    assert!(message.contains("target_secret"), "{message}");

    let other = Postgres::start(PostgresOptions::default()).await.unwrap();
    let secret = stack.secrets.put("restore-target", &json!({"url": other.url()})).await.unwrap();
    let look = succeed(&stack, "restore", request(Some(&secret), true)).await;
    assert_eq!(look["status"], "possible", "{look}");
    let restored = succeed(&stack, "restore", request(Some(&secret), false)).await;
    assert_eq!(restored["status"], "completed");
    assert_eq!(databases_like(&stack, &copy).await, Vec::<String>::new());
    assert_same_dump(&before, &dump(&stack, &other.url_of(&copy)).await);
    let status = json!({"action": "status", "restore_id": restored["restore_id"], "target_secret": secret});
    assert_eq!(succeed(&stack, "restore", status.clone()).await["status"], "completed");
    let (error_type, _) =
        fail(&stack, "restore", json!({"action": "status", "restore_id": restored["restore_id"]})).await;
    assert_eq!(error_type, "RestoreNotFound");
    stack.secrets.put("database", &json!({"url": stack.database_url})).await.unwrap();
}
