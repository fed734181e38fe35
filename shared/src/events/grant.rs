//! What a price, a product or a line grants to its buyer, as the seller wrote it into metadata:
//! `recoup_kind` (one of [`KINDS`]), `recoup_ref` (which one; a path lists its courses, separated by commas) and
//! `recoup_quantity` (how many for each unit bought; 1 where it is absent). A plan is granted by the invoices that
//! bill it, all else by the order.

use super::field::{Fault, Metadata, Text};

/// The kinds that can be granted.
pub const KINDS: [&str; 6] = ["course", "path", "coaching", "ticket", "credits", "plan"];

/// What one unit grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// One of [`KINDS`].
    pub kind: String,
    /// Which course, courses, coaching, event, sort of credits or plan.
    pub reference: String,
    /// How many for each unit bought.
    pub quantity: i64,
}

impl Grant {
    /// Reads metadata; `None` where it says nothing of a grant.
    ///
    /// # Errors
    /// The key that is missing or wrong.
    pub fn from_metadata(path: &str, metadata: &Metadata) -> Result<Option<Self>, Fault> {
        let text =
            |key: &str| metadata.get(key).map(Text::as_str).map(str::trim).filter(|text| !text.is_empty());
        let Some(kind) = text("recoup_kind") else { return Ok(None) };
        let quantity = match text("recoup_quantity") {
            None => 1,
            Some(text) => text.parse().map_err(|_| {
                Fault::new(format!("{path}.recoup_quantity"), "expected a whole number from 1")
            })?,
        };
        let reference = text("recoup_ref")
            .ok_or_else(|| Fault::new(format!("{path}.recoup_ref"), "missing beside recoup_kind"))?;
        Self::new(path, kind, reference, quantity).map(Some)
    }

    /// A grant whose parts were checked.
    ///
    /// # Errors
    /// The part that is wrong.
    pub fn new(path: &str, kind: &str, reference: &str, quantity: i64) -> Result<Self, Fault> {
        if !KINDS.contains(&kind) {
            return Err(Fault::new(
                format!("{path}.recoup_kind"),
                format!("expected one of {}", KINDS.join(", ")),
            ));
        }
        if !(1..=1_000_000_000).contains(&quantity) {
            return Err(Fault::new(format!("{path}.recoup_quantity"), "expected a whole number from 1"));
        }
        Ok(Self { kind: kind.to_owned(), reference: reference.to_owned(), quantity })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(pairs: &[(&str, &str)]) -> Metadata {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), Text::from(*value))).collect()
    }

    #[test]
    fn metadata_says_what_is_granted() {
        let grant = Grant::from_metadata(
            "metadata",
            &metadata(&[("recoup_kind", "course"), ("recoup_ref", "rust-101")]),
        );
        let expected = Grant { kind: "course".into(), reference: "rust-101".into(), quantity: 1 };
        assert_eq!(grant, Ok(Some(expected)));
        assert_eq!(Grant::from_metadata("metadata", &metadata(&[("colour", "red")])), Ok(None));
    }

    #[test]
    fn a_mistake_is_named() {
        let cases = [
            (&[("recoup_kind", "coarse"), ("recoup_ref", "x")][..], "metadata.recoup_kind"),
            (&[("recoup_kind", "course")][..], "metadata.recoup_ref"),
            (
                &[("recoup_kind", "credits"), ("recoup_ref", "x"), ("recoup_quantity", "0")][..],
                "metadata.recoup_quantity",
            ),
            (
                &[("recoup_kind", "credits"), ("recoup_ref", "x"), ("recoup_quantity", "1.5")][..],
                "metadata.recoup_quantity",
            ),
        ];
        for (pairs, named) in cases {
            let fault = Grant::from_metadata("metadata", &metadata(pairs)).expect_err("a fault").to_string();
            assert!(fault.starts_with(named), "{fault}");
        }
    }
}
