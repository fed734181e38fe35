//! A secret's value that is kept while it works, and read again when it proves to be out of date.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::failure::Failure;

/// Between two readings: whoever sends forgeries must not be able to have Secrets Manager asked for each.
pub const REFRESH_INTERVAL: Duration = Duration::from_secs(30);

/// A value from a secret. It is as old as the process until [`Cached::refresh`] is called.
pub struct Cached<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    value: Arc<T>,
    refreshed: Option<Instant>,
}

impl<T> Cached<T> {
    /// A value that was just read. It may be refreshed at once: the secret may have changed just after.
    pub fn new(value: T) -> Self {
        Self { state: Mutex::new(State { value: Arc::new(value), refreshed: None }) }
    }

    /// The value.
    pub fn get(&self) -> Arc<T> {
        self.state().value.clone()
    }

    /// Reads the value again, unless that was tried less than [`REFRESH_INTERVAL`] before `now`: then `None`.
    /// A value that cannot be read leaves the old one in place.
    pub async fn refresh(
        &self,
        now: Instant,
        read: impl Future<Output = Result<T, Failure>>,
    ) -> Option<Result<Arc<T>, Failure>> {
        {
            let mut state = self.state();
            if state.refreshed.is_some_and(|last| now.duration_since(last) < REFRESH_INTERVAL) {
                return None;
            }
            state.refreshed = Some(now);
        }
        Some(read.await.map(|value| {
            let value = Arc::new(value);
            self.state().value = value.clone();
            value
        }))
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        // Nothing that could panic is done while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_read_again_at_most_once_in_thirty_seconds() {
        let cached = Cached::new(1);
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let read = |value| async move { Ok(value) };
        assert_eq!(cached.refresh(after(0), read(2)).await.map(Result::unwrap).as_deref(), Some(&2));
        for early in [0, 1, 29] {
            assert!(cached.refresh(after(early), read(3)).await.is_none(), "{early}");
        }
        assert_eq!(*cached.get(), 2);
        let failure = async { Err(Failure::new("SecretUnavailable", "gone")) };
        assert!(cached.refresh(after(30), failure).await.expect("tried").is_err());
        assert_eq!(*cached.get(), 2, "the old value stays");
        assert!(cached.refresh(after(31), read(4)).await.is_none(), "a failed try counts");
        assert!(cached.refresh(after(60), read(4)).await.is_some());
        assert_eq!(*cached.get(), 4);
    }
}
