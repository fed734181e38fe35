//! Rows of a copy into production: what it lacks, or what is to be as it was.

use serde_json::{Value, json};
use sqlx::Connection;
use stack::Stack;

use crate::archive_stack::{
    archive_stack, assert_same_dump, dump_with, every_kind_of_value, execute, fail, full_backup, succeed,
    target, texts,
};
use crate::promote_stack::{copy_of, promote, signed, text, tidy_up, with};

/// All of production but the log of what was done to it.
async fn whole(stack: &Stack) -> String {
    let without = [
        "--exclude-table=recoup.audit_log",
        "--exclude-table=recoup.audit_log_id_seq",
        "--exclude-table-data=recoup.row_changes_id_seq",
    ];
    dump_with(stack, &stack.database_url, &without).await
}

/// Statements that no foreign key and no trigger keeps back.
async fn damage(stack: &Stack, sql: &str) {
    execute(&stack.database_url, &format!("SET session_replication_role = replica; {sql}")).await;
}

fn of_table<'a>(reply: &'a Value, table: &str) -> &'a Value {
    let found = reply["tables"].as_array().unwrap().iter().find(|entry| entry["table"] == table);
    found.unwrap_or_else(|| panic!("{table} is not in {reply}"))
}

/// A shop whose tables refer to each other in every way, and a copy of it.
async fn awkward_shop(what: &str) -> (Stack, String) {
    let stack = archive_stack().start().await.unwrap();
    every_kind_of_value(&stack).await;
    execute(&stack.database_url, include_str!("schemas/parts.sql")).await;
    // Somebody had number 40, and is gone: nobody gets it again.
    execute(&stack.database_url, "SELECT setval('shop.people_id_seq', 40)").await;
    full_backup(&stack).await;
    let copy = target(what);
    copy_of(&stack, &copy).await;
    (stack, copy)
}

/// Deletes rows on both ends of circles, of partitions, under identities, with quoted names.
const LOSSES: &str = r#"
    DELETE FROM public.chicken; DELETE FROM public.egg; DELETE FROM public.events WHERE region <> 'us';
    DELETE FROM public.hashed WHERE k = 3; DELETE FROM public.bookings; DELETE FROM "Select"."order";
    DELETE FROM shop.people WHERE id < 6; DELETE FROM shop.teams; DELETE FROM shop.countries;
    DELETE FROM shop."Odd name"; DELETE FROM shop.lines; DELETE FROM shop.line_notes; DELETE FROM shop.visits;
    DELETE FROM shop.feedback; DELETE FROM shop.products WHERE sku = 'old'; DELETE FROM values_of.scalars WHERE id <> 2;
    DELETE FROM values_of.noise WHERE id % 3 = 0;
"#;

#[tokio::test]
async fn what_production_lost_is_put_in_and_nothing_else_changes() {
    let (stack, copy) = awkward_shop("merge").await;
    let before = whole(&stack).await;
    damage(&stack, LOSSES).await;
    // Numbers that were given out are not given out again.
    execute(
        &stack.database_url,
        "ALTER SEQUENCE shop.counters_id_seq RESTART; SELECT setval('shop.people_id_seq', 2)",
    )
    .await;
    let damaged = whole(&stack).await;
    assert_ne!(before, damaged);

    let planned = succeed(&stack, "restore", promote("merge_missing", &copy)).await;
    assert_eq!((&planned["status"], &planned["conflicts"]), (&json!("planned"), &json!([])));
    assert_same_dump(&damaged, &whole(&stack).await);
    let done = succeed(&stack, "restore", signed(promote("merge_missing", &copy))).await;

    assert_eq!(done["tables"], planned["tables"]);
    let people = json!({"table": "shop.people", "production_rows_before": 3, "production_rows_after": 8, "copy_rows": 8,
        "inserted": 5, "updated": 0, "deleted": 0});
    assert_eq!(of_table(&done, "shop.people"), &people);
    assert_same_dump(&before, &whole(&stack).await);
    let log = "SELECT action || ' ' || (after -> 'tables' -> 0 ->> 'inserted') FROM recoup.audit_log";
    assert_eq!(texts(&stack.database_url, log).await, ["promote merge_missing 1"]);
    let again = succeed(&stack, "restore", signed(promote("merge_missing", &copy))).await;
    assert_eq!((&again["status"], &again["tables"]), (&json!("promoted"), &json!([])));
    assert_eq!(texts(&stack.database_url, "SELECT id::text FROM recoup.audit_log").await.len(), 1);
    tidy_up(&stack, &[&copy]).await;
}

