//! New versions of rows and the room on their pages: sub-passes, windows, what is written to the log.

use crossfade::event::Event;
use sqlx::Connection as _;

use super::{Stage, old_snapshot};
use crate::harness::{Database, PATIENCE, own_server, wait_for};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sub_passes_keep_new_versions_on_their_pages() {
    // A transaction that has written holds back pruning in every database of its server, so other tests would disturb.
    let server = own_server();
    for (workers, kills) in [(1, 0), (1, 3), (2, 0)] {
        let database = Database::on_server(&server).await;
        let mut stage = Stage::rename_on(database, 60_000, &format!("backfill: {{ workers: {workers} }}\n")).await;
        if kills > 0 {
            stage.set("max_rows_per_second", "8000").await;
        }
        let size = "SELECT pg_relation_size('vehicles')";
        let before = stage.database.scalar::<i64>(size).await;
        for _ in 0..kills {
            let last = stage.rows_filled().await;
            let running = stage.spawn_backfill();
            wait_for("some rows", PATIENCE, async || stage.rows_filled().await > last + 3000).await;
            running.abort();
            let _ = running.await;
            stage.take_over().await;
        }
        stage.set("max_rows_per_second", "off").await;
        stage.backfill().await.unwrap();
        assert_eq!((stage.unfilled().await, stage.rows_filled().await), (0, 60_000));
        let visits: i32 = stage.database.scalar("SELECT max(sub_pass) FROM crossfade.page_window").await;
        assert!((10..40).contains(&visits), "{visits} sub-passes");
        let hot: i64 = stage.database.scalar("SELECT sum(hot)::bigint FROM crossfade.page_window").await;
        assert!(hot > 45_000, "{hot} of 60000 with {workers} workers and {kills} kills");
        let grown = stage.database.scalar::<i64>(size).await;
        assert!(grown < before * 4 / 3, "{before} bytes, then {grown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sub_passes_are_left_off_while_an_old_snapshot_makes_them_useless() {
    let stage = Stage::rename(60_000).await;
    stage.set("window_pages", "64").await;
    let _old = old_snapshot(&stage).await;
    stage.backfill().await.unwrap();
    assert_eq!((stage.unfilled().await, stage.rows_filled().await), (0, 60_000));
    assert!(stage.saw(|event| matches!(event, Event::Warning { message } if message.contains("in a transaction for"))));
    let single: i64 = stage.database.scalar("SELECT count(*) FROM crossfade.page_window WHERE parts = 1").await;
    let several: i64 = stage.database.scalar("SELECT count(*) FROM crossfade.page_window WHERE parts > 1").await;
    assert!((1..=3).contains(&several) && single > several, "{several} windows in sub-passes, {single} at once");
    let visits: i32 = stage.database.scalar("SELECT max(sub_pass) FROM crossfade.page_window").await;
    assert_eq!(visits, 4, "the rest of a window at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sub_passes_are_tried_again_once_the_old_snapshot_is_gone() {
    let server = own_server();
    let database = Database::on_server(&server).await;
    let stage = Stage::rename_on(database, 60_000, "backfill: { max_rows_per_second: 4000 }\n").await;
    stage.set("window_pages", "64").await;
    let old = old_snapshot(&stage).await;
    let running = stage.spawn_backfill();
    let single = "SELECT count(*) FROM crossfade.page_window WHERE parts = 1";
    wait_for("a window at once", PATIENCE, async || stage.database.scalar::<i64>(single).await > 0).await;
    old.close().await.unwrap();
    stage.set("max_rows_per_second", "20000").await;
    running.await.unwrap().unwrap();
    assert_eq!((stage.unfilled().await, stage.rows_filled().await), (0, 60_000));
    let again = "SELECT count(*) FROM crossfade.page_window WHERE parts > 1 AND from_page > \
                 (SELECT min(from_page) FROM crossfade.page_window WHERE parts = 1)";
    assert!(stage.database.scalar::<i64>(again).await >= 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn snapshots_of_short_transactions_make_windows_longer() {
    let server = own_server();
    let stage = Stage::rename_on(Database::on_server(&server).await, 60_000, "").await;
    let _young = old_snapshot(&stage).await;
    stage.backfill().await.unwrap();
    let pages = "SELECT array_agg(to_page - from_page ORDER BY from_page) FROM crossfade.page_window";
    let pages: Vec<i64> = stage.database.scalar(pages).await;
    assert!(pages[1] > pages[0], "windows of {pages:?} pages");
    assert_eq!((stage.unfilled().await, stage.rows_filled().await), (0, 60_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn page_images_are_compressed_when_the_plan_says_so() {
    let server = own_server();
    let mut written = Vec::new();
    for more in ["", "backfill: { wal_compression: pglz }\n"] {
        let stage = Stage::rename_on(Database::on_server(&server).await, 30_000, more).await;
        stage.database.execute("CHECKPOINT").await;
        let before: String = stage.database.scalar("SELECT pg_current_wal_insert_lsn()::text").await;
        stage.backfill().await.unwrap();
        let since = format!("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '{before}')::bigint");
        written.push(stage.database.scalar::<i64>(&since).await);
        assert_eq!(stage.unfilled().await, 0);
    }
    assert!(written[1] * 10 < written[0] * 9, "{written:?} bytes");
}

/// A page has 291 line pointers, and a HOT update takes a new one: with narrow rows they run out before the room does.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn narrow_rows_are_no_reason_to_speak_of_old_snapshots() {
    let server = own_server();
    let database = Database::on_server(&server).await;
    let fill =
        "CREATE TABLE narrow (status text); INSERT INTO narrow SELECT 's' || g % 5 FROM generate_series(1, 40000) AS g";
    database.execute(fill).await;
    database.execute("VACUUM ANALYZE narrow").await;
    let plan = "version: 1\nname: rename\ntable: narrow\nchanges:\n  - rename_column: { from: status, to: state }\n";
    let stage = Stage::of(database, plan).await;
    stage.set("window_pages", "64").await;
    stage.backfill().await.unwrap();
    let hot: f64 = stage.database.scalar("SELECT (sum(hot) / sum(rows))::float8 FROM crossfade.page_window").await;
    assert!((0.1..0.7).contains(&hot), "{hot} of the updates were HOT");
    assert!(!stage.saw(|event| matches!(event, Event::Warning { .. } | Event::Waiting { .. })));
    assert_eq!(stage.rows_filled().await, 40_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_indexed_column_is_filled_in_one_go() {
    let stage = Stage::rename(20_000).await;
    stage.database.execute("CREATE INDEX ON vehicles (lower(vehicle_status))").await;
    stage.backfill().await.unwrap();
    assert_eq!(stage.database.scalar::<i32>("SELECT max(sub_pass) FROM crossfade.page_window").await, 1);
    assert_eq!(stage.unfilled().await, 0);
}
