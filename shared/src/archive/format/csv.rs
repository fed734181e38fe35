//! CSV as `COPY … WITH (FORMAT csv, HEADER)` writes and reads it, which is RFC 4180 with newlines alone: a header with
//! the columns' names, quotes where they are needed, nothing for null, `""` for the empty text.
//!
//! One thing is written otherwise. Before Postgres 18 server and psql take a line `\.` for the end of the data, even
//! inside quotes. Inside a value such a line begins with `"\"`, which Postgres reads as the same text.

use memchr::{memchr, memchr2, memchr3};

use super::FormatError;
use super::copy_text::{NULL, for_each_field, push_escaped, unescaped};
use super::records::Records;
use crate::archive::manifest::Column;

/// Lines of COPY text to CSV.
pub(super) struct CsvEncoder {
    columns: usize,
    header: Vec<u8>,
    lines: Records,
}

impl CsvEncoder {
    pub(super) fn new(columns: &[Column]) -> Self {
        Self { columns: columns.len(), header: header(columns), lines: Records::lines() }
    }

    pub(super) fn header(&self) -> &[u8] {
        &self.header
    }

    pub(super) fn encode(&mut self, lines: &[u8], text: &mut Vec<u8>) -> Result<(), FormatError> {
        let columns = self.columns;
        self.lines.update(lines, |line| {
            for_each_field(line, columns, |index, field| {
                if index > 0 {
                    text.push(b',');
                }
                push_field(field, columns == 1, text)
            })?;
            text.push(b'\n');
            Ok(())
        })
    }
}

/// The first line, with its newline.
fn header(columns: &[Column]) -> Vec<u8> {
    let mut header = Vec::new();
    for (index, column) in columns.iter().enumerate() {
        if index > 0 {
            header.push(b',');
        }
        let mut field = Vec::new();
        push_escaped(column.name.as_bytes(), &mut field);
        push_field(&field, columns.len() == 1, &mut header).expect("it was escaped here");
    }
    header.push(b'\n');
    header
}

/// Writes one field of COPY text as CSV.
fn push_field(field: &[u8], alone: bool, text: &mut Vec<u8>) -> Result<(), &'static str> {
    if field == NULL {
        return Ok(());
    }
    let Some(special) = memchr3(b'\\', b',', b'"', field) else {
        let quotes: &[u8] = if field.is_empty() { b"\"\"" } else { field };
        text.extend_from_slice(quotes);
        return Ok(());
    };
    // A line of `\.` alone would end the data.
    let quoted = memchr2(b',', b'"', &field[special..]).is_some()
        || has_line_break(&field[special..])
        || (alone && field == b"\\\\.");
    if !quoted {
        return push_plain(field, text);
    }
    text.push(b'"');
    push_quoted(field, text)?;
    text.push(b'"');
    Ok(())
}

/// Whether an escape stands for a newline or a carriage return.
fn has_line_break(field: &[u8]) -> bool {
    let mut rest = field;
    while let Some(at) = memchr(b'\\', rest) {
        if matches!(rest.get(at + 1), Some(b'n' | b'r')) {
            return true;
        }
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    false
}

fn push_plain(field: &[u8], text: &mut Vec<u8>) -> Result<(), &'static str> {
    let mut rest = field;
    while let Some(at) = memchr(b'\\', rest) {
        text.extend_from_slice(&rest[..at]);
        text.push(unescaped(rest.get(at + 1))?);
        rest = &rest[at + 2..];
    }
    text.extend_from_slice(rest);
    Ok(())
}

fn push_quoted(field: &[u8], text: &mut Vec<u8>) -> Result<(), &'static str> {
    let mut rest = field;
    while let Some(at) = memchr2(b'\\', b'"', rest) {
        text.extend_from_slice(&rest[..at]);
        if rest[at] == b'"' {
            text.extend_from_slice(b"\"\"");
            rest = &rest[at + 1..];
            continue;
        }
        let byte = unescaped(rest.get(at + 1))?;
        text.push(byte);
        rest = &rest[at + 2..];
        if matches!(byte, b'\n' | b'\r') && rest.starts_with(b"\\\\.") {
            text.extend_from_slice(b"\"\\\"");
            rest = &rest[2..];
        }
    }
    text.extend_from_slice(rest);
    Ok(())
}

