//! `checkout.session.*`: one row of `orders` a session, one of `order_items` a line, and what a paid line
//! grants.
//!
//! `checkout.session.completed` has no line items (Stripe documentation, "Fulfill orders"). They are taken from
//! the session's metadata where the seller put them there, as JSON in `recoup_items`:
//! `[{"kind":"course","ref":"rust-101","quantity":1,"amount":4900}]`; else they are fetched from Stripe before
//! the event is written, see [`super::receive`].

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use super::field::{Fault, Id, Instant, Metadata, NonNegative, Reference, Text, read};
use super::grant::Grant;
use super::row::Row;
use super::statement::Statement;
use crate::money::Currency;

/// A line of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Stripe's `li_…`, where the line came from Stripe.
    pub line_item_id: Option<String>,
    /// The price that was sold.
    pub price_id: Option<String>,
    /// The product that the price belongs to.
    pub product_id: Option<String>,
    /// What the buyer read.
    pub description: Option<String>,
    /// Units bought.
    pub quantity: NonNegative,
    /// What the line cost in all, in minor units.
    pub amount_total: Option<NonNegative>,
    /// What the line says of itself; the catalogue, where it knows the price or product, knows better.
    pub grant: Option<Grant>,
}

/// Where the lines of a session stand.
#[derive(Debug)]
enum Lines {
    /// Known, or not needed.
    Known(Vec<Line>),
    /// To be fetched from Stripe.
    AtStripe,
}

/// A checkout session as an event shows it.
#[derive(Debug)]
pub struct CheckoutSession {
    object: Object,
    status: &'static str,
    rank: i64,
    guest_id: Option<String>,
    lines: Lines,
    /// When, where something else than the event's own time says it.
    happened_at: Option<Instant>,
}

#[derive(Debug, Deserialize)]
struct Object {
    id: Id,
    amount_subtotal: Option<NonNegative>,
    amount_total: Option<NonNegative>,
    client_reference_id: Option<Text>,
    created: Option<Instant>,
    currency: Option<Currency>,
    customer: Option<Reference>,
    customer_details: Option<CustomerDetails>,
    customer_email: Option<Text>,
    /// Of a session in mode `subscription`, since 2022-11.
    invoice: Option<Reference>,
    metadata: Option<Metadata>,
    mode: Option<Text>,
    /// None in mode `subscription`: there the first invoice is paid.
    payment_intent: Option<Reference>,
    payment_status: Option<Text>,
    subscription: Option<Reference>,
}

#[derive(Debug, Deserialize)]
struct CustomerDetails {
    email: Option<Text>,
    name: Option<Text>,
}

#[derive(Debug, Deserialize)]
struct MetadataLine {
    kind: Text,
    #[serde(rename = "ref")]
    reference: Text,
    #[serde(default = "one")]
    quantity: NonNegative,
    amount: Option<NonNegative>,
    price: Option<Id>,
}

fn one() -> NonNegative {
    NonNegative::from(1)
}

impl CheckoutSession {
    /// Records the event, writes the order with its lines, and grants what was paid for.
    pub const STATEMENT: &str = concat!(
        include_str!("sql/ready.sql"),
        include_str!("sql/record_applied.sql"),
        include_str!("sql/checkout_session.sql"),
        include_str!("sql/grants.sql"),
        include_str!("sql/audited.sql"),
        include_str!("sql/recorded.sql")
    );

    /// Reads `data.object`; `None` for a session in setup mode, which sells nothing.
    ///
    /// # Errors
    /// The field that is missing or cannot be read.
    pub fn read(kind: &str, object: &RawValue) -> Result<Option<Self>, Fault> {
        let object: Object = read("data.object", object)?;
        if object.mode.as_ref().is_some_and(|mode| mode.as_str() == "setup") {
            return Ok(None);
        }
        let (status, rank) = match (kind, object.payment_status.as_ref().map(Text::as_str)) {
            ("checkout.session.expired", _) => ("expired", 3),
            ("checkout.session.async_payment_failed", _) => ("failed", 3),
            ("checkout.session.async_payment_succeeded", _) => ("paid", 3),
            (_, Some("paid" | "no_payment_required")) => ("paid", 2),
            (_, Some("unpaid")) => ("pending", 1),
            (_, None) => return Err(Fault::new("data.object.payment_status", "missing")),
            (_, Some(_)) => {
                let expected = "expected paid, unpaid or no_payment_required";
                return Err(Fault::new("data.object.payment_status", expected));
            }
        };
        let lines = match status {
            "expired" | "failed" => Lines::Known(Vec::new()),
            _ => object.metadata_lines()?.map_or(Lines::AtStripe, Lines::Known),
        };
        let guest_id = object.guest_id(status);
        Ok(Some(Self { object, status, rank, guest_id, lines, happened_at: None }))
    }

