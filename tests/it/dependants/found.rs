//! What random tables have found: each was a run that PostgreSQL refused half-way, or that let something pass.

use crossfade::plan::Plan;
use crossfade::run::Phase;
use crossfade::runner::Error;

use super::{Place, difference};
use crate::harness::{long_versions, plain_alter, tool, versions_of};

const FILLED: &str = "CREATE TABLE t (id int PRIMARY KEY, n text NOT NULL, note text); INSERT INTO t SELECT g, g, 'n' FROM generate_series(1, 40) g";

/// A change of column `n`.
fn change(to: &str, using: &str, reverse: &str) -> (Plan, String) {
    let text = format!(
        "version: 1\nname: found\ntable: public.t\nchanges: [{{ change_type: {{ column: n, to: {to}, via: n_v2, using: \"{using}\", reverse: \"{reverse}\", on_error: leave }} }}]\n\
         contract: {{ grace: 0s, quiet: 0s }}\n"
    );
    (crossfade::plan::parse("plan.yaml", &text).unwrap(), text)
}

/// Returns what a statement of a role that owns nothing ended with.
async fn end_of(place: &mut Place, statement: &str) -> String {
    place.write(statement).await;
    place.ends.last().unwrap().clone()
}

/// Where a value may convert in neither direction, neither column can be NOT NULL for a while: a row without any value is refused
/// as before, and one whose value becomes NULL is found by the check, not when NOT NULL is proved.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_was_not_null_is_never_empty() {
    for version in versions_of(0) {
        let mut ours = Place::new(&version, FILLED).await;
        let (plan, text) = change("integer", "nullif(n, '')::integer", "nullif(n_v2, 0)::text");
        let tool = tool(&ours.database.url);
        let before = ours.schema().await;
        for phase in [Phase::Verify, Phase::Switch] {
            tool.run(&plan, &text, Some(phase)).await.unwrap();
            let empty = [
                "UPDATE t SET n = NULL WHERE id = 1",
                "INSERT INTO t (id) VALUES (1001)",
                "UPDATE t SET n_v2 = NULL WHERE id = 2",
                "INSERT INTO t (id, n, n_v2) VALUES (1002, NULL, NULL)",
            ];
            for statement in empty {
                assert_eq!(end_of(&mut ours, statement).await, "23502", "{phase}: {statement}");
            }
            assert_eq!(end_of(&mut ours, "UPDATE t SET note = 'o' WHERE id = 3").await, "1 rows");
        }
        tool.rollback("found", None).await.unwrap();
        let back = ours.schema().await;
        assert!(back == before, "{}:\n{}", version.major, difference(&before, &back));

        tool.run(&plan, &text, Some(Phase::Verify)).await.unwrap();
        // A value without a way back, and one that the old release may write and that becomes NULL.
        assert_eq!(end_of(&mut ours, "UPDATE t SET n_v2 = 0 WHERE id = 4").await, "1 rows");
        assert_eq!(end_of(&mut ours, "UPDATE t SET n = '' WHERE id = 5").await, "1 rows");
        let stopped = tool.run(&plan, &text, None).await.unwrap_err();
        assert!(matches!(&stopped, Error::Mismatch(outcome) if outcome.counts.unconverted == 1), "{stopped:?}");
        ours.database.execute("UPDATE t SET n = '50' WHERE id = 5").await;
        tool.run(&plan, &text, None).await.unwrap();
        let end: String =
            ours.database.scalar("SELECT string_agg(n::text, ' ' ORDER BY id) FROM t WHERE id IN (4, 5)").await;
        assert_eq!(end, "0 50");
        assert_eq!(end_of(&mut ours, "UPDATE t SET n = NULL WHERE id = 1").await, "23502");
    }
}

