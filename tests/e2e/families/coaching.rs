//! Coaching: a row a session, from the order's own word or from the catalogue, whenever that learns of it.

use serde_json::{Value, json};

use super::history::{START, deliver, event, forget, row, rows, same_rows_in_any_order, stack};
use crate::http::Http;

const SESSIONS: &str = "select concat_ws(' ', order_id, position, session, customer_id, coaching,
    case when revoked_at is not null then 'revoked' end) from recoup.coaching_sessions order by session";

fn bought(items: &str) -> Value {
    let session = json!({
        "id": "cs_1", "object": "checkout.session", "payment_status": "paid", "mode": "payment",
        "currency": "eur", "amount_total": 9_000, "payment_intent": "pi_1", "created": START - 60,
        "customer": "cus_1", "metadata": {"recoup_items": items},
    });
    event("evt_bought", "checkout.session.completed", 0, session)
}

fn refunded() -> Value {
    let refund = json!({
        "id": "re_1", "object": "refund", "amount": 9_000, "charge": "ch_1", "created": START + 50,
        "currency": "eur", "payment_intent": "pi_1", "reason": null, "status": "succeeded",
    });
    event("evt_refunded", "refund.created", 50, refund)
}

#[tokio::test]
async fn each_session_is_a_row() {
    let (stack, http) = (stack().await, Http::new());
    let items = r#"[{"kind":"coaching","ref":"code-review","quantity":3}]"#;
    same_rows_in_any_order(&stack, &http, &[bought(items)]).await;
    let expected = ["cs_1 1 1 cus_1 code-review", "cs_1 1 2 cus_1 code-review", "cs_1 1 3 cus_1 code-review"];
    assert_eq!(rows(&stack, SESSIONS).await, expected);
    same_rows_in_any_order(&stack, &http, &[bought(items), refunded()]).await;
    assert_eq!(rows(&stack, SESSIONS).await, expected.map(|row| format!("{row} revoked")));

    let too_many = r#"[{"kind":"coaching","ref":"code-review","quantity":5000}]"#;
    forget(&stack).await;
    assert_eq!(deliver(&stack, &http, &bought(too_many)).await, "failed");
    assert_eq!(
        row(&stack, "select last_error from recoup.webhook_events").await,
        "the rows refuse it: constraint coaching_sessions_bound"
    );
}

/// A plan on an order's line grants nothing there: its invoices do.
#[tokio::test]
async fn a_plan_in_an_order_is_left_to_its_invoices() {
    let (stack, http) = (stack().await, Http::new());
    let items = r#"[{"kind":"plan","ref":"pro"},{"kind":"coaching","ref":"code-review"}]"#;
    same_rows_in_any_order(&stack, &http, &[bought(items)]).await;
    assert_eq!(rows(&stack, SESSIONS).await, ["cs_1 2 1 cus_1 code-review"]);
    let kinds = "select grants_kind from recoup.order_items order by position";
    assert_eq!(rows(&stack, kinds).await, ["plan", "coaching"]);
}
