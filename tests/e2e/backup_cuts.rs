//! The connection to Postgres is cut in the middle of a byte stream: once in each run, at places spread over all that
//! a function says and hears. Every run ends as a failure that names its remedy, or whole; nothing in between is to be
//! seen.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use stack::Stack;
use stack::gate::{Count, Gate, Stop};
use stack::lambda::Reply;

use crate::archive_stack::{
    archive_stack, drop_copy, drop_database, execute, id_of, restore_copy, rows_where, succeed, target,
};

/// One table goes up in pieces, others in one request.
pub const TABLES: &str = "
    CREATE TABLE public.large AS
    SELECT i AS a, (SELECT string_agg(md5(i || '.' || j), '') FROM generate_series(1, 64) AS j) AS b
    FROM generate_series(1, 6000) AS i;
    CREATE TABLE public.small (a int PRIMARY KEY, b text);
    INSERT INTO public.small SELECT i, md5(i::text) FROM generate_series(1, 2000) AS i;
";

/// The functions behind a gate on their database.
async fn gated() -> (Stack, Gate) {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, TABLES).await;
    let gate = Gate::start(&stack.database_url).await.unwrap();
    stack.secrets.put("database", &json!({"url": gate.url()})).await.unwrap();
    (stack, gate)
}

/// How much a run says and hears when nothing disturbs it.
async fn measured(stack: &Stack, gate: &Gate, count: Count, function: &str, payload: Value) -> (u64, Value) {
    gate.arm(count, u64::MAX, Stop::Cut);
    let reply = succeed(stack, function, payload).await;
    gate.empty().await;
    (gate.seen(), reply)
}

/// A place at random in each of `stretches` equal stretches, and the first and the last.
fn spread(total: u64, stretches: u64, seed: u64) -> Vec<u64> {
    let mut random = StdRng::seed_from_u64(seed);
    let inside = (0..stretches).map(|stretch| {
        random.random_range(total * stretch / stretches..total * (stretch + 1) / stretches).max(1)
    });
    let mut places: Vec<u64> = inside.chain([1, total]).collect();
    places.sort_unstable();
    places
}

/// Runs with the connection cut at `at`.
async fn cut(stack: &Stack, gate: &Gate, count: Count, at: u64, function: &str, payload: Value) -> Reply {
    gate.arm(count, at, Stop::Cut);
    let reply = stack.invoke(function, payload).await.unwrap();
    gate.disarm();
    gate.empty().await;
    reply
}

/// The type is the one for a database that went away, and the message says what to check.
fn assert_unavailable(reply: &Reply, place: &str) {
    let message = reply.payload["errorMessage"].as_str().unwrap_or_default();
    assert_eq!(reply.payload["errorType"], "DatabaseUnavailable", "{place}: {message}");
    assert!(message.contains("check that"), "{place}: {message}");
}

#[tokio::test]
async fn a_backup_whose_connection_is_cut_anywhere_is_whole_or_none() {
    let (stack, gate) = gated().await;
    let full = json!({"backup_type": "full"});
    let mut made = Vec::new();
    let mut failed = 0;
    for (count, stretches) in [(Count::Bytes, 24), (Count::FromConnecting, 24)] {
        let (total, reply) = measured(&stack, &gate, count, "backup", full.clone()).await;
        made.push(id_of(&reply));
        for at in spread(total, stretches, 4) {
            let place = format!("{count:?} {at} of {total}");
            let reply = cut(&stack, &gate, count, at, "backup", full.clone()).await;
            match reply.function_error {
                None => made.push(id_of(&reply.payload)),
                Some(_) => {
                    assert_unavailable(&reply, &place);
                    let message = reply.payload["errorMessage"].as_str().unwrap();
                    assert!(message.contains("has no manifest"), "{place}: {message}");
                    failed += 1;
                }
            }
            assert_eq!(stack.s3.unfinished_uploads().unwrap(), Vec::<String>::new(), "{place}");
        }
    }
    // What it says of its progress and of its end, at the last on connections of their own, is not the backup.
    assert!(failed >= 40 && made.len() <= 14, "{failed} failed, {} were made", made.len());
    made.push(id_of(&succeed(&stack, "backup", full).await));

    let list = succeed(&stack, "backup", json!({"action": "list"})).await;
    let mut listed: Vec<String> = list["backups"].as_array().unwrap().iter().map(id_of).collect();
    listed.sort_unstable();
    made.sort_unstable();
    assert_eq!(listed, made);
    for backup_id in made {
        let reply = succeed(&stack, "verify", json!({"action": "full", "backup_id": backup_id})).await;
        assert_eq!(reply["status"], "whole");
    }
}

