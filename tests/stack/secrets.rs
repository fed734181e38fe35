//! Secrets Manager: `moto_server` from `.venv`, one for the whole process, each stack under a prefix of its own and behind
//! a door of its own, where [`crate::iam`] says who may do what.

use std::io::{BufRead, BufReader};
use std::process::{ChildStderr, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::{BehaviorVersion, Region};
use serde_json::Value;
use tokio::runtime::Handle;

use self::door::Door;
use crate::error::{Error, Result};
use crate::iam::Iam;
use crate::leash::{EndSignal, Leash, Process};
use crate::place;
use crate::s3::{AccessKey, REGION};

mod door;

/// Python on a busy machine.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// One moto serves all stacks of a process: it takes seconds to start, and the prefixes keep stacks apart. The process
/// wide slot is what lets tests of one binary find it; its leash ends it with the process.
static SHARED: tokio::sync::Mutex<Option<Arc<Moto>>> = tokio::sync::Mutex::const_new(None);

#[derive(Debug)]
struct Moto {
    endpoint: String,
    _process: Process,
}

/// Secrets of one stack.
#[derive(Debug, Clone)]
pub struct Secrets {
    moto: Arc<Moto>,
    door: String,
    prefix: String,
    client: Client,
}

impl Secrets {
    pub(crate) async fn start(prefix: &str, key: &AccessKey) -> Result<Secrets> {
        let mut shared = SHARED.lock().await;
        let moto = match &*shared {
            Some(moto) => moto.clone(),
            None => {
                let moto = tokio::task::spawn_blocking(start_moto)
                    .await
                    .map_err(|error| Error::failed("start moto_server", &error))??;
                shared.insert(Arc::new(moto)).clone()
            }
        };
        drop(shared);
        let config = aws_sdk_secretsmanager::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(REGION))
            .credentials_provider(key.sdk())
            .endpoint_url(&moto.endpoint)
            .build();
        Ok(Secrets {
            door: moto.endpoint.clone(),
            moto,
            prefix: prefix.to_owned(),
            client: Client::from_conf(config),
        })
    }

    /// From now on everybody comes through a door at which `iam` says who may do what.
    pub(crate) fn put_behind_a_door(&mut self, handle: &Handle, iam: &Iam) -> Result<()> {
        self.door = Door::before(handle, &self.moto.endpoint, iam)?;
        Ok(())
    }

    /// Base URL, for `--endpoint-url` and `AWS_ENDPOINT_URL_SECRETS_MANAGER`.
    pub fn endpoint(&self) -> &str {
        &self.door
    }

    /// The server behind it, which has other services of AWS as well.
    pub(crate) fn moto(&self) -> &str {
        &self.moto.endpoint
    }

    /// The real AWS client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What the ids of this stack's secrets begin with.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The id that this stack's secret `name` has in the server.
    pub fn id(&self, name: &str) -> String {
        id(&self.prefix, name)
    }

    /// Creates the secret, or gives it a new current value. Returns its id.
    pub async fn put(&self, name: &str, value: &Value) -> Result<String> {
        let id = self.id(name);
        let created = self.client.create_secret().name(&id).secret_string(value.to_string()).send().await;
        match created {
            Ok(_) => Ok(id),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_exists_exception()) => {
                let old = self.version_at(name, "AWSCURRENT").await?;
                // moto forgets that a rotation moved AWSCURRENT, where it is put and not moved.
                let put = self.client.put_secret_value().secret_id(&id).secret_string(value.to_string());
                let put = put.version_stages("put-by-hand").send().await;
                let put = put.map_err(Error::aws(format!("put secret {id}")))?;
                self.client
                    .update_secret_version_stage()
                    .secret_id(&id)
                    .version_stage("AWSCURRENT")
                    .set_move_to_version_id(put.version_id)
                    .set_remove_from_version_id(old)
                    .send()
                    .await
                    .map_err(Error::aws(format!("put secret {id}")))?;
                Ok(id)
            }
            Err(error) => Err(Error::aws(format!("create secret {id}"))(error)),
        }
    }

    /// The version of the secret that has the stage.
    pub async fn version_at(&self, name: &str, stage: &str) -> Result<Option<String>> {
        let id = self.id(name);
        let described = self.client.describe_secret().secret_id(&id).send().await;
        let described = described.map_err(Error::aws(format!("describe secret {id}")))?;
        let versions = described.version_ids_to_stages.unwrap_or_default();
        let mut found = versions.into_iter().filter(|(_, stages)| stages.iter().any(|other| other == stage));
        Ok(found.next().map(|(version, _)| version))
    }

    /// Gives a version a value and the stage AWSPENDING, as an operator does.
    pub async fn put_pending(&self, name: &str, version: &str, value: &Value) -> Result<()> {
        let id = self.id(name);
        let put = self.client.put_secret_value().secret_id(&id).client_request_token(version);
        let put = put.version_stages("AWSPENDING").secret_string(value.to_string()).send().await;
        put.map(drop).map_err(Error::aws(format!("put a pending version of secret {id}")))
    }

    /// The current value of the secret.
    pub async fn get(&self, name: &str) -> Result<Value> {
        let id = self.id(name);
        let secret = self
            .client
            .get_secret_value()
            .secret_id(&id)
            .version_stage("AWSCURRENT")
            .send()
            .await
            .map_err(Error::aws(format!("get secret {id}")))?;
        serde_json::from_str(secret.secret_string().unwrap_or_default())
            .map_err(|error| Error::failed(format!("read secret {id} as JSON"), &error))
    }
}

