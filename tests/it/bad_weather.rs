//! What happens around a run: the server goes away, the connection is cut, somebody changes the table, the ledger is of
//! another time, the server is a replica, there is a pooler in between.

use crossfade::testkit::fleet;

use crossfade::plan::Plan;
use crossfade::run::{Phase, WaitingFor};
use crossfade::runner::{Error, NotYet};
use sqlx::{Connection as _, PgConnection};

use crate::harness::{Cli, Database, PATIENCE, PgBouncer, Proxy, own_server, server, tool, wait_for};

fn plan(replace: &[(&str, &str)]) -> (Plan, String) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/vehicle-status.yaml");
    let mut text = std::fs::read_to_string(path).unwrap().replace("quiet: 2s", "quiet: 0s");
    for (from, to) in replace {
        assert!(text.contains(from));
        text = text.replace(from, to);
    }
    (crossfade::plan::parse("plan", &text).unwrap(), text)
}

async fn load(database: &Database, rows: u32) {
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    fleet::create(&mut connection).await.unwrap();
    fleet::load(&mut connection, rows).await.unwrap();
}

const SLOW: (&str, &str) = ("batch_target: 25ms", "max_rows_per_second: 400\n  batch_target: 20ms");

async fn in_backfill(database: &Database) {
    wait_for("rows to be filled", PATIENCE, async || {
        database.scalar::<bool>("SELECT to_regclass('crossfade.page_window') IS NOT NULL").await
            && database.scalar::<bool>("SELECT EXISTS (SELECT FROM crossfade.page_window WHERE rows > 0)").await
    })
    .await;
}

async fn at_full_speed(database: &Database) {
    let setting = ("max_rows_per_second".to_owned(), "off".to_owned());
    tool(&database.url).tune("vehicle-status", &[setting]).await.unwrap();
}

/// Every connection of the tool is cut, again and again; it connects again and loses nothing.
#[tokio::test(flavor = "multi_thread")]
async fn cut_connections_are_opened_again() {
    let database = Database::new().await;
    load(&database, 20_000).await;
    let proxy = Proxy::before(server()).await;
    let (plan, text) = plan(&[SLOW]);
    let tool = tool(&proxy.url(&database.name));
    let running = tokio::spawn(async move { tool.run(&plan, &text, None).await });
    in_backfill(&database).await;
    for _ in 0..3 {
        let rows = "SELECT sum(rows)::bigint FROM crossfade.page_window";
        let before: i64 = database.scalar(rows).await;
        proxy.cut();
        wait_for("the backfill to go on", PATIENCE, async || database.scalar::<i64>(rows).await > before).await;
    }
    at_full_speed(&database).await;
    let finish = running.await.unwrap().unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(finish.state, crossfade::run::Standing::Done);
    assert_eq!(database.scalar::<i64>("SELECT count(*) FROM vehicles WHERE vehicle_status IS NULL").await, 0);
}

