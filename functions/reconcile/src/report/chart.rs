//! Money by day as a drawing: one small chart a currency, so that no two currencies share a scale.

use std::collections::BTreeMap;

use maud::{Markup, html};
use recoup::money::{Currency, Money};
use time::Date;
use time::macros::format_description;

/// Days of a chart; earlier ones are in the table.
const DAYS_MAX: i64 = 62;

/// A chart of few days is not stretched to bars like walls.
const DAYS_MIN: i64 = 14;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 120.0;

/// What the balance changed by on a day, payouts left out.
#[derive(Debug, Default, Clone, Copy)]
pub struct Day {
    /// At Stripe.
    pub net: i64,
    /// In the ledger.
    pub ledger_net: i64,
}

/// An amount with its currency, `1234.50 EUR`.
pub fn shown(minor: i64, currency: &str) -> String {
    match Currency::try_from(currency.to_owned()) {
        Ok(currency) => Money { minor, currency }.to_string(),
        Err(_) => format!("{minor} {currency}"),
    }
}

/// The chart of one currency.
pub fn chart(currency: &str, days: &BTreeMap<&str, Day>) -> Markup {
    let dated = |(day, of): (&&str, &Day)| Some((date(day)?, *of));
    let days: Vec<(Date, Day)> = days.iter().filter_map(dated).collect();
    let Some((to, _)) = days.last().copied() else { return html! {} };
    let days: Vec<(Date, Day)> =
        days.into_iter().filter(|(day, _)| (to - *day).whole_days() < DAYS_MAX).collect();
    let from = days[0].0;
    let highest = days.iter().map(|(_, day)| day.net).max().unwrap_or_default().max(0);
    let lowest = days.iter().map(|(_, day)| day.net).min().unwrap_or_default().min(0);
    let total: i64 = days.iter().map(|(_, day)| day.net).sum();
    let differing = days.iter().filter(|(_, day)| day.net != day.ledger_net).count();
    let said = format!(
        "{}: {} in all on {} days from {from} to {to}; highest {}, lowest {}; {}",
        currency.to_ascii_uppercase(),
        shown(total, currency),
        days.len(),
        shown(highest, currency),
        shown(lowest, currency),
        match differing {
            0 => "the ledger agrees on each".to_owned(),
            1 => "the ledger differs on 1 day".to_owned(),
            days => format!("the ledger differs on {days} days"),
        },
    );
    // For drawing alone: no sum is made of these.
    let scale = HEIGHT / ((highest as f64 - lowest as f64).max(1.0));
    let zero = highest as f64 * scale;
    let step = WIDTH / ((to - from).whole_days() + 1).max(DAYS_MIN) as f64;
    html! {
        figure {
            figcaption { (said) }
            svg viewBox=(format!("-2 -2 {} {}", WIDTH + 4.0, HEIGHT + 4.0)) role="img" aria-label=(said) {
                @for (day, of) in &days {
                    @let at = (*day - from).whole_days();
                    @let height = (of.net.unsigned_abs() as f64 * scale).max(1.0);
                    @let top = if of.net >= 0 { zero - height } else { zero };
                    @let class = if of.net == of.ledger_net { "agrees" } else { "differs" };
                    rect class=(class) x=(round(at as f64 * step + step * 0.12)) y=(round(top))
                        width=(round(step * 0.76)) height=(round(height)) rx="1.5" {
                        title { (day) ": " (shown(of.net, currency)) }
                    }
                }
                line class="zero" x1="0" x2=(WIDTH) y1=(round(zero)) y2=(round(zero)) {}
            }
            p class="ends" { span { (from) } span { (to) } }
        }
    }
}

fn date(day: &str) -> Option<Date> {
    Date::parse(day, format_description!("[year]-[month]-[day]")).ok()
}

fn round(length: f64) -> String {
    format!("{length:.1}")
}
