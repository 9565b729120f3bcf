//! The stored form of a prediction.

use super::{Document, form};
use crate::run;

impl Document for run::Estimates {
    type Form = Estimates;
}

form!(struct Estimates of run::Estimates {
    rows: i64,
    wal_bytes: i64,
    seconds: f64,
    orders: Option<Orders>,
});

form!(struct Orders of run::Orders {
    order: String,
    before_backfill: Prediction,
    after_backfill: Prediction,
    order_matters: bool,
    paced: Range,
    backfill_paced: Range,
    pace: Pace,
    machine: Machine,
    assumptions: Vec<String>,
});

form!(struct Pace of run::PlannedPace {
    workers: u16,
    max_rows_per_second: Option<u32>,
});

form!(struct Prediction of run::Prediction {
    sub_passes: f64,
    hot_share: f64,
    wal_bytes: i64,
    heap_growth: i64,
    heap_growth_share: f64,
    toast_growth: i64,
    index_growth: i64,
    seconds: Range,
    build_wal_bytes: i64,
    build_bytes: i64,
    build_seconds: Range,
});

form!(struct Range of run::Range {
    low: f64,
    high: f64,
});

form!(struct Machine of run::Machine {
    measured: bool,
    sample_pages: i64,
    sample_rows: i64,
    slowness: f64,
    fetch_page_us: f64,
    value_us: f64,
    round_trip_ms: f64,
});
