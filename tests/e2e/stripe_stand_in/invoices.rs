//! Invoices: items, draft, open, paid, void, given up.

use serde_json::{Value, json};

use super::api::{Api, id, ids};

async fn draft(api: &Api, items: u32, more: &str) -> (String, Value) {
    let buyer = id(&api.make("/v1/customers", "email=a@example.com&name=Ann").await);
    for number in 1..=items {
        let form =
            format!("customer={buyer}&amount={}&currency=usd&description=Item {number}", number * 1000);
        api.make("/v1/invoiceitems", &form).await;
    }
    let form = format!("customer={buyer}&pending_invoice_items_behavior=include{more}");
    let invoice = api.make("/v1/invoices", &form).await;
    (buyer, invoice)
}

#[tokio::test]
async fn a_draft_takes_pending_items_and_follows_them() {
    let api = Api::start().await;
    let (buyer, invoice) = draft(&api, 2, "").await;
    assert_eq!(
        (&invoice["status"], &invoice["total"], &invoice["number"]),
        (&json!("draft"), &json!(3000), &Value::Null)
    );
    let listed = api.read("/v1/invoiceitems", &format!("invoice={}", id(&invoice))).await;
    assert_eq!(ids(&listed).len(), 2);
    assert_eq!(ids(&api.read("/v1/invoiceitems", "pending=true").await), [""; 0]);

    let path = format!("/v1/invoices/{}", id(&invoice));
    let form = format!("customer={buyer}&amount=500&currency=usd&invoice={}", id(&invoice));
    let added = id(&api.make("/v1/invoiceitems", &form).await);
    assert_eq!(api.read(&path, "").await["total"], 3500);
    let updated = api.stripe.events().pop().unwrap();
    assert_eq!(updated["type"], "invoice.updated");
    assert_eq!(updated["data"]["previous_attributes"]["total"], 3000);
    api.delete(&format!("/v1/invoiceitems/{added}")).await;
    assert_eq!(api.read(&path, "").await["total"], 3000);

    let gone = api.delete(&path).await;
    assert_eq!((gone.status, &gone.json["deleted"]), (200, &json!(true)));
    assert_eq!(api.stripe.event_types().pop().unwrap(), "invoice.deleted");
    let pending = api.read("/v1/invoiceitems", &format!("customer={buyer}&pending=true")).await;
    assert_eq!(ids(&pending).len(), 2, "its items wait for the next one");
}

#[tokio::test]
async fn an_open_invoice_is_paid_by_its_payment_intent() {
    let api = Api::start().await;
    let (buyer, invoice) = draft(&api, 1, "").await;
    let path = format!("/v1/invoices/{}", id(&invoice));
    let seen = api.stripe.event_count();
    let open = api.make(&format!("{path}/finalize"), "").await;
    assert_eq!((&open["status"], &open["amount_due"]), (&json!("open"), &json!(1000)));
    assert!(open["number"].as_str().unwrap().ends_with("-0001"));
    assert_eq!(api.post(&format!("{path}/finalize"), "").await.status, 400);
    assert_eq!(api.post(&format!("{path}/pay"), "").await.error().1, "resource_missing", "nobody has a card");

    let bad =
        api.make("/v1/payment_methods/pm_card_chargeCustomerFail/attach", &format!("customer={buyer}")).await;
    let declined = api.post(&format!("{path}/pay"), &format!("payment_method={}", id(&bad))).await;
    assert_eq!((declined.status, declined.error().1), (402, "card_declined"));
    let good = api.make("/v1/payment_methods/pm_card_visa/attach", &format!("customer={buyer}")).await;
    let paid = api.make(&format!("{path}/pay"), &format!("payment_method={}", id(&good))).await;
    assert_eq!(
        (&paid["status"], &paid["amount_paid"], &paid["amount_remaining"], &paid["attempt_count"]),
        (&json!("paid"), &json!(1000), &json!(0), &json!(2))
    );
    let mut told = api.stripe.event_types().split_off(seen);
    told.retain(|kind| kind.starts_with("invoice") || kind.starts_with("payment_intent."));
    assert_eq!(
        told,
        [
            "payment_intent.created",
            "invoice.finalized",
            "payment_intent.payment_failed",
            "invoice.payment_failed",
            "payment_intent.succeeded",
            "invoice_payment.paid",
            "invoice.paid",
            "invoice.payment_succeeded",
        ]
    );
    assert_eq!(api.post(&format!("{path}/pay"), "").await.error().1, "invoice_already_paid");

    let expanded = api.read(&path, "expand[]=payments.data.payment.payment_intent&expand[]=customer").await;
    let payment = &expanded["payments"]["data"][0];
    assert_eq!((&payment["status"], &payment["amount_paid"]), (&json!("paid"), &json!(1000)));
    assert_eq!(payment["payment"]["payment_intent"]["status"], "succeeded");
    assert_eq!(expanded["customer"]["name"], "Ann");
    let intent = id(&payment["payment"]["payment_intent"]);
    let form = format!("payment[type]=payment_intent&payment[payment_intent]={intent}");
    assert_eq!(ids(&api.read("/v1/invoice_payments", &form).await), [id(payment)]);
    let nothing = api.read("/v1/invoice_payments", &format!("invoice={}&status=open", id(&invoice))).await;
    assert_eq!(ids(&nothing), [""; 0]);
    assert_eq!(api.get("/v1/invoice_payments", "payment[nonsense]=1").await.error().1, "parameter_unknown");
}

