//! What only our rows have: found by counting, a span of time at a time, and made certain by asking Stripe.
//!
//! A list is read once, and its ids are not kept: for each page it is noted when its last object was made, and how many
//! of its objects have a row. Where our table has more rows of that span than that, the span's list is read once more,
//! and each of our rows that is not in it is asked for by its id.

use std::collections::HashSet;

use recoup::events::inbox::WriteError;
use recoup::events::reading::Family;
use recoup::failure::Failure;
use recoup::stripe::{Asked, Client, StripeError, encoded};
use serde::Deserialize;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use time::OffsetDateTime;

use super::listing::{Slice, next_page};

/// No more spans than these are looked into: beyond, the database is of another Stripe account.
const SPANS_MAX: usize = 100;

/// No more rows of one span than these are asked for.
const ROWS_MAX: i64 = 1_000;

/// What the pages of a slice were.
#[derive(Debug, Default)]
pub struct Spans {
    /// Of each page, newest first: when its last object was made, and how many of its objects have a row.
    spans: Vec<(OffsetDateTime, i64)>,
    /// Of the catalogue, whose rows do not say when an item was made, and whose lists are short: all ids.
    ids: Vec<String>,
}

impl Spans {
    /// Notes an object whose family's rows do not say when it was made.
    pub fn note_id(&mut self, family: Family, id: &str) {
        if matches!(family, Family::Product | Family::Price) {
            self.ids.push(id.to_owned());
        }
    }

    /// Notes a page: when each of its objects was made that has a row, and when its last was made.
    pub fn note(&mut self, with_rows: impl Iterator<Item = OffsetDateTime>, last: OffsetDateTime) {
        let boundary = self.spans.last().map(|span| span.0);
        self.spans.push((last, 0));
        let at = self.spans.len() - 1;
        for created in with_rows {
            // Objects of one second may stand on two pages.
            let of_page_before = boundary.is_some_and(|boundary| created >= boundary);
            self.spans[if of_page_before { at - 1 } else { at }].1 += 1;
        }
    }
}

/// A row that Stripe's list does not have.
#[derive(Debug)]
pub struct HereOnly {
    /// Its id.
    pub id: String,
    /// Stripe says that the object was deleted.
    pub deleted: bool,
}

/// What was found, and what it took.
#[derive(Debug, Default)]
pub struct Found {
    /// The rows.
    pub rows: Vec<HereOnly>,
    /// Requests to Stripe.
    pub calls: u64,
    /// There may be more: the search was given up.
    pub more: bool,
}

/// The rows of a slice that was listed whole which Stripe does not have.
///
/// # Errors
/// Why Stripe or Postgres could not be asked.
pub async fn here_only(
    connection: &mut PgConnection,
    client: &Client,
    slice: &Slice,
    version: &str,
    spans: Spans,
) -> Result<Found, Failure> {
    let mut found = Found::default();
    if matches!(slice.family, Family::Product | Family::Price) {
        let ours: Vec<String> = sqlx::query_scalar(
            "select id from recoup.catalog_items
             where object = $1 and account is not distinct from $2 and deleted_at is null and id <> all ($3)
             order by id limit $4",
        )
        .bind(slice.family.object())
        .bind(&slice.account)
        .bind(&spans.ids)
        .bind(ROWS_MAX)
        .fetch_all(connection)
        .await
        .map_err(WriteError::from)?;
        confirm(client, slice, version, ours, &mut found).await?;
        return Ok(found);
    }
    let mut lows: Vec<(OffsetDateTime, i64)> = spans.spans;
    let first = slice.from.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    match lows.last_mut() {
        // The last page reaches down to where the slice begins.
        Some(last) => last.0 = first,
        None => lows.push((first, 0)),
    }
    lows.reverse();
    lows.dedup_by(|later, earlier| {
        let same = later.0 == earlier.0;
        if same {
            earlier.1 += later.1;
        }
        same
    });
    let ours = counts(connection, slice, &lows).await.map_err(WriteError::from)?;
    let crowded = lows.iter().enumerate().filter(|(at, (_, listed))| ours[*at] > *listed).map(|(at, _)| at);
    for (searched, at) in crowded.enumerate() {
        if searched == SPANS_MAX {
            found.more = true;
            break;
        }
        let to = lows.get(at + 1).map_or(slice.to, |(next, _)| *next - time::Duration::SECOND);
        let span = Slice { from: Some(lows[at].0), to, after: None, ..slice.clone() };
        search(connection, client, span, version, &mut found).await?;
    }
    Ok(found)
}

