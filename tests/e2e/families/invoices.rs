//! Invoices, what pays them, and the plans that they grant.

use serde_json::{Value, json};

use super::history::{
    START, apply, charge, deliver, event, fixture, forget, row, rows, same_rows_in_any_order, stack,
};
use crate::http::Http;

/// Plans by line: what, how many, from when for how long (in days), and when it was taken back.
const PLANS: &str = "select concat_ws(' ', customer_id, plan, quantity, invoice_id,
    extract(epoch from starts_at)::bigint - 1790000000, extract(epoch from ends_at)::bigint - 1790000000,
    case when revoked_at is not null then 'revoked' end) from recoup.plan_grants order by starts_at, invoice_id, position";
const MONTH: i64 = 30 * 86_400;

/// The catalogue's entry: the product is the plan `pro`.
fn product() -> Value {
    let product = json!({
        "id": "prod_pro", "object": "product", "active": true, "name": "Pro",
        "metadata": {"recoup_kind": "plan", "recoup_ref": "pro"},
    });
    event("evt_prod_pro", "product.created", -900, product)
}

fn refund(amount: i64) -> Value {
    let refund = json!({
        "id": "re_1", "object": "refund", "amount": amount, "charge": "ch_1", "created": START + 500,
        "currency": "eur", "payment_intent": "pi_1", "reason": null, "status": "succeeded",
    });
    event("evt_refunded", "refund.created", 500, refund)
}

#[tokio::test]
async fn an_invoice_is_the_same_in_the_shapes_of_every_year() {
    let (stack, http) = (stack().await, Http::new());
    let invoice =
        "select concat_ws(' ', id, customer_id, subscription_id, status, number, amount_due, amount_paid,
            total, currency, attempt_count, extract(epoch from paid_at - created_at)::int,
            extract(epoch from collected_at - created_at)::int, lines_complete) from recoup.invoices";
    let lines =
        "select concat_ws(' ', invoice_id, position, id, subscription_id, price_id, product_id, quantity,
            amount, extract(day from period_end - period_start)::int) from recoup.invoice_lines";
    let payments = "select concat_ws(' ', coalesce(i.payment_id, p.payment_id)) from recoup.invoices as i
            left join recoup.invoice_payments as p on p.invoice_id = i.id";
    for year in ["2019", "2022", "2024", "2026"] {
        let history = fixture("invoice", year);
        let expected = [
            "in_1 cus_1 sub_1 draft 2000 0 2000 eur 0 t",
            "in_1 cus_1 sub_1 open A1-0001 2000 0 2000 eur 0 t",
            "in_1 cus_1 sub_1 open A1-0001 2000 0 2000 eur 1 t",
            "in_1 cus_1 sub_1 paid A1-0001 2000 2000 2000 eur 2 60 t",
            "in_1 cus_1 sub_1 paid A1-0001 2000 2000 2000 eur 2 60 60 t",
        ];
        forget(&stack).await;
        for (event, expected) in history.iter().zip(expected) {
            apply(&stack, &http, std::slice::from_ref(event)).await;
            assert_eq!(row(&stack, invoice).await, expected, "{year}");
        }
        apply(&stack, &http, &history[5..]).await;
        assert_eq!(rows(&stack, lines).await, ["in_1 1 il_1 sub_1 price_pro prod_pro 1 2000 30"], "{year}");
        assert_eq!(rows(&stack, payments).await, ["pi_1"], "{year}");
    }
}

#[tokio::test]
async fn invoices_end_in_the_same_rows_in_any_order() {
    let (stack, http) = (stack().await, Http::new());
    for year in ["2019", "2026"] {
        let mut events = fixture("invoice", year);
        let mut later = events[3].clone();
        later["id"] = json!("evt_in_later");
        later["type"] = json!("invoice.updated");
        later["created"] = json!(START + 5000);
        events.push(later);
        same_rows_in_any_order(&stack, &http, &events).await;
        assert_eq!(
            row(&stack, "select (collected_at = paid_at)::text from recoup.invoices").await,
            "true",
            "{year}"
        );
        events.extend([product(), charge(), refund(10_000)]);
        events.extend(fixture("subscription", year));
        same_rows_in_any_order(&stack, &http, &events).await;
        assert_eq!(rows(&stack, PLANS).await, ["cus_1 pro 1 in_1 0 1000 revoked"], "{year}");
    }
}

#[tokio::test]
async fn a_paid_invoice_grants_its_plan_until_the_period_ends() {
    let (stack, http) = (stack().await, Http::new());
    for year in ["2019", "2022", "2024", "2026"] {
        forget(&stack).await;
        let history = fixture("invoice", year);
        apply(&stack, &http, &[product()]).await;
        apply(&stack, &http, &history[..3]).await;
        assert_eq!(rows(&stack, PLANS).await, [""; 0], "an invoice that is not paid grants nothing");
        apply(&stack, &http, &history[3..]).await;
        assert_eq!(rows(&stack, PLANS).await, [format!("cus_1 pro 1 in_1 0 {MONTH}")], "{year}");
        let subscription = fixture("subscription", year);
        apply(&stack, &http, &subscription[..4]).await;
        assert_eq!(rows(&stack, PLANS).await, [format!("cus_1 pro 1 in_1 0 {MONTH}")], "{year}");
        apply(&stack, &http, &[refund(1_999)]).await;
        assert_eq!(rows(&stack, PLANS).await, [format!("cus_1 pro 1 in_1 0 {MONTH}")], "{year}");
        apply(&stack, &http, &subscription[4..]).await;
        assert_eq!(rows(&stack, PLANS).await, ["cus_1 pro 1 in_1 0 1000"], "{year}");
        let mut rest = refund(1);
        rest["id"] = json!("evt_rest");
        rest["data"]["object"]["id"] = json!("re_2");
        apply(&stack, &http, &[rest]).await;
        assert_eq!(rows(&stack, PLANS).await, ["cus_1 pro 1 in_1 0 1000 revoked"], "{year}");
    }
    let active = "select concat_ws(' ', customer_id, plan, quantity) from recoup.active_plans";
    assert_eq!(rows(&stack, active).await, [""; 0]);
    sqlx::query(
        "update recoup.invoice_lines set period_start = now() - interval '1 day', period_end = now() + interval '1 day'",
    )
    .execute(&stack.pool)
    .await
    .expect("moved");
    sqlx::query("truncate recoup.subscriptions, recoup.subscription_items, recoup.refunds")
        .execute(&stack.pool)
        .await
        .expect("no end");
    sqlx::query("update recoup.payments set amount_refunded = 0")
        .execute(&stack.pool)
        .await
        .expect("nothing back");
    assert_eq!(rows(&stack, active).await, ["cus_1 pro 1"]);
}

