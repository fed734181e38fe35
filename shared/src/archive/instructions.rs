//! `RESTORE.md`: how a person gets the database back with `aws`, `age`, `zstd` and `psql`.

use std::fmt::Write as _;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::format::TableFormat;
use super::manifest::{Manifest, TableEntry};
use super::names::BACKUPS_PREFIX;
use super::plan::column_list;
use super::restore::locale;
use super::session::{quote_ident, quote_literal, quote_qualified};

/// Writes the instructions for one backup. They name every object, so that nothing has to be worked out.
pub fn instructions(manifest: &Manifest) -> String {
    let load = load(manifest);
    let fence = fence(&load);
    fill(include_str!("RESTORE.md"), |name| match name {
        "backup_id" => manifest.backup_id.clone(),
        "folder" => format!("{BACKUPS_PREFIX}{}", manifest.backup_id),
        "holds" => holds(manifest),
        "postgres_version" => (manifest.postgres_version / 10_000).to_string(),
        "bytes" => size(manifest),
        "programs" => pick(manifest, "`age`, `zstd` and `psql`,", "`zstd` and `psql`,"),
        "recipients" => recipients(manifest),
        "key_file" => pick(manifest, " that has the identity in a file `backup-key.txt`", ""),
        "key" => pick(manifest, "export KEY=backup-key.txt\n", ""),
        "sums" => sums(manifest),
        "create_database" => create_database(manifest),
        "open_schema" => {
            let open =
                format!("age --decrypt --identity \"$KEY\" {} > schema.sql\n", manifest.schema.object.key);
            pick(manifest, &open, "")
        }
        "about_rows" => about_rows(manifest.table_format).to_owned(),
        "fence" => fence.clone(),
        "load" => load.clone(),
        "sequences" => sequences(manifest),
        "counts" => counts(manifest),
        "open_erasures" => pick(manifest, OPEN_ERASURES, ""),
        "erase" => erase(manifest),
        "unsupported" => unsupported(manifest),
        other => unreachable!("RESTORE.md has no {other}"),
    })
}

/// Puts a value for each `{{name}}`. What is put in is not looked at again: a table may be called `{{counts}}`.
fn fill(template: &str, value: impl Fn(&str) -> String) -> String {
    let mut pieces = template.split("{{");
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, after) = piece.split_once("}}").expect("RESTORE.md closes each name");
        text.push_str(&value(name));
        text.push_str(after);
    }
    text
}

/// A fence that no line of `block` ends: a name may hold newlines and backticks.
fn fence(block: &str) -> String {
    let longest = block.split(|letter| letter != '`').map(str::len).max().unwrap_or_default();
    "`".repeat(3.max(longest + 1))
}

/// One of two texts: for an encrypted backup, for a plain one.
fn pick(manifest: &Manifest, encrypted: &str, plain: &str) -> String {
    if manifest.encryption.method == "none" { plain } else { encrypted }.to_owned()
}

fn size(manifest: &Manifest) -> String {
    let bytes: u64 = manifest.objects().map(|(_, bytes)| bytes).sum();
    format!("its {} MB", bytes.div_ceil(1_000_000))
}

fn holds(manifest: &Manifest) -> String {
    let taken_at = manifest.snapshot.taken_at.format(&Rfc3339);
    let taken_at = taken_at.expect("the server's clock shows a year of four digits");
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
        return "The objects are not encrypted, and no key is needed.".to_owned();
    }
    let keys = manifest.encryption.recipients.iter().map(|key| format!("`{key}`"));
    format!(
        "The data and the definitions are encrypted with age to {}. The identity (`AGE-SECRET-KEY-1…`) of one of these is\nneeded, alone on a line in a file.",
        keys.collect::<Vec<_>>().join(", ")
    )
}

/// What `sha256sum --check` reads: every object but this page and the manifest.
fn sums(manifest: &Manifest) -> String {
    let documents = [&manifest.schema.object, &manifest.summary].map(|object| (&object.sha256, &object.key));
    let parts = manifest.tables.iter().flat_map(|table| &table.parts).map(|part| (&part.sha256, &part.key));
    documents.into_iter().chain(parts).fold(String::new(), |mut lines, (sha256, key)| {
        let _ = writeln!(lines, "{sha256}  {key}");
        lines
    })
}

fn create_database(manifest: &Manifest) -> String {
    let database = &manifest.database;
    format!("TEMPLATE template0 ENCODING {}{}", quote_literal(&database.encoding), locale(database))
}

