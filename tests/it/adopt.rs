//! A change that somebody has begun by hand: its new column is taken over, half filled, with a trigger of its own.

mod refused;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossfade::plan::{Plan, parse};
use crossfade::run::{Phase, Side, Standing};
use crossfade::runner::{Error, Tool};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::task::JoinHandle;

use crate::crashes;
use crate::harness::{Database, PATIENCE, Version, plain_alter, tool, versions_of, wait_for};

/// The table before anybody began. {app} and {reader} are roles.
const TABLE: &str = "
    CREATE TABLE t (id bigint PRIMARY KEY, a text NOT NULL DEFAULT 'none', n int NOT NULL DEFAULT 0);
    INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 3000) AS i;
    CREATE INDEX by_a ON t (a);
    COMMENT ON COLUMN t.a IS 'the state';
    GRANT SELECT (a) ON t TO {reader};
    GRANT SELECT, INSERT, UPDATE ON t TO {app};";

/// Half the rows are filled, every tenth of them with something else.
const ONE_WAY: &str = "
    ALTER TABLE t ADD COLUMN b text;
    ALTER TABLE t ALTER COLUMN b SET DEFAULT 'unknown';
    UPDATE t SET b = CASE WHEN id % 10 = 0 THEN 'wrong' ELSE a END WHERE id <= 1500;
    COMMENT ON COLUMN t.b IS 'begun by hand';
    ALTER TABLE t ALTER COLUMN b SET STATISTICS 7, ALTER COLUMN b SET STORAGE EXTERNAL;
    GRANT UPDATE (b) ON t TO {reader};
    CREATE INDEX by_hand ON t (b, n);
    CREATE VIEW of_b AS SELECT id, b FROM t;
    CREATE FUNCTION copy_a() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.b := NEW.a; RETURN NEW; END $$;
    CREATE TRIGGER copy_a BEFORE INSERT OR UPDATE OF a, b ON t FOR EACH ROW EXECUTE FUNCTION copy_a();
    ALTER TABLE t ENABLE ALWAYS TRIGGER copy_a;";

/// What plain ALTER leaves of it when it is done: what hung on the column.
const ONE_WAY_LEAVES: &str = "
    CREATE INDEX by_hand ON t (b, n);
    CREATE VIEW of_b AS SELECT id, b FROM t;
    CREATE FUNCTION copy_a() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.b := NEW.a; RETURN NEW; END $$;";

const TWO_WAY: &str = "
    ALTER TABLE t ADD COLUMN b text;
    UPDATE t SET b = CASE WHEN id % 10 = 0 THEN 'wrong' ELSE a END WHERE id <= 1500;
    CREATE FUNCTION both_ways() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF TG_OP = 'INSERT' THEN
        IF NEW.b IS NULL THEN NEW.b := NEW.a; ELSE NEW.a := NEW.b; END IF;
      ELSIF NEW.a IS DISTINCT FROM OLD.a THEN NEW.b := NEW.a;
      ELSIF NEW.b IS DISTINCT FROM OLD.b THEN NEW.a := NEW.b;
      END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER both_ways BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION both_ways();
    CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM NEW.b; RETURN NULL; END $$;
    CREATE TRIGGER audit AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION audit();";

const TWO_WAY_LEAVES: &str = "
    CREATE FUNCTION both_ways() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF TG_OP = 'INSERT' THEN
        IF NEW.b IS NULL THEN NEW.b := NEW.a; ELSE NEW.a := NEW.b; END IF;
      ELSIF NEW.a IS DISTINCT FROM OLD.a THEN NEW.b := NEW.a;
      ELSIF NEW.b IS DISTINCT FROM OLD.b THEN NEW.a := NEW.b;
      END IF;
      RETURN NEW;
    END $$;
    CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM NEW.b; RETURN NULL; END $$;
    CREATE TRIGGER audit AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION audit();";

fn rename(adopt: &str) -> String {
    format!(
        "version: 1\nname: rename\ntable: t\nchanges: [{{ rename_column: {{ from: a, to: b, adopt: {{ {adopt} }} }} }}]\n\
         backfill: {{ batch_target: 10ms }}\ncontract: {{ grace: 0s, quiet: 0s }}\n"
    )
}

/// A table on which somebody has begun, and a role that owns nothing.
struct Site {
    database: Database,
    tool: Tool,
    plan: Plan,
    text: String,
    app: String,
    reader: String,
}

