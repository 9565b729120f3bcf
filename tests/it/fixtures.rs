//! Ledgers that earlier versions have left behind, in the middle of each phase: this version takes each of them to the
//! end, and back to the start.
//!
//! `tests/fixtures/ledgers/v<format>/` holds a dump of a whole small database for each plan and phase, and one from before
//! the run. `UPDATE_FIXTURES=1 cargo test --test it -- fixtures` writes those of the format that this version has, where
//! they are missing; it replaces none.

use std::path::{Path, PathBuf};
use std::process::Command;

use crossfade::plan::Plan;
use crossfade::run::{FORMAT, Standing};
use nix::sys::signal::Signal;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::harness::{Cli, Database, Output, PATIENCE, Version, plain_alter, tool, versions_of, wait_for};

/// A table on some pages, with everything that gives a run steps in each phase.
const TABLE: &str = "
    CREATE TABLE public.things (id bigint PRIMARY KEY, code text NOT NULL DEFAULT 'none', amount text, note text)
      WITH (fillfactor = 10);
    INSERT INTO public.things
      SELECT n, 'code ' || n, nullif(n % 10, 0) * 100, repeat('n', 100) FROM generate_series(1, 50) AS n;
    ALTER TABLE public.things ADD CONSTRAINT things_code_key UNIQUE (code);
    CREATE INDEX things_code_a ON public.things (code, id);
    CREATE INDEX things_code_b ON public.things (lower(code)) WHERE id > 5;
    CREATE INDEX things_amount_a ON public.things (amount);
    CREATE INDEX things_amount_b ON public.things (amount, id);
    CREATE UNIQUE INDEX things_amount_key ON public.things (amount, code);
    COMMENT ON COLUMN public.things.code IS 'what it is called';
    COMMENT ON COLUMN public.things.amount IS 'how many of it';
    ANALYZE public.things";

/// A run that is dumped in the middle of each of its phases.
struct Subject {
    /// Of the plan and of the files.
    name: &'static str,
    changes: &'static [&'static str],
    /// Where in each phase the run is stopped: at the first entry of the log that is this. The backfill is killed instead.
    stops: &'static [(&'static str, &'static str)],
}

const PAIR: &[(&str, &str)] = &[
    ("expand", "^phase_done expand"),
    ("index", r"^step_[a-z]+ index\.(build|mirror):.*_b"),
    ("backfill", ""),
    ("verify", r"^step_[a-z]+ verify\.(build|mirror)"),
    ("switch", "^phase_done switch"),
    ("contract", r"^step_[a-z]+ contract\.(grace|drop)"),
];

const SUBJECTS: [Subject; 3] = [
    Subject { name: "rename", changes: &["rename_column: { from: code, to: name }"], stops: PAIR },
    Subject {
        name: "retype",
        changes: &[
            "change_type: { column: amount, to: integer, using: \"amount::integer\", reverse: \"amount_v2::text\", via: amount_v2 }",
        ],
        stops: PAIR,
    },
    // One of each kind without two columns.
    Subject {
        name: "others",
        changes: &[
            "add_column: { name: public_id, type: uuid, default: gen_random_uuid(), not_null: true }",
            "drop_column: { column: note }",
            "add_index: { name: things_a, columns: [code, public_id] }",
            "add_index: { name: things_b, columns: [public_id], unique: true }",
            "add_constraint: { name: things_positive, check: id > 0 }",
            "add_constraint: { name: things_pair, unique: [id, code] }",
        ],
        stops: &[
            ("expand", "^phase_done expand"),
            ("index", r"^step_[a-z]+ index\.(build|mirror):.*_b"),
            ("backfill", ""),
            ("verify", r"^step_[a-z]+ verify\."),
            ("contract", r"^step_[a-z]+ contract\.(grace|drop)"),
        ],
    },
];

fn directory(format: i32) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/ledgers/v{format}"))
}

fn plan_text(subject: &Subject) -> String {
    // Without two columns there is nothing that must be quiet.
    let quiet = if subject.name == "others" { "" } else { ", quiet: 0s" };
    format!(
        "version: 1\nname: {}\ntable: things\nchanges:\n  - {}\nbackfill: {{ max_rows_per_second: 20 }}\n\
         contract: {{ grace: 0s{quiet} }}\n",
        subject.name,
        subject.changes.join("\n  - ")
    )
}

