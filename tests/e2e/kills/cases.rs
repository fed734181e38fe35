//! One event of each family that has effects, with what must have come before it.

use serde_json::{Value, json};

use crate::families::history::{charge, event, fixture, purchase};

/// An event whose life is disturbed.
pub struct Case {
    /// What it is.
    pub name: &'static str,
    /// What came before, undisturbed.
    pub before: Vec<Value>,
    /// The event.
    pub event: Value,
    /// What becomes of it.
    pub outcome: &'static str,
}

impl Case {
    /// The same with objects of its own: each id ends in the case's name and the mark.
    pub fn marked(&self, mark: &str) -> Case {
        let mark =
            &format!("{}_{mark}", self.name.replace(|letter: char| !letter.is_ascii_alphabetic(), "_"));
        let marked = |event: &Value| {
            let mut event = event.clone();
            rename(&mut event, mark);
            event
        };
        Case { before: self.before.iter().map(marked).collect(), event: marked(&self.event), ..*self }
    }

    /// The event as Stripe sends it.
    pub fn body(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(&self.event).expect("json")
    }

    /// The event's id.
    pub fn id(&self) -> &str {
        self.event["id"].as_str().expect("an id")
    }
}

fn rename(value: &mut Value, mark: &str) {
    const PREFIXES: [&str; 17] = [
        "evt", "cus", "cs", "pi", "ch", "re", "dp", "sub", "si", "in", "il", "inpay", "po", "acct", "prod",
        "price", "txn",
    ];
    match value {
        Value::Object(fields) => {
            // A payout is `in_transit`, which is no invoice.
            fields
                .iter_mut()
                .filter(|(name, _)| *name != "status")
                .for_each(|(_, inner)| rename(inner, mark));
        }
        Value::Array(items) => items.iter_mut().for_each(|inner| rename(inner, mark)),
        Value::String(text) if text.split_once('_').is_some_and(|(prefix, _)| PREFIXES.contains(&prefix)) => {
            text.push_str(&format!("_{mark}"));
        }
        _ => {}
    }
}

fn of_fixture(name: &'static str, family: &str, before: Vec<Value>, place: usize) -> Case {
    let mut history = fixture(family, "2026");
    let event = history.remove(place);
    history.truncate(place);
    Case { name, before: [before, history].concat(), event, outcome: "applied" }
}

/// A checkout, which writes more tables than any other.
pub fn checkout() -> Case {
    let [charged, bought] = purchase().try_into().expect("two events");
    Case { name: "checkout.session", before: vec![charged], event: bought, outcome: "applied" }
}

/// All of them; then one that is ignored, one that cannot be read, and one that the rows refuse.
pub fn all() -> Vec<Case> {
    let one = |name, event| Case { name, before: Vec::new(), event, outcome: "applied" };
    let payment = json!({
        "id": "pi_1", "object": "payment_intent", "amount": 10_000, "amount_received": 10_000, "created": 1,
        "currency": "eur", "customer": "cus_1", "status": "succeeded",
    });
    let refund = json!({
        "id": "re_1", "object": "refund", "amount": 10_000, "charge": "ch_1", "created": 2, "currency": "eur",
        "payment_intent": "pi_1", "reason": null, "status": "succeeded",
    });
    let customer =
        json!({"id": "cus_1", "object": "customer", "created": 1, "email": "ada@example.com", "name": "Ada"});
    let product = json!({
        "id": "prod_pro", "object": "product", "active": true, "name": "Pro",
        "metadata": {"recoup_kind": "plan", "recoup_ref": "pro"},
    });
    let product = event("evt_prod_pro", "product.created", -900, product);
    let mut hall = checkout();
    hall.name = "refused by the rows";
    hall.event["data"]["object"]["metadata"]["recoup_items"] =
        json!(r#"[{"kind":"ticket","ref":"conf","quantity":999999}]"#);
    hall.outcome = "failed";
    let unread = event("evt_unread", "refund.created", 0, json!({"id": "re_1"}));
    vec![
        checkout(),
        one("payment_intent", event("evt_pi", "payment_intent.succeeded", 0, payment)),
        one("charge", charge()),
        Case {
            name: "refund",
            before: purchase(),
            event: event("evt_refunded", "refund.created", 100, refund),
            outcome: "applied",
        },
        of_fixture("dispute", "dispute-lost", purchase(), 3),
        one("customer", event("evt_cus", "customer.created", 0, customer)),
        of_fixture("subscription", "subscription", Vec::new(), 1),
        of_fixture("invoice", "invoice", vec![product.clone()], 3),
        of_fixture("invoice_payment", "invoice", vec![product.clone()], 5),
        of_fixture("account", "account", Vec::new(), 1),
        of_fixture("payout", "payout", Vec::new(), 2),
        one("product", product),
        Case {
            name: "of no effect",
            before: Vec::new(),
            event: event("evt_sun", "sun.rose", 0, json!({})),
            outcome: "ignored",
        },
        Case { name: "unreadable", before: Vec::new(), event: unread, outcome: "failed" },
        hall,
    ]
}