impl Site {
    async fn new(version: &Version, (table, by_hand): (&str, &str), text: &str) -> Self {
        let database = Database::on(version).await;
        let (app, reader) = (format!("adopt_app_{}", database.name), format!("adopt_reader_{}", database.name));
        database.execute(&format!("CREATE ROLE {app} LOGIN; CREATE ROLE {reader}")).await;
        let plan = parse("plan.yaml", text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        let tool = tool(&database.url);
        let site = Self { database, tool, plan, text: text.to_owned(), app, reader };
        site.execute(table).await;
        site.execute(by_hand).await;
        site
    }

    fn own(&self, sql: &str) -> String {
        sql.replace("{app}", &self.app).replace("{reader}", &self.reader)
    }

    async fn execute(&self, sql: &str) {
        self.database.execute(&self.own(sql)).await;
    }

    async fn run(&self, to: Option<Phase>) -> Result<Standing, Error> {
        Ok(self.tool.run(&self.plan, &self.text, to).await?.state)
    }

    /// What plain ALTER makes of the table on which nobody began, and what hung on the column.
    async fn plain(&self, version: &Version, table: &str, leaves: &str) -> String {
        let twin = Database::on(version).await;
        twin.execute(&self.own(table)).await;
        for statement in plain_alter(&self.plan) {
            twin.execute(&statement).await;
        }
        twin.execute(&self.own(leaves)).await;
        twin.schema().await
    }
}

/// Writers of the application, each with rows of its own, that remember what was committed.
struct Writers {
    stop: Arc<AtomicBool>,
    /// Whether there are releases that write the new column alone.
    new: Arc<AtomicBool>,
    /// Whether there are still some that write the old one.
    old: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    all: Vec<JoinHandle<Result<HashMap<i64, String>, String>>>,
}

const WRITERS: i64 = 3;

impl Writers {
    async fn start(site: &Site) -> Self {
        let (stop, new, old) = (Arc::default(), Arc::default(), Arc::new(AtomicBool::new(true)));
        let mut writers = Self { stop, new, old, done: Arc::default(), all: vec![] };
        let url = site.database.url.clone();
        let (scheme, rest) = url.split_once("://").unwrap();
        let rest = rest.split_once('@').map_or(rest, |(_, rest)| rest);
        for number in 0..WRITERS {
            let mut connection = PgConnection::connect(&format!("{scheme}://{}@{rest}", site.app)).await.unwrap();
            let (stop, new, old) = (writers.stop.clone(), writers.new.clone(), writers.old.clone());
            let done = writers.done.clone();
            writers.all.push(tokio::spawn(async move {
                let mut known = HashMap::new();
                let mut fresh = 10_000 + number;
                for turn in 0_u64.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let id = rand::random_range(0..1000) * WRITERS + number + 1;
                    let value = format!("w{number}-{turn}");
                    let (old, new) = (old.load(Ordering::SeqCst), new.load(Ordering::SeqCst));
                    let column = match turn % 2 {
                        _ if !new => "a",
                        _ if !old => "b",
                        0 => "a",
                        _ => "b",
                    };
                    let (statement, row) = match turn % 5 {
                        0 => {
                            fresh += WRITERS;
                            (format!("INSERT INTO t (id, {column}) VALUES ({fresh}, '{value}')"), Some(fresh))
                        }
                        1 => (format!("UPDATE t SET n = n + 1 WHERE id = {id}"), None),
                        2 if old && new => {
                            (format!("UPDATE t SET a = '{value}', b = '{value}' WHERE id = {id}"), Some(id))
                        }
                        _ => (format!("UPDATE t SET {column} = '{value}' WHERE id = {id}"), Some(id)),
                    };
                    let result = sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut connection).await;
                    result.map_err(|error| format!("{statement}: {error}"))?;
                    if let Some(row) = row {
                        known.insert(row, value);
                    }
                    done.fetch_add(1, Ordering::SeqCst);
                }
                Ok(known)
            }));
        }
        writers
    }

    /// Waits until each has written some more.
    async fn go_on(&self) {
        let now = self.done.load(Ordering::SeqCst);
        wait_for("writers", PATIENCE, async || {
            self.done.load(Ordering::SeqCst) >= now + 60 || self.all.iter().any(JoinHandle::is_finished)
        })
        .await;
    }

    /// Returns what they know; none of them failed.
    async fn stop(self) -> HashMap<i64, String> {
        self.stop.store(true, Ordering::SeqCst);
        let mut known = HashMap::new();
        for writer in self.all {
            known.extend(writer.await.unwrap().unwrap());
        }
        assert!(!known.is_empty());
        known
    }
}

