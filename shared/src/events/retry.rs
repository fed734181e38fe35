//! What waits for another try: failed events that are due, objects whose order is open, lines that the catalogue
//! has learned of. Everything that is left to do is in the rows, so that a run can end anywhere and the next one
//! goes on; two at once do not meet, because each leases what it takes.

use serde::Deserialize;
use serde_json::value::RawValue;
use sqlx::{Connection, PgConnection, Row};
use time::OffsetDateTime;

use super::effect::{Effect, Understood};
use super::envelope::Event;
use super::field::Text;
use super::inbox::{CONFLICT_ATTEMPTS_MAX, met_another, pause, write_again};
use super::tie::Mirror;

/// As many events as one lease takes.
const LEASE_EVENTS_MAX: i32 = 20;

/// Takes failed events that are due, the longest due first, and puts them off by ten minutes, so that no other run
/// takes them and a run that dies loses none. Gives their bodies.
///
/// # Errors
/// Postgres' own.
pub async fn lease_due(connection: &mut PgConnection) -> Result<Vec<Vec<u8>>, sqlx::Error> {
    // Repeatable read, which events need, would refuse a row that another run has just leased.
    let mut transaction = connection.begin_with("begin isolation level read committed").await?;
    let rows = sqlx::query(
        "update recoup.webhook_events as stored
         set next_attempt_at = clock_timestamp() + interval '10 minutes'
         from (
             select id from recoup.webhook_events
             where status = 'failed' and coalesce(next_attempt_at, '-infinity') <= clock_timestamp()
             order by next_attempt_at
             limit $1
             for update skip locked
         ) as due
         where stored.id = due.id
         returning stored.payload, stored.payload_raw",
    )
    .bind(LEASE_EVENTS_MAX)
    .fetch_all(&mut *transaction)
    .await?;
    transaction.commit().await?;
    rows.into_iter()
        .map(|row| {
            let text: Option<String> = row.try_get("payload")?;
            let raw: Option<Vec<u8>> = row.try_get("payload_raw")?;
            Ok(text.map(String::into_bytes).or(raw).unwrap_or_default())
        })
        .collect()
}

/// How many failed events are due.
///
/// # Errors
/// Postgres' own.
pub async fn count_due(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "select count(*) from recoup.webhook_events
         where status = 'failed' and coalesce(next_attempt_at, '-infinity') <= clock_timestamp()",
    )
    .fetch_one(connection)
    .await
}

/// An object whose row is marked: its events do not say which of them was the last.
#[derive(Debug, Clone)]
pub struct Marked {
    mirror: Mirror,
    /// Stripe's name of its type, such as `customer`.
    pub object: String,
    /// Its id.
    pub id: String,
    /// The connected account that it is in.
    pub account: Option<String>,
}

impl Marked {
    /// Where Stripe's API has it.
    pub fn path(&self) -> String {
        format!("/v1/{}s/{}", self.object, self.id)
    }

    /// The type of the events that show it as it is.
    fn event_type(&self) -> String {
        match self.object.as_str() {
            "dispute" => "charge.dispute.updated".to_owned(),
            "subscription" => "customer.subscription.updated".to_owned(),
            object => format!("{object}.updated"),
        }
    }
}

/// The marked objects, up to a thousand.
///
/// # Errors
/// Postgres' own.
pub async fn marked(connection: &mut PgConnection) -> Result<Vec<Marked>, sqlx::Error> {
    let rows = sqlx::query(
        "select 'customer' as object, id, account from recoup.customers where needs_refetch
         union all
         select object, id, account from recoup.catalog_items where needs_refetch
         union all
         select 'payment_intent', id, account from recoup.payments where needs_refetch
         union all
         select 'charge', id, account from recoup.charges where needs_refetch
         union all
         select 'refund', id, account from recoup.refunds where needs_refetch
         union all
         select 'dispute', id, account from recoup.disputes where needs_refetch
         union all
         select 'subscription', id, account from recoup.subscriptions where needs_refetch
         union all
         select 'invoice', id, account from recoup.invoices where needs_refetch
         union all
         select 'payout', id, account from recoup.payouts where needs_refetch
         union all
         select 'account', id, null from recoup.connected_accounts where needs_refetch
         limit 1000",
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let object: String = row.try_get("object")?;
            let mirror = match object.as_str() {
                "customer" => Mirror::Customers,
                "payment_intent" => Mirror::Payments,
                "charge" => Mirror::Charges,
                "refund" => Mirror::Refunds,
                "dispute" => Mirror::Disputes,
                "subscription" => Mirror::Subscriptions,
                "invoice" => Mirror::Invoices,
                "payout" => Mirror::Payouts,
                "account" => Mirror::ConnectedAccounts,
                _ => Mirror::CatalogItems,
            };
            Ok(Marked { mirror, object, id: row.try_get("id")?, account: row.try_get("account")? })
        })
        .collect()
}

