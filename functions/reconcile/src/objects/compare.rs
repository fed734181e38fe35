//! Which objects of a page differ from our rows: one query a page. It only finds them; what exactly differs
//! [`mod@super::repair`] says, by writing them.

use std::collections::HashMap;

use recoup::events::reading::{Family, Reading};
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, PgConnection, Row};
use time::OffsetDateTime;

/// What an object lacks here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    /// Its own row is as it should be; something that follows from it is not.
    Consequence,
    /// Its own row, its items or its lines differ.
    Different,
    /// The same, and its row says that it was made at another time.
    Elsewhere,
    /// It has no row.
    Missing,
}

/// Compares a page; gives what differs, by id.
///
/// # Errors
/// Postgres' own.
pub async fn compare(
    connection: &mut PgConnection,
    family: Family,
    readings: &[Reading<'_>],
    now: OffsetDateTime,
) -> Result<HashMap<String, Lack>, sqlx::Error> {
    let (mut rows, mut parts, mut entries) = (Vec::new(), Vec::new(), Vec::new());
    for reading in readings {
        let row = reading.row(now);
        rows.push(row.columns);
        parts.extend(row.parts.into_iter().map(|part| owned(part, &reading.id)));
        entries.extend(row.entries.into_iter().map(|entry| owned(entry, &reading.id)));
    }
    let found = sqlx::query(AssertSqlSafe(query(family)))
        .bind(Json(rows))
        .bind(Json(parts))
        .bind(Json(entries))
        .fetch_all(connection)
        .await?;
    let mut lacking = HashMap::new();
    for row in found {
        let id: String = row.try_get("id")?;
        let lack = match row.try_get("lack")? {
            "missing" => Lack::Missing,
            "elsewhere" => Lack::Elsewhere,
            "different" => Lack::Different,
            _ => Lack::Consequence,
        };
        let worst = lacking.entry(id).or_insert(lack);
        *worst = lack.max(*worst);
    }
    Ok(lacking)
}

fn owned(mut part: Value, owner: &str) -> Value {
    part["owner"] = owner.into();
    part
}

/// How the columns of a family are compared.
struct Columns {
    /// They are as the object says.
    same: &'static [&'static str],
    /// They are as the object says where it says anything: other events of its may say more.
    said: &'static [&'static str],
    /// They are known where the object says that there is something to know.
    known: &'static [&'static str],
}

fn columns(family: Family) -> Columns {
    let of = |same, said, known| Columns { same, said, known };
    match family {
        Family::Account => of(
            &[
                "type",
                "country",
                "default_currency",
                "charges_enabled",
                "payouts_enabled",
                "details_submitted",
                "disabled_reason",
                "currently_due",
                "created_at",
            ],
            &[],
            &[],
        ),
        Family::Product | Family::Price => of(
            &[
                "object",
                "product_id",
                "name",
                "active",
                "unit_amount",
                "currency",
                "grants_kind",
                "grants_ref",
                "grants_quantity",
                "deleted_at",
            ],
            &[],
            &[],
        ),
        Family::Customer => of(&["email", "name", "deleted_at"], &["created_at"], &[]),
        Family::PaymentIntent => of(
            &["customer_id", "status", "amount", "amount_received", "currency", "failure_code", "created_at"],
            &[],
            &[],
        ),
        Family::Charge => of(
            &[
                "payment_id",
                "customer_id",
                "status",
                "amount",
                "amount_captured",
                "amount_refunded",
                "currency",
                "failure_code",
                "balance_transaction",
                "created_at",
            ],
            &[],
            &[],
        ),
        Family::Refund => of(
            &["status", "amount", "currency", "reason", "failure_reason", "created_at", "moves_money"],
            &["charge_id", "payment_id"],
            &[],
        ),
        Family::Dispute => of(
            &["charge_id", "status", "amount", "currency", "reason", "evidence_due_by", "created_at"],
            &["payment_id"],
            &["lost_at"],
        ),
        Family::Subscription => of(
            &[
                "customer_id",
                "status",
                "currency",
                "collection_method",
                "cancel_at_period_end",
                "cancel_at",
                "canceled_at",
                "paused_until",
                "trial_end",
                "started_at",
                "items_complete",
                "created_at",
            ],
            &["ended_at"],
            &[],
        ),
        Family::Invoice => of(
            &[
                "customer_id",
                "subscription_id",
                "status",
                "number",
                "billing_reason",
                "collection_method",
                "currency",
                "amount_due",
                "amount_paid",
                "total",
                "attempt_count",
                "next_payment_attempt",
                "due_at",
                "finalized_at",
                "lines_complete",
                "created_at",
            ],
            &["payment_id", "paid_out_of_band", "paid_at"],
            &["collected_at"],
        ),
        Family::InvoicePayment => of(
            &["invoice_id", "payment_id", "charge_id", "status", "amount_paid", "currency", "paid_at"],
            &[],
            &[],
        ),
        Family::CheckoutSession => of(
            &["status", "mode", "currency", "amount_subtotal", "amount_total", "client_reference_id"],
            &["customer_id", "payment_id"],
            &["paid_at"],
        ),
        Family::Payout => of(
            &[
                "status",
                "amount",
                "currency",
                "automatic",
                "method",
                "arrival_date",
                "balance_transaction",
                "failure_balance_transaction",
                "failure_code",
                "reconciliation_status",
                "created_at",
            ],
            &[],
            &[],
        ),
    }
}

