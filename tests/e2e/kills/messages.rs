//! The function is killed, its connection cut or its database restarted in front of each single message that it
//! exchanges with Postgres. Then Stripe delivers again.
//!
//! What is in front of a message of Postgres' is behind everything that the function had sent: Postgres answers when a
//! statement has been committed, and not before.

use std::collections::BTreeSet;

use stack::DatabaseChoice;
use stack::gate::Count::{self, FromConnecting, FromStatements};
use stack::gate::{Message, Sender, Stop};
use stack::postgres::{Postgres, PostgresOptions, Shutdown};

use super::arena::Arena;
use super::cases::{self, Case};

/// Far more messages than an event's life has.
const MESSAGES_MAX: u64 = 120;

const fn function(kind: u8) -> Message {
    Message { sender: Sender::Function, kind }
}

const fn postgres(kind: u8) -> Message {
    Message { sender: Sender::Postgres, kind }
}

/// Startup, authentication.
const CONNECTING: [Message; 2] = [function(0), postgres(b'R')];

/// Parse, Bind, Execute, Sync; ParseComplete, BindComplete, CommandComplete, ReadyForQuery.
const STATEMENT: [Message; 8] = [
    function(b'P'),
    function(b'B'),
    function(b'E'),
    function(b'S'),
    postgres(b'1'),
    postgres(b'2'),
    postgres(b'C'),
    postgres(b'Z'),
];

fn assert_among(wanted: &[Message], places: &[Message], case: &Case) {
    let places: BTreeSet<&Message> = places.iter().collect();
    let missing: Vec<String> =
        wanted.iter().filter(|place| !places.contains(place)).map(Message::to_string).collect();
    assert!(missing.is_empty(), "{}: it never came to {missing:?}", case.name);
}

/// Kills the function at every message, and after its answer. `fresh`: a process of its own for each kill, else one
/// that has just lost its connection. Gives where, in order.
async fn killed_everywhere(arena: &mut Arena, case: &Case, count: Count, fresh: bool) -> Vec<Message> {
    let mut places = Vec::new();
    let mut committed_at = None;
    for at in 1..MESSAGES_MAX {
        let marked = case.marked(&format!("k{at}"));
        arena.prepare(&marked).await;
        if fresh {
            arena.cold().await;
        } else {
            arena.disconnected().await;
        }
        let Some(message) = arena.killed_at(&marked, count, at).await else { break };
        places.push(message);
        let kept = arena.keeps(&marked).await;
        if kept {
            committed_at.get_or_insert(at);
        }
        assert_eq!(kept, committed_at.is_some(), "{}: what is committed at {at} stays", case.name);
        arena.again(&marked, kept, &format!("a kill at {at}, {message}")).await;
    }
    assert!(committed_at > Some(1), "{}: killed before and after the commit: {places:?}", case.name);

    let marked = case.marked("answered");
    arena.prepare(&marked).await;
    arena.stack.lambda.lose_next_answer("webhook").expect("told");
    assert_eq!(arena.deliver(&marked).await.status, 502, "{}: its answer is lost", case.name);
    assert!(arena.keeps(&marked).await, "{}: it had been committed", case.name);
    arena.again(&marked, true, "its answer was lost").await;
    arena.same_rows(case).await;
    places
}

#[tokio::test]
async fn a_kill_at_any_message_from_connecting_on_loses_and_doubles_nothing() {
    let mut arena = Arena::open("none", DatabaseChoice::Migrated).await;
    let case = cases::checkout();
    let places = killed_everywhere(&mut arena, &case, FromConnecting, true).await;
    assert_among(&CONNECTING, &places, &case);
    assert_among(&STATEMENT, &places, &case);
}

#[tokio::test]
async fn a_kill_at_any_message_of_any_family_loses_and_doubles_nothing() {
    let mut arena = Arena::open("none", DatabaseChoice::Migrated).await;
    for case in cases::all() {
        let places = killed_everywhere(&mut arena, &case, FromStatements, false).await;
        assert_among(&STATEMENT, &places, &case);
    }
}

#[tokio::test]
async fn a_kill_at_any_message_behind_a_pooler_loses_and_doubles_nothing() {
    let mut arena = Arena::open("transaction", DatabaseChoice::Migrated).await;
    let case = cases::checkout();
    let places = killed_everywhere(&mut arena, &case, FromStatements, false).await;
    assert_among(&STATEMENT, &places, &case);
    // Begin and commit are simple queries.
    let queries = places.iter().filter(|place| **place == function(b'Q')).count();
    assert_eq!(queries, 2, "{places:?}");
}

