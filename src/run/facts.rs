//! What the catalog says about a plan's table: everything the compiler needs, and nothing it has to ask for again.

use super::RelationId;
use crate::ident::TableName;

/// The facts that a plan is compiled from.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// `server_version_num`, such as 150018.
    pub server_version: u32,
    /// The tables, the plan's own first.
    pub tables: Vec<TableFacts>,
    /// One entry for each change of the plan, in the plan's order.
    pub changes: Vec<ChangeFacts>,
    /// One entry for each of the plan's functions, in the plan's order.
    pub functions: Vec<ReplacedFunction>,
    /// One entry for each of the plan's triggers, in the plan's order.
    pub triggers: Vec<TriggerArguments>,
}

impl Facts {
    /// Returns the plan's own table.
    pub fn main(&self) -> &TableFacts {
        &self.tables[0]
    }

    /// Returns the facts of the rename or type change at `position`.
    pub fn pair(&self, position: usize) -> Option<&PairFacts> {
        match self.changes.get(position)? {
            ChangeFacts::Pair(facts) => Some(facts),
            _ => None,
        }
    }
}

/// Facts with the program that was compiled from them.
#[derive(Debug, Clone, PartialEq)]
pub struct Compiled {
    pub(crate) facts: Facts,
    pub(crate) program: super::Program,
}

/// A table.
#[derive(Debug, Clone, PartialEq)]
pub struct TableFacts {
    /// Its name.
    pub name: TableName,
    /// `pg_class.oid`.
    pub oid: i64,
    /// Whether it is partitioned: its rows are in its partitions, and rows, pages and index bytes are the sums over them.
    pub partitioned: bool,
    /// The tables that inherit its columns (`INHERITS`), of every level, by name: columns and renames reach them, triggers do not.
    pub children: Vec<Child>,
    /// Estimated rows (`reltuples`, or from pages where it was never analysed).
    pub rows: i64,
    /// Pages of 8 KiB in the main fork.
    pub pages: i64,
    /// Number of indexes on the table.
    pub index_count: i64,
    /// Bytes of all indexes on the table.
    pub index_bytes: i64,
    /// Columns of the primary key, in order; empty where there is none.
    pub key: Vec<String>,
    /// Every index that mentions an old column.
    pub indexes: Vec<IndexFacts>,
    /// Every CHECK constraint and foreign key that mentions an old column which does not stay.
    pub constraints: Vec<CarriedConstraint>,
    /// Every foreign key, of any table, that refers to an old column which does not stay.
    pub referring: Vec<ReferringKey>,
    /// Whether other triggers fire BEFORE an INSERT or UPDATE of a row, so that the sync trigger must stand around them
    /// (docs/postgres.md, "Other BEFORE triggers").
    pub other_before_triggers: bool,
    /// Triggers of others for `UPDATE OF` a column that only borrows its new name: while it does, they must fire for the other
    /// column as well. By name.
    pub listeners: Vec<String>,
    /// What hangs on columns that get another type and has to be made anew in the swap, as PostgreSQL describes it, in order.
    pub made_anew: Vec<String>,
    /// The materialized views among them, with their schemas, in order: they are filled in a step of their own.
    pub materialized_views: Vec<String>,
    /// PL/pgSQL functions that may have cached the column's type and must be touched in the swap (docs/postgres.md,
    /// "Types that PL/pgSQL remembers").
    pub functions_to_touch: Vec<FunctionFacts>,
    /// The publications that publish it, by name.
    pub publications: Vec<Publication>,
}

/// A table that inherits from the run's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// Its name.
    pub table: TableName,
    /// `pg_class.oid`: another table may have got its name.
    pub oid: i64,
}

impl TableFacts {
    /// Returns whether its rows are in other tables too: in its partitions, or in tables that inherit from it.
    pub fn has_members(&self) -> bool {
        self.partitioned || !self.children.is_empty()
    }
}

/// A publication of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// Its name.
    pub name: String,
    /// Whether the run gives it a list of columns, which it has not, without those that come and go with the run.
    pub narrowed: bool,
}

/// What is known of one change.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a plan has a few of them")]
pub enum ChangeFacts {
    /// A rename or a type change.
    Pair(PairFacts),
    /// A column that is added.
    AddColumn(AddedColumn),
    /// A column that goes.
    DropColumn(DroppedColumn),
    /// An index that is added.
    AddIndex(AddedIndex),
    /// An index that goes, with what it takes to build it again.
    DropIndex(IndexFacts),
    /// A constraint that is added.
    AddConstraint(AddedConstraint),
}

