//! Backups of a part of the database: sets of our own tables, and tables by name. Each restores alone.

use serde_json::{Value, json};
use stack::Stack;
use stack::shop::Shop;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::archive_stack::{
    archive_stack, assert_same_dump, drop_copy, dump_with, execute, fail, id_of, restore_copy, row_counts,
    rows_where, succeed, target, texts,
};
use crate::support::{eager, sell};

const PARTS: &str = include_str!("schemas/parts.sql");

/// The tables of a reply.
fn tables_of(reply: &Value) -> Vec<String> {
    row_counts(reply).into_iter().map(|(table, _)| table).collect()
}

/// What `recoup.backups` says of a backup.
async fn recorded_bytes(stack: &Stack, backup: &Value) -> i64 {
    sqlx::query_scalar("SELECT file_size_bytes FROM recoup.backups WHERE backup_id = $1")
        .bind(id_of(backup))
        .fetch_one(&stack.pool)
        .await
        .unwrap()
}

/// A part of a database captures no changes: the table that they would go to is not in it.
fn without_capture(dump: &str) -> String {
    let lines = dump.lines().filter(|line| !line.contains("recoup_capture_"));
    // Each trigger stands between comments and empty lines of its own.
    lines.filter(|line| !line.is_empty() && *line != "--").map(|line| format!("{line}\n")).collect()
}

/// As `pg_dump` sees them, these tables are the same in both databases: columns, keys, triggers, comments, rows.
async fn assert_same_tables(stack: &Stack, copy: &str, tables: &[&str]) {
    for table in tables {
        let option = format!("--table={table}");
        let original = dump_with(stack, &stack.database_url, &[&option]).await;
        assert!(original.contains("CREATE TABLE"), "{table}: {original}");
        let original = without_capture(&original);
        assert_same_dump(&original, &without_capture(&dump_with(stack, copy, &[&option]).await));
    }
}

fn days_kept(backup: &Value) -> i64 {
    let time = |field: &str| OffsetDateTime::parse(backup[field].as_str().unwrap(), &Rfc3339).unwrap();
    (time("expires_at") - time("created_at")).whole_days()
}

#[tokio::test]
async fn each_set_restores_alone_with_what_its_foreign_keys_need() {
    let stack = eager().start().await.unwrap();
    sell(&stack, &mut Shop::open(&stack.stripe, 5).unwrap(), 25).await;
    each_set_comes_back(&stack).await;
    // Neither of them is a backup of the database.
    for (function, action) in [("verify", "full"), ("restore", "backup_restore")] {
        let (error_type, message) =
            fail(&stack, function, json!({"action": action, "backup_id": "latest"})).await;
        assert_eq!(error_type, "BackupNotFound", "{message}");
        assert!(message.contains("no full backup"), "{message}");
    }
}

