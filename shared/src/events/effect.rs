//! What an event does: one variant a family, each with its statement, its rank and its values.

use serde_json::value::RawValue;

use super::catalog_item::CatalogItem;
use super::charge::Charge;
use super::checkout_session::CheckoutSession;
use super::connected_account::ConnectedAccount;
use super::customer::Customer;
use super::dispute::Dispute;
use super::field::Fault;
use super::invoice::Invoice;
use super::invoice_payment::InvoicePayment;
use super::payment_intent::PaymentIntent;
use super::payout::Payout;
use super::refund::Refund;
use super::statement::Statement;
use super::subscription::Subscription;
use super::tie::Mirror;

/// What one event does to the rows.
#[derive(Debug)]
pub enum Effect {
    /// `checkout.session.*`
    CheckoutSession(Box<CheckoutSession>),
    /// `payment_intent.*`
    PaymentIntent(PaymentIntent),
    /// `charge.*`, save what is about a refund or a dispute.
    Charge(Box<Charge>),
    /// `refund.*` and `charge.refund.updated`
    Refund(Box<Refund>),
    /// `charge.dispute.*`
    Dispute(Box<Dispute>),
    /// `customer.created`, `customer.updated`, `customer.deleted`
    Customer(Customer),
    /// `customer.subscription.*`
    Subscription(Box<Subscription>),
    /// `invoice.*`, save `invoice.upcoming`
    Invoice(Box<Invoice>),
    /// `invoice_payment.*`
    InvoicePayment(Box<InvoicePayment>),
    /// `account.updated`
    ConnectedAccount(Box<ConnectedAccount>),
    /// `payout.*`
    Payout(Box<Payout>),
    /// `product.*` and `price.*`
    CatalogItem(Box<CatalogItem>),
}

/// What can be said of an event before its object is written.
#[derive(Debug)]
pub enum Understood {
    /// It has an effect.
    Effect(Effect),
    /// It is kept without one, for this reason.
    Ignored(&'static str),
}

impl Effect {
    /// Reads what an event of this type does.
    ///
    /// # Errors
    /// The field that is missing or cannot be read.
    pub fn read(kind: &str, object: &RawValue) -> Result<Understood, Fault> {
        let effect = match kind {
            "checkout.session.completed"
            | "checkout.session.async_payment_succeeded"
            | "checkout.session.async_payment_failed"
            | "checkout.session.expired" => match CheckoutSession::read(kind, object)? {
                Some(session) => Self::CheckoutSession(Box::new(session)),
                None => return Ok(Understood::Ignored("a setup session sells nothing")),
            },
            "charge.refund.updated" | "refund.created" | "refund.updated" | "refund.failed" => {
                Self::Refund(Box::new(Refund::read(kind, object)?))
            }
            "customer.created" | "customer.updated" | "customer.deleted" => {
                Self::Customer(Customer::read(kind, object)?)
            }
            "invoice.upcoming" => return Ok(Understood::Ignored("an upcoming invoice is no invoice yet")),
            "account.updated" => Self::ConnectedAccount(Box::new(ConnectedAccount::read(object)?)),
            _ if kind.starts_with("payment_intent.") => {
                Self::PaymentIntent(PaymentIntent::read(kind, object)?)
            }
            _ if kind.starts_with("charge.dispute.") => Self::Dispute(Box::new(Dispute::read(kind, object)?)),
            _ if kind.starts_with("charge.") => Self::Charge(Box::new(Charge::read(kind, object)?)),
            _ if kind.starts_with("customer.subscription.") => {
                Self::Subscription(Box::new(Subscription::read(kind, object)?))
            }
            _ if kind.starts_with("invoice.") => Self::Invoice(Box::new(Invoice::read(kind, object)?)),
            _ if kind.starts_with("invoice_payment.") => {
                Self::InvoicePayment(Box::new(InvoicePayment::read(object)?))
            }
            _ if kind.starts_with("payout.") => Self::Payout(Box::new(Payout::read(kind, object)?)),
            _ if kind.starts_with("product.") || kind.starts_with("price.") => {
                Self::CatalogItem(Box::new(CatalogItem::read(kind, object)?))
            }
            _ => return Ok(Understood::Ignored(NOT_APPLIED)),
        };
        Ok(Understood::Effect(effect))
    }