/// An index that is added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedIndex {
    /// Its definition after `ON table `, deparsed by PostgreSQL.
    pub tail: String,
    /// The same on the columns that lend their names, where it mentions one.
    pub mirror: Option<String>,
}

/// A column that is added.
#[derive(Debug, Clone, PartialEq)]
pub struct AddedColumn {
    /// Its type with its modifier.
    pub type_name: String,
    /// `COLLATE` clause with a leading space, or empty.
    pub collate: String,
    /// Its default, deparsed with an empty `search_path`.
    pub default: Option<String>,
    /// Whether PostgreSQL keeps the default's value in the catalog for the rows that exist, so that none is touched.
    pub in_catalog: bool,
    /// The name that PostgreSQL would give to its NOT NULL constraint.
    pub not_null_name: Option<String>,
}

/// A column that goes.
#[derive(Debug, Clone, PartialEq)]
pub struct DroppedColumn {
    /// The column.
    pub column: ColumnFacts,
    /// Names of the indexes and constraints that go with it.
    pub goes_along: Vec<String>,
    /// Whether a unique index holds it: then rows that do not name it may not all get its default.
    pub unique: bool,
}

/// A constraint that is added.
#[derive(Debug, Clone, PartialEq)]
pub struct AddedConstraint {
    /// Its definition behind its name, deparsed or made of the plan's names; empty for one that an index is made into,
    /// and for NOT NULL.
    pub definition: String,
    /// The other table of a foreign key.
    pub references: Option<RelationId>,
    /// The name that PostgreSQL would give to a NOT NULL constraint.
    pub not_null_name: Option<String>,
}

/// A rename or a type change: the two sides and the way between them.
#[derive(Debug, Clone, PartialEq)]
pub struct PairFacts {
    /// The old column.
    pub old: ColumnFacts,
    /// The new column's type as `format_type` writes it, with its modifier: `character varying(10)`.
    pub new_type: String,
    /// The new column's type without its modifier: `character varying`.
    pub new_base_type: String,
    /// `COLLATE` clause of the new column, with a leading space, or empty.
    pub new_collate: String,
    /// The new column's default as plain ALTER would leave it.
    pub new_default: Option<String>,
    /// The default that the new type gives to columns without one of their own.
    pub new_type_default: Option<String>,
    /// Whether the default that the new column has in the end is repeatable, see [`ColumnFacts::default_is_repeatable`].
    pub new_default_is_repeatable: bool,
    /// Whether `IS DISTINCT FROM` sees every difference between two values of the new type (docs/postgres.md, "Values that
    /// are equal but not the same").
    pub new_plain_compare: bool,
    /// From old to new.
    pub forward: Conversion,
    /// From new to old.
    pub reverse: Conversion,
    /// Whether plain ALTER would only touch the catalog, so that no new column is needed.
    pub metadata_only: bool,
    /// The new column as it was found, if somebody had made it by hand and the plan takes it over.
    pub adopted: Option<AdoptedColumn>,
}

/// A new column that was there before the run.
#[derive(Debug, Clone, PartialEq)]
pub struct AdoptedColumn {
    /// The column, as a rollback leaves it.
    pub column: ColumnFacts,
    /// The storage of its type.
    pub type_storage: String,
    /// The triggers that crossfade's takes the place of.
    pub triggers: Vec<ReplacedTrigger>,
}

/// A trigger that somebody has made by hand to keep both columns equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplacedTrigger {
    /// Its name.
    pub name: String,
    /// How ALTER TABLE enables it as it was: `ENABLE`, `ENABLE ALWAYS` or `ENABLE REPLICA`; `None` where it was disabled.
    pub enabled: Option<String>,
}

