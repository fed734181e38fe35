//! What has to hold of the rows in schema `recoup`, whatever brought them there.
//!
//! Each invariant is one `.sql` file that finds the rows which break it, as `object` (a table or view of `recoup`) and
//! `id`, and nothing else of them: findings go to logs and to people who may not see what was bought, or by whom.
//! `$1` is an instant: what several events make, in any order, is judged only where the last of them is older, for the
//! others may still be on their way.

use serde::Serialize;
use sqlx::{AssertSqlSafe, PgConnection};
use time::OffsetDateTime;

use crate::archive::ArchiveError;

/// Rows of one invariant that are named; the others are counted.
pub const SAMPLES_MAX: i64 = 20;

/// One rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invariant {
    /// Stable name, that of its file.
    pub name: &'static str,
    /// What to do about the rows that break it.
    pub remedy: &'static str,
    sql: &'static str,
}

/// All rules, in the order in which they are reported.
pub const INVARIANTS: [Invariant; 15] = [
    Invariant {
        name: "orphans",
        sql: include_str!("orphans.sql"),
        remedy: "the rows were written or deleted by hand: bring the missing row back from a backup (restore), and the foreign key if it is gone (verify schema)",
    },
    Invariant {
        name: "order_totals",
        sql: include_str!("order_totals.sql"),
        remedy: "compare the order with its checkout session in Stripe; apply its events again with reconcile events",
    },
    Invariant {
        name: "orders_paid",
        sql: include_str!("orders_paid.sql"),
        remedy: "fetch the payment's events with reconcile events; if Stripe has no such payment, the order was not paid",
    },
    Invariant {
        name: "payments_charged",
        sql: include_str!("payments_charged.sql"),
        remedy: "fetch the charge's events with reconcile events; check that the Stripe endpoint sends charge.*",
    },
    Invariant {
        name: "grants_missing",
        sql: include_str!("grants_missing.sql"),
        remedy: "the buyer lacks what was paid for: bring the grant back from a backup (restore), or grant it by hand and say so in audit_log; for a plan check that its invoice is there",
    },
    Invariant {
        name: "grants_kept",
        sql: include_str!("grants_kept.sql"),
        remedy: "what was given back is still granted: set revoked_at of the row, and say so in audit_log",
    },
    Invariant {
        name: "grants_quantity",
        sql: include_str!("grants_quantity.sql"),
        remedy: "compare the line with Stripe; add or revoke what differs, and say so in audit_log",
    },
    Invariant {
        name: "ledger_balanced",
        sql: include_str!("ledger_balanced.sql"),
        remedy: "the entries were written by hand: correct them, and bring the constraint back if it is gone (verify schema)",
    },
    Invariant {
        name: "ledger_posted",
        sql: include_str!("ledger_posted.sql"),
        remedy: "apply the object's events again with reconcile events; an entry that was changed by hand is put back to the object's amount",
    },
    Invariant {
        name: "refunds_within_payments",
        sql: include_str!("refunds_within_payments.sql"),
        remedy: "compare the refunds with Stripe: one of them is not of this payment, or its failure was not seen",
    },
    Invariant {
        name: "disputes_charged",
        sql: include_str!("disputes_charged.sql"),
        remedy: "fetch the charge's events with reconcile events; check that the Stripe endpoint sends charge.*",
    },
    Invariant {
        name: "duplicates",
        sql: include_str!("duplicates.sql"),
        remedy: "refund what was paid twice, or remove the row that was written by hand; bring the constraint back if it is gone (verify schema)",
    },
    Invariant {
        name: "credit_shortfalls",
        sql: include_str!("credit_shortfalls.sql"),
        remedy: "credits were spent and then refunded: ask for the difference or waive it with an entry of its own",
    },
    Invariant {
        name: "catalog_gaps",
        sql: include_str!("catalog_gaps.sql"),
        remedy: "give the price or product the metadata recoup_kind and recoup_ref in Stripe; reconcile retry settles the line",
    },
    Invariant {
        name: "events_settled",
        sql: include_str!("events_settled.sql"),
        remedy: "read last_error of the events and follow RUNBOOK, Events failed",
    },
];

/// A rule that some rows break.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Which rule.
    pub invariant: &'static str,
    /// How many rows break it.
    pub count: i64,
    /// The first of them.
    pub rows: Vec<Offender>,
    /// What to do.
    pub remedy: &'static str,
}

/// A row that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Offender {
    /// Its table or view in schema `recoup`.
    pub object: String,
    /// Its key.
    pub id: String,
}

/// Reads every rule's offenders, all at one instant. What is younger than `settled_before` is not judged where other
/// events may still complete it.
///
/// # Errors
/// [`ArchiveError::Database`]: Postgres refused or failed, for example where schema `recoup` is not there.
pub async fn violations(
    connection: &mut PgConnection,
    settled_before: OffsetDateTime,
) -> Result<Vec<Violation>, ArchiveError> {
    let mut found = Vec::new();
    for invariant in INVARIANTS {
        found.extend(offenders(connection, &invariant, settled_before).await?);
    }
    Ok(found)
}

async fn offenders(
    connection: &mut PgConnection,
    invariant: &Invariant,
    settled_before: OffsetDateTime,
) -> Result<Option<Violation>, ArchiveError> {
    // Every rule is bound the instant, whether it needs it or not.
    let sql = format!(
        "with broken as (
            {}
        )
        select object, id, count(*) over () as count
        from broken
        where $1::timestamptz is not null
        order by object, id
        limit {SAMPLES_MAX}",
        invariant.sql
    );
    let rows: Vec<(String, String, i64)> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(settled_before)
        .persistent(false)
        .fetch_all(connection)
        .await
        .map_err(|error| ArchiveError::database(format!("check invariant {}", invariant.name), &error))?;
    let Some(count) = rows.first().map(|(_, _, count)| *count) else { return Ok(None) };
    Ok(Some(Violation {
        invariant: invariant.name,
        count,
        remedy: invariant.remedy,
        rows: rows.into_iter().map(|(object, id, _)| Offender { object, id }).collect(),
    }))
}
