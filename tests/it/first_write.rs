//! The first write under the new names, tried where they are given: a trigger that names the old column, in a text that PostgreSQL
//! does not know, keeps the run from giving them, and not the applications from writing.

use crossfade::plan::Plan;
use crossfade::run::Phase;
use crossfade::runner::{Error, Tool};

use crate::harness::{Cli, Database, tool, versions, versions_of};

const TEXT: &str = "version: 1\nname: w\ntable: public.t\nchanges: [{ rename_column: { from: a, to: b } }]\n\
                    contract: { grace: 1h, quiet: 0s }\n";
const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, a text, found tsvector, note text);
     INSERT INTO t SELECT g, 'x' || g, NULL, CASE WHEN g < 4 THEN 'frozen' ELSE 'n' END FROM generate_series(1, 20) g;";

fn plan() -> Plan {
    crossfade::plan::parse("plan.yaml", TEXT).unwrap()
}

/// A database whose run is at the end of `switch`.
async fn switched(version: &crate::harness::Version, setup: &str) -> (Database, Tool) {
    let database = Database::on(version).await;
    database.execute(&format!("{TABLE} {setup}")).await;
    let tool = tool(&database.url);
    tool.run(&plan(), TEXT, Some(Phase::Switch)).await.unwrap_or_else(|error| panic!("{setup}: {error:?}"));
    (database, tool)
}

/// Goes to the grace period; returns what was wrong.
async fn retire(tool: &Tool) -> Result<(), String> {
    match tool.run(&plan(), TEXT, None).await {
        Err(Error::NotYet(_)) => Ok(()),
        Err(Error::WriteFails { error, .. }) => Err(error),
        other => panic!("{other:?}"),
    }
}

async fn columns(database: &Database) -> String {
    database
        .scalar("SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0")
        .await
}

