//! What is seen during a run, and what is warned of before it.

use crossfade::catalog::{dependants, holds};
use crossfade::ident::TableName;
use crossfade::names::LedgerSchema;
use crossfade::run::{Is, Relation, RelationId};

use super::{facts_of, lines, look, plan, rename, retype};
use crate::harness::{Database, versions};

#[tokio::test]
async fn a_step_is_done_when_the_catalog_says_so() {
    let body = "BEGIN RETURN NEW; END";
    let sha256 = crossfade::ident::sha256_hex(body);
    let name = str::to_owned;
    for version in versions() {
        let database = Database::on(&version).await;
        database
            .execute(&format!(
                "CREATE SCHEMA crossfade; CREATE SCHEMA \"My\"; CREATE TYPE \"My\".\"Mood\" AS ENUM ('a');
                 CREATE FUNCTION crossfade.f() RETURNS trigger LANGUAGE plpgsql AS '{body}';
                 CREATE TABLE \"My\".\"T\" (id int NOT NULL, a varchar(10), b \"My\".\"Mood\"[], c numeric(5,2) CHECK (c > 0), d int, e \"My\".\"Mood\");
                 ALTER TABLE \"My\".\"T\" DROP COLUMN d, ADD CONSTRAINT late CHECK (id > 0) NOT VALID;
                 CREATE INDEX good ON \"My\".\"T\" (a); CREATE INDEX bad ON \"My\".\"T\" (a);
                 UPDATE pg_index SET indisready = false WHERE indexrelid = '\"My\".bad'::regclass;
                 CREATE TRIGGER on_ BEFORE UPDATE ON \"My\".\"T\" FOR EACH ROW EXECUTE FUNCTION crossfade.f();
                 CREATE TRIGGER off BEFORE UPDATE ON \"My\".\"T\" FOR EACH ROW EXECUTE FUNCTION crossfade.f();
                 ALTER TABLE \"My\".\"T\" DISABLE TRIGGER off;"
            ))
            .await;
        let column = |column: &str, type_name: &str| Is::Column { name: name(column), type_name: name(type_name) };
        let facts = [
            (column("a", "character varying(10)"), true),
            (column("a", "character varying"), false),
            (column("b", "\"My\".\"Mood\"[]"), true),
            (column("e", "\"My\".\"Mood\""), true),
            (column("c", "numeric(5,2)"), true),
            (column("d", "integer"), false),
            (Is::NoColumn { name: name("d") }, true),
            (Is::NoColumn { name: name("a") }, false),
            (Is::Trigger { name: name("on_") }, true),
            (Is::Trigger { name: name("off") }, false),
            (Is::Trigger { name: name("none") }, false),
            (Is::Function { name: name("f"), sha256: sha256.clone() }, true),
            (Is::Function { name: name("f"), sha256: name("00") }, false),
            (Is::NoFunction { name: name("f") }, false),
            (Is::NoFunction { name: name("g") }, true),
            (Is::Index { name: name("good") }, true),
            (Is::Index { name: name("bad") }, false),
            (Is::Index { name: name("none") }, false),
            (Is::Constraint { name: name("T_c_check") }, true),
            (Is::Constraint { name: name("late") }, false),
            (Is::NoConstraint { name: name("late") }, false),
            (Is::NoConstraint { name: name("none") }, true),
            (Is::NotNull { column: name("id"), is: true }, true),
            (Is::NotNull { column: name("id"), is: false }, false),
            (Is::NotNull { column: name("a"), is: false }, true),
            (Is::NotNull { column: name("d"), is: false }, false),
        ];
        let on = RelationId::MAIN;
        let ask: Vec<_> = facts.iter().map(|(is, _)| is.clone().on(on)).collect();
        // A table is known by its oid.
        let oid = database.scalar("SELECT '\"My\".\"T\"'::regclass::oid::bigint").await;
        let tables = [Relation { table: TableName::new("My", "T").unwrap(), oid, partitioned: false }];
        // Whatever the search_path hides or shows.
        for path in ["\"My\", public", "''", "pg_catalog, pg_temp"] {
            let mut connection = database.pool.acquire().await.unwrap();
            sqlx::query(sqlx::AssertSqlSafe(format!("SET search_path = {path}")))
                .execute(&mut *connection)
                .await
                .unwrap();
            let answers = holds(&mut connection, &tables, &LedgerSchema::default(), &ask).await.unwrap();
            for (((_, expected), condition), answer) in facts.iter().zip(&ask).zip(answers) {
                assert_eq!(answer, *expected, "PostgreSQL {} ({path}): {condition}", version.major);
            }
        }
        if version.major >= 18 {
            database.execute("ALTER TABLE \"My\".\"T\" ADD CONSTRAINT nn NOT NULL a NOT VALID").await;
            let mut connection = database.pool.acquire().await.unwrap();
            let ask =
                [Is::NotNull { column: name("a"), is: true }, Is::Constraint { name: name("nn") }].map(|is| is.on(on));
            assert_eq!(holds(&mut connection, &tables, &LedgerSchema::default(), &ask).await.unwrap(), [false, false]);
        }
    }
}

