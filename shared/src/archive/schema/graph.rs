//! The objects, what each needs, and the order that follows.
//!
//! Order is a topological sort over `pg_depend`, with ties by kind, schema and name, so that the same database
//! always gives the same file. Defaults and checks stand inside their table or domain as long as that makes no
//! cycle; a view in a cycle is first made with empty columns and replaced later.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, HashMap, HashSet},
};

use super::{
    catalog::{Class, Key},
    cycles::{reversed, strong_components},
    node::{Body, Node},
    statement::{ObjectKind, Phase, Unsupported},
};

/// All objects on their way into an order.
#[derive(Default)]
pub(super) struct Graph {
    nodes: Vec<Node>,
    at: HashMap<Key, usize>,
    /// Objects that are part of another one: a row type of its table, a member of its extension.
    alias: HashMap<Key, Key>,
    edges: BTreeSet<(Key, Key)>,
    /// How `COMMENT ON` names what is only a part of another object.
    targets: HashMap<Key, String>,
    refused: HashSet<Key>,
    /// What was taken out because it is not of the chosen tables.
    left_out: HashSet<Key>,
    pub(super) unsupported: Vec<Unsupported>,
}

impl Graph {
    pub(super) fn add(&mut self, node: Node) {
        if let Body::Parts { parts, .. } = &node.body {
            let keys: Vec<Key> = parts.iter().filter_map(|p| p.optional.as_ref()).map(|o| o.key).collect();
            for key in keys {
                self.alias.insert(key, node.key);
            }
        }
        self.at.insert(node.key, self.nodes.len());
        self.nodes.push(node);
    }

    pub(super) fn alias(&mut self, part: Key, whole: Key) {
        self.alias.insert(part, whole);
    }

    /// A part that can bear a comment of its own.
    pub(super) fn part(&mut self, part: Key, whole: Key, target: String) {
        self.alias.insert(part, whole);
        self.targets.insert(part, target);
    }

    /// Gives a part that is known already a name to comment on.
    pub(super) fn name_part(&mut self, part: Key, target: String) {
        self.targets.insert(part, target);
    }

    /// How `COMMENT ON` names this object, if it or the part that it is was made here.
    pub(super) fn target(&self, key: Key) -> Option<&str> {
        match self.at.get(&key) {
            Some(at) => Some(&self.nodes[*at].target),
            None => self.resolve(key).and_then(|_| self.targets.get(&key)).map(String::as_str),
        }
    }

    /// `from` needs `to`.
    pub(super) fn needs(&mut self, from: Key, to: Key) {
        self.edges.insert((from, to));
    }

