//! `changes`: every segment of every chain, opened and compared.

use std::sync::Arc;

use recoup::archive::encryption::Identities;
use recoup::archive::store::S3Store;
use recoup::changes::check::{CheckedChanges, check_changes};
use recoup::failure::Failure;
use serde::Serialize;

/// What `changes` answers about chains that are whole.
#[derive(Debug, Serialize)]
pub struct ChangesReply {
    action: &'static str,
    status: &'static str,
    #[serde(flatten)]
    checked: CheckedChanges,
}

pub(crate) async fn changes(store: &Arc<S3Store>, identities: &Identities) -> Result<ChangesReply, Failure> {
    let checked = check_changes(store, identities).await?;
    Ok(ChangesReply { action: "changes", status: "whole", checked })
}
