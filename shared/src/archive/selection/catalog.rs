//! What the catalog says about tables: what they inherit, what their foreign keys refer to, what columns they have.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{FromRow, PgConnection};

use super::name::{TableName, near};
use crate::archive::error::ArchiveError;
use crate::archive::session::quote_ident;

/// A relation that a request could name.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub(super) struct Relation {
    pub(super) oid: i64,
    pub(super) schema: String,
    pub(super) name: String,
    /// `pg_class.relkind`.
    pub(super) relkind: String,
    pub(super) of_extension: bool,
    /// What it inherits from, or is a partition of.
    pub(super) parents: Vec<i64>,
}

impl Relation {
    pub(super) fn table_name(&self) -> TableName {
        TableName { schema: self.schema.clone(), name: self.name.clone() }
    }

    /// Whether it has rows that a backup copies.
    fn holds_rows(&self) -> bool {
        self.relkind == "r" && !self.of_extension
    }
}

/// One foreign key of one table.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub(super) struct ForeignKey {
    pub(super) child: i64,
    pub(super) parent: i64,
    child_columns: Vec<String>,
    parent_columns: Vec<String>,
    /// `parent OPERATOR child`, qualified.
    operators: Vec<String>,
    /// The referenced column's collation, where the two differ.
    collations: Vec<Option<String>>,
    /// Whether its columns are all in the child's primary key: the row is a part of what it refers to.
    pub(super) in_primary_key: bool,
}

impl ForeignKey {
    /// The condition that joins the child as `c` with the parent as `p`. A null refers to nothing.
    pub(super) fn join_condition(&self) -> String {
        let pairs = self.child_columns.iter().zip(&self.parent_columns);
        let compared = pairs.zip(self.operators.iter().zip(&self.collations)).map(
            |((child, parent), (operator, collation))| {
                let collate = collation.as_ref().map_or(String::new(), |name| format!(" COLLATE {name}"));
                format!("p.{} {operator} c.{}{collate}", quote_ident(parent), quote_ident(child))
            },
        );
        compared.collect::<Vec<_>>().join(" AND ")
    }

    #[cfg(test)]
    pub(super) fn plain(child: i64, parent: i64, child_column: &str, parent_column: &str) -> Self {
        Self {
            child,
            parent,
            child_columns: vec![child_column.to_owned()],
            parent_columns: vec![parent_column.to_owned()],
            operators: vec!["OPERATOR(pg_catalog.=)".to_owned()],
            collations: vec![None],
            in_primary_key: false,
        }
    }

    /// The same key between two partitions. Columns have the same names in a whole tree.
    pub(super) fn between(&self, child: i64, parent: i64) -> Self {
        Self { child, parent, ..self.clone() }
    }
}

/// The tables of a database and what ties them.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    relations: BTreeMap<i64, Relation>,
    children: BTreeMap<i64, Vec<i64>>,
    /// By child.
    keys: BTreeMap<i64, Vec<ForeignKey>>,
}

impl Catalog {
    /// Reads it.
    ///
    /// # Errors
    /// [`ArchiveError::Database`].
    pub(super) async fn read(connection: &mut PgConnection) -> Result<Self, ArchiveError> {
        let relations = sqlx::query_as(include_str!("sql/relations.sql"))
            .persistent(false)
            .fetch_all(&mut *connection)
            .await
            .map_err(|error| ArchiveError::database("list the tables to choose from", &error))?;
        let keys = sqlx::query_as(include_str!("sql/foreign_keys.sql"))
            .persistent(false)
            .fetch_all(connection)
            .await
            .map_err(|error| ArchiveError::database("read the foreign keys", &error))?;
        Ok(Self::new(relations, keys))
    }

    pub(super) fn new(relations: Vec<Relation>, keys: Vec<ForeignKey>) -> Self {
        let mut catalog = Self::default();
        for relation in relations {
            for parent in &relation.parents {
                catalog.children.entry(*parent).or_default().push(relation.oid);
            }
            catalog.relations.insert(relation.oid, relation);
        }
        for key in keys {
            catalog.keys.entry(key.child).or_default().push(key);
        }
        catalog
    }

    pub(super) fn relation(&self, oid: i64) -> &Relation {
        self.relations.get(&oid).expect("only oids of this catalog are handed out")
    }

