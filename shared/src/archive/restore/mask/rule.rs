//! Which column is masked how.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// What becomes of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// They stay.
    Keep,
    /// Another e-mail address, of a domain that nobody can receive mail at.
    Email,
    /// Another name.
    Name,
    /// Another telephone number.
    Phone,
    /// Another address, or part of one.
    Address,
    /// Another address of the private ranges.
    Ip,
    /// JSON whose texts are masked, except for those that are known to be no personal data.
    Json,
    /// Another text.
    Text,
    /// Other bytes.
    Bytes,
    /// Another day.
    Date,
    /// A value with nothing in it: an array, a text search vector.
    Empty,
    /// Null.
    Null,
}

/// All rules that a request may name.
const NAMES: [(&str, Rule); 12] = [
    ("keep", Rule::Keep),
    ("email", Rule::Email),
    ("name", Rule::Name),
    ("phone", Rule::Phone),
    ("address", Rule::Address),
    ("ip", Rule::Ip),
    ("json", Rule::Json),
    ("text", Rule::Text),
    ("bytes", Rule::Bytes),
    ("date", Rule::Date),
    ("empty", Rule::Empty),
    ("null", Rule::Null),
];

/// Columns of our own tables that hold personal data, or may. The others are ids, codes and sums.
const OURS: [(&str, &str, Rule); 9] = [
    ("customers", "email", Rule::Email),
    ("customers", "name", Rule::Name),
    ("webhook_events", "payload", Rule::Json),
    ("webhook_events", "payload_raw", Rule::Bytes),
    ("audit_log", "actor", Rule::Name),
    ("audit_log", "reason", Rule::Text),
    ("audit_log", "before", Rule::Json),
    ("audit_log", "after", Rule::Json),
    ("row_changes", "row_text", Rule::Text),
];

/// Words in the names of columns that hold texts about people. A word stands alone or between underscores.
const WORDS: [(&[&str], Rule); 5] = [
    (&["email", "emails", "mail"], Rule::Email),
    (&["phone", "phones", "telephone", "tel", "mobile", "fax"], Rule::Phone),
    (&["ip"], Rule::Ip),
    (&["address", "street", "city", "zip", "postcode", "postal", "line1", "line2"], Rule::Address),
    (
        &[
            "note", "notes", "comment", "comments", "message", "bio", "agent", "password", "token", "secret",
            "iban", "passport", "ssn",
        ],
        Rule::Text,
    ),
];

/// Words for names; a `file_name` and the like are names of things.
const NAME_WORDS: [&str; 10] = [
    "name",
    "firstname",
    "lastname",
    "fullname",
    "surname",
    "username",
    "nickname",
    "login",
    "recipient",
    "contact",
];
const THINGS: [&str; 9] =
    ["file", "table", "schema", "column", "product", "course", "event", "type", "status"];

impl Rule {
    /// The rule for a column that the request does not name.
    pub(super) fn of(schema: &str, table: &str, column: &str, data_type: &str) -> Self {
        if schema == "recoup" {
            let ours =
                OURS.iter().find(|(its_table, its_column, _)| (*its_table, *its_column) == (table, column));
            return ours.map_or(Self::Keep, |(.., rule)| *rule);
        }
        match data_type {
            "json" | "jsonb" => return Self::Json,
            "inet" | "cidr" => return Self::Ip,
            // A search index holds the words of what it indexes.
            "tsvector" => return Self::Empty,
            _ => {}
        }
        let column = words(column);
        let has = |known: &[&str]| column.iter().any(|word| known.contains(&word.as_str()));
        if has(&["birth", "birthday", "birthdate", "dob"]) && data_type == "date" {
            return Self::Date;
        }
        let is_name = (has(&NAME_WORDS) && !has(&THINGS)).then_some(Self::Name);
        let by_name = WORDS.iter().find(|(known, _)| has(known)).map(|(_, rule)| *rule).or(is_name);
        match by_name {
            Some(_) if data_type.ends_with("[]") => Self::Empty,
            Some(rule) if rule.check(data_type).is_ok() => rule,
            _ => Self::Keep,
        }
    }

