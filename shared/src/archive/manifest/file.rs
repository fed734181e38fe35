//! The manifest as a file: written so that any changed byte of it is found, and read only where none is.

use serde::Deserialize;

use super::{FORMAT_VERSION, FORMAT_VERSION_OLDEST, MANIFEST, Manifest, self_proof};
use crate::archive::digest::TableDigest;
use crate::archive::error::{ArchiveError, Damage};
use crate::archive::names::BackupId;

impl Manifest {
    /// The file's bytes, with `content_sha256` filled in.
    pub fn to_bytes(&self) -> Vec<u8> {
        self_proof::to_bytes(&Self { content_sha256: self_proof::zeros(), ..self.clone() })
    }

    /// Reads the file of backup `id` and proves it whole.
    ///
    /// # Errors
    /// [`ArchiveError::BackupDamaged`] naming `manifest.json` where a byte differs or a statement in it
    /// contradicts another; [`ArchiveError::FormatUnknown`] for a later format.
    pub fn from_bytes(id: &BackupId, bytes: &[u8]) -> Result<Self, ArchiveError> {
        let damaged = |reason: String| ArchiveError::BackupDamaged {
            backup_id: id.to_string(),
            damage: vec![Damage::new(MANIFEST, reason)],
        };
        self_proof::prove_whole(bytes).map_err(|reason| damaged(reason.to_owned()))?;
        #[derive(Deserialize)]
        struct Version {
            format_version: u64,
        }
        let Version { format_version: version } = serde_json::from_slice(bytes)
            .map_err(|error| damaged(format!("it is not a manifest: {error}")))?;
        if !(u64::from(FORMAT_VERSION_OLDEST)..=u64::from(FORMAT_VERSION)).contains(&version) {
            let backup_id = id.to_string();
            return Err(ArchiveError::FormatUnknown { backup_id, version, known: FORMAT_VERSION });
        }
        let manifest: Self = serde_json::from_slice(bytes)
            .map_err(|error| damaged(format!("it is not a manifest: {error}")))?;
        manifest.prove_coherent(id).map_err(damaged)?;
        Ok(manifest)
    }

