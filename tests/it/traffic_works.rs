//! The live traffic itself: with columns kept in sync by hand it finds nothing wrong, and without it does.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crossfade::ident::{ColumnName, PlanName, TableName};
use crossfade::plan::{
    Approvals, Backfill, BuildIndexes, Change, ChangeType, Contract, CopyIndexes, Indexes, OnConflict, Plan,
    RenameColumn, Requires, Throttle, Verify,
};
use crossfade::testkit::fleet;
use crossfade::testkit::traffic::{Load, LostWrite, Pair, Release, Side, Subject, Traffic, TrafficReport};
use sqlx::{Connection as _, PgConnection};

use crate::harness::{Database, own_server};

const ROWS: u32 = 3_000;
const REQUESTS: u64 = 150;

/// What crossfade's sync trigger does for a rename, in its simplest form.
const RENAME_EXPAND: &str = "
    ALTER TABLE vehicles ADD vehicle_status varchar(20);
    CREATE FUNCTION sync() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF TG_OP = 'INSERT' THEN
        IF NEW.vehicle_status IS NULL THEN NEW.vehicle_status := NEW.status;
        ELSE NEW.status := NEW.vehicle_status; END IF;
      ELSIF NEW.vehicle_status IS DISTINCT FROM OLD.vehicle_status THEN NEW.status := NEW.vehicle_status;
      ELSE NEW.vehicle_status := NEW.status; END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER sync BEFORE INSERT OR UPDATE ON vehicles FOR EACH ROW EXECUTE FUNCTION sync();";
const RENAME_CONTRACT: &str = "
    DROP TRIGGER sync ON vehicles;
    ALTER TABLE vehicles DROP status, ALTER vehicle_status SET DEFAULT 'active', ALTER vehicle_status SET NOT NULL";

fn rename() -> Change {
    Change::RenameColumn(RenameColumn {
        from: ColumnName::new("status").unwrap(),
        to: ColumnName::new("vehicle_status").unwrap(),
        on_conflict: OnConflict::NewWins,
        adopt: None,
    })
}

fn shorter_plates() -> Change {
    Change::ChangeType(ChangeType {
        column: ColumnName::new("license_plate").unwrap(),
        via: ColumnName::new("license_plate_v2").unwrap(),
        to: "varchar(10)".to_owned(),
        using: Some("substring(license_plate, 1, 10)".to_owned()),
        reverse: Some("license_plate_v2".to_owned()),
        default: None,
        keep_name: true,
        on_conflict: OnConflict::NewWins,
        on_error: None,
        adopt: None,
    })
}

fn plan(changes: Vec<Change>) -> Plan {
    Plan {
        name: PlanName::new("test").unwrap(),
        table: TableName::new("public", "vehicles").unwrap(),
        changes,
        indexes: Indexes {
            build: BuildIndexes::BeforeBackfill,
            copy: CopyIndexes::All,
            copied: vec![],
            add: Vec::new(),
            exclusion_lock: None,
        },
        backfill: Backfill::default(),
        throttle: Throttle::default(),
        verify: Verify { max_age: Duration::from_hours(24) },
        contract: Contract { grace: Duration::ZERO, quiet: Duration::ZERO, unused: Duration::ZERO },
        approval: Approvals { expiry: Duration::from_hours(24), own: false },
        schedule: None,
        approve: Vec::new(),
        requires: Requires::default(),
        notify: vec![],
        hooks: vec![],
        publications: None,
        functions: vec![],
        triggers: vec![],
        referring: None,
        left: vec![],
        parts: vec![],
        part_of: None,
    }
}

/// A database with the fleet, the traffic's view of it, and the traffic.
struct Stage {
    database: Database,
    subject: Subject,
    traffic: Traffic,
}

impl Stage {
    async fn new(changes: Vec<Change>) -> Self {
        Self::on(Database::new().await, changes).await
    }

    async fn on(database: Database, changes: Vec<Change>) -> Self {
        let mut connection = PgConnection::connect(&database.url).await.unwrap();
        fleet::create(&mut connection).await.unwrap();
        fleet::load(&mut connection, ROWS).await.unwrap();
        let subject = fleet::subject(&mut connection, &plan(changes)).await.unwrap();
        let load = Load { clients: Release::ALL.map(|release| (release, 2)).into(), rate: None, seed: 7 };
        let traffic = Traffic::start(&database.url, subject.clone(), load).await.unwrap();
        Self { database, subject, traffic }
    }

    async fn run(&self, sql: &str) {
        self.traffic.requests(REQUESTS).await;
        self.database.execute(sql).await;
        self.traffic.requests(REQUESTS).await;
    }

