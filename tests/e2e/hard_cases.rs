//! The hard cases that README names for the receiver and that no other test tells as a story of its own.

use serde_json::{Value, json};
use stack::stripe::Outcome;

use crate::families::history::{
    apply, deliver, event, fixture, grants, ledger, purchase, row, rows, same_rows_in_any_order, stack,
};
use crate::http::Http;
use crate::support::{count, eager, settle};

fn customer(id: &str, kind: &str, seconds: i64, name: &str) -> Value {
    let customer = json!({"id": "cus_1", "object": "customer", "created": 1, "name": name});
    event(id, &format!("customer.{kind}"), seconds, customer)
}

#[tokio::test]
async fn a_late_update_and_a_duplicate_change_nothing() {
    let (stack, http) = (stack().await, Http::new());
    let newest = customer("evt_3", "updated", 20, "Countess Lovelace");
    apply(&stack, &http, &[newest.clone(), customer("evt_1", "created", 0, "Ada Byron")]).await;
    apply(&stack, &http, &[customer("evt_2", "updated", 10, "Ada King")]).await;
    let name = "select name from recoup.customers";
    assert_eq!(row(&stack, name).await, "Countess Lovelace");
    assert_eq!(deliver(&stack, &http, &newest).await, "duplicate");
    assert_eq!(row(&stack, name).await, "Countess Lovelace");
    assert_eq!(count(&stack, "select count(*) from recoup.webhook_events").await, 3);
}

#[tokio::test]
async fn what_was_deleted_stays_deleted_whatever_comes_late() {
    let (stack, http) = (stack().await, Http::new());
    let events = [
        customer("evt_1", "created", 0, "Ada"),
        customer("evt_2", "updated", 10, "Ada King"),
        customer("evt_3", "updated", 20, "Ada Lovelace"),
        customer("evt_4", "deleted", 20, "Ada Lovelace"),
    ];
    same_rows_in_any_order(&stack, &http, &events).await;
    assert_eq!(count(&stack, "select count(*) from recoup.customers where deleted_at is null").await, 0);

    for (kind, object) in [
        (
            "product",
            json!({"id": "prod_1", "object": "product", "active": true, "name": "A", "metadata": {}}),
        ),
        (
            "price",
            json!({"id": "price_1", "object": "price", "active": true, "currency": "eur", "product": "prod_1",
                "unit_amount": 100, "metadata": {}}),
        ),
    ] {
        let of =
            |id: &str, step: &str, seconds| event(id, &format!("{kind}.{step}"), seconds, object.clone());
        let late = [of("evt_d", "deleted", 20), of("evt_c", "created", 0), of("evt_u", "updated", 20)];
        same_rows_in_any_order(&stack, &http, &late).await;
        let back = "select count(*) from recoup.catalog_items where deleted_at is null";
        assert_eq!(count(&stack, back).await, 0, "{kind}");
    }

    same_rows_in_any_order(&stack, &http, &fixture("subscription", "2026")).await;
    assert_eq!(count(&stack, "select count(*) from recoup.subscriptions where ended_at is null").await, 0);
}

fn checkout(id: &str, step: &str, seconds: i64, payment_status: &str) -> Value {
    let [_, mut bought] = purchase().try_into().expect("two events");
    bought["id"] = json!(id);
    bought["type"] = json!(format!("checkout.session.{step}"));
    bought["created"] = json!(bought["created"].as_i64().expect("a time") + seconds);
    bought["data"]["object"]["payment_status"] = json!(payment_status);
    bought
}

#[tokio::test]
async fn an_unpaid_checkout_grants_nothing_until_it_is_paid() {
    let (stack, http) = (stack().await, Http::new());
    let status = "select status from recoup.orders";
    let completed = checkout("evt_completed", "completed", 0, "unpaid");
    let paid = checkout("evt_paid", "async_payment_succeeded", 86_400, "paid");
    let failed = checkout("evt_failed", "async_payment_failed", 86_400, "unpaid");

    apply(&stack, &http, std::slice::from_ref(&completed)).await;
    assert_eq!((&*row(&stack, status).await, grants(&stack).await), ("pending", (0, 0)));
    apply(&stack, &http, std::slice::from_ref(&paid)).await;
    assert_eq!((&*row(&stack, status).await, grants(&stack).await), ("paid", (5, 0)));
    same_rows_in_any_order(&stack, &http, &[completed.clone(), paid]).await;
    assert_eq!((&*row(&stack, status).await, grants(&stack).await), ("paid", (5, 0)));

    same_rows_in_any_order(&stack, &http, &[completed, failed]).await;
    assert_eq!((&*row(&stack, status).await, grants(&stack).await), ("failed", (0, 0)));
}

