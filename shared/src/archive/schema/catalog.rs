//! One way to ask the catalog, and names for what it answers.

use sqlx::{FromRow, PgConnection, postgres::PgRow};

use super::SchemaError;

/// Runs one catalog query; `$1` is the list of schema oids. Never a named statement, so that it also
/// works behind a pooler in transaction mode.
pub(super) async fn rows<T>(
    conn: &mut PgConnection,
    what: &'static str,
    sql: &'static str,
    schemas: &[i64],
) -> Result<Vec<T>, SchemaError>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    sqlx::query_as(sql)
        .bind(schemas)
        .persistent(false)
        .fetch_all(conn)
        .await
        .map_err(|source| SchemaError::Catalog { what, source })
}

/// The `search_path` that was in force, to be put back.
pub(super) struct PinnedSearchPath(String);

impl PinnedSearchPath {
    /// Empties `search_path`, so that `pg_get_*def` qualifies every name that is not built in.
    pub(super) async fn pin(conn: &mut PgConnection) -> Result<Self, SchemaError> {
        let (before,): (String,) = sqlx::query_as("SELECT pg_catalog.current_setting('search_path')")
            .persistent(false)
            .fetch_one(&mut *conn)
            .await
            .map_err(|source| SchemaError::Catalog { what: "search_path", source })?;
        set_search_path(conn, "").await?;
        Ok(Self(before))
    }

    /// Puts the caller's `search_path` back. In a transaction that failed this fails too, and the rollback
    /// does the same.
    pub(super) async fn restore(self, conn: &mut PgConnection) -> Result<(), SchemaError> {
        set_search_path(conn, &self.0).await
    }
}

async fn set_search_path(conn: &mut PgConnection, path: &str) -> Result<(), SchemaError> {
    sqlx::query("SELECT pg_catalog.set_config('search_path', $1, false)")
        .bind(path)
        .persistent(false)
        .execute(conn)
        .await
        .map(drop)
        .map_err(|source| SchemaError::Catalog { what: "search_path", source })
}

/// The catalog that an object lives in, with the sorts of objects that exist only here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Class {
    Namespace,
    Extension,
    Collation,
    Type,
    Proc,
    Operator,
    Opfamily,
    Opclass,
    /// An operator of a class or family.
    OperatorMember,
    /// A support function of a class or family.
    SupportMember,
    Cast,
    TextDictionary,
    TextConfiguration,
    ForeignServer,
    Relation,
    Default,
    Constraint,
    Rewrite,
    Trigger,
    Policy,
    Statistics,
    Conversion,
    Language,
    AccessMethod,
    ForeignDataWrapper,
    TextParser,
    TextTemplate,
    Transform,
    Publication,
    EventTrigger,
    /// The second half of a view that stands in a cycle; oid of the view.
    ViewBody,
    /// Attaching a partition, or a partition's index; oid of the child.
    Attachment,
    /// `ALTER SEQUENCE … OWNED BY`; oid of the sequence.
    OwnedBy,
    /// Filling a materialised view; oid of the view.
    Refresh,
    /// Row security of a table; oid of the table.
    RowSecurity,
    /// What Postgres has and this module does not make.
    Other,
}

impl Class {
    /// The class for a catalog's name, as `regclass` prints it with an empty `search_path`.
    pub(super) fn of_catalog(name: &str) -> Self {
        match name {
            "pg_namespace" => Self::Namespace,
            "pg_extension" => Self::Extension,
            "pg_collation" => Self::Collation,
            "pg_type" => Self::Type,
            "pg_proc" => Self::Proc,
            "pg_operator" => Self::Operator,
            "pg_opfamily" => Self::Opfamily,
            "pg_opclass" => Self::Opclass,
            "pg_amop" => Self::OperatorMember,
            "pg_amproc" => Self::SupportMember,
            "pg_cast" => Self::Cast,
            "pg_ts_dict" => Self::TextDictionary,
            "pg_ts_config" => Self::TextConfiguration,
            "pg_foreign_server" => Self::ForeignServer,
            "pg_class" => Self::Relation,
            "pg_attrdef" => Self::Default,
            "pg_constraint" => Self::Constraint,
            "pg_rewrite" => Self::Rewrite,
            "pg_trigger" => Self::Trigger,
            "pg_policy" => Self::Policy,
            "pg_statistic_ext" => Self::Statistics,
            "pg_event_trigger" => Self::EventTrigger,
            "pg_conversion" => Self::Conversion,
            "pg_language" => Self::Language,
            "pg_am" => Self::AccessMethod,
            "pg_foreign_data_wrapper" => Self::ForeignDataWrapper,
            "pg_ts_parser" => Self::TextParser,
            "pg_ts_template" => Self::TextTemplate,
            "pg_transform" => Self::Transform,
            "pg_publication" => Self::Publication,
            _ => Self::Other,
        }
    }

    /// The catalog's name, for what has one.
    pub(super) fn catalog(self) -> Option<&'static str> {
        match self {
            Self::Namespace => Some("pg_namespace"),
            Self::Extension => Some("pg_extension"),
            Self::Collation => Some("pg_collation"),
            Self::Type => Some("pg_type"),
            Self::Proc => Some("pg_proc"),
            Self::Operator => Some("pg_operator"),
            Self::Opfamily => Some("pg_opfamily"),
            Self::Opclass => Some("pg_opclass"),
            Self::OperatorMember => Some("pg_amop"),
            Self::SupportMember => Some("pg_amproc"),
            Self::Cast => Some("pg_cast"),
            Self::TextDictionary => Some("pg_ts_dict"),
            Self::TextConfiguration => Some("pg_ts_config"),
            Self::ForeignServer => Some("pg_foreign_server"),
            Self::Relation => Some("pg_class"),
            Self::Default => Some("pg_attrdef"),
            Self::Constraint => Some("pg_constraint"),
            Self::Rewrite => Some("pg_rewrite"),
            Self::Trigger => Some("pg_trigger"),
            Self::Policy => Some("pg_policy"),
            Self::Statistics => Some("pg_statistic_ext"),
            Self::EventTrigger => Some("pg_event_trigger"),
            Self::Conversion => Some("pg_conversion"),
            Self::Language => Some("pg_language"),
            Self::AccessMethod => Some("pg_am"),
            Self::ForeignDataWrapper => Some("pg_foreign_data_wrapper"),
            Self::TextParser => Some("pg_ts_parser"),
            Self::TextTemplate => Some("pg_ts_template"),
            Self::Transform => Some("pg_transform"),
            Self::Publication => Some("pg_publication"),
            _ => None,
        }
    }
}

/// One object of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) class: Class,
    pub(super) oid: i64,
}

impl Key {
    /// The first of all in their order.
    pub(super) const MIN: Self = Self::new(Class::Namespace, i64::MIN);

    pub(super) const fn new(class: Class, oid: i64) -> Self {
        Self { class, oid }
    }

    pub(super) const fn relation(oid: i64) -> Self {
        Self::new(Class::Relation, oid)
    }
}

/// A string literal that no setting changes the meaning of.
pub(super) fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}