async fn values(site: &Site, column: &str) -> HashMap<i64, Option<String>> {
    let sql = format!("SELECT id, {column} FROM t");
    sqlx::query_as(AssertSqlSafe(sql))
        .persistent(false)
        .fetch_all(&site.database.pool)
        .await
        .unwrap()
        .into_iter()
        .collect()
}

/// Every row has what was written last, or what it had in the beginning.
async fn assert_values(site: &Site, column: &str, known: &HashMap<i64, String>) {
    for (id, value) in values(site, column).await {
        let expected = known.get(&id).cloned().unwrap_or_else(|| format!("v{id}"));
        assert_eq!(value.as_deref(), Some(expected.as_str()), "{column} of {id}");
    }
}

/// Under live traffic of a role that owns nothing, and with no moment in which nothing keeps the columns equal; the end is that
/// of plain ALTER.
#[tokio::test(flavor = "multi_thread")]
async fn a_half_filled_column_with_a_trigger_is_taken_over_under_traffic() {
    for version in versions_of(0) {
        let site = Site::new(&version, (TABLE, ONE_WAY), &rename("replaces: [copy_a], overwrite: true")).await;
        let writers = Writers::start(&site).await;
        writers.go_on().await;
        site.run(Some(Phase::Expand)).await.unwrap();
        writers.new.store(true, Ordering::SeqCst);
        for phase in [Phase::Index, Phase::Backfill, Phase::Verify, Phase::Switch] {
            writers.go_on().await;
            site.run(Some(phase)).await.unwrap();
        }
        writers.old.store(false, Ordering::SeqCst);
        writers.go_on().await;
        assert_eq!(site.run(None).await.unwrap(), Standing::Done);
        writers.go_on().await;
        let known = writers.stop().await;
        assert_values(&site, "b", &known).await;
        let plain = site.plain(&version, TABLE, ONE_WAY_LEAVES).await;
        assert_eq!(site.database.schema().await, plain, "on {}", version.major);
    }
}

/// Values that differ are nobody's to overwrite unless the plan says so: the check stops the run, and a repair decides.
#[tokio::test(flavor = "multi_thread")]
async fn values_that_differ_stop_the_run_until_somebody_decides() {
    for version in versions_of(1) {
        let site = Site::new(&version, (TABLE, TWO_WAY), &rename("replaces: [both_ways], keeps: [audit]")).await;
        let writers = Writers::start(&site).await;
        writers.new.store(true, Ordering::SeqCst);
        writers.go_on().await;
        site.run(Some(Phase::Backfill)).await.unwrap();
        writers.go_on().await;
        let wrong: i64 = site.database.scalar("SELECT count(*) FROM t WHERE b = 'wrong'").await;
        assert!(wrong > 0);
        let Err(Error::Mismatch(outcome)) = site.run(Some(Phase::Verify)).await else { panic!("not found") };
        assert!(outcome.counts.different > 0 && outcome.counts.empty == 0, "{outcome:?}");
        site.tool.verify("rename", Some(Side::Old)).await.unwrap();
        site.run(Some(Phase::Switch)).await.unwrap();
        writers.old.store(false, Ordering::SeqCst);
        writers.go_on().await;
        assert_eq!(site.run(None).await.unwrap(), Standing::Done);
        let known = writers.stop().await;
        assert_values(&site, "b", &known).await;
        let plain = site.plain(&version, TABLE, TWO_WAY_LEAVES).await;
        assert_eq!(site.database.schema().await, plain, "on {}", version.major);
    }
}

