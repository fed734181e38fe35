//! Removing objects from S3, and what forbids it.
//!
//! In a bucket with versions a plain DELETE succeeds whatever is locked: it hides the object behind a marker, and
//! the object's version stays for as long as the lifecycle rule and its lock say. So whoever is to respect a lock
//! has to ask for it first.

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::types::{Delete, ObjectIdentifier, ObjectLockLegalHoldStatus};
use serde::Serialize;
use time::OffsetDateTime;

use super::s3::{S3Store, instant, kind_of};
use super::{StoreError, StoreErrorKind};

/// What one DeleteObjects request may name (Amazon S3 API Reference, "DeleteObjects").
const KEYS_PER_REQUEST: usize = 1000;

/// What holds an object in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "rule", rename_all = "snake_case")]
pub enum Lock {
    /// S3 Object Lock, until an instant.
    ObjectLock {
        /// `GOVERNANCE` or `COMPLIANCE`.
        mode: String,
        /// When it ends.
        #[serde(with = "time::serde::rfc3339")]
        until: OffsetDateTime,
    },
    /// A legal hold, until somebody lifts it.
    LegalHold,
}

/// An upload in pieces that was begun, and neither completed nor given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnfinishedUpload {
    /// The object that it would make.
    pub key: String,
    /// The store's name for it.
    pub upload_id: String,
    /// When it was begun, by the store's clock.
    pub initiated_at: OffsetDateTime,
}

/// What is said of locks: `None` where this bucket or store can have none.
type Told<T> = Option<Option<T>>;

impl S3Store {
    /// What holds an object at `now`. `Ok(None)` where nothing in this bucket can be held: then no other object need
    /// be asked for. A lock that ended before `now` holds nothing.
    ///
    /// # Errors
    /// [`StoreError`]. An object that is not there is held by nothing.
    pub async fn lock_of(&self, key: &str, now: OffsetDateTime) -> Result<Option<Option<Lock>>, StoreError> {
        let Some(hold) = self.legal_hold_of(key).await? else { return Ok(None) };
        if hold.is_some() {
            return Ok(Some(hold));
        }
        let Some(retention) = self.retention_of(key).await? else { return Ok(None) };
        let holds = |lock: &Lock| !matches!(lock, Lock::ObjectLock { until, .. } if *until <= now);
        Ok(Some(retention.filter(holds)))
    }

    async fn legal_hold_of(&self, key: &str) -> Result<Told<Lock>, StoreError> {
        let answer = self.client.get_object_legal_hold().bucket(&self.bucket).key(key).send().await;
        match answer {
            Ok(output) => {
                let on = |hold: &aws_sdk_s3::types::ObjectLockLegalHold| {
                    hold.status == Some(ObjectLockLegalHoldStatus::On)
                };
                Ok(Some(output.legal_hold.filter(on).map(|_| Lock::LegalHold)))
            }
            Err(error) => no_lock(&error, self.error("ask for the legal hold of", key, &error)),
        }
    }

    async fn retention_of(&self, key: &str) -> Result<Told<Lock>, StoreError> {
        let answer = self.client.get_object_retention().bucket(&self.bucket).key(key).send().await;
        match answer {
            Ok(output) => {
                let retention = output.retention.and_then(|retention| {
                    let until = instant(retention.retain_until_date.as_ref()?)?;
                    Some(Lock::ObjectLock { mode: retention.mode?.as_str().to_owned(), until })
                });
                Ok(Some(retention))
            }
            Err(error) => no_lock(&error, self.error("ask for the lock of", key, &error)),
        }
    }

    /// Deletes one object; says whether the store keeps it as an older version.
    ///
    /// # Errors
    /// [`StoreError`]. An object that is not there is no error.
    pub async fn delete(&self, key: &str) -> Result<bool, StoreError> {
        let output = self
            .client
            .delete_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await
            .map_err(|error| self.error("delete", key, &error))?;
        Ok(output.delete_marker == Some(true))
    }

    /// Deletes objects, up to a thousand in one request.
    ///
    /// # Errors
    /// [`StoreError`] of the first one that could not be deleted; those of other requests may be.
    pub async fn delete_all(&self, keys: &[String]) -> Result<(), StoreError> {
        for keys in keys.chunks(KEYS_PER_REQUEST) {
            let first = keys.first().map_or("", String::as_str);
            let invalid = |error: aws_sdk_s3::error::BuildError| {
                let operation = format!("delete s3://{}/{first}", self.bucket);
                StoreError::new(StoreErrorKind::Unavailable, operation, error.to_string())
            };
            let objects = keys.iter().map(|key| ObjectIdentifier::builder().key(key).build());
            let objects = objects.collect::<Result<Vec<_>, _>>().map_err(invalid)?;
            let delete = Delete::builder().set_objects(Some(objects)).quiet(true).build().map_err(invalid)?;
            let output = self
                .client
                .delete_objects()
                .bucket(&self.bucket)
                .delete(delete)
                .send()
                .await
                .map_err(|error| self.error("delete", first, &error))?;
            if let Some(left) = output.errors().first() {
                let operation = format!("delete s3://{}/{}", self.bucket, left.key().unwrap_or_default());
                let reason =
                    format!("{} {}", left.code().unwrap_or_default(), left.message().unwrap_or_default());
                return Err(StoreError::new(kind_of(left.code(), None), operation, reason.trim()));
            }
        }
        Ok(())
    }

    /// Uploads in pieces below `prefix` that nobody has ended. `None` where the store can't tell.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn unfinished_uploads(
        &self,
        prefix: &str,
    ) -> Result<Option<Vec<UnfinishedUpload>>, StoreError> {
        let mut found = Vec::new();
        let (mut key_marker, mut upload_id_marker) = (None, None);
        loop {
            let page = self
                .client
                .list_multipart_uploads()
                .bucket(&self.bucket)
                .prefix(prefix)
                .set_key_marker(key_marker)
                .set_upload_id_marker(upload_id_marker)
                .send()
                .await;
            let page =
                match page.map_err(|error| self.error("list the unfinished uploads of", prefix, &error)) {
                    Ok(page) => page,
                    Err(error) if error.kind == StoreErrorKind::Unsupported => return Ok(None),
                    Err(error) => return Err(error),
                };
            found.extend(page.uploads().iter().filter_map(|upload| {
                Some(UnfinishedUpload {
                    key: upload.key.clone()?,
                    upload_id: upload.upload_id.clone()?,
                    initiated_at: instant(upload.initiated.as_ref()?)?,
                })
            }));
            if page.is_truncated != Some(true) || page.next_key_marker.is_none() {
                return Ok(Some(found));
            }
            (key_marker, upload_id_marker) = (page.next_key_marker, page.next_upload_id_marker);
        }
    }
}

/// What S3 answers where nothing is locked (Amazon S3 API Reference, "GetObjectRetention"): the object has no lock, or
/// the bucket can have none. A store that does not know the question has no locks either.
fn no_lock(answer: &impl ProvideErrorMetadata, error: StoreError) -> Result<Told<Lock>, StoreError> {
    let message = answer.message().unwrap_or_default().replace(' ', "");
    match answer.code() {
        Some("NoSuchObjectLockConfiguration") => Ok(Some(None)),
        Some("InvalidRequest") if message.contains("ObjectLockConfiguration") => Ok(None),
        Some("ObjectLockConfigurationNotFoundError") => Ok(None),
        _ => match error.kind {
            StoreErrorKind::NotFound => Ok(Some(None)),
            StoreErrorKind::Unsupported => Ok(None),
            _ => Err(error),
        },
    }
}
