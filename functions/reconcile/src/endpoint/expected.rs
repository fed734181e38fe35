//! What the endpoint has to be, and where it is not.

use std::collections::BTreeSet;

use recoup::config::Env;
use recoup::events::field::{Fault, Id, Text, read};
use recoup::events::types::APPLIED;
use recoup::stripe::endpoints::QUIET_EVENT;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use crate::finding::{Finding, Kind};

/// API versions whose shapes are read, by their dates: the tests have events of both and of years between.
const VERSIONS: (&str, &str) = ("2019-01-01", "2026-12-31");

/// What the endpoint has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Where Stripe delivers; none where it does so by another way than HTTP.
    pub url: Option<String>,
    /// The API version that events are to have; none where any will do that is read here.
    pub api_version: Option<String>,
}

impl Expected {
    /// Reads `STRIPE_WEBHOOK_URL` (`none` for no HTTP endpoint) and `STRIPE_API_VERSION`.
    pub fn from_env(env: &mut Env) -> Self {
        let url = env.required("STRIPE_WEBHOOK_URL");
        Self { url: (url != "none").then_some(url), api_version: env.optional("STRIPE_API_VERSION") }
    }
}

/// An endpoint as Stripe lists it.
#[derive(Debug, Clone, Serialize)]
pub struct WebhookEndpoint {
    /// Its id, `we_…`.
    pub id: String,
    /// `enabled` or `disabled`.
    pub status: String,
    /// The version that its events have; none: the account's.
    pub api_version: Option<String>,
    /// How many types of events it sends; none: all.
    pub enabled_events: Option<usize>,
    #[serde(skip)]
    url: String,
    #[serde(skip)]
    livemode: bool,
    #[serde(skip)]
    types: BTreeSet<String>,
}

impl WebhookEndpoint {
    /// Reads one.
    ///
    /// # Errors
    /// The field that is missing or cannot be read.
    pub fn read(json: &RawValue) -> Result<Self, Fault> {
        #[derive(Deserialize)]
        struct Object {
            id: Id,
            api_version: Option<Text>,
            enabled_events: Vec<Text>,
            livemode: bool,
            status: Text,
            url: Text,
        }
        let object: Object = read("webhook_endpoint", json)?;
        let types: BTreeSet<String> =
            object.enabled_events.iter().map(|kind| kind.as_str().to_owned()).collect();
        let all = types.contains("*");
        Ok(Self {
            id: object.id.into_string(),
            status: object.status.as_str().to_owned(),
            api_version: object.api_version.map(|version| version.as_str().to_owned()),
            enabled_events: (!all).then_some(types.len()),
            url: object.url.as_str().to_owned(),
            livemode: object.livemode,
            types,
        })
    }

    /// Whether it is the one that is meant.
    pub fn is_at(&self, url: &str, livemode: bool) -> bool {
        self.url == url && self.livemode == livemode
    }

    fn is_enabled(&self) -> bool {
        self.status == "enabled"
    }

    /// Whether a rotation has made it and not opened it yet: the one whose place it takes still delivers.
    fn is_prepared(&self) -> bool {
        self.types.len() == 1 && self.types.contains(QUIET_EVENT)
    }

    fn lacks(&self) -> Vec<&'static str> {
        if self.enabled_events.is_none() {
            return Vec::new();
        }
        APPLIED.into_iter().filter(|kind| !self.types.contains(*kind)).collect()
    }
}

/// Where the endpoints at our URL are not what they have to be. Stripe does not say which of them hears of connected
/// accounts, so that with those there have to be two.
pub fn judge(ours: &[WebhookEndpoint], expected: &Expected, url: &str, connected: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let wanted = if connected { 2 } else { 1 };
    let ours: Vec<&WebhookEndpoint> = ours.iter().filter(|endpoint| !endpoint.is_prepared()).collect();
    let mut lacking = wanted - ours.iter().filter(|endpoint| endpoint.is_enabled()).count().min(wanted);
    for endpoint in &ours {
        let of = |kind| Finding::of(kind, "webhook_endpoint", endpoint.id.clone(), None);
        if !endpoint.is_enabled() {
            // One beside as many as are needed is left over from a rotation.
            if lacking > 0 {
                lacking -= 1;
                findings.push(
                    of(Kind::Different)
                        .field("status", Some(json!(endpoint.status)), Some(json!("enabled")))
                        .because(
                            "Stripe sends nothing to it: enable it in the dashboard, then run reconcile events for the \
                             time that it was disabled",
                        ),
                );
            }
            continue;
        }
        let lacks = endpoint.lacks();
        if !lacks.is_empty() {
            let reason = format!(
                "Stripe does not send what recoup applies: add {} to its events, then run reconcile events",
                lacks.join(", ")
            );
            findings.push(
                of(Kind::MissingThere).field("enabled_events", None, Some(json!(lacks))).because(reason),
            );
        }
        findings.extend(version(endpoint, expected.api_version.as_deref()));
    }
    if lacking > 0 {
        let reason = match (connected, ours.is_empty()) {
            (true, false) => {
                "there have to be two endpoints for this URL, one of them for events of connected accounts: make it as \
                 README says, with connect=true, and put its signing secret beside the other as \"connect\""
            }
            _ => {
                "Stripe has no endpoint for this URL: make it as README says, and put its signing secret into the \
                 webhook's secret; then run reconcile events"
            }
        };
        let shown = if ours.is_empty() { url.to_owned() } else { format!("{url} (connect)") };
        findings.push(Finding::of(Kind::MissingThere, "webhook_endpoint", shown, None).because(reason));
    }
    findings
}

