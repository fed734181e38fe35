//! What was found: one difference between what Stripe says and what the rows say.

use serde::Serialize;
use serde_json::Value;

/// Our columns that hold personal data. Their values are masked wherever a finding is shown.
const PERSONAL: [&str; 4] = ["email", "name", "client_reference_id", "description"];

/// How the two differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Stripe has it, and we do not.
    MissingHere,
    /// We have it, and Stripe does not. Reported, never deleted.
    MissingThere,
    /// Both have it, and a field differs.
    Different,
}

/// One difference. Masked from the start: a finding holds no personal data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// How the two differ.
    pub kind: Kind,
    /// Stripe's name of the object's type, such as `charge` or `checkout.session`.
    pub object: &'static str,
    /// The object's id.
    pub id: String,
    /// The connected account that it is in; `None` for the platform's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Which of our columns differs, such as `amount`; of another table than the object's own with its row:
    /// `tickets[cs_1,1,2].revoked_at`. `None` where the whole object is missing, or could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What follows from what Stripe says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stripe: Option<Value>,
    /// What our row says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ours: Option<Value>,
    /// Whether it was repaired, and committed.
    pub repaired: bool,
    /// Why it was not, or what else a person should know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Finding {
    /// A difference of a whole object.
    pub fn of(kind: Kind, object: &'static str, id: impl Into<String>, account: Option<&str>) -> Self {
        Self {
            kind,
            object,
            id: id.into(),
            account: account.map(str::to_owned),
            field: None,
            stripe: None,
            ours: None,
            repaired: false,
            reason: None,
        }
    }

    /// The same of one field, whose last part is our column's name.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>, stripe: Option<Value>, ours: Option<Value>) -> Self {
        let field = field.into();
        let column = field.rsplit('.').next().unwrap_or(&field);
        self.stripe = stripe.map(|value| masked(column, value));
        self.ours = ours.map(|value| masked(column, value));
        self.field = Some(field);
        self
    }

    /// The same with a reason.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }
}

/// The value as it may be shown: of a column with personal data the first letter stays.
fn masked(column: &str, value: Value) -> Value {
    match value {
        Value::String(text) if PERSONAL.contains(&column) => {
            let first: String = text.chars().take(1).filter(|letter| letter.is_alphanumeric()).collect();
            format!("{first}***").into()
        }
        value => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn personal_data_is_masked_and_money_is_not() {
        let different = Finding::of(Kind::Different, "customer", "cus_1", None);
        let email = different.clone().field("email", Some(json!("ada@example.com")), Some(Value::Null));
        assert_eq!((email.stripe, email.ours), (Some(json!("a***")), Some(Value::Null)));
        let name = different.clone().field("customers[cus_2].name", None, Some(json!("Bob")));
        assert_eq!((name.stripe, name.ours), (None, Some(json!("B***"))));
        let amount = different.field("amount", Some(json!(4900)), Some(json!(4800)));
        assert_eq!(
            serde_json::to_value(amount).expect("json"),
            json!({"kind": "different", "object": "customer", "id": "cus_1", "field": "amount",
                "stripe": 4900, "ours": 4800, "repaired": false})
        );
    }
}
