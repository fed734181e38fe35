//! One backup for one scheduled invocation, however often it is delivered; and who is at work on which.
//!
//! AWS delivers a scheduled invocation at least once. The eight digits in the name of a backup that a schedule asks
//! for follow from its type and the time that the schedule meant, so that another delivery finds the backup in the
//! listing. While a run works, its session at the snapshot holds an advisory lock on these digits: it goes with the
//! session, however that ends, so that a run that died keeps nobody from trying again.

use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};

use super::error::ArchiveError;
use super::inventory::{Folder, list_folders};
use super::names::{BackupId, key_timestamp};
use super::store::ObjectStore;

/// The first of the two numbers of the advisory lock; the digits are the second. (`RECO` in ASCII: one of ours in a
/// database that may have others.)
pub const LOCK_CLASS: i32 = 0x5245_434f;

/// Clocks differ a little.
const EARLY_MAX: Duration = Duration::minutes(5);

/// A run that was asked for longer ago is another run's retry no more (EventBridge Scheduler and Lambda give up after
/// hours).
const LATE_MAX: Duration = Duration::days(1);

/// The digits of the backup that a schedule asks for.
///
/// # Errors
/// [`ArchiveError::InvalidRequest`] where the time that it meant has not come.
pub fn digits(
    backup_type: &str,
    scheduled_at: OffsetDateTime,
    now: OffsetDateTime,
) -> Result<u32, ArchiveError> {
    if scheduled_at > now + EARLY_MAX {
        return Err(ArchiveError::InvalidRequest(format!(
            "scheduled_at {scheduled_at} lies in the future, for it is {now}; it is the time that a schedule meant, and \
             is left out of a backup by hand"
        )));
    }
    let digest = Sha256::digest(format!("{backup_type} {}", key_timestamp(scheduled_at)));
    Ok(u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]))
}

/// Takes the lock of the backup that `connection`, in its transaction, is to make. `false` where another run has it.
///
/// # Errors
/// [`ArchiveError::Database`].
pub async fn claim(connection: &mut PgConnection, digits: u32) -> Result<bool, ArchiveError> {
    sqlx::query_scalar("SELECT pg_catalog.pg_try_advisory_xact_lock($1, $2)")
        .bind(LOCK_CLASS)
        .bind(digits.cast_signed())
        .persistent(false)
        .fetch_one(connection)
        .await
        .map_err(|error| ArchiveError::database("mark the backup as running", &error))
}

/// Whether a run that makes a backup of these digits holds its lock.
///
/// # Errors
/// [`ArchiveError::Database`].
pub async fn is_claimed(connection: &mut PgConnection, digits: u32) -> Result<bool, ArchiveError> {
    // objsubid 2 is a lock on two numbers (PostgreSQL documentation, "pg_locks").
    sqlx::query_scalar(
        "SELECT EXISTS (
            SELECT FROM pg_catalog.pg_locks AS l
            JOIN pg_catalog.pg_database AS d ON d.oid = l.database
            WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.granted
                AND l.objsubid = 2 AND l.classid::int8 = $1 AND l.objid::int8 = $2
        )",
    )
    .bind(i64::from(LOCK_CLASS))
    .bind(i64::from(digits))
    .persistent(false)
    .fetch_one(connection)
    .await
    .map_err(|error| ArchiveError::database("see whether the backup runs", &error))
}

/// The folders that deliveries of one scheduled invocation have made, oldest first.
///
/// # Errors
/// [`ArchiveError::Store`].
pub async fn deliveries(
    store: &impl ObjectStore,
    backup_type: &str,
    digits: u32,
    scheduled_at: OffsetDateTime,
) -> Result<Vec<Folder>, ArchiveError> {
    let scheduled_at = scheduled_at.to_offset(time::UtcOffset::UTC);
    let (first, last) = (scheduled_at - EARLY_MAX, scheduled_at + LATE_MAX);
    let mut found = Vec::new();
    let mut day = first.date();
    while day <= last.date() {
        let folders = list_folders(store, &key_timestamp(day.midnight().assume_utc())[..8]).await?;
        found.extend(folders.into_iter().filter(|folder| {
            is_delivery(&folder.id, backup_type, digits) && (first..=last).contains(&folder.id.created_at())
        }));
        let Some(next) = day.next_day() else { break };
        day = next;
    }
    Ok(found)
}

fn is_delivery(id: &BackupId, backup_type: &str, digits: u32) -> bool {
    id.backup_type() == backup_type && id.digits() == digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const SCHEDULED: OffsetDateTime = datetime!(2026-11-21 04:10 UTC);

    #[test]
    fn digits_follow_from_type_and_instant_alone() {
        let of = |kind: &str, at: OffsetDateTime| {
            digits(kind, at, SCHEDULED + Duration::hours(1)).expect("digits")
        };
        let first = of("full", SCHEDULED);
        assert_eq!(first, of("full", datetime!(2026-11-21 05:10 +1)));
        assert_ne!(first, of("payments", SCHEDULED));
        assert_ne!(first, of("full", SCHEDULED + Duration::seconds(1)));
        let id = BackupId::new(SCHEDULED, "full", first);
        assert!(is_delivery(&id, "full", first) && !is_delivery(&id, "orders", first));
    }

    #[test]
    fn a_time_that_has_not_come_is_refused() {
        assert!(digits("full", SCHEDULED, SCHEDULED - Duration::minutes(4)).is_ok());
        let error = digits("full", SCHEDULED, SCHEDULED - Duration::minutes(6)).expect_err("the future");
        assert_eq!(error.error_type(), "InvalidRequest");
    }
}
