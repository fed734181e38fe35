//! `{"action":"create_recovery_point"}` and `{"action":"drop_recovery_point"}`: an instant that stays restorable, by name.

use recoup::archive::ArchiveError;
use recoup::audit::{Mandate, dry, mandate};
use recoup::failure::Failure;
use recoup::secrets::SecretStore;
use serde::{Deserialize, Serialize};
use sqlx::{Connection, FromRow, PgConnection};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::{Operate, database};

/// An instant that is to stay restorable.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateRecoveryPointRequest {
    name: String,
    description: Option<String>,
    at: Option<String>,
    #[serde(default = "dry")]
    dry_run: bool,
    actor: Option<String>,
    reason: Option<String>,
}

/// An instant that may go.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DropRecoveryPointRequest {
    name: String,
    #[serde(default = "dry")]
    dry_run: bool,
    actor: Option<String>,
    reason: Option<String>,
}

/// What the function answers.
#[derive(Debug, Serialize)]
pub struct RecoveryPointReply {
    dry_run: bool,
    /// `created`, `dropped`, or of a dry run `possible`.
    status: &'static str,
    recovery_point: RecoveryPoint,
}

/// A row of `recoup.recovery_points`.
#[derive(Debug, Serialize, FromRow)]
struct RecoveryPoint {
    name: String,
    description: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    /// The full backup that it needs, and that `prune` leaves.
    backup_id: String,
}

/// What is to be done.
pub(crate) enum Wanted {
    /// To create.
    Create { name: String, description: Option<String>, at: Option<OffsetDateTime> },
    /// To drop.
    Drop { name: String },
}

impl CreateRecoveryPointRequest {
    /// What is wanted, and who asks for it.
    ///
    /// # Errors
    /// `InvalidRequest`.
    pub(crate) fn understood(self) -> Result<(Wanted, Option<Mandate>), Failure> {
        let plain = |letter: char| letter.is_ascii_alphanumeric();
        let is_name = self.name.len() <= 100
            && self.name.starts_with(plain)
            && self.name.chars().all(|letter| plain(letter) || "._-".contains(letter));
        if !is_name {
            return Err(Failure::invalid_request(
                "name has 1 to 100 letters, digits, dots, dashes and underlines, and begins with a letter or a digit; for example \
                 \"before-release-12\"",
            ));
        }
        let at = match &self.at {
            None => None,
            Some(text) => Some(OffsetDateTime::parse(text, &Rfc3339).map_err(|_| {
                Failure::invalid_request(
                    "at is an instant in RFC 3339 with its zone, for example \"2026-11-21T09:30:00Z\"; leave it out for now",
                )
            })?),
        };
        let mandate = mandate(self.dry_run, self.actor, self.reason)?;
        let description = self.description.or_else(|| mandate.as_ref().map(|mandate| mandate.reason.clone()));
        Ok((Wanted::Create { name: self.name, description, at }, mandate))
    }
}

impl DropRecoveryPointRequest {
    /// What is wanted, and who asks for it.
    ///
    /// # Errors
    /// `InvalidRequest`.
    pub(crate) fn understood(self) -> Result<(Wanted, Option<Mandate>), Failure> {
        Ok((Wanted::Drop { name: self.name }, mandate(self.dry_run, self.actor, self.reason)?))
    }
}

impl<S: SecretStore + Sync> Operate<S> {
    /// Creates or drops a recovery point.
    pub(crate) async fn recovery_point(
        &self,
        (wanted, mandate): (Wanted, Option<Mandate>),
    ) -> Result<RecoveryPointReply, Failure> {
        let failed = database("write a recovery point");
        let mut connection = self.connect().await?;
        let mut transaction = connection.begin().await.map_err(&failed)?;
        let recovery_point = carry_out(&mut transaction, &wanted, mandate.as_ref()).await?;
        match mandate {
            None => transaction.rollback().await.map_err(&failed)?,
            Some(_) => transaction.commit().await.map_err(&failed)?,
        }
        let status = match (&mandate, wanted) {
            (None, _) => "possible",
            (Some(_), Wanted::Create { .. }) => "created",
            (Some(_), Wanted::Drop { .. }) => "dropped",
        };
        Ok(RecoveryPointReply { dry_run: mandate.is_none(), status, recovery_point })
    }
}

async fn carry_out(
    connection: &mut PgConnection,
    wanted: &Wanted,
    mandate: Option<&Mandate>,
) -> Result<RecoveryPoint, Failure> {
    sqlx::query("select set_config('recoup.actor', $1, true)")
        .bind(mandate.map_or("", |mandate| mandate.actor.as_str()))
        .persistent(false)
        .execute(&mut *connection)
        .await
        .map_err(database("write a recovery point"))?;
    let (operation, query) = match wanted {
        Wanted::Create { name, description, at } => (
            format!("create recovery point {name}"),
            sqlx::query_as(
                "select name, description, at, backup_id from recoup.create_recovery_point($1, $2, coalesce($3, now()))",
            )
            .bind(name)
            .bind(description)
            .bind(at),
        ),
        Wanted::Drop { name } => (
            format!("drop recovery point {name:?}"),
            sqlx::query_as("select name, description, at, backup_id from recoup.drop_recovery_point($1, $2)")
                .bind(name)
                .bind(mandate.map_or("", |mandate| mandate.reason.as_str())),
        ),
    };
    query.persistent(false).fetch_one(connection).await.map_err(|error| refused(&operation, wanted, &error))
}

/// What the database's own functions refuse, with the remedy.
fn refused(operation: &str, wanted: &Wanted, error: &sqlx::Error) -> Failure {
    let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default().into_owned();
    let said =
        |error_type: &'static str, remedy: &str| Failure::new(error_type, format!("{operation}: {remedy}"));
    match (code.as_str(), wanted) {
        ("22023", _) => said("InvalidRequest", "at lies in the future; leave it out for the present instant"),
        ("23505", _) => {
            said("RecoveryPointExists", "there is one of this name; take another, or drop that one first")
        }
        ("P0002", Wanted::Create { .. }) => said(
            "NoFullBackup",
            "no full backup was complete by then; take one first, or fill recoup.backups with backup {\"action\":\"rebuild\"} if the bucket has one",
        ),
        ("P0002", Wanted::Drop { .. }) => said(
            "RecoveryPointNotFound",
            "there is none of this name; SELECT name, at FROM recoup.recovery_points lists them",
        ),
        _ => ArchiveError::database(operation, error).into(),
    }
}
