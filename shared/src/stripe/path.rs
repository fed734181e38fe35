//! Ids in the paths and queries of Stripe's API.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// An id as a part of a path or query, whatever somebody put into it.
pub fn encoded(id: &str) -> String {
    utf8_percent_encode(id, NON_ALPHANUMERIC).to_string().replace("%5F", "_")
}
