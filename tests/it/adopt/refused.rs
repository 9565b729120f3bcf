//! Why a column cannot be taken over, each with the statement that mends it: once it is done, the plan is accepted.

use crossfade::plan::parse;

use super::rename;
use crate::harness::{Database, tool, versions};

/// What is on the table, what is said of it, what the help has, and what mends it.
const REFUSED: &[(&str, &str, &str, &str)] = &[
    (
        "ALTER TABLE t ADD b varchar(10)",
        "its type is character varying(10), and the plan makes it text",
        "ALTER COLUMN \"b\" TYPE text USING \"b\"::text;",
        "ALTER TABLE t ALTER COLUMN b TYPE text USING b::text",
    ),
    (
        "ALTER TABLE t ADD b text COLLATE \"C\"",
        "its type is text COLLATE pg_catalog.\"C\", and the plan makes it text",
        "TYPE text",
        "ALTER TABLE t ALTER COLUMN b TYPE text USING b::text",
    ),
    (
        "ALTER TABLE t ADD b text NOT NULL DEFAULT ''",
        "it is NOT NULL, which the run proves itself",
        "ALTER TABLE \"public\".\"t\" ALTER COLUMN \"b\" DROP NOT NULL;",
        "ALTER TABLE t ALTER COLUMN b DROP NOT NULL",
    ),
    (
        "ALTER TABLE t ADD b text GENERATED ALWAYS AS (c || '') STORED",
        "it is a generated column",
        "ALTER COLUMN \"b\" DROP EXPRESSION;",
        "ALTER TABLE t ALTER COLUMN b DROP EXPRESSION",
    ),
    (
        "ALTER TABLE t ADD b text CONSTRAINT short CHECK (length(b) < 9)",
        "constraint short on table public.t uses it, and could refuse what is filled in",
        "DROP CONSTRAINT \"short\";",
        "ALTER TABLE t DROP CONSTRAINT short",
    ),
    (
        "ALTER TABLE t ADD b text REFERENCES other (x)",
        "constraint t_b_fkey on table public.t uses it, and could refuse what is filled in",
        "DROP CONSTRAINT \"t_b_fkey\";",
        "ALTER TABLE t DROP CONSTRAINT t_b_fkey",
    ),
    (
        "ALTER TABLE t ADD b text; CREATE UNIQUE INDEX u ON t (b)",
        "index \"u\" is unique, so writes of the old column could fail while rows are filled",
        "DROP INDEX CONCURRENTLY public.u;",
        "DROP INDEX u",
    ),
    (
        "ALTER TABLE t ADD b text; CREATE INDEX u ON t (b, a)",
        "index \"u\" holds the old column, too",
        "DROP INDEX CONCURRENTLY public.u;",
        "DROP INDEX u",
    ),
    (
        "ALTER TABLE t ADD b text; CREATE INDEX u ON t (lower(b))",
        "index \"u\" has an expression, which could fail for what is filled in",
        "DROP INDEX CONCURRENTLY public.u;",
        "DROP INDEX u",
    ),
    (
        "ALTER TABLE t ADD b text; ALTER TABLE t ADD g text GENERATED ALWAYS AS (b || '') STORED",
        "column g of table public.t uses it, and could refuse what is filled in",
        "ALTER COLUMN \"g\" DROP EXPRESSION;",
        "ALTER TABLE t ALTER COLUMN g DROP EXPRESSION",
    ),
    (
        "ALTER TABLE t ADD b text; CREATE POLICY p ON t USING (b <> '')",
        "policy p on table public.t uses it, and could refuse what is filled in",
        "DROP POLICY \"p\" ON \"public\".\"t\";",
        "DROP POLICY p ON t",
    ),
    (
        "ALTER TABLE t ADD b text; CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.b := NEW.a; RETURN NEW; END';
         CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
        "trigger \"g\" (function public.f()) names it",
        "write `replaces: [g]` under `adopt`, and crossfade's takes its place; if it has another purpose, `keeps: [g]`",
        "DROP TRIGGER g ON t",
    ),
    (
        "ALTER TABLE t ADD b text; CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         CREATE TRIGGER g AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f('a', 'b')",
        "trigger \"g\" (function public.f()) names it",
        "`replaces: [g]`",
        "DROP TRIGGER g ON t",
    ),
    (
        "ALTER TABLE t ADD b text; CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         CREATE TRIGGER g AFTER UPDATE OF b ON t FOR EACH ROW EXECUTE FUNCTION f()",
        "trigger \"g\" (function public.f()) names it",
        "`replaces: [g]`",
        "DROP TRIGGER g ON t",
    ),
];

