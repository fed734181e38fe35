//! Names of chains and of their segments.

use std::fmt;
use std::str::FromStr;

use time::OffsetDateTime;

use crate::archive::names::{key_timestamp, parse_key_timestamp};

/// Where all chains lie in the bucket.
pub const CHANGES_PREFIX: &str = "v1/changes/";

/// One history of one database: `<utc time of its beginning>-<8 hex digits>`. Names sort by time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainId(String);

impl ChainId {
    /// A name for a chain that begins at `began_at`.
    pub fn new(began_at: OffsetDateTime, digits: u32) -> Self {
        Self(format!("{}-{digits:08x}", key_timestamp(began_at)))
    }

    /// When it began, to the second.
    pub fn began_at(&self) -> Option<OffsetDateTime> {
        self.0.split_once('-').and_then(|(timestamp, _)| parse_key_timestamp(timestamp))
    }

    /// The prefix of all its segments, with its final slash.
    pub fn folder(&self) -> String {
        format!("{CHANGES_PREFIX}{}/", self.0)
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ChainId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let well_formed = text
            .split_once('-')
            .is_some_and(|(timestamp, digits)| parse_key_timestamp(timestamp).is_some() && is_hex(digits));
        match well_formed {
            true => Ok(Self(text.to_owned())),
            false => {
                Err(format!("{text:?} is not the name of a chain; it looks like 20261121T020000Z-7f3a9c01"))
            }
        }
    }
}

/// One segment of a chain: `<chain>/<sequence>-<utc time>-<8 hex digits>`. The time is that of its snapshot, to the
/// second below; names sort by sequence within their chain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId {
    chain: ChainId,
    sequence: u64,
    taken_at: OffsetDateTime,
    digits: u32,
}

impl SegmentId {
    /// The name of segment `sequence` of `chain` whose snapshot was taken at `taken_at`.
    pub fn new(chain: ChainId, sequence: u64, taken_at: OffsetDateTime, digits: u32) -> Self {
        let taken_at = taken_at.replace_nanosecond(0).expect("zero is a nanosecond");
        Self { chain, sequence, taken_at, digits }
    }

    /// Its chain.
    pub fn chain(&self) -> &ChainId {
        &self.chain
    }

    /// Its place in the chain, from 0.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// When its snapshot was taken, to the second below.
    pub fn taken_at(&self) -> OffsetDateTime {
        self.taken_at
    }

    /// The bucket's key of one of its objects.
    pub fn key(&self, object: &str) -> String {
        format!("{CHANGES_PREFIX}{self}/{object}")
    }

    /// The prefix of all its objects, with its final slash.
    pub fn folder(&self) -> String {
        format!("{CHANGES_PREFIX}{self}/")
    }

    /// The prefix that every segment at `sequence` of `chain` has.
    pub fn prefix(chain: &ChainId, sequence: u64) -> String {
        format!("{}{sequence:010}-", chain.folder())
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { chain, sequence, taken_at, digits } = self;
        write!(f, "{chain}/{sequence:010}-{}-{digits:08x}", key_timestamp(*taken_at))
    }
}

impl FromStr for SegmentId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || {
            format!(
                "{text:?} is not the name of a segment; it looks like 20261121T020000Z-7f3a9c01/0000000042-20261121T053000Z-00c0ffee"
            )
        };
        let (chain, name) = text.split_once('/').ok_or_else(invalid)?;
        let chain = chain.parse().map_err(|_| invalid())?;
        let mut fields = name.splitn(3, '-');
        let (Some(sequence), Some(timestamp), Some(digits)) = (fields.next(), fields.next(), fields.next())
        else {
            return Err(invalid());
        };
        let plain = sequence.len() == 10 && sequence.bytes().all(|byte| byte.is_ascii_digit());
        let taken_at = parse_key_timestamp(timestamp).ok_or_else(invalid)?;
        if !plain || !is_hex(digits) {
            return Err(invalid());
        }
        let sequence = sequence.parse().map_err(|_| invalid())?;
        let digits = u32::from_str_radix(digits, 16).map_err(|_| invalid())?;
        Ok(Self { chain, sequence, taken_at, digits })
    }
}

fn is_hex(digits: &str) -> bool {
    digits.len() == 8 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_segments_name_reads_back_and_sorts_by_sequence() {
        let chain = ChainId::new(datetime!(2026-11-21 02:00:00 UTC), 0x7f3a);
        let of = |sequence| SegmentId::new(chain.clone(), sequence, datetime!(2026-11-21 05:30:07.9 UTC), 9);
        let id = of(42);
        assert_eq!(id.to_string(), "20261121T020000Z-00007f3a/0000000042-20261121T053007Z-00000009");
        assert_eq!(id.to_string().parse(), Ok(id.clone()));
        assert_eq!(id.taken_at(), datetime!(2026-11-21 05:30:07 UTC));
        assert!(id.key("manifest.json").starts_with(&SegmentId::prefix(&chain, 42)));
        assert!(of(9).to_string() < of(10).to_string());
        assert_eq!(chain.began_at(), Some(datetime!(2026-11-21 02:00:00 UTC)));
    }

    #[test]
    fn what_is_not_a_segments_name_is_refused() {
        for text in [
            "",
            "20261121T020000Z-00007f3a",
            "20261121T020000Z-00007f3a/42-20261121T053007Z-00000009",
            "20261121T020000Z-00007f3a/0000000042-20261121T053007Z-9",
            "20261121T020000Z-00007f3a/0000000042-20261121T053007Z-0000000G",
            "../20261121T020000Z-00007f3a/0000000042-20261121T053007Z-00000009",
        ] {
            assert!(text.parse::<SegmentId>().is_err(), "{text}");
        }
    }
}
