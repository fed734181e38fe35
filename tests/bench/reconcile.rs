//! `reconcile_*`: Stripe's objects against the rows, through the function, with a Stripe in this process.
//!
//! Nothing differs, as on any good night: what is measured is reading the lists, understanding each object and comparing
//! it with its row. Without a limit it is our own work; with one it is how much of the limit is used.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use sqlx::PgPool;
use stack::Stack;
use stack::stripe::RateLimit;

use crate::Result;
use crate::effort::Effort;
use crate::figures::{Figures, median};
use crate::instance::{Instance, invocation};
use crate::process;

/// The families that there is much of.
const FAMILIES: u64 = 3;
/// Lists that are read although nothing is in them.
const EMPTY_LISTS: u64 = 9;
/// When the first object was made; one of each family follows each second.
const BEGIN: i64 = 1_700_000_000;
/// Requests a second, of a key in a sandbox.
const LIMIT: u32 = 25;
const SHARE: f64 = 0.8;
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(1_200);

/// The rows of objects `$1` to `$2`.
const FILL: &str = "
with object as (
    select n, to_timestamp(1700000000 + n) as made from generate_series($1::bigint, $2::bigint) as n
)
, customer as (
    insert into recoup.customers (id, email, name, created_at, event_id, event_created, event_rank)
    select 'cus_' || n || 'b', n || '@example.com', 'Ann', made, 'evt_1', made, 1 from object
)
, payment as (
    insert into recoup.payments
        (id, customer_id, status, amount, amount_received, currency, created_at, event_id, event_created, event_rank)
    select 'pi_' || n || 'b', 'cus_' || n || 'b', 'succeeded', 4900, 4900, 'eur', made, 'evt_1', made, 3 from object
)
, charge as (
    insert into recoup.charges (
        id, payment_id, customer_id, status, amount, amount_captured, amount_refunded, currency, balance_transaction,
        created_at, event_id, event_created, event_rank
    )
    select
        'ch_' || n || 'b', 'pi_' || n || 'b', 'cus_' || n || 'b', 'succeeded', 4900, 4900, 0, 'eur', 'txn_' || n || 'b',
        made, 'evt_1', made, 4
    from object
)
insert into recoup.ledger_entries (source_id, kind, debit_account, credit_account, amount, currency, posted_at)
select 'ch_' || n || 'b', 'charge', 'stripe_balance', 'sales', 4900, 'eur', made from object";

/// One comparison of everything.
struct Run {
    seconds: f64,
    listed: u64,
    calls: u64,
    arrivals: Vec<Instant>,
    peak_mb: f64,
}

struct Bench {
    stack: Stack,
    binary: PathBuf,
    environment: BTreeMap<String, String>,
    objects: u64,
}

