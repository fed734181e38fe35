//! How far long work has come, in the log every few seconds: bytes, percent, rate, time left.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// How often the log hears of it.
pub const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// Work on a known number of bytes of rows, done by several tasks.
pub struct Progress {
    operation: &'static str,
    backup_id: String,
    bytes_total: u64,
    bytes_done: AtomicU64,
    began: Instant,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Standing {
    bytes_done: u64,
    percent: f64,
    megabytes_per_second: f64,
    /// At the rate so far; none before there is one.
    seconds_left: Option<f64>,
}

impl Progress {
    /// Begins to count.
    pub fn new(operation: &'static str, backup_id: impl Into<String>, bytes_total: u64) -> Self {
        let backup_id = backup_id.into();
        Self { operation, backup_id, bytes_total, bytes_done: AtomicU64::new(0), began: Instant::now() }
    }

    /// So many bytes more are done.
    pub fn add(&self, bytes: u64) {
        self.bytes_done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Runs `work`, logs how far it is every [`LOG_INTERVAL`], and once more when it ends.
    pub async fn watch<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = Box::pin(work);
        let mut ticks = interval_at(self.began + LOG_INTERVAL, LOG_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                done = &mut work => {
                    self.log();
                    return done;
                }
                _ = ticks.tick() => self.log(),
            }
        }
    }

    fn log(&self) {
        let Standing { bytes_done, percent, megabytes_per_second, seconds_left } =
            self.standing(self.began.elapsed());
        tracing::info!(
            operation = self.operation,
            backup_id = self.backup_id,
            bytes_done,
            bytes_total = self.bytes_total,
            percent,
            megabytes_per_second,
            seconds_left,
            "progress"
        );
    }

    fn standing(&self, elapsed: Duration) -> Standing {
        let bytes_done = self.bytes_done.load(Ordering::Relaxed);
        let rate = bytes_done as f64 / elapsed.as_secs_f64().max(1e-9);
        let tenths = |value: f64| (value * 10.0).round() / 10.0;
        let left = self.bytes_total.saturating_sub(bytes_done) as f64;
        Standing {
            bytes_done,
            percent: if self.bytes_total == 0 {
                100.0
            } else {
                tenths(100.0 * bytes_done as f64 / self.bytes_total as f64)
            },
            megabytes_per_second: tenths(rate / 1e6),
            seconds_left: (bytes_done > 0).then(|| tenths(left / rate)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_time_left_follow_from_what_is_done() {
        let progress = Progress::new("verify", "20261121T020000Z-full-7f3a9c01", 400_000_000);
        assert_eq!(progress.standing(Duration::from_secs(1)).seconds_left, None);
        progress.add(100_000_000);
        let expected = Standing {
            bytes_done: 100_000_000,
            percent: 25.0,
            megabytes_per_second: 10.0,
            seconds_left: Some(30.0),
        };
        assert_eq!(progress.standing(Duration::from_secs(10)), expected);
    }
}
