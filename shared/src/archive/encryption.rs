//! Who can open a backup: age X25519 recipients when writing, identities when reading.

use std::fmt;
use std::str::FromStr;

use age::x25519;
use secrecy::{ExposeSecret, SecretString};

use crate::config::Env;
use crate::failure::Failure;
use crate::secrets::{BackupRecipients, SecretStore, backup_recipients};

use super::error::ArchiveError;
use super::manifest;

/// To whom a backup is encrypted. Plaintext has to be asked for by name.
#[derive(Clone)]
pub enum Encryption {
    /// age X25519, to each of these recipients; any one of their identities opens it.
    Age(Vec<Recipient>),
    /// Nobody needs a key.
    None,
}

/// To whom a function encrypts: as it was deployed, and as a rotation of the backup key said since.
pub struct CurrentEncryption {
    configured: Encryption,
    recipients_secret_id: Option<String>,
}

impl CurrentEncryption {
    /// Reads what [`Encryption::from_env`] reads, and `BACKUP_RECIPIENTS_SECRET_ID`.
    pub fn from_env(env: &mut Env) -> Self {
        Self {
            configured: Encryption::from_env(env),
            recipients_secret_id: env.optional("BACKUP_RECIPIENTS_SECRET_ID"),
        }
    }

    /// To whom is encrypted now.
    ///
    /// # Errors
    /// Why the secret cannot be read; `EncryptionFailed` where a public key in it is none.
    pub async fn now(&self, secrets: &impl SecretStore) -> Result<Encryption, Failure> {
        match (&self.recipients_secret_id, &self.configured) {
            (Some(id), Encryption::Age(_)) => {
                Ok(self.configured.rotated(&backup_recipients(secrets, id).await?)?)
            }
            _ => Ok(self.configured.clone()),
        }
    }
}

/// A public key.
#[derive(Clone)]
pub struct Recipient {
    text: String,
    key: x25519::Recipient,
}

impl FromStr for Recipient {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(key) => Ok(Self { text: text.to_owned(), key }),
            Err(reason) => Err(format!("{text:?} is not an age recipient (age1…): {reason}")),
        }
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Encryption {
    /// Reads `BACKUP_AGE_RECIPIENTS` (recipients, parted by commas) and `BACKUP_ENCRYPTION` (`age`, the
    /// default, or `none`). A missing or wrong value is noted as the environment's fault.
    pub fn from_env(env: &mut Env) -> Self {
        let recipients = env.optional("BACKUP_AGE_RECIPIENTS");
        match (env.optional("BACKUP_ENCRYPTION").as_deref().unwrap_or("age"), recipients) {
            ("age", Some(list)) => {
                let mut recipients = Vec::new();
                for text in list.split(',').map(str::trim).filter(|text| !text.is_empty()) {
                    match text.parse() {
                        Ok(recipient) => recipients.push(recipient),
                        Err(reason) => env.fault(format!("BACKUP_AGE_RECIPIENTS: {reason}")),
                    }
                }
                if recipients.is_empty() {
                    env.fault("BACKUP_AGE_RECIPIENTS names no recipient (age1…)");
                }
                Self::Age(recipients)
            }
            ("age", None) => {
                env.fault(
                    "BACKUP_AGE_RECIPIENTS is missing (age1…, parted by commas; or BACKUP_ENCRYPTION=none for plaintext)",
                );
                Self::None
            }
            ("none", None) => Self::None,
            ("none", Some(_)) => {
                env.fault("BACKUP_ENCRYPTION=none contradicts BACKUP_AGE_RECIPIENTS: remove one of them");
                Self::None
            }
            (other, _) => {
                env.fault(format!("BACKUP_ENCRYPTION is {other:?}; it is age or none"));
                Self::None
            }
        }
    }

    /// The same after the backup key was rotated: without the retired keys, and with the newest. Where nothing is
    /// encrypted nothing changes.
    ///
    /// # Errors
    /// [`ArchiveError::Encryption`] where a public key cannot be read.
    pub fn rotated(&self, rotated: &BackupRecipients) -> Result<Self, ArchiveError> {
        let Self::Age(configured) = self else { return Ok(Self::None) };
        let mut recipients: Vec<Recipient> = Vec::new();
        for text in &rotated.recipients {
            recipients.push(text.parse().map_err(|reason| ArchiveError::Encryption {
                operation: "read the recipients that the backup key's rotation wrote".to_owned(),
                reason,
            })?);
        }
        let stays = |recipient: &&Recipient| {
            !rotated.retired.contains(&recipient.text) && !rotated.recipients.contains(&recipient.text)
        };
        recipients.extend(configured.iter().filter(stays).cloned());
        // Every key that is configured is retired, and none took their place: better an old key than none.
        Ok(Self::Age(if recipients.is_empty() { configured.clone() } else { recipients }))
    }

    /// What stands after an object's own name.
    pub fn suffix(&self) -> &'static str {
        match self {
            Self::Age(_) => ".age",
            Self::None => "",
        }
    }

    /// What the manifest says.
    pub fn describe(&self) -> manifest::Encryption {
        match self {
            Self::Age(recipients) => manifest::Encryption {
                method: "age-x25519".to_owned(),
                recipients: recipients.iter().map(Recipient::to_string).collect(),
            },
            Self::None => manifest::Encryption { method: "none".to_owned(), recipients: Vec::new() },
        }
    }

    /// Begins one encrypted object; `None` where nothing is encrypted.
    pub(super) fn encryptor(&self) -> Result<Option<age::Encryptor>, ArchiveError> {
        let Self::Age(recipients) = self else { return Ok(None) };
        let recipients = recipients.iter().map(|recipient| &recipient.key as &dyn age::Recipient);
        age::Encryptor::with_recipients(recipients).map(Some).map_err(|error| ArchiveError::Encryption {
            operation: "encrypt the backup to BACKUP_AGE_RECIPIENTS".to_owned(),
            reason: error.to_string(),
        })
    }
}