/// Measures all of it.
pub async fn measure(figures: &mut Figures, effort: &Effort) -> Result<()> {
    println!("reconcile: {} objects, and {} times as many", effort.objects, effort.objects_factor);
    let mut bench = Bench::prepare().await?;
    let runs = effort.runs.min(3);

    bench.grow(effort.objects / 10).await?;
    let mut small = Vec::new();
    for _ in 0..runs {
        small.push(bench.compare("none").await?.peak_mb);
    }

    bench.stack.stripe.set_rate_limit(Some(RateLimit { per_second: LIMIT, per_endpoint: Some(LIMIT) }));
    let mut used = Vec::new();
    for _ in 0..runs {
        let run = bench.compare(&format!("{:.0}", SHARE * 100.0)).await?;
        used.push(share_used(&run.arrivals));
        let most = most_within_a_second(&run.arrivals);
        if run.calls != run.arrivals.len() as u64 || most > LIMIT as usize {
            return Err(format!(
                "{most} requests within a second, {} refused",
                run.arrivals.len() as u64 - run.calls
            )
            .into());
        }
    }
    bench.stack.stripe.set_rate_limit(None);

    bench.grow(effort.objects).await?;
    let (mut speeds, mut calls) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let run = bench.compare("none").await?;
        speeds.push(run.listed as f64 / run.seconds);
        let least = FAMILIES * (run.listed / FAMILIES).div_ceil(100) + EMPTY_LISTS;
        calls.push(run.calls as f64 / least as f64);
    }

    bench.grow(effort.objects * effort.objects_factor).await?;
    let large = bench.compare("none").await?;
    let growth = small.iter().map(|small| large.peak_mb / small).collect();

    figures.say(format!(
        "{} objects (customers, payment intents, charges) that all agree, dry; the Stripe that lists them is in the bench's own \
         process; peak memory {:.1} MB with {} of them, {:.1} MB with {}",
        effort.objects,
        median(&small),
        effort.objects / 10,
        large.peak_mb,
        large.listed
    ));
    figures.median("reconcile_objects_s", ">= 10000", "objects/s", "", speeds);
    figures.median("reconcile_calls_vs_least", "<= 1.05", "ratio", "objects / 100 of each list", calls);
    figures.median(
        "reconcile_rss_growth",
        "<= 1.1",
        "ratio",
        format!("{} objects", effort.objects / 10),
        growth,
    );
    figures.median(
        "reconcile_limit_use",
        ">= 0.95",
        "ratio",
        format!("{:.0} requests/s allowed", f64::from(LIMIT) * SHARE),
        used,
    );
    Ok(())
}

impl Bench {
    async fn prepare() -> Result<Bench> {
        let stack = Stack::builder().functions(["webhook", "reconcile"]).start().await?;
        stack.stripe.pause_deliveries();
        let mut config = None;
        stack.lambda.configure("reconcile", |current| config = Some(current.clone()))?;
        let mut config = config.ok_or("the stack has no reconcile")?;
        config.environment.extend(stack.access_key.variables());
        Ok(Bench { stack, binary: config.binary, environment: config.environment, objects: 0 })
    }

    /// As many objects at Stripe, and as many rows here.
    async fn grow(&mut self, objects: u64) -> Result<()> {
        let (first, last) = (self.objects / FAMILIES, objects / FAMILIES);
        for number in first..last {
            for object in sale(number) {
                self.stack.stripe.put(&object);
            }
        }
        let pool = PgPool::connect(&self.stack.database_url).await?;
        let mut at = first;
        while at < last {
            let end = last.min(at + 100_000);
            sqlx::query(FILL).bind(i64::try_from(at)?).bind(i64::try_from(end)? - 1).execute(&pool).await?;
            at = end;
        }
        sqlx::raw_sql(
            "vacuum (analyze) recoup.customers, recoup.payments, recoup.charges, recoup.ledger_entries",
        )
        .execute(&pool)
        .await?;
        self.objects = objects;
        Ok(())
    }

    /// Compares everything, in a process of its own, with proof that all of it was.
    async fn compare(&self, share: &str) -> Result<Run> {
        let mut environment = self.environment.clone();
        environment.insert("STRIPE_RATE_SHARE_PERCENT".to_owned(), share.to_owned());
        let mut instance = Instance::start(&self.binary, &environment).await?;
        let before = self.stack.stripe.arrivals().len();
        let payload = json!({"action": "objects", "from": "2023-01-01T00:00:00Z", "dry_run": true});
        let began = Instant::now();
        let answer = instance.ask(invocation(&Bytes::from(payload.to_string())), PATIENCE).await?;
        let seconds = began.elapsed().as_secs_f64();
        let reply: Value = serde_json::from_slice(&answer)?;
        let listed = reply["listed"].as_u64().unwrap_or_default();
        if listed != self.objects / FAMILIES * FAMILIES || reply["drift"] != false {
            return Err(format!("not all of it was compared, or something differs: {reply}").into());
        }
        Ok(Run {
            seconds,
            listed,
            calls: reply["api_calls"].as_u64().unwrap_or_default(),
            arrivals: self.stack.stripe.arrivals().split_off(before),
            peak_mb: process::memory_mb(instance.pid)?.1,
        })
    }
}

