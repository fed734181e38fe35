//! The digest of a table: a count and a sum that do not depend on the order of its rows.
//!
//! Each row is taken as the line that `COPY … TO STDOUT` writes for it under the session settings of
//! [`super::session`], without its newline. The XXH3-128 hashes (seed 0) of all lines are added modulo
//! 2^128. Two tables with the same rows have the same digest however their rows lie, and partial sums
//! of parts add up to the table's. It finds accidents, not forgers: the proof that stored bytes are
//! unchanged is the SHA-256 of each object in the manifest.

use std::fmt;
use std::io::BufRead;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use xxhash_rust::xxh3::xxh3_128;

/// Rows and their order-independent sum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableDigest {
    /// How many rows.
    pub rows: u64,
    /// The sum of the rows' hashes.
    pub sum: RowSum,
}

impl TableDigest {
    /// Adds one row: its COPY text line without the newline.
    pub fn add_line(&mut self, line: &[u8]) {
        self.rows += 1;
        self.sum.0 = self.sum.0.wrapping_add(xxh3_128(line));
    }

    /// Adds the rows of another part of the same table.
    pub fn add(&mut self, other: TableDigest) {
        self.rows += other.rows;
        self.sum.0 = self.sum.0.wrapping_add(other.sum.0);
    }
}

/// A sum of XXH3-128 hashes modulo 2^128, written as 32 hex digits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowSum(u128);

impl fmt::Display for RowSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Serialize for RowSum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RowSum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl FromStr for RowSum {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str = "a digest has 32 hex digits";
        if text.len() != 32 {
            return Err(SHAPE);
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| SHAPE)
    }
}

/// Digests a stream of COPY text whose chunks may end anywhere, and checks each line's shape.
pub struct LineDigester {
    columns: usize,
    digest: TableDigest,
    unfinished_line: Vec<u8>,
}

/// A line that is not a row of the table.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// A row with too many or too few columns.
    #[error("row {row} has {found} columns where the table has {expected}")]
    Columns {
        /// The row, counted from 1.
        row: u64,
        /// Columns in the line.
        found: usize,
        /// Columns in the table.
        expected: usize,
    },
    /// The stream ended inside a row.
    #[error("it ends inside row {row}")]
    Unfinished {
        /// The row, counted from 1.
        row: u64,
    },
}

impl LineDigester {
    /// A digester for rows of `columns` columns.
    pub fn new(columns: usize) -> Self {
        Self { columns, digest: TableDigest::default(), unfinished_line: Vec::new() }
    }

    /// Takes the next chunk.
    ///
    /// # Errors
    /// [`LineError::Columns`] for a line of the wrong shape.
    pub fn update(&mut self, chunk: &[u8]) -> Result<(), LineError> {
        let mut rest = chunk;
        if !self.unfinished_line.is_empty() {
            let line = take_line(&mut rest);
            self.unfinished_line.extend_from_slice(line);
            if self.unfinished_line.last() != Some(&b'\n') {
                return Ok(());
            }
            let line = std::mem::take(&mut self.unfinished_line);
            self.add(&line[..line.len() - 1])?;
        }
        while !rest.is_empty() {
            match take_line(&mut rest) {
                [line @ .., b'\n'] => self.add(line)?,
                unfinished => self.unfinished_line.extend_from_slice(unfinished),
            }
        }
        Ok(())
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// [`LineError::Unfinished`] where it ended inside a row.
    pub fn finish(self) -> Result<TableDigest, LineError> {
        if self.unfinished_line.is_empty() {
            Ok(self.digest)
        } else {
            Err(LineError::Unfinished { row: self.digest.rows + 1 })
        }
    }

    fn add(&mut self, line: &[u8]) -> Result<(), LineError> {
        // Inside a value COPY writes a tab as \t, so a raw one always parts two columns.
        let tabs = line.iter().filter(|byte| **byte == b'\t').count();
        let found = if self.columns == 0 && line.is_empty() { 0 } else { tabs + 1 };
        if found != self.columns {
            return Err(LineError::Columns { row: self.digest.rows + 1, found, expected: self.columns });
        }
        self.digest.add_line(line);
        Ok(())
    }
}

/// Takes the next line with its newline, or what there is of it. Inside a value COPY writes a newline as
/// `\n`, so a raw one always ends a row.
fn take_line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let all = *rest;
    let length = rest.skip_until(b'\n').expect("reading from memory does not fail");
    &all[..length]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(columns: usize, chunks: &[&str]) -> Result<TableDigest, LineError> {
        let mut digester = LineDigester::new(columns);
        for chunk in chunks {
            digester.update(chunk.as_bytes())?;
        }
        digester.finish()
    }

    #[test]
    fn order_and_chunks_do_not_matter_and_content_does() {
        let whole = digest(2, &["1\ta\n2\tb\n"]).expect("rows");
        assert_eq!(whole.rows, 2);
        assert_eq!(digest(2, &["2\tb\n", "1\ta\n"]), Ok(whole));
        assert_eq!(digest(2, &["1", "\t", "a\n2\tb", "\n"]), Ok(whole));
        assert_ne!(digest(2, &["1\ta\n2\tc\n"]), Ok(whole));
        assert_ne!(digest(2, &["1\ta\n1\ta\n2\tb\n"]), Ok(whole));
    }

    #[test]
    fn the_sum_is_the_documented_one() {
        let one = digest(1, &["recoup\n"]).expect("row");
        assert_eq!(one.sum.to_string(), format!("{:032x}", xxh3_128(b"recoup")));
        let mut twice = one;
        twice.add(one);
        assert_eq!(twice.sum.to_string(), format!("{:032x}", xxh3_128(b"recoup").wrapping_mul(2)));
        let json = serde_json::to_string(&one.sum).expect("json");
        assert_eq!(serde_json::from_str::<RowSum>(&json).expect("read"), one.sum);
        assert!(serde_json::from_str::<RowSum>("\"12\"").is_err());
    }

    #[test]
    fn rows_of_another_shape_are_found() {
        assert_eq!(digest(2, &["1\ta\n2\n"]), Err(LineError::Columns { row: 2, found: 1, expected: 2 }));
        assert_eq!(digest(1, &["1\n2"]), Err(LineError::Unfinished { row: 2 }));
        assert_eq!(digest(0, &["\n\n"]).expect("a table without columns").rows, 2);
        assert_eq!(digest(1, &["\n"]).expect("an empty text").rows, 1);
    }
}
