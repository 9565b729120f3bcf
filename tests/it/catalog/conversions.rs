//! Types and expressions, and the rows that do not convert.

use crossfade::run::Conversion;

use crossfade::catalog::{inspect, try_conversions};
use crossfade::names::LedgerSchema;

use super::{codes, facts_of, look, plan, rename, retype, retype_via};
use crate::harness::{Database, versions};

/// Expressions over `"Old" text` for a change to integer: the code, and what the message says.
const BAD: &[(&str, &str, &str)] = &[
    ("\"Old\" +", "catalog::expression_syntax", "syntax error"),
    ("1); DROP TABLE t; --", "catalog::expression_syntax", "\n  1); DROP TABLE t; --\n    ^"),
    (
        "length(\"Old\")) STORED, more int GENERATED ALWAYS AS (1",
        "catalog::expression_syntax",
        "more than an expression",
    ),
    ("", "catalog::expression_syntax", "syntax error"),
    ("id + 1", "catalog::expression_column", "column \"id\" does not exist"),
    ("\"Old\"::int + nope", "catalog::expression_column", "\n  \"Old\"::int + nope\n               ^"),
    ("tableoid::int", "catalog::expression_column", "column \"tableoid\" does not exist"),
    ("(SELECT 1)", "catalog::expression_subquery", "cannot use subquery"),
    ("(SELECT max(id) FROM t)", "catalog::expression_subquery", "cannot use subquery"),
    ("generate_series(1, 2)", "catalog::expression_subquery", "set-returning functions are not allowed"),
    ("max(\"Old\")::int", "catalog::expression_aggregate", "aggregate functions are not allowed"),
    ("row_number() OVER ()", "catalog::expression_aggregate", "window functions are not allowed"),
    ("(random() * 9)::int", "catalog::expression_volatile", "not immutable"),
    ("extract(epoch FROM now())::int", "catalog::expression_volatile", "not immutable"),
    ("extract(day FROM \"Old\"::timestamptz)::int", "catalog::expression_volatile", "not immutable"),
    ("\"Old\" || 'x'", "catalog::expression_type", "but default expression is of type text"),
    ("\"Old\"::point::int", "catalog::expression_type", "cannot cast type point to integer"),
    ("nosuch(\"Old\")", "catalog::expression_unknown", "function nosuch(text) does not exist"),
    ("\"Old\"::nosuch", "catalog::expression_unknown", "type \"nosuch\" does not exist"),
];

#[tokio::test]
async fn a_bad_expression_is_refused_with_what_is_wrong() {
    for version in versions() {
        let database = Database::on(&version).await;
        database.execute("CREATE TABLE t (id int, \"Old\" text); CREATE TABLE s AS SELECT 1").await;
        for (using, code, message) in BAD {
            let found = look(&database, &plan("t", vec![retype("Old", "int", Some(using), None)])).await;
            assert_eq!(codes(&found.refusals), [*code], "PostgreSQL {}: {using}: {found:#?}", version.major);
            assert!(found.refusals[0].message.contains(message), "PostgreSQL {}: {using}: {found:#?}", version.major);
            let found = look(&database, &plan("t", vec![retype("Old", "text", Some("\"Old\""), Some("nope"))])).await;
            assert_eq!(codes(&found.refusals), ["catalog::expression_column"]);
            assert!(found.refusals[0].message.starts_with("`reverse` of column \"Old\""));
        }
        for (to, code) in [
            ("nosuch", "catalog::type_missing"),
            ("app.nosuch", "catalog::type_missing"),
            ("varchar(", "catalog::type"),
            ("varchar(0)", "catalog::type"),
            ("int, x int", "catalog::type"),
            ("int DEFAULT 1", "catalog::type"),
            ("int NOT NULL", "catalog::type"),
            ("int CHECK (crossfade_value > 0)", "catalog::type"),
            ("serial", "catalog::type"),
            ("int GENERATED ALWAYS AS IDENTITY", "catalog::type"),
            ("int); DROP TABLE t; --", "catalog::type"),
            ("anyelement", "catalog::type"),
        ] {
            let found = look(&database, &plan("t", vec![retype("Old", to, None, None)])).await;
            assert_eq!(codes(&found.refusals), [code], "PostgreSQL {}: {to}: {found:#?}", version.major);
            assert!(found.refusals[0].message.contains(to), "{found:#?}");
        }
    }
}

