//! The versions of a secret, as a rotation makes and moves them.
//!
//! A version's value never changes, and a stage is a label that one version has: `AWSCURRENT` the one that everybody
//! reads, `AWSPENDING` the one that a rotation prepares (AWS Secrets Manager User Guide, "Lambda rotation functions").

use std::collections::BTreeMap;

use aws_sdk_secretsmanager::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;

use super::{SecretsManager, invalid};
use crate::failure::Failure;

/// The stage that everybody reads.
pub const CURRENT: &str = "AWSCURRENT";

/// The stage of what a rotation prepares.
pub const PENDING: &str = "AWSPENDING";

/// A version on its way to [`CURRENT`] that no rotation makes.
const DRAFT: &str = "recoup-draft";

/// What Secrets Manager says of a secret without showing it.
#[derive(Debug, Clone)]
pub struct Description {
    /// Its full name.
    pub arn: String,
    /// The name that it was given.
    pub name: String,
    /// When its value was last changed.
    pub changed_at: Option<OffsetDateTime>,
    /// When Secrets Manager last rotated it.
    pub rotated_at: Option<OffsetDateTime>,
    /// When Secrets Manager will rotate it next.
    pub next_rotation_at: Option<OffsetDateTime>,
    versions: BTreeMap<String, Vec<String>>,
}

impl Description {
    /// The version that has the stage.
    pub fn version_of(&self, stage: &str) -> Option<&str> {
        let mut versions = self.versions.iter();
        let found = versions.find(|(_, stages)| stages.iter().any(|other| other == stage));
        found.map(|(version, _)| version.as_str())
    }

    /// Whether the version has the stage.
    pub fn is_at(&self, version: &str, stage: &str) -> bool {
        self.versions.get(version).is_some_and(|stages| stages.iter().any(|other| other == stage))
    }

    /// Whether it is known by this id: full name, name, or the full name without its random end.
    pub fn is_named(&self, id: &str) -> bool {
        let without_end = self.arn.rsplit_once('-').map_or("", |(start, _)| start);
        [self.arn.as_str(), &self.name, without_end].contains(&id)
    }
}

impl SecretsManager {
    /// What is known of a secret beside its value.
    ///
    /// # Errors
    /// `SecretMissing`, `SecretUnavailable`.
    pub async fn describe(&self, id: &str) -> Result<Description, Failure> {
        let output = self.client.describe_secret().secret_id(id).send().await;
        let output = output.map_err(|error| refused("describe", id, error))?;
        let at = |date: Option<&aws_sdk_secretsmanager::primitives::DateTime>| {
            date.and_then(|date| OffsetDateTime::from_unix_timestamp(date.secs()).ok())
        };
        Ok(Description {
            arn: output.arn.clone().unwrap_or_default(),
            name: output.name.clone().unwrap_or_default(),
            changed_at: at(output.last_changed_date.as_ref()),
            rotated_at: at(output.last_rotated_date.as_ref()),
            next_rotation_at: at(output.next_rotation_date.as_ref()),
            versions: output.version_ids_to_stages.unwrap_or_default().into_iter().collect(),
        })
    }

