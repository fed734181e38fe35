//! COPY text as `COPY … TO STDOUT` writes it: fields parted by tabs, `\N` for null, and a backslash before what
//! would be taken for something else. Postgres' documentation of `COPY`, "Text Format", has the rules.

/// The field that stands for null.
pub(crate) const NULL: &[u8] = b"\\N";

/// What is said of an escape that `COPY … TO` does not write: it would not come back to the byte.
const ESCAPE: &str = "has an escape that COPY does not write";

/// The fields of a line, which has as many as the table has columns.
///
/// # Errors
/// Where it has more or fewer.
pub(crate) fn for_each_field(
    line: &[u8],
    columns: usize,
    mut take: impl FnMut(usize, &[u8]) -> Result<(), &'static str>,
) -> Result<(), &'static str> {
    const SHAPE: &str = "has more or fewer columns than the table";
    if columns == 0 {
        return if line.is_empty() { Ok(()) } else { Err(SHAPE) };
    }
    let mut fields = 0;
    for field in line.split(|byte| *byte == b'\t') {
        if fields == columns {
            return Err(SHAPE);
        }
        take(fields, field)?;
        fields += 1;
    }
    if fields == columns { Ok(()) } else { Err(SHAPE) }
}

/// The byte that an escape stands for, by the byte behind its backslash.
///
/// # Errors
/// For what `COPY … TO` does not write.
pub(crate) fn unescaped(after_backslash: Option<&u8>) -> Result<u8, &'static str> {
    match after_backslash {
        Some(b'\\') => Ok(b'\\'),
        Some(b'b') => Ok(8),
        Some(b't') => Ok(b'\t'),
        Some(b'n') => Ok(b'\n'),
        Some(b'v') => Ok(11),
        Some(b'f') => Ok(12),
        Some(b'r') => Ok(b'\r'),
        _ => Err(ESCAPE),
    }
}

/// Writes bytes of a value as COPY text.
pub(crate) fn push_escaped(value: &[u8], out: &mut Vec<u8>) {
    let mut rest = value;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, 8..=13 | b'\\')) {
        out.extend_from_slice(&rest[..at]);
        push_escaped_byte(rest[at], out);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// Writes one byte of a value as COPY text.
pub(super) fn push_escaped_byte(byte: u8, out: &mut Vec<u8>) {
    let letter = match byte {
        b'\\' => b'\\',
        8 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        11 => b'v',
        12 => b'f',
        b'\r' => b'r',
        other => return out.push(other),
    };
    out.extend_from_slice(&[b'\\', letter]);
}
