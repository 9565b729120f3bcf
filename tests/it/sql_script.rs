//! `crossfade plan --format sql`, piped into psql as a DBA would: it does what the run does, stops where that waits, loses
//! nothing, and obeys no name.

use std::process::Stdio;

use crossfade::plan::Plan;
use crossfade::testkit::fleet;
use crossfade::testkit::traffic::{Load, Release, Side, Traffic};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::io::AsyncWriteExt as _;

use crate::harness::{Cli, Database, Output, Version, contents, plain_alter, versions_of};

const ROWS: u32 = 3_000;
const YES: &[&str] = &["-v", "crossfade_yes=yes"];
const UNDO: &[&str] = &["-v", "crossfade_undo=yes"];
/// What psql exits with when a statement of a script failed.
const STOPPED: Option<i32> = Some(3);

async fn fleet_of(database: &Database, rows: u32) -> PgConnection {
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    fleet::create(&mut connection).await.unwrap();
    fleet::load(&mut connection, rows).await.unwrap();
    connection
}

/// A plan in a file, as the command line reads it.
struct File {
    plan: Plan,
    file: tempfile::NamedTempFile,
}

impl File {
    fn of(text: &str) -> Self {
        let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Self {
            plan: crossfade::plan::parse("plan.yaml", text).unwrap_or_else(|error| panic!("{text}: {error:?}")),
            file,
        }
    }

    /// A plan of plans/, whose waits are as short as can be.
    fn ready(name: &str) -> Self {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("plans").join(name);
        let text = std::fs::read_to_string(path).unwrap().replace("quiet: 2s", "quiet: 0s");
        Self::of(&text)
    }

    async fn script(&self, database: &Database, code: i32) -> String {
        let path = self.file.path().as_os_str().to_owned();
        let output = Cli::new(&database.url).args(["plan".into(), "--format".into(), "sql".into(), path]).run().await;
        assert_eq!(output.code, Some(code), "{}", output.stderr);
        output.stdout
    }
}

