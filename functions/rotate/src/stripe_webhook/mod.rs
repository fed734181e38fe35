//! The webhook's signing secret: that of a new endpoint at Stripe, for the same URL and types of events.
//!
//! Stripe tells an endpoint's secret once, in the answer to its creation, and has no call that rolls it. So a new endpoint
//! is made beside the old one. It is made *quiet*: of one type of events that does not occur, so that nothing is
//! delivered under a secret that the webhook does not know yet. Then the secret becomes current, with the old one as
//! `previous`; then, after as long as the webhook may go on with what it has read, the new endpoint is *opened*: it gets
//! its types of events. From then on both deliver, and what comes twice counts once. The old one goes when the
//! overlap is over (`finish_overlap`).

pub mod endpoints;
mod locate;

use std::collections::BTreeSet;

use recoup::failure::Failure;
use recoup::secrets::signing_secrets_in;
use recoup::stripe::{Client, StripeError};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use self::endpoints::Endpoint;
use crate::steps::Turn;
use crate::value::Fields;
use crate::{Rotate, door};

/// The field that has the entries.
pub const ENTRIES: &str = "endpoints";

/// One entry of the secret: an endpoint at Stripe, now and before.
pub struct Entry {
    /// Its name, such as `platform`.
    pub name: String,
    /// What is in it.
    pub fields: Fields,
}

impl Entry {
    /// All of a secret.
    pub fn all(secret: &Fields) -> Vec<Self> {
        secret.fields(ENTRIES).into_iter().map(|(name, fields)| Self { name, fields }).collect()
    }

    /// The endpoint whose secret is the current one, where that is known.
    pub fn endpoint_id(&self) -> Option<&str> {
        self.fields.text("endpoint_id")
    }

    /// The endpoint before it.
    pub fn previous_endpoint_id(&self) -> Option<&str> {
        self.fields.text("previous_endpoint_id")
    }

    fn secret(&self, field: &str) -> Option<SecretString> {
        self.fields.text(field).filter(|text| !text.is_empty()).map(|text| text.to_owned().into())
    }

    /// Whether it hears of connected accounts: Stripe does not say.
    fn is_connect(&self) -> bool {
        let said = self.fields.get("connect").and_then(serde_json::Value::as_bool);
        said.unwrap_or(self.name == "connect")
    }

    /// The types of events that the endpoint is to have.
    fn events(&self) -> Vec<String> {
        let list = self.fields.get("enabled_events").and_then(serde_json::Value::as_array);
        list.into_iter().flatten().filter_map(|event| event.as_str().map(str::to_owned)).collect()
    }
}

/// The endpoint with this id.
pub fn found<'e>(all: &'e [Endpoint], id: Option<&str>) -> Option<&'e Endpoint> {
    all.iter().find(|endpoint| Some(endpoint.id.as_str()) == id)
}

impl Rotate {
    /// Makes an endpoint for each entry. Where one cannot be made, those before it are taken back.
    pub(crate) async fn new_endpoints(&self, turn: &Turn) -> Result<Fields, Failure> {
        signing_secrets_in(&turn.id, &turn.current.secret())?;
        let stripe = self.stripe().await?;
        let all = endpoints::list(&stripe).await?;
        let entries = Entry::all(&turn.current);
        let mut olds = Vec::new();
        for entry in &entries {
            olds.push(self.locate(turn, entry, &entries, &all)?.clone());
        }
        let swept = sweep(&stripe, self.webhook_url.as_deref(), &turn.current, Some(&turn.token)).await?;
        let others =
            all.iter().filter(|other| !swept.contains(&other.id) && other.made_for() != Some(&turn.token));
        let others = others.count();

        let (mut new, mut made) = (turn.current.clone(), Vec::new());
        let now = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
        for (entry, old) in entries.iter().zip(&olds) {
            let created =
                endpoints::create_like(&stripe, old, entry.is_connect(), &entry.name, &turn.token).await;
            let created = match created {
                Ok(created) => created,
                Err(error) => {
                    take_back(&stripe, &made).await;
                    return Err(not_made(turn, error, others + made.len()));
                }
            };
            made.push(created.id.clone());
            let Some(secret) = created.secret() else {
                take_back(&stripe, &made).await;
                let path = "/v1/webhook_endpoints".to_owned();
                let reason = "it has no secret; abandon the rotation, and rotate again".to_owned();
                return Err(StripeError::Unreadable { path, reason }.into());
            };
            let mut fields = entry.fields.clone();
            fields.set("current", secret.expose_secret());
            fields.set("previous", entry.fields.text("current"));
            fields.set("endpoint_id", created.id.as_str());
            fields.set("previous_endpoint_id", old.id.as_str());
            fields.set("enabled_events", json!(old.enabled_events));
            fields.set("rotated_at", now.as_str());
            new.set_in(ENTRIES, &entry.name, fields);
        }
        // What an earlier try made that Stripe does not remember any more.
        for twin in endpoints::list(&stripe).await? {
            if twin.made_for() == Some(&turn.token) && !made.contains(&twin.id) {
                endpoints::delete(&stripe, &twin.id).await?;
            }
        }
        Ok(new)
    }

