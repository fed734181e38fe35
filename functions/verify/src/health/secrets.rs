//! How old the secrets' values are.

use recoup::failure::Failure;
use recoup::secrets::SecretDates;
use serde_json::{Map, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Expectations, Part, Seen, Status};

const OLD: &str = "have rotate give the secret a new value (RUNBOOK, \"Rotate a secret\"), and see why it did not by itself";

pub(crate) async fn secrets(
    store: &(impl SecretDates + Sync),
    expected: &Expectations,
    now: OffsetDateTime,
) -> Seen {
    let (mut known, mut status) = (Map::new(), Status::Ok);
    for (part, id) in &expected.secrets {
        let changed: Result<OffsetDateTime, Failure> = store.changed_at(id).await;
        let value = match changed {
            Ok(changed_at) => {
                let age = now - changed_at;
                if age > expected.secret_age {
                    status = status.max(Status::Degraded);
                }
                json!({
                    "changed_at": changed_at.format(&Rfc3339).ok(),
                    "age_days": age.whole_days().max(0),
                    "age_days_max": expected.secret_age.whole_days(),
                })
            }
            // What its readers say of it counts more: here it is only its age that is not known.
            Err(failure) => {
                status = status.max(Status::Degraded);
                json!({"error_type": failure.error_type(), "error": failure.to_string()})
            }
        };
        known.insert((*part).to_owned(), value);
    }
    let mut seen = Seen::default();
    seen.parts.insert("secrets", Part::new(status, json!({"secrets": known}), OLD));
    seen
}
