//! The types of objects, and what the parts that treat them alike need to know of each.

/// A type of object that has an id and a table of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Account,
    BalanceTransaction,
    Charge,
    CheckoutSession,
    Customer,
    Dispute,
    Invoice,
    InvoiceItem,
    InvoicePayment,
    PaymentIntent,
    PaymentMethod,
    Payout,
    Price,
    Product,
    Refund,
    Subscription,
    WebhookEndpoint,
}

impl Kind {
    /// How a message calls one: `No such …: 'id'`.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::BalanceTransaction => "balance transaction",
            Self::Charge => "charge",
            Self::CheckoutSession => "checkout.session",
            Self::Customer => "customer",
            Self::Dispute => "dispute",
            Self::Invoice => "invoice",
            Self::InvoiceItem => "invoiceitem",
            Self::InvoicePayment => "invoice payment",
            Self::PaymentIntent => "payment_intent",
            Self::PaymentMethod => "PaymentMethod",
            Self::Payout => "payout",
            Self::Price => "price",
            Self::Product => "product",
            Self::Refund => "refund",
            Self::Subscription => "subscription",
            Self::WebhookEndpoint => "webhook endpoint",
        }
    }

    /// The `param` of a 404 for an unknown id in the path.
    pub fn path_param(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::CheckoutSession => "session",
            Self::Dispute => "dispute",
            Self::Invoice => "invoice",
            Self::InvoiceItem => "invoiceitem",
            Self::InvoicePayment => "invoice_payment",
            Self::PaymentIntent => "intent",
            Self::PaymentMethod => "payment_method",
            Self::Payout => "payout",
            Self::Price => "price",
            Self::WebhookEndpoint => "webhook_endpoint",
            Self::BalanceTransaction
            | Self::Charge
            | Self::Customer
            | Self::Product
            | Self::Refund
            | Self::Subscription => "id",
        }
    }

    /// The fields (dotted paths; `[]` is each entry of a list) that lists filter by.
    pub fn indexed(self) -> &'static [&'static str] {
        match self {
            Self::BalanceTransaction => &["source", "type", "currency", "payout"],
            Self::Charge => &["customer", "payment_intent", "transfer_group"],
            Self::CheckoutSession => {
                &["customer", "payment_intent", "status", "subscription", "customer_details.email"]
            }
            Self::Customer => &["email"],
            Self::Dispute => &["charge", "payment_intent"],
            Self::Invoice => {
                &["customer", "status", "collection_method", "parent.subscription_details.subscription"]
            }
            Self::InvoiceItem => &["customer", "invoice"],
            Self::InvoicePayment => &["invoice", "status", "payment.payment_intent", "payment.type"],
            Self::PaymentMethod => &["customer", "type"],
            Self::Payout => &["status", "destination"],
            Self::Subscription => &["customer", "status", "collection_method", "items.data[].price.id"],
            Self::PaymentIntent => &["customer"],
            Self::Price => &["product", "active", "currency", "type", "lookup_key"],
            Self::Product => &["id", "active", "url", "shippable"],
            Self::Refund => &["charge", "payment_intent"],
            Self::Account | Self::WebhookEndpoint => &[],
        }
    }

    /// Fields (dotted paths) that hold an id which `expand[]` replaces by its object.
    pub fn expandable(self) -> &'static [(&'static str, Kind)] {
        match self {
            Self::BalanceTransaction => &[("source", Kind::Charge)],
            Self::Charge => &[
                ("balance_transaction", Kind::BalanceTransaction),
                ("customer", Kind::Customer),
                ("failure_balance_transaction", Kind::BalanceTransaction),
                ("payment_intent", Kind::PaymentIntent),
            ],
            Self::CheckoutSession => &[
                ("customer", Kind::Customer),
                ("invoice", Kind::Invoice),
                ("payment_intent", Kind::PaymentIntent),
                ("subscription", Kind::Subscription),
            ],
            Self::PaymentIntent => &[
                ("customer", Kind::Customer),
                ("latest_charge", Kind::Charge),
                ("payment_method", Kind::PaymentMethod),
            ],
            Self::Customer => &[("invoice_settings.default_payment_method", Kind::PaymentMethod)],
            Self::Dispute => &[("charge", Kind::Charge), ("payment_intent", Kind::PaymentIntent)],
            Self::Invoice => &[
                ("customer", Kind::Customer),
                ("default_payment_method", Kind::PaymentMethod),
                ("parent.subscription_details.subscription", Kind::Subscription),
            ],
            Self::InvoiceItem => &[
                ("customer", Kind::Customer),
                ("invoice", Kind::Invoice),
                ("parent.subscription_details.subscription", Kind::Subscription),
                ("pricing.price_details.price", Kind::Price),
            ],
            Self::InvoicePayment => {
                &[("invoice", Kind::Invoice), ("payment.payment_intent", Kind::PaymentIntent)]
            }
            Self::PaymentMethod => &[("customer", Kind::Customer)],
            Self::Payout => &[
                ("balance_transaction", Kind::BalanceTransaction),
                ("failure_balance_transaction", Kind::BalanceTransaction),
            ],
            Self::Subscription => &[
                ("customer", Kind::Customer),
                ("default_payment_method", Kind::PaymentMethod),
                ("latest_invoice", Kind::Invoice),
            ],
            Self::Price => &[("product", Kind::Product)],
            Self::Product => &[("default_price", Kind::Price)],
            Self::Refund => &[
                ("balance_transaction", Kind::BalanceTransaction),
                ("charge", Kind::Charge),
                ("failure_balance_transaction", Kind::BalanceTransaction),
                ("payment_intent", Kind::PaymentIntent),
            ],
            Self::Account | Self::WebhookEndpoint => &[],
        }
    }

    /// The kind of an object by its `object` field.
    pub fn of_object(object: &str) -> Option<Self> {
        Some(match object {
            "account" => Self::Account,
            "balance_transaction" => Self::BalanceTransaction,
            "charge" => Self::Charge,
            "checkout.session" => Self::CheckoutSession,
            "customer" => Self::Customer,
            "dispute" => Self::Dispute,
            "invoice" => Self::Invoice,
            "invoice_payment" => Self::InvoicePayment,
            "invoiceitem" => Self::InvoiceItem,
            "payment_intent" => Self::PaymentIntent,
            "payment_method" => Self::PaymentMethod,
            "payout" => Self::Payout,
            "price" => Self::Price,
            "product" => Self::Product,
            "refund" => Self::Refund,
            "subscription" => Self::Subscription,
            "webhook_endpoint" => Self::WebhookEndpoint,
            _ => return None,
        })
    }

    /// The kind of an object by its id's prefix: what `balance_transaction.source` holds is told only by it.
    pub fn of_id(id: &str) -> Option<Self> {
        Some(match id.split_once('_')?.0 {
            "acct" => Self::Account,
            "ch" | "py" => Self::Charge,
            "re" | "pyr" => Self::Refund,
            "cs" => Self::CheckoutSession,
            "cus" => Self::Customer,
            "dp" | "du" => Self::Dispute,
            "ii" => Self::InvoiceItem,
            "in" => Self::Invoice,
            "inpay" => Self::InvoicePayment,
            "pi" => Self::PaymentIntent,
            "pm" => Self::PaymentMethod,
            "po" => Self::Payout,
            "price" => Self::Price,
            "prod" => Self::Product,
            "sub" => Self::Subscription,
            "txn" => Self::BalanceTransaction,
            "we" => Self::WebhookEndpoint,
            _ => return None,
        })
    }
}
