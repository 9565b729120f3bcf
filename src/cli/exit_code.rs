//! What the process exits with. Stable: scripts and schedulers rely on it.

/// Done.
pub const DONE: u8 = 0;
/// A bug, or a damaged ledger.
pub const INTERNAL: u8 = 1;
/// The command line cannot be understood, or asks for something that is not there or cannot be: a setting that does not
/// exist, a connection through a pooler.
pub const USAGE: u8 = 2;
/// A plan file is invalid, or is not the one that the run began with.
pub const PLAN_INVALID: u8 = 3;
/// The database cannot be reached, or refuses, or holds something that the plan cannot be run against, or that cannot be
/// taken back.
pub const DATABASE: u8 = 4;
/// Something must happen first, or it is not time yet: a lock, another worker, a pause, a gate, the grace. The same command
/// may work later.
pub const BLOCKED: u8 = 5;
/// Rows are not equal.
pub const MISMATCH: u8 = 6;
/// The database is not in the state that the ledger describes, or the log is not what was recorded.
pub const DRIFTED: u8 = 7;
/// The watchdog has ended the process because one of its loops no longer moved: a bug. Everything done so far is recorded;
/// the next call continues from there.
pub const STALLED: u8 = 8;
/// Of a tick (`advance`, `start`): nothing is due, or another process is at work on it. The next tick may find more.
pub const NOTHING_DUE: u8 = 9;
/// Of a tick, and of `status --exit-code`: a person must decide something first, such as to agree to what cannot be undone, or
/// to resume.
pub const PERSON: u8 = 10;
/// Told to stop by a signal; everything done so far is recorded.
pub const INTERRUPTED: u8 = 130;
