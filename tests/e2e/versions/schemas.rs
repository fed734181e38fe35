//! Schemas as `pg_dump` sees them, on each version.

use stack::postgres::{Major, Postgres};

use crate::archive_stack::texts;
use crate::schema_judge::{Server, round_trip};

async fn schemas_come_back(major: Major) {
    let server = Server::on(Postgres::of(major).await.unwrap());
    let schemas = [
        ("shop", include_str!("../schemas/shop.sql")),
        ("awkward", include_str!("../schemas/awkward.sql")),
        ("tenant", include_str!("../schemas/tenant.sql")),
        ("grown", include_str!("../schemas/grown.sql")),
        ("family", include_str!("../schemas/family.sql")),
        ("parts", include_str!("../schemas/parts.sql")),
    ];
    for (name, sql) in schemas {
        let dump = round_trip(&server, &format!("schema_{name}"), sql).await;
        assert_eq!(dump.unsupported, [], "{name} on {major}");
    }
    let parts = "SELECT name FROM pg_available_extensions WHERE name IN ('citext', 'btree_gist', 'pgcrypto')
        UNION SELECT 'ICU' FROM pg_collation WHERE collprovider = 'i'";
    let has = texts(&format!("{}/postgres", server.url()), parts).await;
    assert_eq!(
        has,
        ["ICU", "btree_gist", "citext", "pgcrypto"],
        "Postgres {major} of tests/setup lacks parts"
    );
    let added = [
        (Major::V14, include_str!("../schemas/icu_and_extensions.sql")),
        (Major::V15, include_str!("../schemas/since_15.sql")),
        (Major::V16, include_str!("../schemas/since_16.sql")),
        (Major::V17, include_str!("../schemas/since_17.sql")),
        (Major::V18, include_str!("../schemas/since_18.sql")),
    ];
    for (since, sql) in added.into_iter().filter(|(since, _)| major >= *since) {
        let dump = round_trip(&server, &format!("schema_since_{since}"), sql).await;
        assert_eq!(dump.unsupported, [], "what {since} added, on {major}");
    }
}

#[tokio::test]
async fn schemas_come_back_on_14() {
    schemas_come_back(Major::V14).await;
}

#[tokio::test]
async fn schemas_come_back_on_15() {
    schemas_come_back(Major::V15).await;
}

#[tokio::test]
async fn schemas_come_back_on_16() {
    schemas_come_back(Major::V16).await;
}

#[tokio::test]
async fn schemas_come_back_on_17() {
    schemas_come_back(Major::V17).await;
}

#[tokio::test]
async fn schemas_come_back_on_18() {
    schemas_come_back(Major::V18).await;
}
