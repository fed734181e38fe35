//! Subscriptions: trial, renewal, failed payments, pause, end.

use serde_json::{Value, json};

use super::api::{Api, id, ids};

const DAY: i64 = 24 * 3600;
/// 2026-01-31, 10:00: the end of the next month is not on a 31st.
const START: i64 = 1_769_853_600;

/// A monthly price of 15.00.
async fn plan(api: &Api) -> String {
    let product = id(&api.make("/v1/products", "name=Plan").await);
    let form = format!("product={product}&currency=usd&unit_amount=1500&recurring[interval]=month");
    id(&api.make("/v1/prices", &form).await)
}

async fn customer(api: &Api, method: &str) -> String {
    let form = format!("payment_method={method}&invoice_settings[default_payment_method]={method}");
    id(&api.make("/v1/customers", if method.is_empty() { "" } else { &form }).await)
}

async fn subscribe(api: &Api, customer: &str, price: &str, more: &str) -> Value {
    let form = format!("customer={customer}&items[0][price]={price}&items[0][quantity]=2{more}");
    api.make("/v1/subscriptions", &form).await
}

/// The types of events since the first `seen`, of the families that are about subscriptions and their invoices.
fn told(api: &Api, seen: usize) -> Vec<String> {
    let about = ["customer.subscription.", "invoice"];
    let mut types = api.stripe.event_types().split_off(seen);
    types.retain(|kind| about.iter().any(|prefix| kind.starts_with(prefix)));
    types
}

/// The latest event of a type.
fn latest(api: &Api, kind: &str) -> Value {
    let event = api.stripe.events().into_iter().rfind(|event| event["type"] == kind);
    event.unwrap_or_else(|| panic!("no {kind}"))["data"].clone()
}

#[tokio::test]
async fn a_first_payment_makes_it_active_and_time_renews_it() {
    let api = Api::start().await;
    api.stripe.set_clock(START);
    let (price, buyer) = (plan(&api).await, customer(&api, "pm_card_visa").await);
    let seen = api.stripe.event_count();
    let subscription = subscribe(&api, &buyer, &price, "").await;
    assert_eq!(subscription["status"], "active");
    assert_eq!(
        told(&api, seen),
        [
            "invoice.created",
            "customer.subscription.created",
            "invoice.finalized",
            "invoice_payment.paid",
            "invoice.paid",
            "invoice.payment_succeeded",
            "customer.subscription.updated",
        ]
    );
    assert_eq!(latest(&api, "customer.subscription.created")["object"]["status"], "incomplete");
    assert_eq!(
        latest(&api, "customer.subscription.updated")["previous_attributes"],
        json!({ "status": "incomplete" })
    );
    let item = &subscription["items"]["data"][0];
    let february = 1_772_272_800; // 2026-02-28, 10:00
    assert_eq!(
        (&item["current_period_start"], &item["current_period_end"]),
        (&json!(START), &json!(february))
    );
    let invoice =
        api.read(&format!("/v1/invoices/{}", subscription["latest_invoice"].as_str().unwrap()), "").await;
    assert_eq!(
        (&invoice["status"], &invoice["amount_paid"], &invoice["billing_reason"]),
        (&json!("paid"), &json!(3000), &json!("subscription_create"))
    );
    assert_eq!(invoice["lines"]["data"][0]["pricing"]["price_details"]["price"], price);
    assert_eq!(invoice["lines"]["data"][0]["period"], json!({ "end": february, "start": START }));

    let seen = api.stripe.event_count();
    api.stripe.set_clock(february + 3600);
    assert_eq!(
        told(&api, seen),
        [
            "invoice.created",
            "customer.subscription.updated",
            "invoice.finalized",
            "invoice_payment.paid",
            "invoice.paid",
            "invoice.payment_succeeded",
        ]
    );
    let events = api.stripe.events();
    let renewal = events.iter().rfind(|event| event["type"] == "customer.subscription.updated").unwrap();
    assert_eq!(renewal["created"], february, "dated by when it was due, not by when the clock was moved");
    let renewed = api.read(&format!("/v1/subscriptions/{}", id(&subscription)), "").await;
    let march = 1_774_951_200; // 2026-03-31, 10:00: the 31st is back
    assert_eq!(renewed["items"]["data"][0]["current_period_end"], march);

    let cancel =
        api.make(&format!("/v1/subscriptions/{}", id(&subscription)), "cancel_at_period_end=true").await;
    assert_eq!((&cancel["status"], &cancel["cancel_at"]), (&json!("active"), &json!(march)));
    api.stripe.set_clock(march + DAY);
    assert_eq!(api.stripe.event_types().last().unwrap(), "customer.subscription.deleted");
    let ended = latest(&api, "customer.subscription.deleted")["object"].clone();
    assert_eq!((&ended["status"], &ended["ended_at"]), (&json!("canceled"), &json!(march)));
}

