//! What others change in the weeks between: DDL of every kind at the end of every phase is kept, so that the end is that of
//! plain ALTER and the same DDL, or it stops the run with a diff. No way back depends on what may have gone.

mod renames;
mod replaced;

use crossfade::plan::Plan;
use crossfade::run::{Phase, Standing};
use crossfade::runner::{Error, Tool};
use sqlx::AssertSqlSafe;

use crate::harness::{Database, PATIENCE, Version, plain_alter, tool, versions, versions_of, wait_for, whole};

/// `{c}` is the column, `{r}` the prefix of names that this database has to itself.
const TABLE: &str = "
    CREATE TABLE public.things (id bigint PRIMARY KEY, {c} integer NOT NULL DEFAULT 7, note text, other integer DEFAULT 1);
    INSERT INTO public.things ({c}, id, note) SELECT n, n, 'note ' || n FROM generate_series(1, 60) AS n;
    ALTER TABLE public.things ADD CONSTRAINT things_key UNIQUE ({c});
    CREATE INDEX things_a ON public.things ({c}, id);
    CREATE INDEX things_b ON public.things (abs({c})) WHERE id > 5;
    CREATE INDEX things_d ON public.things (id, {c});
    COMMENT ON COLUMN public.things.{c} IS 'how many';
    GRANT SELECT ({c}) ON public.things TO {r}_reader;
    GRANT UPDATE ({c}) ON public.things TO {r}_writer WITH GRANT OPTION;
    CREATE FUNCTION public.sum_of_things() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT sum({c}) FROM things); END $$;
    ANALYZE public.things";

/// Everything that a run follows, but for what is the opposite of something else here.
const KEPT: &str = "
    ALTER TABLE public.things ALTER {c} SET DEFAULT 9;
    ALTER TABLE public.things ALTER {c} DROP NOT NULL;
    GRANT SELECT ({c}) ON public.things TO {r}_writer;
    REVOKE GRANT OPTION FOR UPDATE ({c}) ON public.things FROM {r}_writer;
    REVOKE SELECT ({c}) ON public.things FROM {r}_reader;
    COMMENT ON COLUMN public.things.{c} IS 'how many of them';
    ALTER TABLE public.things ALTER {c} SET STATISTICS 300;
    ALTER TABLE public.things ALTER {c} SET (n_distinct = 50);
    COMMENT ON INDEX public.things_a IS 'for the list';
    ALTER INDEX public.things_a SET (fillfactor = 70);
    ALTER TABLE public.things CLUSTER ON things_a;
    DROP INDEX public.things_b;
    CREATE INDEX things_e ON public.things ({c} DESC) WHERE id > 7;
    COMMENT ON CONSTRAINT things_key ON public.things IS 'each once';
    ALTER TABLE public.things ADD CONSTRAINT things_f CHECK ({c} IS NOT NULL OR id <> 3);
    COMMENT ON CONSTRAINT things_f ON public.things IS 'it is';
    ALTER TABLE public.things SET (fillfactor = 80);
    CREATE STATISTICS public.unrelated ON id, note FROM public.things;
    DROP FUNCTION public.sum_of_things()";

/// The opposites.
const TAKEN_AWAY: &str = "
    ALTER TABLE public.things ALTER {c} DROP DEFAULT;
    COMMENT ON COLUMN public.things.{c} IS NULL;
    REVOKE ALL ({c}) ON public.things FROM {r}_writer;
    ALTER TABLE public.things DROP CONSTRAINT things_key;
    DROP INDEX public.things_a;
    CREATE INDEX things_a ON public.things ({c}) WHERE id > 9;
    DROP INDEX public.things_d";

const PHASES: [Phase; 5] = [Phase::Expand, Phase::Index, Phase::Backfill, Phase::Verify, Phase::Switch];

/// The plans: name, column, change.
pub(crate) const PLANS: [(&str, &str, &str); 2] = [
    ("rename", "code", "rename_column: { from: code, to: name }"),
    (
        "retype",
        "amount",
        "change_type: { column: amount, to: bigint, via: amount_v2, reverse: \"amount_v2::integer\" }",
    ),
];

