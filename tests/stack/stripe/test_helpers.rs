//! Test actions over HTTP, for scripts: what on the Rust handle is a method. Stripe itself has none of them.
//!
//! - `POST /v1/test_helpers/checkout/sessions/:id/complete` (`outcome=paid|unpaid`, `email`, `name`, `country`,
//!   `payment_method`)
//! - `POST /v1/test_helpers/checkout/sessions/:id/async_payment` (`outcome=succeeded|failed`)
//! - `POST /v1/test_helpers/payment_intents/:id/authenticate` (`outcome=succeeded|failed`)
//! - `POST /v1/test_helpers/refunds/:id/succeed`, `…/fail`
//! - `POST /v1/test_helpers/charges/:id/dispute` (`reason`, `inquiry`); `…/disputes/:id/win`, `…/lose`, `…/escalate`
//! - `POST /v1/test_helpers/payouts` (`currency`): an automatic payout; `…/payouts/:id/pay`, `…/fail`
//! - `POST /v1/test_helpers/refund_habit` (`habit=succeed|pending|requires_action`)
//! - `POST /v1/test_helpers/clock` (`set=` or `advance=` seconds, or `run=true`), `GET` to read it
//! - `POST /v1/test_helpers/accounts` (`id`): connects an account; `…/accounts/:id/verify`, `…/restrict`
//! - `POST /v1/test_helpers/rate_limit` (`per_second`, `per_endpoint`; without `per_second` there is no limit)
//! - `POST /v1/test_helpers/fail_next` (`count`, `fault=server_error|no_answer|lost_answer`)
//! - `POST /v1/test_helpers/deliveries/faults` (`drop`, `duplicate`, `delay_ms`, `shuffle`; what is left out is off)
//! - `POST /v1/test_helpers/deliveries/pause`, `…/resume`; `GET /v1/test_helpers/deliveries` counts

use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use serde_json::json;

use super::deliveries::Faults;
use super::errors::{ApiError, Result};
use super::events::Origin;
use super::form::Params;
use super::json;
use super::kinds::Kind;
use super::limits::{ApiFault, Limits, RateLimit};
use super::pages::Reply;
use super::resources::checkout_buyer::{self, Buyer, Outcome};
use super::resources::dispute_steps::{self, Judgement};
use super::resources::refunds::{self, RefundHabit, RefundOutcome};
use super::resources::{account, accounts, disputes, payments, payout_steps, payouts};
use super::world::Call;

/// Carries an action out; `None` when there is none of that name.
pub fn act(call: &mut Call, action: &[&str], params: Params) -> Result<Option<Reply>> {
    let text = match action {
        ["checkout", "sessions", id, "complete"] => {
            params.allow(&["country", "email", "name", "outcome", "payment_method"], &[])?;
            let outcome = match params.one_of("outcome", &["paid", "unpaid"])? {
                Some("unpaid") => Outcome::Unpaid,
                _ => Outcome::Paid,
            };
            let own = |name: &str| params.text(name).map(|text| text.map(str::to_owned));
            let buyer = Buyer {
                email: own("email")?,
                name: own("name")?,
                country: own("country")?,
                payment_method: own("payment_method")?,
            };
            checkout_buyer::complete(call, id, outcome, &buyer)?
        }
        ["checkout", "sessions", id, "async_payment"] => {
            params.allow(&["outcome"], &[])?;
            params.required("outcome")?;
            let outcome = params.one_of("outcome", &["failed", "succeeded"])?;
            checkout_buyer::finish_async(call, id, outcome == Some("succeeded"))?
        }
        ["refunds", id, "succeed"] => refunds::finish(call, id, RefundOutcome::Succeeded)?,
        ["refunds", id, "fail"] => refunds::finish(call, id, RefundOutcome::Failed)?,
        ["refund_habit"] => {
            params.required("habit")?;
            let habit = params.one_of("habit", &["pending", "requires_action", "succeed"])?;
            call.world.refund_habit = match habit {
                Some("pending") => RefundHabit::Pending,
                Some("requires_action") => RefundHabit::RequiresAction,
                _ => RefundHabit::Succeed,
            };
            json::compact(&json!({ "object": "test_helpers.refund_habit", "habit": habit })).into()
        }
        ["clock"] => {
            params.allow(&["advance", "run", "set"], &[])?;
            match (params.integer("set")?, params.integer("advance")?, params.boolean("run")?) {
                (Some(at), None, None) => call.world.clock.set(at),
                (None, Some(seconds), None) => call.world.clock.advance(seconds),
                (None, None, Some(true)) => call.world.clock.run(),
                _ => return Err(ApiError::missing("set, advance or run")),
            }
            call.world.catch_up();
            return read(call, action);
        }
        ["accounts"] => {
            params.allow(&["id"], &[])?;
            let id = params.required("id")?;
            let platform = call.world.platform.clone();
            accounts::ensure(&mut call.world.call(&platform, Origin::default()), id);
            account::retrieve(call, id)?
        }
        ["accounts", id, "verify"] => accounts::verify(call, id, true)?,
        ["accounts", id, "restrict"] => accounts::verify(call, id, false)?,
        ["charges", id, "dispute"] => dispute(call, id, params)?,
        ["disputes", id, "win"] => dispute_steps::decide(call, id, Judgement::Won)?,
        ["disputes", id, "lose"] => dispute_steps::decide(call, id, Judgement::Lost)?,
        ["disputes", id, "escalate"] => dispute_steps::decide(call, id, Judgement::Escalated)?,
        ["payment_intents", id, "authenticate"] => {
            params.allow(&["outcome"], &[])?;
            params.required("outcome")?;
            let outcome = params.one_of("outcome", &["failed", "succeeded"])?;
            let intent = call.find(Kind::PaymentIntent, id)?;
            json::compact(&payments::authenticate(call, &intent, outcome == Some("succeeded"))?).into()
        }
        ["payouts"] => payout_steps::pay_out(call, params)?,
        ["payouts", id, "pay"] => payouts::pay(call, id)?,
        ["payouts", id, "fail"] => payouts::fail(call, id)?,
        ["rate_limit"] => {
            params.allow(&["per_endpoint", "per_second"], &[])?;
            let per_endpoint = small(params, "per_endpoint")?;
            let rate = small(params, "per_second")?.map(|per_second| RateLimit { per_second, per_endpoint });
            limits(call).set_rate(rate);
            done()
        }
        ["fail_next"] => {
            params.allow(&["count", "fault"], &[])?;
            let fault = match params.one_of("fault", &["lost_answer", "no_answer", "server_error"])? {
                Some("lost_answer") => ApiFault::LostAnswer,
                Some("no_answer") => ApiFault::NoAnswer,
                _ => ApiFault::ServerError,
            };
            let count = small(params, "count")?.unwrap_or(1);
            limits(call).faults.extend((0..count).map(|_| fault));
            done()
        }
        ["deliveries", "faults"] => {
            params.allow(&["delay_ms", "drop", "duplicate", "shuffle"], &[])?;
            let most = small(params, "delay_ms")?.map(|most| Duration::from_millis(most.into()));
            call.world.queue.set_faults(Faults {
                drop: share(params, "drop")?,
                duplicate: share(params, "duplicate")?,
                delay: most.map(|most| (Duration::ZERO, most)),
                shuffle: small(params, "shuffle")?.map_or(0, |window| window as usize),
            });
            done()
        }
        ["deliveries", "pause"] => {
            call.world.queue.set_paused(true);
            done()
        }
        ["deliveries", "resume"] => {
            call.world.queue.set_paused(false);
            done()
        }
        _ => return Ok(None),
    };
    Ok(Some(Reply::Object(text)))
}

