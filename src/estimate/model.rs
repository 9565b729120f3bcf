//! The model: a pure function from facts to what a backfill costs.
//!
//! The sizes of log records and the growth of indexes were read off `pg_waldump --stats=record` and the sizes of tables
//! and indexes before and after runs of 200,000 and 600,000 rows on PostgreSQL 15 (rows of 110 and 480 bytes; pages full,
//! at 70 % and at 45 %; both orders). How many rows stay on their page is rehearsed with the engine's own method. The times were taken in the same runs, on an idle machine with 2 cores; see
//! [`Machine`] for how they carry over to another.

use super::facts::{Index, LINE_POINTER, NewIndex, PAGE_ROOM, Subject, distinct, index_tuple_bytes};
use crate::engine::fill::{Method, Page};
use crate::plan::BuildIndexes;
use crate::run::{Machine, Prediction, Range};

const PAGE: f64 = 8192.0;
/// What the pages' own bytes and the block's reference add to a full-page image.
const IMAGE_OVERHEAD: f64 = 74.0;
/// A row lock: every update takes one before the sync trigger's condition is evaluated, and another when the row leaves its
/// page.
const LOCK_RECORD: f64 = 54.0;
/// An update without its row version; and less the header, of which only a part is logged.
const UPDATE_RECORD: f64 = 73.0 - 23.0;
/// An update that stays on its page, without the bytes that differ.
const SAME_PAGE_RECORD: f64 = 68.0;
const PRUNE_RECORD: f64 = 66.0;
/// An index entry without its tuple, with its part of what is deleted and deduplicated.
const ENTRY_RECORD: f64 = 52.0;
/// Of a page that is split, what goes to the new page is logged.
const SPLIT_RECORD: f64 = 3400.0;
/// Share of an index's bytes that its full-page images have: leaves are 90 % full.
const INDEX_IMAGE: f64 = 0.83;
/// A chunk of a value in the TOAST table, its log record and its index entry's.
const TOAST_CHUNK: f64 = 1996.0;
const TOAST_CHUNK_RECORDS: f64 = 130.0;
/// Bytes of a deduplicated entry.
const POSTING: f64 = 6.8;
/// How full a freshly built index is, and one into which keys came in any order.
const BUILT_FILL: f64 = 0.9;
const GROWN_FILL: f64 = 0.7;
/// With this many rows to a key, equal keys are kept as one entry with many row ids.
const DEDUPLICATED: f64 = 10.0;
/// Share of a page image that compression leaves; it depends on the data.
const COMPRESSED: f64 = 0.5;
/// A checkpoint begins when this share of `max_wal_size` is written.
const CHECKPOINT_AT: f64 = 0.5;

// Microseconds on the machine that was measured.
/// An update that stays on its page, with its row lock and the trigger's WHEN.
const UPDATE_TIME: f64 = 2.6;
/// What an update takes longer when the row leaves its page.
const MOVE_TIME: f64 = 1.3;
const ENTRY_TIME: f64 = 2.5;
/// Seeing a row again in another sub-pass.
const VISIT_TIME: f64 = 0.075;
/// Pruning a page once.
const PRUNE_TIME: f64 = 2.0;
/// Sorting an entry of an index build.
const SORT_TIME: f64 = 1.7;
/// Counting a row, and a page, that are in memory.
const READ_ROW_TIME: f64 = 0.03;
const READ_PAGE_TIME: f64 = 0.5;
/// Fetching a column of a row and its size: what a value costs that is only copied.
pub(super) const COPY_TIME: f64 = 0.085;
/// What more than one worker bring: 2 are 1.6 times as fast as 1 (measured).
const WORKERS_POWER: f64 = 0.7;
/// Each batch has three round trips.
const ROUND_TRIPS: f64 = 3.0;
/// The range that is reported.
const AT_BEST: f64 = 0.75;
const AT_WORST: f64 = 2.0;

impl Machine {
    /// Returns microseconds that reading a row takes where writing was measured.
    pub(super) fn reference_read_us(rows_per_page: f64) -> f64 {
        READ_ROW_TIME + READ_PAGE_TIME / rows_per_page.max(0.001)
    }
}

