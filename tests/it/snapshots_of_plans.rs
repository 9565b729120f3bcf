//! The SQL of every ready plan with its locks, reviewed once and kept: a change of it is a change of what happens to
//! people's tables.

use std::fmt::Write as _;

use crossfade::testkit::fleet;
use sqlx::{Connection as _, PgConnection};

use crate::harness::{Database, missing, tool, versions};

#[tokio::test(flavor = "multi_thread")]
async fn the_sql_of_every_ready_plan_is_as_reviewed() {
    // Names of constraints differ on 18, and PostgreSQL's own spelling of expressions now and then.
    let Some(version) = versions().into_iter().find(|version| version.major == 15) else {
        return missing("PostgreSQL 15");
    };
    let database = Database::on(&version).await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    fleet::create(&mut connection).await.unwrap();
    fleet::load(&mut connection, 100).await.unwrap();
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
    let mut paths: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    for path in paths {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let plan = crossfade::plan::parse(&name, &std::fs::read_to_string(&path).unwrap()).unwrap();
        let program = tool(&database.url).preview(&plan).await.unwrap().program.unwrap();
        let mut text = String::new();
        for step in &program.steps {
            let mode = if step.transactional() { "one transaction" } else { "no transaction around it" };
            let _ = writeln!(text, "-- {}: {} ({}, {mode})", step.key, step.title, step.strongest_lock());
            for statement in step.sql() {
                let _ = writeln!(text, "{statement};");
            }
            text.push('\n');
        }
        insta::assert_snapshot!(name, text);
    }
}