#[tokio::test]
async fn a_connection_cut_at_any_message_loses_and_doubles_nothing() {
    let mut arena = Arena::open("none", DatabaseChoice::Migrated).await;
    for case in cases::all() {
        let mut places = Vec::new();
        for at in 1..MESSAGES_MAX {
            let marked = case.marked(&format!("c{at}"));
            arena.prepare(&marked).await;
            arena.disconnected().await;
            let (answer, message) = arena.cut_at(&marked, FromConnecting, at).await;
            let Some(message) = message else {
                assert_eq!((answer.status, &*answer.outcome), (200, case.outcome), "{}", case.name);
                break;
            };
            places.push(message);
            assert_eq!(answer.status, 503, "{}: a new connection was cut at {at}, {message}", case.name);
            let kept = arena.keeps(&marked).await;
            arena.again(&marked, kept, &format!("a cut at {at}, {message}")).await;
        }
        assert_among(&CONNECTING, &places, &case);
        assert_among(&STATEMENT, &places, &case);
        arena.same_rows(&case).await;
    }
}

#[tokio::test]
async fn a_kept_connection_that_is_cut_at_any_message_fails_no_delivery() {
    let mut arena = Arena::open("none", DatabaseChoice::Migrated).await;
    for case in cases::all() {
        let mut places = Vec::new();
        for at in 1..MESSAGES_MAX {
            let marked = case.marked(&format!("r{at}"));
            arena.prepare(&marked).await;
            arena.connected().await;
            let (answer, message) = arena.cut_at(&marked, FromStatements, at).await;
            // Where it had been committed, the second attempt finds it there.
            let outcomes = [case.outcome, if case.outcome == "failed" { "failed" } else { "duplicate" }];
            assert_eq!(answer.status, 200, "{}: cut at {at}", case.name);
            assert!(outcomes.contains(&&*answer.outcome), "{}: {answer:?} after a cut at {at}", case.name);
            let Some(message) = message else { break };
            places.push(message);
            arena.again(&marked, true, &format!("a cut at {at}, {message}")).await;
        }
        assert_among(&STATEMENT, &places, &case);
        arena.same_rows(&case).await;
    }
}

#[tokio::test]
async fn a_database_that_restarts_at_any_message_fails_no_delivery_on_a_kept_connection() {
    // What is committed must survive a crash here, too.
    let server = Postgres::start(PostgresOptions { durable: true, ..PostgresOptions::default() });
    let server = server.await.expect("a server");
    let database = server.migrated_database().await.expect("a database");
    let mut arena = Arena::open("none", DatabaseChoice::Given(database.url().to_owned())).await;
    let case = cases::checkout();
    let mut places = Vec::new();
    for at in 1..MESSAGES_MAX {
        let marked = case.marked(&format!("d{at}"));
        arena.prepare(&marked).await;
        arena.connected().await;
        arena.gate.arm(FromStatements, at, Stop::Hold);
        let shutdown = if at % 2 == 0 { Shutdown::Fast } else { Shutdown::Immediate };
        let restart = async || {
            server.restart(shutdown).await.expect("restarted");
            // Only now the function hears of it.
            arena.gate.cut();
        };
        let (answer, message) = arena.deliver_until_held(&marked, restart).await;
        arena.gate.disarm();
        assert_eq!(answer.status, 200, "{shutdown:?} restart at {at}, {message:?}: {answer:?}");
        let Some(message) = message else { break };
        places.push(message);
        arena.reconnect().await;
        assert!(arena.keeps(&marked).await, "2xx means committed: {at}, {message}");
        arena.again(&marked, true, &format!("a restart at {at}, {message}")).await;
    }
    assert_among(&STATEMENT, &places, &case);

    // Between two deliveries, too.
    for (mark, shutdown) in [("idle", Shutdown::Fast), ("crash", Shutdown::Immediate)] {
        let marked = case.marked(mark);
        arena.prepare(&marked).await;
        arena.connected().await;
        server.restart(shutdown).await.expect("restarted");
        arena.reconnect().await;
        let answer = arena.deliver(&marked).await;
        assert_eq!((answer.status, &*answer.outcome), (200, "applied"), "after a {shutdown:?} restart");
    }
    arena.same_rows(&case).await;
}