#[tokio::test]
async fn a_restore_whose_connection_is_cut_anywhere_goes_on_and_is_whole() {
    let (stack, gate) = gated().await;
    let backup_id = id_of(&succeed(&stack, "backup", json!({"backup_type": "full"})).await);
    gate.arm(Count::Bytes, u64::MAX, Stop::Cut);
    let (reply, _) = restore_copy(&stack, &backup_id).await;
    let total = gate.seen();
    let result = |reply: &Value| reply["difference_to_production"]["result"].clone();
    // Production has recorded the backup that the copy is of.
    assert_eq!(result(&reply), "different", "{reply}");
    drop_copy(&stack, &reply).await;

    // The rows go by three times: into the copy, out of it to be proven, and out of production to be compared.
    let mut not_compared = 0;
    for at in spread(total, 12, 5) {
        let copy = target("cut");
        let request = json!({"action": "backup_restore", "backup_id": backup_id, "target_database": copy});
        let reply = cut(&stack, &gate, Count::Bytes, at, "restore", request).await;
        let place = format!("byte {at} of {total}");
        // The connection is made anew, and what was committed is not done again.
        assert_eq!(reply.function_error, None, "{place}: {}", reply.payload);
        assert_eq!(reply.payload["status"], "completed", "{place}: {}", reply.payload);
        // Where it is the look at production that was cut, the reply says so.
        let found = result(&reply.payload);
        if found != "different" {
            assert_eq!(found, "production unreachable", "{place}: {}", reply.payload);
            not_compared += 1;
        }
        for table in ["public.large", "public.small"] {
            let url = stack.postgres.url_of(&copy);
            let (there, here) =
                (rows_where(&url, table, "true").await, rows_where(&stack.database_url, table, "true").await);
            assert!(there == here, "{place}: {table} differs");
        }
        drop_database(&stack, &copy).await;
    }
    assert!((3..12).contains(&not_compared), "{not_compared} were not compared");
    let (reply, _) = restore_copy(&stack, &backup_id).await;
    assert_eq!(result(&reply), "different", "{reply}");
    drop_copy(&stack, &reply).await;
}

#[tokio::test]
async fn a_check_whose_connection_is_cut_at_any_message_says_so() {
    let (stack, gate) = gated().await;
    succeed(&stack, "backup", json!({"backup_type": "full"})).await;
    let count = Count::FromConnecting;

    // What a check of a backup tells Postgres is that it was made.
    let quick = json!({"action": "quick", "backup_id": "latest"});
    let (messages, _) = measured(&stack, &gate, count, "verify", quick.clone()).await;
    let mut unrecorded = 0;
    for at in 1..=messages {
        let reply = cut(&stack, &gate, count, at, "verify", quick.clone()).await;
        assert_eq!(reply.function_error, None, "message {at} of {messages}: {}", reply.payload);
        let warnings = reply.payload["warnings"].as_array().unwrap();
        unrecorded += u64::from(!warnings.is_empty());
    }
    assert!(messages > 10 && unrecorded + 3 >= messages, "{unrecorded} of {messages} were not recorded");

    let database = json!({"action": "database"});
    let (messages, _) = measured(&stack, &gate, count, "verify", database.clone()).await;
    let mut failed = 0;
    for at in spread(messages, 16, 6) {
        let reply = cut(&stack, &gate, count, at, "verify", database.clone()).await;
        if reply.function_error.is_some() {
            assert_unavailable(&reply, &format!("message {at} of {messages}"));
            failed += 1;
        }
    }
    assert!(failed >= 10, "{failed} failed");
    succeed(&stack, "verify", database).await;
}
