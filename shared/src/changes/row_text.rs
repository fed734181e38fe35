//! A row as the text of its type (PostgreSQL documentation, "Composite Type Input and Output Syntax").

const SHAPE: &str = "has a row that Postgres does not write";

/// The fields, each as it stands.
///
/// # Errors
/// Where it is no row.
pub fn fields(row: &str) -> Result<Vec<&str>, &'static str> {
    let inner = row.strip_prefix('(').and_then(|row| row.strip_suffix(')')).ok_or(SHAPE)?;
    let mut fields = Vec::new();
    let (mut begin, mut quoted, mut escaped) = (0, false, false);
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            // A quote inside quotes is doubled, which leaves and enters them again.
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                fields.push(&inner[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    fields.push(&inner[begin..]);
    Ok(fields)
}

/// The fields at `positions`, as a row.
///
/// # Errors
/// Where it is no row, or has no such field.
pub fn row_of(row: &str, positions: &[usize]) -> Result<String, &'static str> {
    let fields = fields(row)?;
    let some = positions.iter().map(|position| fields.get(*position).copied().ok_or(SHAPE));
    Ok(format!("({})", some.collect::<Result<Vec<_>, _>>()?.join(",")))
}

/// What a field says; `None` for null.
pub fn value(field: &str) -> Option<String> {
    if field.is_empty() {
        return None;
    }
    let mut value = String::with_capacity(field.len());
    let mut characters = field.chars().peekable();
    let mut quoted = false;
    while let Some(character) = characters.next() {
        match character {
            '\\' => value.extend(characters.next()),
            '"' if quoted && characters.peek() == Some(&'"') => value.extend(characters.next()),
            '"' => quoted = !quoted,
            _ => value.push(character),
        }
    }
    Some(value)
}

/// Writes a field that says this.
pub fn push_value(value: Option<&str>, row: &mut String) {
    let Some(value) = value else { return };
    row.push('"');
    for character in value.chars() {
        if matches!(character, '"' | '\\') {
            row.push(character);
        }
        row.push(character);
    }
    row.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_row_of_postgres_is_read() {
        let row = r#"(1,,"","a ""b"" \\ c","x,y","(1,""2"")")"#;
        let fields = fields(row).expect("fields");
        let values: Vec<Option<String>> = fields.into_iter().map(value).collect();
        let said = |text: &str| Some(text.to_owned());
        assert_eq!(
            values,
            [said("1"), None, said(""), said(r#"a "b" \ c"#), said("x,y"), said(r#"(1,"2")"#)]
        );
    }

    #[test]
    fn a_part_of_a_row_is_a_row() {
        for (row, part) in [
            ("(1,2,3)", "(3,1)"),
            ("(,,)", "(,)"),
            (r#"("a,b","c""d,",e)"#, r#"(e,"a,b")"#),
            (r#"("a\\",x,"\\"",")"#, r#"("\\"",","a\\")"#),
        ] {
            assert_eq!(row_of(row, &[2, 0]).as_deref(), Ok(part), "{row}");
        }
        for row in ["", "1,2,3", "(1,2"] {
            assert!(row_of(row, &[2, 0]).is_err(), "{row}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(values in proptest::collection::vec(proptest::option::of(".*"), 1..5)) {
            let mut row = "(".to_owned();
            for (at, value) in values.iter().enumerate() {
                if at > 0 {
                    row.push(',');
                }
                push_value(value.as_deref(), &mut row);
            }
            row.push(')');
            let found: Vec<Option<String>> =
                fields(&row).expect("fields").into_iter().map(super::value).collect();
            prop_assert_eq!(found, values);
        }
    }
}
