//! Stripe's undelivered events beside what the inbox has.

use std::collections::HashMap;

use recoup::events::field::{Id, Instant, Text, read};
use recoup::events::inbox::WriteError;
use recoup::events::types::APPLIED;
use recoup::failure::Failure;
use recoup::stripe::Client;
use serde::Deserialize;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::Deliveries;
use crate::differences::Differences;
use crate::finding::{Finding, Kind};
use crate::list::List;

/// The events that are looked at.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// The first second.
    pub from: OffsetDateTime,
    /// The last.
    pub to: OffsetDateTime,
    /// Later ones may be on their way.
    pub settled: OffsetDateTime,
}

/// Counts the events of an account that Stripe could not deliver.
///
/// # Errors
/// Why Stripe or Postgres could not be used.
pub async fn look(
    connection: &mut PgConnection,
    stripe: &Client,
    account: Option<&str>,
    span: Span,
    deliveries: &mut Deliveries,
    differences: &mut Differences,
) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct Undelivered {
        id: Id,
        created: Instant,
        pending_webhooks: u64,
        r#type: Text,
    }
    let (from, to) = (span.from.unix_timestamp().to_string(), span.to.unix_timestamp().to_string());
    let filters = [("delivery_success", "false"), ("created[gte]", &from), ("created[lte]", &to)];
    let mut pages = List::of(stripe, account, "/v1/events", &filters);
    while let Some(page) = pages.next().await? {
        let events: Vec<Undelivered> = page.iter().filter_map(|json| read("event", json).ok()).collect();
        let ids: Vec<&str> = events.iter().map(|event| event.id.as_str()).collect();
        let kept = sources(connection, &ids).await?;
        for event in &events {
            match kept.get(event.id.as_str()).map(String::as_str) {
                Some("webhook" | "eventbridge") => deliveries.elsewhere += 1,
                // Of what has no effect here the endpoint need not hear.
                _ if !APPLIED.contains(&event.r#type.as_str()) => {}
                _ if event.created.0 > span.settled => deliveries.under_way += 1,
                source => {
                    deliveries.undelivered += 1;
                    deliveries.pending_webhooks += event.pending_webhooks;
                    deliveries.brought += u64::from(source.is_some());
                    if source.is_none() {
                        let reason =
                            "Stripe could not deliver it, and it was not brought: run reconcile events";
                        differences.add(
                            Finding::of(Kind::MissingHere, "event", event.id.as_str(), account)
                                .because(reason),
                        );
                    }
                }
            }
        }
    }
    Ok(())
}

/// Which way each of these events came, of those that are here.
async fn sources(connection: &mut PgConnection, ids: &[&str]) -> Result<HashMap<String, String>, Failure> {
    let kept: Vec<(String, String)> =
        sqlx::query_as("select id, source from recoup.webhook_events where id = any ($1)")
            .bind(ids)
            .fetch_all(connection)
            .await
            .map_err(WriteError::from)?;
    Ok(kept.into_iter().collect())
}

/// Events of the span that a delivery brought.
///
/// # Errors
/// Why Postgres could not be asked.
pub async fn delivered(
    connection: &mut PgConnection,
    from: OffsetDateTime,
    to: OffsetDateTime,
) -> Result<u64, Failure> {
    let delivered: i64 = sqlx::query_scalar(
        "select count(*) from recoup.webhook_events
         where created between $1 and $2 and source in ('webhook', 'eventbridge')",
    )
    .bind(from)
    .bind(to)
    .fetch_one(connection)
    .await
    .map_err(WriteError::from)?;
    Ok(u64::try_from(delivered).unwrap_or_default())
}

/// Of a hundred, to two digits and never rounded up.
#[allow(clippy::cast_precision_loss)] // Shares of deliveries, far below 2^53.
pub fn percent(delivered: u64, undelivered: u64) -> Option<f64> {
    let all = delivered + undelivered;
    (all > 0).then(|| (delivered as f64 / all as f64 * 10_000.0).floor() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_never_rounded_up() {
        assert_eq!(percent(0, 0), None);
        assert_eq!(percent(3, 0), Some(100.0));
        assert_eq!(percent(0, 3), Some(0.0));
        assert_eq!(percent(98_999, 1_001), Some(98.99));
    }
}
