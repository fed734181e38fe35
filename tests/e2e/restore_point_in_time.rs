//! Any instant back, through the real functions, with `pg_dump` as the judge.

use std::time::Duration;

use serde_json::{Value, json};
use stack::Stack;

use crate::archive_stack::{
    archive_stack, assert_same_dump, databases_like, drop_copy, drop_database, dump_with, execute, fail,
    full_backup, gate_before_database, killed_at, restore_of, row_counts, succeed, target, texts,
};

/// Tables whose rows change in every way.
const SHOP: &str = r#"
    CREATE TABLE public.accounts (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner text NOT NULL, cents bigint NOT NULL,
        euros numeric GENERATED ALWAYS AS (cents / 100.0) STORED, at timestamptz NOT NULL DEFAULT now(), tags text[]);
    CREATE INDEX accounts_owner ON public.accounts (owner);
    CREATE TABLE public.moves (id bigint NOT NULL, part int NOT NULL, cents bigint, PRIMARY KEY (part, id)) PARTITION BY LIST (part);
    CREATE TABLE public.moves_1 PARTITION OF public.moves FOR VALUES IN (1);
    CREATE TABLE public.moves_2 (part int NOT NULL, cents bigint, id bigint NOT NULL);
    ALTER TABLE public.moves ATTACH PARTITION public.moves_2 FOR VALUES IN (2);
    CREATE TABLE public."Odd ""name""" (price numeric PRIMARY KEY, "Größe" jsonb, raw bytea, day interval);
    CREATE TABLE public.numbers (code text PRIMARY KEY, number serial UNIQUE, account_id bigint REFERENCES public.accounts);
    CREATE TABLE public.countdown (id int GENERATED ALWAYS AS IDENTITY (INCREMENT BY -2) PRIMARY KEY);
    CREATE SEQUENCE public.lonely;
    CREATE TABLE public.loose (note text);
    CREATE TABLE public.untouched (id int PRIMARY KEY);
    CREATE MATERIALIZED VIEW public.sums AS SELECT count(*) AS accounts FROM public.accounts;
    INSERT INTO public.accounts (owner, cents) SELECT 'owner ' || i, i FROM generate_series(1, 200) AS i;
    INSERT INTO public.moves SELECT i, 1 + i % 2, i FROM generate_series(1, 200) AS i;
    INSERT INTO public."Odd ""name""" VALUES (1.0, '{"a": 1}', '\x00ff', '1 mon'), (2, NULL, NULL, NULL);
    INSERT INTO public.numbers (code, account_id) SELECT 'n' || i, i FROM generate_series(1, 50) AS i;
    INSERT INTO public.loose VALUES ('before');
    INSERT INTO public.countdown SELECT FROM generate_series(1, 10);
    INSERT INTO public.untouched SELECT generate_series(1, 30);
"#;

const CAPTURED: [&str; 6] = [
    "public.accounts",
    "public.countdown",
    "public.moves",
    "public.\"Odd \"\"name\"\"\"",
    "public.numbers",
    "public.untouched",
];

