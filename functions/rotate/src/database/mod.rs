//! The database's password: two users take turns. The one that is current keeps its password until the rotation after the
//! next, so that nothing that is connected, or has read the secret, notices.

mod login;
mod roles;
mod scram;

use std::future::Future;
use std::time::Duration;

use recoup::db;
use recoup::failure::Failure;
use recoup::secrets::{database_url, database_url_in};
use secrecy::ExposeSecret;
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use self::roles::Users;
use crate::kind::Kind;
use crate::steps::Turn;
use crate::value::{Fields, invalid};
use crate::{Rotate, door};

/// Nothing here takes long; whoever holds a lock on a role for longer has to end first.
const PATIENCE: Duration = Duration::from_secs(30);

/// What webhook, backup and reconcile begin with.
const LOOK: &str = "select from recoup.webhook_events limit 0";

impl Rotate {
    /// The other user's name, with a new password.
    pub(crate) async fn new_login(&self, turn: &Turn) -> Result<Fields, Failure> {
        let mut connection = connect(&turn.id, &turn.current).await?;
        let users = within(Users::of(&mut connection)).await?;
        let user = format!("{}{}", users.other()?, self.ending(turn, &users)?);
        close(connection).await;
        login::with(&turn.id, &turn.current, &user, &login::password())
    }

    /// Makes the pending login work.
    pub(crate) async fn set_database_user(&self, turn: &Turn, pending: &Fields) -> Result<(), Failure> {
        let mut connection = connect(&turn.id, &turn.current).await?;
        let users = within(Users::of(&mut connection)).await?;
        let user = users.other()?;
        if login::user(&turn.id, pending)? != format!("{user}{}", self.ending(turn, &users)?) {
            let reason =
                "the pending user is not the one whose turn it is; abandon the rotation, and rotate again";
            return Err(invalid(&turn.id, reason));
        }
        let password = login::password_of(pending)
            .ok_or_else(|| invalid(&turn.id, "the pending login has no password"))?;
        // Everyone may change their own password; for the other's somebody may be needed who makes roles.
        if let (Some(admin), true) = (&self.admin_secret_id, user != users.base) {
            close(connection).await;
            let versions = self.secrets.describe(admin).await?;
            connection = connect(admin, &self.current_of(admin, &versions).await?).await?;
        }
        within(roles::set_password(&mut connection, &users, &user, &password)).await?;
        close(connection).await;
        Ok(())
    }

    /// Proves that the pending login has the rights of the current one.
    pub(crate) async fn test_login(&self, turn: &Turn, pending: &Fields) -> Result<(), Failure> {
        let mut current = connect(&turn.id, &turn.current).await?;
        let users = within(Users::of(&mut current)).await?;
        close(current).await;
        self.prove(turn, &turn.id, pending, &users.role).await?;
        if let Some((id, _, pooled)) = self.pooler_login(turn, pending).await? {
            self.prove(turn, id, &pooled, &users.role).await?;
        }
        Ok(())
    }

    /// Gives the pooler's secret the pending login, which works already.
    pub(crate) async fn put_pooler_login(
        &self,
        turn: &Turn,
        pending: &Fields,
        warnings: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let Some(id) = &self.pooler_secret_id else { return Ok(()) };
        match self.pooler_login(turn, pending).await? {
            Some((id, versions, pooled)) => {
                if self.current_of(id, &versions).await? != pooled {
                    self.secrets.replace(id, &versions, &pooled.secret()).await?;
                }
            }
            None => warnings.push(format!(
                "secret {id} logs in as somebody else than secret {}, and was left alone",
                turn.id
            )),
        }
        Ok(())
    }

    /// Logs in as every function does, and asks the webhook.
    pub(crate) async fn check_database(&self, turn: &Turn) -> Result<(), Failure> {
        let url = database_url(&self.secrets, self.ids.of(Kind::Database)).await?;
        let options = db::options(url.expose_secret(), "recoup rotate")?;
        let mut connection = db::connect(&options).await?;
        within(look(&mut connection, turn)).await?;
        close(connection).await;
        match &self.webhook_url {
            Some(webhook_url) => door::check_health(webhook_url).await,
            None => Ok(()),
        }
    }

    async fn prove(&self, turn: &Turn, id: &str, pending: &Fields, role: &str) -> Result<(), Failure> {
        let mut connection = connect(id, pending).await?;
        let users = within(Users::of(&mut connection)).await?;
        if users.role != role {
            return Err(Failure::new(
                "DatabaseUserHasOtherRights",
                format!(
                    "{}: the new user {login} works as {}, and not as {role}; run ALTER ROLE {login} SET ROLE = {role} as an \
                     administrator, or rotate again",
                    turn.what(),
                    users.role,
                    login = users.login,
                ),
            ));
        }
        within(look(&mut connection, turn)).await?;
        close(connection).await;
        Ok(())
    }

    /// What stands behind the role's name in the secret: some poolers tell tenants apart by it (`postgres.tenant`).
    fn ending(&self, turn: &Turn, users: &Users) -> Result<String, Failure> {
        let user = login::user(&turn.id, &turn.current)?;
        user.strip_prefix(&users.login).map(str::to_owned).ok_or_else(|| {
            invalid(&turn.id, "the server knows its user by another name, so that no second one can be named")
        })
    }

    /// The pooler's secret with the pending login; none where it has another user.
    async fn pooler_login<'s>(
        &'s self,
        turn: &Turn,
        pending: &Fields,
    ) -> Result<Option<(&'s str, recoup::secrets::Description, Fields)>, Failure> {
        let Some(id) = &self.pooler_secret_id else { return Ok(None) };
        let versions = self.secrets.describe(id).await?;
        let pooler = self.current_of(id, &versions).await?;
        let (old, new) = (login::user(&turn.id, &turn.current)?, login::user(&turn.id, pending)?);
        let pooled = login::user(id, &pooler)?;
        // The longer name first: the shorter one is its beginning.
        let mut known = [old, new.clone()];
        known.sort_by_key(|name| std::cmp::Reverse(name.len()));
        let Some(ending) = known.iter().find_map(|name| pooled.strip_prefix(name.as_str())) else {
            return Ok(None);
        };
        let password = login::password_of(pending).unwrap_or_default();
        let changed = login::with(id, &pooler, &format!("{new}{ending}"), &password)?;
        Ok(Some((id, versions, changed)))
    }
}

async fn connect(id: &str, secret: &Fields) -> Result<PgConnection, Failure> {
    let url = database_url_in(id, &secret.secret())?;
    db::connect(&db::options(url.expose_secret(), "recoup rotate")?).await
}

async fn close(connection: PgConnection) {
    // What had to be done is committed.
    let _ = tokio::time::timeout(PATIENCE, connection.close()).await;
}

async fn look(connection: &mut PgConnection, turn: &Turn) -> Result<(), Failure> {
    let seen = sqlx::raw_sql(LOOK).execute(connection).await;
    seen.map(drop).map_err(|error| {
        let said =
            error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
        Failure::new(
            "DatabaseNotUsable",
            format!(
                "{}: the login works, but recoup's tables cannot be read with it; see Postgres' reason",
                turn.what()
            ),
        )
        .with_source(std::io::Error::other(said))
    })
}

async fn within<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| {
        Err(Failure::new(
            "DatabaseUnavailable",
            "rotate the database's password: no answer within 30 seconds; try again",
        ))
    })
}