/// The id of a stack's secret.
pub(crate) fn id(prefix: &str, name: &str) -> String {
    format!("{prefix}/{name}")
}

/// The ARNs that a secret of this id can have: six characters at their end are Secrets Manager's choice.
pub(crate) fn arn_pattern(id: &str) -> String {
    format!("arn:aws:secretsmanager:{REGION}:123456789012:secret:{id}-??????")
}

fn start_moto() -> Result<Moto> {
    let program = place::venv_program("moto_server")?;
    let (mut command, leash) =
        Leash::command(&program, EndSignal::Kill, None).map_err(Error::io("prepare moto_server"))?;
    // Port 0: the system picks, and werkzeug prints what it got.
    command.args(["-H", "127.0.0.1", "-p", "0"]).stdout(Stdio::null()).stderr(Stdio::piped());
    command.env("PYTHONUNBUFFERED", "1").env("PYTHONDONTWRITEBYTECODE", "1");
    let mut process = Process::spawn(command, leash).map_err(Error::io("start moto_server"))?;
    let stderr =
        process.take_stderr().ok_or_else(|| Error::failed("start moto_server", "no standard error"))?;
    let (found, endpoint) = mpsc::channel();
    std::thread::Builder::new()
        .name("moto-log".to_owned())
        .spawn(move || read_log(stderr, &found))
        .map_err(Error::io("start the reader of moto_server's log"))?;
    match endpoint.recv_timeout(START_PATIENCE) {
        Ok(Ok(endpoint)) => Ok(Moto { endpoint, _process: process }),
        Ok(Err(log)) => Err(Error::failed("start moto_server", &format!("it ended; its log:\n{log}"))),
        Err(_) => Err(Error::failed("start moto_server", &format!("not ready after {START_PATIENCE:?}"))),
    }
}

/// Finds the address in moto's log, then keeps reading, because a full pipe would stop moto.
fn read_log(stderr: ChildStderr, found: &mpsc::Sender<std::result::Result<String, String>>) {
    let mut log = String::new();
    let mut told = false;
    for line in BufReader::new(stderr).lines().map_while(std::io::Result::ok) {
        if told {
            continue;
        }
        if let Some((_, endpoint)) = line.split_once("Running on ") {
            told = true;
            let _ = found.send(Ok(endpoint.trim().trim_end_matches('/').to_owned()));
        }
        log.push_str(&line);
        log.push('\n');
    }
    if !told {
        let _ = found.send(Err(log));
    }
}
