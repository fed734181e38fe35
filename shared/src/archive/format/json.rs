//! One JSON object a line: the columns by name and in their order, null as `null`. Booleans are `true` and `false`;
//! finite numbers are JSON numbers with the very digits that Postgres writes; a `jsonb` that is an object or an array
//! stands as it is. Everything else is a string with the text that Postgres writes, a `jsonb` text, number or null
//! too, so that it is not taken for SQL's null, and a `json`, whose spaces and escapes are part of its value.

use memchr::{memchr, memchr2};

use super::FormatError;
use super::copy_text::{NULL, for_each_field, push_escaped, push_escaped_byte, unescaped};
use super::records::Records;
use crate::archive::manifest::Column;

/// What a column's values may be besides strings.
#[derive(Clone, Copy)]
enum Kind {
    Boolean,
    Number,
    Document,
    Text,
}

impl Kind {
    /// By the type as `format_type` writes it; one of another schema has that schema's name before its own.
    fn of(data_type: &str) -> Self {
        match data_type {
            "boolean" => Self::Boolean,
            "smallint" | "integer" | "bigint" | "real" | "double precision" | "numeric" => Self::Number,
            "jsonb" => Self::Document,
            other if other.starts_with("numeric(") && other.ends_with(')') => Self::Number,
            _ => Self::Text,
        }
    }
}

/// What stands before each value, and of which kind it is: `{"id":`, `,"name":`.
fn keys(columns: &[Column]) -> Vec<(Vec<u8>, Kind)> {
    let key = |(index, column): (usize, &Column)| {
        let name = serde_json::to_string(&column.name).expect("a name is a string");
        let begin = if index == 0 { '{' } else { ',' };
        (format!("{begin}{name}:").into_bytes(), Kind::of(&column.data_type))
    };
    columns.iter().enumerate().map(key).collect()
}

/// Lines of COPY text to JSON.
pub(super) struct JsonEncoder {
    keys: Vec<(Vec<u8>, Kind)>,
    lines: Records,
}

impl JsonEncoder {
    pub(super) fn new(columns: &[Column]) -> Self {
        Self { keys: keys(columns), lines: Records::lines() }
    }

    pub(super) fn encode(&mut self, lines: &[u8], text: &mut Vec<u8>) -> Result<(), FormatError> {
        let keys = &self.keys;
        self.lines.update(lines, |line| {
            for_each_field(line, keys.len(), |index, field| {
                let (key, kind) = &keys[index];
                text.extend_from_slice(key);
                push_value(field, *kind, text)
            })?;
            text.extend_from_slice(if keys.is_empty() { b"{}\n" } else { b"}\n" });
            Ok(())
        })
    }
}

/// Writes one field of COPY text as a JSON value.
fn push_value(field: &[u8], kind: Kind, text: &mut Vec<u8>) -> Result<(), &'static str> {
    match kind {
        _ if field == NULL => text.extend_from_slice(b"null"),
        Kind::Boolean => text.extend_from_slice(match field {
            b"t" => b"true",
            b"f" => b"false",
            _ => return Err("has a boolean that is neither t nor f"),
        }),
        Kind::Number if is_number(field) => text.extend_from_slice(field),
        Kind::Document if push_document(field, text) => {}
        _ => push_string(field, text)?,
    }
    Ok(())
}

/// Whether JSON's grammar has this as a number.
fn is_number(field: &[u8]) -> bool {
    fn digits(text: &[u8]) -> usize {
        text.iter().take_while(|byte| byte.is_ascii_digit()).count()
    }
    let mut rest = field.strip_prefix(b"-").unwrap_or(field);
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest[0] == b'0') {
        return false;
    }
    rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let places = digits(fraction);
        if places == 0 {
            return false;
        }
        rest = &fraction[places..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = match exponent {
            [b'+' | b'-', exponent @ ..] => exponent,
            exponent => exponent,
        };
        return !exponent.is_empty() && digits(exponent) == exponent.len();
    }
    rest.is_empty()
}

