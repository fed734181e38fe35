//! Two updates of one object in one second: what they changed says which came last; where it does not, the row is
//! marked, and is the same whatever came first.

use recoup::events::retry;
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
        (
            "subscription",
            "customer.subscription.updated",
            "collection_method",
            "subscriptions",
            "subscriptions",
        ),
        ("account", "account.updated", "country", "connected_accounts", "accounts"),
        ("invoice", "invoice.updated", "number", "invoices", "invoices"),
        ("payout", "payout.updated", "failure_code", "payouts", "payouts"),
        ("dispute-lost", "charge.dispute.updated", "reason", "disputes", "disputes"),
    ];
    for (family, kind, field, table, path) in cases {
        let place = if family == "dispute-lost" { 2 } else { 1 };
        let mut events = updates(family, place, kind, field, [json!("a"), json!("b"), json!("c")]);
        for event in &mut events[1..] {
            event["data"].as_object_mut().expect("data").remove("previous_attributes");
        }
        same_rows_in_any_order(&stack, &http, &events).await;
        let state = format!("select concat_ws(' ', {field}, needs_refetch) from recoup.{table}");
        let state = || async {
            let query = sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(state.clone()));
            query.fetch_one(&stack.pool).await.expect("a row")
        };
        assert!(state().await.ends_with(" t"), "{family}");

        // What Stripe says of it, as the retry run asks.
        let mut object = events[2]["data"]["object"].clone();
        object[field] = json!("d");
        let mut connection = stack.pool.acquire().await.expect("a connection");
        let marked = retry::marked(&mut connection).await.expect("marked");
        assert_eq!(marked.len(), 1, "{family}");
        assert_eq!(marked[0].path(), format!("/v1/{}/{}", path, object["id"].as_str().expect("an id")));
        let body = serde_json::to_vec(&object).expect("json");
        retry::write_fetched(&mut connection, &marked[0], Some(&body)).await.expect("written");
        assert_eq!(state().await, "d f", "{family}");
    }
}
