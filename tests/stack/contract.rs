//! What the functions find when they start: the secrets that they read and the variables that name them, as
//! `infra/template.yaml` has it on AWS.

use serde_json::json;

use crate::deployment::{Deployment, refer};
use crate::error::{Error, Result};
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
const RECIPIENTS_SECRET: &str = "backup-recipients";
/// Another server's, a pooler's, an administrator's, and where the chat is: a test puts them there.
const RESTORE_TARGET_SECRET: &str = "restore-target";
const POOLER_SECRET: &str = "pooler";
const ADMIN_SECRET: &str = "database-admin";
const CHAT_SECRET: &str = "chat";

/// What the stack has for a secret that the template calls so: its id.
fn secret_of(reference: &str, prefix: &str) -> Option<String> {
    let name = match reference {
        "DatabaseSecret" => DATABASE_SECRET,
        "StripeWebhookSecret" => WEBHOOK_SECRET,
        "StripeApiSecret" => API_SECRET,
        "BackupKeySecret" => BACKUP_KEY_SECRET,
        "BackupRecipientsSecret" => RECIPIENTS_SECRET,
        "RestoreTargetSecretArn" => RESTORE_TARGET_SECRET,
        "PoolerSecretArn" => POOLER_SECRET,
        "DatabaseAdminSecretArn" => ADMIN_SECRET,
        "ChatSecret" => CHAT_SECRET,
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
    pub(crate) s3: &'a S3,
    pub(crate) secrets: &'a Secrets,
    pub(crate) stripe: &'a Stripe,
    pub(crate) age_recipient: &'a str,
    /// The template, where functions are to have its variables and no others.
    pub(crate) deployed: Option<&'a Deployment>,
}

impl Contract<'_> {
    /// The environment that a function also has on AWS (`infra/template.yaml`), with our endpoints.
    pub(crate) fn environment(&self, function: &str) -> Result<Vec<(String, String)>> {
        let here = self.endpoints(function).into_iter().map(|(name, value)| (name.to_owned(), value));
        Ok(match self.deployed {
            Some(deployment) => here.chain(self.of_the_template(function, deployment)?).collect(),
            None => {
                let for_tests = self.for_tests(function).into_iter();
                here.chain(for_tests.map(|(name, value)| (name.to_owned(), value))).collect()
            }
        })
    }

    /// What is only here: where AWS and Stripe are.
    fn endpoints(&self, function: &str) -> Vec<(&'static str, String)> {
        let mut endpoints = vec![
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ENDPOINT_URL_S3", self.s3.endpoint().to_owned()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", self.secrets.endpoint().to_owned()),
            // Nothing here speaks TLS, and reading the machine's certificates is half of a cold start in a debug build.
            ("SSL_CERT_FILE", place::repository().join("tests/stack/nobody.pem").display().to_string()),
        ];
        match function {
            "webhook" | "rotate" => endpoints.push(("STRIPE_API_BASE", self.stripe.api_base())),
            "reconcile" => endpoints.extend([
                ("STRIPE_API_BASE", self.stripe.api_base()),
                ("S3_FORCE_PATH_STYLE", "true".to_owned()),
            ]),
            _ => endpoints.push(("S3_FORCE_PATH_STYLE", "true".to_owned())),
        }
        endpoints
    }

    /// The template's variables, but for those with the address of its gateway: the stack's front stands later.
    fn of_the_template(&self, function: &str, deployment: &Deployment) -> Result<Vec<(String, String)>> {
        let operation = format!("read the environment of {function}");
        let deployed = deployment.functions.get(function);
        let deployed =
            deployed.ok_or_else(|| Error::failed(&*operation, "the template has no such function"))?;
        let known = |reference: &str| match reference {
            "AWS::StackName" => Some(STACK_NAME.to_owned()),
            "BackupBucket" => Some(self.s3.bucket().to_owned()),
            "BackupAgeRecipients" => Some(self.age_recipient.to_owned()),
            _ => secret_of(reference, self.secrets.prefix()),
        };
        let mut variables = Vec::new();
        for (name, value) in &deployed.environment {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            if !value.contains("${Api.ApiEndpoint}") {
                let value = refer(&value, &known).map_err(|reason| Error::failed(&*operation, &reason))?;
                variables.push((name.clone(), value));
            }
        }
        Ok(variables)
    }

    /// The variables that have no default, and what is handy.
    fn for_tests(&self, function: &str) -> Vec<(&'static str, String)> {
        let stripe =
            [("STRIPE_API_SECRET_ID", self.secrets.id(API_SECRET)), ("STRIPE_LIVEMODE", "false".to_owned())];
        let database = ("DATABASE_SECRET_ID", self.secrets.id(DATABASE_SECRET));
        let bucket = ("BACKUP_BUCKET", self.s3.bucket().to_owned());
        let key = ("BACKUP_KEY_SECRET_ID", self.secrets.id(BACKUP_KEY_SECRET));
        let signing = ("STRIPE_WEBHOOK_SECRET_ID", self.secrets.id(WEBHOOK_SECRET));
        let recipients = ("BACKUP_RECIPIENTS_SECRET_ID", self.secrets.id(RECIPIENTS_SECRET));
        let mut variables = vec![
            ("RUST_LOG", "info".to_owned()),
            ("RECOUP_METRICS_DIMENSIONS", format!("Stack={STACK_NAME}")),
        ];
        match function {
            "webhook" => {
                variables.extend(stripe);
                variables.extend([database, signing]);
            }
            "backup" | "operate" => {
                variables.extend([
                    bucket,
                    database,
                    ("BACKUP_AGE_RECIPIENTS", self.age_recipient.to_owned()),
                    recipients,
                ]);
            }
            "restore" => variables.extend([bucket, database, key]),
            "verify" => {
                let stripe_key = ("STRIPE_API_SECRET_ID", self.secrets.id(API_SECRET));
                variables.extend([bucket, database, key, stripe_key, signing]);
            }
            "reconcile" => {
                variables.extend(stripe);
                variables.extend([bucket, database]);
            }
            "rotate" => {
                variables.extend(stripe);
                variables.extend([database, key, signing, recipients]);
                // No instance here has read a secret just before a rotation, but where a test means it to.
                variables.push(("ROTATION_SETTLE_SECONDS", "0".to_owned()));
            }
            "notify" => variables.push(("NOTIFY_WEBHOOK_SECRET_ID", self.secrets.id(CHAT_SECRET))),
            _ => {}
        }
        variables
    }
}
