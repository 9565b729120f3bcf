//! Reads the signals, on a connection of its own.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use sqlx::{PgConnection, Row};

use super::decide::Value;
use super::lag::LagTracker;
use super::{Seen, Signal};
use crate::event::{Event, EventSink};
use crate::ident::TableName;
use crate::latest::Latest;
use crate::pg::{self, Connector, ErrorClass};

/// The interval for signals that change quickly.
const QUICK: Duration = Duration::from_millis(100);
/// The interval for signals that change slowly.
const SLOW: Duration = Duration::from_secs(1);
/// The longest between two looks at the archive, whose listing can take its time: with the time until the next slow look and
/// that of the listing it is less than what makes a signal stale.
const SLOWEST: Duration = Duration::from_millis(1500);
/// Readings over which the number of sessions is averaged: one second.
const AVERAGED: usize = 10;
/// The share of `max_slot_wal_keep_size` that counts as a limit: beyond all of it the slot, and with it its reader, is lost.
const SLOT_SHARE: f64 = 0.8;
/// What is looked at quickly, and what slowly.
const QUICKLY: [Signal; 2] = [Signal::LockWait, Signal::ActiveSessions];
const SLOWLY: [Signal; 5] =
    [Signal::ReplicaLag, Signal::Wraparound, Signal::SlotRetainedWal, Signal::WalRate, Signal::WalArchiveBacklog];