/// Why what Stripe answered could not be written.
#[derive(Debug, thiserror::Error)]
pub enum RefetchError {
    /// The object cannot be read.
    #[error("Stripe's object cannot be read: {0}")]
    Unreadable(String),
    /// Postgres' own.
    #[error("write the object that Stripe was asked for")]
    Database(#[from] sqlx::Error),
}

/// Writes what Stripe says of a marked object; `None` where it no longer has it. The row keeps its place in
/// Stripe's order, so that every newer event still counts. An object that is deleted stays as it is: its own
/// event says so.
///
/// # Errors
/// See [`RefetchError`].
pub async fn write_fetched(
    connection: &mut PgConnection,
    marked: &Marked,
    body: Option<&[u8]>,
) -> Result<(), RefetchError> {
    let mut attempt = 1;
    loop {
        match write_fetched_once(connection, marked, body).await {
            Err(RefetchError::Database(error)) if attempt < CONFLICT_ATTEMPTS_MAX && met_another(&error) => {
                pause(attempt).await;
                attempt += 1;
            }
            written => return written,
        }
    }
}

async fn write_fetched_once(
    connection: &mut PgConnection,
    marked: &Marked,
    body: Option<&[u8]>,
) -> Result<(), RefetchError> {
    #[derive(Deserialize)]
    struct Head {
        #[serde(default)]
        deleted: bool,
    }
    let unreadable = |error: serde_json::Error| RefetchError::Unreadable(format!("line {}", error.line()));
    let body = match body {
        Some(body) if !serde_json::from_slice::<Head>(body).map_err(unreadable)?.deleted => Some(body),
        _ => None,
    };
    let table = marked.mirror.table();
    let mut transaction = connection.begin().await?;
    let unmark = format!(
        "update recoup.{table} set needs_refetch = false where id = $1 and needs_refetch
         returning event_id, event_created, event_rank"
    );
    let row =
        sqlx::query(sqlx::AssertSqlSafe(unmark)).bind(&marked.id).fetch_optional(&mut *transaction).await?;
    // A newer event took the mark away meanwhile.
    let Some(row) = row else { return Ok(()) };
    if let Some(body) = body {
        let object: &RawValue = serde_json::from_slice(body).map_err(unreadable)?;
        let kind = marked.event_type();
        let effect = match Effect::read(&kind, object) {
            Ok(Understood::Effect(effect)) => effect,
            Ok(Understood::Ignored(reason)) => return Err(RefetchError::Unreadable(reason.to_owned())),
            Err(fault) => return Err(RefetchError::Unreadable(fault.to_string())),
        };
        let event = Event {
            id: row.try_get("event_id")?,
            kind,
            api_version: None,
            account: marked.account.as_deref().map(Text::from),
            livemode: None,
            created: Some(row.try_get::<OffsetDateTime, _>("event_created")?),
            received: std::time::Instant::now(),
            body,
            object: Ok(object),
        };
        write_again(&mut transaction, &event, &effect, row.try_get("event_rank")?).await?;
    }
    sqlx::query(
        "insert into recoup.audit_log (actor, action, subject, reason, after)
         values ('reconcile', 'refetch object', $1, 'its events of one second left their order open', $2)",
    )
    .bind(format!("{} {}", marked.object, marked.id))
    .bind(serde_json::json!({"at_stripe": body.is_some()}))
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(())
}

/// Grants what lines of paid orders were waiting for, up to a thousand; gives how many.
///
/// # Errors
/// Postgres' own.
pub async fn settle_lines(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(concat!(
        include_str!("sql/settle_lines.sql"),
        include_str!("sql/granted.sql"),
        include_str!("sql/grants.sql"),
        "select count(*) from item"
    ))
    .fetch_one(connection)
    .await
}
