//! The calibration: reads pages spread over the table, and measures the time.

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sqlx::{PgConnection, Row as _};

use super::model::COPY_TIME;
use crate::ident::TableName;
use crate::pg::{self, ErrorClass, Owner};
use crate::run::Machine;

/// The calibration takes no longer than this.
const BUDGET: Duration = Duration::from_secs(1);
/// Places of the table that are looked at.
const PLACES: u32 = 8;
/// Pages at each of them.
const PAGES: u32 = 64;
/// What a server has time for besides is seen only by reading for longer than the scheduler's favours to a process that
/// just woke up.
const STEADY: Duration = Duration::from_millis(250);
/// Values larger than this are not kept in the row.
const TOASTED: i64 = 2000;
/// Bytes of what the row has instead.
const TOAST_POINTER: i64 = 18;
/// A row whose conversion runs in an exception block of its own takes this many microseconds.
const TOTAL_VALUE_US: f64 = 1.5;

/// What the calibration saw.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Sample {
    pub(super) machine: Machine,
    /// Rows a page; `None` where nothing was read.
    pub(super) rows_per_page: Option<f64>,
    /// Whether every page was read.
    pub(super) whole: bool,
    /// Of each new value; empty where they could not be computed.
    pub(super) values: Vec<Value>,
}

/// A new column's values.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Value {
    /// Bytes in the row of those that are not NULL, on average.
    pub(super) width: f64,
    pub(super) null_share: f64,
    /// Bytes in the TOAST table, a row.
    pub(super) toast_bytes: f64,
}

/// Sums over the places that were read.
#[derive(Default)]
struct Sums {
    pages: i64,
    rows: i64,
    /// Seconds of the first read, of the second, and of the read with values.
    first: f64,
    second: f64,
    with_values: f64,
    /// Values that are not NULL, their bytes in the row, and outside of it.
    values: Vec<[i64; 3]>,
    values_fail: bool,
    /// Microseconds a row that computing the values took at the least, where it was cut off.
    values_slow: Option<f64>,
    /// Rows of the long read, and its seconds.
    steady: Option<(i64, f64)>,
}

/// Reads up to 512 pages three times: for the time to get them into memory, the time to read them there, and the time to
/// compute the new `values` (SQL over the row `t`). Takes ACCESS SHARE, in READ ONLY transactions of one second in all, and
/// stops if it cannot get the lock.
///
/// # Errors
/// Only when the connection is gone: what cannot be measured is left at what is known of another machine.
pub(super) async fn calibrate(
    connection: &mut PgConnection,
    owner: &Owner,
    (table, oid): (&TableName, i64),
    pages: u32,
    values: &[String],
) -> Result<Sample, sqlx::Error> {
    let began = Instant::now();
    let mut sums = Sums { values: vec![[0; 3]; values.len()], ..Sums::default() };
    let table = table.sql();
    let asked = Instant::now();
    pg::batch(connection, "SELECT 1").await?;
    let round_trip_ms = asked.elapsed().as_secs_f64() * 1000.0;
    for (from, to) in places(pages) {
        let left = BUDGET.saturating_sub(began.elapsed());
        if left < Duration::from_millis(20) {
            break;
        }
        let read = async |tx: &mut PgConnection| place(tx, owner, &table, (from, to), values, &mut sums).await;
        match read_only(connection, (&table, oid), left, read).await {
            Ok(()) => {}
            Err(error) if error.as_database_error().is_some() => {
                tracing::debug!(%error, "calibrate");
                break;
            }
            Err(error) => return Err(error),
        }
    }
    let left = BUDGET.saturating_sub(began.elapsed());
    // A small table is filled at once, whatever else the server does.
    if sums.pages >= i64::from(PLACES * PAGES) && left > STEADY {
        let range = (pages / 2, pages / 2 + PAGES);
        let read = async |tx: &mut PgConnection| steady(tx, owner, &table, range, &sums).await;
        match read_only(connection, (&table, oid), left, read).await {
            Ok(read) => sums.steady = read,
            Err(error) if error.as_database_error().is_some() => tracing::debug!(%error, "calibrate"),
            Err(error) => return Err(error),
        }
    }
    Ok(sums.sample(pages, values.len(), round_trip_ms))
}

/// Returns ranges of pages, spread over the table.
fn places(pages: u32) -> Vec<(u32, u32)> {
    let size = pages.div_ceil(PLACES).clamp(1, PAGES);
    let start = |n: u32| u32::try_from(u64::from(pages) * u64::from(n) / u64::from(PLACES)).unwrap_or(u32::MAX);
    let mut places: Vec<_> = (0..PLACES).map(|n| (start(n), start(n).saturating_add(size).min(start(n + 1)))).collect();
    places.retain(|(from, to)| from < to);
    places
}

