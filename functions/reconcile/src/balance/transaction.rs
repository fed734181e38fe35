//! A balance transaction as Stripe lists it, and what it is in the ledger
//! (Stripe documentation, "The Balance Transaction object" and "Reporting categories").

use recoup::events::field::{Fault, Id, Instant, Reference, Text, read};
use recoup::money::Currency;
use serde::Deserialize;
use serde_json::value::RawValue;

/// A balance transaction. Amounts are minor units of `currency`, below zero where money left the balance.
#[derive(Debug, Deserialize)]
pub struct Transaction {
    /// Its id, `txn_…`.
    pub id: Id,
    /// Gross.
    pub amount: i64,
    /// When its money can be paid out.
    pub available_on: Instant,
    /// When the money moved.
    pub created: Instant,
    /// The balance's currency, which need not be the payment's.
    pub currency: Currency,
    exchange_rate: Option<serde_json::Number>,
    /// What Stripe kept.
    pub fee: i64,
    /// What the balance changed by.
    pub net: i64,
    /// What Stripe's own reports group by.
    pub reporting_category: Text,
    source: Option<Reference>,
    r#type: Option<Text>,
}

/// What a transaction is in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Movement<'t> {
    /// An event writes its entry.
    Entry {
        /// The entry's `source_id`.
        source: &'t str,
        /// The entry's `kind`.
        kind: &'static str,
    },
    /// No event tells of it: `reconcile` posts it against this account of the ledger.
    Posted(&'static str),
    /// Nobody knows what it is.
    Unknown,
}

impl Transaction {
    /// Reads one.
    ///
    /// # Errors
    /// The field that is missing or cannot be read.
    pub fn read(json: &RawValue) -> Result<Self, Fault> {
        read("balance_transaction", json)
    }

    /// What it is in the ledger.
    pub fn movement(&self) -> Movement<'_> {
        let of_source = |kind| match &self.source {
            Some(source) => Movement::Entry { source: source.as_str(), kind },
            None => Movement::Unknown,
        };
        let of_itself = |kind| Movement::Entry { source: self.id.as_str(), kind };
        match self.reporting_category.as_str() {
            // Until 2025 what a capture left over was given back by a transaction of its own.
            "charge" | "partial_capture_reversal" => of_source("charge"),
            "refund" => of_source("refund"),
            "refund_failure" => of_source("refund_failure"),
            "payout" => of_source("payout"),
            "payout_reversal" => of_source("payout_failure"),
            "dispute" => of_itself("dispute"),
            "dispute_reversal" => of_itself("dispute_reversal"),
            "fee" | "network_cost" | "tax" => Movement::Posted("fees"),
            // A payment by a bank that took it back: its charge had succeeded.
            "charge_failure" => Movement::Posted("sales"),
            "transfer" | "transfer_reversal" | "connect_collection_transfer" => Movement::Posted("transfers"),
            "topup" | "topup_reversal" => Movement::Posted("topups"),
            "platform_earning" | "platform_earning_refund" => Movement::Posted("platform_earnings"),
            "risk_reserved_funds" | "connect_reserved_funds" => Movement::Posted("reserves"),
            "other_adjustment" => Movement::Posted("adjustments"),
            "contribution" => Movement::Posted("contributions"),
            "climate_order_purchase" | "climate_order_refund" => Movement::Posted("climate_orders"),
            "advance"
            | "advance_funding"
            | "anticipation_repayment"
            | "financing_paydown"
            | "financing_paydown_reversal"
            | "financing_payout"
            | "financing_payout_reversal" => Movement::Posted("financing"),
            "issuing_authorization_hold"
            | "issuing_authorization_release"
            | "issuing_dispute"
            | "issuing_transaction" => Movement::Posted("issuing"),
            _ => Movement::Unknown,
        }
    }

    /// The object that moved the money.
    pub fn source(&self) -> Option<&str> {
        self.source.as_ref().map(Reference::as_str)
    }

    /// Stripe's older name of what it is.
    pub fn kind(&self) -> Option<&str> {
        self.r#type.as_ref().map(Text::as_str)
    }

    /// Units of the balance's currency for one of the payment's, as Stripe wrote it.
    pub fn exchange_rate(&self) -> Option<String> {
        self.exchange_rate.as_ref().map(ToString::to_string)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{json, value::to_raw_value};

    fn transaction(category: &str) -> Transaction {
        let json = json!({"id": "txn_1", "amount": 9_007_199_254_740_993_i64, "available_on": 1, "created": 1,
            "currency": "jpy", "exchange_rate": 0.0091, "fee": 0, "net": 0, "reporting_category": category,
            "source": {"id": "ch_1"}, "type": "charge"});
        Transaction::read(&to_raw_value(&json).expect("JSON")).expect("a transaction")
    }

    #[test]
    fn each_category_is_an_entry_of_an_event_or_is_posted_or_unknown() {
        for (category, expected) in [
            ("charge", Movement::Entry { source: "ch_1", kind: "charge" }),
            ("payout_reversal", Movement::Entry { source: "ch_1", kind: "payout_failure" }),
            ("dispute", Movement::Entry { source: "txn_1", kind: "dispute" }),
            ("network_cost", Movement::Posted("fees")),
            ("money_of_tomorrow", Movement::Unknown),
        ] {
            assert_eq!(transaction(category).movement(), expected, "{category}");
        }
    }

    #[test]
    fn amounts_and_rates_are_read_to_the_last_digit() {
        let read = transaction("charge");
        assert_eq!((read.amount, read.exchange_rate().as_deref()), (9_007_199_254_740_993, Some("0.0091")));
        let odd = to_raw_value(&json!({"id": "txn_1", "amount": 1.5})).expect("JSON");
        let fault = Transaction::read(&odd).expect_err("a fault").to_string();
        assert!(fault.starts_with("balance_transaction.amount"), "{fault}");
    }
}
