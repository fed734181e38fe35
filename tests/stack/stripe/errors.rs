//! Refusals, in the words and codes of <https://docs.stripe.com/api/errors>.

use serde_json::{Map, Value, json};

use super::json;

/// An answer that is not 2xx.
#[derive(Debug, Clone)]
pub struct ApiError {
    pub status: u16,
    /// Whether an idempotency key keeps this answer. Stripe keeps what an endpoint decided, and forgets what
    /// was refused before it ran (bad parameters, keys, rate limits).
    pub kept: bool,
    fields: Map<String, Value>,
}

pub type Result<T> = std::result::Result<T, ApiError>;

impl ApiError {
    fn new(status: u16, kind: &str, code: Option<&str>, message: String, param: Option<String>) -> Self {
        let mut fields = Map::new();
        fields.insert("type".into(), kind.into());
        fields.insert("message".into(), message.into());
        if let Some(code) = code {
            fields.insert(
                "doc_url".into(),
                format!("https://stripe.com/docs/error-codes/{}", code.replace('_', "-")).into(),
            );
            fields.insert("code".into(), code.into());
        }
        if let Some(param) = param {
            fields.insert("param".into(), param.into());
        }
        Self { status, kept: true, fields }
    }

    fn before_running(mut self) -> Self {
        self.kept = false;
        self
    }

    /// A request that the resource's rules refuse.
    pub fn refused(code: Option<&str>, message: impl Into<String>, param: Option<&str>) -> Self {
        Self::new(400, "invalid_request_error", code, message.into(), param.map(str::to_owned))
    }

    /// A parameter with a value that cannot be.
    pub fn invalid(code: Option<&str>, message: impl Into<String>, param: impl Into<String>) -> Self {
        Self::new(400, "invalid_request_error", code, message.into(), Some(param.into())).before_running()
    }

    pub fn missing(param: &str) -> Self {
        Self::invalid(Some("parameter_missing"), format!("Missing required param: {param}."), param)
    }

    pub fn unknown_parameters(names: &[String]) -> Self {
        let plural = if names.len() > 1 { "s" } else { "" };
        let message = format!("Received unknown parameter{plural}: {}", names.join(", "));
        Self::invalid(Some("parameter_unknown"), message, names[0].clone())
    }

    /// A parameter of Stripe's that this stand-in does not act on. Ignoring it would make a test pass that
    /// Stripe would not.
    pub fn not_simulated(param: &str) -> Self {
        let message =
            format!("The stand-in does not simulate `{param}`. Leave it out, or teach the stand-in.");
        Self::invalid(Some("not_simulated"), message, param)
    }

    /// An unknown id: 404 where the path names it, 400 where a parameter does.
    pub fn no_such(noun: &str, id: &str, param: &str, status: u16) -> Self {
        let message = format!("No such {noun}: '{id}'");
        Self::new(status, "invalid_request_error", Some("resource_missing"), message, Some(param.into()))
    }

    pub fn unknown_url(method: &str, path: &str) -> Self {
        let message = format!(
            "Unrecognized request URL ({method}: {path}). Please see https://stripe.com/docs or we can help at \
             https://support.stripe.com/."
        );
        Self::new(404, "invalid_request_error", None, message, None).before_running()
    }

    pub fn unauthorized(code: Option<&str>, message: String) -> Self {
        Self::new(401, "invalid_request_error", code, message, None).before_running()
    }

    /// A restricted key that may not do this.
    pub fn lacks_rights(key: &str) -> Self {
        let message =
            format!("The provided key '{key}' does not have the required permissions for this endpoint.");
        Self::new(403, "invalid_request_error", None, message, None).before_running()
    }

    pub fn no_access(key: &str, account: &str) -> Self {
        let message = format!(
            "The provided key '{key}' does not have access to account '{account}' (or that account does not exist). \
             Application access may have been revoked."
        );
        Self::new(403, "invalid_request_error", Some("account_invalid"), message, None).before_running()
    }

    pub fn rate_limited() -> Self {
        let message = "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits.";
        Self::new(429, "invalid_request_error", Some("rate_limit"), message.into(), None).before_running()
    }

    pub fn idempotency(message: String) -> Self {
        Self::new(400, "idempotency_error", None, message, None).before_running()
    }

    pub fn server() -> Self {
        let message = "An unknown error occurred. The stand-in was told to answer so.";
        Self::new(500, "api_error", None, message.into(), None).before_running()
    }

    /// A declined card (402).
    pub fn card(code: &str, decline_code: &str, message: &str) -> Self {
        let mut error = Self::new(402, "card_error", Some(code), message.into(), None);
        error.fields.insert("decline_code".into(), decline_code.into());
        error
    }

    /// A payment that waits for its buyer, where none is there (402).
    pub fn requires_action(code: &str, message: &str) -> Self {
        Self::new(402, "card_error", Some(code), message.into(), None)
    }

    /// Adds a field, e.g. the payment intent that a card error is about.
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.fields.insert(name.into(), value);
        self
    }

    /// The error's own fields, as `last_payment_error` repeats them.
    pub fn fields(&self) -> Value {
        Value::Object(self.fields.clone())
    }

    /// The body of the answer.
    pub fn body(&self, request_id: &str) -> String {
        let mut fields = self.fields.clone();
        let log = format!("https://dashboard.stripe.com/test/logs/{request_id}");
        fields.insert("request_log_url".into(), log.into());
        json::compact(&json!({ "error": fields }))
    }
}

/// A refusal, as the Rust handle gives it.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The HTTP status that the API would answer.
    pub status: u16,
    /// The `error` of its body: `type`, `code`, `message`, `param`, ….
    pub error: Value,
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self { status: error.status, error: error.fields() }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the Stripe stand-in refuses ({}): {}",
            self.status,
            self.error["message"].as_str().unwrap_or_default()
        )
    }
}

impl std::error::Error for Refusal {}
