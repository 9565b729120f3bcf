//! Awkward tables: whatever shape a table has, and whatever happens to it meanwhile, a run ends with every row equal and
//! every page below the bound in a committed window; on a quiet table it ends like plain ALTER TABLE.

mod live;
mod toast;

use std::ops::RangeInclusive;
use std::time::Duration;

use crossfade::plan::Plan;
use crossfade::run::Phase;
use crossfade::testkit::server::Server;

use crate::harness::{Database, own_server, plain_alter, tool, wait_for};

/// Renames `status` of table `t`.
fn rename(more: &str) -> (Plan, String) {
    plan("rename_column: { from: status, to: vehicle_status }", more)
}

fn plan(change: &str, more: &str) -> (Plan, String) {
    let text = format!(
        "version: 1\nname: awkward\ntable: public.t\nchanges:\n  - {change}\nindexes: {{ build: after_backfill }}\n\
         contract: {{ grace: 0s, quiet: 0s }}\n{more}"
    );
    (crossfade::plan::parse("plan.yaml", &text).unwrap(), text)
}

/// Returns all values of a table in no order, duplicates included, whatever the order of its columns.
async fn contents(database: &Database) -> String {
    let sql = "SELECT count(*) || ' rows ' || coalesce(sum(hashtextextended(to_jsonb(t)::text, 0)), 0) FROM t";
    database.scalar(sql).await
}

/// Every row is equal, and windows that are done lie side by side from page 0 to the bound. Says so without the tool.
async fn assert_filled(database: &Database, name: &str) {
    let differ = "SELECT count(*) FROM t WHERE vehicle_status IS DISTINCT FROM status";
    assert_eq!(database.scalar::<i64>(differ).await, 0, "{name}: rows differ");
    let gaps = "WITH w AS (
          SELECT w.*, lag(to_page, 1, 0::bigint) OVER (PARTITION BY late ORDER BY from_page) AS previous
          FROM crossfade.page_window w JOIN crossfade.backfill b USING (run_id, pass))
        SELECT concat_ws(', ',
          (SELECT 'up to ' || coalesce(max(w.to_page), 0) || ' of ' || b.bound FROM crossfade.backfill b LEFT JOIN w ON NOT late
           GROUP BY b.bound HAVING coalesce(max(w.to_page), 0) <> b.bound),
          (SELECT 'not done: ' || string_agg(from_page::text, ' ') FROM w WHERE done_at IS NULL),
          (SELECT 'beside ' || string_agg(from_page::text, ' ') FROM w WHERE NOT late AND from_page <> previous))";
    assert_eq!(database.scalar::<String>(gaps).await, "", "{name}: pages in no committed window");
}

/// Of any number of sub-passes.
const ANY: RangeInclusive<i32> = 0..=i32::MAX;

/// A table, and what the backfill should make of it.
struct Shape {
    name: &'static str,
    /// Each statement by itself, because some are VACUUM.
    setup: Vec<String>,
    /// The most sub-passes that a window takes.
    sub_passes: RangeInclusive<i32>,
    /// The least share of HOT updates.
    hot: f64,
    /// The most that the heap may grow, as a factor.
    growth: f64,
}

const ROWS: &str = "INSERT INTO t SELECT g, 'status ' || g % 7, repeat('x', 60) FROM generate_series(1, 12000) g";
const COLUMNS: &str = "id int PRIMARY KEY, status text, filler text";

/// A table of 12,000 rows on full or not so full pages, with two more indexes.
fn usual(
    name: &'static str,
    with: &str,
    then: &[&str],
    sub_passes: RangeInclusive<i32>,
    hot: f64,
    growth: f64,
) -> Shape {
    let first = format!(
        "CREATE TABLE t ({COLUMNS}) WITH (autovacuum_enabled = off{with}); {ROWS}; CREATE INDEX ON t (status); CREATE INDEX ON t (filler, id)"
    );
    let setup = std::iter::once(first).chain(then.iter().map(|&sql| sql.to_owned())).collect();
    Shape { name, setup, sub_passes, hot, growth }
}

