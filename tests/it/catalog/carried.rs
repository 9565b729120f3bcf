//! What is carried: facts of columns, defaults and indexes, as PostgreSQL itself writes them.

use crossfade::catalog::{holds, inspect};
use crossfade::change::compile;
use crossfade::names::LedgerSchema;
use crossfade::plan::Plan;
use crossfade::run::{Action, IndexFacts, MirrorIndex};
use sqlx::AssertSqlSafe;

use super::{codes, facts_of, look, plan, rename, retype, retype_via};
use crate::harness::{Database, versions};

#[tokio::test]
async fn a_plain_rename_has_all_its_facts() {
    for version in versions() {
        let database = Database::on(&version).await;
        database
            .execute(
                "CREATE TABLE vehicles (id bigint PRIMARY KEY, status text NOT NULL DEFAULT 'new', plate varchar(20));
                 CREATE INDEX vehicles_status ON vehicles (status, id DESC) WHERE status <> 'sold';
                 CREATE INDEX \"Mixed \"\"Case\"\"\" ON vehicles (upper(status)) INCLUDE (plate);
                 ALTER TABLE vehicles ADD CONSTRAINT once UNIQUE (status, plate) DEFERRABLE;
                 COMMENT ON COLUMN vehicles.status IS 'it''s';
                 GRANT SELECT (status) ON vehicles TO PUBLIC;",
            )
            .await;
        let found = look(&database, &plan("vehicles", vec![rename("status", "vehicle_status")])).await;
        assert_eq!(found.refusals, []);
        assert_eq!(codes(&found.warnings), ["catalog::positions"]);
        let facts = found.facts.unwrap();
        assert_eq!((facts.server_version / 10_000, &facts.main().key), (version.major, &vec!["id".to_owned()]));
        let old = &facts.pair(0).unwrap().old;
        assert_eq!((old.type_name.as_str(), old.not_null, old.default_is_repeatable), ("text", true, true));
        assert_eq!(old.comment.as_deref(), Some("it's"));
        assert_eq!(old.grants, [("PUBLIC".to_owned(), "SELECT".to_owned(), false)]);
        let named = (version.major >= 18).then(|| "vehicles_status_not_null".to_owned());
        assert_eq!(old.not_null_constraint, named);
        let mirror = |i: &IndexFacts| {
            let MirrorIndex { tail, unique } = i.mirror.clone().unwrap();
            (i.name.clone(), tail, unique)
        };
        let mirrors: Vec<_> = facts.main().indexes.iter().map(mirror).collect();
        let mirrors: Vec<_> =
            mirrors.iter().map(|(name, tail, unique)| (name.as_str(), tail.as_str(), *unique)).collect();
        assert_eq!(
            mirrors,
            [
                ("Mixed \"Case\"", "USING btree (upper(vehicle_status)) INCLUDE (plate)", false),
                ("once", "USING btree (vehicle_status, plate)", false),
                (
                    "vehicles_status",
                    "USING btree (vehicle_status, id DESC) WHERE (vehicle_status <> 'sold'::text)",
                    false
                ),
            ]
        );
        assert!(facts.main().indexes[1].constraint.as_ref().is_some_and(|c| c.deferrable && !c.deferred));
    }
}

