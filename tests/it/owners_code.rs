//! Other people's code as it is in every larger database: triggers and functions that rely on the `search_path` of the
//! application. They work as before, or the plan says beforehand, with the server's words, why they would not.

use crossfade::plan::{Plan, parse};
use crossfade::run::{Phase, Standing};
use crossfade::runner::Tool;
use sqlx::{Connection as _, PgConnection};

use crate::harness::{Cli, Database, PATIENCE, Version, tool, versions, wait_for};

const TABLE: &str = "
SET ROLE %o; SET search_path = app;
CREATE TABLE audit_log (id int, by text DEFAULT CURRENT_USER, path text DEFAULT current_setting('search_path'));
CREATE TABLE t (id int PRIMARY KEY, status text NOT NULL DEFAULT 'new', note text, kind text NOT NULL DEFAULT 'k');
INSERT INTO t SELECT n, n % 7, n FROM generate_series(1, 300) AS n;
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO audit_log (id) VALUES (NEW.id); RETURN NULL; END $$;
CREATE TRIGGER audit AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION audit();
CREATE FUNCTION low(v text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT lower(v)';
CREATE FUNCTION norm(v text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN low(v); END $$;
CREATE FUNCTION key(v text) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN low(v)::int; END $$;
ALTER TABLE t ADD CHECK (norm(kind) <> 'none');
RESET ROLE; RESET search_path";

const PLAN: &str = "version: 1
name: p
table: app.t
changes:
- rename_column: { from: status, to: state }
- change_type: { column: note, via: note_n, to: integer, using: app.key(note), reverse: 'note_n::text' }
- add_constraint: { name: normal, check: app.norm(kind) <> 'never' }
contract: { quiet: 0s, grace: 0s }
";

/// Returns a database with the table and its owner, whose sessions begin with `search_path = app` if told so.
async fn prepared(version: &Version, path: bool) -> (Database, String) {
    let database = Database::on(version).await;
    let owner = format!("{}_app", database.name);
    let set = if path {
        format!("ALTER ROLE {owner} IN DATABASE {} SET search_path = app, public;", database.name)
    } else {
        String::new()
    };
    database
        .execute(&format!(
            "DROP ROLE IF EXISTS {owner}; CREATE ROLE {owner} LOGIN; CREATE SCHEMA app AUTHORIZATION {owner};
             GRANT CREATE ON DATABASE {} TO {owner}; {set} {}",
            database.name,
            TABLE.replace("%o", &owner)
        ))
        .await;
    (database, owner)
}

fn url(database: &Database, role: &str) -> String {
    let (_, place) = database.url.split_once('@').unwrap();
    format!("postgres://{role}@{place}")
}

fn plan() -> Plan {
    parse("plan", PLAN).unwrap()
}

async fn refusal(tool: &Tool, plan: &Plan) -> crossfade::catalog::Finding {
    let mut refusals = tool.preview(plan).await.unwrap().refusals;
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    refusals.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn unqualified_names_are_found_as_the_owners_sessions_find_them() {
    for version in versions() {
        for superuser in [true, false] {
            let (database, owner) = prepared(&version, true).await;
            // Since 17 the server looks for no name of an index's function anywhere but in pg_catalog.
            if version.major < 17 {
                database
                    .execute(
                        "SET search_path = app; CREATE INDEX by_status ON app.t (app.norm(status)); RESET search_path",
                    )
                    .await;
            }
            let tool = tool(&if superuser { database.url.clone() } else { url(&database, &owner) });
            let preview = tool.preview(&plan()).await.unwrap();
            assert!(preview.refusals.is_empty(), "{:?}", preview.refusals);
            assert_eq!(database.scalar::<i64>("SELECT count(*) FROM app.audit_log").await, 0, "plan left something");
            let finish = tool.run(&plan(), PLAN, None).await.unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(finish.state, Standing::Done);
            let audited =
                format!("SELECT count(DISTINCT id) FROM app.audit_log WHERE by = '{owner}' AND path = 'app, public'");
            assert_eq!(database.scalar::<i64>(&audited).await, 300);
            assert_eq!(database.scalar::<i64>("SELECT count(*) FROM app.t WHERE note IS DISTINCT FROM id").await, 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_would_fail_is_shown_by_the_plan() {
    let (database, owner) = prepared(&versions().remove(0), false).await;
    let tool = tool(&database.url);
    // The function of `using` finds nothing: that is not a matter of values.
    let found = refusal(&tool, &plan()).await;
    assert_eq!(found.code, "catalog::conversion_fails");
    assert!(found.message.contains("function low(text) does not exist"), "{}", found.message);
    assert!(found.message.contains("PL/pgSQL function app.key(text)"), "{}", found.message);
    // Neither does the audit trigger.
    let text =
        PLAN.lines().filter(|line| !line.contains("note") && !line.contains("normal")).collect::<Vec<_>>().join("\n");
    let rename = parse("plan", &text).unwrap();
    database.execute("ALTER TABLE app.t DROP CONSTRAINT t_kind_check").await;
    let found = refusal(&tool, &rename).await;
    assert_eq!(found.code, "catalog::row_fails");
    assert!(found.message.contains("relation \"audit_log\" does not exist"), "{}", found.message);
    assert!(found.message.contains("PL/pgSQL function app.audit() line 1"), "{}", found.message);
    assert!(found.help.contains(&format!("ALTER ROLE \"{owner}\" SET search_path")), "{}", found.help);
    // A CHECK that fails, and a trigger that forbids.
    database.execute("ALTER TABLE app.t ADD CONSTRAINT odd CHECK (app.norm(kind) <> 'x') NOT VALID").await;
    assert!(refusal(&tool, &rename).await.message.contains("PL/pgSQL function app.norm(text)"));
    database
        .execute(
            "ALTER TABLE app.t DROP CONSTRAINT odd; CREATE OR REPLACE FUNCTION app.audit() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN RAISE EXCEPTION 'rows of % are never changed', TG_RELID::regclass; END $$",
        )
        .await;
    let found = refusal(&tool, &rename).await;
    assert!(
        found.message.contains("an UPDATE of one row of app.t was tried, and fails: rows of app.t are never changed"),
        "{}",
        found.message
    );
    let skipped = format!("{text}\nbackfill: {{ triggers: skip }}\n");
    let preview = tool.preview(&parse("plan", &skipped).unwrap()).await.unwrap();
    assert!(preview.refusals.is_empty(), "{:?}", preview.refusals);
    assert!(!database.scalar::<bool>("SELECT to_regnamespace('crossfade') IS NOT NULL").await);
}

/// What breaks in mid-run is named, with the code in which it broke.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_in_mid_run_names_the_code() {
    let (database, _) = prepared(&versions().remove(0), true).await;
    let tool = tool(&database.url);
    tool.run(&plan(), PLAN, Some(Phase::Expand)).await.unwrap();
    database.execute("ALTER TABLE app.audit_log RENAME TO other").await;
    let error = tool.run(&plan(), PLAN, None).await.unwrap_err().to_string();
    let context = "PL/pgSQL function audit() line 1 at SQL statement";
    assert!(error.contains("backfill") && error.contains("relation \"audit_log\" does not exist"), "{error}");
    assert!(error.contains(context), "{error}");
    for command in ["status", "history"] {
        let said = Cli::new(&database.url).args([command, "p"]).run().await;
        let said = said.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("audit_log"), "{command}: {said}");
    }
    database.execute("ALTER TABLE app.other RENAME TO audit_log").await;
    assert_eq!(tool.run(&plan(), PLAN, None).await.unwrap().state, Standing::Done);
}

/// A process that was frozen in the middle of a concurrent build, and goes on after its successor has built the index anew,
/// drops nothing of its successor's.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_builder_does_not_drop_its_successors_index() {
    let database = Database::new().await;
    database
        .execute("CREATE TABLE t (id int PRIMARY KEY, a int); INSERT INTO t SELECT n, n FROM generate_series(1, 999) n")
        .await;
    let text = "version: 1\nname: frozen\ntable: public.t\nchanges: [{ add_index: { name: t_a, columns: [a] } }]\n";
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    std::fs::write(file.path(), text).unwrap();
    // The build waits for this one.
    let mut old = PgConnection::connect(&database.url).await.unwrap();
    sqlx::raw_sql("BEGIN; INSERT INTO t VALUES (0, 0)").execute(&mut old).await.unwrap();
    let first = Cli::new(&database.url).args(["run".into(), file.path().as_os_str().to_owned()]).spawn();
    let building = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query LIKE 'CREATE INDEX%'";
    wait_for("the build to wait", PATIENCE, async || {
        database.scalar::<bool>(&format!("SELECT EXISTS ({building} AND wait_event_type = 'Lock')")).await
    })
    .await;
    first.signal(nix::sys::signal::Signal::SIGSTOP);
    let pid: i32 = database.scalar(building).await;
    database.execute(&format!("SELECT pg_cancel_backend({pid})")).await;
    wait_for("the build to end", PATIENCE, async || {
        !database.scalar::<bool>(&format!("SELECT EXISTS ({building})")).await
    })
    .await;
    sqlx::raw_sql("ROLLBACK").execute(&mut old).await.unwrap();
    assert!(database.scalar::<bool>("SELECT NOT indisvalid FROM pg_index WHERE indexrelid = 't_a'::regclass").await);
    // Its lease is over, and its heartbeat's session gone, as after a long time.
    database.execute("UPDATE crossfade.lease SET expires = clock_timestamp()").await;
    let plan = parse("plan", text).unwrap();
    let finish = tool(&database.url).run(&plan, text, None).await.unwrap();
    assert_eq!(finish.state, Standing::Done);
    let valid = "SELECT COALESCE((SELECT indexrelid::int8 FROM pg_index WHERE indexrelid = to_regclass('t_a') AND indisvalid), 0)";
    let built: i64 = database.scalar(valid).await;
    assert!(built > 0);
    first.signal(nix::sys::signal::Signal::SIGCONT);
    let said = first.wait(PATIENCE).await;
    assert_eq!(database.scalar::<i64>(valid).await, built, "the successor's index is gone: {said:?}");
}
