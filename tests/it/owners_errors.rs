//! Code of the table's owner may raise any SQLSTATE, those of crossfade's own guards too: it is then an error of that code, and
//! no lost lease, no rewritten table, no table that is gone.

use crossfade::plan::{Plan, parse};
use crossfade::run::{Phase, Side};
use crossfade::runner::Tool;

use crate::harness::{Database, tool, versions};

const PLAN: &str = "version: 1\nname: p\ntable: t\nchanges: [{ rename_column: { from: a, to: b } }]\n\
    contract: { grace: 0s, quiet: 0s }\n";

/// Those of the guards: of a step, of a lease, of a table's file, of a table.
const OURS: [&str; 4] = ["CF001", "CF002", "CF003", "CF004"];

async fn expanded(code: &str) -> (Database, Plan, Tool) {
    let database = Database::on(&versions().remove(0)).await;
    database
        .execute(
            "CREATE TABLE t (id int PRIMARY KEY, a text NOT NULL, note text);
             INSERT INTO t SELECT n, 'a' || n, 'n' FROM generate_series(1, 300) AS n",
        )
        .await;
    let (plan, tool) = (parse("plan", PLAN).unwrap(), tool(&database.url));
    tool.run(&plan, PLAN, Some(Phase::Index)).await.unwrap();
    // Weeks later.
    database
        .execute(&format!(
            "CREATE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               IF NEW.id = 200 THEN RAISE EXCEPTION 'not this row' USING ERRCODE = '{code}'; END IF; RETURN NULL; END $$;
             CREATE TRIGGER forbid AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION forbid()"
        ))
        .await;
    (database, plan, tool)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_raises_our_codes_stops_the_backfill_with_its_words() {
    for code in OURS {
        let (database, plan, tool) = expanded(code).await;
        let error = tool.run(&plan, PLAN, None).await.map(|end| panic!("{code}: {end:?}")).unwrap_err();
        let said = error.to_string();
        assert!(said.contains("not this row") && said.contains(&format!("SQLSTATE {code}")), "{code}: {said}");
        database.execute("DROP TRIGGER forbid ON t").await;
        tool.run(&plan, PLAN, Some(Phase::Verify)).await.unwrap_or_else(|error| panic!("{code}: {error}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_raises_our_codes_stops_a_repair_with_its_words() {
    for code in OURS {
        let (database, plan, tool) = expanded(code).await;
        database.execute("ALTER TABLE t DISABLE TRIGGER forbid").await;
        tool.run(&plan, PLAN, Some(Phase::Verify)).await.unwrap();
        database
            .execute(
                "BEGIN; SET LOCAL session_replication_role = replica; UPDATE t SET b = 'other' WHERE id = 200; COMMIT;
                 ALTER TABLE t ENABLE TRIGGER forbid",
            )
            .await;
        let error = tool.verify("p", Some(Side::Old)).await.map(|end| panic!("{code}: {end:?}")).unwrap_err();
        let said = error.to_string();
        assert!(said.contains("not this row") && said.contains(&format!("SQLSTATE {code}")), "{code}: {said}");
        database.execute("DROP TRIGGER forbid ON t").await;
        assert!(tool.verify("p", Some(Side::Old)).await.unwrap().is_clean(), "{code}");
    }
}