#[tokio::test]
async fn conversions_are_classed_by_what_can_go_wrong() {
    // Functions that are not PostgreSQL's own run under the path of the plan.
    let expression = |sql: &str, null_to_null| {
        let search_path = sql.contains("app.twice").then(|| "public".to_owned());
        Conversion::Expression { sql: sql.to_owned(), null_to_null, search_path }
    };
    for version in versions() {
        let database = Database::on(&version).await;
        database
            .execute(
                "CREATE TYPE mood AS ENUM ('sad', 'ok');
                 CREATE SCHEMA app; CREATE DOMAIN app.positive AS int CHECK (VALUE > 0); CREATE DOMAIN app.word AS text;
                 CREATE FUNCTION app.twice(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 * 2';
                 CREATE TABLE t (\"Old\" int, s text NOT NULL, v varchar(10), ts timestamp, n numeric(10,2), p app.positive, j json, m mood);",
            )
            .await;
        let forward = async |old, to, using| {
            let facts = facts_of(&database, &plan("t", vec![retype(old, to, using, None)])).await;
            let change = facts.pair(0).unwrap().clone();
            (change.forward, change.new_type, change.new_base_type, change.new_collate)
        };
        let type_ = |name: &str, base: &str| (name.to_owned(), base.to_owned(), String::new());
        let check = async |old, to, using, conversion: Conversion, names: (String, String, String)| {
            let found = forward(old, to, using).await;
            assert_eq!(found, (conversion, names.0, names.1, names.2), "PostgreSQL {}: {old} to {to}", version.major);
        };
        check("Old", "bigint", None, Conversion::InfallibleCast, type_("bigint", "bigint")).await;
        check("Old", "int8", Some("\"Old\"::bigint"), Conversion::InfallibleCast, type_("bigint", "bigint")).await;
        // It has this type already, so there is nothing to change.
        let found = look(&database, &plan("t", vec![retype("Old", "int", None, None)])).await;
        assert_eq!(codes(&found.refusals), ["catalog::same_type"]);
        check("Old", "text", None, Conversion::InfallibleCast, type_("text", "text")).await;
        let sql = expression("(\"Old\")::smallint", true);
        check("Old", "smallint", None, sql, type_("smallint", "smallint")).await;
        let sql = expression("(s)::integer", true);
        check("s", "int", None, sql, type_("integer", "integer")).await;
        let sql = expression("(s)::public.mood", true);
        check("s", "mood", Some("s::mood"), sql, type_("public.mood", "public.mood")).await;
        check("s", "mood", None, expression("(s)::public.mood", true), type_("public.mood", "public.mood")).await;
        let sql = expression("(lower(s))::public.mood", true);
        check("s", "mood", Some("lower(s)::mood"), sql, type_("public.mood", "public.mood")).await;
        check("m", "text", None, expression("(m)::text", true), type_("text", "text")).await;
        let sql = expression("(upper((m)::text))::character varying", true);
        check("m", "varchar", Some("upper(m::text)::varchar"), sql, type_("character varying", "character varying"))
            .await;
        let sql = expression("\"substring\"(s, 1, 3)", true);
        check("s", "varchar(3)", Some("substring(s, 1, 3)"), sql, type_("character varying(3)", "character varying"))
            .await;
        let sql = expression("COALESCE((s)::integer, 0)", false);
        check("s", "int", Some("coalesce(s::int, 0) -- none"), sql, type_("integer", "integer")).await;
        let sql = expression("app.twice(\"Old\")", true);
        check("Old", "int", Some("app.twice(\"Old\")"), sql, type_("integer", "integer")).await;
        let sql = expression("(ts AT TIME ZONE 'UTC'::text)", true);
        let names = type_("timestamp with time zone", "timestamp with time zone");
        check("ts", "timestamptz", Some("ts AT TIME ZONE 'UTC'"), sql, names).await;
        check(
            "v",
            "varchar(20)",
            None,
            Conversion::InfallibleCast,
            type_("character varying(20)", "character varying"),
        )
        .await;
        check("s", "app.word", Some("s"), expression("s", true), type_("app.word", "app.word")).await;
        let collate = (String::from("text"), String::from("text"), " COLLATE pg_catalog.\"C\"".to_owned());
        check("s", "text COLLATE \"C\"", None, Conversion::Identity, collate).await;
        check("n", "numeric", None, Conversion::InfallibleCast, type_("numeric", "numeric")).await;

        let found = look(&database, &plan("t", vec![retype("ts", "timestamptz", None, None)])).await;
        assert_eq!(codes(&found.refusals), ["catalog::expression_volatile"]);
        let found = look(&database, &plan("t", vec![retype("Old", "app.positive", None, None)])).await;
        assert_eq!(codes(&found.refusals), ["catalog::constrained_domain"]);
        let found = look(&database, &plan("t", vec![rename("p", "q")])).await;
        assert_eq!(found.refusals, []);
        let lender = found.facts.unwrap().pair(0).unwrap().clone();
        assert_eq!((lender.forward, lender.reverse), (Conversion::InfallibleCast, Conversion::InfallibleCast));
        let both = plan("t", vec![retype("v", "varchar(5)", Some("left(v, 5)"), Some("\"New\""))]);
        let change = facts_of(&database, &both).await.pair(0).unwrap().clone();
        assert_eq!((change.reverse, change.metadata_only), (Conversion::InfallibleCast, false));
        assert!(!facts_of(&database, &plan("t", vec![rename("j", "k")])).await.pair(0).unwrap().new_plain_compare);
    }
}

#[tokio::test]
async fn the_users_search_path_reads_the_plan() {
    let database = Database::new().await;
    database
        .execute(
            "CREATE SCHEMA app; CREATE TYPE app.mood AS ENUM ('sad'); CREATE TABLE t (s text);
             CREATE FUNCTION app.to_mood(text) RETURNS app.mood IMMUTABLE LANGUAGE sql AS 'SELECT $1::app.mood';",
        )
        .await;
    let plan = plan("t", vec![retype("s", "mood", Some("to_mood(s)"), None)]);
    assert_eq!(codes(&look(&database, &plan).await.refusals), ["catalog::type_missing"]);
    let mut connection = database.pool.acquire().await.unwrap();
    sqlx::query("SET search_path = app, public").execute(&mut *connection).await.unwrap();
    let found = inspect(&mut connection, &plan, &LedgerSchema::default()).await.unwrap();
    let change = found.facts.unwrap().pair(0).unwrap().clone();
    assert_eq!(change.new_type, "app.mood");
    assert_eq!(
        change.forward,
        Conversion::Expression {
            sql: "app.to_mood(s)".to_owned(),
            null_to_null: true,
            // What `to_mood` calls was written for the sessions of the table's owner.
            search_path: Some("public".to_owned())
        }
    );
    let path: String = sqlx::query_scalar("SHOW search_path").fetch_one(&mut *connection).await.unwrap();
    assert_eq!(path, "app, public");
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_class WHERE relname LIKE 'crossfade%'")
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn every_row_is_tried_before_anything_changes() {
    for version in versions() {
        let database = Database::on(&version).await;
        database
            .execute(
                "CREATE TABLE t (id int, \"k \"\" 2\" text, \"Old\" text NOT NULL, plate text, PRIMARY KEY (id, \"k \"\" 2\"));
                 INSERT INTO t SELECT n, 'k', n::text, 'abc' || n FROM generate_series(1, 1000) n;
                 UPDATE t SET \"Old\" = '' WHERE id IN (3, 7); UPDATE t SET \"Old\" = 'x' WHERE id = 500; UPDATE t SET \"Old\" = '007' WHERE id = 8;
                 CREATE UNLOGGED TABLE none (a int);",
            )
            .await;
        let plate = retype_via("plate", "plate2", "varchar(5)", None, None);
        let mut plan =
            plan("t", vec![retype("Old", "int", Some("nullif(\"Old\", '')::int"), Some("\"New\"::text")), plate]);
        let facts = facts_of(&database, &plan).await;
        let before = database.schema().await;
        let mut connection = database.pool.acquire().await.unwrap();
        let check = try_conversions(&mut connection, &plan, &facts, 2).await.unwrap();
        assert_eq!(check.rows, 1000);
        let counts: Vec<_> = check.changes.iter().map(|c| (c.change, c.raising, c.empty, c.lossy)).collect();
        // abc100 to abc1000 are longer than five characters.
        assert_eq!(counts, [(0, 1, 2, Some(1)), (1, 901, 0, None)], "PostgreSQL {}", version.major);
        assert_eq!(check.changes[0].keys, [r#"{"id" : "500", "k \" 2" : "k"}"#]);
        assert_eq!(check.changes[1].keys.len(), 2);
        assert_eq!(database.schema().await, before);
        plan.changes.truncate(1);
        plan.changes[0] = rename("Old", "New");
        let facts = facts_of(&database, &plan).await;
        let check = try_conversions(&mut connection, &plan, &facts, 2).await.unwrap();
        assert_eq!((check.rows, check.changes.len()), (0, 0));
    }
}

#[tokio::test]
async fn a_collation_reaches_the_conversion() {
    let database = Database::new().await;
    database
        .execute(
            "CREATE COLLATION tr (provider = icu, locale = 'tr');
             CREATE TABLE t (a text COLLATE tr); INSERT INTO t VALUES ('i'), ('x')",
        )
        .await;
    let using = "CASE WHEN upper(a) = 'I' THEN 1/length(substr(a, 2)) ELSE 2 END";
    let plan = plan("t", vec![retype("a", "int", Some(using), None)]);
    let facts = facts_of(&database, &plan).await;
    let mut connection = database.pool.acquire().await.unwrap();
    // In Turkish the upper case of i has a dot, so nothing is divided by zero.
    let check = try_conversions(&mut connection, &plan, &facts, 2).await.unwrap();
    assert_eq!((check.rows, check.changes[0].raising), (2, 0));
}
