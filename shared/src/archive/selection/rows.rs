//! The rows of a window as SQL: those that were created in it, and every row that these refer to.
//!
//! The needed rows of a table are its own of the window, and whatever the needed rows of the tables that refer to
//! it need. So one `WITH` list names, for a table, what every table that leads to it needs, each by `ctid`, which is
//! stable in a snapshot. Tables that refer to each other in a circle, or to themselves, share one recursive query
//! over pairs of table and `ctid`.

use std::collections::{BTreeMap, BTreeSet};

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::catalog::ForeignKey;
use super::closure::Closure;
use super::created::{Created, Own, TimeType, Times};
use super::window::Window;
use crate::archive::schema::strong_components;
use crate::archive::session::quote_ident;

const SQL_TIME: &[BorrowedFormatItem<'static>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:6]");

/// Writes the conditions of a window's tables.
pub(super) struct Needed<'a> {
    times: &'a Times,
    window: &'a Window,
    /// Quoted names by oid.
    idents: BTreeMap<i64, String>,
    /// The foreign keys that lead to a table.
    keys_to: BTreeMap<i64, Vec<&'a ForeignKey>>,
    /// Groups of tables that refer to each other, each after the groups that refer to it.
    groups: Vec<Vec<i64>>,
}

impl<'a> Needed<'a> {
    pub(super) fn new(
        closure: &'a Closure,
        times: &'a Times,
        window: &'a Window,
        idents: BTreeMap<i64, String>,
    ) -> Self {
        let tables: Vec<i64> = closure.tables.iter().copied().collect();
        let position = |oid: i64| tables.binary_search(&oid).expect("a key's ends are in the closure");
        let mut led_to_by = vec![Vec::new(); tables.len()];
        let mut keys_to: BTreeMap<i64, Vec<&ForeignKey>> = BTreeMap::new();
        for key in &closure.keys {
            keys_to.entry(key.parent).or_default().push(key);
            led_to_by[position(key.parent)].push(position(key.child));
        }
        let groups = strong_components(&led_to_by)
            .into_iter()
            .map(|group| group.into_iter().map(|at| tables[at]).collect())
            .collect();
        Self { times, window, idents, keys_to, groups }
    }

    /// What follows `WHERE` for the rows that `table` gives, or nothing where it gives all.
    pub(super) fn condition(&self, table: i64) -> Option<String> {
        let is_referred_to = !self.keys_to(table).is_empty();
        match (self.own(table), self.times.created.get(&table)) {
            (Own::Whole, _) => None,
            (Own::Nothing, _) if !is_referred_to => Some("false".to_owned()),
            (Own::InWindow, Some(Created::Column(column, kind))) if !is_referred_to => {
                Some(self.in_window(column, *kind))
            }
            _ => Some(format!(
                "ctid IN (WITH RECURSIVE {} SELECT tid FROM needed_{table})",
                self.queries(table)
            )),
        }
    }

    fn keys_to(&self, table: i64) -> &[&'a ForeignKey] {
        self.keys_to.get(&table).map_or(&[], Vec::as_slice)
    }

    fn own(&self, table: i64) -> Own {
        self.times.own.get(&table).copied().unwrap_or(Own::Nothing)
    }

    fn in_window(&self, column: &str, kind: TimeType) -> String {
        let column = quote_ident(column);
        let time = |time: OffsetDateTime| {
            let text = time.to_offset(time::UtcOffset::UTC).format(SQL_TIME).expect("a time of this era");
            match kind {
                TimeType::Zoned => format!("'{text}+00'::pg_catalog.timestamptz"),
                TimeType::Utc => format!("'{text}'::pg_catalog.timestamp"),
            }
        };
        format!("{column} >= {} AND {column} < {}", time(self.window.from), time(self.window.to))
    }

    /// The list that ends in `needed_<table>`.
    fn queries(&self, table: i64) -> String {
        let leading = self.leading_to(table);
        let groups: Vec<&Vec<i64>> =
            self.groups.iter().filter(|group| group.iter().any(|oid| leading.contains(oid))).collect();
        let mut queries = Vec::new();
        let mut dated = BTreeSet::new();
        for oid in groups.iter().flat_map(|group| *group) {
            if self.own(*oid) == Own::InWindow {
                self.date(*oid, &mut dated, &mut queries);
            }
        }
        for group in groups {
            if self.refers_to_itself(group) {
                queries.extend(self.recursive(group));
            } else {
                queries.push(self.plain(group[0]));
            }
        }
        queries.join(", ")
    }

