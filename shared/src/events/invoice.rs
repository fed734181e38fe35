//! `invoice.*`: one row of `invoices` an invoice with one of `invoice_lines` a line. A paid invoice grants the plans
//! of its lines for their periods: the view `plan_grants` says which.
//!
//! `invoice.paid` comes whenever an invoice is paid, also where the seller marked it so; `invoice.payment_succeeded`
//! only where Stripe collected the money (Stripe documentation, "Subscription webhooks").

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::field::{Fault, Id, Instant, NonNegative, Reference, Text, read};
use super::invoice_line::Line;
use super::list::List;
use super::row::Row;
use super::statement::Statement;
use crate::money::Currency;

/// An invoice as an event shows it.
#[derive(Debug)]
pub struct Invoice {
    object: Object,
    rank: i64,
    deleted: bool,
    collected: bool,
    /// When, where something else than the event's own time says it.
    collected_at: Option<Instant>,
}

#[derive(Debug, Deserialize)]
struct Object {
    id: Id,
    /// Below zero where the customer is credited, as `total` is.
    amount_due: i64,
    amount_paid: NonNegative,
    #[serde(default)]
    attempt_count: NonNegative,
    billing_reason: Option<Text>,
    collection_method: Option<Text>,
    created: Instant,
    currency: Currency,
    customer: Option<Reference>,
    due_date: Option<Instant>,
    lines: List<Line>,
    next_payment_attempt: Option<Instant>,
    number: Option<Text>,
    paid_out_of_band: Option<bool>,
    /// Where the subscription stands since 2025-03-31.
    parent: Option<Parent>,
    payment_intent: Option<Reference>,
    status: Text,
    #[serde(default)]
    status_transitions: StatusTransitions,
    subscription: Option<Reference>,
    total: i64,
}

#[derive(Debug, Deserialize)]
struct Parent {
    subscription_details: Option<SubscriptionDetails>,
}

#[derive(Debug, Deserialize)]
struct SubscriptionDetails {
    subscription: Option<Reference>,
}

#[derive(Debug, Default, Deserialize)]
struct StatusTransitions {
    finalized_at: Option<Instant>,
    paid_at: Option<Instant>,
}

impl Invoice {
    /// Records the event, writes the invoice, replaces its lines, and joins its payment with the session it bills.
    pub const STATEMENT: &str = concat!(
        include_str!("sql/ready.sql"),
        include_str!("sql/record_applied.sql"),
        include_str!("sql/invoice.sql"),
        include_str!("sql/invoice_order.sql"),
        include_str!("sql/take_back.sql"),
        include_str!("sql/audited.sql"),
        include_str!("sql/recorded_or_tied.sql")
    );

    /// Reads `data.object`.
    ///
    /// # Errors
    /// The field that is missing or cannot be read.
    pub fn read(kind: &str, object: &RawValue) -> Result<Self, Fault> {
        let object: Object = read("data.object", object)?;
        let deleted = kind == "invoice.deleted";
        // Stripe documentation, "How invoicing works": a draft is opened, and paid, voided or given up; what was
        // given up can still be paid.
        let state = match object.status.as_str() {
            _ if deleted => 9,
            "draft" => 0,
            "open" => 1,
            "uncollectible" => 2,
            "paid" | "void" => 3,
            _ => return Err(Fault::new("data.object.status", "expected a status that an invoice has")),
        };
        let step = match kind {
            "invoice.created" => 0,
            "invoice.finalized" => 1,
            "invoice.payment_failed" => 3,
            "invoice.paid" | "invoice.voided" | "invoice.marked_uncollectible" => 4,
            "invoice.payment_succeeded" => 5,
            _ => 2,
        };
        let collected = kind == "invoice.payment_succeeded";
        Ok(Self { object, rank: state * 10 + step, deleted, collected, collected_at: None })
    }

    /// The id of the invoice.
    pub fn id(&self) -> &str {
        self.object.id.as_str()
    }

    /// How far the invoice had come.
    pub fn rank(&self) -> i64 {
        self.rank
    }

