//! Out of the bucket: every instant, then production itself.

use std::time::{Duration, Instant};

use recoup::db;
use recoup::events::inbox::{Source, session_options};
use recoup::events::receive::{Accounts, Outcome, Rules, receive};
use recoup::stripe::Client;
use secrecy::SecretString;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use stack::postgres::Database;
use stack::records::{Records, STRIPE_DERIVED};
use stack::{Error, Result, Stack};
use time::format_description::well_known::Rfc3339;

use crate::business::Lost;
use crate::model::{Recorded, differences, held_in};

/// What is between the last export and the loss is lost: not more of the instants than this.
const BEYOND_THE_LAST_EXPORT_SECONDS_MAX: i64 = 20;

/// Restores each instant into a database of its own and compares every table. Instants after the last exported change have
/// to be refused.
///
/// # Errors
/// The first instant that is not as it was.
pub async fn every_instant(lost: &Lost) -> Result<()> {
    let clock = Instant::now();
    let last = lost.instants.last().map(|recorded| recorded.at);
    let (mut restored, mut beyond) = (0, 0);
    for recorded in &lost.instants {
        let at = recorded.at.format(&Rfc3339).unwrap_or_default();
        match restore(lost, recorded).await {
            Ok(copy) => {
                if beyond > 0 {
                    return Err(Error::failed(
                        "restore an instant",
                        &format!("{at} came back and an earlier one did not"),
                    ));
                }
                let found = held_in(&lost.stack.postgres.url_of(&copy), &lost.tables).await?;
                let differences = differences(&recorded.held, &found);
                if !differences.is_empty() {
                    return Err(Error::failed(format!("restore {at}"), &differences.join("\n   ")));
                }
                drop_copy(&lost.stack, &copy).await?;
                restored += 1;
                if restored % 50 == 0 {
                    println!("   {restored} instants came back, {:.0} s", clock.elapsed().as_secs_f64());
                }
            }
            Err(error) if error.to_string().contains("AfterLastChange") => {
                let late = last.map_or(0, |last| (last - recorded.at).whole_seconds());
                if late > BEYOND_THE_LAST_EXPORT_SECONDS_MAX {
                    return Err(error);
                }
                beyond += 1;
            }
            Err(error) => return Err(error),
        }
    }
    println!(
        "   {restored} of {} recorded instants came back, each table equal; {beyond} were after the last export and were refused ({:.0} s)",
        lost.instants.len(),
        clock.elapsed().as_secs_f64()
    );
    match restored {
        0 => Err(Error::failed("restore the instants", "none came back")),
        _ => Ok(()),
    }
}

async fn restore(lost: &Lost, recorded: &Recorded) -> Result<String> {
    let copy = format!("drill_{}", recorded.at.unix_timestamp_nanos() / 1_000);
    let at = recorded.at.format(&Rfc3339).unwrap_or_default();
    let request = json!({"action": "point_in_time", "target_time": at, "target_database": copy});
    let reply = until_completed(&lost.stack, request).await?;
    let tables = reply["tables"].as_array().map_or(0, Vec::len);
    match reply["status"] == "completed" && tables >= lost.tables.len() {
        true => Ok(copy),
        false => Err(Error::failed(format!("restore {at}"), &reply)),
    }
}

/// Goes on as long as the function hands over.
async fn until_completed(stack: &Stack, mut request: Value) -> Result<Value> {
    loop {
        let reply = stack.succeed("restore", request).await?;
        if reply["status"] != "in_progress" {
            return Ok(reply);
        }
        request = reply["next"].clone();
    }
}

async fn drop_copy(stack: &Stack, copy: &str) -> Result<()> {
    let dropped = async {
        let mut admin = PgConnection::connect(stack.postgres.url()).await?;
        let statement = format!("drop database \"{copy}\" with (force)");
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut admin).await
    };
    dropped.await.map(drop).map_err(Error::database("drop a copy"))
}