#[tokio::test]
async fn what_goes_with_a_column_is_listed() {
    for version in versions() {
        let database = Database::on(&version).await;
        database
            .execute(
                "CREATE TABLE t (id int, a int NOT NULL DEFAULT 3 UNIQUE, b int); CREATE INDEX i ON t (id) WHERE a > 1; CREATE INDEX j ON t (id);
                 CREATE VIEW v AS SELECT a FROM t; CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
                 CREATE TRIGGER \"~~crossfade_x\" BEFORE UPDATE OF a ON t FOR EACH ROW EXECUTE FUNCTION f();",
            )
            .await;
        let mut connection = database.pool.acquire().await.unwrap();
        let table = TableName::parse("t").unwrap();
        let all = dependants(&mut connection, &table, "a").await.unwrap();
        let all: Vec<_> = all.iter().map(|d| (d.kind.as_str(), d.name.as_str())).collect();
        assert_eq!(all, [("index", "i"), ("index", "t_a_key"), ("unique", "t_a_key"), ("view", "v")]);
        assert_eq!(dependants(&mut connection, &table, "b").await.unwrap(), []);
        assert_eq!(dependants(&mut connection, &table, "none").await.unwrap(), []);
    }
}

#[tokio::test]
async fn warnings_name_what_to_look_at() {
    for version in versions() {
        let database = Database::on(&version).await;
        database
            .execute(
                "CREATE UNLOGGED TABLE t (id int, a text DEFAULT 'x', at timestamptz);
                 CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.at := now(); RETURN NEW; END';
                 CREATE TRIGGER stamped BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION stamp();
                 CREATE TRIGGER elsewhere BEFORE UPDATE OF id ON t FOR EACH ROW EXECUTE FUNCTION stamp();
                 CREATE FUNCTION count_a() RETURNS bigint LANGUAGE plpgsql AS 'DECLARE n bigint; BEGIN SELECT count(a) INTO n FROM t; RETURN n; END';
                 CREATE FUNCTION by_b(b text) RETURNS SETOF t LANGUAGE sql AS 'SELECT * FROM t WHERE a = b';
                 CREATE PROCEDURE clean() LANGUAGE plpgsql AS 'BEGIN DELETE FROM t WHERE id = 0; END';
                 CREATE VIEW whole AS SELECT to_json(t) AS j FROM t;
                 CREATE FUNCTION noticed() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
                 CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION noticed();",
            )
            .await;
        let found = look(&database, &plan("t", vec![rename("a", "b")])).await;
        assert_eq!(lines(&found.refusals), Vec::<String>::new());
        let expected = [
            "catalog::event_trigger: event triggers run inside crossfade's DDL: watch",
            "catalog::unlogged: public.t is unlogged: a crash or a failover empties it",
            "catalog::trigger_on_backfill: the backfill updates every row of public.t once, and fires \"stamped\"",
            "catalog::whole_row: whole rows of public.t are used by function public.by_b(text) and view public.whole",
            "catalog::function_text: column \"a\" is named in the text of public.by_b(text) and public.count_a()",
            "catalog::name_capture: the new name \"b\" already occurs in public.by_b(text)",
            "catalog::positions: from expand on, COPY and INSERT without a list of columns may fail or write to the wrong columns of public.t",
        ];
        assert_eq!(lines(&found.warnings), expected, "PostgreSQL {}", version.major);
        assert!(found.facts.unwrap().main().other_before_triggers);
        let facts = look(&database, &plan("t", vec![retype("a", "int", None, None)])).await;
        assert!(lines(&facts.refusals)[0].starts_with("catalog::default"));
        database.execute("ALTER TABLE t ALTER a DROP DEFAULT").await;
        let found = look(&database, &plan("t", vec![retype("a", "int", None, None)])).await;
        let touched: Vec<_> =
            found.facts.unwrap().main().functions_to_touch.clone().into_iter().map(|f| (f.signature, f.cost)).collect();
        assert_eq!(
            touched,
            [("public.count_a()".to_owned(), "100".to_owned()), ("public.stamp()".to_owned(), "100".to_owned())]
        );
        let cached = found.warnings.iter().find(|w| w.code == "catalog::function_cache").unwrap();
        assert_eq!(cached.message, "sessions that have called public.clean() remember the old type");
        // What its function looks like says nothing, nor does it that it is disabled.
        let rename_a = plan("t", vec![rename("a", "b")]);
        for change in ["DROP TRIGGER elsewhere ON t", "ALTER TABLE t DISABLE TRIGGER stamped"] {
            database.execute(change).await;
            assert!(facts_of(&database, &rename_a).await.main().other_before_triggers, "{change}");
        }
        let after = "CREATE TRIGGER s AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION stamp()";
        database.execute(&format!("DROP TRIGGER stamped ON t; {after}")).await;
        assert!(!facts_of(&database, &rename_a).await.main().other_before_triggers);
        // A default that cannot be told from a value: then NULL cannot be told from no value.
        database.execute("ALTER TABLE t ALTER a SET DEFAULT gen_random_uuid()::text").await;
        let found = look(&database, &rename_a).await;
        let expected =
            "catalog::null_or_default: column \"a\" may be NULL and has the default (gen_random_uuid())::text";
        assert!(lines(&found.warnings).contains(&expected.to_owned()), "{found:#?}");
    }
}
