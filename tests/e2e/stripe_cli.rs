//! Stripe's own CLI against the stack: what it triggers at the stand-in becomes rows, through the real webhook.
//!
//! What is behind `stripe trigger` are the CLI's own requests: it is also an outside judge of the stand-in's API.

use std::time::{Duration, Instant};

use sqlx::AssertSqlSafe;
use sqlx::types::time::OffsetDateTime;
use stack::{Stack, place};
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::{PATIENCE, count, eager, settle};

/// How a row of a family is shown, and what is shown of the event's object after each trigger.
type Family = (&'static str, &'static [(&'static str, &'static str)]);

const FAMILIES: [Family; 11] = [
    (
        "concat_ws(' ', type, charges_enabled) from recoup.connected_accounts",
        &[("account.updated", "standard f")],
    ),
    (
        "concat_ws(' ', object, name, unit_amount, deleted_at is not null) from recoup.catalog_items",
        &[
            ("price.created", "price 1500 f"),
            ("price.updated", "price 1500 f"),
            ("product.created", "product myproduct f"),
            ("product.deleted", "product myproduct t"),
            ("product.updated", "product myproduct f"),
        ],
    ),
    (
        "concat_ws(' ', status, amount, amount_captured, amount_refunded, failure_code) from recoup.charges",
        &[
            ("charge.captured", "succeeded 2000 2000 0"),
            ("charge.failed", "failed 100 0 0 card_declined"),
            ("charge.refunded", "succeeded 100 100 100"),
            ("charge.succeeded", "succeeded 100 100 0"),
        ],
    ),
    (
        "concat_ws(' ', deleted_at is not null) from recoup.customers",
        &[("customer.created", "f"), ("customer.deleted", "t"), ("customer.updated", "f")],
    ),
    (
        "concat_ws(' ', status, amount, currency) from recoup.disputes",
        &[
            ("charge.dispute.closed", "warning_closed 100 usd"),
            ("charge.dispute.created", "warning_needs_response 100 usd"),
            ("charge.dispute.updated", "warning_needs_response 100 usd"),
        ],
    ),
    (
        "concat_ws(' ', status, total, amount_paid, attempt_count, number is not null) from recoup.invoices",
        &[
            ("invoice.created", "draft 2000 0 0 f"),
            ("invoice.deleted", "deleted 2000 0 0 f"),
            ("invoice.finalized", "open 2000 0 0 t"),
            ("invoice.marked_uncollectible", "uncollectible 2000 0 0 t"),
            ("invoice.paid", "paid 2000 2000 1 t"),
            ("invoice.payment_action_required", "open 2000 0 1 t"),
            ("invoice.payment_failed", "open 2000 0 1 t"),
            ("invoice.payment_succeeded", "paid 2000 2000 1 t"),
            ("invoice.sent", "open 2000 0 0 t"),
            ("invoice.updated", "draft 2000 0 0 f"),
            ("invoice.voided", "void 2000 0 0 t"),
        ],
    ),
    (
        "concat_ws(' ', status, amount_total, currency) from recoup.orders",
        &[
            ("checkout.session.async_payment_failed", "failed 3000 eur"),
            ("checkout.session.async_payment_succeeded", "paid 3000 eur"),
            ("checkout.session.completed", "paid 3000 usd"),
            ("checkout.session.expired", "expired 3000 usd"),
        ],
    ),
    (
        "concat_ws(' ', status, amount, amount_received, failure_code) from recoup.payments",
        &[
            ("payment_intent.amount_capturable_updated", "requires_capture 2000 0"),
            ("payment_intent.canceled", "canceled 2000 0"),
            ("payment_intent.created", "requires_payment_method 2000 0"),
            ("payment_intent.payment_failed", "requires_payment_method 2000 0 card_declined"),
            // The bank pays after three minutes.
            ("payment_intent.processing", "processing 1000 0"),
            ("payment_intent.requires_action", "requires_action 2000 0"),
            ("payment_intent.succeeded", "succeeded 2000 2000"),
        ],
    ),
    (
        "concat_ws(' ', status, amount, currency, automatic) from recoup.payouts",
        &[("payout.created", "pending 1100 usd f"), ("payout.updated", "pending 1100 usd f")],
    ),
    (
        "concat_ws(' ', status, amount, currency) from recoup.refunds",
        &[("charge.refund.updated", "succeeded 100 usd")],
    ),
    (
        "concat_ws(' ', status, currency, ended_at is not null) from recoup.subscriptions",
        &[
            ("customer.subscription.created", "active usd f"),
            ("customer.subscription.deleted", "canceled usd t"),
            ("customer.subscription.paused", "paused usd f"),
            ("customer.subscription.trial_will_end", "trialing usd f"),
            ("customer.subscription.updated", "active usd f"),
        ],
    ),
];

