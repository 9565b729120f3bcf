//! The table.

use super::{Held as _, Kind, Place, Setting, Value, probe_limit, probe_query, put, set_probe_limit, set_probe_query};
use crate::plan::{LongTransactions, Triggers, WalCompression, Word};

/// The sections that hold nothing but settings, with what they are about. A section within another comes after it.
pub(in crate::plan) const SECTIONS: [(&str, &str); 6] = [
    ("backfill", "The pace at which existing rows are filled."),
    ("throttle", "What makes the backfill slow down or hold."),
    ("throttle.probe", "Your own query whose result holds the backfill. Without it, there is none."),
    ("verify", "How the old and the new column are compared."),
    ("contract", "How the old name goes, and what is dropped."),
    ("approval", "Which approvals of phases count."),
];

/// The highest number of segments, or of sessions, that means anything.
const MOST: u32 = 1_000_000;

const STOP: &[Word] = &[Word { word: "stop", about: "The run stops before the next phase and lists the rows." }];

/// Makes the two functions of a setting that is a field.
macro_rules! field {
    ($section:ident.$field:ident) => {
        (|settings| settings.$section.$field.value(), |settings, value| put(&mut settings.$section.$field, value))
    };
    ($field:ident) => {
        (|settings| settings.$field.value(), |settings, value| put(&mut settings.$field, value))
    };
}

/// Makes the table: an entry is what a [`Setting`] has, with `default`, `off` and `example` left out where there is none.
macro_rules! settings {
    (@text $($text:literal)?) => { concat!($($text)?) };
    (@word) => { None };
    (@word $word:literal) => { Some($word) };
    ($($path:literal {
        kind: $kind:expr,
        $(off: $off:literal,)?
        $(default: $default:literal,)?
        $(example: $example:literal,)?
        place: $place:ident,
        about: $about:literal,
        field: $field:expr,
    })+) => {
        /// Every setting, in the order in which plans write them.
        pub const SETTINGS: &[Setting] = &[$({
            let (get, set): (fn(&super::Settings) -> Value, fn(&mut super::Settings, &Value)) = $field;
            Setting {
                path: $path,
                kind: $kind,
                off: settings!(@word $($off)?),
                default: settings!(@text $($default)?),
                example: settings!(@text $($example)?),
                place: Place::$place,
                about: $about,
                get,
                set,
            }
        }),+];
    };
}

