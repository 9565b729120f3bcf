//! `crossfade export`: the tools themselves apply what it wrote, on databases in every state, and find no difference afterwards.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crossfade::run::{Phase, Standing};
use sqlx::migrate::Migrator;
use tokio::process::Command;

use crate::harness::{Cli, Database, PATIENCE, missing, tool};

const RUN: &str = "vehicle-columns";

/// A value that every tool would find something in to replace; the plan's `using` compares with it.
const SPECIAL: &str = "${a} :b %s #{c} `d`";

/// The columns of the table before and after.
const BEFORE: &str = "odometer text, status character varying(20)";
const AFTER: &str = "odometer integer, vehicle_status character varying(20)";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/migration-tools").join(name)
}

/// The databases that a migration leaves alone.
struct Others {
    done: Database,
    mid: Database,
    large: Database,
}

pub(crate) async fn with_table(rows: u32) -> Database {
    let database = Database::new().await;
    database.execute(&std::fs::read_to_string(fixture("table.sql")).unwrap()).await;
    let sql = format!(
        "INSERT INTO fleet_vehicle (vin, status, odometer) SELECT repeat('v', 60) || n, 'active', n FROM generate_series(1, {rows}) AS n"
    );
    database.execute(&sql).await;
    database
}

async fn run_to(rows: u32, to: Option<Phase>) -> Database {
    let database = with_table(rows).await;
    let text = std::fs::read_to_string(fixture("plan.yaml")).unwrap();
    let plan = crossfade::plan::parse("plan.yaml", &text).unwrap();
    let finish = tool(&database.url).run(&plan, &text, to).await.unwrap();
    assert_eq!(finish.state == Standing::Done, to.is_none(), "{finish:?}");
    database
}

impl Others {
    async fn new() -> Self {
        let (done, mid, large) = tokio::join!(run_to(3000, None), run_to(100, Some(Phase::Verify)), with_table(3000));
        Self { done, mid, large }
    }
}

async fn columns(database: &Database) -> String {
    let sql =
        "SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attname) FROM pg_attribute
               WHERE attrelid = 'fleet_vehicle'::regclass AND attnum > 0 AND attname ~ 'status|odometer'";
    database.scalar(sql).await
}

/// A copy of a tool's project, with the folder of its migrations.
struct Project {
    folder: tempfile::TempDir,
    migrations: PathBuf,
    tool: &'static str,
}

impl Project {
    fn new(tool: &'static str, migrations: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(&fixture(tool), folder.path());
        let migrations = folder.path().join(migrations);
        Self { folder, migrations, tool }
    }

    /// Exports the run; twice, to the same bytes.
    async fn export(&self, url: &str) {
        let args = ["export", RUN, "--to", self.tool, "--max-size", "100kB"];
        let export = Cli::new(url).args(args).args([&self.migrations]);
        let before = tree(&self.migrations);
        let first = export.run().await;
        assert_eq!((first.code, first.stderr.as_str()), (Some(0), ""), "{}: {first:?}", self.tool);
        let written = tree(&self.migrations);
        assert_ne!(before, written);
        let again = export.run().await;
        assert!(again.stdout.contains("nothing to write"), "{}: {again:?}", self.tool);
        assert_eq!(tree(&self.migrations), written, "{}", self.tool);
    }

    /// Runs a program of the tool in the project. Returns its exit code and all it said.
    async fn says(&self, url: &str, program: &Path, args: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(program);
        command.args(args).current_dir(self.folder.path()).env("DATABASE_URL", url).env("PYTHONDONTWRITEBYTECODE", "1");
        command.env("PYTHONPATH", self.folder.path()).stdin(std::process::Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(PATIENCE, command.output()).await.unwrap().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), text)
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every file below a folder, with its text.
fn tree(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(tree(&path));
        } else {
            files.insert(path.clone(), std::fs::read_to_string(&path).unwrap());
        }
    }
    files
}

