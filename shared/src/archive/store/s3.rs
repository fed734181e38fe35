//! S3, and what speaks its protocol.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode, CompletedMultipartUpload, CompletedPart};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::s3_reader::S3Reader;
use super::{CompositeSha256, ListedObject, ObjectStore, Piece, StoreError, StoreErrorKind, StoredChecksum};
use crate::config::Env;

/// How long a store may take to answer a request, if nothing else is configured.
const PATIENCE_SECONDS: u64 = 30;

/// How long opening a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// One bucket.
#[derive(Clone)]
pub struct S3Store {
    pub(super) client: Client,
    pub(super) bucket: String,
    /// How long an answer may take.
    pub(super) patience: Duration,
}

impl S3Store {
    /// The bucket named by `BACKUP_BUCKET`; `S3_FORCE_PATH_STYLE=true` for stores without a host name for
    /// each bucket. `S3_ANSWER_SECONDS` is how long the store may take to answer a request before it is asked again
    /// (default 30).
    pub fn from_env(env: &mut Env, config: &aws_config::SdkConfig) -> Self {
        let bucket = env.required("BACKUP_BUCKET");
        let force_path_style = env.parsed("S3_FORCE_PATH_STYLE", false);
        let patience = Duration::from_secs(env.parsed("S3_ANSWER_SECONDS", PATIENCE_SECONDS).max(1));
        // The SDK repeats what times out, and by itself it waits for an answer without end.
        let timeouts =
            TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(patience).build();
        let config = aws_sdk_s3::config::Builder::from(config)
            .force_path_style(force_path_style)
            .timeout_config(timeouts)
            .build();
        Self { client: Client::from_conf(config), bucket, patience }
    }

    /// A bucket behind a client.
    pub fn new(client: Client, bucket: String) -> Self {
        Self { client, bucket, patience: Duration::from_secs(PATIENCE_SECONDS) }
    }

    /// Where the object is, for people and for the AWS CLI: `s3://bucket/key`.
    pub fn uri(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }

    /// Whether the object stands with this size. Nobody else writes into the folder of a backup: what stands there was
    /// stored by a request whose answer was lost, and which was then repeated. (Its content is the manifest's word
    /// against the store's: this function may not read it.)
    async fn stands(&self, key: &str, bytes: u64) -> bool {
        let mut stands = false;
        let listed = self.list(key, |object| stands |= object.key == key && object.bytes == bytes).await;
        listed.is_ok() && stands
    }

    pub(super) fn error<E>(&self, operation: &str, key: &str, error: &SdkError<E>) -> StoreError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let kind = kind_of(error.code(), status);
        let reason = match (error.code(), error.message(), status) {
            (Some(code), message, _) => {
                format!("{code} {}", message.unwrap_or_default()).trim_end().to_owned()
            }
            (None, _, Some(status)) => format!("HTTP {status}"),
            (None, _, None) => DisplayErrorContext(error).to_string(),
        };
        StoreError::new(kind, format!("{operation} s3://{}/{key}", self.bucket), reason)
    }
}

/// What a browser has to know of the objects that people open.
fn content_type(key: &str) -> Option<&'static str> {
    match key.rsplit_once('.')?.1 {
        "html" => Some("text/html; charset=utf-8"),
        "json" => Some("application/json"),
        _ => None,
    }
}

/// A time of the SDK's, to the second.
pub(super) fn instant(time: &DateTime) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(time.secs()).ok()
}

