//! The chain of hashes through the log: what it shows, and what `history` tells of who did what.

use crossfade::ledger::Record;
use crossfade::run::Flaw;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::harness::{Cli, Database, Output, tool, versions};

const PLAN: &str = "\
version: 1
name: rename
table: vehicles
changes:
  - rename_column: { from: status, to: vehicle_status }
contract: { grace: 0s, quiet: 0s }
";

/// A database with a run of a plan, and the plan's file.
struct Stage {
    database: Database,
    plan: tempfile::NamedTempFile,
}

impl Stage {
    /// Returns a table whose column was renamed up to `phase`.
    async fn in_phase(database: Database, phase: &str) -> Self {
        let table = "CREATE TABLE vehicles (id bigint PRIMARY KEY, status text);
                     INSERT INTO vehicles SELECT i, 's' || i FROM generate_series(1, 100) AS i";
        database.execute(table).await;
        let plan = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        std::fs::write(plan.path(), PLAN).unwrap();
        let stage = Self { database, plan };
        stage.ends(0, &["run", stage.plan.path().to_str().unwrap(), "--to", phase]).await;
        stage
    }

    async fn ends(&self, code: i32, args: &[&str]) -> Output {
        let output = Cli::new(&self.database.url).args(args).run().await;
        assert_eq!(output.code, Some(code), "{args:?}: {output:#?}");
        output
    }

    /// Returns what `history --check` says, whose exit code is to be `code`.
    async fn check(&self, code: i32, more: &[&str]) -> Value {
        let args = [&["history", "rename", "--check", "--format", "json"], more].concat();
        serde_json::from_str(&self.ends(code, &args).await.stdout).unwrap()
    }

    /// Does what whoever owns the ledger can do to its log.
    async fn tampers(&self, sql: &str) {
        let both = ["DISABLE", "ENABLE"].map(|how| format!("ALTER TABLE crossfade.event {how} TRIGGER ALL"));
        self.database.execute(&format!("{}; {sql}; {}", both[0], both[1])).await;
    }

    async fn record(&self) -> Record {
        tool(&self.database.url).attempts("rename").await.unwrap().pop().unwrap()
    }
}

/// What `history --format json` prints.
#[derive(serde::Deserialize)]
struct Printed {
    runs: Vec<Record>,
}

/// Hashes the whole log of run 1 anew, as somebody can who knows how.
const HASH_AGAIN: &str = "DO $$
DECLARE
    line record;
BEGIN
    CREATE TEMP TABLE kept ON COMMIT DROP AS TABLE crossfade.event;
    DELETE FROM crossfade.event;
    ALTER TABLE crossfade.event ENABLE TRIGGER chain;
    INSERT INTO crossfade.event SELECT * FROM kept ORDER BY seq;
END $$";

