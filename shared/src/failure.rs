//! The one error that leaves a function.
//!
//! Every module has an error type of its own; at the door each becomes a [`Failure`]: a stable
//! `error_type` that alarms and scripts may match on, and a message that names the operation, the object
//! and the remedy. Lambda shows both to the caller as `errorType` and `errorMessage`. Where a check found something, what
//! follows [`FINDINGS`] in the message is that as JSON, for scripts.

use std::error::Error;
use std::fmt;

use lambda_runtime::Diagnostic;
use serde::Serialize;

/// Parts the sentence of a message from its JSON.
pub const FINDINGS: &str = " Findings: ";

/// Why an invocation did not do its work.
#[derive(Debug)]
pub struct Failure {
    error_type: &'static str,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
    findings: Option<serde_json::Value>,
}

impl Failure {
    /// A failure with its stable type (PascalCase, never renamed) and a message: operation, object, remedy.
    pub fn new(error_type: &'static str, message: impl Into<String>) -> Self {
        Self { error_type, message: message.into(), source: None, findings: None }
    }

    /// The caller's request cannot be understood or carried out as it stands.
    pub fn invalid_request(message: impl Into<String>) -> Self {
        Self::new("InvalidRequest", message)
    }

    /// Keeps the error that led here; its chain of causes is appended to the message that leaves.
    #[must_use]
    pub fn with_source(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Adds what a check found, as JSON at the end of the message. The caller keeps it short: samples and counts.
    #[must_use]
    pub fn with_findings(mut self, findings: &impl Serialize) -> Self {
        self.findings = serde_json::to_value(findings).ok();
        self
    }

    /// What a check found.
    pub fn findings(&self) -> Option<&serde_json::Value> {
        self.findings.as_ref()
    }

    /// The stable type, for alarms and scripts.
    pub fn error_type(&self) -> &'static str {
        self.error_type
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        let mut shown = self.message.clone();
        let mut cause = self.source.as_deref().map(|source| source as &dyn Error);
        while let Some(error) = cause {
            let text = error.to_string();
            if !shown.contains(&text) {
                write!(f, ": {text}")?;
                shown.push_str(&text);
            }
            cause = error.source();
        }
        match &self.findings {
            None => Ok(()),
            Some(findings) => write!(f, "{FINDINGS}{findings}"),
        }
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Self {
        Self { error_type: failure.error_type.to_owned(), error_message: failure.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_of_causes_is_in_the_message_once() {
        let cause = std::io::Error::other("disk on fire");
        let failure = Failure::new("StoreUnavailable", "write part 3: try again").with_source(cause);
        let diagnostic = Diagnostic::from(failure);
        assert_eq!(diagnostic.error_type, "StoreUnavailable");
        assert_eq!(diagnostic.error_message, "write part 3: try again: disk on fire");
    }

    #[test]
    fn findings_are_json_at_the_end_of_the_message() {
        let failure = Failure::new("InvariantBroken", "check the rows: 1 rule is broken.")
            .with_findings(&serde_json::json!({"broken": 1}));
        let message = Diagnostic::from(failure).error_message;
        let (_, findings) = message.split_once(FINDINGS).expect("findings");
        assert_eq!(serde_json::from_str::<serde_json::Value>(findings).expect("JSON")["broken"], 1);
    }
}
