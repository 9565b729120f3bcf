//! `crossfade cleanup`, and what happens when somebody drops the ledger in the middle of a run.

use crossfade::testkit::fleet;
use nix::sys::signal::Signal;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};

use crate::harness::{CRAWL, Cli, Database, Output, PATIENCE, Terminal, versions_of, wait_for};

struct Stage {
    database: Database,
    plan: tempfile::NamedTempFile,
}

impl Stage {
    async fn new(database: Database, more: &str) -> Self {
        let mut connection = PgConnection::connect(&database.url).await.unwrap();
        fleet::create(&mut connection).await.unwrap();
        fleet::load(&mut connection, 2000).await.unwrap();
        let plan = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        let text = format!(
            "version: 1\nname: retype\ntable: public.vehicles\nchanges:\n  - change_type: {{ column: fuel, to: text, via: fuel_v2, using: upper(fuel), reverse: lower(fuel_v2) }}\n\
             contract: {{ quiet: 0s, grace: 0s }}\n{more}"
        );
        std::fs::write(plan.path(), text).unwrap();
        Self { database, plan }
    }

    fn path(&self) -> &str {
        self.plan.path().to_str().unwrap()
    }

    async fn ends(&self, code: i32, args: &[&str]) -> Output {
        let output = Cli::new(&self.database.url).args(args.iter().copied()).run().await;
        assert_eq!(output.code, Some(code), "{args:?}: {output:#?}");
        output
    }

    async fn has_ledger(&self) -> bool {
        self.database.scalar("SELECT to_regnamespace('crossfade') IS NOT NULL").await
    }

    /// What is left of crossfade's names in the database.
    async fn left(&self) -> String {
        let sql = "SELECT coalesce(string_agg(name, ' ' ORDER BY name), '') FROM (
                     SELECT attname::text AS name FROM pg_attribute WHERE attrelid = 'vehicles'::regclass
                     UNION ALL SELECT tgname FROM pg_trigger UNION ALL SELECT conname FROM pg_constraint
                     UNION ALL SELECT relname FROM pg_class WHERE relkind = 'i' UNION ALL SELECT nspname FROM pg_namespace) AS of
                   WHERE name ~ '^cf_|crossfade'";
        self.database.scalar(sql).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_once_no_run_is_active_and_somebody_agrees() {
    for version in versions_of(2) {
        let stage = Stage::new(Database::on(&version).await, "").await;
        let before = stage.database.schema().await;
        let nothing = stage.ends(0, &["cleanup"]).await;
        assert!(nothing.stdout.starts_with("there is nothing of crossfade to remove"), "{nothing:#?}");
        stage.ends(0, &["run", stage.path(), "--to", "verify"]).await;
        for args in [&["cleanup"][..], &["cleanup", "--yes"]] {
            let refused = stage.ends(5, args).await;
            assert!(
                refused.stderr.contains("cleanup::active") && refused.stderr.contains("run retype has not ended"),
                "{refused:#?}"
            );
        }
        stage.ends(0, &["rollback", "retype", "--yes"]).await;
        let asked = stage.ends(5, &["cleanup", "--format", "json"]).await;
        let asked: Value = serde_json::from_str(asked.stderr.lines().last().unwrap()).unwrap();
        let drops = asked["error"]["gate"]["drops"].as_array().unwrap();
        assert_eq!(drops.last().unwrap(), "DROP SCHEMA \"crossfade\"", "{asked}");
        assert!(stage.has_ledger().await);

        // What others have made is not dropped: neither in the schema, nor what stands on it.
        for other in ["VIEW public.mine AS SELECT name FROM crossfade.run", "TABLE crossfade.mine (id int)"] {
            stage.database.execute(&format!("CREATE {other}")).await;
            let refused = stage.ends(4, &["cleanup", "--yes"]).await;
            assert!(refused.stderr.contains("mine"), "{refused:#?}");
            let (kind, name) = (other.split(' ').next().unwrap(), other.split(' ').nth(1).unwrap());
            stage.database.execute(&format!("DROP {kind} {name}")).await;
        }
        stage.ends(0, &["history", "retype"]).await;

        let mut terminal = Terminal::run(&stage.database.url, &["cleanup"]);
        terminal.shows(&format!("type the name of the database ({})", stage.database.name)).await;
        terminal.types("retype\n").await;
        let (code, shown) = terminal.ends().await;
        assert!(code == Some(5) && shown.contains("that is not the name, so nothing was dropped"), "{shown}");
        let widest =
            shown.lines().filter(|line| !line.contains('\u{1b}')).map(|line| line.trim_end().chars().count()).max();
        assert!(widest.is_some_and(|widest| widest <= 80), "{shown}");
        assert!(stage.has_ledger().await);
        let mut terminal = Terminal::run(&stage.database.url, &["cleanup"]);
        terminal.shows("type the name of the database").await;
        terminal.types(&format!("{}\n", stage.database.name)).await;
        let (code, shown) = terminal.ends().await;
        assert!(code == Some(0) && shown.contains("nothing of crossfade is left"), "{shown}");
        assert_eq!(stage.left().await, "");
        assert_eq!(stage.database.schema().await, before);
        stage.ends(0, &["run", stage.path(), "--yes"]).await;
    }
}

/// A table that somebody uses is waited for, for less than a minute; whoever is told to stop, stops.
#[tokio::test(flavor = "multi_thread")]
async fn locks_are_waited_for_in_short_attempts() {
    let stage = Stage::new(Database::new().await, "").await;
    stage.ends(0, &["run", stage.path(), "--yes"]).await;
    let mut other = PgConnection::connect(&stage.database.url).await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT FROM crossfade.hold").execute(&mut other).await.unwrap();
    let waiting = Cli::new(&stage.database.url).args(["cleanup", "--yes"]).spawn();
    let blocked = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'crossfade control' AND wait_event_type = 'Lock')";
    wait_for("an attempt", PATIENCE, async || stage.database.scalar::<bool>(blocked).await).await;
    waiting.signal(Signal::SIGINT);
    let stopped = waiting.wait(PATIENCE).await;
    assert_eq!(stopped.code, Some(130), "{stopped:#?}");
    let waiting = Cli::new(&stage.database.url).args(["cleanup", "--yes"]).spawn();
    wait_for("an attempt", PATIENCE, async || stage.database.scalar::<bool>(blocked).await).await;
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    let done = waiting.wait(PATIENCE).await;
    assert_eq!(done.code, Some(0), "{done:#?}");
    assert!(!stage.has_ledger().await);
}

