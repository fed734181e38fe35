//! Proof that a webhook's body came from Stripe and came just now.
//!
//! Stripe documentation, "Verify webhook signatures manually": the header holds a timestamp `t` and one or more
//! signatures `v1` (several while a secret is being rolled), each the HMAC-SHA256 of `t`, a dot and the raw body.

use std::time::{Duration, SystemTime};

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// How far a timestamp may be from now, on either side. Stripe's own libraries allow as much in the past.
pub const TOLERANCE: Duration = Duration::from_secs(300);

/// A header with more entries than this is nobody's: each costs a comparison.
const SIGNATURES_MAX: usize = 16;

/// Why a body is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is no `Stripe-Signature` header.
    #[error("the Stripe-Signature header is missing; only Stripe calls this address")]
    Missing,
    /// The header is not of the form `t=…,v1=…`.
    #[error("the Stripe-Signature header cannot be read; expected t=<seconds>,v1=<hex>")]
    Malformed,
    /// The timestamp is too far from now.
    #[error(
        "the signature's timestamp is more than 300 seconds from now; check the sender's clock, or send again"
    )]
    OutsideTolerance,
    /// No signature fits the body under any accepted secret.
    #[error(
        "no signature fits the body; check that the endpoint's signing secret is the one that is configured"
    )]
    NoMatch,
}

impl SignatureError {
    /// A stable name for replies and metrics.
    pub fn error_type(self) -> &'static str {
        match self {
            Self::Missing => "SignatureMissing",
            Self::Malformed => "SignatureMalformed",
            Self::OutsideTolerance => "SignatureTimestampOutsideTolerance",
            Self::NoMatch => "SignatureInvalid",
        }
    }
}

/// Checks a body against every secret that is accepted. All comparisons take constant time.
///
/// # Errors
/// The reason why the body is not accepted.
pub fn verify<'s>(
    header: Option<&str>,
    body: &[u8],
    secrets: impl IntoIterator<Item = &'s str>,
    now: SystemTime,
) -> Result<(), SignatureError> {
    let header = Header::parse(header.ok_or(SignatureError::Missing)?)?;
    let mut matched = false;
    for secret in secrets {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
        mac.update(header.timestamp_text.as_bytes());
        mac.update(b".");
        mac.update(body);
        for signature in &header.signatures {
            matched |= mac.clone().verify_slice(signature).is_ok();
        }
    }
    if !matched {
        return Err(SignatureError::NoMatch);
    }
    // After the signature: only who knows a secret learns how our clock stands.
    let sent = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(header.timestamp));
    let distance = sent.map(|sent| now.duration_since(sent).unwrap_or_else(|ahead| ahead.duration()));
    match distance {
        Some(distance) if distance <= TOLERANCE => Ok(()),
        _ => Err(SignatureError::OutsideTolerance),
    }
}

struct Header<'h> {
    timestamp: u64,
    timestamp_text: &'h str,
    signatures: Vec<Vec<u8>>,
}

impl<'h> Header<'h> {
    fn parse(text: &'h str) -> Result<Self, SignatureError> {
        let mut timestamp_text = None;
        let mut signatures = Vec::new();
        for entry in text.split(',') {
            let (scheme, value) = entry.trim().split_once('=').ok_or(SignatureError::Malformed)?;
            match scheme {
                "t" if timestamp_text.is_none() => timestamp_text = Some(value),
                "t" => return Err(SignatureError::Malformed),
                "v1" if signatures.len() == SIGNATURES_MAX => return Err(SignatureError::Malformed),
                "v1" => signatures.push(hex::decode(value).map_err(|_| SignatureError::Malformed)?),
                // Other schemes (Stripe sends a fake v0 in test mode) prove nothing.
                _ => {}
            }
        }
        let timestamp_text = timestamp_text.ok_or(SignatureError::Malformed)?;
        let digits = timestamp_text.bytes().all(|byte| byte.is_ascii_digit());
        let timestamp = timestamp_text.parse().ok().filter(|_| digits).ok_or(SignatureError::Malformed)?;
        Ok(Self { timestamp, timestamp_text, signatures })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_test";
    const BODY: &[u8] = br#"{"id":"evt_1"}"#;
    const NOW: u64 = 1_700_000_000;

    fn sign(secret: &str, timestamp: u64, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key");
        mac.update(format!("{timestamp}.").as_bytes());
        mac.update(body);
        hex::encode(mac.finalize().into_bytes())
    }

    fn check(header: Option<&str>, secrets: &[&str]) -> Result<(), SignatureError> {
        verify(header, BODY, secrets.iter().copied(), SystemTime::UNIX_EPOCH + Duration::from_secs(NOW))
    }

    #[test]
    fn what_stripe_signs_is_accepted() {
        let good = sign(SECRET, NOW, BODY);
        let other = sign("whsec_other", NOW, BODY);
        for header in [
            format!("t={NOW},v1={good}"),
            format!("t={NOW}, v1={good}"),
            format!("t={NOW},v1={other},v1={good},v0=00"),
            format!("v1={good},t={NOW}"),
        ] {
            assert_eq!(check(Some(&header), &[SECRET]), Ok(()), "{header}");
        }
        assert_eq!(check(Some(&format!("t={NOW},v1={good}")), &["whsec_new", SECRET]), Ok(()));
    }

    #[test]
    fn the_tolerance_holds_on_both_sides() {
        for (timestamp, accepted) in
            [(NOW - 300, true), (NOW - 301, false), (NOW + 300, true), (NOW + 301, false)]
        {
            let header = format!("t={timestamp},v1={}", sign(SECRET, timestamp, BODY));
            assert_eq!(check(Some(&header), &[SECRET]).is_ok(), accepted, "{timestamp}");
        }
        let far = format!("t={},v1={}", u64::MAX, sign(SECRET, u64::MAX, BODY));
        assert_eq!(check(Some(&far), &[SECRET]), Err(SignatureError::OutsideTolerance));
    }

    #[test]
    fn a_forgery_is_refused() {
        let good = sign(SECRET, NOW, BODY);
        let cases = [
            (None, SignatureError::Missing),
            (Some(String::new()), SignatureError::Malformed),
            (Some("nonsense".to_owned()), SignatureError::Malformed),
            (Some(format!("v1={good}")), SignatureError::Malformed),
            (Some(format!("t=+{NOW},v1={good}")), SignatureError::Malformed),
            (Some(format!("t={NOW},t={NOW},v1={good}")), SignatureError::Malformed),
            (Some(format!("t={NOW},v1=zz")), SignatureError::Malformed),
            (Some(format!("t={NOW}{}", format!(",v1={good}").repeat(17))), SignatureError::Malformed),
            (Some(format!("t={NOW}")), SignatureError::NoMatch),
            (Some(format!("t={NOW},v1=")), SignatureError::NoMatch),
            (Some(format!("t={NOW},v0={good}")), SignatureError::NoMatch),
            (Some(format!("t={NOW},v1={}", sign("whsec_other", NOW, BODY))), SignatureError::NoMatch),
            (Some(format!("t={NOW},v1={}", sign(SECRET, NOW, b"{}"))), SignatureError::NoMatch),
            (Some(format!("t={},v1={good}", NOW + 1)), SignatureError::NoMatch),
        ];
        for (header, expected) in cases {
            assert_eq!(check(header.as_deref(), &[SECRET]), Err(expected), "{header:?}");
        }
    }
}
