//! Who waits for locks of ours, and for how long we hold them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinHandle;

use crate::common::cpu::now;
use crate::common::database::Database;

/// Between two looks. A wait is seen up to this much shorter than it was.
const EVERY: Duration = Duration::from_millis(15);

/// The longest that any session which is not ours has waited up to now, in milliseconds, for a lock that a session of ours
/// holds, or wants and stands before it in the queue.
const WAITS: &str = "\
    SELECT COALESCE(max(extract(epoch FROM clock_timestamp() - l.waitstart) * 1000), 0)::float8 \
    FROM pg_locks AS l JOIN pg_stat_activity AS waiter ON waiter.pid = l.pid \
    WHERE NOT l.granted AND l.waitstart IS NOT NULL AND waiter.application_name NOT LIKE 'crossfade%' \
      AND EXISTS (SELECT FROM unnest(pg_blocking_pids(l.pid)) AS b (pid) JOIN pg_stat_activity AS blocker ON blocker.pid = b.pid \
                  WHERE blocker.application_name LIKE 'crossfade%')";

/// Looks at waits until it is stopped.
#[derive(Debug)]
pub(crate) struct Watch {
    waits: Arc<Mutex<Vec<(f64, f64)>>>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Begins.
    pub(crate) async fn start(database: &Database) -> Result<Self> {
        let mut session = database.session().await?;
        let waits = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&waits);
        let task = tokio::spawn(async move {
            while let Ok(found) = session.numbers(WAITS).await {
                into.lock().unwrap_or_else(PoisonError::into_inner).push((now(), found[0]));
                tokio::time::sleep(EVERY).await;
            }
        });
        Ok(Self { waits, task })
    }

    /// Ends. Returns what was seen: when, and the longest wait at that time in milliseconds.
    pub(crate) fn stop(self) -> Vec<(f64, f64)> {
        self.task.abort();
        self.waits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Returns for each transaction of the backfill that the server's log tells of, from `offset` on, when it ended and how
/// many milliseconds after the message that began it. It locked rows for no longer than that.
///
/// The sessions log every statement with its duration, and the message that begins a batch is one statement.
pub(crate) fn batches(log: &Path, offset: u64) -> Result<Vec<(f64, f64)>> {
    let mut file = File::open(log)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut open: BTreeMap<String, f64> = BTreeMap::new();
    let mut held = Vec::new();
    for line in BufReader::new(file).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        let mut parts = line.splitn(4, '|');
        let (Some(time), Some(pid), Some("crossfade backfill"), Some(text)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let Ok(time) = time.parse::<f64>() else { continue };
        let Some((duration, statement)) =
            text.split_once("duration: ").and_then(|(_, rest)| rest.split_once(" ms  statement: "))
        else {
            continue;
        };
        if statement.starts_with("BEGIN") && statement.contains("UPDATE \"public\".\"vehicles\"") {
            open.insert(pid.to_owned(), time - duration.parse::<f64>().unwrap_or_default() / 1000.0);
        } else if let ("COMMIT" | "ROLLBACK", Some(begin)) = (statement.trim(), open.get(pid).copied()) {
            open.remove(pid);
            held.push((time, (time - begin) * 1000.0));
        }
    }
    Ok(held)
}
