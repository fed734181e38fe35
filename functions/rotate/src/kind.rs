//! Which kind a secret is: the environment says so, by the variable that names it. The template gives the same
//! variables to the functions that read these secrets (docs/decisions/0033).

use std::fmt;

use recoup::config::Env;
use recoup::failure::Failure;
use recoup::secrets::Description;
use serde::{Deserialize, Serialize};

/// A kind of secret, each with a rotation of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The database's address, user and password.
    Database,
    /// What Stripe signs its deliveries with.
    StripeWebhook,
    /// The identities that open backups.
    BackupKey,
    /// The key for Stripe's API.
    StripeApiKey,
}

impl Kind {
    /// All.
    pub const ALL: [Self; 4] = [Self::Database, Self::StripeWebhook, Self::BackupKey, Self::StripeApiKey];

    /// As requests, replies and metrics call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::StripeWebhook => "stripe_webhook",
            Self::BackupKey => "backup_key",
            Self::StripeApiKey => "stripe_api_key",
        }
    }

    /// The variable that names the secret of this kind.
    fn variable(self) -> &'static str {
        match self {
            Self::Database => "DATABASE_SECRET_ID",
            Self::StripeWebhook => "STRIPE_WEBHOOK_SECRET_ID",
            Self::BackupKey => "BACKUP_KEY_SECRET_ID",
            Self::StripeApiKey => "STRIPE_API_SECRET_ID",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The ids of the secrets, by kind.
pub struct Ids([String; 4]);

impl Ids {
    /// Reads the four variables.
    pub fn from_env(env: &mut Env) -> Self {
        Self(Kind::ALL.map(|kind| env.required(kind.variable())))
    }

    /// The id of this kind's secret.
    pub fn of(&self, kind: Kind) -> &str {
        &self.0[kind as usize]
    }

    /// The kind of a secret.
    ///
    /// # Errors
    /// `SecretNotKnown`.
    pub fn kind_of(&self, secret: &Description) -> Result<Kind, Failure> {
        let found = Kind::ALL.into_iter().find(|kind| secret.is_named(self.of(*kind)));
        found.ok_or_else(|| {
            let variables = Kind::ALL.map(Kind::variable).join(", ");
            Failure::new(
                "SecretNotKnown",
                format!(
                    "rotate secret {}: it is none of those that this function rotates ({variables}); remove its rotation \
                     (aws secretsmanager cancel-rotate-secret), or correct the variable",
                    secret.name
                ),
            )
        })
    }
}