/// What happens between one recorded instant and the next.
const STEPS: [&str; 6] = [
    r#"INSERT INTO public.accounts (owner, cents, tags) SELECT 'new ' || i, i, ARRAY['a,"b', NULL] FROM generate_series(1, 20) AS i;
    UPDATE public.accounts SET cents = cents + 1 WHERE id % 3 = 0; UPDATE public.accounts SET cents = cents + 1 WHERE id % 6 = 0;
    DELETE FROM public.numbers WHERE code IN ('n3', 'n4');
    INSERT INTO public.numbers (code, account_id) VALUES ('later', 205); INSERT INTO public.countdown SELECT FROM generate_series(1, 5)"#,
    // One key becomes another, and a number that is equal is written otherwise.
    r#"UPDATE public."Odd ""name""" SET price = 1.00, raw = '\x01' WHERE price = 1; UPDATE public."Odd ""name""" SET price = price + 1;
    UPDATE public.moves SET part = 3 - part WHERE id <= 40; UPDATE public.moves SET cents = 0 WHERE id > 190;
    INSERT INTO public.moves_2 (part, cents, id) VALUES (2, 7, 999); DELETE FROM public.moves_1 WHERE id = 50"#,
    r#"INSERT INTO public.countdown SELECT FROM generate_series(1, 5); DELETE FROM public.countdown WHERE id < -30;
    BEGIN; DELETE FROM public.accounts WHERE id > 210; SAVEPOINT s; DELETE FROM public.accounts WHERE id > 205; ROLLBACK TO s;
    UPDATE public.accounts SET owner = E'tab\tline\n\\' WHERE id = 1; COMMIT; BEGIN; TRUNCATE public.untouched; ROLLBACK"#,
    "TRUNCATE public.moves_1; INSERT INTO public.moves VALUES (1, 1, 11), (1, 2, 12) ON CONFLICT (part, id) DO UPDATE SET cents = 13",
    r#"TRUNCATE public."Odd ""name""", public.moves; INSERT INTO public."Odd ""name""" VALUES (9, '[]', NULL, NULL);
    INSERT INTO public.moves VALUES (5, 1, 5)"#,
    r#"DELETE FROM public.numbers; TRUNCATE public."Odd ""name"""; INSERT INTO recoup.customers (id, event_id, event_created, event_rank)
    VALUES ('cus_1', 'evt_1', now(), 0)"#,
];

/// What the application has and what the database is, to the byte; and one of our tables.
const JUDGED: [&str; 2] = ["--table=public.*", "--table=recoup.customers"];

struct Instant {
    at: String,
    dump: String,
}

async fn captured_shop() -> Stack {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, SHOP).await;
    let capture = json!({
        "action": "capture", "tables": CAPTURED, "dry_run": false, "actor": "ada", "reason": "to the minute",
    });
    succeed(&stack, "backup", capture).await;
    stack
}

async fn export(stack: &Stack) -> Value {
    succeed(stack, "backup", json!({"backup_type": "changes"})).await
}

/// The database's present, as a request names it.
pub async fn now(stack: &Stack) -> String {
    let sql = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
    texts(&stack.database_url, sql).await.remove(0)
}

async fn record(stack: &Stack) -> Instant {
    // The instant belongs to what was committed before it, and to nothing after it.
    tokio::time::sleep(Duration::from_millis(3)).await;
    let instant =
        Instant { at: now(stack).await, dump: dump_with(stack, &stack.database_url, &JUDGED).await };
    tokio::time::sleep(Duration::from_millis(3)).await;
    instant
}

fn request(at: &str, copy: &str) -> Value {
    json!({"action": "point_in_time", "target_time": at, "target_database": copy})
}

/// Full backup, steps with an instant after each, exports in between.
async fn history(stack: &Stack) -> Vec<Instant> {
    export(stack).await;
    let mut instants = vec![];
    full_backup(stack).await;
    instants.push(record(stack).await);
    for (number, step) in STEPS.into_iter().enumerate() {
        execute(&stack.database_url, step).await;
        execute(&stack.database_url, "REFRESH MATERIALIZED VIEW public.sums").await;
        instants.push(record(stack).await);
        if number % 2 == 1 {
            export(stack).await;
        }
    }
    export(stack).await;
    instants
}

#[tokio::test]
async fn every_instant_comes_back_as_it_was() {
    let stack = captured_shop().await;
    let instants = history(&stack).await;
    // What came after the backup is lost with the database but for what was exported.
    for Instant { at, dump } in &instants {
        let copy = target("instant");

        let restored = succeed(&stack, "restore", request(at, &copy)).await;

        assert_eq!(
            (&restored["status"], &restored["fit_for"]),
            (&json!("completed"), &json!(["promote", "merge"]))
        );
        assert!(restored["as_of_backup"].as_array().unwrap().contains(&json!("public.loose")), "{restored}");
        let warnings = restored["warnings"].to_string();
        let lonely = "sequence public.lonely stands where the backup shows it";
        assert!(warnings.contains(lonely) && !warnings.contains("countdown"), "{warnings}");
        assert_same_dump(dump, &dump_with(&stack, &stack.postgres.url_of(&copy), &JUDGED).await);
        let tables = restored["tables"].as_array().unwrap();
        let of = |name: &str| tables.iter().find(|table| table["table"] == name).unwrap();
        assert_eq!(of("public.untouched")["digest_equal"], true, "{restored}");
        let comment = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()";
        let comment = texts(&stack.postgres.url_of(&copy), comment).await.remove(0);
        assert!(
            comment.starts_with("recoup staging: complete, restore ")
                && comment.contains("the changes up to"),
            "{comment}"
        );
        drop_copy(&stack, &restored).await;
    }
}