    pub(super) fn get(&self, key: Key) -> Option<&Node> {
        self.resolve(key).map(|at| &self.nodes[at])
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Node> {
        let at = self.resolve(key)?;
        Some(&mut self.nodes[at])
    }

    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Whether this very object has a node, and is not merely part of one.
    pub(super) fn has(&self, key: Key) -> bool {
        self.at.contains_key(&key)
    }

    fn resolve(&self, key: Key) -> Option<usize> {
        self.wholes(key).find_map(|key| self.at.get(&key).copied())
    }

    /// The object, what it is part of, what that is part of.
    fn wholes(&self, key: Key) -> impl Iterator<Item = Key> {
        // Chains are short (multirange, range, extension); the bound keeps a broken catalog from hanging us.
        std::iter::successors(Some(key), |key| self.alias.get(key).copied()).take(8)
    }

    fn adjacency(&self) -> Vec<Vec<usize>> {
        let mut needs = vec![BTreeSet::new(); self.nodes.len()];
        for (from, to) in &self.edges {
            if let (Some(from), Some(to)) = (self.resolve(*from), self.resolve(*to))
                && from != to
            {
                needs[from].insert(to);
            }
        }
        needs.into_iter().map(|set| set.into_iter().collect()).collect()
    }

    /// Everything that each of these needs, at any distance.
    pub(super) fn reachable(&self, from: &[Key]) -> HashMap<Key, HashSet<Key>> {
        let needs = self.adjacency();
        from.iter()
            .map(|start| {
                let mut seen = HashSet::new();
                let mut open: Vec<usize> = self.resolve(*start).into_iter().collect();
                while let Some(at) = open.pop() {
                    if seen.insert(self.nodes[at].key) {
                        open.extend(&needs[at]);
                    }
                }
                (*start, seen)
            })
            .collect()
    }

    /// What this object needs directly, apart from its parts.
    pub(super) fn needs_of(&self, key: Key) -> Vec<Key> {
        let needs = self.edges.range((key, Key::MIN)..).take_while(|(from, _)| *from == key);
        needs.filter_map(|(_, to)| self.resolve(*to)).map(|at| self.nodes[at].key).collect()
    }

    /// These, and everything that needs one of them, at any distance.
    pub(super) fn needing(&self, these: &HashSet<Key>) -> HashSet<Key> {
        let needed_by = reversed(&self.adjacency());
        let mut found = HashSet::new();
        let mut open: Vec<usize> = these.iter().filter_map(|key| self.at.get(key).copied()).collect();
        while let Some(at) = open.pop() {
            if found.insert(self.nodes[at].key) {
                open.extend(&needed_by[at]);
            }
        }
        found
    }

    /// Takes objects out; from here on they are not missed.
    pub(super) fn remove(&mut self, these: &HashSet<Key>) {
        self.nodes.retain(|node| !these.contains(&node.key));
        self.at = self.nodes.iter().enumerate().map(|(at, node)| (node.key, at)).collect();
        self.left_out.extend(these);
    }

    /// Makes the order possible: takes cycles apart, and moves what has to wait into later phases.
    pub(super) fn settle(&mut self) {
        self.break_cycles();
        self.stub_late_views();
        let needs = self.adjacency();
        self.promote(&needs);
    }

    /// Takes cycles apart; what cannot be is named and cut.
    fn break_cycles(&mut self) {
        loop {
            let needs = self.adjacency();
            let cycles: Vec<Vec<usize>> =
                strong_components(&needs).into_iter().filter(|c| c.len() > 1).collect();
            if cycles.is_empty() {
                return;
            }
            for cycle in cycles {
                if !self.split_parts(&cycle) && !self.split_view(&cycle) {
                    self.cut(&cycle);
                }
            }
        }
    }

    /// A table whose column holds a view's row needs the view before the data; if the view has to wait for a primary
    /// key, it is made in two steps.
    fn stub_late_views(&mut self) {
        loop {
            let needs = self.adjacency();
            let late = self.late(&needs);
            let mut open: Vec<usize> = (0..needs.len())
                .filter(|at| {
                    late[*at] && matches!(self.nodes[*at].kind, ObjectKind::Table | ObjectKind::Type)
                })
                .collect();
            let mut seen: HashSet<usize> = open.iter().copied().collect();
            while let Some(at) = open.pop() {
                open.extend(needs[at].iter().copied().filter(|need| late[*need] && seen.insert(*need)));
            }
            let seen: Vec<usize> = seen.into_iter().collect();
            if !self.split_view(&seen) {
                return;
            }
        }
    }

    /// Which objects of before the data need something of after it.
    fn late(&self, needs: &[Vec<usize>]) -> Vec<bool> {
        let mut late = vec![false; needs.len()];
        let needed_by = reversed(needs);
        let mut open: Vec<usize> =
            (0..needs.len()).filter(|at| self.nodes[*at].phase != Phase::PreData).collect();
        while let Some(at) = open.pop() {
            for next in &needed_by[at] {
                if self.nodes[*next].phase == Phase::PreData && !late[*next] {
                    late[*next] = true;
                    open.push(*next);
                }
            }
        }
        late
    }

    /// Takes out of the tables and domains of a cycle the defaults and checks that close it.
    fn split_parts(&mut self, cycle: &[usize]) -> bool {
        let members: HashSet<usize> = cycle.iter().copied().collect();
        let mut closing: HashSet<Key> = HashSet::new();
        for (from, to) in &self.edges {
            if let (Some(at), Some(target)) = (self.resolve(*from), self.resolve(*to))
                && at != target
                && members.contains(&at)
                && members.contains(&target)
            {
                closing.insert(*from);
            }
        }
        let mut apart = Vec::new();
        for at in cycle {
            let whole = self.nodes[*at].key;
            if let Body::Parts { parts, .. } = &mut self.nodes[*at].body {
                for part in parts {
                    let Some(optional) = &mut part.optional else { continue };
                    if closing.contains(&optional.key)
                        && let Some(node) = optional.alone.take()
                    {
                        part.optional = None;
                        apart.push((*node, whole));
                    }
                }
            }
        }
        let split = !apart.is_empty();
        for (node, whole) in apart {
            self.alias.remove(&node.key);
            self.needs(node.key, whole);
            self.add(node);
        }
        split
    }

    /// Makes the first view of a cycle in two steps.
    fn split_view(&mut self, cycle: &[usize]) -> bool {
        let mut views: Vec<usize> = cycle
            .iter()
            .copied()
            .filter(|at| {
                self.nodes[*at].key.class == Class::Relation
                    && matches!(self.nodes[*at].body, Body::View { .. })
            })
            .collect();
        views.sort_by(|a, b| self.nodes[*a].rank().cmp(&self.nodes[*b].rank()));
        let Some(at) = views.first().copied() else { return false };
        let mut whole = self.nodes[at].clone();
        let Body::View { stub, replace, .. } = whole.body.clone() else { return false };
        self.nodes[at].body = Body::Sql(stub);
        let view = whole.key;
        whole.key = Key::new(Class::ViewBody, view.oid);
        whole.body = Body::Sql(replace);
        whole.more.clear();
        for (part, of) in &mut self.alias {
            if *of == view && part.class == Class::Rewrite {
                *of = whole.key;
            }
        }
        self.needs(whole.key, view);
        self.add(whole);
        true
    }

    fn cut(&mut self, cycle: &[usize]) {
        let mut members = cycle.to_vec();
        members.sort_by(|a, b| self.nodes[*a].rank().cmp(&self.nodes[*b].rank()));
        let first = members[0];
        let node = &self.nodes[first];
        self.unsupported.push(Unsupported {
            kind: "circular dependency".into(),
            name: node.target.clone(),
            why: "is made before something it depends on; making it may fail".into(),
        });
        let inside: HashSet<usize> = members.into_iter().collect();
        let kept = self
            .edges
            .iter()
            .filter(|(from, to)| {
                !(self.resolve(*from) == Some(first)
                    && self.resolve(*to).is_some_and(|to| inside.contains(&to)))
            })
            .copied()
            .collect();
        self.edges = kept;
    }

    /// Marks what is named as unsupported already.
    pub(super) fn refuse(&mut self, key: Key, unsupported: Unsupported) {
        self.refused.insert(key);
        self.unsupported.push(unsupported);
    }

    /// Whether this object, or what it is part of, was made here or named as unsupported.
    pub(super) fn accounts_for(&self, key: Key) -> bool {
        self.resolve(key).is_some()
            || self.wholes(key).any(|key| self.left_out.contains(&key))
            || self.refused.contains(&key)
            || self.alias.get(&key).is_some_and(|whole| self.refused.contains(whole))
    }

    /// Edges from emitted objects to objects that are neither emitted nor part of one.
    pub(super) fn dangling(&self) -> Vec<(Key, Key)> {
        self.edges
            .iter()
            .filter(|(from, to)| self.resolve(*from).is_some() && self.resolve(*to).is_none())
            .copied()
            .collect()
    }

    /// The nodes in order, with the positions of what each needs. Call [`Graph::settle`] first.
    pub(super) fn order(&self) -> Vec<(Node, Vec<usize>)> {
        let needs = self.adjacency();
        let needed_by = reversed(&needs);
        let mut open: Vec<usize> = needs.iter().map(Vec::len).collect();
        let mut ranks: Vec<usize> = (0..self.nodes.len()).collect();
        ranks.sort_by(|a, b| self.nodes[*a].rank().cmp(&self.nodes[*b].rank()));
        let mut rank_of = vec![0; ranks.len()];
        for (rank, at) in ranks.iter().enumerate() {
            rank_of[*at] = rank;
        }
        let mut ready: BinaryHeap<Reverse<usize>> =
            (0..open.len()).filter(|at| open[*at] == 0).map(|at| Reverse(rank_of[at])).collect();
        let mut order = Vec::with_capacity(open.len());
        while let Some(Reverse(rank)) = ready.pop() {
            let at = ranks[rank];
            order.push(at);
            for next in &needed_by[at] {
                open[*next] -= 1;
                if open[*next] == 0 {
                    ready.push(Reverse(rank_of[*next]));
                }
            }
        }
        // Phases first: within the order found, which already respects every need.
        order.sort_by_key(|at| self.nodes[*at].phase);
        let mut position = vec![0; order.len()];
        for (place, at) in order.iter().enumerate() {
            position[*at] = place;
        }
        order
            .into_iter()
            .map(|at| (self.nodes[at].clone(), needs[at].iter().map(|need| position[*need]).collect()))
            .collect()
    }

    /// Moves what needs something of a later phase into that phase.
    fn promote(&mut self, needs: &[Vec<usize>]) {
        loop {
            let mut changed = false;
            for (at, list) in needs.iter().enumerate() {
                let latest = list.iter().map(|need| self.nodes[*need].phase).max();
                let own = self.nodes[at].phase;
                let Some(latest) = latest.filter(|latest| *latest > own) else { continue };
                let node = &mut self.nodes[at];
                node.phase =
                    if own == Phase::PreData { latest.max(Phase::DependentDefinitions) } else { latest };
                changed = true;
                if own == Phase::PreData && matches!(node.kind, ObjectKind::Table | ObjectKind::Type) {
                    self.unsupported.push(Unsupported {
                        kind: "late definition".into(),
                        name: node.target.clone(),
                        why: "needs something that is made after the data; its own data cannot be loaded"
                            .into(),
                    });
                }
            }
            if !changed {
                return;
            }
        }
    }
}