    /// Finds a table by its name.
    ///
    /// # Errors
    /// [`ArchiveError::UnknownTable`], with the names that are near.
    pub(super) fn find(&self, wanted: &TableName) -> Result<&Relation, ArchiveError> {
        let found =
            self.relations.values().find(|one| one.schema == wanted.schema && one.name == wanted.name);
        let reason = match found.map(|relation| (relation, relation.relkind.as_str())) {
            Some((relation, "r" | "p")) if !relation.of_extension => return Ok(relation),
            Some((_, "r" | "p")) => "it belongs to an extension, which brings its rows itself".to_owned(),
            Some((_, "f")) => "it is a foreign table, whose rows are elsewhere".to_owned(),
            Some(_) => "it is a view and holds no rows of its own; name the tables that it reads".to_owned(),
            None => {
                let tables = self.relations.values().filter(|one| matches!(one.relkind.as_str(), "r" | "p"));
                let names: Vec<String> =
                    tables.filter(|one| !one.of_extension).map(|one| one.table_name().to_string()).collect();
                match near(&wanted.to_string(), names.iter().map(String::as_str)).as_slice() {
                    [] => "there is no such table; names are as in SQL, folded to lower case unless quoted"
                        .to_owned(),
                    near => format!("there is no such table; did you mean {}?", near.join(" or ")),
                }
            }
        };
        Err(ArchiveError::UnknownTable { table: wanted.to_string(), reason })
    }

    /// The tables with rows that a name stands for: the table's own, and those of its partitions or of the
    /// tables that inherit from it, as a query of it would show them.
    pub(super) fn named(&self, oid: i64) -> BTreeSet<i64> {
        self.descend(oid, |_| true)
    }

    /// The tables with rows that a foreign key to this table can mean: its partitions' rows are its own, an
    /// inheritance child's are not.
    pub(super) fn referenced(&self, oid: i64) -> BTreeSet<i64> {
        self.descend(oid, |relation| relation.relkind == "p")
    }

    fn descend(&self, oid: i64, goes_on: impl Fn(&Relation) -> bool) -> BTreeSet<i64> {
        let mut found = BTreeSet::new();
        let mut open = vec![oid];
        let mut seen = BTreeSet::from([oid]);
        while let Some(oid) = open.pop() {
            let Some(relation) = self.relations.get(&oid) else { continue };
            if relation.holds_rows() {
                found.insert(oid);
            }
            if goes_on(relation) {
                let children = self.children.get(&oid).into_iter().flatten();
                open.extend(children.copied().filter(|child| seen.insert(*child)));
            }
        }
        found
    }

    /// The partitioned tables at and below this one: they hold no rows, and belong to its definition.
    pub(super) fn partitioned_below(&self, oid: i64) -> BTreeSet<i64> {
        let mut found = BTreeSet::new();
        let mut open = vec![oid];
        while let Some(oid) = open.pop() {
            let is_partitioned = self.relations.get(&oid).is_some_and(|relation| relation.relkind == "p");
            if is_partitioned && found.insert(oid) {
                open.extend(self.children.get(&oid).into_iter().flatten());
            }
        }
        found
    }

    /// What the rows of `child` refer to.
    pub(super) fn keys_of(&self, child: i64) -> &[ForeignKey] {
        self.keys.get(&child).map_or(&[], Vec::as_slice)
    }

    /// Every table with rows, of all schemas or of these.
    pub(super) fn tables_of(&self, schemas: Option<&[String]>) -> BTreeSet<i64> {
        let wanted = |relation: &&Relation| schemas.is_none_or(|names| names.contains(&relation.schema));
        let all = self.relations.values().filter(|relation| relation.holds_rows());
        all.filter(wanted).map(|relation| relation.oid).collect()
    }
}

/// A column, with the type that a domain stands for.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub(super) struct Column {
    relation: i64,
    pub(super) name: String,
    pub(super) type_name: String,
}

#[cfg(test)]
impl Column {
    pub(super) fn new(relation: i64, name: &str, type_name: &str) -> Self {
        Self { relation, name: name.to_owned(), type_name: type_name.to_owned() }
    }
}

/// Reads the columns of `tables`.
///
/// # Errors
/// [`ArchiveError::Database`].
pub(super) async fn read_columns(
    connection: &mut PgConnection,
    tables: &BTreeSet<i64>,
) -> Result<BTreeMap<i64, Vec<Column>>, ArchiveError> {
    let oids: Vec<i64> = tables.iter().copied().collect();
    let columns: Vec<Column> = sqlx::query_as(include_str!("sql/columns.sql"))
        .bind(oids)
        .persistent(false)
        .fetch_all(connection)
        .await
        .map_err(|error| ArchiveError::database("read the columns", &error))?;
    let mut by_table: BTreeMap<i64, Vec<Column>> = BTreeMap::new();
    for column in columns {
        by_table.entry(column.relation).or_default().push(column);
    }
    Ok(by_table)
}
