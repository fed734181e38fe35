//! What the functions find when they start: the secrets that they read and the variables that name them, as
//! `infra/template.yaml` has it on AWS.

use serde_json::json;

use crate::error::Result;
use crate::place;
use crate::s3::{AccessKey, REGION, S3};
use crate::secrets::Secrets;
use crate::stripe::Stripe;

/// Names of the secrets, below the stack's prefix.
const DATABASE_SECRET: &str = "database";
const WEBHOOK_SECRET: &str = "stripe-webhook";
const API_SECRET: &str = "stripe-api";
const BACKUP_KEY_SECRET: &str = "backup-key";
const RECIPIENTS_SECRET: &str = "backup-recipients";

/// Puts the secrets where the functions look for them.
pub(crate) async fn put_secrets(
    secrets: &Secrets,
    database_url: &str,
    signing: &SigningSecrets,
    stripe_api_key: &str,
    age_identity: &str,
) -> Result<()> {
    let endpoints = json!({
        "platform": {"current": signing.platform, "previous": null},
        "connect": {"current": signing.connect, "previous": null},
    });
    secrets.put(DATABASE_SECRET, &json!({"url": database_url})).await?;
    secrets.put(WEBHOOK_SECRET, &json!({"endpoints": endpoints})).await?;
    secrets.put(API_SECRET, &json!({"api_key": stripe_api_key})).await?;
    secrets.put(BACKUP_KEY_SECRET, &json!({"identities": [age_identity]})).await?;
    secrets.put(RECIPIENTS_SECRET, &json!({"recipients": [], "retired": []})).await?;
    Ok(())
}

/// Notes which endpoints at Stripe the signing secrets are of, as an operator with connected accounts does.
pub(crate) async fn put_endpoints(
    secrets: &Secrets,
    signing: &SigningSecrets,
    endpoints: &Endpoints,
) -> Result<()> {
    let entry = |secret: &str, id: &str| json!({"current": secret, "previous": null, "endpoint_id": id});
    let endpoints = json!({
        "platform": entry(&signing.platform, &endpoints.platform),
        "connect": entry(&signing.connect, &endpoints.connect),
    });
    secrets.put(WEBHOOK_SECRET, &json!({"endpoints": endpoints})).await?;
    Ok(())
}

/// The ids of the two endpoints at Stripe.
pub(crate) struct Endpoints {
    pub(crate) platform: String,
    pub(crate) connect: String,
}

/// The secrets of the two endpoints that Stripe calls, `whsec_…`.
pub(crate) struct SigningSecrets {
    /// Of the one that hears of the account's own events.
    pub(crate) platform: String,
    /// Of the one that hears of connected accounts' events.
    pub(crate) connect: String,
}

impl SigningSecrets {
    /// New ones.
    pub(crate) fn generate() -> SigningSecrets {
        let secret = || format!("whsec_{:032x}", rand::random::<u128>());
        SigningSecrets { platform: secret(), connect: secret() }
    }
}

/// What the functions' environments are made of.
pub(crate) struct Contract<'a> {
    pub(crate) access_key: &'a AccessKey,
    pub(crate) s3: &'a S3,
    pub(crate) secrets: &'a Secrets,
    pub(crate) stripe: &'a Stripe,
    pub(crate) age_recipient: &'a str,
}

impl Contract<'_> {
    /// The environment that a function also has on AWS (`infra/template.yaml`), with our endpoints.
    pub(crate) fn environment(&self, function: &str) -> Vec<(&'static str, String)> {
        let common = [
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", self.access_key.id.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.access_key.secret.clone()),
            ("AWS_ENDPOINT_URL_S3", self.s3.endpoint().to_owned()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", self.secrets.endpoint().to_owned()),
            ("RUST_LOG", "info".to_owned()),
            // Nothing here speaks TLS, and reading the machine's certificates is half of a cold start in a debug build.
            ("SSL_CERT_FILE", place::repository().join("tests/stack/nobody.pem").display().to_string()),
        ];
        let database = ("DATABASE_SECRET_ID", self.secrets.id(DATABASE_SECRET));
        let stripe = [
            ("STRIPE_API_SECRET_ID", self.secrets.id(API_SECRET)),
            ("STRIPE_API_BASE", self.stripe.api_base()),
            ("STRIPE_LIVEMODE", "false".to_owned()),
        ];
        let bucket =
            [("BACKUP_BUCKET", self.s3.bucket().to_owned()), ("S3_FORCE_PATH_STYLE", "true".to_owned())];
        let key = ("BACKUP_KEY_SECRET_ID", self.secrets.id(BACKUP_KEY_SECRET));
        let mut environment = Vec::from(common);
        match function {
            "webhook" => {
                environment.extend(stripe);
                environment.extend([database, ("STRIPE_WEBHOOK_SECRET_ID", self.secrets.id(WEBHOOK_SECRET))]);
            }
            "backup" => {
                environment.extend(bucket);
                environment.extend([
                    database,
                    ("BACKUP_AGE_RECIPIENTS", self.age_recipient.to_owned()),
                    ("BACKUP_RECIPIENTS_SECRET_ID", self.secrets.id(RECIPIENTS_SECRET)),
                ]);
            }
            "restore" => {
                environment.extend(bucket);
                environment.extend([database, key]);
            }
            "verify" => {
                environment.extend(bucket);
                environment.extend([
                    database,
                    key,
                    ("STRIPE_API_SECRET_ID", self.secrets.id(API_SECRET)),
                    ("STRIPE_WEBHOOK_SECRET_ID", self.secrets.id(WEBHOOK_SECRET)),
                ]);
            }
            "rotate" => {
                environment.extend(stripe);
                environment.extend([
                    database,
                    key,
                    ("STRIPE_WEBHOOK_SECRET_ID", self.secrets.id(WEBHOOK_SECRET)),
                    ("BACKUP_RECIPIENTS_SECRET_ID", self.secrets.id(RECIPIENTS_SECRET)),
                    // No instance here has read a secret just before a rotation, but where a test means it to.
                    ("ROTATION_SETTLE_SECONDS", "0".to_owned()),
                ]);
            }
            "reconcile" => {
                environment.extend(stripe);
                environment.extend(bucket);
                environment.push(database);
            }
            _ => {}
        }
        environment
    }
}
