//! The stated mix: a quarter are checkouts with their lines in the metadata; the rest payments, charges, refunds
//! and customers, in the shapes of the stand-in's events.
//!
//! The events of a sale come at one moment, as Stripe sends them, and clients that are several apply them at once. A
//! customer who buys again, and a refund, come later than the sale that they follow.

use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::{Value, json};
use stack::shop::Shop;
use stack::stripe::{Stripe, signature_header};

use crate::Result;
use crate::instance::invocation;

/// In words, for the reader of the figures.
pub const IN_WORDS: &str = "mix: of 8 events 2 checkout.session.completed with lines in the metadata, 2 payment_intent.succeeded, \
     2 charge.succeeded, 1 customer.created, 1 refund.created: a sale to a new customer, one to a customer of 32 such rounds ago, and the refund of a \
     sale of 32 rounds ago; the events of a sale follow each other at once";

/// So many rounds of eight events lie between a sale and what follows from it later.
const ROUNDS_LATER: u64 = 32;

/// Prefixes of the ids that each sale has of its own.
const PREFIXES: [&str; 7] = ["evt_", "cs_", "pi_", "ch_", "cus_", "re_", "txn_"];

/// Events of one sale that was refunded: templates for any number of others.
pub struct Mix {
    customer: String,
    payment: String,
    charge: String,
    session: String,
    refund: String,
    ids: Vec<String>,
    sales: u64,
    /// Refunds of the last rounds, which are not sent yet.
    refunds: VecDeque<String>,
    /// When the oldest of them was created, in seconds since 1970.
    pub created_min: i64,
}

impl Mix {
    /// Sells until there is a refunded sale to a known customer, and takes its events.
    pub fn from_sales(stripe: &Stripe) -> Result<Mix> {
        let mut shop = Shop::open(stripe, 1).map_err(|refusal| format!("{refusal:?}"))?;
        for _ in 0..50 {
            shop.sell(20).map_err(|refusal| format!("{refusal:?}"))?;
            let events = stripe.events();
            let of = |kind: &str, field: &str, value: &Value| {
                let fits = |event: &&Value| event["type"] == kind && event["data"]["object"][field] == *value;
                events.iter().find(fits).cloned()
            };
            for refund in events.iter().filter(|event| event["type"] == "refund.created") {
                let payment_id = &refund["data"]["object"]["payment_intent"];
                let (Some(payment), Some(charge), Some(mut session)) = (
                    of("payment_intent.succeeded", "id", payment_id),
                    of("charge.succeeded", "payment_intent", payment_id),
                    of("checkout.session.completed", "payment_intent", payment_id),
                ) else {
                    continue;
                };
                let Some(customer) = of("customer.created", "id", &session["data"]["object"]["customer"])
                else {
                    continue;
                };
                session["data"]["object"]["metadata"]["recoup_items"] = json!(
                    r#"[{"kind":"course","ref":"rust-101","quantity":1,"amount":4900},{"kind":"credits","ref":"reviews","quantity":10,"amount":2500}]"#
                );
                let events = [&customer, &payment, &charge, &session, refund];
                let mut ids = Vec::new();
                events.iter().for_each(|event| collect_ids(event, &mut ids));
                // Longest first: no id may be replaced inside of another.
                ids.sort_by_key(|id| std::cmp::Reverse(id.len()));
                let created_min = events.iter().filter_map(|event| event["created"].as_i64()).min();
                let created_min = created_min.ok_or("an event without its time")?;
                let [customer, payment, charge, session, refund] = events.map(pretty);
                return Ok(Mix {
                    customer,
                    payment,
                    charge,
                    session,
                    refund,
                    ids,
                    sales: 0,
                    refunds: VecDeque::new(),
                    created_min,
                });
            }
        }
        Err("no refunded sale to a known customer among a thousand".into())
    }

