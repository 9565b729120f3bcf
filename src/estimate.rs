//! What a backfill will cost, and afterwards what it did cost.
//!
//! The model ([`predict`]) is a pure function of what the catalog says and of a short, read-only calibration that times
//! reads of the table itself. It predicts both orders of index builds, so that a person can choose. When the backfill
//! is done, [`Filled`] holds what came of it.

mod calibrate;
mod facts;
mod filled;
mod model;
mod read;

pub use facts::{Added, Column, Index, NewIndex, Server, Subject};
pub use filled::Filled;
pub use model::{Machine, Prediction, Range, predict};
pub(crate) use read::estimate;

use serde::{Deserialize, Serialize};

use crate::plan::BuildIndexes;

/// What a run would cost, in both orders of its index builds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    pub pace: Pace,
    /// How fast this server reads this table; `None` where that could not be tried.
    pub machine: Machine,
    /// What is assumed, as sentences.
    pub assumptions: Vec<String>,
}

/// The pace that a plan sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// Workers.
    pub workers: u16,
    /// Rows a second at the most; `None` for no bound.
    pub max_rows_per_second: Option<u32>,
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
