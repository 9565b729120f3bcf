//! Functions that name a column in their text get the body that the plan has for them where the column gets its name, and their own
//! back with the way back.

use crossfade::plan::Plan;
use crossfade::run::Phase;
use crossfade::runner::Error;

use crate::harness::{Database, Writers, tool, versions};

const SETUP: &str = r#"
    DO $$ BEGIN CREATE ROLE neighbour; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
    CREATE TABLE t (id int PRIMARY KEY, a text NOT NULL, note text);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public COST 7 AS $f$
    BEGIN
      -- $function$ is what PostgreSQL quotes bodies with.
      NEW.note := NEW.a || '\!'; RETURN NEW;
    END $f$;
    COMMENT ON FUNCTION note() IS 'notes it';
    REVOKE ALL ON FUNCTION note() FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION note() TO neighbour;
    CREATE PROCEDURE "Count them"(INOUT n integer DEFAULT 1) LANGUAGE plpgsql AS $$
    DECLARE found t.a%TYPE;
    BEGIN SELECT count(a) INTO n FROM public.t; END $$;
    CREATE TRIGGER noted BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note();
    INSERT INTO t SELECT g, 'x' || g FROM generate_series(1, 300) g"#;

const TEXT: &str = r#"version: 1
name: bodies
table: public.t
changes: [{ rename_column: { from: a, to: b } }]
contract: { grace: 1h, quiet: 0s }
functions:
  - name: public.note
    body: |
      BEGIN
        NEW.note := NEW.b || '\!'; RETURN NEW; -- $function$
      END
  - name: public."Count them"(integer)
    body: BEGIN SELECT count(b) INTO n FROM public.t; END
"#;

/// All that the catalog has of the functions, but their bodies.
const REST: &str =
    "SELECT string_agg((to_jsonb(p) - 'prosrc')::text || obj_description(oid, 'pg_proc'), E'\\n' ORDER BY proname)
    FROM pg_proc p WHERE pronamespace = 'public'::regnamespace";
const BODIES: &str =
    "SELECT string_agg(prosrc, E'\\n' ORDER BY proname) FROM pg_proc WHERE pronamespace = 'public'::regnamespace";

fn plan(text: &str) -> Plan {
    crossfade::plan::parse("plan.yaml", text).unwrap()
}