    /// The bodies of `count` new events, in the order in which they would come.
    pub fn bodies(&mut self, count: usize) -> Vec<String> {
        let mut bodies = Vec::with_capacity(count + 8);
        while bodies.len() < count {
            let new = self.sales;
            for template in [&self.customer, &self.payment, &self.charge, &self.session] {
                bodies.push(self.render(template, new, new));
            }
            let (again, known) = (new + 1, new.saturating_sub(2 * ROUNDS_LATER));
            for template in [&self.payment, &self.charge, &self.session] {
                bodies.push(self.render(template, again, known).replace("rust-101", "rust-201"));
            }
            self.refunds.push_back(self.render(&self.refund, again, known));
            if self.refunds.len() as u64 > ROUNDS_LATER {
                bodies.extend(self.refunds.pop_front());
            }
            self.sales += 2;
        }
        bodies.truncate(count);
        bodies
    }

    /// Each event of a sale: its type, its body, and the ids in it that every sale has of its own.
    pub fn templates(&self) -> Vec<(&'static str, String, Vec<String>)> {
        let events = [
            ("customer.created", &self.customer),
            ("payment_intent.succeeded", &self.payment),
            ("charge.succeeded", &self.charge),
            ("checkout.session.completed", &self.session),
        ];
        let ids_in = |body: &str| self.ids.iter().filter(|id| body.contains(*id)).cloned().collect();
        events.into_iter().map(|(kind, body)| (kind, body.clone(), ids_in(body))).collect()
    }

    /// One object of each kind that the events carry.
    pub fn objects(&self) -> Result<Vec<Value>> {
        let templates = [&self.customer, &self.payment, &self.charge, &self.session, &self.refund];
        let object = |event: &String| Ok(serde_json::from_str::<Value>(event)?["data"]["object"].take());
        templates.into_iter().map(object).collect()
    }

    fn render(&self, template: &str, sale: u64, customer: u64) -> String {
        self.ids.iter().fold(template.to_owned(), |text, id| {
            let number = if id.starts_with("cus_") { customer } else { sale };
            let stem = &id[..id.len() - 8];
            text.replace(id, &format!("{stem}{number:08x}"))
        })
    }
}

/// These bodies, signed now, as `sent` puts a body and its signature.
pub fn signed(bodies: &[String], secret: &str, sent: fn(&str, &str) -> Bytes) -> Vec<Bytes> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
    bodies.iter().map(|body| sent(body, &signature_header(&[secret], now, body))).collect()
}

/// An invocation as the gateway makes it of a delivery.
pub fn through_gateway(body: &str, signature: &str) -> Bytes {
    let request = json!({
        "version": "2.0", "routeKey": "POST /webhooks/stripe", "rawPath": "/webhooks/stripe", "rawQueryString": "",
        "headers": {
            "accept": "*/*; q=0.5, application/xml", "cache-control": "no-cache",
            "content-length": body.len().to_string(), "content-type": "application/json; charset=utf-8",
            "host": "abcdefghij.execute-api.eu-central-1.amazonaws.com", "stripe-signature": signature,
            "user-agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "x-amzn-trace-id": "Root=1-691f0000-000000000000000000000000", "x-forwarded-for": "3.18.12.63",
            "x-forwarded-port": "443", "x-forwarded-proto": "https",
        },
        "requestContext": {
            "accountId": "123456789012", "apiId": "abcdefghij",
            "domainName": "abcdefghij.execute-api.eu-central-1.amazonaws.com", "domainPrefix": "abcdefghij",
            "http": {"method": "POST", "path": "/webhooks/stripe", "protocol": "HTTP/1.1", "sourceIp": "3.18.12.63",
                "userAgent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)"},
            "requestId": "JKJaXmPLvHcESHA=", "routeKey": "POST /webhooks/stripe", "stage": "$default",
            "time": "21/Nov/2026:07:00:00 +0000", "timeEpoch": 1_795_244_400_000_u64,
        },
        "body": body, "isBase64Encoded": false,
    });
    invocation(request.to_string().as_bytes())
}

/// Indented, as Stripe sends them.
fn pretty(event: &Value) -> String {
    format!("{event:#}")
}

fn collect_ids(value: &Value, ids: &mut Vec<String>) {
    match value {
        Value::String(text)
            if PREFIXES.iter().any(|prefix| text.starts_with(prefix))
                && text.len() >= 16
                && !ids.contains(text) =>
        {
            ids.push(text.clone());
        }
        Value::Array(values) => values.iter().for_each(|value| collect_ids(value, ids)),
        Value::Object(fields) => fields.values().for_each(|value| collect_ids(value, ids)),
        _ => {}
    }
}
