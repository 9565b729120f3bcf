//! The model's inputs: the table, its indexes and the server. Pure.

use serde::Deserialize;

/// Bytes of a page that rows and their line pointers can have.
pub(super) const PAGE_ROOM: f64 = 8168.0;
pub(super) const LINE_POINTER: f64 = 4.0;
/// Bytes of a tuple's header without its null bitmap.
const HEADER: f64 = 23.0;
/// Bytes of an index tuple's header.
const INDEX_HEADER: f64 = 8.0;
/// Everything is aligned to this.
const MAX_ALIGN: f64 = 8.0;
/// A value with a length word of one byte, which needs no alignment, is no longer than this.
pub(super) const SHORT: f64 = 127.0;
/// Width of a value of which nothing is known, as the planner has it.
const UNKNOWN_WIDTH: f64 = 32.0;

/// A column as it lies in a tuple, averages over the table.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Column {
    /// Its name; empty where it is not needed.
    #[serde(default)]
    pub name: String,
    /// `pg_attribute.attnum`.
    pub attnum: i16,
    /// `pg_attribute.attlen`: bytes, or -1 for a value of any length.
    pub len: i16,
    /// Bytes to which the value is aligned.
    pub align: u8,
    /// Whether it was dropped: new row versions hold NULL there.
    pub dropped: bool,
    /// Bytes of a value that is not NULL, on average; `None` where the planner has no statistics.
    pub width: Option<f64>,
    /// Share of NULLs.
    pub null_share: Option<f64>,
    /// `pg_stats.n_distinct`: how many values there are, or how many a row when negative.
    pub n_distinct: Option<f64>,
}

impl Column {
    /// Returns how many different values there are in `rows` rows; `None` where that is not known.
    fn distinct(&self, rows: f64) -> Option<f64> {
        self.n_distinct.map(|n| if n < 0.0 { -n * rows } else { n })
    }

    fn width(&self) -> f64 {
        if self.len > 0 { f64::from(self.len) } else { self.width.unwrap_or(UNKNOWN_WIDTH) }
    }
}

/// A column that the run adds and fills.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Added {
    /// As [`Column`].
    pub column: Column,
    /// Bytes that go to the TOAST table, a row.
    pub toast_bytes: f64,
}

/// An index that is there.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Index {
    /// Its bytes.
    pub bytes: f64,
    /// Its entries, a row: below 1 for a partial index.
    pub share: f64,
    /// Its columns as they lie in its tuples.
    pub columns: Vec<Column>,
    /// `pg_stats.correlation` of the first column: 1 where it has the table's order.
    pub correlation: f64,
    /// Whether it has no entry for each row (BRIN).
    pub summary: bool,
}

/// An index that the run builds in its index phase.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct NewIndex {
    /// Its columns.
    pub columns: Vec<Column>,
    /// Whether it holds a filled column, and so keeps updates from being HOT.
    pub blocks_hot: bool,
    /// Whether it holds a filled column.
    pub filled: bool,
    /// Its entries, a row.
    pub share: f64,
    /// Whether it has no entry for each row (BRIN).
    pub summary: bool,
}

/// Settings of the server that matter.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "settings of the server")]
pub struct Server {
    /// `full_page_writes`.
    pub full_page_writes: bool,
    /// `wal_compression`.
    pub wal_compression: bool,
    /// `wal_level` is `logical`: new row versions are logged whole.
    pub logical: bool,
    /// `wal_level` is `minimal`: index builds are not logged.
    pub minimal: bool,
    /// `max_wal_size`, bytes.
    pub max_wal_bytes: f64,
    /// `checkpoint_timeout`, seconds.
    pub checkpoint_seconds: f64,
}

