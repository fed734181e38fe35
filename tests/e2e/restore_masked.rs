//! Copies for a rehearsal: personal data is masked before it reaches the database.

use serde_json::{Value, json};

use crate::archive_stack::{
    archive_stack, databases_like, drop_copy, drop_database, dump, execute, fail, full_backup, succeed,
    target, texts,
};
use crate::promote_stack::{promote, signed};

const PEOPLE: &str = r#"
    CREATE TABLE public.people (
        id bigint PRIMARY KEY, email text NOT NULL UNIQUE, full_name varchar(20), phone char(20), seen_from inet, network cidr,
        profile jsonb, raw json, birth_date date, words tsvector, other_emails text[], nick text, amount numeric(12, 2),
        upper_email text GENERATED ALWAYS AS (upper(email)) STORED
    );
    CREATE TABLE public.logins (email text NOT NULL REFERENCES public.people (email), at timestamptz NOT NULL);
    INSERT INTO public.people
    SELECT
        i, 'ada' || i || '@example.com', 'Ada Lovelace ' || i, '+44 20 ' || i, ('192.0.2.' || i % 200)::inet,
        ('198.51.' || i % 200 || '.0/24')::cidr,
        jsonb_build_object('name', 'Ada Lovelace', 'status', 'active', 'tags', jsonb_build_array('Ada', 'vip'), 'n', 1.50),
        '{"who": "Ada Lovelace",  "id": "cus_1"}', '1815-12-10', to_tsvector('simple', 'ada lovelace'),
        ARRAY['ada@example.org'], 'ada_' || i, i
    FROM generate_series(1, 500) AS i;
    INSERT INTO public.people (id, email) VALUES (1000, E'tab\there \\ ada@example.net');
    INSERT INTO public.logins SELECT email, '2026-11-21 10:00+00' FROM public.people CROSS JOIN generate_series(1, 2);
    INSERT INTO recoup.customers (id, email, name, event_id, event_created, event_rank)
    VALUES ('cus_1', 'ada@example.com', 'Ada Lovelace', 'evt_1', now(), 0);
    INSERT INTO recoup.webhook_events (id, type, livemode, created, payload, source, status)
    VALUES ('evt_1', 'customer.created', false, now(),
        '{"id":"evt_1","data":{"object":{"id":"cus_1","email":"ada@example.com","name":"Ada Lovelace"}}}', 'webhook', 'processed');
"#;

fn request(copy: &str, mask: Value) -> Value {
    json!({
        "action": "backup_restore", "backup_id": "latest", "target_database": copy, "sanitize": true, "mask": mask,
    })
}

#[tokio::test]
async fn nothing_personal_is_in_the_copy_and_joins_still_hold() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, PEOPLE).await;
    full_backup(&stack).await;
    let copy = target("masked");

    let restored = succeed(&stack, "restore", request(&copy, json!({"public.people.nick": "text"}))).await;

    let url = stack.postgres.url_of(&copy);
    assert_eq!(
        (&restored["status"], &restored["fit_for"]),
        (&json!("completed"), &json!(["rehearsal"])),
        "{restored}"
    );
    assert_eq!(restored["masked"]["public.people.email"], "email");
    assert_eq!(restored["masked"]["recoup.webhook_events.payload"], "json");
    assert_eq!(restored["difference_to_production"]["result"], "not compared");
    assert!(restored["tables"].as_array().unwrap().iter().all(|table| table["digest_equal"] == true));
    let whole = dump(&stack, &url).await.to_lowercase();
    for personal in [
        "lovelace",
        "@example.com",
        "@example.net",
        "ada_1",
        "+44 20",
        "192.0.2.",
        "198.51.",
        "1815-12-10",
        "example.org",
    ] {
        assert!(!whole.contains(personal), "{personal}");
    }
    // What the backup says, with every personal value another one: as many, and as different.
    let shape = "SELECT concat_ws(' ', count(*), count(DISTINCT email), count(DISTINCT full_name), count(profile),
            sum(amount), count(DISTINCT profile ->> 'status'), min(profile ->> 'n'), bool_and(upper_email = upper(email)),
            min(raw ->> 'id'), max(length(full_name)) <= 20)
        FROM public.people";
    assert_eq!(texts(&url, shape).await, texts(&stack.database_url, shape).await);
    let joined = "SELECT count(*)::text FROM public.logins JOIN public.people USING (email)";
    assert_eq!(texts(&url, joined).await, ["1002"]);
    let event =
        "SELECT concat_ws(' ', c.email <> 'ada@example.com', c.id, payload::json #>> '{data,object,id}')
        FROM recoup.customers AS c CROSS JOIN recoup.webhook_events";
    assert_eq!(texts(&url, event).await, ["t cus_1 cus_1"]);
    let comment =
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()";
    assert!(texts(&url, comment).await[0].starts_with("recoup staging: masked"));
    // The key that made them is nowhere: another copy has other values.
    let again = target("masked_again");
    let other = succeed(&stack, "restore", request(&again, Value::Null)).await;
    let emails = "SELECT email FROM public.people WHERE id = 1";
    assert_ne!(texts(&url, emails).await, texts(&stack.postgres.url_of(&again), emails).await);
    drop_copy(&stack, &restored).await;
    drop_copy(&stack, &other).await;
}