#[tokio::test]
async fn a_refund_that_comes_before_its_charge_and_its_sale_takes_the_sale_back() {
    let (stack, http) = (stack().await, Http::new());
    let refund = json!({
        "id": "re_1", "object": "refund", "amount": 10_000, "balance_transaction": "txn_re", "charge": "ch_1", "created": 2,
        "currency": "eur", "payment_intent": "pi_1", "reason": null, "status": "succeeded",
    });
    let refund = event("evt_refunded", "refund.created", 100, refund);
    apply(&stack, &http, std::slice::from_ref(&refund)).await;
    apply(&stack, &http, &purchase()).await;
    assert_eq!(grants(&stack).await, (0, 5));
    let movements = ledger(&stack).await;
    assert_eq!(movements.len(), 2, "{movements:?}");
    let balance = "select coalesce(sum(balance), 0)::bigint from recoup.ledger_balances
        where ledger_account = 'stripe_balance'";
    assert_eq!(count(&stack, balance).await, 0, "{movements:?}");
    same_rows_in_any_order(&stack, &http, &[purchase(), vec![refund]].concat()).await;
    assert_eq!(grants(&stack).await, (0, 5));
}

#[tokio::test]
async fn a_refund_that_names_its_charge_alone_takes_the_sale_back_when_the_charge_comes() {
    let (stack, http) = (stack().await, Http::new());
    let refund = json!({
        "id": "re_1", "object": "refund", "amount": 10_000, "balance_transaction": "txn_re", "charge": "ch_1", "created": 2,
        "currency": "eur", "payment_intent": null, "reason": null, "status": "succeeded",
    });
    let refund = event("evt_refunded", "refund.created", 100, refund);
    apply(&stack, &http, std::slice::from_ref(&refund)).await;
    apply(&stack, &http, &purchase()).await;
    assert_eq!(grants(&stack).await, (0, 5));
    same_rows_in_any_order(&stack, &http, &[purchase(), vec![refund]].concat()).await;
    assert_eq!(grants(&stack).await, (0, 5));
}

#[tokio::test]
async fn credits_that_were_spent_and_refunded_leave_a_shortfall_and_no_balance_below_zero() {
    let (stack, http) = (stack().await, Http::new());
    apply(&stack, &http, &purchase()).await;
    sqlx::query(
        "insert into recoup.credit_entries (id, customer_id, amount, reason, granted_at)
         values ('review:1', 'cus_1', -3, 'a review', now())",
    )
    .execute(&stack.pool)
    .await
    .expect("spent");
    let balance = "select concat_ws(' ', balance, shortfall) from recoup.credit_balances";
    assert_eq!(row(&stack, balance).await, "2 0");
    let refund = json!({
        "id": "re_1", "object": "refund", "amount": 10_000, "charge": "ch_1", "created": 2, "currency": "eur",
        "payment_intent": "pi_1", "reason": null, "status": "succeeded",
    });
    apply(&stack, &http, &[event("evt_refunded", "refund.created", 100, refund)]).await;
    assert_eq!(row(&stack, balance).await, "0 3");
}

#[tokio::test]
async fn a_line_that_maps_to_nothing_is_an_order_with_a_gap() {
    let stack = eager().functions(["webhook"]).start().await.expect("a stack");
    let create = |path: &str, form: &str| {
        let created = stack.stripe.request("POST", path, form).expect("created");
        created["id"].as_str().expect("an id").to_owned()
    };
    let product = create("/v1/products", "name=Nobody%20said%20what");
    let price = create("/v1/prices", &format!("product={product}&currency=eur&unit_amount=500"));
    let form = format!(
        "mode=payment&line_items[0][price]={price}&line_items[0][quantity]=1&success_url=https://shop.example/"
    );
    let session = create("/v1/checkout/sessions", &form);
    stack.stripe.complete_checkout(&session, Outcome::Paid).expect("paid");
    settle(&stack).await;
    assert_eq!(
        rows(
            &stack,
            "select concat_ws(' ', o.status, o.amount_total, i.grants_kind is null)
             from recoup.order_items as i join recoup.orders as o on o.id = i.order_id"
        )
        .await,
        ["paid 500 t"]
    );
    let priced =
        "select count(*) from recoup.order_items as i join recoup.catalog_items as c on c.id = i.price_id";
    assert_eq!(count(&stack, priced).await, 1);
    assert_eq!(grants(&stack).await, (0, 0));
}
