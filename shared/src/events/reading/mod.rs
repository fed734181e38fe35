//! Objects as Stripe's API shows them now, written by the same statements that their events use.
//!
//! **What it compares.** Each family says what its row should hold of the object ([`Reading::row`]). Which event wrote a
//! row, and when, is no part of it.
//!
//! **Order.** A reading knows all that happened up to a second of Stripe's clock, and nothing for certain of what came
//! after. It is written as if an event of that second had said it, at a rank above all events: so every event up to then
//! is older and changes nothing any more, however late it arrives, and every later one counts.
//!
//! **What an object does not say.** When a session was paid and when an invoice was collected only their events say; the
//! object shows when its money moved, which is the same second or close to it. Where a row knows it already, it stays.

mod family;
mod shown;

use serde_json::value::RawValue;
use sqlx::{AssertSqlSafe, PgConnection};
use time::OffsetDateTime;

pub use self::family::{Family, Head};
use self::shown::{Collected, Session};
use super::checkout_session::{CheckoutSession, Line};
use super::effect::{Effect, Understood};
use super::envelope::Event;
use super::field::{Fault, Instant, Text, read};
use super::inbox::{Source, bound, effects_alone};
use super::row::Row;
use crate::stripe::line_items;

/// Above the rank of every event.
const RANK: i64 = 1_000_000;

/// An object, read.
#[derive(Debug)]
pub struct Reading<'a> {
    /// Its family.
    pub family: Family,
    /// Its id.
    pub id: String,
    /// When it was made.
    pub created: Option<OffsetDateTime>,
    /// The connected account that it is in.
    pub account: Option<&'a str>,
    /// The API version whose shape it has.
    version: &'a str,
    object: &'a RawValue,
    /// What its events would do, one after the other.
    steps: Vec<(&'static str, Effect)>,
    lines: Lines,
}

/// The lines of a session, as far as its list shows them.
#[derive(Debug, Default)]
struct Lines {
    shown: Vec<Line>,
    more: bool,
}

impl<'a> Reading<'a> {
    /// Reads an object; `None` where its events would keep nothing of it either: a session that nobody finished yet, or
    /// that sells nothing.
    ///
    /// # Errors
    /// The field that is missing or cannot be read.
    pub fn of(
        family: Family,
        head: &Head,
        object: &'a RawValue,
        account: Option<&'a str>,
        version: &'a str,
    ) -> Result<Option<Self>, Fault> {
        let mut reading = Self {
            family,
            id: head.id.as_str().to_owned(),
            created: head.created.map(|created| created.0),
            account,
            version,
            object,
            steps: Vec::new(),
            lines: Lines::default(),
        };
        match family {
            Family::CheckoutSession => reading.read_session(head)?,
            Family::Invoice => reading.read_invoice()?,
            _ => reading.step(family.event_type(head.deleted))?,
        }
        Ok(if reading.steps.is_empty() { None } else { Some(reading) })
    }

    fn step(&mut self, kind: &'static str) -> Result<(), Fault> {
        if let Understood::Effect(effect) = Effect::read(kind, self.object)? {
            self.steps.push((kind, effect));
        }
        Ok(())
    }

    fn read_session(&mut self, head: &Head) -> Result<(), Fault> {
        let session: Session<'_> = read("object", self.object)?;
        match session.status.as_ref().map(Text::as_str) {
            Some("open") => return Ok(()),
            Some("expired") => self.step("checkout.session.expired")?,
            _ => self.step("checkout.session.completed")?,
        }
        if let Some(list) = session.line_items {
            let (shown, more) = line_items::of_list(list)?;
            self.lines = Lines { shown, more };
        }
        let (shown, more) = (self.lines.shown.clone(), self.lines.more);
        if let Some(completed) = self.sessions().next()
            && completed.awaits_lines().is_some()
            && !more
        {
            completed.set_lines(shown);
        }
        if session.payment_failed() && !self.steps.is_empty() {
            self.step("checkout.session.async_payment_failed")?;
        }
        if let Some(at) = session.paid_at().or(head.created) {
            self.sessions().for_each(|session| session.happened_at(at));
        }
        Ok(())
    }