/// The columns of a family's parts, and the query's own CTEs `child` (ids whose items or lines differ) and `derived` (ids
/// from which something does not follow).
fn parts(family: Family) -> (&'static str, &'static [&'static str]) {
    match family {
        Family::Subscription => (
            "id text, price_id text, product_id text, quantity bigint, current_period_start timestamptz,
             current_period_end timestamptz",
            &[include_str!("sql/subscription.sql")],
        ),
        Family::Invoice => (
            "position integer, id text, subscription_id text, price_id text, product_id text, quantity bigint,
             amount bigint, period_start timestamptz, period_end timestamptz",
            &[include_str!("sql/invoice.sql")],
        ),
        Family::InvoicePayment => {
            ("invoice_id text, payment_id text", &[include_str!("sql/invoice_payment.sql")])
        }
        Family::CheckoutSession => {
            ("lines bigint, more boolean, said jsonb, billed_as text", &[include_str!("sql/checkout_session.sql")])
        }
        Family::Product | Family::Price => ("id text", &[include_str!("sql/catalog_item.sql")]),
        Family::Refund => ("id text", &[include_str!("sql/refund.sql"), include_str!("sql/taken_back.sql")]),
        Family::Dispute => ("id text", &[include_str!("sql/dispute.sql"), include_str!("sql/taken_back.sql")]),
        _ => ("id text", &[]),
    }
}

/// The whole query of a family.
fn query(family: Family) -> String {
    let table = family.table();
    let Columns { same, said, known } = columns(family);
    let list = |columns: &[&str], of: &str| {
        let named: Vec<String> = columns.iter().map(|column| format!("{of}.{column}")).collect();
        named.join(", ")
    };
    let mut differs =
        vec![format!("row ({}) is distinct from row ({})", list(same, "kept"), list(same, "expected"))];
    differs.extend(said.iter().map(|column| format!("kept.{column} <> expected.{column}")));
    // A row that is there and does not say it.
    differs.extend(
        said.iter()
            .chain(known)
            .map(|column| format!("(kept.{column} is null and expected.{column} is not null)")),
    );
    let dated = same.iter().chain(said).any(|column| *column == "created_at");
    let elsewhere = if dated { "kept.created_at <> expected.created_at" } else { "false" };
    let (part, own) = parts(family);
    let own: String = own.concat();
    let mut found = vec![
        "select id, lack from own".to_owned(),
        "select owner, 'consequence' from entry
         left join recoup.ledger_entries as kept on kept.source_id = entry.source_id and kept.kind = entry.kind
         where (kept.amount, kept.currency) is distinct from (entry.amount, entry.currency)"
            .to_owned(),
    ];
    for (cte, lack) in [("child", "different"), ("derived", "consequence")] {
        if own.contains(&format!(", {cte} as (")) {
            found.push(format!("select id, '{lack}' from {cte}"));
        }
    }
    format!(
        "with expected as materialized (
            select * from jsonb_populate_recordset(null::recoup.{table}, $1)
        )
        , part as materialized (
            select * from jsonb_to_recordset($2) as part (owner text, {part})
        )
        , entry as materialized (
            select * from jsonb_to_recordset($3)
                as entry (owner text, source_id text, kind text, amount bigint, currency text)
        )
        , own as (
            select
                expected.id,
                case
                    when kept.event_id is null then 'missing'
                    when {elsewhere} then 'elsewhere'
                    else 'different'
                end as lack
            from expected
            left join recoup.{table} as kept on kept.id = expected.id
            where kept.event_id is null or {}
        )
        {own}
        {}",
        differs.join(" or "),
        found.join(" union all ")
    )
}