/// A buyer's bank disputes a charge that any card paid.
fn dispute(call: &mut Call, charge: &str, params: Params) -> Result<Arc<str>> {
    params.allow(&["inquiry", "reason"], &[])?;
    let charge = call.find(Kind::Charge, charge)?;
    if charge["disputed"] == true || charge["paid"] != true {
        let message = "Only a charge that was paid, and is not disputed yet, can be disputed.";
        return Err(ApiError::refused(None, message, None));
    }
    let reason = params.text("reason")?.unwrap_or("fraudulent");
    let inquiry = params.boolean("inquiry")?.unwrap_or(false);
    Ok(json::compact(&disputes::open(call, &charge, reason, inquiry)).into())
}

fn done() -> Arc<str> {
    r#"{"object":"test_helpers.done"}"#.into()
}

fn limits<'c>(call: &'c Call) -> MutexGuard<'c, Limits> {
    call.world.limits.lock().expect("no request panics while holding the limits")
}

/// A number that fits in 32 bits.
fn small(params: Params, key: &str) -> Result<Option<u32>> {
    let refuse = || ApiError::invalid(Some("parameter_invalid_integer"), "Invalid non-negative integer", key);
    params.integer(key)?.map(|number| u32::try_from(number).map_err(|_| refuse())).transpose()
}

/// A share between 0 and 1; 0 when left out.
fn share(params: Params, key: &str) -> Result<f64> {
    let Some(text) = params.text(key)? else { return Ok(0.0) };
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| ApiError::invalid(None, "Invalid share: must be between 0 and 1", key))
}

/// Reads the stand-in's own state.
pub fn read(call: &Call, asked: &[&str]) -> Result<Option<Reply>> {
    Ok(match asked {
        ["clock"] => {
            let clock = json!({ "object": "test_helpers.clock", "now": call.world.clock.now() });
            Some(Reply::Object(json::compact(&clock).into()))
        }
        ["deliveries"] => {
            let stats = call.world.queue.stats();
            let shown = json!({
                "object": "test_helpers.deliveries", "queued": stats.queued, "delivered": stats.delivered,
                "attempts": stats.attempts, "failed_attempts": stats.failed_attempts, "dropped": stats.dropped,
                "duplicated": stats.duplicated, "exhausted": stats.exhausted, "cancelled": stats.cancelled,
                "outstanding": call.world.queue.outstanding(),
            });
            Some(Reply::Object(json::compact(&shown).into()))
        }
        _ => None,
    })
}