#[tokio::test]
async fn what_is_overwritten_is_as_it_was_to_the_row() {
    let (stack, copy) = awkward_shop("overwrite").await;
    let before = whole(&stack).await;
    damage(&stack, LOSSES).await;
    damage(
        &stack,
        r#"UPDATE shop.people SET country = 'fr', mood = 'sad'; UPDATE public.events SET body = 'changed';
        INSERT INTO public.events (region, at, id) VALUES ('us', '2025-02-02', 77), ('eu', '2031-02-02', 78);
        INSERT INTO public.chicken VALUES (5, 6); INSERT INTO public.egg VALUES (6, 5);
        INSERT INTO shop.people (id, manager_id) OVERRIDING SYSTEM VALUE VALUES (91, 92), (92, 91);
        UPDATE values_of.scalars SET f8 = 1, t = 'x'; UPDATE values_of.noise SET body = '\x00' WHERE id % 5 = 0;
        INSERT INTO values_of.noise VALUES (-1, '\x01'); INSERT INTO public.arrays (a) VALUES ('{1}');
        INSERT INTO public.typed VALUES (4, 'y'); UPDATE public.hashed SET v = 'z';
        UPDATE shop.visits SET person_id = 2; INSERT INTO shop.cats VALUES ('new', now(), 3); DELETE FROM shop.animals;"#,
    )
    .await;
    let damaged = whole(&stack).await;
    let tables = json!([
        "public.chicken",
        "public.egg",
        "public.events",
        "public.hashed",
        "public.bookings",
        "\"Select\".\"order\"",
        "shop.people",
        "shop.teams",
        "shop.countries",
        "shop.\"Odd name\"",
        "shop.lines",
        "shop.line_notes",
        "shop.visits",
        "shop.feedback",
        "shop.products",
        "values_of.scalars",
        "values_of.noise",
        "public.arrays",
        "public.typed",
        "shop.animals",
        "shop.cats"
    ]);
    let request = with(promote("overwrite", &copy), "tables", tables);

    let planned = succeed(&stack, "restore", request.clone()).await;
    assert_same_dump(&damaged, &whole(&stack).await);
    let done = succeed(&stack, "restore", signed(request)).await;

    assert_eq!((&done["status"], &done["tables"]), (&json!("promoted"), &planned["tables"]));
    let events = of_table(&done, "public.events");
    assert_eq!(
        (&events["inserted"], &events["updated"], &events["deleted"]),
        (&json!(2), &json!(1), &json!(2))
    );
    assert_same_dump(&before, &whole(&stack).await);
    tidy_up(&stack, &[&copy]).await;
}

#[tokio::test]
async fn rows_that_a_constraint_keeps_out_are_named_and_nothing_is_changed() {
    let stack = archive_stack().start().await.unwrap();
    execute(
        &stack.database_url,
        "CREATE TABLE public.accounts (id int PRIMARY KEY, email text CONSTRAINT one_address UNIQUE, lower text UNIQUE);
        CREATE TABLE public.notes (id int PRIMARY KEY, account int REFERENCES public.accounts);
        INSERT INTO public.accounts SELECT i, 'a' || i || '@x.org', NULL FROM generate_series(1, 9) AS i;
        INSERT INTO public.notes SELECT i, i FROM generate_series(1, 9) AS i;",
    )
    .await;
    full_backup(&stack).await;
    let copy = target("conflict");
    copy_of(&stack, &copy).await;
    execute(&stack.database_url, "DELETE FROM public.notes; DELETE FROM public.accounts; INSERT INTO public.accounts VALUES (77, 'a3@x.org', NULL)").await;
    let before = whole(&stack).await;
    let accounts = with(promote("merge_missing", &copy), "tables", json!(["public.accounts"]));

    let planned = succeed(&stack, "restore", accounts.clone()).await;
    let conflict =
        json!([{"table": "public.accounts", "constraint": "one_address", "rows": 1, "keys": [{"id": "3"}]}]);
    assert_eq!((&planned["status"], &planned["conflicts"]), (&json!("conflicts"), &conflict));
    let (error_type, message) = fail(&stack, "restore", signed(accounts)).await;
    assert_eq!(error_type, "PromoteConflict");
    assert!(message.contains("one_address") && !message.contains("x.org"), "{message}");
    // The other table's row of that account has nothing to refer to.
    let (error_type, message) = fail(&stack, "restore", signed(promote("merge_missing", &copy))).await;
    assert!(error_type == "DatabaseRefused" && message.contains("notes_account_fkey"), "{message}");
    assert_same_dump(&before, &whole(&stack).await);
    assert_eq!(
        text(&stack.database_url, "SELECT count(*)::text FROM recoup.audit_log").await.as_deref(),
        Some("0")
    );
    tidy_up(&stack, &[&copy]).await;
}

