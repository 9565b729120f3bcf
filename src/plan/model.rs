//! A plan that may be relied on: what a plan file becomes once every problem has been ruled out.

use std::time::Duration;

use serde::Serialize;

use super::words::words;
use super::{Bytes, Change, Hook, Notify, Pair, Requires};
use crate::ident::{ColumnName, PlanName, RelationName, RunTag, TableName};
use crate::phase::Phase;

/// A validated plan. Only this type goes further than the parser.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// The plan's name, unique in a database.
    pub name: PlanName,
    /// The table whose columns change.
    pub table: TableName,
    /// At least one change; no column is named twice. Changes are addressed by their position here.
    pub changes: Vec<Change>,
    /// Which indexes are built, and when.
    pub indexes: Indexes,
    /// Pace of the backfill.
    pub backfill: Backfill,
    /// What makes the backfill slow down or hold.
    pub throttle: Throttle,
    /// How the check is done and how long its result counts.
    pub verify: Verify,
    /// How the old column is dropped.
    pub contract: Contract,
    /// When ticks may do each phase.
    pub schedule: Option<Schedule>,
    /// Phases that wait until a person has approved them.
    pub approve: Vec<Phase>,
    /// Which approvals count.
    pub approval: Approvals,
    /// What the database must offer.
    pub requires: Requires,
    /// Who is told what happens.
    pub notify: Vec<Notify>,
    /// Programs that are run before and after phases.
    pub hooks: Vec<Hook>,
    /// How subscribers of the table get through; `None` where the plan does not say.
    pub publications: Option<Publications>,
    /// Functions that get another body where columns get their last names.
    pub functions: Vec<FunctionBody>,
    /// Triggers of the table that get other arguments there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<TriggerArguments>,
    /// What becomes of integer columns that refer to a column which gets a wider type; `None` where the plan does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub referring: Option<Referring>,
    /// Of these columns, those that keep their types although the others change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<LeftColumn>,
    /// The plans of those columns, in the order in which they are done. No file says them: they are found when the run is registered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PlanName>,
    /// The plan of the key that this plan's columns refer to, if it was made for that. No file says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part_of: Option<PlanName>,
}

impl Plan {
    /// Returns the tag that names every object of this plan's run.
    pub fn tag(&self) -> RunTag {
        RunTag::new(&self.name)
    }

    /// Returns the changes that keep an old and a new column in step, with their positions.
    pub fn pairs(&self) -> impl Iterator<Item = (usize, Pair<'_>)> {
        let trades = self.publications == Some(Publications::SubscriberFirst);
        self.changes.iter().enumerate().filter_map(move |(position, change)| {
            let pair = change.pair()?;
            Some((position, Pair { trades_names: trades && pair.borrows(), ..pair }))
        })
    }

    /// Returns whether columns get their last names when the old ones are retired, and not in the swap alone: a column goes or is
    /// renamed.
    pub fn takes_names_away(&self) -> bool {
        let takes = |change: &Change| {
            matches!(change, Change::DropColumn(_)) || change.pair().is_some_and(|pair| !pair.keeps_name())
        };
        self.changes.iter().any(takes)
    }

    /// Returns whether every change gives a column another type under the name that it has, and takes over no column.
    pub fn only_retypes(&self) -> bool {
        let retypes = |change: &Change| change.pair().is_some_and(|pair| pair.keeps_name() && pair.adopt.is_none());
        self.changes.iter().all(retypes)
    }

    /// Returns whether every change is a rename whose column stays, so that no value is ever dropped.
    pub fn only_borrows(&self) -> bool {
        self.changes.iter().all(|change| change.pair().is_some_and(|pair| pair.borrows()))
    }
}

words! {
    /// How subscribers of the table get through, if it is in a publication that publishes all of its columns.
    pub enum Publications {
        /// crossfade keeps the second column out of the publication until it is gone (PostgreSQL 15 and later). At a rename's
        /// `contract`, subscribers rename the column too.
        Narrow = "narrow",
        /// You have added the new column on every subscriber before the run. The two columns of a rename exchange their names, so
        /// subscribers never see one that they do not have; for a type change, `plan` says which columns they need.
        SubscriberFirst = "subscriber_first",
    }
}

words! {
    /// What becomes of integer columns that refer, by a foreign key, to an integer column which gets a wider type.
    pub enum Referring {
        /// They stay as they are, and cannot refer to a value that their type does not hold.
        Leave = "leave",
        /// They get the wider type too, in whichever table they are, before the column that they refer to: docs/widen-a-key.md.
        Change = "change",
    }
}