    /// Fills a column in small batches that wait for nobody: one big UPDATE would deadlock with clients that update
    /// their rows in random order, and it is they who would fail.
    async fn backfill(&self, new: &str, old: &str, forward: &str) {
        let todo = format!("FROM vehicles WHERE {new} IS NULL AND {old} IS NOT NULL");
        while self.database.scalar::<bool>(&format!("SELECT EXISTS (SELECT {todo})")).await {
            let batch = format!("SELECT id {todo} LIMIT 200 FOR UPDATE SKIP LOCKED");
            self.database.execute(&format!("UPDATE vehicles SET {new} = {forward} WHERE id IN ({batch})")).await;
        }
        self.traffic.requests(REQUESTS).await;
    }

    async fn only(&self, active: &[Release]) {
        for release in Release::ALL {
            self.traffic.set_active(release, active.contains(&release)).await;
        }
    }

    async fn end(self) -> (TrafficReport, Vec<LostWrite>) {
        let report = self.traffic.stop().await;
        let mut connection = PgConnection::connect(&self.database.url).await.unwrap();
        let name = |pair: &Pair| Some(pair.final_name());
        let lost = report.ledger.lost_writes(&mut connection, &self.subject, Side::New, name).await.unwrap();
        (report, lost)
    }
}

fn assert_clean(report: &TrafficReport, lost: &[LostWrite]) {
    assert_eq!(lost, [], "{:#?}", report.failures);
    assert_eq!((report.failed_statements, report.wrong_reads), (0, 0), "{:#?}", report.failures);
    assert!(report.ledger.rows() > 300 && report.statements > 2_000, "{} rows", report.ledger.rows());
}

#[tokio::test]
async fn a_rename_in_sync_loses_nothing() {
    let mut stage = Stage::new(vec![rename()]).await;
    stage.traffic.mark("expand");
    stage.only(&[Release::Old]).await;
    stage.run(RENAME_EXPAND).await;
    stage.only(&[Release::Old, Release::Both, Release::New]).await;
    stage.backfill("vehicle_status", "status", "status").await;
    stage.only(&[Release::New]).await;
    stage.run(RENAME_CONTRACT).await;
    let (report, lost) = stage.end().await;
    assert_clean(&report, &lost);
    assert_eq!(report.latencies.keys().collect::<Vec<_>>(), ["expand"]);
    assert!(report.latencies["expand"].percentile(50) > Duration::ZERO);
}

#[tokio::test]
async fn a_rename_whose_trigger_goes_too_early_is_caught() {
    let stage = Stage::new(vec![rename()]).await;
    stage.only(&[Release::Old]).await;
    stage.run(RENAME_EXPAND).await;
    stage.only(&[Release::Old, Release::Both, Release::New]).await;
    stage.backfill("vehicle_status", "status", "status").await;
    stage.run("DROP TRIGGER sync ON vehicles").await;
    stage.only(&[]).await;
    let (report, lost) = stage.end().await;
    assert!(!lost.is_empty());
    assert!(report.wrong_reads > 0);
}

#[tokio::test]
async fn one_lost_row_and_one_lost_value_are_found() {
    let stage = Stage::new(vec![rename()]).await;
    stage.only(&[Release::Old]).await;
    stage.traffic.requests(REQUESTS).await;
    stage.only(&[]).await;
    stage.database.execute("DELETE FROM vehicles WHERE id = (SELECT max(id) FROM vehicles)").await;
    stage.database.execute("ALTER TABLE vehicles RENAME status TO vehicle_status").await;
    let victim: i64 = stage.database.scalar("SELECT max(id) FROM vehicles WHERE vehicle_status = 'idle'").await;
    stage.database.execute(&format!("UPDATE vehicles SET vehicle_status = 'IDLE' WHERE id = {victim}")).await;
    let (_, lost) = stage.end().await;
    let [row, value] = lost.as_slice() else { panic!("{lost:?}") };
    assert_eq!((row.expected.as_str(), &row.found), ("the row", &None));
    assert_eq!((value.key, value.found.as_deref()), (victim, Some("IDLE")));
    assert_eq!((value.expected.as_str(), value.column.as_str()), ("'idle'", "vehicle_status"));
}

#[tokio::test]
async fn a_failed_statement_is_counted_and_named() {
    let stage = Stage::new(vec![rename()]).await;
    stage.only(&[Release::Old]).await;
    stage.run("ALTER TABLE vehicles RENAME status TO vehicle_status").await;
    let (report, _) = stage.end().await;
    assert!(report.failed_statements > 100);
    assert!(
        report.failures[0].contains("old client") && report.failures[0].contains("status"),
        "{:?}",
        report.failures
    );
}