/// Runs the plan until it is in the middle of `phase`.
async fn stopped_in(database: &Database, plan: &Path, phase: &str, stop: &str) {
    let cli = |args: &[&str]| Cli::new(&database.url).args(args);
    let plan = plan.to_str().unwrap();
    if phase == "backfill" {
        assert_eq!(cli(&["run", plan, "--to", "index"]).run().await.code, Some(0));
        let running = cli(&["run", plan, "--to", "backfill"]).spawn();
        let open = "SELECT count(*) FROM crossfade.page_window WHERE done_at IS NULL AND rows > 0";
        wait_for("a window with some rows done", PATIENCE, async || database.scalar::<i64>(open).await > 0).await;
        running.signal(Signal::SIGKILL);
        running.wait(PATIENCE).await;
        return;
    }
    crossfade_ledger(database).await;
    let refuse = format!(
        "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           IF concat_ws(' ', NEW.entry ->> 'kind', NEW.entry ->> 'step', NEW.entry ->> 'phase') ~ '{stop}'
              AND NEW.entry ->> 'kind' <> 'step_failed' THEN RAISE EXCEPTION 'stopped here'; END IF;
           RETURN NULL;
         END $$;
         CREATE TRIGGER refuse AFTER INSERT ON crossfade.event FOR EACH ROW EXECUTE FUNCTION public.refuse()"
    );
    database.execute(&refuse).await;
    let output = cli(&["run", plan, "--yes"]).run().await;
    assert!(output.stderr.contains("stopped here"), "{phase}: {output:#?}");
    database.execute("DROP TRIGGER refuse ON crossfade.event; DROP FUNCTION public.refuse()").await;
}

async fn crossfade_ledger(database: &Database) {
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    let ledger = crossfade::ledger::Ledger::new(crossfade::names::LedgerSchema::default());
    ledger.create(&mut connection).await.unwrap();
}

/// Returns a dump that any client can load: no COPY, no commands of psql, nothing about this machine.
async fn dump(database: &Database) -> String {
    let is_run: bool = database.scalar("SELECT to_regclass('crossfade.event') IS NOT NULL").await;
    let mut who = None;
    if is_run {
        who = Some(database.scalar::<String>("SELECT min(os_user || '@' || host) FROM crossfade.event").await);
        // Recorded again, so that the hashes are right.
        let anonymous = "ALTER TABLE crossfade.event DISABLE TRIGGER append_only;
             CREATE TEMP TABLE kept AS TABLE crossfade.event;
             UPDATE kept SET os_user = 'somebody', host = 'somewhere';
             DELETE FROM crossfade.event;
             INSERT INTO crossfade.event SELECT * FROM kept ORDER BY run_id, seq;
             ALTER TABLE crossfade.event ENABLE TRIGGER append_only;
             DROP TABLE kept";
        database.execute(anonymous).await;
    }
    let options = ["--inserts", "--no-owner", "--no-privileges", "--no-tablespaces", "--dbname", &database.url];
    let output = Command::new("pg_dump").args(options).output().unwrap();
    assert!(output.status.success(), "pg_dump: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let noise = |line: &&str| ["\\", "-- Dumped "].iter().any(|noise| line.starts_with(noise));
    let text = text.lines().filter(|line| !noise(line)).fold(String::new(), |text, line| text + line + "\n");
    who.map_or(text.clone(), |who| text.replace(&who, "somebody@somewhere"))
}

/// Writes the fixtures of this version's format that are not there yet.
async fn write_missing() {
    let directory = directory(FORMAT);
    std::fs::create_dir_all(&directory).unwrap();
    for subject in &SUBJECTS {
        let plan = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        std::fs::write(plan.path(), plan_text(subject)).unwrap();
        for (phase, stop) in [("before", "")].iter().chain(subject.stops) {
            let file = directory.join(format!("{}-{phase}.sql", subject.name));
            if file.exists() {
                continue;
            }
            let database = Database::new().await;
            database.execute(TABLE).await;
            if *phase != "before" {
                stopped_in(&database, plan.path(), phase, stop).await;
            }
            std::fs::write(file, dump(&database).await).unwrap();
        }
    }
}

/// A dump of a run in the middle of a phase.
struct Fixture {
    name: String,
    sql: String,
    /// The database before the run.
    before: String,
    /// Sets oids right.
    oids: String,
}

/// Returns all fixtures of all formats.
async fn fixtures() -> Vec<Fixture> {
    static WRITTEN: tokio::sync::OnceCell<()> = tokio::sync::OnceCell::const_new();
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        WRITTEN.get_or_init(write_missing).await;
    }
    let read =
        |path: PathBuf| std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut found = vec![];
    for format in 1..=FORMAT {
        let directory = directory(format);
        let oids = read(directory.with_extension("sql"));
        for Subject { name: plan, stops, .. } in &SUBJECTS {
            let before = read(directory.join(format!("{plan}-before.sql")));
            for (phase, _) in *stops {
                let sql = read(directory.join(format!("{plan}-{phase}.sql")));
                let name = format!("v{format}/{plan}-{phase}");
                found.push(Fixture { name, sql, before: before.clone(), oids: oids.clone() });
            }
        }
    }
    found
}