/// A column that refers to a key which gets a wider type, and keeps its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftColumn {
    /// Its table.
    pub table: TableName,
    /// The column.
    pub column: ColumnName,
}

/// Another body of a PL/pgSQL function, whose text PostgreSQL does not change when a column is renamed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FunctionBody {
    /// The function as SQL names it: `public.note_change()`, or `public.note_change` where no other has the name.
    pub name: String,
    /// What stands between the quotes behind AS.
    pub body: String,
}

/// Other arguments of a trigger, which PostgreSQL does not change when a column is renamed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TriggerArguments {
    /// The trigger, of the plan's table.
    pub name: RelationName,
    /// What it gives its function.
    pub arguments: Vec<String>,
}

/// Which indexes the new column gets.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Indexes {
    /// Before the backfill (default) or after it.
    pub build: BuildIndexes,
    /// Whether the indexes that mention an old column get a twin.
    pub copy: CopyIndexes,
    /// Those that do, where not every one: by their names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub copied: Vec<RelationName>,
    /// Further indexes, under their own names.
    pub add: Vec<AddIndex>,
    /// For how long the table may be locked while the twin of an exclusion constraint is built; `None` if it may not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclusion_lock: Option<Duration>,
}

/// Which approvals of phases count.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Approvals {
    /// For how long.
    pub expiry: Duration,
    /// Whether whoever started the run may approve its phases.
    #[serde(rename = "self")]
    pub own: bool,
}

words! {
    /// When indexes are built. Unique ones always come late, in `verify`.
    pub enum BuildIndexes {
        /// Before the backfill.
        BeforeBackfill = "before_backfill" (default),
        /// After the backfill: faster, see ARCHITECTURE.md.
        AfterBackfill = "after_backfill",
    }
}

impl Indexes {
    /// Returns whether an index of this name gets a twin, if it mentions an old column.
    pub fn copies(&self, name: &str) -> bool {
        self.copy == CopyIndexes::All
            && (self.copied.is_empty() || self.copied.iter().any(|copied| copied.as_str() == name))
    }
}

words! {
    /// Which of the old column's indexes get a twin.
    pub enum CopyIndexes {
        /// Every one.
        All = "all" (default),
        /// None; they go with the old column.
        None = "none",
    }
}

/// An index to be built on the table besides the twins: a plain btree.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AddIndex {
    /// The index's own name.
    pub name: RelationName,
    /// Its columns, in order; at least one.
    pub columns: Vec<ColumnName>,
    /// Whether it is unique (then it is built late, in `verify`).
    pub unique: bool,
}

/// Pace of the backfill.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Backfill {
    /// How long the UPDATE of one batch should take. Default 100 ms.
    pub batch_target: Duration,
    /// At most this many rows per second; `None` for no bound. Default none.
    pub max_rows_per_second: Option<u32>,
    /// Workers per process. Default 1.
    pub workers: u16,
    /// What to do while a long transaction keeps dead rows from being pruned. Default: go on.
    pub long_transactions: LongTransactions,
    /// What becomes of the table's triggers when the backfill updates its rows. Default: they fire.
    pub triggers: Triggers,
    /// How the page images in the backfill's write-ahead log are compressed. Default: as the server is set.
    pub wal_compression: Option<WalCompression>,
    /// What a small transaction of an application may take: the backfill goes as slowly as it must for nine of ten probes
    /// to stay below. Default none.
    pub goal_latency: Option<Duration>,
    /// The query whose latency is measured, in place of crossfade's own probe.
    pub latency_probe: Option<String>,
}

words! {
    /// What becomes of the table's triggers when the backfill updates its rows.
    pub enum Triggers {
        /// They fire: time stamps move, audit rows are written.
        Fire = "fire" (default),
        /// None fires but those that are set to ENABLE ALWAYS or REPLICA (the server's `session_replication_role = replica`).
        Skip = "skip",
    }
}

words! {
    /// How page images in the write-ahead log are compressed (the server's `wal_compression`, for the backfill's own sessions).
    pub enum WalCompression {
        /// Every server can; takes CPU.
        Pglz = "pglz",
        /// Since PostgreSQL 15, where it was built with it; takes next to no CPU.
        Lz4 = "lz4",
        /// Since PostgreSQL 15, where it was built with it.
        Zstd = "zstd",
    }
}

