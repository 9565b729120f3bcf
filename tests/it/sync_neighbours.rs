//! The application's own BEFORE triggers, beside the sync trigger: what they see, what they change, and when they come.

use crossfade::run::{Phase, Standing};

use sqlx::{Connection as _, PgConnection};

use crate::harness::{Database, tool, versions};

fn plan(change: &str) -> String {
    format!("version: 1\nname: beside\ntable: t\nchanges:\n  - {change}\ncontract: {{ grace: 0s, quiet: 0s }}\n")
}

async fn run_to(database: &Database, text: &str, to: Option<Phase>) {
    let plan = crossfade::plan::parse("plan", text).unwrap();
    let finish = tool(&database.url).run(&plan, text, to).await;
    finish.unwrap_or_else(|error| panic!("{error:?}"));
}

async fn refuses(database: &Database, statement: &str) {
    let done = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&database.pool).await;
    assert!(done.is_err(), "{statement}");
}

async fn rows(database: &Database) -> String {
    database.scalar("SELECT coalesce(string_agg(concat_ws(',', id, c, d), ' ' ORDER BY id), '') FROM t").await
}

fn trigger(name: &str, events: &str, body: &str) -> String {
    format!(
        "CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NEW; END $$;
         CREATE TRIGGER {name} BEFORE {events} ON t FOR EACH ROW EXECUTE FUNCTION {name}()"
    )
}

/// A check in a trigger sees the value that was written, through whichever column; what a trigger changes is carried over,
/// to whichever column.
#[tokio::test(flavor = "multi_thread")]
async fn triggers_see_and_change_the_right_value() {
    for version in versions() {
        let database = Database::on(&version).await;
        database
            .execute("CREATE TABLE t (id int PRIMARY KEY, c int, u int); INSERT INTO t VALUES (1, 1, 0), (2, 2, 0)")
            .await;
        database
            .execute(&trigger("guard", "INSERT OR UPDATE", "IF NEW.c > 100 THEN RAISE EXCEPTION 'too large'; END IF;"))
            .await;
        // Hides what it changes from whoever reads its text.
        database
            .execute(&trigger(
                "round_down",
                "INSERT OR UPDATE",
                "IF NEW.id >= 10 THEN NEW := jsonb_populate_record(NEW, jsonb_build_object('c', NEW.c / 10 * 10)); END IF;",
            ))
            .await;
        let text = plan("rename_column: { from: c, to: d }");
        run_to(&database, &text, Some(Phase::Verify)).await;
        for too_large in [
            "INSERT INTO t (id, d) VALUES (3, 101)",
            "UPDATE t SET d = 101 WHERE id = 1",
            "UPDATE t SET c = 101 WHERE id = 1",
            "INSERT INTO t (id, d) VALUES (1, 5) ON CONFLICT (id) DO UPDATE SET d = 101",
        ] {
            refuses(&database, too_large).await;
        }
        database
            .execute(
                "INSERT INTO t (id, c) VALUES (10, 11); INSERT INTO t (id, d) VALUES (11, 22);
                 UPDATE t SET d = 33 WHERE id = 10; UPDATE t SET c = 44 WHERE id = 11; UPDATE t SET u = 1",
            )
            .await;
        assert_eq!(rows(&database).await, "1,1,1 2,2,2 10,30,30 11,40,40", "PostgreSQL {}", version.major);
        // A trigger that takes a change back.
        database.execute(&trigger("keep", "UPDATE", "IF NEW.id = 2 THEN NEW.c := OLD.c; END IF;")).await;
        database.execute("UPDATE t SET c = 50 WHERE id = 2; UPDATE t SET d = 60 WHERE id = 2").await;
        assert_eq!(rows(&database).await, "1,1,1 2,2,2 10,30,30 11,40,40");
        // One that knows the new name.
        database.execute("DROP TRIGGER keep ON t; DROP TRIGGER round_down ON t").await;
        database
            .execute(&trigger(
                "double",
                "INSERT OR UPDATE",
                "IF NEW.id = 1 THEN NEW.d := coalesce(NEW.d, 0) + 1; END IF;",
            ))
            .await;
        database.execute("UPDATE t SET c = 5 WHERE id = 1").await;
        assert_eq!(rows(&database).await, "1,6,6 2,2,2 10,30,30 11,40,40");
        database.execute("UPDATE t SET d = 7 WHERE id = 1").await;
        assert_eq!(rows(&database).await, "1,8,8 2,2,2 10,30,30 11,40,40");
        database.execute("UPDATE t SET u = 2 WHERE id = 1").await;
        assert_eq!(rows(&database).await, "1,9,9 2,2,2 10,30,30 11,40,40");
        // A trigger that writes the same table.
        database
            .execute(&trigger(
                "another",
                "UPDATE",
                "IF NEW.id = 2 AND pg_trigger_depth() = 1 THEN UPDATE t SET d = 70 WHERE id = 10; NEW.c := 3; END IF;",
            ))
            .await;
        database.execute("UPDATE t SET d = 60 WHERE id = 2").await;
        assert_eq!(rows(&database).await, "1,9,9 2,3,3 10,70,70 11,40,40");
        database.execute("DROP TRIGGER guard ON t; DROP TRIGGER another ON t; DROP TRIGGER double ON t").await;
        let parsed = crossfade::plan::parse("plan", &text).unwrap();
        let finish = tool(&database.url).run(&parsed, &text, None).await.unwrap();
        assert_eq!(finish.state, Standing::Done);
        let left: i64 = database.scalar("SELECT count(*) FROM pg_trigger WHERE tgrelid = 't'::regclass").await;
        assert_eq!(left, 0);
    }
}

