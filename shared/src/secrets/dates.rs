//! How old a secret's value is, which Secrets Manager tells without showing the value.

use std::future::Future;

use aws_sdk_secretsmanager::error::DisplayErrorContext;
use time::OffsetDateTime;

use super::SecretsManager;
use crate::failure::Failure;

/// Where the dates of secrets come from.
pub trait SecretDates {
    /// When the secret's value was last changed or rotated; when it was made, where it never was.
    fn changed_at(&self, id: &str) -> impl Future<Output = Result<OffsetDateTime, Failure>> + Send;
}

impl SecretDates for SecretsManager {
    async fn changed_at(&self, id: &str) -> Result<OffsetDateTime, Failure> {
        let output = self.client.describe_secret().secret_id(id).send().await.map_err(|error| {
            let remedy = "check its name, and that the function may describe it";
            let message = DisplayErrorContext(&error).to_string();
            Failure::new("SecretUnavailable", format!("describe secret {id}: {remedy}"))
                .with_source(std::io::Error::other(message))
        })?;
        let dates = [output.last_changed_date, output.last_rotated_date, output.created_date];
        let newest = dates.into_iter().flatten().map(|date| date.secs()).max();
        newest.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok()).ok_or_else(|| {
            Failure::new("SecretUnavailable", format!("describe secret {id}: Secrets Manager gave no date"))
        })
    }
}
