//! Who can open a backup: age X25519 recipients when writing, identities when reading.

use std::fmt;
use std::str::FromStr;

use age::x25519;
use secrecy::{ExposeSecret, SecretString};

use crate::config::Env;

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
    fn an_identity_that_cannot_be_read_is_not_shown() {
        let texts = [SecretString::from("AGE-SECRET-KEY-1HUNTER2".to_owned())];
        let error = Identities::parse(&texts).err().expect("refused");
        assert!(!error.to_string().contains("HUNTER2"), "{error}");
    }
}
