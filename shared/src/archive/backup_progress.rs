//! How far a backup has come: counted by those who work, told every few seconds in the log and in `recoup.backups`.
//!
//! The row is for people who ask while it runs. It is written on a connection of its own, at most once in
//! [`EVERY`], and a backup does not fail because its progress cannot be told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use time::OffsetDateTime;
use tokio::task::JoinHandle;

use super::error::DatabaseReason;
use super::names::BackupId;
use crate::db;

/// How often progress is told.
pub const EVERY: Duration = Duration::from_secs(2);

/// How long telling it may take; then that connection is given up.
const PATIENCE: Duration = Duration::from_secs(2);

/// After so many failures in a row only the log is told.
const FAILURES_MAX: u32 = 3;

/// Counts what is done. Relaxed: each number stands for itself, and none decides anything.
#[derive(Debug)]
pub struct Progress {
    began: Instant,
    rows: AtomicU64,
    bytes: AtomicU64,
    planned_bytes: AtomicU64,
    done_bytes: AtomicU64,
}

/// What was reached by an instant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reached {
    /// Rows that were read.
    pub rows: u64,
    /// Bytes of rows that were read.
    pub bytes: u64,
    /// The share of the tables' bytes on disk whose parts are stored, 0 to 100.
    pub percent: f64,
    /// Bytes of rows in a second, since the beginning.
    pub bytes_per_second: u64,
    /// At the pace so far; none before there is one.
    pub seconds_left: Option<u64>,
}

impl Default for Progress {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Self { began: Instant::now(), rows: zero(), bytes: zero(), planned_bytes: zero(), done_bytes: zero() }
    }
}

impl Progress {
    /// Says how many bytes the tables have on disk.
    pub fn planned(&self, bytes: u64) {
        self.planned_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Counts rows that came from Postgres.
    pub fn read(&self, rows: u64, bytes: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts a part that is stored, by the bytes that it has on disk.
    pub fn part_done(&self, bytes: u64) {
        self.done_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What was reached by now.
    pub fn reached(&self) -> Reached {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (done, planned) = (of(&self.done_bytes), of(&self.planned_bytes));
        reached(of(&self.rows), of(&self.bytes), done, planned, self.began.elapsed())
    }
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "estimates"
)]
fn reached(rows: u64, bytes: u64, done: u64, planned: u64, elapsed: Duration) -> Reached {
    let seconds = elapsed.as_secs_f64().max(0.001);
    let share = if planned == 0 { 0.0 } else { (done as f64 / planned as f64).min(1.0) };
    Reached {
        rows,
        bytes,
        percent: (share * 1000.0).floor() / 10.0,
        bytes_per_second: (bytes as f64 / seconds) as u64,
        seconds_left: (share > 0.0).then(|| (seconds * (1.0 - share) / share).ceil() as u64),
    }
}

/// What is told about a run from its beginning.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its name.
    pub backup_id: BackupId,
    /// What the operator called it.
    pub label: Option<String>,
    /// The window of a partial one, from and to.
    pub window: Option<(OffsetDateTime, OffsetDateTime)>,
    /// From when on it may be pruned.
    pub expires_at: OffsetDateTime,
}

/// Tells progress until it is dropped.
#[must_use]
pub struct Teller(JoinHandle<()>);

impl Drop for Teller {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Begins to tell.
pub fn tell(progress: Arc<Progress>, options: PgConnectOptions, run: Run) -> Teller {
    Teller(tokio::spawn(async move {
        let mut row = Row { options, run, connection: None, failures: 0 };
        row.write(None).await;
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let reached = progress.reached();
            tracing::info!(
                backup_id = %row.run.backup_id,
                rows = reached.rows,
                bytes = reached.bytes,
                percent = reached.percent,
                bytes_per_second = reached.bytes_per_second,
                seconds_left = reached.seconds_left,
                "backup goes on"
            );
            row.write(Some(reached)).await;
        }
    }))
}

/// The run's row in `recoup.backups`.
struct Row {
    options: PgConnectOptions,
    run: Run,
    connection: Option<PgConnection>,
    failures: u32,
}

impl Row {
    async fn write(&mut self, reached: Option<Reached>) {
        if self.failures >= FAILURES_MAX {
            return;
        }
        let reason = match tokio::time::timeout(PATIENCE, self.try_write(reached)).await {
            Ok(Ok(())) => {
                self.failures = 0;
                return;
            }
            Ok(Err(reason)) => reason,
            Err(_) => "no answer within two seconds".to_owned(),
        };
        self.failures += 1;
        self.connection = None;
        let backup_id = self.run.backup_id.as_str();
        tracing::warn!(backup_id, reason, "the backup's progress is not told in recoup.backups");
    }

    async fn try_write(&mut self, reached: Option<Reached>) -> Result<(), String> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(db::connect(&self.options).await.map_err(|failure| failure.to_string())?),
        };
        let count = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        // What the end of the run writes is never written over.
        sqlx::query(
            "INSERT INTO recoup.backups AS b (
                backup_id, backup_type, status, label, created_at, expires_at, window_from, window_to,
                heartbeat_at, progress_rows, progress_bytes, progress_percent
            )
            VALUES ($1, $2, 'running', $3, $4, $5, $6, $7, clock_timestamp(), $8, $9, $10)
            ON CONFLICT (backup_id) DO UPDATE SET
                heartbeat_at = excluded.heartbeat_at,
                progress_rows = excluded.progress_rows,
                progress_bytes = excluded.progress_bytes,
                progress_percent = excluded.progress_percent
            WHERE b.status = 'running'",
        )
        .bind(self.run.backup_id.as_str())
        .bind(self.run.backup_id.backup_type())
        .bind(self.run.label.as_deref())
        .bind(self.run.backup_id.created_at())
        .bind(self.run.expires_at)
        .bind(self.run.window.map(|(from, _)| from))
        .bind(self.run.window.map(|(_, to)| to))
        .bind(reached.map_or(0, |reached| count(reached.rows)))
        .bind(reached.map_or(0, |reached| count(reached.bytes)))
        .bind(reached.map_or(0.0, |reached| reached.percent))
        .persistent(false)
        .execute(connection)
        .await
        .map_err(|error| DatabaseReason::of(&error).to_string())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_rate_and_time_left_follow_from_what_is_done() {
        let early = reached(0, 0, 0, 1000, Duration::from_secs(3));
        assert_eq!((early.percent, early.bytes_per_second, early.seconds_left), (0.0, 0, None));
        let half = reached(10, 6000, 500, 1000, Duration::from_secs(3));
        assert_eq!((half.percent, half.bytes_per_second, half.seconds_left), (50.0, 2000, Some(3)));
        // A table may grow after it was measured; an empty database has nothing to measure.
        assert_eq!(reached(1, 1, 1200, 1000, Duration::from_secs(1)).percent, 100.0);
        assert_eq!(reached(0, 0, 0, 0, Duration::ZERO).percent, 0.0);
        // Nearly done is not done.
        assert_eq!(reached(1, 1, 99_999, 100_000, Duration::from_secs(1)).percent, 99.9);
    }
}
