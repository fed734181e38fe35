//! Banks that answer days after a debit.

use serde_json::Value;

use super::{checkout_buyer, payments};
use crate::stripe::kinds::Kind;
use crate::stripe::world::Call;

/// The bank paid for a payment intent, or it did not. Whatever else ended the wait meanwhile goes first.
pub fn bank_answers(call: &mut Call, intent: &str, paid: bool) {
    let Some(intent) =
        call.get(Kind::PaymentIntent, intent).filter(|intent| intent["status"] == "processing")
    else {
        return;
    };
    let id = intent["id"].as_str().unwrap_or_default();
    let session = call.all_where(Kind::CheckoutSession, "payment_intent", id).into_iter().next();
    let ended = match session.as_ref().and_then(|session: &Value| session["id"].as_str()) {
        Some(session) => checkout_buyer::finish_async(call, session, paid).map(drop),
        None => payments::finish_delayed(call, &intent, paid).map(drop),
    };
    if let Err(error) = ended {
        tracing::error!(intent = id, error = %error.fields(), "the bank's answer did not fit");
    }
}