/// A table whose key is personal, and whose rows are in partitions.
const VISITS: &str = r#"
    CREATE TABLE public.visits (email text NOT NULL, part int NOT NULL, note text, PRIMARY KEY (part, email)) PARTITION BY LIST (part);
    CREATE TABLE public.visits_1 PARTITION OF public.visits FOR VALUES IN (1);
    CREATE TABLE public.visits_2 (part int NOT NULL, note text, email text NOT NULL);
    ALTER TABLE public.visits ATTACH PARTITION public.visits_2 FOR VALUES IN (2);
    INSERT INTO public.visits SELECT 'ada' || i || '@example.com', 1 + i % 2, 'Ada Lovelace' FROM generate_series(1, 100) AS i;
"#;

/// What comes after the backup.
const LATER: &str = r#"
    INSERT INTO public.people (id, email, full_name, phone, seen_from, profile)
    SELECT i, 'ada' || i || '@example.com', 'Ada Lovelace', '+44 20 ' || i, '192.0.2.7', '{"name": "Ada \"Lovelace\", \\"}'
    FROM generate_series(2001, 2010) AS i;
    UPDATE public.people SET full_name = 'Ada Lovelace, née', nick = 'ada_later' WHERE id <= 10;
    DELETE FROM public.people WHERE id = 2010;
    INSERT INTO public.visits SELECT 'ada' || i || '@example.com', 1 + i % 2, E'Lovelace\n"\t' FROM generate_series(101, 110) AS i;
    UPDATE public.visits SET part = 3 - part WHERE email = 'ada1@example.com';
    DELETE FROM public.visits WHERE email = 'ada2@example.com';
    INSERT INTO recoup.customers (id, email, name, event_id, event_created, event_rank)
    VALUES ('cus_2', 'ada2@example.com', 'Ada Lovelace', 'evt_2', now(), 0);
    INSERT INTO recoup.webhook_events (id, type, livemode, created, payload, source, status)
    VALUES ('evt_2', 'customer.created', false, now(),
        '{"id":"evt_2","data":{"object":{"id":"cus_2","email":"ada2@example.com"}}}', 'webhook', 'processed');
"#;