/// Pipes a script into psql.
async fn psql(database: &Database, args: &[&str], script: &str) -> Output {
    let mut child = tokio::process::Command::new("psql")
        .args(["-X", "-d", &database.url])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let script = script.to_owned();
    // psql that stops early reads no more.
    let writing = tokio::spawn(async move { drop(stdin.write_all(script.as_bytes()).await) });
    let output = child.wait_with_output().await.unwrap();
    writing.await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Output { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// All values of the table.
async fn values(database: &Database) -> String {
    database.scalar("SELECT md5(string_agg(to_jsonb(v)::text, ',' ORDER BY id)) FROM vehicles v").await
}

async fn left_behind(database: &Database) -> i64 {
    database
        .scalar(
            "SELECT (SELECT count(*) FROM pg_class WHERE relname LIKE '%cf\\_%') + (SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'crossfade%') \
             + (SELECT count(*) FROM pg_trigger WHERE tgname ~ '^(!!|~~)crossfade') + (SELECT count(*) FROM pg_attribute WHERE attname LIKE 'cf\\_%')",
        )
        .await
}

/// The ready plans that differ in what their scripts do.
const READY: [&str; 8] = [
    "vehicle-status.yaml",
    "license-plate.yaml",
    "two-columns.yaml",
    "add-region.yaml",
    "drop-column.yaml",
    "add-index.yaml",
    "drop-index.yaml",
    "add-constraints.yaml",
];

/// A column without an index, but with a default: nothing but that and the sync trigger hangs on it.
const UNINDEXED: &str = "version: 1\nname: unindexed\ntable: public.vehicles\nchanges:\n  - change_type: { column: weight, to: bigint }\n\
     contract: { grace: 0s, quiet: 0s }\n";

async fn ends_like_alter(version: &Version) {
    let ready = READY.map(|name| (name, File::ready(name)));
    for (name, file) in ready.into_iter().chain([("unindexed", File::of(UNINDEXED))]) {
        let (ours, twin) = (Database::on(version).await, Database::on(version).await);
        let (mut ours_connection, mut twin_connection) = (fleet_of(&ours, ROWS).await, fleet_of(&twin, ROWS).await);
        for statement in plain_alter(&file.plan) {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut twin_connection).await.unwrap();
        }
        let script = file.script(&ours, 0).await;
        let output = psql(&ours, YES, &script).await;
        assert_eq!(output.code, Some(0), "{name} on {}: {}", version.major, output.stderr);
        assert_eq!(output.stdout, "", "{name}");
        assert_eq!(ours.schema().await, twin.schema().await, "{name} on {}", version.major);
        assert_eq!(
            contents(&mut ours_connection, &file.plan).await,
            contents(&mut twin_connection, &file.plan).await,
            "{name}"
        );
        assert_eq!(left_behind(&ours).await, 0, "{name}");
        // A plan that is done is not done again, whatever it was.
        let output = psql(&ours, YES, &script).await;
        assert_eq!(output.code, STOPPED, "{name} on {}: {}", version.major, output.stderr);
        assert_eq!(ours.schema().await, twin.schema().await, "{name} on {}", version.major);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_of_a_plan_ends_like_alter_table_on_every_version() {
    for version in versions_of(1) {
        Box::pin(ends_like_alter(&version)).await;
    }
}

/// Without a yes it stops before the drop, as often as it is run, and the way back gives the table as it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_script_stops_before_the_point_of_no_return_and_can_be_undone() {
    for version in versions_of(2) {
        for name in READY {
            let file = File::ready(name);
            let database = Database::on(&version).await;
            fleet_of(&database, ROWS).await;
            let before = (database.schema().await, values(&database).await);
            let script = file.script(&database, 0).await;
            let drops = script.contains("contract.drop:");
            if drops {
                for _ in 0..2 {
                    let output = psql(&database, &[], &script).await;
                    assert_eq!(output.code, STOPPED, "{name}: {}", output.stderr);
                    assert!(
                        output.stderr.contains("stopped before the point of no return"),
                        "{name}: {}",
                        output.stderr
                    );
                    assert!(output.stderr.contains("crossfade_yes=yes"), "{name}: {}", output.stderr);
                }
            } else {
                // Without a point of no return there is no end to stop before: undo it from its last step but one.
                let cut = script.rfind("-- Nothing is left but the change.").unwrap();
                let output = psql(&database, &[], &script[..cut]).await;
                assert_eq!(output.code, Some(0), "{name}: {}", output.stderr);
            }
            let output = psql(&database, UNDO, &script).await;
            assert_eq!(output.code, Some(0), "{name} on {}: {}", version.major, output.stderr);
            assert_eq!(database.schema().await, before.0, "{name} on {}", version.major);
            assert_eq!(values(&database).await, before.1, "{name}");
            assert_eq!(left_behind(&database).await, 0, "{name}");
        }
    }
}

/// A phase that waits for an approval waits in a script too.
#[tokio::test(flavor = "multi_thread")]
async fn a_script_stops_before_a_phase_that_is_not_approved() {
    let text = "version: 1\nname: p\ntable: vehicles\nchanges: [{ add_index: { name: i, columns: [fuel] } }]\napprove: [index]\n";
    let file = File::of(text);
    let database = Database::new().await;
    fleet_of(&database, ROWS).await;
    let script = file.script(&database, 0).await;
    let output = psql(&database, &[], &script).await;
    assert_eq!(output.code, STOPPED, "{}", output.stderr);
    assert!(output.stderr.contains("stopped before index"), "{}", output.stderr);
    assert!(output.stderr.contains("crossfade_approved_index=yes"), "{}", output.stderr);
    let output = psql(&database, &["-v", "crossfade_approved_index=yes"], &script).await;
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(left_behind(&database).await, 0);
}

/// Old and new releases write all the time. Nothing is lost, and while the old one writes, the old column stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_script_loses_no_write_and_waits_for_the_old_release_to_go() {
    let database = Database::new().await;
    let mut connection = fleet_of(&database, 20_000).await;
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/vehicle-status.yaml");
    let file = File::of(&std::fs::read_to_string(path).unwrap());
    let script = file.script(&database, 0).await;
    let subject = fleet::subject(&mut connection, &file.plan).await.unwrap();
    let load = Load { clients: Release::ALL.map(|release| (release, 1)).into(), rate: None, seed: 5 };
    let traffic = Traffic::start(&database.url, subject.clone(), load).await.unwrap();
    traffic.set_active(Release::Old, true).await;
    traffic.requests(50).await;
    let output = psql(&database, YES, &script).await;
    assert_eq!(output.code, STOPPED, "{}", output.stderr);
    assert!(output.stderr.contains("the old column is still written"), "{}", output.stderr);
    traffic.set_active(Release::Both, true).await;
    traffic.set_active(Release::New, true).await;
    traffic.requests(200).await;
    traffic.set_active(Release::Old, false).await;
    traffic.set_active(Release::Both, false).await;
    let output = psql(&database, YES, &script).await;
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    traffic.requests(50).await;
    let report = traffic.stop().await;
    assert_eq!((report.failed_statements, report.wrong_reads), (0, 0), "{:#?}", report.failures);
    let lost =
        report.ledger.lost_writes(&mut connection, &subject, Side::New, |pair| Some(pair.final_name())).await.unwrap();
    assert!(lost.is_empty(), "{lost:?}");
    let twin = Database::new().await;
    let mut twin_connection = fleet_of(&twin, 10).await;
    for statement in plain_alter(&file.plan) {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut twin_connection).await.unwrap();
    }
    assert_eq!(database.schema().await, twin.schema().await);
}

