//! `make demo`: the whole promise in a minute. A shop sells, a backup is taken, more is sold, the database is
//! dropped, and everything comes back and is proven equal.
//!
//! Nothing here is staged: the functions are the real binaries, Postgres and the AWS SDK are the real ones, and
//! every line that is printed was measured.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stack::records::Records;
use stack::shop::{Shop, Tally};
use stack::stripe::{DeliveryStats, Faults};
use stack::{Error, Result, Stack};

const SALES_BEFORE_THE_BACKUP: u32 = 300;
const SALES_AFTER_IT: u32 = 80;

#[tokio::main]
async fn main() -> std::process::ExitCode {
    match tell().await {
        Ok(true) => std::process::ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("\nThe copy is NOT equal: see above which tables differ.");
            std::process::ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("\nThe demo stopped: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

/// Tells the story; `true` where what came back is equal to what was lost.
async fn tell() -> Result<bool> {
    let began = Instant::now();
    println!("recoup: lose the database, and get every payment back, to the row and to the cent\n");

    step(1, "A stack of our own: Postgres, S3, Secrets Manager, Stripe and Lambda, on this machine");
    let stack = Stack::start().await?;
    line(&format!("up in {}; five real functions wait to be invoked", seconds(began)));

    step(2, "The shop opens and sells; Stripe's deliveries come shuffled and some come twice");
    let faults = Faults {
        duplicate: 0.15,
        shuffle: 25,
        delay: Some((Duration::ZERO, Duration::from_millis(150))),
        ..Faults::default()
    };
    stack.stripe.faults(faults);
    let mut shop = Shop::open(&stack.stripe, 2026).map_err(refused)?;
    let tally = sell(&stack, &mut shop, SALES_BEFORE_THE_BACKUP).await?;
    say_what_was_sold(&tally, &stack.stripe.delivery_stats());

    step(3, "A full backup: aws lambda invoke --function-name backup --payload '{\"backup_type\":\"full\"}'");
    let clock = Instant::now();
    let backup = stack.succeed("backup", json!({"backup_type": "full", "label": "demo"})).await?;
    line(&format!(
        "{} rows of {} tables, {} bytes, encrypted, in {}",
        backup["record_count"],
        backup["tables"].as_array().map_or(0, Vec::len),
        backup["file_size_bytes"],
        seconds(clock)
    ));
    line(&format!("s3://{}/v1/backups/{}/", stack.bucket, text(&backup["backup_id"])));
    let clock = Instant::now();
    stack.succeed("verify", json!({"action": "full", "backup_id": backup["backup_id"]})).await?;
    line(&format!(
        "verify read every byte of it back, decrypted, counted and compared: whole ({})",
        seconds(clock)
    ));

    step(4, "Business goes on after the backup");
    let tally = sell(&stack, &mut shop, SALES_AFTER_IT).await?;
    say_what_was_sold(&tally, &stack.stripe.delivery_stats());
    let before = Records::read(&stack.pool).await?;

    step(5, "03:00. The database is dropped");
    let database = stack.drop_database().await?;
    let answer = stack.succeed("reconcile", json!({"action": "events"})).await;
    line(&format!("drop database {database}"));
    line(&format!(
        "what a function says of it: {}",
        answer.err().map_or("nothing?".to_owned(), |error| error.to_string())
    ));

    step(6, "Restore, from the bucket and the key alone");
    let clock = Instant::now();
    let request = json!({"action": "backup_restore", "backup_id": "latest", "target_database": database});
    let restored = stack.succeed("restore", request).await?;
    let tables = restored["tables"].as_array().map_or(0, Vec::len);
    line(&format!("{tables} tables rebuilt, every digest equal to the backup's, in {}", seconds(clock)));
    let middle = Records::read(&stack.pool).await?;
    let lacking: i64 =
        before.tables.iter().map(|(table, record)| record.rows - middle.tables[table].rows).sum();
    line(&format!("what was sold after the backup is not in it: {lacking} rows are still missing"));

    step(7, "Reconcile: what happened since the backup, Stripe still knows");
    let clock = Instant::now();
    let events = stack.succeed("reconcile", json!({"action": "events", "dry_run": false})).await?;
    line(&format!(
        "{} events listed, {} were missing, {} applied, {} of them failed, in {}",
        events["listed"],
        events["missing"],
        events["applied"],
        events["failed"],
        seconds(clock)
    ));

    step(8, "Proof: before the drop, and now");
    let after = Records::read(&stack.pool).await?;
    let equal = show_proof(&before, &after);
    if equal {
        println!(
            "\n   Everything came back, digest for digest and cent for cent. {} in all.",
            seconds(began)
        );
        println!("   Play on: `make up` starts this stack and keeps it; README.md says what to try.");
    }
    Ok(equal)
}

async fn sell(stack: &Stack, shop: &mut Shop, checkouts: u32) -> Result<Tally> {
    let clock = Instant::now();
    let tally = shop.sell(checkouts).map_err(refused)?;
    let settled = stack.stripe.settle(Duration::from_secs(300)).await;
    settled.map_err(|error| Error::failed("wait for Stripe's deliveries", &error))?;
    line(&format!("{checkouts} checkouts, all events delivered in {}", seconds(clock)));
    Ok(tally)
}

fn say_what_was_sold(tally: &Tally, deliveries: &DeliveryStats) {
    line(&format!(
        "{} paid, {} refunded whole, {} in part, {} refunds bounced, {} payments failed, {} expired",
        tally.paid, tally.refunded, tally.partly_refunded, tally.refunds_failed, tally.failed, tally.expired
    ));
    line(&format!(
        "so far {} deliveries, {} of them doubles, {} tried again after no success",
        deliveries.attempts, deliveries.duplicated, deliveries.failed_attempts
    ));
}

/// Both sides of each table and currency, side by side; `true` where all are equal.
fn show_proof(before: &Records, after: &Records) -> bool {
    println!("   {:<16} {:>7} {:>7}   {:<12} {:<12}", "table", "before", "now", "digest", "digest now");
    let mut equal = true;
    for (table, was) in &before.tables {
        let is = &after.tables[table];
        let same = was == is;
        equal &= same;
        let short = |digest: &str| digest.chars().take(12).collect::<String>();
        println!(
            "   {table:<16} {:>7} {:>7}   {:<12} {:<12} {}",
            was.rows,
            is.rows,
            short(&was.digest),
            short(&is.digest),
            if same { "equal" } else { "DIFFERENT" }
        );
    }
    println!("\n   {:<16} {:>17} {:>17}", "money", "before", "now");
    for (currency, was) in &before.money {
        let Some(is) = after.money.get(currency) else {
            println!("   {currency}: GONE");
            equal = false;
            continue;
        };
        equal &= was == is;
        for (what, was, is) in [
            ("paid", was.paid, is.paid),
            ("refunded", was.refunded, is.refunded),
            ("at Stripe", was.at_stripe, is.at_stripe),
        ] {
            let word = if was == is { "equal" } else { "DIFFERENT" };
            println!("   {what:<16} {:>17} {:>17} {word}", was.to_string(), is.to_string());
        }
    }
    equal
}

fn step(number: u32, text: &str) {
    println!("\n{number}. {text}");
}

fn line(text: &str) {
    println!("   {text}");
}

fn seconds(since: Instant) -> String {
    format!("{:.1} s", since.elapsed().as_secs_f64())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn refused(refusal: stack::stripe::Refusal) -> Error {
    Error::failed("sell through Stripe", &refusal)
}
