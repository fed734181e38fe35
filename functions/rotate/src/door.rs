//! The webhook's door, from outside: is it healthy, and which signing secrets does it accept? Nothing is delivered: a
//! signature over nothing, sent to `/health`, is only looked at.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hmac::{Hmac, Mac};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use recoup::failure::Failure;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::Sha256;

/// Where deliveries go, below whatever address the API has.
const DELIVERIES: &str = "/webhooks/stripe";

/// An answer may have to wait for a cold start.
const PATIENCE: Duration = Duration::from_secs(20);

/// A throttled or just starting function is asked again.
const TRIES: u32 = 6;
const BETWEEN_TRIES: Duration = Duration::from_millis(500);

/// The health page is far smaller.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What the health page says, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Health {
    #[serde(default)]
    status: String,
    #[serde(default)]
    db: String,
    signature: Option<String>,
}

/// The health page that belongs to an endpoint's URL; none where the URL is not of the webhook's form.
fn health_url(webhook_url: &str) -> Option<String> {
    webhook_url.strip_suffix(DELIVERIES).map(|base| format!("{base}/health"))
}

/// Checks that the webhook can do its work.
///
/// # Errors
/// `WebhookUnhealthy`, with the part that fails.
pub async fn check_health(webhook_url: &str) -> Result<(), Failure> {
    let Some(url) = health_url(webhook_url) else { return Ok(()) };
    let found = ask(&url, None, |health| health.status == "ok").await;
    found.map_err(|seen| {
        Failure::new(
            "WebhookUnhealthy",
            format!("check the webhook at {url}: {seen}; look at its log, then run the step again"),
        )
    })
}

/// Checks that the webhook accepts what is signed with this secret.
///
/// # Errors
/// `WebhookRefusesSecret`.
pub async fn check_accepts(webhook_url: &str, secret: &SecretString) -> Result<(), Failure> {
    let Some(url) = health_url(webhook_url) else { return Ok(()) };
    let found = ask(&url, Some(secret), |health| health.signature.as_deref() == Some("accepted")).await;
    found.map_err(|seen| {
        Failure::new(
            "WebhookRefusesSecret",
            format!(
                "check the webhook at {url}: it does not accept the signing secret ({seen}); deliveries go on with the other \
                 one; look at the webhook's log, then run the step again"
            ),
        )
    })
}

/// Asks until the answer is good, some times; else says what was seen last.
async fn ask(url: &str, secret: Option<&SecretString>, good: impl Fn(&Health) -> bool) -> Result<(), String> {
    let connector =
        hyper_rustls::HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().build();
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new())
        .build::<hyper_rustls::HttpsConnector<HttpConnector>, _>(connector);
    let mut seen = String::new();
    for attempt in 0..TRIES {
        if attempt > 0 {
            tokio::time::sleep(BETWEEN_TRIES * attempt).await;
        }
        let mut request = Request::get(url);
        if let Some(secret) = secret {
            request = request.header("Stripe-Signature", signature(secret, SystemTime::now()));
        }
        let request = request.body(Empty::new()).map_err(|_| "the URL cannot be read".to_owned())?;
        let exchange = async {
            let answer =
                client.request(request).await.map_err(|error| format!("it cannot be reached: {error}"))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|_| "its answer broke off".to_owned())?.to_bytes();
            Ok::<_, String>((status, body))
        };
        seen = match tokio::time::timeout(PATIENCE, exchange).await {
            Err(_) => "no answer within 20 seconds".to_owned(),
            Ok(Err(reason)) => reason,
            Ok(Ok((status, body))) => match serde_json::from_slice::<Health>(&body) {
                Ok(health) if good(&health) => return Ok(()),
                Ok(health) => {
                    let plain = |text: &str| recoup::telemetry::identifier(text).to_owned();
                    let said = health.signature.as_deref().unwrap_or("none");
                    format!(
                        "it answers {}, status {}, db {}, signature {}",
                        status.as_u16(),
                        plain(&health.status),
                        plain(&health.db),
                        plain(said)
                    )
                }
                Err(_) => format!("it answers {} with something else than its health", status.as_u16()),
            },
        };
    }
    Err(seen)
}

/// As Stripe signs, over an empty body (Stripe documentation, "Verify webhook signatures manually").
fn signature(secret: &SecretString, now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
        .expect("HMAC takes a key of any length");
    mac.update(format!("{seconds}.").as_bytes());
    format!("t={seconds},v1={}", hex::encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use recoup::stripe::signature::verify;

    use super::*;

    #[test]
    fn the_health_page_is_beside_the_deliveries() {
        assert_eq!(
            health_url("https://shop.example/pay/webhooks/stripe").as_deref(),
            Some("https://shop.example/pay/health")
        );
        assert_eq!(health_url("https://shop.example/hook"), None);
    }

    #[test]
    fn it_signs_as_stripe_does() {
        let now = SystemTime::now();
        let header = signature(&"whsec_1".to_owned().into(), now);
        assert_eq!(verify(Some(&header), b"", ["whsec_1"], now), Ok(()));
        assert!(verify(Some(&header), b"", ["whsec_2"], now).is_err());
    }
}
