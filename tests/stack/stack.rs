//! The whole stack: brings up its parts, joins them, and gives each function the environment that it has on AWS.

use std::collections::BTreeMap;
use std::time::Duration;

use age::secrecy::ExposeSecret;
use serde_json::Value;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;

use crate::contract::{Contract, SigningSecrets, put_endpoints, put_secrets, resource_of};
use crate::deployment::Deployment;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::iam::Iam;
use crate::lambda::{FunctionConfig, Lambda, Reply, front};
use crate::leash::Sweeper;
use crate::place;
use crate::postgres::{Database, Major, Postgres, PostgresOptions, apply_migrations};
use crate::s3::{AccessKey, REGION, S3};
use crate::secrets::Secrets;
use crate::stripe::{Stripe, StripeOptions};
use crate::stripe_join;

/// What a stack runs where nobody says otherwise.
const FUNCTIONS: [&str; 7] = ["webhook", "backup", "restore", "verify", "reconcile", "operate", "rotate"];

/// On which database the functions work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseChoice {
    /// A new one with the repository's migrations applied (a clone of a template).
    Migrated,
    /// A new one with nothing in it.
    Empty,
    /// This very one (a URL). Migrations are applied to it; what it has stays, and it stays at the end.
    Given(String),
}

/// What to bring up. See [`Stack::builder`].
#[derive(Debug, Clone)]
pub struct StackBuilder {
    database: DatabaseChoice,
    major: Option<Major>,
    durable: bool,
    functions: Vec<String>,
    instances: BTreeMap<String, usize>,
    timeouts: BTreeMap<String, Duration>,
    environment: Vec<(String, String, String)>,
    as_deployed: bool,
    stripe: StripeOptions,
}

impl StackBuilder {
    /// Default: [`DatabaseChoice::Migrated`].
    #[must_use]
    pub fn database(mut self, choice: DatabaseChoice) -> StackBuilder {
        self.database = choice;
        self
    }

    /// A server of this version, whatever the machine has.
    #[must_use]
    pub fn major(mut self, major: Major) -> StackBuilder {
        self.major = Some(major);
        self
    }

    /// A Postgres server of this stack's own whose commits are on disk when they return, for benchmarks. Has no effect
    /// where `DATABASE_URL` names the server.
    #[must_use]
    pub fn durable(mut self, durable: bool) -> StackBuilder {
        self.durable = durable;
        self
    }

    /// Only these functions (default: all). The front needs `webhook`.
    #[must_use]
    pub fn functions<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> StackBuilder {
        self.functions = names.into_iter().map(str::to_owned).collect();
        self
    }

    /// How many instances of a function may run at a time (default: 8 of `webhook`, 2 of the others).
    #[must_use]
    pub fn instances(mut self, function: &str, instances_max: usize) -> StackBuilder {
        self.instances.insert(function.to_owned(), instances_max);
        self
    }

    /// The time limit of a function (default: 29 s for `webhook`, 15 min for the others).
    #[must_use]
    pub fn timeout(mut self, function: &str, timeout: Duration) -> StackBuilder {
        self.timeouts.insert(function.to_owned(), timeout);
        self
    }

    /// A further environment variable of a function, or another value for one that the stack sets.
    #[must_use]
    pub fn env(mut self, function: &str, name: &str, value: &str) -> StackBuilder {
        self.environment.push((function.to_owned(), name.to_owned(), value.to_owned()));
        self
    }

    /// The functions have the environment that the template gives them, to the letter, and not what is handy for tests:
    /// what [`Self::env`] sets comes on top.
    #[must_use]
    pub fn as_deployed(mut self) -> StackBuilder {
        self.as_deployed = true;
        self
    }

    /// Another Stripe: its key, account, rate limit, habits of delivery.
    #[must_use]
    pub fn stripe(mut self, options: StripeOptions) -> StackBuilder {
        self.stripe = options;
        self
    }

    /// Brings it up.
    pub async fn start(self) -> Result<Stack> {
        Stack::bring_up(self).await
    }
}

/// A running stack. Everything of it ends when it is dropped.
pub struct Stack {
    /// The database that the functions work on.
    pub database_url: String,
    /// Connections to that database, for looking and tampering.
    pub pool: PgPool,
    /// The server: more databases, `pg_dump`.
    pub postgres: Postgres,
    /// The bucket's name.
    pub bucket: String,
    /// The store, with helpers to damage objects.
    pub s3: S3,
    /// Secrets of this stack.
    pub secrets: Secrets,
    /// The functions.
    pub lambda: Lambda,
    /// Signing secret of the endpoint `platform`.
    pub webhook_secret: String,
    /// Stripe, which delivers its events to the function `webhook`.
    pub stripe: Stripe,
    /// Opens the backups: `AGE-SECRET-KEY-1…`.
    pub age_identity: String,
    /// What backups are encrypted for: `age1…`.
    pub age_recipient: String,
    /// The operator's key, which may do everything. Each instance of a function has one of its own, and the
    /// permissions of its role.
    pub access_key: AccessKey,
    pub(crate) iam: Iam,
    front: Option<String>,
    // The rest is kept for its end, in this order.
    _engine: Engine,
    _database: Option<Database>,
    _directory: TempDir,
    _sweeper: Sweeper,
}

