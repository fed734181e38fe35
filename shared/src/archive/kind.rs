//! The kinds of backup.

use std::fmt;
use std::str::FromStr;

/// What a backup is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BackupKind {
    /// Every table of the configured schemas, an application's own among them.
    Full,
    /// Money of schema `recoup`: what came in, what went back, what is owed, what was paid out.
    Payments,
    /// What was sold, and what it grants.
    Orders,
    /// Seats.
    Tickets,
    /// Tables that the request names.
    Tables,
}

impl BackupKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Full, Self::Payments, Self::Orders, Self::Tickets, Self::Tables];

    /// Its name in requests, replies and keys.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Payments => "payments",
            Self::Orders => "orders",
            Self::Tickets => "tickets",
            Self::Tables => "tables",
        }
    }

    /// The tables of schema `recoup` that a set begins with; what their foreign keys need is found in the
    /// catalog. None for the kinds that are no set.
    pub fn set(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Full | Self::Tables => None,
            Self::Payments => Some(&[
                "payments",
                "payment_orders",
                "charges",
                "refunds",
                "disputes",
                "payouts",
                "connected_accounts",
                "balance_transactions",
                "ledger_entries",
                "invoices",
                "invoice_lines",
                "invoice_payments",
                "invoice_orders",
                "subscriptions",
                "subscription_items",
            ]),
            Self::Orders => Some(&[
                "orders",
                "order_items",
                "payments",
                "payment_orders",
                "catalog_items",
                "enrollments",
                "coaching_sessions",
                "credit_entries",
            ]),
            Self::Tickets => Some(&["tickets"]),
        }
    }
}

impl fmt::Display for BackupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for BackupKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        known.ok_or_else(|| format!("backup_type {text:?} is not known"))
    }
}
