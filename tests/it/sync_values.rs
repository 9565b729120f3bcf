//! What an application wrote before `expand` works after it, with the same result: domains with defaults, composite values,
//! NULL, names and settings of the session that writes, and roles that have no right on anything of crossfade.

use crossfade::run::{Phase, Standing};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::harness::{Database, PATIENCE, tool, versions, wait_for};

fn plan(change: &str) -> String {
    format!("version: 1\nname: values\ntable: t\nchanges:\n  - {change}\ncontract: {{ grace: 0s, quiet: 0s }}\n")
}

const RENAME: &str = "rename_column: { from: c, to: d }";

async fn run_to(database: &Database, text: &str, to: Option<Phase>) {
    let plan = crossfade::plan::parse("plan", text).unwrap();
    let finish = tool(&database.url).run(&plan, text, to).await;
    finish.unwrap_or_else(|error| panic!("{error:?}"));
}

async fn rows(database: &Database) -> String {
    database.scalar("SELECT coalesce(string_agg(t::text, ' ' ORDER BY id), '') FROM t").await
}

/// Statements of a session of one role, in one connection.
async fn as_role(database: &Database, role: &str, statements: &[&str]) -> Result<(), String> {
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    let all = [&format!("SET ROLE {role}")[..]];
    for statement in all.iter().chain(statements) {
        let done = sqlx::raw_sql(AssertSqlSafe((*statement).to_owned())).execute(&mut connection).await;
        done.map_err(|error| format!("{statement}: {error}"))?;
    }
    Ok(())
}

