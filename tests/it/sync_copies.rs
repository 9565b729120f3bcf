//! Rows that are copied with all their columns, and defaults: what worked before `expand` has the same result after it.

use crossfade::run::Phase;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use crate::harness::{Database, tool, versions};

fn plan(change: &str) -> String {
    format!("version: 1\nname: copies\ntable: t\nchanges:\n  - {change}\ncontract: {{ grace: 0s, quiet: 0s }}\n")
}

const RENAME: &str = "rename_column: { from: c, to: d }";

async fn run_to(database: &Database, text: &str, to: Option<Phase>) {
    let plan = crossfade::plan::parse("plan", text).unwrap();
    let finish = tool(&database.url).run(&plan, text, to).await;
    finish.unwrap_or_else(|error| panic!("{error:?}"));
}

async fn rows(database: &Database) -> String {
    database.scalar("SELECT coalesce(string_agg(t::text, ' ' ORDER BY id), '') FROM t").await
}

/// A row that is copied before the backfill has reached it keeps its value, also where that is the default, which looks like
/// NULL given to the new column. Once no row is unfilled, NULL given to the new column is NULL.
#[tokio::test(flavor = "multi_thread")]
async fn a_copied_default_is_a_value_and_a_given_null_is_null() {
    for version in versions() {
        for not_null in ["", "NOT NULL"] {
            let database = Database::on(&version).await;
            database
                .execute(&format!(
                    "CREATE TABLE t (id int PRIMARY KEY, c text DEFAULT 'x' {not_null});
                     INSERT INTO t VALUES (1, 'x'), (2, 'y'); CREATE TABLE archive AS SELECT * FROM t"
                ))
                .await;
            let text = plan(RENAME);
            run_to(&database, &text, Some(Phase::Expand)).await;
            database
                .execute(
                    "INSERT INTO t SELECT * FROM (SELECT (jsonb_populate_record(NULL::t, to_jsonb(t) || jsonb_build_object('id', id + 10))).* FROM t) s;
                     WITH gone AS (DELETE FROM t WHERE id < 10 RETURNING *) INSERT INTO t SELECT * FROM gone;
                     INSERT INTO t (id, c, d) VALUES (21, 'x', NULL) ON CONFLICT (id) DO NOTHING;
                     INSERT INTO t (id, c, d) VALUES (21, 'x', NULL) ON CONFLICT (id) DO UPDATE SET c = excluded.c, d = excluded.d;
                     INSERT INTO t SELECT id + 30, c FROM archive",
                )
                .await;
            let filled = "(1,x,x) (2,y,y) (11,x,x) (12,y,y) (21,x,x) (31,x,x) (32,y,y)";
            assert_eq!(rows(&database).await, filled, "{not_null} on PostgreSQL {}", version.major);
            run_to(&database, &text, Some(Phase::Verify)).await;
            if not_null.is_empty() {
                database
                    .execute("INSERT INTO t (id, d) VALUES (41, NULL); INSERT INTO t (id, c) VALUES (42, NULL)")
                    .await;
                assert_eq!(rows(&database).await, format!("{filled} (41,,) (42,,)"));
            }
            // Back to where rows may be unfilled, and forth.
            tool(&database.url).rollback("copies", Some(Phase::Expand)).await.unwrap();
            database.execute("INSERT INTO t (id, c, d) VALUES (51, 'x', NULL)").await;
            assert_eq!(database.scalar::<String>("SELECT d FROM t WHERE id = 51").await, "x");
            run_to(&database, &text, None).await;
            let left: i64 = database
                .scalar("SELECT count(*) FROM pg_proc WHERE pronamespace = 'crossfade'::regnamespace AND proname ~ '_[0-9a-f]{8}'")
                .await;
            assert_eq!(left, 0);
        }
    }
}

/// The same statements on a table as it was and on one in the middle of a run: the same answers, the same rows, and the same
/// values taken from sequences.
#[tokio::test(flavor = "multi_thread")]
async fn sequences_and_conflicts_are_as_before() {
    const WRITES: [&str; 14] = [
        "INSERT INTO t (id) VALUES (1) RETURNING id, c, u",
        "INSERT INTO t (id, c) VALUES (2, 200) RETURNING id, c, u",
        "INSERT INTO t (id, u) VALUES (1, 5) ON CONFLICT DO NOTHING RETURNING id, c, u",
        "INSERT INTO t (id, u) VALUES (1, 6) ON CONFLICT (id) DO UPDATE SET u = excluded.u RETURNING id, c, u",
        "INSERT INTO t (id, u) VALUES (1, 7) ON CONFLICT (id) DO UPDATE SET c = excluded.c RETURNING id, c, u",
        "INSERT INTO t (id, c) VALUES (1, 300) ON CONFLICT (id) DO UPDATE SET c = excluded.c + t.c RETURNING id, c, u",
        "INSERT INTO t (id, c) VALUES (3, DEFAULT), (4, 44) RETURNING id, c, u",
        "INSERT INTO t (id, c) SELECT n, nextval('s') FROM generate_series(5, 7) n RETURNING id, c, u",
        "INSERT INTO t (id) SELECT n FROM generate_series(5, 9) n ON CONFLICT DO NOTHING RETURNING id, c, u",
        "UPDATE t SET c = DEFAULT WHERE id IN (2, 3) RETURNING id, c, u",
        "UPDATE t SET c = NULL WHERE id = 4 RETURNING id, c, u",
        "INSERT INTO t (id, c) VALUES (10, NULL) RETURNING id, c, u",
        "INSERT INTO t (id, c) VALUES (11, 200) ON CONFLICT (c) DO UPDATE SET u = 9 RETURNING id, c, u",
        "SELECT nextval('s')::int, currval('s')::int, lastval()::int",
    ];
    for version in versions() {
        for default in ["nextval('s')", "nextval('s')::bigint * 2", "(random() * 0)::bigint + 3 + nextval('s')"] {
            for change in [RENAME, "change_type: { column: c, to: numeric, using: c, reverse: \"d::bigint\", via: d }"]
            {
                let (ours, plain) = (Database::on(&version).await, Database::on(&version).await);
                for database in [&ours, &plain] {
                    database
                        .execute(&format!(
                            "CREATE SEQUENCE s; CREATE TABLE t (id int PRIMARY KEY, c bigint DEFAULT {default}, u int); CREATE UNIQUE INDEX ON t (c)"
                        ))
                        .await;
                }
                run_to(&ours, &plan(change), Some(Phase::Expand)).await;
                let mut answers = Vec::new();
                for database in [&ours, &plain] {
                    let mut connection = PgConnection::connect(&database.url).await.unwrap();
                    let mut said = Vec::new();
                    for write in WRITES {
                        let rows = sqlx::query(AssertSqlSafe(format!("WITH w AS ({write}) SELECT w::text FROM w")));
                        let rows = rows.fetch_all(&mut connection).await.map_err(|error| error.to_string());
                        said.push(rows.map(|rows| rows.iter().map(|row| row.get::<String, _>(0)).collect::<Vec<_>>()));
                    }
                    answers.push(said);
                }
                for ((write, ours), plain) in WRITES.iter().zip(&answers[0]).zip(&answers[1]) {
                    assert_eq!(ours, plain, "{write}; {default}, {change}, on PostgreSQL {}", version.major);
                }
                assert_eq!(ours.scalar::<i64>("SELECT count(*) FROM t WHERE c IS DISTINCT FROM d::bigint").await, 0);
            }
        }
    }
}