impl Stack {
    /// All functions on a migrated database.
    pub async fn start() -> Result<Stack> {
        Stack::builder().start().await
    }

    /// Chooses what to bring up.
    pub fn builder() -> StackBuilder {
        StackBuilder {
            database: DatabaseChoice::Migrated,
            major: None,
            durable: false,
            functions: FUNCTIONS.map(str::to_owned).into(),
            instances: BTreeMap::new(),
            timeouts: BTreeMap::new(),
            environment: Vec::new(),
            as_deployed: false,
            stripe: StripeOptions::default(),
        }
    }

    async fn bring_up(builder: StackBuilder) -> Result<Stack> {
        let engine = Engine::start()?;
        let directory = tempfile::Builder::new()
            .prefix("recoup-stack-")
            .tempdir()
            .map_err(Error::io("make the stack's directory"))?;
        let sweeper =
            Sweeper::start([directory.path()]).map_err(Error::io("watch over the stack's directory"))?;
        let access_key = AccessKey::generate("AKIA");

        let store = directory.path().join("s3");
        std::fs::create_dir(&store).map_err(Error::io("make the directory of the S3 store"))?;
        let prefix = format!("recoup/{:016x}", rand::random::<u64>());
        // Postgres, moto and the template's translator take a second or two each.
        let ((postgres, database, database_url), mut secrets, deployment) = tokio::try_join!(
            open_database(&builder),
            Secrets::start(&prefix, &access_key),
            Deployment::read(),
        )?;
        let bucket = "recoup-backups";
        let iam = Iam::new(&deployment, &access_key, &|name: &str| resource_of(name, &prefix, bucket))?;
        secrets.put_behind_a_door(engine.handle(), &iam)?;
        let s3 = S3::start(engine.handle(), &store, &access_key, bucket, &iam).await?;
        let stripe = stripe_join::start(&engine, builder.stripe.clone()).await?;

        let identity = age::x25519::Identity::generate();
        let age_recipient = identity.to_public().to_string();
        let age_identity = identity.to_string().expose_secret().to_owned();
        let signing = SigningSecrets::generate();
        put_secrets(&secrets, &database_url, &signing, &stripe.api_key(), &age_identity).await?;

        let contract = Contract {
            s3: &s3,
            secrets: &secrets,
            stripe: &stripe,
            age_recipient: &age_recipient,
            deployed: builder.as_deployed.then_some(&*deployment),
        };
        let lambda = Lambda::start(engine.handle(), functions(&builder, &contract, &iam)?)?;
        let front = match builder.functions.iter().any(|name| name == "webhook") {
            true => Some(front::start(engine.handle(), &lambda, "webhook")?),
            false => None,
        };
        let webhook_url = front.as_ref().map(|front| format!("{front}/webhooks/stripe"));
        if let Some(webhook_url) = &webhook_url {
            let endpoints = stripe_join::deliver(&stripe, webhook_url, &signing);
            put_endpoints(&secrets, &signing, &endpoints).await?;
        }
        stripe_join::name_url(&lambda, &builder.functions, webhook_url.as_deref())?;
        let pool = PgPoolOptions::new()
            .max_connections(8)
            .connect_lazy(&database_url)
            .map_err(Error::database("open a pool of connections"))?;

        Ok(Stack {
            database_url,
            pool,
            postgres,
            bucket: s3.bucket().to_owned(),
            s3,
            secrets,
            lambda,
            webhook_secret: signing.platform,
            stripe,
            age_identity,
            age_recipient,
            access_key,
            iam,
            front,
            _engine: engine,
            _database: database,
            _directory: directory,
            _sweeper: sweeper,
        })
    }

    /// Where Stripe delivers.
    ///
    /// # Panics
    /// If the stack was built without the function `webhook`.
    pub fn webhook_url(&self) -> String {
        format!("{}/webhooks/stripe", self.front_url())
    }

    /// The health page.
    ///
    /// # Panics
    /// If the stack was built without the function `webhook`.
    pub fn health_url(&self) -> String {
        format!("{}/health", self.front_url())
    }

    fn front_url(&self) -> &str {
        self.front.as_deref().expect("a stack with the function webhook has a front")
    }

    /// Invokes a function and waits for its answer.
    pub async fn invoke(&self, function: &str, payload: Value) -> Result<Reply> {
        self.lambda.invoke(function, &payload).await
    }