/// A table and a plan for its column.
pub(crate) struct Site {
    pub(crate) database: Database,
    column: &'static str,
    plan: Plan,
    text: String,
    pub(crate) tool: Tool,
}

impl Site {
    pub(crate) async fn new(version: &Version, (name, column, change): (&str, &'static str, &str)) -> Self {
        let database = Database::on(version).await;
        let text = format!(
            "version: 1\nname: {name}\ntable: things\nchanges:\n  - {change}\ncontract: {{ grace: 0s, quiet: 0s }}\n"
        );
        let plan = crossfade::plan::parse("plan.yaml", &text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        let tool = tool(&database.url);
        let site = Self { database, column, plan, text, tool };
        for role in ["reader", "writer"] {
            // Roles are the cluster's: another test may have made them at the same moment.
            let create = site.with(&format!("CREATE ROLE {{r}}_{role}"));
            let _ = sqlx::raw_sql(AssertSqlSafe(create)).execute(&site.database.pool).await;
        }
        site.execute(TABLE).await;
        site
    }

    fn with(&self, sql: &str) -> String {
        sql.replace("{c}", self.column).replace("{r}", "drift")
    }

    pub(crate) async fn execute(&self, sql: &str) {
        self.database.execute(&self.with(sql)).await;
    }

    pub(crate) async fn run(&self, to: Option<Phase>) -> Result<Standing, Error> {
        Ok(self.tool.run(&self.plan, &self.text, to).await?.state)
    }

    /// Lets a run that has come to the end of `phase` look at the table once more and follow what it finds: a rollback to the
    /// end of the same phase would, and so does the next step, which is made to fail here.
    pub(crate) async fn follow(&self, phase: Phase) {
        self.database
            .execute(
                "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                   IF NEW.entry ->> 'kind' IN ('step_started', 'step_done', 'phase_done') THEN RAISE EXCEPTION 'refused by the test'; END IF;
                   RETURN NEW;
                 END $$;
                 CREATE TRIGGER refuse BEFORE INSERT ON crossfade.event FOR EACH ROW EXECUTE FUNCTION public.refuse()",
            )
            .await;
        let error = self.run(None).await.map(|state| panic!("after {phase}: {state}")).unwrap_err();
        assert!(error.to_string().contains("refused by the test"), "{error}");
        self.database.execute("DROP TRIGGER refuse ON crossfade.event; DROP FUNCTION public.refuse()").await;
    }

    pub(crate) async fn rollback(&self) -> Result<Standing, Error> {
        Ok(self.tool.rollback(self.plan.name.as_str(), None).await?.state)
    }

    /// Nothing that crossfade made is left but its ledger.
    pub(crate) async fn assert_nothing_left(&self, when: &str) {
        let left: i64 = self
            .database
            .scalar(
                "SELECT (SELECT count(*) FROM pg_class WHERE relname LIKE 'cf\\_%')
                      + (SELECT count(*) FROM pg_attribute WHERE attname LIKE 'cf\\_%' AND NOT attisdropped)
                      + (SELECT count(*) FROM pg_constraint WHERE conname LIKE 'cf\\_%')
                      + (SELECT count(*) FROM pg_trigger WHERE tgname LIKE '__crossfade%')
                      + (SELECT count(*) FROM pg_proc WHERE pronamespace = 'crossfade'::regnamespace AND proname ~ '_[0-9a-f]{8}')
                      + (SELECT count(*) FROM pg_class WHERE relnamespace = 'crossfade'::regnamespace AND relkind = 'S'
                           AND relname ~ '_[0-9a-f]{8}$')
                      + (SELECT count(*) FROM crossfade.claim)",
            )
            .await;
        assert_eq!(left, 0, "{when}");
    }
}

/// The schema of a database in which these statements were made, in order.
async fn schema_of(
    version: &Version,
    plan: (&str, &'static str, &str),
    statements: &[&str],
    alter_at: Option<usize>,
) -> String {
    let twin = Site::new(version, plan).await;
    for at in 0..=statements.len() {
        if alter_at == Some(at) {
            for statement in plain_alter(&twin.plan) {
                twin.database.execute(&statement).await;
            }
        }
        if let Some(statement) = statements.get(at) {
            twin.execute(statement).await;
        }
    }
    twin.database.schema().await
}

/// Whether plain ALTER comes before what is changed at the end of `phase`: then the column has its final form.
fn is_final(plan: (&str, &'static str, &str), phase: Phase) -> bool {
    plan.0 == "retype" && phase >= Phase::Switch
}

/// What of `ddl` can be seen at the end of `phase`: when the run itself has made the column nullable, nobody can any more.
fn visible(plan: (&str, &'static str, &str), phase: Phase, ddl: &str) -> String {
    let relaxed = plan.0 == "retype" && phase == Phase::Verify;
    ddl.replace(if relaxed { "ALTER TABLE public.things ALTER {c} DROP NOT NULL;" } else { "\0" }, "")
}

/// The places of a matrix: every phase on every version or, in a part of the tests, every phase on one of them.
fn places() -> impl Iterator<Item = (Phase, Version)> {
    PHASES
        .into_iter()
        .enumerate()
        .flat_map(|(n, phase)| versions_of(n).into_iter().map(move |version| (phase, version)))
}

/// Every phase on one version.
fn on_one() -> impl Iterator<Item = (Phase, Version)> {
    let version = versions().remove(0);
    PHASES.into_iter().map(move |phase| (phase, version.clone()))
}

async fn kept(places: impl Iterator<Item = (Phase, Version)>, plan: (&str, &'static str, &str), ddl: &str) {
    for (phase, version) in places {
        let version = &version;
        let ddl = &visible(plan, phase, ddl);
        let site = Site::new(version, plan).await;
        site.run(Some(phase)).await.unwrap();
        site.execute(ddl).await;
        let when = format!("{} on {} at the end of {phase}", plan.0, version.major);
        let state = site.run(None).await.unwrap_or_else(|error| panic!("{when}: {error}"));
        assert_eq!(state, Standing::Done, "{when}");
        let at = usize::from(!is_final(plan, phase));
        let expected = schema_of(version, plan, &[ddl], Some(at)).await;
        assert_eq!(site.database.schema().await, expected, "{when}");
        site.assert_nothing_left(&when).await;
    }
}

async fn kept_on_the_way_back(
    places: impl Iterator<Item = (Phase, Version)>,
    plan: (&str, &'static str, &str),
    ddl: &str,
) {
    for (phase, version) in places {
        let version = &version;
        let ddl = &visible(plan, phase, ddl);
        let site = Site::new(version, plan).await;
        site.run(Some(phase)).await.unwrap();
        site.execute(ddl).await;
        let when = format!("{} on {} back from {phase}", plan.0, version.major);
        match site.rollback().await {
            Ok(state) => assert_eq!(state, Standing::RolledBack, "{when}"),
            // What was made on the new column alone would be lost with it.
            Err(error) if is_final(plan, phase) => {
                let error = error.to_string();
                assert!(error.contains("things_e") || error.contains("things_a"), "{when}: {error}");
                continue;
            }
            Err(error) => panic!("{when}: {error}"),
        }
        assert_eq!(site.database.schema().await, schema_of(version, plan, &[ddl], None).await, "{when}");
        site.assert_nothing_left(&when).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ddl_in_mid_rename_is_kept() {
    kept(places(), PLANS[0], KEPT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ddl_in_mid_change_of_a_type_is_kept() {
    kept(places(), PLANS[1], KEPT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_away_in_mid_run_stays_away() {
    for plan in PLANS {
        kept(on_one(), plan, TAKEN_AWAY).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_becomes_not_null_in_mid_run_stays_so() {
    for plan in PLANS {
        for (phase, version) in places() {
            let site = Site::new(&version, plan).await;
            let nullable = "ALTER TABLE things ALTER {c} DROP NOT NULL";
            let ddl = "ALTER TABLE things ALTER {c} SET NOT NULL";
            site.execute(nullable).await;
            site.run(Some(phase)).await.unwrap();
            site.execute(ddl).await;
            let when = format!("{} on {} at the end of {phase}", plan.0, version.major);
            let state = site.run(None).await.unwrap_or_else(|error| panic!("{when}: {error}"));
            assert_eq!(state, Standing::Done, "{when}");
            let at = if is_final(plan, phase) { 1 } else { 2 };
            let expected = schema_of(&version, plan, &[nullable, ddl], Some(at)).await;
            assert_eq!(site.database.schema().await, expected, "{when}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ddl_in_mid_run_is_kept_on_the_way_back() {
    for plan in PLANS {
        kept_on_the_way_back(places(), plan, KEPT).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_away_in_mid_run_stays_away_on_the_way_back() {
    for plan in PLANS {
        kept_on_the_way_back(on_one(), plan, TAKEN_AWAY).await;
    }
}

/// What stops a run at the end of a phase: what it is, how it is taken back, what the diff says.
const STOPS: [(&str, &str, &str); 5] = [
    ("CREATE PUBLICATION p FOR TABLE things", "DROP PUBLICATION p", "publication \"p\""),
    ("CREATE PUBLICATION p FOR ALL TABLES", "DROP PUBLICATION p", "publication \"p\""),
    ("ALTER TABLE things RENAME {c} TO elsewhere", "ALTER TABLE things RENAME elsewhere TO {c}", "elsewhere"),
    ("ALTER TABLE things RENAME TO others", "ALTER TABLE others RENAME TO things", "others"),
    (
        "ALTER TABLE things RENAME TO others; CREATE TABLE things (LIKE others INCLUDING ALL)",
        "DROP TABLE things; ALTER TABLE others RENAME TO things",
        "others",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_follow_stops_the_run_with_a_diff() {
    let version = versions().remove(0);
    for plan in PLANS {
        let site = Site::new(&version, plan).await;
        for phase in PHASES {
            site.run(Some(phase)).await.unwrap();
            // After the swap the column is the new one, and what others make on it stays.
            let stops = STOPS.iter().filter(|(ddl, ..)| !is_final(plan, phase) || !ddl.contains("{c}"));
            for (ddl, back, said) in stops {
                site.execute(ddl).await;
                let error =
                    site.run(None).await.map(|state| panic!("{ddl} at the end of {phase}: {state}")).unwrap_err();
                assert!(matches!(error, Error::Drifted { .. }), "{ddl} at the end of {phase}: {error:?}");
                assert!(error.to_string().contains(said), "{ddl}: {error}");
                let standing = site.tool.status(site.plan.name.as_str()).await.unwrap().state;
                assert_eq!(standing, Standing::Drifted, "{ddl}");
                site.execute(back).await;
            }
        }
        assert_eq!(site.run(None).await.unwrap(), Standing::Done, "{}", plan.0);
        assert_eq!(site.database.schema().await, schema_of(&version, plan, &[], Some(0)).await);
    }
}

/// What is destroyed, and what is left of the table's columns then.
const DAMAGE: [(&str, &str); 5] = [
    ("DROP TABLE things", ""),
    ("DROP TABLE things; CREATE TABLE things (id bigint, {c} integer)", "id,{c}"),
    ("ALTER TABLE things RENAME TO gone; CREATE TABLE things (id bigint, {c} integer)", "id,{c}"),
    ("ALTER TABLE things DROP COLUMN {new} CASCADE", "id,note,other,{c}"),
    ("ALTER TABLE things DROP COLUMN {c} CASCADE", "id,note,other,{new}"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_works_from_whatever_is_left() {
    let version = versions().remove(0);
    for plan in PLANS {
        let new = if plan.0 == "rename" { "name" } else { "amount_v2" };
        for (turn, phase) in [Phase::Expand, Phase::Verify, Phase::Switch].into_iter().enumerate() {
            for (n, (damage, left)) in DAMAGE.into_iter().enumerate() {
                // In a part of the tests, each plan with every damage, and not in every phase.
                if !whole() && n % 3 != turn {
                    continue;
                }
                let site = Site::new(&version, plan).await;
                site.run(Some(phase)).await.unwrap();
                site.execute(&damage.replace("{new}", new)).await;
                let when = format!("{} at the end of {phase}: {damage}", plan.0);
                let error = site.run(None).await.map(|state| panic!("{when}: {state}")).unwrap_err();
                assert!(matches!(error, Error::Drifted { .. }), "{when}: {error:?}");
                let state = site.rollback().await.unwrap_or_else(|error| panic!("{when}: {error}"));
                assert_eq!(state, Standing::RolledBack, "{when}");
                site.assert_nothing_left(&when).await;
                let columns: Option<String> = site
                    .database
                    .scalar(
                        "SELECT string_agg(attname, ',' ORDER BY attname = 'id' DESC, attname IN ('note', 'other') DESC, attname)
                         FROM pg_attribute WHERE attrelid = to_regclass('things') AND attnum > 0 AND NOT attisdropped",
                    )
                    .await;
                // After the swap the visible name is the new column's: the one that is left has it in the end.
                let swapped = is_final(plan, phase) && damage.contains("DROP COLUMN");
                let left = if swapped { "id,note,other,{c}" } else { left };
                assert_eq!(columns.unwrap_or_default(), site.with(left).replace("{new}", new), "{when}");
                if !damage.contains("DROP TABLE") && !damage.contains("CREATE TABLE") {
                    // Nothing of crossfade's is in the way of a write.
                    site.execute("DELETE FROM things; INSERT INTO things (id, note) VALUES (1000, 'after')").await;
                }
            }
        }
    }
}

/// A row that is not equal is found wherever an unrelated update moves it while the check is on its way.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_moves_behind_the_check_is_seen() {
    let database = Database::new().await;
    // The conversion waits, at one value, for whoever holds the lock.
    database
        .execute(
            "CREATE FUNCTION slow(a integer) RETURNS bigint IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
               IF a = 4000 THEN PERFORM pg_advisory_xact_lock_shared(77); END IF; RETURN a; END $$;
             CREATE TABLE things (id integer PRIMARY KEY, amount integer, note text)",
        )
        .await;
    let text = "version: 1\nname: moves\ntable: things\nchanges:\n  - change_type: { column: amount, to: bigint, \
                via: amount_v2, using: public.slow(amount), reverse: amount_v2::integer }\n\
                contract: { grace: 0s, quiet: 0s }\n";
    let plan = crossfade::plan::parse("plan.yaml", text).unwrap_or_else(|error| panic!("{error:?}"));
    let tool = tool(&database.url);
    tool.run(&plan, text, Some(Phase::Backfill)).await.unwrap();
    // Full pages but for the first. VACUUM leaves indexes alone, and so the rows, where less than 2 % of the pages have dead ones.
    let rows = |from, to| {
        format!(
            "INSERT INTO things (id, amount, note) SELECT n, n, repeat('x', 900) FROM generate_series({from}, {to}) AS n"
        )
    };
    for sql in [
        &rows(1, 6999),
        "ALTER TABLE things DISABLE TRIGGER USER; INSERT INTO things (id, amount, amount_v2, note) VALUES (7000, 7000, 1, repeat('x', 900)); \
         ALTER TABLE things ENABLE TRIGGER USER",
        &rows(7001, 7200),
        "DELETE FROM things WHERE id <= 400",
        "VACUUM things",
    ] {
        database.execute(sql).await;
    }
    let page = "SELECT (ctid::text::point)[0]::bigint FROM things WHERE id = 7000";
    let before: i64 = database.scalar(page).await;
    let mut holder = database.pool.begin().await.unwrap();
    sqlx::query("SELECT pg_advisory_xact_lock(77)").execute(&mut *holder).await.unwrap();
    let (_, program) = tool.stored("moves").await.unwrap();
    let spec = program.steps.iter().find_map(|step| match &step.action {
        crossfade::run::Action::Compare(spec) => Some(spec.clone()),
        _ => None,
    });
    let connector = crossfade::pg::Connector::new(database.url.parse().unwrap());
    let check = tokio::spawn(async move {
        let ledger = crossfade::ledger::Ledger::new(crossfade::names::LedgerSchema::default());
        let (sink, stop) = (crossfade::event::silent(), tokio_util::sync::CancellationToken::new());
        let (spec, phase) = (spec.unwrap(), Phase::Verify);
        crossfade::engine::compare::check(&connector, &ledger, &program, &spec, &sink, &stop, phase, 1).await
    });
    let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    wait_for("the check in the middle of the table", PATIENCE, async || database.scalar::<i64>(waits).await > 0).await;
    database.execute("UPDATE things SET note = repeat('y', 900) WHERE id = 7000").await;
    let after: i64 = database.scalar(page).await;
    assert!(after < 200 && before > 700, "the row moved from page {before} to {after}");
    drop(holder);
    let (outcome, _) = check.await.unwrap().unwrap();
    assert_eq!(outcome.counts.different, 1, "{:?}", outcome.counts);
}

/// A check counts for nothing once a trigger was disabled, even if it is enabled again: what was written meanwhile was not
/// kept equal.
#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_was_off_for_a_moment_voids_the_check() {
    let version = versions().remove(0);
    for plan in PLANS {
        let site = Site::new(&version, plan).await;
        site.run(Some(Phase::Switch)).await.unwrap();
        // Up to the last check, which is clean.
        let (_, program) = site.tool.stored(site.plan.name.as_str()).await.unwrap();
        let drop = program.steps.last().unwrap().key.clone();
        site
            .database
            .execute(&format!(
                "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                   IF NEW.entry ->> 'kind' = 'step_done' AND NEW.entry ->> 'step' = '{drop}' THEN RAISE EXCEPTION 'refused by the test'; END IF;
                   RETURN NEW;
                 END $$;
                 CREATE TRIGGER refuse BEFORE INSERT ON crossfade.event FOR EACH ROW EXECUTE FUNCTION public.refuse()"
            ))
            .await;
        assert!(site.run(None).await.unwrap_err().to_string().contains("refused by the test"));
        let retired: String = site.database.scalar("SELECT attname::text FROM pg_attribute WHERE attname LIKE 'cf\\_%' AND attnum > 0 AND attrelid = 'things'::regclass").await;
        site.database
            .execute(&format!(
                "DROP TRIGGER refuse ON crossfade.event; DROP FUNCTION public.refuse();
                 ALTER TABLE things DISABLE TRIGGER USER; UPDATE things SET \"{retired}\" = -5 WHERE id = 5;
                 ALTER TABLE things ENABLE TRIGGER USER"
            ))
            .await;
        let error = site.run(None).await.map(|state| panic!("{}: {state}", plan.0)).unwrap_err();
        assert!(matches!(error, Error::Mismatch(_)), "{error:?}");
    }
}

/// What is changed between the look at the catalog and the lock of the step is seen under the lock.
#[tokio::test(flavor = "multi_thread")]
async fn ddl_while_a_step_waits_for_its_lock_is_kept() {
    let version = versions().remove(0);
    for (plan, phase) in [(PLANS[0], Phase::Switch), (PLANS[1], Phase::Verify)] {
        let site = Site::new(&version, plan).await;
        site.run(Some(phase)).await.unwrap();
        let mut holder = site.database.pool.begin().await.unwrap();
        sqlx::query("LOCK TABLE things IN ROW EXCLUSIVE MODE").execute(&mut *holder).await.unwrap();
        let (tool, parsed, text) = (site.tool.clone(), site.plan.clone(), site.text.clone());
        let run = tokio::spawn(async move { tool.run(&parsed, &text, None).await });
        let waits = "SELECT count(*) FROM pg_locks WHERE relation = 'things'::regclass AND mode = 'AccessExclusiveLock' AND NOT granted";
        wait_for("the step at its lock", PATIENCE, async || site.database.scalar::<i64>(waits).await > 0).await;
        let ddl = "ALTER TABLE public.things ALTER {c} SET DEFAULT 9";
        sqlx::raw_sql(AssertSqlSafe(site.with(ddl))).execute(&mut *holder).await.unwrap();
        holder.commit().await.unwrap();
        assert_eq!(run.await.unwrap().unwrap().state, Standing::Done);
        let expected = schema_of(&version, plan, &[ddl], Some(1)).await;
        assert_eq!(site.database.schema().await, expected, "{}", plan.0);
    }
}
