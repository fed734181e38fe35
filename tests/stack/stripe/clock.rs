//! The stand-in's idea of now: real time, until a test sets it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

const REAL: i64 = i64::MIN;

/// Seconds since 1970, as Stripe counts. Follows real time until it is set; from then on it stands still
/// and moves only by [`Clock::set`] and [`Clock::advance`]. Signatures always carry real time: receivers
/// compare them with their own clock.
#[derive(Clone, Debug)]
pub struct Clock {
    frozen_at: Arc<AtomicI64>,
}

impl Clock {
    /// A clock that follows real time.
    pub fn real() -> Self {
        Self { frozen_at: Arc::new(AtomicI64::new(REAL)) }
    }

    /// Now, in seconds since 1970.
    pub fn now(&self) -> i64 {
        match self.frozen_at.load(Ordering::SeqCst) {
            REAL => wall_seconds(),
            frozen => frozen,
        }
    }

    /// Stops the clock at this second. It may lie in the past: objects made then sort by it.
    pub fn set(&self, unix_seconds: i64) {
        self.frozen_at.store(unix_seconds, Ordering::SeqCst);
    }

    /// Moves on from now by this many seconds and stands still there.
    pub fn advance(&self, seconds: i64) {
        self.set(self.now() + seconds);
    }

    /// Follows real time again.
    pub fn run(&self) {
        self.frozen_at.store(REAL, Ordering::SeqCst);
    }
}

/// Real seconds since 1970.
pub(crate) fn wall_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the machine's clock is after 1970");
    i64::try_from(since.as_secs()).expect("seconds since 1970 fit in 63 bits")
}