/// The names of a kept column are swapped under the release that knows of nothing; the others are deployed anew.
#[tokio::test]
async fn swapped_names_lose_nothing() {
    let stage = Stage::new(vec![shorter_plates()]).await;
    stage.only(&[Release::Old, Release::Either]).await;
    stage
        .run(
            "ALTER TABLE vehicles ADD license_plate_v2 varchar(10);
            CREATE FUNCTION sync() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
              IF TG_OP = 'INSERT' THEN
                IF NEW.license_plate_v2 IS NULL THEN NEW.license_plate_v2 := substring(NEW.license_plate, 1, 10);
                ELSIF NEW.license_plate_v2 IS DISTINCT FROM substring(NEW.license_plate, 1, 10) THEN
                  NEW.license_plate := NEW.license_plate_v2; END IF;
              ELSIF NEW.license_plate_v2 IS DISTINCT FROM OLD.license_plate_v2 THEN
                IF NEW.license_plate_v2 IS DISTINCT FROM substring(NEW.license_plate, 1, 10) THEN
                  NEW.license_plate := NEW.license_plate_v2; END IF;
              ELSIF NEW.license_plate IS DISTINCT FROM OLD.license_plate OR NEW.license_plate_v2 IS NULL THEN
                NEW.license_plate_v2 := substring(NEW.license_plate, 1, 10); END IF;
              RETURN NEW;
            END $$;
            CREATE TRIGGER sync BEFORE INSERT OR UPDATE ON vehicles FOR EACH ROW EXECUTE FUNCTION sync();",
        )
        .await;
    stage.only(&Release::ALL).await;
    stage.backfill("license_plate_v2", "license_plate", "substring(license_plate, 1, 10)").await;
    stage.only(&[Release::Either]).await;
    stage
        .run(
            "DROP TRIGGER sync ON vehicles; DROP FUNCTION sync();
            ALTER TABLE vehicles DROP license_plate;
            ALTER TABLE vehicles RENAME license_plate_v2 TO license_plate",
        )
        .await;
    stage.traffic.set_swapped(true);
    stage.only(&[Release::New, Release::Either]).await;
    stage.traffic.requests(REQUESTS).await;
    let (report, lost) = stage.end().await;
    assert_clean(&report, &lost);
}

#[tokio::test]
async fn values_are_worked_out_by_the_plans_own_expressions() {
    let stage = Stage::new(vec![shorter_plates(), rename()]).await;
    let plates: BTreeMap<&str, (&str, &str)> = stage.subject.pairs[0]
        .values
        .iter()
        .map(|value| (value.old.as_str(), (value.new.as_str(), value.back.as_str())))
        .collect();
    assert_eq!(plates["'KX-1042-AB (export)'"], ("'KX-1042-AB'", "'KX-1042-AB'"));
    assert_eq!(plates["'AB-1234'"], ("'AB-1234'", "'AB-1234'"));
    assert_eq!(stage.subject.pairs[1].default.as_ref().unwrap().new, "'active'");
}

#[tokio::test]
async fn a_paced_client_counts_the_wait_of_requests_that_were_due() {
    let database = Database::new().await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    fleet::create(&mut connection).await.unwrap();
    fleet::load(&mut connection, 100).await.unwrap();
    let subject = fleet::subject(&mut connection, &plan(vec![rename()])).await.unwrap();
    let load = Load { clients: vec![(Release::Old, 1)], rate: Some(100), seed: 1 };
    let traffic = Traffic::start(&database.url, subject, load).await.unwrap();
    traffic.set_active(Release::Old, true).await;
    let begun = Instant::now();
    traffic.requests(50).await;
    assert!(begun.elapsed() > Duration::from_millis(400), "{:?}", begun.elapsed());
    let mut transaction = connection.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE vehicles; SELECT pg_sleep(0.5)").execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
    traffic.requests(60).await;
    let report = traffic.stop().await;
    // One statement waited for the lock, and those due behind it waited too.
    assert!(report.latencies["start"].percentile(75) > Duration::from_millis(50), "{:?}", report.latencies);
}

#[tokio::test]
async fn commits_in_doubt_when_the_server_dies_are_not_called_lost() {
    let mut server = own_server();
    let stage = Stage::on(Database::on_server(&server).await, vec![rename()]).await;
    stage.only(&[Release::Old]).await;
    for _ in 0..3 {
        stage.traffic.requests(REQUESTS).await;
        server.kill().unwrap();
        server.restart().unwrap();
    }
    stage.run("ALTER TABLE vehicles RENAME status TO vehicle_status").await;
    let (report, lost) = stage.end().await;
    assert_eq!(lost, [], "{:#?}", report.failures);
    assert!(report.failed_statements > 0);
}