/// Where `.ci/migration-tools` puts what it fetches.
pub(crate) fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/migrations")
}

/// A program that `.ci/migration-tools` has fetched; `None` if there is none.
pub(crate) fn fetched(name: &str) -> Option<PathBuf> {
    let path = tools().join(name);
    if !path.exists() {
        missing(&format!("{name} (.ci/migration-tools fetches it)"));
        return None;
    }
    Some(path)
}

/// Whether Ruby has `ActiveRecord`.
pub(crate) fn activerecord() -> bool {
    let command = ["-e", "require 'active_record'; require 'pg'"];
    let found = std::process::Command::new("ruby").args(command).stderr(std::process::Stdio::null()).status();
    let there = found.is_ok_and(|status| status.success());
    if !there {
        missing("ActiveRecord (on Debian ruby-activerecord and ruby-pg)");
    }
    there
}

/// Applies what was exported on all four databases. `apply` returns what the tool said, as an error if it failed.
async fn in_every_state(name: &str, others: &Others, apply: impl AsyncFn(&str) -> Result<String, String>) -> Database {
    let fresh = with_table(0).await;
    fresh
        .execute(&format!("INSERT INTO fleet_vehicle (vin, status, odometer) VALUES ('a', 'idle', '{SPECIAL}')"))
        .await;
    for _ in 0..2 {
        apply(&fresh.url).await.unwrap_or_else(|said| panic!("{name} on a fresh database: {said}"));
        assert_eq!(columns(&fresh).await, AFTER, "{name}");
        assert_eq!(fresh.scalar::<i32>("SELECT odometer FROM fleet_vehicle").await, 0, "{name}");
    }
    apply(&others.done.url).await.unwrap_or_else(|said| panic!("{name} where the run has ended: {said}"));
    let (mid, large) = (columns(&others.mid).await, columns(&others.large).await);
    let said = apply(&others.mid.url).await.expect_err(name);
    assert!(
        said.contains("the run vehicle-columns of crossfade is under way on public.fleet_vehicle"),
        "{name}: {said}"
    );
    let said = apply(&others.large.url).await.expect_err(name);
    assert!(said.contains("too large for a plain ALTER TABLE, which may take 100 kB"), "{name}: {said}");
    assert_eq!((columns(&others.done).await.as_str(), large.as_str()), (AFTER, BEFORE), "{name}");
    assert_eq!((columns(&others.mid).await, columns(&others.large).await), (mid, large), "{name}");
    fresh
}

fn outcome((code, said): (Option<i32>, String)) -> Result<String, String> {
    if code == Some(0) { Ok(said) } else { Err(said) }
}

async fn sqlx_applies_it(others: &Others) {
    let project = Project::new("sqlx", "migrations");
    project.export(&others.done.url).await;
    in_every_state("sqlx", others, async |url: &str| {
        let pool = sqlx::PgPool::connect(url).await.unwrap();
        let applied = Migrator::new(project.migrations.clone()).await.unwrap().run(&pool).await;
        pool.close().await;
        applied.map(|()| String::new()).map_err(|error| format!("{error:?}"))
    })
    .await;
}

async fn alembic_applies_it(others: &Others) {
    let Some(alembic) = fetched("python/bin/alembic") else { return };
    let project = Project::new("alembic", "versions");
    project.export(&others.done.url).await;
    let fresh = in_every_state("alembic", others, async |url: &str| {
        outcome(project.says(url, &alembic, &["upgrade", "head"]).await)
    })
    .await;
    for database in [&fresh, &others.done] {
        let (code, said) = project.says(&database.url, &alembic, &["check"]).await;
        assert!(code == Some(0) && said.contains("No new upgrade operations detected"), "{said}");
    }
}

