//! Access keys: one of the operator, and one for each instance of a function, as each execution environment has its own
//! on Lambda.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Result, s3_error};

use crate::s3::AccessKey;

/// Whose a key is.
#[derive(Debug, Clone)]
enum Holder {
    Operator,
    Function(String),
}

/// All keys of a stack. Clones are handles to the same ones.
#[derive(Clone, Default)]
pub(crate) struct KeyRing {
    keys: Arc<Mutex<HashMap<String, (Holder, String)>>>,
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRing").finish_non_exhaustive()
    }
}

impl KeyRing {
    pub(super) fn of_operator(key: &AccessKey) -> KeyRing {
        let ring = KeyRing::default();
        ring.keys().insert(key.id.clone(), (Holder::Operator, key.secret.clone()));
        ring
    }

    /// A new key for an instance of this function.
    pub(crate) fn issue(&self, function: &str) -> AccessKey {
        let key = AccessKey::generate("ASIA");
        self.keys().insert(key.id.clone(), (Holder::Function(function.to_owned()), key.secret.clone()));
        key
    }

    /// The function that a key belongs to.
    pub(super) fn function(&self, key_id: &str) -> Option<String> {
        match self.keys().get(key_id) {
            Some((Holder::Function(function), _)) => Some(function.clone()),
            Some((Holder::Operator, _)) | None => None,
        }
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<String, (Holder, String)>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl S3Auth for KeyRing {
    // What `async_trait` would write.
    fn get_secret_key<'ring, 'key, 'future>(
        &'ring self,
        access_key: &'key str,
    ) -> Pin<Box<dyn Future<Output = S3Result<SecretKey>> + Send + 'future>>
    where
        'ring: 'future,
        'key: 'future,
        Self: 'future,
    {
        let secret = self.keys().get(access_key).map(|(_, secret)| SecretKey::from(secret.clone()));
        Box::pin(async move { secret.ok_or_else(|| s3_error!(InvalidAccessKeyId)) })
    }
}
