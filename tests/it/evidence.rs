//! Who still uses the old column is seen, and keeps it, until nobody does or somebody accepts it.

use std::time::Duration;

use crossfade::testkit::fleet;
use crossfade::testkit::server::Server;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::task::JoinSet;

use crate::harness::{Cli, Database, Output, PATIENCE, own_server_set, wait_for};

const PLAN: &str = "version: 1\nname: rename\ntable: public.vehicles\nchanges:\n  - rename_column: { from: status, to: state }\ncontract: { quiet: 2s }\n";
const READS: &str = "SELECT v.\"status\" FROM public.vehicles v WHERE fuel <> 'secret' LIMIT 1";
/// Statements and functions that do not use the column.
const OTHERS: [&str; 5] = [
    "SELECT status FROM orders",
    "SELECT id FROM vehicles -- status\n WHERE fuel = 'status' LIMIT 1",
    "SELECT state AS status FROM vehicles LIMIT 1",
    "SELECT o.status FROM orders o JOIN vehicles v ON v.id = o.id",
    "SELECT v.\"Status\" FROM (SELECT id AS \"Status\" FROM vehicles LIMIT 1) v",
];

struct Stage {
    server: Server,
    database: Database,
    file: tempfile::NamedTempFile,
}

impl Stage {
    /// A table, a role that owns nothing and may read it, and a server with these settings.
    async fn new(settings: &[(&str, &str)]) -> Self {
        let server = tokio::task::block_in_place(|| own_server_set(settings));
        let database = Database::on_server(&server).await;
        let mut connection = PgConnection::connect(&database.url).await.unwrap();
        fleet::create(&mut connection).await.unwrap();
        fleet::load(&mut connection, 200).await.unwrap();
        database
            .execute(
                "CREATE ROLE reader LOGIN; GRANT SELECT ON vehicles TO reader;
                 CREATE TABLE orders (id int, status text); GRANT SELECT ON orders TO reader",
            )
            .await;
        let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        std::fs::write(file.path(), PLAN).unwrap();
        Self { server, database, file }
    }

    async fn counting(more: &[(&str, &str)]) -> Self {
        let stage = Self::new(&[&[("shared_preload_libraries", "pg_stat_statements")], more].concat()).await;
        stage.database.execute("CREATE SCHEMA stats; CREATE EXTENSION pg_stat_statements SCHEMA stats").await;
        stage
    }

    /// A client that reads, and owns nothing.
    async fn client(&self, name: &str) -> PgConnection {
        let url = self.database.url.replace("postgres@", "reader@");
        let mut client = PgConnection::connect(&url).await.unwrap();
        let set = format!("SET application_name = '{name}'");
        sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut client).await.unwrap();
        client
    }

    fn plan(&self) -> &str {
        self.file.path().to_str().unwrap()
    }

    fn cli(&self, args: &[&str]) -> Cli {
        Cli::new(&self.database.url).args(args.iter().copied())
    }

    async fn ends(&self, code: i32, args: &[&str]) -> Output {
        let output = self.cli(args).spawn().wait(PATIENCE).await;
        assert_eq!(output.code, Some(code), "{args:?}: {}{}", output.stdout, output.stderr);
        output
    }

    async fn json(&self, code: i32, args: &[&str]) -> Value {
        let output = self.ends(code, &[&["--format", "json"], args].concat()).await;
        serde_json::from_str(&output.stdout).unwrap()
    }

    async fn is_retired(&self) -> bool {
        let column =
            "SELECT NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'vehicles'::regclass AND attname = 'status')";
        self.database.scalar(column).await
    }

    /// The gate in front of contract, as `status` has it.
    async fn gate(&self) -> (String, String) {
        let status = self.json(0, &["status", "rename"]).await;
        let gates = status["gates"].as_array().unwrap();
        let gate = gates.iter().find(|gate| gate["gate"] == "unused").unwrap_or_else(|| panic!("{status:#}"));
        (gate["verdict"].as_str().unwrap().to_owned(), gate["reason"].as_str().unwrap().to_owned())
    }
}