impl Range {
    fn around(value: f64) -> Self {
        Self { low: value * AT_BEST, high: value * AT_WORST }
    }

    /// Returns the range at the pace of a plan: with its workers, and no faster than its row rate.
    #[must_use]
    pub fn paced(self, rows: f64, pace: crate::run::PlannedPace) -> Self {
        let faster = f64::from(pace.workers.max(1)).powf(WORKERS_POWER);
        let least = pace.max_rows_per_second.map_or(0.0, |most| rows / f64::from(most.max(1)));
        Self { low: (self.low / faster).max(least), high: (self.high / faster).max(least) }
    }
}

/// Returns whether the indexes of the run keep updates from being HOT when they are built in `order`.
pub(super) fn blocks_hot(subject: &Subject, order: BuildIndexes) -> bool {
    order == BuildIndexes::BeforeBackfill && subject.new_indexes.iter().any(|index| index.blocks_hot)
}

/// Returns what a backfill of `subject` costs when it goes through windows by `method` and the new indexes are built in
/// `order`. `batch_seconds` is how long a batch should take.
pub fn predict(
    subject: &Subject,
    order: BuildIndexes,
    method: Method,
    machine: &Machine,
    batch_seconds: f64,
) -> Prediction {
    let rows = subject.rows.max(0.0);
    let updates = Updates::new(subject, method, blocks_hot(subject, order));
    let early = order == BuildIndexes::BeforeBackfill;
    let new_ones: Vec<_> = subject.new_indexes.iter().map(|index| New::of(index, rows, early, &updates)).collect();
    let grown: Vec<_> = subject.indexes.iter().map(|index| Grown::of(index, rows, &updates)).collect();
    let growth_of_old: f64 = grown.iter().map(|grown| grown.growth).sum();
    let growth_of_new: f64 = new_ones.iter().map(|new| new.growth).sum();
    let new_entries = |new: &&New| early && !new.summary;
    let entries = (1.0 - updates.hot)
        * (grown.iter().map(|grown| grown.share).sum::<f64>()
            + new_ones.iter().filter(new_entries).map(|new| new.share).sum::<f64>());

    let read = machine.slowness * Machine::reference_read_us(subject.rows_per_page());
    let micros = machine.slowness * updates.time(entries, subject.toast_bytes())
        + machine.value_us
        + machine.fetch_page_us / subject.rows_per_page();
    let waits = 1.0 + ROUND_TRIPS * machine.round_trip_ms / 1000.0 / batch_seconds.max(0.001);
    let seconds = rows * micros / 1e6 * waits;
    let build_micros: f64 = new_ones.iter().map(|new| 2.0 * read + machine.slowness * new.sorted * SORT_TIME).sum();
    let build_seconds = rows * build_micros / 1e6;

    let mut wal = 0.0;
    if !subject.unlogged {
        let steady = rows * updates.heap_records(subject)
            + subject.pages * updates.prunes * PRUNE_RECORD
            + toast_records(rows * subject.toast_bytes())
            + grown.iter().map(|grown| grown.records(rows, &updates)).sum::<f64>()
            + new_ones.iter().filter(new_entries).map(|new| new.records(rows, &updates)).sum::<f64>()
            + (growth_of_old + growth_of_new) / PAGE * SPLIT_RECORD;
        wal = steady;
        // Pages that are touched all over are imaged again after each checkpoint, which this makes come sooner.
        for _ in 0..4 {
            let written = wal + if early { 0.0 } else { build_wal(subject, &new_ones) };
            let checkpoints = (written / (subject.server.max_wal_bytes * CHECKPOINT_AT).max(1.0))
                .max(seconds / subject.server.checkpoint_seconds.max(1.0))
                .floor();
            wal = steady + images(subject, &updates, &grown, checkpoints);
        }
    }
    let heap = subject.pages * PAGE;
    let heap_growth = rows * updates.moved * (updates.new_bytes + LINE_POINTER) / subject.fillfactor.clamp(0.1, 1.0);
    Prediction {
        sub_passes: updates.sub_passes,
        hot_share: updates.hot,
        wal_bytes: whole(wal),
        heap_growth: whole(heap_growth * PAGE / PAGE_ROOM),
        heap_growth_share: if heap > 0.0 { heap_growth / heap } else { 0.0 },
        toast_growth: whole(rows * subject.toast_bytes() * PAGE / PAGE_ROOM),
        index_growth: whole(growth_of_old + growth_of_new),
        seconds: Range::around(seconds),
        build_wal_bytes: whole(build_wal(subject, &new_ones)),
        build_bytes: whole(new_ones.iter().map(|new| new.built).sum()),
        build_seconds: Range::around(build_seconds),
    }
}

