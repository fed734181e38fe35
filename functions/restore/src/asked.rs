//! What every restore is asked, whatever it restores.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use recoup::archive::names::key_timestamp;
use recoup::archive::reading::Backup;
use recoup::archive::restore::{Masking, Order, Restoring, check_name};
use recoup::archive::store::S3Store;
use recoup::erasures::Records;
use recoup::failure::Failure;
use recoup::secrets::SecretStore;
use time::OffsetDateTime;

use crate::reply::Copy;
use crate::{Restore, RestoreReply};

/// A restore that is asked for.
pub(crate) struct Asked {
    /// The new database's name; none for one of ours.
    pub(crate) target_database: Option<String>,
    /// A secret with the URL of another server than production's.
    pub(crate) target_secret: Option<String>,
    /// The only tables that are wanted.
    pub(crate) tables: Option<Vec<String>>,
    /// Whether only to say what it would be.
    pub(crate) dry_run: bool,
    /// How personal data is masked.
    pub(crate) masking: Option<Masking>,
    /// The instant, where the backup is not wanted as it is.
    pub(crate) target: Option<OffsetDateTime>,
}

/// Refuses an empty list of tables, which would be a copy of nothing.
///
/// # Errors
/// `InvalidRequest`.
pub(crate) fn check_tables(tables: Option<&Vec<String>>) -> Result<(), Failure> {
    if tables.is_some_and(Vec::is_empty) {
        return Err(Failure::invalid_request(
            "restore: tables is empty; name the tables, for example [\"public.orders\"], or leave it out for all",
        ));
    }
    Ok(())
}

/// How personal data is masked, where a request wants it to be.
///
/// # Errors
/// `InvalidRequest` for rules without the wish.
pub(crate) fn masking(
    sanitize: bool,
    mask: Option<&BTreeMap<String, String>>,
) -> Result<Option<Masking>, Failure> {
    match (sanitize, mask) {
        (false, Some(_)) => Err(Failure::invalid_request(
            "restore: mask says how columns are masked, and needs \"sanitize\": true",
        )),
        (false, None) => Ok(None),
        (true, columns) => Ok(Some(Masking {
            key: format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>()),
            columns: columns.cloned().unwrap_or_default(),
        })),
    }
}

impl Asked {
    /// The database's name.
    ///
    /// # Errors
    /// `InvalidRequest`.
    pub(crate) fn database(&self, began_at: OffsetDateTime) -> Result<String, Failure> {
        let database = self.target_database.clone().unwrap_or_else(|| {
            format!("recoup_restore_{}", key_timestamp(began_at).trim_end_matches('Z').to_ascii_lowercase())
        });
        check_name(&database)?;
        Ok(database)
    }

    fn order(&self, backup_id: &str, began_at: OffsetDateTime) -> Order {
        Order {
            restore_id: format!("{}-restore-{:08x}", key_timestamp(began_at), rand::random::<u32>()),
            backup_id: backup_id.to_owned(),
            began_at,
            tables: self.tables.clone(),
            wanted: None,
            target: self.target,
            masking: self.masking.clone(),
        }
    }
}

impl<S: SecretStore + Sync> Restore<S> {
    /// Restores what is asked for, or says what that would be.
    pub(crate) async fn restore(
        &self,
        asked: &Asked,
        backup: Arc<Backup<S3Store>>,
        database: &str,
        began_at: OffsetDateTime,
        deadline: SystemTime,
    ) -> Result<RestoreReply, Failure> {
        let order = asked.order(backup.id.as_str(), began_at);
        let identities = self.identities(&backup).await?;
        let target_secret = asked.target_secret.as_deref();
        let target = self.target(target_secret).await?;
        let opening = Restoring::open(target, order, Arc::clone(&backup), &identities);
        if asked.dry_run {
            let opened = Box::pin(opening).await;
            let previewing = self.preview(opened, &backup, database, asked);
            return Ok(RestoreReply::Preview(Box::new(Box::pin(previewing).await?)));
        }
        let Records { erasures, unreadable } = self.erasures().await?;
        let restoring = Box::pin(opening).await?.erasing(erasures);
        let (order, masks) = (restoring.order().clone(), restoring.masks().clone());
        let outcome = Box::pin(restoring.begin(database, deadline)).await?;
        let copy = Copy { order, masks: &masks, unreadable, backup: &backup, target_secret };
        Box::pin(self.answer(outcome, copy, deadline)).await
    }
}