/// The shape is looked at again in each phase, not only before the run.
#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_comes_in_week_two_is_surrounded() {
    for version in versions() {
        let database = Database::on(&version).await;
        database.execute("CREATE TABLE t (id int PRIMARY KEY, c text); INSERT INTO t VALUES (1, 'a')").await;
        let text = plan("change_type: { column: c, to: varchar(10), using: \"left(c, 10)\", reverse: d, via: d }");
        run_to(&database, &text, Some(Phase::Backfill)).await;
        database.execute(&trigger("lower", "INSERT OR UPDATE", "NEW.c := lower(NEW.c);")).await;
        run_to(&database, &text, Some(Phase::Verify)).await;
        let entries: i64 =
            database.scalar("SELECT count(*) FROM crossfade.event WHERE entry ->> 'kind' = 'surrounded'").await;
        assert_eq!(entries, 1, "PostgreSQL {}", version.major);
        database.execute("INSERT INTO t (id, c) VALUES (2, 'B'); UPDATE t SET c = 'C' WHERE id = 1; INSERT INTO t (id, d) VALUES (3, 'D')").await;
        assert_eq!(rows(&database).await, "1,c,c 2,b,b 3,d,d");
        run_to(&database, &text, Some(Phase::Switch)).await;
        // The names are swapped, and the trigger now means the new column. A session that called it before remembers types.
        let mut fresh = PgConnection::connect(&database.url).await.unwrap();
        let writes = "INSERT INTO t (id, c) VALUES (4, 'E'); UPDATE t SET c = 'F' WHERE id = 1; UPDATE t SET d = 'G' WHERE id = 2";
        sqlx::raw_sql(writes).execute(&mut fresh).await.unwrap();
        assert_eq!(rows(&database).await, "1,f,f 2,g,g 3,d,d 4,e,e");
        // One that would fire after all of crossfade's is not gone around, but found.
        database.execute("ALTER TRIGGER lower ON t RENAME TO \"~~~\"").await;
        let parsed = crossfade::plan::parse("plan", &text).unwrap();
        let error = tool(&database.url).run(&parsed, &text, None).await.unwrap_err();
        assert!(matches!(error, crossfade::runner::Error::Drifted { .. }), "{error:?}");
        database.execute("ALTER TRIGGER \"~~~\" ON t RENAME TO lower").await;
        run_to(&database, &text, None).await;
        assert_eq!(
            database.scalar::<String>("SELECT string_agg(concat_ws(',', id, c), ' ' ORDER BY id) FROM t").await,
            "1,f 2,g 3,d 4,e"
        );
    }
}
