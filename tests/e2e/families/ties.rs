//! Two updates of one object in one second: what they changed says which came last; where it does not, the row is
//! marked, and is the same whatever came first.

use serde_json::{Value, json};

use super::history::{START, fixture, row, same_rows_in_any_order, stack};
use crate::http::Http;

/// The event at `place` of a fixture, then two updates in one second that set `field` to the second and the third
/// value. The ids run against the order of the updates.
fn updates(family: &str, place: usize, kind: &str, field: &str, values: [Value; 3]) -> Vec<Value> {
    let mut base = fixture(family, "2026").remove(place);
    base["data"]["object"][field] = values[0].clone();
    let update = |id: &str, before: &Value, after: &Value| {
        let mut event = base.clone();
        event["id"] = json!(id);
        event["type"] = json!(kind);
        event["created"] = json!(START + 700_000);
        event["data"]["object"][field] = after.clone();
        event["data"]["previous_attributes"] = json!({ field: before });
        event
    };
    let (second, third) = (update("evt_z", &values[0], &values[1]), update("evt_a", &values[1], &values[2]));
    vec![base, second, third]
}

#[tokio::test]
async fn what_changed_says_which_of_two_updates_of_one_second_was_the_last() {
    let (stack, http) = (stack().await, Http::new());
    let truth = [json!(false), json!(true), json!(false)];
    let cases = [
        (
            updates("subscription", 1, "customer.subscription.updated", "cancel_at_period_end", truth),
            "select concat_ws(' ', cancel_at_period_end, needs_refetch) from recoup.subscriptions",
            "f f",
        ),
        (
            updates("invoice", 1, "invoice.updated", "total", [json!(2000), json!(1800), json!(1500)]),
            "select concat_ws(' ', total, needs_refetch) from recoup.invoices",
            "1500 f",
        ),
        (
            updates("account", 1, "account.updated", "country", [json!("DE"), json!("FR"), json!("IT")]),
            "select concat_ws(' ', country, needs_refetch) from recoup.connected_accounts",
            "IT f",
        ),
        (
            updates(
                "payout",
                1,
                "payout.updated",
                "failure_code",
                [Value::Null, json!("declined"), json!("account_closed")],
            ),
            "select concat_ws(' ', failure_code, needs_refetch) from recoup.payouts",
            "account_closed f",
        ),
        (
            updates(
                "dispute-lost",
                2,
                "charge.dispute.updated",
                "reason",
                [json!("general"), json!("fraudulent"), json!("duplicate")],
            ),
            "select concat_ws(' ', reason, needs_refetch) from recoup.disputes",
            "duplicate f",
        ),
    ];
    for (events, query, expected) in cases {
        same_rows_in_any_order(&stack, &http, &events).await;
        assert_eq!(row(&stack, query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn what_nothing_tells_apart_is_marked() {
    let (stack, http) = (stack().await, Http::new());
    let cases = [
        ("subscription", "customer.subscription.updated", "collection_method", "subscriptions"),
        ("account", "account.updated", "country", "connected_accounts"),
        ("invoice", "invoice.updated", "number", "invoices"),
    ];
    for (family, kind, field, table) in cases {
        let mut events = updates(family, 1, kind, field, [json!("a"), json!("b"), json!("c")]);
        for event in &mut events[1..] {
            event["data"].as_object_mut().expect("data").remove("previous_attributes");
        }
        same_rows_in_any_order(&stack, &http, &events).await;
        let marked = format!("select needs_refetch::text from recoup.{table}");
        let marked: String =
            sqlx::query_scalar(sqlx::AssertSqlSafe(marked)).fetch_one(&stack.pool).await.expect("a row");
        assert_eq!(marked, "true", "{family}");
    }
}