/// Killed anywhere, it continues.
#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_was_cut_off_continues() {
    let file = File::ready("vehicle-status.yaml");
    let (ours, twin) = (Database::new().await, Database::new().await);
    let mut twin_connection = fleet_of(&twin, ROWS).await;
    for statement in plain_alter(&file.plan) {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut twin_connection).await.unwrap();
    }
    let mut connection = fleet_of(&ours, ROWS).await;
    let script = file.script(&ours, 0).await;
    // psql reads a script statement by statement, so one that ends early is one that was killed.
    let lines: Vec<_> = script.lines().collect();
    let starts: Vec<_> =
        lines.iter().enumerate().filter(|(_, line)| line.starts_with("-- lock: ")).map(|(at, _)| at).collect();
    assert!(starts.len() > 8, "{starts:?}");
    for start in starts {
        let cut = start + (lines.len() - start).min(9);
        psql(&ours, YES, &lines[..cut].join("\n")).await;
    }
    let output = psql(&ours, YES, &script).await;
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(ours.schema().await, twin.schema().await);
    assert_eq!(contents(&mut connection, &file.plan).await, contents(&mut twin_connection, &file.plan).await);
    assert_eq!(left_behind(&ours).await, 0);
}

/// A grace of days ends the script; nothing is dropped, and the old name is there to be had.
#[tokio::test]
async fn a_grace_of_days_ends_the_script() {
    let text = "version: 1\nname: slow\ntable: public.vehicles\nchanges:\n  - rename_column: { from: status, to: state }\ncontract: { grace: 7d, quiet: 0s }\n";
    let database = Database::new().await;
    fleet_of(&database, 100).await;
    let file = File::of(text);
    let script = file.script(&database, 0).await;
    for _ in 0..2 {
        let output = psql(&database, YES, &script).await;
        assert_eq!(output.code, STOPPED, "{}", output.stderr);
        assert!(output.stderr.contains("waiting as planned until"), "{}", output.stderr);
    }
    let kept: i64 = database
        .scalar("SELECT count(*) FROM pg_attribute WHERE attrelid = 'vehicles'::regclass AND attname LIKE 'cf\\_%\\_mirror\\_state'")
        .await;
    assert_eq!(kept, 1);
    let schema: String =
        database.scalar("SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'crossfade\\_%'").await;
    database.execute(&format!("UPDATE {schema}.step SET done_at = done_at - interval '7 days'")).await;
    let output = psql(&database, YES, &script).await;
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(left_behind(&database).await, 0);
}

