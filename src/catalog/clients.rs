//! Applications whose settings make their own statements fail beside a backfill.

use std::time::Duration;

use humantime::format_duration;
use sqlx::PgConnection;

use super::{CatalogError, Inspection, query};
use crate::plan::Plan;

const ISOLATION: &str = "default_transaction_isolation";
const LOCK_TIMEOUT: &str = "lock_timeout";
const SNAPSHOT: &str = "snapshot";
/// What helps applications whose transactions keep one snapshot.
const REPEAT: &str = "such a transaction fails with 40001 when it updates a row that the backfill has filled since it began; \
    applications at this level repeat transactions anyway, so make sure that these do";
/// A lock timeout of as many batches is safe.
const BATCHES: u32 = 4;

/// Warns of roles and databases whose sessions keep a snapshot for a whole transaction (by their settings, or now), or wait for
/// a lock for less than a batch may take.
pub(super) async fn warn(conn: &mut PgConnection, plan: &Plan, found: &mut Inspection) -> Result<(), CatalogError> {
    let query = query::fixed(include_str!("clients.sql")).bind(vec![ISOLATION.to_owned(), LOCK_TIMEOUT.to_owned()]);
    let settings: Vec<(String, String, String)> = query::read(conn, "look for settings of applications", query).await?;
    let batch = plan.backfill.batch_target;
    for (who, name, value) in settings {
        let value = value.trim_matches(['"', '\'']);
        if name == ISOLATION && matches!(value, "repeatable read" | "serializable") {
            found.warn(
                "catalog::isolation",
                format!("sessions of {who} begin transactions at {}", value.to_uppercase()),
                REPEAT,
            );
        } else if name == SNAPSHOT {
            found.warn(
                "catalog::isolation",
                format!("a session of {who} keeps one snapshot for its whole transaction, as REPEATABLE READ does"),
                REPEAT,
            );
        } else if name == LOCK_TIMEOUT
            && let Some(timeout) = milliseconds(value)
            && !timeout.is_zero()
            && timeout < batch * BATCHES
        {
            found.warn(
                "catalog::lock_timeout",
                format!(
                    "sessions of {who} wait for a lock for {} only; a batch of the backfill locks its rows for about {}",
                    format_duration(timeout),
                    format_duration(batch)
                ),
                format!(
                    "their updates of such a row can fail with 55P03: set `backfill.batch_target` to {} or less, or let them repeat",
                    format_duration(whole_milliseconds(timeout / BATCHES))
                ),
            );
        }
    }
    Ok(())
}

/// Returns a time without what is less than a millisecond, but at least one.
fn whole_milliseconds(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1))
}

/// Reads a time as PostgreSQL writes it in a setting whose unit is the millisecond.
fn milliseconds(value: &str) -> Option<Duration> {
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let (number, unit) = value.split_at(digits);
    let number: u64 = number.parse().ok()?;
    Some(match unit.trim() {
        "" | "ms" => Duration::from_millis(number),
        "us" => Duration::from_micros(number),
        "s" => Duration::from_secs(number),
        "min" => Duration::from_mins(number),
        "h" => Duration::from_hours(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_units() {
        for (text, expected) in [("10", 10), ("10ms", 10), ("2s", 2000), ("1min", 60_000)] {
            assert_eq!(milliseconds(text), Some(Duration::from_millis(expected)), "{text}");
        }
        assert_eq!(milliseconds("soon"), None);
    }
}
