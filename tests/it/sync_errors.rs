//! Values that do not convert, rights that are missing and rights that are taken back.

use crossfade::run::Phase;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::harness::{Database, tool, versions};

fn plan(name: &str, table: &str, change: &str) -> String {
    format!("version: 1\nname: {name}\ntable: {table}\nchanges:\n  - {change}\ncontract: {{ grace: 0s, quiet: 0s }}\n")
}

async fn run_to(database: &Database, text: &str, to: Option<Phase>) {
    let plan = crossfade::plan::parse("plan", text).unwrap();
    let finish = tool(&database.url).run(&plan, text, to).await;
    finish.unwrap_or_else(|error| panic!("{error:?}"));
}

async fn tried(database: &Database, statement: &str) -> Result<(), String> {
    let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&database.pool).await;
    done.map(drop).map_err(|error| error.to_string())
}

/// The input functions of some types say `syntax error` of a value, and `program limit exceeded`.
#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_is_no_query_or_too_long_does_not_convert() {
    for version in versions() {
        for (to, using, reverse, good, bad) in [
            ("tsquery", "c::tsquery", "d::text", "'a'", "'a &'"),
            ("jsonpath", "c::jsonpath", "d::text", "'$.a'", "'$.'"),
            (
                "tsvector",
                "to_tsvector('simple', c)",
                "d::text",
                "'a'",
                "(SELECT string_agg(md5(n::text), ' ') FROM generate_series(1, 40000) n)",
            ),
            ("jsonb", "c::jsonb", "d::text", "'1'", "repeat('[', 100000)"),
        ] {
            let database = Database::on(&version).await;
            database.execute("CREATE TABLE t (id int PRIMARY KEY, c text, u int)").await;
            database.execute(&format!("INSERT INTO t VALUES (1, {good}, 0), (2, {bad}, 0)")).await;
            let change = format!(
                "change_type: {{ column: c, to: {to}, using: \"{using}\", reverse: \"{reverse}\", via: d, on_error: leave }}"
            );
            let text = plan("errors", "t", &change);
            let parsed = crossfade::plan::parse("plan", &text).unwrap();
            let preview = tool(&database.url).preview(&parsed).await.unwrap();
            assert!(preview.refusals.is_empty(), "{to}: {:?}", preview.refusals);
            let said = preview.warnings.iter().find(|finding| finding.code == "catalog::does_not_convert");
            assert!(said.is_some_and(|said| said.message.starts_with("in 1 row ")), "{to}: {:?}", preview.warnings);
            run_to(&database, &text, Some(Phase::Backfill)).await;
            let insert = format!("INSERT INTO t VALUES (3, {bad}, 0), (4, {good}, 0)");
            tried(&database, &insert)
                .await
                .unwrap_or_else(|error| panic!("{to} on PostgreSQL {}: {error}", version.major));
            database.execute(&format!("UPDATE t SET c = {bad} WHERE id = 4; UPDATE t SET u = 1")).await;
            let filled: String =
                database.scalar("SELECT string_agg(id::text, ' ' ORDER BY id) FROM t WHERE d IS NOT NULL").await;
            assert_eq!(filled, "1", "{to} on PostgreSQL {}", version.major);
        }
    }
}

/// A function of the application may be broken, and then no value is to blame.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_function_is_not_a_value_that_does_not_convert() {
    let database = Database::new().await;
    database
        .execute(
            "CREATE TABLE t (id int PRIMARY KEY, c text);
             CREATE FUNCTION number(text) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ DECLARE n int; BEGIN
               IF $1 = 'broken' THEN EXECUTE 'SELEC 1' INTO n; ELSIF $1 = 'limit' THEN RAISE program_limit_exceeded; END IF; RETURN $1::int; END $$",
        )
        .await;
    let change =
        "change_type: { column: c, to: integer, using: number(c), reverse: \"d::text\", via: d, on_error: leave }";
    run_to(&database, &plan("errors", "t", change), Some(Phase::Expand)).await;
    for (value, works) in [("1", true), ("x", true), ("broken", false), ("limit", false)] {
        let done = tried(&database, &format!("INSERT INTO t SELECT count(*), '{value}' FROM t")).await;
        assert_eq!(done.is_ok(), works, "{value}: {done:?}");
    }
}