settings! {
    "backfill.batch_target" {
        kind: Kind::Time { zero: false },
        default: "25ms",
        place: Both,
        about: "How long the UPDATE of one batch should take; the number of rows follows from it.",
        field: field!(backfill.batch_target),
    }
    "backfill.max_rows_per_second" {
        kind: Kind::Whole { least: 1, most: 1_000_000_000 },
        off: "off",
        example: "50000",
        place: Both,
        about: "At most this many rows per second, in all processes together.",
        field: field!(backfill.max_rows_per_second),
    }
    "backfill.workers" {
        kind: Kind::Whole { least: 1, most: 64 },
        default: "1",
        place: Both,
        about: "Workers per process; a partition of up to 16 MB has one.",
        field: field!(backfill.workers),
    }
    "backfill.long_transactions" {
        kind: Kind::Words(LongTransactions::WORDS),
        default: "go_on",
        place: Both,
        about: "While a long transaction (or a slot, or a standby with feedback) keeps dead rows from being pruned, updates find no room on their pages: continue and let the table and its indexes grow more, or wait until it has ended. Either way, crossfade names the holder.",
        field: field!(backfill.long_transactions),
    }
    "backfill.triggers" {
        kind: Kind::Words(Triggers::WORDS),
        default: "fire",
        place: Plan,
        about: "Whether the table's own triggers fire for the backfill's updates. `skip` needs the privilege to set `session_replication_role`, and saves 54 bytes of WAL per row.",
        field: field!(backfill.triggers),
    }
    "backfill.wal_compression" {
        kind: Kind::Words(WalCompression::WORDS),
        place: Plan,
        about: "Compresses the page images in the backfill's WAL; with lz4 this saves a third of it for almost no CPU. Needs the privilege to set `wal_compression`, and standbys built with the same method. Without it, the server's own setting applies.",
        field: field!(backfill.wal_compression),
    }
    "backfill.goal_latency" {
        kind: Kind::Time { zero: false },
        off: "off",
        default: "off",
        example: "5ms",
        place: Both,
        about: "How long a small transaction of an application may take. The backfill measures one about 20 times a second, and slows down until nine of ten stay below.",
        field: field!(backfill.goal_latency),
    }
    "backfill.latency_probe" {
        kind: Kind::Sql,
        example: "SELECT count(*) FROM queue",
        place: Plan,
        about: "The query whose latency is measured for `goal_latency`. Without it, crossfade reads one row of the table and writes one of the ledger.",
        field: field!(backfill.latency_probe),
    }
    "indexes.exclusion_lock" {
        kind: Kind::Time { zero: false },
        example: "1min",
        place: Tune,
        about: "For how long the table may be locked while the twin of an exclusion constraint is built, in place of what the plan says in `indexes.exclusion_lock`.",
        field: field!(exclusion_lock),
    }
    "backfill.sub_passes" {
        kind: Kind::Whole { least: 1, most: 64 },
        off: "auto",
        place: Tune,
        about: "How many sub-passes a window of pages takes, instead of the number that the backfill chooses.",
        field: field!(sub_passes),
    }
    "backfill.window_pages" {
        kind: Kind::Whole { least: 1, most: 65_536 },
        off: "auto",
        place: Tune,
        about: "How many pages a window has, instead of the number that the backfill chooses.",
        field: field!(window_pages),
    }
    "throttle.replica_lag" {
        kind: Kind::Time { zero: false },
        off: "off",
        default: "10s",
        place: Both,
        about: "Holds while any streaming replica is further behind. Such a replica shows old data and needs minutes to take over.",
        field: field!(throttle.replica_lag),
    }
    "throttle.lock_wait" {
        kind: Kind::Time { zero: false },
        off: "off",
        default: "100ms",
        place: Both,
        about: "Holds, then takes smaller batches, when a session has waited this long for a lock of the backfill.",
        field: field!(throttle.lock_wait),
    }
    "throttle.slot_retained_wal" {
        kind: Kind::Data,
        off: "off",
        default: "10GB",
        place: Both,
        about: "Holds while the replication slot furthest behind keeps more WAL: a slot whose reader is gone fills the disk. The limit is at most 80 % of `max_slot_wal_keep_size`, beyond which the server drops the slot's WAL.",
        field: field!(throttle.slot_retained_wal),
    }
    "throttle.wal_archive_backlog" {
        kind: Kind::Whole { least: 1, most: MOST },
        off: "off",
        default: "64",
        place: Both,
        about: "Holds while more WAL segments wait to be archived: 64 are 1 GB, and a working archiver has a few. Needs `archive_mode`.",
        field: field!(throttle.wal_archive_backlog),
    }
    "throttle.active_sessions" {
        kind: Kind::Whole { least: 1, most: MOST },
        off: "off",
        default: "off",
        example: "16",
        place: Both,
        about: "Holds while more sessions other than crossfade's are active, averaged over a second. How many are too many depends on the machine.",
        field: field!(throttle.active_sessions),
    }
    "throttle.wal_rate" {
        kind: Kind::Data,
        off: "off",
        default: "off",
        example: "100MB",
        place: Both,
        about: "Slows down when the whole server writes more WAL than this per second. How much is too much depends on the machine.",
        field: field!(throttle.wal_rate),
    }
    "throttle.probe.sql" {
        kind: Kind::Sql,
        example: "SELECT count(*) FROM queue WHERE state = 'waiting'",
        place: Plan,
        about: "A SELECT that returns one number. It runs once a second in a read-only transaction.",
        field: (probe_query, set_probe_query),
    }
    "throttle.probe.limit" {
        kind: Kind::Number,
        off: "off",
        example: "1000",
        place: Both,
        about: "The number above which the backfill holds. `tune` calls it `probe`.",
        field: (probe_limit, set_probe_limit),
    }
    "verify.max_age" {
        kind: Kind::Time { zero: false },
        default: "24h",
        place: Plan,
        about: "How long a clean result remains valid.",
        field: field!(verify.max_age),
    }
    "verify.on_mismatch" {
        kind: Kind::Words(STOP),
        default: "stop",
        place: Plan,
        about: "What happens to the run if a row differs.",
        field: (|_| Value::Word("stop"), |_, _| {}),
    }
    "contract.grace" {
        kind: Kind::Time { zero: true },
        default: "7d",
        place: Both,
        about: "How long the retired column (of a rename: the mirror) is kept, still in sync, before it is dropped.",
        field: field!(contract.grace),
    }
    "contract.quiet" {
        kind: Kind::Time { zero: true },
        default: "1min",
        example: "1h",
        place: Both,
        about: "How long the old column must not have been written, and nobody may have been seen to use it, before it is retired. Where a plan is silent and its schedule gives phase `switch` a `soak`, nobody may have used it for that long.",
        field: (|settings| settings.contract.quiet.value(), |settings, value| {
            put(&mut settings.contract.quiet, value);
            settings.contract.unused = settings.contract.quiet;
        }),
    }
    "approval.expiry" {
        kind: Kind::Time { zero: false },
        default: "14d",
        place: Plan,
        about: "How long an approval counts.",
        field: field!(approval.expiry),
    }
    "approval.self" {
        kind: Kind::Truth,
        default: "false",
        place: Plan,
        about: "Whether whoever started the run, by database role or by name, may approve its phases.",
        field: field!(approval.own),
    }
}
