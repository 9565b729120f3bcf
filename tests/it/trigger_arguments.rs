//! Triggers that give their function the name of a column as an argument get the arguments that the plan has for them where the column
//! gets its name, and their own back with the way back. Everything else of them stays.

use std::fmt::Write as _;

use crossfade::plan::Plan;
use crossfade::run::Phase;
use crossfade::runner::Error;

use crate::harness::{Database, Writers, tool, versions, versions_of};

/// Functions that take the name of a column, one of them with arguments that are hard to quote.
const TRIGGERS: &str = r"
    CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $f$
    BEGIN INSERT INTO told VALUES (TG_NAME, array_to_string(TG_ARGV[0:9], '|')); RETURN NULL; END $f$;
    CREATE FUNCTION search() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN
      EXECUTE format('SELECT to_tsvector($1, ($2).%I)', TG_ARGV[2]) INTO NEW.words USING TG_ARGV[1]::regconfig, NEW; RETURN NEW; END $f$;
    CREATE TRIGGER searched BEFORE INSERT OR UPDATE ON t FOR EACH ROW WHEN (NEW.id > 0)
      EXECUTE FUNCTION search(words, 'pg_catalog.english', a);
    CREATE TRIGGER told AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION tell('it''s', '\000', '', 'a', 'ä');
    ALTER TABLE t ENABLE ALWAYS TRIGGER told;
    COMMENT ON TRIGGER told ON t IS 'tells';
    CREATE TRIGGER silent AFTER DELETE ON t FOR EACH ROW EXECUTE FUNCTION tell();
    ALTER TABLE t DISABLE TRIGGER silent;";
const ROWS: &str = "INSERT INTO t (id, a) SELECT g, 'cats ' || g FROM generate_series(1, 300) g";

const TEXT: &str = r#"version: 1
name: arguments
table: public.t
changes: [{ rename_column: { from: a, to: b } }]
contract: { grace: 1h, quiet: 0s }
triggers:
  - { name: searched, arguments: [words, pg_catalog.english, b] }
  - { name: told, arguments: ["it's", '\000', "", b, "ä"] }
  - { name: silent, arguments: [b] }
"#;

/// The arguments of all triggers, those of partitions too.
const ARGUMENTS: &str =
    "SELECT string_agg(concat_ws(' ', tgrelid::regclass, tgname, tgenabled, encode(tgargs, 'escape')), E'\\n'
    ORDER BY tgrelid::regclass::text, tgname) FROM pg_trigger WHERE NOT tgisinternal AND tgname !~ 'crossfade' AND tgrelid::regclass::text !~ 'crossfade'";

fn plan(text: &str) -> Plan {
    crossfade::plan::parse("plan.yaml", text).unwrap()
}

async fn database_with(version: &crate::harness::Version, table: &str) -> Database {
    let database = Database::on(version).await;
    database
        .execute(&format!(
            "{table}; CREATE TABLE told (name text, arguments text); {TRIGGERS}; {ROWS};
             GRANT SELECT, INSERT, UPDATE, DELETE ON t, told TO PUBLIC"
        ))
        .await;
    database
}

