//! Who may do what: the stack's doors to S3 and Secrets Manager know each caller by its access key, and let a function
//! do what its role in `infra/template.yaml` allows, and nothing else.
//!
//! Checked are action and resource, and the condition on `s3:prefix`. Not checked are other conditions (`kms:ViaService`),
//! and services that no function calls itself: a function's log, the queue of failed invocations and the network
//! interfaces are Lambda's own work in its name. Each call that is denied fails the test that made it, at the end of its
//! stack; what was used is noted for the end of the suite (`evidence`).

pub(crate) mod evidence;
mod keys;
mod policy;
mod s3_calls;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;

pub(crate) use self::evidence::Evidence;
pub(crate) use self::keys::KeyRing;
use self::policy::Policy;
pub use self::policy::{Call, ENFORCED};
pub(crate) use self::s3_calls::calls_of;
use crate::Stack;
use crate::deployment::Deployment;
use crate::error::Result;
use crate::s3::AccessKey;

/// A call that was refused, for its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// Whose role allows it not.
    pub function: String,
    /// `s3:GetObject`
    pub action: String,
    /// The ARN.
    pub resource: String,
}

impl std::fmt::Display for Denied {
    /// In the words of AWS.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { function, action, resource } = self;
        write!(
            f,
            "User: arn:aws:sts::000000000000:assumed-role/{function}/{function} is not authorized to perform: {action} \
             on resource: \"{resource}\" because no identity-based policy allows the {action} action"
        )
    }
}

/// The roles of one stack's functions, and what came of them. Clones are handles to the same ones.
#[derive(Debug, Clone)]
pub(crate) struct Iam {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    keys: KeyRing,
    policies: BTreeMap<String, Policy>,
    evidence: Evidence,
    denied: Mutex<Vec<Denied>>,
}

impl Iam {
    /// The template's roles; `known` has what stands for its references.
    pub(crate) fn new(
        deployment: &Deployment,
        operator: &AccessKey,
        known: &impl Fn(&str) -> Option<String>,
    ) -> Result<Iam> {
        let mut policies = BTreeMap::new();
        for (name, function) in &deployment.functions {
            policies.insert(name.clone(), Policy::read(name, &function.statements, known)?);
        }
        let keys = KeyRing::of_operator(operator);
        let (evidence, denied) = (Evidence::default(), Mutex::default());
        Ok(Iam { inner: Arc::new(Inner { keys, policies, evidence, denied }) })
    }

    /// The keys of all who may come.
    pub(crate) fn keys(&self) -> &KeyRing {
        &self.inner.keys
    }

    /// What the stack's functions show.
    pub(crate) fn evidence(&self) -> &Evidence {
        &self.inner.evidence
    }

    /// Whether the sender of a request may make these calls. Whoever is not known, or is the operator, passes: the
    /// signature is the store's to prove.
    pub(crate) fn permit(&self, key_id: Option<&str>, calls: &[Call]) -> Result<(), Denied> {
        let Some(function) = key_id.and_then(|id| self.inner.keys.function(id)) else { return Ok(()) };
        for call in calls {
            let used = self.inner.policies.get(&function).and_then(|policy| policy.permit(call));
            let Some(used) = used else {
                let (action, resource) = (call.action.clone(), call.resource.clone());
                let denied = Denied { function, action, resource };
                self.inner.denied.lock().unwrap_or_else(PoisonError::into_inner).push(denied.clone());
                return Err(denied);
            };
            self.inner.evidence.used(&function, used);
        }
        Ok(())
    }

    /// Leaves its evidence, and fails the test where something was denied that nobody took.
    pub(crate) fn end(&self) {
        self.evidence().leave();
        let denied = self.take_denied();
        if !denied.is_empty() && !std::thread::panicking() {
            panic!("the role in infra/template.yaml does not allow what a function did: {denied:#?}");
        }
    }

    fn take_denied(&self) -> Vec<Denied> {
        std::mem::take(&mut *self.inner.denied.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Stack {
    /// A new access key as an instance of this function has: good for what its role allows.
    pub fn key_of(&self, function: &str) -> AccessKey {
        self.iam.keys().issue(function)
    }

    /// The calls of functions that were denied because the role in `infra/template.yaml` does not allow them, since the
    /// last time. A stack that ends with one that nobody took fails its test.
    pub fn take_denied(&self) -> Vec<Denied> {
        self.iam.take_denied()
    }
}

/// The access key that a request says it is signed with ("Signature Version 4", its header `Authorization`).
pub(crate) fn key_id(headers: &HeaderMap) -> Option<&str> {
    let header = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
    let (_, credential) = header.split_once("Credential=")?;
    credential.split('/').next()
}
