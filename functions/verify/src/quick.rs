//! `quick`: a backup as far as it can be judged without reading it.

use std::sync::Arc;

use recoup::archive::quick::{Checked, verify_quick};
use recoup::archive::reading::Backup;
use recoup::archive::store::S3Store;
use recoup::failure::Failure;
use serde::Serialize;

/// What `quick` answers about a backup in which nothing is amiss.
#[derive(Debug, Serialize)]
pub struct QuickReply {
    action: &'static str,
    backup_id: String,
    status: &'static str,
    encryption: String,
    #[serde(flatten)]
    checked: Checked,
}

pub(crate) async fn quick(backup: &Arc<Backup<S3Store>>) -> Result<QuickReply, Failure> {
    let checked = verify_quick(backup).await?;
    Ok(QuickReply {
        action: "quick",
        backup_id: backup.id.to_string(),
        status: "plausible",
        encryption: backup.manifest.encryption.method.clone(),
        checked,
    })
}
