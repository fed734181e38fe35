//! Billing periods: a day, week, month or year after another, on the day of the month on which it all began
//! (<https://docs.stripe.com/billing/subscriptions/billing-cycle>).

use time::{Date, Duration, Month, OffsetDateTime, util::days_in_month};

/// The first end of a period after `start` (seconds since 1970), for periods of `count` intervals that began at
/// `anchor`. A month that has no such day ends on its last.
pub fn next_end(anchor: i64, start: i64, interval: &str, count: i64) -> i64 {
    let count = count.max(1);
    // From the anchor itself, not from one end to the next: the 31st comes back after a February.
    (1..).map(|periods| after(anchor, interval, periods * count)).find(|end| *end > start).unwrap_or(start)
}

fn after(anchor: i64, interval: &str, count: i64) -> i64 {
    let began = OffsetDateTime::from_unix_timestamp(anchor).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let months = match interval {
        "day" => return (began + Duration::days(count)).unix_timestamp(),
        "week" => return (began + Duration::weeks(count)).unix_timestamp(),
        "year" => count * 12,
        _ => count,
    };
    let index = i64::from(began.year()) * 12 + i64::from(u8::from(began.month())) - 1 + months;
    let year = i32::try_from(index.div_euclid(12)).unwrap_or(i32::MAX);
    let month = u8::try_from(index.rem_euclid(12)).unwrap_or_default() + 1;
    let month = Month::try_from(month).unwrap_or(Month::January);
    let day = began.day().min(days_in_month(month, year));
    let date = Date::from_calendar_date(year, month, day).unwrap_or(began.date());
    began.replace_date(date).unix_timestamp()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        let format = &time::format_description::well_known::Rfc3339;
        OffsetDateTime::parse(text, format).expect("a test writes times").unix_timestamp()
    }

    #[test]
    fn months_keep_the_day_on_which_they_began() {
        let anchor = at("2026-01-31T10:00:00Z");
        let february = next_end(anchor, anchor, "month", 1);
        assert_eq!(february, at("2026-02-28T10:00:00Z"));
        assert_eq!(next_end(anchor, february, "month", 1), at("2026-03-31T10:00:00Z"));
        assert_eq!(next_end(anchor, anchor, "month", 13), at("2027-02-28T10:00:00Z"));
        let leap = at("2024-02-29T00:00:00Z");
        assert_eq!(next_end(leap, leap, "year", 1), at("2025-02-28T00:00:00Z"));
        assert_eq!(next_end(leap, leap, "week", 2), leap + 14 * 86_400);
        assert_eq!(next_end(leap, leap + 86_400, "day", 1), leap + 2 * 86_400, "the end is after the start");
    }
}