#[tokio::test]
async fn what_only_touches_the_catalog_is_recognised() {
    const CASES: &[(&str, &str, &str, bool)] = &[
        ("varchar(10)", "varchar(20)", "", true),
        ("varchar(10)", "varchar", "CREATE UNIQUE INDEX ON t (\"Old\", id)", true),
        ("varchar(10)", "varchar", "CREATE INDEX ON t (upper(\"Old\"))", false),
        ("varchar(10)", "text", "CREATE INDEX ON t (\"Old\" varchar_pattern_ops)", true),
        ("text", "varchar", "", true),
        ("varchar(20)", "varchar(10)", "", false),
        ("numeric(10,2)", "numeric(12,2)", "", true),
        ("numeric(10,2)", "numeric", "", true),
        ("numeric(10,2)", "numeric(12,3)", "", false),
        ("int", "bigint", "", false),
        ("int", "oid", "", true),
        ("int", "oid", "CREATE INDEX ON t (\"Old\")", false),
        ("cidr", "inet", "", true),
        ("text", "text COLLATE \"C\"", "", false),
        ("bit varying(5)", "bit varying(9)", "", true),
    ];
    for version in versions() {
        let database = Database::on(&version).await;
        for (from, to, make, expected) in CASES {
            database.execute(&format!("DROP TABLE IF EXISTS t; CREATE TABLE t (id int, \"Old\" {from}); {make}")).await;
            let facts = facts_of(&database, &plan("t", vec![retype("Old", to, None, None)])).await;
            assert_eq!(
                facts.pair(0).unwrap().metadata_only,
                *expected,
                "PostgreSQL {}: {from} to {to} {make}",
                version.major
            );
        }
        // What the plan says of the way makes no difference where it is a plain cast.
        for (using, reverse, expected) in [
            (Some("\"Old\"::varchar(20)"), None, true),
            (Some("CAST(\"Old\" AS varchar(20))"), Some("\"New\"::varchar(10)"), true),
            (None, Some("left(\"New\", 10)"), true),
            (Some("upper(\"Old\")"), None, false),
            (Some("\"Old\" || ''"), None, false),
        ] {
            database.execute("DROP TABLE IF EXISTS t; CREATE TABLE t (id int, \"Old\" varchar(10))").await;
            let found = look(&database, &plan("t", vec![retype("Old", "varchar(20)", using, reverse)])).await;
            assert_eq!(found.facts.unwrap().pair(0).unwrap().metadata_only, expected, "{using:?} {reverse:?}");
            assert_eq!(found.warnings.iter().any(|warning| warning.code == "catalog::in_place"), expected);
        }
        // Free in a session in UTC, and wrong in any other.
        database.execute("DROP TABLE t; CREATE TABLE t (\"Old\" timestamp)").await;
        let mut connection = database.pool.acquire().await.unwrap();
        sqlx::query("SET timezone = 'UTC'").execute(&mut *connection).await.unwrap();
        let utc = Some("\"Old\" AT TIME ZONE 'UTC'");
        let plan = plan("t", vec![retype("Old", "timestamptz", utc, None)]);
        let found = inspect(&mut connection, &plan, &LedgerSchema::default()).await.unwrap();
        assert!(!found.facts.unwrap().pair(0).unwrap().metadata_only);
    }
}

