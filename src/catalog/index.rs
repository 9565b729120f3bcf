//! The indexes that mention an old column.

use serde::Deserialize;
use sqlx::PgConnection;

use super::copy::{Outcome, Part};
use super::finding::did_you_mean;
use super::{CatalogError, Inspection, query};

use crate::amounts;
use crate::run::{ConstraintFacts, MirrorIndex, OwnPartition};

use crate::ident::TableName;
use crate::plan::Plan;
use crate::run::IndexFacts;

#[derive(Debug, Clone, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the flags of pg_index")]
pub(super) struct Index {
    pub(super) name: String,
    pub(super) unique: bool,
    pub(super) nulls_not_distinct: bool,
    valid: bool,
    replica_identity: bool,
    clustered: bool,
    constraint_type: Option<String>,
    /// What stands behind the name of an exclusion constraint.
    exclusion: Option<String>,
    deferrable: Option<bool>,
    deferred: Option<bool>,
    constraint_comment: Option<String>,
    comment: Option<String>,
    tablespace: Option<String>,
    statistics: Vec<(i16, i32)>,
    whole_row: bool,
    attnums: Vec<i16>,
    /// Schema and name of the partition that it is on, if it is not one of all partitions, and whether that is partitioned.
    partition: Option<(String, String, bool)>,
    /// Columns that a table which inherits has besides those that it inherits, as ADD COLUMN says them.
    beside: Vec<String>,
    /// The definition behind `ON table `.
    tail: Option<String>,
}

/// An index after the changes.
#[derive(Debug, Clone)]
pub(super) struct Twin {
    /// Its definition after `ON table `, while both columns are there; of an exclusion constraint, what stands behind its name.
    pub(super) tail: String,
    /// What is built on columns that lend their names, if it mentions no others.
    pub(super) mirror: Option<MirrorIndex>,
    /// Its [`shape`] once the new column has its final name.
    pub(super) shape: String,
}

/// Returns what makes an index what it is, whatever its name.
pub(super) async fn shape(conn: &mut PgConnection, index: &str) -> Result<String, CatalogError> {
    let shape = query::fixed(include_str!("index_shape.sql")).bind(index.to_owned()).fetch_one(conn).await;
    shape.map_err(|source| CatalogError::Database { what: "read what an index is", source })
}

impl Index {
    /// Returns the indexes that mention one of these columns anywhere, by name: those of the table, and those that partitions have alone.
    pub(super) async fn read_all(
        conn: &mut PgConnection,
        table: i64,
        attnums: &[i32],
    ) -> Result<Vec<Self>, CatalogError> {
        Self::some(conn, table, attnums.to_vec(), None).await
    }

    /// Returns the table's index of this name.
    pub(super) async fn read(conn: &mut PgConnection, table: i64, name: &str) -> Result<Option<Self>, CatalogError> {
        Ok(Self::some(conn, table, vec![], Some(name)).await?.pop())
    }

    async fn some(
        conn: &mut PgConnection,
        table: i64,
        attnums: Vec<i32>,
        name: Option<&str>,
    ) -> Result<Vec<Self>, CatalogError> {
        let query =
            query::fixed(include_str!("indexes.sql")).bind(table).bind(attnums).bind(name.map(ToOwned::to_owned));
        query::read(conn, "read the table's indexes", query).await
    }

    /// Refuses an index that can neither be carried nor have a mirror.
    pub(super) fn judge(&self, table: &TableName, found: &mut Inspection) {
        let name = &self.name;
        if !self.valid {
            found.refuse(
                "catalog::index_invalid",
                format!("index \"{name}\" of {table} is invalid: an earlier CREATE INDEX CONCURRENTLY failed or is still running"),
                "run DROP INDEX CONCURRENTLY or REINDEX INDEX CONCURRENTLY first",
            );
        }
        if self.whole_row {
            found.refuse(
                "catalog::index_whole_row",
                format!("index \"{name}\" of {table} is computed from whole rows"),
                "adding a column changes what it should hold; drop it for the run",
            );
        }
    }

    /// Returns the tail of an index that the rehearsal can work on. One that `stays` may belong to any constraint.
    pub(super) fn carried(&self, stays: bool) -> Option<&str> {
        let constraint = matches!(self.constraint_type.as_deref(), None | Some("u" | "p"));
        self.tail.as_deref().filter(|_| (constraint || stays) && !self.whole_row)
    }

    /// Returns the exclusion constraint that it belongs to, as what stands behind the constraint's name.
    pub(super) fn exclusion(&self) -> Option<&str> {
        self.exclusion.as_deref()
    }

    /// Returns what its twin, or its `mirror`, is made from.
    fn definition(&self, mirror: bool) -> Option<&String> {
        self.exclusion.as_ref().filter(|_| !mirror).or(self.tail.as_ref())
    }

    /// Returns whether all columns of pairs that it mentions stay.
    pub(super) fn stays(&self, pairs: impl IntoIterator<Item = (i16, bool)>) -> bool {
        let mut of_it = pairs.into_iter().filter(|(attnum, _)| self.mentions(*attnum)).peekable();
        of_it.peek().is_some() && of_it.all(|(_, borrows)| borrows)
    }