    /// Checks that what is pending is at Stripe, and ends an overlap from before: two secrets are accepted, not three.
    pub(crate) async fn check_new_endpoints(&self, turn: &Turn, pending: &Fields) -> Result<(), Failure> {
        let stripe = self.stripe().await?;
        let all = endpoints::list(&stripe).await?;
        for entry in Entry::all(pending) {
            if !found(&all, entry.endpoint_id()).is_some_and(Endpoint::is_enabled) {
                return Err(missing(turn, &entry));
            }
        }
        for entry in Entry::all(&turn.current) {
            if let Some(older) = found(&all, entry.previous_endpoint_id()) {
                endpoints::delete(&stripe, &older.id).await?;
            }
        }
        Ok(())
    }

    /// Checks that the new endpoints are as the old ones, and that the webhook is there to be told.
    pub(crate) async fn test_endpoints(&self, turn: &Turn, pending: &Fields) -> Result<(), Failure> {
        signing_secrets_in(&turn.id, &pending.secret())?;
        let all = endpoints::list(&self.stripe().await?).await?;
        for entry in Entry::all(pending) {
            let new = found(&all, entry.endpoint_id()).ok_or_else(|| missing(turn, &entry))?;
            if let Some(old) = found(&all, entry.previous_endpoint_id())
                && (&new.url, &new.api_version) != (&old.url, &old.api_version)
            {
                return Err(differs(turn, new, old));
            }
            if let Some(previous) = entry.secret("previous") {
                door::check_accepts(&new.url, &previous).await?;
            }
            door::check_health(&new.url).await?;
        }
        Ok(())
    }

    /// Opens the new endpoints, once the webhook knows their secrets.
    pub(crate) async fn open_new_endpoints(
        &self,
        turn: &Turn,
        warnings: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let versions = self.secrets.describe(&turn.id).await?;
        let current = self.current_of(&turn.id, &versions).await?;
        self.open_quiet(&self.stripe().await?, &turn.id, &current).await?;
        let hours = self.overlap_hours;
        warnings.push(format!(
            "both endpoints deliver now; the old one goes after {hours} hours, by finish_overlap"
        ));
        Ok(())
    }

    /// Opens what is quiet of the current endpoints; gives their ids.
    pub(crate) async fn open_quiet(
        &self,
        stripe: &Client,
        id: &str,
        current: &Fields,
    ) -> Result<Vec<String>, Failure> {
        let all = endpoints::list(stripe).await?;
        let quiet = Entry::all(current).into_iter().filter_map(|entry| {
            let endpoint = found(&all, entry.endpoint_id()).filter(|endpoint| endpoint.is_quiet())?;
            Some((entry, endpoint))
        });
        let quiet: Vec<_> = quiet.collect();
        if quiet.is_empty() {
            return Ok(Vec::new());
        }
        // An instance of the webhook that has just read the secret does not read it again before this.
        tokio::time::sleep(self.settle).await;
        let mut opened = Vec::new();
        for (entry, endpoint) in quiet {
            let secret = entry.secret("current").unwrap_or_default();
            door::check_accepts(&endpoint.url, &secret).await?;
            let mut events = entry.events();
            if events.is_empty() {
                let old = found(&all, entry.previous_endpoint_id());
                events = old.map_or_else(|| vec!["*".to_owned()], |old| old.enabled_events.clone());
            }
            let now = OffsetDateTime::now_utc().unix_timestamp();
            endpoints::open(stripe, &endpoint.id, &events, now).await?;
            tracing::info!(secret = id, endpoint = %endpoint.id, "endpoint opened");
            opened.push(endpoint.id.clone());
        }
        Ok(opened)
    }