async fn place(
    connection: &mut PgConnection,
    owner: &Owner,
    table: &str,
    (from, to): (u32, u32),
    values: &[String],
    sums: &mut Sums,
) -> Result<(), sqlx::Error> {
    // `clock_timestamp()` is read when the aggregate is there. `statement_timestamp()` is when the server was asked to
    // execute, so neither the network nor the planner is in the difference.
    let source = format!(
        "FROM {table} AS t WHERE t.ctid >= '({from},0)'::pg_catalog.tid AND t.ctid < '({to},0)'::pg_catalog.tid"
    );
    let seconds =
        "EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - pg_catalog.statement_timestamp())::pg_catalog.float8";
    let read = format!("SELECT pg_catalog.count(*) AS rows, {seconds} AS seconds {source}");
    // The planner evaluates what it can of the predicates of indexes, which are the owner's.
    let read = owner.ask(&row(&read));
    let first: Read = one(connection, &read).await?;
    let second: Read = one(connection, &read).await?;
    sums.pages += i64::from(to - from);
    sums.rows += second.rows;
    sums.first += first.seconds;
    sums.second += second.seconds;
    if sums.values_fail || values.is_empty() {
        return Ok(());
    }
    let columns: Vec<_> = values.iter().enumerate().map(|(n, value)| format!("{value} AS v{n}")).collect();
    let sizes: Vec<_> = (0..values.len()).map(|n| format!("pg_catalog.pg_column_size(v{n})::bigint AS s{n}")).collect();
    let sum = |what: String| format!("COALESCE(pg_catalog.sum({what}), 0)::bigint");
    let counts: Vec<_> = (0..values.len())
        .map(|n| {
            let inline = sum(format!("CASE WHEN s{n} > {TOASTED} THEN {TOAST_POINTER} ELSE s{n} END"));
            let outside = sum(format!("CASE WHEN s{n} > {TOASTED} THEN s{n} END"));
            format!("pg_catalog.json_build_array(pg_catalog.count(s{n}), {inline}, {outside})")
        })
        .collect();
    // OFFSET keeps each value from being computed more than once.
    let computed = format!(
        "SELECT {seconds} AS seconds, pg_catalog.json_build_array({}) AS values FROM (SELECT {} FROM (SELECT {} {source} OFFSET 0) AS a OFFSET 0) AS b",
        counts.join(", "),
        sizes.join(", "),
        columns.join(", ")
    );
    let began = Instant::now();
    match one::<Computed>(connection, &owner.ask(&row(&computed))).await {
        Ok(computed) => {
            sums.with_values += computed.seconds;
            for (value, parts) in sums.values.iter_mut().zip(computed.values) {
                value.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
            }
            Ok(())
        }
        // It took longer than there was time: at least as long as that.
        Err(error) if pg::class_of(&error) == ErrorClass::Contention => {
            let rows = second.rows.max(1);
            sums.values_slow = Some(began.elapsed().as_secs_f64() * 1e6 / float(rows));
            sums.values_fail = true;
            Ok(())
        }
        // A value does not convert; the transaction is rolled back by the caller.
        Err(error) if error.as_database_error().is_some() => {
            sums.values_fail = true;
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Reads one place again and again in one statement. Returns rows and seconds.
async fn steady(
    connection: &mut PgConnection,
    owner: &Owner,
    table: &str,
    (from, to): (u32, u32),
    sums: &Sums,
) -> Result<Option<(i64, f64)>, sqlx::Error> {
    let second = sums.second / float(sums.pages.max(1)) * f64::from(to - from);
    #[expect(clippy::cast_possible_truncation, reason = "saturates")]
    let times = (STEADY.as_secs_f64() / second.max(1e-6)).clamp(1.0, 100_000.0) as i64;
    // The range names the round, so that it is read in each of them.
    let read = format!(
        "SELECT COALESCE(pg_catalog.sum(again.rows), 0)::bigint AS rows, \
           EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - pg_catalog.statement_timestamp())::pg_catalog.float8 AS seconds \
         FROM pg_catalog.generate_series(1, {times}) AS g(n) CROSS JOIN LATERAL (SELECT pg_catalog.count(*) AS rows \
           FROM {table} AS t WHERE t.ctid >= ('(' || {from} + 0 * g.n || ',0)')::pg_catalog.tid \
             AND t.ctid < '({to},0)'::pg_catalog.tid OFFSET 0) AS again"
    );
    let Read { rows, seconds } = one(connection, &owner.ask(&row(&read))).await?;
    Ok((rows > 0).then_some((rows, seconds)))
}

/// Runs `read` in a READ ONLY transaction whose statements take no longer than `left`, while the table's name stands for the
/// table that was inspected, and not for a view with somebody's functions in it.
async fn read_only<T>(
    connection: &mut PgConnection,
    (table, oid): (&str, i64),
    left: Duration,
    read: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
) -> Result<T, sqlx::Error> {
    let limits = pg::Limits { lock: left.min(Duration::from_millis(200)), statement: left, durable: true };
    pg::rolled_back(connection, limits, async |tx| {
        let same = pg::unless_replaced(table, oid);
        pg::batch(tx, &format!("SET TRANSACTION READ ONLY; SET LOCAL max_parallel_workers_per_gather = 0; {same}"))
            .await?;
        read(tx).await
    })
    .await
}

#[derive(Deserialize)]
struct Read {
    rows: i64,
    seconds: f64,
}

#[derive(Deserialize)]
struct Computed {
    seconds: f64,
    values: Vec<[i64; 3]>,
}

/// Returns the query that answers with the one row of `sql` as JSON.
fn row(sql: &str) -> String {
    format!("SELECT pg_catalog.row_to_json(asked)::pg_catalog.text FROM ({sql}) AS asked")
}

async fn one<T: DeserializeOwned>(connection: &mut PgConnection, sql: &str) -> Result<T, sqlx::Error> {
    let rows = pg::fetch(connection, sql).await?;
    let text: String = rows.first().ok_or(sqlx::Error::RowNotFound)?.try_get(0)?;
    serde_json::from_str(&text).map_err(|error| sqlx::Error::Decode(error.into()))
}

impl Sums {
    fn sample(self, pages: u32, columns: usize, round_trip_ms: f64) -> Sample {
        if self.rows == 0 || self.second <= 0.0 {
            return Sample { machine: Machine { round_trip_ms, ..Machine::default() }, ..Sample::default() };
        }
        let (rows, read) = (float(self.rows), float(self.pages));
        let rows_per_page = rows / read;
        let slowness = self.second * 1e6 / rows / Machine::reference_read_us(rows_per_page);
        // How much longer it takes with everybody else at work.
        let busy = self.steady.map_or(1.0, |(steady_rows, seconds)| {
            (seconds / float(steady_rows) / (self.second / rows)).clamp(1.0, 20.0)
        });
        let value_us = if let Some(slow) = self.values_slow {
            slow
        } else if self.values_fail {
            TOTAL_VALUE_US * slowness * float(i64::try_from(columns).unwrap_or(1))
        } else {
            let copies = COPY_TIME * slowness * float(i64::try_from(columns).unwrap_or(1));
            ((self.with_values - self.second) * 1e6 / rows - copies).max(0.0)
        };
        let (slowness, value_us) = ((slowness * busy).clamp(0.2, 50.0), value_us * busy);
        let value = |[count, inline, outside]: &[i64; 3]| Value {
            width: if *count > 0 { float(*inline) / float(*count) } else { 0.0 },
            null_share: 1.0 - float(*count) / rows,
            toast_bytes: float(*outside) / rows,
        };
        Sample {
            machine: Machine {
                measured: true,
                sample_pages: self.pages,
                sample_rows: self.rows,
                slowness,
                fetch_page_us: (self.first - self.second).max(0.0) * 1e6 / read,
                value_us,
                round_trip_ms,
            },
            rows_per_page: Some(rows_per_page),
            whole: self.pages >= i64::from(pages),
            values: if self.values_fail { vec![] } else { self.values.iter().map(value).collect() },
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn float(count: i64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_spread_over_the_table_and_do_not_overlap() {
        assert_eq!(places(0), vec![]);
        assert_eq!(places(1), vec![(0, 1)]);
        assert_eq!(places(3).iter().map(|(from, to)| to - from).sum::<u32>(), 3);
        assert_eq!(places(512).iter().map(|(from, to)| to - from).sum::<u32>(), 512);
        let large = places(1_000_000);
        assert_eq!((large.len(), large[0], large[7]), (8, (0, 64), (875_000, 875_064)));
        for pages in [2, 7, 9, 100, 511, 513, 4_000_000_000] {
            let places = places(pages);
            assert!(places.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{places:?}");
            assert!(places.iter().all(|(_, to)| *to <= pages));
        }
    }

    #[test]
    fn the_machine_that_was_measured_is_not_slow() {
        let reference = Machine::reference_read_us(70.0) * 70.0 * 512.0 / 1e6;
        let sums = |factor: f64| Sums {
            pages: 512,
            rows: 512 * 70,
            first: reference * factor + 0.512,
            second: reference * factor,
            with_values: reference * factor + 0.003_584 + 512.0 * 70.0 * COPY_TIME * factor / 1e6,
            values: vec![[512 * 70, 512 * 70 * 9, 0]],
            values_slow: None,
            values_fail: false,
            steady: None,
        };
        let machine = sums(1.0).sample(5120, 1, 0.2).machine;
        assert!((machine.slowness - 1.0).abs() < 0.001, "{machine:?}");
        assert!((machine.fetch_page_us - 1000.0).abs() < 1.0, "{machine:?}");
        assert!((machine.value_us - 0.1).abs() < 0.001, "{machine:?}");
        assert!((sums(3.0).sample(5120, 1, 0.2).machine.slowness - 3.0).abs() < 0.001);
        // Others take two thirds of the processor.
        let rows = 10_000_000;
        let steady = Some((rows, 3.0 * Machine::reference_read_us(70.0) * float(rows) / 1e6));
        let busy = Sums { steady, ..sums(1.0) }.sample(5120, 1, 0.2).machine;
        assert!((busy.slowness - 3.0).abs() < 0.001 && (busy.value_us - 0.3).abs() < 0.001, "{busy:?}");
        let sample = sums(1.0).sample(512, 1, 0.2);
        assert_eq!(sample.values, vec![Value { width: 9.0, null_share: 0.0, toast_bytes: 0.0 }]);
        assert!(sample.whole);
    }
}
