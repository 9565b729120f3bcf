use super::*;
use crate::engine::fill::Shape;
use crate::estimate::facts::{Added, Column, Server};
use crate::run::{PlannedPace, Range};

fn column(len: i16, width: f64, n_distinct: f64) -> Column {
    let align = if len > 0 { 8 } else { 4 };
    Column {
        name: String::new(),
        attnum: 0,
        len,
        align,
        dropped: false,
        width: Some(width),
        null_share: Some(0.0),
        n_distinct: Some(n_distinct),
    }
}

fn index(bytes: f64, columns: Vec<Column>, correlation: f64) -> Index {
    Index { bytes, share: 1.0, columns, correlation, summary: false }
}

/// The table that was measured: a key, a text without order, a text of few values that is renamed, a filler.
fn measured(rows: f64, pages: f64, filler: f64) -> Subject {
    let (id, code, status) = (column(8, 8.0, -1.0), column(-1, 33.0, -1.0), column(-1, 9.0, 7.0));
    Subject {
        rows,
        pages,
        columns: vec![id.clone(), code.clone(), status.clone(), column(-1, filler, 1.0)],
        added: vec![Added { column: status.clone(), toast_bytes: 0.0 }],
        indexes: vec![
            index(rows * 22.57, vec![id], 1.0),
            index(rows * 59.1, vec![code], 0.0),
            index(rows * 7.1, vec![status.clone()], 0.14),
        ],
        new_indexes: vec![NewIndex {
            columns: vec![status],
            blocks_hot: true,
            filled: true,
            share: 1.0,
            summary: false,
        }],
        fillfactor: 1.0,
        unlogged: false,
        full_identity: false,
        locks: true,
        server: Server {
            full_page_writes: true,
            wal_compression: false,
            logical: false,
            minimal: false,
            max_wal_bytes: 4.0 * 1024.0 * 1024.0 * 1024.0,
            checkpoint_seconds: 300.0,
        },
    }
}

/// With the method that the engine chooses.
fn predicted(subject: &Subject, order: BuildIndexes) -> Prediction {
    let (row_bytes, _) = subject.row_bytes();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "pages of a test")]
    let method = Method::choose(&Shape {
        pages: subject.pages as u32,
        rows_per_page: subject.rows_per_page(),
        row_bytes: Some(row_bytes + LINE_POINTER),
        filled_is_indexed: blocks_hot(subject, order),
    });
    predict(subject, order, method, &Machine::default(), 0.1)
}

const BEFORE: BuildIndexes = BuildIndexes::BeforeBackfill;
const AFTER: BuildIndexes = BuildIndexes::AfterBackfill;

/// Within this factor of what was measured.
fn near(what: &str, predicted: f64, measured: f64, factor: f64) {
    assert!(
        predicted <= measured * factor && predicted >= measured / factor,
        "{what}: predicted {predicted}, measured {measured}"
    );
}

#[expect(clippy::cast_precision_loss, reason = "bytes of a test")]
fn megabytes(bytes: i64) -> f64 {
    bytes as f64 / 1024.0 / 1024.0
}

/// Runs of this program on PostgreSQL 15, each from a checkpoint on: megabytes of log, share of HOT updates, growth of the
/// heap as a share of it, megabytes by which the indexes grew.
#[test]
fn what_was_measured_is_predicted() {
    let some_room = Subject { fillfactor: 0.7, ..measured(200_000.0, 4082.0, 31.0) };
    let runs = [
        // Rows of 112 bytes: full pages, 45 % full, 70 % full.
        ("full pages, index afterwards", measured(200_000.0, 2858.0, 31.0), AFTER, [76.0, 0.863, 0.150, 0.2]),
        ("600,000 rows, index afterwards", measured(600_000.0, 8572.0, 31.0), AFTER, [227.0, 0.861, 0.150, 0.5]),
        ("room for all", measured(600_000.0, 19_355.0, 31.0), AFTER, [145.0, 1.0, 0.0, 0.0]),
        ("some room, index afterwards", some_room, AFTER, [71.0, 0.896, 0.111, 0.2]),
        // Rows of 480 bytes.
        ("wide rows, index afterwards", measured(200_000.0, 12_500.0, 401.0), AFTER, [156.0, 0.9, 0.102, 0.2]),
    ];
    for (name, subject, order, [wal, hot, heap, indexes]) in runs {
        let predicted = predicted(&subject, order);
        near(&format!("{name}: WAL"), megabytes(predicted.wal_bytes), wal, 1.1);
        assert!((predicted.hot_share - hot).abs() < 0.06, "{name}: HOT {}", predicted.hot_share);
        near(&format!("{name}: heap"), 1.0 + predicted.heap_growth_share, 1.0 + heap, 1.08);
        near(&format!("{name}: indexes"), 10.0 + megabytes(predicted.index_growth), 10.0 + indexes, 1.25);
    }
}

