//! The four steps of a rotation: what they have in common. Each looks at the secret's versions first, and does again
//! what was not done whole.

use recoup::failure::Failure;
use recoup::secrets::{CURRENT, Description, PENDING};

use crate::kind::Kind;
use crate::reply::{AbandonedReply, Outcome, RotatedReply, StepReply};
use crate::request::{Step, StepRequest};
use crate::value::Fields;
use crate::{Rotate, stripe_webhook};

/// One rotation: which secret, and which version is to become its current one.
pub struct Turn {
    /// The secret's kind.
    pub kind: Kind,
    /// The secret's id.
    pub id: String,
    /// The version.
    pub token: String,
    /// The secret's versions when the step began.
    pub versions: Description,
    /// The current value.
    pub current: Fields,
}

impl Turn {
    fn is_current(&self) -> bool {
        self.versions.is_at(&self.token, CURRENT)
    }

    /// Another version that waits to become current.
    fn other_pending(&self) -> Option<&str> {
        let pending = self.versions.version_of(PENDING)?;
        (pending != self.token && !self.versions.is_at(pending, CURRENT)).then_some(pending)
    }

    /// `rotate secret …`, with which errors begin.
    pub fn what(&self) -> String {
        format!("rotate secret {} ({})", self.id, self.kind)
    }
}

impl Rotate {
    /// One step for Secrets Manager.
    pub(crate) async fn step(&self, request: StepRequest) -> Result<StepReply, Failure> {
        let versions = self.secrets.describe(&request.secret_id).await?;
        let kind = self.ids.kind_of(&versions)?;
        let turn = self.turn(kind, versions, request.token).await?;
        let mut warnings = Vec::new();
        let status = self.one_step(&turn, request.step, &mut warnings).await?;
        Ok(StepReply { step: request.step.as_str(), secret: kind, status, version: turn.token, warnings })
    }

    /// All four steps, by this function's own hand. A rotation that has begun is brought to its end.
    pub(crate) async fn rotate(&self, kind: Kind) -> Result<RotatedReply, Failure> {
        let versions = self.secrets.describe(self.ids.of(kind)).await?;
        let begun = versions.version_of(PENDING).filter(|version| !versions.is_at(version, CURRENT));
        let resumed = begun.is_some();
        let token = begun.map_or_else(|| format!("{:032x}", rand::random::<u128>()), str::to_owned);
        let mut warnings = Vec::new();
        for step in Step::ALL {
            // The step before has changed the versions.
            let versions = self.secrets.describe(self.ids.of(kind)).await?;
            let turn = self.turn(kind, versions, token.clone()).await?;
            self.one_step(&turn, step, &mut warnings).await?;
        }
        Ok(RotatedReply {
            action: "rotate",
            secret: kind,
            status: "completed",
            version: token,
            resumed,
            warnings,
        })
    }

    /// Takes back what is pending.
    pub(crate) async fn abandon(&self, kind: Kind) -> Result<AbandonedReply, Failure> {
        let id = self.ids.of(kind);
        let versions = self.secrets.describe(id).await?;
        let pending = versions.version_of(PENDING).filter(|version| !versions.is_at(version, CURRENT));
        if let Some(version) = pending {
            self.secrets.withdraw(id, version).await?;
        }
        let mut endpoints_deleted = Vec::new();
        if kind == Kind::StripeWebhook && self.webhook_url.is_some() {
            let current = self.current_of(id, &versions).await?;
            if !current.is_unfilled() {
                let stripe = self.stripe().await?;
                let url = self.webhook_url.as_deref();
                endpoints_deleted = stripe_webhook::sweep(&stripe, url, &current, None).await?;
            }
        }
        let status = if pending.is_some() { "completed" } else { "nothing_pending" };
        let version = pending.map(str::to_owned);
        Ok(AbandonedReply { action: "abandon", secret: kind, status, version, endpoints_deleted })
    }

    async fn turn(&self, kind: Kind, versions: Description, token: String) -> Result<Turn, Failure> {
        let id = self.ids.of(kind).to_owned();
        let current = self.current_of(&id, &versions).await?;
        Ok(Turn { kind, id, token, versions, current })
    }

    /// The value that the versions call current.
    pub(crate) async fn current_of(&self, id: &str, versions: &Description) -> Result<Fields, Failure> {
        let missing = || {
            Failure::new(
                "SecretMissing",
                format!("read secret {id}: it has no current value; fill it (README, step 5)"),
            )
        };
        let version = versions.version_of(CURRENT).ok_or_else(missing)?;
        Fields::read(id, &self.secrets.value_of(id, version).await?.ok_or_else(missing)?)
    }

    async fn one_step(
        &self,
        turn: &Turn,
        step: Step,
        warnings: &mut Vec<String>,
    ) -> Result<Outcome, Failure> {
        let outcome = match step {
            Step::Create => self.create(turn).await?,
            Step::Set | Step::Test if turn.is_current() => Outcome::AlreadyDone,
            Step::Set => {
                let pending = self.pending(turn).await?;
                match turn.kind {
                    Kind::Database => self.set_database_user(turn, &pending).await?,
                    Kind::StripeWebhook => self.check_new_endpoints(turn, &pending).await?,
                    Kind::StripeApiKey => self.check_new_key(turn, &pending)?,
                    Kind::BackupKey => {}
                }
                Outcome::Done
            }
            Step::Test => self.test(turn, warnings).await?,
            Step::Finish => self.finish(turn, warnings).await?,
        };
        tracing::info!(secret = turn.kind.as_str(), step = step.as_str(), ?outcome, version = %turn.token, "step taken");
        Ok(outcome)
    }