/// How many rows we have in each span.
async fn counts(
    connection: &mut PgConnection,
    slice: &Slice,
    lows: &[(OffsetDateTime, i64)],
) -> Result<Vec<i64>, sqlx::Error> {
    let mut ours = vec![0; lows.len()];
    let Some(condition) = living(slice.family) else { return Ok(ours) };
    let query = format!(
        "select width_bucket(kept.created_at, $1::timestamptz[]) as span, count(*) as rows
         from recoup.{} as kept
         where kept.created_at >= ($1::timestamptz[])[1] and kept.created_at <= $2 and {condition}
         group by 1",
        slice.family.table()
    );
    // The whole table is read, once: as long as that takes, and as Postgres likes.
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql("set local statement_timeout = '300s'; set local enable_seqscan = on")
        .execute(&mut *transaction)
        .await?;
    let rows = sqlx::query(AssertSqlSafe(query))
        .bind(lows.iter().map(|(low, _)| *low).collect::<Vec<_>>())
        .bind(slice.to)
        .bind(&slice.account)
        .persistent(false)
        .fetch_all(&mut *transaction)
        .await?;
    transaction.commit().await?;
    for row in rows {
        let span: i32 = row.try_get("span")?;
        let at = usize::try_from(span - 1).ok().and_then(|at| ours.get_mut(at));
        if let Some(count) = at {
            *count = row.try_get("rows")?;
        }
    }
    Ok(ours)
}

/// Which of a family's rows Stripe should list; `None` where a row does not say when its object was made. $3 is the
/// account.
fn living(family: Family) -> Option<&'static str> {
    match family {
        Family::Product | Family::Price => None,
        Family::Account => Some("$3::text is null"),
        // A buyer without a customer of Stripe's has an id of ours.
        Family::Customer => Some(
            "kept.account is not distinct from $3 and kept.deleted_at is null and not starts_with(kept.id, 'guest_')",
        ),
        Family::Invoice => Some("kept.account is not distinct from $3 and kept.status <> 'deleted'"),
        Family::InvoicePayment => Some("kept.account is not distinct from $3 and kept.status = 'paid'"),
        _ => Some("kept.account is not distinct from $3"),
    }
}

async fn search(
    connection: &mut PgConnection,
    client: &Client,
    span: Slice,
    version: &str,
    found: &mut Found,
) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct Head {
        id: String,
    }
    let mut listed: HashSet<String> = HashSet::new();
    let mut next = Some(span.clone());
    while let Some(slice) = next.take() {
        let page = next_page(client.clone(), slice, version.to_owned()).await.map_err(|(_, error)| error)?;
        found.calls += page.calls;
        let ids = page.objects.iter().filter_map(|object| serde_json::from_str::<Head>(object.get()).ok());
        let mut last = None;
        for head in ids {
            last = Some(head.id.clone());
            listed.insert(head.id);
        }
        if page.has_more && last.is_some() {
            next = Some(Slice { after: last, ..page.slice });
        }
    }
    let condition = living(span.family).expect("it was counted by that");
    let query = format!(
        "select kept.id from recoup.{} as kept
         where kept.created_at >= $1 and kept.created_at <= $2 and {condition}
         order by kept.id limit $4",
        span.family.table()
    );
    let ours: Vec<String> = sqlx::query_scalar(AssertSqlSafe(query))
        .bind(span.from)
        .bind(span.to)
        .bind(&span.account)
        .bind(ROWS_MAX)
        .fetch_all(connection)
        .await
        .map_err(WriteError::from)?;
    found.more |= ours.len() as i64 == ROWS_MAX;
    let unlisted = ours.into_iter().filter(|id| !listed.contains(id)).collect();
    confirm(client, &span, version, unlisted, found).await
}

/// Asks Stripe for each of these rows.
async fn confirm(
    client: &Client,
    slice: &Slice,
    version: &str,
    ids: Vec<String>,
    found: &mut Found,
) -> Result<(), Failure> {
    for id in ids {
        found.calls += 1;
        if let Some(deleted) = gone(client, slice, version, &id).await? {
            found.rows.push(HereOnly { id, deleted });
        }
    }
    Ok(())
}

/// Whether Stripe has an object no longer: `Some(true)` where it says that it was deleted.
async fn gone(client: &Client, span: &Slice, version: &str, id: &str) -> Result<Option<bool>, StripeError> {
    #[derive(Deserialize)]
    struct Mark {
        #[serde(default)]
        deleted: bool,
    }
    let asked = Asked { account: span.account.as_deref(), version: Some(version) };
    match client.read(&format!("{}/{}", span.family.path(), encoded(id)), asked).await {
        Ok(answer) => {
            let mark = serde_json::from_slice::<Mark>(&answer.body);
            Ok(mark.is_ok_and(|mark| mark.deleted).then_some(true))
        }
        Err(error) if error.is_missing() => Ok(Some(false)),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_of_one_second_on_two_pages_are_counted_in_one_span() {
        let at = |second: i64| OffsetDateTime::from_unix_timestamp(second).expect("a time");
        let mut spans = Spans::default();
        spans.note([9, 8, 7].into_iter().map(at), at(7));
        spans.note([7, 6].into_iter().map(at), at(5));
        assert_eq!(spans.spans, [(at(7), 4), (at(5), 1)]);
    }
}
