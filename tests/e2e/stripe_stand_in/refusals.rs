//! What Stripe refuses, with its status, code, message and parameter.

use super::api::{Api, id};

#[tokio::test]
async fn keys_are_checked() {
    let api = Api::start().await;
    let none = api.send("GET", "/v1/customers", "", &[("Authorization", "")]).await;
    assert_eq!(none.status, 401);
    assert!(none.error().2.starts_with("You did not provide an API key."));
    let wrong = api.send("GET", "/v1/customers", "", &[("Authorization", "Bearer sk_test_wrong1234")]).await;
    assert_eq!((wrong.status, wrong.error().2), (401, "Invalid API Key provided: sk_test_*****1234"));
    assert!(wrong.header("request-id").is_some_and(|id| id.starts_with("req_")));

    let basic = {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(format!("{}:", api.stripe.api_key()))
    };
    assert_eq!(
        api.send("GET", "/v1/account", "", &[("Authorization", &format!("Basic {basic}"))]).await.status,
        200
    );

    let old = api.stripe.api_key();
    api.stripe.add_api_key("sk_test_new_key_of_the_shop");
    assert_eq!(
        api.send("GET", "/v1/account", "", &[("Authorization", "Bearer sk_test_new_key_of_the_shop")])
            .await
            .status,
        200
    );
    api.stripe.revoke_api_key(&old);
    let expired = api.send("GET", "/v1/account", "", &[("Authorization", &format!("Bearer {old}"))]).await;
    assert_eq!((expired.status, expired.error().1), (401, "api_key_expired"));
}

#[tokio::test]
async fn unknown_things_are_missing() {
    let api = Api::start().await;
    for (path, message, param) in [
        ("/v1/customers/cus_x", "No such customer: 'cus_x'", "id"),
        ("/v1/prices/price_x", "No such price: 'price_x'", "price"),
        ("/v1/payment_intents/pi_x", "No such payment_intent: 'pi_x'", "intent"),
        ("/v1/checkout/sessions/cs_x", "No such checkout.session: 'cs_x'", "session"),
        ("/v1/events/evt_x", "No such event: 'evt_x'", "id"),
    ] {
        assert_eq!(api.get(path, "").await.error(), (404, "resource_missing", message, param));
    }
    let unknown = api.get("/v1/nonsense", "").await;
    assert_eq!(unknown.status, 404);
    assert!(
        unknown.error().2.starts_with("Unrecognized request URL (GET: /v1/nonsense)."),
        "{}",
        unknown.text
    );
    let cursor = api.get("/v1/customers", "starting_after=cus_x").await;
    assert_eq!(cursor.error(), (400, "resource_missing", "No such customer: 'cus_x'", "starting_after"));
    let filter = api.get("/v1/charges", "customer=cus_x").await;
    assert_eq!(filter.error(), (400, "resource_missing", "No such customer: 'cus_x'", "customer"));
}