/// CSV to lines of COPY text.
pub(super) struct CsvDecoder {
    columns: usize,
    header: Vec<u8>,
    records: Records,
}

impl CsvDecoder {
    pub(super) fn new(columns: &[Column]) -> Self {
        Self { columns: columns.len(), header: header(columns), records: Records::quoted() }
    }

    pub(super) fn decode(&mut self, text: &[u8], lines: &mut Vec<u8>) -> Result<(), FormatError> {
        let (columns, header) = (self.columns, &self.header[..self.header.len() - 1]);
        let mut is_first = self.records.count() == 0;
        self.records.update(text, |record| {
            if std::mem::take(&mut is_first) {
                let expected = record == header;
                return if expected { Ok(()) } else { Err("is not the header of the table's columns") };
            }
            push_line(record, columns, lines)
        })
    }

    pub(super) fn finish(&self) -> Result<(), FormatError> {
        self.records.finish()?;
        if self.records.count() == 0 {
            return Err(FormatError { row: 1, reason: "is missing: there is no header" });
        }
        Ok(())
    }
}

fn push_line(record: &[u8], columns: usize, lines: &mut Vec<u8>) -> Result<(), &'static str> {
    let mut rest = record;
    for index in 0..columns {
        if index > 0 {
            let [b',', after @ ..] = rest else { return Err("has fewer columns than the table") };
            rest = after;
            lines.push(b'\t');
        }
        rest = push_value(rest, lines)?;
    }
    if !rest.is_empty() {
        return Err("has more columns than the table");
    }
    lines.push(b'\n');
    Ok(())
}

/// Reads the field that `record` begins with; gives what follows it.
fn push_value<'a>(record: &'a [u8], lines: &mut Vec<u8>) -> Result<&'a [u8], &'static str> {
    if matches!(record, [] | [b',', ..]) {
        lines.extend_from_slice(NULL);
        return Ok(record);
    }
    let mut rest = record;
    loop {
        let end = memchr2(b',', b'"', rest).unwrap_or(rest.len());
        push_escaped(&rest[..end], lines);
        rest = &rest[end..];
        let [b'"', quoted @ ..] = rest else { return Ok(rest) };
        rest = push_between_quotes(quoted, lines)?;
    }
}

/// Reads up to the quote that closes; gives what follows it.
fn push_between_quotes<'a>(text: &'a [u8], lines: &mut Vec<u8>) -> Result<&'a [u8], &'static str> {
    let mut rest = text;
    loop {
        let end = memchr(b'"', rest).ok_or("has a quote that is not closed")?;
        push_escaped(&rest[..end], lines);
        rest = &rest[end + 1..];
        let [b'"', after @ ..] = rest else { return Ok(rest) };
        lines.push(b'"');
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str) -> Column {
        Column { name: name.to_owned(), data_type: "text".to_owned() }
    }

    #[test]
    fn quotes_stand_where_postgres_writes_them() {
        let mut encoder = CsvEncoder::new(&[column("id"), column("Größe, \"x\""), column("b")]);
        let mut text = encoder.header().to_vec();
        let lines = "1\tplain\t\\N\n2\t\ta,b\n\\\\.\ttab\\there\tsay \"hi\"\n3\tup\\ndown\t\\\\N\n";
        encoder.encode(lines.as_bytes(), &mut text).expect("COPY text");
        let expected = "id,\"Größe, \"\"x\"\"\",b\n1,plain,\n2,\"\",\"a,b\"\n\\.,tab\there,\"say \"\"hi\"\"\"\n3,\"up\ndown\",\\N\n";
        assert_eq!(String::from_utf8_lossy(&text), expected);
    }

    #[test]
    fn no_line_is_the_one_that_ends_the_data() {
        let mut encoder = CsvEncoder::new(&[column("a")]);
        let mut text = Vec::new();
        encoder.encode(b"\\\\.\nx\\n\\\\.\\ny\n", &mut text).expect("COPY text");
        assert_eq!(String::from_utf8_lossy(&text), "\"\\.\"\n\"x\n\"\\\".\ny\"\n");
        assert!(text.split(|byte| *byte == b'\n').all(|line| line != b"\\."));
    }
}
