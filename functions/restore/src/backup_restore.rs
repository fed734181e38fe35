//! `{"action":"backup_restore"}`: rebuilds a backup in a database of its own, and proves it equal.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use recoup::archive::reading::Backup;
use recoup::archive::restore::Masking;
use recoup::archive::summary::find_backup;
use recoup::failure::Failure;
use recoup::secrets::SecretStore;
use serde::Deserialize;
use time::OffsetDateTime;

use crate::asked::{Asked, check_tables, masking};
use crate::{Restore, RestoreReply};

/// A backup that is to be restored.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupRestoreRequest {
    backup_id: String,
    target_database: Option<String>,
    target_secret: Option<String>,
    tables: Option<Vec<String>>,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    sanitize: bool,
    mask: Option<BTreeMap<String, String>>,
}

impl BackupRestoreRequest {
    /// How personal data is masked; refuses what contradicts itself.
    ///
    /// # Errors
    /// `InvalidRequest`.
    pub(crate) fn masking(&self) -> Result<Option<Masking>, Failure> {
        check_tables(self.tables.as_ref())?;
        masking(self.sanitize, self.mask.as_ref())
    }
}

impl<S: SecretStore + Sync> Restore<S> {
    /// Restores a backup, or says what that would be.
    pub(crate) async fn backup_restore(
        &self,
        request: BackupRestoreRequest,
        deadline: SystemTime,
    ) -> Result<RestoreReply, Failure> {
        let masking = request.masking()?;
        let asked = Asked {
            target_database: request.target_database,
            target_secret: request.target_secret,
            tables: request.tables,
            dry_run: request.dry_run,
            masking,
            target: None,
        };
        let began_at = OffsetDateTime::now_utc();
        let database = asked.database(began_at)?;
        let id = find_backup(&*self.store, &request.backup_id).await?;
        let backup = Arc::new(Backup::open(Arc::clone(&self.store), id).await?);
        Box::pin(self.restore(&asked, backup, &database, began_at, deadline)).await
    }
}
