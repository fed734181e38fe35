//! Tables' names as a request writes them.

use std::fmt;
use std::str::FromStr;

/// How many similar names an error offers.
const NEAR_MAX: usize = 3;

/// A table's schema and name, unquoted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
}

impl FromStr for TableName {
    type Err = String;

    /// Reads `schema.table` as Postgres does: what is not quoted is folded to lower case, `""` inside quotes is
    /// a quote. The schema has to be named, for no `search_path` is in force.
    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || {
            format!(
                "table {text:?} is not a name; write schema and table as in SQL, for example \"public.orders\" or \"shop.\\\"Odd name\\\"\""
            )
        };
        let (schema, rest) = identifier(text).ok_or_else(invalid)?;
        let rest = rest.strip_prefix('.').ok_or_else(invalid)?;
        match identifier(rest) {
            Some((name, "")) => Ok(Self { schema, name }),
            _ => Err(invalid()),
        }
    }
}

/// The identifier that `text` begins with, and what follows it.
fn identifier(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find('.').unwrap_or(text.len());
        let (plain, rest) = text.split_at(end);
        let is_plain = plain.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '$'))
            && plain.chars().next().is_some_and(|first| first.is_alphabetic() || first == '_');
        return is_plain.then(|| (plain.to_ascii_lowercase(), rest));
    };
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let (before, after) = rest.split_once('"')?;
        name.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return (!name.is_empty()).then_some((name, after)),
        }
    }
}

impl fmt::Display for TableName {
    /// As it would be written in a request.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", Written(&self.schema), Written(&self.name))
    }
}

/// An identifier, quoted only where it has to be.
struct Written<'a>(&'a str);

impl fmt::Display for Written<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match identifier(self.0) {
            Some((read, "")) if read == self.0 => f.write_str(self.0),
            _ => write!(f, "\"{}\"", self.0.replace('"', "\"\"")),
        }
    }
}

/// Those of `known` that `wanted` was probably meant to be, the nearest first.
pub fn near<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let folded = wanted.to_lowercase();
    let own_name = folded.rsplit('.').next().unwrap_or_default().to_owned();
    let mut near: Vec<(usize, &str)> = known
        .into_iter()
        .filter_map(|known| {
            let other = known.to_lowercase();
            // The right table in another schema is nearer than another table.
            let same_name = other.rsplit('.').next() == Some(own_name.as_str());
            let distance = if same_name { 1 } else { edits(&folded, &other) };
            (distance <= 2.max(own_name.chars().count() / 3)).then_some((distance, known))
        })
        .collect();
    near.sort_unstable();
    near.into_iter().take(NEAR_MAX).map(|(_, known)| known).collect()
}

/// How many letters have to be put in, left out or replaced to make one text the other (Levenshtein).
fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for column in 0..other.len() {
            let replaced = diagonal + usize::from(other[column] != letter);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_postgres_reads_them() {
        for (text, schema, name) in [
            ("public.orders", "public", "orders"),
            ("Public.ORDERS", "public", "orders"),
            (r#"shop."Odd name""#, "shop", "Odd name"),
            (r#""a.b"."we""ird""#, "a.b", r#"we"ird"#),
            ("ünï.tàble_1$", "ünï", "tàble_1$"),
        ] {
            let read: TableName = text.parse().expect(text);
            assert_eq!((read.schema.as_str(), read.name.as_str()), (schema, name));
            assert_eq!(read.to_string().parse::<TableName>().as_ref(), Ok(&read));
        }
        for text in
            ["", "orders", "a.b.c", "a.", ".b", r#"a."b"#, r#"a."b"c"#, r#"a."""#, "a.b c", "1a.b", "a.b;--"]
        {
            assert!(text.parse::<TableName>().is_err(), "{text}");
        }
    }

    #[test]
    fn near_names_are_those_that_a_slip_makes() {
        let known = ["public.orders", "shop.orders", "public.order_items", "public.customers", "a.b"];
        assert_eq!(near("public.ordres", known), ["public.orders"]);
        assert_eq!(near("pubic.orders", known), ["public.orders", "shop.orders"]);
        assert_eq!(near("billing.customers", known), ["public.customers"]);
        assert_eq!(near("public.zzzzzzzz", known), Vec::<&str>::new());
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "abc"), 3);
    }
}
