//! The kinds of change without two columns: what they refuse, what they leave alone, and every way back.

mod refused;

use crossfade::plan::Plan;
use crossfade::run::{Phase, Standing};
use crossfade::runner::{Error, Tool};
use crossfade::testkit::fleet;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::crashes;
use crate::harness::{
    Cli, Database, PATIENCE, Version, long_versions, plain_alter, tool, versions, versions_of, wait_for,
};
use crate::steps::{each_step_failed, each_step_twice};

const FILES: [&str; 5] =
    ["add-region.yaml", "drop-column.yaml", "add-index.yaml", "drop-index.yaml", "add-constraints.yaml"];

/// A fleet and a plan for it.
struct Fleet {
    database: Database,
    plan: Plan,
    text: String,
    tool: Tool,
}

impl Fleet {
    async fn new(version: &Version, text: &str) -> Self {
        let database = Database::on(version).await;
        let mut connection = PgConnection::connect(&database.url).await.unwrap();
        fleet::create(&mut connection).await.unwrap();
        fleet::load(&mut connection, 500).await.unwrap();
        let plan = crossfade::plan::parse("plan.yaml", text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        let tool = tool(&database.url);
        Self { database, plan, text: text.to_owned(), tool }
    }

    async fn ready(version: &Version, file: &str) -> Self {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("plans").join(file);
        let text = std::fs::read_to_string(path).unwrap().replace("quiet: 2s", "quiet: 0s");
        Self::new(version, &text).await
    }

    /// A plan for the fleet with these changes.
    async fn of(version: &Version, changes: &[&str]) -> Self {
        let changes = format!("  - {}\n", changes.join("\n  - "));
        let contract = match (changes.contains("rename_column"), changes.contains("drop_column")) {
            (true, _) => "contract: { grace: 0s, quiet: 0s }",
            (false, true) => "contract: { grace: 0s }",
            (false, false) => "",
        };
        let text = format!("version: 1\nname: kinds\ntable: public.vehicles\nchanges:\n{changes}{contract}\n");
        Self::new(version, &text).await
    }

    async fn run(&self, to: Option<Phase>) -> Standing {
        self.tool.run(&self.plan, &self.text, to).await.unwrap_or_else(|error| panic!("{}: {error}", self.text)).state
    }

    async fn rollback(&self, to: Option<Phase>) -> Result<Standing, Error> {
        Ok(self.tool.rollback(self.plan.name.as_str(), to).await?.state)
    }

    async fn phases(&self) -> Vec<Phase> {
        let preview = self.tool.preview(&self.plan).await.unwrap();
        assert!(preview.refusals.is_empty(), "{:?}", preview.refusals);
        preview.program.unwrap().phases
    }

    async fn schema_of_plain_alter(&self, version: &Version) -> String {
        let twin = Database::on(version).await;
        let mut connection = PgConnection::connect(&twin.url).await.unwrap();
        fleet::create(&mut connection).await.unwrap();
        for statement in plain_alter(&self.plan) {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
        }
        twin.schema().await
    }

    fn cli(&self, args: &[&str]) -> Cli {
        Cli::new(&self.database.url).args(args.iter().copied())
    }
}

/// From the end of each phase but the last, which ends the run, it rolls back to the schema that it began with, or to the end
/// of the phase before; then it goes to its end.
#[tokio::test(flavor = "multi_thread")]
async fn every_kind_rolls_back_from_the_end_of_every_phase() {
    for version in long_versions() {
        for file in FILES {
            let fleet = Fleet::ready(&version, file).await;
            let before = fleet.database.schema().await;
            let phases = fleet.phases().await;
            for (at, phase) in phases.iter().enumerate().take(phases.len() - 1) {
                fleet.run(Some(*phase)).await;
                assert_eq!(fleet.rollback(None).await.unwrap(), Standing::RolledBack, "{file} {phase}");
                assert_eq!(fleet.database.schema().await, before, "{file} from {phase} on {}", version.major);
                let Some(earlier) = at.checked_sub(1).map(|earlier| phases[earlier]) else { continue };
                fleet.run(Some(earlier)).await;
                let there = fleet.database.schema().await;
                fleet.run(Some(*phase)).await;
                fleet.rollback(Some(earlier)).await.unwrap();
                assert_eq!(fleet.database.schema().await, there, "{file} from {phase} to {earlier}");
                fleet.rollback(None).await.unwrap();
                assert_eq!(fleet.database.schema().await, before, "{file} from {earlier} on {}", version.major);
            }
            assert_eq!(fleet.run(None).await, Standing::Done, "{file}");
            assert_eq!(fleet.database.schema().await, fleet.schema_of_plain_alter(&version).await, "{file}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_with_every_step_failed_once_ends_like_alter_table() {
    for version in long_versions() {
        for file in FILES {
            each_step_failed(&version, file).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_with_every_step_done_twice_ends_like_alter_table() {
    for version in long_versions() {
        for file in FILES {
            each_step_twice(&version, file).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_killed_at_every_ledger_entry_goes_on_and_ends_like_alter_table() {
    for (file, least) in FILES.into_iter().zip([15, 6, 8, 3, 15]) {
        crashes::forward(file, least).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_killed_at_any_entry_rolls_back_to_what_was_before() {
    for (file, least) in FILES.into_iter().zip([8, 2, 4, 1, 8]) {
        crashes::back(file, least).await;
    }
}

const ALL: [&str; 8] = [
    "rename_column: { from: fuel, to: fuel_kind }",
    "add_index: { name: idx_public_id, columns: [public_id, region], unique: true }",
    "add_column: { name: public_id, type: uuid, default: gen_random_uuid(), not_null: true }",
    "add_column: { name: region, type: text, default: \"'eu'\" }",
    "drop_column: { column: status }",
    "add_constraint: { name: region_check, check: region <> '' }",
    "add_constraint: { name: fuel_kind_check, check: length(fuel_kind) > 1 }",
    "add_constraint: { not_null: fuel_kind }",
];

#[tokio::test(flavor = "multi_thread")]
async fn several_kinds_together_end_like_alter_table_and_roll_back() {
    for version in versions_of(1) {
        let fleet = Fleet::of(&version, &ALL).await;
        let before = fleet.database.schema().await;
        for phase in [Phase::Expand, Phase::Index, Phase::Backfill, Phase::Verify, Phase::Switch] {
            fleet.run(Some(phase)).await;
            assert_eq!(fleet.rollback(None).await.unwrap(), Standing::RolledBack);
            assert_eq!(fleet.database.schema().await, before, "{phase}");
        }
        assert_eq!(fleet.run(None).await, Standing::Done);
        // Plain ALTER makes the index before its columns if it is told to.
        let mut twin = Fleet::of(&version, &[ALL[0], ALL[2], ALL[3], ALL[1], ALL[4], ALL[5], ALL[6], ALL[7]]).await;
        twin.plan.name = fleet.plan.name.clone();
        assert_eq!(fleet.database.schema().await, twin.schema_of_plain_alter(&version).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_has_only_the_phases_that_it_needs() {
    let version = versions().remove(0);
    for (change, phases) in [
        ("add_column: { name: a, type: int }", vec![Phase::Expand]),
        ("add_column: { name: a, type: int, default: \"7\", not_null: true }", vec![Phase::Expand]),
        ("add_column: { name: a, type: uuid, default: gen_random_uuid() }", vec![Phase::Expand, Phase::Backfill]),
        ("drop_column: { column: fuel }", vec![Phase::Contract]),
        ("add_index: { name: i, columns: [fuel] }", vec![Phase::Index]),
        ("drop_index: { name: idx_vehicles_status }", vec![Phase::Contract]),
        ("add_constraint: { name: c, check: weight >= 0 }", vec![Phase::Verify]),
        ("add_constraint: { name: c, unique: [vin, fuel] }", vec![Phase::Index]),
    ] {
        let fleet = Fleet::of(&version, &[change]).await;
        let before = fleet.database.schema().await;
        assert_eq!(fleet.phases().await, phases, "{change}");
        // A phase that it does not have: everything before it, and nothing after.
        let state = fleet.run(Some(Phase::Switch)).await;
        let expected = if phases == [Phase::Contract] { Standing::Waiting } else { Standing::Done };
        assert_eq!(state, expected, "{change}");
        if expected == Standing::Waiting {
            assert_eq!(fleet.database.schema().await, before);
            assert_eq!(fleet.run(None).await, Standing::Done);
        }
    }
}

/// Constraints that wait for the end of the transaction, and NULLs that count as equal.
#[tokio::test(flavor = "multi_thread")]
async fn deferrable_constraints_end_like_alter_table_and_roll_back() {
    for version in versions_of(2) {
        let nulls = if version.major < 15 { "" } else { ", nulls_not_distinct: true" };
        let unique =
            format!("add_constraint: {{ name: vin_key, unique: [vin, id]{nulls}, deferrable: initially_deferred }}");
        let key = "add_constraint: { name: depot_fk, foreign_key: { columns: [depot_id], references: depots, deferrable: deferrable } }";
        let fleet = Fleet::of(&version, &[unique.as_str(), key]).await;
        let before = fleet.database.schema().await;
        for phase in fleet.phases().await {
            fleet.run(Some(phase)).await;
            if fleet.tool.status("kinds").await.unwrap().state == Standing::Done {
                break;
            }
            fleet.rollback(None).await.unwrap();
            assert_eq!(fleet.database.schema().await, before, "{phase} on {}", version.major);
        }
        assert_eq!(fleet.database.schema().await, fleet.schema_of_plain_alter(&version).await, "on {}", version.major);
        let deferred =
            "SELECT string_agg(conname || condeferrable || condeferred, ' ' ORDER BY conname) FROM pg_constraint
             WHERE conname IN ('vin_key', 'depot_fk')";
        assert_eq!(fleet.database.scalar::<String>(deferred).await, "depot_fktruefalse vin_keytruetrue");
    }
}

/// What is not there cannot be gone back to, and is not taken for the end of the run.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_to_a_phase_that_a_run_does_not_have_is_refused() {
    let version = versions().remove(0);
    let fleet = Fleet::of(&version, &["add_column: { name: a, type: int }", "drop_column: { column: fuel }"]).await;
    fleet.run(Some(Phase::Expand)).await;
    let error = fleet.rollback(Some(Phase::Index)).await.unwrap_err().to_string();
    assert_eq!(error, "run kinds has no phase index; its phases are expand, contract");
    assert_eq!(fleet.run(None).await, Standing::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_says_that_there_is_nothing_to_compare() {
    let version = versions().remove(0);
    let fleet = Fleet::of(&version, &["add_index: { name: i, columns: [fuel] }"]).await;
    fleet.run(None).await;
    let output = fleet.cli(&["verify", "kinds"]).run().await;
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stderr.contains("run kinds keeps no two columns equal"), "{output:?}");
    let status = fleet.cli(&["status", "kinds"]).run().await.stdout;
    assert!(!status.contains("old column") && !status.contains("not yet"), "{status}");
}

/// A default that PostgreSQL keeps in its catalog: the table gets no new file, and nobody reads it.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_with_a_constant_default_touches_no_row() {
    for version in versions_of(3) {
        let fleet = Fleet::of(
            &version,
            &[
                "add_column: { name: a, type: \"numeric(10,2)\", default: \"1 + 2\", not_null: true }",
                "add_column: { name: b, type: timestamptz, default: now(), not_null: true }",
                "add_column: { name: c, type: text, default: \"NULL\" }",
            ],
        )
        .await;
        let look = "SELECT relfilenode::bigint + (SELECT count(DISTINCT xmin::text) FROM vehicles) FROM pg_class WHERE oid = 'vehicles'::regclass";
        let before: i64 = fleet.database.scalar(look).await;
        assert_eq!(fleet.phases().await, [Phase::Expand]);
        fleet.run(None).await;
        assert_eq!(fleet.database.scalar::<i64>(look).await, before);
        assert!(
            fleet.database.scalar::<bool>("SELECT bool_and(a = 3 AND b IS NOT NULL AND c IS NULL) FROM vehicles").await
        );
        assert_eq!(fleet.database.schema().await, fleet.schema_of_plain_alter(&version).await);
    }
}

/// Rows that move while they are filled are filled all the same, and those that have a value keep it.
#[tokio::test(flavor = "multi_thread")]
async fn the_backfill_of_a_default_misses_no_row_and_leaves_values_alone() {
    let version = versions().remove(0);
    let fleet = Fleet::ready(&version, "add-region.yaml").await;
    fleet.run(Some(Phase::Expand)).await;
    // A release sets some; others move to the end of the table before the backfill has seen them.
    fleet
        .database
        .execute(
            "UPDATE vehicles SET public_id = '00000000-0000-0000-0000-00000000002a' WHERE id = 7;
             UPDATE vehicles SET telemetry = repeat('x', 1500) WHERE id % 3 = 0;
             INSERT INTO vehicles (vin, depot_id) VALUES ('new', 1);",
        )
        .await;
    let moved = "SELECT count(*) FROM vehicles WHERE id % 3 = 0 AND id <= 500 AND public_id IS NULL";
    assert_eq!(fleet.database.scalar::<i64>(moved).await, 0, "the trigger fills what is written");
    let set =
        "SELECT string_agg(xmin::text || public_id::text, ',' ORDER BY id) FROM vehicles WHERE public_id IS NOT NULL";
    let before: String = fleet.database.scalar(set).await;
    let there = "CREATE TABLE there AS SELECT id, xmin::text AS x, public_id FROM vehicles WHERE public_id IS NOT NULL";
    fleet.database.execute(there).await;
    fleet.run(Some(Phase::Backfill)).await;
    let same =
        "SELECT string_agg(v.xmin::text || v.public_id::text, ',' ORDER BY id) FROM vehicles v JOIN there USING (id)";
    assert_eq!(fleet.database.scalar::<String>(same).await, before, "a row with a value was written");
    assert!(fleet.database.scalar::<bool>("SELECT count(DISTINCT public_id) = count(*) FROM vehicles").await);
    assert_eq!(fleet.run(None).await, Standing::Done);
}

/// Indexes with everything that an index can have go, also of a column that the same plan renames, and come back as they were.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_index_comes_back_as_it_was() {
    for version in versions_of(4) {
        let text = "version: 1\nname: kinds\ntable: public.vehicles\nchanges:\n  - drop_index: { name: i }\n  - rename_column: { from: fuel, to: fuel_kind }\n  - drop_index: { name: u }\n";
        let fleet = Fleet::new(&version, &format!("{text}contract: {{ grace: 1d, quiet: 0s }}\n")).await;
        fleet
            .database
            .execute(
                "CREATE INDEX i ON vehicles USING btree (lower(fuel) COLLATE \"C\" DESC, weight) INCLUDE (vin) WITH (fillfactor = 70) WHERE weight > 0;
                 COMMENT ON INDEX i IS 'it''s ours'; ALTER INDEX i ALTER COLUMN 1 SET STATISTICS 300;
                 CREATE UNIQUE INDEX u ON vehicles (vin, fuel); ALTER TABLE vehicles CLUSTER ON u;
                 SET enable_seqscan = off; SELECT count(*) FROM vehicles WHERE vin = 'x' AND fuel = 'y'; SELECT pg_sleep(0)",
            )
            .await;
        let used = "SELECT pg_stat_get_numscans('u'::regclass) > 0";
        wait_for("the scan is counted", PATIENCE, async || fleet.database.scalar::<bool>(used).await).await;
        let warnings = format!("{:?}", fleet.tool.preview(&fleet.plan).await.unwrap().warnings);
        assert!(warnings.contains("catalog::index_used") && warnings.contains("catalog::unique_index"), "{warnings}");
        let before = fleet.database.schema().await;
        let there = "SELECT count(*) FROM pg_class WHERE relname IN ('i', 'u')";
        for _ in 0..2 {
            assert!(matches!(fleet.tool.run(&fleet.plan, &fleet.text, None).await, Err(Error::NotYet(_))));
            assert_eq!(fleet.database.scalar::<i64>(there).await, 0);
            assert_eq!(fleet.rollback(None).await.unwrap(), Standing::RolledBack);
            assert_eq!(fleet.database.schema().await, before, "on {}", version.major);
        }
        fleet.tool.run(&fleet.plan, &fleet.text, None).await.unwrap_err();
        assert_eq!(fleet.cli(&["tune", "kinds", "grace=0s"]).run().await.code, Some(0));
        assert_eq!(fleet.run(None).await, Standing::Done);
        assert_eq!(fleet.database.schema().await, fleet_without(&version, &fleet.plan).await, "on {}", version.major);
    }
}

/// The fleet after plain ALTER, which never had the indexes.
async fn fleet_without(version: &Version, plan: &Plan) -> String {
    let twin = Database::on(version).await;
    let mut connection = PgConnection::connect(&twin.url).await.unwrap();
    fleet::create(&mut connection).await.unwrap();
    for statement in plain_alter(plan).into_iter().filter(|statement| !statement.starts_with("DROP INDEX")) {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    }
    twin.schema().await
}

/// A column that is dropped takes inserts that do not name it; the way back says what is in its way, and goes on then.
#[tokio::test(flavor = "multi_thread")]
async fn a_retired_column_takes_rows_without_it_and_comes_back() {
    for version in versions_of(5) {
        let text = "version: 1\nname: kinds\ntable: public.vehicles\nchanges:\n  - drop_column: { column: vin }\n  - drop_column: { column: weight }\n";
        let fleet = Fleet::new(&version, &format!("{text}contract: {{ grace: 1d }}\n")).await;
        fleet.database.execute("ALTER TABLE vehicles ALTER COLUMN vin SET DEFAULT 'none'").await;
        let before = fleet.database.schema().await;
        let retired = async || match fleet.tool.run(&fleet.plan, &fleet.text, None).await {
            Err(Error::NotYet(_)) => {}
            other => panic!("{other:?}"),
        };
        retired().await;
        // NOT NULL is gone; a default that is not unique stays, a unique one does not.
        fleet.database.execute("INSERT INTO vehicles (depot_id) VALUES (1), (2)").await;
        let column = format!("cf_{}_old_vin", tag(&fleet).await);
        let inserted = format!("SELECT count(*) FROM vehicles WHERE \"{column}\" IS NULL");
        assert_eq!(fleet.database.scalar::<i64>(&inserted).await, 2);
        let weight = format!("SELECT count(*) FROM vehicles WHERE \"cf_{}_old_weight\" = 0", tag(&fleet).await);
        assert!(fleet.database.scalar::<i64>(&weight).await >= 2);
        let there = fleet.database.schema().await;
        let error = fleet.rollback(None).await.unwrap_err().to_string();
        assert!(
            error.starts_with("column \"cf_")
                && error.contains("of public.vehicles has no value in 2 rows, and was NOT NULL"),
            "{error}"
        );
        assert_eq!(fleet.database.schema().await, there, "it was refused before anything was undone");
        fleet.database.execute("INSERT INTO vehicles (depot_id) VALUES (3)").await;
        fleet
            .database
            .execute(&format!("UPDATE vehicles SET \"{column}\" = 'n' || id WHERE \"{column}\" IS NULL"))
            .await;
        assert_eq!(fleet.rollback(None).await.unwrap(), Standing::RolledBack);
        assert_eq!(fleet.database.schema().await, before, "on {}", version.major);
    }
}

async fn tag(fleet: &Fleet) -> String {
    fleet.tool.stored(fleet.plan.name.as_str()).await.unwrap().1.tag.to_string()
}

/// A way back that was killed between the proof and the renaming is done again.
#[tokio::test(flavor = "multi_thread")]
async fn the_way_back_of_a_retired_column_can_be_repeated() {
    for version in versions_of(6) {
        let fleet = Fleet::ready(&version, "drop-column.yaml").await;
        let text = fleet.text.replace("grace: 0s", "grace: 1d");
        let fleet = Fleet { plan: crossfade::plan::parse("p", &text).unwrap(), text, ..fleet };
        let before = fleet.database.schema().await;
        fleet.tool.run(&fleet.plan, &fleet.text, None).await.unwrap_err();
        let stop = "CREATE FUNCTION public.stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
              IF NEW.entry ->> 'kind' = 'step_undone' AND NEW.entry ->> 'step' = 'contract.retire' THEN RAISE EXCEPTION 'refused by the test'; END IF;
              RETURN NEW;
            END $$;
            CREATE TRIGGER stop BEFORE INSERT ON crossfade.event FOR EACH ROW EXECUTE FUNCTION public.stop()";
        fleet.database.execute(stop).await;
        for _ in 0..2 {
            let error = fleet.rollback(None).await.unwrap_err().to_string();
            assert!(error.contains("refused by the test"), "{error}");
        }
        fleet.database.execute("DROP TRIGGER stop ON crossfade.event; DROP FUNCTION public.stop()").await;
        assert_eq!(fleet.rollback(None).await.unwrap(), Standing::RolledBack);
        assert_eq!(fleet.database.schema().await, before);
    }
}

/// Undoing a foreign key takes its strongest locks at once, and lets go of what it cannot get quickly.
#[tokio::test(flavor = "multi_thread")]
async fn the_undo_of_a_foreign_key_deadlocks_with_nobody() {
    let version = versions().remove(0);
    let key = "add_constraint: { name: k, foreign_key: { columns: [depot_id], references: depots } }";
    let fleet = Fleet::of(&version, &[key, "drop_column: { column: fuel }"]).await;
    fleet.run(Some(Phase::Verify)).await;
    // An application that has read both tables, and then writes: it would wait for a weak lock, and block the strong one.
    let mut application = PgConnection::connect(&fleet.database.url).await.unwrap();
    // It looks for deadlocks long before the tool gives up.
    let first =
        ["SET deadlock_timeout = '10ms'", "BEGIN", "SELECT FROM vehicles LIMIT 1", "SELECT FROM depots LIMIT 1"];
    for sql in first {
        sqlx::raw_sql(sql).execute(&mut application).await.unwrap();
    }
    let back = tokio::spawn({
        let tool = tool(&fleet.database.url);
        async move { tool.rollback("kinds", None).await }
    });
    let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'crossfade %' AND wait_event_type = 'Lock'
         AND datname = current_database())";
    wait_for("the tool to wait for its lock", PATIENCE, async || fleet.database.scalar(waits).await).await;
    for sql in
        ["INSERT INTO vehicles (vin, depot_id) VALUES ('x', 1)", "UPDATE depots SET name = 'x' WHERE id = 1", "COMMIT"]
    {
        sqlx::raw_sql(sql).execute(&mut application).await.unwrap();
    }
    assert_eq!(back.await.unwrap().unwrap().state, Standing::RolledBack);
    let strongest = "SELECT count(*) FROM pg_stat_database WHERE datname = current_database() AND deadlocks > 0";
    assert_eq!(fleet.database.scalar::<i64>(strongest).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_not_null_constraint_gets_the_name_that_postgresql_gives_it() {
    let long = "a_column_with_a_name_that_is_very_long_indeed_so_that_it_is_cut";
    for version in versions_of(7) {
        let fleet = Fleet::of(
            &version,
            &[
                &format!("add_column: {{ name: {long}, type: float8, default: random(), not_null: true }}"),
                "add_column: { name: taken, type: float8, default: random(), not_null: true }",
                "rename_column: { from: fuel, to: fuel_kind }",
                "add_constraint: { not_null: fuel_kind }",
            ],
        )
        .await;
        let other = "CREATE TABLE other (a int CONSTRAINT vehicles_taken_not_null CHECK (a > 0))";
        fleet.database.execute(other).await;
        fleet.run(None).await;
        let twin = Database::on(&version).await;
        let mut connection = PgConnection::connect(&twin.url).await.unwrap();
        fleet::create(&mut connection).await.unwrap();
        for statement in std::iter::once(other.to_owned()).chain(plain_alter(&fleet.plan)) {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
        }
        assert_eq!(fleet.database.schema().await, twin.schema().await, "on {}", version.major);
    }
}

/// Two runs keep off each other's columns and names.
#[tokio::test(flavor = "multi_thread")]
async fn two_runs_do_not_share_a_column_or_a_name() {
    let version = versions().remove(0);
    let fleet = Fleet::of(&version, &[ALL[0], "add_constraint: { name: c, check: weight >= 0 }"]).await;
    fleet.run(Some(Phase::Expand)).await;
    let refused = [
        ("add_index: { name: i, columns: [fuel] }", "column fuel"),
        ("add_constraint: { name: c, check: weight >= 1 }", "index or constraint c"),
        ("drop_column: { column: fuel }", "column fuel"),
    ];
    for (change, what) in refused {
        let text = format!("version: 1\nname: other\ntable: vehicles\nchanges:\n  - {change}\n");
        let plan = crossfade::plan::parse("p", &text).unwrap();
        let error = fleet.tool.run(&plan, &text, None).await.unwrap_err().to_string();
        assert!(error.contains(&format!("run kinds is working on {what} of this table")), "{error}");
    }
}

/// The dry run speaks of what there is: a plan without two columns has no old one.
#[tokio::test(flavor = "multi_thread")]
async fn the_dry_run_of_every_kind_speaks_of_what_it_does() {
    let version = versions().remove(0);
    let heads = [
        "expand: add the new column\n",
        "contract: retire the column, then drop it\n",
        "index: build the indexes\n",
        "contract: drop the indexes\n",
        "verify: prove the constraints\n",
    ];
    let ends = [
        "crossfade rollback can undo everything.",
        "Point of no return: contract.drop (drop column status (renamed to cf_",
        "crossfade rollback can undo everything.",
        "crossfade rollback can undo everything.",
        "crossfade rollback can undo everything.",
    ];
    for ((file, head), end) in FILES.into_iter().zip(heads).zip(ends) {
        let fleet = Fleet::ready(&version, file).await;
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("plans").join(file);
        let output = fleet.cli(&["plan", path.to_str().unwrap()]).run().await;
        assert_eq!(output.code, Some(0), "{output:?}");
        let said = &output.stdout;
        assert!(said.contains(head) && said.contains(end), "{said}");
        assert!(!["NaN", " inf", "old column", "No new column"].iter().any(|word| said.contains(word)), "{said}");
        let rows = usize::from(file == "add-region.yaml");
        assert_eq!(said.matches("cost: 500 rows to fill").count(), rows, "{said}");
    }
}
