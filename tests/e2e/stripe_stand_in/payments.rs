//! Checkout sessions and payment intents: what each step changes and tells.

use serde_json::json;
use stack::stripe::{Buyer, Outcome};

use super::api::{Api, id};

#[tokio::test]
async fn a_paid_checkout_tells_the_usual_events_in_order() {
    let api = Api::start().await;
    let price = api.course_price().await;
    let more = "&customer_creation=always&customer_email=ann@example.com&metadata[order]=7&client_reference_id=ref\
                &payment_intent_data[metadata][order]=7";
    let session = api.session(&price, 3, more).await;
    assert_eq!(
        (&session["amount_total"], &session["payment_status"], &session["status"]),
        (&json!(14700), &json!("unpaid"), &json!("open"))
    );
    assert_eq!((&session["customer"], &session["payment_intent"]), (&json!(null), &json!(null)));
    let before = api.stripe.event_count();

    let done = api.stripe.complete_checkout(&id(&session), Outcome::Paid).expect("it is open");
    assert_eq!(
        (&done["payment_status"], &done["status"], &done["url"]),
        (&json!("paid"), &json!("complete"), &json!(null))
    );
    assert_eq!(
        api.stripe.event_types()[before..],
        [
            "customer.created",
            "payment_intent.created",
            "charge.succeeded",
            "payment_intent.succeeded",
            "charge.updated",
            "checkout.session.completed",
        ]
    );
    let events = api.stripe.events();
    let charge = &events[before + 2]["data"]["object"];
    assert_eq!(charge["balance_transaction"], json!(null), "snapshots do not change with their objects");
    assert_eq!(events[before + 4]["data"]["previous_attributes"], json!({ "balance_transaction": null }));
    assert_eq!(events[before + 1]["data"]["object"]["status"], "requires_payment_method");
    assert_eq!(events[before + 3]["data"]["object"]["metadata"], json!({ "order": "7" }));
    let completed = &events[before + 5];
    assert_eq!(completed["data"]["object"], done);
    assert_eq!(completed["request"], json!({ "id": null, "idempotency_key": null }));
    assert_eq!(completed["api_version"], stack::stripe::API_VERSION);
    assert_eq!((&completed["livemode"], &completed["pending_webhooks"]), (&json!(false), &json!(0)));
    assert!(completed.get("account").is_none());
    assert_eq!(done["customer_details"]["email"], "ann@example.com");

    let transaction =
        &api.read("/v1/balance_transactions", &format!("source={}", id(charge))).await["data"][0];
    assert_eq!(
        (&transaction["amount"], &transaction["fee"], &transaction["net"]),
        (&json!(14700), &json!(456), &json!(14244))
    );
    assert_eq!(
        (&transaction["reporting_category"], &transaction["status"]),
        (&json!("charge"), &json!("pending"))
    );
    api.stripe.advance_clock(3 * 24 * 3600);
    let path = format!("/v1/balance_transactions/{}", id(transaction));
    assert_eq!(api.read(&path, "").await["status"], "available");

    let again = api.stripe.complete_checkout(&id(&session), Outcome::Paid).expect_err("it is complete");
    assert_eq!(again.status, 400);
}

#[tokio::test]
async fn guests_and_free_carts_make_neither_customer_nor_payment() {
    let api = Api::start().await;
    let price = api.course_price().await;
    let guest = api.session(&price, 1, "").await;
    let buyer = Buyer { email: Some("guest@example.com".into()), ..Buyer::default() };
    let done = api.stripe.complete_checkout_as(&id(&guest), Outcome::Paid, &buyer).expect("it is open");
    assert_eq!(
        (&done["customer"], &done["customer_details"]["email"]),
        (&json!(null), &json!("guest@example.com"))
    );
    assert_eq!(api.stripe.count("customer"), 0);

    let product = price["product"].as_str().expect("an id");
    let free = api.make("/v1/prices", &format!("product={product}&currency=usd&unit_amount=0")).await;
    let session = api.session(&free, 1, "").await;
    let done = api.stripe.complete_checkout(&id(&session), Outcome::Paid).expect("it is open");
    assert_eq!(
        (&done["payment_status"], &done["payment_intent"]),
        (&json!("no_payment_required"), &json!(null))
    );
    assert_eq!(api.stripe.event_types().last().map(String::as_str), Some("checkout.session.completed"));
}

#[tokio::test]
async fn a_delayed_payment_succeeds_or_fails_later() {
    let api = Api::start().await;
    let price = api.course_price().await;
    for (paid, expected, status) in [
        (
            true,
            vec![
                "charge.succeeded",
                "payment_intent.succeeded",
                "charge.updated",
                "checkout.session.async_payment_succeeded",
            ],
            "paid",
        ),
        (
            false,
            vec!["charge.failed", "payment_intent.payment_failed", "checkout.session.async_payment_failed"],
            "unpaid",
        ),
    ] {
        let session = id(&api.session(&price, 1, "").await);
        let before = api.stripe.event_count();
        let completed = api
            .make(&format!("/v1/test_helpers/checkout/sessions/{session}/complete"), "outcome=unpaid")
            .await;
        assert_eq!(completed["payment_status"], "unpaid");
        assert_eq!(
            api.stripe.event_types()[before..],
            [
                "payment_intent.created",
                "payment_intent.processing",
                "charge.pending",
                "checkout.session.completed"
            ]
        );
        let before = api.stripe.event_count();
        let outcome = if paid { "outcome=succeeded" } else { "outcome=failed" };
        let done =
            api.make(&format!("/v1/test_helpers/checkout/sessions/{session}/async_payment"), outcome).await;
        assert_eq!(done["payment_status"], status);
        assert_eq!(api.stripe.event_types()[before..], expected);
    }
    assert_eq!(api.stripe.count("balance_transaction"), 1, "a failed payment moves no money");
}