/// A rollback leaves the column with what it was filled with, gives it back what it had, and enables the trigger as it was; it
/// drops nothing of what was there.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_leaves_what_was_found() {
    for version in versions_of(2) {
        let site = Site::new(&version, (TABLE, ONE_WAY), &rename("replaces: [copy_a], overwrite: true")).await;
        let before = site.database.schema().await;
        let grants =
            "SELECT string_agg(attacl::text, ' ' ORDER BY attname) FROM pg_attribute WHERE attrelid = 't'::regclass";
        let granted: String = site.database.scalar(grants).await;
        let phases = [Phase::Expand, Phase::Index, Phase::Backfill, Phase::Verify, Phase::Switch];
        for phase in phases {
            let writers = Writers::start(&site).await;
            site.run(Some(phase)).await.unwrap();
            writers.new.store(true, Ordering::SeqCst);
            writers.go_on().await;
            let shown = site.tool.rollback_preview("rename", None).await.unwrap();
            assert!(!shown.iter().any(|sql| sql.contains("DROP COLUMN")), "{shown:?}");
            writers.new.store(false, Ordering::SeqCst);
            writers.go_on().await;
            site.tool.rollback("rename", None).await.unwrap();
            writers.go_on().await;
            let known = writers.stop().await;
            assert_eq!(site.database.schema().await, before, "from {phase} on {}", version.major);
            assert_eq!(site.database.scalar::<String>(grants).await, granted);
            for (id, value) in values(&site, "b").await {
                let Some(expected) = known.get(&id) else { continue };
                assert_eq!(value.as_ref(), Some(expected), "b of {id} after {phase}");
            }
            site.execute("UPDATE t SET a = 'v' || id; DELETE FROM t WHERE id > 3000; UPDATE t SET n = 0").await;
        }
        assert_values(&site, "b", &HashMap::new()).await;
        assert_eq!(site.run(None).await.unwrap(), Standing::Done);
    }
}

/// Until it is filled, a row is right as soon as anybody touches it; who writes what is there already decides.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_not_overwritten_yet_are_healed_by_any_update() {
    for version in versions_of(3) {
        let site = Site::new(&version, (TABLE, ONE_WAY), &rename("replaces: [copy_a], overwrite: true")).await;
        site.run(Some(Phase::Expand)).await.unwrap();
        let row = async |statement: &str, id: i64| -> (String, Option<String>) {
            site.execute(&format!("{statement} WHERE id = {id}")).await;
            let sql = format!("SELECT a, b FROM t WHERE id = {id}");
            sqlx::query_as(AssertSqlSafe(sql)).persistent(false).fetch_one(&site.database.pool).await.unwrap()
        };
        let pair = |value: &str| (value.to_owned(), Some(value.to_owned()));
        assert_eq!(row("UPDATE t SET n = n", 10).await, pair("v10"));
        assert_eq!(row("UPDATE t SET b = 'wrong'", 20).await, pair("wrong"));
        assert_eq!(row("UPDATE t SET a = a", 30).await, pair("v30"));
        assert_eq!(row("UPDATE t SET a = a, b = b", 40).await, pair("v40"));
        assert_eq!(row("UPDATE t SET a = 'x'", 50).await, pair("x"));
        assert_eq!(row("UPDATE t SET b = 'y'", 60).await, pair("y"));
        assert_eq!(row("UPDATE t SET n = n", 2000).await, pair("v2000"));
        site.run(Some(Phase::Verify)).await.unwrap();
        let wrong = "SELECT count(*) FROM t WHERE b IS DISTINCT FROM a";
        assert_eq!(site.database.scalar::<i64>(wrong).await, 0);
        assert_eq!(site.database.scalar::<String>("SELECT a FROM t WHERE id = 20").await, "wrong");
    }
}

const NUMBERS: &str = "
    CREATE TABLE t (id bigint PRIMARY KEY, a int NOT NULL DEFAULT 7, n int NOT NULL DEFAULT 0);
    INSERT INTO t SELECT i, i FROM generate_series(1, 2000) AS i;
    CREATE INDEX by_a ON t (a); GRANT SELECT, INSERT, UPDATE ON t TO {app};";

