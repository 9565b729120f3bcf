//! What is refused, each with its name.

use crossfade::catalog::inspect;
use crossfade::ident::{ColumnName, RelationName};
use crossfade::names::LedgerSchema;
use crossfade::plan::AddIndex;
use sqlx::{Connection as _, PgConnection};

use super::{codes, lines, look, plan, rename, retype};
use crate::harness::{Database, own_server, versions};

/// Each on a table `t (id int, "Old" int, other int)` of its own: what is made, and the refusal of a rename of "Old".
const REFUSED: &[(u32, &str, &str, &str)] = &[
    (
        14,
        "CREATE TABLE u (a int); CREATE RULE r AS ON DELETE TO u DO ALSO DELETE FROM t WHERE \"Old\" = OLD.a",
        "catalog::rule",
        "rule r on table public.u uses column \"Old\"",
    ),
    (
        14,
        "ALTER TABLE t ADD EXCLUDE (\"Old\" WITH =)",
        "catalog::exclusion",
        "exclusion constraint \"t_Old_excl\" uses column \"Old\"",
    ),
    (
        14,
        "ALTER TABLE t ADD g int GENERATED ALWAYS AS (\"Old\" * 2) STORED",
        "catalog::generated_column",
        "column g of table public.t is generated from column \"Old\"",
    ),
    (
        14,
        "ALTER TABLE t ADD g int GENERATED ALWAYS AS (other * 2) STORED; CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; \
         CREATE TRIGGER listens AFTER UPDATE OF g ON t FOR EACH ROW EXECUTE FUNCTION f()",
        "catalog::generated_listener",
        "trigger \"listens\" of public.t fires for UPDATE OF the generated column \"g\": PostgreSQL would fire it for every UPDATE, because the run needs a BEFORE trigger",
    ),
    (
        14,
        "CREATE FUNCTION f() RETURNS SETOF t LANGUAGE sql BEGIN ATOMIC SELECT * FROM t; END",
        "catalog::function",
        "function public.f() returns rows of the table, and its body would not fit them while the table has a second column; it uses column \"Old\"",
    ),
    (
        14,
        "CREATE PUBLICATION one FOR TABLE t",
        "catalog::publication",
        "publication \"one\" publishes public.t, and a subscriber stops at the first row with a column that it does not have",
    ),
    (
        14,
        "CREATE PUBLICATION everything FOR ALL TABLES",
        "catalog::publication",
        "publication \"everything\" is FOR ALL TABLES, so it publishes public.t, and crossfade's own tables as well",
    ),
    (
        15,
        "CREATE PUBLICATION folder FOR TABLES IN SCHEMA public",
        "catalog::publication",
        "publication \"folder\" publishes public.t, and a subscriber stops at the first row with a column that it does not have",
    ),
    (
        14,
        "CREATE TABLE user_of (r t)",
        "catalog::row_type",
        "column r of table public.user_of has the row type of public.t",
    ),
    (
        14,
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
         CREATE TRIGGER \"~~~\" BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
        "catalog::trigger_order",
        "trigger \"~~~\" of public.t fires after crossfade's, because its name sorts after it",
    ),
    (
        14,
        "CREATE RULE no_update AS ON UPDATE TO t DO INSTEAD NOTHING",
        "catalog::rule",
        "rule \"no_update\" of public.t replaces every UPDATE, including the backfill's",
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
        "index \"broken\" of public.t is invalid: an earlier CREATE INDEX CONCURRENTLY failed or is still running",
    ),
    (
        14,
        "CREATE TABLE kid (\"Old\" int NOT NULL) INHERITS (t)",
        "catalog::inheritance",
        "column \"Old\" of table public.kid, which inherits from public.t, is NOT NULL, and that of the parent is not",
    ),
    (
        14,
        "ALTER TABLE t ADD \"New\" int",
        "catalog::name_taken",
        "the new name \"New\" is taken by another column of public.t (integer)",
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
    (
        14,
        "CREATE MATERIALIZED VIEW m AS SELECT \"Old\" FROM t; CREATE FUNCTION f(m) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "catalog::made_anew",
        "materialized view public.m is used by function public.f(public.m)",
    ),
    (
        14,
        "CREATE VIEW v AS SELECT \"Old\" FROM t; CREATE FUNCTION f(v) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "catalog::made_anew",
        "view public.v is used by function public.f(public.v)",
    ),
    (
        14,
        "DO $$ BEGIN CREATE ROLE crossfade_stranger; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
         CREATE TABLE c (x int); ALTER TABLE t ADD UNIQUE (\"Old\"); ALTER TABLE c ADD CONSTRAINT child FOREIGN KEY (x) REFERENCES t (\"Old\"); ALTER TABLE c OWNER TO crossfade_stranger",
        "catalog::foreign_key",
        "foreign key \"child\" of public.c belongs to another role than the table that it refers to",
    ),
];

/// The codes of what a rename does not get through either.
const REFUSED_OF_A_RENAME: [&str; 7] = [
    "catalog::generated_listener",
    "catalog::function",
    "catalog::publication",
    "catalog::trigger_order",
    "catalog::index_whole_row",
    "catalog::index_invalid",
    "catalog::name_taken",
];

#[tokio::test]
async fn whatever_cannot_be_carried_is_refused_by_name() {
    for version in versions() {
        let database = Database::on(&version).await;
        let renames = plan("t", vec![rename("Old", "New")]);
        let plan = plan("t", vec![retype("Old", "bigint", None, Some("\"New\"::int"))]);
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
            // Whatever only hangs on the column follows it through a rename.
            let refused = self::lines(&look(&database, &renames).await.refusals);
            let stays = REFUSED_OF_A_RENAME.contains(code) || make.contains("DO INSTEAD NOTHING");
            let warned = look(&database, &renames).await.warnings.iter().any(|warning| warning.code == "catalog::key");
            assert_eq!(warned, make.contains("PRIMARY KEY (\"Old\")"), "{make}");
            if refused.iter().any(|line| line.starts_with(code)) != stays || refused.is_empty() == stays {
                wrong.push(format!("PostgreSQL {}: {make}\n  renamed: {refused:#?}", version.major));
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
        for plan in [&plan, &renames] {
            assert_eq!(lines(&look(&database, plan).await.refusals), Vec::<String>::new());
        }
        // What may never be empty.
        database
            .execute(
                "DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE TABLE t (id int, \"Old\" int PRIMARY KEY, other int NOT NULL);
                 CREATE UNIQUE INDEX ident ON t (other); ALTER TABLE t REPLICA IDENTITY USING INDEX ident",
            )
            .await;
        for (column, code) in [("Old", "catalog::primary_key"), ("other", "catalog::replica_identity")] {
            let using = format!("\"{column}\"::smallint");
            let narrow = self::plan("t", vec![retype(column, "smallint", Some(&using), Some("\"New\"::int"))]);
            assert_eq!(codes(&look(&database, &narrow).await.refusals), [code]);
        }
    }
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
        "catalog::system_column: column \"xmin\" of fleet.vehicles is a system column",
        "catalog::column_missing: fleet.vehicles has no column \"zzz\"",
        "catalog::name_taken: the new name \"ctid\" is the name of a system column of fleet.vehicles",
        "catalog::name_taken: the new name \"id\" is taken by another column of fleet.vehicles (integer)",
    ];
    assert_eq!(lines(&found.refusals), expected);
    assert_eq!(found.refusals[0].help, "did you mean \"Status\"?");
    assert_eq!(found.facts, None);
    let found = look(&database, &plan("v", vec![rename("a", "b")])).await;
    assert_eq!(lines(&found.refusals), ["catalog::table_kind: public.v is a view"]);
    for (make, code) in [
        ("CREATE TABLE p (a int) PARTITION BY LIST (a)", "catalog::partition_key"),
        ("CREATE TABLE p (a int) PARTITION BY LIST (a); CREATE TABLE one PARTITION OF p DEFAULT", "catalog::partition"),
        ("CREATE TYPE row AS (a int); CREATE TABLE one OF row", "catalog::typed_table"),
        ("CREATE TABLE one (a int GENERATED ALWAYS AS IDENTITY)", ""),
        ("CREATE TABLE one (id int, a int GENERATED ALWAYS AS (id + 1) STORED)", ""),
        ("CREATE TABLE one (a int); ALTER TABLE one ADD cf_00000000_x int", ""),
    ] {
        database.execute("DROP TABLE IF EXISTS p, one").await;
        database.execute(make).await;
        let table = if code == "catalog::partition_key" { "p" } else { "one" };
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
    plan.indexes.copied = vec![RelationName::new("taken").unwrap()];
    let found = look(&database, &plan).await;
    let expected = [
        "catalog::column_missing: index \"typo\" of the plan names \"idd\", which public.t does not have",
        "catalog::index_missing: `indexes.copy` names \"taken\", and public.t has no such index on a column that changes",
        "catalog::name_taken: index public.taken has a name that the run needs",
        "catalog::index_on_old_column: index \"gone\" of the plan names \"a\", a name that goes",
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
async fn a_standby_is_refused() {
    let server = own_server();
    let primary = Database::on_server(&server).await;
    let standby = server.replica().unwrap();
    let mut connection = PgConnection::connect(&standby.url(&primary.name)).await.unwrap();
    let found = inspect(&mut connection, &plan("t", vec![rename("a", "b")]), &LedgerSchema::default()).await.unwrap();
    assert_eq!(codes(&found.refusals), ["catalog::read_only"]);
}

#[tokio::test]
async fn leftovers_and_oddities_are_refused() {
    for version in versions() {
        let database = Database::on(&version).await;
        let plan = plan("t", vec![rename("a", "b")]);
        let tag = plan.tag();
        let check = async |make: &str, expected: &[String]| {
            database
                .execute(
                    "DROP SCHEMA IF EXISTS crossfade CASCADE; DROP TABLE IF EXISTS t; CREATE TABLE t (id int, a text)",
                )
                .await;
            database.execute(make).await;
            assert_eq!(lines(&look(&database, &plan).await.refusals), expected, "PostgreSQL {}: {make}", version.major);
        };
        let taken = |what: String| format!("catalog::name_taken: {what} has a name that the run needs");
        check(
            &format!(
                "CREATE SCHEMA crossfade; CREATE FUNCTION crossfade.sync_{tag}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
                 CREATE TRIGGER \"~~crossfade_{tag}_1_insert\" BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION crossfade.sync_{tag}();
                 CREATE SEQUENCE crossfade.old_{tag}; ALTER TABLE t ADD cf_{tag}_old_a text;
                 CREATE INDEX cf_{tag}_ix1 ON t (id); ALTER TABLE t ADD CONSTRAINT cf_{tag}_nn1 CHECK (id > 0)"
            ),
            &[
                taken(format!("column cf_{tag}_old_a of table public.t")),
                taken(format!("constraint cf_{tag}_nn1 on table public.t")),
                taken(format!("function crossfade.sync_{tag}()")),
                taken(format!("index public.cf_{tag}_ix1")),
                taken(format!("sequence crossfade.old_{tag}")),
                taken(format!("trigger ~~crossfade_{tag}_1_insert on table public.t")),
            ],
        )
        .await;
        check(
            "CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
             CREATE TRIGGER \"~~crossfade_00000000_2_update\" BEFORE UPDATE OF a ON t FOR EACH ROW EXECUTE FUNCTION g()",
            &["catalog::other_run: trigger ~~crossfade_00000000_2_update on table public.t watches column \"a\"".to_owned()],
        )
        .await;
        check(
            "DROP ROLE IF EXISTS lender; CREATE ROLE lender; GRANT SELECT (a) ON t TO lender WITH GRANT OPTION; SET ROLE lender;
             GRANT SELECT (a) ON t TO PUBLIC; RESET ROLE",
            &["catalog::grant: column \"a\" of public.t has privileges granted by lender, who does not own the table".to_owned()],
        )
        .await;
        check("DROP OWNED BY lender; DROP ROLE lender", &[]).await;
        let hypertable = "CREATE SCHEMA timescaledb_information; CREATE VIEW timescaledb_information.hypertables AS
             SELECT 'public'::name AS hypertable_schema, 't'::name AS hypertable_name";
        check(hypertable, &["catalog::table_kind: public.t is a hypertable of TimescaleDB".to_owned()]).await;
        database.execute("DROP SCHEMA timescaledb_information CASCADE").await;
        if version.major >= 18 {
            // It stays with the column.
            check("ALTER TABLE t ADD CONSTRAINT nn NOT NULL a NO INHERIT", &[]).await;
        }
        check(
            "DO $$ BEGIN EXECUTE 'ALTER TABLE t ' || (SELECT string_agg('ADD c' || n || ' bool', ', ') FROM generate_series(1, 1587) n); END $$",
            &[],
        )
        .await;
        assert_eq!(look(&database, &plan).await.warnings[0].code, "catalog::many_columns");
        database.execute("ALTER TABLE t ADD d bool").await;
        assert_eq!(codes(&look(&database, &plan).await.refusals), ["catalog::too_many_columns"]);
    }
}