/// A BEFORE trigger of the application may give a row its value, as long as it does so for a column that is NOT NULL.
#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_may_fill_what_must_not_be_empty() {
    let setup = format!(
        "{FILLED}; CREATE FUNCTION filled() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.n := coalesce(NEW.n::text, '7'); RETURN NEW; END $$;
         CREATE TRIGGER zz BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION filled()"
    );
    let mut ours = Place::new(&long_versions()[0], &setup).await;
    let (plan, text) = change("integer", "nullif(n, '')::integer", "nullif(n_v2, 0)::text");
    tool(&ours.database.url).run(&plan, &text, Some(Phase::Verify)).await.unwrap();
    assert_eq!(end_of(&mut ours, "INSERT INTO t (id) VALUES (1001)").await, "1 rows");
    assert_eq!(end_of(&mut ours, "UPDATE t SET n = NULL WHERE id = 1001").await, "23502");
}

/// Dependants, with the change, whose definitions PostgreSQL prints in another way for the other type.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_in_another_way_is_carried() {
    const CASES: [(&str, &str, &str, &str, &str); 3] = [
        (
            "score",
            "smallint",
            "n::smallint",
            "n_v2::score",
            "ALTER TABLE t ADD CONSTRAINT not_three CHECK (n <> '3000'::score), ADD CONSTRAINT later CHECK (n < 5000 OR n IS NULL) NOT VALID",
        ),
        (
            "text",
            "bytea",
            "decode(n, 'escape')",
            "encode(n_v2, 'escape')",
            "ALTER TABLE t ADD UNIQUE (n), ADD CONSTRAINT own FOREIGN KEY (n) REFERENCES t (n)",
        ),
        (
            "varchar(9)",
            "varchar(7)",
            "n::varchar(7)",
            "n_v2::varchar(9)",
            "ALTER TABLE t ADD CONSTRAINT not_three CHECK (n <> 'x3000'::varchar(9) AND lower(n) = n)",
        ),
    ];
    for (n, (from, to, using, reverse, more)) in CASES.into_iter().enumerate() {
        for version in versions_of(n) {
            let setup = format!(
                "CREATE DOMAIN score AS integer CHECK (VALUE >= 0); CREATE TABLE t (id int PRIMARY KEY, n {from}, note text);
                 INSERT INTO t SELECT g, g::text::{from}, 'n' FROM generate_series(1, 40) g; {more}"
            );
            let (ours, plain) = (Place::new(&version, &setup).await, Place::new(&version, &setup).await);
            let (wanted, text) = change(to, using, reverse);
            let tool = tool(&ours.database.url);
            let before = ours.schema().await;
            tool.run(&wanted, &text, Some(Phase::Switch))
                .await
                .unwrap_or_else(|error| panic!("{from} to {to}: {error:?}"));
            tool.rollback("found", None).await.unwrap_or_else(|error| panic!("{from} to {to} back: {error:?}"));
            let back = ours.schema().await;
            assert!(back == before, "{from} to {to} on {}:\n{}", version.major, difference(&before, &back));
            tool.run(&wanted, &text, None).await.unwrap_or_else(|error| panic!("{from} to {to} to the end: {error:?}"));
            plain.database.execute(&plain_alter(&wanted).join(";")).await;
            let (found, expected) = (ours.database.schema().await, plain.database.schema().await);
            assert!(found == expected, "{from} to {to} on {}:\n{}", version.major, difference(&expected, &found));
        }
    }
}

