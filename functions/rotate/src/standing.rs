//! How each secret stands, without a look at its value where none is needed.

use recoup::failure::Failure;
use recoup::secrets::{CURRENT, PENDING};

use crate::Rotate;
use crate::kind::Kind;
use crate::reply::{Overlap, Standing, StatusReply};
use crate::stripe_webhook::Entry;

impl Rotate {
    /// Each secret: when it was changed, what is pending, what overlaps.
    pub(crate) async fn status(&self) -> Result<StatusReply, Failure> {
        let mut secrets = Vec::new();
        for kind in Kind::ALL {
            let id = self.ids.of(kind);
            let versions = self.secrets.describe(id).await?;
            let pending = versions.version_of(PENDING).filter(|version| !versions.is_at(version, CURRENT));
            let pending_version = pending.map(str::to_owned);
            let overlaps = match kind {
                Kind::StripeWebhook => {
                    let current = self.current_of(id, &versions).await?;
                    Some(Entry::all(&current).iter().filter_map(overlap).collect())
                }
                _ => None,
            };
            secrets.push(Standing {
                secret: kind,
                name: versions.name,
                changed_at: versions.changed_at,
                rotated_at: versions.rotated_at,
                next_rotation_at: versions.next_rotation_at,
                pending_version,
                overlaps,
            });
        }
        Ok(StatusReply { action: "status", status: "completed", secrets })
    }
}

fn overlap(entry: &Entry) -> Option<Overlap> {
    let text = |field: &str| entry.fields.text(field).map(str::to_owned);
    text("previous").map(|_| Overlap {
        endpoint: entry.name.clone(),
        endpoint_id: text("endpoint_id"),
        previous_endpoint_id: text("previous_endpoint_id"),
        rotated_at: text("rotated_at"),
    })
}