/// Backs up each set of a shop that sold, verifies, restores, and lets `pg_dump` compare.
pub async fn each_set_comes_back(stack: &Stack) {
    execute(&stack.database_url, "CREATE TABLE public.lessons (id serial PRIMARY KEY)").await;
    let money = [
        "balance_transactions",
        "charges",
        "connected_accounts",
        "disputes",
        "invoice_lines",
        "invoice_orders",
        "invoice_payments",
        "invoices",
        "ledger_entries",
        "payment_orders",
        "payments",
        "payouts",
        "refunds",
        "subscription_items",
        "subscriptions",
    ];
    let sales = [
        "catalog_items",
        "coaching_sessions",
        "credit_entries",
        "customers",
        "enrollments",
        "order_items",
        "orders",
        "payment_orders",
        "payments",
    ];
    let seats = ["customers", "order_items", "orders", "tickets"];
    let sets: [(&str, &[&str], i64); 3] =
        [("payments", &money, 7), ("orders", &sales, 30), ("tickets", &seats, 30)];
    for (kind, tables, days) in sets {
        let backup =
            succeed(stack, "backup", json!({"backup_type": kind, "label": format!("{kind} by hand")})).await;

        let expected: Vec<String> = tables.iter().map(|table| format!("recoup.{table}")).collect();
        assert_eq!(tables_of(&backup), expected, "{kind}");
        assert_eq!((&backup["backup_type"], &backup["partial"]), (&json!(kind), &json!(false)));
        assert_eq!((days_kept(&backup), &backup["unsupported"]), (days, &json!([])), "{kind}");
        let list = succeed(stack, "backup", json!({"action": "list"})).await;
        let listed = &list["backups"].as_array().unwrap().iter().find(|one| id_of(one) == id_of(&backup));
        let listed = listed.unwrap();
        assert_eq!((&listed["label"], &listed["partial"]), (&backup["label"], &json!(false)));
        assert_eq!(listed["file_size_bytes"], backup["file_size_bytes"]);
        assert_eq!(recorded_bytes(stack, &backup).await, backup["file_size_bytes"].as_i64().unwrap());

        let latest = format!("latest-{kind}");
        let verified = succeed(stack, "verify", json!({"action": "full", "backup_id": latest})).await;
        assert_eq!((id_of(&verified), &verified["status"]), (id_of(&backup), &json!("whole")));
        let (restored, copy) = restore_copy(stack, &latest).await;
        assert_eq!(restored["difference_to_production"]["result"], "equal", "{restored}");
        assert_eq!((&restored["partial"], &restored["fit_for"]), (&json!(false), &json!(["merge"])));
        assert_same_tables(stack, &copy, &expected.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let there = "SELECT schemaname || '.' || tablename FROM pg_tables
            WHERE schemaname IN ('recoup', 'public')";
        assert_eq!(texts(&copy, there).await, expected, "{kind}: and no other table");
        drop_copy(stack, &restored).await;
    }
}

#[tokio::test]
async fn every_table_of_ours_is_in_a_set_or_in_the_full_backup_on_purpose() {
    let stack = archive_stack().start().await.unwrap();
    // What Stripe can send again, and what is about the running of recoup.
    let mut known: Vec<String> = [
        "_sqlx_migrations",
        "audit_log",
        "backup_expectations",
        "backups",
        "captured_tables",
        "change_segments",
        "erasures",
        "reconciliations",
        "recovery_points",
        "row_changes",
        "verifications",
        "webhook_events",
    ]
    .map(|table| format!("recoup.{table}"))
    .into();
    for kind in ["payments", "orders", "tickets"] {
        known.extend(tables_of(&succeed(&stack, "backup", json!({"backup_type": kind})).await));
    }
    known.sort();
    known.dedup();
    let all = "SELECT 'recoup.' || tablename FROM pg_tables WHERE schemaname = 'recoup'";
    assert_eq!(texts(&stack.database_url, all).await, known);
}

#[tokio::test]
async fn named_tables_restore_with_everything_that_they_need_and_nothing_else() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, PARTS).await;
    let request = json!({"backup_type": "tables", "tables": ["SHOP.\"Odd name\"", "shop.visits_new"]});

    let backup = succeed(&stack, "backup", request).await;

    let selection = &backup["selection"];
    assert_eq!(selection["tables"], json!(["shop.\"Odd name\"", "shop.visits_new"]));
    assert_eq!(selection["added"], json!(["shop.countries", "shop.people", "shop.products", "shop.teams"]));
    assert_eq!(selection["window"], json!(null));
    // A policy that looks into a table which is not here cannot be made; it is said, and no other is missing.
    let lost: Vec<&str> =
        backup["unsupported"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    assert!(
        matches!(lost[..], [one] if one.contains("not blocked") && one.contains("not in this backup")),
        "{lost:?}"
    );
    assert_eq!(days_kept(&backup), 30);

    let (restored, copy) = restore_copy(&stack, &id_of(&backup)).await;
    let same = ["shop.people", "shop.teams", "shop.countries", "shop.products", "shop.visits_new"];
    assert_same_tables(&stack, &copy, &same).await;
    assert_eq!(
        rows_where(&copy, "shop.\"Odd name\"", "true").await,
        rows_where(&stack.database_url, "shop.\"Odd name\"", "true").await
    );
    // The partition's parent has its place, without the other partition; views of these tables work.
    assert_eq!(texts(&copy, "SELECT id::text FROM shop.visits").await, ["2", "3"]);
    assert_eq!(texts(&copy, "SELECT id::text FROM shop.buyers").await, ["1", "3", "5"]);
    let relations = "SELECT relname::text FROM pg_class WHERE relnamespace = 'shop'::regnamespace
        AND relkind IN ('r', 'p', 'v', 'm', 'S')";
    assert_eq!(
        texts(&copy, relations).await,
        [
            "Odd name",
            "buyers",
            "counters_id_seq",
            "countries",
            "managers",
            "people",
            "people_id_seq",
            "products",
            "teams",
            "visits",
            "visits_new",
        ]
    );
    assert_eq!(texts(&copy, "SELECT nextval('shop.counters_id_seq')::text").await, ["6"]);
    let unproven = "SELECT conname::text FROM pg_constraint WHERE contype = 'f' AND NOT convalidated";
    assert_eq!(texts(&copy, unproven).await, Vec::<String>::new());
    drop_copy(&stack, &restored).await;
}

#[tokio::test]
async fn a_name_stands_for_what_a_query_of_it_shows() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, PARTS).await;
    for (named, tables, bare) in [
        ("shop.animals", vec!["shop.animals", "shop.cats"], false),
        ("shop.cats", vec!["shop.cats"], true),
        (
            "shop.visits",
            vec!["shop.countries", "shop.people", "shop.teams", "shop.visits_new", "shop.visits_old"],
            false,
        ),
        (
            "shop.feedback",
            vec![
                "shop.countries",
                "shop.feedback",
                "shop.people",
                "shop.teams",
                "shop.visits_new",
                "shop.visits_old",
            ],
            false,
        ),
    ] {
        let backup = succeed(&stack, "backup", json!({"backup_type": "tables", "tables": [named]})).await;
        assert_eq!(tables_of(&backup), tables, "{named}");
        let said = backup["unsupported"].as_array().unwrap();
        assert_eq!(
            said.iter().any(|one| one.as_str().unwrap().contains("only its definition")),
            bare,
            "{said:?}"
        );
        let (restored, copy) = restore_copy(&stack, &id_of(&backup)).await;
        let names: Vec<&str> = tables.clone();
        assert_same_tables(&stack, &copy, &names).await;
        drop_copy(&stack, &restored).await;
    }
}