/// Loads a dump into a database of its own.
async fn restored(version: &Version, sql: &str) -> Database {
    let database = Database::on(version).await;
    // Not one of the pool: a dump leaves an empty search_path behind.
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    sqlx::raw_sql("ANALYZE").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    database
}

/// The rows. Generated UUIDs are never the same twice; that there is one is what counts.
async fn contents(database: &Database) -> String {
    let sql = "SELECT regexp_replace(string_agg(to_jsonb(t)::text, E'\\n' ORDER BY id), '[0-9a-f]{8}-[0-9a-f-]{27}', 'a uuid', 'g')
               FROM public.things AS t";
    database.scalar(sql).await
}

/// NOT NULL has a name since PostgreSQL 18, which gives those of an older dump the names of the columns at that moment.
fn without_names_of_not_null(schema: &str) -> String {
    let line = |line: &str| match line.split_once(" NOT NULL ") {
        Some((_, rest)) if line.starts_with("constraint ") => format!("NOT NULL {rest}\n"),
        _ => format!("{line}\n"),
    };
    let mut lines: Vec<String> = schema.lines().map(line).collect();
    lines.sort();
    lines.concat()
}

/// The run of a fixture, ready to go on.
struct Stage {
    database: Database,
    before: Database,
    plan: Plan,
    text: String,
}

impl Stage {
    async fn new(version: &Version, fixture: &Fixture) -> Self {
        let database = restored(version, &fixture.sql).await;
        let before = restored(version, &fixture.before).await;
        database.execute(&fixture.oids).await;
        let text: String = database.scalar("SELECT plan_text FROM crossfade.run").await;
        let plan = crossfade::plan::parse("plan.yaml", &text).unwrap();
        // Nobody waits for the pace at which the fixture was made.
        let setting = ("max_rows_per_second".to_owned(), "off".to_owned());
        tool(&database.url).tune(plan.name.as_str(), &[setting]).await.unwrap();
        Self { database, before, plan, text }
    }

    async fn cli(&self, command: &str) -> Output {
        Cli::new(&self.database.url).args([command, self.plan.name.as_str()]).run().await
    }

    /// The databases have the same schema and the same rows.
    async fn assert_like_before(&self, what: &str) {
        let (ours, before) = (self.database.schema().await, self.before.schema().await);
        assert_eq!(without_names_of_not_null(&ours), without_names_of_not_null(&before), "{what}");
        assert_eq!(contents(&self.database).await, contents(&self.before).await, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_earlier_versions_are_finished() {
    for (n, fixture) in fixtures().await.iter().enumerate() {
        for version in &versions_of(n) {
            let what = format!("{} on {}", fixture.name, version.major);
            let stage = Stage::new(version, fixture).await;
            for command in ["status", "history", "show"] {
                let output = stage.cli(command).await;
                assert_eq!(output.code, Some(0), "{what}, {command}: {output:#?}");
                assert!(!output.stdout.is_empty(), "{what}, {command}: {output:#?}");
            }
            let finish = tool(&stage.database.url).run(&stage.plan, &stage.text, None).await;
            let finish = finish.unwrap_or_else(|error| panic!("{what}: {error:?}"));
            assert_eq!(finish.state, Standing::Done, "{what}");
            for statement in plain_alter(&stage.plan) {
                stage.before.execute(&statement).await;
            }
            stage.assert_like_before(&what).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_earlier_versions_are_rolled_back() {
    for (n, fixture) in fixtures().await.iter().enumerate() {
        for version in &versions_of(n) {
            let what = format!("{} on {}", fixture.name, version.major);
            let stage = Stage::new(version, fixture).await;
            let output = stage.cli("verify").await;
            // Before the backfill is done there are rows to report; only pairs of columns can be compared.
            let codes = if stage.plan.pairs().next().is_some() { [0, 6] } else { [2, 2] };
            assert!(output.code.is_some_and(|code| codes.contains(&code)), "{what}: {output:#?}");
            let finish = tool(&stage.database.url).rollback(stage.plan.name.as_str(), None).await;
            let finish = finish.unwrap_or_else(|error| panic!("{what}: {error:?}"));
            assert_eq!(finish.state, Standing::RolledBack, "{what}");
            stage.assert_like_before(&what).await;
        }
    }
}