/// The figures in ARCHITECTURE.md, of another table: 1 M rows of about 100 bytes, two indexes and a key.
#[test]
fn what_others_measured_is_predicted() {
    let rows = 1_000_000.0;
    let (id, name) = (column(4, 4.0, -1.0), column(-1, 14.0, -0.3));
    let table = |pages| Subject {
        columns: vec![id.clone(), column(-1, 9.0, 7.0), name.clone(), column(-1, 50.0, -1.0)],
        indexes: vec![
            index(rows * 22.5, vec![id.clone()], 1.0),
            index(rows * 28.0, vec![name.clone()], 0.0),
            index(rows * 7.0, vec![column(-1, 9.0, 7.0)], 0.1),
        ],
        ..measured(rows, pages, 0.0)
    };
    let full = table(13_330.0);
    // Every row of a window in one sub-pass, as one UPDATE would do it.
    let single = |subject: &Subject, order| {
        let shape = Shape { pages: 0, rows_per_page: 0.0, row_bytes: None, filled_is_indexed: false };
        predict(subject, order, Method { parts: 1, ..Method::choose(&shape) }, &Machine::default(), 0.1)
    };
    near("one sub-pass", megabytes(single(&full, AFTER).wal_bytes), 636.0, 1.15);
    near("index first", megabytes(single(&full, BEFORE).wal_bytes), 737.0, 1.15);
    near("pages with room", megabytes(predicted(&table(29_500.0), AFTER).wal_bytes), 228.0, 1.15);
    near("several sub-passes", megabytes(predicted(&full, AFTER).wal_bytes), 330.0, 1.15);
    let seconds = |prediction: Prediction| {
        f64::midpoint(prediction.seconds.low, prediction.seconds.high) / f64::midpoint(AT_BEST, AT_WORST)
    };
    near("seconds with several", seconds(predicted(&full, AFTER)), 5.2, 1.2);
    near("seconds with one", seconds(single(&full, AFTER)), 13.0, 1.2);
    near("seconds with the index first", seconds(single(&full, BEFORE)), 13.8, 1.2);
    assert!((predicted(&full, AFTER).hot_share - 0.87).abs() < 0.03);
}

#[test]
fn settings_of_the_server_count() {
    let full = measured(200_000.0, 2858.0, 31.0);
    let wal = |change: fn(&mut Subject)| {
        let mut subject = full.clone();
        change(&mut subject);
        megabytes(predicted(&subject, AFTER).wal_bytes)
    };
    let plain = wal(|_| {});
    // 38 MB of the run were images of pages.
    near("no images", plain - wal(|s| s.server.full_page_writes = false), 36.3, 1.1);
    near("compressed", plain - wal(|s| s.server.wal_compression = true), 18.1, 1.1);
    let logical = wal(|s| s.server.logical = true);
    assert!(logical > plain + 10.0);
    assert!(
        wal(|s| {
            s.server.logical = true;
            s.full_identity = true;
        }) > logical + 15.0
    );
    assert!(wal(|s| s.full_identity = true) <= plain);
    assert!(wal(|s| s.unlogged = true) <= 0.0);
    // Keys without order are imaged again after each checkpoint.
    assert!(wal(|s| s.server.max_wal_bytes = 16.0 * 1024.0 * 1024.0) > plain + 30.0);
    let mut minimal = full.clone();
    minimal.server.minimal = true;
    assert_eq!(predicted(&minimal, AFTER).build_wal_bytes, 0);
    assert!(predicted(&full, AFTER).build_wal_bytes > 1_000_000);
}

#[test]
fn a_brin_index_has_no_entries() {
    let mut subject = measured(200_000.0, 2858.0, 31.0);
    subject.new_indexes[0].summary = true;
    subject.new_indexes[0].blocks_hot = false;
    assert_eq!(predicted(&subject, BEFORE), predicted(&subject, AFTER));
    // On versions where it blocks HOT, only the other indexes are written.
    subject.new_indexes[0].blocks_hot = true;
    let blocked = predicted(&subject, BEFORE);
    subject.new_indexes[0].summary = false;
    assert!(blocked.hot_share <= 0.0);
    assert!(blocked.wal_bytes + 10_000_000 < predicted(&subject, BEFORE).wal_bytes);
}

#[test]
fn an_empty_table_costs_nothing() {
    let empty = measured(0.0, 0.0, 31.0);
    for order in [BEFORE, AFTER] {
        let predicted = predicted(&empty, order);
        assert_eq!((predicted.heap_growth, predicted.index_growth), (0, 0));
        assert!(predicted.wal_bytes < 10_000 && predicted.seconds.high <= 0.0, "{predicted:?}");
    }
}

#[test]
fn a_dropped_column_puts_a_null_bitmap_into_new_rows() {
    let mut subject = measured(1000.0, 15.0, 31.0);
    // 24 + 8 + 33 + 9 + 31, and 9 more.
    assert_eq!(subject.row_bytes(), (112.0, 120.0));
    subject.columns.extend((0..4).map(|_| Column { dropped: true, ..column(4, 4.0, 1.0) }));
    assert_eq!(subject.row_bytes(), (112.0, 128.0));
    subject.columns[3].width = None;
    let full_page = 8168.0 / (1000.0 / 15.0) - 4.0;
    assert!((subject.row_bytes().0 - full_page).abs() < 0.01);
}

#[test]
fn a_pace_bounds_the_time_from_below() {
    let range = Range { low: 10.0, high: 20.0 };
    let paced = |workers, max_rows_per_second| range.paced(1_000_000.0, PlannedPace { workers, max_rows_per_second });
    assert_eq!(paced(1, None), range);
    assert_eq!(paced(1, Some(50_000)), Range { low: 20.0, high: 20.0 });
    assert_eq!(paced(1, Some(80_000)), Range { low: 12.5, high: 20.0 });
    assert!((paced(2, None).high - 12.3).abs() < 0.1);
}