/// A customer, and what they paid, in Stripe's shapes.
fn sale(number: u64) -> [Value; 3] {
    let id = |prefix: &str| format!("{prefix}_{number}b");
    let created = BEGIN + i64::try_from(number).unwrap_or_default();
    let address = json!({"city": null, "country": "DE", "line1": null, "line2": null, "postal_code": "10115", "state": null});
    [
        json!({
            "id": id("cus"), "object": "customer", "address": address, "balance": 0, "created": created, "currency": "eur",
            "default_source": null, "delinquent": false, "description": null, "discount": null,
            "email": format!("{number}@example.com"), "invoice_prefix": "0A1B2C3D",
            "invoice_settings": {"custom_fields": null, "default_payment_method": null, "footer": null, "rendering_options": null},
            "livemode": false, "metadata": {}, "name": "Ann", "next_invoice_sequence": 1, "phone": null,
            "preferred_locales": [], "shipping": null, "tax_exempt": "none", "test_clock": null,
        }),
        json!({
            "id": id("pi"), "object": "payment_intent", "amount": 4900, "amount_capturable": 0,
            "amount_details": {"tip": {}}, "amount_received": 4900, "application": null, "application_fee_amount": null,
            "automatic_payment_methods": null, "canceled_at": null, "cancellation_reason": null,
            "capture_method": "automatic_async", "client_secret": format!("pi_{number}b_secret"),
            "confirmation_method": "automatic", "created": created, "currency": "eur", "customer": id("cus"),
            "description": null, "last_payment_error": null, "latest_charge": id("ch"), "livemode": false, "metadata": {},
            "next_action": null, "on_behalf_of": null, "payment_method": id("pm"),
            "payment_method_options": {"card": {"installments": null, "network": null, "request_three_d_secure": "automatic"}},
            "payment_method_types": ["card"], "processing": null, "receipt_email": null, "review": null,
            "setup_future_usage": null, "shipping": null, "source": null, "statement_descriptor": null,
            "status": "succeeded", "transfer_data": null, "transfer_group": null,
        }),
        json!({
            "id": id("ch"), "object": "charge", "amount": 4900, "amount_captured": 4900, "amount_refunded": 0,
            "balance_transaction": id("txn"),
            "billing_details": {"address": address, "email": format!("{number}@example.com"), "name": "Ann", "phone": null},
            "calculated_statement_descriptor": "SHOP", "captured": true, "created": created, "currency": "eur",
            "customer": id("cus"), "disputed": false, "failure_code": null, "fraud_details": {}, "livemode": false,
            "metadata": {},
            "outcome": {"network_status": "approved_by_network", "risk_level": "normal", "risk_score": 12,
                "seller_message": "Payment complete.", "type": "authorized"},
            "paid": true, "payment_intent": id("pi"), "payment_method": id("pm"),
            "payment_method_details": {"type": "card", "card": {"brand": "visa", "country": "DE", "exp_month": 8,
                "exp_year": 2034, "fingerprint": "AOB934RVNwzk4242", "funding": "credit", "last4": "4242", "network": "visa"}},
            "receipt_url": "https://pay.stripe.com/receipts/x", "refunded": false, "status": "succeeded",
        }),
    ]
}

/// The share of what was allowed that was used from the first request to the last.
fn share_used(arrivals: &[Instant]) -> f64 {
    let (Some(first), Some(last)) = (arrivals.first(), arrivals.last()) else { return 0.0 };
    let elapsed = last.duration_since(*first).as_secs_f64();
    (arrivals.len() - 1) as f64 / (elapsed * f64::from(LIMIT) * SHARE)
}

fn most_within_a_second(arrivals: &[Instant]) -> usize {
    let within = |(at, first): (usize, &Instant)| {
        arrivals[at..].iter().take_while(|next| next.duration_since(*first) < Duration::from_secs(1)).count()
    };
    arrivals.iter().enumerate().map(within).max().unwrap_or(0)
}