#[tokio::test]
async fn a_declined_buyer_may_try_again() {
    let api = Api::start().await;
    let session = id(&api.session(&api.course_price().await, 1, "").await);
    let path = format!("/v1/test_helpers/checkout/sessions/{session}/complete");
    let declined = api.post(&path, "payment_method=pm_card_chargeDeclined").await;
    assert_eq!(declined.error().1, "card_declined");
    assert_eq!(api.stripe.object(&session).expect("it exists")["status"], "open");
    let done = api.make(&path, "").await;
    assert_eq!(done["payment_status"], "paid");
    assert_eq!((api.stripe.count("payment_intent"), api.stripe.count("charge")), (1, 2));
}

#[tokio::test]
async fn sessions_expire_by_hand_and_by_time() {
    let api = Api::start().await;
    let price = api.course_price().await;
    let (first, second) = (id(&api.session(&price, 1, "").await), id(&api.session(&price, 1, "").await));
    let expired = api.make(&format!("/v1/checkout/sessions/{first}/expire"), "").await;
    assert_eq!(expired["status"], "expired");
    assert_eq!(api.post(&format!("/v1/checkout/sessions/{first}/expire"), "").await.status, 400);
    api.stripe.advance_clock(24 * 3600 + 1);
    assert_eq!(api.stripe.object(&second).expect("it exists")["status"], "expired");
    let told = api.stripe.event_types().iter().filter(|kind| *kind == "checkout.session.expired").count();
    assert_eq!(told, 2);
    let list = api.read("/v1/checkout/sessions", "status=expired").await;
    assert_eq!(list["data"].as_array().map(Vec::len), Some(2));
    assert!(api.stripe.complete_checkout(&second, Outcome::Paid).is_err());
}

#[tokio::test]
async fn carts_with_inline_prices() {
    let api = Api::start().await;
    let form = "mode=payment&success_url=https://shop.example&line_items[0][quantity]=2\
                &line_items[0][price_data][currency]=eur&line_items[0][price_data][unit_amount]=1500\
                &line_items[0][price_data][product_data][name]=Ticket\
                &line_items[0][price_data][product_data][metadata][recoup_kind]=ticket";
    let session =
        api.make("/v1/checkout/sessions", &format!("{form}&expand[]=line_items.data.price.product")).await;
    let item = &session["line_items"]["data"][0];
    assert_eq!(
        (&session["currency"], &session["amount_total"], &item["description"]),
        (&json!("eur"), &json!(3000), &json!("Ticket"))
    );
    assert_eq!(item["price"]["product"]["metadata"]["recoup_kind"], "ticket");
    assert_eq!(item["price"]["active"], false);
}

#[tokio::test]
async fn payment_intents_step_by_step() {
    let api = Api::start().await;
    let form = "amount=2000&currency=usd&capture_method=manual";
    let intent = api.make("/v1/payment_intents", form).await;
    assert_eq!(intent["status"], "requires_payment_method");
    let path = format!("/v1/payment_intents/{}", id(&intent));
    let declined =
        api.post(&format!("{path}/confirm"), "payment_method=pm_card_chargeDeclinedInsufficientFunds").await;
    assert_eq!((declined.status, declined.error().1), (402, "card_declined"));
    let error = &declined.json["error"];
    assert_eq!(
        (&error["type"], &error["decline_code"]),
        (&json!("card_error"), &json!("insufficient_funds"))
    );
    assert_eq!(error["payment_intent"]["status"], "requires_payment_method");
    assert_eq!(api.read(&path, "").await["last_payment_error"]["code"], "card_declined");

    let held = api.make(&format!("{path}/confirm"), "payment_method=pm_card_visa").await;
    assert_eq!((&held["status"], &held["amount_capturable"]), (&json!("requires_capture"), &json!(2000)));
    let too_much = api.post(&format!("{path}/capture"), "amount_to_capture=2001").await;
    assert_eq!(too_much.error().1, "amount_too_large");
    let captured = api.make(&format!("{path}/capture"), "amount_to_capture=1500").await;
    assert_eq!((&captured["status"], &captured["amount_received"]), (&json!("succeeded"), &json!(1500)));
    let cancel = api.post(&format!("{path}/cancel"), "").await;
    assert_eq!(cancel.error().1, "payment_intent_unexpected_state");
    assert_eq!(
        api.stripe.event_types(),
        [
            "payment_intent.created",
            "charge.failed",
            "payment_intent.payment_failed",
            "charge.succeeded",
            "payment_intent.amount_capturable_updated",
            "charge.captured",
            "payment_intent.succeeded",
            "charge.updated",
        ]
    );

    let other = api.make("/v1/payment_intents", form).await;
    let canceled = api
        .make(&format!("/v1/payment_intents/{}/cancel", id(&other)), "cancellation_reason=abandoned")
        .await;
    assert_eq!(
        (&canceled["status"], &canceled["cancellation_reason"]),
        (&json!("canceled"), &json!("abandoned"))
    );
    assert_eq!(
        api.post(&format!("/v1/payment_intents/{}/confirm", id(&other)), "payment_method=pm_card_visa")
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn requests_are_named_in_their_events() {
    let api = Api::start().await;
    let made = api.send("POST", "/v1/customers", "", &[("Idempotency-Key", "key-1")]).await;
    let event = &api.stripe.events()[0];
    assert_eq!(event["request"]["id"].as_str(), made.header("request-id"));
    assert_eq!(event["request"]["idempotency_key"], "key-1");
    assert_eq!(made.header("stripe-version"), Some(stack::stripe::API_VERSION));
    assert!(made.text.starts_with(r#"{"id":"cus_"#), "id and object lead: {}", made.text);
}