/// Whoever writes decides what his path is, and the functions of the trigger have the owner's rights: they look nothing up in it.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_looked_up_in_the_path_of_whoever_writes() {
    for version in versions() {
        let database = Database::on(&version).await;
        database
            .execute(
                "CREATE TABLE t (id int PRIMARY KEY, c text DEFAULT 'x', n text, u int); INSERT INTO t VALUES (1, 'a', '1', 0), (2, 'b', '2', 0);
                 CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.u := 1; RETURN NEW; END $$;
                 CREATE TRIGGER own BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION own(); CREATE SCHEMA evil",
            )
            .await;
        for type_name in ["text", "name", "int", "bigint", "boolean", "oid", "double precision"] {
            database
                .execute(&format!(
                    "CREATE FUNCTION evil.found({type_name}, {type_name}) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'looked up'; END $$"
                ))
                .await;
            for operator in ["=", "<>", "<", ">", "+", "-", "*", "|", "&", "||", ">>", "<<"] {
                database
                    .execute(&format!("CREATE OPERATOR evil.{operator} (FUNCTION = evil.found, LEFTARG = {type_name}, RIGHTARG = {type_name})"))
                    .await;
            }
        }
        for function in [
            "concat(VARIADIC text[])",
            "split_part(text, text, int)",
            "set_config(text, text, boolean)",
            "current_setting(text, boolean)",
            "hashtextextended(text, bigint)",
            "has_column_privilege(oid, text, text)",
            "clock_timestamp()",
            "date_part(text, timestamptz)",
            "setval(regclass, bigint)",
            "pg_sequence_last_value(regclass)",
            "pg_trigger_depth()",
            "left(text, int)",
        ] {
            database
                .execute(&format!("CREATE FUNCTION evil.{function} RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'looked up'; END $$"))
                .await;
        }
        let text = "version: 1\nname: path\ntable: t\nchanges:\n  - rename_column: { from: c, to: d }\n  - change_type: { column: n, to: integer, using: \"left(n, 5)::integer\", reverse: \"m::text\", via: m, on_error: leave }\ncontract: { grace: 0s, quiet: 0s }\n";
        run_to(&database, text, Some(Phase::Backfill)).await;
        let mut connection = PgConnection::connect(&database.url).await.unwrap();
        let writes = "SET search_path = evil, pg_catalog, pg_temp; CREATE TEMP TABLE text (x int); CREATE TEMP TABLE boolean (x int); CREATE TEMP TABLE bigint (x int);
            INSERT INTO public.t (id, c, n) VALUES (3, 'e', '3'); INSERT INTO public.t (id) VALUES (4); INSERT INTO public.t (id, d, m) VALUES (5, 'f', 5);
            INSERT INTO public.t (id, d) VALUES (6, NULL); UPDATE public.t SET c = 'g', m = 7 WHERE id OPERATOR(pg_catalog.=) 1;
            UPDATE public.t SET d = 'h', n = 'eight' WHERE id OPERATOR(pg_catalog.=) 2; UPDATE public.t SET u = 5";
        sqlx::raw_sql(AssertSqlSafe(writes.to_owned())).execute(&mut connection).await.unwrap();
        let rows: String = database
            .scalar("SELECT string_agg(concat_ws(',', id, c, d, n, coalesce(m::text, '-')), ' ' ORDER BY id) FROM t")
            .await;
        assert_eq!(rows, "1,g,g,7,7 2,h,h,eight,- 3,e,e,3,3 4,x,x,- 5,f,f,5,5 6,-", "PostgreSQL {}", version.major);
    }
}