    fn subscription(&self) -> Option<&Reference> {
        let parent = self.object.parent.as_ref().and_then(|parent| parent.subscription_details.as_ref());
        self.object.subscription.as_ref().or(parent.and_then(|details| details.subscription.as_ref()))
    }

    /// The same invoice, collected by Stripe at that time. Of its events only one says so.
    pub fn collected_at(&mut self, at: Instant) {
        self.collected = true;
        self.collected_at = Some(at);
    }

    /// What its row holds of it, and those of its lines: see [`super::reading`].
    pub fn row(&self) -> Row {
        let object = &self.object;
        let row = json!({
            "id": object.id,
            "customer_id": object.customer,
            "subscription_id": self.subscription(),
            "payment_id": object.payment_intent,
            "status": object.status,
            "number": object.number,
            "billing_reason": object.billing_reason,
            "collection_method": object.collection_method,
            "currency": object.currency,
            "amount_due": object.amount_due,
            "amount_paid": object.amount_paid,
            "total": object.total,
            "attempt_count": object.attempt_count,
            "next_payment_attempt": object.next_payment_attempt,
            "due_at": object.due_date,
            "finalized_at": object.status_transitions.finalized_at,
            "paid_at": if object.status.as_str() == "paid" { object.status_transitions.paid_at } else { None },
            "paid_out_of_band": object.paid_out_of_band,
            "collected_at": self.collected_at,
            "lines_complete": !object.lines.has_more,
            "created_at": object.created,
        });
        let line = |(place, line): (usize, &Line)| {
            json!({
                "position": place + 1,
                "id": line.id,
                "subscription_id": line.subscription(),
                "price_id": line.price(),
                "product_id": line.product(),
                "quantity": line.quantity,
                "amount": line.amount,
                "period_start": line.period.start,
                "period_end": line.period.end,
            })
        };
        object.lines.data.iter().enumerate().map(line).fold(Row::new(row), Row::with_part)
    }

    /// Binds $10 to $39.
    pub fn bind<'q>(&'q self, statement: Statement<'q>) -> Statement<'q> {
        let object = &self.object;
        let instant = |instant: Option<Instant>| instant.map(|instant| instant.0);
        let text = |text: &'q Option<Text>| text.as_ref().map(Text::as_str);
        let lines = object.lines.data.as_slice();
        statement
            .bind(object.id.as_str())
            .bind(object.customer.as_ref().map(Reference::as_str))
            .bind(self.subscription().map(Reference::as_str))
            .bind(object.payment_intent.as_ref().map(Reference::as_str))
            .bind(if self.deleted { "deleted" } else { object.status.as_str() })
            .bind(text(&object.number))
            .bind(text(&object.billing_reason))
            .bind(text(&object.collection_method))
            .bind(object.currency.code())
            .bind(object.amount_due)
            .bind(object.amount_paid)
            .bind(object.total)
            .bind(object.attempt_count)
            .bind(instant(object.next_payment_attempt))
            .bind(instant(object.due_date))
            .bind(instant(object.status_transitions.finalized_at))
            .bind(instant(object.status_transitions.paid_at))
            .bind(object.paid_out_of_band)
            .bind(self.collected)
            .bind(!object.lines.has_more)
            .bind(object.created.0)
            .bind(lines.iter().map(|line| line.id.as_str()).collect::<Vec<_>>())
            .bind(lines.iter().map(Line::subscription).collect::<Vec<_>>())
            .bind(lines.iter().map(Line::price).collect::<Vec<_>>())
            .bind(lines.iter().map(Line::product).collect::<Vec<_>>())
            .bind(lines.iter().map(|line| line.quantity).collect::<Vec<_>>())
            .bind(lines.iter().map(|line| line.amount).collect::<Vec<_>>())
            .bind(lines.iter().map(|line| line.period.start.0).collect::<Vec<_>>())
            .bind(lines.iter().map(|line| line.period.end.0).collect::<Vec<_>>())
            .bind(instant(self.collected_at))
    }
}
