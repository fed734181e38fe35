//! What cannot be told from the lists is asked of Stripe one by one; and what a difference is, in words.

use recoup::events::field::read;
use recoup::failure::Failure;
use recoup::money::{Currency, Money};
use recoup::telemetry::identifier;
use serde_json::json;

use super::account::{OfAccount, keep};
use super::books::{self, Difference, PaidOut, Part, Unmatched};
use super::database;
use super::transaction::Transaction;
use crate::finding::{Finding, Kind};
use crate::list::{List, object};

/// So many are asked for one by one; where there are more, something else is wrong than single ones.
const ASKED_MAX: i64 = 100;

/// So many entries without a transaction are named.
pub const UNMATCHED_MAX: i64 = 200;

impl OfAccount<'_> {
    /// Asks Stripe for what the lists of the span need not show: a transaction of another day that explains an entry,
    /// and captures of a charge before the span.
    pub(super) async fn prove(&mut self, part: Part<'_>) -> Result<(), Failure> {
        let unmatched = books::unmatched(self.connection, part, ASKED_MAX).await.map_err(database)?;
        let captured = books::captured_in_steps(self.connection, part, ASKED_MAX).await.map_err(database)?;
        if unmatched.first().is_some_and(|first| first.in_all > ASKED_MAX) {
            self.compared.warnings.push(format!(
                "{} entries of the ledger have no transaction; Stripe was asked for the first {ASKED_MAX} of them alone",
                unmatched[0].in_all
            ));
        }
        for entry in unmatched {
            if entry.kind.starts_with("dispute") {
                self.ask_for_transaction(&entry.source_id).await?;
            } else {
                self.ask_for_source(&entry.source_id).await?;
            }
        }
        for charge in captured {
            self.ask_for_source(&charge).await?;
        }
        Ok(())
    }

    async fn ask_for_source(&mut self, source: &str) -> Result<(), Failure> {
        let mut pages =
            List::of(self.stripe, self.account, "/v1/balance_transactions", &[("source", source)]);
        while let Some(listed) = pages.next().await? {
            let transactions = self.read(&listed);
            self.compared.posted += keep(self.connection, self.account, None, &transactions).await?;
        }
        Ok(())
    }

    async fn ask_for_transaction(&mut self, id: &str) -> Result<(), Failure> {
        if let Some(json) = object(self.stripe, self.account, "/v1/balance_transactions", id).await?
            && let Ok(transaction) = read::<Transaction>("balance_transaction", &json)
        {
            self.compared.posted += keep(self.connection, self.account, None, &[transaction]).await?;
        }
        Ok(())
    }
}

/// `49.00 EUR`.
fn shown(minor: i64, currency: &str) -> String {
    match Currency::try_from(currency.to_owned()) {
        Ok(currency) => Money { minor, currency }.to_string(),
        Err(_) => format!("{minor} of {currency}"),
    }
}

fn entry_of(difference: &Difference) -> String {
    match (&difference.entry_source, &difference.entry_kind) {
        (Some(source), Some(kind)) => format!("{} {kind}", identifier(source)),
        _ => format!("{} transaction", identifier(&difference.id)),
    }
}

/// As it stands in the report.
pub fn finding(difference: &Difference, account: Option<&str>) -> Finding {
    let kind = match difference.how.as_str() {
        "missing" | "unknown" => Kind::MissingHere,
        _ => Kind::Different,
    };
    let finding = Finding::of(kind, "balance_transaction", difference.id.clone(), account);
    let stripe = json!(difference.stripe);
    let finding = match difference.how.as_str() {
        "missing" => finding.field(difference.field.clone(), Some(stripe), None),
        "unknown" => {
            finding.field("reporting_category", Some(json!(identifier(&difference.reporting_category))), None)
        }
        "currency" => finding.field(
            "currency",
            Some(json!(difference.currency)),
            Some(json!(difference.entry_currency)),
        ),
        "origin" => {
            finding.field("amount", Some(json!(difference.origin_amount)), Some(json!(difference.ours)))
        }
        _ => finding.field(difference.field.clone(), Some(stripe), Some(json!(difference.ours))),
    };
    finding.because(in_words(difference))
}

/// One sentence, with the transaction's id.
pub fn in_words(difference: &Difference) -> String {
    let Difference { currency, stripe, ours, .. } = difference;
    let id = identifier(&difference.id);
    let entry = entry_of(difference);
    let (stripe, ours) = (shown(*stripe, currency), shown(*ours, currency));
    match (difference.field.as_str(), difference.how.as_str()) {
        ("fee", "missing") => format!("{id}: Stripe kept {stripe}, and the ledger has no fee"),
        ("fee", _) => format!("{id}: Stripe kept {stripe}, and the ledger says {ours}"),
        ("net", _) => format!("{id}: Stripe's amount less its fee is {ours}, and its net {stripe}"),
        (_, "missing") => format!("{id}: Stripe moved {stripe}, and the ledger has no entry {entry}"),
        (_, "unknown") => format!(
            "{id}: Stripe moved {stripe} as {}, which recoup does not know",
            identifier(&difference.reporting_category)
        ),
        (_, "currency") => format!(
            "{id}: Stripe moved {stripe}, and the ledger has {entry} in {}",
            difference.entry_currency.as_deref().unwrap_or("no currency").to_ascii_uppercase()
        ),
        (_, "origin") => format!("{id}: the ledger's entry {entry} is not what its row says was paid"),
        _ => format!("{id}: Stripe moved {stripe}, and the ledger says {ours} in {entry}"),
    }
}

/// As it stands in the report.
pub fn unmatched_finding(entry: &Unmatched, account: Option<&str>) -> Finding {
    Finding::of(Kind::MissingThere, "ledger_entry", format!("{} {}", entry.source_id, entry.kind), account)
        .field("amount", None, Some(json!(entry.amount)))
        .because(unmatched_in_words(entry))
}

/// One sentence.
pub fn unmatched_in_words(entry: &Unmatched) -> String {
    format!(
        "{} {}: the ledger has {}, and Stripe has no transaction for it",
        identifier(&entry.source_id),
        entry.kind,
        shown(entry.amount, &entry.currency)
    )
}

/// As it stands in the report.
pub fn payout_finding(paid: &PaidOut, account: Option<&str>) -> Finding {
    Finding::of(Kind::Different, "payout", paid.payout_id.clone(), account)
        .field("amount", Some(json!(paid.paid_out)), Some(json!(paid.net)))
        .because(payout_in_words(paid))
}

/// One sentence.
pub fn payout_in_words(paid: &PaidOut) -> String {
    format!(
        "{}: {} went to the bank, and its {} transactions sum up to {}",
        identifier(&paid.payout_id),
        shown(paid.paid_out, &paid.currency),
        paid.transactions,
        shown(paid.net, &paid.currency)
    )
}