/// Conversions run as the table's owner, and what they call in turn does: no other role needs a right on it.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_needs_the_functions_of_a_conversion() {
    for version in versions() {
        let database = Database::on(&version).await;
        let (owner, writer) = (format!("owner_of_{}", database.name), format!("writer_of_{}", database.name));
        database
            .execute(&format!(
                "CREATE ROLE {owner}; CREATE ROLE {writer}; CREATE SCHEMA app AUTHORIZATION {owner}; CREATE SCHEMA hidden AUTHORIZATION {owner};
                 SET ROLE {owner};
                 CREATE FUNCTION hidden.inner(text) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN length($1); END';
                 CREATE FUNCTION hidden.outer(text) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN hidden.inner($1); END';
                 CREATE FUNCTION hidden.back(int) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT repeat(''x'', $1)';
                 REVOKE ALL ON FUNCTION hidden.inner(text), hidden.outer(text), hidden.back(int) FROM PUBLIC;
                 CREATE TABLE app.t (id int PRIMARY KEY, c text); INSERT INTO app.t VALUES (1, 'abc'); RESET ROLE;
                 GRANT USAGE ON SCHEMA app TO {writer}; GRANT SELECT, INSERT, UPDATE ON app.t TO {writer}"
            ))
            .await;
        let change = "change_type: { column: c, to: integer, using: hidden.outer(c), reverse: hidden.back(d), via: d }";
        let text = plan("rights", "app.t", change);
        // What the owner may not call is known before anything is changed, also where only a function calls it.
        for (function, code) in [("outer", "catalog::no_privilege"), ("inner", "catalog::conversion_fails")] {
            database.execute(&format!("REVOKE EXECUTE ON FUNCTION hidden.{function}(text) FROM {owner}")).await;
            let refusals =
                tool(&database.url).preview(&crossfade::plan::parse("plan", &text).unwrap()).await.unwrap().refusals;
            assert!(refusals.iter().any(|refusal| refusal.code == code), "{function}: {refusals:?}");
            database.execute(&format!("GRANT EXECUTE ON FUNCTION hidden.{function}(text) TO {owner}")).await;
        }
        run_to(&database, &text, Some(Phase::Verify)).await;
        let mut connection = PgConnection::connect(&database.url).await.unwrap();
        let statements = format!(
            "SET ROLE {writer}; INSERT INTO app.t (id, c) VALUES (2, 'four'); INSERT INTO app.t (id, d) VALUES (3, 5); UPDATE app.t SET d = 2 WHERE id = 1; UPDATE app.t SET c = 'xxx' WHERE id = 2"
        );
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut connection).await.unwrap();
        let rows: String =
            database.scalar("SELECT string_agg(concat_ws(',', id, c, d), ' ' ORDER BY id) FROM app.t").await;
        assert_eq!(rows, "1,xx,2 2,xxx,3 3,xxxxx,5", "PostgreSQL {}", version.major);
        run_to(&database, &text, None).await;
    }
}

/// What the owner of the tables was lent is taken back when the last of his runs ends; what he had is not.
#[tokio::test(flavor = "multi_thread")]
async fn the_owner_keeps_no_right_on_the_ledger() {
    for version in versions() {
        for had in [false, true] {
            let database = Database::on(&version).await;
            let owner = format!("owner_of_{}", database.name);
            database
                .execute(&format!(
                    "CREATE ROLE {owner}; CREATE SCHEMA app AUTHORIZATION {owner}; CREATE TABLE app.a (id int PRIMARY KEY, c text);
                     CREATE TABLE app.b (id int PRIMARY KEY, c text); ALTER TABLE app.a OWNER TO {owner}; ALTER TABLE app.b OWNER TO {owner}"
                ))
                .await;
            let rename = "rename_column: { from: c, to: d }";
            let (a, b) = (plan("a", "app.a", rename), plan("b", "app.b", rename));
            // Makes the ledger, without a run.
            database.execute("CREATE TABLE other (id int PRIMARY KEY, c text)").await;
            run_to(&database, &plan("other", "other", rename), Some(Phase::Expand)).await;
            // Everybody has it by default.
            database.execute("REVOKE ALL ON SCHEMA crossfade FROM PUBLIC").await;
            if had {
                database.execute(&format!("GRANT USAGE ON SCHEMA crossfade TO {owner}")).await;
            }
            let may = format!("SELECT has_schema_privilege('{owner}', 'crossfade', 'USAGE')");
            run_to(&database, &a, Some(Phase::Verify)).await;
            run_to(&database, &b, Some(Phase::Expand)).await;
            assert!(database.scalar::<bool>(&may).await);
            run_to(&database, &a, None).await;
            assert!(database.scalar::<bool>(&may).await);
            let writes = format!("SET ROLE {owner}; INSERT INTO app.b (id, c) VALUES (1, 'x')");
            let mut connection = PgConnection::connect(&database.url).await.unwrap();
            sqlx::raw_sql(AssertSqlSafe(writes)).execute(&mut connection).await.unwrap();
            tool(&database.url).rollback("b", None).await.unwrap();
            assert_eq!(database.scalar::<bool>(&may).await, had, "PostgreSQL {}", version.major);
        }
    }
}