#[tokio::test]
async fn each_way_to_tamper_with_a_log_is_found() {
    let stage = Stage::in_phase(Database::new().await, "verify").await;
    let whole = stage.check(0, &[]).await;
    let entries = whole["runs"][0]["entries"].as_i64().unwrap();
    assert!(entries >= 5 && whole["runs"][0]["broken"].is_null(), "{whole}");
    let head = whole["runs"][0]["head"].as_str().unwrap().to_owned();
    assert_eq!(head.len(), 64);
    let short = &head[..12];
    // What somebody has done, and the first entry that is not what it was.
    let attempts = [
        ("UPDATE crossfade.event SET at = at + interval '1 microsecond' WHERE seq = 2", 2, "changed"),
        ("UPDATE crossfade.event SET role = 'somebody' WHERE seq = 3", 3, "changed"),
        ("UPDATE crossfade.event SET os_user = 'somebody' WHERE seq = 1", 1, "changed"),
        ("UPDATE crossfade.event SET host = host || 'x' WHERE seq = 1", 1, "changed"),
        ("UPDATE crossfade.event SET version = '9' WHERE seq = 2", 2, "changed"),
        ("UPDATE crossfade.event SET pid = pid + 1 WHERE seq = 2", 2, "changed"),
        ("UPDATE crossfade.event SET phase = 'switch' WHERE seq = 2", 2, "changed"),
        ("UPDATE crossfade.event SET entry = entry || '{\"adopted\": true}' WHERE seq = 2", 2, "changed"),
        ("UPDATE crossfade.event SET hash = repeat('0', 64) WHERE seq = 2", 2, "changed"),
        ("UPDATE crossfade.event SET previous = repeat('0', 64) WHERE seq = 2", 2, "changed"),
        ("DELETE FROM crossfade.event WHERE seq = 3", 3, "missing"),
        (
            "DELETE FROM crossfade.event WHERE seq = 3; UPDATE crossfade.event SET seq = seq - 1000 WHERE seq > 3; UPDATE crossfade.event SET seq = seq + 999 WHERE seq < 0",
            3,
            "changed",
        ),
        (
            "UPDATE crossfade.event SET seq = -seq WHERE seq IN (2, 3); UPDATE crossfade.event SET seq = 5 + seq WHERE seq < 0",
            2,
            "changed",
        ),
        (
            "UPDATE crossfade.event SET seq = seq + 1000 WHERE seq > 2; UPDATE crossfade.event SET seq = seq - 999 WHERE seq > 1000; INSERT INTO crossfade.event SELECT run_id, 3, at, role, os_user, host, pid, version, format, '{\"kind\": \"paused\"}', phase, state, previous, hash FROM crossfade.event WHERE seq = 2",
            3,
            "changed",
        ),
        ("UPDATE crossfade.run SET plan_text = plan_text || ' '", 1, "run_changed"),
        ("UPDATE crossfade.run SET program = program || '{\"surround\": [\"DROP TABLE vehicles\"]}'", 1, "run_changed"),
        ("UPDATE crossfade.run SET created_by = 'somebody'", 1, "run_changed"),
    ];
    for (what, seq, flaw) in attempts {
        let backup = "CREATE TABLE public.kept_event AS TABLE crossfade.event; CREATE TABLE public.kept_run AS TABLE crossfade.run";
        stage.database.execute(backup).await;
        stage.tampers(what).await;
        let checked = stage.check(7, &[]).await;
        let broken = &checked["runs"][0]["broken"];
        assert_eq!((&broken["seq"], &broken["what"]), (&seq.into(), &flaw.into()), "{what}: {checked}");
        let words = stage.ends(7, &["history", "rename", "--check"]).await.stdout;
        assert!(words.contains("entry ") || flaw == "run_changed", "{what}: {words}");
        stage.tampers("DELETE FROM crossfade.event; INSERT INTO crossfade.event SELECT * FROM public.kept_event").await;
        let back = "UPDATE crossfade.run SET plan_text = k.plan_text, program = k.program, created_by = k.created_by FROM public.kept_run AS k;
                    DROP TABLE public.kept_event, public.kept_run";
        stage.database.execute(back).await;
        stage.check(0, &["--head", short]).await;
    }
    // The end cut off, or everything hashed anew: only a head that was noted elsewhere tells.
    let checked = stage.check(0, &["--head", &head.to_uppercase()]).await;
    assert_eq!((&checked["noted"]["run"], &checked["noted"]["seq"]), (&1.into(), &entries.into()));
    let earlier = stage.record().await.entries[1].hash.to_string();
    stage.tampers(&format!("DELETE FROM crossfade.event WHERE seq = {entries}")).await;
    assert!(stage.check(0, &[]).await["runs"][0]["broken"].is_null());
    let checked = stage.check(7, &["--head", short]).await;
    assert!(checked["noted"]["seq"].is_null() && checked["runs"][0]["broken"].is_null(), "{checked}");
    let words = stage.ends(7, &["history", "rename", "--check", "--head", short]).await.stdout;
    assert!(words.contains(&format!("head {short} is in no log of rename")), "{words}");
    stage.check(0, &["--head", &earlier]).await;
    stage.tampers(&format!("UPDATE crossfade.event SET os_user = 'somebody' WHERE seq = 1; {HASH_AGAIN}")).await;
    assert!(stage.check(0, &[]).await["runs"][0]["broken"].is_null());
    stage.check(7, &["--head", &earlier]).await;
    // A whole log, and a head that cannot be one.
    stage.ends(2, &["history", "rename", "--check", "--head", "0123456789"]).await;
    stage.ends(2, &["history", "rename", "--head", short]).await;
    stage.tampers("DELETE FROM crossfade.event").await;
    assert_eq!(stage.check(7, &[]).await["runs"][0]["broken"]["what"], "missing");
}