/// One of few rows, of which nothing is expected but that it ends.
fn small(name: &'static str, then: &[&str]) -> Shape {
    let first = format!("CREATE TABLE t ({COLUMNS}) WITH (autovacuum_enabled = off)");
    let setup = std::iter::once(first).chain(then.iter().map(|&sql| sql.to_owned())).collect();
    Shape { name, setup, sub_passes: ANY, hot: 0.0, growth: f64::INFINITY }
}

fn shapes() -> Vec<Shape> {
    let many_columns: Vec<String> = (1..=20).map(|n| format!("c{n} int")).collect();
    let many_values: Vec<String> = (1..=20).map(|n| format!("g % {}", 7 * n)).collect();
    let many_indexes: Vec<String> = (1..=20).map(|n| format!("CREATE INDEX ON t (c{n})")).collect();
    vec![
        usual("full pages", "", &["VACUUM ANALYZE t"], 10..=40, 0.75, 1.3),
        Shape {
            setup: vec![
                format!("CREATE TABLE t ({COLUMNS}) WITH (autovacuum_enabled = off); {ROWS}"),
                "DELETE FROM t WHERE id > 11000".to_owned(),
                "INSERT INTO t VALUES (30001, 'last')".to_owned(),
            ],
            ..usual("never analysed, with a last page of one row", "", &[], 10..=40, 0.75, 1.3)
        },
        usual("fillfactor 70", ", fillfactor = 70", &["VACUUM ANALYZE t"], 2..=6, 0.9, 1.1),
        usual("fillfactor 45", ", fillfactor = 45", &["VACUUM ANALYZE t"], 1..=3, 0.95, 1.05),
        usual("half deleted", "", &["ANALYZE t", "DELETE FROM t WHERE id % 2 = 0"], 1..=40, 0.9, 1.05),
        usual("half deleted, then analysed", "", &["DELETE FROM t WHERE id % 2 = 0", "ANALYZE t"], 1..=3, 0.8, 1.2),
        Shape {
            // Pages of dead rows only, and behind them full ones: on the average there is room, where the rows are is none.
            sub_passes: ANY,
            ..usual(
                "all updated twice",
                "",
                &["UPDATE t SET filler = repeat('y', 60)", "UPDATE t SET filler = repeat('z', 60)", "ANALYZE t"],
                ANY,
                0.2,
                1.4,
            )
        },
        usual("unlogged", "", &["ALTER TABLE t SET UNLOGGED", "VACUUM ANALYZE t"], 10..=40, 0.75, 1.4),
        Shape {
            name: "20 indexes",
            setup: vec![
                format!(
                    "CREATE TABLE t ({COLUMNS}, {}); INSERT INTO t SELECT g, 'status ' || g % 7, 'x', {} FROM generate_series(1, 10000) g; {}",
                    many_columns.join(", "),
                    many_values.join(", "),
                    many_indexes.join("; ")
                ),
                "VACUUM ANALYZE t".to_owned(),
            ],
            sub_passes: 10..=40,
            hot: 0.7,
            growth: 1.4,
        },
        Shape {
            name: "no key, duplicates",
            setup: vec![
                "CREATE TABLE t (status text, n int); INSERT INTO t SELECT 's' || g % 5, g % 3 FROM generate_series(1, 20000) g"
                    .to_owned(),
                "INSERT INTO t SELECT NULL, NULL FROM generate_series(1, 500)".to_owned(),
                "VACUUM ANALYZE t".to_owned(),
            ],
            // So narrow that line pointers run out: a page has 291, each row one, and a HOT update takes another.
            sub_passes: ANY,
            hot: 0.2,
            growth: 2.0,
        },
        Shape {
            name: "rows of 900 bytes",
            setup: vec![
                "CREATE TABLE t (id int PRIMARY KEY, status text, filler text);
                 INSERT INTO t SELECT g, 'status ' || g % 7, repeat('x', 900) FROM generate_series(1, 5000) g"
                    .to_owned(),
                "VACUUM ANALYZE t".to_owned(),
            ],
            sub_passes: 6..=9,
            hot: 0.3,
            growth: 1.7,
        },
        Shape {
            name: "rows of 2,600 bytes",
            setup: vec![
                "CREATE TABLE t (id int PRIMARY KEY, status text, filler text); ALTER TABLE t ALTER filler SET STORAGE PLAIN;
                 INSERT INTO t SELECT g, 'status ' || g % 7, repeat('x', 2600) FROM generate_series(1, 2000) g"
                    .to_owned(),
                "VACUUM ANALYZE t".to_owned(),
            ],
            sub_passes: 1..=3,
            hot: 0.0,
            growth: 2.1,
        },
        small("empty", &[]),
        small("one row", &["INSERT INTO t VALUES (1, 'only', NULL)"]),
        small("one row without a value", &["INSERT INTO t VALUES (1, NULL, NULL)"]),
        small("only dead rows", &[ROWS, "DELETE FROM t"]),
        small("rolled back rows", &["BEGIN; INSERT INTO t SELECT g FROM generate_series(1, 9999) g; ROLLBACK"]),
        small("holes", &[ROWS, "DELETE FROM t WHERE id BETWEEN 2000 AND 10000", "VACUUM ANALYZE t"]),
    ]
}