    /// The one statement that records the event and writes its effects.
    pub fn statement(&self) -> &'static str {
        match self {
            Self::CheckoutSession(_) => CheckoutSession::STATEMENT,
            Self::PaymentIntent(_) => PaymentIntent::STATEMENT,
            Self::Charge(_) => Charge::STATEMENT,
            Self::Refund(_) => Refund::STATEMENT,
            Self::Dispute(_) => Dispute::STATEMENT,
            Self::Customer(_) => Customer::STATEMENT,
            Self::Subscription(_) => Subscription::STATEMENT,
            Self::Invoice(_) => Invoice::STATEMENT,
            Self::InvoicePayment(_) => InvoicePayment::STATEMENT,
            Self::ConnectedAccount(_) => ConnectedAccount::STATEMENT,
            Self::Payout(_) => Payout::STATEMENT,
            Self::CatalogItem(_) => CatalogItem::STATEMENT,
        }
    }

    /// A shorter statement of the same values for the ordinary case. It looks whether that is what it finds, says so
    /// as `ready`, and writes nothing where it is not: then [`Effect::statement`] has to be run.
    pub fn short_statement(&self) -> Option<&'static str> {
        match self {
            Self::Charge(charge) if !charge.shows_refunds() => Some(Charge::STATEMENT_UNREFUNDED),
            _ => None,
        }
    }

    /// How far the object had come at this event: it settles events of one second.
    pub fn rank(&self) -> i64 {
        match self {
            Self::CheckoutSession(session) => session.rank(),
            Self::PaymentIntent(payment) => payment.rank(),
            Self::Charge(charge) => charge.rank(),
            Self::Refund(refund) => refund.rank(),
            Self::Dispute(dispute) => dispute.rank(),
            Self::Customer(customer) => customer.rank(),
            Self::Subscription(subscription) => subscription.rank(),
            Self::Invoice(invoice) => invoice.rank(),
            Self::InvoicePayment(payment) => payment.rank(),
            Self::ConnectedAccount(account) => account.rank(),
            Self::Payout(payout) => payout.rank(),
            Self::CatalogItem(item) => item.rank(),
        }
    }

    /// The object that this effect writes, where events of one second can be tied: see [`super::tie`].
    pub fn mirrors(&self) -> Option<(Mirror, &str)> {
        match self {
            Self::PaymentIntent(payment) => Some((Mirror::Payments, payment.id())),
            Self::Charge(charge) => Some((Mirror::Charges, charge.id())),
            Self::Refund(refund) => Some((Mirror::Refunds, refund.id())),
            Self::Customer(customer) => Some((Mirror::Customers, customer.id())),
            Self::CatalogItem(item) => Some((Mirror::CatalogItems, item.id())),
            Self::Dispute(dispute) => Some((Mirror::Disputes, dispute.id())),
            Self::Subscription(subscription) => Some((Mirror::Subscriptions, subscription.id())),
            Self::Invoice(invoice) => Some((Mirror::Invoices, invoice.id())),
            Self::ConnectedAccount(account) => Some((Mirror::ConnectedAccounts, account.id())),
            Self::Payout(payout) => Some((Mirror::Payouts, payout.id())),
            // One change is all that it can have: it is paid, or it is not.
            Self::InvoicePayment(_) => None,
            // Each of a session's events shows another step of its life.
            Self::CheckoutSession(_) => None,
        }
    }

    /// Binds the family's values behind the event's own.
    pub fn bind<'q>(&'q self, statement: Statement<'q>) -> Statement<'q> {
        match self {
            Self::CheckoutSession(session) => session.bind(statement),
            Self::PaymentIntent(payment) => payment.bind(statement),
            Self::Charge(charge) => charge.bind(statement),
            Self::Refund(refund) => refund.bind(statement),
            Self::Dispute(dispute) => dispute.bind(statement),
            Self::Customer(customer) => customer.bind(statement),
            Self::Subscription(subscription) => subscription.bind(statement),
            Self::Invoice(invoice) => invoice.bind(statement),
            Self::InvoicePayment(payment) => payment.bind(statement),
            Self::ConnectedAccount(account) => account.bind(statement),
            Self::Payout(payout) => payout.bind(statement),
            Self::CatalogItem(item) => item.bind(statement),
        }
    }
}

const NOT_APPLIED: &str = "events of this type have no effect here";
