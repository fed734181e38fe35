//! The types of objects, and what the parts that treat them alike need to know of each.

/// A type of object that has an id and a table of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    BalanceTransaction,
    Charge,
    CheckoutSession,
    Customer,
    PaymentIntent,
    PaymentMethod,
    Price,
    Product,
    Refund,
    WebhookEndpoint,
}

impl Kind {
    /// How a message calls one: `No such …: 'id'`.
    pub fn noun(self) -> &'static str {
        match self {
            Self::BalanceTransaction => "balance transaction",
            Self::Charge => "charge",
            Self::CheckoutSession => "checkout.session",
            Self::Customer => "customer",
            Self::PaymentIntent => "payment_intent",
            Self::PaymentMethod => "PaymentMethod",
            Self::Price => "price",
            Self::Product => "product",
            Self::Refund => "refund",
            Self::WebhookEndpoint => "webhook endpoint",
        }
    }

    /// The `param` of a 404 for an unknown id in the path.
    pub fn path_param(self) -> &'static str {
        match self {
            Self::CheckoutSession => "session",
            Self::PaymentIntent => "intent",
            Self::PaymentMethod => "payment_method",
            Self::Price => "price",
            Self::WebhookEndpoint => "webhook_endpoint",
            Self::BalanceTransaction | Self::Charge | Self::Customer | Self::Product | Self::Refund => "id",
        }
    }

    /// The fields (dotted paths) that lists filter by.
    pub fn indexed(self) -> &'static [&'static str] {
        match self {
            Self::BalanceTransaction => &["source", "type", "currency"],
            Self::Charge => &["customer", "payment_intent", "transfer_group"],
            Self::CheckoutSession => &["customer", "payment_intent", "status", "customer_details.email"],
            Self::Customer => &["email"],
            Self::PaymentIntent => &["customer"],
            Self::Price => &["product", "active", "currency", "type", "lookup_key"],
            Self::Product => &["id", "active", "url", "shippable"],
            Self::Refund => &["charge", "payment_intent"],
            Self::PaymentMethod | Self::WebhookEndpoint => &[],
        }
    }

    /// Fields that hold an id which `expand[]` replaces by its object.
    pub fn expandable(self) -> &'static [(&'static str, Kind)] {
        match self {
            Self::BalanceTransaction => &[("source", Kind::Charge)],
            Self::Charge => &[
                ("balance_transaction", Kind::BalanceTransaction),
                ("customer", Kind::Customer),
                ("failure_balance_transaction", Kind::BalanceTransaction),
                ("payment_intent", Kind::PaymentIntent),
            ],
            Self::CheckoutSession => &[("customer", Kind::Customer), ("payment_intent", Kind::PaymentIntent)],
            Self::PaymentIntent => &[
                ("customer", Kind::Customer),
                ("latest_charge", Kind::Charge),
                ("payment_method", Kind::PaymentMethod),
            ],
            Self::PaymentMethod => &[("customer", Kind::Customer)],
            Self::Price => &[("product", Kind::Product)],
            Self::Product => &[("default_price", Kind::Price)],
            Self::Refund => &[
                ("balance_transaction", Kind::BalanceTransaction),
                ("charge", Kind::Charge),
                ("failure_balance_transaction", Kind::BalanceTransaction),
                ("payment_intent", Kind::PaymentIntent),
            ],
            Self::Customer | Self::WebhookEndpoint => &[],
        }
    }

    /// The kind of an object by its `object` field.
    pub fn of_object(object: &str) -> Option<Self> {
        Some(match object {
            "balance_transaction" => Self::BalanceTransaction,
            "charge" => Self::Charge,
            "checkout.session" => Self::CheckoutSession,
            "customer" => Self::Customer,
            "payment_intent" => Self::PaymentIntent,
            "payment_method" => Self::PaymentMethod,
            "price" => Self::Price,
            "product" => Self::Product,
            "refund" => Self::Refund,
            "webhook_endpoint" => Self::WebhookEndpoint,
            _ => return None,
        })
    }

    /// The kind of an object by its id's prefix: what `balance_transaction.source` holds is told only by it.
    pub fn of_id(id: &str) -> Option<Self> {
        Some(match id.split_once('_')?.0 {
            "ch" | "py" => Self::Charge,
            "re" | "pyr" => Self::Refund,
            "cs" => Self::CheckoutSession,
            "cus" => Self::Customer,
            "pi" => Self::PaymentIntent,
            "pm" => Self::PaymentMethod,
            "price" => Self::Price,
            "prod" => Self::Product,
            "txn" => Self::BalanceTransaction,
            "we" => Self::WebhookEndpoint,
            _ => return None,
        })
    }
}