/// Runs a plan on two tables that were made alike, with the tool and as plain ALTER TABLE.
async fn ends_like_alter(server: &Server, shape: &Shape) {
    let Shape { name, setup, sub_passes, hot, growth } = shape;
    let (ours, twin) = (Database::on_server(server).await, Database::on_server(server).await);
    let (plan, text) = rename("");
    for sql in setup {
        ours.execute(sql).await;
        twin.execute(sql).await;
    }
    for sql in plain_alter(&plan) {
        twin.execute(&sql).await;
    }
    let size = "SELECT greatest(pg_relation_size('t'), 1)::float8";
    let before: f64 = ours.scalar(size).await;
    let tool = tool(&ours.url);
    tool.run(&plan, &text, Some(Phase::Backfill)).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    assert_filled(&ours, name).await;

    let used: Option<i32> = ours.scalar("SELECT max(sub_pass) FROM crossfade.page_window").await;
    let hot_share = "SELECT coalesce(sum(hot) / nullif(sum(rows), 0), 1)::float8 FROM crossfade.page_window";
    let (kept, after): (f64, f64) = (ours.scalar(hot_share).await, ours.scalar(size).await);
    let what = format!("{name}: {used:?} sub-passes, {:.1} % HOT, heap grown by {:.2}", kept * 100.0, after / before);
    assert!(sub_passes.contains(&used.unwrap_or(0)), "{what}");
    assert!(kept >= *hot && after / before <= *growth, "{what}");

    let finish = tool.run(&plan, &text, None).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    assert_eq!(finish.state, crossfade::run::Standing::Done, "{name}");
    assert_eq!(contents(&ours).await, contents(&twin).await, "{name}");
    assert_eq!(ours.schema().await, twin.schema().await, "{name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_every_shape_end_like_alter_table() {
    // A transaction that has written holds back pruning in every database of its server, so other tests would disturb.
    let server = own_server();
    // So does autovacuum, which comes when it likes.
    let setup = Database::on_server(&server).await;
    setup.execute("ALTER SYSTEM SET autovacuum = off").await;
    setup.execute("SELECT pg_reload_conf()").await;
    wait_for("autovacuum to end", Duration::from_mins(2), async || {
        let there = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type LIKE 'autovacuum%')";
        !setup.scalar::<bool>(there).await
    })
    .await;
    for shape in shapes() {
        ends_like_alter(&server, &shape).await;
    }
}

/// The dry run says what a crash would mean, and the table stays what it is.
#[tokio::test(flavor = "multi_thread")]
async fn an_unlogged_table_is_warned_of() {
    let database = Database::new().await;
    database.execute("CREATE UNLOGGED TABLE t (id int PRIMARY KEY, status text)").await;
    let (plan, _) = rename("");
    let preview = tool(&database.url).preview(&plan).await.unwrap();
    assert!(preview.warnings.iter().any(|warning| warning.code == "catalog::unlogged"), "{:?}", preview.warnings);
}
