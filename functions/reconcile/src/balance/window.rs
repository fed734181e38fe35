//! Which span of time a run of the balance is about.

use recoup::failure::Failure;
use time::{Duration, OffsetDateTime, Time};

/// How far the first run looks back, where no beginning is asked for.
const FIRST: Duration = Duration::days(30);

/// What moved later than this may have events that are still under way, or that the hourly run of `events` brings.
const SETTLED_AFTER: Duration = Duration::hours(2);

/// A span of time, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first second.
    pub from: OffsetDateTime,
    /// The last second.
    pub to: OffsetDateTime,
}

impl Span {
    /// The span that is meant at `now`, after a last run that ended at `last` and left nothing unexplained. By itself
    /// it begins where a day does (UTC), so that days are whole.
    ///
    /// # Errors
    /// `InvalidRequest` where it ends before it begins.
    pub fn meant(
        from: Option<OffsetDateTime>,
        to: Option<OffsetDateTime>,
        now: OffsetDateTime,
        last: Option<OffsetDateTime>,
    ) -> Result<Self, Failure> {
        let settled = now - SETTLED_AFTER;
        let to = to.unwrap_or_else(|| settled.max(from.unwrap_or(settled))).min(now);
        let by_itself = midnight(last.unwrap_or(now - FIRST)).min(to);
        let from = from.unwrap_or(by_itself);
        if from > to {
            return Err(Failure::invalid_request(
                "the window ends before it begins: from must not be after to, nor after now",
            ));
        }
        Ok(Self { from, to })
    }

    /// What is whole of it once everything down to `reached` was listed, newest first: whole days, or where not one
    /// is, whole seconds. None where not even that is.
    pub fn whole_down_to(&self, reached: OffsetDateTime) -> Option<Self> {
        let next_day = midnight(reached) + Duration::DAY;
        let from = if next_day <= self.to { next_day } else { reached + Duration::SECOND };
        (from <= self.to).then_some(Self { from: from.max(self.from), to: self.to })
    }
}

/// The beginning of the instant's day, UTC.
fn midnight(instant: OffsetDateTime) -> OffsetDateTime {
    instant.to_offset(time::UtcOffset::UTC).replace_time(Time::MIDNIGHT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

    #[test]
    fn by_itself_it_goes_from_a_midnight_to_what_has_settled() {
        let last = datetime!(2026-11-20 03:00 UTC);
        let span = Span::meant(None, None, NOW, Some(last)).expect("a span");
        let expected = (datetime!(2026-11-20 00:00 UTC), datetime!(2026-11-21 10:00 UTC));
        assert_eq!((span.from, span.to), expected);
        let first = Span::meant(None, None, NOW, None).expect("a span");
        assert_eq!(first.from, datetime!(2026-10-22 00:00 UTC));
        let asked = Span::meant(Some(datetime!(2026-11-21 11:59 UTC)), None, NOW, None).expect("a span");
        assert_eq!(asked.to, asked.from, "what was asked for has not settled yet");
        assert!(Span::meant(Some(NOW), Some(last), NOW, None).is_err());
    }

    #[test]
    fn a_part_ends_where_a_day_does() {
        let span = Span { from: datetime!(2026-11-01 00:00 UTC), to: datetime!(2026-11-21 10:00 UTC) };
        let whole = |reached| span.whole_down_to(reached).map(|part| part.from);
        assert_eq!(whole(datetime!(2026-11-18 17:00 UTC)), Some(datetime!(2026-11-19 00:00 UTC)));
        assert_eq!(whole(datetime!(2026-11-21 09:00 UTC)), Some(datetime!(2026-11-21 09:00:01 UTC)));
        assert_eq!(whole(span.to), None);
    }
}
