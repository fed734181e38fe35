//! Subscriptions and their items.

use serde_json::{Value, json};

use super::history::{apply, deliver, fixture, forget, row, rows, same_rows_in_any_order, stack};
use crate::http::Http;

const SUBSCRIPTION: &str = "select concat_ws(' ', id, customer_id, status, cancel_at_period_end,
    extract(epoch from ended_at - created_at)::int, items_complete) from recoup.subscriptions";
const ITEMS: &str = "select concat_ws(' ', id, price_id, product_id, quantity,
    extract(epoch from current_period_start)::bigint,
    extract(day from current_period_end - current_period_start)::int) from recoup.subscription_items order by id";

#[tokio::test]
async fn a_subscription_is_the_same_in_the_shapes_of_every_year() {
    let (stack, http) = (stack().await, Http::new());
    for year in ["2019", "2022", "2024", "2026"] {
        let history = fixture("subscription", year);
        let expected = [
            "sub_1 cus_1 incomplete f t",
            "sub_1 cus_1 active f t",
            "sub_1 cus_1 active f t",
            "sub_1 cus_1 active t t",
            "sub_1 cus_1 canceled t 1000 t",
        ];
        forget(&stack).await;
        for (event, expected) in history.iter().zip(expected) {
            apply(&stack, &http, std::slice::from_ref(event)).await;
            assert_eq!(row(&stack, SUBSCRIPTION).await, expected, "{year}");
        }
        assert_eq!(rows(&stack, ITEMS).await, ["si_1 price_pro prod_pro 3 1790000000 30"], "{year}");
        same_rows_in_any_order(&stack, &http, &history).await;
        assert_eq!(row(&stack, SUBSCRIPTION).await, expected[4], "{year}");
    }
}

#[tokio::test]
async fn items_that_go_do_not_stay_and_a_pause_has_its_end() {
    let (stack, http) = (stack().await, Http::new());
    let changed = |place: usize, id: &str, seconds: i64, change: &dyn Fn(&mut Value)| {
        let mut event = fixture("subscription", "2026").remove(place);
        event["id"] = json!(id);
        event["created"] = json!(super::history::START + seconds);
        change(&mut event["data"]["object"]);
        event
    };
    let added = changed(1, "evt_added", 10, &|object| {
        let mut second = object["items"]["data"][0].clone();
        second["id"] = json!("si_2");
        second["quantity"] = Value::Null;
        object["items"]["data"].as_array_mut().expect("items").push(second);
    });
    let mut paused = changed(1, "evt_paused", 20, &|object| {
        object["items"]["data"][0]["id"] = json!("si_2");
        object["pause_collection"] = json!({"behavior": "void", "resumes_at": null});
    });
    paused["type"] = json!("customer.subscription.paused");
    let mut resumed = changed(1, "evt_resumed", 30, &|object| {
        object["items"]["data"][0]["id"] = json!("si_2");
    });
    resumed["type"] = json!("customer.subscription.resumed");
    let pause = "select concat_ws(' ', status, paused_until) from recoup.subscriptions";
    apply(&stack, &http, std::slice::from_ref(&added)).await;
    assert_eq!(rows(&stack, "select id from recoup.subscription_items order by id").await, ["si_1", "si_2"]);
    apply(&stack, &http, std::slice::from_ref(&paused)).await;
    assert_eq!(rows(&stack, "select id from recoup.subscription_items").await, ["si_2"]);
    assert_eq!(row(&stack, pause).await, "active infinity");
    apply(&stack, &http, std::slice::from_ref(&resumed)).await;
    assert_eq!(row(&stack, pause).await, "active");
    let mut ends = changed(1, "evt_trial", 40, &|object| object["trial_end"] = json!(1_790_009_000));
    ends["type"] = json!("customer.subscription.trial_will_end");
    let mut pending = changed(1, "evt_pending", 50, &|object| object["trial_end"] = json!(1_790_009_000));
    pending["type"] = json!("customer.subscription.pending_update_applied");
    same_rows_in_any_order(&stack, &http, &[added, paused, resumed, ends, pending]).await;
    assert_eq!(
        row(&stack, "select extract(epoch from trial_end)::text from recoup.subscriptions").await,
        "1790009000.000000"
    );
}

#[tokio::test]
async fn what_a_subscription_lacks_is_named() {
    let (stack, http) = (stack().await, Http::new());
    let lacking: [(&str, &str, &str); 4] = [
        ("/data/object", "customer", "data.object: missing field `customer`"),
        (
            "/data/object/items/data/0",
            "current_period_end",
            "data.object.items.data[0].current_period_end: missing",
        ),
        ("/data/object/items/data/0", "id", "data.object.items.data[0]: missing field `id`"),
        ("/data/object", "items", "data.object: missing field `items`"),
    ];
    for (parent, field, reason) in lacking {
        let mut event = fixture("subscription", "2026").remove(1);
        event.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object").remove(field);
        forget(&stack).await;
        assert_eq!(deliver(&stack, &http, &event).await, "failed");
        assert_eq!(row(&stack, "select last_error from recoup.webhook_events").await, reason);
    }
}