fn build_wal(subject: &Subject, new_ones: &[New]) -> f64 {
    if subject.unlogged || subject.server.minimal { 0.0 } else { new_ones.iter().map(|new| new.built).sum() }
}

fn toast_records(bytes: f64) -> f64 {
    bytes + bytes / TOAST_CHUNK * TOAST_CHUNK_RECORDS
}

/// Full-page images: each page of the heap once, and of the indexes what is touched, again after each checkpoint where
/// keys lie in another order than rows.
fn images(subject: &Subject, updates: &Updates, grown: &[Grown], checkpoints: f64) -> f64 {
    if !subject.server.full_page_writes {
        return 0.0;
    }
    let filled = subject.rows_per_page() * (updates.old_bytes + LINE_POINTER);
    let heap = subject.pages * (filled + IMAGE_OVERHEAD).min(PAGE);
    let indexes: f64 = grown.iter().map(|grown| grown.images(subject.rows, updates, checkpoints)).sum();
    (heap + indexes) * if subject.server.wal_compression { COMPRESSED } else { 1.0 }
}

/// Where the updates go.
struct Updates {
    sub_passes: f64,
    /// Share that touch no index.
    hot: f64,
    /// Share whose new version goes to another page.
    moved: f64,
    /// Share of rows for which a sub-pass writes index entries, at the most.
    burst: f64,
    /// How often each page is pruned.
    prunes: f64,
    /// Prunes, a row.
    prunes_per_row: f64,
    old_bytes: f64,
    new_bytes: f64,
}

impl Updates {
    fn new(subject: &Subject, method: Method, blocked: bool) -> Self {
        let (old_bytes, new_bytes) = subject.row_bytes();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let pages = subject.pages.max(0.0) as u32;
        let on_page = subject.rows_per_page();
        let rehearsed = method.rehearse(&Page { pages, rows: on_page, old_bytes, new_bytes });
        let prunes = rehearsed.sub_passes - 1.0;
        Self {
            sub_passes: rehearsed.sub_passes,
            hot: if blocked { 0.0 } else { rehearsed.stay },
            moved: 1.0 - rehearsed.stay,
            burst: if blocked { rehearsed.most } else { rehearsed.burst },
            prunes,
            prunes_per_row: prunes / on_page,
            old_bytes,
            new_bytes,
        }
    }

    /// Returns how much more room entries of equal keys take that come in several sub-passes: lists of row ids are split.
    fn loose(&self) -> f64 {
        if self.sub_passes > 1.0 { 1.3 } else { 1.0 }
    }

    /// Returns bytes of the heap's log records, a row.
    fn heap_records(&self, subject: &Subject) -> f64 {
        let whole = UPDATE_RECORD + self.new_bytes;
        let same_page = if subject.server.logical { whole } else { SAME_PAGE_RECORD + subject.added_bytes() };
        let old = if subject.server.logical && subject.full_identity { self.old_bytes } else { 0.0 };
        let lock = if subject.locks { LOCK_RECORD } else { 0.0 };
        lock + self.moved * (LOCK_RECORD + whole) + (1.0 - self.moved) * same_page + old
    }

    /// Returns microseconds, a row, where writing was measured.
    fn time(&self, entries: f64, toast_bytes: f64) -> f64 {
        UPDATE_TIME
            + self.moved * MOVE_TIME
            + entries * ENTRY_TIME
            + if self.sub_passes > 1.0 { self.sub_passes * VISIT_TIME } else { 0.0 }
            + self.prunes_per_row * PRUNE_TIME
            + toast_bytes / TOAST_CHUNK * (ENTRY_TIME + UPDATE_TIME)
    }
}

