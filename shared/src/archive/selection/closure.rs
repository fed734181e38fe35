//! Which tables a selection holds: those it names, and those that their foreign keys refer to, at any distance.

use std::collections::BTreeSet;

use super::catalog::{Catalog, ForeignKey};

/// Tables that stand on their own: no foreign key leads out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Closure {
    /// The tables with rows that were asked for.
    pub(super) roots: BTreeSet<i64>,
    /// All tables with rows, the roots among them.
    pub(super) tables: BTreeSet<i64>,
    /// Partitioned tables that belong to them.
    pub(super) partitioned: BTreeSet<i64>,
    /// The foreign keys between them, each from one table with rows to one.
    pub(super) keys: Vec<ForeignKey>,
}

impl Closure {
    /// Closes the tables `named`, which may be partitioned, over their foreign keys.
    pub(super) fn of(catalog: &Catalog, named: &BTreeSet<i64>) -> Self {
        let mut closure = Self::default();
        for oid in named {
            closure.partitioned.extend(catalog.partitioned_below(*oid));
            closure.roots.extend(catalog.named(*oid));
        }
        let mut open: Vec<i64> = closure.roots.iter().copied().collect();
        closure.tables.clone_from(&closure.roots);
        while let Some(child) = open.pop() {
            for key in catalog.keys_of(child) {
                closure.partitioned.extend(catalog.partitioned_below(key.parent));
                for parent in catalog.referenced(key.parent) {
                    if closure.tables.insert(parent) {
                        open.push(parent);
                    }
                    // A key to a partitioned table is in the catalog once more for each partition.
                    let key = key.between(child, parent);
                    if !closure.keys.contains(&key) {
                        closure.keys.push(key);
                    }
                }
            }
        }
        closure
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalog::Relation;
    use super::*;
    use crate::archive::selection::fixtures::{foreign_key, relation};

    fn closure(relations: Vec<Relation>, keys: &[(i64, i64)], named: &[i64]) -> (Vec<i64>, Vec<i64>) {
        let keys = keys.iter().map(|(child, parent)| foreign_key(*child, *parent)).collect();
        let catalog = Catalog::new(relations, keys);
        let closure = Closure::of(&catalog, &named.iter().copied().collect());
        (closure.tables.into_iter().collect(), closure.partitioned.into_iter().collect())
    }

    fn tables(count: i64) -> Vec<Relation> {
        (1..=count).map(|oid| relation(oid, "r", &[])).collect()
    }

    #[test]
    fn what_a_table_refers_to_comes_with_it_and_what_refers_to_it_does_not() {
        assert_eq!(closure(tables(4), &[(1, 2), (2, 3), (4, 2)], &[1]).0, [1, 2, 3]);
        assert_eq!(closure(tables(3), &[(1, 2), (2, 1), (2, 2), (3, 1)], &[2]).0, [1, 2]);
    }

    #[test]
    fn a_key_to_a_partitioned_table_means_each_of_its_partitions() {
        let relations = vec![
            relation(1, "r", &[]),
            relation(2, "p", &[]),
            relation(3, "r", &[2]),
            relation(4, "p", &[2]),
            relation(5, "r", &[4]),
        ];
        // The catalog has the key again for each partition.
        let keys = [(1, 2), (1, 3), (1, 4), (1, 5)];
        assert_eq!(closure(relations.clone(), &keys, &[1]), (vec![1, 3, 5], vec![2, 4]));
        assert_eq!(closure(relations, &keys, &[4]), (vec![5], vec![4]));
    }

    #[test]
    fn a_name_stands_for_inheritance_children_and_a_key_does_not() {
        let relations = vec![relation(1, "r", &[]), relation(2, "r", &[1]), relation(3, "r", &[])];
        assert_eq!(closure(relations.clone(), &[], &[1]).0, [1, 2]);
        assert_eq!(closure(relations, &[(3, 1)], &[3]).0, [1, 3]);
    }
}
