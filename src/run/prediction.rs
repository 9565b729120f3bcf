//! What a run was predicted to cost.

use serde::Serialize;

use crate::plan::BuildIndexes;

/// What a run would cost, in both orders of its index builds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Estimates {
    /// Rows in the table.
    pub rows: i64,
    /// Bytes of write-ahead log that the backfill and the early index builds write, in the plan's own order.
    pub wal_bytes: i64,
    /// Seconds that the backfill and the early index builds take, in the plan's own order and at its own pace.
    pub seconds: f64,
    /// Both orders; `None` where there is nothing to fill.
    pub orders: Option<Orders>,
}

/// Both orders of index builds side by side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Orders {
    /// The plan's own order.
    pub order: BuildIndexes,
    /// What it costs to build the indexes first.
    pub before_backfill: Prediction,
    /// What it costs to build them afterwards.
    pub after_backfill: Prediction,
    /// Whether an index of the plan is built early enough for the order to matter.
    pub order_matters: bool,
    /// Seconds of backfill and index builds at the plan's own pace.
    pub paced: Range,
    /// Seconds of the backfill alone at the plan's own pace.
    pub backfill_paced: Range,
    /// What the pace of the plan is.
    pub pace: PlannedPace,
    /// How fast this server reads this table; `None` where that could not be tried.
    pub machine: Machine,
    /// What is assumed, as sentences.
    pub assumptions: Vec<String>,
}

impl Orders {
    /// Returns what is predicted for the plan's own order.
    pub fn own(&self) -> &Prediction {
        match self.order {
            BuildIndexes::BeforeBackfill => &self.before_backfill,
            BuildIndexes::AfterBackfill => &self.after_backfill,
        }
    }
}

/// The pace that a plan sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PlannedPace {
    /// Workers.
    pub workers: u16,
    /// At most this many rows per second; `None` for no bound.
    pub max_rows_per_second: Option<u32>,
}

/// What one order of index builds costs. Bytes and seconds; nothing that applications write is in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prediction {
    /// How many sub-passes each window of pages takes, on average.
    pub sub_passes: f64,
    /// Share of updates that touch no index.
    pub hot_share: f64,
    /// Write-ahead log of the backfill.
    pub wal_bytes: i64,
    /// Bytes that the heap grows by.
    pub heap_growth: i64,
    /// The same as a share of what it is.
    pub heap_growth_share: f64,
    /// Bytes that the TOAST table grows by.
    pub toast_growth: i64,
    /// Bytes that the indexes grow by while rows are filled.
    pub index_growth: i64,
    /// Seconds of the backfill with one worker and no throttle.
    pub seconds: Range,
    /// Write-ahead log of the early index builds.
    pub build_wal_bytes: i64,
    /// Bytes of the new indexes when they are built.
    pub build_bytes: i64,
    /// Seconds of the early index builds.
    pub build_seconds: Range,
}

impl Prediction {
    /// Returns the write-ahead log of backfill and index builds.
    pub fn all_wal_bytes(&self) -> i64 {
        self.wal_bytes + self.build_wal_bytes
    }

    /// Returns the bytes that all indexes have more in the end.
    pub fn all_index_bytes(&self) -> i64 {
        self.index_growth + self.build_bytes
    }

    /// Returns the seconds of backfill and index builds, one worker and no throttle.
    pub fn all_seconds(&self) -> Range {
        self.seconds.plus(self.build_seconds)
    }
}

/// From about `low` to about `high`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Range {
    /// At best.
    pub low: f64,
    /// At worst.
    pub high: f64,
}

impl Range {
    /// Returns both ranges one after the other.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { low: self.low + other.low, high: self.high + other.high }
    }
}

/// How fast the server is, as the calibration saw it.
///
/// Counting rows that are in memory takes 0.03 microseconds a row and 0.5 a page on the machine on which the costs of
/// writing were measured. `slowness` is how many times as long it takes here,
/// with everybody else at work; writing is taken to be as many times slower.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Machine {
    /// Whether anything was measured.
    pub measured: bool,
    /// Pages that were read.
    pub sample_pages: i64,
    /// Rows that were read.
    pub sample_rows: i64,
    /// How many times as long a read takes as where writing was measured.
    pub slowness: f64,
    /// Microseconds to get a page into memory.
    pub fetch_page_us: f64,
    /// Microseconds to compute the new values of a row.
    pub value_us: f64,
    /// Milliseconds of a round trip.
    pub round_trip_ms: f64,
}

impl Default for Machine {
    /// Returns the machine on which writing was measured.
    fn default() -> Self {
        Self {
            measured: false,
            sample_pages: 0,
            sample_rows: 0,
            slowness: 1.0,
            fetch_page_us: 0.0,
            value_us: 0.0,
            round_trip_ms: 0.1,
        }
    }
}