/// What the database rules out, the script does not do, whoever pipes it into psql.
#[tokio::test]
async fn the_script_of_a_refused_plan_only_fails() {
    let database = Database::new().await;
    fleet_of(&database, 100).await;
    database.execute("CREATE RULE r AS ON UPDATE TO vehicles WHERE NEW.status = '' DO ALSO NOTHING").await;
    let before = database.schema().await;
    let script = File::ready("vehicle-status.yaml").script(&database, 4).await;
    assert!(script.contains("-- refused: [catalog::rule]"), "{script}");
    let output = psql(&database, YES, &script).await;
    assert_eq!(output.code, STOPPED, "{}", output.stderr);
    assert!(output.stderr.contains("this plan cannot be run on this database"), "{}", output.stderr);
    assert_eq!(database.schema().await, before);
}

/// Names that would end a comment, a literal, a dollar quote or a line of psql, or talk to a terminal.
#[tokio::test(flavor = "multi_thread")]
async fn names_are_names_in_scripts_and_on_terminals() {
    let hostile = [
        "x\ndrop table payroll;\n--",
        "x\r\\! touch /tmp/crossfade-was-here\r",
        "$cf$; drop table payroll; --",
        "'; drop table payroll; --",
        "\\q",
        ":crossfade_yes",
        "`touch x`",
        "\u{1b}[2J\u{202e}evil",
    ];
    let database = Database::new().await;
    let mut connection = fleet_of(&database, 500).await;
    database.execute("CREATE TABLE payroll ()").await;
    for (at, name) in hostile.iter().enumerate() {
        let quoted = name.replace('"', "\"\"");
        database.execute(&format!("CREATE INDEX \"{quoted}\" ON vehicles (status, id) WHERE id > {at}")).await;
    }
    let file = File::ready("vehicle-status.yaml");
    let script = file.script(&database, 0).await;
    for line in script.lines().filter(|line| line.starts_with("--")) {
        assert!(!line.contains(crossfade::sql::is_hidden), "{line:?}");
    }
    let shown = Cli::new(&database.url).args(["plan".into(), file.file.path().as_os_str().to_owned()]).run().await;
    assert!(!shown.stdout.lines().any(|line| line.starts_with("drop table")), "{}", shown.stdout);
    assert!(!shown.stdout.contains(['\u{1b}', '\u{202e}', '\r']), "{:?}", shown.stdout);
    let output = psql(&database, YES, &script).await;
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(!output.stderr.contains('\u{1b}'), "{:?}", output.stderr);
    let found: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = 'vehicles'::regclass AND i.indisvalid AND i.indpred IS NOT NULL AND pg_get_indexdef(c.oid) LIKE '%vehicle_status, id)%'",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    for name in hostile {
        assert!(found.iter().any(|found| found == name), "{name:?} is not among {found:?}");
    }
    assert!(database.scalar::<bool>("SELECT to_regclass('payroll') IS NOT NULL").await);
    assert_eq!(left_behind(&database).await, 0);
}

/// A trigger whose function names the old column stops the script before it renames anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_script_tries_a_write_under_the_new_name() {
    const STALE: &str = "CREATE OR REPLACE FUNCTION stale() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           PERFORM NEW.status; RETURN NEW; END $$";
    for version in versions_of(3) {
        let database = Database::on(&version).await;
        fleet_of(&database, 10).await;
        database.execute(STALE).await;
        database.execute("CREATE TRIGGER stale BEFORE UPDATE ON vehicles FOR EACH ROW EXECUTE FUNCTION stale()").await;
        let script = File::ready("vehicle-status.yaml").script(&database, 0).await;
        let output = psql(&database, YES, &script).await;
        assert_eq!(output.code, STOPPED, "{}", output.stderr);
        assert!(output.stderr.contains("record \"new\" has no field \"status\""), "{}", output.stderr);
        assert!(output.stderr.contains("stale() line 2 at PERFORM"), "{}", output.stderr);
        database
            .execute("UPDATE vehicles SET status = status; UPDATE vehicles SET vehicle_status = vehicle_status")
            .await;
        database.execute(&STALE.replace("NEW.status", "NEW.vehicle_status")).await;
        let output = psql(&database, YES, &script).await;
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        assert_eq!(left_behind(&database).await, 0);
    }
}
