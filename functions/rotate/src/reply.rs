//! What the function answers.

use serde::Serialize;
use time::OffsetDateTime;

use crate::kind::Kind;

/// What the function answers.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum RotateReply {
    /// To a step.
    Step(StepReply),
    /// To `rotate`.
    Rotated(RotatedReply),
    /// To `abandon`.
    Abandoned(AbandonedReply),
    /// To `finish_overlap`.
    Overlap(OverlapReply),
    /// To `status`.
    Status(StatusReply),
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done now.
    Done,
    /// It was done before.
    AlreadyDone,
    /// The secret has not been filled yet: there is nothing to rotate.
    NotFilled,
}

/// To a step.
#[derive(Debug, Serialize)]
pub struct StepReply {
    /// As Secrets Manager calls it.
    pub step: &'static str,
    /// Which secret.
    pub secret: Kind,
    /// What became of it.
    pub status: Outcome,
    /// The version that it was about.
    pub version: String,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// To `rotate`.
#[derive(Debug, Serialize)]
pub struct RotatedReply {
    /// `rotate`.
    pub action: &'static str,
    /// Which secret.
    pub secret: Kind,
    /// `completed`.
    pub status: &'static str,
    /// The version that is current now.
    pub version: String,
    /// Whether a rotation that had begun before was brought to its end.
    pub resumed: bool,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// To `abandon`.
#[derive(Debug, Serialize)]
pub struct AbandonedReply {
    /// `abandon`.
    pub action: &'static str,
    /// Which secret.
    pub secret: Kind,
    /// `completed`, or `nothing_pending`.
    pub status: &'static str,
    /// The version that was given up.
    pub version: Option<String>,
    /// Endpoints at Stripe that were made for it, and are gone.
    pub endpoints_deleted: Vec<String>,
}

/// To `finish_overlap`.
#[derive(Debug, Default, Serialize)]
pub struct OverlapReply {
    /// `finish_overlap`.
    pub action: &'static str,
    /// `completed`.
    pub status: &'static str,
    /// Endpoints that were left without their types of events, and have them now.
    pub endpoints_opened: Vec<String>,
    /// Old endpoints, and such as a broken rotation left, that are gone now.
    pub endpoints_deleted: Vec<String>,
    /// Old endpoints whose overlap is not over.
    pub endpoints_waiting: Vec<Waiting>,
    /// Entries of the secret whose previous value is accepted no more from now on.
    pub previous_dropped: Vec<String>,
}

/// An old endpoint that is still needed.
#[derive(Debug, Serialize)]
pub struct Waiting {
    /// Its id at Stripe.
    pub endpoint_id: String,
    /// When it may go.
    #[serde(with = "time::serde::rfc3339")]
    pub until: OffsetDateTime,
}

/// To `status`.
#[derive(Debug, Serialize)]
pub struct StatusReply {
    /// `status`.
    pub action: &'static str,
    /// `completed`.
    pub status: &'static str,
    /// Each secret.
    pub secrets: Vec<Standing>,
}

/// How a secret stands.
#[derive(Debug, Serialize)]
pub struct Standing {
    /// Which.
    pub secret: Kind,
    /// Its name.
    pub name: String,
    /// When anything of it was last changed.
    #[serde(with = "time::serde::rfc3339::option")]
    pub changed_at: Option<OffsetDateTime>,
    /// When Secrets Manager last rotated it.
    #[serde(with = "time::serde::rfc3339::option")]
    pub rotated_at: Option<OffsetDateTime>,
    /// When it will next.
    #[serde(with = "time::serde::rfc3339::option")]
    pub next_rotation_at: Option<OffsetDateTime>,
    /// A version that a rotation prepared and that is not current yet.
    pub pending_version: Option<String>,
    /// For `stripe_webhook`: what still overlaps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlaps: Option<Vec<Overlap>>,
}

/// Two secrets of one endpoint that are both accepted.
#[derive(Debug, Serialize)]
pub struct Overlap {
    /// The entry of the secret.
    pub endpoint: String,
    /// The endpoint at Stripe that is current.
    pub endpoint_id: Option<String>,
    /// The one before it.
    pub previous_endpoint_id: Option<String>,
    /// When the new one was made.
    pub rotated_at: Option<String>,
}