impl WalCompression {
    /// Returns the value of the server's setting.
    pub fn server_value(self) -> &'static str {
        match self {
            Self::Pglz => "on",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

words! {
    /// What the backfill does while a long transaction keeps dead rows from being pruned, so that sub-passes find no room.
    pub enum LongTransactions {
        /// Goes through pages once until it is gone: the table and its indexes grow more.
        GoOn = "go_on" (default),
        /// Waits until it is gone.
        Wait = "wait",
    }
}

/// Limits beyond which the backfill holds. `None` switches a signal off; by [`Default`], all of them are.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Throttle {
    /// Replay lag of any streaming replica. Default 10 s.
    pub replica_lag: Option<Duration>,
    /// How long a session may wait on a lock of ours. Default 100 ms.
    pub lock_wait: Option<Duration>,
    /// WAL that the replication slot furthest behind keeps on the server. Default 10 GB, and whatever it says, never more
    /// than 80 % of `max_slot_wal_keep_size`, where the server gives the slot up.
    pub slot_retained_wal: Option<Bytes>,
    /// WAL segments waiting to be archived. Default 64, which is 1 GB.
    pub wal_archive_backlog: Option<u32>,
    /// Sessions at work that are not ours. Default off: it depends on the machine.
    pub active_sessions: Option<u32>,
    /// WAL a second, of the whole server; beyond it the backfill slows down. Default off: it depends on the machine.
    pub wal_rate: Option<Bytes>,
    /// A number that a query of the user's gives. Default none.
    pub probe: Option<Probe>,
}

/// A query whose result holds the backfill.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Probe {
    /// A SELECT that returns one number. It runs once a second in a read-only transaction.
    pub sql: String,
    /// The number above which the backfill holds.
    pub limit: f64,
}

/// How the check is done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verify {
    /// How long a clean result remains valid. Default 24 h.
    pub max_age: Duration,
}

/// How the old column is dropped.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Contract {
    /// How long the old column is kept, renamed away and still in sync, before it is dropped. Default 7 days.
    pub grace: Duration,
    /// How long nobody may have written through the old column before it is retired. Default 1 min.
    pub quiet: Duration,
    /// How long nobody may have been seen to use the old column before it is retired: `quiet`, or the soak of phase `switch`
    /// where the plan gives only that.
    pub unused: Duration,
}

words! {
    /// A day of the week.
    pub enum Day {
        /// Monday.
        Mon = "mon",
        /// Tuesday.
        Tue = "tue",
        /// Wednesday.
        Wed = "wed",
        /// Thursday.
        Thu = "thu",
        /// Friday.
        Fri = "fri",
        /// Saturday.
        Sat = "sat",
        /// Sunday.
        Sun = "sun",
    }
}

impl Day {
    /// Returns whether `date` is such a day.
    pub(super) fn is(self, date: chrono::NaiveDate) -> bool {
        use chrono::{Datelike as _, Weekday};
        date.weekday()
            == match self {
                Self::Mon => Weekday::Mon,
                Self::Tue => Weekday::Tue,
                Self::Wed => Weekday::Wed,
                Self::Thu => Weekday::Thu,
                Self::Fri => Weekday::Fri,
                Self::Sat => Weekday::Sat,
                Self::Sun => Weekday::Sun,
            }
    }
}

/// When each phase may run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Schedule {
    /// The time zone of all dates and times below.
    pub timezone: chrono_tz::Tz,
    /// The first day of week 1.
    pub start: chrono::NaiveDate,
    /// The time of day in which work may be done; `None` is always.
    pub window: Option<Window>,
    /// Windows that open once, beside that one. Only a plan with `window` has any.
    pub extra: Vec<ExtraWindow>,
    /// The week, from 1, in which a phase becomes due; phases not named are due with the one before.
    pub weekly: Vec<(Phase, u16)>,
    /// Days before which a phase is not due, whatever its week.
    pub not_before: Vec<(Phase, chrono::NaiveDate)>,
    /// How long a phase lasts at least, from when it was done to when the next is due.
    pub soak: Vec<(Phase, Duration)>,
    /// Days on which nothing starts.
    pub freeze: Vec<Freeze>,
}

/// The days and hours in which work may be done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Window {
    /// At least one day.
    pub days: Vec<Day>,
    /// From this time of day.
    pub from: chrono::NaiveTime,
    /// Until this time of day; before `from`, it means the next day.
    pub to: chrono::NaiveTime,
}

/// A window that opens once.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExtraWindow {
    /// From this local time.
    pub from: chrono::NaiveDateTime,
    /// Until this local time, which is later.
    pub to: chrono::NaiveDateTime,
    /// The reason, for reports.
    pub why: String,
}

/// Days on which nothing starts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Freeze {
    /// The first day.
    pub from: chrono::NaiveDate,
    /// The last day, included.
    pub to: chrono::NaiveDate,
    /// The reason, for reports.
    pub why: String,
}
