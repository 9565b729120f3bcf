//! A rename of a column with anything that may hang on it: what a role that owns nothing does through either name works as
//! beside plain ALTER TABLE, the way back ends where the run began, and its end cannot be told from plain ALTER TABLE.

mod cases;
mod exclusion;
mod found;
mod inheritance;
mod inheritance_retyped;
mod partitions;
mod partitions_foreign;
mod partitions_retyped;
mod progress;
mod releases;
mod retyped;

use cases::{CASES, Case, OF_A_TYPE, ON_TEXT, ON_TEXT_WRITES, TYPES};
use crossfade::plan::Plan;
use crossfade::run::Phase;
use crossfade::runner::Error;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::harness::{Database, Version, long_versions, plain_alter, tool, whole};

const PHASES: [Phase; 5] = [Phase::Expand, Phase::Index, Phase::Backfill, Phase::Verify, Phase::Switch];

/// A database in which a role that owns nothing writes.
struct Place {
    database: Database,
    neighbour: PgConnection,
    /// What each statement ended with.
    ends: Vec<String>,
}

impl Place {
    async fn new(version: &Version, setup: &str) -> Self {
        let database = Database::on(version).await;
        // Roles are those of the whole server, where other tests run.
        database
            .execute(
                "DO $$ BEGIN CREATE ROLE neighbour; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
                 ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO neighbour;
                 ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO neighbour; GRANT USAGE ON SCHEMA public TO neighbour",
            )
            .await;
        database.execute(setup).await;
        let mut neighbour = PgConnection::connect(&database.url).await.unwrap();
        sqlx::raw_sql("SET ROLE neighbour; SET lock_timeout = '30s'").execute(&mut neighbour).await.unwrap();
        Self { database, neighbour, ends: vec![] }
    }

    async fn write(&mut self, statement: &str) {
        let end = match sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut self.neighbour).await {
            Ok(done) => format!("{} rows", done.rows_affected()),
            Err(sqlx::Error::Database(error)) => error.code().unwrap_or_default().into_owned(),
            Err(error) => panic!("{statement}: {error}"),
        };
        self.ends.push(end);
    }

    /// Everything that PostgreSQL knows of the schema, to the last character; numbers of columns too.
    async fn schema(&self) -> String {
        let numbers = "SELECT string_agg(format('%s %s %s', attrelid::regclass, attnum, attname), E'\\n' ORDER BY attrelid::regclass::text, attnum)
            FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
            WHERE attnum > 0 AND NOT attisdropped AND relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'm')";
        let numbers: String = self.database.scalar(numbers).await;
        format!("{}\n{numbers}", self.database.exact_schema().await)
    }

    /// All rows of all tables.
    async fn contents(&self) -> String {
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'm') ORDER BY 1",
        )
        .fetch_all(&self.database.pool)
        .await
        .unwrap();
        let mut all = Vec::new();
        for table in tables {
            let rows = format!(
                "SELECT coalesce(string_agg(to_jsonb(x)::text, E'\\n' ORDER BY to_jsonb(x)::text), '') FROM {table} x"
            );
            all.extend([table, "\n".to_owned(), self.database.scalar::<String>(&rows).await, "\n".to_owned()]);
        }
        all.concat()
    }
}

/// The same statements in a database whose column is renamed by a run, and in one where it is renamed by plain ALTER TABLE.
struct Both {
    name: String,
    ours: Place,
    plain: Place,
    writes: Vec<&'static str>,
    by_own_name: Vec<&'static str>,
    number: u32,
}

impl Both {
    /// Writes under the name `ours` where the run is, and under the name that the column has beside it.
    async fn write(&mut self, (ours, plain): (&str, &str), own: bool, when: &str) {
        self.number += 1000;
        let own: &[_] = if own { &self.by_own_name } else { &[] };
        for statement in self.writes.iter().chain(own) {
            let of = |column: &str| statement.replace("{c}", column).replace("{n}", &self.number.to_string());
            self.ours.write(&of(ours)).await;
            self.plain.write(&of(plain)).await;
            assert_eq!(self.ours.ends.last(), self.plain.ends.last(), "{}, {when}: {}", self.name, of(ours));
        }
    }