/// What plain ALTER TABLE could not be followed by making again is refused before anything is changed.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_made_anew_is_refused() {
    const CASES: [(&str, &str, &str, &str, &str, &str); 9] = [
        (
            "boolean",
            "text",
            "g > 3",
            "n_v2::boolean",
            "CREATE STATISTICS s ON (NOT n), note FROM t",
            "argument of NOT must be type boolean",
        ),
        (
            "boolean",
            "text",
            "g > 3",
            "n_v2::boolean",
            "CREATE POLICY p ON t USING (n OR id > 3)",
            "argument of OR must be type boolean",
        ),
        (
            "boolean",
            "text",
            "g > 3",
            "n_v2::boolean",
            "CREATE TRIGGER g AFTER UPDATE ON t FOR EACH ROW WHEN (NEW.n) EXECUTE FUNCTION f()",
            "argument of WHEN must be type boolean",
        ),
        (
            "int",
            "text",
            "g",
            "n_v2::int",
            "CREATE VIEW v AS SELECT id FROM t WHERE n > 3; CREATE VIEW w AS SELECT id FROM v",
            "operator does not exist: text > integer",
        ),
        (
            "int",
            "text",
            "g",
            "n_v2::int",
            "CREATE FUNCTION top() RETURNS int RETURN (SELECT max(n) FROM t)",
            "return type mismatch",
        ),
        (
            "int",
            "text",
            "g",
            "n_v2::int",
            "CREATE RULE r AS ON DELETE TO t WHERE OLD.n > 3 DO INSTEAD NOTHING",
            "operator does not exist: text > integer",
        ),
        (
            "int",
            "numeric",
            "g",
            "n_v2::int",
            "ALTER TABLE t ALTER n SET NOT NULL, ALTER n ADD GENERATED ALWAYS AS IDENTITY",
            "identity column type must be",
        ),
        (
            "int",
            "bigint",
            "g",
            "n_v2::int",
            "CREATE TABLE p (k int PRIMARY KEY); ALTER TABLE t ALTER n SET DEFAULT 7, ADD CONSTRAINT out FOREIGN KEY (n) REFERENCES p ON UPDATE SET DEFAULT NOT VALID",
            "foreign key \"out\" has SET DEFAULT",
        ),
        (
            "int",
            "text",
            "g",
            "n_v2::int",
            "ALTER TABLE t ADD up int, ADD UNIQUE (n), ADD FOREIGN KEY (up) REFERENCES t (n)",
            "incompatible types: integer and text",
        ),
    ];
    let version = &long_versions()[0];
    for (from, to, value, reverse, more, says) in CASES {
        let setup = format!(
            "CREATE TABLE t (id int PRIMARY KEY, n {from}, note text); INSERT INTO t SELECT g, {value}, 'n' FROM generate_series(1, 40) g;
             CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$; {more}"
        );
        let ours = Place::new(version, &setup).await;
        let (plan, _) = change(to, &format!("n::{to}"), reverse);
        let before = ours.schema().await;
        let refusals = tool(&ours.database.url).preview(&plan).await.unwrap().refusals;
        assert!(refusals.iter().any(|finding| finding.message.contains(says)), "{more}: {refusals:#?}");
        assert_eq!(ours.schema().await, before, "a rehearsal leaves nothing");
    }
}

/// What reads the table in a way that a copy cannot show is not refused.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_copy_cannot_show_is_not_refused() {
    let setup = "CREATE SCHEMA other; CREATE TABLE t (id int PRIMARY KEY, n int, note text); INSERT INTO t SELECT g, g, 'n' FROM generate_series(1, 40) g;
        CREATE FUNCTION less(t) RETURNS bigint LANGUAGE sql AS 'SELECT ($1).n - 1';
        CREATE VIEW whole AS SELECT less(t) AS l, n FROM t; CREATE VIEW other.v AS SELECT n FROM whole; CREATE VIEW v AS SELECT n FROM other.v;
        CREATE VIEW grouped AS SELECT id, note, n FROM t GROUP BY id; CREATE VIEW pg_class AS SELECT n FROM t";
    let ours = Place::new(&long_versions()[0], setup).await;
    let (plan, text) = change("bigint", "n::bigint", "n_v2::int");
    let text = text.replace(", on_error: leave", "");
    let tool = tool(&ours.database.url);
    assert_eq!(tool.preview(&plan).await.unwrap().refusals, []);
    tool.run(&plan, &text, None).await.unwrap();
}

