//! A type change of a column in exclusion constraints, which PostgreSQL builds only with the table locked: the plan accepts that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossfade::plan::Plan;
use crossfade::run::{Phase, Standing};
use crossfade::runner::Error;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::retyped::without;
use super::{PHASES, Place, difference};
use crate::crashes;
use crate::harness::{Database, Version, plain_alter, tool, versions};
use crate::steps::each_step_failed_on;

/// In an element, in a condition, in an expression, beside another column; one that can be deferred.
const SETUP: &str = "CREATE TABLE t (id int PRIMARY KEY, n int4range, note text);
    INSERT INTO t SELECT g, int4range(g * 10, g * 10 + 5), 'n' FROM generate_series(1, 40) g;
    ALTER TABLE t ADD CONSTRAINT apart EXCLUDE USING gist (n range_ops WITH &&) INCLUDE (id) WITH (fillfactor = 80),
      ADD CONSTRAINT \"not beside\" EXCLUDE USING gist (n WITH -|-) WHERE (id < 900000000) DEFERRABLE INITIALLY DEFERRED,
      ADD CONSTRAINT of_lower EXCLUDE USING btree (note WITH =) WHERE (lower(n) > 900000),
      ADD CONSTRAINT of_upper EXCLUDE USING btree (upper(n) DESC WITH =, note COLLATE \"C\" WITH =);
    COMMENT ON CONSTRAINT apart ON t IS 'it''s'; COMMENT ON INDEX apart IS 'i'; ALTER INDEX of_upper ALTER COLUMN 1 SET STATISTICS 55; ALTER TABLE t CLUSTER ON apart;";

const PLAN: &str = "version: 1\nname: spans\ntable: public.t\nchanges: [{ change_type: { column: n, to: int8range, via: n_v2, \
                    using: \"CASE WHEN n IS NOT NULL THEN int8range(lower(n), upper(n)) END\", \
                    reverse: \"CASE WHEN n_v2 IS NOT NULL THEN int4range(lower(n_v2)::int, upper(n_v2)::int) END\" } }]\n\
                    indexes: { exclusion_lock: 1min }\ncontract: { grace: 0s, quiet: 0s }\n";

const WRITES: &[(&str, &str)] = &[
    ("INSERT INTO t (id, {c}, note) VALUES ({n}, '[{n}0,{n}5)', 'i')", "1 rows"),
    ("INSERT INTO t (id, {c}) VALUES ({n} + 1, '[{n}3,{n}8)')", "23P01"),
    ("INSERT INTO t (id, {c}) VALUES ({n} + 2, '[{n}5,{n}7)')", "23P01"),
    ("INSERT INTO t (id, {c}) VALUES ({n} + 3, '[{n}1,{n}2)') ON CONFLICT ON CONSTRAINT apart DO NOTHING", "0 rows"),
    ("INSERT INTO t (id, {c}, note) VALUES ({n} + 4, '[{n}000,{n}001)', 's{n}')", "1 rows"),
    ("INSERT INTO t (id, {c}, note) VALUES ({n} + 5, '[{n}010,{n}011)', 's{n}')", "23P01"),
    ("INSERT INTO t (id) VALUES ({n} + 6)", "1 rows"),
    ("UPDATE t SET {c} = '[{n}4,{n}6)' WHERE id = 3", "23P01"),
    ("UPDATE t SET {c} = '[{n}20,{n}25)' WHERE id = 4", "1 rows"),
    ("UPDATE t SET {c} = NULL WHERE id = {n} + 4", "1 rows"),
    ("UPDATE t SET note = 'o' WHERE id = 6", "1 rows"),
    ("DELETE FROM t WHERE {c} = '[{n}0,{n}5)'", "1 rows"),
];

fn parsed(text: &str) -> Plan {
    crossfade::plan::parse("plan.yaml", text).unwrap()
}

/// The same statements in a database whose column is retyped by a run, and in one where it has the old type until the end.
struct Both {
    ours: Place,
    plain: Place,
    number: u32,
}

impl Both {
    async fn new(version: &Version) -> Self {
        Self { ours: Place::new(version, SETUP).await, plain: Place::new(version, SETUP).await, number: 0 }
    }

    /// Writes under each of these names.
    async fn write(&mut self, names: &[&str], when: &str) {
        for name in names {
            self.number += 1000;
            for (statement, end) in WRITES {
                let statement = statement.replace("{n}", &self.number.to_string());
                self.ours.write(&statement.replace("{c}", name)).await;
                self.plain.write(&statement.replace("{c}", "n")).await;
                assert_eq!(self.plain.ends.last().map(String::as_str), Some(*end), "{when}: {statement}");
                assert_eq!(self.ours.ends.last(), self.plain.ends.last(), "{when}, {name}: {statement}");
            }
        }
        let rows = |contents: String| {
            let mut rows: Vec<_> = contents.lines().map(|line| without(line, "n_v2")).collect();
            rows.sort();
            rows.join("\n")
        };
        let (found, expected) = (rows(self.ours.contents().await), rows(self.plain.contents().await));
        assert!(found == expected, "{when}: rows\n{}", difference(&expected, &found));
    }
}

/// Writes under `column` until it is told to stop: what must work does, and what must fail fails with what it always did. Returns how often
/// it wrote.
async fn writer(url: String, column: &'static str, from: i32, stop: Arc<AtomicBool>) -> i32 {
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("SET ROLE neighbour").execute(&mut connection).await.unwrap();
    let mut number = from;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        for (id, from, to, expected) in
            [(number, 0, 5, None), (number + 500_000, 3, 8, Some("23P01")), (number + 500_000, 5, 7, Some("23P01"))]
        {
            let statement = format!("INSERT INTO t (id, {column}) VALUES ({id}, '[{number}{from},{number}{to})')");
            let end = sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut connection).await;
            let code = match &end {
                Ok(_) => None,
                Err(sqlx::Error::Database(error)) => error.code().map(std::borrow::Cow::into_owned),
                Err(error) => panic!("{statement}: {error}"),
            };
            assert_eq!(code.as_deref(), expected, "{statement}: {end:?}");
        }
    }
    number - from
}

