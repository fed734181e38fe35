//! The backup key: a new age identity before the old ones. All stay in the secret, so that every backup opens; only
//! what new backups are encrypted to changes.
//!
//! backup holds public keys alone, and reads them from a secret of their own. That secret changes after the identities
//! did: no backup is ever made that the identities do not open.

use recoup::archive::encryption::{Encryption, Identities};
use recoup::failure::Failure;
use recoup::secrets::{BackupRecipients, age_identities_in, backup_recipients};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use crate::Rotate;
use crate::steps::Turn;
use crate::value::{Fields, invalid};

/// What the operator has to do after each one.
const COPY: &str = "keep a copy of the new identity outside AWS, beside the old ones: without it no backup that is made from now on \
                    opens once this account is lost (RUNBOOK, \"Rotate a secret\")";

impl Rotate {
    /// The identities with a new one before them.
    pub(crate) fn new_identity(&self, turn: &Turn) -> Result<Fields, Failure> {
        let known = age_identities_in(&turn.id, &turn.current.secret())?;
        Identities::parse(&known)?;
        let fresh = Identities::generate();
        let texts: Vec<&str> =
            std::iter::once(&fresh).chain(&known).map(|identity| identity.expose_secret()).collect();
        let mut fields = turn.current.clone();
        fields.set("identities", json!(texts));
        Ok(fields)
    }

    /// Proves that the new identity opens what is encrypted to it, and that no old one is lost.
    pub(crate) fn test_identity(&self, turn: &Turn, pending: &Fields) -> Result<(), Failure> {
        let known = age_identities_in(&turn.id, &turn.current.secret())?;
        let identities = age_identities_in(&turn.id, &pending.secret())?;
        let kept =
            known.iter().all(|old| identities.iter().any(|new| new.expose_secret() == old.expose_secret()));
        if !kept {
            let reason = "the version that is to become current lacks an identity that opens older backups; abandon it, and \
                          rotate again";
            return Err(invalid(&turn.id, reason));
        }
        Ok(Identities::parse(&identities)?.prove_first()?)
    }

    /// Tells backup whom to encrypt to from now on.
    pub(crate) async fn put_recipients(
        &self,
        turn: &Turn,
        warnings: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let identities = self.identities(turn).await?;
        let mut keys = identities.recipients().into_iter();
        let wanted =
            BackupRecipients { recipients: keys.by_ref().take(1).collect(), retired: keys.collect() };
        let id = &self.recipients_secret_id;
        let read = self.secrets.describe(id).await?;
        if backup_recipients(&self.secrets, id).await? != wanted {
            self.secrets.replace(id, &read, &SecretString::from(json!(wanted).to_string())).await?;
        }
        warnings.push(COPY.to_owned());
        Ok(())
    }

    /// Checks that what backup encrypts to is what verify and restore open.
    pub(crate) async fn check_backup_key(&self, turn: &Turn) -> Result<(), Failure> {
        let identities = self.identities(turn).await?;
        identities.prove_first()?;
        let rotated = backup_recipients(&self.secrets, &self.recipients_secret_id).await?;
        if rotated.recipients.is_empty() {
            return Ok(());
        }
        let encryption = Encryption::Age(Vec::new()).rotated(&rotated)?.describe();
        match identities.decryption(&encryption) {
            Some(_) => Ok(()),
            None => Err(Failure::new(
                "BackupKeyUnproven",
                format!(
                    "{}: no identity in it opens what is encrypted to the recipients in secret {}; rotate the backup key again",
                    turn.what(),
                    self.recipients_secret_id
                ),
            )),
        }
    }

    async fn identities(&self, turn: &Turn) -> Result<Identities, Failure> {
        let versions = self.secrets.describe(&turn.id).await?;
        let current = self.current_of(&turn.id, &versions).await?;
        Ok(Identities::parse(&age_identities_in(&turn.id, &current.secret())?)?)
    }
}
