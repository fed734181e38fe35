//! `{"action":"point_in_time"}`: rebuilds the state of an instant in a database of its own: the newest full backup that
//! shows an instant by then, and the changes from there on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use recoup::archive::ArchiveError;
use recoup::changes::instants::{newest_full_by, newest_instant};
use recoup::db;
use recoup::failure::Failure;
use recoup::secrets::SecretStore;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::asked::{Asked, check_tables, masking};
use crate::{Restore, RestoreReply};

/// An instant that is to be restored.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointInTimeRequest {
    target_time: Option<String>,
    recovery_point: Option<String>,
    target_database: Option<String>,
    target_secret: Option<String>,
    tables: Option<Vec<String>>,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    sanitize: bool,
    mask: Option<BTreeMap<String, String>>,
}

/// How the instant is given.
#[derive(Debug)]
pub(crate) enum Instant {
    /// As itself.
    Time(OffsetDateTime),
    /// By the name of a recovery point.
    Point(String),
    /// The newest that the bucket can show.
    Latest,
}

impl PointInTimeRequest {
    /// Which instant is meant.
    ///
    /// # Errors
    /// `InvalidRequest`.
    pub(crate) fn instant(&self, now: OffsetDateTime) -> Result<Instant, Failure> {
        check_tables(self.tables.as_ref())?;
        let refused = |reason: String| Err(Failure::invalid_request(format!("restore an instant: {reason}")));
        let time = match (&self.target_time, &self.recovery_point) {
            (Some(time), None) if time == "latest" => return Ok(Instant::Latest),
            (Some(time), None) => time,
            (None, Some(name)) => return Ok(Instant::Point(name.clone())),
            _ => {
                return refused(
                    "give either target_time or recovery_point, the name of a recovery point".to_owned(),
                );
            }
        };
        let Ok(instant) = OffsetDateTime::parse(time, &Rfc3339) else {
            return refused(format!(
                "target_time {time:?} is no instant with its zone; write 2026-11-21T09:30:00Z, 2026-11-21T10:30:00.25+01:00, or \"latest\" for the newest that there is"
            ));
        };
        if instant > now {
            let now = now.format(&Rfc3339).unwrap_or_default();
            return refused(format!("target_time {time} lies in the future, for it is {now}"));
        }
        Ok(Instant::Time(instant))
    }
}

impl<S: SecretStore + Sync> Restore<S> {
    /// Restores an instant, or says what that would be.
    pub(crate) async fn point_in_time(
        &self,
        request: PointInTimeRequest,
        deadline: SystemTime,
    ) -> Result<RestoreReply, Failure> {
        let began_at = OffsetDateTime::now_utc();
        let instant = request.instant(began_at)?;
        let masking = masking(request.sanitize, request.mask.as_ref())?;
        let target = match instant {
            Instant::Time(instant) => instant,
            Instant::Point(name) => self.recovery_point(&name).await?,
            Instant::Latest => newest_instant(&self.store).await?,
        };
        let asked = Asked {
            target_database: request.target_database,
            target_secret: request.target_secret,
            tables: request.tables,
            dry_run: request.dry_run,
            masking,
            target: Some(target),
        };
        let database = asked.database(began_at)?;
        let backup = Arc::new(newest_full_by(&self.store, target).await?);
        Box::pin(self.restore(&asked, backup, &database, began_at, deadline)).await
    }

    /// The instant of a recovery point, which production knows.
    async fn recovery_point(&self, name: &str) -> Result<OffsetDateTime, Failure> {
        let operation = format!("read recovery point {name}");
        let mut connection = db::connect(&self.production().await?).await.map_err(|failure| {
            Failure::new(
                failure.error_type(),
                format!("{operation}: {failure}; production knows the names: where it is lost, give target_time instead"),
            )
        })?;
        let instant: Option<OffsetDateTime> =
            sqlx::query_scalar("SELECT at FROM recoup.recovery_points WHERE name = $1")
                .bind(name)
                .persistent(false)
                .fetch_optional(&mut connection)
                .await
                .map_err(|error| ArchiveError::database(&operation, &error))?;
        instant.ok_or_else(|| {
            let remedy = "there is none of this name; SELECT name, at FROM recoup.recovery_points lists them";
            Failure::new("RecoveryPointNotFound", format!("{operation}: {remedy}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn instant(time: &str) -> Result<Instant, Failure> {
        let request = serde_json::json!({"target_time": time});
        let request: PointInTimeRequest = serde_json::from_value(request).expect("a request");
        request.instant(datetime!(2026-11-21 12:00 UTC))
    }

    #[test]
    fn instants_have_a_zone_and_are_past() {
        for (text, expected) in [
            ("2026-11-21T09:30:00Z", datetime!(2026-11-21 09:30 UTC)),
            ("2026-11-21T10:30:00.25+01:00", datetime!(2026-11-21 09:30:00.25 UTC)),
        ] {
            assert!(matches!(instant(text), Ok(Instant::Time(found)) if found == expected), "{text}");
        }
        for text in
            ["", "yesterday", "2026-11-21", "2026-11-21T09:30:00", "2026-11-21 09:30", "2026-11-21T13:00:00Z"]
        {
            let failure = instant(text).expect_err("refused");
            assert_eq!(failure.error_type(), "InvalidRequest", "{text}");
        }
        let without_zone = instant("2026-11-21T09:30:00").expect_err("refused").to_string();
        assert!(without_zone.contains("2026-11-21T09:30:00Z"), "{without_zone}");
    }
}
