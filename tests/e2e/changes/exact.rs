//! What is captured is what was written, whatever it is and however it was written.

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use stack::Stack;

use super::apply::{assert_same, base, changes_stack, export, now, state_at, state_now};
use crate::archive_stack::{
    assert_same_dump, drop_copy, dump_with, every_kind_of_value, execute, succeed, target,
};

/// Settings under which values lose digits, or read as others, where nobody pins them.
const HOSTILE: &str = "SET DateStyle = 'German'; SET TimeZone = 'Asia/Kolkata'; SET IntervalStyle = 'sql_standard';
    SET extra_float_digits = -10; SET bytea_output = 'escape'; SET search_path = values_of, public, \"Select\";
    SET session_replication_role = replica;";

/// Captures every table that has a key, and says which.
const CAPTURE_ALL: &str = "
    SELECT recoup.capture_table(r.oid)
    FROM pg_class AS r JOIN pg_namespace AS n ON n.oid = r.relnamespace
    WHERE r.relkind IN ('r', 'p') AND NOT r.relispartition AND n.nspname !~ '^(pg_|information_schema|recoup)'
        AND (recoup.capture_key(r.oid)).columns IS NOT NULL
    ORDER BY r.oid";

/// For each captured table of the application, `statement` with its name and its columns that can be written.
async fn for_each_table(url: &str, statement: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let tables: Vec<(String, String)> = sqlx::query_as(
        "SELECT c.relation::regclass::text,
            (
                SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute AS a
                WHERE a.attrelid = c.relation AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
            )
        FROM recoup.captured AS c JOIN pg_class AS r ON r.oid = c.relation
        WHERE c.table_id >= 1000 AND NOT r.relispartition ORDER BY c.table_id",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert!(tables.len() > 8, "{tables:?}");
    sqlx::raw_sql(HOSTILE).execute(&mut connection).await.unwrap();
    for (table, columns) in tables {
        let sql = statement.replace("{table}", &table).replace("{columns}", &columns);
        sqlx::raw_sql(AssertSqlSafe(sql.clone()))
            .execute(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

#[tokio::test]
async fn every_kind_of_value_in_every_kind_of_table_is_replayed_to_the_byte() {
    values_come_back(&changes_stack().start().await.unwrap()).await;
}

/// Every row of a table once more.
const REWRITE: &str =
    "CREATE TEMP TABLE kept AS SELECT {columns} FROM {table}; DELETE FROM {table};
    INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM kept ON CONFLICT DO NOTHING; DROP TABLE kept";

/// Rewrites, halves and empties every table of every kind, in a session whose settings are hostile.
pub async fn values_come_back(stack: &Stack) {
    every_kind_of_value(stack).await;
    execute(&stack.database_url, CAPTURE_ALL).await;
    let full = base(stack).await;

    let url = &stack.database_url;
    for_each_table(url, REWRITE).await;
    let (written, written_at) = (state_now(stack).await, now(stack).await);
    for_each_table(url, "DELETE FROM {table} WHERE ctid IN (SELECT ctid FROM {table} WHERE random() < 0.5)")
        .await;
    let (halved, halved_at) = (state_now(stack).await, now(stack).await);
    export(stack).await;
    for_each_table(url, "TRUNCATE {table} CASCADE").await;
    let emptied_at = now(stack).await;
    export(stack).await;

    assert_same(&written, &state_at(stack, &full, written_at).await);
    assert_same(&halved, &state_at(stack, &full, halved_at).await);
    assert_same(&state_now(stack).await, &state_at(stack, &full, emptied_at).await);
}

/// Some rows of a table, as far as others do not refer to them.
const LOSE_SOME: &str = "
    SET session_replication_role = origin;
    DO $$ BEGIN
        DELETE FROM {table} WHERE ctid IN (SELECT ctid FROM {table} WHERE random() < 0.5);
        SET CONSTRAINTS ALL IMMEDIATE;
    EXCEPTION WHEN foreign_key_violation THEN NULL;
    END $$;
    SET session_replication_role = replica;";

const REFRESH_ALL: &str = "
    DO $$ DECLARE view regclass; BEGIN
        FOR view IN SELECT oid FROM pg_class WHERE relkind = 'm' AND relispopulated LOOP
            EXECUTE format('REFRESH MATERIALIZED VIEW %s', view);
        END LOOP;
    END $$";

#[tokio::test]
async fn an_instant_of_every_kind_of_table_is_restored_as_pg_dump_sees_it() {
    let stack = changes_stack().start().await.unwrap();
    every_kind_of_value(&stack).await;
    execute(&stack.database_url, include_str!("../schemas/parts.sql")).await;
    execute(&stack.database_url, CAPTURE_ALL).await;
    base(&stack).await;
    // Our own tables have what is written about backups.
    let options = ["--exclude-schema=recoup"];
    let mut instants = Vec::new();
    for step in [REWRITE, LOSE_SOME, REWRITE] {
        for_each_table(&stack.database_url, step).await;
        execute(&stack.database_url, REFRESH_ALL).await;
        instants.push((now(&stack).await, dump_with(&stack, &stack.database_url, &options).await));
        export(&stack).await;
    }
    for_each_table(&stack.database_url, "TRUNCATE {table} CASCADE").await;
    export(&stack).await;

    assert!(instants[0].1.len() > instants[1].1.len() + 10_000, "next to nothing was lost");
    for (at, expected) in &instants[1..] {
        let at = at.format(&time::format_description::well_known::Rfc3339).unwrap();
        let copy = target("awkward_instant");
        let request = json!({"action": "point_in_time", "target_time": at, "target_database": copy});
        let restored = succeed(&stack, "restore", request).await;
        assert_eq!(restored["status"], "completed", "{restored}");
        assert_same_dump(expected, &dump_with(&stack, &stack.postgres.url_of(&copy), &options).await);
        drop_copy(&stack, &restored).await;
    }
}

/// Tables whose triggers write to the table itself, before and after; keys that move; partitions between which rows
/// move; every statement that writes.
const AT_ODDS: &str = "
    CREATE TABLE public.items (id int PRIMARY KEY, kind int, newest boolean, note text, twice int GENERATED ALWAYS AS (id * 2) STORED);
    CREATE FUNCTION public.after_items() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        UPDATE public.items SET note = note || '!' WHERE id = new.id AND note NOT LIKE '%!';
        DELETE FROM public.items WHERE id = new.id AND note LIKE 'gone%';
        RETURN NULL;
    END $$;
    CREATE FUNCTION public.before_items() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        DELETE FROM public.items WHERE id = new.id;
        UPDATE public.items SET newest = false WHERE kind = new.kind;
        RETURN new;
    END $$;
    CREATE TRIGGER aa AFTER INSERT ON public.items FOR EACH ROW EXECUTE FUNCTION public.after_items();
    CREATE TRIGGER zz BEFORE INSERT ON public.items FOR EACH ROW EXECUTE FUNCTION public.before_items();
    CREATE TABLE public.parents (id int PRIMARY KEY, other text);
    CREATE TABLE public.named (
        id int PRIMARY KEY, ended_at int, depth int, deepest int, tg_op text, tg_relid text, new_rows text, old text, new text,
        \"row\" text, \"current\" text, was text, one text, at int, operation text, row_text text, table_id int, named text
    );
    CREATE TABLE public.children (
        id int PRIMARY KEY, parent int REFERENCES public.parents ON DELETE CASCADE ON UPDATE CASCADE
    );
    CREATE TABLE public.parted (id int, part int, note text, PRIMARY KEY (id, part)) PARTITION BY LIST (part);
    CREATE TABLE public.parted_1 PARTITION OF public.parted FOR VALUES IN (1);
    CREATE TABLE public.parted_2 (note text, gone int, part int NOT NULL, id int NOT NULL);
    ALTER TABLE public.parted_2 DROP COLUMN gone;
    ALTER TABLE public.parted ATTACH PARTITION public.parted_2 FOR VALUES IN (2);
    SELECT recoup.capture_table('public.parted')";

/// Each is an instant of its own.
const WAYS: [&str; 25] = [
    "INSERT INTO public.named (id, ended_at, tg_op, named) VALUES (1, 7, 'x', 'y'), (2, 8, 'z', NULL)",
    "UPDATE public.named SET id = id + 10, depth = 3, old = 'gone', row_text = '(1,2)' WHERE ended_at = 7",
    "DELETE FROM public.named WHERE id = 2",
    "INSERT INTO public.items (id, kind, newest, note) VALUES (1, 1, true, 'a'), (2, 1, true, 'b'), (3, 2, true, 'gone')",
    "INSERT INTO public.items (id, kind, newest, note) VALUES (1, 2, true, 'again'), (4, 2, true, 'd')",
    "UPDATE public.items SET id = id + 10",
    "UPDATE public.items SET id = CASE id WHEN 11 THEN 20 ELSE id END, note = note || '?'",
    "INSERT INTO public.items (id, kind, newest, note) VALUES (20, 9, true, 'x')
        ON CONFLICT (id) DO UPDATE SET note = excluded.note",
    "INSERT INTO public.parents SELECT n, '(a,\"b\\' || n FROM generate_series(1, 20) AS n",
    "INSERT INTO public.children SELECT n, 1 + n % 20 FROM generate_series(1, 60) AS n",
    "UPDATE public.parents SET id = id + 100 WHERE id < 5",
    "DELETE FROM public.parents WHERE id > 15",
    "INSERT INTO public.parents VALUES (1, 'new'), (6, 'six') ON CONFLICT (id) DO UPDATE SET other = excluded.other",
    "INSERT INTO public.parents VALUES (1, 'nothing') ON CONFLICT DO NOTHING",
    "WITH moved AS (DELETE FROM public.parents WHERE id = 7 RETURNING *) INSERT INTO public.parents SELECT id, 'back' FROM moved",
    "INSERT INTO public.parted SELECT n, 1 + n % 2, 'via' FROM generate_series(1, 10) AS n",
    "INSERT INTO public.parted_2 (note, part, id) VALUES ('direct', 2, 77)",
    "UPDATE public.parted SET part = 3 - part WHERE id < 5",
    "UPDATE public.parted SET id = id + 1000, note = 'moved' WHERE part = 2",
    "UPDATE public.parted_1 SET note = 'named' WHERE id > 5",
    "DELETE FROM public.parted WHERE note = 'via'",
    "DELETE FROM public.parted_2 WHERE id = 1077",
    "BEGIN; INSERT INTO public.parents VALUES (500, 'kept'); SAVEPOINT s; DELETE FROM public.parents; ROLLBACK TO s;
        UPDATE public.parents SET other = 'twice' WHERE id = 500; UPDATE public.parents SET id = 501 WHERE id = 500; COMMIT",
    "BEGIN; DELETE FROM public.parents; INSERT INTO public.parents VALUES (900, 'never'); ROLLBACK",
    "TRUNCATE public.parted_1",
];

/// How the tables without partitions are captured.
#[derive(Clone, Copy)]
pub enum Captured {
    /// As an application's: puts statement by statement.
    ByStatement,
    /// As our own: row by row.
    ByRow,
}

#[tokio::test]
async fn whatever_statement_wrote_it_and_whatever_triggers_did_then() {
    statements_come_back(&changes_stack().start().await.unwrap(), 1, Captured::ByStatement).await;
}

#[tokio::test]
async fn the_same_where_capture_is_row_by_row() {
    statements_come_back(&changes_stack().start().await.unwrap(), 1, Captured::ByRow).await;
}

/// Writes in each way, and brings back the state after each `every`th one, beginning with the last.
pub async fn statements_come_back(stack: &Stack, every: usize, captured: Captured) {
    execute(&stack.database_url, AT_ODDS).await;
    let ours = matches!(captured, Captured::ByRow);
    for table in ["items", "parents", "named", "children"] {
        let capture = format!("SELECT recoup.capture_table('public.{table}', '{{}}', {ours})");
        execute(&stack.database_url, &capture).await;
    }
    let full = base(stack).await;
    let mut states = Vec::new();
    for (index, way) in WAYS.into_iter().enumerate() {
        execute(&stack.database_url, way).await;
        states.push((way, now(stack).await, state_now(stack).await));
        if index % 7 == 6 {
            export(stack).await;
        }
    }
    let merge = "MERGE INTO public.parents AS t USING (VALUES (1), (501), (8), (88)) AS s (k) ON t.id = s.k
        WHEN MATCHED AND t.id = 501 THEN DELETE WHEN MATCHED THEN UPDATE SET other = 'merged', id = id + 2000
        WHEN NOT MATCHED THEN INSERT VALUES (s.k, 'merged')";
    let version: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::int")
        .fetch_one(&stack.pool)
        .await
        .unwrap();
    if version >= 150_000 {
        execute(&stack.database_url, merge).await;
        states.push((merge, now(stack).await, state_now(stack).await));
    }
    export(stack).await;
    for (way, at, state) in states.iter().rev().step_by(every) {
        println!("{way}");
        assert_same(state, &state_at(stack, &full, *at).await);
    }
}

#[tokio::test]
async fn an_events_body_is_stored_once_and_its_row_is_as_it_was() {
    let stack = changes_stack().start().await.unwrap();
    let full = base(&stack).await;
    let insert = "INSERT INTO recoup.webhook_events
        (id, type, livemode, created, payload, payload_raw, source, status, next_attempt_at)
        SELECT 'evt_' || n, 'x', false, now(), CASE WHEN n % 2 = 0 THEN '{\"a\":\"\\\\u0000, (\"\\n}' || n END,
            CASE WHEN n % 2 = 1 THEN '\\xff00'::bytea END, 'webhook', 'failed', now()
        FROM generate_series(1, 6) AS n";
    execute(&stack.database_url, insert).await;
    let (failed, failed_at) = (state_now(&stack).await, now(&stack).await);
    execute(
        &stack.database_url,
        "UPDATE recoup.webhook_events SET status = 'processed', attempts = 2, processed_at = now() WHERE id < 'evt_4'",
    )
    .await;
    let (processed, processed_at) = (state_now(&stack).await, now(&stack).await);
    let stored: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM recoup.row_changes AS c JOIN recoup.captured_tables AS t ON t.id = c.table_id
        WHERE t.table_name = 'webhook_events' AND (c.row_text LIKE '%u0000%' OR c.row_text LIKE '%ff00%')",
    )
    .fetch_one(&stack.pool)
    .await
    .unwrap();
    assert_eq!(stored, 0, "a body is in the inbox alone");
    export(&stack).await;
    assert_same(&failed, &state_at(&stack, &full, failed_at).await);
    assert_same(&processed, &state_at(&stack, &full, processed_at).await);
}
