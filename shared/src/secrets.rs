//! Secrets, as they lie in AWS Secrets Manager.
//!
//! | secret | JSON |
//! |---|---|
//! | database | `{"url":"postgres://user:password@host:port/database"}`, or the fields that RDS writes: `host`, `port`, `username`, `password`, `dbname` |
//! | webhook signing | `{"endpoints":{"platform":{"current":"whsec_…","previous":null}}}`, one entry for each Stripe endpoint; `rotate` notes beside them which endpoint at Stripe is meant |
//! | Stripe API key | `{"api_key":"sk_…"}` or a restricted key `rk_…` |
//! | backup key | `{"identities":["AGE-SECRET-KEY-1…"]}`, newest first; old ones stay so that old backups stay readable |
//! | backup recipients | `{"recipients":["age1…"],"retired":["age1…"]}`, public keys alone: what the backup key's rotation has made of those in the environment |
//!
//! | chat | `{"url":"https://…"}`, a chat's incoming webhook; empty where there is none |
//!
//! A value that is not as expected is an error that names the secret and the field, never its content.

mod cached;
mod dates;
mod versions;

use std::collections::BTreeMap;
use std::future::Future;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use self::cached::{Cached, REFRESH_INTERVAL};
pub use self::dates::SecretDates;
pub use self::versions::{CURRENT, Description, PENDING};
use crate::failure::Failure;

/// Where secrets come from.
pub trait SecretStore {
    /// The current value of a secret, by name or ARN.
    fn current(&self, id: &str) -> impl Future<Output = Result<SecretString, Failure>> + Send;
}

/// AWS Secrets Manager.
pub struct SecretsManager {
    client: aws_sdk_secretsmanager::Client,
}

impl SecretsManager {
    /// A store for the account and region of this process.
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        Self { client: aws_sdk_secretsmanager::Client::new(config) }
    }

    /// The same from what Lambda itself puts into the environment, and from nothing else: region, credentials, and
    /// an address of its own where `AWS_ENDPOINT_URL_SECRETS_MANAGER` has one. The SDK's usual search through
    /// profiles, metadata services and sign-on would be a third of a small function's binary, and of its start.
    pub fn from_lambda() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let config = aws_sdk_secretsmanager::Config::builder()
            .behavior_version(aws_sdk_secretsmanager::config::BehaviorVersion::latest())
            .region(variable("AWS_REGION").map(aws_sdk_secretsmanager::config::Region::new))
            .credentials_provider(aws_config::environment::EnvironmentVariableCredentialsProvider::new());
        let endpoint = variable("AWS_ENDPOINT_URL_SECRETS_MANAGER").or_else(|| variable("AWS_ENDPOINT_URL"));
        let config = match endpoint {
            Some(endpoint) => config.endpoint_url(endpoint),
            None => config,
        };
        Self { client: aws_sdk_secretsmanager::Client::from_conf(config.build()) }
    }
}

impl SecretStore for SecretsManager {
    async fn current(&self, id: &str) -> Result<SecretString, Failure> {
        let read = self.client.get_secret_value().secret_id(id).version_stage(CURRENT).send().await;
        let output = read.map_err(|error| {
            let missing =
                error.as_service_error().is_some_and(|service| service.is_resource_not_found_exception());
            let (error_type, remedy) = if missing {
                ("SecretMissing", "create it, or correct the variable that names it")
            } else {
                (
                    "SecretUnavailable",
                    "check that the function may read it and that Secrets Manager can be reached",
                )
            };
            let message = aws_sdk_secretsmanager::error::DisplayErrorContext(&error).to_string();
            Failure::new(error_type, format!("read secret {id}: {remedy}"))
                .with_source(std::io::Error::other(message))
        })?;
        match output.secret_string {
            Some(text) => Ok(text.into()),
            None => Err(invalid(id, "it holds binary data where JSON text is expected")),
        }
    }
}

fn invalid(id: &str, reason: &str) -> Failure {
    Failure::new("SecretInvalid", format!("read secret {id}: {reason}; correct its value"))
}