    /// Returns whether it refuses a row at some time.
    pub(super) fn is_unique(&self) -> bool {
        self.unique
    }

    /// Returns whether it refuses a row at once, and not at the end of a statement or a transaction.
    pub(super) fn is_unique_at_once(&self) -> bool {
        self.unique && self.deferrable != Some(true)
    }

    /// Returns the kind of constraint that the index belongs to.
    pub(super) fn constraint(&self) -> Option<&'static str> {
        Some(match self.constraint_type.as_deref()? {
            "p" => "primary key",
            "u" => "unique constraint",
            _ => "exclusion constraint",
        })
    }

    /// Returns what gives an empty copy of the run's table the other columns of the one that the index is on.
    pub(super) fn completes(&self, copy: &str) -> Option<String> {
        let columns: Vec<_> = self.beside.iter().map(|column| format!("ADD COLUMN IF NOT EXISTS {column}")).collect();
        (!columns.is_empty()).then(|| format!("ALTER TABLE {copy} {}", columns.join(", ")))
    }

    /// Returns the table that it is on, if that is not the run's.
    pub(super) fn place(&self) -> Option<TableName> {
        self.own_partition().map(|own| own.table)
    }

    /// Returns whether one partition has it alone.
    pub(super) fn is_of_partition(&self) -> bool {
        self.partition.is_some()
    }

    pub(super) fn is_replica_identity(&self) -> bool {
        self.replica_identity
    }

    /// Returns the definition behind `ON table `, if PostgreSQL shows one.
    pub(super) fn tail(&self) -> Option<String> {
        self.tail.clone()
    }

    /// Returns whether the index mentions this column.
    pub(super) fn mentions(&self, attnum: i16) -> bool {
        self.attnums.contains(&attnum)
    }

    /// Returns whether what was made after the index, as it was when `facts` were read, is right for it now; `renamed` says
    /// whether the columns that it mentions have their new names.
    pub(super) fn has_twin_of(&self, facts: &IndexFacts, renamed: bool) -> bool {
        let last = facts.mirror.as_ref().filter(|_| renamed);
        let definition = last.map_or(&facts.definition, |mirror| &mirror.tail);
        let constraint = |constraint: &ConstraintFacts| (constraint.deferrable, constraint.deferred);
        let own = self.constraint_type.as_ref().map(|_| (self.deferrable == Some(true), self.deferred == Some(true)));
        self.definition(facts.mirror.is_some()) == Some(definition)
            && self.unique == facts.unique
            && self.tablespace == facts.tablespace
            && own == facts.constraint.as_ref().map(constraint)
    }

    fn own_partition(&self) -> Option<OwnPartition> {
        let (schema, name, partitioned) = self.partition.as_ref()?;
        Some(OwnPartition { table: TableName::new(schema, name).ok()?, partitioned: *partitioned })
    }

    /// Returns the facts; `olds` are the changes' positions in the plan with their old columns.
    pub(super) fn facts(&self, number: usize, twin: Twin, olds: &[(usize, i16)]) -> IndexFacts {
        IndexFacts {
            number,
            definition: self.definition(twin.mirror.is_some()).cloned().unwrap_or_default(),
            name: self.name.clone(),
            unique: self.unique,
            constraint: self.constraint_type.as_ref().map(|_| ConstraintFacts {
                primary: self.constraint_type.as_deref() == Some("p"),
                deferrable: self.deferrable.unwrap_or_default(),
                deferred: self.deferred.unwrap_or_default(),
                comment: self.constraint_comment.clone(),
                exclusion: self.exclusion.is_some(),
            }),
            twin: twin.tail,
            mirror: twin.mirror,
            twin_shape: twin.shape,
            tablespace: self.tablespace.clone(),
            comment: self.comment.clone(),
            partition: self.own_partition(),
            statistics: self.statistics.clone(),
            clustered: self.clustered,
            replica_identity: self.replica_identity,
            changes: olds.iter().filter(|(_, old)| self.mentions(*old)).map(|(position, _)| *position).collect(),
        }
    }
}

