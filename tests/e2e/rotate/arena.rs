//! What the tests of rotations share: the steps as Secrets Manager calls them, and a database that asks for passwords.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use stack::lambda::Reply;
use stack::postgres::{Database, Major, Postgres, PostgresOptions};
use stack::{DatabaseChoice, Stack, StackBuilder};

use crate::support::{failed, succeeded};

/// The four steps.
pub const STEPS: [&str; 4] = ["createSecret", "setSecret", "testSecret", "finishSecret"];

/// A version's id.
pub fn token() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// One step, as Secrets Manager asks for it.
pub fn event(stack: &Stack, secret: &str, step: &str, token: &str) -> Value {
    json!({"Step": step, "SecretId": stack.secrets.id(secret), "ClientRequestToken": token})
}

/// One step.
pub async fn step(stack: &Stack, secret: &str, step: &str, token: &str) -> Reply {
    stack.invoke("rotate", event(stack, secret, step, token)).await.expect("invoked")
}

/// One step that must succeed; gives what became of it.
pub async fn stepped(stack: &Stack, secret: &str, name: &str, token: &str) -> String {
    let reply = succeeded(step(stack, secret, name, token).await);
    assert_eq!((reply["step"].as_str(), reply["version"].as_str()), (Some(name), Some(token)));
    reply["status"].as_str().expect("a status").to_owned()
}

/// All four steps, each of them twice, under a new token; gives the token.
pub async fn rotate_twice_each(stack: &Stack, secret: &str) -> String {
    let token = token();
    for name in STEPS {
        assert_eq!(stepped(stack, secret, name, &token).await, "done", "{name}");
        let again = if matches!(name, "setSecret" | "testSecret") { "done" } else { "already_done" };
        assert_eq!(stepped(stack, secret, name, &token).await, again, "{name} again");
    }
    assert_eq!(stack.secrets.version_at(secret, "AWSCURRENT").await.expect("versions"), Some(token.clone()));
    assert_eq!(stack.secrets.version_at(secret, "AWSPENDING").await.expect("versions"), None);
    token
}

/// From now on a rotation waits as it does on AWS: for instances that have just read a secret, as each does in a rotation.
pub fn patient(stack: &Stack) {
    let change = |config: &mut stack::lambda::FunctionConfig| {
        config.environment.remove("ROTATION_SETTLE_SECONDS");
    };
    stack.lambda.configure("rotate", change).expect("configured");
}

/// What an operator asks.
pub async fn act(stack: &Stack, payload: Value) -> Value {
    succeeded(stack.invoke("rotate", payload).await.expect("invoked"))
}

/// A step that must fail, that left the current version where it was, and that the alarm's metric tells of; gives the
/// error type and message.
pub async fn refused(stack: &Stack, secret: &str, name: &str, token: &str) -> (String, String) {
    let current = stack.secrets.version_at(secret, "AWSCURRENT").await.expect("versions");
    let value = stack.secrets.get(secret).await.expect("a value");
    let counted = metrics(stack, "RotationsFailed");
    let reply = step(stack, secret, name, token).await;
    let (kind, message) =
        (failed(&reply).to_owned(), reply.payload["errorMessage"].as_str().unwrap_or_default());
    assert_eq!(metrics(stack, "RotationsFailed"), counted + 1, "{kind}");
    assert_eq!(stack.secrets.version_at(secret, "AWSCURRENT").await.expect("versions"), current);
    assert_eq!(stack.secrets.get(secret).await.expect("a value"), value);
    (kind, message.to_owned())
}

/// How often the function counted this.
pub fn metrics(stack: &Stack, name: &str) -> usize {
    let logs = stack.lambda.logs("rotate").expect("logs");
    let counts = |line: &str| serde_json::from_str::<Value>(line).is_ok_and(|line| line[name] == json!(1.0));
    logs.iter().filter(|line| counts(&line.text)).count()
}

/// Nothing secret of a secret's value stands in the function's logs.
pub fn assert_unlogged(stack: &Stack, secrets: &[&str]) {
    for function in ["rotate", "webhook"] {
        let Ok(logs) = stack.lambda.logs(function) else { continue };
        for line in logs {
            for secret in secrets {
                assert!(!line.text.contains(secret), "{function}: {}", line.text);
            }
        }
    }
}

/// A server of its own that lets nobody but its superuser in without a password, and writes every statement into its
/// log.
pub struct Guarded {
    /// The database.
    pub database: Database,
    /// Connected to it as the superuser.
    pub admin: PgPool,
    _postgres: Postgres,
    _rules: tempfile::NamedTempFile,
}

impl Guarded {
    /// Starts one, with a role `shop` that has these rights and owns the database.
    pub async fn start(major: Option<Major>, rights: &str) -> Guarded {
        let mut rules = tempfile::Builder::new().prefix("recoup-hba-").tempfile_in("/tmp").expect("a file");
        writeln!(rules, "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256")
            .expect("written");
        // The server may run as somebody else.
        std::fs::set_permissions(rules.path(), std::fs::Permissions::from_mode(0o644)).expect("readable");
        let settings =
            [("hba_file", rules.path().display().to_string()), ("log_statement", "all".to_owned())];
        let settings = settings.map(|(name, value)| (name.to_owned(), value)).into();
        let options = PostgresOptions { major, settings, ..PostgresOptions::default() };
        let postgres = Postgres::start(options).await.expect("a server");
        let database = postgres.empty_database().await.expect("a database");
        let admin = PgPool::connect(database.url()).await.expect("connected");
        let guarded = Guarded { database, admin, _postgres: postgres, _rules: rules };
        guarded.run(&format!("create role shop login {rights} password 'first'")).await;
        guarded.run(&format!("alter database {} owner to shop", guarded.database.name())).await;
        guarded
    }

    /// The database's address for a user.
    pub fn url(&self, user: &str, password: &str) -> String {
        self.database.url().replacen("postgres://postgres@", &format!("postgres://{user}:{password}@"), 1)
    }

    /// A stack whose functions work as `shop`.
    pub fn stack(&self) -> StackBuilder {
        crate::support::eager().database(DatabaseChoice::Given(self.url("shop", "first")))
    }

    /// Statements as the superuser.
    pub async fn run(&self, statements: &str) {
        sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&self.admin).await.expect(statements);
    }

    /// What the superuser sees.
    pub async fn text(&self, query: &'static str) -> Option<String> {
        sqlx::query_scalar(query).fetch_one(&self.admin).await.expect(query)
    }

    /// Everything that the server wrote down.
    pub async fn log(&self) -> String {
        let data = self
            .text("select setting from pg_settings where name = 'data_directory'")
            .await
            .expect("a folder");
        let log = std::path::Path::new(&data).parent().expect("a folder").join("server.log");
        std::fs::read_to_string(log).expect("the server's log")
    }
}

/// User and password of the current database secret.
pub async fn login(stack: &Stack, secret: &str) -> (String, String) {
    let url = stack.secrets.get(secret).await.expect("a value")["url"].as_str().expect("a URL").to_owned();
    let (user, rest) = url.trim_start_matches("postgres://").split_once(':').expect("a user");
    (user.to_owned(), rest.split_once('@').expect("a password").0.to_owned())
}