/// Runs a statement again and again until it is dropped.
fn repeat(mut client: PgConnection, sql: &'static str) -> JoinSet<()> {
    let mut task = JoinSet::new();
    task.spawn(async move {
        while sqlx::raw_sql(sql).execute(&mut client).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    task
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_reads_the_old_column_is_seen_and_keeps_it_until_that_is_accepted() {
    let stage = Stage::counting(&[]).await;
    stage.ends(0, &["run", stage.plan(), "--to", "switch"]).await;
    let mut readers = repeat(stage.client("nightly-report").await, READS);
    wait_for("the reader to be counted", PATIENCE, async || {
        let calls =
            "SELECT coalesce(sum(calls), 0)::bigint FROM stats.pg_stat_statements WHERE query LIKE '%v.\"status\"%'";
        stage.database.scalar::<i64>(calls).await > 0
    })
    .await;
    let told = "names status: SELECT v.\"status\" FROM public.vehicles v WHERE fuel <> ";
    let tick = stage.json(5, &["advance", "rename"]).await;
    assert_eq!(tick["tick"], "blocked", "{tick:#}");
    let message = tick["error"]["message"].as_str().unwrap();
    assert!(message.contains(told) && message.contains("role reader"), "{message}");
    assert!(!stage.is_retired().await);
    let status = stage.json(0, &["status", "rename"]).await;
    let uses = status["evidence"]["uses"].as_array().unwrap();
    let of = |by: &str| uses.iter().find(|of| of["by"] == by).unwrap_or_else(|| panic!("{by}: {status:#}"));
    assert_eq!((&of("client")["application"], &of("client")["role"]), (&"nightly-report".into(), &"reader".into()));
    assert_eq!(of("client")["address"], "127.0.0.1");
    assert_eq!((&of("statement")["role"], &of("statement")["column"]), (&"reader".into(), &"status".into()));
    assert!(of("statement")["calls"].as_i64().unwrap() > 0, "{status:#}");
    assert!(!status.to_string().contains("secret"), "{status:#}");
    let said = stage.ends(0, &["status", "rename"]).await.stdout;
    assert!(said.contains("used by    ") && said.contains("nightly-report (role reader, 127.0.0.1) names"), "{said}");
    assert!(said.contains("crossfade advance rename --accept-evidence REASON"), "{said}");
    // Noted once for each client.
    assert_eq!(stage.database.scalar::<i64>("SELECT count(*) FROM crossfade.column_client").await, 1);

    // Whoever runs the plan waits for what becomes older, and not for what goes on.
    stage.ends(5, &["run", stage.plan()]).await;
    // The grace is not over.
    stage.ends(9, &["advance", "rename", "--accept-evidence", "the report is replaced today"]).await;
    assert!(stage.is_retired().await);
    let history = stage.ends(0, &["history", "rename"]).await.stdout;
    let line = history.lines().find(|line| line.contains("evidence of use was overridden")).unwrap();
    assert!(
        line.contains("the report is replaced today") && line.contains(told) && line.contains(" as postgres"),
        "{line}"
    );
    let failed = readers.join_next().await;
    assert!(failed.is_some(), "it fails loudly, and ends");
    drop(stage.server);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_use_the_column_keeps_nobody_waiting() {
    let stage = Stage::counting(&[]).await;
    stage.ends(0, &["run", stage.plan(), "--to", "switch"]).await;
    stage
        .database
        .execute(
            "CREATE FUNCTION says_so() RETURNS int LANGUAGE plpgsql AS $$ BEGIN -- status of vehicles\n RETURN 1; END $$;
             CREATE FUNCTION other() RETURNS text LANGUAGE sql AS 'SELECT status FROM orders /* vehicles */'",
        )
        .await;
    let mut tasks = Vec::new();
    for (number, sql) in OTHERS.into_iter().enumerate() {
        tasks.push(repeat(stage.client(&format!("other {number}")).await, sql));
    }
    wait_for("all of them to be at work", PATIENCE, async || {
        let clients =
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'other %' AND query NOT LIKE 'SET %'";
        stage.database.scalar::<i64>(clients).await == 5
    })
    .await;
    let (verdict, reason) = stage.gate().await;
    assert_eq!((verdict.as_str(), reason.as_str()), ("pass", "nobody was seen to use the old column for 2.0 s"));
    // What has read it once is waited for in-process.
    let mut once = stage.client("once").await;
    sqlx::raw_sql(READS).execute(&mut once).await.unwrap();
    stage.ends(5, &["run", stage.plan()]).await;
    assert!(stage.is_retired().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_that_were_lost_say_nothing_until_that_is_accepted() {
    let stage = Stage::counting(&[]).await;
    let mut reader = stage.client("gone").await;
    sqlx::raw_sql(READS).execute(&mut reader).await.unwrap();
    reader.close().await.unwrap();
    stage.ends(0, &["run", stage.plan(), "--to", "switch"]).await;
    assert_eq!(stage.gate().await.0, "pass");
    // A session that has ended shows in the statistics alone.
    let mut reader = stage.client("gone").await;
    sqlx::raw_sql(READS).execute(&mut reader).await.unwrap();
    reader.close().await.unwrap();
    let (verdict, reason) = stage.gate().await;
    assert!(
        verdict == "fail" && reason.starts_with("role reader names status") && reason.contains("1 call since"),
        "{reason}"
    );
    stage.database.execute("SELECT stats.pg_stat_statements_reset()").await;
    // Nothing that others do brings back what was lost: a person decides.
    stage.ends(10, &["advance", "rename"]).await;
    wait_for("the last use to be as old as the quiet time", PATIENCE, async || stage.gate().await.0 != "fail").await;
    let (verdict, reason) = stage.gate().await;
    assert!(verdict == "unknown" && reason.starts_with("pg_stat_statements was reset at "), "{verdict}: {reason}");
    let tick = stage.json(10, &["advance", "rename"]).await;
    assert_eq!(tick["tick"], "waits_for_person", "{tick:#}");
    stage.ends(9, &["advance", "rename", "--accept-evidence", "no reports at night"]).await;
    assert!(stage.is_retired().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_that_had_no_room_say_nothing_until_that_is_accepted() {
    let stage = Stage::counting(&[("pg_stat_statements.max", "100")]).await;
    stage.ends(0, &["run", stage.plan(), "--to", "switch"]).await;
    for number in 0..300 {
        let sql = format!("SELECT {} AS c{number}", vec!["1"; number % 150 + 1].join(" + "));
        stage.database.execute(&sql).await;
    }
    wait_for("the eviction to be noticed", PATIENCE, async || stage.gate().await.1.contains("thrown statements out"))
        .await;
    assert_eq!(stage.gate().await.0, "unknown");
    stage.ends(5, &["run", stage.plan()]).await;
    stage.ends(9, &["advance", "rename", "--accept-evidence", "no reports at night"]).await;
    assert!(stage.is_retired().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_that_name_the_column_are_listed_with_their_line() {
    let stage = Stage::new(&[]).await;
    stage
        .database
        .execute(
            "CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$\nBEGIN\n  -- status\n  IF NEW.fuel = 'x' THEN NEW.status := 'y'; END IF;\n  RETURN NEW;\nEND $$;
             CREATE TRIGGER stamp BEFORE INSERT ON vehicles FOR EACH ROW EXECUTE FUNCTION stamp()",
        )
        .await;
    stage.ends(0, &["run", stage.plan(), "--to", "switch"]).await;
    let (verdict, reason) = stage.gate().await;
    assert!(
        verdict == "fail" && reason.contains("function public.stamp() may use status (line 4 of its text)"),
        "{reason}"
    );
    stage.ends(5, &["run", stage.plan()]).await;
    stage
        .database
        .execute("CREATE OR REPLACE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")
        .await;
    let (verdict, reason) = stage.gate().await;
    assert_eq!(verdict, "pass", "{reason}");
    assert!(
        reason.contains("not looked at: statements that have ended (pg_stat_statements is not installed"),
        "{reason}"
    );
    stage.ends(5, &["run", stage.plan()]).await;
    assert!(stage.is_retired().await);
}

/// The role that runs everything owns the table and sees nobody else's statements: that is said, and keeps nobody waiting.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_role_may_not_see_is_said() {
    let stage = Stage::counting(&[]).await;
    stage
        .database
        .execute(&format!(
            "CREATE ROLE keeper LOGIN; GRANT CREATE ON DATABASE {} TO keeper; GRANT CREATE ON SCHEMA public TO keeper;
             ALTER TABLE vehicles OWNER TO keeper; GRANT SELECT ON depots TO keeper",
            stage.database.name
        ))
        .await;
    let url = stage.database.url.replace("postgres@", "keeper@");
    let run = |args: &[&str]| Cli::new(&url).args(args.iter().copied());
    let output = run(&["run", stage.plan(), "--to", "switch"]).spawn().wait(PATIENCE).await;
    assert_eq!(output.code, Some(0), "{}{}", output.stdout, output.stderr);
    let _reads = repeat(stage.client("nightly-report").await, READS);
    let output = run(&["status", "rename"]).run().await;
    let said = output.stdout;
    assert!(said.contains("not looked at: sessions and statements of other roles (GRANT pg_read_all_stats)"), "{said}");
    stage.database.execute("GRANT pg_read_all_stats TO keeper; GRANT USAGE ON SCHEMA stats TO keeper").await;
    wait_for("the reader to be seen", PATIENCE, async || {
        run(&["status", "rename"]).run().await.stdout.contains("nightly-report (role reader")
    })
    .await;
    wait_for("the statement to be counted", PATIENCE, async || {
        let output = run(&["advance", "rename"]).run().await;
        assert_eq!(output.code, Some(5), "{output:#?}");
        let grown = "SELECT coalesce(sum(grown), 0)::bigint FROM crossfade.column_statement";
        stage.database.scalar::<i64>(grown).await > 0
    })
    .await;
    let said = run(&["status", "rename"]).run().await.stdout;
    assert!(said.contains("not looked at: statements before pg_stat_statements could be read"), "{said}");

    // Who may only read the ledger is told what was noted, and not that anything was lost.
    stage
        .database
        .execute(
            "CREATE ROLE looker LOGIN; GRANT USAGE ON SCHEMA crossfade, stats TO looker;
             GRANT SELECT ON ALL TABLES IN SCHEMA crossfade TO looker; GRANT SELECT ON ALL SEQUENCES IN SCHEMA crossfade TO looker",
        )
        .await;
    let looker = stage.database.url.replace("postgres@", "looker@");
    let status =
        Cli::new(&looker).env("CROSSFADE_LEDGER_OWNER", "keeper").args(["--format", "json", "status", "rename"]);
    let output = status.run().await;
    let status: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output:#?}"));
    let evidence = &status["evidence"];
    assert_eq!(evidence["lost"], serde_json::json!([]), "{evidence:#}");
    for by in ["client", "statement"] {
        assert!(evidence["uses"].as_array().unwrap().iter().any(|of| of["by"] == by), "{evidence:#}");
    }
    assert!(evidence["unseen"].to_string().contains("GRANT pg_read_all_stats"), "{evidence:#}");
}

/// Between the beginning of `contract` and the moment at which the column goes, all rows may be compared: for hours.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_while_rows_are_compared_keeps_the_column() {
    let stage = Stage::new(&[]).await;
    std::fs::write(stage.file.path(), format!("{PLAN}verify: {{ max_age: 1s }}\n")).unwrap();
    stage.ends(0, &["run", stage.plan(), "--to", "switch"]).await;
    let mut locker = PgConnection::connect(&stage.database.url).await.unwrap();
    wait_for("the comparison to be too old, and the old column quiet", PATIENCE, async || {
        let old = "SELECT max(at) < now() - interval '3 s' FROM crossfade.event";
        stage.database.scalar::<bool>(old).await
    })
    .await;
    sqlx::raw_sql("BEGIN; LOCK TABLE vehicles IN ACCESS EXCLUSIVE MODE").execute(&mut locker).await.unwrap();
    let tick = stage.cli(&["advance", "rename", "--accept-evidence", "what there was"]).spawn();
    wait_for("contract to have begun", PATIENCE, async || {
        let begun =
            "SELECT count(*) FROM crossfade.event WHERE entry->>'kind' = 'phase_started' AND phase = 'contract'";
        stage.database.scalar::<i64>(begun).await > 0
    })
    .await;
    let reads = repeat(stage.client("late").await, READS);
    wait_for("the reader to be there", PATIENCE, async || {
        let there = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'late' AND query LIKE 'SELECT v.%'";
        stage.database.scalar::<i64>(there).await > 0
    })
    .await;
    sqlx::raw_sql("ROLLBACK").execute(&mut locker).await.unwrap();
    let output = tick.wait(PATIENCE).await;
    assert!(output.code == Some(5) && output.stderr.contains("late (role reader"), "{output:#?}");
    assert!(!stage.is_retired().await);
    drop(reads);
}
