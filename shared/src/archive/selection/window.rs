//! The window of time whose rows a partial backup holds.

use std::collections::BTreeMap;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::name::TableName;

/// From `from`, up to and not including `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The first instant that belongs to it.
    pub from: OffsetDateTime,
    /// The first instant after it.
    pub to: OffsetDateTime,
    /// Which column says when a row of a table was created, where the request says it; none: no row of this
    /// table is taken by itself.
    pub created_columns: BTreeMap<TableName, Option<String>>,
}

impl Window {
    /// Understands a window; `to` is `now` where it is not given.
    ///
    /// # Errors
    /// What is wrong with it, in one sentence.
    pub fn parse(
        from: &str,
        to: Option<&str>,
        created_columns: BTreeMap<String, Option<String>>,
        now: OffsetDateTime,
    ) -> Result<Self, String> {
        let from = instant("date_from", from)?;
        let to = to.map_or(Ok(to_microseconds(now)), |to| instant("date_to", to))?;
        for (field, time) in [("date_from", from), ("date_to", to)] {
            if time > now {
                return Err(format!("{field} {} is in the future: it is {} now", text(time), text(now)));
            }
        }
        if from == to {
            return Err(format!("the window is empty: it begins and ends at {}", text(from)));
        }
        if from > to {
            return Err(format!("the window ends before it begins: {} is before {}", text(to), text(from)));
        }
        let mut columns = BTreeMap::new();
        for (table, column) in created_columns {
            columns.insert(table.parse()?, column);
        }
        Ok(Self { from, to, created_columns: columns })
    }
}

fn instant(field: &str, value: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(value, &Rfc3339).map(to_microseconds).map_err(|_| {
        format!(
            "{field} {value:?} is not a time of RFC 3339 with its zone, such as 2026-11-21T00:00:00Z or 2026-11-21T01:00:00+01:00"
        )
    })
}

/// Postgres knows no shorter time.
fn to_microseconds(time: OffsetDateTime) -> OffsetDateTime {
    time.replace_nanosecond(time.microsecond() * 1000).expect("less than a second")
}

fn text(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).expect("a year of four digits, for it was read or is now")
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

    fn parse(from: &str, to: Option<&str>) -> Result<Window, String> {
        Window::parse(from, to, BTreeMap::new(), NOW)
    }

    #[test]
    fn a_window_has_two_ends_and_the_later_is_now_by_default() {
        let window = parse("2026-11-01T01:00:00+01:00", None).expect("a window");
        assert_eq!((window.from, window.to), (datetime!(2026-11-01 00:00 UTC), NOW));
        assert!(parse("2026-11-01T00:00:00Z", Some("2026-11-21T12:00:00Z")).is_ok());
    }

    #[test]
    fn windows_that_cannot_be_meant_are_refused() {
        for (from, to, reason) in [
            ("2026-11-02T00:00:00Z", Some("2026-11-01T00:00:00Z"), "ends before it begins"),
            ("2026-11-02T00:00:00Z", Some("2026-11-02T01:00:00+01:00"), "empty"),
            (
                "2026-11-01T00:00:00Z",
                Some("2026-11-21T12:00:01Z"),
                "date_to 2026-11-21T12:00:01Z is in the future",
            ),
            ("2027-11-01T00:00:00Z", None, "date_from 2027-11-01T00:00:00Z is in the future"),
            ("2026-11-01T00:00:00", None, "zone"),
            ("2026-11-01", None, "zone"),
            ("yesterday", None, "zone"),
            ("2026-11-01T00:00:00Z", Some(""), "date_to"),
        ] {
            let refused = parse(from, to).expect_err(from);
            assert!(refused.contains(reason), "{refused}");
        }
    }
}
