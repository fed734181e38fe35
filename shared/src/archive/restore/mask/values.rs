//! What a value becomes.
//!
//! Each stands as Postgres itself would write it, so that what was put in and what is read back have one digest.

use std::net::{Ipv4Addr, Ipv6Addr};

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::json::mask_json;
use super::rule::Rule;
use crate::archive::format::copy_text::{NULL, push_escaped, unescaped};

/// Masks the values of one column.
pub(super) struct Masker {
    rule: Rule,
    key: Hmac<Sha256>,
    /// How many characters fit.
    characters_max: Option<usize>,
    /// Whether the type fills up with spaces, as `character(n)` does.
    padded: bool,
    /// Whether the type is `cidr`, which is written with its length.
    with_length: bool,
}

impl Masker {
    pub(super) fn new(rule: Rule, data_type: &str, key: &[u8]) -> Self {
        let length = |name: &str| {
            data_type.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')')?.parse::<usize>().ok()
        };
        let padding = length("character");
        Self {
            rule,
            key: Hmac::new_from_slice(key).expect("a key may have any length"),
            characters_max: padding.or_else(|| length("character varying")),
            padded: padding.is_some(),
            with_length: data_type == "cidr",
        }
    }

    /// Writes what a field of COPY text becomes.
    pub(super) fn push(&self, field: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        if self.keeps() || field == NULL {
            out.extend_from_slice(field);
            return Ok(());
        }
        let value = value(field)?;
        let Some(masked) = self.masked(&value) else {
            out.extend_from_slice(NULL);
            return Ok(());
        };
        push_escaped(self.fitted(masked).as_bytes(), out);
        Ok(())
    }

    /// Whether values stay.
    pub(super) fn keeps(&self) -> bool {
        self.rule == Rule::Keep
    }

    /// What a value becomes; `None` for null.
    pub(super) fn value(&self, value: &str) -> Option<String> {
        if self.keeps() {
            return Some(value.to_owned());
        }
        self.masked(value.as_bytes()).map(|masked| self.fitted(masked))
    }

    fn masked(&self, value: &[u8]) -> Option<String> {
        let digest = digest(&self.key, value);
        let hex = hex::encode(&digest[..8]);
        Some(match self.rule {
            Rule::Keep | Rule::Null => return None,
            Rule::Email => format!("user-{hex}@example.invalid"),
            Rule::Name => format!("Name {hex}"),
            Rule::Phone => {
                let number = u64::from_be_bytes(digest[..8].try_into().expect("eight bytes"));
                format!("+999{:012}", number % 1_000_000_000_000)
            }
            Rule::Address => format!("{hex} Street"),
            Rule::Text => format!("masked {hex}"),
            Rule::Ip => self.address(&digest, value.contains(&b':')),
            Rule::Json => match mask_json(value, |text| hex::encode(&self::digest(&self.key, text)[..8])) {
                Some(json) => json,
                None => format!("masked {hex}"),
            },
            Rule::Bytes => format!("\\x{hex}"),
            Rule::Date => format!("19{:02}-{:02}-01", 20 + digest[0] % 80, 1 + digest[1] % 12),
            Rule::Empty if value.starts_with(b"{") => "{}".to_owned(),
            Rule::Empty => String::new(),
        })
    }

    fn address(&self, digest: &[u8; 32], is_v6: bool) -> String {
        if is_v6 {
            // No group is zero, so that there is one way to write it.
            let group = |at: usize| u16::from_be_bytes([digest[at], digest[at + 1]]) | 1;
            let address =
                Ipv6Addr::new(0xfd00, group(0), group(2), group(4), group(6), group(8), group(10), group(12));
            return format!("{address}{}", if self.with_length { "/128" } else { "" });
        }
        let address = Ipv4Addr::new(10, digest[0], digest[1], digest[2]);
        format!("{address}{}", if self.with_length { "/32" } else { "" })
    }

    fn fitted(&self, masked: String) -> String {
        let Some(max) = self.characters_max.filter(|_| self.rule != Rule::Json) else { return masked };
        let mut cut: String = masked.chars().take(max).collect();
        if self.padded {
            cut.extend(std::iter::repeat_n(' ', max - cut.chars().count()));
        }
        cut
    }
}

fn digest(key: &Hmac<Sha256>, value: &[u8]) -> [u8; 32] {
    let mut mac = key.clone();
    mac.update(value);
    mac.finalize().into_bytes().into()
}

/// The bytes that a field of COPY text stands for.
fn value(field: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut value = Vec::with_capacity(field.len());
    let mut bytes = field.iter();
    while let Some(byte) = bytes.next() {
        value.push(if *byte == b'\\' { unescaped(bytes.next())? } else { *byte });
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(rule: Rule, data_type: &str, field: &str) -> String {
        let mut out = Vec::new();
        Masker::new(rule, data_type, b"key").push(field.as_bytes(), &mut out).expect("masked");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_value_always_becomes_the_same_other_value() {
        let once = masked(Rule::Email, "text", "ada@example.com");
        assert_eq!(once, masked(Rule::Email, "text", "ada@example.com"));
        assert_ne!(once, masked(Rule::Email, "text", "bob@example.com"));
        let mut other_key = Vec::new();
        Masker::new(Rule::Email, "text", b"other").push(b"ada@example.com", &mut other_key).expect("masked");
        assert_ne!(once.as_bytes(), other_key);
        assert!(once.ends_with("@example.invalid") && !once.contains("ada"), "{once}");
    }

    #[test]
    fn values_stand_as_postgres_would_write_them() {
        assert_eq!(masked(Rule::Email, "text", "\\N"), "\\N");
        assert_eq!(masked(Rule::Null, "text", "x"), "\\N");
        assert_eq!(masked(Rule::Name, "character varying(9)", "Ada").chars().count(), 9);
        let padded = masked(Rule::Name, "character(40)", "Ada                                     ");
        assert!(padded.len() == 40 && padded.ends_with("  "), "{padded:?}");
        assert!(masked(Rule::Ip, "inet", "192.0.2.1/24").parse::<Ipv4Addr>().is_ok());
        assert!(masked(Rule::Ip, "cidr", "192.0.2.0/24").ends_with("/32"));
        let v6 = masked(Rule::Ip, "inet", "2001:db8::1");
        assert!(v6.parse::<Ipv6Addr>().is_ok() && !v6.contains("::"), "{v6}");
        assert!(masked(Rule::Bytes, "bytea", "\\\\x00ff").starts_with("\\\\x"));
        assert_eq!(masked(Rule::Empty, "text[]", "{a,b}"), "{}");
        assert_eq!(masked(Rule::Empty, "tsvector", "'ada':1"), "");
        // A tab in a value is escaped on both sides.
        assert_eq!(
            masked(Rule::Json, "text", "{\"id\":\"evt_1\",\\t\"a\":1}"),
            "{\"id\":\"evt_1\",\\t\"a\":1}"
        );
        assert!(masked(Rule::Json, "text", "Ada Lovelace").starts_with("masked "));
    }
}