/// The table, its indexes and the server.
#[derive(Debug, Clone, PartialEq)]
pub struct Subject {
    /// Rows.
    pub rows: f64,
    /// Pages.
    pub pages: f64,
    /// Its columns, in order.
    pub columns: Vec<Column>,
    /// The columns that are added and filled.
    pub added: Vec<Added>,
    /// Its indexes.
    pub indexes: Vec<Index>,
    /// The indexes that the run builds in its index phase.
    pub new_indexes: Vec<NewIndex>,
    /// Share of a page that inserts may fill.
    pub fillfactor: f64,
    /// Whether nothing is logged (an unlogged table).
    pub unlogged: bool,
    /// Whether the whole old row is logged as well (REPLICA IDENTITY FULL).
    pub full_identity: bool,
    /// Whether each row is locked before it is updated, because a BEFORE trigger may fire.
    pub locks: bool,
    /// The server.
    pub server: Server,
}

impl Subject {
    /// Returns rows on a page.
    pub fn rows_per_page(&self) -> f64 {
        if self.pages > 0.0 { (self.rows / self.pages).max(0.001) } else { 0.001 }
    }

    /// Returns bytes of a row version without its line pointer, now and once the new columns are filled.
    ///
    /// Without statistics a page is taken as full.
    pub fn row_bytes(&self) -> (f64, f64) {
        let kept: Vec<_> = self.columns.iter().filter(|column| !column.dropped).collect();
        let known = kept.iter().all(|column| column.len > 0 || column.width.is_some());
        let with: Vec<_> = kept.iter().copied().chain(self.added.iter().map(|added| &added.column)).collect();
        let dropped = kept.len() < self.columns.len();
        let (old, new) = (
            tuple_bytes(&kept, self.columns.len(), false),
            tuple_bytes(&with, self.columns.len() + self.added.len(), dropped),
        );
        if known || self.rows < 1.0 {
            return (old, new);
        }
        let measured = (PAGE_ROOM / self.rows_per_page() - LINE_POINTER).max(24.0);
        (measured, measured + (new - old).max(0.0))
    }

    /// Returns bytes of the new columns' values, a row.
    pub fn added_bytes(&self) -> f64 {
        self.added.iter().map(|added| added.column.width() * (1.0 - added.column.null_share.unwrap_or(0.0))).sum()
    }

    /// Returns bytes that go to the TOAST table, a row.
    pub fn toast_bytes(&self) -> f64 {
        self.added.iter().map(|added| added.toast_bytes).sum()
    }
}

/// Returns bytes of a tuple with these columns, `natts` with those that were dropped. `nulls` says that every tuple has a
/// NULL somewhere.
fn tuple_bytes(columns: &[&Column], natts: usize, nulls: bool) -> f64 {
    let without: f64 = columns.iter().map(|column| 1.0 - column.null_share.unwrap_or(0.0)).product();
    let with_nulls = if nulls { 1.0 } else { 1.0 - without };
    #[expect(clippy::cast_precision_loss, reason = "at most 1600")]
    let bitmap = align(HEADER + (natts as f64 / 8.0).ceil(), MAX_ALIGN) - align(HEADER, MAX_ALIGN);
    align(align(HEADER, MAX_ALIGN) + with_nulls * bitmap + data_bytes(columns), MAX_ALIGN)
}

/// Returns bytes of an index tuple without its line pointer.
pub(super) fn index_tuple_bytes(columns: &[Column]) -> f64 {
    align(INDEX_HEADER + data_bytes(&columns.iter().collect::<Vec<_>>()), MAX_ALIGN)
}

/// Returns how many different keys an index has; `rows` where that is not known.
pub(super) fn distinct(columns: &[Column], rows: f64) -> f64 {
    let all: Option<f64> = columns.iter().map(|column| column.distinct(rows)).product();
    all.unwrap_or(rows).clamp(1.0, rows.max(1.0))
}

fn data_bytes(columns: &[&Column]) -> f64 {
    columns.iter().fold(0.0, |at, column| {
        let present = 1.0 - column.null_share.unwrap_or(0.0);
        let width = column.width();
        let aligned = if (column.len > 0 || width > SHORT) && present > 0.5 {
            align(at, f64::from(column.align.max(1)))
        } else {
            at
        };
        aligned + width * present
    })
}

fn align(bytes: f64, to: f64) -> f64 {
    (bytes / to).ceil() * to
}