#[tokio::test]
async fn what_changes_bring_is_masked_as_the_rows_are() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, PEOPLE).await;
    execute(&stack.database_url, VISITS).await;
    let capture = json!({
        "action": "capture", "tables": ["public.people", "public.visits"], "dry_run": false, "actor": "ada", "reason": "masks",
    });
    succeed(&stack, "backup", capture).await;
    let export = json!({"backup_type": "changes"});
    succeed(&stack, "backup", export.clone()).await;
    full_backup(&stack).await;
    execute(&stack.database_url, LATER).await;
    succeed(&stack, "backup", export).await;
    let copy = target("masked_instant");
    let request = json!({
        "action": "point_in_time", "target_time": "latest", "target_database": copy, "sanitize": true,
        "mask": {"public.people.nick": "text"},
    });
    let restored = succeed(&stack, "restore", request).await;

    assert_eq!(
        (&restored["status"], &restored["fit_for"]),
        (&json!("completed"), &json!(["rehearsal"])),
        "{restored}"
    );
    let url = stack.postgres.url_of(&copy);
    let whole = dump(&stack, &url).await.to_lowercase();
    for personal in ["lovelace", "@example.com", "@example.net", "ada_", "+44 20", "192.0.2.", "née"] {
        let lines: Vec<&str> = whole.lines().filter(|line| line.contains(personal)).collect();
        assert_eq!(lines, [""; 0], "{personal}");
    }
    for same in [
        "SELECT concat_ws(' ', count(*), count(DISTINCT email), bool_and(upper_email = upper(email)), max(id)) FROM public.people",
        "SELECT concat_ws(' ', part, count(*), count(DISTINCT email)) FROM public.visits GROUP BY part ORDER BY 1",
        // An address is the same wherever it stands, whether the backup or a change brought it.
        "SELECT count(*)::text FROM public.visits JOIN public.people USING (email)",
        "SELECT count(*)::text FROM public.logins JOIN public.people USING (email)",
        "SELECT concat_ws(' ', c.id, payload::json #>> '{data,object,id}', c.email = payload::json #>> '{data,object,email}')
            FROM recoup.customers AS c JOIN recoup.webhook_events AS e ON e.id = c.event_id ORDER BY 1",
    ] {
        assert_eq!(texts(&url, same).await, texts(&stack.database_url, same).await, "{same}");
    }
    let contradiction =
        json!({"action": "point_in_time", "target_time": "latest", "mask": {"public.people.nick": "text"}});
    assert_eq!(fail(&stack, "restore", contradiction).await.0, "InvalidRequest");
    drop_copy(&stack, &restored).await;
}

#[tokio::test]
async fn masked_rows_never_go_live() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, PEOPLE).await;
    full_backup(&stack).await;
    let copy = target("masked_live");
    succeed(&stack, "restore", request(&copy, json!({}))).await;
    let people = "SELECT p::text FROM public.people AS p";
    let before = texts(&stack.database_url, people).await;
    for mode in ["swap", "merge_missing", "overwrite"] {
        let mut promote = signed(promote(mode, &copy));
        if mode != "swap" {
            promote["tables"] = json!(["public.people"]);
        }
        let (error_type, message) = fail(&stack, "restore", promote).await;
        assert!(error_type == "PromoteRefused" && message.contains("masked"), "{mode}: {message}");
    }
    let mut by_key = signed(promote("overwrite", &copy));
    by_key["keys"] = json!({"public.people": [{"id": 1}]});
    assert_eq!(fail(&stack, "restore", by_key).await.0, "PromoteRefused");
    assert_eq!(texts(&stack.database_url, people).await, before);
    drop_database(&stack, &copy).await;
}

#[tokio::test]
async fn rules_that_cannot_hold_are_refused_before_anything_is_created() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, PEOPLE).await;
    full_backup(&stack).await;
    for (mask, told) in [
        (json!({"public.people.emial": "email"}), "public.people.email"),
        (json!({"public.people.email": "mail"}), "email, name, phone"),
        (json!({"public.people.amount": "email"}), "numeric(12,2)"),
    ] {
        let copy = target("refused_mask");
        let (error_type, message) = fail(&stack, "restore", request(&copy, mask)).await;
        assert_eq!(error_type, "InvalidRequest");
        assert!(message.contains(told), "{message}");
        assert_eq!(databases_like(&stack, &copy).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_column_that_is_kept_is_kept() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, PEOPLE).await;
    full_backup(&stack).await;
    let copy = target("kept");
    let mask = json!({"public.people.full_name": "keep", "public.people.seen_from": "null"});
    let restored = succeed(&stack, "restore", request(&copy, mask)).await;
    let rows = "SELECT concat_ws('|', id, full_name, seen_from) FROM public.people WHERE id <= 2";
    assert_eq!(texts(&stack.postgres.url_of(&copy), rows).await, ["1|Ada Lovelace 1", "2|Ada Lovelace 2"]);
    assert_eq!(restored["masked"]["public.people.full_name"], Value::Null);
    drop_copy(&stack, &restored).await;
}