    /// The session's id where its lines are still to be fetched from Stripe.
    pub fn awaits_lines(&self) -> Option<&str> {
        matches!(self.lines, Lines::AtStripe).then(|| self.object.id.as_str())
    }

    /// Takes the lines that were fetched.
    pub fn set_lines(&mut self, lines: Vec<Line>) {
        self.lines = Lines::Known(lines);
    }

    /// How far the session had come.
    pub fn rank(&self) -> i64 {
        self.rank
    }

    /// The id of the session.
    pub fn id(&self) -> &str {
        self.object.id.as_str()
    }

    /// The same session, where it was paid, at that time: of its events only one says so.
    pub fn happened_at(&mut self, at: Instant) {
        self.happened_at = Some(at);
    }

    /// What its order's row holds of it: see [`super::reading`]. A part has the lines that are known, whether there are
    /// more, and by which invoice or subscription its payment is found.
    pub fn row(&self, lines: &[Line], more: bool) -> Row {
        let object = &self.object;
        let said = |(at, line): (usize, &Line)| {
            json!({
                "position": at + 1,
                "price_id": line.price_id,
                "product_id": line.product_id,
                "quantity": line.quantity,
                "amount_total": line.amount_total,
            })
        };
        let said: Vec<Value> = lines.iter().enumerate().map(said).collect();
        Row::new(json!({
            "id": object.id,
            "customer_id": object.customer.as_ref().map(Reference::as_str).or(self.guest_id.as_deref()),
            "payment_id": object.payment_intent,
            "status": self.status,
            "mode": object.mode,
            "currency": object.currency,
            "amount_subtotal": object.amount_subtotal,
            "amount_total": object.amount_total,
            "client_reference_id": object.client_reference_id,
            "created_at": object.created,
            "paid_at": if self.status == "paid" { self.happened_at } else { None },
        }))
        .with_part(json!({
            "lines": lines.len(),
            "more": more,
            "said": said,
            "billed_as": object.invoice.as_ref().or(object.subscription.as_ref()),
        }))
    }

    /// Its lines, where they are known: it says them itself in its metadata, or they were given to it.
    pub fn known_lines(&self) -> Option<&[Line]> {
        match &self.lines {
            Lines::Known(lines) => Some(lines),
            Lines::AtStripe => None,
        }
    }

    /// Makes lines that are here already say what Stripe says of them.
    ///
    /// # Errors
    /// Postgres' own.
    pub async fn write_lines_as_said(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let lines = self.known_lines().unwrap_or_default();
        sqlx::query(include_str!("sql/lines_as_said.sql"))
            .bind(self.object.id.as_str())
            .bind(lines.iter().map(|line| line.price_id.as_deref()).collect::<Vec<_>>())
            .bind(lines.iter().map(|line| line.product_id.as_deref()).collect::<Vec<_>>())
            .bind(lines.iter().map(|line| line.quantity).collect::<Vec<_>>())
            .bind(lines.iter().map(|line| line.amount_total).collect::<Vec<_>>())
            .execute(connection)
            .await
            .map(drop)
    }

    /// Binds $10 to $33.
    pub fn bind<'q>(&'q self, statement: Statement<'q>) -> Statement<'q> {
        let object = &self.object;
        let details = object.customer_details.as_ref();
        let lines = match &self.lines {
            Lines::Known(lines) => lines.as_slice(),
            Lines::AtStripe => &[],
        };
        fn column<'l, T>(lines: &'l [Line], value: impl Fn(&'l Line) -> T) -> Vec<T> {
            lines.iter().map(value).collect()
        }
        statement
            .bind(object.id.as_str())
            .bind(object.customer.as_ref().map(Reference::as_str).or(self.guest_id.as_deref()))
            .bind(object.email())
            .bind(details.and_then(|details| details.name.as_ref()).map(Text::as_str))
            .bind(object.customer.is_none())
            .bind(object.payment_intent.as_ref().map(Reference::as_str))
            .bind(self.status)
            .bind(object.mode.as_ref().map(Text::as_str))
            .bind(object.currency.as_ref().map(Currency::code))
            .bind(object.amount_subtotal)
            .bind(object.amount_total)
            .bind(object.client_reference_id.as_ref().map(Text::as_str))
            .bind(object.created.map(|created| created.0))
            .bind(column(lines, |line| line.line_item_id.as_deref()))
            .bind(column(lines, |line| line.price_id.as_deref()))
            .bind(column(lines, |line| line.product_id.as_deref()))
            .bind(column(lines, |line| line.description.as_deref()))
            .bind(column(lines, |line| line.quantity))
            .bind(column(lines, |line| line.amount_total))
            .bind(column(lines, |line| line.grant.as_ref().map(|grant| grant.kind.as_str())))
            .bind(column(lines, |line| line.grant.as_ref().map(|grant| grant.reference.as_str())))
            .bind(column(lines, |line| line.grant.as_ref().map(|grant| grant.quantity)))
            .bind(object.invoice.as_ref().or(object.subscription.as_ref()).map(Reference::as_str))
            .bind(self.happened_at.map(|at| at.0))
    }
}