#[tokio::test]
async fn bad_parameters_are_named() {
    let api = Api::start().await;
    let product = id(&api.make("/v1/products", "name=Course").await);
    let price = format!("product={product}&currency=usd&unit_amount=");
    for (path, form, code, param) in [
        ("/v1/customers", "nonsense=1", "parameter_unknown", "nonsense"),
        ("/v1/customers", "email=nobody", "email_invalid", "email"),
        ("/v1/customers", "tax[ip_address]=1", "not_simulated", "tax"),
        ("/v1/customers", "name[a]=1", "parameter_invalid_string", "name"),
        ("/v1/products", "", "parameter_missing", "name"),
        ("/v1/products", "name=", "parameter_invalid_empty", "name"),
        ("/v1/prices", &format!("{price}ten"), "parameter_invalid_integer", "unit_amount"),
        ("/v1/prices", &format!("{price}-1"), "parameter_invalid_integer", "unit_amount"),
        ("/v1/prices", "currency=usd&unit_amount=1", "parameter_missing", "product"),
        ("/v1/prices", "product=prod_x&currency=usd&unit_amount=1", "resource_missing", "product"),
        ("/v1/prices", &format!("product={product}&currency=xyz&unit_amount=1"), "", "currency"),
        ("/v1/payment_intents", "currency=usd", "parameter_missing", "amount"),
        ("/v1/payment_intents", "amount=49&currency=usd", "amount_too_small", "amount"),
        ("/v1/payment_intents", "amount=100000000&currency=usd", "amount_too_large", "amount"),
        ("/v1/payment_intents", "amount=100&currency=usd&customer=cus_x", "resource_missing", "customer"),
        (
            "/v1/payment_intents",
            "amount=100&currency=usd&payment_method=pm_x",
            "resource_missing",
            "payment_method",
        ),
        ("/v1/webhook_endpoints", "url=nonsense&enabled_events[]=*", "url_invalid", "url"),
        ("/v1/webhook_endpoints", "url=http://x.example&enabled_events[]=Nonsense", "", "enabled_events"),
        ("/v1/refunds", "", "parameter_missing", "charge"),
    ] {
        let refused = api.post(path, form).await;
        let (status, found, _, named) = refused.error();
        assert_eq!((status, found, named), (400, code, param), "{path} {form}: {}", refused.text);
    }
    for limit in ["0", "101", "ten"] {
        let refused = api.get("/v1/customers", &format!("limit={limit}")).await;
        assert_eq!(refused.error().3, "limit", "{}", refused.text);
    }
    assert_eq!(api.get("/v1/customers", "created[since]=1").await.error().3, "created[since]");
    let json = api.send("POST", "/v1/customers", "{}", &[("Content-Type", "application/json")]).await;
    assert_eq!(json.status, 400);
    assert_eq!(api.send("GET", "/v1/account", "", &[("Stripe-Version", "yesterday")]).await.status, 400);
    assert_eq!(api.stripe.count("customer"), 0, "a refused request leaves nothing");
}

#[tokio::test]
async fn parameters_come_in_every_spelling() {
    let api = Api::start().await;
    let price = id(&api.course_price().await);
    let head = "mode=payment&success_url=https%3A%2F%2Fshop.example%2F%3Fa%3Db%26c";
    let carts = [
        format!(
            "&line_items[0][price]={price}&line_items[0][quantity]=1&line_items[1][price]={price}&line_items[1][quantity]=2"
        ),
        format!(
            "&line_items[][price]={price}&line_items[][quantity]=1&line_items[][price]={price}&line_items[][quantity]=2"
        ),
        format!(
            "&line_items%5B0%5D%5Bprice%5D={price}&line_items%5B0%5D%5Bquantity%5D=1&line_items%5B7%5D%5Bprice%5D={price}&line_items%5B7%5D%5Bquantity%5D=2"
        ),
    ];
    for cart in carts {
        let session = api.make("/v1/checkout/sessions", &format!("{head}{cart}&expand[]=line_items")).await;
        assert_eq!(session["success_url"], "https://shop.example/?a=b&c");
        let quantities: Vec<_> = session["line_items"]["data"]
            .as_array()
            .expect("data")
            .iter()
            .map(|item| item["quantity"].as_i64())
            .collect();
        assert_eq!(quantities, [Some(1), Some(2)], "{cart}");
    }
    let customer = api.make("/v1/customers", "name=Zo%C3%AB+Smith&metadata[a%20key]=%2B").await;
    assert_eq!((&customer["name"], &customer["metadata"]["a key"]), (&"Zo\u{eb} Smith".into(), &"+".into()));
    for broken in ["name=%zz", "name=%C3", "name[=x", "[name]=x", "metadata=a&metadata[b]=c"] {
        assert_eq!(api.post("/v1/customers", broken).await.status, 400, "{broken}");
    }
}

