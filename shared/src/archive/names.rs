//! Names: of a backup, of its folder, and of the objects in it.

use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

/// Where all backups lie in the bucket.
pub const BACKUPS_PREFIX: &str = "v1/backups/";

const TIMESTAMP: &[BorrowedFormatItem<'static>] =
    format_description!("[year][month][day]T[hour][minute][second]Z");

/// What may stand unescaped in a key: everything else is percent-encoded, the dot too, since it parts
/// schema from table.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-');

/// A path component is at most 255 bytes on every file system that a bucket may be copied to.
const COMPONENT_BYTES_MAX: usize = 200;

/// A UTC time to the second, as it stands in keys.
pub fn key_timestamp(time: OffsetDateTime) -> String {
    time.to_offset(time::UtcOffset::UTC).format(TIMESTAMP).expect("a UTC time has all fields of this format")
}

/// Reads a time that [`key_timestamp`] wrote.
pub fn parse_key_timestamp(text: &str) -> Option<OffsetDateTime> {
    PrimitiveDateTime::parse(text, TIMESTAMP).ok().map(PrimitiveDateTime::assume_utc)
}

/// The name of a backup and of its folder: `<utc time>-<type>-<8 hex digits>`, for example
/// `20261121T020000Z-full-7f3a9c01`. Names sort by time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BackupId {
    text: String,
    created_at: OffsetDateTime,
}

impl BackupId {
    /// A name for a backup of `backup_type` that begins at `created_at`; `digits` tell two apart that
    /// begin in the same second.
    pub fn new(created_at: OffsetDateTime, backup_type: &str, digits: u32) -> Self {
        let text = format!("{}-{backup_type}-{digits:08x}", key_timestamp(created_at));
        let created_at = created_at.replace_nanosecond(0).expect("zero is a nanosecond");
        Self { text, created_at }
    }

    /// When the backup began, to the second.
    pub fn created_at(&self) -> OffsetDateTime {
        self.created_at
    }

    /// `full`, or a later kind.
    pub fn backup_type(&self) -> &str {
        self.text.split('-').nth(1).unwrap_or_default()
    }

    /// What tells it from others of its second and type.
    pub fn digits(&self) -> u32 {
        self.text
            .rsplit('-')
            .next()
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .unwrap_or_default()
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The prefix of all its objects, with its final slash.
    pub fn folder(&self) -> String {
        format!("{BACKUPS_PREFIX}{}/", self.text)
    }

    /// The bucket's key of an object of this backup.
    pub fn key(&self, object: &str) -> String {
        format!("{BACKUPS_PREFIX}{}/{object}", self.text)
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for BackupId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || {
            format!(
                "backup_id {text:?} is not a backup's name; it looks like 20261121T020000Z-full-7f3a9c01, or is \"latest\", or \"latest-payments\" and so on for another kind"
            )
        };
        let mut fields = text.splitn(3, '-');
        let (Some(timestamp), Some(kind), Some(random)) = (fields.next(), fields.next(), fields.next())
        else {
            return Err(invalid());
        };
        let created_at = parse_key_timestamp(timestamp).ok_or_else(invalid)?;
        let well_formed = !kind.is_empty()
            && kind.bytes().all(|byte| byte.is_ascii_lowercase())
            && random.len() == 8
            && random.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if well_formed { Ok(Self { text: text.to_owned(), created_at }) } else { Err(invalid()) }
    }
}

/// Text as it may stand in a key.
pub fn encode_component(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// The folder of a table's parts: `<schema>.<table>`, both percent-encoded. A name that would be too
/// long for a file system is cut and ends in a digest of the whole, so that it stays unique.
pub fn table_folder(schema: &str, table: &str) -> String {
    let name = format!("{}.{}", encode_component(schema), encode_component(table));
    if name.len() <= COMPONENT_BYTES_MAX {
        return name;
    }
    let digest = hex::encode(Sha256::digest(name.as_bytes()));
    format!("{}~{}", &name[..COMPONENT_BYTES_MAX - 17], &digest[..16])
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_name_holds_time_and_type_and_reads_back() {
        let id = BackupId::new(datetime!(2026-11-21 02:00:07.5 UTC), "full", 0x7f3a);
        assert_eq!(id.as_str(), "20261121T020007Z-full-00007f3a");
        let read: BackupId = id.as_str().parse().expect("its own text");
        assert_eq!(read, id);
        assert_eq!(read.backup_type(), "full");
        assert_eq!(read.digits(), 0x7f3a);
        assert_eq!(read.created_at(), datetime!(2026-11-21 02:00:07 UTC));
        assert_eq!(read.key("manifest.json"), "v1/backups/20261121T020007Z-full-00007f3a/manifest.json");
    }

    #[test]
    fn what_is_not_a_name_is_refused() {
        for text in [
            "",
            "latest",
            "../../etc",
            "20261121T020007Z-full-00007f3",
            "20261121T020007Z-full-00007F3A",
            "20261321T020007Z-full-00007f3a",
            "20261121T020007Z-fu/ll-00007f3a",
            "20261121T020007Z--00007f3a",
        ] {
            assert!(text.parse::<BackupId>().is_err(), "{text}");
        }
    }

    #[test]
    fn table_folders_are_plain_unique_and_short() {
        assert_eq!(table_folder("recoup", "order_items"), "recoup.order_items");
        assert_eq!(table_folder("a.b", "c"), "a%2Eb.c");
        assert_eq!(table_folder("a", "b.c"), "a.b%2Ec");
        assert_eq!(table_folder("p", "Größe/../x"), "p.Gr%C3%B6%C3%9Fe%2F%2E%2E%2Fx");
        let long = "ü".repeat(31);
        let (one, two) = (table_folder(&long, &long), table_folder(&long, &format!("{long}x")));
        assert!(one.len() <= COMPONENT_BYTES_MAX && two.len() <= COMPONENT_BYTES_MAX);
        assert_ne!(one, two);
    }
}