/// How an existing index grows.
struct Grown {
    share: f64,
    leaves: f64,
    tuple: f64,
    bytes: f64,
    growth: f64,
    /// Share of its pages that lie open to entries at any time: 0 where keys have the order of rows.
    scattered: f64,
}

impl Grown {
    fn of(index: &Index, rows: f64, updates: &Updates) -> Self {
        let tuple = index_tuple_bytes(&index.columns) + LINE_POINTER;
        if index.summary {
            return Self { share: 0.0, leaves: 0.0, tuple, bytes: index.bytes, growth: 0.0, scattered: 0.0 };
        }
        let entries = rows * index.share;
        let keys = distinct(&index.columns, rows);
        let leaves = (index.bytes / PAGE).max(1.0);
        let scattered = (1.0 - index.correlation.abs().min(1.0)) * (keys / leaves).min(1.0);
        let cold = 1.0 - updates.hot;
        let growth = if entries < 1.0 {
            0.0
        } else if entries / keys >= DEDUPLICATED {
            cold * updates.loose()
        } else {
            // Leaves have some room; and what a later sub-pass inserts takes the place of entries that are dead by then.
            let room = (index.bytes / (entries * tuple) / 1.015 - 1.0).clamp(0.05, 2.0);
            let split = ((updates.burst - room) / 0.02).clamp(0.0, 1.0);
            if updates.sub_passes > 1.0 {
                split * (1.0 - 0.5 * scattered)
            } else {
                // Batches that come later find dead entries in the leaves of keys that lie all over.
                split * cold * (1.0 - 0.2 * scattered)
            }
        };
        Self { share: index.share, leaves, tuple, bytes: index.bytes, growth: index.bytes * growth, scattered }
    }

    fn records(&self, rows: f64, updates: &Updates) -> f64 {
        rows * self.share * (1.0 - updates.hot) * (ENTRY_RECORD + self.tuple - LINE_POINTER)
    }

    fn images(&self, rows: f64, updates: &Updates, checkpoints: f64) -> f64 {
        let entries = rows * self.share * (1.0 - updates.hot);
        let touched = 1.0 - (-entries / self.leaves.max(1.0)).exp();
        let again = 1.0 + checkpoints * self.scattered;
        // An entry makes no more than one image.
        (self.bytes * INDEX_IMAGE * touched * again).min(entries * PAGE)
    }
}

/// The size and cost of an index that the run builds.
struct New {
    share: f64,
    summary: bool,
    tuple: f64,
    built: f64,
    growth: f64,
    /// Share of rows whose entries must be sorted.
    sorted: f64,
}

impl New {
    fn of(index: &NewIndex, rows: f64, early: bool, updates: &Updates) -> Self {
        let tuple = index_tuple_bytes(&index.columns) + LINE_POINTER;
        let entries = rows * index.share;
        let duplicates = entries / distinct(&index.columns, rows) >= DEDUPLICATED;
        let (share, summary) = (index.share, index.summary);
        if index.summary {
            return Self { share, summary, tuple, built: 3.0 * PAGE, growth: 0.0, sorted: 0.0 };
        }
        let of_values = |fill: f64| entries * if duplicates { POSTING } else { tuple / fill };
        let of_nulls = entries * POSTING;
        let (built, growth, sorted) = match (early, index.filled) {
            // The entries of rows that are not filled yet stay until a vacuum.
            (true, true) => (of_nulls, of_values(GROWN_FILL) * updates.loose(), 0.0),
            (true, false) => (of_values(BUILT_FILL), of_values(BUILT_FILL) * (1.0 - updates.hot), share),
            (false, _) => (of_values(BUILT_FILL), 0.0, share),
        };
        Self { share, summary, tuple, built, growth, sorted }
    }

    fn records(&self, rows: f64, updates: &Updates) -> f64 {
        rows * self.share * (1.0 - updates.hot) * (ENTRY_RECORD + self.tuple - LINE_POINTER)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a float that does not fit saturates")]
fn whole(value: f64) -> i64 {
    value.round() as i64
}

#[cfg(test)]
mod tests;