/// DROP SCHEMA ... CASCADE takes the triggers along: applications' statements go on, and nothing is synced any more (docs/postgres.md,
/// "When the ledger's schema is dropped").
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_dropped_in_mid_run_is_noticed_and_what_is_left_can_be_removed() {
    for version in versions_of(3) {
        let stage = Stage::new(Database::on(&version).await, "").await;
        stage.ends(0, &["run", stage.path(), "--to", "switch"]).await;
        stage.database.execute("ALTER TABLE vehicles ADD CONSTRAINT cf_0123abcd_nn1 CHECK (id > 0), ADD COLUMN cf_0123abcd_mirror_x int").await;
        stage.database.execute("CREATE INDEX cf_0123abcd_ix1 ON vehicles (depot_id)").await;
        // What stands beside materialized views until they are filled anew, and twins of constraints, in partitions too.
        stage
            .database
            .execute(
                "CREATE MATERIALIZED VIEW cf_0123abcd_mv42 AS SELECT 1 AS a; CREATE VIEW cf_0123abcd_mv43 AS TABLE cf_0123abcd_mv42;
                 CREATE VIEW cf_0123abcd_under44 AS SELECT 1 AS a; CREATE MATERIALIZED VIEW reads_it AS TABLE cf_0123abcd_under44;
                 CREATE TABLE parted (id int PRIMARY KEY, b int) PARTITION BY RANGE (id);
                 CREATE TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (9);
                 ALTER TABLE parted ADD CONSTRAINT cf_0123abcd_con1 CHECK (id > 0), ADD COLUMN cf_0123abcd_mirror_y int;
                 CREATE INDEX cf_0123abcd_mirror_ix1 ON parted (b);
                 ALTER INDEX part_b_idx RENAME TO cf_0123abcd_mirror_ix1_99;
                 CREATE INDEX cf_0123abcd_ix2_99 ON part (b);
                 CREATE INDEX cf_0123abcd_old_ix3 ON vehicles (weight);
                 CREATE TABLE refers (id int CONSTRAINT cf_0123abcd_fk1 REFERENCES parted)",
            )
            .await;
        stage
            .database
            .execute("CREATE SCHEMA other; CREATE TABLE other.claim (); CREATE TABLE other.page_window ()")
            .await;
        stage.database.execute("DROP SCHEMA crossfade CASCADE").await;
        assert_eq!(
            stage.database.scalar::<i64>("SELECT count(*) FROM pg_trigger WHERE tgrelid = 'vehicles'::regclass").await,
            0
        );
        stage.database.execute("UPDATE vehicles SET fuel = 'GAS' WHERE id = 1").await;
        // What another ledger may know of is none of this one's business.
        let nothing = stage.ends(0, &["cleanup", "--yes"]).await;
        assert!(nothing.stdout.starts_with("there is nothing"), "{nothing:#?}");
        stage.database.execute("DROP SCHEMA other CASCADE").await;
        let said = stage.ends(0, &["status"]).await.stdout;
        assert!(
            said.contains("somebody has dropped crossfade's schema") && said.contains("next: crossfade cleanup"),
            "{said}"
        );
        assert_eq!(stage.ends(7, &["status", "--exit-code", "--format", "json"]).await.stdout, "[]\n");
        let advanced = stage.ends(2, &["advance", "retype"]).await.stderr;
        assert!(advanced.contains("it has no ledger, there is no schema crossfade"), "{advanced}");
        stage.database.execute("ALTER TABLE vehicles RENAME COLUMN fuel_v2 TO cf_0123abcd_old_fuel").await;
        let done = stage.ends(0, &["cleanup", "--yes"]).await;
        assert!(done.stdout.contains("column cf_0123abcd_old_fuel of public.vehicles stays"), "{done:#?}");
        let said = &done.stdout;
        assert!(said.contains("index public.cf_0123abcd_old_ix3 stays"), "{said}");
        assert!(said.contains("view public.cf_0123abcd_under44 stays, because materialized views read it"), "{said}");
        assert!(said.contains("what a run had added under the names of its plan, such as a column, stays"), "{said}");
        assert_eq!(stage.left().await, "cf_0123abcd_old_fuel cf_0123abcd_old_ix3");
        let views = "SELECT string_agg(relname, ' ') FROM pg_class WHERE relname LIKE 'cf%' AND relkind IN ('v', 'm')";
        assert_eq!(stage.database.scalar::<String>(views).await, "cf_0123abcd_under44");
    }
}