#[tokio::test]
async fn a_bank_debit_pays_an_invoice_later() {
    let api = Api::start().await;
    api.stripe.set_clock(1_770_000_000);
    let (buyer, invoice) = draft(&api, 1, "").await;
    let debit = "type=sepa_debit&sepa_debit[iban]=AT611904300234573201&billing_details[email]=a@example.com";
    let debit = id(&api.make("/v1/payment_methods", debit).await);
    api.make(&format!("/v1/payment_methods/{debit}/attach"), &format!("customer={buyer}")).await;
    let path = format!("/v1/invoices/{}", id(&invoice));
    let under_way = api.make(&format!("{path}/pay"), &format!("payment_method={debit}")).await;
    assert_eq!(under_way["status"], "open");
    api.stripe.advance_clock(5);
    assert_eq!(api.read(&path, "").await["status"], "paid");
    assert_eq!(api.stripe.event_types().pop().unwrap(), "invoice.payment_succeeded");
    let wrong = "type=sepa_debit&sepa_debit[iban]=AT611904300234573202";
    assert_eq!(api.post("/v1/payment_methods", wrong).await.error().1, "invalid_bank_account_iban");
}

#[tokio::test]
async fn an_invoice_waits_for_its_buyer_where_the_bank_asks() {
    let api = Api::start().await;
    let (buyer, invoice) = draft(&api, 1, "").await;
    let card = "/v1/payment_methods/pm_card_threeDSecure2Required/attach";
    let card = id(&api.make(card, &format!("customer={buyer}")).await);
    let path = format!("/v1/invoices/{}", id(&invoice));
    let asked = api.post(&format!("{path}/pay"), &format!("payment_method={card}")).await;
    assert_eq!((asked.status, asked.error().1), (402, "invoice_payment_intent_requires_action"));
    assert_eq!(api.stripe.event_types().pop().unwrap(), "invoice.payment_action_required");
    let intent = id(&asked.json["error"]["payment_intent"]);
    api.make(&format!("/v1/test_helpers/payment_intents/{intent}/authenticate"), "outcome=succeeded").await;
    assert_eq!(api.read(&path, "").await["status"], "paid");
}

#[tokio::test]
async fn an_open_invoice_is_voided_given_up_or_paid_elsewhere() {
    let api = Api::start().await;
    let last = || api.stripe.event_types().pop().unwrap();
    let open = async || {
        let (_, invoice) = draft(&api, 1, "").await;
        let path = format!("/v1/invoices/{}", id(&invoice));
        api.make(&format!("{path}/finalize"), "").await;
        path
    };
    let path = open().await;
    assert_eq!(api.make(&format!("{path}/void"), "").await["status"], "void");
    assert_eq!(last(), "invoice.voided");
    assert!(api.stripe.event_types().contains(&"payment_intent.canceled".to_owned()));
    assert_eq!(api.post(&format!("{path}/pay"), "").await.status, 400);

    let path = open().await;
    assert_eq!(api.make(&format!("{path}/mark_uncollectible"), "").await["status"], "uncollectible");
    assert_eq!(last(), "invoice.marked_uncollectible");
    assert_eq!(api.make(&format!("{path}/pay"), "paid_out_of_band=true").await["status"], "paid");
    assert_eq!(last(), "invoice.paid", "no payment succeeded at Stripe");
    let expanded = api.read(&path, "expand[]=payments").await;
    assert_eq!(expanded["payments"]["data"][0]["status"], "canceled");
}

#[tokio::test]
async fn a_draft_that_advances_is_finalized_and_collected_within_the_hour() {
    let api = Api::start().await;
    api.stripe.set_clock(1_770_000_000);
    let (buyer, invoice) = draft(&api, 1, "&auto_advance=true").await;
    let card = id(&api.make("/v1/payment_methods/pm_card_visa/attach", &format!("customer={buyer}")).await);
    api.make(&format!("/v1/customers/{buyer}"), &format!("invoice_settings[default_payment_method]={card}"))
        .await;
    assert_eq!(invoice["automatically_finalizes_at"], 1_770_003_600);
    api.stripe.set_clock(1_770_003_599);
    let path = format!("/v1/invoices/{}", id(&invoice));
    assert_eq!(api.read(&path, "").await["status"], "draft");
    api.stripe.set_clock(1_770_003_600);
    assert_eq!(api.read(&path, "").await["status"], "paid");

    let (_, sent) = draft(&api, 1, "&collection_method=send_invoice&days_until_due=7").await;
    let sent = api.make(&format!("/v1/invoices/{}/send", id(&sent)), "").await;
    assert_eq!((&sent["status"], &sent["due_date"]), (&json!("open"), &json!(1_770_003_600 + 7 * 86_400)));
    assert_eq!(api.stripe.event_types().pop().unwrap(), "invoice.sent");
    assert_eq!(ids(&api.read("/v1/invoices", "collection_method=send_invoice").await), [id(&sent)]);
    let paid =
        api.read("/v1/invoices", &format!("status=paid&customer={buyer}&created[lte]=1770000000")).await;
    assert_eq!(ids(&paid), [id(&invoice)]);
}

#[tokio::test]
async fn a_long_invoice_shows_ten_lines_and_lists_them_all() {
    let api = Api::start().await;
    let (_, invoice) = draft(&api, 12, "").await;
    let lines = &invoice["lines"];
    assert_eq!((ids(lines).len(), &lines["has_more"], &lines["total_count"]), (10, &json!(true), &json!(12)));
    let path = format!("/v1/invoices/{}/lines", id(&invoice));
    let rest = api.read(&path, &format!("starting_after={}", ids(lines)[9])).await;
    assert_eq!((ids(&rest).len(), &rest["has_more"]), (2, &json!(false)));
    assert_eq!(rest["data"][1]["description"], "Item 12");
    assert_eq!(ids(&api.read(&path, "limit=100").await).len(), 12);
}