/// The server crashes and recovers in the middle of the backfill.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_crashes_in_mid_run_is_waited_for() {
    let mut own = own_server();
    let database = Database::on_server(&own).await;
    load(&database, 20_000).await;
    let (plan, text) = plan(&[SLOW]);
    let tool = tool(&database.url);
    let running = tokio::spawn(async move { tool.run(&plan, &text, None).await });
    in_backfill(&database).await;
    tokio::task::block_in_place(|| own.restart()).unwrap();
    wait_for("the server", PATIENCE, async || PgConnection::connect(&database.url).await.is_ok()).await;
    assert!(!running.is_finished(), "too fast to be disturbed");
    at_full_speed(&database).await;
    let finish = running.await.unwrap().unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(finish.state, crossfade::run::Standing::Done);
    assert_eq!(database.scalar::<i64>("SELECT count(*) FROM vehicles WHERE vehicle_status IS NULL").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_refused() {
    let own = own_server();
    let database = Database::on_server(&own).await;
    load(&database, 100).await;
    let replica = tokio::task::block_in_place(|| own.replica()).unwrap();
    let (_, text) = plan(&[]);
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), text).unwrap();
    wait_for("the replica to have the table", PATIENCE, async || {
        let Ok(mut connection) = PgConnection::connect(&replica.url(&database.name)).await else { return false };
        let there = sqlx::query_scalar("SELECT count(*) = 100 FROM vehicles").fetch_one(&mut connection).await;
        there.unwrap_or(false)
    })
    .await;
    for command in ["plan", "run"] {
        let output = Cli::new(&replica.url(&database.name))
            .args([command.into(), file.path().as_os_str().to_owned()])
            .run()
            .await;
        assert_eq!(output.code, Some(4), "{output:#?}");
        let said = format!("{}{}", output.stdout, output.stderr);
        assert!(said.contains("standby") && said.contains("primary"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_ledger_is_refused_and_left_alone() {
    let database = Database::new().await;
    load(&database, 100).await;
    let (plan, text) = plan(&[]);
    let tool = tool(&database.url);
    tool.start(&plan, &text).await.unwrap();
    database.execute("UPDATE crossfade.ledger SET version = 99").await;
    let before: i64 = database.scalar("SELECT count(*) FROM crossfade.event").await;
    for error in [
        tool.run(&plan, &text, None).await.unwrap_err(),
        tool.advance("vehicle-status").await.unwrap_err(),
        tool.rollback("vehicle-status", None).await.unwrap_err(),
        tool.preview(&plan).await.unwrap_err(),
    ] {
        let error = error.to_string();
        assert!(error.contains("version 99") && error.contains("nothing was changed"), "{error}");
    }
    assert_eq!(database.scalar::<i64>("SELECT count(*) FROM crossfade.event").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_of_somebody_else_is_refused() {
    let database = Database::new().await;
    load(&database, 100).await;
    database.execute("CREATE SCHEMA crossfade; CREATE TABLE crossfade.mine (a int)").await;
    let (plan, text) = plan(&[]);
    let error = tool(&database.url).run(&plan, &text, None).await.unwrap_err().to_string();
    assert!(error.contains("not a crossfade ledger"), "{error}");
}

/// I3: the catalog is the truth.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_behind_our_back_is_drift_and_is_named() {
    for (damage, mend, named) in [
        ("ALTER TABLE vehicles DISABLE TRIGGER USER", "ALTER TABLE vehicles ENABLE TRIGGER USER", "trigger"),
        (
            "ALTER TABLE vehicles RENAME vehicle_status TO other",
            "ALTER TABLE vehicles RENAME other TO vehicle_status",
            "column \"vehicle_status\"",
        ),
        (
            "ALTER TABLE vehicles ALTER vehicle_status TYPE text",
            "ALTER TABLE vehicles ALTER vehicle_status TYPE varchar(20)",
            "character varying(20)",
        ),
    ] {
        let database = Database::new().await;
        load(&database, 200).await;
        let (plan, text) = plan(&[]);
        let tool = tool(&database.url);
        tool.run(&plan, &text, Some(Phase::Index)).await.unwrap();
        // ALTER TYPE is refused by the trigger that names the column; then there is nothing to notice.
        if sqlx::raw_sql(sqlx::AssertSqlSafe(damage)).execute(&database.pool).await.is_err() {
            continue;
        }
        let error = tool.run(&plan, &text, None).await.unwrap_err();
        assert!(matches!(error, Error::Drifted { .. }), "{damage}: {error:?}");
        assert!(error.to_string().contains(named), "{damage}: {error}");
        assert_eq!(tool.status("vehicle-status").await.unwrap().state, crossfade::run::Standing::Drifted);
        database.execute(mend).await;
        let finish = tool.run(&plan, &text, None).await.unwrap_or_else(|error| panic!("{damage}: {error:?}"));
        assert_eq!(finish.state, crossfade::run::Standing::Done);
    }
}

/// See docs/postgres.md, "Transaction poolers".
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_pooler_is_refused() {
    let database = Database::new().await;
    load(&database, 100).await;
    let Some(pooler) = PgBouncer::before(server()).await else { return };
    let (plan, text) = plan(&[]);
    let error = tool(&pooler.url(&database.name)).run(&plan, &text, None).await.unwrap_err().to_string();
    assert!(error.contains("pooler"), "{error}");
    assert!(!database.scalar::<bool>("SELECT to_regnamespace('crossfade') IS NOT NULL").await);
}

/// V1: a check of another trigger, or of another table file, counts for nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_was_voided_is_made_again_before_the_column_goes() {
    let database = Database::new().await;
    load(&database, 500).await;
    let (plan, text) = plan(&[]);
    let tool = tool(&database.url);
    tool.run(&plan, &text, Some(Phase::Switch)).await.unwrap();
    let checks = "SELECT count(*) FROM crossfade.verification";
    let before: i64 = database.scalar(checks).await;
    // Somebody plants a difference and rewrites the table, after the last check.
    database
        .execute(
            "ALTER TABLE vehicles DISABLE TRIGGER USER; UPDATE vehicles SET vehicle_status = 'planted' WHERE id = 7;
             ALTER TABLE vehicles ENABLE TRIGGER USER",
        )
        .await;
    database.execute("VACUUM FULL vehicles").await;
    let error = tool.run(&plan, &text, None).await.unwrap_err();
    let Error::Mismatch(outcome) = &error else { panic!("{error:?}") };
    assert_eq!((outcome.counts.different, outcome.keys.len()), (1, 1));
    assert_eq!(outcome.keys[0].key["id"], "7");
    assert!(database.scalar::<i64>(checks).await > before);
    assert_eq!(
        database.scalar::<i64>("SELECT count(status) FROM vehicles").await,
        500,
        "the old column is still there"
    );
    // The repair says who wins; and a repair is not itself the clean check.
    let outcome = tool.verify("vehicle-status", Some(crossfade::run::Side::Old)).await.unwrap();
    assert_eq!(outcome.counts.mismatches(), 0);
    let finish = tool.run(&plan, &text, None).await.unwrap();
    assert_eq!(finish.state, crossfade::run::Standing::Done);
    assert_eq!(database.scalar::<i64>("SELECT count(*) FROM vehicles WHERE vehicle_status = 'planted'").await, 0);
}

/// A change without a way back: once the new column has been written, a rollback would lose that, and says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_would_lose_a_write_is_refused() {
    let database = Database::new().await;
    load(&database, 500).await;
    let text = "version: 1\nname: one-way\ntable: public.vehicles\nchanges:\n  - change_type: { column: license_plate, to: varchar(10), \
                using: \"substring(license_plate, 1, 10)\", via: plate_v2, keep_name: false }\ncontract: { grace: 0s, quiet: 0s }\n";
    let plan = crossfade::plan::parse("one-way", text).unwrap();
    let tool = tool(&database.url);
    database.execute("UPDATE vehicles SET license_plate = '' WHERE license_plate IS NULL; ALTER TABLE vehicles ALTER license_plate SET NOT NULL").await;
    let before = database.schema().await;
    tool.run(&plan, text, Some(Phase::Verify)).await.unwrap();
    // W2: the release that writes the new column only may come now, although the old one was NOT NULL.
    database.execute("UPDATE vehicles SET plate_v2 = 'NEW-1' WHERE id = 3").await;
    let error = tool.rollback("one-way", None).await.unwrap_err().to_string();
    assert!(error.contains("in 1 row ") && error.contains("no way back"), "{error}");
    // Refused before anything was taken back: the application goes on.
    assert_eq!(tool.status("one-way").await.unwrap().phase, Phase::Switch);
    database.execute("UPDATE vehicles SET plate_v2 = 'NEW-0' WHERE id = 3").await;
    // Writing the old column gives the value a home, and the rollback goes on.
    database.execute("UPDATE vehicles SET license_plate = 'NEW-1' WHERE id = 3").await;
    let finish = tool.rollback("one-way", None).await.unwrap();
    assert_eq!(finish.state, crossfade::run::Standing::RolledBack);
    assert_eq!(database.scalar::<String>("SELECT license_plate FROM vehicles WHERE id = 3").await, "NEW-1");
    assert_eq!(database.schema().await, before);
}

/// From every phase before the drop, and to every phase before it; then forward again.
#[tokio::test(flavor = "multi_thread")]
async fn going_back_some_phases_and_forward_again() {
    let database = Database::new().await;
    load(&database, 500).await;
    let before = database.schema().await;
    let (plan, text) = plan(&[]);
    let tool = tool(&database.url);
    for from in [Phase::Index, Phase::Backfill, Phase::Verify, Phase::Switch] {
        for to in [Phase::Expand, Phase::Index, Phase::Backfill] {
            if to >= from {
                continue;
            }
            tool.run(&plan, &text, Some(from)).await.unwrap();
            let finish = tool.rollback("vehicle-status", Some(to)).await.unwrap();
            assert!(finish.phase > to, "{finish:?}");
        }
    }
    for to in [Phase::Switch, Phase::Contract] {
        let error = tool.rollback("vehicle-status", Some(to)).await.unwrap_err().to_string();
        assert!(error.contains("earlier phase"), "{error}");
    }
    tool.rollback("vehicle-status", None).await.unwrap();
    assert_eq!(database.schema().await, before);
    let finish = tool.run(&plan, &text, None).await.unwrap();
    assert_eq!(finish.state, crossfade::run::Standing::Done);
    let error = tool.rollback("vehicle-status", None).await.unwrap_err().to_string();
    assert!(error.contains("contract.drop"), "{error}");
}

/// V2: nothing is dropped while somebody writes through it.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_release_that_still_writes_keeps_its_column() {
    let database = Database::new().await;
    load(&database, 300).await;
    let (plan, text) = plan(&[("quiet: 0s", "quiet: 3s")]);
    let tool = tool(&database.url);
    tool.run(&plan, &text, Some(Phase::Verify)).await.unwrap();
    let url = database.url.clone();
    let writer = tokio::spawn(async move {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        for n in 0.. {
            let sql = "UPDATE vehicles SET status = CASE status WHEN 'idle' THEN 'active' ELSE 'idle' END WHERE id = 1 + $1 % 100";
            sqlx::query(sql).bind(n).persistent(false).execute(&mut connection).await.unwrap();
        }
    });
    let error = tool.run(&plan, &text, None).await.unwrap_err();
    assert!(matches!(error, Error::NotYet(NotYet::Quiet { writes: 1.., .. })), "{error:?}");
    assert!(error.to_string().contains("the old column is still written"), "{error}");
    let status = tool.status("vehicle-status").await.unwrap();
    assert_eq!((status.phase, status.old_quiet_seconds), (Phase::Switch, Some(0)));
    let waiting = status.waiting_for.unwrap();
    assert!(matches!(waiting, WaitingFor::Quiet { quiet_seconds: 3.0, left_seconds: 2.0..=3.0 }), "{waiting:?}");
    writer.abort();
    let _ = writer.await;
    let finish = tool.run(&plan, &text, None).await.unwrap();
    assert_eq!(finish.state, crossfade::run::Standing::Done);
    assert!(tool.status("vehicle-status").await.unwrap().old_column_write_seconds > 0);
}

/// Retired, the column is still in sync, and comes back with everything that was written meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn during_the_grace_period_the_old_column_is_kept_in_sync_and_can_come_back() {
    let database = Database::new().await;
    load(&database, 300).await;
    let before = database.schema().await;
    let (plan, text) = plan(&[("grace: 0s", "grace: 1h")]);
    let tool = tool(&database.url);
    let error = tool.run(&plan, &text, None).await.unwrap_err();
    assert!(matches!(error, Error::NotYet(NotYet::Grace { .. })), "{error:?}");
    assert!(error.to_string().contains(" to go)") && error.to_string().contains("UTC"), "{error}");
    // The application sees the end state, by name, but for the retired column.
    database
        .execute("INSERT INTO vehicles (vin, depot_id) VALUES ('grace', 1); UPDATE vehicles SET vehicle_status = 'grace' WHERE id = 5")
        .await;
    let outcome = tool.verify("vehicle-status", None).await.unwrap();
    assert_eq!((outcome.counts.rows, outcome.counts.mismatches()), (301, 0));
    let finish = tool.rollback("vehicle-status", None).await.unwrap();
    assert_eq!(finish.state, crossfade::run::Standing::RolledBack);
    assert_eq!(database.schema().await, before);
    let values: String =
        database.scalar("SELECT string_agg(status, ',' ORDER BY id) FROM vehicles WHERE id = 5 OR vin = 'grace'").await;
    assert_eq!(values, "grace,active");

    // A grace period that is nearly over is sat out.
    let (plan, text) = (
        crossfade::plan::parse("plan", &text.replace("grace: 1h", "grace: 2s")).unwrap(),
        text.replace("grace: 1h", "grace: 2s"),
    );
    let finish = tool.run(&plan, &text, None).await.unwrap();
    assert_eq!(finish.state, crossfade::run::Standing::Done);
    let waited = "SELECT EXTRACT(EPOCH FROM max(at) FILTER (WHERE entry ->> 'step' = 'contract.grace') - max(at) FILTER (WHERE entry ->> 'step' = 'contract.retire'))::float8
                  FROM crossfade.event WHERE run_id = (SELECT max(id) FROM crossfade.run)";
    assert!(database.scalar::<f64>(waited).await >= 2.0);
}

/// A role without rights is told which, before anything is changed.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_does_not_own_the_table_is_refused() {
    let database = Database::new().await;
    load(&database, 10).await;
    database
        .execute("DO $$ BEGIN CREATE ROLE crossfade_guest LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$")
        .await;
    let (plan, text) = plan(&[]);
    let options: sqlx::postgres::PgConnectOptions = database.url.parse().unwrap();
    let connector = crossfade::pg::Connector::new(options.username("crossfade_guest"));
    let schema = crossfade::names::LedgerSchema::default();
    let stop = tokio_util::sync::CancellationToken::new();
    let guest = crossfade::runner::Tool::new(connector, schema, "guest".to_owned(), crossfade::event::silent(), stop);
    let error = guest.run(&plan, &text, None).await.unwrap_err();
    let Error::Refused { findings } = error else { panic!("{error:?}") };
    assert!(findings.iter().any(|finding| finding.message.contains("crossfade_guest")), "{findings:?}");
    assert!(!database.scalar::<bool>("SELECT to_regnamespace('crossfade') IS NOT NULL").await);
}
