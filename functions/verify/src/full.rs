//! `full`: every byte of a backup.

use std::sync::Arc;

use recoup::archive::encryption::Identities;
use recoup::archive::reading::Backup;
use recoup::archive::store::S3Store;
use recoup::archive::verify::verify_full;
use recoup::failure::Failure;
use serde::Serialize;

/// What `full` answers about a backup that is whole.
#[derive(Debug, Serialize)]
pub struct FullReply {
    action: &'static str,
    backup_id: String,
    status: &'static str,
    objects: u64,
    record_count: u64,
    bytes_stored: u64,
    bytes_raw: u64,
    encryption: String,
    elapsed_seconds: f64,
}

pub(crate) async fn full(
    backup: Arc<Backup<S3Store>>,
    identities: &Identities,
) -> Result<FullReply, Failure> {
    let verified = verify_full(Arc::clone(&backup), identities).await?;
    Ok(FullReply {
        action: "full",
        backup_id: backup.id.to_string(),
        status: "whole",
        objects: verified.objects,
        record_count: verified.rows,
        bytes_stored: verified.bytes_stored,
        bytes_raw: verified.bytes_raw,
        encryption: backup.manifest.encryption.method.clone(),
        elapsed_seconds: verified.elapsed_seconds,
    })
}
