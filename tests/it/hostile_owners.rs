//! Hostile owners beside a superuser's tool: whatever the code of a table's owner tries, wherever a run executes it, it has
//! that owner's rights and no others.

use crossfade::plan::{Plan, parse};
use crossfade::run::Standing;
use sqlx::{Connection as _, PgConnection};

use crate::harness::{Database, Version, tool, versions, versions_of};

/// Everything that code can do to get rid of the role that it was given, and what it would do then. `gained` moves where it
/// has a superuser's rights, in transactions that are rolled back too; `ran_*` where it ran at all.
const ATTACK: &str = "
CREATE FUNCTION app.gain() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF (SELECT r.rolsuper FROM pg_catalog.pg_roles AS r WHERE r.rolname = CURRENT_USER) THEN
    PERFORM pg_catalog.nextval('app.gained');
  END IF;
END $$;
CREATE FUNCTION app.attack(place text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE attempt text;
BEGIN
  PERFORM pg_catalog.nextval(('app.ran_' || place)::regclass);
  PERFORM app.gain();
  FOREACH attempt IN ARRAY ARRAY[
    'RESET ROLE', 'SET ROLE NONE', 'RESET SESSION AUTHORIZATION', 'SET SESSION AUTHORIZATION DEFAULT',
    'SET search_path = evil, pg_catalog', 'SET standard_conforming_strings = off',
    'CREATE TEMP VIEW pg_class AS SELECT app.gain()', 'CREATE TEMP VIEW pg_proc AS SELECT app.gain()',
    'DECLARE held CURSOR WITH HOLD FOR SELECT app.gain()',
    'CREATE OR REPLACE FUNCTION pg_temp.crossfade_as_owner(statement text, asks bool, path text) RETURNS text LANGUAGE sql AS ''SELECT app.gain(); SELECT 1::text''']
  LOOP
    BEGIN
      EXECUTE attempt;
      PERFORM app.gain();
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
  END LOOP;
  BEGIN
    SET CONSTRAINTS ALL DEFERRED;
    INSERT INTO app.later VALUES (1);
  EXCEPTION WHEN OTHERS THEN NULL;
  END;
END $$;
CREATE FUNCTION app.fired() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM app.attack(TG_ARGV[0]); RETURN NEW; END $$;
CREATE FUNCTION app.deferred() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM app.gain();
  BEGIN EXECUTE 'RESET ROLE'; PERFORM app.gain(); EXCEPTION WHEN OTHERS THEN NULL; END;
  RETURN NULL;
END $$;
CREATE FUNCTION app.evil_int(v int, place text) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM app.attack(place); RETURN v; END $$;
CREATE FUNCTION app.conv(v text) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM app.attack('using'); RETURN v::int; END $$;
CREATE FUNCTION app.stable_default() RETURNS int STABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM app.attack('stable'); RETURN 7; END $$;
CREATE FUNCTION app.old_default() RETURNS text STABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM app.attack('old_default'); RETURN '7'; END $$;
CREATE FUNCTION app.volatile_default() RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM app.attack('volatile'); RETURN 8; END $$;
CREATE FUNCTION evil.equal(bigint, bigint) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN PERFORM app.gain(); RETURN $1 OPERATOR(pg_catalog.=) $2; END $$;
CREATE OPERATOR evil.= (FUNCTION = evil.equal, LEFTARG = bigint, RIGHTARG = bigint);
CREATE FUNCTION evil.text_equal(text, text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN PERFORM app.gain(); RETURN $1 OPERATOR(pg_catalog.=) $2; END $$;
CREATE OPERATOR evil.= (FUNCTION = evil.text_equal, LEFTARG = text, RIGHTARG = text);
CREATE TABLE app.later (id int);
CREATE TABLE app.t (id int PRIMARY KEY, note text NOT NULL, label text NOT NULL DEFAULT app.old_default(), other int, CHECK (app.evil_int(other, 'check') >= 0));
INSERT INTO app.t SELECT n, n, n, n FROM generate_series(1, 50) AS n;
CREATE INDEX by_label ON app.t ((app.conv(label)));
-- The server evaluates these when it plans a query, or looks for a proof of NOT NULL.
CREATE INDEX by_predicate ON app.t (other) WHERE app.evil_int(1, 'predicate') > 0;
ALTER TABLE app.t ADD CHECK (id > 0 OR app.evil_int(1, 'folded') = 1);
CREATE TRIGGER before_it BEFORE UPDATE ON app.t FOR EACH ROW EXECUTE FUNCTION app.fired('before');
CREATE TRIGGER after_it AFTER UPDATE ON app.t FOR EACH ROW EXECUTE FUNCTION app.fired('after');
";
const PLACES: &[&str] = &["before", "after", "check", "using", "stable", "volatile", "added", "predicate", "folded"];
/// A default that only an INSERT evaluates.
const NEVER: &str = "old_default";

const PLAN: &str = "version: 1
name: p
table: app.t
changes:
- change_type: { column: note, via: note_n, to: integer, using: app.conv(note), reverse: 'note_n::text' }
- rename_column: { from: label, to: tag }
- add_column: { name: s, type: integer, default: app.stable_default() }
- add_column: { name: v, type: integer, default: app.volatile_default(), not_null: true }
- add_constraint: { name: added, check: \"app.evil_int(other, 'added') >= 0\" }
- add_index: { name: added_ix, on: \"app.evil_int(other, 'check')\" }
contract: { quiet: 0s, grace: 0s }
";

/// Returns a database with a role of its own that owns what the attack is made of, and the role.
async fn attacked(version: &Version) -> (Database, String) {
    let database = Database::on(version).await;
    let owner = role(&database, "owner").await;
    database
        .execute(&format!("CREATE SCHEMA app AUTHORIZATION {owner}; CREATE SCHEMA evil AUTHORIZATION {owner}"))
        .await;
    let mut connection = PgConnection::connect(&url(&database, &owner)).await.unwrap();
    let sequences: Vec<_> =
        PLACES.iter().chain([&NEVER]).map(|place| format!("CREATE SEQUENCE app.ran_{place};")).collect();
    let sequences = sequences.join(" ");
    let text = format!("CREATE SEQUENCE app.gained; {sequences} {ATTACK}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
    (database, owner)
}

/// Makes a role of this database's own, which may log in.
async fn role(database: &Database, what: &str) -> String {
    let name = format!("{}_{what}", database.name);
    database.execute(&format!("DROP ROLE IF EXISTS {name}; CREATE ROLE {name} LOGIN")).await;
    name
}

/// Returns the database's URL with another role.
fn url(database: &Database, role: &str) -> String {
    let (_, place) = database.url.split_once('@').unwrap();
    format!("postgres://{role}@{place}")
}

fn plan() -> Plan {
    parse("plan", PLAN).unwrap()
}

async fn nobody_gained(database: &Database) {
    assert!(
        !database.scalar::<bool>("SELECT is_called FROM app.gained").await,
        "the owner's code had a superuser's rights"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn code_of_the_owner_never_has_the_rights_of_a_superusers_tool() {
    for version in versions_of(0) {
        let (database, _) = attacked(&version).await;
        let tool = tool(&database.url);
        let preview = tool.preview(&plan()).await.unwrap();
        assert!(preview.refusals.is_empty(), "{:?}", preview.refusals);
        nobody_gained(&database).await;
        let finish = tool.run(&plan(), PLAN, Some(crossfade::run::Phase::Switch)).await.unwrap();
        assert_eq!(finish.state, Standing::Waiting);
        nobody_gained(&database).await;
        database.execute("ALTER TABLE app.t DISABLE TRIGGER ALL; UPDATE app.t SET note = id + 1 WHERE id < 9; ALTER TABLE app.t ENABLE TRIGGER ALL").await;
        // The test's own statements ran the code as a superuser.
        database.execute("SELECT setval('app.gained', 1, false)").await;
        let outcome = tool.verify("p", Some(crossfade::run::Side::Old)).await.unwrap();
        assert!(outcome.is_clean(), "{outcome:?}");
        nobody_gained(&database).await;
        let finish = tool.run(&plan(), PLAN, None).await.unwrap();
        assert_eq!(finish.state, Standing::Done);
        nobody_gained(&database).await;
        for place in PLACES {
            assert!(
                database.scalar::<bool>(&format!("SELECT is_called FROM app.ran_{place}")).await,
                "{place} was not tried"
            );
        }
    }
}

/// The owner of the function through which the owner's code is run may change it, and so may that code itself. Then nothing is
/// run by it any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_way_to_the_owner_is_not_taken() {
    let (database, _) = attacked(&versions().remove(0)).await;
    database
        .execute(
            "CREATE OR REPLACE FUNCTION app.fired() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               BEGIN ALTER FUNCTION pg_temp.crossfade_owner(text, bool, text) SECURITY INVOKER; EXCEPTION WHEN undefined_function THEN NULL; END;
               PERFORM app.gain(); RETURN NEW;
             END $$;
             CREATE OR REPLACE FUNCTION app.attack(place text) RETURNS void LANGUAGE sql AS 'SELECT app.gain()';
             INSERT INTO app.t SELECT n, n, n, n FROM generate_series(51, 9000) AS n;
             SELECT setval('app.gained', 1, false)",
        )
        .await;
    let error = tool(&database.url).run(&plan(), PLAN, None).await.unwrap_err().to_string();
    assert!(error.contains("has changed the function through which crossfade runs it"), "{error}");
    nobody_gained(&database).await;
}

/// Before PostgreSQL 18 a deferred trigger has the rights of whoever commits. What a plan finds is refused, and what comes later
/// stops the batch.
#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_can_be_deferred_gets_nobodys_rights() {
    for version in versions_of(1) {
        let (database, owner) = attacked(&version).await;
        let tool = tool(&database.url);
        tool.start(&plan(), PLAN).await.unwrap();
        let mut connection = PgConnection::connect(&url(&database, &owner)).await.unwrap();
        let defer = "CREATE CONSTRAINT TRIGGER later AFTER INSERT ON app.later DEFERRABLE FOR EACH ROW EXECUTE FUNCTION app.deferred()";
        sqlx::raw_sql(defer).execute(&mut connection).await.unwrap();
        let result = tool.run(&plan(), PLAN, None).await;
        nobody_gained(&database).await;
        if version.major >= 18 {
            assert_eq!(result.unwrap().state, Standing::Done);
            continue;
        }
        let error = result.unwrap_err().to_string();
        assert!(error.contains("\"later\" on app.later") && error.contains("at COMMIT"), "{error}");
        tool.rollback("p", None).await.unwrap();
        let preview = tool.preview(&plan()).await.unwrap();
        let codes: Vec<_> = preview.refusals.iter().map(|finding| finding.code).collect();
        assert_eq!(codes, ["catalog::deferrable_trigger"]);
        // As the owner there is nothing to gain, and the plan goes through; what its code breaks there is its own.
        database
            .execute(&format!("CREATE OR REPLACE FUNCTION app.attack(place text) RETURNS void LANGUAGE sql AS 'SELECT app.gain()'; DROP SCHEMA crossfade CASCADE; GRANT CREATE ON DATABASE {} TO {owner}", database.name))
            .await;
        let finish = crate::harness::tool(&url(&database, &owner)).run(&plan(), PLAN, None).await.unwrap();
        assert_eq!(finish.state, Standing::Done);
    }
}

/// A schema that anybody made beforehand holds runs whose statements would have the tool's rights.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_somebody_else_made_is_refused() {
    let database = Database::new().await;
    let stranger = role(&database, "stranger").await;
    database
        .execute(&format!(
            "GRANT CREATE ON DATABASE {} TO {stranger}; CREATE TABLE t (id int PRIMARY KEY, a text)",
            database.name
        ))
        .await;
    let text = "version: 1\nname: r\ntable: public.t\nchanges: [{ rename_column: { from: a, to: b } }]\ncontract: { quiet: 0s, grace: 0s }\n";
    let plan = parse("plan", text).unwrap();
    // A whole ledger, made by the tool itself as the stranger.
    let theirs = tool(&url(&database, &stranger));
    let mut connection = PgConnection::connect(&url(&database, &stranger)).await.unwrap();
    crossfade::ledger::Ledger::new(crossfade::names::LedgerSchema::default()).create(&mut connection).await.unwrap();
    assert_eq!(theirs.names().await.unwrap(), Vec::<String>::new());
    let tool = tool(&database.url);
    let belongs = format!("it belongs to role \"{stranger}\"");
    for error in [
        tool.names().await.unwrap_err(),
        tool.preview(&plan).await.unwrap_err(),
        tool.run(&plan, text, None).await.unwrap_err(),
        tool.verify("r", None).await.unwrap_err(),
        tool.history("r").await.unwrap_err(),
    ] {
        assert!(error.to_string().contains(&belongs), "{error}");
    }
    assert_eq!(tool.clone().trusting(&stranger).names().await.unwrap(), Vec::<String>::new());
    // What is left of it after the schema was given to a superuser: each thing has its own owner.
    database.execute("ALTER SCHEMA crossfade OWNER TO CURRENT_USER").await;
    let error = tool.names().await.unwrap_err().to_string();
    assert!(error.contains(&format!("relation \"backfill\" in it belongs to role \"{stranger}\"")), "{error}");
    database.execute("DROP SCHEMA crossfade CASCADE").await;
    tool.start(&plan, text).await.unwrap();
    for (make, undo, what) in [
        (
            format!("GRANT CREATE ON SCHEMA crossfade TO {stranger}"),
            format!("REVOKE CREATE ON SCHEMA crossfade FROM {stranger}"),
            format!("role \"{stranger}\" may create objects in it"),
        ),
        (
            format!(
                "CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; ALTER FUNCTION public.f() OWNER TO {stranger}; CREATE TRIGGER spy BEFORE INSERT ON crossfade.event FOR EACH ROW EXECUTE FUNCTION public.f()"
            ),
            "DROP TRIGGER spy ON crossfade.event".to_owned(),
            format!("trigger \"spy\" on its table \"event\" runs code of role \"{stranger}\""),
        ),
        (
            format!(
                "CREATE FUNCTION crossfade.f() RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION crossfade.f() OWNER TO {stranger}"
            ),
            "DROP FUNCTION crossfade.f()".to_owned(),
            format!("function \"f\" in it belongs to role \"{stranger}\""),
        ),
    ] {
        database.execute(&make).await;
        let error = tool.advance("r").await.unwrap_err().to_string();
        assert!(error.contains(&what), "{what}: {error}");
        database.execute(&undo).await;
    }
    assert_eq!(tool.run(&plan, text, None).await.unwrap().state, Standing::Done);
}

/// An administrator has made the schema, and given the tool's role no more than it needs.
#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_schema_is_enough_or_refused_beforehand() {
    let database = Database::new().await;
    let owner = role(&database, "owner").await;
    database
        .execute(&format!(
            "CREATE SCHEMA app AUTHORIZATION {owner}; CREATE TABLE app.t (id int PRIMARY KEY, a text); ALTER TABLE app.t OWNER TO {owner};
             INSERT INTO app.t SELECT n, n FROM generate_series(1, 9) n; CREATE SCHEMA crossfade; GRANT USAGE, CREATE ON SCHEMA crossfade TO {owner}"
        ))
        .await;
    let text = "version: 1\nname: r\ntable: app.t\nchanges: [{ rename_column: { from: a, to: b } }]\ncontract: { quiet: 0s, grace: 0s }\n";
    let plan = parse("plan", text).unwrap();
    let tool = tool(&url(&database, &owner));
    let refusals = tool.preview(&plan).await.unwrap().refusals;
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    assert_eq!(refusals[0].help, "GRANT USAGE ON SCHEMA \"crossfade\" TO PUBLIC");
    database.execute(&refusals[0].help).await;
    let preview = tool.preview(&plan).await.unwrap();
    assert!(preview.refusals.is_empty(), "{:?}", preview.refusals);
    assert_eq!(tool.run(&plan, text, None).await.unwrap().state, Standing::Done);
    // A superuser does not trust what the owner could have written there, unless told to.
    assert!(crate::harness::tool(&database.url).names().await.unwrap_err().to_string().contains("is not trusted"));
    assert_eq!(crate::harness::tool(&database.url).trusting(&owner).names().await.unwrap(), ["r"]);
}
