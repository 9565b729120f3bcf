//! Clients that write all the time, and none of whose statements may fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;

use super::wait::{PATIENCE, wait_for};

/// Between two statements of a client.
const PAUSE: Duration = Duration::from_millis(2);

/// Clients at work.
pub(crate) struct Writers {
    statements: Arc<RwLock<Vec<String>>>,
    done: Arc<AtomicU64>,
    over: CancellationToken,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Writers {
    /// Starts clients that run `statements` in turns; `{n}` is a number that grows.
    pub(crate) fn start(url: &str, clients: u64, statements: &[&str]) -> Self {
        let of = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let statements = Arc::new(RwLock::new(of(statements)));
        let (done, over) = (Arc::new(AtomicU64::new(0)), CancellationToken::new());
        let client = |number| {
            tokio::spawn(client((url.to_owned(), number), Arc::clone(&statements), Arc::clone(&done), over.clone()))
        };
        let tasks = (0..clients).map(client).collect();
        Self { statements, done, over, tasks }
    }

    /// Has them run these statements from now on: none of the others is under way any more.
    pub(crate) async fn change(&self, statements: &[&str]) {
        *self.statements.write().await = statements.iter().map(ToString::to_string).collect();
    }

    /// Waits until they have done so much more.
    pub(crate) async fn more(&self, count: u64) {
        let goal = self.done.load(Ordering::Relaxed) + count;
        let reached = async || {
            let failed = self.tasks.iter().any(tokio::task::JoinHandle::is_finished);
            failed || self.done.load(Ordering::Relaxed) >= goal
        };
        wait_for("writers", PATIENCE, reached).await;
    }

    /// Ends them.
    ///
    /// # Panics
    /// When a statement failed.
    pub(crate) async fn stop(self) {
        self.over.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

async fn client(
    (url, number): (String, u64),
    statements: Arc<RwLock<Vec<String>>>,
    done: Arc<AtomicU64>,
    over: CancellationToken,
) {
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let mut n = number * 1_000_000;
    while !over.is_cancelled() {
        n += 1;
        let at_work = statements.read().await;
        let Some(statement) = at_work.get(usize::try_from(n).unwrap() % at_work.len().max(1)) else {
            drop(at_work);
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let statement = statement.replace("{n}", &n.to_string());
        let ended = sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut connection).await;
        ended.unwrap_or_else(|error| panic!("{statement}: {error}"));
        done.fetch_add(1, Ordering::Relaxed);
        drop(at_work);
        tokio::time::sleep(PAUSE).await;
    }
}
