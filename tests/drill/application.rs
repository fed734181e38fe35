//! The application beside recoup: its own tables, and transactions of several statements, some of which are taken back,
//! last long, or meet others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use stack::{Error, Result, Stack};

/// Whoever holds it alone sees no transaction between its last statement and its commit: each takes it, shared, before
/// its last statement.
pub const COMMITTING: i64 = 20_261_129;

const TABLES: &str = r#"
    create schema app;
    create table app.accounts (
        id    bigint generated always as identity primary key,
        owner text   not null unique,
        cents bigint not null default 0,
        euros numeric generated always as (cents / 100.0) stored
    );
    create table app.moves (
        id bigint generated always as identity, day integer not null, account_id bigint references app.accounts on delete cascade,
        cents bigint not null, at timestamptz not null default clock_timestamp(), primary key (day, id)
    ) partition by list (day);
    create table app.moves_1 partition of app.moves for values in (1);
    create table app.moves_2 partition of app.moves for values in (2);
    create table app.moves_other partition of app.moves default;
    create table app."Notes of 'all'" (author text, number integer, body jsonb, raw bytea, primary key (author, number));
    -- A transaction belongs to the instant of its last change: each ends with one here.
    create table app.journal (id bigint generated always as identity primary key, backend integer not null);
    create table app.seats (show integer, seat integer, holder text, primary key (show, seat));
    insert into app.accounts (owner, cents) select 'owner ' || n, 1000 from generate_series(1, 30) as n;
    insert into app.seats select 1, n from generate_series(1, 40) as n;
"#;

/// Makes the tables, and has their changes captured.
///
/// # Errors
/// Postgres' own; what the function says.
pub async fn make(stack: &Stack) -> Result<()> {
    sqlx::raw_sql(TABLES)
        .execute(&stack.pool)
        .await
        .map_err(Error::database("make the application's tables"))?;
    let tables = ["app.accounts", "app.moves", r#"app."Notes of 'all'""#, "app.seats", "app.journal"];
    let capture = json!({
        "action": "capture", "tables": tables, "dry_run": false, "actor": "drill", "reason": "to the minute",
    });
    stack.succeed("backup", capture).await?;
    Ok(())
}

/// One statement at random.
fn statement(random: &mut StdRng) -> String {
    let (one, other, day) =
        (random.random_range(1..60), random.random_range(1..60), random.random_range(1..4));
    match random.random_range(0..14) {
        0 | 1 => format!(
            "insert into app.moves (day, account_id, cents) select {day}, id, {one} from app.accounts where id % 7 = {other} % 7"
        ),
        2 => format!(
            "insert into app.accounts (owner, cents) values ('owner {one}', {other}) on conflict (owner) do update set cents = accounts.cents + 1"
        ),
        3 => format!("update app.accounts set cents = cents - 1 where id between {one} and {one} + 4"),
        4 => format!("delete from app.accounts where owner = 'owner {one}'"),
        5 => format!("update app.moves set day = {day} where cents = {one}"),
        6 => format!("update app.moves_1 set cents = -cents where id % 50 = {one}"),
        7 => format!("delete from app.moves where cents = {other}"),
        8 => format!(
            r#"insert into app."Notes of 'all'" values ('ada', {one}, '{{"n": [{other}, null, "a,\"b"]}}', '\x00{other:02x}') on conflict (author, number) do nothing"#
        ),
        9 => format!(
            r#"update app."Notes of 'all'" set number = number + 100, body = null where number = {one}"#
        ),
        10 => format!("update app.seats set holder = 'owner {one}' where seat = {other} and holder is null"),
        11 => format!(
            "insert into app.seats select {one}, n from generate_series(1, 5) as n on conflict do nothing"
        ),
        12 if one < 4 => "truncate app.seats".to_owned(),
        _ => format!("select pg_sleep(0.{:03})", random.random_range(0..120)),
    }
}

fn transaction(random: &mut StdRng) -> String {
    let mut sql = "begin;".to_owned();
    for _ in 0..random.random_range(1..5) {
        sql += &format!("{};", statement(random));
        if random.random_bool(0.1) {
            sql += &format!("savepoint s; {}; rollback to s;", statement(random));
        }
    }
    let end = if random.random_bool(0.15) { "rollback" } else { "commit" };
    sql + &format!(
        "select pg_advisory_xact_lock_shared({COMMITTING}); insert into app.journal (backend) values (pg_backend_pid()); {end}"
    )
}

/// Writes until `over` is set or the database is gone. Gives how many transactions were committed; those that met another
/// one and were refused are part of it.
pub async fn write(url: String, seed: u64, over: Arc<AtomicBool>) -> u64 {
    let mut random = StdRng::seed_from_u64(seed);
    let mut committed = 0;
    while !over.load(Ordering::Relaxed) {
        let Ok(mut connection) = PgConnection::connect(&url).await else { return committed };
        while !over.load(Ordering::Relaxed) {
            let sql = transaction(&mut random);
            match sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await {
                Ok(_) => committed += 1,
                Err(error) if error.as_database_error().is_some() => {
                    if sqlx::raw_sql("rollback").execute(&mut connection).await.is_err() {
                        break;
                    }
                }
                Err(_) => break,
            }
        }
    }
    committed
}