/// The private keys that may open backups.
#[derive(Clone)]
pub struct Identities(Vec<x25519::Identity>);

impl Identities {
    /// Parses age secret keys (`AGE-SECRET-KEY-1…`).
    ///
    /// # Errors
    /// [`ArchiveError::Encryption`], which says which key cannot be read and never shows it.
    pub fn parse(texts: &[SecretString]) -> Result<Self, ArchiveError> {
        let parsed = texts.iter().enumerate().map(|(index, text)| {
            text.expose_secret().trim().parse().map_err(|reason| ArchiveError::Encryption {
                operation: format!("read identity {} of the backup key's secret", index + 1),
                reason: format!("{reason}; it is the line AGE-SECRET-KEY-1… that age-keygen prints"),
            })
        });
        parsed.collect::<Result<_, _>>().map(Self)
    }

    /// A new one, as `age-keygen` makes it.
    pub fn generate() -> SecretString {
        use age::secrecy::ExposeSecret;
        x25519::Identity::generate().to_string().expose_secret().to_owned().into()
    }

    /// Their public keys, in their order.
    pub fn recipients(&self) -> Vec<String> {
        self.0.iter().map(|identity| identity.to_public().to_string()).collect()
    }

    /// Proves that the first of them opens what is encrypted to its public key.
    ///
    /// # Errors
    /// [`ArchiveError::Encryption`].
    pub fn prove_first(&self) -> Result<(), ArchiveError> {
        let failed = |reason: String| ArchiveError::Encryption {
            operation: "prove the new backup key".to_owned(),
            reason,
        };
        const PROOF: &[u8] = b"recoup";
        let first = self.0.first().ok_or_else(|| failed("there is none".to_owned()))?;
        let sealed = age::encrypt(&first.to_public(), PROOF).map_err(|error| failed(error.to_string()))?;
        let opened = age::decrypt(first, &sealed).map_err(|error| failed(error.to_string()))?;
        if opened == PROOF { Ok(()) } else { Err(failed("what it opens is not what was sealed".to_owned())) }
    }

    /// The identities for one backup, before any of its data is read.
    ///
    /// # Errors
    /// [`ArchiveError::WrongKey`] where none of them is among the backup's recipients.
    pub fn opening(&self, manifest: &manifest::Manifest) -> Result<Decryption, ArchiveError> {
        self.decryption(&manifest.encryption).ok_or_else(|| ArchiveError::WrongKey {
            backup_id: manifest.backup_id.clone(),
            identities: self.count(),
            recipients: manifest.encryption.recipients.clone(),
        })
    }

