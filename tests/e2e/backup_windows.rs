//! Backups of a window of time: the rows created in it and whatever these refer to, not one more and not one less.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use stack::Stack;
use stack::shop::Shop;

use crate::archive_stack::{
    archive_stack, drop_copy, execute, full_backup, id_of, restore_copy, row_counts, rows_where, succeed,
    texts,
};
use crate::support::{eager, sell};

const PARTS: &str = include_str!("schemas/parts.sql");

/// November 2026, as a request.
fn november(backup_type: &str, more: Value) -> Value {
    let mut request = json!({
        "backup_type": backup_type, "date_from": "2026-11-01T01:00:00+01:00", "date_to": "2026-12-01T00:00:00Z",
    });
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request
}

/// Puts the clock of the tests' rows so far back that the window of November is past, whenever the tests run.
pub async fn shop_of_november(stack: &Stack) {
    execute(&stack.database_url, &PARTS.replace("2026-", "2024-")).await;
}

fn of_2024(request: Value) -> Value {
    serde_json::from_str(&request.to_string().replace("2026-", "2024-")).unwrap()
}

/// The copy's rows are the original's for which the condition holds.
async fn assert_rows(stack: &Stack, copy: &str, table: &str, condition: &str) {
    let condition = condition.replace("2026-", "2024-");
    let expected = rows_where(&stack.database_url, table, &condition).await;
    assert_eq!(rows_where(copy, table, "true").await, expected, "{table} where {condition}");
}