#[tokio::test]
async fn indexes_of_every_kind_get_a_twin_that_postgresql_wrote() {
    const NAMES: [(&str, &str); 4] = [("old", "new"), ("select", "Grüße"), ("a\"b", "c'd"), ("Mixed", "mixed")];
    for version in versions() {
        let database = Database::on(&version).await;
        for (old, new) in NAMES {
            let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
            let (o, n) = (quote(old), quote(new));
            database
                .execute(&format!(
                    "DROP SCHEMA IF EXISTS \"my app\" CASCADE; CREATE SCHEMA \"my app\"; SET LOCAL search_path = \"my app\";
                     CREATE TABLE \"T t\" (id int PRIMARY KEY, {o} text NOT NULL, words tsvector, at int4range, \"{old_}x\" int);
                     CREATE FUNCTION norm(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT lower($1)';
                     CREATE INDEX \"i 1\" ON \"T t\" ({o});
                     CREATE UNIQUE INDEX \"i \"\"2\"\"\" ON \"T t\" ({o} COLLATE \"C\" text_pattern_ops DESC NULLS LAST, id) INCLUDE (words) WITH (fillfactor = 70);
                     CREATE INDEX \"i ON x USING\" ON \"T t\" USING hash ({o}) WHERE id > 3 AND {o} <> 'a ON b';
                     CREATE INDEX i4 ON \"T t\" USING gin (to_tsvector('english', {o}));
                     CREATE INDEX i5 ON \"T t\" USING brin ({o}, id) WITH (pages_per_range = 7);
                     CREATE INDEX i6 ON \"T t\" USING gist (at) WHERE {o} IS NOT NULL;
                     CREATE INDEX i7 ON \"T t\" ((norm({o}) || 'x'));
                     ALTER INDEX i7 ALTER COLUMN 1 SET STATISTICS 77; COMMENT ON INDEX i7 IS 'seven';
                     CREATE INDEX i8 ON \"T t\" (id) INCLUDE ({o});
                     CREATE INDEX i9 ON \"T t\" USING spgist ({o}); ALTER TABLE \"T t\" CLUSTER ON \"i 1\";
                     ALTER TABLE \"T t\" ADD CONSTRAINT \"u 1\" UNIQUE ({o}) DEFERRABLE INITIALLY DEFERRED;
                     COMMENT ON CONSTRAINT \"u 1\" ON \"T t\" IS 'one';
                     CREATE INDEX other ON \"T t\" (id, \"{old_}x\");",
                    old_ = old.replace('"', "\"\"")
                ))
                .await;
            let plan = plan("\"my app\".\"T t\"", vec![rename(old, new)]);
            let facts = facts_of(&database, &plan).await;
            // What plain ALTER makes of each.
            database.execute(&format!("ALTER TABLE \"my app\".\"T t\" RENAME COLUMN {o} TO {n}")).await;
            let names: Vec<_> = facts.main().indexes.iter().map(|index| index.name.as_str()).collect();
            assert_eq!(names.len(), 10, "{names:?}");
            for index in &facts.main().indexes {
                let altered: String = database
                    .scalar(&format!(
                        "SELECT pg_get_indexdef('\"my app\".{}'::regclass) FROM set_config('search_path', '', false)",
                        quote(&index.name)
                    ))
                    .await;
                let mirror = index.mirror.as_ref().unwrap();
                assert!(altered.ends_with(&mirror.tail), "{altered}\n{}", mirror.tail);
                assert_eq!(mirror.unique, index.unique && index.constraint.is_none(), "{altered}");
                let unique = if mirror.unique { "UNIQUE " } else { "" };
                let twin = format!("CREATE {unique}INDEX cf_twin ON \"my app\".\"T t\" {}", mirror.tail);
                database.execute(&format!("{twin}; DROP INDEX \"my app\".cf_twin")).await;
            }
            let by_name = |name: &str| facts.main().indexes.iter().find(|index| index.name == name).unwrap();
            let seven = by_name("i7");
            assert_eq!((seven.comment.as_deref(), &seven.statistics), (Some("seven"), &vec![(1, 77)]));
            let constraint = by_name("u 1").constraint.as_ref().unwrap();
            assert_eq!(
                (constraint.deferrable, constraint.deferred, constraint.comment.as_deref()),
                (true, true, Some("one"))
            );
            assert!(by_name("i 1").clustered && !seven.clustered);
        }
    }
}

#[tokio::test]
async fn a_retyped_columns_default_and_indexes_are_what_plain_alter_leaves() {
    for version in versions() {
        let database = Database::on(&version).await;
        let make = async |default: &str, index: &str| {
            database
                .execute(&format!(
                    "DROP TABLE IF EXISTS t; CREATE TABLE t (id int, \"Old\" text DEFAULT {default}); {index}"
                ))
                .await;
        };
        let to_int = plan("t", vec![retype("Old", "int", None, None)]);
        make("NULL", "CREATE INDEX i ON t (\"Old\", id) WHERE \"Old\" IS NOT NULL").await;
        let facts = facts_of(&database, &to_int).await;
        assert_eq!(facts.main().indexes[0].twin, "USING btree (\"New\", id) WHERE (\"New\" IS NOT NULL)");
        make("'x'", "").await;
        assert_eq!(codes(&look(&database, &to_int).await.refusals), ["catalog::default"]);
        make("NULL", "CREATE INDEX i ON t (\"Old\" text_pattern_ops); CREATE INDEX j ON t (upper(\"Old\"))").await;
        let found = look(&database, &to_int).await;
        assert_eq!(codes(&found.refusals), ["catalog::index", "catalog::index"], "{found:#?}");
        assert!(found.refusals[0].message.starts_with("index \"i\" does not fit the new type: "));
        make("'x'", "CREATE INDEX i ON t (\"Old\")").await;
        let to_varchar = plan("t", vec![retype("Old", "varchar(3)", Some("left(\"Old\", 3)"), None)]);
        let facts = facts_of(&database, &to_varchar).await;
        assert_eq!(facts.pair(0).unwrap().new_default.as_deref(), Some("'x'::text"));
        for (default, stable) in [
            ("'x'", true),
            ("clock_timestamp()::text", false),
            ("now()::text", true),
            ("gen_random_uuid()::text", false),
            ("current_user::text", false),
        ] {
            make(default, "").await;
            let facts = facts_of(&database, &plan("t", vec![rename("Old", "New")])).await;
            assert_eq!(facts.pair(0).unwrap().old.default_is_repeatable, stable, "{default}");
        }
        // Two changes in one index.
        database
            .execute("DROP TABLE t; CREATE TABLE t (a int, b varchar(5), c varchar(5)); CREATE INDEX i ON t (a, b, c)")
            .await;
        let b = retype_via("b", "b_new", "varchar(9)", None, None);
        let facts = facts_of(
            &database,
            &plan("t", vec![retype("a", "bigint", None, Some("\"New\"::int")), b, rename("c", "d")]),
        )
        .await;
        assert_eq!(facts.main().indexes[0].changes, [0, 1, 2]);
        // The second is changed in place and keeps its name; the third stays, and gets its name last.
        assert_eq!(facts.main().indexes[0].twin, "USING btree (\"New\", b, c)");
        assert_eq!(facts.main().indexes[0].mirror, None);
        assert!(facts.pair(1).unwrap().metadata_only);
    }
}

#[tokio::test]
async fn sizes_are_estimated_before_the_first_analyze() {
    let database = Database::new().await;
    database
        .execute("CREATE TABLE t (id bigint PRIMARY KEY, a text) WITH (autovacuum_enabled = off); INSERT INTO t SELECT n, repeat('x', 30) FROM generate_series(1, 20000) n")
        .await;
    let plan = plan("t", vec![rename("a", "b")]);
    let facts = facts_of(&database, &plan).await;
    assert!((10_000..40_000).contains(&facts.main().rows), "{:?}", facts.main());
    assert!(facts.main().pages > 100 && facts.main().index_count == 1 && facts.main().index_bytes > 100_000);
    sqlx::query("VACUUM ANALYZE t").execute(&database.pool).await.unwrap();
    assert_eq!(facts_of(&database, &plan).await.main().rows, 20_000);
}

/// Does every step of the plan on an empty table, where there is nothing to fill or compare.
async fn run_empty(database: &Database, plan: &Plan) {
    let facts = facts_of(database, plan).await;
    let ledger = LedgerSchema::default();
    database.execute("CREATE SCHEMA crossfade").await;
    let mut connection = database.pool.acquire().await.unwrap();
    let program = compile(plan, &facts, &ledger);
    for step in &program.steps {
        match &step.action {
            Action::Transaction(statements) => database.execute(&statements.join(";\n")).await,
            Action::Concurrent { settings, statement, .. } => {
                assert_eq!(settings, &[]);
                let result = sqlx::query(AssertSqlSafe(statement.clone())).execute(&mut *connection).await;
                result.unwrap_or_else(|error| panic!("{statement}: {error}"));
            }
            _ => {}
        }
        let answers = holds(&mut connection, &program.relations, &ledger, &step.done_when).await.unwrap();
        for (condition, answer) in step.done_when.iter().zip(answers) {
            assert!(answer, "after {}: {condition}", step.key);
        }
    }
    database.execute("DROP SCHEMA crossfade").await;
}

#[tokio::test]
async fn the_facts_lead_to_what_plain_alter_gives() {
    let make = "CREATE TABLE t (id int PRIMARY KEY, a varchar(20) COLLATE \"C\" NOT NULL DEFAULT 'x', b text, \"C d\" int UNIQUE DEFERRABLE);
         CREATE INDEX i1 ON t (a, id DESC) INCLUDE (b) WHERE a <> 'y'; CREATE UNIQUE INDEX i2 ON t (lower(a), b); CREATE INDEX i3 ON t USING hash (b);
         ALTER TABLE t ADD CONSTRAINT u UNIQUE (b, a); CREATE INDEX i4 ON t ((b || 'x')); ALTER INDEX i4 ALTER COLUMN 1 SET STATISTICS 9;
         COMMENT ON COLUMN t.a IS 'it''s'; COMMENT ON INDEX i1 IS 'one'; COMMENT ON CONSTRAINT u ON t IS 'you';
         ALTER TABLE t ALTER a SET STATISTICS 33, ALTER a SET (n_distinct = -0.5), ALTER b SET STORAGE EXTERNAL, CLUSTER ON i2;
         GRANT SELECT (a), UPDATE (a), INSERT (b) ON t TO PUBLIC;";
    for version in versions() {
        for (n, alter) in [
            "ALTER TABLE t RENAME a TO \"A new\"; ALTER TABLE t RENAME b TO \"New\"",
            "ALTER TABLE t ALTER a TYPE varchar(3) USING left(a, 3); ALTER TABLE t ALTER \"C d\" TYPE bigint",
            "ALTER TABLE t ALTER a TYPE varchar(40) COLLATE \"C\"; ALTER TABLE t RENAME b TO bb",
        ]
        .into_iter()
        .enumerate()
        {
            let (ours, theirs) = (Database::on(&version).await, Database::on(&version).await);
            ours.execute(make).await;
            theirs.execute(make).await;
            let second = retype_via("C d", "c_new", "bigint", None, Some("c_new::int"));
            let changes = match n {
                0 => vec![rename("a", "A new"), rename("b", "New")],
                1 => vec![retype("a", "varchar(3)", Some("left(a, 3)"), None), second],
                _ => vec![retype("a", "varchar(40) COLLATE \"C\"", None, None), rename("b", "bb")],
            };
            run_empty(&ours, &plan("t", changes)).await;
            theirs.execute(alter).await;
            assert_eq!(ours.schema().await, theirs.schema().await, "PostgreSQL {}: {alter}", version.major);
        }
    }
}