    /// The tables from which foreign keys lead to `table`, and itself.
    fn leading_to(&self, table: i64) -> BTreeSet<i64> {
        let mut leading = BTreeSet::from([table]);
        let mut open = vec![table];
        while let Some(parent) = open.pop() {
            let children = self.keys_to(parent).iter().map(|key| key.child);
            open.extend(children.filter(|child| leading.insert(*child)));
        }
        leading
    }

    /// `created_<table>`: the rows of the window, whether they are taken or only date others.
    fn date(&self, table: i64, dated: &mut BTreeSet<i64>, queries: &mut Vec<String>) {
        if !dated.insert(table) {
            return;
        }
        let rows = match self.times.created.get(&table) {
            Some(Created::Column(column, kind)) => {
                let condition = self.in_window(column, *kind);
                vec![format!("SELECT ctid FROM ONLY {} WHERE {condition}", self.ident(table))]
            }
            Some(Created::With(keys)) => {
                keys.iter().for_each(|key| self.date(key.parent, dated, queries));
                keys.iter()
                    .map(|key| {
                        format!(
                            "SELECT c.ctid FROM created_{} AS n JOIN ONLY {} AS p ON p.ctid = n.tid JOIN ONLY {} AS c ON {}",
                            key.parent,
                            self.ident(key.parent),
                            self.ident(key.child),
                            key.join_condition()
                        )
                    })
                    .collect()
            }
            None => Vec::new(),
        };
        queries.push(format!("created_{table} (tid) AS ({})", union(rows)));
    }

    /// A table's own rows.
    fn own_rows(&self, table: i64) -> Option<String> {
        match self.own(table) {
            Own::InWindow => Some(format!("SELECT tid FROM created_{table}")),
            Own::Whole => Some(format!("SELECT ctid FROM ONLY {}", self.ident(table))),
            Own::Nothing => None,
        }
    }

    /// The rows that needed rows of the key's child refer to.
    fn referred_to(&self, key: &ForeignKey) -> String {
        format!(
            "SELECT p.ctid FROM needed_{} AS n JOIN ONLY {} AS c ON c.ctid = n.tid JOIN ONLY {} AS p ON {}",
            key.child,
            self.ident(key.child),
            self.ident(key.parent),
            key.join_condition()
        )
    }

    fn plain(&self, table: i64) -> String {
        let referred_to = self.keys_to(table).iter().map(|key| self.referred_to(key));
        let rows = self.own_rows(table).into_iter().chain(referred_to).collect();
        format!("needed_{table} (tid) AS ({})", union(rows))
    }

    fn refers_to_itself(&self, group: &[i64]) -> bool {
        group.len() > 1 || self.keys_to(group[0]).iter().any(|key| key.child == group[0])
    }

    fn recursive(&self, group: &[i64]) -> Vec<String> {
        let circle = format!("circle_{}", group[0]);
        let mut start = Vec::new();
        let mut steps = Vec::new();
        for table in group {
            start.extend(self.own_rows(*table).map(|rows| (table, rows)));
            for key in self.keys_to(*table) {
                if group.contains(&key.child) {
                    steps.push(format!(
                        "SELECT {table}::int8, p.ctid FROM ONLY {} AS c JOIN ONLY {} AS p ON {} WHERE s.rel = {} AND c.ctid = s.tid",
                        self.ident(key.child),
                        self.ident(key.parent),
                        key.join_condition(),
                        key.child
                    ));
                } else {
                    start.push((table, self.referred_to(key)));
                }
            }
        }
        let start: Vec<String> = start
            .into_iter()
            .map(|(table, rows)| format!("SELECT {table}::int8, r.tid FROM ({rows}) AS r (tid)"))
            .collect();
        let start = if start.is_empty() {
            "SELECT NULL::int8, NULL::pg_catalog.tid WHERE false".to_owned()
        } else {
            start.join(" UNION ")
        };
        let mut queries = vec![format!(
            "{circle} (rel, tid) AS (({start}) UNION SELECT r.rel, r.tid FROM {circle} AS s CROSS JOIN LATERAL ({}) AS r (rel, tid))",
            steps.join(" UNION ALL ")
        )];
        queries.extend(
            group.iter().map(|table| {
                format!("needed_{table} (tid) AS (SELECT tid FROM {circle} WHERE rel = {table})")
            }),
        );
        queries
    }

    fn ident(&self, table: i64) -> &str {
        self.idents.get(&table).map_or("", String::as_str)
    }
}

fn union(rows: Vec<String>) -> String {
    if rows.is_empty() { "SELECT NULL::pg_catalog.tid WHERE false".to_owned() } else { rows.join(" UNION ") }
}