/// Refuses keys whose values might not convert: their columns could not be NOT NULL while releases write the old one.
pub(super) fn judge_keys(indexes: &[Index], parts: &[Part<'_>], outcomes: &[Outcome], found: &mut Inspection) {
    let keys = || indexes.iter().filter(|index| index.constraint() == Some("primary key"));
    for (part, outcome) in parts.iter().zip(outcomes) {
        let total = part.retyped.as_ref().is_none_or(|retyped| retyped.forward.is_total());
        let mentions = |index: &Index| index.mentions(part.old.attnum);
        let is_carried = total && part.change.keeps_name();
        let replica =
            indexes.iter().filter(|index| index.is_replica_identity() && !part.change.borrows()).find(|i| mentions(i));
        if let Some(index) = replica.filter(|_| !outcome.metadata_only && !is_carried) {
            found.refuse(
                "catalog::replica_identity",
                format!(
                    "index \"{}\" is the replica identity of the table, and column \"{}\" may be empty for a while",
                    index.name, part.old.name
                ),
                "run ALTER TABLE ... REPLICA IDENTITY DEFAULT first",
            );
        }
        let in_key = keys().any(mentions);
        let identity = part.old.identity.is_some() && !part.change.borrows();
        if outcome.metadata_only || total || !in_key && !identity {
            continue;
        }
        let what = if in_key { "part of the primary key" } else { "an identity column" };
        found.refuse(
            "catalog::primary_key",
            format!("column \"{}\" is {what}, and its conversion may fail or change a value", part.old.name),
            "a key can get a type that holds each of its values unchanged, such as bigint for integer",
        );
    }
}

/// Rows of a second, roughly, when an exclusion constraint is built: of a `GiST` index, and of a btree (docs/postgres.md, "Exclusion constraints").
const GIST_ROWS: f64 = 10_000.0;
const BTREE_ROWS: f64 = 250_000.0;

/// Refuses exclusion constraints that get a twin where the plan does not accept the lock that this takes, and those of partitions.
pub(super) fn judge_exclusions(
    (plan, rows): (&Plan, i64),
    indexes: &[Index],
    (parts, outcomes): (&[Part<'_>], &[Outcome]),
    found: &mut Inspection,
) {
    for index in indexes.iter().filter(|index| index.exclusion.is_some() && plan.indexes.copies(&index.name)) {
        let pairs = parts.iter().zip(outcomes).filter(|(part, _)| index.mentions(part.old.attnum));
        let Some((part, _)) = pairs.clone().find(|(part, out)| !out.metadata_only && !part.change.borrows()) else {
            continue;
        };
        let of = index.own_partition().map_or_else(String::new, |own| format!(" of {}", own.table));
        let uses = format!("exclusion constraint \"{}\"{of} uses column \"{}\"", index.name, part.old.name);
        if index.is_of_partition() {
            let help = "crossfade builds none in partitions and tables that inherit: drop the constraint before the run, and add it again afterwards";
            found.refuse("catalog::exclusion", uses, help);
        } else if plan.indexes.exclusion_lock.is_none() {
            found.refuse("catalog::exclusion", uses, needs_lock(index, rows));
        }
    }
}

/// Warns of a plan that accepts a lock which nothing needs. Of a key with parts, another table's constraint may.
pub(super) fn warn_of_lock(
    plan: &Plan,
    indexes: &[Index],
    (parts, outcomes): (&[Part<'_>], &[Outcome]),
    found: &mut Inspection,
) {
    let carries = |index: &Index| {
        let mut on_it = parts.iter().zip(outcomes).filter(|(part, _)| index.mentions(part.old.attnum));
        index.exclusion.is_some() && on_it.any(|(part, out)| !out.metadata_only && !part.change.borrows())
    };
    let alone = plan.parts.is_empty() && plan.part_of.is_none() && plan.referring.is_none();
    if plan.indexes.exclusion_lock.is_some() && alone && !indexes.iter().any(carries) {
        found.warn(
            "catalog::exclusion_lock",
            format!("no exclusion constraint of {} gets a twin, so `indexes.exclusion_lock` allows a lock that nothing needs now", plan.table),
            "remove it, unless somebody is to add such a constraint while the run lasts",
        );
    }
}

/// Says what to write in the plan, and how long the build may take.
fn needs_lock(index: &Index, rows: i64) -> String {
    let btree = index.tail.as_ref().is_some_and(|tail| tail.starts_with("USING btree"));
    let (rate, rows) = (if btree { BTREE_ROWS } else { GIST_ROWS }, rows.max(0));
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let seconds = (rows as f64 / rate).max(1.0);
    // Twice as long, in whole minutes.
    let minutes = (seconds / 30.0).ceil();
    format!(
        "PostgreSQL builds such a constraint only with the table locked against reads and writes, which for about {} may take {}: accept that \
         in the plan, with the longest time you allow (`indexes: {{ exclusion_lock: {minutes}min }}`), or drop the constraint before the run and \
         add it again afterwards",
        amounts::plural(rows, "row"),
        amounts::duration(seconds),
    )
}

/// Refuses indexes that can neither be carried nor have a mirror, and names of `indexes.copy` that none of them has.
pub(super) fn judge(plan: &Plan, indexes: &[Index], found: &mut Inspection) {
    for index in indexes {
        index.judge(&plan.table, found);
    }
    let names = || indexes.iter().map(|index| index.name.as_str());
    for name in plan.indexes.copied.iter().filter(|copied| !names().any(|name| name == copied.as_str())) {
        let help = match did_you_mean(name.as_str(), names()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "remove the name from `indexes.copy`".to_owned(),
        };
        let message =
            format!("`indexes.copy` names \"{name}\", and {} has no such index on a column that changes", plan.table);
        found.refuse("catalog::index_missing", message, help);
    }
}
