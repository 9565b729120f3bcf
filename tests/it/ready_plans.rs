//! Every plan in plans/, run from beginning to end under live traffic of all releases, and compared with what plain
//! ALTER TABLE gives.

use std::path::PathBuf;

use crossfade::plan::{Change, Plan};
use crossfade::run::Phase;
use crossfade::testkit::fleet;
use crossfade::testkit::traffic::{Load, Release, Side, Traffic};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::harness::{Database, Version, contents, plain_alter, tool, versions, whole};

const ROWS: u32 = 20_000;
const REQUESTS: u64 = 60;

/// The files of plans/, by name.
fn ready_plans() -> Vec<(String, Plan, String)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("plans");
    let mut paths: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        (name.clone(), crossfade::plan::parse(&name, &text).unwrap(), text)
    };
    let plans: Vec<_> = paths.into_iter().map(read).collect();
    assert!(plans.len() >= 12);
    plans
}

async fn fleet_of(database: &Database, rows: u32) -> PgConnection {
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    fleet::create(&mut connection).await.unwrap();
    fleet::load(&mut connection, rows).await.unwrap();
    connection
}

/// One plan for each kind of change.
fn one_of_each() -> Vec<(String, Plan, String)> {
    let names =
        ["vehicle-status", "license-plate", "add-region", "drop-column", "add-index", "drop-index", "add-constraints"];
    let chosen: Vec<_> = ready_plans().into_iter().filter(|(name, ..)| names.contains(&name.as_str())).collect();
    assert_eq!(chosen.len(), names.len());
    chosen
}

/// On a quiet table, the run leaves exactly what ALTER TABLE leaves: schema and values.
async fn ends_like_alter(version: &Version, plans: Vec<(String, Plan, String)>) {
    for (name, plan, text) in plans {
        let (ours, twin) = (Database::on(version).await, Database::on(version).await);
        let (mut ours_connection, mut twin_connection) = (fleet_of(&ours, 2_000).await, fleet_of(&twin, 2_000).await);
        for statement in plain_alter(&plan) {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut twin_connection).await.unwrap();
        }
        let mut quick = plan.clone();
        quick.contract.quiet = std::time::Duration::ZERO;
        let finish = tool(&ours.url).run(&quick, &text, None).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!(finish.state, crossfade::run::Standing::Done, "{name}");
        assert_eq!(ours.schema().await, twin.schema().await, "{name} on {}", version.major);
        assert_eq!(contents(&mut ours_connection, &plan).await, contents(&mut twin_connection, &plan).await, "{name}");
        let left: i64 = ours
            .scalar(
                "SELECT (SELECT count(*) FROM pg_class WHERE relname LIKE '%cf\\_%') + (SELECT count(*) FROM pg_proc WHERE pronamespace = 'crossfade'::regnamespace AND proname ~ '_[0-9a-f]{8}') \
                 + (SELECT count(*) FROM pg_trigger WHERE tgname ~ '^(!!|~~)crossfade') + (SELECT count(*) FROM pg_attribute WHERE attname LIKE 'cf\\_%')",
            )
            .await;
        assert_eq!(left, 0, "{name}: something of ours is left");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_ready_plan_ends_like_alter_table_on_every_version() {
    for (n, version) in versions().iter().enumerate() {
        ends_like_alter(version, if n == 0 || whole() { ready_plans() } else { one_of_each() }).await;
    }
}

/// The three releases, and one that knows of nothing, keep writing throughout.
async fn under_traffic(version: &Version, name: &str, plan: &Plan, text: &str) {
    let database = Database::on(version).await;
    let mut connection = fleet_of(&database, ROWS).await;
    let subject = fleet::subject(&mut connection, plan).await.unwrap();
    let load = Load { clients: Release::ALL.map(|release| (release, 1)).into(), rate: None, seed: 11 };
    let traffic = Traffic::start(&database.url, subject.clone(), load).await.unwrap();
    let tool = tool(&database.url);
    let run = async |to: Option<Phase>| {
        tool.run(plan, text, to).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        traffic.requests(REQUESTS).await;
    };
    let swaps = |change: &Change| change.pair().is_some_and(|pair| pair.keeps_name());
    let has_pairs = plan.pairs().next().is_some();

    traffic.set_active(Release::Old, true).await;
    traffic.set_active(Release::Either, true).await;
    traffic.requests(REQUESTS).await;
    run(Some(Phase::Expand)).await;
    traffic.set_active(Release::Both, true).await;
    traffic.set_active(Release::New, true).await;
    run(Some(Phase::Verify)).await;
    if has_pairs {
        // The old release and the one that writes both are taken away before the old column is.
        traffic.set_active(Release::Old, false).await;
        traffic.set_active(Release::Both, false).await;
    }
    if plan.changes.iter().any(swaps) {
        // A name that changes its meaning: the new release is deployed anew around the swap.
        traffic.set_active(Release::New, false).await;
        run(Some(Phase::Switch)).await;
        traffic.set_swapped(true);
        traffic.set_active(Release::New, true).await;
    }
    run(None).await;

    let report = traffic.stop().await;
    assert_eq!((report.failed_statements, report.wrong_reads), (0, 0), "{name}: {:#?}", report.failures);
    let lost =
        report.ledger.lost_writes(&mut connection, &subject, Side::New, |pair| Some(pair.final_name())).await.unwrap();
    assert!(lost.is_empty(), "{name}: {lost:?}");
    assert!(report.statements > 1000, "{name}: only {} statements", report.statements);
    let status = tool.status(plan.name.as_str()).await.unwrap();
    let compared = has_pairs.then_some(0);
    assert_eq!((status.state, status.mismatches), (crossfade::run::Standing::Done, compared), "{name}");
    let written = (status.old_column_write_seconds > 0, status.new_column_write_seconds > 0);
    assert_eq!(written, (has_pairs, has_pairs), "{name}: {status:?}");

    let twin = Database::on(version).await;
    let mut twin_connection = fleet_of(&twin, 10).await;
    for statement in plain_alter(plan) {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut twin_connection).await.unwrap();
    }
    assert_eq!(database.schema().await, twin.schema().await, "{name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_ready_plan_runs_under_live_traffic() {
    let version = versions().remove(0);
    for (name, plan, text) in if whole() { ready_plans() } else { one_of_each() } {
        under_traffic(&version, &name, &plan, &text).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_change_runs_under_live_traffic_on_the_other_versions() {
    let others = &versions()[1..];
    for (n, (name, plan, text)) in if whole() { ready_plans() } else { one_of_each() }.into_iter().enumerate() {
        for (m, version) in others.iter().enumerate() {
            if whole() || n % others.len() == m {
                under_traffic(version, &name, &plan, &text).await;
            }
        }
    }
}