/// Triggers that name the old column, how they are mended, and what the run says of them.
const NAMING: [(&str, &str, &str); 5] = [
    (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           NEW.note := NEW.a; RETURN NEW; END $$;
         CREATE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()",
        "CREATE OR REPLACE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := NEW.b; RETURN NEW; END $$",
        "record \"new\" has no field \"a\" [SQLSTATE 42703], in PL/pgSQL function f() line 2 at assignment",
    ),
    (
        "CREATE TABLE audit (was text);
         CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           INSERT INTO audit SELECT OLD.a; RETURN NULL; END $$;
         CREATE TRIGGER g AFTER UPDATE OF a ON t FOR EACH ROW EXECUTE FUNCTION f()",
        "CREATE OR REPLACE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO audit SELECT OLD.b; RETURN NULL; END $$",
        "record \"old\" has no field \"a\" [SQLSTATE 42703], in SQL statement \"INSERT INTO audit SELECT OLD.a\" / PL/pgSQL function f() line 2",
    ),
    (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           EXECUTE format('SELECT to_tsvector(''pg_catalog.simple'', ($1).%I)', TG_ARGV[0]) INTO NEW.found USING NEW; RETURN NEW; END $$;
         CREATE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f(a)",
        "CREATE OR REPLACE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f(b)",
        "[SQLSTATE 42703], in PL/pgSQL function f() line 2 at EXECUTE",
    ),
    (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE v text; BEGIN
           EXECUTE format('SELECT ($1).%I', TG_ARGV[0]) INTO v USING NEW;
           RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER g AFTER UPDATE ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION f('a')",
        "DROP TRIGGER g ON t;
         CREATE CONSTRAINT TRIGGER g AFTER UPDATE ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION f('b')",
        "in PL/pgSQL function f() line 2 at EXECUTE",
    ),
    (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           IF to_jsonb(NEW) ->> 'a' IS NULL THEN RAISE 'nothing in a'; END IF; RETURN NEW; END $$;
         CREATE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()",
        "CREATE OR REPLACE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
        "nothing in a [SQLSTATE P0001], in PL/pgSQL function f() line 2 at RAISE",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_names_the_old_column_is_found_before_anything_is_renamed() {
    for (n, (setup, mend, says)) in NAMING.into_iter().enumerate() {
        for version in versions_of(n) {
            let (database, tool) = switched(&version, setup).await;
            let before = columns(&database).await;
            let error = retire(&tool).await.unwrap_err();
            assert!(error.contains(says), "{error}");
            assert!(!error.contains("UPDATE ONLY") && !error.contains("inline_code_block"), "{error}");
            // Applications go on as before, under either name.
            assert_eq!(columns(&database).await, before, "{setup}");
            database.execute("UPDATE t SET a = 'old' WHERE id = 5; UPDATE t SET b = 'new' WHERE id = 6").await;
            assert!(retire(&tool).await.is_err(), "{setup}: nobody has mended it");
            database.execute(mend).await;
            retire(&tool).await.unwrap_or_else(|error| panic!("mended by {mend}: {error}"));
            assert!(columns(&database).await.starts_with("id b found note"), "{setup}");
            database.execute("UPDATE t SET b = 'after' WHERE id = 5").await;
            tool.rollback("w", Some(Phase::Switch)).await.unwrap();
        }
    }
}

/// Neither what a table's triggers have always refused, nor a table without rows, is in the way; no value changes, and nothing is
/// counted as a write of an application.
#[tokio::test(flavor = "multi_thread")]
async fn what_failed_before_the_renames_is_not_in_their_way() {
    const FROZEN: &str = "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           IF OLD.note = 'frozen' THEN RAISE 'frozen'; END IF; NEW.note := coalesce(NEW.note, '') || '!'; RETURN NEW; END $$;
         CREATE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f(); ALTER TABLE t DISABLE TRIGGER g";
    const CONTENTS: &str =
        "SELECT string_agg(to_jsonb(x)::text, ' ' ORDER BY id) FROM (SELECT id, a, b, note FROM t) x";
    const COUNTED: &str = "SELECT sum(last_value)::bigint FROM pg_sequences WHERE schemaname = 'crossfade' \
         AND sequencename ~ '^(old|new)_'";
    for version in versions() {
        let (database, tool) = switched(&version, FROZEN).await;
        database.execute("ALTER TABLE t ENABLE TRIGGER g").await;
        let before: String = database.scalar(CONTENTS).await;
        assert_eq!(database.scalar::<i64>(COUNTED).await, 0);
        retire(&tool).await.unwrap();
        assert_eq!(database.scalar::<i64>(COUNTED).await, 0);
        tool.rollback("w", Some(Phase::Switch)).await.unwrap();
        assert_eq!(database.scalar::<String>(CONTENTS).await, before);
        // Each row is refused now, or there is none.
        database
            .execute("ALTER TABLE t DISABLE TRIGGER g; UPDATE t SET note = 'frozen'; ALTER TABLE t ENABLE TRIGGER g")
            .await;
        retire(&tool).await.unwrap();
        tool.rollback("w", Some(Phase::Switch)).await.unwrap();
        database.execute("DELETE FROM t").await;
        retire(&tool).await.unwrap();
    }
}

/// An attempt that fails writes nothing that somebody would have to wait for.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_is_no_write_to_the_old_column() {
    let (setup, _, _) = NAMING[0];
    let (database, tool) = switched(&versions()[0], setup).await;
    let counter = "SELECT last_value FROM crossfade.writes_old_w";
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT sequencename::text FROM pg_sequences WHERE schemaname = 'crossfade' AND sequencename LIKE '%old%'",
    )
    .fetch_all(&database.pool)
    .await
    .unwrap();
    let counter = match names.as_slice() {
        [name] => format!("SELECT last_value FROM crossfade.\"{name}\""),
        _ => panic!("{counter}: {names:?}"),
    };
    let before: i64 = database.scalar(&counter).await;
    retire(&tool).await.unwrap_err();
    assert_eq!(database.scalar::<i64>(&counter).await, before);
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), TEXT).unwrap();
    let said = Cli::new(&database.url).args(["run".as_ref(), file.path().as_os_str()]).run().await;
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    insta::assert_snapshot!(said.stderr.split("error[").nth(1).unwrap(), @r#"
    run::write_fails]: step contract.retire was undone: with the new names an UPDATE fails that works now: record "new" has no field "a" [SQLSTATE 42703], in PL/pgSQL function f() line 2 at assignment
      help: what an UPDATE calls, most likely a trigger of the table, still names the old column, in the text of a function or among a trigger's arguments: make it use the new name, which the table has already, then run again
      help: `crossfade rollback` takes the run back
    "#);
}

/// An identity column that is always generated can be set to DEFAULT and to nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_always_generated_is_left_alone() {
    let text = TEXT.replace("from: a", "from: id");
    let plan = crossfade::plan::parse("plan.yaml", &text).unwrap();
    let setup = "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM NEW.id; RETURN NEW; END $$;
         CREATE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()";
    for version in versions() {
        let database = Database::on(&version).await;
        database
            .execute(&format!("CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY, note text); INSERT INTO t (note) VALUES ('n'); {setup}"))
            .await;
        let tool = tool(&database.url);
        let ended = tool.run(&plan, &text, None).await.unwrap_err();
        assert!(matches!(&ended, Error::WriteFails { error, .. } if error.contains("\"id\"")), "{ended}");
        database.execute("CREATE OR REPLACE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM NEW.b; RETURN NEW; END $$").await;
        let ended = tool.run(&plan, &text, None).await.unwrap_err();
        assert!(matches!(ended, Error::NotYet(_)), "{ended}");
    }
}
