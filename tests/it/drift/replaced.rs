//! Other tables, runs and ledgers under the names that a run knows.

use crossfade::plan::Plan;
use crossfade::run::{Phase, Standing};
use crossfade::runner::Error;

use super::{PLANS, Site};
use crate::harness::{Cli, PATIENCE, versions, wait_for};

/// The backfill, every step and every check know the table by its oid.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_the_same_name_is_never_written() {
    let version = versions().remove(0);
    for phase in [Phase::Expand, Phase::Index] {
        let site = Site::new(&version, PLANS[0]).await;
        site.run(Some(phase)).await.unwrap();
        site.execute(
            "ALTER TABLE things RENAME TO old_things;
                 CREATE TABLE things (id bigint, code integer, name integer);
                 INSERT INTO things SELECT n, n, NULL FROM generate_series(1, 60) AS n",
        )
        .await;
        let error = site.run(None).await.unwrap_err();
        assert!(matches!(error, Error::Drifted { .. }), "{error:?}");
        assert!(error.to_string().contains("old_things"), "{error}");
        let written: i64 = site.database.scalar("SELECT count(name) FROM things").await;
        assert_eq!(written, 0);
        // The way back is made on the table that the run began on, whatever it is called now.
        assert_eq!(site.rollback().await.unwrap(), Standing::RolledBack);
        site.assert_nothing_left("").await;
        assert_eq!(site.database.scalar::<i64>("SELECT count(*) FROM things").await, 60);
    }
}

/// A backfill that is at work goes by the table's oid, not by its name.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_replaced_under_the_backfill_is_not_written() {
    let version = versions().remove(0);
    let site = Site::new(&version, PLANS[0]).await;
    site.execute("UPDATE things SET note = repeat('n', 1000)").await;
    site.tool.run(&site.plan, &site.text, Some(Phase::Index)).await.unwrap();
    site.tool.tune("rename", &[("max_rows_per_second".to_owned(), "5".to_owned())]).await.unwrap();
    let (tool, plan, text) = (site.tool.clone(), site.plan.clone(), site.text.clone());
    let run = tokio::spawn(async move { tool.run(&plan, &text, None).await });
    wait_for("some rows", PATIENCE, async || {
        site.database.scalar::<i64>("SELECT count(*) FROM things WHERE name IS NOT NULL").await > 0
    })
    .await;
    site.execute(
        "ALTER TABLE things RENAME TO old_things;
             CREATE TABLE things (id bigint, code integer, name integer, note text);
             INSERT INTO things SELECT n, n, NULL, repeat('n', 1000) FROM generate_series(1, 60) AS n",
    )
    .await;
    let error = run.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::TableGone { .. } | Error::Drifted { .. }), "{error:?}");
    assert_eq!(site.database.scalar::<i64>("SELECT count(name) FROM things").await, 0);
    site.execute("DROP TABLE things; ALTER TABLE old_things RENAME TO things").await;
    assert_eq!(site.run(None).await.unwrap(), Standing::Done);
}

/// Two plans of one name that are started at once: one is registered, and the other is told so. Ended runs of a name keep
/// their numbers.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_that_of_one_active_run() {
    let version = versions().remove(0);
    let site = Site::new(&version, PLANS[0]).await;
    site.execute("CREATE TABLE others (id integer PRIMARY KEY, code integer); CREATE TABLE more (id integer PRIMARY KEY, code integer)").await;
    let plans: Vec<_> = ["others", "more"]
        .map(|table| {
            let text = format!("version: 1\nname: same\ntable: {table}\nchanges:\n  - rename_column: {{ from: code, to: name }}\ncontract: {{ grace: 0s, quiet: 0s }}\n");
            (crossfade::plan::parse("plan.yaml", &text).unwrap_or_else(|error| panic!("{error:?}")), text)
        })
        .into();
    // Each has looked for runs of its name before the other registers: the ledger is locked until both wait.
    site.run(Some(Phase::Expand)).await.unwrap();
    let mut lock = site.database.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE crossfade.claim IN SHARE ROW EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    let start = |(plan, text): (Plan, String)| {
        let tool = site.tool.clone();
        tokio::spawn(async move { tool.start(&plan, &text).await })
    };
    let (first, second) = (start(plans[0].clone()), start(plans[1].clone()));
    wait_for("both at the lock", PATIENCE, async || {
        let waiting = "SELECT count(*) FROM pg_locks WHERE relation = 'crossfade.claim'::regclass AND NOT granted";
        site.database.scalar::<i64>(waiting).await == 2
    })
    .await;
    lock.rollback().await.unwrap();
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
    let error = first.err().or(second.err()).unwrap();
    assert!(matches!(error, Error::PlanEdited { .. }), "{error:?}");
    assert_eq!(site.database.scalar::<i64>("SELECT count(*) FROM crossfade.run WHERE name = 'same'").await, 1);
    // The same name again, once the first has ended.
    site.tool.rollback("same", None).await.unwrap();
    site.tool.start(&plans[0].0, &plans[0].1).await.unwrap();
    assert_eq!(site.tool.status("same").await.unwrap().state, Standing::Waiting);
    assert_eq!(site.tool.status("same@1").await.unwrap().state, Standing::RolledBack);
    assert_eq!(site.tool.status("same@2").await.unwrap().state, Standing::Waiting);
    assert!(site.tool.status("same@3").await.is_err());
}

/// A ledger that was restored into another cluster is not that of this database, whatever oids there are.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_of_another_cluster_is_a_copy() {
    let version = versions().remove(0);
    let site = Site::new(&version, PLANS[0]).await;
    site.run(Some(Phase::Index)).await.unwrap();
    let home: i64 = site.database.scalar("SELECT system_identifier FROM crossfade.ledger").await;
    assert_eq!(home, site.database.scalar::<i64>("SELECT system_identifier FROM pg_control_system()").await);
    // What a dump that is restored elsewhere shows: everything is the same but the cluster.
    site.execute("UPDATE crossfade.ledger SET system_identifier = system_identifier + 1").await;
    for error in [site.run(None).await.unwrap_err(), site.rollback().await.unwrap_err()] {
        assert!(matches!(error, Error::Copied { .. }), "{error:?}");
    }
    let output = Cli::new(&site.database.url).args(["advance", "rename"]).run().await;
    assert_eq!(output.code, Some(7), "{output:#?}");
    assert!(
        output.stderr.contains("crossfade cleanup") && output.stderr.contains("pg_control_system"),
        "{}",
        output.stderr
    );
    // What it says of pg_upgrade is enough.
    site.execute("UPDATE crossfade.ledger SET system_identifier = (SELECT system_identifier FROM pg_control_system()), database_oid = (SELECT oid FROM pg_database WHERE datname = current_database())").await;
    assert_eq!(site.run(None).await.unwrap(), Standing::Done);
}
