//! A list within one of Stripe's objects, of which no more than the first entries are shown.

use serde::Deserialize;

/// Such a list.
#[derive(Debug, Deserialize)]
pub struct List<T> {
    /// The entries that are shown.
    pub data: Vec<T>,
    /// Whether there are more.
    #[serde(default)]
    pub has_more: bool,
}
