//! The pace of the backfill, and what makes it slow down or hold.

use std::time::Duration;

use super::{Validator, Zero};
use crate::plan::diagnostic::Code;
use crate::plan::file::{PlanFile, ProbeFile, ThrottleFile};
use crate::plan::{Backfill, Bytes, Probe, Throttle};

/// A replica that is further behind serves data that people notice, and takes minutes to take over.
const REPLICA_LAG: Duration = Duration::from_secs(10);
/// What a person notices; half of what a batch may hold a row for.
const LOCK_WAIT: Duration = Duration::from_millis(100);
/// No reader that is alive is so far behind, and most disks have room for it.
const SLOT_RETAINED_WAL: Bytes = Bytes(10 << 30);
/// 1 GB of segments of the usual size: an archiver that works has a few.
const WAL_ARCHIVE_BACKLOG: u32 = 64;
/// The highest number of segments, or of sessions, that means anything.
const MOST: u32 = 1_000_000;

impl Validator<'_> {
    pub(super) fn backfill(&mut self, file: &PlanFile) -> Backfill {
        let file = file.backfill.as_ref();
        let target = file.and_then(|file| file.batch_target.as_deref());
        let goal = file.and_then(|file| file.goal_latency.as_deref());
        let goal_latency = goal
            .filter(|text| *text != "off")
            .map(|text| self.duration("/backfill/goal_latency", Some(text), Duration::from_millis(5), Zero::MeansOff));
        let latency_probe = file.and_then(|file| file.latency_probe.as_deref());
        if latency_probe.is_some() {
            self.sql_text("/backfill/latency_probe", "latency_probe", latency_probe);
        }
        let default = Backfill::default();
        Backfill {
            batch_target: self.duration("/backfill/batch_target", target, default.batch_target, Zero::Refused),
            max_rows_per_second: file.and_then(|file| file.max_rows_per_second),
            workers: file.and_then(|file| file.workers).unwrap_or(default.workers),
            long_transactions: file.and_then(|file| file.long_transactions).unwrap_or_default(),
            triggers: file.and_then(|file| file.triggers).unwrap_or_default(),
            wal_compression: file.and_then(|file| file.wal_compression),
            goal_latency,
            latency_probe: latency_probe.map(str::to_owned),
        }
    }

    pub(super) fn throttle(&mut self, file: &PlanFile) -> Throttle {
        let file = file.throttle.as_ref();
        let text = |get: fn(&ThrottleFile) -> &Option<String>| file.and_then(|file| get(file).as_deref());
        Throttle {
            replica_lag: self.time_limit("replica_lag", text(|file| &file.replica_lag), REPLICA_LAG),
            lock_wait: self.time_limit("lock_wait", text(|file| &file.lock_wait), LOCK_WAIT),
            slot_retained_wal: self.data_limit(
                "slot_retained_wal",
                text(|file| &file.slot_retained_wal),
                Some(SLOT_RETAINED_WAL),
            ),
            wal_archive_backlog: self.count_limit(
                "wal_archive_backlog",
                text(|file| &file.wal_archive_backlog),
                Some(WAL_ARCHIVE_BACKLOG),
            ),
            active_sessions: self.count_limit("active_sessions", text(|file| &file.active_sessions), None),
            wal_rate: self.data_limit("wal_rate", text(|file| &file.wal_rate), None),
            probe: file.and_then(|file| file.probe.as_ref()).and_then(|probe| self.probe(probe)),
        }
    }

    fn time_limit(&mut self, key: &str, text: Option<&str>, default: Duration) -> Option<Duration> {
        match text {
            Some("off") => None,
            text => Some(self.duration(&format!("/throttle/{key}"), text, default, Zero::MeansOff)),
        }
    }

    fn data_limit(&mut self, key: &str, text: Option<&str>, default: Option<Bytes>) -> Option<Bytes> {
        let Some(text) = text else { return default };
        if text == "off" {
            return None;
        }
        let at = format!("/throttle/{key}");
        match text.parse::<Bytes>() {
            Ok(Bytes(0)) => self.means_off(&at, text),
            Ok(bytes) => return Some(bytes),
            Err(error) => {
                let message = format!("`{text}` is not an amount of data");
                self.report(Code::BadSize, self.places.value(&at), message, error.to_string());
            }
        }
        default
    }

    fn count_limit(&mut self, key: &str, text: Option<&str>, default: Option<u32>) -> Option<u32> {
        let Some(text) = text else { return default };
        let at = format!("/throttle/{key}");
        match text.parse::<u32>() {
            _ if text == "off" => return None,
            Ok(0) => self.means_off(&at, text),
            Ok(count) if count <= MOST => return Some(count),
            Ok(_) => {
                let message = format!("{text} is out of range for `{key}`");
                self.report(Code::OutOfRange, self.places.value(&at), message, format!("expected {MOST} or less"));
            }
            Err(_) => {
                let message = format!("`{key}`: expected a whole number or `off`, found `{text}`");
                let help = "write a whole number, or `off` to switch this signal off";
                self.report(Code::WrongType, self.places.value(&at), message, help);
            }
        }
        default
    }

    fn means_off(&mut self, at: &str, text: &str) {
        let message = format!("`{text}` is out of range");
        self.report(Code::OutOfRange, self.places.value(at), message, "write `off` to switch this signal off");
    }

    fn probe(&mut self, file: &ProbeFile) -> Option<Probe> {
        self.sql_text("/throttle/probe/sql", "sql", file.sql.as_deref());
        Some(Probe { sql: file.sql.clone()?, limit: file.limit? })
    }
}
