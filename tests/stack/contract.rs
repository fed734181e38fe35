//! What the functions find when they start: the secrets that they read and the variables that name them, as
//! `infra/template.yaml` has it on AWS.

use serde_json::json;

use crate::error::Result;
use crate::place;
use crate::s3::{REGION, S3};
use crate::secrets::{Secrets, arn_pattern, id};
use crate::stripe::Stripe;

/// What AWS calls the stack's name.
const STACK_NAME: &str = "recoup-local";

/// Names of the secrets, below the stack's prefix.
const DATABASE_SECRET: &str = "database";
const WEBHOOK_SECRET: &str = "stripe-webhook";
const API_SECRET: &str = "stripe-api";
const BACKUP_KEY_SECRET: &str = "backup-key";
/// Another server's, which a test puts there.
const RESTORE_TARGET_SECRET: &str = "restore-target";

/// What the stack has for a secret that the template calls so: its id.
fn secret_of(reference: &str, prefix: &str) -> Option<String> {
    let name = match reference {
        "DatabaseSecret" => DATABASE_SECRET,
        "StripeWebhookSecret" => WEBHOOK_SECRET,
        "StripeApiSecret" => API_SECRET,
        "BackupKeySecret" => BACKUP_KEY_SECRET,
        "RestoreTargetSecretArn" => RESTORE_TARGET_SECRET,
        _ => return None,
    };
    Some(id(prefix, name))
}

/// What stands for a reference in a role of the template: ARNs, of secrets as a pattern.
pub(crate) fn resource_of(reference: &str, prefix: &str, bucket: &str) -> Option<String> {
    match reference {
        "BackupBucket.Arn" => Some(format!("arn:aws:s3:::{bucket}")),
        _ => secret_of(reference, prefix).map(|id| arn_pattern(&id)),
    }
}

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
    Ok(())
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
            ("AWS_ENDPOINT_URL_S3", self.s3.endpoint().to_owned()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", self.secrets.endpoint().to_owned()),
            ("RUST_LOG", "info".to_owned()),
            ("RECOUP_METRICS_DIMENSIONS", format!("Stack={STACK_NAME}")),
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
                environment.extend([database, ("BACKUP_AGE_RECIPIENTS", self.age_recipient.to_owned())]);
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