#[tokio::test]
async fn what_cannot_be_chosen_is_refused_with_what_can() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, PARTS).await;
    let tables = |name: &str| json!({"backup_type": "tables", "tables": ["shop.people", name]});
    let dated = |columns: Value| json!({"backup_type": "tables", "tables": ["shop.people"], "date_from": "2026-11-01T00:00:00Z", "created_columns": columns});
    for (request, expected, hint) in [
        (tables("shop.peopel"), "UnknownTable", "did you mean shop.people?"),
        (tables("shop.\"odd name\""), "UnknownTable", "did you mean shop.\"Odd name\"?"),
        (tables("public.people"), "UnknownTable", "did you mean shop.people?"),
        (tables("shop.zzzzzzz"), "UnknownTable", "no such table"),
        (tables("shop.buyers"), "UnknownTable", "it is a view"),
        (tables("shop.animal_count"), "UnknownTable", "it is a view"),
        (tables("pg_catalog.pg_class"), "UnknownTable", "no such table"),
        (tables("people"), "InvalidRequest", "public.orders"),
        (tables("shop.people; DROP TABLE x"), "InvalidRequest", "is not a name"),
        (dated(json!({"shop.people": "creatd_at"})), "InvalidRequest", "it has created_at"),
        (dated(json!({"shop.people": "mood"})), "InvalidRequest", "of type shop.mood"),
        (dated(json!({"shop.teams": "created_at"})), "InvalidRequest", "not one of this backup's own tables"),
        (dated(json!({"shop.teem": "created_at"})), "UnknownTable", "did you mean shop.teams?"),
        (
            json!({"backup_type": "orders", "date_from": "2999-01-01T00:00:00Z"}),
            "InvalidRequest",
            "in the future",
        ),
        (
            json!({"backup_type": "orders", "date_from": "2026-01-01T00:00:00"}),
            "InvalidRequest",
            "with its zone",
        ),
        (
            json!({"backup_type": "orders", "date_from": "2026-01-02T00:00:00Z", "date_to": "2026-01-01T00:00:00Z"}),
            "InvalidRequest",
            "ends before it begins",
        ),
        (
            json!({"backup_type": "orders", "date_from": "2026-01-02T00:00:00Z", "date_to": "2026-01-02T01:00:00+01:00"}),
            "InvalidRequest",
            "is empty",
        ),
        (
            json!({"backup_type": "orders", "date_to": "2026-01-02T00:00:00Z"}),
            "InvalidRequest",
            "need date_from",
        ),
        (
            json!({"backup_type": "orders", "tables": ["shop.people"]}),
            "InvalidRequest",
            "backup_type \"tables\"",
        ),
    ] {
        let (error_type, message) = fail(&stack, "backup", request.clone()).await;
        assert_eq!(error_type, expected, "{request}: {message}");
        assert!(message.contains(hint), "{request}: {message}");
    }
    assert_eq!(succeed(&stack, "backup", json!({"action": "list"})).await["backups"], json!([]));

    execute(&stack.database_url, "DROP SCHEMA recoup CASCADE").await;
    let (error_type, message) = fail(&stack, "backup", json!({"backup_type": "payments"})).await;
    assert_eq!(error_type, "SchemaMissing", "{message}");
    assert!(message.contains("apply the migrations"), "{message}");
}

#[tokio::test]
async fn a_table_that_is_not_chosen_need_not_be_readable() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, PARTS).await;
    let role = target("reader");
    let grants = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'reader'; GRANT USAGE ON SCHEMA shop TO {role};
        GRANT SELECT ON shop.teams, shop.people, shop.countries, shop.people_id_seq TO {role}"
    );
    execute(&stack.database_url, &grants).await;
    let (_, rest) = stack.database_url.split_once('@').unwrap();
    stack.secrets.put("database", &json!({"url": format!("postgres://{role}:reader@{rest}")})).await.unwrap();

    let of = |table: &str| json!({"backup_type": "tables", "tables": [table]});
    let backup = succeed(&stack, "backup", of("shop.teams")).await;
    let (error_type, message) = fail(&stack, "backup", of("shop.visits")).await;

    execute(&stack.database_url, &format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    assert_eq!(tables_of(&backup), ["shop.countries", "shop.people", "shop.teams"]);
    assert_eq!(error_type, "PermissionDenied", "{message}");
}