const OPEN_ERASURES: &str = "for record in erasures/*.age; do
    [ ! -e \"$record\" ] || age --decrypt --identity \"$KEY\" --output \"${record%.age}\" \"$record\"
done
";

/// What takes an erased person's data from each of our tables that the backup has.
fn erase(manifest: &Manifest) -> String {
    let has = |name: &str| manifest.tables.iter().any(|table| table.schema == "recoup" && table.name == name);
    [
        ("customers", include_str!("sql/erase_customers.sql")),
        ("webhook_events", include_str!("sql/erase_events.sql")),
        ("audit_log", include_str!("sql/erase_audit_log.sql")),
    ]
    .into_iter()
    .filter_map(|(table, sql)| has(table).then_some(sql))
    .collect()
}

/// Text as one word of a POSIX shell.
fn shell_quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn about_rows(format: TableFormat) -> &'static str {
    match format {
        TableFormat::Copy => "They are Postgres' COPY text.",
        TableFormat::Csv => "They are CSV with a header.",
        TableFormat::Json => {
            "They are JSON, one object a line. psql takes the lines into a temporary table, and Postgres reads each value as the\ntext of its column's type."
        }
    }
}

fn load(manifest: &Manifest) -> String {
    let open = pick(
        manifest,
        "age --decrypt --identity \"$KEY\" \"$1\" | zstd --decompress --stdout",
        "zstd --decompress --stdout \"$1\"",
    );
    let mut lines = format!("rows() {{ {open}; }}\n");
    lines.push_str("into() { psql -X -q -v ON_ERROR_STOP=1 \"$@\"; }\n");
    if manifest.table_format == TableFormat::Json {
        // Neither character is in JSON, so each line is one field, taken as it is.
        lines.push_str("NEW=\"CREATE TEMPORARY TABLE json_lines (line json)\"\n");
        lines.push_str(
            "TAKE=\"COPY json_lines FROM STDIN WITH (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')\"\n",
        );
    }
    for table in &manifest.tables {
        let into = match manifest.table_format {
            TableFormat::Copy => format!("-c {}", shell_quote(&format!("COPY {} FROM STDIN", target(table)))),
            TableFormat::Csv => {
                let copy = format!("COPY {} FROM STDIN WITH (FORMAT csv, HEADER)", target(table));
                format!("-c {}", shell_quote(&copy))
            }
            TableFormat::Json => format!("-c \"$NEW\" -c \"$TAKE\" -c {}", shell_quote(&insert(table))),
        };
        for part in &table.parts {
            let _ = writeln!(lines, "rows {} | into {into}", shell_quote(&part.key));
        }
    }
    lines
}

/// The table with the columns that are stored; without, if there are none.
fn target(table: &TableEntry) -> String {
    let name = quote_qualified(&table.schema, &table.name);
    if table.columns.is_empty() { name } else { format!("{name} ({})", column_list(&table.columns)) }
}

/// Fills a table from `json_lines`. Each value becomes text first: `json_populate_record` would make a JSON text of a
/// string that is the text of a `json` or of a domain over one.
fn insert(table: &TableEntry) -> String {
    let target = target(table);
    if table.columns.is_empty() {
        return format!("INSERT INTO {target} SELECT FROM pg_temp.json_lines");
    }
    let name = |column: usize| quote_ident(&table.columns[column].name);
    let columns = 0..table.columns.len();
    let values: Vec<_> = columns
        .clone()
        .map(|column| format!("r.{}::{}", name(column), table.columns[column].data_type))
        .collect();
    let texts: Vec<_> = columns.map(|column| format!("{} text", name(column))).collect();
    // An identity column that is always generated takes the stored value only when it is told to.
    format!(
        "INSERT INTO {target} OVERRIDING SYSTEM VALUE SELECT {} FROM pg_temp.json_lines, json_to_record(json_lines.line) AS r ({})",
        values.join(", "),
        texts.join(", ")
    )
}

fn sequences(manifest: &Manifest) -> String {
    let mut lines = String::new();
    for sequence in &manifest.sequences {
        let name = quote_literal(&quote_qualified(&sequence.schema, &sequence.name));
        let _ = writeln!(lines, "SELECT setval({name}, {}, {});", sequence.last_value, sequence.is_called);
    }
    lines
}

/// Text on one line of Markdown.
fn on_one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

fn counts(manifest: &Manifest) -> String {
    let mut lines = String::new();
    for table in &manifest.tables {
        let name = on_one_line(&table.qualified_name()).replace('|', "\\|");
        let _ = writeln!(lines, "| {name} | {} | `{}` |", table.row_count, table.digest);
    }
    lines
}

fn unsupported(manifest: &Manifest) -> String {
    if manifest.unsupported.is_empty() {
        return "Nothing was left out.\n".to_owned();
    }
    manifest
        .unsupported
        .iter()
        .fold(String::new(), |lines, missing| lines + "- " + &on_one_line(missing) + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_in_is_not_filled_again() {
        let value = |name: &str| format!("<{name} {{{{other}}}}>");
        assert_eq!(fill("a {{one}} b", value), "a <one {{other}}> b");
    }

    #[test]
    fn no_name_ends_its_block() {
        assert_eq!(fence("COPY \"plain\""), "```");
        assert_eq!(fence("COPY \"a\n````\nb\" `"), "`````");
    }
}