#[tokio::test]
async fn a_card_that_fails_later_makes_it_past_due_and_ends_it() {
    let api = Api::start().await;
    api.stripe.set_clock(START);
    let (price, buyer) = (plan(&api).await, customer(&api, "pm_card_visa").await);
    let subscription = id(&subscribe(&api, &buyer, &price, "").await);
    let bad =
        api.make("/v1/payment_methods/pm_card_chargeCustomerFail/attach", &format!("customer={buyer}")).await;
    let form = format!("default_payment_method={}", id(&bad));
    api.make(&format!("/v1/subscriptions/{subscription}"), &form).await;

    api.stripe.advance_clock(29 * DAY);
    let late = api.read(&format!("/v1/subscriptions/{subscription}"), "expand[]=latest_invoice").await;
    assert_eq!(late["status"], "past_due");
    let invoice = &late["latest_invoice"];
    assert_eq!((&invoice["status"], &invoice["attempt_count"]), (&json!("open"), &json!(1)));
    let next = invoice["next_payment_attempt"].as_i64().unwrap();

    api.stripe.set_clock(next);
    let invoice = api.read(&format!("/v1/invoices/{}", id(invoice)), "").await;
    assert_eq!(invoice["attempt_count"], 2);
    api.stripe.advance_clock(20 * DAY);
    let failed = api.stripe.event_types().iter().filter(|kind| *kind == "invoice.payment_failed").count();
    assert_eq!(failed, 4);
    let ended = latest(&api, "customer.subscription.deleted")["object"].clone();
    assert_eq!(ended["cancellation_details"]["reason"], "payment_failed");
}

#[tokio::test]
async fn a_first_payment_that_fails_leaves_it_incomplete_until_it_expires() {
    let api = Api::start().await;
    api.stripe.set_clock(START);
    let (price, buyer) = (plan(&api).await, customer(&api, "").await);
    let form = format!("customer={buyer}&items[0][price]={price}");
    let refused = api.post("/v1/subscriptions", &form).await;
    assert_eq!((refused.status, refused.error().1), (400, "resource_missing"), "nothing can pay it");
    let bad =
        api.make("/v1/payment_methods/pm_card_chargeCustomerFail/attach", &format!("customer={buyer}")).await;
    let form = format!("{form}&default_payment_method={}", id(&bad));
    let strict = api.post("/v1/subscriptions", &format!("{form}&payment_behavior=error_if_incomplete")).await;
    assert_eq!((strict.status, strict.error().1), (402, "card_declined"));
    assert_eq!(
        ids(&api.read("/v1/subscriptions", "status=all").await),
        [""; 0],
        "and it left nothing behind"
    );

    let subscription = api.make("/v1/subscriptions", &form).await;
    assert_eq!(subscription["status"], "incomplete");
    assert!(told(&api, 0).contains(&"invoice.payment_failed".to_owned()));
    // Another card, before the day is over.
    let good = api.make("/v1/payment_methods/pm_card_visa/attach", &format!("customer={buyer}")).await;
    let invoice = subscription["latest_invoice"].as_str().unwrap();
    let paid =
        api.make(&format!("/v1/invoices/{invoice}/pay"), &format!("payment_method={}", id(&good))).await;
    assert_eq!((&paid["status"], &paid["attempt_count"]), (&json!("paid"), &json!(2)));
    assert_eq!(api.read(&format!("/v1/subscriptions/{}", id(&subscription)), "").await["status"], "active");

    let lost = api.make("/v1/subscriptions", &form).await;
    api.stripe.advance_clock(DAY);
    let lost = api.read(&format!("/v1/subscriptions/{}", id(&lost)), "expand[]=latest_invoice").await;
    assert_eq!(
        (&lost["status"], &lost["latest_invoice"]["status"]),
        (&json!("incomplete_expired"), &json!("void"))
    );
}

#[tokio::test]
async fn a_trial_is_free_warned_of_and_pauses_without_a_card() {
    let api = Api::start().await;
    api.stripe.set_clock(START);
    let (price, buyer) = (plan(&api).await, customer(&api, "").await);
    let more = "&trial_period_days=7&trial_settings[end_behavior][missing_payment_method]=pause";
    let trial = subscribe(&api, &buyer, &price, more).await;
    assert_eq!((&trial["status"], &trial["trial_end"]), (&json!("trialing"), &json!(START + 7 * DAY)));
    let invoice = api.read(&format!("/v1/invoices/{}", trial["latest_invoice"].as_str().unwrap()), "").await;
    assert_eq!((&invoice["status"], &invoice["total"]), (&json!("paid"), &json!(0)));
    let has = |kind: &str| api.stripe.event_types().iter().any(|told| told == kind);
    assert!(!has("customer.subscription.trial_will_end"));
    api.stripe.set_clock(START + 4 * DAY);
    assert!(has("customer.subscription.trial_will_end"), "three days before");
    api.stripe.set_clock(START + 7 * DAY);
    assert_eq!(latest(&api, "customer.subscription.paused")["object"]["status"], "paused");

    let subscription = id(&trial);
    let good = api.make("/v1/payment_methods/pm_card_visa/attach", &format!("customer={buyer}")).await;
    let form = format!("default_payment_method={}", id(&good));
    api.make(&format!("/v1/subscriptions/{subscription}"), &form).await;
    let resumed = api.make(&format!("/v1/subscriptions/{subscription}/resume"), "").await;
    assert_eq!(resumed["status"], "active");
    assert_eq!(api.stripe.event_types().last().unwrap(), "customer.subscription.resumed");
    assert_eq!(resumed["items"]["data"][0]["current_period_start"], START + 7 * DAY);
    let twice = api.post(&format!("/v1/subscriptions/{subscription}/resume"), "").await;
    assert_eq!(twice.status, 400);
}

