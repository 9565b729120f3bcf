//! The rename of a generated column: what clients write to the columns that it is made of shows under both names, nobody writes the
//! mirror, and the end is that of plain RENAME.

use crossfade::plan::Plan;
use crossfade::run::Phase;
use crossfade::runner::Error;

use crate::harness::{Database, Writers, tool, versions};

/// `v` is generated from columns with a collation, a length and a name of their own; a trigger changes what it is made of, and another
/// one, which fires last by its name, does so too.
const SETUP: &str = r#"
    DO $$ BEGIN CREATE ROLE maker_neighbour LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
    CREATE TABLE t (
        id int PRIMARY KEY,
        "Net price" numeric(8,2) NOT NULL DEFAULT 1,
        kind varchar(10) COLLATE "C",
        v text GENERATED ALWAYS AS (CASE WHEN kind > 'b' THEN kind || ' ' ELSE '' END || ("Net price" * 2)::text) KIND CHECK (v <> ''),
        note text
    );
    COMMENT ON COLUMN t.v IS 'made';
    STORED
    CREATE VIEW seen AS SELECT id, v FROM t WHERE v <> 'x';
    CREATE FUNCTION dearer() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW."Net price" := NEW."Net price" + 1; RETURN NEW; END $$;
    CREATE TRIGGER a BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION dearer();
    CREATE TRIGGER "~z" BEFORE UPDATE OF "Net price" ON t FOR EACH ROW EXECUTE FUNCTION dearer();
    GRANT INSERT (id, "Net price", kind, note), UPDATE, SELECT, DELETE ON t TO maker_neighbour;
    INSERT INTO t (id, "Net price", kind) SELECT g, g, chr(96 + g % 5) FROM generate_series(1, 300) g"#;

fn setup() -> String {
    SETUP.replace("\n    STORED\n", "\n    CREATE INDEX by_v ON t (v, kind); CREATE STATISTICS st ON v, kind FROM t; ALTER TABLE t ADD UNIQUE (v, id);\n").replace(" KIND ", " STORED ")
}

fn text(grace: &str) -> String {
    format!(
        "version: 1\nname: made\ntable: public.t\nchanges: [{{ rename_column: {{ from: v, to: w }} }}]\ncontract: {{ grace: {grace}, quiet: 0s }}\n"
    )
}

fn plan(text: &str) -> Plan {
    crossfade::plan::parse("plan.yaml", text).unwrap()
}

const WRITING: [&str; 4] = [
    r#"INSERT INTO t (id, "Net price", kind) VALUES (1000 + {n}, {n} % 1000, 'c')"#,
    r#"UPDATE t SET "Net price" = {n} % 1000, kind = chr(97 + {n} % 5) WHERE id = {n} % 299 + 1"#,
    "UPDATE t SET note = 'n {n}' WHERE id = {n} % 300 + 1",
    "DELETE FROM t WHERE id = 1000 + {n} - 9",
];

/// What a client gives the mirror counts for nothing.
async fn overrules_writes(database: &Database, column: &str, other: &str) {
    database
        .execute(&format!(
            "INSERT INTO t (id, {column}) VALUES (-1, 'mine'); UPDATE t SET {column} = 'mine' WHERE id = 1"
        ))
        .await;
    let differ = format!(
        "SELECT count(*) FROM t WHERE id IN (1, -1) AND ({column} IS DISTINCT FROM {other} OR {column} = 'mine')"
    );
    assert_eq!(database.scalar::<i64>(&differ).await, 0);
    database.execute(&format!("UPDATE t SET {column} = DEFAULT WHERE id = 1; DELETE FROM t WHERE id = -1")).await;
    assert_eq!(database.scalar::<i64>(&differ).await, 0);
}

