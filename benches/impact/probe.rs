//! A small transaction that is timed 20 times a second: what the goal of the adaptive mode is set by.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinHandle;

use crate::common::args::Rows;
use crate::common::cpu::now;
use crate::common::database::Database;

/// Between two probes.
const EVERY: Duration = Duration::from_millis(50);

/// Times the transaction until it is stopped.
#[derive(Debug)]
pub(crate) struct Probe {
    latencies: Arc<Mutex<Vec<(f64, f64)>>>,
    task: JoinHandle<()>,
}

impl Probe {
    /// Begins. One row of the table is read and one of another written, as crossfade's own probe does.
    pub(crate) async fn start(database: &Database, rows: Rows) -> Result<Self> {
        database.execute("CREATE TABLE probe (n bigint); INSERT INTO probe VALUES (0)").await?;
        let mut session = database.session().await?;
        let latencies = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&latencies);
        // random() is volatile: outside a sub-select it would be asked for every row of the table.
        let statement = format!(
            "BEGIN; SELECT odometer FROM vehicles WHERE id = (SELECT (1 + random() * {})::bigint); \
             UPDATE probe SET n = n + 1; COMMIT",
            rows.0 - 1
        );
        let task = tokio::spawn(async move {
            loop {
                let begin = Instant::now();
                if session.execute(&statement).await.is_err() {
                    break;
                }
                let took = begin.elapsed().as_secs_f64() * 1000.0;
                into.lock().unwrap_or_else(PoisonError::into_inner).push((now(), took));
                tokio::time::sleep(EVERY).await;
            }
        });
        Ok(Self { latencies, task })
    }

    /// Ends. Returns when each probe ended and its milliseconds.
    pub(crate) fn stop(self) -> Vec<(f64, f64)> {
        self.task.abort();
        self.latencies.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