async fn assert_every_foreign_key_holds(copy: &str) {
    let keys = "SELECT count(*)::text FROM pg_constraint WHERE contype = 'f' AND convalidated";
    assert_ne!(texts(copy, keys).await, ["0"]);
    let unproven = "SELECT conname::text FROM pg_constraint WHERE contype = 'f' AND NOT convalidated";
    assert_eq!(texts(copy, unproven).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_full_window_holds_what_was_created_in_it_and_the_parents_outside_of_it() {
    let stack = archive_stack().start().await.unwrap();
    shop_of_november(&stack).await;
    for format in ["copy", "csv", "json"] {
        a_full_window_comes_back(&stack, format).await;
    }
}

/// A window of a [`shop_of_november`], as a request.
pub fn a_full_window(format: &str) -> Value {
    let columns = json!({"shop.\"Odd name\"": "placed_at"});
    of_2024(november("full", json!({"created_columns": columns, "format": format})))
}

/// The same, verified and restored.
pub async fn a_full_window_comes_back(stack: &Stack, format: &str) {
    let backup = succeed(stack, "backup", a_full_window(format)).await;

    assert_eq!((&backup["partial"], &backup["format"]), (&json!(true), &json!(format)));
    succeed(stack, "verify", json!({"action": "full", "backup_id": id_of(&backup)})).await;
    let window = &backup["selection"]["window"];
    assert_eq!(
        (&window["from"], &window["to"]),
        (&json!("2024-11-01T01:00:00+01:00"), &json!("2024-12-01T00:00:00Z"))
    );
    let listed = |list: &str| {
        let names = window[list].as_array().unwrap().iter().map(|name| match name.as_str() {
            Some(name) => name.to_owned(),
            None => format!("{} by {}", name["table"].as_str().unwrap(), name["column"].as_str().unwrap()),
        });
        names.filter(|name| name.starts_with("shop.")).collect::<Vec<_>>()
    };
    assert_eq!(listed("whole"), ["shop.blocked", "shop.counters", "shop.countries"]);
    assert_eq!(listed("with_what_they_are_part_of"), ["shop.line_notes", "shop.lines"]);
    assert!(listed("created_columns").contains(&"shop.\"Odd name\" by placed_at".to_owned()));
    assert!(listed("created_columns").contains(&"shop.products by created".to_owned()));

    let (restored, copy) = restore_copy(stack, &id_of(&backup)).await;
    // 3 came at the very beginning, 5 at the very end: it is here because an order of November is its.
    assert_rows(stack, &copy, "shop.people", "id IN (1, 2, 3, 4, 5, 6)").await;
    assert_rows(stack, &copy, "shop.teams", "id IN (1, 2)").await;
    assert_rows(stack, &copy, "shop.countries", "true").await;
    assert_rows(stack, &copy, "shop.counters", "true").await;
    assert_rows(stack, &copy, "shop.products", "sku IN ('new', 'old')").await;
    assert_rows(stack, &copy, "shop.\"Odd name\"", "id = 3").await;
    assert_rows(stack, &copy, "shop.lines", "order_id = 3").await;
    assert_rows(stack, &copy, "shop.line_notes", "order_id = 3").await;
    assert_rows(stack, &copy, "shop.visits_old", "id = 1").await;
    assert_rows(stack, &copy, "shop.visits_new", "id = 2").await;
    assert_rows(stack, &copy, "shop.feedback", "id IN (1, 3)").await;
    assert_rows(stack, &copy, "shop.animals", "true").await;
    assert_rows(stack, &copy, "shop.cats", "name = 'tom'").await;
    assert_every_foreign_key_holds(&copy).await;

    assert_eq!((&restored["partial"], &restored["fit_for"]), (&json!(true), &json!(["merge"])));
    assert_eq!(restored["difference_to_production"]["result"], "not compared");
    let comment = format!(
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{}'",
        restored["target_database"].as_str().unwrap()
    );
    assert!(texts(&copy, &comment).await[0].starts_with("recoup staging: a part of a database"));
    drop_copy(stack, &restored).await;
}

#[tokio::test]
async fn tables_of_a_window_bring_of_other_tables_only_what_they_refer_to() {
    let stack = archive_stack().start().await.unwrap();
    shop_of_november(&stack).await;
    let of = |columns: Value| {
        let tables = json!(["shop.\"Odd name\"", "shop.lines", "shop.people"]);
        of_2024(november("tables", json!({"tables": tables, "created_columns": columns})))
    };
    let orders = of(json!({"shop.\"Odd name\"": "placed_at", "shop.people": null}));

    let backup = succeed(&stack, "backup", orders).await;

    let (restored, copy) = restore_copy(&stack, &id_of(&backup)).await;
    assert_rows(&stack, &copy, "shop.\"Odd name\"", "id = 3").await;
    assert_rows(&stack, &copy, "shop.lines", "order_id = 3").await;
    assert_rows(&stack, &copy, "shop.people", "id IN (4, 5)").await;
    assert_rows(&stack, &copy, "shop.countries", "code IN ('de', 'jp')").await;
    assert_rows(&stack, &copy, "shop.products", "sku = 'old'").await;
    assert_rows(&stack, &copy, "shop.teams", "false").await;
    assert_every_foreign_key_holds(&copy).await;
    drop_copy(&stack, &restored).await;

    // Without a word about them, orders have no time: all of them come.
    let backup = succeed(&stack, "backup", of(json!({}))).await;
    assert_eq!(backup["selection"]["window"]["whole"], json!(["shop.\"Odd name\"", "shop.lines"]));
    assert!(row_counts(&backup).contains(&("shop.\"Odd name\"".replace('"', ""), 3)));
}

#[tokio::test]
async fn a_partial_backup_is_never_the_latest_and_says_what_it_is() {
    let stack = eager().start().await.unwrap();
    sell(&stack, &mut Shop::open(&stack.stripe, 9).unwrap(), 12).await;
    let whole = full_backup(&stack).await;
    let between: String = texts(
        &stack.database_url,
        "SELECT to_char(percentile_disc(0.5) WITHIN GROUP (ORDER BY created_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') FROM recoup.orders",
    )
    .await
    .remove(0);
    for kind in ["full", "orders", "payments", "tickets"] {
        let request = json!({"backup_type": kind, "date_from": between, "label": "since noon"});

        let partial = succeed(&stack, "backup", request).await;

        let list = succeed(&stack, "backup", json!({"action": "list"})).await;
        let listed =
            list["backups"].as_array().unwrap().iter().find(|one| id_of(one) == id_of(&partial)).unwrap();
        assert_eq!((&listed["partial"], &listed["label"]), (&json!(true), &json!("since noon")));
        assert_eq!(listed["file_size_bytes"], partial["file_size_bytes"]);
        let verified = succeed(&stack, "verify", json!({"action": "full", "backup_id": "latest"})).await;
        assert_eq!(id_of(&verified), id_of(&whole));
        succeed(&stack, "verify", json!({"action": "full", "backup_id": id_of(&partial)})).await;
        let (restored, copy) = restore_copy(&stack, &id_of(&partial)).await;
        assert_every_foreign_key_holds(&copy).await;
        if kind == "orders" {
            let since = format!("created_at >= '{between}'");
            let orders = rows_where(&stack.database_url, "recoup.orders", &since).await;
            let items = format!("order_id IN (SELECT id FROM recoup.orders WHERE {since})");
            let items = rows_where(&stack.database_url, "recoup.order_items", &items).await;
            for (table, condition, expected) in
                [("recoup.orders", since.as_str(), &orders), ("recoup.order_items", "true", &items)]
            {
                let found = rows_where(&copy, table, condition).await;
                assert!(!found.is_empty() && expected.iter().all(|row| found.contains(row)), "{table}");
            }
        }
        drop_copy(&stack, &restored).await;
        let instructions =
            stack.s3.read(&format!("v1/backups/{}/RESTORE.md", id_of(&partial))).await.unwrap();
        assert!(String::from_utf8_lossy(&instructions).contains("never put it in a database's place"));
        let recorded = format!(
            "SELECT partial::text || ' ' || (window_from = '{between}') FROM recoup.backups WHERE backup_id = '{}'",
            id_of(&partial)
        );
        assert_eq!(texts(&stack.database_url, &recorded).await, ["true true"]);
    }
}

/// Tables of four hundred rows each that refer to each other at random, in circles, to themselves and in a line.
const MAZE: &str = "
    SELECT setseed(0.42);
    CREATE SCHEMA maze;
    CREATE TABLE maze.a (id int PRIMARY KEY, a int, b int, created_at timestamptz);
    CREATE TABLE maze.b (id int PRIMARY KEY, c int, created_at timestamp);
    CREATE TABLE maze.c (id int PRIMARY KEY, a int, d int, created_at date);
    CREATE TABLE maze.d (id int PRIMARY KEY, d int, created_at timestamptz);
    CREATE TABLE maze.e (id int, a int, d int, f int, PRIMARY KEY (id, a));
    CREATE TABLE maze.f (id int PRIMARY KEY, g int, created_at timestamptz);
    CREATE TABLE maze.g (id int PRIMARY KEY, created_at timestamptz);
    CREATE FUNCTION maze.some(chance float) RETURNS int LANGUAGE sql VOLATILE
        RETURN CASE WHEN random() < chance THEN 1 + floor(random() * 400)::int END;
    INSERT INTO maze.a SELECT i, maze.some(0.6), maze.some(0.3), '2024-01-01 00:00+00'::timestamptz + i * interval '1 day' FROM generate_series(1, 400) i;
    INSERT INTO maze.b SELECT i, maze.some(0.4), '2024-01-01'::timestamp + i * interval '1 day' FROM generate_series(1, 400) i;
    INSERT INTO maze.c SELECT i, maze.some(0.3), maze.some(0.3), '2024-01-01'::date + i FROM generate_series(1, 400) i;
    INSERT INTO maze.d SELECT i, maze.some(0.7), NULL FROM generate_series(1, 400) i;
    INSERT INTO maze.e SELECT i, 1 + floor(random() * 400)::int, maze.some(0.5), maze.some(0.5) FROM generate_series(1, 400) i;
    INSERT INTO maze.f SELECT i, maze.some(0.5), NULL FROM generate_series(1, 400) i;
    INSERT INTO maze.g SELECT i, NULL FROM generate_series(1, 400) i;
    ALTER TABLE maze.a ADD FOREIGN KEY (a) REFERENCES maze.a, ADD FOREIGN KEY (b) REFERENCES maze.b;
    ALTER TABLE maze.b ADD FOREIGN KEY (c) REFERENCES maze.c;
    ALTER TABLE maze.c ADD FOREIGN KEY (a) REFERENCES maze.a, ADD FOREIGN KEY (d) REFERENCES maze.d;
    ALTER TABLE maze.d ADD FOREIGN KEY (d) REFERENCES maze.d;
    ALTER TABLE maze.e ADD FOREIGN KEY (a) REFERENCES maze.a, ADD FOREIGN KEY (d) REFERENCES maze.d,
        ADD FOREIGN KEY (f) REFERENCES maze.f;
    ALTER TABLE maze.f ADD FOREIGN KEY (g) REFERENCES maze.g;
";

/// Every reference of the maze, from row to row.
const REFERENCES: &str = "
    SELECT 'a' || id, 'a' || a FROM maze.a WHERE a IS NOT NULL
    UNION ALL SELECT 'a' || id, 'b' || b FROM maze.a WHERE b IS NOT NULL
    UNION ALL SELECT 'b' || id, 'c' || c FROM maze.b WHERE c IS NOT NULL
    UNION ALL SELECT 'c' || id, 'a' || a FROM maze.c WHERE a IS NOT NULL
    UNION ALL SELECT 'c' || id, 'd' || d FROM maze.c WHERE d IS NOT NULL
    UNION ALL SELECT 'd' || id, 'd' || d FROM maze.d WHERE d IS NOT NULL
    UNION ALL SELECT 'e' || id, 'a' || a FROM maze.e
    UNION ALL SELECT 'e' || id, 'd' || d FROM maze.e WHERE d IS NOT NULL
    UNION ALL SELECT 'e' || id, 'f' || f FROM maze.e WHERE f IS NOT NULL
    UNION ALL SELECT 'f' || id, 'g' || g FROM maze.f WHERE g IS NOT NULL
";

const ROWS: &str = "
    SELECT 'a' || id FROM maze.a UNION ALL SELECT 'b' || id FROM maze.b UNION ALL SELECT 'c' || id FROM maze.c
    UNION ALL SELECT 'd' || id FROM maze.d UNION ALL SELECT 'e' || id FROM maze.e
    UNION ALL SELECT 'f' || id FROM maze.f UNION ALL SELECT 'g' || id FROM maze.g
";

#[tokio::test]
async fn the_rows_of_a_window_are_those_that_a_walk_along_the_references_finds() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, MAZE).await;
    let mut connection = PgConnection::connect(&stack.database_url).await.unwrap();
    let mut refers_to: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let references: Vec<(String, String)> =
        sqlx::query_as(REFERENCES).fetch_all(&mut connection).await.unwrap();
    for (from, to) in references {
        refers_to.entry(from).or_default().push(to);
    }
    for (from, to, tables) in [(40, 45, "abcde"), (300, 302, "ae"), (17, 18, "b"), (1, 400, "c")] {
        let day = |day: i32| format!("'2024-01-01 00:00+00'::timestamptz + {day} * interval '1 day'");
        let in_window = format!("created_at >= {} AND created_at < {}", day(from), day(to));
        let utc = in_window.replace("created_at", "created_at::timestamp AT TIME ZONE 'UTC'");
        let starts = [
            format!("SELECT 'a' || id FROM maze.a WHERE {in_window}"),
            format!("SELECT 'b' || id FROM maze.b WHERE {utc}"),
            format!("SELECT 'c' || id FROM maze.c WHERE {utc}"),
            format!("SELECT 'd' || id FROM maze.d WHERE {in_window}"),
            // Its primary key holds the reference to a, and no column says when it was created.
            format!(
                "SELECT 'e' || e.id FROM maze.e JOIN maze.a ON a.id = e.a WHERE a.{}",
                in_window.replace("AND created_at", "AND a.created_at")
            ),
        ];
        let mut open = Vec::new();
        for start in starts.iter().filter(|start| tables.contains(&start[8..9])) {
            open.extend(texts(&stack.database_url, start).await);
        }
        assert!(!open.is_empty());
        let mut expected: BTreeSet<String> = open.iter().cloned().collect();
        while let Some(row) = open.pop() {
            let next = refers_to.get(&row).into_iter().flatten().cloned();
            open.extend(next.filter(|row| expected.insert(row.clone())));
        }
        let names: Vec<String> = tables.chars().map(|table| format!("maze.{table}")).collect();
        let time = |day: i32| texts_of_day(&stack, day);
        let request = json!({
            "backup_type": "tables", "tables": names, "date_from": time(from).await, "date_to": time(to).await,
        });

        let backup = succeed(&stack, "backup", request).await;

        let (restored, copy) = restore_copy(&stack, &id_of(&backup)).await;
        let missing = "SELECT format('CREATE TABLE IF NOT EXISTS maze.%I (id int)', t) FROM unnest('{a,b,c,d,e,f,g}'::text[]) t";
        for statement in texts(&copy, missing).await {
            execute(&copy, &statement).await;
        }
        let found: BTreeSet<String> = texts(&copy, ROWS).await.into_iter().collect();
        assert_every_foreign_key_holds(&copy).await;
        drop_copy(&stack, &restored).await;
        assert_eq!(found, expected, "{tables} from day {from} to day {to}");
    }
}

async fn texts_of_day(stack: &Stack, day: i32) -> String {
    let sql = format!(
        "SELECT to_char('2024-01-01'::timestamp + {day} * interval '1 day', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
    );
    texts(&stack.database_url, &sql).await.remove(0)
}