#[tokio::test]
async fn one_table_goes_back_to_an_instant_and_a_look_says_how() {
    let stack = captured_shop().await;
    let instants = history(&stack).await;
    let copy = target("one_table");
    let mut asked = request(&instants[2].at, &copy);
    asked["tables"] = json!(["public.moves"]);
    asked["dry_run"] = json!(true);

    let look = succeed(&stack, "restore", asked.clone()).await;
    assert_eq!(
        (&look["status"], &look["target_time"]),
        (&json!("possible"), &json!(instants[2].at)),
        "{look}"
    );
    assert!(look["changes"]["rows_max"].as_u64().unwrap() > 60, "{look}");
    assert!(!look["changes"]["segments"].as_array().unwrap().is_empty(), "{look}");
    assert_eq!(databases_like(&stack, &copy).await, Vec::<String>::new());

    asked["dry_run"] = json!(false);
    let restored = succeed(&stack, "restore", asked).await;
    let rows: u64 = row_counts(&restored).iter().map(|(_, rows)| rows).sum();
    let expected = instants[2].dump.split_once("COPY public.moves_1 (").unwrap().1;
    let expected = expected.split_once("\\.\n").unwrap().0.lines().count() - 1;
    let found = "SELECT count(*)::text FROM public.moves_1";
    assert_eq!(texts(&stack.postgres.url_of(&copy), found).await, [expected.to_string()], "{restored}");
    assert_eq!((rows, &restored["fit_for"]), (200, &json!(["merge"])), "{restored}");
    drop_copy(&stack, &restored).await;
}

#[tokio::test]
async fn a_recovery_point_is_restored_by_its_name() {
    let stack = captured_shop().await;
    export(&stack).await;
    full_backup(&stack).await;
    execute(&stack.database_url, STEPS[0]).await;
    execute(&stack.database_url, "REFRESH MATERIALIZED VIEW public.sums").await;
    let instant = record(&stack).await;
    let point =
        format!("SELECT recoup.create_recovery_point('before', 'the test goes on', '{}')", instant.at);
    execute(&stack.database_url, &point).await;
    execute(&stack.database_url, "DELETE FROM public.numbers; DELETE FROM public.accounts").await;
    export(&stack).await;
    let copy = target("point");
    let asked = json!({"action": "point_in_time", "recovery_point": "before", "target_database": copy});

    let restored = succeed(&stack, "restore", asked).await;

    assert_same_dump(&instant.dump, &dump_with(&stack, &stack.postgres.url_of(&copy), &JUDGED).await);
    drop_copy(&stack, &restored).await;
    let unknown = json!({"action": "point_in_time", "recovery_point": "after"});
    let (error_type, message) = fail(&stack, "restore", unknown).await;
    assert_eq!(error_type, "RecoveryPointNotFound", "{message}");
}

#[tokio::test]
async fn a_body_that_was_gone_before_it_was_exported_is_said_to_be() {
    let stack = captured_shop().await;
    export(&stack).await;
    full_backup(&stack).await;
    let body = "INSERT INTO recoup.webhook_events (id, type, livemode, created, payload, source, status)
        SELECT 'evt_' || n, 'x', false, now(), '{}', 'webhook', 'processed' FROM generate_series(1, 3) AS n";
    execute(&stack.database_url, body).await;
    let at = now(&stack).await;
    tokio::time::sleep(Duration::from_millis(3)).await;
    execute(&stack.database_url, "DELETE FROM recoup.webhook_events WHERE id < 'evt_3'").await;
    export(&stack).await;
    let copy = target("bodies");

    let restored = succeed(&stack, "restore", request(&at, &copy)).await;

    let warnings = restored["warnings"].to_string();
    assert!(warnings.contains("of 2 rows that were gone before they were exported"), "{warnings}");
    let bodies = "SELECT concat_ws(' ', id, '[' || payload || ']') FROM recoup.webhook_events";
    assert_eq!(texts(&stack.postgres.url_of(&copy), bodies).await, ["evt_1 []", "evt_2 []", "evt_3 [{}]"]);
    drop_copy(&stack, &restored).await;
}

