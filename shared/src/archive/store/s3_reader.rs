//! Reading an object of S3 to its end, over answers that break off or crawl.

use std::time::{Duration, Instant};

use aws_sdk_s3::error::DisplayErrorContext;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;

use super::s3::S3Store;
use super::{ObjectReader, StoreError, StoreErrorKind};

/// What has to come of an object, on average, within the patience: less is no network that a backup can be read over.
const BYTES_PER_PATIENCE: u64 = 64 * 1024;

/// How often an answer that breaks off is asked for again, from where it broke off.
const REOPENS_MAX: u32 = 5;

/// The body of a GetObject answer, or of several where connections break.
pub struct S3Reader {
    store: S3Store,
    key: String,
    etag: Option<String>,
    body: ByteStream,
    bytes: u64,
    bytes_read: u64,
    reopens_left: u32,
    /// How long the store was waited for since an answer or a patience began, and what came meanwhile.
    waited: Duration,
    bytes_since: u64,
}

impl S3Reader {
    /// Of an object whose answer began.
    pub(super) fn new(store: S3Store, key: &str, output: GetObjectOutput) -> Self {
        let bytes = output.content_length.and_then(|length| u64::try_from(length).ok()).unwrap_or_default();
        Self {
            store,
            key: key.to_owned(),
            etag: output.e_tag,
            body: output.body,
            bytes,
            bytes_read: 0,
            reopens_left: REOPENS_MAX,
            waited: Duration::ZERO,
            bytes_since: 0,
        }
    }

    /// Asks for the rest of the same object. The SDK repeats requests, not answers that break off.
    async fn reopen(&mut self) -> Result<(), StoreError> {
        let output = self
            .store
            .client
            .get_object()
            .bucket(&self.store.bucket)
            .key(&self.key)
            .range(format!("bytes={}-", self.bytes_read))
            .set_if_match(self.etag.clone())
            .send()
            .await
            .map_err(|error| self.store.error("read the rest of", &self.key, &error))?;
        let from_here = format!("bytes {}-", self.bytes_read);
        if !output.content_range.is_some_and(|range| range.starts_with(&from_here)) {
            let operation = format!("read the rest of s3://{}/{}", self.store.bucket, self.key);
            let reason = "the store does not answer with the range that it was asked for";
            return Err(StoreError::new(StoreErrorKind::Unavailable, operation, reason));
        }
        self.body = output.body;
        (self.waited, self.bytes_since) = (Duration::ZERO, 0);
        Ok(())
    }

    /// The next bytes of the answer; a reason where it breaks off or crawls. Only the time in which the store is waited
    /// for counts: whoever takes the bytes may be slow.
    async fn receive(&mut self) -> Result<Option<Bytes>, String> {
        let (began, left) = (Instant::now(), self.store.patience.saturating_sub(self.waited));
        let Ok(received) = tokio::time::timeout(left, self.body.try_next()).await else {
            return Err(format!("the store sent {} bytes in {:?}", self.bytes_since, self.store.patience));
        };
        self.waited += began.elapsed();
        let chunk = received.map_err(|error| DisplayErrorContext(&error).to_string())?;
        self.bytes_since += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        if self.bytes_since >= BYTES_PER_PATIENCE {
            (self.waited, self.bytes_since) = (Duration::ZERO, 0);
        }
        Ok(chunk)
    }
}

impl ObjectReader for S3Reader {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        loop {
            let reason = match self.receive().await {
                Ok(Some(chunk)) => {
                    self.bytes_read += chunk.len() as u64;
                    return Ok(Some(chunk));
                }
                Ok(None) if self.bytes_read >= self.bytes => return Ok(None),
                Ok(None) => "the answer ended early".to_owned(),
                Err(reason) => reason,
            };
            if self.reopens_left == 0 {
                let operation = format!("read s3://{}/{}", self.store.bucket, self.key);
                let reason = format!("{reason}, after {} of {} bytes", self.bytes_read, self.bytes);
                return Err(StoreError::new(StoreErrorKind::Unavailable, operation, reason));
            }
            self.reopens_left -= 1;
            tracing::warn!(
                key = self.key,
                bytes_read = self.bytes_read,
                reason,
                "the store's answer broke off"
            );
            self.reopen().await?;
        }
    }
}
