//! Columns that somebody renames in the middle of a run, in sessions that have written before: no write fails, none is forgotten
//! once the name is back, and nothing depends on what an old snapshot shows.

use crossfade::run::Phase;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::harness::{Database, PATIENCE, tool, versions, wait_for};

const PLAN: &str = "version: 1\nname: gone\ntable: t\nchanges:\n  - rename_column: { from: c, to: d }\ncontract: { grace: 0s, quiet: 0s }\n";

async fn run_to(database: &Database, to: Option<Phase>) {
    let plan = crossfade::plan::parse("plan", PLAN).unwrap();
    let finish = tool(&database.url).run(&plan, PLAN, to).await;
    finish.unwrap_or_else(|error| panic!("{error:?}"));
}

async fn write(connection: &mut PgConnection, statement: &str) {
    let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(connection).await;
    done.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_has_written_before_notices_a_rename_and_its_end() {
    for version in versions() {
        for other_triggers in [false, true] {
            let database = Database::on(&version).await;
            database
                .execute(
                    "CREATE TABLE t (id int PRIMARY KEY, c text, u int); INSERT INTO t VALUES (1, 'a', 0), (2, 'a', 0)",
                )
                .await;
            if other_triggers {
                database
                    .execute(
                        "CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.u := 1; RETURN NEW; END $$;
                         CREATE TRIGGER own BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION own()",
                    )
                    .await;
            }
            run_to(&database, Some(Phase::Verify)).await;
            let mut session = PgConnection::connect(&database.url).await.unwrap();
            let mut reader = PgConnection::connect(&database.url).await.unwrap();
            write(&mut session, "INSERT INTO t (id, c) VALUES (3, 'b'); UPDATE t SET c = 'b' WHERE id = 1").await;
            for (renamed, back, c, d) in [
                ("RENAME COLUMN c TO c2", "RENAME COLUMN c2 TO c", "c2", "d"),
                ("RENAME COLUMN d TO d2", "RENAME COLUMN d2 TO d", "c", "d2"),
            ] {
                write(
                    &mut reader,
                    "BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO t (id, c) VALUES (100, 'r'); ROLLBACK",
                )
                .await;
                write(&mut reader, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1").await;
                database.execute(&format!("ALTER TABLE t {renamed}")).await;
                for column in [c, d] {
                    write(&mut session, &format!("INSERT INTO t (id, {column}) VALUES (9, 'x'); UPDATE t SET {column} = 'y' WHERE id = 2; UPDATE t SET u = 5; DELETE FROM t WHERE id = 9")).await;
                }
                write(&mut session, &format!("UPDATE t SET {c} = 'a', {d} = 'a' WHERE id = 2")).await;
                write(&mut reader, &format!("INSERT INTO t (id, {c}) VALUES (101, 'r'); ROLLBACK; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")).await;
                database.execute(&format!("ALTER TABLE t {back}")).await;
                write(&mut reader, "INSERT INTO t (id, c) VALUES (102, 'r'); COMMIT").await;
                write(&mut session, "INSERT INTO t (id, d) VALUES (4, 'e'); UPDATE t SET d = 'f' WHERE id = 1").await;
                let rows: String =
                    database.scalar("SELECT string_agg(concat_ws(',', id, c, d), ' ' ORDER BY id) FROM t").await;
                assert_eq!(rows, "1,f,f 2,a,a 3,b,b 4,e,e 102,r,r", "{renamed} on PostgreSQL {}", version.major);
                database.execute("DELETE FROM t WHERE id IN (4, 102)").await;
            }
            // A table of another name.
            database.execute("ALTER TABLE t RENAME TO t2").await;
            write(&mut session, "INSERT INTO t2 (id, c) VALUES (5, 'g'); UPDATE t2 SET d = 'h' WHERE id = 1").await;
            let mut fresh = PgConnection::connect(&database.url).await.unwrap();
            write(&mut fresh, "INSERT INTO t2 (id, c) VALUES (6, 'g')").await;
            database.execute("ALTER TABLE t2 RENAME TO t").await;
            let rows: String =
                database.scalar("SELECT string_agg(concat_ws(',', id, c, d), ' ' ORDER BY id) FROM t").await;
            assert_eq!(rows, "1,h,h 2,a,a 3,b,b 5,g,g 6,g,g", "PostgreSQL {}", version.major);
            run_to(&database, None).await;
        }
    }
}

/// The run renames too: a transaction that began before sees the table as it was, and its writes are in sync all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_under_a_snapshot_from_before_the_swap_is_in_sync() {
    const PLAN: &str = "version: 1\nname: gone\ntable: t\nchanges:\n  - change_type: { column: c, to: bigint, reverse: \"d::integer\", via: d }\ncontract: { grace: 0s, quiet: 0s }\n";
    for version in versions() {
        let database = Database::on(&version).await;
        database.execute("CREATE TABLE t (id int PRIMARY KEY, c int); INSERT INTO t VALUES (1, 1)").await;
        let plan = crossfade::plan::parse("plan", PLAN).unwrap();
        let tool = tool(&database.url);
        tool.run(&plan, PLAN, Some(Phase::Verify)).await.unwrap();
        // The swap waits for snapshots that may be older than the fill: as long as another test's transaction is older, this one's is.
        let filled: String = database.scalar("SELECT pg_current_xact_id()::text").await;
        let newer = format!("SELECT pg_snapshot_xmin(pg_current_snapshot()) > '{filled}'::xid8");
        wait_for("all transactions from before the end of the fill to end", PATIENCE, async || {
            database.scalar(&newer).await
        })
        .await;
        let mut session = PgConnection::connect(&database.url).await.unwrap();
        write(&mut session, "INSERT INTO t (id, c) VALUES (2, 2)").await;
        write(&mut session, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1").await;
        tool.run(&plan, PLAN, Some(Phase::Switch)).await.unwrap();
        write(&mut session, "INSERT INTO t (id, c) VALUES (3, 3); COMMIT").await;
        write(&mut session, "INSERT INTO t (id, c) VALUES (4, 4)").await;
        let rows: String = database.scalar("SELECT string_agg(concat_ws(',', id, c, d), ' ' ORDER BY id) FROM t").await;
        assert_eq!(rows, "1,1,1 2,2,2 3,3,3 4,4,4", "PostgreSQL {}", version.major);
        tool.run(&plan, PLAN, None).await.unwrap();
    }
}