    /// How objects that were encrypted like this are opened; `None` where no identity is among their recipients.
    pub fn decryption(&self, encryption: &manifest::Encryption) -> Option<Decryption> {
        if encryption.method == "none" {
            return Some(Decryption::None);
        }
        let recipients = &encryption.recipients;
        let opens = |identity: &&x25519::Identity| recipients.contains(&identity.to_public().to_string());
        self.0.iter().find(opens).cloned().map(Decryption::Age)
    }

    /// Opens a small object that was encrypted to any of them; `None` where none opens it, or it is damaged.
    pub fn open_document(&self, stored: &[u8]) -> Option<Vec<u8>> {
        self.0.iter().find_map(|identity| age::decrypt(identity, stored).ok())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// How the objects of one backup are opened.
#[derive(Clone)]
pub enum Decryption {
    /// With this identity.
    Age(x25519::Identity),
    /// They are plaintext.
    None,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(variables: &[(&str, &str)]) -> Option<String> {
        let owned = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut env = Env::from_variables(owned);
        Encryption::from_env(&mut env);
        env.finish().err().map(|failure| failure.to_string())
    }

    #[test]
    fn plaintext_must_be_asked_for_by_name() {
        let recipient = x25519::Identity::generate().to_public().to_string();
        assert_eq!(faults(&[("BACKUP_AGE_RECIPIENTS", &recipient)]), None);
        assert_eq!(faults(&[("BACKUP_AGE_RECIPIENTS", &format!("{recipient}, {recipient}"))]), None);
        assert_eq!(faults(&[("BACKUP_ENCRYPTION", "none")]), None);
        for refused in [
            &[][..],
            &[("BACKUP_AGE_RECIPIENTS", "age1nonsense")],
            &[("BACKUP_AGE_RECIPIENTS", ",")],
            &[("BACKUP_AGE_RECIPIENTS", recipient.as_str()), ("BACKUP_ENCRYPTION", "none")],
            &[("BACKUP_ENCRYPTION", "rot13")],
        ] {
            assert!(faults(refused).is_some_and(|message| message.contains("BACKUP_")), "{refused:?}");
        }
    }

    #[test]
    fn rotated_recipients_take_the_place_of_retired_ones_and_of_no_others() {
        let [old, safe, new] = [(); 3].map(|()| x25519::Identity::generate().to_public().to_string());
        let parsed = [&old, &safe].map(|text| text.parse().expect("a key"));
        let configured = Encryption::Age(parsed.into());
        let names =
            |rotated: BackupRecipients| configured.rotated(&rotated).expect("keys").describe().recipients;
        assert_eq!(names(BackupRecipients::default()), [old.clone(), safe.clone()]);
        let rotated = BackupRecipients { recipients: vec![new.clone()], retired: vec![old.clone()] };
        assert_eq!(names(rotated), [new, safe.clone()]);
        let deployed_since = BackupRecipients { recipients: vec![safe.clone()], retired: Vec::new() };
        assert_eq!(names(deployed_since), [safe.clone(), old.clone()]);
        let all_gone = BackupRecipients { recipients: Vec::new(), retired: vec![old.clone(), safe.clone()] };
        assert_eq!(names(all_gone), [old, safe]);
        let wrong = BackupRecipients { recipients: vec!["age1nonsense".to_owned()], retired: Vec::new() };
        assert!(configured.rotated(&wrong).is_err());
        assert!(matches!(Encryption::None.rotated(&BackupRecipients::default()), Ok(Encryption::None)));
    }

    #[test]
    fn a_new_identity_opens_what_is_sealed_to_it() {
        let identities = Identities::parse(&[Identities::generate()]).expect("an identity");
        identities.prove_first().expect("proven");
        assert!(identities.recipients()[0].starts_with("age1"));
        assert!(Identities::parse(&[]).expect("none").prove_first().is_err());
    }

    #[test]
    fn an_identity_that_cannot_be_read_is_not_shown() {
        let texts = [SecretString::from("AGE-SECRET-KEY-1HUNTER2".to_owned())];
        let error = Identities::parse(&texts).err().expect("refused");
        assert!(!error.to_string().contains("HUNTER2"), "{error}");
    }
}