    fn prove_coherent(&self, id: &BackupId) -> Result<(), String> {
        if self.backup_id != id.as_str() {
            return Err(format!("it belongs to backup {}", self.backup_id));
        }
        if self.partial != self.window().is_some() {
            return Err("it says that it is partial and has no window, or the other way round".to_owned());
        }
        if self.backup_type != id.backup_type() {
            return Err(format!("it is of type {} under the name of another", self.backup_type));
        }
        if self.totals != self.sum_totals() {
            return Err("its totals are not the sums of its entries".to_owned());
        }
        for table in &self.tables {
            let mut sum = TableDigest::default();
            table.parts.iter().for_each(|part| sum.add(part.table_digest()));
            if sum != table.table_digest() {
                return Err(format!("the parts of table {} do not add up to it", table.qualified_name()));
            }
        }
        let mut keys: Vec<_> = self.objects().map(|(key, _)| key).collect();
        keys.sort_unstable();
        if keys.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("it names an object twice".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::digest::RowSum;
    use crate::archive::format::TableFormat;
    use crate::archive::manifest::{
        Column, DatabaseTraits, Encryption, PartEntry, SchemaEntry, Snapshot, StoredObject, TableEntry,
        Totals,
    };
    use crate::archive::store::CompositeSha256;
    use time::macros::datetime;

    fn object(key: &str) -> StoredObject {
        StoredObject { key: key.to_owned(), bytes_raw: 3, bytes_stored: 5, sha256: "00".repeat(32) }
    }

    fn manifest() -> Manifest {
        let at = datetime!(2026-11-21 02:00:00 UTC);
        let mut digest = TableDigest::default();
        digest.add_line(b"1");
        let part = PartEntry {
            key: "data/public.t/00000.copy.zst.age".to_owned(),
            rows: digest.rows,
            digest: digest.sum,
            bytes_raw: 2,
            bytes_stored: 300,
            sha256: "11".repeat(32),
            composite_sha256: Some(CompositeSha256::of([[1; 32], [2; 32]])),
        };
        let mut manifest = Manifest {
            format_version: FORMAT_VERSION,
            backup_id: "20261121T020000Z-full-7f3a9c01".to_owned(),
            backup_type: "full".to_owned(),
            partial: false,
            label: None,
            recoup_version: "0.1.0".to_owned(),
            postgres_version: 150_018,
            database: DatabaseTraits {
                name: "shop".to_owned(),
                encoding: "UTF8".to_owned(),
                locale_provider: "libc".to_owned(),
                collate: "C".to_owned(),
                ctype: "C".to_owned(),
                locale: None,
                icu_rules: None,
            },
            schemas: Vec::new(),
            selection: None,
            snapshot: Snapshot {
                id: "1-1".to_owned(),
                transactions: "1:1:".to_owned(),
                lsn: None,
                taken_at: at,
            },
            changes: None,
            started_at: at,
            finished_at: at,
            expires_at: at,
            table_format: TableFormat::Copy,
            compression: "zstd".to_owned(),
            encryption: Encryption { method: "none".to_owned(), recipients: Vec::new() },
            schema: SchemaEntry { object: object("schema.sql"), statements: Vec::new() },
            instructions: object("RESTORE.md"),
            summary: object("summary/x"),
            tables: vec![TableEntry {
                schema: "public".to_owned(),
                name: "t".to_owned(),
                columns: vec![Column { name: "a".to_owned(), data_type: "integer".to_owned() }],
                row_count: digest.rows,
                digest: digest.sum,
                parts: vec![part],
            }],
            sequences: Vec::new(),
            unsupported: Vec::new(),
            totals: Totals::default(),
            content_sha256: String::new(),
        };
        manifest.totals = manifest.sum_totals();
        manifest
    }

    fn read(bytes: &[u8]) -> Result<Manifest, ArchiveError> {
        Manifest::from_bytes(&"20261121T020000Z-full-7f3a9c01".parse().expect("an id"), bytes)
    }

    #[test]
    fn a_manifest_reads_back_and_any_changed_byte_of_it_is_found() {
        let bytes = manifest().to_bytes();
        let back = read(&bytes).expect("whole");
        assert_eq!(Manifest { content_sha256: String::new(), ..back }, manifest());
        for position in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[position] ^= 1;
            let error = read(&damaged).expect_err("damaged");
            assert_eq!(error.error_type(), "BackupDamaged", "byte {position}");
            assert!(read(&bytes[..position]).is_err(), "cut at {position}");
        }
        assert!(read(&[&bytes[..], b"\n"].concat()).is_err());
    }

    #[test]
    fn statements_that_contradict_each_other_are_found() {
        let changes: [fn(&mut Manifest); 7] = [
            |manifest| manifest.backup_id = "20261121T020000Z-full-00000000".to_owned(),
            |manifest| manifest.backup_type = "payments".to_owned(),
            |manifest| manifest.partial = true,
            |manifest| manifest.totals.rows += 1,
            |manifest| manifest.tables[0].row_count += 1,
            |manifest| manifest.tables[0].parts[0].digest = RowSum::default(),
            |manifest| manifest.instructions.key = manifest.summary.key.clone(),
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let mut changed = manifest();
            change(&mut changed);
            let error = read(&changed.to_bytes()).expect_err("contradiction");
            assert_eq!(error.error_type(), "BackupDamaged", "change {index}");
        }
    }

    #[test]
    fn a_later_format_is_named_and_not_guessed_at() {
        let later = Manifest { format_version: 3, ..manifest() };
        let error = read(&later.to_bytes()).expect_err("later");
        assert_eq!(error.error_type(), "BackupFormatUnknown");
        assert!(error.to_string().contains("version 3"), "{error}");
    }

    #[test]
    fn a_manifest_of_the_first_format_says_nothing_of_pieces_and_is_read() {
        let mut first = Manifest { format_version: 1, ..manifest() };
        first.tables[0].parts[0].composite_sha256 = None;
        let bytes = first.to_bytes();
        assert!(!String::from_utf8_lossy(&bytes).contains("composite_sha256"));
        assert_eq!(Manifest { content_sha256: String::new(), ..read(&bytes).expect("read") }, first);
    }
}