    async fn assert_same(&self, when: &str) {
        let name = &self.name;
        let (ours, plain) = (self.ours.schema().await, self.plain.schema().await);
        assert!(ours == plain, "{name}, {when}: schema\n{}", difference(&plain, &ours));
        let (ours, plain) = (self.ours.contents().await, self.plain.contents().await);
        assert!(ours == plain, "{name}, {when}: rows\n{}", difference(&plain, &ours));
    }
}

/// The lines that only one of two texts has.
fn difference(expected: &str, found: &str) -> String {
    let only = |a: &str, b: &str, sign: char| {
        let b: Vec<_> = b.lines().collect();
        a.lines().filter(|line| !b.contains(line)).map(|line| format!("{sign} {line}")).collect::<Vec<_>>()
    };
    [only(expected, found, '-'), only(found, expected, '+')].concat().join("\n")
}

fn plan(case: &Case) -> (Plan, String) {
    // Triggers for every UPDATE would fire once for each row of the backfill, as its warning says.
    let triggers = if case.setup.contains("UPDATE ON t") { "backfill: { triggers: skip }\n" } else { "" };
    let text = format!(
        "version: 1\nname: borrow\ntable: public.t\nchanges: [{{ rename_column: {{ from: a, to: b }} }}]\n\
         contract: {{ grace: 0s, quiet: 0s }}\n{triggers}"
    );
    (crossfade::plan::parse("plan.yaml", &text).unwrap(), text)
}

/// Returns where a run stops on its way there: everywhere or, in a part of the tests, after three phases, which differ from case to case.
fn stops(n: usize) -> Vec<Phase> {
    let seldom = [Phase::Expand, Phase::Index, Phase::Verify];
    let skips = |phase: &Phase| !whole() && seldom.contains(phase) && seldom[n % seldom.len()] != *phase;
    PHASES.into_iter().filter(|phase| !skips(phase)).collect()
}

async fn ends_like_alter(version: &Version, case: &Case, stops: &[Phase]) {
    let name = format!("{} on {}", case.name, version.major);
    let (ours, beside) = (Place::new(version, case.setup).await, Place::new(version, case.setup).await);
    let (writes, by_own_name) = (case.writes.to_vec(), case.by_own_name.to_vec());
    let mut both = Both { name: name.clone(), ours, plain: beside, writes, by_own_name, number: 0 };
    let (plan, text) = plan(case);
    let tool = tool(&both.ours.database.url);
    let preview = tool.preview(&plan).await.unwrap();
    assert!(preview.refusals.is_empty(), "{name}: {:?}", preview.refusals);
    both.write(("a", "a"), true, "before").await;
    both.assert_same("before").await;
    for phase in stops.iter().copied() {
        tool.run(&plan, &text, Some(phase)).await.unwrap_or_else(|error| panic!("{name} to {phase}: {error:?}"));
        both.write(("a", "a"), true, &format!("old name after {phase}")).await;
        // Before, rows are empty under the new name.
        if phase >= Phase::Backfill {
            both.write(("b", "a"), false, &format!("new name after {phase}")).await;
        }
    }
    tool.rollback(plan.name.as_str(), None).await.unwrap_or_else(|error| panic!("{name} back: {error:?}"));
    both.assert_same("rolled back").await;
    both.write(("a", "a"), true, "rolled back").await;

    // Once more, to the end; between the new names and the end of the mirror the names are those of plain ALTER TABLE.
    let slow = text.replace("grace: 0s", "grace: 1h");
    let slow_plan = crossfade::plan::parse("plan.yaml", &slow).unwrap();
    tool.run(&slow_plan, &slow, Some(Phase::Switch)).await.unwrap_or_else(|error| panic!("{name} again: {error:?}"));
    both.write(("b", "a"), false, "new name, again").await;
    let waits = tool.run(&slow_plan, &slow, None).await.expect_err("the grace has not passed");
    assert!(matches!(waits, Error::NotYet(_)), "{name}: {waits}");
    for statement in plain_alter(&plan) {
        both.plain.database.execute(&statement).await;
    }
    both.write(("b", "b"), true, "retired").await;
    tool.rollback(plan.name.as_str(), Some(Phase::Switch))
        .await
        .unwrap_or_else(|error| panic!("{name} back to switch: {error:?}"));
    both.write(("b", "b"), false, "back in switch, new name").await;
    both.write(("a", "b"), true, "back in switch, old name").await;
    tool.tune(plan.name.as_str(), &[("grace".to_owned(), "0s".to_owned())]).await.unwrap();
    tool.run(&slow_plan, &slow, None).await.unwrap_or_else(|error| panic!("{name} to the end: {error:?}"));
    both.assert_same("at the end").await;
    both.write(("b", "b"), true, "at the end").await;
    both.assert_same("written at the end").await;
}

