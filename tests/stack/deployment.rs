//! What `infra/template.yaml` deploys, read once a process: `tests/check/deployment.py` has Python's own translator of
//! the template, which makes of it what AWS would.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::place;

static READ: tokio::sync::Mutex<Option<Arc<Deployment>>> = tokio::sync::Mutex::const_new(None);

/// The deployed template, with its parameters put in. What AWS would only know after a deployment stands as a reference,
/// `${BackupBucket.Arn}`.
#[derive(Debug, Deserialize)]
pub struct Deployment {
    /// By name.
    pub functions: BTreeMap<String, DeployedFunction>,
    /// In no order.
    pub schedules: Vec<Schedule>,
}

/// A function.
#[derive(Debug, Deserialize)]
pub struct DeployedFunction {
    /// Its variables; numbers as numbers.
    pub environment: BTreeMap<String, Value>,
    /// What its role says.
    pub(crate) statements: Vec<Statement>,
}

/// A schedule.
#[derive(Debug, Deserialize)]
pub struct Schedule {
    /// Below the stack's name.
    pub name: String,
    /// Which function it calls.
    pub function: String,
    /// And with what.
    pub input: String,
}

/// A statement of a policy.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Statement {
    pub(crate) effect: String,
    pub(crate) actions: Vec<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) condition: BTreeMap<String, BTreeMap<String, Value>>,
}

impl Deployment {
    /// Reads it.
    ///
    /// # Errors
    /// Where `.venv` is not set up, or the template cannot be translated.
    pub async fn read() -> Result<Arc<Deployment>> {
        let mut read = READ.lock().await;
        if let Some(deployment) = &*read {
            return Ok(Arc::clone(deployment));
        }
        let deployment = tokio::task::spawn_blocking(translate)
            .await
            .map_err(|error| Error::failed("read infra/template.yaml", &error))??;
        Ok(Arc::clone(read.insert(Arc::new(deployment))))
    }
}

fn translate() -> Result<Deployment> {
    let operation = "translate infra/template.yaml";
    let output = Command::new(place::venv_program("python")?)
        .arg(place::repository().join("tests/check/deployment.py"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .map_err(Error::io(operation))?;
    if !output.status.success() {
        return Err(Error::failed(operation, &String::from_utf8_lossy(&output.stderr)));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| Error::failed(operation, &error))
}

/// A text with its references replaced by what `known` has for them; `Err` names one that it has nothing for.
pub(crate) fn refer(text: &str, known: &impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut done = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').ok_or_else(|| format!("{text} has no end"))?;
        done.push_str(before);
        done.push_str(&known(name).ok_or_else(|| format!("{text}: nothing stands for {name}"))?);
        rest = after;
    }
    done.push_str(rest);
    Ok(done)
}