    /// The value of a version; `None` where it has none yet, as one that Secrets Manager has just begun to rotate.
    ///
    /// # Errors
    /// `SecretUnavailable`; `SecretInvalid` where it is no text.
    pub async fn value_of(&self, id: &str, version: &str) -> Result<Option<SecretString>, Failure> {
        let output = match self.client.get_secret_value().secret_id(id).version_id(version).send().await {
            Ok(output) => output,
            Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) => {
                return Ok(None);
            }
            Err(error) => return Err(refused("read a version of", id, error)),
        };
        match output.secret_string {
            Some(text) => Ok(Some(text.into())),
            None => Err(invalid(id, "it holds binary data where JSON text is expected")),
        }
    }

    /// Gives a version its value, and the stage [`PENDING`].
    ///
    /// # Errors
    /// `SecretUnavailable`, `SecretVersionTaken` where the version has another value already.
    pub async fn put_pending(&self, id: &str, version: &str, value: &SecretString) -> Result<(), Failure> {
        self.put(id, version, value, PENDING).await
    }

    /// Makes a version the one that everybody reads, in the place of the version that is it now. Where it is another
    /// one by now, nothing is changed.
    ///
    /// # Errors
    /// `SecretUnavailable`.
    pub async fn make_current(
        &self,
        id: &str,
        version: &str,
        instead_of: Option<&str>,
    ) -> Result<(), Failure> {
        let request = self.client.update_secret_version_stage().secret_id(id).version_stage(CURRENT);
        let request =
            request.move_to_version_id(version).set_remove_from_version_id(instead_of.map(str::to_owned));
        request.send().await.map_err(|error| refused("move AWSCURRENT of", id, error))?;
        Ok(())
    }

    /// Takes the stage [`PENDING`] from a version.
    ///
    /// # Errors
    /// `SecretUnavailable`.
    pub async fn withdraw(&self, id: &str, version: &str) -> Result<(), Failure> {
        let request = self.client.update_secret_version_stage().secret_id(id).version_stage(PENDING);
        let sent = request.remove_from_version_id(version).send().await;
        sent.map_err(|error| refused("take AWSPENDING from", id, error))?;
        Ok(())
    }

    /// Changes the value that everybody reads from what it was in `read`, without a rotation. Whoever changed it in
    /// between wins: then this is an error.
    ///
    /// # Errors
    /// `SecretUnavailable`.
    pub async fn replace(&self, id: &str, read: &Description, value: &SecretString) -> Result<(), Failure> {
        let version = format!("{:032x}", rand::random::<u128>());
        self.put(id, &version, value, DRAFT).await?;
        self.make_current(id, &version, read.version_of(CURRENT)).await
    }

    async fn put(&self, id: &str, version: &str, value: &SecretString, stage: &str) -> Result<(), Failure> {
        let request = self.client.put_secret_value().secret_id(id).client_request_token(version);
        let request = request.secret_string(value.expose_secret()).version_stages(stage);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_exists_exception()) => {
                Err(Failure::new(
                    "SecretVersionTaken",
                    format!(
                        "put version {version} of secret {id}: it has another value already; read it and go on"
                    ),
                ))
            }
            Err(error) => Err(refused("put a version of", id, error)),
        }
    }
}

/// Secrets Manager's refusal. Its words name secrets, versions and rights, and no value.
fn refused<E, R>(what: &str, id: &str, error: SdkError<E, R>) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let missing = error.code() == Some("ResourceNotFoundException");
    let (error_type, remedy) = if missing {
        ("SecretMissing", "create it, or correct the variable that names it")
    } else {
        (
            "SecretUnavailable",
            "check the function's rights to it and that Secrets Manager can be reached, and try again",
        )
    };
    let message = DisplayErrorContext(&error).to_string();
    Failure::new(error_type, format!("{what} secret {id}: {remedy}"))
        .with_source(std::io::Error::other(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_and_names_are_found() {
        let versions = [("a", vec![CURRENT]), ("b", vec![PENDING, "mine"]), ("c", vec![])];
        let description = Description {
            arn: "arn:aws:secretsmanager:eu-central-1:1:secret:shop/db-AbCdEf".to_owned(),
            name: "shop/db".to_owned(),
            changed_at: None,
            rotated_at: None,
            next_rotation_at: None,
            versions: versions
                .into_iter()
                .map(|(version, stages)| {
                    (version.to_owned(), stages.into_iter().map(str::to_owned).collect())
                })
                .collect(),
        };
        assert_eq!(description.version_of(CURRENT), Some("a"));
        assert_eq!(description.version_of("AWSPREVIOUS"), None);
        assert!(
            description.is_at("b", PENDING)
                && !description.is_at("c", PENDING)
                && !description.is_at("d", "mine")
        );
        for id in
            [description.arn.as_str(), "shop/db", "arn:aws:secretsmanager:eu-central-1:1:secret:shop/db"]
        {
            assert!(description.is_named(id), "{id}");
        }
        assert!(!description.is_named("shop") && !description.is_named(""));
    }
}
