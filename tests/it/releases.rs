//! What docs/releases.md says: old, transitional and new releases of applications work on one table at once, and the old column falls
//! quiet when the old release has gone.

use std::path::Path;
use std::process::Stdio;

use crossfade::plan::Plan;
use crossfade::run::{Phase, Standing};
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection as _, PgConnection};
use tokio::process::{Child, Command};

use crate::export::{activerecord, fetched, tools, with_table};
use crate::harness::{Database, PATIENCE, tool, wait_for};

fn plan() -> (Plan, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/releases/plan.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    (crossfade::plan::parse("plan.yaml", &text).unwrap(), text)
}

/// A database in which applications move.
async fn in_soak() -> Database {
    let database = with_table(100).await;
    let (plan, text) = plan();
    tool(&database.url).run(&plan, &text, Some(Phase::Verify)).await.unwrap();
    database
}

/// How often something was written through the old column, and how often through both at once with different values.
async fn counted(database: &Database, counter: &str) -> i64 {
    let tag = plan().0.tag();
    database.scalar(&format!("SELECT last_value FROM crossfade.{counter}_{tag}")).await
}

/// How many rows a release has made.
async fn made_by(database: &Database, release: &str) -> i64 {
    database.scalar(&format!("SELECT count(*) FROM fleet_vehicle WHERE vin LIKE '{release}-%'")).await
}

/// A release of an application, which works until its standard input is closed.
struct Release {
    child: Child,
    name: &'static str,
}

impl Release {
    /// Starts it with a program that runs the application's file.
    fn start(program: &Path, application: &str, name: &'static str, url: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/releases").join(application);
        let mut command = Command::new(program);
        command.arg(path).arg(name).env("DATABASE_URL", url).env("PYTHONDONTWRITEBYTECODE", "1");
        command.env("NODE_PATH", tools().join("prisma/node_modules"));
        let child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        Self { child, name }
    }

    async fn stop(mut self) {
        drop(self.child.stdin.take());
        let output = tokio::time::timeout(PATIENCE, self.child.wait_with_output()).await.unwrap().unwrap();
        assert!(output.status.success(), "{}: {}", self.name, String::from_utf8_lossy(&output.stderr));
    }
}

async fn releases_work_together(program: &Path, application: &str) {
    let database = in_soak().await;
    let start = |name| Release::start(program, application, name, &database.url);
    let (old, transitional, new) = (start("old"), start("transitional"), start("new"));
    for release in ["old", "transitional", "new"] {
        wait_for(release, PATIENCE, async || made_by(&database, release).await >= 20).await;
    }
    old.stop().await;
    assert_eq!(counted(&database, "conflict").await, 0, "{application}");
    let different = "SELECT count(*) FROM fleet_vehicle WHERE status IS DISTINCT FROM vehicle_status";
    assert_eq!(database.scalar::<i64>(different).await, 0, "{application}");

    // The trap of the guide: both columns mapped, with a default of the application's for the old one.
    let before = counted(&database, "old").await;
    start("careless").stop().await;
    assert_ne!(counted(&database, "old").await, before, "{application}: the default was not counted");
    assert_ne!(counted(&database, "conflict").await, 0, "{application}: the default was no conflict");

    // The run ends below the other two, whose connections and prepared statements are those from before.
    let (plan, text) = plan();
    let finish = tool(&database.url).run(&plan, &text, None).await.unwrap();
    assert_eq!(finish.state, Standing::Done, "{application}");
    for release in ["transitional", "new"] {
        let so_far = made_by(&database, release).await;
        wait_for(release, PATIENCE, async || made_by(&database, release).await > so_far).await;
    }
    transitional.stop().await;
    new.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn releases_with_sqlalchemy_and_django_work_together() {
    let Some(python) = fetched("python/bin/python") else { return };
    tokio::join!(
        releases_work_together(&python, "sqlalchemy_app.py"),
        releases_work_together(&python, "django_app.py")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn releases_with_activerecord_work_together() {
    if activerecord() {
        releases_work_together(Path::new("ruby"), "activerecord_app.rb").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn releases_with_prisma_work_together() {
    if let Some(node) = fetched("prisma/node") {
        releases_work_together(&node, "prisma_app.js").await;
    }
}

/// A connection that has prepared `SELECT *` cannot run it once the table has another column; one that names its columns can, in every
/// phase.
#[tokio::test(flavor = "multi_thread")]
async fn statements_that_sqlx_has_prepared_survive_if_they_name_their_columns() {
    let database = with_table(10).await;
    let pool = PgPoolOptions::new().max_connections(1).connect(&database.url).await.unwrap();
    let mut star = PgConnection::connect(&database.url).await.unwrap();
    let named = "SELECT id, status FROM fleet_vehicle ORDER BY id";
    sqlx::query(named).fetch_all(&pool).await.unwrap();
    sqlx::query("SELECT * FROM fleet_vehicle").fetch_all(&mut star).await.unwrap();
    let (plan, text) = plan();
    tool(&database.url).run(&plan, &text, Some(Phase::Verify)).await.unwrap();
    let error = sqlx::query("SELECT * FROM fleet_vehicle").fetch_all(&mut star).await.unwrap_err();
    assert!(error.to_string().contains("cached plan must not change result type"), "{error}");
    sqlx::query(named).fetch_all(&pool).await.unwrap();

    // The three releases: the middle one gives its field the new column by an alias.
    let transitional = "SELECT vehicle_status AS status FROM fleet_vehicle WHERE vin = $1";
    let insert = |column: &str| format!("INSERT INTO fleet_vehicle (vin, {column}) VALUES ($1, $2)");
    for (vin, column) in [("old", "status"), ("transitional", "vehicle_status"), ("new", "vehicle_status")] {
        let insert = sqlx::AssertSqlSafe(insert(column));
        sqlx::query(insert).bind(vin).bind(format!("from {vin}")).execute(&pool).await.unwrap();
        let read: String = sqlx::query_scalar(transitional).bind(vin).fetch_one(&pool).await.unwrap();
        assert_eq!(read, format!("from {vin}"));
    }
    assert_eq!(counted(&database, "conflict").await, 0);
    let finish = tool(&database.url).run(&plan, &text, None).await.unwrap();
    assert_eq!(finish.state, Standing::Done);
    let read: String = sqlx::query_scalar(transitional).bind("old").fetch_one(&pool).await.unwrap();
    assert_eq!(read, "from old");
}
