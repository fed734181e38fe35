//! A stream of bytes, in chunks that end anywhere, as whole records.

use memchr::{memchr, memchr2};

use super::FormatError;

/// Cuts a stream at its newlines. Each byte is looked at once; memory is that of the largest record.
pub(super) struct Records {
    /// Whether a newline between quotes belongs to its record.
    quoted: bool,
    inside_quotes: bool,
    unfinished: Vec<u8>,
    /// Records that were given out.
    count: u64,
}

impl Records {
    /// Records that end at every newline.
    pub(super) fn lines() -> Self {
        Self { quoted: false, inside_quotes: false, unfinished: Vec::new(), count: 0 }
    }

    /// Records that end at newlines outside of double quotes.
    pub(super) fn quoted() -> Self {
        Self { quoted: true, ..Self::lines() }
    }

    /// Gives each record that `chunk` completes to `take`, without its newline.
    ///
    /// # Errors
    /// What `take` says of a record.
    pub(super) fn update(
        &mut self,
        chunk: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), &'static str>,
    ) -> Result<(), FormatError> {
        let mut rest = chunk;
        while let Some(end) = self.end_in(rest) {
            self.count += 1;
            let row = self.count;
            let taken = if self.unfinished.is_empty() {
                take(&rest[..end])
            } else {
                self.unfinished.extend_from_slice(&rest[..end]);
                let taken = take(&self.unfinished);
                self.unfinished.clear();
                taken
            };
            taken.map_err(|reason| FormatError { row, reason })?;
            rest = &rest[end + 1..];
        }
        self.unfinished.extend_from_slice(rest);
        Ok(())
    }

    /// How many records came.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// Where it ended inside a record.
    pub(super) fn finish(&self) -> Result<(), FormatError> {
        if self.unfinished.is_empty() {
            Ok(())
        } else {
            Err(FormatError { row: self.count + 1, reason: "is not complete" })
        }
    }

    /// Where the current record ends in `bytes`, which follow what was looked at before.
    fn end_in(&mut self, bytes: &[u8]) -> Option<usize> {
        if !self.quoted {
            return memchr(b'\n', bytes);
        }
        let mut from = 0;
        while let Some(at) = memchr2(b'\n', b'"', &bytes[from..]) {
            match bytes[from + at] {
                // A quote inside quotes is doubled, which leaves and enters again.
                b'"' => self.inside_quotes = !self.inside_quotes,
                _ if !self.inside_quotes => return Some(from + at),
                _ => {}
            }
            from += at + 1;
        }
        None
    }
}