    /// Checks that every secret that Stripe signs with is accepted, and that the current endpoints deliver.
    pub(crate) async fn check_deliveries(&self, turn: &Turn) -> Result<(), Failure> {
        let versions = self.secrets.describe(&turn.id).await?;
        let current = self.current_of(&turn.id, &versions).await?;
        let entries = Entry::all(&current);
        let all = match entries.iter().any(|entry| entry.endpoint_id().is_some()) {
            true => endpoints::list(&self.stripe().await?).await?,
            false => Vec::new(),
        };
        for entry in entries {
            let url = match found(&all, entry.endpoint_id()) {
                Some(endpoint) if endpoint.is_enabled() && !endpoint.is_quiet() => Some(&endpoint.url),
                _ if entry.endpoint_id().is_some() => return Err(missing(turn, &entry)),
                // Never rotated yet: which endpoint it is, nobody has said.
                _ => self.webhook_url.as_ref(),
            };
            let Some(url) = url else { continue };
            for secret in ["current", "previous"].into_iter().filter_map(|field| entry.secret(field)) {
                door::check_accepts(url, &secret).await?;
            }
        }
        Ok(())
    }
}

/// Deletes endpoints that a rotation made and the current secret does not know: those of a version that never became
/// current, `keep` aside. Other stacks of the account have other URLs, and theirs are left alone. Gives their ids.
pub async fn sweep(
    stripe: &Client,
    webhook_url: Option<&str>,
    current: &Fields,
    keep: Option<&str>,
) -> Result<Vec<String>, Failure> {
    let all = endpoints::list(stripe).await?;
    let entries = Entry::all(current);
    let known: BTreeSet<&str> = entries
        .iter()
        .flat_map(|entry| [entry.endpoint_id(), entry.previous_endpoint_id()])
        .flatten()
        .collect();
    let urls: BTreeSet<&str> = all
        .iter()
        .filter(|endpoint| known.contains(endpoint.id.as_str()))
        .map(|endpoint| endpoint.url.as_str())
        .chain(webhook_url)
        .collect();
    let mut swept = Vec::new();
    for endpoint in &all {
        let made_for = endpoint.made_for();
        let is_orphan = made_for.is_some() && made_for != keep && !known.contains(endpoint.id.as_str());
        if is_orphan && urls.contains(endpoint.url.as_str()) {
            endpoints::delete(stripe, &endpoint.id).await?;
            swept.push(endpoint.id.clone());
        }
    }
    Ok(swept)
}

/// Deletes what was just made, as well as it can: what it cannot, the next rotation or `finish_overlap` finds.
async fn take_back(stripe: &Client, made: &[String]) {
    for id in made {
        if let Err(error) = endpoints::delete(stripe, id).await {
            tracing::warn!(endpoint = %id, %error, "endpoint left behind");
        }
    }
}

fn not_made(turn: &Turn, error: StripeError, endpoints: usize) -> Failure {
    let refused = matches!(&error, StripeError::Refused { status, .. } if status.as_u16() == 400);
    if refused && endpoints >= endpoints::LIMIT {
        return Failure::new(
            "StripeEndpointLimit",
            format!(
                "{}: Stripe allows an account {} webhook endpoints, and there are {endpoints}: delete one that nobody needs in \
                 Stripe's dashboard, and run the rotation again. Nothing was changed",
                turn.what(),
                endpoints::LIMIT
            ),
        )
        .with_source(error);
    }
    error.into()
}

fn missing(turn: &Turn, entry: &Entry) -> Failure {
    Failure::new(
        "StripeEndpointMissing",
        format!(
            "{}: endpoint {} of entry {} is not at Stripe, or is disabled; look at it in Stripe's dashboard; if it is gone, \
             {{\"action\":\"abandon\",\"secret\":\"stripe_webhook\"}}, and rotate again",
            turn.what(),
            entry.endpoint_id().unwrap_or("(none)"),
            entry.name
        ),
    )
}

fn differs(turn: &Turn, new: &Endpoint, old: &Endpoint) -> Failure {
    Failure::new(
        "StripeEndpointDiffers",
        format!(
            "{}: endpoint {} has another URL or API version than {}, whose place it takes: one of them was changed \
             meanwhile; {{\"action\":\"abandon\",\"secret\":\"stripe_webhook\"}}, and rotate again",
            turn.what(),
            new.id,
            old.id
        ),
    )
}
