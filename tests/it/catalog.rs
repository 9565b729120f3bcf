//! What a plan meets on the server: everything carried, everything refused, each with its name.

use std::time::Duration;

use crossfade::catalog::{Conversion, Facts, Finding, Inspection, dependants, holds, inspect, try_conversions};
use crossfade::compile::LedgerSchema;
use crossfade::ident::{ColumnName, PlanName, RelationName, TableName};
use crossfade::plan::{
    AddIndex, Backfill, BuildIndexes, Change, ChangeKind, Contract, CopyIndexes, Indexes, OnConflict, Plan, Requires,
    Throttle, Verify,
};
use crossfade::step::Fact;

use crate::harness::{Database, versions};

fn plan(table: &str, changes: Vec<Change>) -> Plan {
    Plan {
        name: PlanName::new("p").unwrap(),
        table: TableName::parse(table).unwrap(),
        changes,
        indexes: Indexes { build: BuildIndexes::default(), copy: CopyIndexes::All, add: vec![] },
        backfill: Backfill { batch_target: Duration::from_millis(100), max_rows_per_second: None, workers: 1 },
        throttle: Throttle { replica_lag: None, lock_wait: None, wal_archive_backlog: None },
        verify: Verify { max_age: Duration::from_hours(24) },
        contract: Contract { grace: Duration::ZERO, quiet: Duration::ZERO },
        schedule: None,
        approve: vec![],
        requires: Requires::default(),
    }
}

fn change(old: &str, new: &str, kind: ChangeKind) -> Change {
    Change {
        old: ColumnName::new(old).unwrap(),
        new: ColumnName::new(new).unwrap(),
        kind,
        on_conflict: OnConflict::default(),
        on_error: None,
    }
}

fn rename(old: &str, new: &str) -> Change {
    change(old, new, ChangeKind::Rename)
}

fn retype(old: &str, to: &str, using: Option<&str>, reverse: Option<&str>) -> Change {
    let (using, reverse) = (using.map(str::to_owned), reverse.map(str::to_owned));
    change(old, "New", ChangeKind::Retype { to: to.to_owned(), using, reverse, keep_name: true })
}

async fn facts_of(database: &Database, plan: &Plan) -> Facts {
    let found = look(database, plan).await;
    assert_eq!(lines(&found.refusals), Vec::<String>::new());
    found.facts.unwrap()
}

async fn look(database: &Database, plan: &Plan) -> Inspection {
    let mut connection = database.pool.acquire().await.unwrap();
    inspect(&mut connection, plan, &LedgerSchema::default()).await.unwrap()
}

fn codes(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.code).collect()
}

/// Returns each finding as `code: message`.
fn lines(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|finding| format!("{}: {}", finding.code, finding.message)).collect()
}

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
        assert_eq!(codes(&found.warnings), ["catalog::select_star"]);
        let facts = found.facts.unwrap();
        assert_eq!((facts.server_version / 10_000, &facts.key), (version.major, &vec!["id".to_owned()]));
        let old = &facts.changes[0].old;
        assert_eq!((old.type_name.as_str(), old.not_null, old.default_is_stable), ("text", true, true));
        assert_eq!(old.comment.as_deref(), Some("it's"));
        assert_eq!(old.grants, [("PUBLIC".to_owned(), "SELECT".to_owned(), false)]);
        let named = (version.major >= 18).then(|| "vehicles_status_not_null".to_owned());
        assert_eq!(old.not_null_constraint, named);
        let twins: Vec<_> = facts.indexes.iter().map(|i| (i.name.as_str(), i.twin.as_str())).collect();
        assert_eq!(
            twins,
            [
                ("Mixed \"Case\"", "USING btree (upper(vehicle_status)) INCLUDE (plate)"),
                ("once", "USING btree (vehicle_status, plate)"),
                ("vehicles_status", "USING btree (vehicle_status, id DESC) WHERE (vehicle_status <> 'sold'::text)"),
            ]
        );
        assert!(facts.indexes[1].constraint.as_ref().is_some_and(|c| c.deferrable && !c.deferred));
    }
}

