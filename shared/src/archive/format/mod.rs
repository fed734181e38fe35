//! The formats in which rows are stored. Postgres always sends COPY text, and the digest of a table is taken over
//! those lines, so that it is the same whatever the format. A codec turns lines into the stored text on the way
//! in, and back into the very same lines for verify and restore.
//!
//! - `copy`: the lines as they are.
//! - `csv`: what `COPY … WITH (FORMAT csv, HEADER)` writes and reads (`csv`).
//! - `json`: one object a line (`json`).

pub(crate) mod copy_text;
mod csv;
mod json;
mod records;

use serde::{Deserialize, Serialize};

use super::manifest::Column;
use csv::{CsvDecoder, CsvEncoder};
use json::{JsonDecoder, JsonEncoder};

/// How rows are stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TableFormat {
    /// Postgres' COPY text: the fastest.
    #[default]
    Copy,
    /// Comma-separated values with a header, for spreadsheets and other databases.
    Csv,
    /// One JSON object a line, keyed by column.
    Json,
}

impl TableFormat {
    /// The end of a part's key, before those of compression and encryption.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Csv => "csv",
            Self::Json => "json",
        }
    }

    /// Begins the stored text of one part.
    pub fn encoder(self, columns: &[Column]) -> RowEncoder {
        RowEncoder {
            codec: match self {
                Self::Copy => Encoder::Copy,
                Self::Csv => Encoder::Csv(CsvEncoder::new(columns)),
                Self::Json => Encoder::Json(JsonEncoder::new(columns)),
            },
            text: Vec::new(),
        }
    }

    /// Begins to read one part.
    pub fn decoder(self, columns: &[Column]) -> RowDecoder {
        RowDecoder {
            columns: columns.len(),
            codec: match self {
                Self::Copy => Decoder::Copy,
                Self::Csv => Decoder::Csv(CsvDecoder::new(columns)),
                Self::Json => Decoder::Json(JsonDecoder::new(columns)),
            },
        }
    }
}

/// A row that a format cannot carry, or that is not of that format. It never shows the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("row {row} {reason}")]
pub struct FormatError {
    /// The row, counted from 1; a header is one.
    row: u64,
    reason: &'static str,
}

/// Lines of COPY text to stored text.
pub struct RowEncoder {
    codec: Encoder,
    /// What the last call returned, to be written over by the next.
    text: Vec<u8>,
}

enum Encoder {
    Copy,
    Csv(CsvEncoder),
    Json(JsonEncoder),
}

impl RowEncoder {
    /// What stands before the first row, also where there is none.
    pub fn header(&self) -> &[u8] {
        match &self.codec {
            Encoder::Csv(csv) => csv.header(),
            Encoder::Copy | Encoder::Json(_) => &[],
        }
    }

    /// Takes the next lines; they may end anywhere.
    ///
    /// # Errors
    /// [`FormatError`] for what Postgres would not have written.
    pub fn encode<'a>(&'a mut self, lines: &'a [u8]) -> Result<&'a [u8], FormatError> {
        self.text.clear();
        match &mut self.codec {
            Encoder::Copy => return Ok(lines),
            Encoder::Csv(csv) => csv.encode(lines, &mut self.text)?,
            Encoder::Json(json) => json.encode(lines, &mut self.text)?,
        }
        Ok(&self.text)
    }
}

/// Stored text to lines of COPY text.
pub struct RowDecoder {
    columns: usize,
    codec: Decoder,
}

enum Decoder {
    Copy,
    Csv(CsvDecoder),
    Json(JsonDecoder),
}