fn version(endpoint: &WebhookEndpoint, expected: Option<&str>) -> Option<Finding> {
    let stripe = endpoint.api_version.as_deref();
    let (ours, reason) = match (expected, stripe) {
        (Some(expected), Some(version)) if version == expected => return None,
        (Some(expected), _) => (
            expected.to_owned(),
            "its events have another API version than STRIPE_API_VERSION says: make a new endpoint of that version, or \
             correct the parameter StripeApiVersion",
        ),
        (None, None) => return None,
        (None, Some(version)) => {
            let date = version.get(..10).unwrap_or_default();
            if (VERSIONS.0..=VERSIONS.1).contains(&date) {
                return None;
            }
            (
                format!("{} to {}", VERSIONS.0, VERSIONS.1),
                "recoup was not tested with events of this API version: make a new endpoint of a version between, or \
                 update recoup",
            )
        }
    };
    Some(
        Finding::of(Kind::Different, "webhook_endpoint", endpoint.id.clone(), None)
            .field("api_version", stripe.map(|version| json!(version)), Some(json!(ours)))
            .because(reason),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::value::to_raw_value;

    const URL: &str = "https://shop.example/webhooks/stripe";

    fn endpoint(status: &str, version: Option<&str>, events: &[&str]) -> WebhookEndpoint {
        let json = json!({"id": "we_1", "api_version": version, "enabled_events": events, "livemode": true,
            "status": status, "url": URL});
        WebhookEndpoint::read(&to_raw_value(&json).expect("JSON")).expect("an endpoint")
    }

    fn fields(ours: &[WebhookEndpoint], version: Option<&str>, connected: bool) -> Vec<String> {
        let expected = Expected { url: Some(URL.to_owned()), api_version: version.map(str::to_owned) };
        let findings = judge(ours, &expected, URL, connected);
        assert!(findings.iter().all(|finding| finding.reason.is_some()), "each has its remedy");
        findings.into_iter().map(|finding| finding.field.unwrap_or(finding.id)).collect()
    }

    #[test]
    fn each_way_to_differ_is_a_finding() {
        let (well, none) = (endpoint("enabled", None, &["*"]), Vec::<String>::new());
        assert_eq!(fields(std::slice::from_ref(&well), None, false), none);
        assert_eq!(fields(&[endpoint("enabled", None, &APPLIED)], None, false), none);
        assert_eq!(fields(&[], None, false), [URL]);
        assert_eq!(fields(&[endpoint("disabled", None, &["*"])], None, false), ["status"]);
        assert_eq!(fields(&[well.clone(), endpoint("disabled", None, &["*"])], None, false), none);
        assert_eq!(fields(&[endpoint("enabled", None, &APPLIED[1..])], None, false), ["enabled_events"]);
        assert_eq!(fields(std::slice::from_ref(&well), None, true), [format!("{URL} (connect)")]);
        assert_eq!(fields(&[well.clone(), well], None, true), none);
        for (stripe, expected, found) in [
            (Some("2026-09-30.endive"), None, false),
            (Some("2018-11-08"), None, true),
            (Some("2031-01-01.kale"), None, true),
            (Some("2026-09-30.endive"), Some("2026-09-30.endive"), false),
            (Some("2025-03-31.basil"), Some("2026-09-30.endive"), true),
            (None, Some("2026-09-30.endive"), true),
        ] {
            let found_here = fields(&[endpoint("enabled", stripe, &["*"])], expected, false);
            assert_eq!(found_here == ["api_version"], found, "{stripe:?} {expected:?}: {found_here:?}");
        }
        let other_mode = endpoint("enabled", None, &["*"]);
        assert!(other_mode.is_at(URL, true) && !other_mode.is_at(URL, false));
    }
}