fn parse<T: DeserializeOwned>(id: &str, secret: &SecretString, expected: &str) -> Result<T, Failure> {
    // serde's own message may quote the value, so only the place is passed on.
    serde_json::from_str(secret.expose_secret()).map_err(|error| {
        invalid(
            id,
            &format!(
                "its JSON is not as expected at line {}, column {}; expected {expected}",
                error.line(),
                error.column()
            ),
        )
    })
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Database {
    Url { url: String },
    Fields { host: String, port: Option<u16>, username: String, password: String, dbname: Option<String> },
}

/// Reads a database secret as a connection URL.
///
/// # Errors
/// `SecretMissing`, `SecretUnavailable`, `SecretInvalid`.
pub async fn database_url(store: &impl SecretStore, id: &str) -> Result<SecretString, Failure> {
    database_url_in(id, &store.current(id).await?)
}

/// The same of a value that was read already.
///
/// # Errors
/// `SecretInvalid`.
pub fn database_url_in(id: &str, secret: &SecretString) -> Result<SecretString, Failure> {
    let expected = r#"{"url":"postgres://…"} or {"host","port","username","password","dbname"}"#;
    Ok(match parse(id, secret, expected)? {
        Database::Url { url } => url.into(),
        Database::Fields { host, port, username, password, dbname } => {
            let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            format!(
                "postgres://{}:{}@{host}:{}/{}",
                encode(&username),
                encode(&password),
                port.unwrap_or(5432),
                encode(dbname.as_deref().unwrap_or("postgres")),
            )
            .into()
        }
    })
}

/// The signing secrets of one Stripe webhook endpoint. While a secret is being rolled both are accepted.
#[derive(Clone, Deserialize)]
pub struct EndpointSecrets {
    /// The secret that Stripe signs with now.
    pub current: SecretString,
    /// The one before it, until its overlap ends.
    #[serde(default)]
    pub previous: Option<SecretString>,
}

impl EndpointSecrets {
    /// Every secret that is accepted, current first.
    pub fn accepted(&self) -> impl Iterator<Item = &SecretString> {
        std::iter::once(&self.current).chain(&self.previous)
    }
}

/// The signing secrets of all endpoints, by endpoint name.
pub type SigningSecrets = BTreeMap<String, EndpointSecrets>;

/// Reads the webhook signing secrets.
///
/// # Errors
/// `SecretMissing`, `SecretUnavailable`, `SecretInvalid` (also where no endpoint or an empty secret is given).
pub async fn signing_secrets(store: &impl SecretStore, id: &str) -> Result<SigningSecrets, Failure> {
    signing_secrets_in(id, &store.current(id).await?)
}

/// The same of a value that was read already.
///
/// # Errors
/// `SecretInvalid`.
pub fn signing_secrets_in(id: &str, secret: &SecretString) -> Result<SigningSecrets, Failure> {
    #[derive(Deserialize)]
    struct Signing {
        endpoints: SigningSecrets,
    }
    let expected = r#"{"endpoints":{"platform":{"current":"whsec_…","previous":null}}}"#;
    let Signing { endpoints } = parse(id, secret, expected)?;
    let usable = !endpoints.is_empty()
        && endpoints
            .values()
            .flat_map(EndpointSecrets::accepted)
            .all(|secret| !secret.expose_secret().is_empty());
    if usable {
        Ok(endpoints)
    } else {
        Err(invalid(id, &format!("an endpoint or its secret is empty; expected {expected}")))
    }
}

/// Reads the Stripe API key.
///
/// # Errors
/// `SecretMissing`, `SecretUnavailable`, `SecretInvalid`.
pub async fn stripe_api_key(store: &impl SecretStore, id: &str) -> Result<SecretString, Failure> {
    stripe_api_key_in(id, &store.current(id).await?)
}

/// The same of a value that was read already.
///
/// # Errors
/// `SecretInvalid`.
pub fn stripe_api_key_in(id: &str, secret: &SecretString) -> Result<SecretString, Failure> {
    #[derive(Deserialize)]
    struct ApiKey {
        api_key: SecretString,
    }
    let ApiKey { api_key } = parse(id, secret, r#"{"api_key":"sk_…"}"#)?;
    let text = api_key.expose_secret();
    if text.starts_with("sk_") || text.starts_with("rk_") {
        Ok(api_key)
    } else {
        Err(invalid(id, "api_key is not a Stripe secret key (sk_…) or restricted key (rk_…)"))
    }
}

/// Reads the age identities that open backups, newest first.
///
/// # Errors
/// `SecretMissing`, `SecretUnavailable`, `SecretInvalid`.
pub async fn age_identities(store: &impl SecretStore, id: &str) -> Result<Vec<SecretString>, Failure> {
    age_identities_in(id, &store.current(id).await?)
}

/// The same of a value that was read already.
///
/// # Errors
/// `SecretInvalid`.
pub fn age_identities_in(id: &str, secret: &SecretString) -> Result<Vec<SecretString>, Failure> {
    #[derive(Deserialize)]
    struct BackupKey {
        identities: Vec<SecretString>,
    }
    let BackupKey { identities } = parse(id, secret, r#"{"identities":["AGE-SECRET-KEY-1…"]}"#)?;
    let usable = !identities.is_empty()
        && identities.iter().all(|identity| identity.expose_secret().starts_with("AGE-SECRET-KEY-1"));
    if usable {
        Ok(identities)
    } else {
        Err(invalid(id, "identities must be age secret keys (AGE-SECRET-KEY-1…)"))
    }
}

/// Whom backups are encrypted to since the backup key was rotated, beside those that the environment names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupRecipients {
    /// Public keys of the newest identity.
    pub recipients: Vec<String>,
    /// Public keys of older identities: nothing is encrypted to them any more, wherever else they stand.
    #[serde(default)]
    pub retired: Vec<String>,
}

/// Reads whom the backup key's rotation has backups encrypted to.
///
/// # Errors
/// `SecretMissing`, `SecretUnavailable`, `SecretInvalid`.
pub async fn backup_recipients(store: &impl SecretStore, id: &str) -> Result<BackupRecipients, Failure> {
    let secret = store.current(id).await?;
    parse(id, &secret, r#"{"recipients":["age1…"],"retired":[]}"#)
}

/// Reads the address of a chat's incoming webhook; `None` where the secret has none.
///
/// # Errors
/// `SecretMissing`, `SecretUnavailable`, `SecretInvalid`.
pub async fn chat_url(store: &impl SecretStore, id: &str) -> Result<Option<SecretString>, Failure> {
    #[derive(Deserialize)]
    struct Chat {
        url: SecretString,
    }
    let secret = store.current(id).await?;
    let Chat { url } = parse(id, &secret, r#"{"url":"https://…"}"#)?;
    let text = url.expose_secret();
    if text.is_empty() {
        return Ok(None);
    }
    let address: Option<http::Uri> = text.parse().ok();
    let usable = address.is_some_and(|address| match (address.scheme_str(), address.host()) {
        (Some("https"), Some(_)) => true,
        // What is said there does not leave the machine.
        (Some("http"), Some(host)) => host == "127.0.0.1",
        _ => false,
    });
    if usable { Ok(Some(url)) } else { Err(invalid(id, "url is not an address with https")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One(&'static str);

    impl SecretStore for One {
        async fn current(&self, _id: &str) -> Result<SecretString, Failure> {
            Ok(self.0.to_owned().into())
        }
    }

    #[tokio::test]
    async fn a_database_secret_is_a_url_or_the_fields_of_rds() {
        let url = database_url(&One(r#"{"url":"postgres://a:b@h/d"}"#), "db").await.expect("url");
        assert_eq!(url.expose_secret(), "postgres://a:b@h/d");
        let fields = One(
            r#"{"engine":"postgres","host":"h","port":5433,"username":"u","password":"p@:/","dbname":"shop"}"#,
        );
        let url = database_url(&fields, "db").await.expect("fields");
        assert_eq!(url.expose_secret(), "postgres://u:p%40%3A%2F@h:5433/shop");
    }

    #[tokio::test]
    async fn a_wrong_secret_is_named_but_not_shown() {
        let failure = database_url(&One(r#"{"password":"hunter2"}"#), "shop/db").await.expect_err("wrong");
        assert_eq!(failure.error_type(), "SecretInvalid");
        assert!(failure.to_string().contains("shop/db") && !failure.to_string().contains("hunter2"));
        let failure = stripe_api_key(&One(r#"{"api_key":"pk_live_hunter2"}"#), "k").await.expect_err("wrong");
        assert!(!failure.to_string().contains("hunter2"));
        for url in ["http://chat.example/hunter2", "hunter2", "https://"] {
            let secret: &'static str = Box::leak(format!(r#"{{"url":"{url}"}}"#).into_boxed_str());
            let failure = chat_url(&One(secret), "chat").await.expect_err(url);
            assert_eq!(failure.error_type(), "SecretInvalid");
            assert!(!failure.to_string().contains("hunter2"), "{failure}");
        }
        assert!(chat_url(&One(r#"{"url":""}"#), "chat").await.expect("empty").is_none());
        assert!(signing_secrets(&One(r#"{"endpoints":{}}"#), "s").await.is_err());
        assert!(signing_secrets(&One(r#"{"endpoints":{"platform":{"current":""}}}"#), "s").await.is_err());
    }
}