/// The old column.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnFacts {
    /// `pg_attribute.attnum`.
    pub attnum: i16,
    /// Type with modifier.
    pub type_name: String,
    /// Type without modifier.
    pub base_type: String,
    /// `COLLATE` clause with a leading space, or empty.
    pub collate: String,
    /// Whether it is NOT NULL.
    pub not_null: bool,
    /// Name of the NOT NULL constraint (PostgreSQL 18 and later).
    pub not_null_constraint: Option<String>,
    /// Whether it is an identity column, and who gives its values.
    pub identity: Option<IdentityColumn>,
    /// What its values are generated from, stored or not. Such a column has no default.
    pub generated: Option<Generated>,
    /// Default expression.
    pub default: Option<String>,
    /// The default that its type, a domain, gives to columns without one of their own.
    pub type_default: Option<String>,
    /// Whether the default may be evaluated again to compare a value with it: it is a constant or the time of the
    /// transaction, so this can neither fail nor do anything, and gives the same.
    pub default_is_repeatable: bool,
    /// Whether `IS DISTINCT FROM` sees every difference between two values (docs/postgres.md, "Values that are equal but not
    /// the same").
    pub plain_compare: bool,
    /// `SET STORAGE` word where it is not the type's own.
    pub storage: Option<String>,
    /// `SET COMPRESSION` word where one is set.
    pub compression: Option<String>,
    /// Statistics target where one is set.
    pub statistics: Option<i32>,
    /// Options such as `n_distinct=100`.
    pub options: Vec<String>,
    /// Comment.
    pub comment: Option<String>,
    /// Column grants: grantee (quoted, or PUBLIC), privilege, grantable.
    pub grants: Vec<(String, String, bool)>,
}

/// What PostgreSQL makes the values of a generated column of.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct Generated {
    /// The expression, as PostgreSQL deparses it with an empty `search_path`.
    pub sql: String,
    /// The columns that it reads, in their order.
    pub reads: Vec<ReadColumn>,
}

/// A column that a generated one reads.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct ReadColumn {
    /// Its name.
    pub name: String,
    /// Its type without modifier.
    pub base_type: String,
    /// `COLLATE` clause with a leading space, or empty.
    pub collate: String,
}

/// Who gives the values of an identity column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityColumn {
    /// `GENERATED ALWAYS`: a statement that gives one fails.
    Always,
    /// `GENERATED BY DEFAULT`.
    ByDefault,
}

/// The way from one side to the other.
#[derive(Debug, Clone, PartialEq)]
pub enum Conversion {
    /// The values are the same.
    Identity,
    /// A plain cast that cannot raise, to a type without modifier.
    InfallibleCast,
    /// An expression over the column's name, as PostgreSQL deparses it with an empty `search_path`.
    Expression {
        /// The expression.
        sql: String,
        /// Whether it gives NULL for NULL.
        null_to_null: bool,
        /// The `search_path` under which it runs, if it calls functions that are not PostgreSQL's own: they may depend on
        /// one, and must not run under that of whoever writes.
        search_path: Option<String>,
    },
    /// There is no way back: the other side is left empty.
    None,
}

impl PairFacts {
    /// Returns the default that the new column has in the end.
    pub fn final_default(&self) -> Option<&str> {
        self.new_default.as_deref().or(self.new_type_default.as_deref())
    }
}

impl ColumnFacts {
    /// Returns what an INSERT that does not name the column puts there.
    pub fn effective_default(&self) -> Option<&str> {
        self.default.as_deref().or(self.type_default.as_deref())
    }
}

impl Conversion {
    /// Returns whether every value of the source has one of the target, so that no write can fail.
    pub fn is_total(&self) -> bool {
        matches!(self, Self::Identity | Self::InfallibleCast)
    }

    /// Returns whether there is a way at all.
    pub fn exists(&self) -> bool {
        *self != Self::None
    }

    /// Returns whether it calls functions that are not PostgreSQL's own.
    pub fn calls_others(&self) -> bool {
        matches!(self, Self::Expression { search_path: Some(_), .. })
    }

    /// Returns whether NULL becomes NULL.
    pub fn null_to_null(&self) -> bool {
        !matches!(self, Self::Expression { null_to_null: false, .. })
    }
}

/// An index that mentions an old column, or that goes.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexFacts {
    /// Its number in the run, from 0, which is in the names of its twin: it stays when other indexes come and go.
    pub number: usize,
    /// Its name, without the table's schema.
    pub name: String,
    /// Its definition after `ON table `, as it was when the twin's was made from it.
    pub definition: String,
    /// Whether it is unique.
    pub unique: bool,
    /// The constraint that it backs.
    pub constraint: Option<ConstraintFacts>,
    /// The twin's definition after `ON table `: `USING btree (vehicle_status) WHERE ...`, deparsed by PostgreSQL
    /// after the change was made on an empty clone. Of an index that goes, its own definition.
    pub twin: String,
    /// The same of an index on borrowed columns, with their new names: what is built on the columns that lend them, and what it
    /// is itself in the end. `None` where it mentions no such column alone.
    pub mirror: Option<MirrorIndex>,
    /// What the twin is once the new column has its final name, without its name and storage parameters: how it is known
    /// from an index that somebody else has made under its name.
    pub twin_shape: String,
    /// Its tablespace where it is not the database's default.
    pub tablespace: Option<String>,
    /// Comment on the index.
    pub comment: Option<String>,
    /// Statistics targets of expression columns: column number, target.
    pub statistics: Vec<(i16, i32)>,
    /// Whether CLUSTER ON names it.
    pub clustered: bool,
    /// Whether it is the replica identity of its table.
    pub replica_identity: bool,
    /// The partition that it is on, if it is not one of all partitions of the table.
    pub partition: Option<OwnPartition>,
    /// The changes whose columns it mentions, as positions in [`Facts::changes`].
    pub changes: Vec<usize>,
}

