//! A secret's value as JSON, of which a rotation changes some fields and keeps the rest.

use recoup::failure::Failure;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

/// The fields of a secret. They are never shown: there is no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Fields(Map<String, Value>);

impl Fields {
    /// Reads a value.
    ///
    /// # Errors
    /// `SecretInvalid`.
    pub fn read(id: &str, secret: &SecretString) -> Result<Self, Failure> {
        match serde_json::from_str(secret.expose_secret()) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            _ => Err(invalid(id, "it is not a JSON object")),
        }
    }

    /// A field that is itself an object, or else nothing.
    pub fn fields(&self, name: &str) -> Vec<(String, Self)> {
        let Some(Value::Object(fields)) = self.0.get(name) else { return Vec::new() };
        let object =
            |(name, value): (&String, &Value)| Some((name.clone(), Self(value.as_object()?.clone())));
        fields.iter().filter_map(object).collect()
    }

    /// Sets a field of a field that is an object.
    pub fn set_in(&mut self, name: &str, inner: &str, value: Self) {
        if let Some(Value::Object(fields)) = self.0.get_mut(name) {
            fields.insert(inner.to_owned(), Value::Object(value.0));
        }
    }

    /// A field.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// A field that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// Sets a field.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Takes a field away.
    pub fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// As it is stored.
    pub fn secret(&self) -> SecretString {
        Value::Object(self.0.clone()).to_string().into()
    }

    /// Whether it is still as the stack made it, without a value anywhere.
    pub fn is_unfilled(&self) -> bool {
        fn is_empty(value: &Value) -> bool {
            match value {
                Value::Null => true,
                Value::String(text) => text.is_empty(),
                Value::Array(list) => list.iter().all(is_empty),
                Value::Object(fields) => fields.values().all(is_empty),
                Value::Bool(_) | Value::Number(_) => false,
            }
        }
        self.0.values().all(is_empty)
    }
}

/// A value that is not as expected; never shown.
pub fn invalid(id: &str, reason: &str) -> Failure {
    Failure::new("SecretInvalid", format!("read secret {id}: {reason}; correct its value"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_stack_makes_is_unfilled_and_what_is_no_object_is_refused() {
        for (text, unfilled) in [
            (r#"{"url":""}"#, true),
            (r#"{"endpoints":{}}"#, true),
            (r#"{"identities":[]}"#, true),
            (r#"{"endpoints":{"platform":{"current":"whsec_1","previous":null}}}"#, false),
            (r#"{"host":"h","port":5432,"username":"","password":""}"#, false),
        ] {
            let fields = Fields::read("s", &text.to_owned().into()).unwrap_or_else(|_| panic!("{text}"));
            assert_eq!(fields.is_unfilled(), unfilled, "{text}");
        }
        let failure = Fields::read("shop/db", &r#"["hunter2"]"#.to_owned().into()).err().expect("refused");
        assert_eq!(failure.error_type(), "SecretInvalid");
        assert!(!failure.to_string().contains("hunter2"), "{failure}");
    }
}