#[tokio::test]
async fn triggers_fire_as_for_any_writer_and_where_they_spoil_rows_that_is_found() {
    let stack = archive_stack().start().await.unwrap();
    execute(
        &stack.database_url,
        "CREATE TABLE public.items (id int PRIMARY KEY, changed_at timestamptz);
        CREATE TABLE public.seen (id int);
        CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.changed_at := now(); RETURN NEW; END $$;
        CREATE FUNCTION public.see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen VALUES (NEW.id); RETURN NULL; END $$;
        INSERT INTO public.items SELECT i, '2020-01-01' FROM generate_series(1, 9) AS i;
        CREATE TRIGGER see AFTER INSERT ON public.items FOR EACH ROW EXECUTE FUNCTION public.see();",
    )
    .await;
    full_backup(&stack).await;
    let copy = target("triggers");
    copy_of(&stack, &copy).await;
    execute(&stack.database_url, "DELETE FROM public.items WHERE id > 7").await;
    let request = with(promote("merge_missing", &copy), "tables", json!(["public.items"]));

    let done = succeed(&stack, "restore", signed(request.clone())).await;
    assert_eq!(done["triggers_fired"], json!(["see of public.items"]));
    assert_eq!(texts(&stack.database_url, "SELECT id::text FROM public.seen").await, ["8", "9"]);

    execute(
        &stack.database_url,
        "CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON public.items FOR EACH ROW EXECUTE FUNCTION public.touch();
        ALTER TABLE public.items ENABLE ALWAYS TRIGGER touch; DELETE FROM public.items WHERE id > 7",
    )
    .await;
    let before = whole(&stack).await;
    for mode in ["merge_missing", "overwrite"] {
        let request = with(promote(mode, &copy), "tables", json!(["public.items"]));
        let (error_type, message) = fail(&stack, "restore", signed(request)).await;
        assert!(error_type == "PromoteNotEqual" && message.contains("touch of public.items"), "{message}");
        assert_same_dump(&before, &whole(&stack).await);
    }
    let off = with(request, "triggers", json!("off"));
    succeed(&stack, "restore", signed(off)).await;
    let old = "SELECT id::text FROM public.items WHERE changed_at = '2020-01-01'";
    assert_eq!(texts(&stack.database_url, old).await.len(), 9);
    assert_eq!(texts(&stack.database_url, "SELECT id::text FROM public.seen").await.len(), 2);
    let states = "SELECT tgname || tgenabled::text FROM pg_trigger WHERE tgrelid = 'public.items'::regclass";
    assert_eq!(texts(&stack.database_url, states).await, ["seeO", "touchA"]);
    tidy_up(&stack, &[&copy]).await;
}

#[tokio::test]
async fn what_cannot_be_put_in_truly_is_refused() {
    let stack = archive_stack().start().await.unwrap();
    execute(
        &stack.database_url,
        "CREATE TABLE public.parent (id int PRIMARY KEY, extra int);
        CREATE TABLE public.child (id int PRIMARY KEY, parent int REFERENCES public.parent ON DELETE CASCADE);
        CREATE TABLE public.loose (a int); CREATE TABLE public.ruled (id int PRIMARY KEY);
        CREATE RULE also AS ON INSERT TO public.ruled DO ALSO INSERT INTO public.loose VALUES (1);
        INSERT INTO public.parent VALUES (1, 1); INSERT INTO public.child VALUES (1, 1); INSERT INTO public.loose VALUES (1);
        INSERT INTO public.ruled VALUES (1)",
    )
    .await;
    full_backup(&stack).await;
    let copy = target("refused");
    copy_of(&stack, &copy).await;
    succeed(&stack, "backup", json!({"backup_type": "tables", "tables": ["public.parent"]})).await;
    let part = target("part");
    succeed(
        &stack,
        "restore",
        json!({"action": "backup_restore", "backup_id": "latest-tables", "target_database": part}),
    )
    .await;
    execute(
        &stack.database_url,
        "ALTER TABLE public.parent DROP COLUMN extra; DELETE FROM public.loose; DELETE FROM public.ruled;
        DELETE FROM public.child",
    )
    .await;
    let before = whole(&stack).await;
    let of = |mode: &str, table: &str| with(promote(mode, &copy), "tables", json!([table]));
    for (request, expected, says) in [
        (of("merge_missing", "public.parent"), "InvalidRequest", "extra"),
        (of("merge_missing", "public.loose"), "InvalidRequest", "no key"),
        (of("merge_missing", "public.ruled"), "InvalidRequest", "rules"),
        (of("merge_missing", "public.lost"), "InvalidRequest", "neither database"),
        (of("merge_missing", "recoup._sqlx_migrations"), "InvalidRequest", "migrations"),
        (of("overwrite", "recoup.audit_log"), "InvalidRequest", "nobody changes that"),
        (promote("overwrite", &copy), "InvalidRequest", "name the tables"),
        (
            with(promote("overwrite", &part), "tables", json!(["public.parent"])),
            "PromoteRefused",
            "whole backup",
        ),
        (promote("merge_missing", "postgres"), "PromoteRefused", "no mark"),
    ] {
        let (error_type, message) = fail(&stack, "restore", signed(request)).await;
        assert!(error_type == expected && message.contains(says), "{error_type}: {message}");
    }
    assert_same_dump(&before, &whole(&stack).await);
    // Of all tables, those that nothing can be done with are named.
    let done = succeed(&stack, "restore", signed(promote("merge_missing", &copy))).await;
    let left_out: Vec<&str> =
        done["left_out"].as_array().unwrap().iter().map(|entry| entry["table"].as_str().unwrap()).collect();
    assert_eq!(left_out, ["public.loose", "public.parent", "public.ruled"]);
    assert_eq!(of_table(&done, "public.child")["inserted"], 1);

    execute(&stack.database_url, "ALTER TABLE public.parent ADD extra int DEFAULT 1; INSERT INTO public.parent VALUES (2); INSERT INTO public.child VALUES (2, 2)").await;
    let (error_type, message) = fail(&stack, "restore", signed(of("overwrite", "public.parent"))).await;
    assert!(error_type == "PromoteRefused" && message.contains("child_parent_fkey"), "{message}");
    let both = with(promote("overwrite", &copy), "tables", json!(["public.parent", "public.child"]));
    let done = succeed(&stack, "restore", signed(both)).await;
    assert_eq!(of_table(&done, "public.child")["deleted"], 1);
    tidy_up(&stack, &[&copy, &part]).await;
}