fn writing(column: &str) -> [String; 2] {
    [
        format!("INSERT INTO t (id, {column}) VALUES (1000 + {{n}}, 'new {{n}}')"),
        format!("UPDATE t SET {column} = 'again {{n}}' WHERE id = {{n}} % 300 + 1"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_goes_with_the_name_while_clients_write() {
    let (old, new) = (writing("a"), writing("b"));
    let both: Vec<&str> = old.iter().chain(&new).map(String::as_str).collect();
    let new: Vec<&str> = new.iter().map(String::as_str).collect();
    for version in versions() {
        let database = Database::on(&version).await;
        database.execute(SETUP).await;
        let (rest, bodies): (String, String) = (database.scalar(REST).await, database.scalar(BODIES).await);
        let schema = database.exact_schema().await;
        let (at_rest, wrong) = (plan(TEXT), "SELECT count(*) FROM t WHERE note IS DISTINCT FROM b || '\\!'");
        let tool = tool(&database.url);
        let writers = Writers::start(&database.url, 2, &[&old[0], &old[1]]);
        tool.run(&at_rest, TEXT, Some(Phase::Expand)).await.unwrap();
        writers.change(&both).await;
        writers.more(40).await;
        tool.run(&at_rest, TEXT, Some(Phase::Switch)).await.unwrap();
        assert_eq!(database.scalar::<String>(BODIES).await, bodies);
        writers.change(&new).await;
        let ended = tool.run(&at_rest, TEXT, None).await;
        assert!(matches!(ended, Err(Error::NotYet(_))), "{ended:?}");
        writers.more(40).await;
        let other: String = database.scalar(BODIES).await;
        assert!(other.contains("NEW.b || '\\!'") && other.contains("count(b)"), "{other}");
        assert_eq!(database.scalar::<String>(REST).await, rest);
        assert_eq!(database.scalar::<i64>(wrong).await, 0);
        database.execute(r#"CALL "Count them"(0)"#).await;

        tool.rollback("bodies", Some(Phase::Switch)).await.unwrap();
        writers.change(&both).await;
        writers.more(40).await;
        assert_eq!(database.scalar::<String>(BODIES).await, bodies);
        writers.change(&[&old[0], &old[1]]).await;
        tool.rollback("bodies", None).await.unwrap();
        writers.more(20).await;
        assert_eq!(database.exact_schema().await, schema);

        let text = TEXT.replace("grace: 1h", "grace: 0s");
        tool.run(&plan(&text), &text, Some(Phase::Expand)).await.unwrap();
        writers.change(&new).await;
        tool.run(&plan(&text), &text, None).await.unwrap();
        writers.more(20).await;
        writers.stop().await;
        assert_eq!(database.scalar::<String>(REST).await, rest);
        assert_eq!(database.scalar::<i64>(wrong).await, 0);
    }
}

/// In the swap of a type change, where the name stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_goes_with_the_type() {
    let text = TEXT
        .replace(
            "rename_column: { from: a, to: b }",
            "change_type: { column: a, to: varchar(40), via: a2, using: a::varchar(40), reverse: a2::text }",
        )
        .replace("NEW.b", "NEW.a::text")
        .replace("count(b)", "count(a::text)");
    let database = Database::new().await;
    database.execute(SETUP).await;
    let bodies: String = database.scalar(BODIES).await;
    let tool = tool(&database.url);
    tool.run(&plan(&text), &text, Some(Phase::Switch)).await.unwrap();
    assert!(database.scalar::<String>(BODIES).await.contains("NEW.a::text || '\\!'"));
    tool.rollback("bodies", None).await.unwrap();
    assert_eq!(database.scalar::<String>(BODIES).await, bodies);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_somebody_changes_stops_the_run() {
    let database = Database::new().await;
    database.execute(SETUP).await;
    let tool = tool(&database.url);
    tool.run(&plan(TEXT), TEXT, Some(Phase::Backfill)).await.unwrap();
    let third = "CREATE OR REPLACE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$";
    let definition: String = database.scalar("SELECT pg_get_functiondef('note'::regproc)").await;
    database.execute(third).await;
    let Err(Error::Drifted { facts }) = tool.run(&plan(TEXT), TEXT, None).await else { panic!() };
    insta::assert_snapshot!(facts.join("\n"), @"the body of function public.note() was changed: line 1 was ``, and is `BEGIN RETURN NEW; END`");
    database.execute(&definition).await;
    let ended = tool.run(&plan(TEXT), TEXT, None).await;
    assert!(matches!(ended, Err(Error::NotYet(_))), "{ended:?}");
    // Nor does the way back take away what somebody has made of it.
    let other: String = database.scalar("SELECT pg_get_functiondef('note'::regproc)").await;
    database.execute(third).await;
    let error = tool.rollback("bodies", None).await.unwrap_err().to_string();
    assert!(error.contains("somebody has changed the body of function public.note()"), "{error}");
    database.execute(&other).await;
    tool.rollback("bodies", None).await.unwrap();
    assert_eq!(database.scalar::<String>("SELECT pg_get_functiondef('note'::regproc)").await, definition);
}

/// What `plan` finds before anything changes.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_replaced_is_refused() {
    let database = Database::new().await;
    database
        .execute(&format!(
            "{SETUP}; CREATE FUNCTION plain(text) RETURNS text LANGUAGE sql AS $$ SELECT $1 $$;
             DO $$ BEGIN CREATE ROLE bodies_stranger LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
             GRANT neighbour TO bodies_stranger; GRANT ALL ON SCHEMA public TO neighbour; ALTER TABLE t OWNER TO neighbour"
        ))
        .await;
    let with = |functions: &str| format!("{}functions: [{functions}]\n", TEXT.split("functions:").next().unwrap());
    let refusals = async |url: &str, functions: &str| {
        let preview = tool(url).preview(&plan(&with(functions))).await.unwrap();
        preview
            .refusals
            .into_iter()
            .filter(|of| of.code == "catalog::function")
            .map(|of| of.message)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let note = |body: &str| format!("{{ name: public.note(), body: {body} }}");
    insta::assert_snapshot!(refusals(&database.url, "{ name: public.nothing(), body: BEGIN END }").await, @"there is no one function `public.nothing()` (`functions`, entry 1)");
    insta::assert_snapshot!(refusals(&database.url, "{ name: 'public.nothing(', body: BEGIN END }").await, @"there is no one function `public.nothing(` (`functions`, entry 1)");
    insta::assert_snapshot!(refusals(&database.url, "{ name: public.plain(text), body: SELECT 1 }").await, @"function public.plain(text) cannot get another body: its language is sql, and crossfade replaces bodies of plpgsql alone");
    insta::assert_snapshot!(refusals(&database.url, &note("BEGIN RETURN NEW END")).await, @r#"function public.note() cannot get the body that the plan has for it: syntax error at end of input"#);
    insta::assert_snapshot!(refusals(&database.url, &format!("{}, {{ name: public.note, body: BEGIN END }}", note("BEGIN END"))).await, @"function public.note() is named twice in `functions`");
    let (scheme, rest) = (database.url.split_once("://").unwrap().0, database.url.split_once('@').unwrap().1);
    let stranger = format!("{scheme}://bodies_stranger@{rest}");
    insta::assert_snapshot!(refusals(&stranger, &note("BEGIN RETURN NEW; END")).await, @"function public.note() cannot get the body that the plan has for it: must be owner of function note");
    let warnings = async |text: &str| {
        let preview = tool(&database.url).preview(&plan(text)).await.unwrap();
        preview
            .warnings
            .into_iter()
            .filter(|of| of.code == "catalog::function_text")
            .map(|of| of.message)
            .collect::<Vec<_>>()
            .join("\n")
    };
    // Of the function that gets a body no warning is given.
    insta::assert_snapshot!(warnings(&with(&note("BEGIN RETURN NEW; END"))).await, @r#"column "a" is named in the text of public."Count them"(integer)"#);
}