#[tokio::test]
async fn metadata_merges_and_is_bounded() {
    let api = Api::start().await;
    let customer = api.make("/v1/customers", "metadata[a]=1&metadata[b]=2").await;
    let path = format!("/v1/customers/{}", id(&customer));
    let merged = api.make(&path, "metadata[b]=&metadata[c]=3").await;
    assert_eq!(merged["metadata"], serde_json::json!({ "a": "1", "c": "3" }));
    let previous = &api.stripe.events()[1]["data"]["previous_attributes"];
    assert_eq!(*previous, serde_json::json!({ "metadata": { "b": "2", "c": null } }));
    assert_eq!(api.make(&path, "metadata=").await["metadata"], serde_json::json!({}));

    let events = api.stripe.event_count();
    api.make(&path, "metadata=").await;
    assert_eq!(api.stripe.event_count(), events, "an update that changes nothing tells nothing");
    let long = format!("metadata[{}]=1", "k".repeat(41));
    assert_eq!(api.post(&path, &long).await.status, 400);
    assert_eq!(api.post(&path, &format!("metadata[k]={}", "v".repeat(501))).await.status, 400);
    let many: String = (0..51).map(|n| format!("metadata[k{n}]=1&")).collect();
    assert_eq!(api.post(&path, &many).await.status, 400);
}

#[tokio::test]
async fn sessions_are_judged_when_made() {
    let api = Api::start().await;
    let price = id(&api.course_price().await);
    let customer = id(&api.make("/v1/customers", "email=a@example.com").await);
    let head = "success_url=https://shop.example";
    let item = format!("&line_items[0][price]={price}&line_items[0][quantity]=1");
    for (form, code, param) in [
        (format!("{head}&mode=payment"), "parameter_missing", "line_items"),
        (format!("mode=payment{item}"), "parameter_missing", "success_url"),
        (format!("{head}&mode=nonsense{item}"), "", "mode"),
        (format!("{head}&mode=subscription{item}"), "not_simulated", "mode"),
        (
            format!("{head}&mode=payment&line_items[0][price]=price_x&line_items[0][quantity]=1"),
            "resource_missing",
            "line_items[0][price]",
        ),
        (
            format!("{head}&mode=payment&line_items[0][price]={price}"),
            "parameter_missing",
            "line_items[0][quantity]",
        ),
        (
            format!("{head}&mode=payment{item}&line_items[0][colour]=red"),
            "parameter_unknown",
            "line_items[0][colour]",
        ),
        (format!("{head}&mode=payment{item}&customer=cus_x"), "resource_missing", "customer"),
        (
            format!("{head}&mode=payment{item}&customer={customer}&customer_email=b@example.com"),
            "",
            "customer",
        ),
        (format!("{head}&mode=payment{item}&expires_at=5"), "", "expires_at"),
        (
            format!("{head}&mode=payment{item}&payment_intent_data[nonsense]=5"),
            "parameter_unknown",
            "payment_intent_data[nonsense]",
        ),
    ] {
        let refused = api.post("/v1/checkout/sessions", &form).await;
        let (status, found, _, named) = refused.error();
        assert_eq!((status, found, named), (400, code, param), "{form}: {}", refused.text);
    }
    let missing = api
        .post(
            "/v1/checkout/sessions",
            &format!("{head}&mode=payment&line_items[0][price]=price_x&line_items[0][quantity]=1"),
        )
        .await;
    assert_eq!(missing.error().2, "No such price: 'price_x'");
    api.make(&format!("/v1/prices/{price}"), "active=false").await;
    let inactive = api.post("/v1/checkout/sessions", &format!("{head}&mode=payment{item}")).await;
    assert_eq!(inactive.error().2, "The price specified is inactive. This field only accepts active prices.");
    let product = api.stripe.object(&price).expect("it exists")["product"].clone();
    let refused = api.delete(&format!("/v1/products/{}", product.as_str().expect("an id"))).await;
    assert_eq!(refused.status, 400, "a product with prices cannot be deleted");
    assert_eq!(api.stripe.count("checkout.session"), 0);
}
