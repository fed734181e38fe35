//! What a database holds, in a form that can be compared: rows and digest of each table, and money by currency.

use std::collections::BTreeMap;

use recoup::money::{Currency, Money};
use sqlx::{PgPool, Row};

use crate::error::{Error, Result};

/// The tables whose every row follows from Stripe's events.
pub const STRIPE_DERIVED: [&str; 22] = [
    "catalog_items",
    "charges",
    "coaching_sessions",
    "connected_accounts",
    "credit_entries",
    "customers",
    "disputes",
    "enrollments",
    "invoice_lines",
    "invoice_orders",
    "invoice_payments",
    "invoices",
    "ledger_entries",
    "order_items",
    "orders",
    "payment_orders",
    "payments",
    "payouts",
    "refunds",
    "subscription_items",
    "subscriptions",
    "tickets",
];

/// Rows and digest of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRecord {
    /// How many rows.
    pub rows: i64,
    /// MD5 over the sorted MD5s of the rows as text: equal for equal rows in any order.
    pub digest: String,
}

/// All that follows from Stripe's events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Records {
    /// By table.
    pub tables: BTreeMap<&'static str, TableRecord>,
    /// By currency: what orders were paid, what was given back, what the ledger says is at Stripe.
    pub money: BTreeMap<String, Sums>,
}

/// Money of one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sums {
    /// The totals of paid orders.
    pub paid: Money,
    /// The refunds that count.
    pub refunded: Money,
    /// The ledger's account `stripe_balance`.
    pub at_stripe: Money,
}

impl Records {
    /// Reads schema `recoup` of a database.
    ///
    /// # Errors
    /// Postgres' own.
    pub async fn read(pool: &PgPool) -> Result<Self> {
        let mut tables = BTreeMap::new();
        for table in STRIPE_DERIVED {
            let query = format!(
                "select count(*) as rows, coalesce(md5(string_agg(digest, '' order by digest)), '') as digest
                 from (select md5(kept::text) as digest from recoup.{table} as kept) as digests"
            );
            let row = sqlx::query(sqlx::AssertSqlSafe(query))
                .fetch_one(pool)
                .await
                .map_err(Error::database("read the records"))?;
            tables.insert(table, TableRecord { rows: row.get("rows"), digest: row.get("digest") });
        }
        let rows = sqlx::query(
            "select currency, sum(paid)::bigint as paid, sum(refunded)::bigint as refunded, sum(at_stripe)::bigint as at_stripe
             from (
                 select currency, amount_total as paid, 0 as refunded, 0 as at_stripe
                 from recoup.orders where status = 'paid'
                 union all
                 select currency, 0, amount, 0 from recoup.refunds where status not in ('failed', 'canceled')
                 union all
                 select currency, 0, 0, balance from recoup.ledger_balances where ledger_account = 'stripe_balance'
             ) as movements
             group by currency",
        )
        .fetch_all(pool)
        .await
        .map_err(Error::database("sum the money"))?;
        let mut money = BTreeMap::new();
        for row in rows {
            let code: String = row.get("currency");
            let currency =
                Currency::try_from(code.clone()).map_err(|error| Error::failed("read a currency", &error))?;
            let of = |column: &str| Money { minor: row.get(column), currency };
            money.insert(
                code,
                Sums { paid: of("paid"), refunded: of("refunded"), at_stripe: of("at_stripe") },
            );
        }
        Ok(Self { tables, money })
    }

    /// The tables that differ from `other`'s, with both sides' rows.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let named = |(table, record): (&&'static str, &TableRecord)| {
            let theirs = other.tables.get(table)?;
            let word =
                if record.rows == theirs.rows { "same count, different rows" } else { "different counts" };
            (record != theirs).then(|| format!("{table}: {} and {} rows, {word}", record.rows, theirs.rows))
        };
        self.tables.iter().filter_map(named).collect()
    }
}
