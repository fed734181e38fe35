//! What the comment of a staging database says: what it is, of which backup, and of which restore.
//!
//! A comment on a database is seen from every database of its server, by people and by the functions, and it goes
//! with the database: there is no list that could say something else.

use std::fmt;
use std::str::FromStr;

/// What every staging database's comment begins with.
const COMMENT: &str = "recoup staging: ";

/// What a staging database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is being filled, or was left behind while it was.
    Incomplete,
    /// It holds everything, and was proven: fit to take the database's place.
    Complete,
    /// It holds a part, and was proven: rows can be merged from it.
    Part,
    /// Personal data in it is masked: it is for a rehearsal, and its rows go nowhere else.
    Masked,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Incomplete => "incomplete",
            Self::Complete => "complete",
            Self::Part => "a part of a database",
            Self::Masked => "masked",
        }
    }
}

/// A staging database's comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// What it is.
    pub state: State,
    /// The backup that it was restored from.
    pub backup_id: String,
    /// The restore that made it; none in comments of version 0.1.
    pub restore_id: Option<String>,
    /// The instant (RFC 3339) up to which changes were applied to the backup.
    pub changes_to: Option<String>,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { state, backup_id, .. } = self;
        write!(f, "{COMMENT}{}, ", state.as_str())?;
        if let Some(restore_id) = &self.restore_id {
            write!(f, "restore {restore_id}, ")?;
        }
        match (&self.changes_to, state) {
            (Some(instant), _) => write!(f, "with the changes up to {instant} on backup {backup_id}"),
            (None, State::Incomplete | State::Masked) => write!(f, "from backup {backup_id}"),
            (None, State::Complete | State::Part) => write!(f, "equal to backup {backup_id}"),
        }
    }
}

impl FromStr for Mark {
    type Err = ();

    /// Reads a comment; an error is one that no restore wrote.
    fn from_str(comment: &str) -> Result<Self, ()> {
        let text = comment.strip_prefix(COMMENT).ok_or(())?;
        let (state, rest) = text.split_once(", ").ok_or(())?;
        let states = [State::Incomplete, State::Complete, State::Part, State::Masked];
        let state = states.into_iter().find(|known| known.as_str() == state).ok_or(())?;
        let after = |word: &str| {
            let (_, rest) = rest.split_once(word)?;
            Some(rest.split([' ', ',']).next()?.to_owned()).filter(|value| !value.is_empty())
        };
        Ok(Self {
            state,
            backup_id: after("backup ").ok_or(())?,
            restore_id: after("restore "),
            changes_to: after("up to "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back_from_its_comment() {
        for state in [State::Incomplete, State::Complete, State::Part, State::Masked] {
            for changes_to in [None, Some("2026-11-21T09:30:00.25Z".to_owned())] {
                for restore_id in [None, Some("20261121T032002Z-restore-66b57b4d".to_owned())] {
                    let backup_id = "20261121T031542Z-full-b41c0713".to_owned();
                    let mark = Mark { state, backup_id, restore_id, changes_to: changes_to.clone() };
                    assert_eq!(mark.to_string().parse().as_ref(), Ok(&mark), "{mark}");
                }
            }
        }
        for comment in ["", "my shop", "recoup staging: ", "recoup staging: green, from backup x"] {
            assert!(comment.parse::<Mark>().is_err(), "{comment}");
        }
    }
}