/// Restores the newest instant that the bucket has, puts it in production's place, and lets Stripe fill in the rest:
/// everything that Stripe knows has to be as if nothing had happened.
///
/// # Errors
/// What a function says; what is not equal.
pub async fn go_live(lost: &Lost) -> Result<()> {
    let stack = &lost.stack;
    let clock = Instant::now();
    let copy = format!("{}_copy", lost.database);
    let request = json!({"action": "point_in_time", "target_time": "latest", "target_database": copy});
    let reply = until_completed(stack, request).await?;
    let promote = json!({
        "action": "promote", "mode": "swap", "target_database": copy, "dry_run": false, "actor": "drill",
        "reason": "the database was lost",
    });
    stack.succeed("restore", promote).await?;
    stack.stripe.resume_deliveries();
    stack
        .stripe
        .settle(Duration::from_secs(300))
        .await
        .map_err(|error| Error::failed("wait for Stripe's deliveries", &error))?;
    stack.succeed("reconcile", json!({"action": "events", "dry_run": false})).await?;
    ask_what_is_open(stack).await?;
    let seconds = clock.elapsed().as_secs_f64();
    let found = Records::read(&stack.pool).await?;
    let undisturbed = undisturbed(stack).await?;
    let calm = PgPool::connect(undisturbed.url()).await.map_err(Error::database("read the records"))?;
    let expected = Records::read(&calm).await?;
    let mut differences = expected.differences(&found);
    if !differences.is_empty() || expected.money != found.money {
        for table in STRIPE_DERIVED {
            differences.extend(rows_of_one(table, &calm, &stack.pool, "lacks  ").await?);
            differences.extend(rows_of_one(table, &stack.pool, &calm, "has too").await?);
        }
        return Err(Error::failed("bring back what Stripe knows", &differences.join("\n   ")));
    }
    calm.close().await;
    stack.succeed("verify", json!({"action": "database"})).await?;
    stack.succeed("verify", json!({"action": "changes"})).await?;
    println!(
        "   live again as of {}, {seconds:.1} s after the loss was found; what Stripe knows is as if nothing had happened",
        reply["target_time"].as_str().unwrap_or_default()
    );
    Ok(())
}

/// Asks Stripe what its events leave open, as a schedule does every five minutes: the instant may lie between an event and
/// the answer.
async fn ask_what_is_open(stack: &Stack) -> Result<()> {
    stack.succeed("reconcile", json!({"action": "retry", "dry_run": false})).await.map(drop)
}

/// The rows that one database has of a table and the other has not, in words.
async fn rows_of_one(table: &str, one: &PgPool, other: &PgPool, word: &str) -> Result<Vec<String>> {
    let query = format!("select kept::text from recoup.{table} as kept order by 1");
    let mut held = Vec::new();
    for pool in [one, other] {
        let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(query.as_str()))
            .fetch_all(pool)
            .await
            .map_err(Error::database("read rows that differ"))?;
        held.push(rows);
    }
    let only = held[0].iter().filter(|row| !held[1].contains(row));
    Ok(only.take(5).map(|row| format!("{table} {word} {row}")).collect())
}

/// What the same events make of a database that nothing happens to.
async fn undisturbed(stack: &Stack) -> Result<Database> {
    let failed =
        |error: &dyn std::fmt::Display| Error::failed("apply the events undisturbed", &error.to_string());
    let database = stack.postgres.migrated_database().await?;
    let options = session_options(db::options(database.url(), "drill").map_err(|error| failed(&error))?);
    let mut connection = db::connect(&options).await.map_err(|error| failed(&error))?;
    let key: SecretString = stack.stripe.api_key().into();
    let lines = Client::impatient(stack.stripe.api_base(), key.into(), Duration::from_secs(3));
    let rules = Rules { livemode: false, accounts: Accounts::None };
    for event in stack.stripe.events() {
        let body = event.to_string();
        let receipt = receive(&mut connection, &lines, &rules, Source::Webhook, body.as_bytes())
            .await
            .map_err(|error| failed(&error))?;
        if matches!(receipt.outcome, Outcome::Failed(_) | Outcome::Dead(_)) {
            return Err(failed(&format!("{:?} of {}", receipt.outcome, receipt.event_id)));
        }
    }
    let ours = stack.secrets.get("database").await?;
    stack.secrets.put("database", &json!({"url": database.url()})).await?;
    ask_what_is_open(stack).await?;
    stack.secrets.put("database", &ours).await?;
    Ok(database)
}