/// Reads the signals that are wanted and publishes them; reconnects as often as necessary, and never returns. A signal that
/// cannot be read is left to grow old: what that means is decided elsewhere.
pub(crate) async fn sample(
    connector: Connector,
    sink: EventSink,
    seen: Latest<Seen>,
    tables: Latest<Vec<(TableName, i64)>>,
) {
    let mut sampler = Sampler {
        sink,
        seen,
        tables,
        lag: LagTracker::default(),
        sessions: VecDeque::new(),
        wal: None,
        archive_due: Instant::now(),
        told: BTreeSet::new(),
    };
    loop {
        match connector.connect("throttle").await {
            Ok(mut connection) => {
                let error = sampler.run(&mut connection).await;
                tracing::debug!(%error, "throttle connection");
            }
            Err(error) => tracing::debug!(%error, "throttle connection"),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

struct Sampler {
    sink: EventSink,
    seen: Latest<Seen>,
    /// Those that are being filled.
    tables: Latest<Vec<(TableName, i64)>>,
    lag: LagTracker,
    /// The latest numbers of sessions.
    sessions: VecDeque<f64>,
    /// The WAL position, and when it was read.
    wal: Option<(f64, Instant)>,
    archive_due: Instant,
    /// The warnings that people have been given.
    told: BTreeSet<String>,
}

/// A value, and the server's own limit for it.
type Found = (Value, Option<f64>);

impl Sampler {
    /// Runs until the connection fails.
    async fn run(&mut self, connection: &mut PgConnection) -> sqlx::Error {
        // Whatever hangs must not hide the other signals for long.
        if let Err(error) = pg::batch(connection, "SET statement_timeout = '2s'; SET lock_timeout = '1s'").await {
            return error;
        }
        let mut slow_due = Instant::now();
        let mut tick = tokio::time::interval(QUICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if slow_due <= Instant::now() {
                slow_due = Instant::now() + SLOW;
                for signal in SLOWLY {
                    if let Err(error) = self.look(connection, signal).await {
                        return error;
                    }
                }
            }
            for signal in QUICKLY {
                if let Err(error) = self.look(connection, signal).await {
                    return error;
                }
            }
        }
    }

    /// Reads one signal, if it is wanted. Only the loss of the connection is an error.
    async fn look(&mut self, connection: &mut PgConnection, signal: Signal) -> Result<(), sqlx::Error> {
        if !self.seen.get().wants(signal) {
            return Ok(());
        }
        let found = match signal {
            Signal::LockWait => lock_wait(connection).await.map(Some),
            Signal::ActiveSessions => self.active_sessions(connection).await.map(Some),
            Signal::ReplicaLag => self.replica_lag(connection).await.map(Some),
            Signal::SlotRetainedWal => slot_retained_wal(connection).await.map(Some),
            Signal::Wraparound => wraparound(connection, &self.tables.get()).await.map(Some),
            Signal::WalRate => self.wal_rate(connection).await,
            Signal::WalArchiveBacklog => self.archive_backlog(connection).await,
            Signal::Probe | Signal::GoalLatency => Ok(None),
        };
        match found {
            Ok(Some((value, server_limit))) => {
                if value == Value::Off && signal != Signal::WalArchiveBacklog {
                    self.tell_off(signal);
                }
                self.seen.change(|seen| seen.set(signal, value, server_limit));
            }
            Ok(None) => {}
            Err(error) if pg::class_of(&error) == ErrorClass::Connection => return Err(error),
            Err(error) if pg::sqlstate(&error).as_deref() == Some("42501") => {
                self.tell_off(signal);
                self.seen.change(|seen| seen.set(signal, Value::Off, None));
            }
            Err(error) => self.tell(format!("{} cannot be read: {}", signal.name(), pg::describe(&error))),
        }
        Ok(())
    }

    fn tell_off(&mut self, signal: Signal) {
        let what = match signal {
            Signal::ReplicaLag => "the lag of replicas",
            Signal::WalArchiveBacklog => "the archive's backlog",
            Signal::Wraparound => "an autovacuum to prevent wraparound",
            Signal::ActiveSessions => "other roles' sessions",
            signal => signal.name(),
        };
        self.tell(format!("{what} cannot be read (the role lacks pg_monitor): the backfill does not hold for it"));
    }

    fn tell(&mut self, message: String) {
        if self.told.insert(message.clone()) {
            (self.sink)(Event::Warning { message });
        }
    }

    async fn active_sessions(&mut self, connection: &mut PgConnection) -> Result<Found, sqlx::Error> {
        let row = pg::query(include_str!("sessions.sql")).fetch_one(connection).await?;
        let (count, visible): (i64, bool) = (row.try_get("count")?, row.try_get("visible")?);
        if !visible {
            return Ok((Value::Off, None));
        }
        if self.sessions.len() == AVERAGED {
            self.sessions.pop_front();
        }
        self.sessions.push_back(f64::from(i32::try_from(count).unwrap_or(i32::MAX)));
        let number = f64::from(u32::try_from(self.sessions.len()).unwrap_or(1));
        Ok((Value::Known(self.sessions.iter().sum::<f64>() / number), None))
    }

    async fn replica_lag(&mut self, connection: &mut PgConnection) -> Result<Found, sqlx::Error> {
        let rows = pg::query(include_str!("replicas.sql")).fetch_all(connection).await?;
        let now = Instant::now();
        let mut worst = 0.0_f64;
        for row in rows {
            self.lag.wrote(row.try_get("wrote")?, now);
            let (replica, hidden): (bool, bool) = (row.try_get("is_replica")?, row.try_get("hidden")?);
            if !replica {
                continue;
            }
            if hidden {
                return Ok((Value::Off, None));
            }
            let (replayed, reported): (Option<i64>, Option<f64>) = (row.try_get("replayed")?, row.try_get("reported")?);
            worst = worst.max(self.lag.behind(replayed.unwrap_or(0), reported, now).as_secs_f64());
        }
        Ok((Value::Known(worst), None))
    }

    /// Returns nothing at the first look: a rate needs two.
    async fn wal_rate(&mut self, connection: &mut PgConnection) -> Result<Option<Found>, sqlx::Error> {
        let select = "SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), '0/0')::float8";
        let position: f64 = pg::query_scalar(select).fetch_one(connection).await?;
        let now = Instant::now();
        let rate = self.wal.map(|(before, at)| (position - before) / now.duration_since(at).as_secs_f64().max(0.001));
        self.wal = Some((position, now));
        Ok(rate.map(|rate| (Value::Known(rate.max(0.0)), None)))
    }

    /// Returns nothing when it is not time to list the archive again.
    async fn archive_backlog(&mut self, connection: &mut PgConnection) -> Result<Option<Found>, sqlx::Error> {
        let began = Instant::now();
        if began < self.archive_due {
            return Ok(None);
        }
        let mode = "SELECT pg_catalog.current_setting('archive_mode') <> 'off'";
        if !pg::query_scalar::<bool>(mode).fetch_one(&mut *connection).await? {
            return Ok(Some((Value::Off, None)));
        }
        let select = "SELECT pg_catalog.count(*)::float8 FROM pg_catalog.pg_ls_archive_statusdir() AS f WHERE f.name LIKE '%.ready'";
        let segments: f64 = pg::query_scalar(select).fetch_one(connection).await?;
        // A directory with a hundred thousand files is not listed every second.
        self.archive_due = Instant::now() + (began.elapsed() * 10).min(SLOWEST);
        Ok(Some((Value::Known(segments), None)))
    }
}

async fn lock_wait(connection: &mut PgConnection) -> Result<Found, sqlx::Error> {
    let seconds = pg::query_scalar(include_str!("locks.sql")).fetch_one(connection).await?;
    Ok((Value::Known(seconds), None))
}

async fn slot_retained_wal(connection: &mut PgConnection) -> Result<Found, sqlx::Error> {
    let row = pg::query(include_str!("slots.sql")).fetch_one(connection).await?;
    let (kept, most): (f64, Option<f64>) = (row.try_get("kept")?, row.try_get("most")?);
    Ok((Value::Known(kept), most.map(|most| most * SLOT_SHARE)))
}

async fn wraparound(connection: &mut PgConnection, tables: &[(TableName, i64)]) -> Result<Found, sqlx::Error> {
    let oids: Vec<_> = tables.iter().map(|(_, oid)| *oid).collect();
    let row = pg::query(include_str!("wraparound.sql")).bind(oids).fetch_one(connection).await?;
    let (seconds, visible): (f64, bool) = (row.try_get("seconds")?, row.try_get("visible")?);
    Ok((if visible { Value::Known(seconds) } else { Value::Off }, None))
}