/// A partition with an index of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnPartition {
    /// Its name.
    pub table: TableName,
    /// Whether it is partitioned itself.
    pub partitioned: bool,
}

/// The mirror of an index on columns that lend their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorIndex {
    /// Its definition after `ON table `.
    pub tail: String,
    /// Whether it is unique: only where the index refuses a row at once.
    pub unique: bool,
}

/// A CHECK constraint or a foreign key of the table, on a column that gets another type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarriedConstraint {
    /// Its number in the run, from 0, which is in the name of its twin: it stays when others come and go.
    pub number: usize,
    /// Its name, behind that of the partition, or of the table that inherits, that has it alone.
    pub name: String,
    /// The partition, or the table that inherits, that has it, if it is not one of the table.
    pub member: Option<OwnConstraint>,
    /// What stands behind its name, as it was when the twin's was made from it.
    pub definition: String,
    /// The same of the twin, while both columns are there.
    pub soak: String,
    /// The same of the twin once the new column has its final name.
    pub last: String,
    /// The same of the original after the swap, where its twin takes its place later.
    pub parked: String,
    /// Whether it is a foreign key.
    pub foreign_key: bool,
    /// Whether it holds for all rows, and not only for those written since it was made.
    pub validated: bool,
    /// The table that a foreign key refers to.
    pub references: Option<RelationId>,
    /// Comment on the constraint.
    pub comment: Option<String>,
    /// The changes whose columns it mentions, as positions in [`Facts::changes`].
    pub changes: Vec<usize>,
}

/// Where a constraint is that a partition, or a table that inherits, has alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnConstraint {
    /// That table.
    pub table: RelationId,
    /// Its name there.
    pub name: String,
}

impl CarriedConstraint {
    /// Returns its name on its own table.
    pub(crate) fn own_name(&self) -> &str {
        self.member.as_ref().map_or(&self.name, |member| &member.name)
    }

    /// Returns the table that it is on.
    pub(crate) fn place(&self) -> RelationId {
        self.member.as_ref().map_or(RelationId::MAIN, |member| member.table)
    }
}

/// A foreign key that refers to a column of the table which gets another type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferringKey {
    /// Its number in the run, from 0, which is in the name of its twin: it stays when others come and go.
    pub number: usize,
    /// Its name.
    pub name: String,
    /// The table that it belongs to.
    pub table: RelationId,
    /// What stands behind its name, as it was when the twin's was made from it.
    pub definition: String,
    /// The same of its twin, with the names that columns have while both are there.
    pub twin: String,
    /// Whether it holds for all rows, and not only for those written since it was made.
    pub validated: bool,
    /// Comment on the constraint.
    pub comment: Option<String>,
}

/// A unique constraint, the primary key, or an exclusion constraint.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "the flags of pg_constraint")]
pub struct ConstraintFacts {
    /// Whether it is the primary key.
    pub primary: bool,
    /// DEFERRABLE.
    pub deferrable: bool,
    /// INITIALLY DEFERRED.
    pub deferred: bool,
    /// Comment on the constraint.
    pub comment: Option<String>,
    /// Whether it is an exclusion constraint. Of one that gets a twin, `definition` and `twin` are what stands behind a constraint's name.
    pub exclusion: bool,
}

/// A function whose body the plan replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplacedFunction {
    /// `regprocedure` text, qualified and quoted.
    pub signature: String,
    /// The body that a rollback puts back, `pg_proc.prosrc`.
    pub body: String,
}

/// A trigger whose arguments the plan replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerArguments {
    /// Its name.
    pub name: String,
    /// The arguments that a rollback puts back.
    pub arguments: Vec<String>,
}

/// A function to be touched by a no-op ALTER.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionFacts {
    /// `regprocedure` text, qualified and quoted.
    pub signature: String,
    /// `procost`, as text.
    pub cost: String,
}