#[tokio::test]
async fn collection_can_pause_and_items_change() {
    let api = Api::start().await;
    api.stripe.set_clock(START);
    let (price, other) = (plan(&api).await, plan(&api).await);
    let buyer = customer(&api, "pm_card_visa").await;
    let subscription = subscribe(&api, &buyer, &price, "").await;
    let path = format!("/v1/subscriptions/{}", id(&subscription));
    api.make(&path, "pause_collection[behavior]=void").await;
    api.stripe.advance_clock(29 * DAY);
    let paused = api.read(&path, "expand[]=latest_invoice").await;
    assert_eq!((&paused["status"], &paused["latest_invoice"]["status"]), (&json!("active"), &json!("void")));
    api.make(&path, "pause_collection=").await;
    assert_eq!(
        latest(&api, "customer.subscription.updated")["previous_attributes"]["pause_collection"],
        json!({ "behavior": "void", "resumes_at": null })
    );

    let item = id(&subscription["items"]["data"][0]);
    let change = format!("items[0][id]={item}&items[0][quantity]=5&items[1][price]={other}");
    let prorated = api.post(&path, &change).await;
    assert_eq!(prorated.error().1, "not_simulated", "what it cannot do it says");
    let changed = api.make(&path, &format!("{change}&proration_behavior=none")).await;
    assert_eq!(changed["items"]["data"][0]["quantity"], 5);
    let listed = api.read("/v1/subscription_items", &format!("subscription={}&limit=1", id(&changed))).await;
    assert_eq!((ids(&listed), &listed["has_more"]), (vec![item.clone()], &json!(true)));
    assert_eq!(api.read(&format!("/v1/subscription_items/{item}"), "").await["subscription"], changed["id"]);

    let gone = api.delete(&path).await;
    assert_eq!((gone.status, &gone.json["status"]), (200, &json!("canceled")));
    assert_eq!(api.delete(&path).await.error().1, "resource_missing");
}

#[tokio::test]
async fn lists_filter_by_customer_price_and_status() {
    let api = Api::start().await;
    let price = plan(&api).await;
    let mut made = Vec::new();
    for second in 0..3 {
        api.stripe.set_clock(START + second);
        let buyer = customer(&api, "pm_card_visa").await;
        made.push((id(&subscribe(&api, &buyer, &price, "").await), buyer));
    }
    api.delete(&format!("/v1/subscriptions/{}", made[1].0)).await;
    let list = async |form: &str| ids(&api.read("/v1/subscriptions", form).await);
    assert_eq!(list("").await, [made[2].0.clone(), made[0].0.clone()], "those that ended are left out");
    assert_eq!(list("status=all").await.len(), 3);
    assert_eq!(list("status=canceled").await, [made[1].0.clone()]);
    assert_eq!(list("status=ended").await, [made[1].0.clone()]);
    assert_eq!(list(&format!("customer={}", made[0].1)).await, [made[0].0.clone()]);
    assert_eq!(list(&format!("price={price}&created[gte]={}", START + 2)).await, [made[2].0.clone()]);
    assert_eq!(list(&format!("starting_after={}", made[2].0)).await, [made[0].0.clone()]);
    assert_eq!(api.get("/v1/subscriptions", "status=gone").await.status, 400);
    let expanded = api.read(&format!("/v1/customers/{}", made[0].1), "expand[]=subscriptions").await;
    assert_eq!(ids(&expanded["subscriptions"]), [made[0].0.clone()]);
    let deep = "expand[]=data.latest_invoice&expand[]=data.customer&expand[]=data.items.data.price.product";
    let deep = api.get("/v1/subscriptions", deep).await;
    assert_eq!(deep.status, 400, "Stripe expands four levels");
    let deep = api.read("/v1/subscriptions", "expand[]=data.latest_invoice&expand[]=data.customer").await;
    assert_eq!(deep["data"][0]["latest_invoice"]["status"], "paid");
}
