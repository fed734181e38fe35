//! An offer whose grant is changed while it is on sale.

use serde_json::{Value, json};
use stack::Stack;

use super::history::{START, apply, deliver, event, forget, purchase, rows, same_rows_in_any_order, stack};
use crate::http::Http;

/// The price `price_seat` admits to a hall.
fn price(kind: &str, seconds: i64, hall: &str) -> Value {
    let price = json!({
        "id": "price_seat", "object": "price", "active": true, "product": "prod_seat", "currency": "eur",
        "unit_amount": 10_000, "metadata": {"recoup_kind": "ticket", "recoup_ref": hall},
    });
    event(&format!("evt_{hall}"), kind, seconds, price)
}

/// Ten seconds after the offer, and ten before its change.
fn sale(lines: &str) -> Value {
    let mut sale = purchase().remove(1);
    sale["created"] = json!(START);
    sale["data"]["object"]["metadata"]["recoup_items"] = json!(lines);
    sale
}

async fn halls(stack: &Stack) -> Vec<String> {
    rows(stack, "select admits_to from recoup.tickets order by seat").await
}

#[tokio::test]
async fn what_a_line_grants_is_written_once_as_the_catalogue_says_when_the_sale_is_applied() {
    let (stack, http) = (stack().await, Http::new());
    let offer = price("price.created", -10, "hall-one");
    let change = price("price.updated", 10, "hall-two");
    let sale = sale(r#"[{"kind":"ticket","ref":"hall-none","quantity":2,"price":"price_seat"}]"#);
    for (arrival, hall) in [
        ([&offer, &sale, &change], "hall-one"),
        ([&offer, &change, &sale], "hall-two"),
        ([&change, &offer, &sale], "hall-two"),
        ([&change, &sale, &offer], "hall-two"),
        ([&sale, &offer, &change], "hall-none"),
        ([&sale, &change, &offer], "hall-none"),
    ] {
        forget(&stack).await;
        for event in arrival {
            apply(&stack, &http, std::slice::from_ref(event)).await;
        }
        assert_eq!(halls(&stack).await, [hall, hall]);
        for again in arrival {
            assert_eq!(deliver(&stack, &http, again).await, "duplicate");
        }
        let later = price("price.updated", 20, "hall-three");
        apply(&stack, &http, &[later]).await;
        assert_eq!(halls(&stack).await, [hall, hall], "no later event turns it into another");
    }
}

#[tokio::test]
async fn a_line_that_comes_with_its_sale_does_not_depend_on_the_catalogue() {
    let (stack, http) = (stack().await, Http::new());
    let events = [
        price("price.created", -10, "hall-one"),
        price("price.updated", 10, "hall-two"),
        sale(r#"[{"kind":"ticket","ref":"hall-own","quantity":2}]"#),
    ];
    same_rows_in_any_order(&stack, &http, &events).await;
    assert_eq!(halls(&stack).await, ["hall-own", "hall-own"]);
}