/// What is printed as JSON is enough to check the chain and to rebuild the state, without the database.
#[tokio::test]
async fn the_printed_history_rebuilds_the_state() {
    for version in versions() {
        let stage = Stage::in_phase(Database::on(&version).await, "verify").await;
        stage.ends(0, &["pause", "rename"]).await;
        // A change that the run follows: the rest of it is another program.
        stage.ends(0, &["resume", "rename"]).await;
        stage
            .database
            .execute("CREATE INDEX late ON vehicles (status); COMMENT ON COLUMN vehicles.status IS 'ä\n\"'")
            .await;
        let plan = stage.plan.path().to_str().unwrap();
        stage.ends(0, &["run", plan, "--to", "verify"]).await;
        stage.ends(0, &["run", plan, "--to", "switch"]).await;
        stage.ends(0, &["rollback", "rename", "--to", "verify", "--yes"]).await;
        let printed = stage.ends(0, &["history", "rename", "--format", "json"]).await.stdout;
        let value: Value = serde_json::from_str(&printed).unwrap();
        let kinds =
            value["runs"][0]["entries"].as_array().unwrap().iter().map(|line| line["entry"]["kind"].as_str().unwrap());
        assert!(kinds.clone().any(|kind| kind == "replanned"), "{:?}", kinds.collect::<Vec<_>>());
        let record = serde_json::from_str::<Printed>(&printed).unwrap().runs.pop().unwrap();
        assert_eq!(record.broken(), None);
        let mut connection = PgConnection::connect(&stage.database.url).await.unwrap();
        let ledger = crossfade::ledger::Ledger::new(crossfade::names::LedgerSchema::default());
        let run = ledger.log().find(&mut connection, "rename").await.unwrap();
        assert_eq!(record.state().unwrap(), ledger.log().state(&mut connection, &run).await.unwrap());
        assert_eq!(ledger.log().head(&mut connection, run.id).await.unwrap(), Some(record.head.clone()));
        // Another log, and what is printed does not hold.
        let mut other = record.clone();
        other.entries[2].actor.user += "x";
        assert_eq!(other.broken().map(|broken| (broken.seq, broken.what)), Some((3, Flaw::Changed)));

        let head = record.head.to_string();
        for args in [&["history", "rename"][..], &["status", "rename"]] {
            let said = stage.ends(0, args).await.stdout;
            assert!(said.contains(&format!("head {head}")) || said.contains(&format!("head       {head}")), "{said}");
        }
        let status: Value =
            serde_json::from_str(&stage.ends(0, &["status", "rename", "--format", "json"]).await.stdout).unwrap();
        assert_eq!(status["head"], record.head.as_str());
    }
}

/// Who: the role by the server's word, whatever else is claimed.
#[tokio::test]
async fn an_entry_says_who_wrote_it() {
    let stage = Stage::in_phase(Database::new().await, "expand").await;
    let first = stage.record().await.entries[0].actor.clone();
    assert_eq!((first.role.as_str(), first.version.as_str()), ("postgres", env!("CARGO_PKG_VERSION")));
    assert!(!first.user.is_empty() && !first.host.is_empty() && first.pid > 1, "{first}");
    // Whoever may insert cannot put another's role, hash or number.
    let insert = |seq: i64| {
        format!(
            "INSERT INTO crossfade.event (run_id, seq, role, os_user, host, pid, version, format, entry, phase, state, previous, hash)
             VALUES (1, {seq}, 'somebody', 'u', 'h', 1, 'v', 1, '{{\"kind\": \"paused\"}}', 'index', 'paused', 'p', 'h')"
        )
    };
    let next = i64::try_from(stage.record().await.entries.len()).unwrap() + 1;
    for wrong in [next - 1, next + 1, 0] {
        let error = sqlx::raw_sql(AssertSqlSafe(insert(wrong))).execute(&stage.database.pool).await.unwrap_err();
        assert!(error.to_string().contains("cannot follow entry"), "{error}");
    }
    stage.database.execute(&insert(next)).await;
    let record = stage.record().await;
    assert_eq!((record.broken(), record.entries.last().unwrap().actor.role.as_str()), (None, "postgres"));
}

/// Processes that record at once make one chain.
#[tokio::test(flavor = "multi_thread")]
async fn recorders_at_once_make_one_chain() {
    use crossfade::run::Entry;
    let stage = Stage::in_phase(Database::new().await, "expand").await;
    let mut connection = PgConnection::connect(&stage.database.url).await.unwrap();
    let ledger = crossfade::ledger::Ledger::new(crossfade::names::LedgerSchema::default());
    let run = ledger.log().find(&mut connection, "rename").await.unwrap();
    let before = stage.record().await.entries.len();
    let record = async |name: &str| {
        let mut connection = PgConnection::connect(&stage.database.url).await.unwrap();
        for _ in 0..10 {
            ledger
                .log()
                .record(&mut connection, &run, None, &[Entry::Paused, Entry::Resumed], &name.into())
                .await
                .unwrap();
        }
    };
    tokio::join!(record("a"), record("b"), record("c"));
    let record = stage.record().await;
    assert_eq!((record.entries.len(), record.broken()), (before + 60, None));
    // Two transactions that both read the same last entry: one of them fails.
    let mut others = [connection, PgConnection::connect(&stage.database.url).await.unwrap()];
    let insert = "INSERT INTO crossfade.event (run_id, seq, os_user, host, pid, version, format, entry, phase, state)
                  SELECT 1, max(seq) + 1, 'u', 'h', 1, 'v', 1, '{\"kind\": \"interrupted\"}', 'index', 'waiting' FROM crossfade.event";
    let [first, second] = &mut others;
    sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM crossfade.event")
        .execute(&mut *second)
        .await
        .unwrap();
    sqlx::raw_sql(AssertSqlSafe(insert.to_owned())).execute(&mut *first).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(insert.to_owned())).execute(&mut *second).await.unwrap_err();
    sqlx::raw_sql("ROLLBACK").execute(&mut *second).await.unwrap();
    assert_eq!(stage.record().await.broken(), None);
}
