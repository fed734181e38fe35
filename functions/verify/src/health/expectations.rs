//! What health expects of this setup.

use std::collections::BTreeMap;

use recoup::archive::schema::SchemaSelection;
use recoup::config::Env;
use time::Duration;

/// What is expected.
pub(crate) struct Expectations {
    /// How old the newest backup of each kind may be.
    pub(crate) backup_age: BTreeMap<String, Duration>,
    /// How long ago the newest exported changes may have been made: the most that a loss of the database may cost.
    pub(crate) changes_age: Duration,
    /// The schemas whose tables are to be captured.
    pub(crate) schemas: SchemaSelection,
    /// How long ago the last drill may be.
    pub(crate) drill_age: Duration,
    /// How long ago the last run of the other checks may be.
    pub(crate) check_age: Duration,
    /// How long ago the last reconciliation of events may be.
    pub(crate) reconcile_age: Duration,
    /// How old a secret's value may be.
    pub(crate) secret_age: Duration,
    /// The secrets by their part in this.
    pub(crate) secrets: Vec<(&'static str, String)>,
}

impl Expectations {
    /// Reads `BACKUP_RPO_HOURS` (`full=26,payments=2`; default `full=26`), `BACKUP_SCHEMAS`, `RECOUP_SECRET_DAYS` (180), and the names of the Stripe secrets, which are only looked at from outside.
    pub(crate) fn from_env(env: &mut Env, database: &str, backup_key: &str) -> Self {
        let mut secrets = vec![("database", database.to_owned()), ("backup_key", backup_key.to_owned())];
        let stripe = [("stripe_api", "STRIPE_API_SECRET_ID"), ("stripe_webhook", "STRIPE_WEBHOOK_SECRET_ID")];
        secrets.extend(stripe.into_iter().filter_map(|(part, name)| Some((part, env.optional(name)?))));
        Self {
            backup_age: backup_age(env),
            // Every five minutes, with room for a retry.
            changes_age: Duration::minutes(15),
            schemas: SchemaSelection::from_env(env),
            // Each runs more often than that: weekly, daily and hourly, with room for retries.
            drill_age: Duration::days(8),
            check_age: Duration::hours(26),
            reconcile_age: Duration::hours(3),
            secret_age: Duration::days(env.parsed::<u16>("RECOUP_SECRET_DAYS", 180).into()),
            secrets,
        }
    }
}

fn backup_age(env: &mut Env) -> BTreeMap<String, Duration> {
    let list = env.optional("BACKUP_RPO_HOURS").unwrap_or_else(|| "full=26".to_owned());
    let mut ages = BTreeMap::new();
    for pair in list.split(',').map(str::trim) {
        let hours = pair.split_once('=').map(|(kind, hours)| (kind.trim(), hours.trim().parse::<u16>()));
        match hours {
            Some((kind, Ok(hours))) if !kind.is_empty() && hours > 0 => {
                ages.insert(kind.to_owned(), Duration::hours(hours.into()));
            }
            _ => env.fault(format!(
                "BACKUP_RPO_HOURS cannot be read: {pair:?} is not kind=hours; expected such as full=26"
            )),
        }
    }
    ages
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rpo: &str) -> (Expectations, Env) {
        let mut env = Env::from_variables([("BACKUP_RPO_HOURS".to_owned(), rpo.to_owned())]);
        (Expectations::from_env(&mut env, "database", "key"), env)
    }

    #[test]
    fn each_kind_has_its_age() {
        let (expected, env) = read("full=26, payments=2");
        env.finish().expect("no fault");
        let ages: Vec<_> = expected.backup_age.into_iter().collect();
        assert_eq!(
            ages,
            [("full".to_owned(), Duration::hours(26)), ("payments".to_owned(), Duration::hours(2))]
        );
        for wrong in ["full", "full=0", "=3", "full=26,", "full=-1"] {
            let message = read(wrong).1.finish().expect_err("a fault").to_string();
            assert!(message.contains("BACKUP_RPO_HOURS"), "{message}");
        }
    }
}