/// Writes a `jsonb` as it is where it is an object or an array, in the one line that Postgres writes: the only escape
/// of such a line in COPY text is the backslash's. Otherwise writes nothing and says so.
fn push_document(field: &[u8], text: &mut Vec<u8>) -> bool {
    if !matches!(field, [b'{', .., b'}'] | [b'[', .., b']']) || field.iter().any(|byte| *byte < b' ') {
        return false;
    }
    let begin = text.len();
    let mut rest = field;
    let mut in_one_line = true;
    while let Some(at) = memchr(b'\\', rest) {
        in_one_line &= rest.get(at + 1) == Some(&b'\\');
        text.extend_from_slice(&rest[..=at]);
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    text.extend_from_slice(rest);
    // What reads it back has to find its end.
    let is_document = in_one_line && skip_document(&text[begin..]) == Some(text.len() - begin);
    if !is_document {
        text.truncate(begin);
    }
    is_document
}

fn push_string(field: &[u8], text: &mut Vec<u8>) -> Result<(), &'static str> {
    text.push(b'"');
    let mut rest = field;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\\' | b'"' | ..b' ')) {
        text.extend_from_slice(&rest[..at]);
        let mut byte = rest[at];
        let mut taken = 1;
        if byte == b'\\' {
            byte = unescaped(rest.get(at + 1))?;
            taken = 2;
        }
        push_string_byte(byte, text);
        rest = &rest[at + taken..];
    }
    text.extend_from_slice(rest);
    text.push(b'"');
    Ok(())
}

/// Writes a byte that a JSON string has to escape.
fn push_string_byte(byte: u8, text: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let letter = match byte {
        b'"' | b'\\' => byte,
        8 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        12 => b'f',
        b'\r' => b'r',
        other => {
            let (high, low) = (HEX[usize::from(other >> 4)], HEX[usize::from(other & 15)]);
            return text.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
        }
    };
    text.extend_from_slice(&[b'\\', letter]);
}

/// JSON to lines of COPY text. It reads what [`JsonEncoder`] writes, and no other JSON.
pub(super) struct JsonDecoder {
    keys: Vec<(Vec<u8>, Kind)>,
    records: Records,
}

impl JsonDecoder {
    pub(super) fn new(columns: &[Column]) -> Self {
        Self { keys: keys(columns), records: Records::lines() }
    }

    pub(super) fn decode(&mut self, text: &[u8], lines: &mut Vec<u8>) -> Result<(), FormatError> {
        let keys = &self.keys;
        self.records.update(text, |object| {
            let mut rest = object;
            for (index, (key, kind)) in keys.iter().enumerate() {
                if index > 0 {
                    lines.push(b'\t');
                }
                rest =
                    rest.strip_prefix(&key[..]).ok_or("does not have the table's columns in their order")?;
                rest = take_value(rest, *kind, lines).ok_or("has a value that its column cannot have")?;
            }
            let end: &[u8] = if keys.is_empty() { b"{}" } else { b"}" };
            if rest != end {
                return Err("does not end behind its last column");
            }
            lines.push(b'\n');
            Ok(())
        })
    }

    pub(super) fn finish(&self) -> Result<(), FormatError> {
        self.records.finish()
    }
}

/// Reads the value that `text` begins with; gives what follows it.
fn take_value<'a>(text: &'a [u8], kind: Kind, lines: &mut Vec<u8>) -> Option<&'a [u8]> {
    match (text.first()?, kind) {
        (b'n', _) => {
            lines.extend_from_slice(NULL);
            text.strip_prefix(b"null")
        }
        (b't', Kind::Boolean) => {
            lines.push(b't');
            text.strip_prefix(b"true")
        }
        (b'f', Kind::Boolean) => {
            lines.push(b'f');
            text.strip_prefix(b"false")
        }
        (b'-' | b'0'..=b'9', Kind::Number) => {
            let end = memchr2(b',', b'}', text)?;
            let (number, rest) = text.split_at(end);
            lines.extend_from_slice(number);
            is_number(number).then_some(rest)
        }
        (b'{' | b'[', Kind::Document) => {
            let (document, rest) = text.split_at(skip_document(text)?);
            push_escaped(document, lines);
            Some(rest)
        }
        (b'"', _) => take_string(&text[1..], lines),
        _ => None,
    }
}

