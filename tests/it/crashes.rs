//! SIGKILL at every ledger entry, before it commits and after, going forward and going back; then the next call goes on
//! by itself, and the end is what it would have been.

use std::path::PathBuf;
use std::time::Duration;

use crossfade::ledger::Ledger;
use crossfade::names::LedgerSchema;
use crossfade::plan::Plan;
use crossfade::run::{Action, Entry};
use crossfade::testkit::fleet;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::harness::{Cli, Database, Output, PATIENCE, contents, plain_alter, stride, wait_for, whole};

/// A database with the fleet, a plan file, and a hook that stops the tool inside the transaction of any ledger entry.
struct Stage {
    database: Database,
    connection: PgConnection,
    file: tempfile::NamedTempFile,
    plan: Plan,
}

/// A change that somebody has begun by hand before the run.
#[derive(Default)]
pub(crate) struct Begun {
    /// What becomes of what in the plan.
    pub(crate) edit: (&'static str, &'static str),
    /// What was done by hand.
    pub(crate) by_hand: &'static str,
    /// What of it plain ALTER TABLE leaves.
    pub(crate) leaves: &'static str,
    /// What makes a table of the test's own in place of the fleet, and the plan for it.
    pub(crate) own: Option<(&'static str, &'static str)>,
}

impl Begun {
    /// Makes the tables.
    async fn ground(&self, database: &Database, connection: &mut PgConnection, rows: u32) {
        if let Some((setup, _)) = self.own {
            database.execute(setup).await;
        } else {
            fleet::create(connection).await.unwrap();
            fleet::load(connection, rows).await.unwrap();
        }
    }
}

impl Stage {
    async fn new(plan: &str, rows: u32) -> Self {
        Self::begun(plan, &Begun::default(), rows).await
    }

    async fn begun(plan: &str, begun: &Begun, rows: u32) -> Self {
        let database = Database::new().await;
        let mut connection = PgConnection::connect(&database.url).await.unwrap();
        begun.ground(&database, &mut connection, rows).await;
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("plans").join(plan);
        let text = begun.own.map_or_else(|| std::fs::read_to_string(path).unwrap(), |(_, text)| text.to_owned());
        let text = text.replace("quiet: 2s", "quiet: 0s");
        let text = if begun.edit.0.is_empty() { text } else { text.replacen(begun.edit.0, begun.edit.1, 1) };
        if !begun.by_hand.is_empty() {
            database.execute(begun.by_hand).await;
        }
        let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        std::fs::write(file.path(), &text).unwrap();
        let plan = crossfade::plan::parse(plan, &text).unwrap();
        let ledger = Ledger::new(LedgerSchema::default());
        ledger.create(&mut connection).await.unwrap();
        database
            .execute(
                "CREATE TABLE public.stop_at (seq bigint, hold boolean); INSERT INTO public.stop_at VALUES (-1, false);
                 CREATE FUNCTION public.stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                   IF NEW.seq = (SELECT seq FROM public.stop_at) THEN
                     -- Each look takes a new snapshot: the function is volatile.
                     WHILE (SELECT hold FROM public.stop_at) LOOP PERFORM pg_catalog.pg_sleep(0.005); END LOOP;
                   END IF;
                   RETURN NULL;
                 END $$;
                 CREATE TRIGGER stop AFTER INSERT ON crossfade.event FOR EACH ROW EXECUTE FUNCTION public.stop()",
            )
            .await;
        Self { database, connection, file, plan }
    }

    fn run(&self) -> Cli {
        Cli::new(&self.database.url).args(["run".into(), "--yes".into(), self.file.path().as_os_str().to_owned()])
    }

    fn rollback(&self) -> Cli {
        Cli::new(&self.database.url).args(["rollback", self.plan.name.as_str(), "--yes"])
    }

    async fn hold_at(&self, seq: i64) {
        self.database.execute(&format!("UPDATE stop_at SET seq = {seq}, hold = true")).await;
    }

    async fn let_go(&self) {
        self.database.execute("UPDATE stop_at SET seq = -1, hold = false").await;
    }

    async fn entries(&self) -> i64 {
        let latest = "SELECT count(*) FROM crossfade.event WHERE run_id = (SELECT max(id) FROM crossfade.run)";
        self.database.scalar(latest).await
    }

