//! What others do in mid-rename: the column stays, so what they hang on it stays too; what they make on its mirror would go with it.

use crossfade::run::{Phase, Standing};
use crossfade::runner::Error;

use super::{PLANS, Site, is_final, kept_on_the_way_back, places, schema_of, visible};
use crate::harness::versions;

/// What others hang on a column while it is renamed.
const HUNG: &str = "CREATE VIEW things_v AS SELECT id, {c} FROM things;
    ALTER TABLE things ADD CONSTRAINT things_few CHECK ({c} < 100000);
    ALTER TABLE things ADD CONSTRAINT things_apart EXCLUDE USING btree (id WITH =, {c} WITH =);
    CREATE TABLE kinds ({c} int PRIMARY KEY); INSERT INTO kinds SELECT DISTINCT {c} FROM things WHERE {c} IS NOT NULL;
    ALTER TABLE things ADD CONSTRAINT things_kind FOREIGN KEY ({c}) REFERENCES kinds ON UPDATE CASCADE;
    CREATE POLICY things_p ON things USING ({c} > 0);
    CREATE STATISTICS things_s ON {c}, note FROM things;
    CREATE FUNCTION things_f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
    CREATE TRIGGER things_t AFTER UPDATE OF {c} ON things FOR EACH ROW EXECUTE FUNCTION things_f();
    CREATE CONSTRAINT TRIGGER things_c AFTER UPDATE OF {c}, note ON things DEFERRABLE FOR EACH ROW EXECUTE FUNCTION things_f();
    CREATE INDEX things_hung ON things ({c}) WHERE {c} > 3";

#[tokio::test(flavor = "multi_thread")]
async fn what_others_hang_on_a_column_in_mid_rename_stays_there() {
    for (phase, version) in places() {
        let site = Site::new(&version, PLANS[0]).await;
        site.run(Some(phase)).await.unwrap();
        let ddl = visible(PLANS[0], phase, HUNG);
        site.execute(&ddl).await;
        let when = format!("at the end of {phase} on {}", version.major);
        let state = site.run(None).await.unwrap_or_else(|error| panic!("{when}: {error}"));
        assert_eq!(state, Standing::Done, "{when}");
        let at = usize::from(!is_final(PLANS[0], phase));
        assert_eq!(site.database.schema().await, schema_of(&version, PLANS[0], &[&ddl], Some(at)).await, "{when}");
        site.assert_nothing_left(&when).await;
    }
    kept_on_the_way_back(places(), PLANS[0], HUNG).await;
}

/// What others make on the column that only lends the new name.
const ON_THE_MIRROR: [(&str, &str, &str); 5] = [
    ("CREATE INDEX mine ON things (name)", "DROP INDEX mine", "index public.mine"),
    ("CREATE VIEW v AS SELECT name FROM things", "DROP VIEW v", "view public.v"),
    (
        "ALTER TABLE things ADD CONSTRAINT few CHECK (name < 100000)",
        "ALTER TABLE things DROP CONSTRAINT few",
        "constraint few",
    ),
    ("CREATE STATISTICS s ON name, note FROM things", "DROP STATISTICS s", "statistics object public.s"),
    (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$; CREATE TRIGGER sees AFTER UPDATE OF name ON things EXECUTE FUNCTION f()",
        "DROP FUNCTION f CASCADE",
        "trigger sees",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_others_make_on_the_mirror_stops_the_run_before_it_goes() {
    let version = versions().remove(0);
    let site = Site::new(&version, PLANS[0]).await;
    site.run(Some(Phase::Expand)).await.unwrap();
    for (ddl, back, said) in ON_THE_MIRROR {
        site.execute(ddl).await;
        let error = site.run(None).await.map(|state| panic!("{ddl}: {state}")).unwrap_err();
        assert!(matches!(error, Error::Drifted { .. }), "{ddl}: {error:?}");
        assert!(error.to_string().contains(said), "{ddl}: {error}");
        let names: i64 = site
            .database
            .scalar(
                "SELECT count(*) FROM pg_attribute WHERE attrelid = 'things'::regclass AND attname IN ('name', 'code')",
            )
            .await;
        assert_eq!(names, 2, "{ddl}: both names are there");
        site.execute(back).await;
    }
    assert_eq!(site.run(None).await.unwrap(), Standing::Done);
    assert_eq!(site.database.schema().await, schema_of(&version, PLANS[0], &[], Some(0)).await);
}

/// A trigger that is made anew in mid-run, for the old name alone, fires for the new one as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_is_made_anew_in_mid_rename_listens_to_both_names() {
    let version = versions().remove(0);
    let site = Site::new(&version, PLANS[0]).await;
    let made = "CREATE OR REPLACE TRIGGER sees AFTER UPDATE OF {c} ON things FOR EACH ROW EXECUTE FUNCTION seen()";
    let made = visible(PLANS[0], Phase::Expand, made);
    site.execute("CREATE TABLE log (id bigint); CREATE FUNCTION seen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES (NEW.id); RETURN NULL; END $$").await;
    site.execute(&made).await;
    site.run(Some(Phase::Verify)).await.unwrap();
    assert_eq!(site.database.scalar::<i64>("SELECT count(*) FROM log").await, 0, "the backfill writes nothing");
    for times in 1..3 {
        site.execute("UPDATE things SET name = name + 1000 WHERE id = 1").await;
        assert_eq!(site.database.scalar::<i64>("SELECT count(*) FROM log").await, times);
        if times == 1 {
            site.execute(&made).await;
            site.run(Some(Phase::Switch)).await.unwrap();
        }
    }
    assert_eq!(site.run(None).await.unwrap(), Standing::Done);
}