/// What a client does with the column itself.
async fn refuses_writes(database: &Database, column: &str) {
    for statement in [
        format!("INSERT INTO t (id, {column}) VALUES (-1, 'mine')"),
        format!("UPDATE t SET {column} = 'mine' WHERE id = 1"),
    ] {
        let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.clone())).execute(&database.pool).await.unwrap_err();
        let code = refused.as_database_error().and_then(sqlx::error::DatabaseError::code);
        assert_eq!(code.as_deref(), Some("428C9"), "{statement}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_column_has_both_names_while_clients_write() {
    for version in versions() {
        let database = Database::on(&version).await;
        database.execute(&setup()).await;
        let plain = Database::on(&version).await;
        plain.execute(&setup()).await;
        plain.execute("ALTER TABLE t RENAME v TO w").await;
        let schema = database.exact_schema().await;
        let (tool, differ) = (tool(&database.url), "SELECT count(*) FROM t WHERE v IS DISTINCT FROM w");
        let (_, place) = database.url.split_once('@').unwrap();
        let url = format!("postgres://maker_neighbour@{place}");
        let writers = Writers::start(&url, 2, &WRITING);
        let (at_rest, to_the_end) = (text("1h"), text("0s"));
        tool.run(&plan(&at_rest), &at_rest, Some(Phase::Expand)).await.unwrap();
        writers.more(60).await;
        refuses_writes(&database, "v").await;
        overrules_writes(&database, "w", "v").await;
        tool.run(&plan(&at_rest), &at_rest, Some(Phase::Switch)).await.unwrap();
        writers.more(40).await;
        assert_eq!(database.scalar::<i64>(differ).await, 0);
        // What was read may be written back.
        database.execute("UPDATE t SET w = w WHERE id < 5").await;
        let ended = tool.run(&plan(&at_rest), &at_rest, None).await;
        assert!(matches!(ended, Err(Error::NotYet(_))), "{ended:?}");
        writers.more(40).await;
        refuses_writes(&database, "w").await;

        tool.rollback("made", Some(Phase::Switch)).await.unwrap();
        writers.more(40).await;
        assert_eq!(database.scalar::<i64>(differ).await, 0);
        tool.rollback("made", None).await.unwrap();
        writers.more(20).await;
        assert_eq!(database.exact_schema().await, schema);

        tool.run(&plan(&to_the_end), &to_the_end, None).await.unwrap();
        writers.more(20).await;
        writers.stop().await;
        assert_eq!(database.exact_schema().await, plain.exact_schema().await, "{}", version.major);
    }
}

