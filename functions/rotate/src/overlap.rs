//! The end of an overlap: the old endpoint goes, and in a later run its secret. What comes last is read from where it
//! stands, so that any run may be the one that does it, and a broken rotation is finished too.

use recoup::failure::Failure;
use recoup::secrets::PENDING;
use recoup::stripe::Client;
use time::{Duration, OffsetDateTime};

use crate::Rotate;
use crate::kind::Kind;
use crate::reply::{OverlapReply, Waiting};
use crate::stripe_webhook::endpoints::{self, Endpoint};
use crate::stripe_webhook::{ENTRIES, Entry, found, sweep};
use crate::value::Fields;

/// A rotation that is under way has made its endpoint less long ago.
const UNDER_WAY: Duration = Duration::hours(1);

impl Rotate {
    /// Deletes old endpoints whose time is over, and drops the secrets of those that are gone.
    pub(crate) async fn finish_overlap(&self, overlap_hours: Option<u16>) -> Result<OverlapReply, Failure> {
        let mut reply =
            OverlapReply { action: "finish_overlap", status: "completed", ..OverlapReply::default() };
        let id = self.ids.of(Kind::StripeWebhook);
        let versions = self.secrets.describe(id).await?;
        let current = self.current_of(id, &versions).await?;
        // Nobody delivers by HTTP, or nobody does yet.
        if self.webhook_url.is_none() || current.is_unfilled() {
            return Ok(reply);
        }
        let stripe = self.stripe().await?;
        reply.endpoints_opened = self.open_quiet(&stripe, id, &current).await?;
        let overlap = Duration::hours(overlap_hours.unwrap_or(self.overlap_hours).into());
        let all = endpoints::list(&stripe).await?;
        let mut tidied = current.clone();
        for entry in Entry::all(&current) {
            let Some(old_id) = entry.previous_endpoint_id() else { continue };
            match found(&all, Some(old_id)) {
                Some(old) => {
                    let until = open_since(id, &entry, &all)? + overlap;
                    if until > OffsetDateTime::now_utc() {
                        reply.endpoints_waiting.push(Waiting { endpoint_id: old.id.clone(), until });
                    } else {
                        endpoints::delete(&stripe, &old.id).await?;
                        reply.endpoints_deleted.push(old.id.clone());
                    }
                }
                // It went in an earlier run: what it had sent by then has arrived.
                None => {
                    let mut fields = entry.fields.clone();
                    fields.set("previous", serde_json::Value::Null);
                    for field in ["previous_endpoint_id", "enabled_events"] {
                        fields.remove(field);
                    }
                    tidied.set_in(ENTRIES, &entry.name, fields);
                    reply.previous_dropped.push(entry.name);
                }
            }
        }
        if tidied != current {
            self.secrets.replace(id, &versions, &tidied.secret()).await?;
        }
        let orphans = self.orphans(&stripe, &current, versions.version_of(PENDING), &all).await?;
        reply.endpoints_deleted.extend(orphans);
        Ok(reply)
    }

    /// Deletes what a rotation that is long over left at Stripe.
    async fn orphans(
        &self,
        stripe: &Client,
        current: &Fields,
        pending: Option<&str>,
        all: &[Endpoint],
    ) -> Result<Vec<String>, Failure> {
        let recently = (OffsetDateTime::now_utc() - UNDER_WAY).unix_timestamp();
        let known: Vec<String> = Entry::all(current)
            .iter()
            .flat_map(|entry| [entry.endpoint_id(), entry.previous_endpoint_id()])
            .flatten()
            .map(str::to_owned)
            .collect();
        let young = all.iter().any(|endpoint| {
            endpoint.made_for().is_some() && !known.contains(&endpoint.id) && endpoint.created > recently
        });
        if young {
            return Ok(Vec::new());
        }
        sweep(stripe, self.webhook_url.as_deref(), current, pending).await
    }
}

/// Since when the entry's new endpoint delivers. Without it the old one is all there is, and must stay.
fn open_since(id: &str, entry: &Entry, all: &[Endpoint]) -> Result<OffsetDateTime, Failure> {
    let new = found(all, entry.endpoint_id()).filter(|new| new.is_enabled() && !new.is_quiet());
    let since = new.map(|new| new.open_since().unwrap_or(new.created));
    since.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok()).ok_or_else(|| {
        Failure::new(
            "StripeEndpointMissing",
            format!(
                "end the overlap of secret {id}: endpoint {} of entry {} is not at Stripe, or is disabled, so the old endpoint \
                 stays; enable it in Stripe's dashboard, or rotate again",
                entry.endpoint_id().unwrap_or("(none)"),
                entry.name
            ),
        )
    })
}