/// The column ends under the old one's name, with all that it had; and it goes back from there.
#[tokio::test(flavor = "multi_thread")]
async fn a_type_change_takes_over_the_column_that_swaps_names() {
    const BY_HAND: &str = "
        ALTER TABLE t ADD COLUMN a_big bigint DEFAULT 1;
        UPDATE t SET a_big = a WHERE id < 1000 AND id % 7 > 0;
        CREATE FUNCTION widen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.a_big := NEW.a; RETURN NEW; END $$;
        CREATE TRIGGER widen BEFORE INSERT OR UPDATE OF a ON t FOR EACH ROW WHEN (NEW.a > 0) EXECUTE FUNCTION widen();";
    for (reverse, using) in [("reverse: 'a_big::int'", ""), ("", "using: 'a::bigint * 2', ")] {
        let text = format!(
            "version: 1\nname: widen\ntable: t\nchanges: [{{ change_type: {{ column: a, to: bigint, {using}{reverse}{} via: a_big, adopt: {{ \
             replaces: [widen], overwrite: true }} }} }}]\ncontract: {{ grace: 0s, quiet: 0s }}\n",
            if reverse.is_empty() { "" } else { "," }
        );
        for version in versions_of(4) {
            let site = Site::new(&version, (NUMBERS, BY_HAND), &text).await;
            let before = site.database.schema().await;
            if using.is_empty() {
                site.run(Some(Phase::Switch)).await.unwrap();
                site.execute("UPDATE t SET a = 5000 WHERE id = 5").await;
                site.tool.rollback("widen", None).await.unwrap();
                assert_eq!(site.database.schema().await, before, "on {}", version.major);
                assert_eq!(site.database.scalar::<i64>("SELECT a_big FROM t WHERE id = 5").await, 5000);
            }
            assert_eq!(site.run(None).await.unwrap(), Standing::Done);
            let leaves = "CREATE FUNCTION widen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.a_big := NEW.a; RETURN NEW; END $$;";
            assert_eq!(
                site.database.schema().await,
                site.plain(&version, NUMBERS, leaves).await,
                "on {}",
                version.major
            );
            let factor = if using.is_empty() { 1 } else { 2 };
            let wrong = format!("SELECT count(*) FROM t WHERE a <> id * {factor} AND id <> 5");
            assert_eq!(site.database.scalar::<i64>(&wrong).await, 0);
        }
    }
}

/// What others do to the trigger meanwhile stops no way back.
#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_others_dropped_or_enabled_is_in_nobodys_way() {
    for version in versions_of(5) {
        let site = Site::new(&version, (TABLE, ONE_WAY), &rename("replaces: [copy_a], overwrite: true")).await;
        site.run(Some(Phase::Index)).await.unwrap();
        site.execute("ALTER TABLE t ENABLE TRIGGER copy_a").await;
        site.run(Some(Phase::Verify)).await.unwrap();
        site.execute("UPDATE t SET a = 'one' WHERE id = 1; UPDATE t SET b = 'two' WHERE id = 2").await;
        site.execute("DROP TRIGGER copy_a ON t").await;
        site.tool.rollback("rename", None).await.unwrap();
        assert_eq!(site.database.scalar::<i64>("SELECT count(*) FROM t WHERE b IS DISTINCT FROM a").await, 0);
        let again = rename("overwrite: true");
        let plan = parse("plan.yaml", &again).unwrap();
        assert_eq!(site.tool.run(&plan, &again, None).await.unwrap().state, Standing::Done);
    }
}

const FLEET: &str = "
    ALTER TABLE vehicles ADD COLUMN vehicle_status varchar(20);
    UPDATE vehicles SET vehicle_status = CASE WHEN id % 10 = 0 THEN 'wrong' ELSE status END WHERE id % 2 = 0;
    CREATE FUNCTION copy_status() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.vehicle_status := NEW.status; RETURN NEW; END $$;
    CREATE TRIGGER copy_status BEFORE INSERT OR UPDATE OF status ON vehicles FOR EACH ROW EXECUTE FUNCTION copy_status();";
const FLEET_LEAVES: &str = "
    CREATE FUNCTION copy_status() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.vehicle_status := NEW.status; RETURN NEW; END $$;";
const ADOPT_STATUS: &str = "to: vehicle_status\n      adopt: { replaces: [copy_status], overwrite: true }";

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_ledger_entry_it_goes_on_and_ends_like_alter_table() {
    let stage =
        crashes::Begun { edit: ("to: vehicle_status", ADOPT_STATUS), by_hand: FLEET, leaves: FLEET_LEAVES, own: None };
    crashes::forward_of("vehicle-status.yaml", &stage, 50).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_entry_it_rolls_back_to_what_was_found() {
    let stage =
        crashes::Begun { edit: ("to: vehicle_status", ADOPT_STATUS), by_hand: FLEET, leaves: FLEET_LEAVES, own: None };
    crashes::back_of("vehicle-status.yaml", &stage, 25).await;
}
