//! Answers, as stable JSON in the form that the gateway reads.

use recoup::events::receive::Receipt;
use serde::Serialize;
use serde_json::json;

use crate::signals;

/// What the caller is told. To EventBridge it says nothing more than that there was no error.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    /// Of HTTP.
    pub status_code: u16,
    headers: ContentType,
    /// JSON.
    pub body: String,
    is_base64_encoded: bool,
}

#[derive(Debug, Serialize)]
struct ContentType {
    #[serde(rename = "content-type")]
    content_type: &'static str,
}

impl Reply {
    /// An answer with a JSON body.
    pub(crate) fn json(status_code: u16, body: &impl Serialize) -> Self {
        Self {
            status_code,
            headers: ContentType { content_type: "application/json" },
            body: serde_json::to_string(body).expect("replies are plain structures"),
            is_base64_encoded: false,
        }
    }

    /// A refusal.
    pub(crate) fn error(status_code: u16, error_type: &str, message: &str) -> Self {
        Self::json(status_code, &json!({ "error": { "type": error_type, "message": message } }))
    }

    /// What Stripe's dashboard shows of a delivery: that the event is kept, and what became of it.
    pub(crate) fn received(receipt: &Receipt) -> Self {
        #[derive(Serialize)]
        struct Received<'r> {
            received: bool,
            event: &'r str,
            outcome: &'static str,
        }
        let outcome = signals::word(&receipt.outcome);
        Self::json(200, &Received { received: true, event: &receipt.event_id, outcome })
    }
}
