//! What the balance's run asks of Postgres, and writes there.

use serde::Serialize;
use sqlx::{Connection, FromRow, PgConnection};
use time::OffsetDateTime;

use super::transaction::{Movement, Transaction};

/// A difference between a transaction and the ledger.
#[derive(Debug, FromRow)]
pub struct Difference {
    /// The transaction.
    pub id: String,
    /// Its currency.
    pub currency: String,
    /// `amount`, `fee` or `net`.
    pub field: String,
    /// `missing`, `amount`, `currency`, `origin`, `unknown` or `sum`.
    pub how: String,
    /// Stripe's value.
    pub stripe: i64,
    /// The ledger's.
    pub ours: i64,
    /// Of what kind the transaction is.
    pub reporting_category: String,
    /// The entry that an event writes for it.
    pub entry_source: Option<String>,
    /// That entry's kind.
    pub entry_kind: Option<String>,
    /// That entry's currency.
    pub entry_currency: Option<String>,
    /// What the object's row says was paid, in that currency.
    pub origin_amount: Option<i64>,
    /// How many there are of its kind, those that are not listed included.
    pub of_its_kind: i64,
}

/// An entry of the ledger that no transaction explains.
#[derive(Debug, FromRow)]
pub struct Unmatched {
    /// The object that moved the money.
    pub source_id: String,
    /// How.
    pub kind: String,
    /// How much.
    pub amount: i64,
    /// Of what.
    pub currency: String,
    /// How many there are in all.
    pub in_all: i64,
}

/// What moved on one day in one currency in one category.
#[derive(Debug, Clone, Serialize, FromRow)]
pub struct Money {
    /// The day in UTC, `2026-11-30`.
    pub day: String,
    /// The currency; all amounts are its minor units.
    pub currency: String,
    /// Stripe's reporting category.
    pub reporting_category: String,
    /// How many transactions.
    pub transactions: i64,
    /// Their amounts.
    pub gross: i64,
    /// What Stripe kept.
    pub fee: i64,
    /// What the balance changed by.
    pub net: i64,
    /// The same in the ledger.
    pub ledger_gross: i64,
    /// The same in the ledger.
    pub ledger_fee: i64,
    /// Of `gross`, what the ledger gets only once it is settled: payouts on their way.
    pub awaited: i64,
}

/// An automatic payout and what it is made of.
#[derive(Debug, Clone, Serialize, FromRow)]
pub struct PaidOut {
    /// The payout.
    pub payout_id: String,
    /// Its currency; all amounts are its minor units.
    pub currency: String,
    /// How many transactions make it up.
    pub transactions: i64,
    /// What went to the bank.
    pub paid_out: i64,
    /// The transactions' amounts.
    pub gross: i64,
    /// What Stripe kept of them.
    pub fee: i64,
    /// What they sum up to.
    pub net: i64,
    /// The same in the ledger.
    pub ledger_net: i64,
}

/// A payout whose state we know otherwise than Stripe lists it.
#[derive(Debug, FromRow)]
pub struct OtherState {
    /// The payout.
    pub id: String,
    /// Stripe's word.
    pub status: String,
    /// Stripe's amount.
    pub amount: i64,
    /// Ours; none where we have no such payout.
    pub kept_status: Option<String>,
    /// Ours.
    pub kept_amount: Option<i64>,
}

/// The account and span that a question is about.
#[derive(Debug, Clone, Copy)]
pub struct Part<'p> {
    /// The account.
    pub account: Option<&'p str>,
    /// First second.
    pub from: OffsetDateTime,
    /// Last second.
    pub to: OffsetDateTime,
}

