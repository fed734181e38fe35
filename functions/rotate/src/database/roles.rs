//! The two users that take turns. One is the role that the operator made, which owns the tables and has the grants; the
//! other is a member of it, and works as it from the moment that it logs in (`alter role … set role`). So both have the
//! same rights, what either makes belongs to the same owner, and there is nothing to keep in step.

use recoup::archive::session::{quote_ident, quote_literal};
use recoup::failure::Failure;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Row};

use super::scram;

/// What the second user's name ends with.
const SUFFIX: &str = "_alternate";

/// Postgres cuts longer names.
const NAME_BYTES_MAX: usize = 63;

/// Rotations of one database come one after another.
const LOCK: &str = "select pg_advisory_xact_lock(hashtextextended('recoup rotate', 0))";

/// The two users of a login, and which of them it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Users {
    /// The one that the operator made, of which the other is a member.
    pub base: String,
    /// Who is logged in: one of the two.
    pub login: String,
    /// As whom both work: the first, where it has no setting that says otherwise.
    pub role: String,
}

impl Users {
    /// Those of a connection.
    pub async fn of(connection: &mut PgConnection) -> Result<Self, Failure> {
        let row = sqlx::raw_sql(include_str!("sql/session.sql")).fetch_one(connection).await;
        let row = row.map_err(|error| refused("ask Postgres who is logged in", error))?;
        let read = |name: &str| {
            row.try_get::<String, _>(name).map_err(|error| refused("read who is logged in", error))
        };
        let login = read("login")?;
        let base = row.try_get::<Option<String>, _>("alternate_of").ok().flatten();
        Ok(Self { base: base.unwrap_or_else(|| login.clone()), login, role: read("role")? })
    }

    /// The other of the two: whose turn it is.
    pub fn other(&self) -> Result<String, Failure> {
        if self.login != self.base {
            return Ok(self.base.clone());
        }
        let other = format!("{}{SUFFIX}", self.base);
        if other.len() > NAME_BYTES_MAX {
            return Err(Failure::new(
                "DatabaseUserNameTooLong",
                format!(
                    "name a second database user beside {}: with {SUFFIX} it has more than {NAME_BYTES_MAX} bytes; give recoup \
                     a user with a shorter name",
                    self.base
                ),
            ));
        }
        Ok(other)
    }
}

/// Gives the user a password, and makes it where it does not exist: all of it, or nothing.
///
/// # Errors
/// `DatabaseUserCannotCreateRoles`, `DatabaseUserTaken`, `DatabaseRefused`, `DatabaseUnavailable`.
pub async fn set_password(
    connection: &mut PgConnection,
    users: &Users,
    user: &str,
    password: &str,
) -> Result<(), Failure> {
    let verifier = quote_literal(&scram::verifier(password));
    let (name, base, role) = (quote_ident(user), quote_ident(&users.base), quote_ident(&users.role));
    let what = format!("give database user {user} a new password");
    let failed = |error| refused_to(users, &what, error);
    let mut transaction = connection.begin().await.map_err(failed)?;
    sqlx::raw_sql(LOCK).execute(&mut *transaction).await.map_err(failed)?;
    if user == users.base {
        run(&mut transaction, &format!("alter role {name} password {verifier}")).await.map_err(failed)?;
        return transaction.commit().await.map_err(failed);
    }
    let found = sqlx::query(include_str!("sql/alternate.sql")).bind(user).bind(&users.base);
    match found.fetch_optional(&mut *transaction).await.map_err(failed)? {
        None => {
            run(&mut transaction, &format!("create role {name} login password {verifier}"))
                .await
                .map_err(failed)?;
            run(&mut transaction, &format!("grant {base} to {name}")).await.map_err(failed)?;
        }
        Some(row) if row.try_get("is_member").map_err(failed)? => {
            run(&mut transaction, &format!("alter role {name} login password {verifier}"))
                .await
                .map_err(failed)?;
        }
        Some(_) => {
            return Err(Failure::new(
                "DatabaseUserTaken",
                format!(
                    "{what}: a role of this name exists and is no member of {0}, so it is somebody else's; rename it, or, if \
                     it is recoup's, grant {1} to {2}",
                    users.base, base, name
                ),
            ));
        }
    }
    run(&mut transaction, &format!("alter role {name} set role = {role}")).await.map_err(failed)?;
    let copied = sqlx::query_scalar::<_, String>(include_str!("sql/copy_settings.sql"));
    let statements =
        copied.bind(&users.base).bind(user).fetch_all(&mut *transaction).await.map_err(failed)?;
    for statement in statements {
        run(&mut transaction, &statement).await.map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)
}

async fn run(connection: &mut PgConnection, statement: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(connection).await.map(drop)
}

fn refused_to(users: &Users, what: &str, error: sqlx::Error) -> Failure {
    // PostgreSQL documentation, appendix A: insufficient_privilege.
    if error.as_database_error().and_then(|error| error.code()).as_deref() != Some("42501") {
        return refused(what, error);
    }
    let said = error.as_database_error().map(|error| error.message().to_owned()).unwrap_or_default();
    Failure::new(
        "DatabaseUserCannotCreateRoles",
        format!(
            "{what}: the user that rotate works as may not make roles and grant it {}. Nothing was changed, and the current \
             password stays. Either name the secret of a user that may as DatabaseAdminSecretArn (one with CREATEROLE that \
             made {0}, or on RDS the master user), or, before Postgres 16, run as an administrator: ALTER ROLE {1} CREATEROLE",
            users.base,
            quote_ident(&users.base)
        ),
    )
    .with_source(std::io::Error::other(said))
}

fn refused(what: &str, error: sqlx::Error) -> Failure {
    match error.as_database_error() {
        // The server's words alone: they name roles and settings, and no password.
        Some(refusal) => Failure::new("DatabaseRefused", format!("{what}: Postgres refused; see its reason"))
            .with_source(std::io::Error::other(refusal.message().to_owned())),
        None => Failure::new("DatabaseUnavailable", format!("{what}: the connection was lost; try again"))
            .with_source(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_users_take_turns() {
        let users = |base: &str, login: &str| {
            let [base, login] = [base, login].map(str::to_owned);
            Users { role: base.clone(), base, login }
        };
        assert_eq!(users("shop", "shop").other().expect("a name"), "shop_alternate");
        assert_eq!(users("shop", "shop_alternate").other().expect("a name"), "shop");
        let long = "s".repeat(60);
        assert_eq!(
            users(&long, &long).other().expect_err("too long").error_type(),
            "DatabaseUserNameTooLong"
        );
    }
}
