//! Checkout sessions that sell a subscription with other things beside it: the payment is the first invoice's.

use serde_json::{Value, json};

use super::history::{
    START, apply, event, fixture, forget, grants, purchase, row, rows, same_rows_in_any_order, stack,
};
use crate::http::Http;

const ORDER: &str = "select concat_ws(' ', id, payment_id, status, amount_total) from recoup.orders";

/// A course, a coaching session, two seats and five credits, beside the subscription `sub_1`: 20.00 in all, which
/// its first invoice `in_1` bills. Sessions name that invoice since 2022-11.
fn session(year: &str) -> Value {
    let mut bought = purchase().remove(1);
    let session = &mut bought["data"]["object"];
    session["mode"] = json!("subscription");
    session["payment_intent"] = Value::Null;
    session["amount_total"] = json!(2_000);
    session["subscription"] = json!("sub_1");
    if matches!(year, "2024" | "2026") {
        session["invoice"] = json!("in_1");
    }
    bought
}

fn refund(id: &str, seconds: i64, amount: i64, status: &str) -> Value {
    let refund = json!({
        "id": id, "object": "refund", "amount": amount, "charge": "ch_1", "created": START + 500,
        "currency": "eur", "payment_intent": "pi_1", "reason": null, "status": status,
    });
    event(&format!("evt_{id}_{status}"), "refund.updated", seconds, refund)
}

/// The next period's invoice, paid by `pi_2`.
fn renewal(year: &str) -> Vec<Value> {
    let renewed = fixture("invoice", year).split_off(3).into_iter().map(|event| {
        let renewed =
            event.to_string().replace("in_1", "in_2").replace("pi_1", "pi_2").replace("inpay_1", "inpay_2");
        let mut renewed: Value = serde_json::from_str(&renewed).expect("json");
        renewed["id"] = json!(format!("{}_2", renewed["id"].as_str().expect("an id")));
        if renewed["data"]["object"]["object"] == "invoice" {
            renewed["data"]["object"]["billing_reason"] = json!("subscription_cycle");
        }
        renewed
    });
    renewed.collect()
}

#[tokio::test]
async fn a_full_refund_of_the_first_invoice_takes_back_all_that_the_session_sold() {
    let (stack, http) = (stack().await, Http::new());
    for year in ["2019", "2022", "2024", "2026"] {
        forget(&stack).await;
        apply(&stack, &http, &[session(year)]).await;
        assert_eq!(row(&stack, ORDER).await, "cs_1 paid 2000", "{year}");
        apply(&stack, &http, &fixture("invoice", year)).await;
        assert_eq!(row(&stack, ORDER).await, "cs_1 pi_1 paid 2000", "{year}");
        apply(&stack, &http, &renewal(year)).await;
        let of_renewal = refund("re_r", 10, 2_000, "succeeded").to_string().replace("pi_1", "pi_2");
        let of_renewal: Value = serde_json::from_str(&of_renewal.replace("ch_1", "ch_2")).expect("json");
        apply(&stack, &http, &[of_renewal]).await;
        assert_eq!(grants(&stack).await, (5, 0), "{year}: a renewal's refund is none of the session's");
        for (event, expected) in [
            (refund("re_1", 20, 1_999, "succeeded"), (5, 0)),
            (refund("re_2", 30, 1, "succeeded"), (0, 5)),
            (refund("re_2", 40, 1, "failed"), (5, 0)),
        ] {
            apply(&stack, &http, std::slice::from_ref(&event)).await;
            assert_eq!(grants(&stack).await, expected, "{year}: {event:#}");
        }
        apply(&stack, &http, &fixture("dispute-lost", "2026")).await;
        assert_eq!(grants(&stack).await, (0, 5), "{year}: a lost dispute does the same");
    }
}

#[tokio::test]
async fn a_session_its_invoice_and_its_refunds_end_in_the_same_rows_in_any_order() {
    let (stack, http) = (stack().await, Http::new());
    for (year, known_by) in [("2019", "sub_1"), ("2026", "in_1")] {
        let mut events = vec![
            session(year),
            refund("re_1", 20, 1_500, "succeeded"),
            refund("re_2", 30, 500, "succeeded"),
            refund("re_2", 40, 500, "failed"),
            refund("re_3", 50, 500, "succeeded"),
        ];
        // The last of them says what pays the invoice, in every year.
        events.extend(fixture("invoice", year).split_off(4));
        events.extend(renewal(year).split_off(1));
        same_rows_in_any_order(&stack, &http, &events).await;
        assert_eq!(grants(&stack).await, (0, 5), "{year}");
        let sessions = "select concat_ws(' ', id, order_id, payment_id) from recoup.invoice_orders
            where order_id is not null";
        assert_eq!(rows(&stack, sessions).await, [format!("{known_by} cs_1 pi_1")], "{year}");
    }
}
