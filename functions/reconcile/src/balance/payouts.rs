//! Payouts of the span: whether we know them as Stripe does, and which of them have transactions to list.

use recoup::events::field::{Fault, Id, Text, read};
use recoup::failure::Failure;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use sqlx::PgConnection;

use super::{books, database};
use crate::differences::Differences;
use crate::finding::{Finding, Kind};

/// A payout as Stripe lists it.
#[derive(Debug, Deserialize)]
pub struct Payout {
    id: Id,
    amount: i64,
    automatic: bool,
    reconciliation_status: Option<Text>,
    status: Text,
}

impl Payout {
    /// Reads one.
    ///
    /// # Errors
    /// The field that is missing or cannot be read.
    pub fn read(json: &RawValue) -> Result<Self, Fault> {
        read("payout", json)
    }

    /// Whether Stripe tells all that it is made of (Stripe documentation, "Payout reconciliation"): automatic ones
    /// do, once the list is complete. Before 2023 Stripe did not say when.
    fn tells(&self) -> bool {
        let status = self.reconciliation_status.as_ref().map(Text::as_str);
        self.automatic && matches!(status, None | Some("completed"))
    }
}

/// Compares a page with our rows. Gives the payouts that tell what they are made of, and of these those that have not
/// been asked yet.
///
/// # Errors
/// Why Postgres could not be used.
pub async fn settle(
    connection: &mut PgConnection,
    account: Option<&str>,
    page: &[Payout],
    differences: &mut Differences,
) -> Result<(Vec<String>, Vec<String>), Failure> {
    let ids: Vec<&str> = page.iter().map(|payout| payout.id.as_str()).collect();
    let statuses: Vec<&str> = page.iter().map(|payout| payout.status.as_str()).collect();
    let amounts: Vec<i64> = page.iter().map(|payout| payout.amount).collect();
    for other in books::other_states(connection, &ids, &statuses, &amounts).await.map_err(database)? {
        let kind = if other.kept_status.is_some() { Kind::Different } else { Kind::MissingHere };
        let finding = Finding::of(kind, "payout", other.id.clone(), account);
        let finding = match (other.kept_status, other.kept_amount) {
            (Some(status), _) if status != other.status => {
                finding.field("status", Some(json!(other.status)), Some(json!(status)))
            }
            (_, Some(amount)) => finding.field("amount", Some(json!(other.amount)), Some(json!(amount))),
            _ => finding.field("status", Some(json!(other.status)), None),
        };
        differences.add(finding.because("run reconcile events, and objects where that does not bring it"));
    }
    let telling: Vec<String> =
        page.iter().filter(|payout| payout.tells()).map(|payout| payout.id.as_str().to_owned()).collect();
    let asked: Vec<&str> = telling.iter().map(String::as_str).collect();
    let composed = books::composed(connection, &asked).await.map_err(database)?;
    let unasked = telling.iter().filter(|id| !composed.contains(id)).cloned().collect();
    Ok((telling, unasked))
}
