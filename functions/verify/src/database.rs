//! `database`: the rows of schema `recoup` against what has to hold of them.

use recoup::archive::session::open_reading;
use recoup::failure::Failure;
use recoup::invariants::{INVARIANTS, Violation, violations};
use recoup::migrations::{Finding, applied, bundled, compare};
use serde::Serialize;
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use time::OffsetDateTime;

/// What `database` answers where every rule holds.
#[derive(Debug, Serialize)]
pub struct DatabaseReply {
    action: &'static str,
    status: &'static str,
    /// The rules that were checked.
    invariants: Vec<&'static str>,
    /// What is younger was not judged where other events may still complete it.
    #[serde(with = "time::serde::rfc3339")]
    settled_before: OffsetDateTime,
}

pub(crate) async fn database(
    options: &PgConnectOptions,
    settled_before: OffsetDateTime,
) -> Result<DatabaseReply, Failure> {
    let mut connection = open_reading(options, None).await?;
    if let Some(lack) = lack(&mut connection).await? {
        return Err(Failure::new("SchemaDrift", format!("check the rows of schema recoup: {lack}")));
    }
    let broken = violations(&mut connection, settled_before).await?;
    if !broken.is_empty() {
        return Err(invariants_broken("check the rows of schema recoup", &broken));
    }
    Ok(DatabaseReply {
        action: "database",
        status: "holds",
        invariants: INVARIANTS.map(|invariant| invariant.name).into(),
        settled_before,
    })
}

/// Why the rules cannot be asked of a database: they know the tables of this version.
pub(crate) async fn lack(connection: &mut PgConnection) -> Result<Option<String>, Failure> {
    let findings = compare(&bundled(), &applied(connection).await?);
    let first = findings.iter().find(|finding| finding.finding != Finding::Changed);
    Ok(first.map(|finding| {
        let (version, description) = (finding.version, &finding.description);
        let state = match finding.finding {
            Finding::Extra => "was applied by a later version; deploy that version",
            _ => "is not applied; apply the migrations of this version",
        };
        format!(
            "migration {version} ({description}) {state}; verify {{\"action\":\"schema\"}} names all of them"
        )
    }))
}

/// Rules that are broken, as an error of `operation`.
pub(crate) fn invariants_broken(operation: &str, broken: &[Violation]) -> Failure {
    let named: Vec<String> = broken
        .iter()
        .map(|violation| format!("{} ({})", violation.invariant, rows(violation.count)))
        .collect();
    let message = format!(
        "{operation}: {} of {} invariants broken: {}; do what the remedy of each says.",
        broken.len(),
        INVARIANTS.len(),
        named.join(", ")
    );
    let rows_broken: i64 = broken.iter().map(|violation| violation.count).sum();
    Failure::new("InvariantBroken", message)
        .with_findings(&json!({"rows_broken": rows_broken, "violations": broken}))
}

fn rows(count: i64) -> String {
    if count == 1 { "1 row".to_owned() } else { format!("{count} rows") }
}
