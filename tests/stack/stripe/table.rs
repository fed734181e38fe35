//! The store: rows in the order of creation, found by id, and by indexed fields, a page at a time.
//!
//! Everything that a list can filter by is an index, so that a page costs its own length and not the table's.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Where a row stands: its second of creation, then the order in which rows came.
pub type Position = (i64, u64);

/// An indexed field and its value.
pub type Key = (&'static str, Arc<str>);

/// Which end of the table a list starts at.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Cursor {
    #[default]
    Newest,
    /// Rows older than this one.
    After(Position),
    /// Rows newer than this one, those nearest to it.
    Before(Position),
}

/// What to list.
#[derive(Debug)]
pub struct Query {
    /// Every clause must hold; a clause holds when one of its keys does.
    pub clauses: Vec<Vec<Key>>,
    /// Seconds of creation, first and last.
    pub created: (i64, i64),
    pub cursor: Cursor,
    pub limit: usize,
}

impl Default for Query {
    fn default() -> Self {
        Self { clauses: Vec::new(), created: (i64::MIN, i64::MAX), cursor: Cursor::Newest, limit: usize::MAX }
    }
}

struct Row<B> {
    keys: Vec<Key>,
    body: B,
}

/// Rows of one type in one account.
pub struct Table<B> {
    rows: BTreeMap<Position, Row<B>>,
    /// Keeps the places of removed rows, so that a list can go on from one.
    places: HashMap<Arc<str>, Position>,
    index: HashMap<Key, BTreeSet<Position>>,
    next: u64,
}

impl<B> Default for Table<B> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), places: HashMap::new(), index: HashMap::new(), next: 0 }
    }
}

impl<B> Table<B> {
    pub fn insert(&mut self, id: Arc<str>, created: i64, keys: Vec<Key>, body: B) {
        let place = (created, self.next);
        self.next += 1;
        for key in &keys {
            self.index.entry(key.clone()).or_default().insert(place);
        }
        self.places.insert(id, place);
        self.rows.insert(place, Row { keys, body });
    }

    /// Puts a new body and keys in the place of a row. Does nothing when the row is gone.
    pub fn replace(&mut self, id: &str, keys: Vec<Key>, body: B) {
        let Some(place) = self.places.get(id).copied() else { return };
        let Some(row) = self.rows.get_mut(&place) else { return };
        row.body = body;
        if row.keys != keys {
            let old = std::mem::replace(&mut row.keys, keys.clone());
            self.unindex(&old, place);
            for key in keys {
                self.index.entry(key).or_default().insert(place);
            }
        }
    }

    pub fn remove(&mut self, id: &str) -> Option<B> {
        let place = *self.places.get(id)?;
        let row = self.rows.remove(&place)?;
        self.unindex(&row.keys, place);
        Some(row.body)
    }

    fn unindex(&mut self, keys: &[Key], place: Position) {
        for key in keys {
            if let Some(places) = self.index.get_mut(key) {
                places.remove(&place);
                if places.is_empty() {
                    self.index.remove(key);
                }
            }
        }
    }

    pub fn get(&self, id: &str) -> Option<&B> {
        self.rows.get(self.places.get(id)?).map(|row| &row.body)
    }

    /// Where a row stands or stood.
    pub fn position(&self, id: &str) -> Option<Position> {
        self.places.get(id).copied()
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// One page, newest first, and whether more follow in the cursor's direction.
    pub fn page(&self, query: &Query) -> (Vec<&B>, bool) {
        let mut from = (query.created.0, 0);
        let mut until = (query.created.1, u64::MAX);
        let upwards = match query.cursor {
            Cursor::Newest => false,
            Cursor::After(place) => {
                until = until.min(before(place));
                false
            }
            Cursor::Before(place) => {
                from = from.max((place.0, place.1 + 1));
                true
            }
        };
        if from > until {
            return (Vec::new(), false);
        }
        let mut found: Vec<&B> = self
            .places_in(&query.clauses, from, until, upwards)
            .take(query.limit.saturating_add(1))
            .filter_map(|place| self.rows.get(&place).map(|row| &row.body))
            .collect();
        let more = found.len() > query.limit;
        found.truncate(query.limit);
        if upwards {
            found.reverse();
        }
        (found, more)
    }

    /// The values that an indexed field has, in no order. Costs the number of all values of all fields.
    pub fn values_of(&self, field: &'static str) -> impl Iterator<Item = &Key> {
        self.index.keys().filter(move |key| key.0 == field)
    }

    /// The bodies of all rows, oldest first.
    pub fn bodies(&self) -> impl Iterator<Item = &B> {
        self.rows.values().map(|row| &row.body)
    }

    fn places_in<'t>(
        &'t self,
        clauses: &[Vec<Key>],
        from: Position,
        until: Position,
        upwards: bool,
    ) -> Places<'t> {
        let mut sets: Vec<Vec<&BTreeSet<Position>>> =
            clauses.iter().map(|keys| keys.iter().filter_map(|key| self.index.get(key)).collect()).collect();
        sets.sort_by_key(|sets| sets.iter().map(|set| set.len()).sum::<usize>());
        if sets.is_empty() {
            let all = self.rows.range(from..=until).map(|(place, _)| *place);
            return directed(all, upwards);
        }
        // The rarest clause leads; the others only confirm.
        let leading = sets
            .remove(0)
            .into_iter()
            .map(|set| directed(set.range(from..=until).copied(), upwards).peekable());
        let merged = Merged { heads: leading.collect(), upwards };
        Box::new(merged.filter(move |place| sets.iter().all(|any| any.iter().any(|set| set.contains(place)))))
    }
}

type Places<'t> = Box<dyn Iterator<Item = Position> + 't>;

fn directed<'t>(places: impl DoubleEndedIterator<Item = Position> + 't, upwards: bool) -> Places<'t> {
    if upwards { Box::new(places) } else { Box::new(places.rev()) }
}

/// The position just before another.
fn before(place: Position) -> Position {
    match place.1.checked_sub(1) {
        Some(order) => (place.0, order),
        None => (place.0.saturating_sub(1), u64::MAX),
    }
}

/// Several ordered runs of positions as one, each position once.
struct Merged<'t> {
    heads: Vec<std::iter::Peekable<Places<'t>>>,
    upwards: bool,
}

impl Iterator for Merged<'_> {
    type Item = Position;

    fn next(&mut self) -> Option<Position> {
        let heads = self.heads.iter_mut().filter_map(|head| head.peek().copied());
        let next = if self.upwards { heads.min() } else { heads.max() }?;
        for head in &mut self.heads {
            head.next_if_eq(&next);
        }
        Some(next)
    }
}
