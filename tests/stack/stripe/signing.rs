//! Signatures on deliveries, as <https://docs.stripe.com/webhooks#verify-manually> describes them.

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The hexadecimal HMAC-SHA-256 of `"{timestamp}.{body}"` under an endpoint's secret (`whsec_…`): the value
/// of `v1` in a `Stripe-Signature` header. `timestamp` is in seconds since 1970.
pub fn sign(secret: &str, timestamp: i64, body: impl AsRef<[u8]>) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(timestamp.to_string().as_bytes());
    mac.update(b".");
    mac.update(body.as_ref());
    hex::encode(mac.finalize().into_bytes())
}

/// A whole `Stripe-Signature` header: the timestamp, one `v1` for each secret that is in force (two while an
/// endpoint's secret is being rolled), and the meaningless `v0` that Stripe adds to events in test mode.
pub fn signature_header(secrets: &[impl AsRef<str>], timestamp: i64, body: impl AsRef<[u8]>) -> String {
    let body = body.as_ref();
    let mut header = format!("t={timestamp}");
    for secret in secrets {
        header.push_str(",v1=");
        header.push_str(&sign(secret.as_ref(), timestamp, body));
    }
    header.push_str(",v0=");
    header.push_str(&sign("not a secret of any endpoint", timestamp, body));
    header
}
