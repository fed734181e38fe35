//! The page: self-contained, no script, readable on a phone, in the dark and by a screen reader. Maud escapes every
//! value.

use std::collections::BTreeMap;

use maud::{DOCTYPE, Markup, html};
use serde_json::Value;
use time::OffsetDateTime;
use time::macros::format_description;

use super::chart::{Day, chart, shown};
use super::{InAccount, Line, Report};
use crate::balance::{Money, PaidOut};
use crate::finding::{Finding, Kind};

const STYLE: &str = include_str!("page.css");

/// Findings of a list on the page; the JSON has more.
const SHOWN_MAX: usize = 50;

/// Payouts on the page.
const PAYOUTS_MAX: usize = 60;

/// Nothing is fetched, run or sent, whatever stands in the page.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The whole page.
pub fn page(report: &Report) -> Markup {
    let verdict = verdict(report);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="color-scheme" content="light dark";
                title { "Reconcile " (report.action) ": " (verdict) }
                style { (maud::PreEscaped(STYLE)) }
            }
            body {
                header class=(if report.drift { "drift" } else { "well" }) {
                    p class="kicker" { "recoup · reconcile " (report.action) }
                    h1 { (verdict) }
                    p class="about" {
                        (instant(report.from)) " to " (instant(report.to)) " · run at " (instant(report.started_at))
                        @if report.dry_run { " · " strong { "dry run, nothing was changed" } }
                        @if report.status != "completed" { " · " strong { "not finished: the time was up" } }
                    }
                }
                main {
                    (needs_a_person(report))
                    (numbers(report))
                    (kinds(&report.differences))
                    (money(&report.money))
                    (payouts(&report.payouts))
                    (repaired(report))
                    (warnings(report))
                }
                footer { p { "Times are UTC. Amounts are what Stripe lists. The JSON beside this page has every line." } }
            }
        }
    }
}

fn verdict(report: &Report) -> String {
    let found: u64 = report.differences.iter().map(|line| line.tally.found).sum();
    let repaired: u64 = report.differences.iter().map(|line| line.tally.repaired).sum();
    match (found - repaired, repaired) {
        (0, 0) if report.drift => "Not finished".to_owned(),
        (0, 0) => "Everything agrees".to_owned(),
        (0, 1) => "One difference, repaired".to_owned(),
        (0, repaired) => format!("{repaired} differences, all repaired"),
        (1, _) => "One difference needs a person".to_owned(),
        (open, _) => format!("{open} differences need a person"),
    }
}

fn needs_a_person(report: &Report) -> Markup {
    let open: Vec<&Finding> = report.unrepaired().collect();
    html! {
        section aria-labelledby="person" {
            h2 id="person" { "What needs a person" }
            @if open.is_empty() {
                p class="none" { "Nothing." }
            } @else {
                p class="hint" { "What to do is in RUNBOOK, \"" (section(report.action)) "\"." }
                (findings(&open))
            }
        }
    }
}

/// The section of RUNBOOK that is about it.
fn section(action: &str) -> &'static str {
    match action {
        "events" => "Events were lost",
        "objects" => "The rows and Stripe differ",
        "balance" => "The balance does not add up",
        _ => "Stripe's endpoint",
    }
}

fn repaired(report: &Report) -> Markup {
    let done: Vec<&Finding> = report.repaired().collect();
    html! {
        @if !done.is_empty() {
            section aria-labelledby="repaired" {
                h2 id="repaired" { "What was repaired" }
                (findings(&done))
            }
        }
    }
}

fn findings(found: &[&Finding]) -> Markup {
    html! {
        ul class="findings" {
            @for finding in found.iter().take(SHOWN_MAX) {
                li {
                    p class="what" {
                        span class={ "kind " (class_of(finding.kind)) } { (words_of(finding.kind)) }
                        " " (finding.object) " " code { (finding.id) }
                        @if let Some(account) = &finding.account { " in " code { (account) } }
                    }
                    @if let Some(reason) = &finding.reason { p class="reason" { (reason) } }
                    @if finding.field.is_some() || finding.stripe.is_some() || finding.ours.is_some() {
                        p class="values" {
                            @if let Some(field) = &finding.field { code { (field) } ": " }
                            "Stripe " b { (value(finding.stripe.as_ref())) } ", here " b { (value(finding.ours.as_ref())) }
                        }
                    }
                }
            }
        }
        @if found.len() > SHOWN_MAX {
            p { "and " (found.len() - SHOWN_MAX) " more in the JSON" }
        }
    }
}

fn class_of(kind: Kind) -> &'static str {
    match kind {
        Kind::MissingHere => "here",
        Kind::MissingThere => "there",
        Kind::Different => "different",
    }
}

fn words_of(kind: Kind) -> &'static str {
    match kind {
        Kind::MissingHere => "missing here",
        Kind::MissingThere => "missing at Stripe",
        Kind::Different => "different",
    }
}