/// Somebody else's DDL on what the column is made of.
#[tokio::test(flavor = "multi_thread")]
async fn what_others_change_of_its_expression_fails_no_write_and_stops_the_run() {
    let at_rest = text("1h");
    for (ddl, says) in [
        (r#"ALTER TABLE t RENAME "Net price" TO price"#, "is generated as"),
        ("ALTER TABLE t ALTER v DROP EXPRESSION", r#"column "v" is not generated, and was generated as"#),
    ] {
        let database = Database::new().await;
        database.execute(&setup()).await;
        database.execute(r#"DROP TRIGGER a ON t; DROP TRIGGER "~z" ON t"#).await;
        let tool = tool(&database.url);
        tool.run(&plan(&at_rest), &at_rest, Some(Phase::Backfill)).await.unwrap();
        database.execute(ddl).await;
        database.execute("INSERT INTO t (id, kind) VALUES (5000, 'x'); UPDATE t SET kind = 'y' WHERE id = 3").await;
        let ended = tool.run(&plan(&at_rest), &at_rest, None).await.unwrap_err();
        assert!(ended.to_string().contains(says), "{ddl}: {ended}");
        // Nothing of the mirror can be lost.
        database.execute("UPDATE t SET note = 'x'").await;
        tool.rollback("made", None).await.unwrap();
    }
}

/// What is refused beforehand, by name.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_changes_what_it_is_made_of_is_refused() {
    let database = Database::new().await;
    database.execute(&setup()).await;
    let two = text("1h").replace("changes: [", "changes: [{ rename_column: { from: kind, to: sort } }, ");
    let refused = tool(&database.url).preview(&plan(&two)).await.unwrap().refusals;
    let said: Vec<_> = refused.iter().map(|f| format!("{}: {}", f.code, f.message)).collect();
    assert_eq!(
        said,
        [
            r#"catalog::generated_column: column "v" of public.t is generated from column "kind", which the plan changes too"#
        ]
    );
    database.execute("CREATE TABLE here (id int, v text GENERATED ALWAYS AS (tableoid::text || id) STORED)").await;
    let refused =
        tool(&database.url).preview(&plan(&text("1h").replace("public.t", "public.here"))).await.unwrap().refusals;
    assert!(refused.iter().any(|f| f.message.ends_with("is generated from tableoid")), "{refused:?}");
    // Code that looks for names, or that others may change, would have the rights of the table's owner.
    database
        .execute(
            "CREATE FUNCTION looks(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN abs($1); END';
             CREATE DOMAIN small AS int CHECK (looks(VALUE) < 9); CREATE TYPE kinds AS ENUM ('a', 'b');
             CREATE OPERATOR ## (RIGHTARG = int, FUNCTION = looks);
             CREATE TABLE called (src int, v int GENERATED ALWAYS AS (looks(src)) STORED);
             CREATE TABLE by_operator (src int, v int GENERATED ALWAYS AS (## src) STORED);
             CREATE TABLE checked (src int, v int GENERATED ALWAYS AS ((src::small) + 1) STORED);
             CREATE TABLE listed (src int, v int GENERATED ALWAYS AS (array_length((ARRAY[src])::small[], 1)) STORED);
             CREATE TABLE plain (src int, v kinds GENERATED ALWAYS AS (CASE WHEN src > 5 THEN 'b'::kinds ELSE 'a' END) STORED)",
        )
        .await;
    for (table, by) in [
        ("called", Some("function public.looks(integer)")),
        ("by_operator", Some("function public.looks(integer)")),
        ("checked", Some("type public.small")),
        ("listed", Some("type public.small")),
        ("plain", None),
    ] {
        let of = plan(&text("1h").replace("public.t", &format!("public.{table}")));
        let refused = tool(&database.url).preview(&of).await.unwrap().refusals;
        let said: Vec<_> = refused.iter().map(|f| f.message.clone()).collect();
        let expected: Vec<_> =
            by.iter().map(|by| format!("column \"v\" of public.{table} is generated by {by}")).collect();
        assert_eq!(said, expected);
    }
    for version in versions().into_iter().filter(|version| version.major >= 18) {
        let database = Database::on(&version).await;
        database.execute("CREATE TABLE t (id int, v int GENERATED ALWAYS AS (100 / id) VIRTUAL)").await;
        let refused = tool(&database.url).preview(&plan(&text("1h"))).await.unwrap().refusals;
        assert!(refused.iter().any(|f| f.message.ends_with("is a virtual generated column")), "{refused:?}");
    }
    // Since 16, a table that inherits may generate it from something else.
    for version in versions().into_iter().filter(|version| version.major >= 16) {
        let database = Database::on(&version).await;
        database.execute(&setup()).await;
        database.execute("CREATE TABLE child (v text GENERATED ALWAYS AS (note) STORED) INHERITS (t)").await;
        let refused = tool(&database.url).preview(&plan(&text("1h"))).await.unwrap().refusals;
        let said = "column \"v\" of public.t is generated, and public.child generates it from something else";
        assert!(refused.iter().any(|f| f.code == "catalog::generated_column" && f.message == said), "{refused:?}");
    }
}

/// Triggers that change what the column is made of while rows are filled, when rows move to another partition, and by copying rows.
#[tokio::test(flavor = "multi_thread")]
async fn what_triggers_leave_in_the_mirror_fails_no_write() {
    let text = text("1h").replace("public.t", "public.p");
    for version in versions() {
        let database = Database::on(&version).await;
        database
            .execute(
                "CREATE TABLE p (id int, k int, rev int DEFAULT 1, v text GENERATED ALWAYS AS (id::text || '-' || rev::text) STORED, PRIMARY KEY (id, k))
                   PARTITION BY LIST (k);
                 CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2);
                 INSERT INTO p (id, k) SELECT g, g % 2 + 1 FROM generate_series(0, 40) g;
                 CREATE FUNCTION revise() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.rev := NEW.rev + 1; RETURN NEW; END';
                 CREATE TRIGGER revise BEFORE UPDATE ON p FOR EACH ROW EXECUTE FUNCTION revise();
                 CREATE TRIGGER revise_moved BEFORE INSERT ON p2 FOR EACH ROW EXECUTE FUNCTION revise();
                 CREATE FUNCTION copied() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE n int := NEW.id; BEGIN
                   IF n > 1000 THEN SELECT * INTO NEW FROM p WHERE id = 0; NEW.id := n; END IF; RETURN NEW; END $$;
                 CREATE TRIGGER copied BEFORE INSERT ON p1 FOR EACH ROW EXECUTE FUNCTION copied()",
            )
            .await;
        let tool = tool(&database.url);
        tool.run(&plan(&text), &text, Some(Phase::Switch)).await.unwrap();
        database.execute("UPDATE p SET k = 2 WHERE id < 9 AND id > 0; INSERT INTO p (id, k) VALUES (1001, 1); UPDATE p SET rev = 7 WHERE id = 20").await;
        let differ = "SELECT count(*) FROM p WHERE v IS DISTINCT FROM w OR v <> id || '-' || rev";
        assert_eq!(database.scalar::<i64>(differ).await, 0);
        tool.rollback("made", None).await.unwrap();
    }
}
