//! Two releases of an application at the same time: one knows the old name, the other the new one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossfade::run::Phase;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::Place;
use crate::harness::{tool, versions};

/// The statements of round `i` of client `n`, which knows the column under this name. Rows of its own begin at a million; `note` has the value
/// that the column should have.
pub(super) type Writes = fn(n: i32, i: i32, column: &str) -> Vec<String>;

/// Returns how many statements there were, and what failed.
pub(super) async fn writer(
    url: String,
    (n, column): (i32, &'static str),
    writes: Writes,
    stop: Arc<AtomicBool>,
) -> (u32, Vec<String>) {
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("SET ROLE neighbour").execute(&mut connection).await.unwrap();
    let (mut done, mut failed) = (0, vec![]);
    for i in 0.. {
        for statement in writes(n, i, column) {
            if let Err(error) = sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut connection).await {
                failed.push(format!("{statement}: {error}"));
            }
            done += 1;
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    (done, failed)
}

/// Column `a` of table `t` becomes `b` while both releases write: no statement fails, and every row is right. The table has 400 rows.
pub(super) async fn both_releases_write(setup: &str, text: &str, writes: Writes) {
    let place = Place::new(&versions().remove(0), setup).await;
    let (plan, tool) = (crossfade::plan::parse("plan.yaml", text).unwrap(), tool(&place.database.url));
    let spawn = |n, column, stop: &Arc<AtomicBool>| {
        tokio::spawn(writer(place.database.url.clone(), (n, column), writes, stop.clone()))
    };
    let (old_release, new_release) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let old = [spawn(1, "a", &old_release), spawn(2, "a", &old_release)];
    tool.run(&plan, text, Some(Phase::Backfill)).await.unwrap();
    let new = [spawn(3, "b", &new_release), spawn(4, "b", &new_release)];
    tool.run(&plan, text, Some(Phase::Verify)).await.unwrap();
    old_release.store(true, Ordering::Relaxed);
    let mut all = vec![];
    for writer in old {
        all.push(writer.await.unwrap());
    }
    tool.tune(plan.name.as_str(), &[("quiet".to_owned(), "2s".to_owned())]).await.unwrap();
    tool.run(&plan, text, None).await.unwrap_or_else(|error| panic!("{error:?}"));
    new_release.store(true, Ordering::Relaxed);
    for writer in new {
        all.push(writer.await.unwrap());
    }
    let failed: Vec<_> = all.iter().flat_map(|(_, failed)| failed).collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert!(all.iter().all(|(done, _)| *done > 30), "{all:?}");
    let wrong = "SELECT count(*) FROM t WHERE CASE WHEN id > 1000 THEN b IS DISTINCT FROM note ELSE b IS DISTINCT FROM CASE WHEN id % 9 > 0 THEN 'x' || id END END";
    assert_eq!(place.database.scalar::<i64>(wrong).await, 0);
    assert_eq!(place.database.scalar::<i64>("SELECT count(*) FROM t WHERE id < 1000").await, 400);
}