/// A role of this test alone, which owns nothing: roles belong to the server, not to the database.
async fn stranger(database: &Database, rights: &str) -> String {
    let role = format!("stranger_of_{}", database.name);
    database.execute(&format!("CREATE ROLE {role}; {}", rights.replace("stranger", &role))).await;
    role
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_with_a_default_changes_no_value() {
    for version in versions() {
        for (default, moved) in [("9", "9"), ("(1 + random() * 0)::int + 8", "9")] {
            let database = Database::on(&version).await;
            database
                .execute(&format!(
                    "CREATE DOMAIN dom AS int DEFAULT {default}; CREATE TABLE t (id int PRIMARY KEY, c dom);
                     INSERT INTO t VALUES (1, 1), (2, NULL)"
                ))
                .await;
            let text = plan(RENAME);
            run_to(&database, &text, Some(Phase::Expand)).await;
            assert_eq!(rows(&database).await, "(1,1,) (2,,)", "{default}");
            database
                .execute("INSERT INTO t (id, c) VALUES (3, 123); INSERT INTO t (id, d) VALUES (4, 124); INSERT INTO t (id) VALUES (5)")
                .await;
            assert_eq!(rows(&database).await, format!("(1,1,) (2,,) (3,123,123) (4,124,124) (5,{moved},{moved})"));
            run_to(&database, &text, None).await;
            database.execute("INSERT INTO t (id) VALUES (6)").await;
            assert_eq!(rows(&database).await, format!("(1,1) (2,) (3,123) (4,124) (5,{moved}) (6,{moved})"));
            let own: i64 = database.scalar("SELECT count(*) FROM pg_attrdef WHERE adrelid = 't'::regclass").await;
            assert_eq!(own, 0, "the default is the domain's again");
        }
        // A change to a domain: the rows keep their values, and its default is that of the new column in the end.
        let database = Database::on(&version).await;
        database
            .execute("CREATE DOMAIN dom AS bigint DEFAULT 9; CREATE TABLE t (id int PRIMARY KEY, c int); INSERT INTO t VALUES (1, 1)")
            .await;
        let text = plan("change_type: { column: c, to: dom, using: \"c::bigint::dom\", reverse: \"d::int\", via: d }");
        run_to(&database, &text, Some(Phase::Expand)).await;
        database.execute("INSERT INTO t (id, c) VALUES (2, 2); INSERT INTO t (id) VALUES (3)").await;
        assert_eq!(rows(&database).await, "(1,1,) (2,2,2) (3,,)");
        run_to(&database, &text, None).await;
        database.execute("INSERT INTO t (id) VALUES (4)").await;
        assert_eq!(rows(&database).await, "(1,1) (2,2) (3,) (4,9)");
    }
}

/// `ROW(NULL, NULL) IS NULL`, and yet it is a value.
#[tokio::test(flavor = "multi_thread")]
async fn a_composite_value_of_nulls_is_a_value() {
    for version in versions() {
        for type_name in ["pair", "over_pair"] {
            let database = Database::on(&version).await;
            database
                .execute(&format!(
                    "CREATE TYPE pair AS (a int, b int); CREATE DOMAIN over_pair AS pair;
                     CREATE TABLE t (id int PRIMARY KEY, c {type_name} NOT NULL, u int);
                     INSERT INTO t VALUES (1, ROW(NULL, NULL), 0), (2, ROW(1, NULL), 0), (3, ROW(1, 2), 0)"
                ))
                .await;
            let text = plan(RENAME);
            run_to(&database, &text, Some(Phase::Expand)).await;
            database.execute("UPDATE t SET u = 1 WHERE id = 2").await;
            database.execute("INSERT INTO t (id, c) VALUES (4, ROW(NULL, NULL)); INSERT INTO t (id, d) VALUES (5, ROW(NULL, NULL))").await;
            run_to(&database, &text, Some(Phase::Verify)).await;
            let expected = "(1,\"(,)\",0,\"(,)\") (2,\"(1,)\",1,\"(1,)\") (3,\"(1,2)\",0,\"(1,2)\") (4,\"(,)\",,\"(,)\") (5,\"(,)\",,\"(,)\")";
            assert_eq!(rows(&database).await, expected, "{type_name} on {}", version.major);
            database
                .execute("INSERT INTO t (id, c) VALUES (6, ROW(NULL, NULL)); UPDATE t SET d = ROW(NULL, 7) WHERE id = 3; UPDATE t SET c = ROW(NULL, NULL) WHERE id = 2")
                .await;
            run_to(&database, &text, None).await;
            let all = rows(&database).await;
            assert_eq!(all, "(1,\"(,)\",0) (2,\"(,)\",1) (3,\"(,7)\",0) (4,\"(,)\",) (5,\"(,)\",) (6,\"(,)\",)");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn null_written_to_a_row_that_is_not_filled_is_a_write() {
    for version in versions() {
        let database = Database::on(&version).await;
        database
            .execute("CREATE TABLE t (id int PRIMARY KEY, c text, u int); INSERT INTO t SELECT n, 'a', 0 FROM generate_series(1, 4) n")
            .await;
        run_to(&database, &plan(RENAME), Some(Phase::Expand)).await;
        database
            .execute(
                "UPDATE t SET d = NULL WHERE id = 1; UPDATE t SET d = NULL, u = 1 WHERE id = 2;
                 -- A release that knows both writes back what it has read.
                 UPDATE t SET c = 'a', d = NULL, u = 1 WHERE id = 3; UPDATE t SET u = 1 WHERE id = 4",
            )
            .await;
        assert_eq!(rows(&database).await, "(1,,0,) (2,,1,) (3,a,1,a) (4,a,1,a)");
        run_to(&database, &plan(RENAME), Some(Phase::Verify)).await;
        assert_eq!(rows(&database).await, "(1,,0,) (2,,1,) (3,a,1,a) (4,a,1,a)");
    }
}

/// An explicit NULL is known from no value where both columns have the default.
#[tokio::test(flavor = "multi_thread")]
async fn an_explicit_null_beside_a_default_stays() {
    let database = Database::new().await;
    database.execute("CREATE TABLE t (id int PRIMARY KEY, c text DEFAULT 'x')").await;
    let text = plan(RENAME);
    run_to(&database, &text, Some(Phase::Verify)).await;
    database
        .execute("INSERT INTO t (id, c) VALUES (1, NULL); INSERT INTO t (id, d) VALUES (2, NULL); INSERT INTO t (id) VALUES (3); INSERT INTO t (id, c) VALUES (4, 'x'); INSERT INTO t (id, d) VALUES (5, 'y')")
        .await;
    assert_eq!(rows(&database).await, "(1,,) (2,,) (3,x,x) (4,x,x) (5,y,y)");
    run_to(&database, &text, None).await;
    database.execute("INSERT INTO t (id) VALUES (6)").await;
    assert_eq!(rows(&database).await, "(1,) (2,) (3,x) (4,x) (5,y) (6,x)");
}

/// Column grants only, row security forced, no right on any schema but the table's, types and functions out of reach, and
/// nothing of crossfade to be used by anybody else.
#[tokio::test(flavor = "multi_thread")]
async fn roles_that_own_nothing_write_as_before() {
    for version in versions() {
        let database = Database::on(&version).await;
        let owner = format!("owner_of_{}", database.name);
        database
            .execute(&format!(
                "CREATE ROLE {owner}; CREATE SCHEMA util AUTHORIZATION {owner}; CREATE SCHEMA app AUTHORIZATION {owner};
                 SET ROLE {owner};
                 CREATE TYPE util.mood AS ENUM ('sad', 'glad');
                 CREATE FUNCTION util.number() RETURNS int LANGUAGE plpgsql VOLATILE AS 'BEGIN RETURN 7; END';
                 CREATE FUNCTION util.key(text) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN length($1); END';
                 REVOKE ALL ON FUNCTION util.number(), util.key(text) FROM PUBLIC;
                 CREATE TABLE app.t (id int PRIMARY KEY, mood util.mood DEFAULT 'sad', number int DEFAULT util.number(),
                   tenant int DEFAULT current_setting('app.tenant')::int, word text, other text);
                 INSERT INTO app.t VALUES (1, 'glad', 1, 1, 'one', 'x'), (2, 'sad', 2, 2, 'three', 'y');
                 ALTER TABLE app.t ENABLE ROW LEVEL SECURITY;
                 CREATE POLICY all_rows ON app.t USING (true); RESET ROLE"
            ))
            .await;
        let rights = "GRANT USAGE ON SCHEMA app TO stranger;
            GRANT SELECT, INSERT (id, mood, number, tenant, word, other), UPDATE (mood, number, tenant, word, other) ON app.t TO stranger";
        let role = stranger(&database, rights).await;
        let text = "version: 1\nname: values\ntable: app.t\nchanges:\n  - rename_column: { from: mood, to: feeling }\n  - rename_column: { from: number, to: amount }\n  - rename_column: { from: tenant, to: lessee }\n  - change_type: { column: word, to: integer, using: \"util.key(word)\", reverse: \"repeat('x', word_n)\", via: word_n }\ncontract: { grace: 0s, quiet: 0s }\n";
        let writes = [
            "SET standard_conforming_strings = off",
            "SET IntervalStyle = sql_standard",
            "SET DateStyle = 'German'",
            "SET search_path = app",
            "CREATE TEMP TABLE mood (x int)",
            "CREATE TEMP TABLE text (x int)",
            "CREATE TEMP TABLE int4 (x int)",
            "INSERT INTO app.t (id, mood, number, tenant, word) VALUES (3, 'glad', 3, 3, 'abc')",
            "UPDATE app.t SET mood = 'glad' WHERE id = 2",
            "UPDATE app.t SET word = 'abcd', other = 'z' WHERE id = 1",
            "UPDATE app.t SET other = 'w' WHERE id = 2",
        ];
        as_role(&database, &role, &writes[..7]).await.unwrap();
        // PUBLIC has no right on the ledger's schema, and nobody is given one for the test.
        run_to(&database, text, Some(Phase::Expand)).await;
        database.execute("REVOKE ALL ON SCHEMA crossfade FROM PUBLIC").await;
        as_role(&database, &role, &writes).await.unwrap();
        let select = "SELECT string_agg(concat_ws(',', id, mood, feeling, number, amount, tenant, lessee, word, word_n), ' ' ORDER BY id) FROM app.t";
        assert_eq!(
            database.scalar::<String>(select).await,
            "1,glad,glad,1,1,1,1,abcd,4 2,glad,glad,2,2,2,2,three,5 3,glad,glad,3,3,3,3,abc,3"
        );
        // Nobody may use what belongs to the run.
        for forbidden in [
            "SELECT nextval('crossfade.old_' || (SELECT substr(tgname, 13, 8) FROM pg_trigger WHERE tgname LIKE '!!crossfade%' LIMIT 1))",
            "CREATE TEMP TABLE mine (mood int, feeling int); DO $$ BEGIN EXECUTE (SELECT format('CREATE TRIGGER x BEFORE INSERT ON mine FOR EACH ROW EXECUTE FUNCTION %s()', tgfoid::regproc) FROM pg_trigger WHERE tgname LIKE '!!crossfade%' LIMIT 1); END $$",
        ] {
            let error = as_role(&database, &role, &[forbidden]).await.unwrap_err();
            assert!(error.contains("permission denied"), "{error}");
        }
        let owners: String = database
            .scalar("SELECT string_agg(DISTINCT pg_get_userbyid(proowner), ' ') FROM pg_proc WHERE pronamespace = 'crossfade'::regnamespace AND proname ~ '_[0-9a-f]{8}'")
            .await;
        assert_eq!(owners, owner);
        assert!(
            !database.scalar::<bool>(&format!("SELECT has_schema_privilege('{owner}', 'crossfade', 'CREATE')")).await
        );
        run_to(&database, text, Some(Phase::Switch)).await;
        // The defaults are still those of the old columns, which the statement does not name.
        database
            .execute(&format!(
                "GRANT UPDATE, INSERT ON app.t TO {role}; GRANT EXECUTE ON FUNCTION util.number() TO {role}"
            ))
            .await;
        let writes =
            ["SET app.tenant = 5", "INSERT INTO app.t (id, feeling, amount, lessee, word) VALUES (4, 'glad', 4, 4, 9)"];
        as_role(&database, &role, &writes).await.unwrap();
        run_to(&database, text, None).await;
        database.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    }
}

/// The session's `lastval()` is the application's, and the setting that once switched the trigger off does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_session_is_touched_and_nothing_of_it_matters() {
    for version in versions() {
        let database = Database::on(&version).await;
        database.execute("CREATE TABLE t (id serial PRIMARY KEY, c text, u int)").await;
        run_to(&database, &plan(RENAME), Some(Phase::Expand)).await;
        let mut connection = PgConnection::connect(&database.url).await.unwrap();
        for (statement, last) in [
            ("INSERT INTO t (c) VALUES ('a')", 1),
            ("INSERT INTO t (d) VALUES ('b')", 2),
            ("UPDATE t SET c = 'x', d = 'y'", 2),
        ] {
            sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.unwrap();
            let found: i64 = sqlx::query_scalar("SELECT lastval()").fetch_one(&mut connection).await.unwrap();
            assert_eq!(found, last, "after {statement}");
        }
        sqlx::raw_sql("SET crossfade.repair = on; UPDATE t SET c = 'z'").execute(&mut connection).await.unwrap();
        assert_eq!(rows(&database).await, "(1,z,,z) (2,z,,z)");
        let writes = tool(&database.url).status("values").await.unwrap();
        assert!(
            writes.old_column_write_seconds > 0 && writes.new_column_write_seconds > 0 && writes.conflicts > 0,
            "{writes:?}"
        );
    }
}

/// Evidence of use errs on the side of "still used".
#[tokio::test(flavor = "multi_thread")]
async fn whoever_names_the_old_column_is_noticed() {
    let database = Database::new().await;
    database
        .execute("CREATE TABLE t (id int PRIMARY KEY, c text DEFAULT gen_random_uuid()::text, u int); INSERT INTO t VALUES (1, 'a', 0)")
        .await;
    run_to(&database, &plan(RENAME), Some(Phase::Verify)).await;
    let tool = tool(&database.url);
    for (statement, old) in [
        // Of a new release: nothing of the old column.
        ("INSERT INTO t (id, d) VALUES (2, 'new')", false),
        ("UPDATE t SET d = 'x', u = 1 WHERE id = 1", false),
        ("UPDATE t SET u = 1", false),
        // Of a release that writes both, and of one that writes back all that it has read.
        ("INSERT INTO t (id, c, d) VALUES (3, 'both', 'both')", true),
        ("UPDATE t SET c = c, u = 2 WHERE id = 1", true),
        ("UPDATE t SET c = 'x', d = 'x', u = 2 WHERE id = 1", true),
    ] {
        let before = tool.status("values").await.unwrap().old_column_write_seconds;
        // A second in which the old column was written before is not counted again.
        wait_for("the next second", PATIENCE, async || {
            database.scalar::<bool>("SELECT pg_sequence_last_value(format('crossfade.%I', relname)::regclass) >> 24 < extract(epoch FROM clock_timestamp())::bigint FROM pg_class WHERE relname LIKE 'old\\_%' AND relkind = 'S'").await
        })
        .await;
        database.execute(statement).await;
        let noticed = tool.status("values").await.unwrap().old_column_write_seconds > before;
        assert_eq!(noticed, old, "{statement}");
    }
    assert_eq!(
        tool.run(&crossfade::plan::parse("plan", &plan(RENAME)).unwrap(), &plan(RENAME), None).await.unwrap().state,
        Standing::Done
    );
}

/// A column of the plan that somebody drops or renames: no write of the application fails for it, and the run says so.
#[tokio::test(flavor = "multi_thread")]
async fn no_write_fails_for_a_column_that_is_gone() {
    for version in versions() {
        for (ddl, write) in [
            ("ALTER TABLE t DROP COLUMN c CASCADE", "d"),
            ("ALTER TABLE t DROP COLUMN d CASCADE", "c"),
            ("ALTER TABLE t RENAME COLUMN c TO c2", "c2"),
            ("ALTER TABLE t RENAME COLUMN d TO d2", "c"),
        ] {
            let database = Database::on(&version).await;
            database
                .execute("CREATE TABLE t (id int PRIMARY KEY, c text, u int); INSERT INTO t VALUES (1, 'a', 0)")
                .await;
            run_to(&database, &plan(RENAME), Some(Phase::Backfill)).await;
            database.execute(ddl).await;
            database
                .execute(&format!("INSERT INTO t (id, {write}) VALUES (2, 'b'); UPDATE t SET {write} = 'z' WHERE id = 1; UPDATE t SET u = 1; DELETE FROM t WHERE id = 2"))
                .await;
            let tool = tool(&database.url);
            let parsed = crossfade::plan::parse("plan", &plan(RENAME)).unwrap();
            let error = tool.run(&parsed, &plan(RENAME), None).await.unwrap_err();
            assert!(matches!(error, crossfade::runner::Error::Drifted { .. }), "{ddl}: {error:?}");
            assert!(tool.status("values").await.is_ok(), "{ddl}");
        }
    }
}

/// Only errors about the value mean that it does not convert.
#[tokio::test(flavor = "multi_thread")]
async fn errors_that_say_nothing_of_the_value_are_raised() {
    let database = Database::new().await;
    database
        .execute(
            "CREATE TABLE t (id int PRIMARY KEY, c text);
             CREATE FUNCTION to_number(text) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
               IF $1 = 'right' THEN RAISE insufficient_privilege; ELSIF $1 = 'memory' THEN RAISE out_of_memory;
               ELSIF $1 = 'own' THEN RAISE EXCEPTION 'no number'; ELSIF $1 = 'nan' THEN RETURN 'NaN'::numeric::int; END IF;
               RETURN $1::int; END $$",
        )
        .await;
    let text = plan(
        "change_type: { column: c, to: integer, using: to_number(c), reverse: \"d::text\", via: d, on_error: leave }",
    );
    run_to(&database, &text, Some(Phase::Expand)).await;
    for (id, (value, fails)) in
        (1..).zip([("right", true), ("memory", true), ("own", false), ("nan", false), ("x", false), ("7", false)])
    {
        let insert = format!("INSERT INTO t (id, c) VALUES ({id}, '{value}')");
        let done = sqlx::raw_sql(AssertSqlSafe(insert)).execute(&database.pool).await;
        assert_eq!(done.is_err(), fails, "{value}: {done:?}");
    }
    // An unqualified name in the function's body is found under the path of whoever runs the tool, not of whoever writes.
    database
        .execute("CREATE SCHEMA evil; CREATE FUNCTION evil.length(text) RETURNS int LANGUAGE sql AS 'SELECT 666'; CREATE TABLE s (id int PRIMARY KEY, c text); CREATE FUNCTION size(text) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN length($1); END'")
        .await;
    let text = "version: 1\nname: size\ntable: s\nchanges:\n  - change_type: { column: c, to: integer, using: size(c), reverse: \"repeat('x', d)\", via: d }\n";
    run_to(&database, text, Some(Phase::Expand)).await;
    database
        .execute(
            "SET search_path = evil, pg_catalog; INSERT INTO public.s (id, c) VALUES (1, 'four'); RESET search_path",
        )
        .await;
    assert_eq!(database.scalar::<i32>("SELECT d FROM s").await, 4);
}

/// A row that is taken out and put back before the backfill has reached it keeps its value.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_copied_before_it_is_filled_keeps_its_value() {
    for version in versions() {
        for default in ["", "DEFAULT 'new'"] {
            let database = Database::on(&version).await;
            let table = "CREATE TABLE t (id int PRIMARY KEY, c text";
            database.execute(&format!("{table} {default}); INSERT INTO t VALUES (1, 'mine'), (2, NULL)")).await;
            let text = plan(RENAME);
            run_to(&database, &text, Some(Phase::Expand)).await;
            database.execute("WITH gone AS (DELETE FROM t RETURNING *) INSERT INTO t SELECT * FROM gone").await;
            assert_eq!(rows(&database).await, "(1,mine,mine) (2,,)", "{default}");
            run_to(&database, &text, None).await;
            assert_eq!(rows(&database).await, "(1,mine) (2,)", "{default}");
        }
    }
}