/// Triggers for `UPDATE OF` a column hear of what is written under its second name, while there is one.
#[tokio::test(flavor = "multi_thread")]
async fn triggers_of_a_column_hear_of_its_second_name() {
    const TRIGGERS: &str = "CREATE TABLE log (what text, id int); GRANT INSERT ON log TO neighbour;
        CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.log VALUES (TG_NAME, NEW.id); RETURN NEW; END $$;
        CREATE TRIGGER of_n AFTER UPDATE OF n ON t FOR EACH ROW EXECUTE FUNCTION noted(); COMMENT ON TRIGGER of_n ON t IS 'it''s';
        CREATE CONSTRAINT TRIGGER late AFTER UPDATE OF n ON t DEFERRABLE FOR EACH ROW WHEN (NEW.n IS NOT NULL) EXECUTE FUNCTION noted()";
    for version in long_versions() {
        let setup = format!(
            "CREATE TABLE t (id int PRIMARY KEY, n int, note text); INSERT INTO t SELECT g, g, 'n' FROM generate_series(1, 40) g; {TRIGGERS}"
        );
        let mut ours = Place::new(&version, &setup).await;
        let plain = Place::new(&version, &setup.replace("n int", "n bigint")).await;
        let (wanted, text) = change("bigint", "n::bigint", "n_v2::int");
        let text = text.replace(", on_error: leave", "").replace("using: \"n::bigint\", ", "");
        let tool = tool(&ours.database.url);
        let before = ours.schema().await;
        for phase in [Phase::Backfill, Phase::Verify, Phase::Switch] {
            tool.run(&wanted, &text, Some(phase)).await.unwrap();
            ours.database.execute("TRUNCATE log").await;
            ours.write("UPDATE t SET n_v2 = n_v2 + 100 WHERE id = 3").await;
            ours.write("UPDATE t SET n = n + 100 WHERE id = 4").await;
            ours.write("UPDATE t SET note = 'o' WHERE id = 5").await;
            let heard: String =
                ours.database.scalar("SELECT string_agg(what || ' ' || id, ', ' ORDER BY id, what) FROM log").await;
            assert_eq!(heard, "late 3, of_n 3, late 4, of_n 4", "after {phase} on {}", version.major);
        }
        tool.rollback("found", None).await.unwrap();
        let back = ours.schema().await;
        assert!(back == before, "{}:\n{}", version.major, difference(&before, &back));
        tool.run(&wanted, &text, None).await.unwrap();
        let (found, expected) = (ours.database.schema().await, plain.database.schema().await);
        assert!(found == expected, "{}:\n{}", version.major, difference(&expected, &found));
    }
}

/// Nobody can update a row that breaks a constraint, so the plan says so before it begins.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_break_a_constraint_are_found_before_the_backfill() {
    let setup = "CREATE TABLE t (id int PRIMARY KEY, n int, note text); INSERT INTO t SELECT g, g, 'n' FROM generate_series(1, 40) g;
        ALTER TABLE t ADD CONSTRAINT \"small, now\" CHECK (id < 40) NOT VALID, ADD CONSTRAINT fine CHECK (id < 41) NOT VALID";
    let ours = Place::new(&long_versions()[0], setup).await;
    let (plan, _) = change("bigint", "n::bigint", "n_v2::int");
    let tool = tool(&ours.database.url);
    let preview = tool.preview(&plan).await.unwrap();
    let refused: Vec<_> =
        preview.refusals.iter().map(|finding| format!("{}\n{}", finding.message, finding.help)).collect();
    insta::assert_snapshot!(refused.join("\n"), @r#"
    constraint "small, now" of public.t is NOT VALID, and there are rows that break it: PostgreSQL lets nobody update them, and the backfill has to
    `SELECT count(*) FROM "public"."t" WHERE NOT (id < 40)` counts such rows: correct them, or drop the constraint for the run and add it again afterwards
    "#);
    ours.database.execute("DELETE FROM t WHERE id = 40").await;
    let preview = tool.preview(&plan).await.unwrap();
    assert_eq!(preview.refusals, []);
    assert!(!preview.warnings.iter().any(|finding| finding.code == "catalog::not_valid"), "{:?}", preview.warnings);
}
