//! What was typed. Every key is optional here: the schema made from these types says which ones must be given, and
//! [`super::validate`] turns the whole into a [`super::Plan`].
//!
//! The comments on the fields are the descriptions that editors show.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{BuildIndexes, CopyIndexes, Day, LongTransactions, OnConflict, OnError, Triggers, WalCompression};
use crate::run::Phase;

/// A plan for crossfade: columns of one table that get another name or type while the table is in use.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "crossfade plan")]
pub(super) struct PlanFile {
    /// The version of this format.
    #[schemars(required, extend("const" = 1))]
    #[expect(dead_code, reason = "the schema allows one value")]
    pub(super) version: Option<u32>,
    /// The plan's name, unique in a database: lower-case letters, digits, `-` and `_`.
    #[schemars(required, example = "vehicle-status")]
    pub(super) name: Option<String>,
    /// The table: `schema.table`, or `table` in schema `public`. Written as the catalog spells it, upper case included.
    #[schemars(required, example = "public.vehicles")]
    pub(super) table: Option<String>,
    /// The changes, made together in one pass over the table.
    #[schemars(required, length(min = 1))]
    pub(super) changes: Option<Vec<ChangeFile>>,
    /// Which indexes are built, and when.
    pub(super) indexes: Option<IndexesFile>,
    /// The pace at which existing rows are filled.
    pub(super) backfill: Option<BackfillFile>,
    /// What makes the backfill slow down or hold.
    pub(super) throttle: Option<ThrottleFile>,
    /// How old and new are compared.
    pub(super) verify: Option<VerifyFile>,
    /// How the old column goes.
    pub(super) contract: Option<ContractFile>,
    /// When each phase may run. Checked, but not acted on yet.
    pub(super) schedule: Option<ScheduleFile>,
    /// Phases that wait for a person. Checked, but not acted on yet.
    pub(super) approve: Option<Vec<Phase>>,
    /// What the database must offer.
    pub(super) requires: Option<RequiresFile>,
}

/// One change: exactly one of these keys.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub(super) struct ChangeFile {
    /// Gives a column another name.
    pub(super) rename_column: Option<RenameFile>,
    /// Gives a column another type.
    pub(super) change_type: Option<RetypeFile>,
}

/// Gives a column another name. Until `contract`, the column can be read and written under both.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RenameFile {
    /// The column's name now.
    #[schemars(required)]
    pub(super) from: Option<String>,
    /// The column's new name.
    #[schemars(required)]
    pub(super) to: Option<String>,
    /// Which side wins when a statement sets both to different values.
    #[schemars(extend("default" = "new_wins"))]
    pub(super) on_conflict: Option<OnConflict>,
}

/// Gives a column another type. Until `contract`, the column exists in both types.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RetypeFile {
    /// The column.
    #[schemars(required)]
    pub(super) column: Option<String>,
    /// The new type, as in SQL.
    #[schemars(required, example = "varchar(10)")]
    pub(super) to: Option<String>,
    /// The new value as an SQL expression over the column's name. It must be immutable. Without it, a plain cast.
    #[schemars(example = "substring(license_plate, 1, 10)")]
    pub(super) using: Option<String>,
    /// The old value as an SQL expression over the new column's name (`via`). It must be immutable. Without it there
    /// is no way back once `switch` is done.
    pub(super) reverse: Option<String>,
    /// The new column's name until `switch` swaps the names; with `keep_name: false`, its name for good.
    pub(super) via: Option<String>,
    /// Whether the new column ends up with the old column's name.
    #[schemars(extend("default" = true))]
    pub(super) keep_name: Option<bool>,
    /// Which side wins when a statement sets both to values that do not agree.
    #[schemars(extend("default" = "new_wins"))]
    pub(super) on_conflict: Option<OnConflict>,
    /// What a value that will not convert does to the application's write. Without it such a value is left empty, and
    /// rows that already do not convert are refused before anything changes.
    pub(super) on_error: Option<OnError>,
}