fn writing(column: &str) -> [String; 3] {
    [
        format!("INSERT INTO t (id, {column}) VALUES (1000 + {{n}}, 'dogs {{n}}')"),
        format!("UPDATE t SET {column} = 'birds {{n}}' WHERE id = {{n}} % 300 + 1"),
        "DELETE FROM t WHERE id = 1000 + {n} - 6".to_owned(),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_go_with_the_name_while_clients_write() {
    let tables = [
        "CREATE TABLE t (id int PRIMARY KEY, a text NOT NULL, words tsvector)",
        "CREATE TABLE t (id int PRIMARY KEY, a text NOT NULL, words tsvector) PARTITION BY RANGE (id);
         CREATE TABLE low PARTITION OF t FOR VALUES FROM (MINVALUE) TO (150); CREATE TABLE high PARTITION OF t DEFAULT",
    ];
    let (old, new) = (writing("a"), writing("b"));
    let both: Vec<&str> = old.iter().chain(&new).map(String::as_str).collect();
    let [old, new] = [&old, &new].map(|all| all.iter().map(String::as_str).collect::<Vec<_>>());
    for (n, table) in tables.into_iter().enumerate() {
        for version in if n == 0 { versions() } else { versions_of(2) } {
            let database = database_with(&version, table).await;
            if n == 1 {
                database.execute("ALTER TABLE low ENABLE REPLICA TRIGGER searched; ALTER TABLE low ENABLE TRIGGER searched; ALTER TABLE high ENABLE ALWAYS TRIGGER searched").await;
            }
            let (schema, arguments): (String, String) =
                (database.exact_schema().await, database.scalar(ARGUMENTS).await);
            let wrong = |column| {
                format!(
                    "SELECT count(*) FROM t WHERE words IS DISTINCT FROM to_tsvector('pg_catalog.english', {column})"
                )
            };
            let tool = tool(&database.url);
            let writers = Writers::start(&database.url, 2, &old);
            tool.run(&plan(TEXT), TEXT, Some(Phase::Expand)).await.unwrap();
            writers.change(&both).await;
            writers.more(40).await;
            tool.run(&plan(TEXT), TEXT, Some(Phase::Switch)).await.unwrap();
            assert_eq!(database.scalar::<String>(ARGUMENTS).await, arguments);
            writers.change(&new).await;
            let ended = tool.run(&plan(TEXT), TEXT, None).await;
            assert!(matches!(ended, Err(Error::NotYet(_))), "{ended:?}");
            writers.more(40).await;
            assert_eq!(database.scalar::<i64>(&wrong("b")).await, 0);
            let given = arguments
                .replace("english\\000a\\000", "english\\000b\\000")
                .replace("\\000\\000a\\000", "\\000\\000b\\000")
                .replace("silent D ", "silent D b\\000");
            assert_eq!(database.scalar::<String>(ARGUMENTS).await, given, "on {}", version.major);
            let told: String =
                database.scalar("SELECT DISTINCT arguments FROM told WHERE arguments LIKE '%|b|%'").await;
            assert_eq!(told, "it's|\\000||b|ä");

            tool.rollback("arguments", Some(Phase::Switch)).await.unwrap();
            writers.change(&both).await;
            writers.more(40).await;
            assert_eq!(database.scalar::<String>(ARGUMENTS).await, arguments);
            writers.change(&old).await;
            tool.rollback("arguments", None).await.unwrap();
            writers.more(20).await;
            assert_eq!(database.scalar::<i64>(&wrong("a")).await, 0);
            assert_eq!(database.exact_schema().await, schema, "on {}", version.major);

            let text = TEXT.replace("grace: 1h", "grace: 0s");
            tool.run(&plan(&text), &text, Some(Phase::Expand)).await.unwrap();
            writers.change(&new).await;
            tool.run(&plan(&text), &text, None).await.unwrap();
            writers.more(20).await;
            writers.stop().await;
            assert_eq!(database.scalar::<String>(ARGUMENTS).await, given, "on {}", version.major);
            assert_eq!(database.scalar::<i64>(&wrong("b")).await, 0);
        }
    }
}

const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, a text NOT NULL, words tsvector)";

#[tokio::test(flavor = "multi_thread")]
async fn arguments_that_somebody_changes_stop_the_run() {
    let database = database_with(&versions()[0], TABLE).await;
    let tool = tool(&database.url);
    tool.run(&plan(TEXT), TEXT, Some(Phase::Backfill)).await.unwrap();
    let definition =
        "SELECT replace(pg_get_triggerdef(oid), 'CREATE', 'CREATE OR REPLACE') FROM pg_trigger WHERE tgname = 'told'";
    let first: String = database.scalar(definition).await;
    let third = "CREATE OR REPLACE TRIGGER told AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION tell(x, y)";
    database.execute(third).await;
    let Err(Error::Drifted { facts }) = tool.run(&plan(TEXT), TEXT, None).await else { panic!() };
    insta::assert_snapshot!(facts.join("\n"), @r#"the arguments of trigger "told" were (it's, \000, , a, ä), and are (x, y)"#);
    database.execute(&first).await;
    let ended = tool.run(&plan(TEXT), TEXT, None).await;
    assert!(matches!(ended, Err(Error::NotYet(_))), "{ended:?}");
    // Nor does the way back take away what somebody has made of it.
    let other: String = database.scalar(definition).await;
    database.execute(third).await;
    let error = tool.rollback("arguments", None).await.unwrap_err().to_string();
    assert!(
        error.contains("somebody has changed the arguments of trigger \"told\" of table \"public\".\"t\""),
        "{error}"
    );
    database.execute(&other).await;
    database.execute("DROP TRIGGER silent ON t").await;
    tool.rollback("arguments", None).await.unwrap();
    assert_eq!(database.scalar::<String>(definition).await, first);
}

/// What `plan` finds before anything changes, and what it says no more.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_replaced_is_refused() {
    let database = database_with(&versions()[0], TABLE).await;
    database
        .execute(
            "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON t DEFERRABLE FOR EACH ROW EXECUTE FUNCTION tell();
             CREATE TRIGGER hard BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION tell('a');
             CREATE TRIGGER vector BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION tsvector_update_trigger(words, 'pg_catalog.english', a);
             CREATE TRIGGER first BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION tsvector_update_trigger(a, 'pg_catalog.english', words);
             REVOKE ALL ON FUNCTION tell() FROM PUBLIC;
             DO $$ BEGIN CREATE ROLE arguments_owner LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
             GRANT ALL ON SCHEMA public TO arguments_owner; ALTER TABLE t OWNER TO arguments_owner;
             DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO arguments_owner', current_database()); END $$",
        )
        .await;
    let with = |triggers: &str| format!("{}triggers: [{triggers}]\n", TEXT.split("triggers:").next().unwrap());
    let said = async |url: &str, triggers: &str| {
        let preview = tool(url).preview(&plan(&with(triggers))).await.unwrap();
        let all = preview.refusals.into_iter().chain(preview.warnings);
        let of_these = |code: &str| ["catalog::trigger", "catalog::trigger_argument"].contains(&code);
        all.filter(|of| of_these(of.code)).map(|of| of.message).collect::<Vec<_>>().join("\n")
    };
    let url = &database.url;
    let each = [
        "{ name: nothing, arguments: [] }",
        "{ name: late, arguments: [b] }",
        // The warning is not given for what is replaced, unless the new list has the name too.
        "{ name: searched, arguments: [words, pg_catalog.english, b] }, { name: told, arguments: [a, b] }, { name: hard, arguments: [b] }",
    ];
    let mut all = String::new();
    for triggers in each {
        let _ = write!(all, "{triggers}\n{}\n\n", said(url, triggers).await);
    }
    let (scheme, rest) = (url.split_once("://").unwrap().0, url.split_once('@').unwrap().1);
    all.push_str(&said(&format!("{scheme}://arguments_owner@{rest}"), "{ name: told, arguments: [b] }").await);
    insta::assert_snapshot!(all, @r#"
    { name: nothing, arguments: [] }
    table public.t has no trigger "nothing" (`triggers`, entry 1)
    trigger "vector" calls tsvector_update_trigger, which does nothing unless an UPDATE names "a" itself; one that names the new column does not
    trigger "first" gives its function tsvector_update_trigger the name "a" as an argument, which stays as it is
    trigger "hard" gives its function public.tell the name "a" as an argument, which stays as it is
    trigger "searched" gives its function public.search the name "a" as an argument, which stays as it is
    trigger "told" gives its function public.tell the name "a" as an argument, which stays as it is

    { name: late, arguments: [b] }
    trigger "late" cannot get other arguments: it is a constraint trigger, and PostgreSQL replaces no such trigger
    trigger "vector" calls tsvector_update_trigger, which does nothing unless an UPDATE names "a" itself; one that names the new column does not
    trigger "first" gives its function tsvector_update_trigger the name "a" as an argument, which stays as it is
    trigger "hard" gives its function public.tell the name "a" as an argument, which stays as it is
    trigger "searched" gives its function public.search the name "a" as an argument, which stays as it is
    trigger "told" gives its function public.tell the name "a" as an argument, which stays as it is

    { name: searched, arguments: [words, pg_catalog.english, b] }, { name: told, arguments: [a, b] }, { name: hard, arguments: [b] }
    trigger "vector" calls tsvector_update_trigger, which does nothing unless an UPDATE names "a" itself; one that names the new column does not
    trigger "first" gives its function tsvector_update_trigger the name "a" as an argument, which stays as it is
    trigger "told" gives its function public.tell the name "a" as an argument, which stays as it is

    trigger "told" cannot get other arguments: the role may not execute public.tell()
    trigger "vector" calls tsvector_update_trigger, which does nothing unless an UPDATE names "a" itself; one that names the new column does not
    trigger "first" gives its function tsvector_update_trigger the name "a" as an argument, which stays as it is
    trigger "hard" gives its function public.tell the name "a" as an argument, which stays as it is
    trigger "searched" gives its function public.search the name "a" as an argument, which stays as it is
    "#);
    let parsed = |text: &str| crossfade::plan::parse("plan.yaml", text).unwrap_err().render(false);
    let twice = with("{ name: told, arguments: [b] }, { name: told, arguments: [] }");
    assert!(parsed(&twice).contains("`told` is given twice"), "{}", parsed(&twice));
    let alone = twice.replace("rename_column: { from: a, to: b }", "add_column: { name: c, type: int }");
    assert!(parsed(&alone).contains("`triggers` has no effect"), "{}", parsed(&alone));
}
