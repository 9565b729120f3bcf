//! The names of everything that a run creates, in one place.

use crate::ident::{ColumnName, RunTag};
use crate::sql::quote_ident;

/// What the names of triggers begin with that fire before any sane application's.
pub(crate) const FIRST_TRIGGER: &str = "!!crossfade_";

/// What the names of triggers begin with that fire after any sane application's.
pub(crate) const LAST_TRIGGER: &str = "~~crossfade_";

/// Returns whether a trigger is one of crossfade's, by its name.
pub(crate) fn is_our_trigger(name: &str) -> bool {
    name.starts_with(FIRST_TRIGGER) || name.starts_with(LAST_TRIGGER)
}

/// Names on the table, which begin with `cf_<tag>_` except those of triggers, and in the ledger's schema. Positions are those
/// of changes, or of indexes, from 0.
impl RunTag {
    /// The old column once it is renamed away.
    pub(crate) fn retired(&self, column: &ColumnName) -> String {
        self.name(&format!("old_{column}"))
    }

    /// The column that lent the new name, once the original has it.
    pub(crate) fn mirror(&self, column: &ColumnName) -> String {
        self.name(&format!("mirror_{column}"))
    }

    /// A column for the moment in which two exchange their names.
    pub(crate) fn between(&self, position: usize) -> String {
        self.name(&format!("swap_{position}"))
    }

    /// The twin of an index, until it takes the name of its original.
    pub(crate) fn twin_index(&self, position: usize) -> String {
        self.name(&format!("ix{}", position + 1))
    }

    /// The original once its twin has its name.
    pub(crate) fn parked_index(&self, position: usize) -> String {
        self.name(&format!("old_ix{}", position + 1))
    }

    /// The mirror of an index, on the column that lends the new name.
    pub(crate) fn mirror_index(&self, position: usize) -> String {
        self.name(&format!("mirror_ix{}", position + 1))
    }

    /// The mirror of an index that the plan lists under `indexes.add`, on the column that lends the new name.
    pub(crate) fn mirror_of_added(&self, position: usize) -> String {
        self.name(&format!("mirror_add{}", position + 1))
    }

    /// The mirror of the index of an `add_index`, on the column that lends the new name.
    pub(crate) fn mirror_of_new(&self, position: usize) -> String {
        self.name(&format!("mirror_new{}", position + 1))
    }

    /// The twin of a CHECK constraint or a foreign key, until it takes the name of its original.
    pub(crate) fn twin_constraint(&self, number: usize) -> String {
        self.name(&format!("con{}", number + 1))
    }

    /// The original once its twin has its name.
    pub(crate) fn parked_constraint(&self, number: usize) -> String {
        self.name(&format!("old_con{}", number + 1))
    }

    /// The twin of a foreign key that refers to the old column, until it takes the name of its original.
    pub(crate) fn twin_key(&self, number: usize) -> String {
        self.name(&format!("fk{}", number + 1))
    }

    /// The foreign key that refers to the old column again, on the way back.
    pub(crate) fn old_key(&self, number: usize) -> String {
        self.name(&format!("old_fk{}", number + 1))
    }

    /// What is to take the place of a materialized view, or of a view that reads one, begins so; the oid of that is behind it.
    pub(crate) fn twin_views(&self) -> String {
        self.name("mv")
    }

    /// A view that only the materialized views read which have not been filled anew yet begins so; the oid of the view that has its name
    /// is behind it.
    pub(crate) fn parked_views(&self) -> String {
        self.name("under")
    }

    /// The constraint that proves NOT NULL of a new column.
    pub(crate) fn not_null(&self, position: usize) -> String {
        self.name(&format!("nn{}", position + 1))
    }

    /// The constraint that proves NOT NULL of an old column when it comes back.
    pub(crate) fn old_not_null(&self, position: usize) -> String {
        self.name(&format!("nn_old{}", position + 1))
    }

    /// The named NOT NULL of an old column once the new one's has its name.
    pub(crate) fn parked_not_null(&self, position: usize) -> String {
        self.name(&format!("old_nn{}", position + 1))
    }

    /// A trigger that fires before those of the application; PostgreSQL fires them in the order of their names.
    pub(crate) fn first_trigger(&self, what: &str) -> String {
        format!("{FIRST_TRIGGER}{self}_{what}")
    }

    /// A trigger that fires after those of the application.
    pub(crate) fn last_trigger(&self, what: &str) -> String {
        format!("{LAST_TRIGGER}{self}_{what}")
    }

    /// The sync function, in the ledger's schema.
    pub(crate) fn sync_function(&self) -> String {
        format!("sync_{self}")
    }

    /// The function of the triggers that stand around those of the application, in the ledger's schema.
    pub(crate) fn around_function(&self) -> String {
        format!("around_{self}")
    }

    /// Says whether a table has columns of these names, in the ledger's schema.
    pub(crate) fn there_function(&self) -> String {
        format!("there_{self}")
    }

    /// Says whether the backfill has ended, in the ledger's schema.
    pub(crate) fn filled_function(&self) -> String {
        format!("filled_{self}")
    }

    /// Makes the values of a generated column, in the ledger's schema; positions are those of changes.
    pub(crate) fn maker(&self, position: usize) -> String {
        format!("make_{self}_{}", position + 1)
    }

    /// A helper function of a conversion, in the ledger's schema. `way` is `f1` for the first change, `r1` for its way back.
    pub(crate) fn helper(&self, kind: &str, way: &str) -> String {
        format!("{kind}_{self}_{way}")
    }
}

/// The schema of the ledger, where the helper functions live too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerSchema(String);

impl LedgerSchema {
    /// Returns the schema of this name.
    pub fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// Returns the schema's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns `name` qualified with the schema and quoted.
    pub fn qualify(&self, name: &str) -> String {
        format!("{}.{}", quote_ident(&self.0), quote_ident(name))
    }
}

impl Default for LedgerSchema {
    fn default() -> Self {
        Self::new("crossfade")
    }
}

/// Names of the counters that the sync trigger advances: sequences. The value of each is the second of the last write,
/// above [`Counters::BITS`] bits in which the seconds with a write are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counters {
    /// Writes through an old column.
    pub old: String,
    /// Writes through a new column.
    pub new: String,
    /// Statements that set both sides to values that do not agree.
    pub conflict: String,
}

impl Counters {
    /// How many bits of a counter's value count: enough for half a year without a pause.
    pub const BITS: u32 = 24;

    /// Returns the names (in the ledger schema) of the run with this tag.
    pub fn of(tag: &RunTag) -> Self {
        Self { old: format!("old_{tag}"), new: format!("new_{tag}"), conflict: format!("conflict_{tag}") }
    }

    /// Returns all of them.
    pub(crate) fn all(&self) -> [&str; 3] {
        [&self.old, &self.new, &self.conflict]
    }
}
