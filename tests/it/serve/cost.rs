//! What a page of many runs costs the database, in statements: milliseconds are in docs/serve.md.

use super::{PLAN, Served, TABLE, plan};
use crate::harness::{Cli, Database, PATIENCE, own_server_set, wait_for};
use crate::report_page::Page;

/// Makes runs of a name of their own, as the run `rename` is.
const MORE: &str = "
INSERT INTO crossfade.run (name, number, format, fingerprint, plan_text, plan, facts, program)
  SELECT 'rename-' || n, 1, format, fingerprint, plan_text, jsonb_set(plan, '{name}', to_jsonb('rename-' || n)), facts, program
  FROM crossfade.run CROSS JOIN generate_series(2, 30) AS n WHERE name = 'rename';
INSERT INTO crossfade.relation SELECT r.id, o.relation, o.table_oid, o.schema_name, o.table_name
  FROM crossfade.run AS r, crossfade.relation AS o WHERE r.id <> 1 AND o.run_id = 1;
INSERT INTO crossfade.verification (run_id, relation, at, started_at, fingerprint, body_hash, relfilenode, repaired, rows, equal, empty,
    different, unconverted, only_new, seconds, keys)
  SELECT r.id, relation, at, started_at, o.fingerprint, body_hash, relfilenode, repaired, rows, equal, empty, different, unconverted, only_new,
    seconds, keys FROM crossfade.run AS r, crossfade.verification AS o WHERE r.id <> 1 AND o.run_id = 1;
INSERT INTO crossfade.event (run_id, seq, os_user, host, pid, version, format, entry, phase, state)
  SELECT r.id, o.seq, o.os_user, o.host, o.pid, o.version, o.format, o.entry, o.phase, o.state
  FROM crossfade.run AS r, crossfade.event AS o WHERE r.id <> 1 AND o.run_id = 1 ORDER BY r.id, o.seq";

#[tokio::test(flavor = "multi_thread")]
async fn thirty_runs_cost_as_many_statements_as_one() {
    let postgres =
        tokio::task::block_in_place(|| own_server_set(&[("log_statement", "all"), ("log_line_prefix", "<%a> ")]));
    let database = Database::on_server(&postgres).await;
    database.execute(TABLE).await;
    let plan = plan(PLAN);
    let output = Cli::new(&database.url).args(["run", plan.path().to_str().unwrap(), "--to", "verify"]).run().await;
    assert_eq!(output.code, Some(0), "{output:#?}");
    let served = Served::on(&database.url, &[]).await;

    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'crossfade%'";
    let logged = || {
        let log = std::fs::read(postgres.log_path()).unwrap();
        let log = String::from_utf8_lossy(&log).into_owned();
        log.lines().filter(|line| line.starts_with("<crossfade control> LOG:  execute")).count()
    };
    // A second look at the same page has nothing of the first to find out.
    let cost = async |path: &str| {
        let mut before = 0;
        for _ in 0..2 {
            wait_for("the sessions to end", PATIENCE, async || database.scalar::<i64>(sessions).await == 0).await;
            before = logged();
            assert_eq!(served.get(path).await.0, 200);
        }
        wait_for("the sessions to end", PATIENCE, async || database.scalar::<i64>(sessions).await == 0).await;
        logged() - before
    };
    let status = async || {
        let before = logged();
        let output = Cli::new(&database.url).args(["status"]).run().await;
        assert_eq!(output.code, Some(0), "{output:#?}");
        wait_for("the sessions to end", PATIENCE, async || database.scalar::<i64>(sessions).await == 0).await;
        logged() - before
    };
    let one = (cost("/").await, cost("/metrics").await, status().await);
    database.execute(MORE).await;
    let thirty = (cost("/").await, cost("/metrics").await, status().await);
    assert_eq!(one, thirty, "the numbers grow with the runs");
    assert!((5..=40).contains(&one.0), "{one:?}");
    // They are all there, each with its state.
    let (_, body) = served.get("/").await;
    let page = Page::read(&body);
    assert_eq!(page.links.len(), 30, "{}", page.text);
    assert!(page.says("rename-30… waitingswitch"), "{}", page.text);
}