    async fn create(&self, turn: &Turn) -> Result<Outcome, Failure> {
        if turn.is_current() || self.secrets.value_of(&turn.id, &turn.token).await?.is_some() {
            return Ok(Outcome::AlreadyDone);
        }
        if turn.current.is_unfilled() {
            return Err(Failure::new(
                "SecretNotFilled",
                format!(
                    "{}: it is as the stack made it, without a value; fill it (README, step 5)",
                    turn.what()
                ),
            ));
        }
        let other = match turn.other_pending() {
            Some(version) => self.secrets.value_of(&turn.id, version).await?.map(|value| (version, value)),
            None => None,
        };
        let new = match (turn.kind, other) {
            // What the operator put there under whatever name is what is to be proven.
            (Kind::StripeApiKey, other) => self.pending_key(turn, other.map(|(_, value)| value))?,
            (_, Some((version, _))) => return Err(under_way(turn, version)),
            (Kind::Database, None) => self.new_login(turn).await?,
            (Kind::StripeWebhook, None) => self.new_endpoints(turn).await?,
            (Kind::BackupKey, None) => self.new_identity(turn)?,
        };
        match self.secrets.put_pending(&turn.id, &turn.token, &new.secret()).await {
            // Another one that does this same step was quicker; its value is as good.
            Err(failure) if failure.error_type() == "SecretVersionTaken" => Ok(Outcome::AlreadyDone),
            put => put.map(|()| Outcome::Done),
        }
    }

    async fn test(&self, turn: &Turn, warnings: &mut Vec<String>) -> Result<Outcome, Failure> {
        let pending = self.pending(turn).await?;
        if pending == turn.current {
            // Secrets Manager tries a rotation so when it is set up: with a copy of the current value
            // (AWS Secrets Manager API Reference, "RotateSecret", RotateImmediately).
            if pending.is_unfilled() {
                return Ok(Outcome::NotFilled);
            }
            self.check_flows(turn).await?;
            return Ok(Outcome::Done);
        }
        match turn.kind {
            Kind::Database => self.test_login(turn, &pending).await?,
            Kind::StripeWebhook => self.test_endpoints(turn, &pending).await?,
            Kind::BackupKey => self.test_identity(turn, &pending)?,
            Kind::StripeApiKey => self.test_key(turn, &pending, warnings).await?,
        }
        Ok(Outcome::Done)
    }

    async fn finish(&self, turn: &Turn, warnings: &mut Vec<String>) -> Result<Outcome, Failure> {
        let outcome = if turn.is_current() {
            Outcome::AlreadyDone
        } else {
            let pending = self.pending(turn).await?;
            if turn.kind == Kind::Database {
                self.put_pooler_login(turn, &pending, warnings).await?;
            }
            let now = turn.versions.version_of(CURRENT);
            self.secrets.make_current(&turn.id, &turn.token, now).await?;
            Outcome::Done
        };
        match turn.kind {
            Kind::Database | Kind::StripeApiKey => {}
            Kind::StripeWebhook => self.open_new_endpoints(turn, warnings).await?,
            Kind::BackupKey => self.put_recipients(turn, warnings).await?,
        }
        self.check_flows(turn).await?;
        if turn.versions.is_at(&turn.token, PENDING) {
            self.secrets.withdraw(&turn.id, &turn.token).await?;
        }
        self.signals.rotated(turn.kind.as_str());
        Ok(outcome)
    }

    /// The flows that use the secret, with the value that they read.
    async fn check_flows(&self, turn: &Turn) -> Result<(), Failure> {
        match turn.kind {
            Kind::Database => self.check_database(turn).await,
            Kind::StripeWebhook => self.check_deliveries(turn).await,
            Kind::BackupKey => self.check_backup_key(turn).await,
            Kind::StripeApiKey => self.check_key(turn).await,
        }
    }

    /// The value that is to become current.
    async fn pending(&self, turn: &Turn) -> Result<Fields, Failure> {
        if !turn.versions.is_at(&turn.token, PENDING) {
            return Err(Failure::new(
                "RotationSuperseded",
                format!(
                    "{}: version {} is not pending: another rotation took its place, or it was abandoned. Nothing was changed; \
                     {{\"action\":\"status\"}} says how the secret stands",
                    turn.what(),
                    turn.token
                ),
            ));
        }
        let value = self.secrets.value_of(&turn.id, &turn.token).await?.ok_or_else(|| {
            Failure::new(
                "RotationNotBegun",
                format!("{}: version {} has no value; createSecret comes first", turn.what(), turn.token),
            )
        })?;
        Fields::read(&turn.id, &value)
    }
}

fn under_way(turn: &Turn, version: &str) -> Failure {
    Failure::new(
        "RotationUnderWay",
        format!(
            "{}: the rotation to version {version} is not finished. Nothing was changed; bring it to its end with \
             {{\"action\":\"rotate\",\"secret\":\"{kind}\"}}, or give it up with {{\"action\":\"abandon\",\"secret\":\"{kind}\"}}",
            turn.what(),
            kind = turn.kind,
        ),
    )
}