    /// The same of which no less than success will do.
    ///
    /// # Errors
    /// As [`Self::invoke`]; what the function itself says.
    pub async fn succeed(&self, function: &str, payload: Value) -> Result<Value> {
        let reply = self.invoke(function, payload).await?;
        if reply.function_error.is_none() {
            return Ok(reply.payload);
        }
        let word = |field: &str| reply.payload[field].as_str().unwrap_or_default();
        let (kind, message) = (word("errorType"), word("errorMessage"));
        Err(Error::failed(format!("invoke {function}"), &format!("{kind}: {message}")))
    }

    /// Drops the database that the functions work on, whoever is connected; gives its name.
    ///
    /// # Errors
    /// Postgres' own.
    pub async fn drop_database(&self) -> Result<String> {
        let dropped = async {
            let name: String =
                sqlx::query_scalar("select current_database()::text").fetch_one(&self.pool).await?;
            let mut admin = PgConnection::connect(self.postgres.url()).await?;
            let statement = format!("drop database \"{name}\" with (force)");
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut admin).await?;
            Ok(name)
        };
        dropped.await.map_err(Error::database("drop the database"))
    }

    /// The environment for programs that are to talk to this stack: the addresses by names of their own, and what
    /// the AWS CLI and SDKs read by themselves.
    ///
    /// # Panics
    /// If the stack was built without the function `webhook`.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let own = [
            ("DATABASE_URL", self.database_url.clone()),
            ("WEBHOOK_URL", self.webhook_url()),
            ("HEALTH_URL", self.health_url()),
            ("LAMBDA_ENDPOINT", self.lambda.endpoint().to_owned()),
            ("S3_ENDPOINT", self.s3.endpoint().to_owned()),
            ("BACKUP_BUCKET", self.bucket.clone()),
            ("SECRETS_ENDPOINT", self.secrets.endpoint().to_owned()),
            ("STRIPE_API_BASE", self.stripe.api_base()),
            ("STRIPE_API_KEY", self.stripe.api_key()),
            ("STRIPE_WEBHOOK_SECRET", self.webhook_secret.clone()),
            ("AWS_ACCESS_KEY_ID", self.access_key.id.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.access_key.secret.clone()),
            ("AWS_REGION", REGION.to_owned()),
            ("BACKUP_AGE_IDENTITY", self.age_identity.clone()),
        ];
        let for_the_cli = [
            // Version 1 of the CLI knows only this one.
            ("AWS_DEFAULT_REGION", REGION.to_owned()),
            ("AWS_ENDPOINT_URL_LAMBDA", self.lambda.endpoint().to_owned()),
            ("AWS_ENDPOINT_URL_S3", self.s3.endpoint().to_owned()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", self.secrets.endpoint().to_owned()),
            ("AWS_MAX_ATTEMPTS", "1".to_owned()),
        ];
        own.into_iter().chain(for_the_cli).collect()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.lambda.stop();
        self.iam.end();
    }
}

async fn open_database(builder: &StackBuilder) -> Result<(Postgres, Option<Database>, String)> {
    if let DatabaseChoice::Given(url) = &builder.database {
        apply_migrations(url, &place::repository().join("migrations")).await?;
        return Ok((Postgres::at(url), None, url.clone()));
    }
    let own = builder.durable && std::env::var_os("DATABASE_URL").is_none();
    let postgres = match builder.major {
        _ if own => {
            let options =
                PostgresOptions { major: builder.major, durable: true, ..PostgresOptions::default() };
            Postgres::start(options).await?
        }
        Some(major) => Postgres::of(major).await?,
        None => Postgres::shared().await?,
    };
    let database = if builder.database == DatabaseChoice::Empty {
        postgres.empty_database().await?
    } else {
        postgres.migrated_database().await?
    };
    let url = database.url().to_owned();
    Ok((postgres, Some(database), url))
}

fn functions(builder: &StackBuilder, contract: &Contract<'_>, iam: &Iam) -> Result<Vec<FunctionConfig>> {
    let configure = |name: &String| -> Result<FunctionConfig> {
        let is_webhook = name == "webhook";
        let mut config = FunctionConfig::new(name, place::built_binary(name)?);
        config.memory_mb = 512;
        config.keys = Some(iam.keys().clone());
        config.evidence = iam.evidence().clone();
        config.instances_max = builder.instances.get(name).copied().unwrap_or(if is_webhook { 8 } else { 2 });
        config.timeout = builder.timeouts.get(name).copied().unwrap_or(Duration::from_secs(if is_webhook {
            29
        } else {
            900
        }));
        config.environment.extend(contract.environment(name)?);
        let own = builder.environment.iter().filter(|(function, ..)| function == name);
        config.environment.extend(own.map(|(_, variable, value)| (variable.clone(), value.clone())));
        Ok(config)
    };
    builder.functions.iter().map(configure).collect()
}