impl RowDecoder {
    /// How many columns each line has.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Takes the next text, which may end anywhere, and gives the lines that are complete.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn decode(&mut self, text: Vec<u8>) -> Result<Vec<u8>, FormatError> {
        let mut lines = match self.codec {
            Decoder::Copy => return Ok(text),
            Decoder::Csv(_) | Decoder::Json(_) => Vec::with_capacity(text.len()),
        };
        match &mut self.codec {
            Decoder::Copy => {}
            Decoder::Csv(csv) => csv.decode(&text, &mut lines)?,
            Decoder::Json(json) => json.decode(&text, &mut lines)?,
        }
        Ok(lines)
    }

    /// Ends the text.
    ///
    /// # Errors
    /// [`FormatError`] where it ended inside a row.
    pub fn finish(&self) -> Result<(), FormatError> {
        match &self.codec {
            Decoder::Copy => Ok(()),
            Decoder::Csv(csv) => csv.finish(),
            Decoder::Json(json) => json.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TYPES: [&str; 6] = ["text", "boolean", "numeric(10,2)", "double precision", "jsonb", "bytea"];

    /// A table with columns of these types, and names that each format has to quote.
    fn columns(types: &[&str]) -> Vec<Column> {
        let named = |(index, data_type): (usize, &&str)| Column {
            name: format!("c{index} \"a,b\\\n\t\u{1}ü\""),
            data_type: (*data_type).to_owned(),
        };
        types.iter().enumerate().map(named).collect()
    }

    /// A field as `CopyAttributeOutText` writes it.
    fn copy_field(value: Option<&[u8]>, line: &mut Vec<u8>) {
        let Some(value) = value else { return line.extend_from_slice(b"\\N") };
        for byte in value {
            match byte {
                b'\\' => line.extend_from_slice(b"\\\\"),
                8 => line.extend_from_slice(b"\\b"),
                9 => line.extend_from_slice(b"\\t"),
                10 => line.extend_from_slice(b"\\n"),
                11 => line.extend_from_slice(b"\\v"),
                12 => line.extend_from_slice(b"\\f"),
                13 => line.extend_from_slice(b"\\r"),
                byte => line.push(*byte),
            }
        }
    }

    fn copy_text(rows: &[Vec<Option<Vec<u8>>>]) -> Vec<u8> {
        let mut text = Vec::new();
        for row in rows {
            for (index, value) in row.iter().enumerate() {
                if index > 0 {
                    text.push(b'\t');
                }
                copy_field(value.as_deref(), &mut text);
            }
            text.push(b'\n');
        }
        text
    }

    /// Encodes and decodes in chunks of the given sizes.
    fn round_trip(
        format: TableFormat,
        columns: &[Column],
        lines: &[u8],
        chunks: (usize, usize),
    ) -> (Vec<u8>, Result<Vec<u8>, FormatError>) {
        let mut encoder = format.encoder(columns);
        let mut stored = encoder.header().to_vec();
        for chunk in lines.chunks(chunks.0) {
            stored.extend_from_slice(encoder.encode(chunk).expect("lines of COPY text"));
        }
        let mut decoder = format.decoder(columns);
        let mut back = Vec::new();
        for chunk in stored.chunks(chunks.1) {
            match decoder.decode(chunk.to_vec()) {
                Ok(lines) => back.extend(lines),
                Err(error) => return (stored, Err(error)),
            }
        }
        (stored, decoder.finish().map(|()| back))
    }

    fn value(data_type: &'static str) -> BoxedStrategy<Option<Vec<u8>>> {
        // Any bytes but the one that Postgres has in no text; some that a format could take for its own.
        let any = proptest::collection::vec(1..=255_u8, 0..12);
        let telling = prop::sample::select(
            &[
                "",
                "\\N",
                "\\.",
                "a\n\\.\nb",
                "\r\n\\.",
                "null",
                "NaN",
                "\"",
                "\"\"",
                ",",
                "\n",
                "{",
                "[1]",
                "é\u{2028}",
            ][..],
        );
        let common = prop_oneof![any, telling.prop_map(|text| text.as_bytes().to_vec())];
        let own = match data_type {
            "boolean" => prop::sample::select(&["t", "f"][..]).prop_map(str::to_owned).boxed(),
            "jsonb" => {
                let documents = [
                    r#"{"a": [1, 2.50, {"b": "}\"]\\"}], "c": null}"#,
                    "[]",
                    "{}",
                    "null",
                    r#""nu\nll""#,
                    "1.10",
                    r#"["\\", "a\tb", "\""]"#,
                ];
                prop::sample::select(documents.to_vec()).prop_map(str::to_owned).boxed()
            }
            "text" | "bytea" => "\\PC{0,8}".boxed(),
            _ => "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,9})?(e[+-][0-9]{2})?|NaN|-Infinity".boxed(),
        };
        let own = own.prop_map(String::into_bytes);
        match data_type {
            // No other text is a boolean.
            "boolean" => prop::option::of(own).boxed(),
            _ => prop::option::of(prop_oneof![3 => own, 1 => common]).boxed(),
        }
    }

    fn rows() -> impl Strategy<Value = Vec<Vec<Option<Vec<u8>>>>> {
        let row: Vec<_> = TYPES.into_iter().map(value).collect();
        proptest::collection::vec(row, 0..6)
    }

    proptest! {
        #[test]
        fn every_line_comes_back_to_the_byte(rows in rows(), one in 1..40_usize, other in 1..40_usize) {
            let columns = columns(&TYPES);
            let lines = copy_text(&rows);
            for format in [TableFormat::Copy, TableFormat::Csv, TableFormat::Json] {
                let (stored, back) = round_trip(format, &columns, &lines, (one, other));
                prop_assert_eq!(back.as_deref(), Ok(&lines[..]), "{:?}", String::from_utf8_lossy(&stored));
            }
        }

        #[test]
        fn a_single_column_comes_back_too(values in proptest::collection::vec(value("text"), 0..6)) {
            let columns = columns(&["text"]);
            let rows: Vec<_> = values.into_iter().map(|value| vec![value]).collect();
            let lines = copy_text(&rows);
            for format in [TableFormat::Csv, TableFormat::Json] {
                let (_, back) = round_trip(format, &columns, &lines, (7, 5));
                prop_assert_eq!(back.as_deref(), Ok(&lines[..]));
            }
        }

        #[test]
        fn no_text_makes_a_decoder_fall(text in proptest::collection::vec(any::<u8>(), 0..80), cut in 0..60_usize) {
            let columns = columns(&["text", "jsonb", "boolean"]);
            for format in [TableFormat::Csv, TableFormat::Json] {
                let mut decoder = format.decoder(&columns);
                // Behind a beginning that is right, so that it gets somewhere.
                let mut whole = format.encoder(&columns).header().to_vec();
                let (stored, _) = round_trip(format, &columns, b"a\t[1]\tt\n", (99, 99));
                whole.extend_from_slice(&stored[whole.len()..][..cut.min(stored.len() - whole.len())]);
                whole.extend_from_slice(&text);
                let _ = decoder.decode(whole).and_then(|_| decoder.finish());
            }
        }
    }

    #[test]
    fn a_table_without_columns_or_rows_comes_back() {
        for format in [TableFormat::Csv, TableFormat::Json] {
            for (types, lines) in
                [(&[][..], &b"\n\n"[..]), (&[], b""), (&["text"], b""), (&["text"], b"\\N\n\n")]
            {
                let (_, back) = round_trip(format, &columns(types), lines, (1, 1));
                assert_eq!(back.as_deref(), Ok(lines), "{format:?} {types:?}");
            }
        }
    }

    #[test]
    fn text_that_ends_inside_a_row_is_refused() {
        for format in [TableFormat::Csv, TableFormat::Json] {
            let columns = columns(&["text", "text"]);
            let (stored, _) = round_trip(format, &columns, b"a\tb\\nc\n", (99, 99));
            for length in 1..stored.len() {
                let mut decoder = format.decoder(&columns);
                let header = format.encoder(&columns).header().len();
                let read = decoder.decode(stored[..length].to_vec()).and_then(|_| decoder.finish());
                assert_eq!(read.is_ok(), length == header, "{format:?} cut at {length}");
            }
        }
    }

    #[test]
    fn lines_that_postgres_does_not_write_are_refused_and_not_shown() {
        for format in [TableFormat::Csv, TableFormat::Json] {
            for line in [&b"secret\n"[..], b"a\tb\tsecret\n", b"a\tsecret\\q\n", b"a\tsecret\\\n"] {
                let mut encoder = format.encoder(&columns(&["text", "text"]));
                let error = encoder.encode(line).expect_err("refused");
                assert!(error.to_string().starts_with("row 1 "), "{error}");
                assert!(!error.to_string().contains("secret"), "{error}");
            }
        }
    }
}