/// What S3's error codes and HTTP statuses mean to a backup. 507 and the quota codes are those of
/// S3-compatible stores: S3 itself is never full.
pub(super) fn kind_of(code: Option<&str>, status: Option<u16>) -> StoreErrorKind {
    match (code, status) {
        (Some("NoSuchKey" | "NotFound" | "NoSuchUpload"), _) => StoreErrorKind::NotFound,
        (Some("NoSuchBucket"), _) => StoreErrorKind::NoBucket,
        (Some("PreconditionFailed" | "ConditionalRequestConflict"), _) | (_, Some(412)) => {
            StoreErrorKind::Taken
        }
        (Some("RequestTimeTooSkewed" | "RequestExpired"), _) => StoreErrorKind::ClockSkew,
        (Some("NotImplemented"), _) | (_, Some(501)) => StoreErrorKind::Unsupported,
        (Some("BadDigest" | "InvalidDigest" | "XAmzContentSHA256Mismatch"), _) => {
            StoreErrorKind::ChecksumMismatch
        }
        (Some("QuotaExceeded" | "XMinioStorageFull" | "InsufficientStorage" | "InsufficientCapacity"), _)
        | (_, Some(507)) => StoreErrorKind::Full,
        (Some("AccessDenied" | "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "AllAccessDisabled"), _)
        | (_, Some(401 | 403)) => StoreErrorKind::Denied,
        (None, Some(404)) => StoreErrorKind::NotFound,
        _ => StoreErrorKind::Unavailable,
    }
}

impl ObjectStore for S3Store {
    type Reader = S3Reader;

    async fn put_new(&self, key: &str, body: Bytes, sha256: [u8; 32]) -> Result<(), StoreError> {
        let bytes = body.len() as u64;
        let answer = send_proven(|| {
            self.client
                .put_object()
                .bucket(&self.bucket)
                .key(key)
                .if_none_match("*")
                .set_content_type(content_type(key).map(str::to_owned))
                // A bucket with Object Lock wants to be told of the checksum in so many words.
                .checksum_algorithm(ChecksumAlgorithm::Sha256)
                .checksum_sha256(BASE64.encode(sha256))
                .body(ByteStream::from(body.clone()))
                .send()
        });
        match answer.await.map_err(|error| self.error("store", key, &error)) {
            Ok(_) => Ok(()),
            Err(error) if error.kind == StoreErrorKind::Taken && self.stands(key, bytes).await => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn begin_upload(&self, key: &str) -> Result<String, StoreError> {
        let output = self
            .client
            .create_multipart_upload()
            .bucket(&self.bucket)
            .key(key)
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .send()
            .await
            .map_err(|error| self.error("begin to store", key, &error))?;
        output.upload_id.ok_or_else(|| {
            let operation = format!("begin to store s3://{}/{key}", self.bucket);
            StoreError::new(StoreErrorKind::Unavailable, operation, "the store gave no upload id")
        })
    }

    async fn put_piece(
        &self,
        key: &str,
        upload_id: &str,
        number: i32,
        body: Bytes,
    ) -> Result<Piece, StoreError> {
        let (sha256, bytes) = (Sha256::digest(&body), body.len() as u64);
        let answer = send_proven(|| {
            self.client
                .upload_part()
                .bucket(&self.bucket)
                .key(key)
                .upload_id(upload_id)
                .part_number(number)
                .checksum_algorithm(ChecksumAlgorithm::Sha256)
                .checksum_sha256(BASE64.encode(sha256))
                .body(ByteStream::from(body.clone()))
                .send()
        });
        let output = answer.await.map_err(|error| self.error("store a piece of", key, &error))?;
        Ok(Piece { number, etag: output.e_tag, sha256: sha256.into(), bytes })
    }

    async fn complete_upload(
        &self,
        key: &str,
        upload_id: &str,
        pieces: &[Piece],
    ) -> Result<CompositeSha256, StoreError> {
        let composite = CompositeSha256::of(pieces.iter().map(|piece| piece.sha256));
        let parts = pieces.iter().map(|piece| {
            CompletedPart::builder()
                .part_number(piece.number)
                .set_e_tag(piece.etag.clone())
                .checksum_sha256(BASE64.encode(piece.sha256))
                .build()
        });
        let upload = CompletedMultipartUpload::builder().set_parts(Some(parts.collect())).build();
        let answer = self
            .client
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(key)
            .upload_id(upload_id)
            .if_none_match("*")
            .multipart_upload(upload)
            .send()
            .await;
        let kept = match answer.map_err(|error| self.error("finish storing", key, &error)) {
            Ok(output) => output.checksum_sha256.as_deref().and_then(checksum_of),
            // Asked again, stores say that the key is taken, or that they know no such upload.
            Err(_) if self.stands(key, pieces.iter().map(|piece| piece.bytes).sum()).await => None,
            Err(error) => return Err(error),
        };
        match kept {
            Some(StoredChecksum::OfPieces(kept)) if kept != composite => Err(StoreError::new(
                StoreErrorKind::ChecksumMismatch,
                format!("finish storing s3://{}/{key}", self.bucket),
                format!("the store has checksum {kept} of what was sent with {composite}"),
            )),
            _ => Ok(composite),
        }
    }

    async fn abort_upload(&self, key: &str, upload_id: &str) -> Result<(), StoreError> {
        let answer = self
            .client
            .abort_multipart_upload()
            .bucket(&self.bucket)
            .key(key)
            .upload_id(upload_id)
            .send()
            .await;
        match answer.map_err(|error| self.error("give up storing", key, &error)) {
            Ok(_) => Ok(()),
            // It is gone.
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn checksum(&self, key: &str) -> Result<StoredChecksum, StoreError> {
        let output = self
            .client
            .head_object()
            .bucket(&self.bucket)
            .key(key)
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await
            .map_err(|error| self.error("ask for the checksum of", key, &error))?;
        let known = output.checksum_sha256.as_deref().and_then(checksum_of);
        Ok(known.unwrap_or(StoredChecksum::Unknown))
    }

    async fn open(&self, key: &str) -> Result<S3Reader, StoreError> {
        let output = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await
            .map_err(|error| self.error("read", key, &error))?;
        Ok(S3Reader::new(self.clone(), key, output))
    }

    async fn list(&self, prefix: &str, mut visit: impl FnMut(ListedObject) + Send) -> Result<(), StoreError> {
        let mut pages =
            self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.error("list", prefix, &error))?;
            for object in page.contents.unwrap_or_default() {
                let bytes = object.size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
                let modified_at = object.last_modified.as_ref().and_then(instant);
                if let Some(key) = object.key {
                    visit(ListedObject { key, bytes, modified_at });
                }
            }
        }
        Ok(())
    }
}

/// Sends a body, and sends it once more where the store says that what arrived is not what was sent: the SDK repeats
/// what the network or the store fails at, and takes this for the sender's mistake.
async fn send_proven<T, E, F>(send: impl Fn() -> F) -> Result<T, SdkError<E>>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    F: Future<Output = Result<T, SdkError<E>>>,
{
    match send().await {
        Err(error) if kind_of(error.code(), None) == StoreErrorKind::ChecksumMismatch => send().await,
        answer => answer,
    }
}

/// S3 writes the checksum of an upload in pieces as `<base64>-<pieces>` (Amazon S3 User Guide, "Checking object
/// integrity"). `None` for what is neither that nor a SHA-256.
fn checksum_of(header: &str) -> Option<StoredChecksum> {
    if let Ok(composite) = header.parse() {
        return Some(StoredChecksum::OfPieces(composite));
    }
    let digest = BASE64.decode(header).ok().filter(|digest| digest.len() == 32)?;
    Some(StoredChecksum::Sha256(hex::encode(digest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_of_pieces_is_not_taken_for_the_contents() {
        let digest = Sha256::digest(b"recoup");
        let whole = BASE64.encode(digest);
        assert_eq!(checksum_of(&whole), Some(StoredChecksum::Sha256(hex::encode(digest))));
        let composite = CompositeSha256::of([digest.into()]);
        assert_eq!(checksum_of(&composite.to_string()), Some(StoredChecksum::OfPieces(composite)));
        assert_eq!(checksum_of("AAAAAA=="), None);
    }

    #[test]
    fn codes_and_statuses_become_kinds() {
        for (code, status, kind) in [
            (Some("NoSuchKey"), Some(404), StoreErrorKind::NotFound),
            (Some("NoSuchBucket"), Some(404), StoreErrorKind::NoBucket),
            (Some("AccessDenied"), Some(403), StoreErrorKind::Denied),
            (None, Some(403), StoreErrorKind::Denied),
            (None, Some(507), StoreErrorKind::Full),
            (Some("QuotaExceeded"), Some(400), StoreErrorKind::Full),
            (Some("SlowDown"), Some(503), StoreErrorKind::Unavailable),
            (Some("RequestTimeTooSkewed"), Some(403), StoreErrorKind::ClockSkew),
            (Some("NotImplemented"), Some(501), StoreErrorKind::Unsupported),
            (Some("PreconditionFailed"), Some(412), StoreErrorKind::Taken),
            (None, None, StoreErrorKind::Unavailable),
        ] {
            assert_eq!(kind_of(code, status), kind, "{code:?} {status:?}");
        }
    }
}