    fn read_invoice(&mut self) -> Result<(), Fault> {
        self.step(Family::Invoice.event_type(false))?;
        let invoice: Collected = read("object", self.object)?;
        if let (Some(at), Some((_, Effect::Invoice(effect)))) =
            (invoice.collected_at(), self.steps.last_mut())
        {
            effect.collected_at(at);
        }
        Ok(())
    }

    fn sessions(&mut self) -> impl Iterator<Item = &mut CheckoutSession> {
        self.steps.iter_mut().filter_map(|(_, effect)| match effect {
            Effect::CheckoutSession(session) => Some(&mut **session),
            _ => None,
        })
    }

    /// The session's id where the list shows not all of its lines.
    pub fn awaits_lines(&self) -> Option<&str> {
        match self.steps.first() {
            Some((_, Effect::CheckoutSession(session))) => session.awaits_lines(),
            _ => None,
        }
    }

    /// Takes the lines that were fetched.
    pub fn set_lines(&mut self, lines: Vec<Line>) {
        if let Some(session) = self.sessions().next() {
            session.set_lines(lines);
        }
    }

    /// The object, as JSON.
    pub fn object(&self) -> &'a RawValue {
        self.object
    }

    /// What our rows should hold of it; `now` is when it was read.
    pub fn row(&self, now: OffsetDateTime) -> Row {
        let (_, last) = self.steps.last().expect("a reading has a step");
        match last {
            Effect::CheckoutSession(session) => {
                let (lines, more) = self.lines();
                session.row(lines, more)
            }
            Effect::PaymentIntent(payment) => payment.row(),
            Effect::Charge(charge) => charge.row(self.version),
            Effect::Refund(refund) => refund.row(self.version),
            Effect::Dispute(dispute) => dispute.row(Instant(now)),
            Effect::Customer(customer) => customer.row(),
            Effect::Subscription(subscription) => subscription.row(),
            Effect::Invoice(invoice) => invoice.row(),
            Effect::InvoicePayment(payment) => payment.row(),
            Effect::ConnectedAccount(account) => account.row(),
            Effect::Payout(payout) => payout.row(),
            Effect::CatalogItem(item) => item.row(),
        }
    }

    /// The lines that are known, and whether there may be more.
    fn lines(&self) -> (&[Line], bool) {
        match self.steps.first() {
            Some((_, Effect::CheckoutSession(session))) => match session.known_lines() {
                Some(known) => (known, false),
                None => (&self.lines.shown, self.lines.more),
            },
            _ => (&[], false),
        }
    }

    /// Writes the object, as of the second up to which Stripe's answer knew all. The connection is in a transaction, and
    /// has [`super::inbox::session_options`].
    ///
    /// # Errors
    /// Postgres' own.
    pub async fn write(
        &mut self,
        connection: &mut PgConnection,
        known_until: OffsetDateTime,
    ) -> Result<(), sqlx::Error> {
        self.keep_known_times(connection).await?;
        if let Some((_, Effect::CheckoutSession(session))) = self.steps.first() {
            session.write_lines_as_said(connection).await?;
        }
        let steps = i64::try_from(self.steps.len()).unwrap_or(i64::MAX);
        for (at, (kind, effect)) in self.steps.iter().enumerate() {
            let event = Event {
                id: format!("read_{}", known_until.unix_timestamp()),
                kind: (*kind).to_owned(),
                api_version: Some(Text::from(self.version)),
                account: self.account.map(Text::from),
                livemode: None,
                created: Some(known_until),
                received: std::time::Instant::now(),
                body: self.object.get().as_bytes(),
                object: Ok(self.object),
            };
            let rank = RANK - steps + i64::try_from(at).unwrap_or_default() + 1;
            let query = sqlx::query(AssertSqlSafe(effects_alone(effect)));
            // Not the reconcile of an event: the caller says in the audit log what it did.
            bound(query, &event, effect, Source::Webhook, rank).execute(&mut *connection).await?;
        }
        Ok(())
    }

    /// What a row knows from the event itself is better than what the object shows.
    async fn keep_known_times(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let known = match self.family {
            Family::CheckoutSession => "select paid_at from recoup.orders where id = $1",
            Family::Invoice => "select collected_at from recoup.invoices where id = $1",
            _ => return Ok(()),
        };
        let known: Option<Option<OffsetDateTime>> =
            sqlx::query_scalar(known).bind(&self.id).fetch_optional(connection).await?;
        if let Some(at) = known.flatten().map(Instant) {
            for (_, effect) in &mut self.steps {
                match effect {
                    Effect::CheckoutSession(session) => session.happened_at(at),
                    Effect::Invoice(invoice) => invoice.collected_at(at),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading<'a>(family: Family, json: &'a str) -> Option<Reading<'a>> {
        let object: &RawValue = serde_json::from_str(json).expect("json");
        let head = Head::read(object).expect("a head");
        Reading::of(family, &head, object, None, "2026-09-30.endive").expect("it can be read")
    }

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    #[test]
    fn a_session_was_paid_when_its_money_moved() {
        let session = |rest: &str| {
            format!(r#"{{"id":"cs_1","created":1,"status":"complete","mode":"payment",{rest}}}"#)
        };
        let paid = session(
            r#""payment_status":"paid","payment_intent":{"id":"pi_1","status":"succeeded","latest_charge":
            {"id":"ch_1","created":5,"balance_transaction":{"id":"txn_1","created":9}}},
            "line_items":{"data":[{"id":"li_1","quantity":2,"price":{"id":"price_1","product":"prod_1"}}],"has_more":false}"#,
        );
        let paid = reading(Family::CheckoutSession, &paid).expect("a sale");
        assert_eq!(paid.awaits_lines(), None);
        let row = paid.row(NOW);
        assert_eq!(
            (&row.columns["paid_at"], &row.parts[0]["lines"]),
            (&"1970-01-01T00:00:09Z".into(), &1.into())
        );
        let free = session(r#""payment_status":"no_payment_required""#);
        let free = reading(Family::CheckoutSession, &free).expect("a sale").row(NOW);
        assert_eq!(free.columns["paid_at"], "1970-01-01T00:00:01Z");
        let failed = session(
            r#""payment_status":"unpaid","payment_intent":{"id":"pi_1","status":"requires_payment_method"}"#,
        );
        let failed = reading(Family::CheckoutSession, &failed).expect("a sale");
        assert_eq!((failed.steps.len(), &failed.row(NOW).columns["status"]), (2, &"failed".into()));
        let open = r#"{"id":"cs_1","created":1,"status":"open","payment_status":"unpaid"}"#;
        assert!(reading(Family::CheckoutSession, open).is_none());
    }

    #[test]
    fn an_invoice_that_was_marked_as_paid_was_not_collected() {
        let collected = |rest: &str| {
            let json = format!(
                r#"{{"id":"in_1","created":1,"currency":"eur","amount_due":5,"amount_paid":5,"total":5,"status":"paid",
                "lines":{{"data":[]}},"status_transitions":{{"paid_at":7}},{rest}}}"#
            );
            reading(Family::Invoice, &json).expect("an invoice").row(NOW).columns["collected_at"].clone()
        };
        let by =
            |payment: &str| format!(r#""payments":{{"data":[{{"status":"paid","payment":{payment}}}]}}"#);
        assert_eq!(collected(&by(r#"{"payment_intent":"pi_1"}"#)), "1970-01-01T00:00:07Z");
        assert_eq!(collected(&by("{}")), serde_json::Value::Null);
        assert_eq!(collected(r#""payments":{"data":[]}"#), serde_json::Value::Null);
        assert_eq!(collected(r#""paid_out_of_band":false"#), "1970-01-01T00:00:07Z");
    }

    #[test]
    fn every_family_has_a_place_in_the_api() {
        for family in Family::ALL {
            assert_eq!(Family::of_object(family.object()), Some(family));
            assert!(family.path().starts_with("/v1/") && family.path().ends_with('s'), "{family:?}");
        }
    }
}