    /// Whether its values can stand in a column of this type, as `format_type` writes it.
    ///
    /// # Errors
    /// Why they cannot.
    pub(super) fn check(self, data_type: &str) -> Result<(), String> {
        let base = data_type.split('(').next().unwrap_or_default();
        let fits = match self {
            Self::Keep | Self::Null => true,
            Self::Email | Self::Name | Self::Phone | Self::Address | Self::Text => !is_no_text(base),
            Self::Ip => matches!(base, "inet" | "cidr") || !is_no_text(base),
            Self::Json => matches!(base, "json" | "jsonb" | "text" | "character varying"),
            Self::Bytes => base == "bytea",
            Self::Date => base == "date",
            Self::Empty => base.ends_with("[]") || matches!(base, "tsvector" | "text" | "character varying"),
        };
        if fits { Ok(()) } else { Err(format!("a value of rule \"{self}\" is no {data_type}")) }
    }
}

/// Types of Postgres whose values are no free text. A type that is not known may be a domain over text.
fn is_no_text(base: &str) -> bool {
    let exact = [
        "smallint",
        "integer",
        "bigint",
        "numeric",
        "real",
        "double precision",
        "money",
        "boolean",
        "date",
        "uuid",
        "json",
        "jsonb",
        "bytea",
        "inet",
        "cidr",
        "macaddr",
        "interval",
        "oid",
        "bit",
        "bit varying",
        "tsvector",
        "point",
    ];
    exact.contains(&base) || base.starts_with("time") || base.ends_with("[]") || base.ends_with("range")
}

/// `billing_emailAddress` as its words, in lower case.
fn words(column: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for letter in column.chars() {
        if !letter.is_alphanumeric() || (letter.is_uppercase() && was_lower) {
            words.push(String::new());
        }
        was_lower = letter.is_lowercase();
        if letter.is_alphanumeric() {
            words.last_mut().expect("one is there").extend(letter.to_lowercase());
        }
    }
    words
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMES.iter().find(|(_, rule)| rule == self).map_or("keep", |(name, _)| name))
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = NAMES.iter().find(|(name, _)| *name == text);
        known.map(|(_, rule)| *rule).ok_or_else(|| {
            let names = NAMES.map(|(name, _)| name).join(", ");
            format!("{text:?} is no rule; there are {names}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_about_people_are_found_by_name_and_type() {
        for (column, data_type, rule) in [
            ("email", "text", Rule::Email),
            ("billing_e_mail", "character varying(80)", Rule::Email),
            ("contactEmail", "citext", Rule::Email),
            ("phone_number", "text", Rule::Phone),
            ("last_name", "text", Rule::Name),
            ("shipping_address", "text", Rule::Address),
            ("ip", "text", Rule::Ip),
            ("seen_from", "inet", Rule::Ip),
            ("details", "jsonb", Rule::Json),
            ("words", "tsvector", Rule::Empty),
            ("emails", "text[]", Rule::Empty),
            ("birth_date", "date", Rule::Date),
            ("file_name", "text", Rule::Keep),
            ("name", "integer", Rule::Keep),
            ("shipment", "text", Rule::Keep),
            ("amount", "bigint", Rule::Keep),
        ] {
            assert_eq!(Rule::of("public", "t", column, data_type), rule, "{column} {data_type}");
        }
        assert_eq!(Rule::of("recoup", "customers", "email", "text"), Rule::Email);
        assert_eq!(Rule::of("recoup", "catalog_items", "name", "text"), Rule::Keep);
    }

    #[test]
    fn rules_fit_types_or_are_refused() {
        assert!("email".parse::<Rule>().expect("known").check("text").is_ok());
        assert!(
            Rule::Email.check("integer").is_err() && Rule::Json.check("timestamp with time zone").is_err()
        );
        assert!("mail".parse::<Rule>().expect_err("unknown").contains("email, name"));
        for (name, rule) in NAMES {
            assert_eq!((name.parse(), rule.to_string().as_str()), (Ok(rule), name));
        }
    }
}