impl Object {
    fn email(&self) -> Option<&str> {
        let details = self.customer_details.as_ref().and_then(|details| details.email.as_ref());
        details.or(self.customer_email.as_ref()).map(Text::as_str)
    }

    /// A buyer without a Stripe customer is known by e-mail address, or by the session alone where there is none.
    fn guest_id(&self, status: &str) -> Option<String> {
        if self.customer.is_some() {
            return None;
        }
        let known_by = match self.email() {
            Some(email) => email.trim().to_lowercase(),
            None if status == "expired" => return None,
            None => self.id.as_str().to_owned(),
        };
        Some(format!("guest_{}", hex::encode(&Sha256::digest(known_by)[..12])))
    }

    fn metadata_lines(&self) -> Result<Option<Vec<Line>>, Fault> {
        const PATH: &str = "data.object.metadata.recoup_items";
        let Some(text) = self.metadata.as_ref().and_then(|metadata| metadata.get("recoup_items")) else {
            return Ok(None);
        };
        let raw: &RawValue = serde_json::from_str(text.as_str()).map_err(|_| Fault::new(PATH, "not JSON"))?;
        let lines: Vec<MetadataLine> = read(PATH, raw)?;
        let line = |line: MetadataLine| {
            let grant = Grant::new(PATH, line.kind.as_str(), line.reference.as_str(), 1)?;
            if line.quantity < one() {
                return Err(Fault::new(PATH, "expected a quantity from 1"));
            }
            Ok(Line {
                line_item_id: None,
                price_id: line.price.map(Id::into_string),
                product_id: None,
                description: None,
                quantity: line.quantity,
                amount_total: line.amount,
                grant: Some(grant),
            })
        };
        lines.into_iter().map(line).collect::<Result<_, _>>().map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(kind: &str, json: &str) -> Result<Option<CheckoutSession>, Fault> {
        CheckoutSession::read(kind, serde_json::from_str(json).expect("json"))
    }

    #[test]
    fn lines_come_from_metadata_or_from_stripe() {
        let json = r#"{"id":"cs_1","payment_status":"paid","metadata":{"recoup_items":
            "[{\"kind\":\"ticket\",\"ref\":\"conf\",\"quantity\":2,\"amount\":900}]"}}"#;
        let known = session("checkout.session.completed", json).expect("read").expect("a sale");
        assert_eq!(known.awaits_lines(), None);
        let fetched = session("checkout.session.completed", r#"{"id":"cs_1","payment_status":"paid"}"#);
        assert_eq!(fetched.expect("read").expect("a sale").awaits_lines(), Some("cs_1"));
        let expired = session("checkout.session.expired", r#"{"id":"cs_1","payment_status":"unpaid"}"#);
        assert_eq!(expired.expect("read").expect("a sale").awaits_lines(), None);
    }

    #[test]
    fn a_guest_is_the_same_guest_next_time() {
        let guest = |email: &str| {
            let json = format!(
                r#"{{"id":"cs_1","payment_status":"paid","customer_details":{{"email":"{email}"}}}}"#
            );
            session("checkout.session.completed", &json).expect("read").expect("a sale").guest_id
        };
        assert_eq!(guest("Ada@Example.com "), guest("ada@example.com"));
        assert_ne!(guest("ada@example.com"), guest("bob@example.com"));
    }

    #[test]
    fn what_cannot_be_sold_is_named() {
        let fault = session("checkout.session.completed", r#"{"id":"cs_1"}"#).expect_err("a fault");
        assert_eq!(fault.to_string(), "data.object.payment_status: missing");
        let json = r#"{"id":"cs_1","payment_status":"paid","metadata":{"recoup_items":"[{\"kind\":\"x\",\"ref\":\"y\"}]"}}"#;
        assert!(
            session("checkout.session.completed", json)
                .expect_err("a fault")
                .to_string()
                .contains("recoup_items")
        );
        let setup = session("checkout.session.completed", r#"{"id":"cs_1","mode":"setup"}"#).expect("read");
        assert!(setup.is_none());
    }
}