#[tokio::test]
async fn an_invoice_that_was_marked_as_paid_grants_without_having_been_collected() {
    let (stack, http) = (stack().await, Http::new());
    for year in ["2022", "2026"] {
        let mut history = fixture("invoice", year);
        let mut paid = history.remove(3);
        if year == "2022" {
            paid["data"]["object"]["paid_out_of_band"] = json!(true);
            paid["data"]["object"]["payment_intent"] = Value::Null;
        }
        forget(&stack).await;
        apply(&stack, &http, &[history.remove(1), paid, product()]).await;
        let invoice = "select concat_ws(' ', status, coalesce(paid_out_of_band::text, '?'), collected_at) from recoup.invoices";
        assert_eq!(row(&stack, invoice).await, if year == "2022" { "paid true" } else { "paid ?" });
        assert_eq!(rows(&stack, PLANS).await, [format!("cus_1 pro 1 in_1 0 {MONTH}")]);
        assert_eq!(row(&stack, "select count(*)::text from recoup.ledger_entries").await, "0");
    }
}

#[tokio::test]
async fn a_change_within_the_period_ends_the_old_plan_where_it_was_credited() {
    let (stack, http) = (stack().await, Http::new());
    let team = json!({
        "id": "price_team", "object": "price", "active": true, "product": "prod_team", "currency": "eur",
        "unit_amount": 6000, "metadata": {"recoup_kind": "plan", "recoup_ref": "team", "recoup_quantity": "5"},
    });
    let team = event("evt_team", "price.created", -900, team);
    let mut events = fixture("invoice", "2026");
    let mut upgrade = events[3].clone();
    upgrade["id"] = json!("evt_in_upgrade");
    upgrade["created"] = json!(START + 900);
    let invoice = &mut upgrade["data"]["object"];
    invoice["id"] = json!("in_2");
    let mut credit = invoice["lines"]["data"][0].clone();
    credit["amount"] = json!(-1500);
    credit["period"]["start"] = json!(START + 800);
    let mut rest = credit.clone();
    rest["amount"] = json!(4500);
    rest["pricing"]["price_details"] = json!({"price": "price_team", "product": "prod_team"});
    invoice["lines"]["data"] = json!([credit, rest]);
    events.extend([product(), team, upgrade]);
    same_rows_in_any_order(&stack, &http, &events).await;
    assert_eq!(
        rows(&stack, PLANS).await,
        ["cus_1 pro 1 in_1 0 800".to_owned(), format!("cus_1 team 5 in_2 800 {MONTH}")]
    );
}

#[tokio::test]
async fn what_was_given_up_or_is_not_yet_grants_nothing() {
    let (stack, http) = (stack().await, Http::new());
    let upcoming = event("evt_upcoming", "invoice.upcoming", 0, json!({"object": "invoice", "total": 2000}));
    assert_eq!(deliver(&stack, &http, &upcoming).await, "ignored");
    for (kind, status) in [
        ("invoice.voided", "void"),
        ("invoice.marked_uncollectible", "uncollectible"),
        ("invoice.deleted", "deleted"),
    ] {
        let mut events = fixture("invoice", "2026")[..3].to_vec();
        let mut last = events[2].clone();
        last["id"] = json!("evt_in_last");
        last["type"] = json!(kind);
        last["data"]["object"]["status"] = json!(if status == "deleted" { "draft" } else { status });
        events.extend([last, product()]);
        same_rows_in_any_order(&stack, &http, &events).await;
        assert_eq!(row(&stack, "select status from recoup.invoices").await, status);
        assert_eq!(rows(&stack, PLANS).await, [""; 0]);
    }
}

#[tokio::test]
async fn what_an_invoice_lacks_is_named() {
    let (stack, http) = (stack().await, Http::new());
    let lacking = [
        (3, "/data/object", "status", "data.object: missing field `status`"),
        (3, "/data/object", "amount_paid", "data.object: missing field `amount_paid`"),
        (3, "/data/object/lines/data/0", "period", "data.object.lines.data[0]: missing field `period`"),
        (5, "/data/object", "invoice", "data.object: missing field `invoice`"),
        (5, "/data/object", "payment", "data.object: missing field `payment`"),
    ];
    for (place, parent, field, reason) in lacking {
        let mut event = fixture("invoice", "2026").remove(place);
        event.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object").remove(field);
        forget(&stack).await;
        assert_eq!(deliver(&stack, &http, &event).await, "failed");
        assert_eq!(row(&stack, "select last_error from recoup.webhook_events").await, reason);
    }
}
