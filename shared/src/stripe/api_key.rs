//! A secret or restricted key.

use secrecy::{ExposeSecret, SecretString};

use crate::failure::Failure;

/// A secret or restricted key.
#[derive(Clone)]
pub struct ApiKey(SecretString);

impl From<SecretString> for ApiKey {
    fn from(key: SecretString) -> Self {
        Self(key)
    }
}

impl ApiKey {
    /// Whether it moves real money; `None` where it does not say.
    pub fn livemode(&self) -> Option<bool> {
        match self.0.expose_secret().split('_').nth(1) {
            Some("live") => Some(true),
            Some("test") => Some(false),
            _ => None,
        }
    }

    /// What may be shown of it: its kind and its last four characters, as Stripe's dashboard shows keys.
    pub fn masked(&self) -> String {
        let key = self.0.expose_secret();
        let kind = key.match_indices('_').nth(1).map_or("", |(at, _)| &key[..=at]);
        let end = key.char_indices().rev().nth(3).map_or(0, |(at, _)| at).max(kind.len());
        format!("{kind}…{}", &key[end..])
    }

    /// Refuses a key of the other mode before it is used.
    ///
    /// # Errors
    /// `StripeKeyOfOtherMode`.
    pub fn check_mode(&self, livemode: bool, secret_id: &str) -> Result<(), Failure> {
        if self.livemode().unwrap_or(livemode) == livemode {
            return Ok(());
        }
        let (ours, its) = if livemode { ("live", "test") } else { ("test", "live") };
        Err(Failure::new(
            "StripeKeyOfOtherMode",
            format!(
                "use the API key {} of secret {secret_id}: it is of {its} mode, and this installation is in {ours} mode \
                 (STRIPE_LIVEMODE); put a key of {ours} mode into the secret",
                self.masked()
            ),
        ))
    }

    pub(super) fn bearer(&self) -> String {
        format!("Bearer {}", self.0.expose_secret())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> ApiKey {
        SecretString::from(text.to_owned()).into()
    }

    #[test]
    fn a_key_says_its_mode_and_is_never_shown() {
        assert_eq!(key("sk_live_51Habcdefgh1234").livemode(), Some(true));
        assert_eq!(key("rk_test_51Habcdefgh1234").livemode(), Some(false));
        assert_eq!(key("sk_old").livemode(), None);
        assert_eq!(key("sk_live_51Habcdefgh1234").masked(), "sk_live_…1234");
        assert_eq!(key("sk_test_ab").masked(), "sk_test_…ab");
        assert_eq!(key("sk_old").masked(), "…_old");
    }

    #[test]
    fn a_key_of_the_other_mode_is_refused_by_name() {
        assert!(key("sk_test_1234").check_mode(false, "stripe").is_ok());
        let failure = key("sk_live_51Hsecret1234").check_mode(false, "shop/stripe").expect_err("refused");
        assert_eq!(failure.error_type(), "StripeKeyOfOtherMode");
        let text = failure.to_string();
        assert!(
            text.contains("sk_live_…1234") && text.contains("shop/stripe") && !text.contains("51H"),
            "{text}"
        );
    }
}
