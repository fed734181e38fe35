//! Small catalogs for unit tests.

use super::catalog::{ForeignKey, Relation};

/// A table named for its oid.
pub(super) fn relation(oid: i64, relkind: &str, parents: &[i64]) -> Relation {
    Relation {
        oid,
        schema: "s".to_owned(),
        name: format!("t{oid}"),
        relkind: relkind.to_owned(),
        of_extension: false,
        parents: parents.to_vec(),
    }
}

/// `parent_id` refers to `id`.
pub(super) fn foreign_key(child: i64, parent: i64) -> ForeignKey {
    ForeignKey::plain(child, parent, "parent_id", "id")
}

/// The same, and `parent_id` is in the primary key.
pub(super) fn part_of(child: i64, parent: i64) -> ForeignKey {
    let mut key = foreign_key(child, parent);
    key.in_primary_key = true;
    key
}
