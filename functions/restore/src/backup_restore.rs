//! `{"action":"backup_restore"}`: rebuilds a backup in a database of its own, and proves it equal.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use recoup::archive::names::key_timestamp;
use recoup::archive::reading::Backup;
use recoup::archive::restore::{Masking, Order, Restoring, check_name};
use recoup::archive::summary::find_backup;
use recoup::failure::Failure;
use recoup::secrets::SecretStore;
use serde::Deserialize;
use time::OffsetDateTime;

use crate::{Restore, RestoreReply};

/// A backup that is to be restored.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupRestoreRequest {
    backup_id: String,
    target_database: Option<String>,
    /// A secret with the URL of another server than production's.
    pub(crate) target_secret: Option<String>,
    tables: Option<Vec<String>>,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    sanitize: bool,
    mask: Option<BTreeMap<String, String>>,
}

impl BackupRestoreRequest {
    /// Refuses what contradicts itself.
    ///
    /// # Errors
    /// `InvalidRequest`.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.mask.is_some() && !self.sanitize {
            return Err(Failure::invalid_request(
                "restore: mask says how columns are masked, and needs \"sanitize\": true",
            ));
        }
        if self.tables.as_ref().is_some_and(Vec::is_empty) {
            return Err(Failure::invalid_request(
                "restore: tables is empty; name the tables, for example [\"public.orders\"], or leave it out for all",
            ));
        }
        Ok(())
    }

    fn order(&self, backup_id: &str, began_at: OffsetDateTime) -> Order {
        let masking = self.sanitize.then(|| Masking {
            key: format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>()),
            columns: self.mask.clone().unwrap_or_default(),
        });
        Order {
            restore_id: format!("{}-restore-{:08x}", key_timestamp(began_at), rand::random::<u32>()),
            backup_id: backup_id.to_owned(),
            began_at,
            tables: self.tables.clone(),
            wanted: None,
            masking,
        }
    }
}

impl<S: SecretStore + Sync> Restore<S> {
    /// Restores a backup, or says what that would be.
    pub(crate) async fn backup_restore(
        &self,
        request: BackupRestoreRequest,
        deadline: SystemTime,
    ) -> Result<RestoreReply, Failure> {
        request.check()?;
        let began_at = OffsetDateTime::now_utc();
        let database = request.target_database.clone().unwrap_or_else(|| {
            format!("recoup_restore_{}", key_timestamp(began_at).trim_end_matches('Z').to_ascii_lowercase())
        });
        check_name(&database)?;
        let id = find_backup(&*self.store, &request.backup_id).await?;
        let backup = Arc::new(Backup::open(Arc::clone(&self.store), id).await?);
        let order = request.order(backup.id.as_str(), began_at);
        let identities = self.identities(&backup).await?;
        let target = self.target(request.target_secret.as_deref()).await?;
        let opening = Restoring::open(target, order.clone(), Arc::clone(&backup), &identities);
        if request.dry_run {
            let opened = Box::pin(opening).await;
            let previewing = self.preview(opened, &backup, &database, request.target_secret.as_deref());
            return Ok(RestoreReply::Preview(Box::new(Box::pin(previewing).await?)));
        }
        let restoring = Box::pin(opening).await?;
        let order = restoring.order().clone();
        let masks = restoring.masks().clone();
        let outcome = Box::pin(restoring.begin(&database, deadline)).await?;
        let target_secret = request.target_secret.as_deref();
        Box::pin(self.answer(outcome, order, &masks, &backup, target_secret, deadline)).await
    }
}