async fn table(database: &Database) {
    database
        .execute("CREATE TABLE other (x text PRIMARY KEY); CREATE TABLE t (id int PRIMARY KEY, a text, c text); INSERT INTO t VALUES (1, 'x', '')")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reason_is_told_with_what_mends_it() {
    let text = rename("");
    let plan = parse("plan.yaml", &text).unwrap();
    for version in versions() {
        for (sql, says, help, mends) in REFUSED {
            let database = Database::on(&version).await;
            table(&database).await;
            database.execute(sql).await;
            let tool = tool(&database.url);
            let found = tool.preview(&plan).await.unwrap().refusals;
            let [finding] = found.as_slice() else { panic!("{sql} on {}: {found:#?}", version.major) };
            assert_eq!(finding.code, "catalog::adopt");
            assert_eq!(finding.message, format!("column \"b\" of public.t cannot be taken over: {says}"), "{sql}");
            assert!(finding.help.contains(help), "{sql}: {}", finding.help);
            database.execute(mends).await;
            let found = tool.preview(&plan).await.unwrap().refusals;
            assert!(found.is_empty(), "{mends} on {}: {found:#?}", version.major);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_plan_says_must_be_there() {
    let database = Database::new().await;
    table(&database).await;
    let tool = tool(&database.url);
    let lines = async |adopt: &str| -> Vec<String> {
        let plan = parse("plan.yaml", &rename(adopt)).unwrap();
        let found = tool.preview(&plan).await.unwrap().refusals;
        found.into_iter().map(|finding| format!("{} ({})", finding.message, finding.help)).collect()
    };
    assert_eq!(
        lines("").await,
        [
            "public.t has no column \"b\" that could be taken over (remove `adopt`: crossfade then adds the column itself)"
        ]
    );
    database
        .execute(
            "ALTER TABLE t ADD b text; CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
             CREATE TRIGGER copy_a BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
        )
        .await;
    assert_eq!(
        lines("replaces: [copy_b]").await,
        [
            "column \"b\" of public.t cannot be taken over: the table has no trigger \"copy_b\" (did you mean \"copy_a\"?)"
        ]
    );
    assert!(lines("replaces: [copy_a]").await.is_empty());
}

/// A plan that says nothing of the column is refused with what the column is, and with what can be typed to set it aside.
#[tokio::test(flavor = "multi_thread")]
async fn without_adopt_the_column_is_described_and_can_be_set_aside() {
    let text = rename("").replace(", adopt: {  }", "");
    let plan = parse("plan.yaml", &text).unwrap();
    assert!(plan.pairs().all(|(_, pair)| pair.adopt.is_none()));
    for version in versions() {
        let database = Database::on(&version).await;
        database
            .execute(
                "CREATE TABLE t (id int PRIMARY KEY, a text, b text DEFAULT 'none' NOT NULL);
                 INSERT INTO t SELECT n, 'v' || n, CASE WHEN n % 2 = 0 THEN 'v' || n ELSE 'own' END FROM generate_series(1, 100) n;
                 CREATE FUNCTION mine() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.b := NEW.a; RETURN NEW; END $$;
                 CREATE TRIGGER mine BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION mine()",
            )
            .await;
        let tool = tool(&database.url);
        let refusals = tool.preview(&plan).await.unwrap().refusals;
        let [finding] = refusals.as_slice() else { panic!("{refusals:?}") };
        assert_eq!(
            (finding.code, finding.message.as_str()),
            (
                "catalog::name_taken",
                "the new name \"b\" is taken by another column of public.t (text, NOT NULL, default 'none'::text, named in trigger \"mine\" by function public.mine())"
            )
        );
        assert!(finding.help.contains("write `adopt: { replaces: [mine] }` into it"), "{}", finding.help);
        let rest = &finding.help[finding.help.find("BEGIN;").unwrap()..];
        database.execute(&rest[..rest.find(" sets it aside").unwrap()]).await;
        tool.run(&plan, &text, None).await.unwrap();
        let (right, own): (i64, i64) = (
            database.scalar("SELECT count(*) FROM t WHERE b = 'v' || id").await,
            database.scalar("SELECT count(*) FROM t WHERE b_by_hand = 'own'").await,
        );
        assert_eq!((right, own), (100, 50));
    }
}
