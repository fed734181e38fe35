//! Views and materialised views.

use std::collections::HashMap;

use super::{
    catalog::{Class, Key},
    columns::ColumnRow,
    graph::Graph,
    node::Body,
    statement::{ObjectKind, Phase, Unsupported},
    tables::TableRow,
};

/// Adds one view (`relkind` v or m).
pub(super) fn add_view(graph: &mut Graph, view: &TableRow, columns: &[ColumnRow]) {
    let key = Key::relation(view.oid);
    let query = view.query.as_deref().unwrap_or_default().trim_end().trim_end_matches(';');
    let options = match view.options.as_slice() {
        [] => String::new(),
        options => format!(" WITH ({})", options.join(", ")),
    };
    let method = view.access_method.as_ref().map(|m| format!(" USING {m}")).unwrap_or_default();
    let mut node = if view.relkind == "m" {
        let sql =
            format!("CREATE MATERIALIZED VIEW {}{method}{options} AS\n{query}\nWITH NO DATA", view.ident);
        let target = format!("MATERIALIZED VIEW {}", view.ident);
        view.node(key, ObjectKind::MaterializedView, Phase::PreData, target, Body::Sql(sql))
    } else {
        let stand_ins: Vec<String> = columns.iter().map(ColumnRow::stand_in).collect();
        let body = Body::View {
            stub: format!("CREATE VIEW {} AS\nSELECT {}", view.ident, stand_ins.join(",\n    ")),
            sql: format!("CREATE VIEW {}{options} AS\n{query}", view.ident),
            replace: format!("CREATE OR REPLACE VIEW {}{options} AS\n{query}", view.ident),
        };
        view.node(key, ObjectKind::View, Phase::PreData, format!("VIEW {}", view.ident), body)
    };
    for column in columns {
        if view.relkind == "m" {
            node.more.extend(column.sql(view, None).more);
        } else if let Some(default) = column.default_node(view) {
            graph.needs(default.key, key);
            graph.add(default);
        }
    }
    graph.add(node);
}

/// Adds the filling of each materialised view that has data: after those it reads from, directly or through
/// other views. One that reads from an unfilled one cannot be filled, and is named.
pub(super) fn add_refreshes(graph: &mut Graph, tables: &[TableRow]) {
    let views: HashMap<i64, &TableRow> =
        tables.iter().filter(|t| t.relkind == "m").map(|t| (t.oid, t)).collect();
    let mut oids: Vec<i64> = views.keys().copied().collect();
    oids.sort_unstable();
    let keys: Vec<Key> = oids.iter().copied().map(Key::relation).collect();
    let reads = graph.reachable(&keys);
    for oid in oids {
        let view = views[&oid];
        if !view.is_populated {
            continue;
        }
        let sources: Vec<&&TableRow> = views
            .values()
            .filter(|source| {
                source.oid != oid && reads[&Key::relation(oid)].contains(&Key::relation(source.oid))
            })
            .collect();
        if let Some(empty) = sources.iter().find(|source| !source.is_populated) {
            graph.unsupported.push(Unsupported {
                kind: "materialized view data".into(),
                name: view.ident.clone(),
                why: format!("it reads {}, which holds no data; refresh both by hand", empty.ident),
            });
            continue;
        }
        let key = Key::new(Class::Refresh, oid);
        graph.add(view.node(
            key,
            ObjectKind::MaterializedView,
            Phase::MaterializedViews,
            format!("MATERIALIZED VIEW {}", view.ident),
            Body::Sql(format!("REFRESH MATERIALIZED VIEW {}", view.ident)),
        ));
        graph.needs(key, Key::relation(oid));
        for source in sources {
            graph.needs(key, Key::new(Class::Refresh, source.oid));
        }
    }
}