async fn django_applies_it(others: &Others) {
    let Some(python) = fetched("python/bin/python") else { return };
    let project = Project::new("django", "fleet/migrations");
    project.export(&others.done.url).await;
    let fresh = in_every_state("django", others, async |url: &str| {
        outcome(project.says(url, &python, &["manage.py", "migrate"]).await)
    })
    .await;
    let (code, said) =
        project.says(&fresh.url, &python, &["manage.py", "makemigrations", "--check", "--dry-run"]).await;
    assert!(code == Some(0) && said.contains("No changes detected"), "{said}");
}

async fn drizzle_applies_it(others: &Others) {
    let Some(modules) = fetched("node_modules") else { return };
    let project = Project::new("drizzle", "migrations");
    project.export(&others.done.url).await;
    std::os::unix::fs::symlink(&modules, project.folder.path().join("node_modules")).unwrap();
    let kit = modules.join(".bin/drizzle-kit");
    let fresh = in_every_state("drizzle", others, async |url: &str| {
        // As drizzle-kit migrate, which does not say why it failed.
        outcome(project.says(url, Path::new("node"), &["migrate.js"]).await)
    })
    .await;
    let (code, said) = project.says(&fresh.url, &kit, &["check"]).await;
    assert!(code == Some(0), "{said}");
    let (code, said) = project.says(&fresh.url, &kit, &["generate"]).await;
    assert!(code == Some(0) && said.contains("No schema changes"), "{said}");
}

async fn rails_applies_it(others: &Others) {
    if !activerecord() {
        return;
    }
    let project = Project::new("rails", "migrate");
    project.export(&others.done.url).await;
    let migrate = async |url: &str| outcome(project.says(url, Path::new("ruby"), &["migrate.rb"]).await);
    let fresh = in_every_state("rails", others, migrate).await;
    // What would stand in db/schema.rb of the table; other tools have tables of their own in one of the databases.
    let schema = async |database: &Database| {
        let said = migrate(&database.url).await.unwrap();
        let (_, table) = said.split_once("create_table \"fleet_vehicle\"").unwrap();
        table.split_once("\n  end").unwrap().0.to_owned()
    };
    let after = schema(&fresh).await;
    assert_eq!(after, schema(&others.done).await);
    assert!(after.contains("vehicle_status") && after.contains("t.integer \"odometer\""), "{after}");
}

async fn prisma_applies_it(others: &Others) {
    let Some(node) = fetched("prisma/node") else { return };
    let project = Project::new("prisma", "migrations");
    project.export(&others.done.url).await;
    let modules = node.with_file_name("node_modules");
    std::os::unix::fs::symlink(modules, project.folder.path().join("node_modules")).unwrap();
    let migrate = async |url: &str| outcome(project.says(url, &node, &["migrate.mjs"]).await);
    let fresh = in_every_state("prisma", others, migrate).await;
    let (code, said) = project.says(&fresh.url, &node, &["migrate.mjs", "diff"]).await;
    assert!(code == Some(0) && said.contains("This is an empty migration"), "{said}");
    let (code, said) = project.says(&others.mid.url, &node, &["migrate.mjs", "diff"]).await;
    assert!(code == Some(2) && said.contains("DROP COLUMN \"status\""), "{said}");
    // Once a migration has failed, Prisma applies none before somebody says that it was rolled back.
    let said = migrate(&others.mid.url).await.unwrap_err();
    assert!(said.contains("P3009"), "{said}");
    let (code, said) = project.says(&others.mid.url, &node, &["migrate.mjs", "resolve"]).await;
    assert_eq!(code, Some(0), "{said}");
    let said = migrate(&others.mid.url).await.unwrap_err();
    assert!(said.contains("is under way on public.fleet_vehicle"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tools_apply_it_in_every_state_and_find_no_difference() {
    let others = Box::pin(Others::new()).await;
    tokio::join!(
        sqlx_applies_it(&others),
        alembic_applies_it(&others),
        django_applies_it(&others),
        drizzle_applies_it(&others),
        rails_applies_it(&others),
        prisma_applies_it(&others)
    );
}
