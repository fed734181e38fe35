//! `RESTORE.md`: how a person gets the database back with `aws`, `age`, `zstd` and `psql`.

use std::fmt::Write as _;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::manifest::Manifest;
use super::names::BACKUPS_PREFIX;
use super::plan::column_list;
use super::session::{quote_literal, quote_qualified};

/// Writes the instructions for one backup. They name every part, so that nothing has to be worked out.
pub fn instructions(manifest: &Manifest) -> String {
    let template = include_str!("RESTORE.md");
    let encrypted = manifest.encryption.method != "none";
    let opening = if encrypted { " | age --decrypt --identity \"$KEY\"" } else { "" };
    let taken_at =
        manifest.snapshot.taken_at.format(&Rfc3339).expect("the server's clock shows a year of four digits");
    template
        .replace("{{backup_id}}", &manifest.backup_id)
        .replace("{{folder}}", &format!("{BACKUPS_PREFIX}{}", manifest.backup_id))
        .replace("{{holds}}", &holds(manifest, &taken_at))
        .replace("{{postgres_version}}", &(manifest.postgres_version / 10_000).to_string())
        .replace("{{recipients}}", &recipients(manifest))
        .replace("{{create_database}}", &create_database(manifest))
        .replace("{{schema_key}}", &manifest.schema.object.key)
        .replace("{{open}}", opening)
        .replace("{{load}}", &load(manifest, opening))
        .replace("{{sequences}}", &sequences(manifest))
        .replace("{{counts}}", &counts(manifest))
        .replace("{{unsupported}}", &unsupported(manifest))
}

fn holds(manifest: &Manifest, taken_at: &str) -> String {
    let Some(selection) = &manifest.selection else {
        return format!("This folder holds a whole Postgres database as it was at {taken_at}.");
    };
    let part = format!(
        "This folder holds a part of a Postgres database as it was at {taken_at}: the tables of section 6, with what\ntheir foreign keys need."
    );
    let Some(window) = &selection.window else { return part };
    let time = |time: OffsetDateTime| time.format(&Rfc3339).expect("it was read as such a time");
    format!(
        "{part}\n\n**It is partial**: of {} it holds the rows that were created from {} up to, not including, {}, and of\nevery table the rows that these refer to. Merge from it; never put it in a database's place.",
        manifest.backup_type,
        time(window.from),
        time(window.to)
    )
}

fn recipients(manifest: &Manifest) -> String {
    if manifest.encryption.method == "none" {
        return "The objects are not encrypted: leave `KEY` out.".to_owned();
    }
    format!(
        "The data and the definitions are encrypted with age to {}. One identity (`AGE-SECRET-KEY-1…`) of these is\nneeded, alone on a line in a file.",
        manifest.encryption.recipients.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
    )
}

fn create_database(manifest: &Manifest) -> String {
    let database = &manifest.database;
    let mut options = format!(
        "TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}",
        quote_literal(&database.encoding),
        quote_literal(&database.collate),
        quote_literal(&database.ctype)
    );
    if let Some(locale) = &database.locale {
        let name = if database.locale_provider == "icu" { "ICU_LOCALE" } else { "BUILTIN_LOCALE" };
        let _ =
            write!(options, " LOCALE_PROVIDER {} {name} {}", database.locale_provider, quote_literal(locale));
    }
    options
}

/// Text as one word of a POSIX shell.
fn shell_quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn load(manifest: &Manifest, opening: &str) -> String {
    let mut lines = String::new();
    for table in &manifest.tables {
        let columns = if table.columns.is_empty() {
            String::new()
        } else {
            format!(" ({})", column_list(&table.columns))
        };
        let copy = format!("COPY {}{columns} FROM STDIN", quote_qualified(&table.schema, &table.name));
        for part in &table.parts {
            let _ = writeln!(
                lines,
                "aws s3 cp \"$FROM\"/{} -{opening} | zstd --decompress --stdout | psql -X -v ON_ERROR_STOP=1 -c {}",
                shell_quote(&part.key),
                shell_quote(&copy)
            );
        }
    }
    lines
}

fn sequences(manifest: &Manifest) -> String {
    let mut lines = String::new();
    for sequence in &manifest.sequences {
        let name = quote_literal(&quote_qualified(&sequence.schema, &sequence.name));
        let _ = writeln!(lines, "SELECT setval({name}, {}, {});", sequence.last_value, sequence.is_called);
    }
    lines
}

fn counts(manifest: &Manifest) -> String {
    let mut lines = String::new();
    for table in &manifest.tables {
        let name = table.qualified_name().replace('|', "\\|");
        let _ = writeln!(lines, "| {name} | {} | `{}` |", table.row_count, table.digest);
    }
    lines
}

fn unsupported(manifest: &Manifest) -> String {
    if manifest.unsupported.is_empty() {
        return "Nothing was left out.\n".to_owned();
    }
    manifest.unsupported.iter().fold(String::new(), |lines, missing| lines + "- " + missing + "\n")
}