/// Reads up to the quote that closes; gives what follows it.
fn take_string<'a>(text: &'a [u8], lines: &mut Vec<u8>) -> Option<&'a [u8]> {
    let mut rest = text;
    loop {
        let at = memchr2(b'"', b'\\', rest)?;
        push_escaped(&rest[..at], lines);
        if rest[at] == b'"' {
            return Some(&rest[at + 1..]);
        }
        let (byte, taken) = match rest.get(at + 1)? {
            byte @ (b'"' | b'\\') => (*byte, 2),
            b'b' => (8, 2),
            b't' => (b'\t', 2),
            b'n' => (b'\n', 2),
            b'f' => (12, 2),
            b'r' => (b'\r', 2),
            b'u' => {
                let digits = std::str::from_utf8(rest.get(at + 2..at + 6)?).ok()?;
                (u8::from_str_radix(digits, 16).ok()?, 6)
            }
            _ => return None,
        };
        push_escaped_byte(byte, lines);
        rest = &rest[at + taken..];
    }
}

/// The length of the object or array that `text` begins with.
fn skip_document(text: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            b'"' => at = skip_string(text, at + 1)?,
            _ => {}
        }
        at += 1;
    }
    None
}

/// The position of the quote that closes the string whose first byte is at `at`.
fn skip_string(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_a_reader_of_json_expects() {
        let column = |(name, data_type): (&str, &str)| Column {
            name: name.to_owned(),
            data_type: data_type.to_owned(),
        };
        let columns = [
            ("id", "bigint"),
            ("paid", "boolean"),
            ("amount", "numeric(12,2)"),
            ("ratio", "double precision"),
            ("meta", "jsonb"),
            ("no\"te", "text"),
            ("at", "timestamp with time zone"),
        ];
        let mut encoder = JsonEncoder::new(&columns.map(column));
        let mut text = Vec::new();
        let lines = concat!(
            "12345678901234567890\tt\t10.00\t1e-300\t{\"a\": \"b\\\\\"c\"}\ttab\\there \"q\" \\\\ \x01\t2026-01-01 00:00:00+00\n",
            "1\tf\tNaN\t-Infinity\t\"text\"\t\t\\N\n",
            "1\t\\N\t\\N\t-0\tnull\t\\v\t\\N\n",
        );
        encoder.encode(lines.as_bytes(), &mut text).expect("COPY text");
        let expected = concat!(
            r#"{"id":12345678901234567890,"paid":true,"amount":10.00,"ratio":1e-300,"meta":{"a": "b\"c"},"no\"te":"tab\there \"q\" \\ \u0001","at":"2026-01-01 00:00:00+00"}"#,
            "\n",
            r#"{"id":1,"paid":false,"amount":"NaN","ratio":"-Infinity","meta":"\"text\"","no\"te":"","at":null}"#,
            "\n",
            r#"{"id":1,"paid":null,"amount":null,"ratio":-0,"meta":"null","no\"te":"\u000b","at":null}"#,
            "\n",
        );
        let text = String::from_utf8(text).expect("UTF-8");
        assert_eq!(text, expected);
        for line in text.lines() {
            serde_json::from_str::<serde_json::Value>(line).expect("JSON");
        }
    }

    #[test]
    fn only_what_json_calls_a_number_is_one() {
        for number in ["0", "-0", "10", "0.5", "-1.50", "1e+308", "1E5", "12.5e-1"] {
            assert!(is_number(number.as_bytes()), "{number}");
        }
        for other in ["", "-", "01", ".5", "1.", "1e", "1e+", "NaN", "Infinity", "1,2", "1 ", "+1", "0x1"] {
            assert!(!is_number(other.as_bytes()), "{other}");
        }
    }
}
