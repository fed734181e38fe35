//! Webhook endpoints at Stripe, and what a rotation does with them.

use std::collections::BTreeMap;

use recoup::failure::Failure;
use recoup::stripe::endpoints::QUIET_EVENT;
use recoup::stripe::{Asked, Client, StripeError, encoded};
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The metadata of an endpoint that a rotation made: for which version of the secret.
pub const MADE_FOR: &str = "recoup_rotation";

/// The metadata that says for which entry of the secret it was made.
pub const ENTRY: &str = "recoup_endpoint";

/// The metadata that says since when, in seconds since 1970, it has all its types of events.
pub const OPEN_SINCE: &str = "recoup_open_since";

/// So many endpoints Stripe allows an account in each mode (Stripe documentation, "Webhooks").
pub const LIMIT: usize = 16;

/// How often one version's endpoint may have been made and deleted again.
const ATTEMPTS: u32 = 10;

/// As many as Stripe gives at once; an account has fewer.
const PAGE: usize = 100;

/// An endpoint.
#[derive(Clone, Deserialize)]
pub struct Endpoint {
    /// Its id, `we_…`.
    pub id: String,
    /// Where it delivers.
    pub url: String,
    /// `enabled` or `disabled`.
    pub status: String,
    /// The version of its events; none: the account's.
    pub api_version: Option<String>,
    /// What it is called.
    pub description: Option<String>,
    /// The types of its events.
    pub enabled_events: Vec<String>,
    /// What is noted on it.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// Seconds since 1970.
    pub created: i64,
    /// What it signs with, in the answer to its creation alone.
    #[serde(default)]
    secret: Option<SecretString>,
}

impl Endpoint {
    /// Whether a rotation made it and has not opened it yet.
    pub fn is_quiet(&self) -> bool {
        self.enabled_events == [QUIET_EVENT]
    }

    /// Whether it delivers.
    pub fn is_enabled(&self) -> bool {
        self.status == "enabled"
    }

    /// The version of the secret that it was made for.
    pub fn made_for(&self) -> Option<&str> {
        self.metadata.get(MADE_FOR).map(String::as_str)
    }

    /// Since when it has all its types of events.
    pub fn open_since(&self) -> Option<i64> {
        self.metadata.get(OPEN_SINCE)?.parse().ok()
    }

    /// What it signs with; none but in the answer to its creation.
    pub fn secret(&self) -> Option<&SecretString> {
        self.secret.as_ref()
    }
}

/// All endpoints of the account.
pub async fn list(client: &Client) -> Result<Vec<Endpoint>, Failure> {
    #[derive(Deserialize)]
    struct Page {
        data: Vec<Endpoint>,
        #[serde(default)]
        has_more: bool,
    }
    let mut all: Vec<Endpoint> = Vec::new();
    loop {
        let after = all.last().map_or(String::new(), |last| format!("&starting_after={}", encoded(&last.id)));
        let path = format!("/v1/webhook_endpoints?limit={PAGE}{after}");
        let page: Page = read(&client.get(&path, None).await?, "/v1/webhook_endpoints")?;
        let ended = !page.has_more || page.data.is_empty();
        all.extend(page.data);
        if ended {
            return Ok(all);
        }
    }
}

/// Makes an endpoint like `old`, which delivers nothing yet. Whoever asks again for the same version of the secret gets
/// the same endpoint and secret, as long as Stripe remembers it.
pub async fn create_like(
    client: &Client,
    old: &Endpoint,
    connect: bool,
    entry: &str,
    version: &str,
) -> Result<Endpoint, StripeError> {
    for attempt in 0..ATTEMPTS {
        let made = match create_once(client, old, connect, entry, version, &attempt.to_string()).await {
            Ok(made) => made,
            // Stripe repeats a refusal too, when its reason is gone since.
            Err(StripeError::Refused { .. }) => {
                let once = format!("{:016x}", rand::random::<u64>());
                return create_once(client, old, connect, entry, version, &once).await;
            }
            Err(error) => return Err(error),
        };
        // Stripe repeats its first answer even where the endpoint was deleted since.
        let path = format!("/v1/webhook_endpoints/{}", encoded(&made.id));
        match client.get(&path, None).await {
            Err(error) if error.is_missing() => {}
            found => return found.map(|_| made),
        }
    }
    Err(StripeError::Unreadable {
        path: "/v1/webhook_endpoints".to_owned(),
        reason: "each endpoint that it says it made is gone; abandon the rotation, and rotate again"
            .to_owned(),
    })
}

async fn create_once(
    client: &Client,
    old: &Endpoint,
    connect: bool,
    entry: &str,
    version: &str,
    attempt: &str,
) -> Result<Endpoint, StripeError> {
    let mut form = format!("url={}&enabled_events[]={}", encoded(&old.url), encoded(QUIET_EVENT));
    let mut add = |name: &str, value: &str| form.push_str(&format!("&{name}={}", encoded(value)));
    if let Some(version) = &old.api_version {
        add("api_version", version);
    }
    if let Some(description) = old.description.as_deref().filter(|text| !text.is_empty()) {
        add("description", description);
    }
    if connect {
        add("connect", "true");
    }
    let own = [MADE_FOR, ENTRY, OPEN_SINCE];
    for (name, value) in old.metadata.iter().filter(|(name, _)| !own.contains(&name.as_str())) {
        add(&format!("metadata[{}]", encoded(name)), value);
    }
    add(&format!("metadata[{MADE_FOR}]"), version);
    add(&format!("metadata[{ENTRY}]"), entry);
    // Other words are another request: Stripe would refuse them under the key of the first.
    let key = format!("recoup-rotate-{version}-{attempt}-{}", short_digest(&form));
    let answer = client.post_once("/v1/webhook_endpoints", &form, Asked::default(), &key).await?;
    read(&answer.body, "/v1/webhook_endpoints")
}

/// Gives an endpoint its types of events: from now on it delivers.
pub async fn open(client: &Client, id: &str, events: &[String], now: i64) -> Result<Endpoint, StripeError> {
    let path = format!("/v1/webhook_endpoints/{}", encoded(id));
    let mut form = format!("metadata[{OPEN_SINCE}]={now}");
    for event in events {
        form.push_str(&format!("&enabled_events[]={}", encoded(event)));
    }
    let answer = client.post(&path, &form, Asked::default()).await?;
    read(&answer.body, &path)
}

/// Deletes an endpoint. One that is gone already is as good.
pub async fn delete(client: &Client, id: &str) -> Result<(), StripeError> {
    match client.delete(&format!("/v1/webhook_endpoints/{}", encoded(id)), Asked::default()).await {
        Err(error) if error.is_missing() => Ok(()),
        deleted => deleted.map(drop),
    }
}

fn read<T: DeserializeOwned>(body: &[u8], path: &str) -> Result<T, StripeError> {
    // serde's own message may quote the secret, so only the place is passed on.
    serde_json::from_slice(body).map_err(|error| StripeError::Unreadable {
        path: path.to_owned(),
        reason: format!("at line {}, column {}; report it to us", error.line(), error.column()),
    })
}

fn short_digest(text: &str) -> String {
    use sha2::Digest;
    hex::encode(&sha2::Sha256::digest(text.as_bytes())[..8])
}