/// Triggers and columns of partitions go with those of their table.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_database_in_mid_run_is_cleaned_with_its_partitions() {
    for version in versions_of(2) {
        let stage = Stage::new(Database::on(&version).await, "").await;
        stage
            .database
            .execute(
                "CREATE TABLE parted (id int PRIMARY KEY, a text) PARTITION BY RANGE (id);
                 CREATE TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (9); CREATE INDEX ON parted (a);
                 INSERT INTO parted VALUES (1, 'x')",
            )
            .await;
        let plan = "version: 1\nname: parts\ntable: public.parted\nchanges: [{ rename_column: { from: a, to: b } }]\n";
        std::fs::write(stage.plan.path(), plan).unwrap();
        stage.ends(0, &["run", stage.path(), "--to", "verify"]).await;
        // A ledger that has another database's oid is a copy.
        stage.database.execute("UPDATE crossfade.ledger SET database_oid = 1").await;
        let done = stage.ends(0, &["cleanup", "--yes"]).await;
        assert!(done.stdout.contains("constraints stay that parts had added under the names of the plan"), "{done:#?}");
        assert!(!stage.has_ledger().await);
        assert_eq!(stage.left().await, "");
    }
}

/// What docs/postgres.md offers to whoever wants to forbid it, for a superuser and for the owner of the tables.
#[tokio::test(flavor = "multi_thread")]
async fn the_schema_can_be_kept_from_being_dropped_by_hand() {
    for version in versions_of(4) {
        let stage = Stage::new(Database::on(&version).await, "").await;
        stage.ends(0, &["run", stage.path(), "--yes"]).await;
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/postgres.md")).unwrap();
        let section = page.split("### When the ledger's schema is dropped").nth(1).unwrap();
        stage.database.execute(section.split("```sql\n").nth(1).unwrap().split("```").next().unwrap()).await;
        let drop = async |before: &str| {
            let mut connection = PgConnection::connect(&stage.database.url).await.unwrap();
            let sql = format!("{before}; DROP SCHEMA crossfade CASCADE");
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap_err().to_string()
        };
        assert!(drop("SELECT 1").await.contains("schema crossfade is not dropped by hand"));
        let role = format!("owner_{}", stage.database.name);
        stage.database.execute(&format!("CREATE ROLE {role}; GRANT USAGE, CREATE ON SCHEMA crossfade TO {role}")).await;
        assert!(drop(&format!("SET ROLE {role}")).await.contains("must be owner of schema crossfade"));
        stage.database.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
        stage.ends(0, &["cleanup", "--yes"]).await;
        assert!(!stage.has_ledger().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_whose_ledger_is_dropped_ends_and_says_so() {
    let stage = Stage::new(Database::new().await, &format!("backfill: {{ max_rows_per_second: {CRAWL} }}\n")).await;
    let running = Cli::new(&stage.database.url).args(["run", stage.path()]).spawn();
    wait_for("the backfill", PATIENCE, async || {
        stage.database.scalar::<bool>("SELECT to_regclass('crossfade.page_window') IS NOT NULL").await
            && stage.database.scalar::<bool>("SELECT count(*) > 0 FROM crossfade.page_window").await
    })
    .await;
    stage.database.execute("DROP SCHEMA crossfade CASCADE").await;
    let ended = running.wait(PATIENCE).await;
    assert!(ended.code == Some(7) && ended.stderr.contains("ledger::gone"), "{ended:#?}");
}
