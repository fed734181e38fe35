//! For how long each kind of backup is kept.

use recoup::archive::kind::BackupKind;
use recoup::config::Env;
use time::Duration;

/// Days by kind.
pub(crate) struct Retention([(BackupKind, Duration); 5]);

impl Retention {
    /// Reads `BACKUP_RETENTION_DAYS_FULL` and so on, in days.
    pub(crate) fn from_env(env: &mut Env) -> Self {
        let mut days = |kind, variable, default: u16| {
            let days: u16 = env.parsed(variable, default);
            if days == 0 {
                env.fault(format!(
                    "{variable} is 0: such a backup would expire as it is made; give 1 or more days"
                ));
            }
            (kind, Duration::days(days.into()))
        };
        Self([
            days(BackupKind::Full, "BACKUP_RETENTION_DAYS_FULL", 90),
            days(BackupKind::Payments, "BACKUP_RETENTION_DAYS_PAYMENTS", 7),
            days(BackupKind::Orders, "BACKUP_RETENTION_DAYS_ORDERS", 30),
            days(BackupKind::Tickets, "BACKUP_RETENTION_DAYS_TICKETS", 30),
            days(BackupKind::Tables, "BACKUP_RETENTION_DAYS_TABLES", 30),
        ])
    }

    /// How long a backup of `kind` is kept, one of a window as well.
    pub(crate) fn of(&self, kind: BackupKind) -> Duration {
        let found = self.0.iter().find(|(of, _)| *of == kind);
        found.expect("every kind is in the list").1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retention(variables: &[(&str, &str)]) -> (Retention, Env) {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut env = Env::from_variables(variables);
        (Retention::from_env(&mut env), env)
    }

    #[test]
    fn every_kind_has_its_own_time() {
        let (retention, env) = retention(&[("BACKUP_RETENTION_DAYS_ORDERS", "45")]);
        env.finish().expect("no fault");
        let days = BackupKind::ALL.map(|kind| retention.of(kind).whole_days());
        assert_eq!(days, [90, 7, 45, 30, 30]);
    }

    #[test]
    fn a_backup_that_would_expire_at_once_is_a_fault() {
        let (_, env) = retention(&[("BACKUP_RETENTION_DAYS_TABLES", "0")]);
        let message = env.finish().expect_err("a fault").to_string();
        assert!(message.contains("BACKUP_RETENTION_DAYS_TABLES is 0"), "{message}");
    }
}
