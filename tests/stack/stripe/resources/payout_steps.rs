//! Automatic payouts: all that is available of a currency goes to the bank at once
//! (<https://docs.stripe.com/payouts/reconciliation>).

use std::sync::Arc;

use serde_json::Value;

use super::balance_transactions;
use super::payouts::{self, NewPayout};
use crate::stripe::errors::{ApiError, Result};
use crate::stripe::events::Origin;
use crate::stripe::form::Params;
use crate::stripe::kinds::Kind;
use crate::stripe::world::Call;

/// Pays a currency's available balance out, as Stripe does on the days of the schedule. The transactions that make
/// it up can be listed by it.
pub fn pay_out(call: &mut Call, params: Params) -> Result<Arc<str>> {
    params.allow(&["currency"], &[])?;
    let currency = super::money::currency(params)?;
    let mut paid_out: Vec<Value> = balance_transactions::all(call);
    paid_out.retain(|transaction| {
        transaction["currency"] == *currency
            && transaction["status"] == "available"
            && transaction["payout"].is_null()
    });
    let amount: i64 = paid_out.iter().filter_map(|transaction| transaction["net"].as_i64()).sum();
    if amount <= 0 {
        let message = format!("Nothing is available in {currency} to be paid out.");
        return Err(ApiError::refused(Some("balance_insufficient"), message, None));
    }
    call.origin = Origin::default();
    let mut payout = payouts::build(call, &NewPayout { amount, currency, automatic: true });
    payouts::store(call, &mut payout);
    for transaction in &mut paid_out {
        balance_transactions::assign_to_payout(call, transaction, &payout);
    }
    let mut own = call.linked(Kind::BalanceTransaction, &payout["balance_transaction"]);
    balance_transactions::assign_to_payout(call, &mut own, &payout);
    let sent = payout.clone();
    payout["status"] = "in_transit".into();
    call.update(Kind::Payout, &sent, &payout, "payout.updated");
    // The list of its transactions is complete.
    payout["reconciliation_status"] = "completed".into();
    Ok(payouts::tell(call, &payout, "payout.reconciliation_completed"))
}