/// Each on a table `t (id int, "Old" int, other int)` of its own: what is made, and the refusal of a rename of "Old".
const REFUSED: &[(u32, &str, &str, &str)] = &[
    (14, "CREATE VIEW v AS SELECT \"Old\" FROM t", "catalog::view", "view public.v reads column \"Old\""),
    (
        14,
        "CREATE MATERIALIZED VIEW v AS SELECT id FROM t WHERE \"Old\" > 1",
        "catalog::materialized_view",
        "materialized view public.v reads column \"Old\"",
    ),
    (
        14,
        "CREATE RULE r AS ON DELETE TO t WHERE OLD.\"Old\" > 1 DO ALSO NOTHING",
        "catalog::rule",
        "rule r on table public.t uses column \"Old\"",
    ),
    (
        14,
        "ALTER TABLE t ADD PRIMARY KEY (\"Old\")",
        "catalog::primary_key",
        "constraint t_pkey on table public.t contains column \"Old\"",
    ),
    (
        14,
        "ALTER TABLE t ADD CHECK (\"Old\" > 0)",
        "catalog::check",
        "constraint t_Old_check on table public.t tests column \"Old\"",
    ),
    (
        14,
        "ALTER TABLE t ADD EXCLUDE (\"Old\" WITH =)",
        "catalog::exclusion",
        "constraint t_Old_excl on table public.t contains column \"Old\"",
    ),
    (
        14,
        "CREATE TABLE p (id int PRIMARY KEY); ALTER TABLE t ADD FOREIGN KEY (\"Old\") REFERENCES p",
        "catalog::foreign_key",
        "constraint t_Old_fkey on table public.t refers from column \"Old\"",
    ),
    (
        14,
        "ALTER TABLE t ADD UNIQUE (\"Old\"); CREATE TABLE c (x int CONSTRAINT child REFERENCES t (\"Old\"))",
        "catalog::foreign_key",
        "constraint child on table public.c refers to column \"Old\"",
    ),
    (
        14,
        "CREATE POLICY only_mine ON t USING (\"Old\" = 1)",
        "catalog::policy",
        "policy only_mine on table public.t uses column \"Old\"",
    ),
    (
        14,
        "ALTER TABLE t ADD g int GENERATED ALWAYS AS (\"Old\" * 2) STORED",
        "catalog::generated_column",
        "column g of table public.t is generated from column \"Old\"",
    ),
    (
        14,
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
         CREATE TRIGGER watch BEFORE UPDATE OF \"Old\" ON t FOR EACH ROW EXECUTE FUNCTION f()",
        "catalog::trigger",
        "trigger watch on table public.t names column \"Old\"",
    ),
    (
        14,
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
         CREATE TRIGGER watch AFTER UPDATE ON t FOR EACH ROW WHEN (NEW.\"Old\" > 1) EXECUTE FUNCTION f()",
        "catalog::trigger",
        "trigger watch on table public.t names column \"Old\"",
    ),
    (
        14,
        "CREATE STATISTICS s ON \"Old\", other FROM t",
        "catalog::statistics",
        "statistics object public.s are gathered on column \"Old\"",
    ),
    (14, "CREATE SEQUENCE q OWNED BY t.\"Old\"", "catalog::sequence", "sequence public.q is owned by column \"Old\""),
    (
        14,
        "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT sum(\"Old\") FROM t; END",
        "catalog::function",
        "function public.f() uses column \"Old\"",
    ),
    (14, "CREATE PUBLICATION one FOR TABLE t", "catalog::publication", "publication \"one\" publishes public.t"),
    (
        14,
        "CREATE PUBLICATION everything FOR ALL TABLES",
        "catalog::publication",
        "publication \"everything\" publishes public.t",
    ),
    (
        15,
        "CREATE PUBLICATION few FOR TABLE t (id, \"Old\")",
        "catalog::publication",
        "publication of table public.t in publication few names column \"Old\"",
    ),
    (
        15,
        "CREATE PUBLICATION folder FOR TABLES IN SCHEMA public",
        "catalog::publication",
        "publication \"folder\" publishes public.t",
    ),
    (
        14,
        "CREATE TABLE user_of (r t)",
        "catalog::row_type",
        "column r of table public.user_of has the row type of public.t",
    ),
    (
        14,
        "ALTER TABLE t ALTER \"Old\" SET NOT NULL; CREATE UNIQUE INDEX ident ON t (\"Old\"); ALTER TABLE t REPLICA IDENTITY USING INDEX ident",
        "catalog::replica_identity",
        "index \"ident\" is the replica identity of public.t",
    ),
    (
        14,
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
         CREATE TRIGGER \"~~~\" BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
        "catalog::trigger_order",
        "trigger \"~~~\" of public.t fires after crossfade's, because its name sorts last",
    ),
    (
        14,
        "CREATE RULE no_update AS ON UPDATE TO t DO INSTEAD NOTHING",
        "catalog::rule",
        "rule \"no_update\" of public.t replaces every UPDATE, also the backfill's",
    ),
    (
        14,
        "CREATE FUNCTION h(t) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1.id';
         CREATE INDEX whole ON t (h(t), \"Old\")",
        "catalog::index_whole_row",
        "index \"whole\" of public.t is computed from whole rows",
    ),
    (
        14,
        "CREATE INDEX broken ON t (\"Old\"); UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'broken'::regclass",
        "catalog::index_invalid",
        "index \"broken\" of public.t is invalid: an earlier CREATE INDEX CONCURRENTLY failed or is still at work",
    ),
    (
        14,
        "CREATE TABLE kid () INHERITS (t)",
        "catalog::inheritance",
        "public.t inherits from, or is inherited by, public.kid",
    ),
    (
        14,
        "ALTER TABLE t ADD \"New\" int",
        "catalog::name_taken",
        "the new name \"New\" is taken by another column of public.t",
    ),
    (
        18,
        "ALTER TABLE t ADD CONSTRAINT nn NOT NULL \"Old\" NOT VALID",
        "catalog::not_null_not_valid",
        "column \"Old\" of public.t has a NOT NULL constraint that was never validated",
    ),
    (
        18,
        "ALTER TABLE t ADD v int GENERATED ALWAYS AS (\"Old\" * 2) VIRTUAL",
        "catalog::generated_column",
        "column v of table public.t is generated from column \"Old\"",
    ),
];

#[tokio::test]
async fn whatever_cannot_be_carried_is_refused_by_name() {
    for version in versions() {
        let database = Database::on(&version).await;
        let plan = plan("t", vec![rename("Old", "New")]);
        let mut wrong = Vec::new();
        for (since, make, code, message) in REFUSED {
            if version.major < *since {
                continue;
            }
            database
                .execute(
                    "DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE TABLE t (id int, \"Old\" int, other int)",
                )
                .await;
            database.execute(make).await;
            let found = look(&database, &plan).await;
            let expected = format!("{code}: {message}");
            let lines = lines(&found.refusals);
            // One object, one refusal (two where it is wrong in two ways).
            if !lines.contains(&expected) || lines.len() > 2 {
                wrong.push(format!("PostgreSQL {}: {make}\n  {expected}\n  {lines:#?}", version.major));
            }
            database.execute("DO $$ DECLARE p name; BEGIN FOR p IN SELECT pubname FROM pg_publication LOOP EXECUTE format('DROP PUBLICATION %I', p); END LOOP; END $$").await;
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        // Nothing on other columns is refused.
        database
            .execute(
                "DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE TABLE t (id int PRIMARY KEY, \"Old\" int, other int CHECK (other > 0));
                 CREATE VIEW v AS SELECT id, other FROM t; CREATE STATISTICS s ON id, other FROM t; CREATE TABLE c (t int REFERENCES t);
                 CREATE POLICY p ON t USING (id = 1); CREATE VIEW n AS SELECT count(*) FROM t;",
            )
            .await;
        assert_eq!(lines(&look(&database, &plan).await.refusals), Vec::<String>::new());
    }
}

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
    let expression = |sql: &str, null_to_null| Conversion::Expression { sql: sql.to_owned(), null_to_null };
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
            let change = facts.changes.into_iter().next().unwrap();
            (change.forward, change.new_type, change.new_base_type, change.new_collate)
        };
        let type_ = |name: &str, base: &str| (name.to_owned(), base.to_owned(), String::new());
        let check = async |old, to, using, conversion: Conversion, names: (String, String, String)| {
            let found = forward(old, to, using).await;
            assert_eq!(found, (conversion, names.0, names.1, names.2), "PostgreSQL {}: {old} to {to}", version.major);
        };
        check("Old", "bigint", None, Conversion::InfallibleCast, type_("bigint", "bigint")).await;
        check("Old", "int8", Some("\"Old\"::bigint"), Conversion::InfallibleCast, type_("bigint", "bigint")).await;
        check("Old", "int", None, Conversion::Identity, type_("integer", "integer")).await;
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
        assert_eq!(codes(&found.refusals), ["catalog::constrained_domain"]);
        let both = plan("t", vec![retype("v", "varchar(5)", Some("left(v, 5)"), Some("\"New\""))]);
        let change = facts_of(&database, &both).await.changes.remove(0);
        assert_eq!((change.reverse, change.metadata_only), (Conversion::InfallibleCast, false));
        assert!(!facts_of(&database, &plan("t", vec![rename("j", "k")])).await.changes[0].new_plain_compare);
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
    let change = found.facts.unwrap().changes.remove(0);
    assert_eq!(change.new_type, "app.mood");
    assert_eq!(change.forward, Conversion::Expression { sql: "app.to_mood(s)".to_owned(), null_to_null: true });
    let path: String = sqlx::query_scalar("SHOW search_path").fetch_one(&mut *connection).await.unwrap();
    assert_eq!(path, "app, public");
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_class WHERE relname LIKE 'crossfade%'")
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    assert_eq!(left, 0);
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
                facts.changes[0].metadata_only, *expected,
                "PostgreSQL {}: {from} to {to} {make}",
                version.major
            );
        }
        // Free in a session in UTC, and wrong in any other.
        database.execute("DROP TABLE t; CREATE TABLE t (\"Old\" timestamp)").await;
        let mut connection = database.pool.acquire().await.unwrap();
        sqlx::query("SET timezone = 'UTC'").execute(&mut *connection).await.unwrap();
        let utc = Some("\"Old\" AT TIME ZONE 'UTC'");
        let plan = plan("t", vec![retype("Old", "timestamptz", utc, None)]);
        let found = inspect(&mut connection, &plan, &LedgerSchema::default()).await.unwrap();
        assert!(!found.facts.unwrap().changes[0].metadata_only);
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
            let names: Vec<_> = facts.indexes.iter().map(|index| index.name.as_str()).collect();
            assert_eq!(names.len(), 10, "{names:?}");
            for index in &facts.indexes {
                let altered: String = database
                    .scalar(&format!(
                        "SELECT pg_get_indexdef('\"my app\".{}'::regclass) FROM set_config('search_path', '', false)",
                        quote(&index.name)
                    ))
                    .await;
                assert!(altered.ends_with(&index.twin), "{altered}\n{}", index.twin);
                let unique = if index.unique { "UNIQUE " } else { "" };
                let twin = format!("CREATE {unique}INDEX cf_twin ON \"my app\".\"T t\" {}", index.twin);
                database.execute(&format!("{twin}; DROP INDEX \"my app\".cf_twin")).await;
            }
            let by_name = |name: &str| facts.indexes.iter().find(|index| index.name == name).unwrap();
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
        assert_eq!(facts.indexes[0].twin, "USING btree (\"New\", id) WHERE (\"New\" IS NOT NULL)");
        make("'x'", "").await;
        assert_eq!(codes(&look(&database, &to_int).await.refusals), ["catalog::default"]);
        make("NULL", "CREATE INDEX i ON t (\"Old\" text_pattern_ops); CREATE INDEX j ON t (upper(\"Old\"))").await;
        let found = look(&database, &to_int).await;
        assert_eq!(codes(&found.refusals), ["catalog::index", "catalog::index"], "{found:#?}");
        assert!(found.refusals[0].message.starts_with("index \"i\" does not fit the new type: "));
        make("'x'", "CREATE INDEX i ON t (\"Old\")").await;
        let to_varchar = plan("t", vec![retype("Old", "varchar(3)", Some("left(\"Old\", 3)"), None)]);
        let facts = facts_of(&database, &to_varchar).await;
        assert_eq!(facts.changes[0].new_default.as_deref(), Some("'x'::text"));
        for (default, stable) in
            [("clock_timestamp()::text", false), ("now()::text", true), ("gen_random_uuid()::text", false)]
        {
            make(default, "").await;
            let facts = facts_of(&database, &plan("t", vec![rename("Old", "New")])).await;
            assert_eq!(facts.changes[0].old.default_is_stable, stable, "{default}");
        }
        // Two changes in one index.
        database
            .execute("DROP TABLE t; CREATE TABLE t (a int, b varchar(5), c varchar(5)); CREATE INDEX i ON t (a, b, c)")
            .await;
        let mut b = retype("b", "varchar(9)", None, None);
        b.new = ColumnName::new("b_new").unwrap();
        let facts = facts_of(
            &database,
            &plan("t", vec![retype("a", "bigint", None, Some("\"New\"::int")), b, rename("c", "d")]),
        )
        .await;
        assert_eq!(facts.indexes[0].changes, [0, 1, 2]);
        // The second is changed in place and keeps its name.
        assert_eq!(facts.indexes[0].twin, "USING btree (\"New\", b, d)");
        assert!(facts.changes[1].metadata_only);
    }
}

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
        let column = |column: &str, type_name: &str| Fact::Column { name: name(column), type_name: name(type_name) };
        let facts = [
            (column("a", "character varying(10)"), true),
            (column("a", "character varying"), false),
            (column("b", "\"My\".\"Mood\"[]"), true),
            (column("e", "\"My\".\"Mood\""), true),
            (column("c", "numeric(5,2)"), true),
            (column("d", "integer"), false),
            (Fact::NoColumn { name: name("d") }, true),
            (Fact::NoColumn { name: name("a") }, false),
            (Fact::Trigger { name: name("on_") }, true),
            (Fact::Trigger { name: name("off") }, false),
            (Fact::Trigger { name: name("none") }, false),
            (Fact::Function { name: name("f"), sha256: sha256.clone() }, true),
            (Fact::Function { name: name("f"), sha256: name("00") }, false),
            (Fact::NoFunction { name: name("f") }, false),
            (Fact::NoFunction { name: name("g") }, true),
            (Fact::Index { name: name("good") }, true),
            (Fact::Index { name: name("bad") }, false),
            (Fact::Index { name: name("none") }, false),
            (Fact::Constraint { name: name("T_c_check") }, true),
            (Fact::Constraint { name: name("late") }, false),
            (Fact::NoConstraint { name: name("late") }, false),
            (Fact::NoConstraint { name: name("none") }, true),
            (Fact::NotNull { column: name("id"), is: true }, true),
            (Fact::NotNull { column: name("id"), is: false }, false),
            (Fact::NotNull { column: name("a"), is: false }, true),
            (Fact::NotNull { column: name("d"), is: false }, false),
        ];
        let ask: Vec<_> = facts.iter().map(|(fact, _)| fact.clone()).collect();
        let table = TableName::new("My", "T").unwrap();
        // Whatever the search_path hides or shows.
        for path in ["\"My\", public", "''", "pg_catalog, pg_temp"] {
            let mut connection = database.pool.acquire().await.unwrap();
            sqlx::query(sqlx::AssertSqlSafe(format!("SET search_path = {path}")))
                .execute(&mut *connection)
                .await
                .unwrap();
            let answers = holds(&mut connection, &table, &LedgerSchema::default(), &ask).await.unwrap();
            for ((fact, expected), answer) in facts.iter().zip(answers) {
                assert_eq!(answer, *expected, "PostgreSQL {} ({path}): {fact}", version.major);
            }
        }
        if version.major >= 18 {
            database.execute("ALTER TABLE \"My\".\"T\" ADD CONSTRAINT nn NOT NULL a NOT VALID").await;
            let mut connection = database.pool.acquire().await.unwrap();
            let ask = [Fact::NotNull { column: name("a"), is: true }, Fact::Constraint { name: name("nn") }];
            assert_eq!(holds(&mut connection, &table, &LedgerSchema::default(), &ask).await.unwrap(), [false, false]);
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
        let mut plate = retype("plate", "varchar(5)", None, None);
        plate.new = ColumnName::new("plate2").unwrap();
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

#[tokio::test]
async fn missing_things_are_named_with_the_nearest() {
    let database = Database::new().await;
    database.execute("CREATE SCHEMA fleet; CREATE TABLE fleet.vehicles (id int, \"Status\" text); CREATE VIEW v AS SELECT 1 AS a").await;
    let found = look(&database, &plan("vehicles", vec![rename("a", "b")])).await;
    assert_eq!(
        (codes(&found.refusals), found.refusals[0].help.as_str()),
        (vec!["catalog::table_missing"], "did you mean fleet.vehicles?")
    );
    let found = look(&database, &plan("fleet.vehicels", vec![rename("a", "b")])).await;
    assert_eq!(found.refusals[0].help, "did you mean fleet.vehicles?");
    let found = look(
        &database,
        &plan("fleet.vehicles", vec![rename("status", "ctid"), rename("xmin", "x"), rename("zzz", "id")]),
    )
    .await;
    let expected = [
        "catalog::column_missing: fleet.vehicles has no column \"status\"",
        "catalog::name_taken: the new name \"ctid\" is the name of a system column of fleet.vehicles",
        "catalog::system_column: column \"xmin\" of fleet.vehicles is a system column",
        "catalog::column_missing: fleet.vehicles has no column \"zzz\"",
        "catalog::name_taken: the new name \"id\" is taken by another column of fleet.vehicles",
    ];
    assert_eq!(lines(&found.refusals), expected);
    assert_eq!(found.refusals[0].help, "did you mean \"Status\"?");
    assert_eq!(found.facts, None);
    let found = look(&database, &plan("v", vec![rename("a", "b")])).await;
    assert_eq!(lines(&found.refusals), ["catalog::table_kind: public.v is a view"]);
    for (make, code) in [
        ("CREATE TABLE p (a int) PARTITION BY LIST (a)", "catalog::table_kind"),
        ("CREATE TABLE p (a int) PARTITION BY LIST (a); CREATE TABLE one PARTITION OF p DEFAULT", "catalog::partition"),
        ("CREATE TYPE row AS (a int); CREATE TABLE one OF row", "catalog::typed_table"),
        ("CREATE TABLE one (a int GENERATED ALWAYS AS IDENTITY)", "catalog::identity"),
        ("CREATE TABLE one (id int, a int GENERATED ALWAYS AS (id + 1) STORED)", "catalog::generated_column"),
        ("CREATE TABLE one (a int); ALTER TABLE one ADD cf_00000000_x int", ""),
    ] {
        database.execute("DROP TABLE IF EXISTS p, one").await;
        database.execute(make).await;
        let table = if code == "catalog::table_kind" { "p" } else { "one" };
        let codes: Vec<_> =
            look(&database, &plan(table, vec![rename("a", "b")])).await.refusals.iter().map(|f| f.code).collect();
        assert!(if code.is_empty() { codes.is_empty() } else { codes.contains(&code) }, "{make}: {codes:?}");
    }
    let found = look(&database, &plan("pg_catalog.pg_class", vec![rename("relname", "b")])).await;
    assert_eq!(codes(&found.refusals), ["catalog::system_table"]);
}

#[tokio::test]
async fn the_plans_own_indexes_are_tried_too() {
    let database = Database::new().await;
    database.execute("CREATE TABLE t (id int, a text, j json); CREATE INDEX taken ON t (id)").await;
    let mut plan = plan("t", vec![rename("a", "b"), rename("j", "k")]);
    let add = |name: &str, columns: &[&str]| AddIndex {
        name: RelationName::new(name).unwrap(),
        columns: columns.iter().map(|c| ColumnName::new(c).unwrap()).collect(),
        unique: false,
    };
    plan.indexes.add = vec![
        add("fine", &["b", "id"]),
        add("taken", &["b"]),
        add("gone", &["a"]),
        add("typo", &["idd"]),
        add("unsorted", &["k"]),
    ];
    let found = look(&database, &plan).await;
    let expected = [
        "catalog::index_on_old_column: index \"gone\" of the plan names \"a\", a column that goes",
        "catalog::column_missing: index \"typo\" of the plan names \"idd\", which public.t does not have",
        "catalog::name_taken: index public.taken has a name that the run needs",
        "catalog::index: index \"unsorted\" of the plan cannot be built: data type json has no default operator class for access method \"btree\"",
    ];
    let found: Vec<_> = lines(&found.refusals).iter().map(|line| line.split(" (").next().unwrap().to_owned()).collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_role_is_told_what_it_lacks() {
    for version in versions() {
        let database = Database::on(&version).await;
        let name: String = database.scalar("SELECT current_database()::text").await;
        database
            .execute(&format!(
                "DO $$ BEGIN CREATE ROLE poor; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
                 CREATE SCHEMA app; CREATE TABLE app.t (id int, a text); CREATE INDEX ON app.t (a); GRANT SELECT ON app.t TO poor;
                 REVOKE TEMP ON DATABASE {name} FROM PUBLIC; GRANT USAGE ON SCHEMA app TO poor;"
            ))
            .await;
        let mut connection = database.pool.acquire().await.unwrap();
        sqlx::query("SET ROLE poor").execute(&mut *connection).await.unwrap();
        let plan = plan("app.t", vec![rename("a", "b")]);
        let found = inspect(&mut connection, &plan, &LedgerSchema::default()).await.unwrap();
        let said = lines(&found.refusals);
        assert_eq!(
            said,
            [
                format!(
                    "catalog::no_privilege: role \"poor\" may not create the ledger's schema \"crossfade\" in database \"{name}\""
                ),
                format!("catalog::no_privilege: role \"poor\" may not create temporary tables in database \"{name}\""),
                "catalog::no_privilege: role \"poor\" does not own app.t, which belongs to \"postgres\"".to_owned(),
                "catalog::no_privilege: role \"poor\" has no CREATE privilege on schema \"app\"".to_owned(),
            ]
        );
        database
            .execute(&format!(
                "GRANT TEMP, CREATE ON DATABASE {name} TO poor; ALTER TABLE app.t OWNER TO poor; GRANT CREATE ON SCHEMA app TO poor;
                 ALTER TABLE app.t ENABLE ROW LEVEL SECURITY;"
            ))
            .await;
        let found = inspect(&mut connection, &plan, &LedgerSchema::default()).await.unwrap();
        assert_eq!(lines(&found.refusals), Vec::<String>::new());
        database.execute("ALTER TABLE app.t FORCE ROW LEVEL SECURITY; CREATE SCHEMA crossfade").await;
        let found = inspect(&mut connection, &plan, &LedgerSchema::default()).await.unwrap();
        assert_eq!(codes(&found.refusals), ["catalog::no_privilege", "catalog::row_security"]);
        database.execute(&format!("DROP OWNED BY poor; REVOKE ALL ON DATABASE {name} FROM poor")).await;
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
            "catalog::event_trigger: event triggers run inside our DDL: watch",
            "catalog::unlogged: public.t is unlogged: a crash or a failover empties it",
            "catalog::trigger_on_backfill: the backfill updates every row of public.t once, and fires \"stamped\"",
            "catalog::whole_row: whole rows of public.t are used by function public.by_b(text) and view public.whole",
            "catalog::null_or_default: column \"a\" may be NULL and has the default 'x'::text",
            "catalog::function_text: column \"a\" is named in the text of public.by_b(text) and public.count_a()",
            "catalog::name_capture: the new name \"b\" already occurs in public.by_b(text)",
            "catalog::select_star: prepared statements that return all columns of public.t (SELECT *, RETURNING *) fail once its columns change",
        ];
        assert_eq!(lines(&found.warnings), expected, "PostgreSQL {}", version.major);
        assert!(!found.facts.unwrap().other_before_triggers);
        let facts = look(&database, &plan("t", vec![retype("a", "int", None, None)])).await;
        assert!(lines(&facts.refusals)[0].starts_with("catalog::default"));
        database.execute("ALTER TABLE t ALTER a DROP DEFAULT").await;
        let found = look(&database, &plan("t", vec![retype("a", "int", None, None)])).await;
        let touched: Vec<_> =
            found.facts.unwrap().functions_to_touch.into_iter().map(|f| (f.signature, f.cost)).collect();
        assert_eq!(
            touched,
            [("public.count_a()".to_owned(), "100".to_owned()), ("public.stamp()".to_owned(), "100".to_owned())]
        );
        let cached = found.warnings.iter().find(|w| w.code == "catalog::function_cache").unwrap();
        assert_eq!(cached.message, "sessions that have called public.clean() keep the old type in mind");
        for (body, may) in [
            ("BEGIN NEW.a := 1; RETURN NEW; END", true),
            ("BEGIN NEW := OLD; RETURN NEW; END", true),
            ("BEGIN RETURN OLD; END", true),
            ("BEGIN SELECT * INTO NEW FROM t; RETURN NEW; END", true),
            ("BEGIN EXECUTE ''SELECT 1''; RETURN NEW; END", true),
            ("BEGIN IF NEW.id = 1 THEN RETURN NULL; END IF; RETURN NEW; END", false),
        ] {
            database
                .execute(&format!("CREATE OR REPLACE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS '{body}'"))
                .await;
            let mut plan = plan("t", vec![rename("a", "b")]);
            if body.contains("NEW.a") {
                plan.changes[0] = rename("a", "c");
            }
            assert_eq!(facts_of(&database, &plan).await.other_before_triggers, may, "{body}");
        }
    }
}
