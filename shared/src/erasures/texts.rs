//! What people typed, taken from the events and the audit entries that are about somebody.

use sqlx::{AssertSqlSafe, PgConnection, Row};
use time::OffsetDateTime;

use crate::archive::restore::mask_json;

/// What stands where a text of a person stood.
const ERASED: &str = "erased";

/// How many events are held in memory at a time.
const BATCH: usize = 200;

/// An event is about somebody where a text of it is the id of an object of theirs.
pub(super) async fn take_from_events(
    connection: &mut PgConnection,
    objects: &[&str],
    since: OffsetDateTime,
) -> Result<u64, sqlx::Error> {
    sqlx::query(
        "declare erased_events no scroll cursor for
         select id, payload
         from recoup.webhook_events
         where received_at >= $2 and payload is not null
             and exists (select from string_to_table(payload, '\"') as word where word = any ($1))",
    )
    .bind(objects)
    .bind(since)
    .persistent(false)
    .execute(&mut *connection)
    .await?;
    let mut events = 0;
    loop {
        let fetch = format!("fetch {BATCH} from erased_events");
        let rows = sqlx::query(AssertSqlSafe(fetch)).persistent(false).fetch_all(&mut *connection).await?;
        if rows.is_empty() {
            break;
        }
        let (mut ids, mut payloads) = (Vec::new(), Vec::new());
        for row in rows {
            let payload: String = row.try_get("payload")?;
            let without = without_texts(&payload);
            if without != payload {
                ids.push(row.try_get::<String, _>("id")?);
                payloads.push(without);
            }
        }
        events += sqlx::query(
            "update recoup.webhook_events as event set payload = erased.payload
             from unnest($1::text[], $2::text[]) as erased (id, payload)
             where event.id = erased.id",
        )
        .bind(ids)
        .bind(payloads)
        .persistent(false)
        .execute(&mut *connection)
        .await?
        .rows_affected();
    }
    sqlx::query("close erased_events").persistent(false).execute(&mut *connection).await?;
    // A body that is no text is kept as bytes, and nothing but their end is sure.
    let raw = sqlx::query(
        "update recoup.webhook_events set payload_raw = convert_to($3, 'UTF8')
         where received_at >= $2 and payload_raw <> convert_to($3, 'UTF8')
             and exists (select from string_to_table(encode(payload_raw, 'escape'), '\"') as word where word = any ($1))",
    )
    .bind(objects)
    .bind(since)
    .bind(ERASED)
    .persistent(false)
    .execute(connection)
    .await?;
    Ok(events + raw.rows_affected())
}

pub(super) async fn take_from_audit_log(
    connection: &mut PgConnection,
    objects: &[&str],
    since: OffsetDateTime,
) -> Result<u64, sqlx::Error> {
    let rows = sqlx::query(
        "select id, before::text as before, after::text as after
         from recoup.audit_log
         where at >= $2 and (before is not null or after is not null) and exists (
             select from string_to_table(subject, ' ') as word where word = any ($1)
             union all
             select from string_to_table(concat_ws('\"', before::text, after::text), '\"') as word where word = any ($1)
         )",
    )
    .bind(objects)
    .bind(since)
    .persistent(false)
    .fetch_all(&mut *connection)
    .await?;
    let mut entries = 0;
    for row in rows {
        let sides = [row.try_get::<Option<String>, _>("before")?, row.try_get("after")?];
        let without = sides.clone().map(|side| side.map(|json| without_texts(&json)));
        if without == sides {
            continue;
        }
        let [before, after] = without;
        let id: i64 = row.try_get("id")?;
        sqlx::query("update recoup.audit_log set before = $2::jsonb, after = $3::jsonb where id = $1")
            .bind(id)
            .bind(before)
            .bind(after)
            .persistent(false)
            .execute(&mut *connection)
            .await?;
        entries += 1;
    }
    Ok(entries)
}

/// JSON without what people typed: ids, codes, sums and times stay, and what they stand under.
fn without_texts(json: &str) -> String {
    mask_json(json.as_bytes(), |_| ERASED.to_owned()).unwrap_or_else(|| format!("\"{ERASED}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_erased_stays_as_it_is() {
        let once =
            without_texts(r#"{"id":"cus_1","email":"ada@example.com","metadata":{"who":"Ada"},"n":1}"#);
        assert_eq!(
            once,
            r#"{"id":"cus_1","email":"user-erased@example.invalid","metadata":{"who":"masked erased"},"n":1}"#
        );
        assert_eq!(without_texts(&once), once);
        assert_eq!(without_texts("Ada"), "\"erased\"");
    }
}
