//! Settings that a role, a database or a URL gives sessions: they change neither what is read and written nor how far a run
//! comes.

use crossfade::testkit::server::SUPERUSER;

use crate::harness::{Cli, Database, versions};

/// Two sets of settings, as different as they can be, none of which crossfade may feel.
const FIRST: &str = "IntervalStyle = 'sql_standard'; DateStyle = 'German, DMY'; standard_conforming_strings = off; \
    bytea_output = 'escape'; extra_float_digits = -5; TimeZone = 'Asia/Kathmandu'; quote_all_identifiers = on; \
    idle_session_timeout = '1s'; idle_in_transaction_session_timeout = '200ms'; lock_timeout = '1ms'; \
    statement_timeout = '30ms'; default_transaction_read_only = on; default_transaction_isolation = 'serializable'; \
    default_transaction_deferrable = on; exit_on_error = on; synchronous_commit = off; enable_tidscan = off";
const SECOND: &str = "IntervalStyle = 'iso_8601'; DateStyle = 'SQL, MDY'; standard_conforming_strings = on; \
    bytea_output = 'hex'; extra_float_digits = 3; TimeZone = 'America/St_Johns'; quote_all_identifiers = off; \
    transform_null_equals = on; array_nulls = off; check_function_bodies = off; default_transaction_isolation = 'repeatable read'";

const PLAN: &str = "version: 1
name: settings
table: app.t
changes:
  - rename_column: { from: waits, to: pause }
  - rename_column: { from: path, to: place }
contract: { grace: 0s, quiet: 0s }
";

fn set(role: &str, settings: &str) -> String {
    let set = |setting: &str| format!("ALTER ROLE {role} SET {};", setting.trim());
    settings.split(';').map(set).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_a_role_change_neither_values_nor_the_way_of_a_run() {
    for version in versions() {
        let database = Database::on(&version).await;
        let role = format!("owner_of_{}", database.name);
        database
            .execute(&format!(
                "CREATE ROLE {role} LOGIN; GRANT CREATE, TEMPORARY ON DATABASE {0} TO {role};
                 CREATE SCHEMA app AUTHORIZATION {role};
                 CREATE TABLE app.t (id int PRIMARY KEY, waits interval DEFAULT '-1 days -02:03:04', path text DEFAULT 'a\\b');
                 ALTER TABLE app.t OWNER TO {role};
                 INSERT INTO app.t SELECT n FROM generate_series(1, 500) AS n",
                database.name
            ))
            .await;
        let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        std::fs::write(file.path(), PLAN).unwrap();
        let url = database.url.replace(&format!("{SUPERUSER}@"), &format!("{role}@"));
        let run = |to: &[&str]| Cli::new(&url).args(["run", "--yes"]).args(to.iter().copied()).args([file.path()]);
        let transaction_timeout = if version.major >= 17 { "; transaction_timeout = '300ms'" } else { "" };
        // One process begins, another with other settings ends.
        database.execute(&set(&role, &format!("{FIRST}{transaction_timeout}"))).await;
        let output = run(&["--to", "index"]).run().await;
        assert_eq!(output.code, Some(0), "PostgreSQL {}: {output:#?}", version.major);
        database.execute(&format!("ALTER ROLE {role} RESET ALL; {}", set(&role, SECOND))).await;
        let output = run(&[]).run().await;
        assert_eq!(output.code, Some(0), "PostgreSQL {}: {output:#?}", version.major);
        let defaults = "WITH new AS (INSERT INTO app.t (id) VALUES (0) RETURNING *) \
                        SELECT bool_and(pause = '-1 days -02:03:04'::interval AND place = 'a\\b') FROM \
                        (SELECT * FROM new UNION ALL SELECT * FROM app.t) AS all_rows";
        assert!(database.scalar::<bool>(defaults).await, "PostgreSQL {}", version.major);
    }
}

/// A schema before `pg_catalog`, with operators of somebody's own.
#[tokio::test(flavor = "multi_thread")]
async fn operators_of_a_schema_in_the_path_are_never_called() {
    let database = Database::new().await;
    database
        .execute(&format!(
            "CREATE TABLE public.t (id int PRIMARY KEY, waits interval, path text);
             INSERT INTO public.t SELECT n FROM generate_series(1, 500) AS n;
             CREATE SCHEMA evil;
             CREATE FUNCTION evil.name_text(name, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'called'; END $$;
             CREATE FUNCTION evil.text_text(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'called'; END $$;
             CREATE FUNCTION evil.oid_oid(oid, oid) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'called'; END $$;
             CREATE FUNCTION evil.int8_int8(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'called'; END $$;
             CREATE OPERATOR evil.= (LEFTARG = name, RIGHTARG = text, FUNCTION = evil.name_text);
             CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.text_text);
             CREATE OPERATOR evil.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = evil.oid_oid);
             CREATE OPERATOR evil.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = evil.int8_int8);
             ALTER DATABASE {} SET search_path = evil, pg_catalog, public",
            database.name
        ))
        .await;
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), PLAN.replace("app.t", "public.t")).unwrap();
    for command in ["plan", "run"] {
        let consent = (command == "run").then(|| "--yes".into());
        let args = [command.into(), file.path().as_os_str().to_owned()].into_iter().chain(consent);
        let output = Cli::new(&database.url).args(args).run().await;
        assert_eq!(output.code, Some(0), "{output:#?}");
    }
    for args in [&["status"][..], &["status", "settings"], &["history", "settings"], &["show", "settings"]] {
        let output = Cli::new(&database.url).args(args.iter().copied()).run().await;
        assert_eq!(output.code, Some(0), "{args:?}: {output:#?}");
    }
}