fn value(shown: Option<&Value>) -> String {
    match shown {
        None | Some(Value::Null) => "nothing".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn numbers(report: &Report) -> Markup {
    html! {
        section aria-labelledby="totals" {
            h2 id="totals" { "Totals" }
            dl class="numbers" {
                @for number in &report.numbers {
                    div { dt { (number.name.replace('_', " ")) } dd { (number.value) } }
                }
            }
        }
    }
}

fn kinds(lines: &[Line]) -> Markup {
    html! {
        @if !lines.is_empty() {
            section aria-labelledby="kinds" {
                h2 id="kinds" { "Differences by kind" }
                div class="scroll" tabindex="0" role="region" aria-labelledby="kinds" {
                    table {
                        thead { tr {
                            th scope="col" { "what" } th scope="col" { "field" }
                            th scope="col" class="n" { "found" } th scope="col" class="n" { "repaired" }
                        } }
                        tbody {
                            @for line in lines {
                                tr {
                                    th scope="row" { (line.object) " " (words_of(line.kind)) }
                                    td { (line.field.as_deref().unwrap_or("the whole object")) }
                                    td class="n" { (line.tally.found) } td class="n" { (line.tally.repaired) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Sums of a currency and category.
#[derive(Default, Clone, Copy)]
struct Sums {
    transactions: i64,
    gross: i64,
    fee: i64,
    net: i64,
    ledger_net: i64,
    awaited: i64,
}

fn money(lines: &[InAccount<Money>]) -> Markup {
    let mut days: BTreeMap<&str, BTreeMap<&str, Day>> = BTreeMap::new();
    let mut sums: BTreeMap<(&str, &str), Sums> = BTreeMap::new();
    for InAccount { line, .. } in lines {
        let sum = sums.entry((&line.currency, &line.reporting_category)).or_default();
        sum.transactions += line.transactions;
        sum.gross += line.gross;
        sum.fee += line.fee;
        sum.net += line.net;
        sum.ledger_net += line.ledger_gross - line.ledger_fee;
        sum.awaited += line.awaited;
        let day = days.entry(&line.currency).or_default().entry(&line.day).or_default();
        if !line.reporting_category.starts_with("payout") {
            day.net += line.net;
            day.ledger_net += line.ledger_gross - line.ledger_fee;
        }
    }
    html! {
        @if !lines.is_empty() {
            section aria-labelledby="money" {
                h2 id="money" { "Money by day" }
                p class="hint" {
                    "What Stripe's balance changed by, payouts left out. "
                    span class="key agrees" {} " the ledger agrees " span class="key differs" {} " it differs"
                }
                @for (currency, days) in &days { (chart(currency, days)) }
            }
            section aria-labelledby="categories" {
                h2 id="categories" { "Money by category" }
                div class="scroll" tabindex="0" role="region" aria-labelledby="categories" {
                    table {
                        thead { tr {
                            th scope="col" { "category" } th scope="col" class="n" { "count" }
                            th scope="col" class="n" { "gross" } th scope="col" class="n" { "fee" }
                            th scope="col" class="n" { "net" } th scope="col" class="n" { "net in the ledger" }
                        } }
                        tbody {
                            @for ((currency, category), sum) in &sums {
                                // What the ledger gets once a payout is paid is no difference.
                                @let agrees = sum.ledger_net == sum.net - sum.awaited;
                                tr class=(if agrees { "" } else { "differs" }) {
                                    th scope="row" { (category.replace('_', " ")) }
                                    td class="n" { (sum.transactions) }
                                    td class="n" { (shown(sum.gross, currency)) }
                                    td class="n" { (shown(sum.fee, currency)) }
                                    td class="n" { (shown(sum.net, currency)) }
                                    td class="n" {
                                        (shown(sum.ledger_net, currency))
                                        @if !agrees { " ≠" }
                                        @if sum.awaited != 0 { br; small { (shown(sum.awaited, currency)) " on its way" } }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn payouts(lines: &[InAccount<PaidOut>]) -> Markup {
    html! {
        @if !lines.is_empty() {
            section aria-labelledby="payouts" {
                h2 id="payouts" { "Payouts and what they are made of" }
                div class="scroll" tabindex="0" role="region" aria-labelledby="payouts" {
                    table {
                        thead { tr {
                            th scope="col" { "payout" } th scope="col" class="n" { "count" }
                            th scope="col" class="n" { "paid out" } th scope="col" class="n" { "sum of its transactions" }
                            th scope="col" class="n" { "the same in the ledger" }
                        } }
                        tbody {
                            @for InAccount { account, line } in lines.iter().take(PAYOUTS_MAX) {
                                @let agrees = line.paid_out == line.net && line.net == line.ledger_net;
                                tr class=(if agrees { "" } else { "differs" }) {
                                    th scope="row" {
                                        code { (line.payout_id) }
                                        @if let Some(account) = account { br; small { (account) } }
                                    }
                                    td class="n" { (line.transactions) }
                                    td class="n" { (shown(line.paid_out, &line.currency)) }
                                    td class="n" { (shown(line.net, &line.currency)) }
                                    td class="n" { (shown(line.ledger_net, &line.currency)) @if !agrees { " ≠" } }
                                }
                            }
                        }
                    }
                }
                @if lines.len() > PAYOUTS_MAX { p { "and " (lines.len() - PAYOUTS_MAX) " more in the JSON" } }
            }
        }
    }
}

fn warnings(report: &Report) -> Markup {
    html! {
        @if !report.warnings.is_empty() {
            section aria-labelledby="besides" {
                h2 id="besides" { "Besides" }
                ul { @for warning in &report.warnings { li { (warning) } } }
            }
        }
    }
}

fn instant(at: OffsetDateTime) -> String {
    let at = at.to_offset(time::UtcOffset::UTC);
    at.format(format_description!("[year]-[month]-[day] [hour]:[minute]"))
        .expect("every instant has these parts")
}