#[tokio::test]
async fn while_rows_are_merged_the_shop_goes_on() {
    let stack = archive_stack().start().await.unwrap();
    execute(
        &stack.database_url,
        "CREATE TABLE public.many (id int PRIMARY KEY, body text);
        INSERT INTO public.many SELECT i, md5(i::text) FROM generate_series(1, 100000) AS i;",
    )
    .await;
    full_backup(&stack).await;
    let copy = target("busy");
    copy_of(&stack, &copy).await;
    execute(&stack.database_url, "DELETE FROM public.many WHERE id % 2 = 0").await;
    let url = stack.database_url.clone();
    let writer = async {
        let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
        for id in 0..200 {
            // Some of these are rows that the merge puts in too.
            sqlx::query(
                "INSERT INTO public.many VALUES ($1, 'new') ON CONFLICT (id) DO UPDATE SET body = 'new'",
            )
            .bind(200_000 + id)
            .execute(&mut connection)
            .await
            .unwrap();
            sqlx::query("UPDATE public.many SET body = 'changed' WHERE id = $1")
                .bind(id * 2 + 1)
                .execute(&mut connection)
                .await
                .unwrap();
        }
    };

    let request = with(promote("merge_missing", &copy), "tables", json!(["public.many"]));
    let (done, ()) = tokio::join!(succeed(&stack, "restore", signed(request)), writer);

    assert_eq!(of_table(&done, "public.many")["inserted"], 50_000);
    let counts = "SELECT concat_ws(' ', count(*), count(*) FILTER (WHERE body = 'new'), count(*) FILTER (WHERE body = 'changed')) FROM public.many";
    assert_eq!(texts(&stack.database_url, counts).await, ["100200 200 200"]);
    tidy_up(&stack, &[&copy]).await;
}

#[tokio::test]
async fn what_is_overwritten_waits_for_its_writers_and_a_rehearsal_does_not() {
    let stack = archive_stack().start().await.unwrap();
    execute(
        &stack.database_url,
        "CREATE TABLE public.held (id int PRIMARY KEY, a int); INSERT INTO public.held VALUES (1, 1), (2, 2)",
    )
    .await;
    full_backup(&stack).await;
    let copy = target("held");
    copy_of(&stack, &copy).await;
    execute(&stack.database_url, "UPDATE public.held SET a = 3 WHERE id = 1").await;
    let mut writer = sqlx::PgConnection::connect(&stack.database_url).await.unwrap();
    sqlx::raw_sql("BEGIN; UPDATE public.held SET a = 4 WHERE id = 2").execute(&mut writer).await.unwrap();
    let request = with(promote("overwrite", &copy), "tables", json!(["public.held"]));

    assert_eq!(of_table(&succeed(&stack, "restore", request.clone()).await, "public.held")["updated"], 1);
    let (error_type, message) = fail(&stack, "restore", signed(request.clone())).await;
    assert!(error_type == "DatabaseLocked" && message.contains("lock"), "{message}");
    sqlx::raw_sql("COMMIT").execute(&mut writer).await.unwrap();
    assert_eq!(of_table(&succeed(&stack, "restore", signed(request)).await, "public.held")["updated"], 2);
    let found = "SELECT concat(id, ' ', a) FROM public.held";
    assert_eq!(texts(&stack.database_url, found).await, ["1 1", "2 2"]);
    writer.close().await.unwrap();
    tidy_up(&stack, &[&copy]).await;
}