/// Which indexes are built, and when.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct IndexesFile {
    /// When indexes are built. Unique ones always come late, in `verify`.
    #[schemars(extend("default" = "before_backfill"))]
    pub(super) build: Option<BuildIndexes>,
    /// Whether every index that mentions an old column gets a twin on the new one.
    #[schemars(extend("default" = "all"))]
    pub(super) copy: Option<CopyIndexes>,
    /// Further indexes.
    pub(super) add: Option<Vec<AddIndexFile>>,
}

/// An index to build besides the twins: a plain btree.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddIndexFile {
    /// The index's name.
    #[schemars(required)]
    pub(super) name: Option<String>,
    /// Its columns, under the names they have when the run is done.
    #[schemars(required, length(min = 1))]
    pub(super) columns: Option<Vec<String>>,
    /// Whether it is unique.
    #[schemars(extend("default" = false))]
    pub(super) unique: Option<bool>,
}

/// The pace at which existing rows are filled.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BackfillFile {
    /// How long the UPDATE of one batch should take; the number of rows follows from it.
    #[schemars(example = "100ms", extend("default" = "100ms"))]
    pub(super) batch_target: Option<String>,
    /// Rows a second at the most. Without it there is no bound.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub(super) max_rows_per_second: Option<u32>,
    /// Workers in one process.
    #[schemars(range(min = 1, max = 64), extend("default" = 1))]
    pub(super) workers: Option<u16>,
    /// While a long transaction keeps dead rows from being pruned: go on and let the table grow more, or wait until it is gone.
    #[schemars(extend("default" = "go_on"))]
    pub(super) long_transactions: Option<LongTransactions>,
    /// Whether the table's own triggers fire for the backfill's updates. `skip` needs the privilege to set
    /// `session_replication_role`, and writes 54 bytes of log less a row.
    #[schemars(extend("default" = "fire"))]
    pub(super) triggers: Option<Triggers>,
    /// Compress the page images in the backfill's write-ahead log. Needs the privilege to set `wal_compression`, and
    /// standbys that were built with the same method. Without it, the server's own setting counts.
    pub(super) wal_compression: Option<WalCompression>,
    /// What a small transaction of an application may take, or `off`. The backfill measures one about 20 times a second,
    /// and goes as slowly as it must for nine of ten to stay below.
    #[schemars(example = "5ms", extend("default" = "off"))]
    pub(super) goal_latency: Option<String>,
    /// The query whose latency `goal_latency` is about. Without it, one row of the table is read and one of the ledger
    /// written.
    #[schemars(example = "SELECT count(*) FROM queue")]
    pub(super) latency_probe: Option<String>,
}

/// Limits beyond which the backfill holds.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ThrottleFile {
    /// How far any streaming replica may be behind in replaying, or `off`.
    #[schemars(example = "5s", extend("default" = "10s"))]
    pub(super) replica_lag: Option<String>,
    /// How long a session may wait for a lock of ours, or `off`.
    #[schemars(example = "100ms", extend("default" = "100ms"))]
    pub(super) lock_wait: Option<String>,
    /// How much WAL the replication slot furthest behind may keep, or `off`.
    #[schemars(example = "10GB", extend("default" = "10GB"))]
    pub(super) slot_retained_wal: Option<String>,
    /// How many WAL segments may wait to be archived, or `off`.
    #[schemars(extend("type" = ["integer", "string"], "default" = 64))]
    pub(super) wal_archive_backlog: Option<String>,
    /// How many sessions other than ours may be at work, or `off`.
    #[schemars(extend("type" = ["integer", "string"], "default" = "off"))]
    pub(super) active_sessions: Option<String>,
    /// How much WAL the server may write in a second, or `off`. Beyond it the backfill slows down.
    #[schemars(example = "100MB", extend("default" = "off"))]
    pub(super) wal_rate: Option<String>,
    /// A query of your own. Without it there is none.
    pub(super) probe: Option<ProbeFile>,
}

