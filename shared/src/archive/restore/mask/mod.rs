//! Personal data, masked on its way into a copy that is for a rehearsal.
//!
//! Rows are masked between the bucket and the database, so that nothing of it is ever written there. A value always
//! becomes the same other value, whatever its table, so that joins and uniqueness hold; what it becomes follows from a
//! key that is made for the restore and dropped with it, so that nobody finds a value by trying. Null stays null.

mod changes;
mod json;
mod rule;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::mpsc;

pub(super) use changes::ChangeMasks;
pub(crate) use json::mask_json;
pub use rule::Rule;

use self::values::Masker;
use super::order::Masking;
use crate::archive::digest::{LineDigester, TableDigest};
use crate::archive::encode::Flow;
use crate::archive::error::ArchiveError;
use crate::archive::format::copy_text::for_each_field;
use crate::archive::manifest::{Column, Manifest, TableEntry};
use crate::archive::selection::near;

/// Which columns are masked, and how.
#[derive(Debug, Clone, Default)]
pub struct Masks {
    key: Vec<u8>,
    /// By schema and table, of all tables of the backup: the rule of each of its columns.
    rules: BTreeMap<(String, String), BTreeMap<String, Rule>>,
    /// `schema.table.column` and its rule, without those that are kept.
    columns: BTreeMap<String, Rule>,
}

/// How the rows of one table are masked.
pub(super) struct TableMasks {
    columns: Vec<Masker>,
}

impl Masks {
    /// Decides for each column of a backup: as the request says, else by its name and type.
    ///
    /// # Errors
    /// [`ArchiveError::InvalidRequest`] for a column that the backup does not have, and for a rule that does not fit.
    pub fn plan(masking: &Masking, manifest: &Manifest) -> Result<Self, ArchiveError> {
        let refused = |reason: String| ArchiveError::InvalidRequest(format!("mask personal data: {reason}"));
        let key = hex::decode(&masking.key).map_err(|_| refused("its key is not hex".to_owned()))?;
        let mut masks = Self { key, ..Self::default() };
        let mut known = BTreeSet::new();
        for table in &manifest.tables {
            let mut rules = BTreeMap::new();
            for column in &table.columns {
                let name = format!("{}.{}", table.qualified_name(), column.name);
                let rule = match masking.columns.get(&name) {
                    Some(rule) => {
                        let rule: Rule = rule.parse().map_err(refused)?;
                        rule.check(&column.data_type)
                            .map_err(|why| refused(format!("column {name}: {why}")))?;
                        rule
                    }
                    None => Rule::of(&table.schema, &table.name, &column.name, &column.data_type),
                };
                if rule != Rule::Keep {
                    masks.columns.insert(name.clone(), rule);
                }
                known.insert(name);
                rules.insert(column.name.clone(), rule);
            }
            masks.rules.insert((table.schema.clone(), table.name.clone()), rules);
        }
        match masking.columns.keys().find(|name| !known.contains(*name)) {
            None => Ok(masks),
            Some(unknown) => {
                let near = near(unknown, known.iter().map(String::as_str));
                let meant = if near.is_empty() {
                    String::new()
                } else {
                    format!("; did you mean {}?", near.join(" or "))
                };
                Err(refused(format!("backup {} has no column {unknown}{meant}", manifest.backup_id)))
            }
        }
    }

    /// How the rows of a table are masked; none where they are kept.
    pub(super) fn of(&self, table: &TableEntry) -> Option<TableMasks> {
        let rules = self.rules.get(&(table.schema.clone(), table.name.clone()))?;
        if rules.values().all(|rule| *rule == Rule::Keep) {
            return None;
        }
        let masker = |column: &Column| {
            let rule = rules.get(&column.name).copied().unwrap_or(Rule::Null);
            Masker::new(rule, &column.data_type, &self.key)
        };
        Some(TableMasks { columns: table.columns.iter().map(masker).collect() })
    }

    /// `schema.table.column` and its rule, of all that is masked.
    pub fn columns(&self) -> &BTreeMap<String, Rule> {
        &self.columns
    }
}

/// Masks rows as they come and hands them on; gives their digest. None where they were cut off. Blocks its thread.
pub(super) fn mask_rows(
    masks: &TableMasks,
    mut rows: mpsc::Receiver<Flow<Vec<u8>>>,
    masked: &mpsc::Sender<Flow<Vec<u8>>>,
) -> Option<TableDigest> {
    let mut lines = LineDigester::new(masks.columns.len());
    let mut unfinished = Vec::new();
    loop {
        match rows.blocking_recv()? {
            Flow::Chunk(batch) => {
                let end = batch.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                unfinished.extend_from_slice(&batch[..end]);
                let whole = std::mem::replace(&mut unfinished, batch[end..].to_vec());
                if end == 0 {
                    unfinished = [whole, unfinished].concat();
                    continue;
                }
                let out = masks.rows(&whole)?;
                lines.update(&out).ok()?;
                masked.blocking_send(Flow::Chunk(out)).ok()?;
            }
            Flow::End => {
                let digest = lines.finish().ok()?;
                masked.blocking_send(Flow::End).ok()?;
                return Some(digest);
            }
        }
    }
}

impl TableMasks {
    /// Whole lines of COPY text, masked.
    fn rows(&self, lines: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(lines.len());
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\n")?;
            for_each_field(line, self.columns.len(), |index, field| {
                if index > 0 {
                    out.push(b'\t');
                }
                self.columns[index].push(field, &mut out)
            })
            .ok()?;
            out.push(b'\n');
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masks(rules: &[(Rule, &str)]) -> TableMasks {
        TableMasks { columns: rules.iter().map(|(rule, of)| Masker::new(*rule, of, b"key")).collect() }
    }

    /// Rows in batches of any size come out whole, with the digest of what came out.
    #[test]
    fn rows_are_masked_however_they_are_cut() {
        let masks = masks(&[(Rule::Keep, "integer"), (Rule::Email, "text")]);
        let rows = b"1\tada@example.com\n2\t\\N\n3\tada@example.com\n".to_vec();
        let expected = masks.rows(&rows).expect("rows");
        for size in 1..rows.len() {
            let (rows_in, rows_out) = mpsc::channel(100);
            let (masked_in, mut masked_out) = mpsc::channel(100);
            for chunk in rows.chunks(size) {
                rows_in.blocking_send(Flow::Chunk(chunk.to_vec())).expect("room");
            }
            rows_in.blocking_send(Flow::End).expect("room");
            let digest = mask_rows(&masks, rows_out, &masked_in).expect("whole");
            let mut found = Vec::new();
            while let Some(Flow::Chunk(batch)) = masked_out.blocking_recv() {
                found.extend(batch);
            }
            assert_eq!((digest.rows, &found), (3, &expected), "chunks of {size}");
        }
        let text = String::from_utf8(expected).expect("text");
        let lines: Vec<&str> = text.lines().collect();
        assert!(!text.contains("ada") && lines[1] == "2\t\\N", "{text}");
        assert_eq!(lines[0][1..], lines[2][1..]);
    }
}