/// Keeps a page of transactions and posts what no event tells of, as one commit. Gives the number of entries posted.
pub async fn keep(
    connection: &mut PgConnection,
    account: Option<&str>,
    payout: Option<&str>,
    page: &[Transaction],
) -> Result<i64, sqlx::Error> {
    fn column<'t, T>(page: &'t [Transaction], value: impl Fn(&'t Transaction) -> T) -> Vec<T> {
        page.iter().map(value).collect()
    }
    let entry = |one: &Transaction| match one.movement() {
        Movement::Entry { source, kind } => Some((source.to_owned(), kind)),
        _ => None,
    };
    let posted_against = |one: &Transaction| match one.movement() {
        Movement::Posted(against) => Some(against),
        _ => None,
    };
    let ids = column(page, |one| one.id.as_str());
    let mut transaction = connection.begin().await?;
    sqlx::query(include_str!("sql/mirror.sql"))
        .bind(account)
        .bind(payout)
        .bind(&ids)
        .bind(column(page, Transaction::kind))
        .bind(column(page, |one| one.reporting_category.as_str()))
        .bind(column(page, Transaction::source))
        .bind(column(page, |one| one.amount))
        .bind(column(page, |one| one.fee))
        .bind(column(page, |one| one.net))
        .bind(column(page, |one| one.currency.code()))
        .bind(column(page, Transaction::exchange_rate))
        .bind(column(page, |one| one.created.0))
        .bind(column(page, |one| one.available_on.0))
        .bind(column(page, |one| entry(one).map(|(source, _)| source)))
        .bind(column(page, |one| entry(one).map(|(_, kind)| kind)))
        .bind(column(page, posted_against))
        .execute(&mut *transaction)
        .await?;
    let posted =
        sqlx::query_scalar(include_str!("sql/post.sql")).bind(&ids).fetch_one(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(posted)
}

/// Where transactions and ledger differ.
pub async fn differences(
    connection: &mut PgConnection,
    part: Part<'_>,
) -> Result<Vec<Difference>, sqlx::Error> {
    sqlx::query_as(include_str!("sql/differences.sql"))
        .bind(part.account)
        .bind(part.from)
        .bind(part.to)
        .fetch_all(connection)
        .await
}

/// Entries of the ledger that no transaction explains, the first `most`.
pub async fn unmatched(
    connection: &mut PgConnection,
    part: Part<'_>,
    most: i64,
) -> Result<Vec<Unmatched>, sqlx::Error> {
    sqlx::query_as(include_str!("sql/unmatched.sql"))
        .bind(part.account)
        .bind(part.from)
        .bind(part.to)
        .bind(most)
        .fetch_all(connection)
        .await
}

/// Charges of which more was captured than was listed, the first `most`.
pub async fn captured_in_steps(
    connection: &mut PgConnection,
    part: Part<'_>,
    most: i64,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(include_str!("sql/captured_in_steps.sql"))
        .bind(part.account)
        .bind(part.from)
        .bind(part.to)
        .bind(most)
        .fetch_all(connection)
        .await
}

/// What moved, by day, currency and category.
pub async fn money(connection: &mut PgConnection, part: Part<'_>) -> Result<Vec<Money>, sqlx::Error> {
    sqlx::query_as(include_str!("sql/money.sql"))
        .bind(part.account)
        .bind(part.from)
        .bind(part.to)
        .fetch_all(connection)
        .await
}

/// What these payouts are made of.
pub async fn paid_out(
    connection: &mut PgConnection,
    payouts: &[String],
) -> Result<Vec<PaidOut>, sqlx::Error> {
    sqlx::query_as(include_str!("sql/payouts.sql")).bind(payouts).fetch_all(connection).await
}

/// Of these payouts, those that our rows have in another state.
pub async fn other_states(
    connection: &mut PgConnection,
    ids: &[&str],
    statuses: &[&str],
    amounts: &[i64],
) -> Result<Vec<OtherState>, sqlx::Error> {
    sqlx::query_as(include_str!("sql/payout_states.sql"))
        .bind(ids)
        .bind(statuses)
        .bind(amounts)
        .fetch_all(connection)
        .await
}

/// Of these payouts, those whose transactions were listed before.
pub async fn composed(connection: &mut PgConnection, ids: &[&str]) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(include_str!("sql/composed.sql")).bind(ids).fetch_all(connection).await
}
