//! Test actions over HTTP, for scripts: what on the Rust handle is a method. Stripe itself has none of them.
//!
//! - `POST /v1/test_helpers/checkout/sessions/:id/complete` (`outcome=paid|unpaid`, `email`, `name`, `country`,
//!   `payment_method`)
//! - `POST /v1/test_helpers/checkout/sessions/:id/async_payment` (`outcome=succeeded|failed`)
//! - `POST /v1/test_helpers/refunds/:id/succeed`, `…/fail`
//! - `POST /v1/test_helpers/refund_habit` (`habit=succeed|pending|requires_action`)
//! - `POST /v1/test_helpers/clock` (`set=` or `advance=` seconds, or `run=true`), `GET` to read it
//! - `POST /v1/test_helpers/accounts` (`id`): connects an account

use serde_json::json;

use super::errors::{ApiError, Result};
use super::form::Params;
use super::json;
use super::pages::Reply;
use super::resources::account;
use super::resources::checkout_buyer::{self, Buyer, Outcome};
use super::resources::refunds::{self, RefundHabit, RefundOutcome};
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
            call.world.expire_sessions();
            return read(call, action);
        }
        ["accounts"] => {
            params.allow(&["id"], &[])?;
            let id = params.required("id")?;
            call.world.accounts.entry(id.into()).or_default();
            account::retrieve(call, id)?
        }
        _ => return Ok(None),
    };
    Ok(Some(Reply::Object(text)))
}

/// Reads the stand-in's own state.
pub fn read(call: &Call, asked: &[&str]) -> Result<Option<Reply>> {
    Ok(match asked {
        ["clock"] => {
            let clock = json!({ "object": "test_helpers.clock", "now": call.world.clock.now() });
            Some(Reply::Object(json::compact(&clock).into()))
        }
        _ => None,
    })
}
