//! Pieces of work that several sessions share: each takes the next one when it is done with its last.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is left to do, in order. Its clones are one queue.
pub(crate) struct Queue<T>(Arc<Mutex<VecDeque<T>>>);

impl<T> Queue<T> {
    /// How many pieces are left.
    pub(crate) fn len(&self) -> usize {
        self.left().len()
    }

    /// Takes the next piece; `None` where all are taken.
    pub(crate) fn take(&self) -> Option<T> {
        self.left().pop_front()
    }

    fn left(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> FromIterator<T> for Queue<T> {
    fn from_iter<I: IntoIterator<Item = T>>(pieces: I) -> Self {
        Self(Arc::new(Mutex::new(pieces.into_iter().collect())))
    }
}
