//! How a dispute goes on and ends (<https://docs.stripe.com/disputes/how-disputes-work>).

use std::sync::Arc;

use serde_json::Value;

use super::disputes;
use crate::stripe::errors::{ApiError, Result};
use crate::stripe::json;
use crate::stripe::kinds::Kind;
use crate::stripe::world::Call;

/// What the buyer's bank does with a dispute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The seller was right: the money comes back.
    Won,
    /// The buyer was right.
    Lost,
    /// An inquiry becomes a dispute.
    Escalated,
}

/// Whether it is still undecided.
pub fn is_open(dispute: &Value) -> bool {
    let open = ["warning_needs_response", "warning_under_review", "needs_response", "under_review"];
    open.iter().any(|status| dispute["status"] == *status)
}

fn is_inquiry(dispute: &Value) -> bool {
    dispute["status"].as_str().is_some_and(|status| status.starts_with("warning_"))
}

/// The bank takes the money.
pub fn withdraw(call: &mut Call, dispute: &mut Value) {
    disputes::move_funds(call, dispute, true);
}

/// Ends it. An inquiry is only closed.
pub fn end(call: &mut Call, dispute: &mut Value, won: bool) {
    let inquiry = is_inquiry(dispute);
    let old = dispute.clone();
    dispute["status"] = match (inquiry, won) {
        (true, _) => "warning_closed",
        (false, true) => "won",
        (false, false) => "lost",
    }
    .into();
    dispute["is_charge_refundable"] = inquiry.into();
    call.update(Kind::Dispute, &old, dispute, "charge.dispute.closed");
    if won && !inquiry {
        disputes::move_funds(call, dispute, false);
    }
}

/// The bank decides on what was submitted. In test mode the evidence says how.
pub fn judge(call: &mut Call, dispute: &mut Value) {
    match dispute["evidence"]["uncategorized_text"].as_str() {
        Some("winning_evidence") => end(call, dispute, true),
        Some("losing_evidence") => end(call, dispute, false),
        Some("escalate_inquiry_evidence") => escalate(call, dispute),
        _ => {}
    }
}

fn escalate(call: &mut Call, dispute: &mut Value) {
    if !is_inquiry(dispute) {
        return;
    }
    let old = dispute.clone();
    dispute["status"] = "needs_response".into();
    dispute["is_charge_refundable"] = false.into();
    dispute["payment_method_details"]["card"]["case_type"] = "chargeback".into();
    call.update(Kind::Dispute, &old, dispute, "charge.dispute.updated");
    withdraw(call, dispute);
}

/// The bank decides without having been told anything, as it does when the time is over.
pub fn decide(call: &mut Call, id: &str, judgement: Judgement) -> Result<Arc<str>> {
    let mut dispute = call.find(Kind::Dispute, id)?;
    if !is_open(&dispute) {
        return Err(ApiError::refused(None, "This dispute is already closed.", None));
    }
    match judgement {
        Judgement::Won => end(call, &mut dispute, true),
        Judgement::Lost => end(call, &mut dispute, false),
        Judgement::Escalated => escalate(call, &mut dispute),
    }
    Ok(json::compact(&dispute).into())
}