/// Events that the CLI does not trigger by their own names, and a trigger that brings each.
const BESIDE: [(&str, &str); 6] = [
    ("refund.created", "charge.refunded"),
    ("refund.updated", "charge.refund.updated"),
    ("invoice_payment.paid", "invoice.paid"),
    ("charge.updated", "charge.succeeded"),
    ("customer.subscription.updated", "subscription.payment_succeeded"),
    ("invoice.payment_failed", "subscription.payment_failed"),
];

/// The CLI with a home of its own, so that it reads no one's login and leaves nothing behind.
struct Cli {
    home: TempDir,
}

impl Cli {
    /// Triggers an event; a program that is missing, or a request that is refused, fails the test.
    async fn trigger(&self, stack: &Stack, event: &str) {
        let output = Command::new(place::venv_program("stripe").expect("set up"))
            .args(["trigger", event, "--api-base", &stack.stripe.api_base()])
            .env_clear()
            .env("HOME", self.home.path())
            .env("STRIPE_API_KEY", stack.stripe.api_key())
            .env("STRIPE_CLI_TELEMETRY_OPTOUT", "1")
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(PATIENCE, output).await.expect("in time").expect("a program");
        let said = String::from_utf8_lossy(&output.stdout);
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{event}: {said}\n{complained}");
        assert!(said.contains("Trigger succeeded!"), "{event}: {said}\n{complained}");
    }
}

/// How an event that came since `since` was filed, and its object's id; banks answer a second or two later.
async fn filed(stack: &Stack, kind: &str, since: OffsetDateTime) -> (String, String) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let found = sqlx::query_as(
            "select status, payload::jsonb #>> '{data,object,id}' from recoup.webhook_events
            where type = $1 and received_at > $2 order by received_at desc limit 1",
        );
        let found = found.bind(kind).bind(since).fetch_optional(&stack.pool).await.expect("a query");
        if let Some(found) = found {
            settle(stack).await;
            return found;
        }
        assert!(Instant::now() < deadline, "no {kind} came");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn now(stack: &Stack) -> OffsetDateTime {
    sqlx::query_scalar("select clock_timestamp()").fetch_one(&stack.pool).await.expect("a clock")
}

#[tokio::test]
async fn what_stripes_own_cli_triggers_becomes_rows() {
    let stack = eager().functions(["webhook"]).env("webhook", "STRIPE_ACCOUNTS", "all").start().await;
    let stack = stack.expect("a stack");
    let cli = Cli { home: tempfile::tempdir().expect("a directory") };
    for (shown, triggers) in FAMILIES {
        for (event, expected) in triggers {
            let since = now(&stack).await;
            cli.trigger(&stack, event).await;
            let (status, object) = filed(&stack, event, since).await;
            assert_eq!(status, "processed", "{event}");
            let row = AssertSqlSafe(format!("select {shown} where id = $1"));
            let row: Option<String> =
                sqlx::query_scalar(row).bind(object).fetch_optional(&stack.pool).await.expect("a query");
            assert_eq!(row.as_deref(), Some(*expected), "{event}");
        }
    }
    for (event, trigger) in BESIDE {
        let since = now(&stack).await;
        cli.trigger(&stack, trigger).await;
        assert_eq!(filed(&stack, event, since).await.0, "processed", "{event} by {trigger}");
    }
    assert_eq!(count(&stack, "select count(*) from recoup.webhook_events where status = 'failed'").await, 0);
}