/// Every third case from the `n`th on; one of them: CASE=name.
async fn all_end_like_alter(version: &Version, n: usize) {
    let of_text = ON_TEXT.iter().map(|(name, more)| {
        let table = "CREATE TABLE t (id int, a text, note text); INSERT INTO t SELECT g, CASE WHEN g % 9 > 0 THEN 'x' || g END, 'n' FROM generate_series(1, 40) g";
        Case { name, setup: format!("{table}; {more}").leak(), writes: ON_TEXT_WRITES, by_own_name: &[], since: 14 }
    });
    let of_types = TYPES.iter().map(|(name, literals)| {
        let table = format!("CREATE TABLE t (id int, a {name}, note text); INSERT INTO t SELECT g, {}, 'n' FROM generate_series(1, 40) g", literals[0]);
        let writes = literals.iter().flat_map(|value| OF_A_TYPE.map(|write| &*write.replace("{v}", value).leak()));
        let writes: &[&str] = writes.collect::<Vec<_>>().leak();
        Case { name, setup: table.leak(), writes, by_own_name: &[], since: 14 }
    });
    let only = std::env::var("CASE").ok();
    let wanted = |case: &Case| case.since <= version.major && only.as_ref().is_none_or(|only| case.name.contains(only));
    let all: Vec<Case> =
        of_text.chain(of_types).chain(CASES.iter().map(|case| Case { ..*case })).filter(wanted).collect();
    assert!(all.len() > 2 || only.is_some());
    for (turn, case) in all.iter().skip(n).step_by(3).enumerate() {
        ends_like_alter(version, case, &stops(turn)).await;
    }
}

/// Those of the given remainder: three tests run at once.
async fn third(n: usize) {
    for version in long_versions() {
        all_end_like_alter(&version, n).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rename_ends_like_alter_table_whatever_hangs_on_the_column() {
    third(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rename_ends_like_alter_table_whatever_hangs_on_the_column_second_third() {
    third(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rename_ends_like_alter_table_whatever_hangs_on_the_column_last_third() {
    third(2).await;
}

/// An index on a column that stays and on one that does not: it is made anew for both, and keeps everything else.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_on_a_renamed_and_a_retyped_column_ends_like_alter_tables() {
    const SETUP: &str = "CREATE TABLE t (id int PRIMARY KEY, a text, n int, note text); INSERT INTO t SELECT g, 'x' || g, g FROM generate_series(1, 40) g;
        CREATE INDEX two_of_them ON t (n, a) WHERE a <> 'x1'; CREATE UNIQUE INDEX once ON t (a, n); COMMENT ON INDEX two_of_them IS 'both';
        CREATE INDEX on_a ON t (a); CREATE INDEX on_n ON t (n)";
    let text = "version: 1\nname: two\ntable: public.t\nchanges:\n  - rename_column: { from: a, to: b }\n  - change_type: { column: n, to: bigint, via: n_v2, reverse: \"n_v2::int\" }\ncontract: { grace: 0s, quiet: 0s }\n";
    let plan = crossfade::plan::parse("plan.yaml", text).unwrap();
    for version in long_versions() {
        let (ours, beside) = (Place::new(&version, SETUP).await, Place::new(&version, SETUP).await);
        let tool = tool(&ours.database.url);
        for phase in PHASES {
            tool.run(&plan, text, Some(phase)).await.unwrap_or_else(|error| panic!("to {phase}: {error:?}"));
        }
        tool.rollback("two", None).await.unwrap();
        assert_eq!(ours.database.schema().await, beside.database.schema().await, "rolled back on {}", version.major);
        tool.run(&plan, text, Some(Phase::Verify)).await.unwrap();
        // In mid-run one more, and one less.
        ours.database.execute("CREATE INDEX more ON t (a, n, id); DROP INDEX on_a").await;
        beside.database.execute("CREATE INDEX more ON t (a, n, id); DROP INDEX on_a").await;
        tool.run(&plan, text, None).await.unwrap();
        for statement in plain_alter(&plan) {
            beside.database.execute(&statement).await;
        }
        assert_eq!(ours.database.schema().await, beside.database.schema().await, "at the end on {}", version.major);
    }
}
