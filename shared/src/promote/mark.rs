//! The marks that recoup leaves on databases: their comments.
//!
//! A comment belongs to the database and not to its name, is read from any other database of the server, and is changed
//! in the transaction that renames. So it says what a database is at every instant, whoever was killed when.

use serde::{Deserialize, Serialize};

/// What every copy's comment begins with; see [`crate::archive::restore::Staging`].
const STAGING: &str = "recoup staging: ";
const KEPT: &str = "recoup kept: ";
const UNDONE: &str = "recoup undone: ";
const PROMOTED: &str = "recoup promoted: ";

/// What a database is to recoup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// A copy that a restore made, with what the restore says of it: `complete, equal to backup …`.
    Staging(String),
    /// What production was until a copy took its name.
    Kept(Exchange),
    /// A copy that was production until that was undone.
    Undone(Exchange),
    /// A copy that has just become production; the mark goes when that is written down.
    Promoted(Exchange),
    /// Nothing that recoup made; with the comment that it has.
    Foreign(Option<String>),
}

/// An exchange of production for a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// Names it.
    pub promote_id: String,
    /// What the production database is called.
    pub production: String,
    /// What the copy was called.
    pub copy: String,
    /// The name under which the database that was production is kept; none where there was none any more.
    pub kept: Option<String>,
    /// When, in UTC as RFC 3339 writes it.
    pub at: String,
    /// Who did it.
    pub actor: String,
    /// The comment that production had.
    pub comment: Option<String>,
}

impl Mark {
    /// Reads a database's comment.
    pub fn read(comment: Option<&str>) -> Self {
        let Some(text) = comment else { return Self::Foreign(None) };
        let exchange = |json: &str| serde_json::from_str(json).ok();
        let read = if let Some(state) = text.strip_prefix(STAGING) {
            Some(Self::Staging(state.to_owned()))
        } else if let Some(json) = text.strip_prefix(KEPT) {
            exchange(json).map(Self::Kept)
        } else if let Some(json) = text.strip_prefix(PROMOTED) {
            exchange(json).map(Self::Promoted)
        } else {
            text.strip_prefix(UNDONE).and_then(exchange).map(Self::Undone)
        };
        read.unwrap_or_else(|| Self::Foreign(Some(text.to_owned())))
    }

    /// The comment that says it; none where there is to be none.
    pub fn comment(&self) -> Option<String> {
        let json = |exchange: &Exchange| serde_json::to_string(exchange).unwrap_or_default();
        match self {
            Self::Staging(state) => Some(format!("{STAGING}{state}")),
            Self::Kept(exchange) => Some(format!("{KEPT}{}", json(exchange))),
            Self::Undone(exchange) => Some(format!("{UNDONE}{}", json(exchange))),
            Self::Promoted(exchange) => Some(format!("{PROMOTED}{}", json(exchange))),
            Self::Foreign(comment) => comment.clone(),
        }
    }

    /// Whether it is a copy that was proven equal to a whole backup, and that nobody has worked on since.
    pub fn is_whole_copy(&self) -> bool {
        matches!(self, Self::Staging(state) if state.starts_with("complete"))
    }

    /// Whether it is a copy whose rows were proven, all of them or a part.
    pub fn is_proven_copy(&self) -> bool {
        let part = |state: &str| state.starts_with("a part of a database") && !state.contains("sanitized");
        self.is_whole_copy() || matches!(self, Self::Staging(state) if part(state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let exchange = Exchange {
            promote_id: "20261129T203105Z-promote-00000001".to_owned(),
            production: "shop".to_owned(),
            copy: "recoup_restore_1".to_owned(),
            kept: Some("shop_before_20261129t203105".to_owned()),
            at: "2026-11-29T20:31:05Z".to_owned(),
            actor: "ada".to_owned(),
            comment: Some("it's \"ours\"".to_owned()),
        };
        let staging = Mark::Staging("complete, equal to backup x".to_owned());
        for mark in [
            Mark::Kept(exchange.clone()),
            Mark::Undone(exchange.clone()),
            Mark::Promoted(exchange),
            staging.clone(),
            Mark::Foreign(Some("the shop".to_owned())),
            Mark::Foreign(None),
        ] {
            assert_eq!(Mark::read(mark.comment().as_deref()), mark);
        }
        assert!(staging.is_whole_copy() && staging.is_proven_copy());
        let part = Mark::read(Some("recoup staging: a part of a database, equal to backup x"));
        assert!(part.is_proven_copy() && !part.is_whole_copy());
        for unfit in ["recoup staging: incomplete, restore x of backup y", "recoup kept: {", "mine"] {
            assert!(!Mark::read(Some(unfit)).is_proven_copy(), "{unfit}");
        }
    }
}