/// A query whose result holds the backfill.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProbeFile {
    /// A SELECT that gives one number. It runs once a second in a read-only transaction.
    #[schemars(required, example = "SELECT count(*) FROM queue WHERE state = 'waiting'")]
    pub(super) sql: Option<String>,
    /// The number above which the backfill holds.
    #[schemars(required, example = 1000)]
    pub(super) limit: Option<f64>,
}

/// How old and new are compared.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VerifyFile {
    /// How long a clean result counts.
    #[schemars(example = "24h", extend("default" = "24h"))]
    pub(super) max_age: Option<String>,
    /// What a row that differs does to the run.
    #[schemars(extend("default" = "stop"))]
    #[expect(dead_code, reason = "the schema allows one value")]
    pub(super) on_mismatch: Option<OnMismatch>,
}

/// What a row that differs does to the run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum OnMismatch {
    /// The run stops before the next phase and lists the rows.
    Stop,
}

/// How the old column goes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ContractFile {
    /// How long the old column is kept, renamed away and still in sync, before it is dropped.
    #[schemars(example = "7d", extend("default" = "0s"))]
    pub(super) grace: Option<String>,
    /// How long nobody may have written through the old column before it goes.
    #[schemars(example = "1h", extend("default" = "1min"))]
    pub(super) quiet: Option<String>,
}

/// When each phase may run.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScheduleFile {
    /// The time zone of the dates and times below.
    #[schemars(required, example = "America/New_York")]
    pub(super) timezone: Option<String>,
    /// The first day of week 1.
    #[schemars(required, example = "2027-01-05")]
    pub(super) start: Option<String>,
    /// The days and hours in which work may be done. Without it, always.
    pub(super) window: Option<WindowFile>,
    /// The week, from 1, in which a phase becomes due. A phase not named is due with the one before.
    pub(super) weekly: Option<WeeklyFile>,
    /// Days on which nothing starts.
    pub(super) freeze: Option<Vec<FreezeFile>>,
}

/// The days and hours in which work may be done.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WindowFile {
    /// The days on which a window opens.
    #[schemars(required, length(min = 1))]
    pub(super) days: Option<Vec<Day>>,
    /// From this time of day.
    #[schemars(required, example = "02:00")]
    pub(super) from: Option<String>,
    /// Until this time of day; when it is before `from`, on the next day.
    #[schemars(required, example = "05:00")]
    pub(super) to: Option<String>,
}

/// The week, from 1, in which each phase becomes due.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WeeklyFile {
    #[schemars(range(min = 1, max = 520))]
    pub(super) expand: Option<u16>,
    #[schemars(range(min = 1, max = 520))]
    pub(super) index: Option<u16>,
    #[schemars(range(min = 1, max = 520))]
    pub(super) backfill: Option<u16>,
    #[schemars(range(min = 1, max = 520))]
    pub(super) verify: Option<u16>,
    #[schemars(range(min = 1, max = 520))]
    pub(super) switch: Option<u16>,
    #[schemars(range(min = 1, max = 520))]
    pub(super) contract: Option<u16>,
}

impl WeeklyFile {
    pub(super) fn week(&self, phase: Phase) -> Option<u16> {
        match phase {
            Phase::Expand => self.expand,
            Phase::Index => self.index,
            Phase::Backfill => self.backfill,
            Phase::Verify => self.verify,
            Phase::Switch => self.switch,
            Phase::Contract => self.contract,
        }
    }
}

/// Days on which nothing starts.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FreezeFile {
    /// The first day.
    #[schemars(required, example = "2027-01-18")]
    pub(super) from: Option<String>,
    /// The last day, included.
    #[schemars(required, example = "2027-01-20")]
    pub(super) to: Option<String>,
    /// The reason, for reports.
    #[schemars(required, example = "release freeze")]
    pub(super) why: Option<String>,
}

/// What the database must offer.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RequiresFile {
    /// The lowest PostgreSQL major version.
    #[schemars(example = ">=14")]
    pub(super) postgres: Option<String>,
    /// Extensions that must be installed.
    pub(super) extensions: Option<Vec<String>>,
    /// Plans whose runs must be done.
    pub(super) plans: Option<Vec<String>>,
}