    /// Starts `cli` and kills it inside the transaction of entry `seq`. Returns whether it got so far.
    ///
    /// The server has the whole message by then, with its COMMIT. For every other entry it first notices that nobody waits for
    /// the answer any more, and rolls back; for the others it goes on, and the effect commits with the entry, or neither does.
    async fn kill_inside(&self, cli: &Cli, seq: i64) -> bool {
        self.hold_at(seq).await;
        let mut running = cli.spawn();
        let asleep = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND application_name LIKE 'crossfade %' AND datname = current_database())";
        let held = loop {
            if self.database.scalar::<bool>(asleep).await {
                break true;
            }
            if running.has_ended() {
                break false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let output = if held { running.kill().await } else { running.wait(PATIENCE).await };
        assert!(held || output.code == Some(0), "ended by itself: {output:?}");
        if held && seq % 2 == 0 {
            self.alone().await;
            assert!(self.entries().await < seq, "an entry of a killed process was committed");
        }
        self.let_go().await;
        self.alone().await;
        held
    }

    /// Starts `cli` and kills it as soon as entry `seq` is there. Returns whether it got so far.
    async fn kill_after(&self, cli: &Cli, seq: i64) -> bool {
        let mut running = cli.spawn();
        let reached = loop {
            if self.entries().await >= seq {
                break true;
            }
            if running.has_ended() {
                break false;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        let output = if reached { running.kill().await } else { running.wait(PATIENCE).await };
        assert!(reached || output.code == Some(0), "ended by itself: {output:?}");
        self.alone().await;
        reached
    }

    /// Waits until the server has noticed that the tool is gone.
    async fn alone(&self) {
        let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'crossfade %' AND datname = current_database()";
        wait_for("the killed tool's sessions to end", PATIENCE, async || {
            self.database.scalar::<i64>(sessions).await == 0
        })
        .await;
    }

    /// The schema, without what the test itself put there.
    async fn schema(&self) -> String {
        let own = ["stop_at", "FUNCTION public.stop()"];
        let schema = self.database.schema().await;
        schema.split("\n\n").filter(|part| !own.iter().any(|name| part.contains(name))).collect::<Vec<_>>().join("\n\n")
    }

    async fn ok(&self, cli: &Cli) -> Output {
        let output = cli.run().await;
        assert_eq!(output.code, Some(0), "{output:#?}");
        output
    }

    /// A step that was found done although the log did not say so is one that no transaction can do. (An entry without its
    /// effect would have made the run drift.)
    async fn assert_no_effect_without_its_entry(&mut self) {
        let ledger = Ledger::new(LedgerSchema::default());
        let run = ledger.log().find(&mut self.connection, self.plan.name.as_str()).await.unwrap();
        for line in ledger.log().entries(&mut self.connection, run.id).await.unwrap() {
            if let Entry::StepDone { step, adopted: true } = line.entry {
                let action = &run.program.step(&step).unwrap().action;
                assert!(matches!(action, Action::Concurrent { .. }), "{step} was done without its entry");
            }
        }
    }

    /// The end is what ALTER TABLE gives, and the last check was clean.
    async fn assert_done(&mut self, begun: &Begun, rows: u32) {
        let leaves = begun.leaves;
        let twin = Database::new().await;
        let mut connection = PgConnection::connect(&twin.url).await.unwrap();
        begun.ground(&twin, &mut connection, rows).await;
        for statement in plain_alter(&self.plan) {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
        }
        if !leaves.is_empty() {
            twin.execute(leaves).await;
        }
        assert_eq!(self.schema().await, twin.schema().await);
        if begun.own.is_some() {
            let rows = format!(
                "SELECT string_agg(to_jsonb(x)::text, ' ' ORDER BY to_jsonb(x)::text) FROM {} x",
                self.plan.table.sql()
            );
            assert_eq!(self.database.scalar::<String>(&rows).await, twin.scalar::<String>(&rows).await);
        } else {
            assert_eq!(contents(&mut self.connection, &self.plan).await, contents(&mut connection, &self.plan).await);
        }
        let last =
            "SELECT (SELECT empty + different + unconverted FROM crossfade.verification ORDER BY id DESC LIMIT 1)";
        let bad: Option<i64> = self.database.scalar(last).await;
        assert_eq!(bad, self.plan.pairs().next().map(|_| 0));
    }
}

/// Killed twice at every entry, a run still ends like ALTER TABLE. There are at least so many kills.
pub(crate) async fn forward(plan: &str, least: usize) {
    forward_of(plan, &Begun::default(), least).await;
}

/// The same where somebody has begun.
pub(crate) async fn forward_of(plan: &str, begun: &Begun, least: usize) {
    const ROWS: u32 = 3_000;
    let mut stage = Stage::begun(plan, begun, ROWS).await;
    let run = stage.run();
    let mut kills = 0;
    loop {
        let next = stage.entries().await + 1;
        if !stage.kill_inside(&run, next).await {
            break;
        }
        kills += 1;
        if !stage.kill_after(&run, next).await {
            break;
        }
        kills += 1;
        if kills >= 4 * least {
            let newest = "SELECT string_agg(left(entry::text, 300), E'\\n' ORDER BY seq) FROM (SELECT * FROM crossfade.event ORDER BY seq DESC LIMIT 8) AS e";
            panic!("each call adds an entry, and gets no further:\n{}", stage.database.scalar::<String>(newest).await);
        }
    }
    assert!(kills >= least, "only {kills} kills");
    stage.ok(&run).await;
    stage.assert_no_effect_without_its_entry().await;
    stage.assert_done(begun, ROWS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rename_killed_at_every_ledger_entry_goes_on_and_ends_like_alter_table() {
    forward("vehicle-status.yaml", 50).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_change_killed_at_every_ledger_entry_goes_on_and_ends_like_alter_table() {
    forward("license-plate.yaml", 50).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_change_of_an_inherited_column_killed_at_every_ledger_entry_goes_on_and_ends_like_alter_table() {
    // A child of the table, which has declared the column itself, with what it has alone.
    let by_hand = "CREATE TABLE heir (license_plate varchar(20), more int) INHERITS (vehicles); CREATE INDEX of_heir ON heir (license_plate, more);
        ALTER TABLE heir ADD CONSTRAINT own CHECK (license_plate <> 'x'); COMMENT ON COLUMN heir.license_plate IS 'of heir';
        CREATE VIEW over_heir AS SELECT license_plate, more FROM heir";
    let leaves = "CREATE TABLE heir (license_plate varchar(10), more int) INHERITS (vehicles); CREATE INDEX of_heir ON heir (license_plate, more);
        ALTER TABLE heir ADD CONSTRAINT own CHECK (license_plate <> 'x'); COMMENT ON COLUMN heir.license_plate IS 'of heir';
        CREATE VIEW over_heir AS SELECT license_plate, more FROM heir";
    forward_of("license-plate.yaml", &Begun { by_hand, leaves, ..Begun::default() }, 50).await;
}

/// Killed at random moments in the backfill, while an application writes: what was committed stays, what was not is done
/// again, and every row is right in the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_killed_at_random_moments_misses_no_row() {
    const ROWS: u32 = 40_000;
    let stage = Stage::new("vehicle-status.yaml", ROWS).await;
    let text = std::fs::read_to_string(stage.file.path()).unwrap();
    let slow = text.replace("batch_target: 25ms", "max_rows_per_second: 1000\n  batch_target: 10ms");
    assert_ne!(slow, text);
    std::fs::write(stage.file.path(), slow).unwrap();
    let run = stage.run();
    let filled = "SELECT COALESCE(sum(rows), 0)::bigint FROM crossfade.page_window";
    let mut kills = 0;
    let enough = if whole() { 15 } else { 7 };
    while kills < enough {
        let before = stage.database.scalar::<i64>(filled).await;
        let running = run.spawn();
        let more = before + rand::random_range(1..400);
        wait_for("the backfill to go on", PATIENCE, async || stage.database.scalar::<i64>(filled).await >= more).await;
        tokio::time::sleep(Duration::from_micros(rand::random_range(0..8_000))).await;
        running.kill().await;
        kills += 1;
        // The application goes on meanwhile: rows move, and the trigger fills those that are touched.
        stage.database.execute("UPDATE vehicles SET weight = weight + 1 WHERE id % 97 = 0").await;
        stage.alone().await;
    }
    assert!(stage.database.scalar::<i64>(filled).await < i64::from(ROWS), "too fast to be killed {kills} times");
    stage.ok(&Cli::new(&stage.database.url).args(["tune", "vehicle-status", "max_rows_per_second=off"])).await;
    stage.ok(&run).await;
    let bad = "SELECT sum(empty + different + unconverted)::bigint FROM crossfade.verification";
    assert_eq!(stage.database.scalar::<i64>(bad).await, 0);
    let total = format!("SELECT count(vehicle_status) = {ROWS} FROM vehicles");
    assert!(stage.database.scalar::<bool>(&total).await);
}

/// From every entry before the drop (every third, in a part of the tests), a killed run can be rolled back, and the rollback survives being killed as well. There are
/// more than so many entries.
pub(crate) async fn back(plan: &str, least: i64) {
    back_of(plan, &Begun::default(), least).await;
}

/// The same where somebody has begun.
pub(crate) async fn back_of(plan: &str, begun: &Begun, least: i64) {
    let stage = Stage::begun(plan, begun, 500).await;
    let before = stage.schema().await;
    let (run, rollback) = (stage.run(), stage.rollback());
    let mut at = 1;
    loop {
        // Each run of the plan starts a new log.
        let goal = at + 1;
        if !stage.kill_inside(&run, goal).await {
            break;
        }
        let dropped: i64 = stage
            .database
            .scalar("SELECT count(*) FROM crossfade.event WHERE entry ->> 'step' = 'contract.drop' AND entry ->> 'kind' = 'step_done'")
            .await;
        if dropped > 0 {
            // The point of no return: from here on it only goes forward.
            break;
        }
        let seq = stage.entries().await;
        // Killed two and three entries into the way back as well, where it has so many; in a part of the tests, in turns.
        for ahead in if whole() { vec![2, 3] } else { vec![2 + at % 2] } {
            let _ = stage.kill_inside(&rollback, seq + ahead).await;
        }
        let output = rollback.run().await;
        assert_eq!(output.code, Some(0), "rollback after entry {at}: {output:#?}");
        assert_eq!(stage.schema().await, before, "after entry {at}");
        // A short run has no entry to leave out.
        at += if least < 10 { 1 } else { stride() };
    }
    assert!(at > least, "only {at} entries");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rename_killed_at_any_entry_rolls_back_to_what_was_before() {
    back("vehicle-status.yaml", 25).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_change_killed_at_any_entry_rolls_back_to_what_was_before() {
    back("license-plate.yaml", 25).await;
}
