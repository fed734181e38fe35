//! What belongs to production and not to its rows: owner, grants, connection limit, settings. The copy gets the same
//! before it takes production's name. Nobody is kept out meanwhile, and doing it twice changes nothing.

use sqlx::PgConnection;

use super::error::PromoteError;
use super::server::Database;
use crate::archive::ArchiveError;
use crate::archive::session::{quote_ident, quote_literal, run};

/// Settings whose value is a list of names: each of them is quoted for itself. (`GUC_LIST_QUOTE` in Postgres' source, as
/// `pg_dump` treats them.)
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// Statements that give `copy` what `production` has.
///
/// # Errors
/// [`PromoteError::Archive`].
pub async fn statements(
    connection: &mut PgConnection,
    production: &Database,
    copy: &Database,
) -> Result<Vec<String>, PromoteError> {
    let name = quote_ident(&copy.name);
    let mut statements = Vec::new();
    if production.owner != copy.owner {
        statements.push(format!("ALTER DATABASE {name} OWNER TO {}", quote_ident(&production.owner)));
    }
    let (wanted, present) = (grants(connection, production).await?, grants(connection, copy).await?);
    if wanted != present {
        let mut grantees: Vec<&str> = present.iter().map(|(grantee, ..)| grantee.as_str()).collect();
        // What nobody has granted yet is Postgres' default: everybody may connect.
        grantees.push("");
        grantees.sort_unstable();
        grantees.dedup();
        let revoke = |grantee: &&str| format!("REVOKE ALL ON DATABASE {name} FROM {}", role(grantee));
        statements.extend(grantees.iter().map(revoke));
        if wanted.is_empty() {
            statements.push(format!("GRANT ALL ON DATABASE {name} TO {}", quote_ident(&production.owner)));
            statements.push(format!("GRANT CONNECT, TEMPORARY ON DATABASE {name} TO PUBLIC"));
        }
        statements.extend(wanted.iter().map(|(grantee, privilege, grantable)| {
            let option = if *grantable { " WITH GRANT OPTION" } else { "" };
            format!("GRANT {privilege} ON DATABASE {name} TO {}{option}", role(grantee))
        }));
    }
    if production.connection_limit != copy.connection_limit {
        statements.push(format!("ALTER DATABASE {name} CONNECTION LIMIT {}", production.connection_limit));
    }
    let (wanted, present) = (settings(connection, production).await?, settings(connection, copy).await?);
    if wanted != present {
        let mut roles: Vec<&str> = present.iter().map(|(role, ..)| role.as_str()).collect();
        roles.dedup();
        statements.extend(roles.iter().map(|role| format!("{} RESET ALL", scope(role, &name))));
        statements.extend(wanted.iter().map(|(role, setting, value)| {
            format!("{} SET {} TO {}", scope(role, &name), quote_ident(setting), literal(setting, value))
        }));
    }
    Ok(statements)
}

/// Runs them; gives those that Postgres refused, with its reason.
///
/// # Errors
/// [`PromoteError::Archive`] where the connection fails.
pub async fn carry(
    connection: &mut PgConnection,
    statements: &[String],
) -> Result<Vec<String>, PromoteError> {
    let mut refused = Vec::new();
    for statement in statements {
        match run(connection, "give the copy what production has", statement).await {
            Ok(()) => {}
            Err(ArchiveError::Database { reason, .. }) if !reason.is_lost() => {
                refused.push(format!("not carried over, run it as a role that may: {statement}; {reason}"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(refused)
}

type Grant = (String, String, bool);

async fn grants(connection: &mut PgConnection, database: &Database) -> Result<Vec<Grant>, PromoteError> {
    sqlx::query_as(include_str!("sql/grants.sql"))
        .bind(database.oid)
        .persistent(false)
        .fetch_all(connection)
        .await
        .map_err(|error| {
            PromoteError::database(format!("read the grants of database {}", database.name), &error)
        })
}

type Setting = (String, String, String);

async fn settings(connection: &mut PgConnection, database: &Database) -> Result<Vec<Setting>, PromoteError> {
    sqlx::query_as(include_str!("sql/settings.sql"))
        .bind(database.oid)
        .persistent(false)
        .fetch_all(connection)
        .await
        .map_err(|error| {
            PromoteError::database(format!("read the settings of database {}", database.name), &error)
        })
}

fn role(name: &str) -> String {
    if name.is_empty() { "PUBLIC".to_owned() } else { quote_ident(name) }
}

fn scope(role: &str, database: &str) -> String {
    match role {
        "" => format!("ALTER DATABASE {database}"),
        role => format!("ALTER ROLE {} IN DATABASE {database}", quote_ident(role)),
    }
}

fn literal(setting: &str, value: &str) -> String {
    if !LISTS.contains(&setting) {
        return quote_literal(value);
    }
    let names: Vec<String> = listed(value).iter().map(|name| quote_literal(name)).collect();
    if names.is_empty() { "''".to_owned() } else { names.join(", ") }
}

/// The names of a list as Postgres keeps it: parted by commas, in double quotes where they need them.
fn listed(value: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut name = String::new();
    let (mut quoted, mut letters) = (false, value.chars().peekable());
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => name.extend(letters.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => names.push(std::mem::take(&mut name)),
            letter if !quoted && letter.is_whitespace() => {}
            letter => name.push(letter),
        }
    }
    if !value.trim().is_empty() {
        names.push(name);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_set_as_they_were() {
        assert_eq!(
            literal("search_path", r#""$user", public, "My ""own"", schema""#),
            r#"'$user', 'public', 'My "own", schema'"#
        );
        assert_eq!(literal("search_path", "\"\""), "''");
        assert_eq!(literal("search_path", ""), "''");
        assert_eq!(literal("work_mem", "64MB"), "'64MB'");
        assert_eq!(literal("my.setting", "it's, so"), "'it''s, so'");
        assert_eq!(scope("", "\"s\""), "ALTER DATABASE \"s\"");
        assert_eq!(scope("a\"b", "\"s\""), "ALTER ROLE \"a\"\"b\" IN DATABASE \"s\"");
    }
}
