//! Many sessions write at random while changes are exported; every recorded instant comes back.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use time::OffsetDateTime;
use tokio::sync::{Barrier, mpsc};

use super::apply::{State, assert_same, base, changes_stack, export, now, state_at, state_now};
use crate::archive_stack::{execute, succeed};

const WRITERS: usize = 6;
const ROUNDS: usize = 8;

const TABLES: &str = "
    CREATE TABLE public.accounts (id int PRIMARY KEY, owner text NOT NULL, cents bigint NOT NULL);
    CREATE TABLE public.moves (id bigint GENERATED ALWAYS AS IDENTITY, part int, cents bigint, PRIMARY KEY (id, part))
        PARTITION BY HASH (part);
    CREATE TABLE public.moves_0 PARTITION OF public.moves FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE public.moves_1 PARTITION OF public.moves FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    INSERT INTO public.accounts SELECT n, 'owner ' || n, 0 FROM generate_series(1, 40) AS n;
    SELECT recoup.capture_table('public.accounts'), recoup.capture_table('public.moves')";

/// One statement at random.
fn statement(random: &mut StdRng) -> String {
    let (one, other) = (random.random_range(1..60), random.random_range(1..60));
    match random.random_range(0..9) {
        0 => format!(
            "INSERT INTO public.accounts VALUES ({one}, 'new', 1) ON CONFLICT (id) DO UPDATE SET cents = accounts.cents + 1"
        ),
        1 => format!("DELETE FROM public.accounts WHERE id = {one}"),
        2 => format!(
            "UPDATE public.accounts SET id = {other} WHERE id = {one} AND NOT EXISTS (SELECT FROM public.accounts WHERE id = {other})"
        ),
        3 => format!("UPDATE public.accounts SET cents = cents - 1 WHERE id BETWEEN {one} AND {one} + 5"),
        4 => {
            format!("INSERT INTO public.moves (part, cents) SELECT n, {one} FROM generate_series(1, 4) AS n")
        }
        5 => format!("UPDATE public.moves SET part = part + 1 WHERE cents = {one}"),
        6 => format!("DELETE FROM public.moves WHERE cents = {other}"),
        7 => format!("SELECT pg_sleep(0.00{})", one % 10),
        _ => format!("UPDATE public.accounts SET owner = owner || '{one}' WHERE id = {other}"),
    }
}

/// Runs transactions until the round is over; some are taken back, whole or in part. Deadlocks and collisions are
/// part of it.
async fn write(url: String, seed: u64, rounds: Arc<Barrier>) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut connection = PgConnection::connect(&url).await.unwrap();
    for _ in 0..ROUNDS {
        for _ in 0..12 {
            let mut sql = "BEGIN;".to_owned();
            for _ in 0..random.random_range(1..5) {
                sql.push_str(&statement(&mut random));
                sql.push(';');
                if random.random_bool(0.1) {
                    sql.push_str(&format!("SAVEPOINT s; {}; ROLLBACK TO s;", statement(&mut random)));
                }
            }
            sql.push_str(if random.random_bool(0.15) { "ROLLBACK" } else { "COMMIT" });
            if sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.is_err() {
                sqlx::raw_sql("ROLLBACK").execute(&mut connection).await.unwrap();
            }
        }
        // Nobody writes while the instant is recorded.
        rounds.wait().await;
        rounds.wait().await;
    }
}

#[tokio::test]
async fn every_recorded_instant_of_a_random_workload_comes_back() {
    let stack = Arc::new(changes_stack().start().await.unwrap());
    execute(&stack.database_url, TABLES).await;
    let full = base(&stack).await;
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let rounds = Arc::new(Barrier::new(WRITERS + 1));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            tokio::spawn(write(stack.database_url.clone(), seed + writer as u64, Arc::clone(&rounds)))
        })
        .collect();
    let (stop, mut stopped) = mpsc::channel::<()>(1);
    let exporter = {
        let stack = Arc::clone(&stack);
        tokio::spawn(async move {
            while stopped.try_recv().is_err() {
                export(&stack).await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
    };
    let mut straddler = PgConnection::connect(&stack.database_url).await.unwrap();
    let mut instants: Vec<(OffsetDateTime, State)> = Vec::new();
    for round in 0..ROUNDS {
        rounds.wait().await;
        // A transaction that has written before the instant and will write after it.
        let begun = format!("BEGIN; INSERT INTO public.accounts VALUES (1000 + {round}, 'straddles', 0)");
        sqlx::raw_sql(AssertSqlSafe(begun)).execute(&mut straddler).await.unwrap();
        instants.push((now(&stack).await, state_now(&stack).await));
        tokio::time::sleep(Duration::from_millis(20)).await;
        let ended = format!("UPDATE public.accounts SET cents = 1 WHERE id = 1000 + {round}; COMMIT");
        sqlx::raw_sql(AssertSqlSafe(ended)).execute(&mut straddler).await.unwrap();
        instants.push((now(&stack).await, state_now(&stack).await));
        rounds.wait().await;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    stop.send(()).await.unwrap();
    exporter.await.unwrap();
    export(&stack).await;
    succeed(&stack, "verify", serde_json::json!({"action": "changes"})).await;
    for (at, state) in &instants {
        assert_same(state, &state_at(&stack, &full, *at).await);
    }
}