#[tokio::test]
async fn instants_that_nothing_leads_to_are_refused_by_name() {
    let stack = captured_shop().await;
    let before_all = now(&stack).await;
    export(&stack).await;
    full_backup(&stack).await;
    execute(&stack.database_url, STEPS[0]).await;
    let good = now(&stack).await;
    export(&stack).await;
    execute(&stack.database_url, STEPS[1]).await;
    let not_exported = now(&stack).await;
    let refused = async |at: &str, expected: &str, told: &[&str]| {
        let copy = target("refused_instant");
        let (error_type, message) = fail(&stack, "restore", request(at, &copy)).await;
        assert_eq!(error_type, expected, "{message}");
        for part in told {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert_eq!(databases_like(&stack, &copy).await, Vec::<String>::new());
    };

    refused("2026-11-21T09:30:00", "InvalidRequest", &["2026-11-21T09:30:00Z"]).await;
    refused("2199-01-01T00:00:00Z", "InvalidRequest", &["future"]).await;
    refused(&before_all, "InstantBeforeFirstBackup", &["the oldest full backup"]).await;
    refused(&not_exported, "InstantAfterLastChange", &["exported up to"]).await;

    execute(&stack.database_url, "ALTER TABLE public.accounts ADD COLUMN more int").await;
    execute(&stack.database_url, "UPDATE public.accounts SET more = 1 WHERE id = 1").await;
    let altered = now(&stack).await;
    export(&stack).await;
    refused(&altered, "InstantAcrossDefinitionChange", &["public.accounts", "full backup"]).await;

    // A segment that is gone is a gap: what comes before it can still be restored.
    export(&stack).await;
    let mut manifests: Vec<String> =
        stack.s3.list("v1/changes/").await.unwrap().into_iter().map(|object| object.key).collect();
    manifests.retain(|key| key.ends_with("/manifest.json"));
    manifests.sort_unstable();
    let lost = manifests.iter().rev().nth(1).unwrap();
    stack.s3.client().delete_object().bucket(stack.s3.bucket()).key(lost).send().await.unwrap();
    refused(&altered, "InstantInGap", &["missing", "the nearest instants"]).await;
    let copy = target("good_instant");
    let restored = succeed(&stack, "restore", request(&good, &copy)).await;
    assert_eq!(restored["status"], "completed", "{restored}");
    drop_database(&stack, &copy).await;
}

/// Statements of a replay in their order, each at the heart of something that is done.
const PHASES: [&str; 9] = [
    "COPY recoup_staging.changes",
    "CREATE UNIQUE INDEX changes_by_table",
    "CREATE TEMPORARY TABLE last",
    "SELECT pg_catalog.setval",
    "ADD CONSTRAINT",
    "ANALYZE public.accounts",
    "f.value BETWEEN",
    "COPY (SELECT",
    "INSERT INTO recoup_staging.done (step, item, note, rows, sum) VALUES ('proven'",
];

#[tokio::test]
async fn a_replay_that_is_killed_goes_on_and_ends_as_it_was() {
    let stack = captured_shop().await;
    let instants = history(&stack).await;
    let Instant { at, dump } = &instants[5];
    let gate = gate_before_database(&stack).await;
    let copy = target("killed_replay");

    killed_at(&stack, &gate, "restore", &request(at, &copy), PHASES[0]).await;
    let restore_id = restore_of(&stack, &copy).await;
    let resume = json!({"action": "resume", "restore_id": restore_id});
    for phase in PHASES {
        killed_at(&stack, &gate, "restore", &resume, phase).await;
    }
    let restored = succeed(&stack, "restore", resume).await;

    assert_eq!((&restored["status"], &restored["target_time"]), (&json!("completed"), &json!(at)));
    assert_same_dump(dump, &dump_with(&stack, &stack.postgres.url_of(&copy), &JUDGED).await);
    drop_copy(&stack, &restored).await;
}