#[tokio::test(flavor = "multi_thread")]
async fn exclusion_constraints_are_carried_and_end_like_alter_table() {
    for version in versions() {
        let on = format!("on {}", version.major);
        let mut both = Both::new(&version).await;
        let (plan, tool) = (parsed(PLAN), tool(&both.ours.database.url));
        let preview = tool.preview(&plan).await.unwrap();
        assert!(preview.refusals.is_empty(), "{on}: {:?}", preview.refusals);
        both.write(&["n"], &format!("before, {on}")).await;
        let before = both.ours.schema().await;
        for phase in PHASES {
            tool.run(&plan, PLAN, Some(phase)).await.unwrap_or_else(|error| panic!("{on} to {phase}: {error:?}"));
            both.write(&["n", "n_v2"], &format!("after {phase}, {on}")).await;
            let twins: i64 = both
                .ours
                .database
                .scalar("SELECT count(*) FROM pg_constraint WHERE conrelid = 't'::regclass AND contype = 'x'")
                .await;
            assert_eq!(twins, if phase >= Phase::Verify { 8 } else { 4 }, "{on}, after {phase}");
        }
        tool.rollback("spans", None).await.unwrap_or_else(|error| panic!("{on} back: {error:?}"));
        let back = both.ours.schema().await;
        assert!(back == before, "{on}, rolled back:\n{}", difference(&before, &back));
        both.write(&["n"], &format!("rolled back, {on}")).await;
        tool.run(&plan, PLAN, None).await.unwrap_or_else(|error| panic!("{on} to the end: {error:?}"));
        for statement in plain_alter(&plan) {
            both.plain.database.execute(&statement).await;
        }
        let (found, expected) = (both.ours.database.schema().await, both.plain.database.schema().await);
        assert!(found == expected, "{on}, at the end:\n{}", difference(&expected, &found));
        both.write(&["n"], &format!("at the end, {on}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_under_both_names_meet_nothing_new() {
    for version in versions() {
        let place = Place::new(&version, SETUP).await;
        let (plan, tool) = (parsed(PLAN), tool(&place.database.url));
        let (stop_old, stop_new) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let url = || place.database.url.clone();
        let old = tokio::spawn(writer(url(), "n", 1_000_000, stop_old.clone()));
        tool.run(&plan, PLAN, Some(Phase::Expand)).await.unwrap();
        let new = tokio::spawn(writer(url(), "n_v2", 3_000_000, stop_new.clone()));
        tool.run(&plan, PLAN, Some(Phase::Switch)).await.unwrap();
        stop_new.store(true, Ordering::Relaxed);
        let written = new.await.unwrap();
        let finish = tool.run(&plan, PLAN, None).await.unwrap();
        assert_eq!(finish.state, Standing::Done);
        stop_old.store(true, Ordering::Relaxed);
        assert!(old.await.unwrap() > 5 && written > 5);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_failed_once_ends_like_alter_table() {
    each_step_failed_on(&versions().remove(0), SETUP, PLAN).await;
}

/// Of the fleet, whose plates need not differ.
const ON_FLEET: &str = "ALTER TABLE vehicles ADD CONSTRAINT plates EXCLUDE USING btree (upper(license_plate) WITH =, id WITH =) WHERE (license_plate <> 'x')";

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_ledger_entry_it_goes_on_and_ends_like_alter_table() {
    let edit = ("contract: {", "indexes: { exclusion_lock: 1min }\ncontract: {");
    let begun = crashes::Begun { edit, by_hand: ON_FLEET, leaves: ON_FLEET, own: None };
    crashes::forward_of("license-plate.yaml", &begun, 50).await;
}

/// The build calls a function that takes its time.
#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_takes_too_long_leaves_nothing_and_can_be_given_more_time() {
    let setup = "CREATE FUNCTION slow(bigint) RETURNS bigint IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_catalog.pg_sleep(0.05); RETURN $1; END $$;
        CREATE TABLE t (id int, n int, EXCLUDE USING btree (slow(n) WITH =)); INSERT INTO t SELECT g, g FROM generate_series(1, 20) g";
    let text = "version: 1\nname: slow\ntable: public.t\nchanges: [{ change_type: { column: n, to: bigint, via: n_v2 } }]\n\
                indexes: { exclusion_lock: 300ms }\ncontract: { grace: 0s, quiet: 0s }\n";
    let database = Database::new().await;
    database.execute(setup).await;
    let (plan, tool) = (parsed(text), tool(&database.url));
    let constraints =
        "SELECT string_agg(conname, ' ' ORDER BY conname) FROM pg_constraint WHERE conrelid = 't'::regclass";
    for _ in 0..2 {
        let error = tool.run(&plan, text, None).await.map(|finish| panic!("{finish:?}")).unwrap_err();
        assert!(matches!(error, Error::LockedTooLong { .. }), "{error:?}");
        let (error, expected) = (
            error.to_string(),
            "step verify.constraint:t_slow_excl was given up, and nothing of it is left: it may lock the table for 0.3 s, and was not done \
             by then: canceling statement due to statement timeout [SQLSTATE 57014]",
        );
        assert!(error.starts_with(expected), "{error}");
        assert_eq!(database.scalar::<String>(constraints).await, "t_slow_excl");
    }
    tool.tune("slow", &[("exclusion_lock".to_owned(), "1min".to_owned())]).await.unwrap();
    assert_eq!(tool.run(&plan, text, None).await.unwrap().state, Standing::Done);
    assert_eq!(database.scalar::<String>(constraints).await, "t_slow_excl");
}

/// What is refused, and what is warned of.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_carried_is_refused_by_name() {
    let of = |lock: &str, to: &str| {
        format!(
            "version: 1\nname: no\ntable: public.t\nchanges: [{{ change_type: {{ column: n, to: {to}, via: n_v2 }} }}]\n{lock}contract: {{ grace: 0s, quiet: 0s }}\n"
        )
    };
    let lock = "indexes: { exclusion_lock: 1min }\n";
    for (setup, text, expected) in [
        (
            "CREATE TABLE t (n int, CONSTRAINT apart EXCLUDE USING btree (n WITH =))",
            of("", "bigint"),
            "exclusion constraint \"apart\" uses column \"n\"",
        ),
        (
            "CREATE TABLE t (n cidr, CONSTRAINT apart EXCLUDE USING gist (n inet_ops WITH &&))",
            of(lock, "text"),
            "exclusion constraint \"apart\" does not fit the new type: operator class \"inet_ops\" does not accept data type text",
        ),
        (
            "CREATE TABLE t (n int) PARTITION BY RANGE (n); CREATE TABLE u (n int, k int) PARTITION BY RANGE (k);
             CREATE TABLE u_1 PARTITION OF u FOR VALUES FROM (0) TO (9); ALTER TABLE u_1 ADD CONSTRAINT apart EXCLUDE USING btree (n WITH =)",
            of(lock, "bigint").replace("public.t", "public.u"),
            "exclusion constraint \"apart\" of public.u_1 uses column \"n\"",
        ),
    ] {
        let database = Database::new().await;
        database.execute(setup).await;
        let preview = tool(&database.url).preview(&parsed(&text)).await.unwrap();
        let refusals: Vec<_> = preview.refusals.iter().map(|finding| (finding.code, finding.message.as_str())).collect();
        // That a partition has something of its own is refused too.
        assert_eq!(refusals.last(), Some(&("catalog::exclusion", expected)), "{setup}");
    }
    let database = Database::new().await;
    database
        .execute("CREATE TABLE t (n int, CONSTRAINT apart EXCLUDE USING btree (n WITH =)); CREATE TABLE u (n int)")
        .await;
    let tool = tool(&database.url);
    let none = of("indexes: { copy: none }\n", "bigint");
    assert!(tool.preview(&parsed(&none)).await.unwrap().refusals.is_empty());
    let needless = of(lock, "bigint").replace("public.t", "public.u");
    let preview = tool.preview(&parsed(&needless)).await.unwrap();
    assert!(preview.warnings.iter().any(|finding| finding.code == "catalog::exclusion_lock"), "{:?}", preview.warnings);
    tool.run(&parsed(&needless), &needless, Some(Phase::Expand)).await.unwrap();
    let tuned = tool.tune("no", &[("exclusion_lock".to_owned(), "1h".to_owned())]).await;
    assert!(matches!(tuned, Err(Error::Misconfigured { .. })), "{tuned:?}");
}
