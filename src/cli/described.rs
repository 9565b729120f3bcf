//! What a command line says of each error: its stable code, the exit code, hints, and what belongs to it. One arm a kind,
//! so a new kind is described here and nowhere else.

use std::io;

use serde_json::{Value, json};

use super::error::{CliError, FileKind};
use super::exit_code::{BLOCKED, DATABASE, DRIFTED, INTERNAL, INTERRUPTED, MISMATCH, PLAN_INVALID, USAGE};
use crate::catalog::{CatalogError, Finding};
use crate::ident::PlanName;
use crate::import::Trouble;
use crate::ledger::{LeaseError, LedgerError};
use crate::pg::{self, ErrorClass};
use crate::plan::PlanErrors;
use crate::run::{GateKind, GateReading, Outcome, Phase};
use crate::runner::{Error, NoCleanup, NoJoin, NotYet};
use crate::testkit::server::ServerError;

/// What is said of an error.
pub(super) struct Described<'e> {
    /// Stable: `<area>::<what>`.
    pub(super) code: &'static str,
    /// What the process exits with.
    pub(super) exit_code: u8,
    /// What to do about it, the best first.
    pub(super) hints: Vec<String>,
    /// What belongs to this kind of error.
    pub(super) detail: Detail<'e>,
}

/// What belongs to an error, for JSON and, where it is worth lines of their own, for people.
pub(super) enum Detail<'e> {
    /// Nothing.
    None,
    /// The problems of a plan file.
    Problems(&'e PlanErrors),
    /// The lines of a migration, by its name, that do not become a plan.
    Troubles(&'e str, &'e [Trouble]),
    /// What the catalog has against the plan.
    Findings(&'e [Finding]),
    /// What a check of all rows found.
    Outcome(&'e Outcome),
    /// Values under a name, for scripts only: the message has them.
    Values(&'static str, Value),
}

fn of<'e>(code: &'static str, exit_code: u8, hint: impl Into<String>) -> Described<'e> {
    Described { code, exit_code, hints: vec![hint.into()], detail: Detail::None }
}

impl<'e> Described<'e> {
    /// Adds something else to do.
    fn or(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    fn with(self, detail: Detail<'e>) -> Self {
        Self { detail, ..self }
    }

    fn values(self, key: &'static str, value: impl serde::Serialize) -> Self {
        self.with(Detail::Values(key, json!(value)))
    }
}

/// Describes an error of a command. `target` is the database it was about, as people name it.
pub(super) fn describe<'e>(error: &'e CliError, target: &str) -> Described<'e> {
    match error {
        CliError::Usage { code, help, .. } => of(code, USAGE, help.as_str()),
        CliError::Plan(problems) => of("plan::invalid", PLAN_INVALID, "fix the file, then run `crossfade check`")
            .with(Detail::Problems(problems)),
        CliError::File { source, kind: FileKind::Plan, .. } if source.kind() == io::ErrorKind::InvalidData => {
            of("usage::file", PLAN_INVALID, "a plan must be a UTF-8 text file")
        }
        CliError::File { kind, .. } => of("usage::file", USAGE, not_read(*kind)),
        CliError::Import { file, troubles } => of(
            "import::refused",
            USAGE,
            "nothing was written; `crossfade new` writes a plan for one column without a migration",
        )
        .with(Detail::Troubles(file, troubles)),
        CliError::Written { source, .. } => of("output::file", INTERNAL, not_written(source)),
        CliError::Output(_) => of(
            "output::not_written",
            INTERNAL,
            "the command itself was done; check where standard output goes (is the disk full?). `crossfade status` shows the runs",
        ),
        CliError::Server(ServerError::NoBinaries) => {
            of("demo::no_postgres", DATABASE, "then run `crossfade demo` again")
        }
        CliError::Server(_) => of(
            "demo::server",
            DATABASE,
            "the demo needs a PostgreSQL that it can start on this machine, and space in the temporary directory",
        ),
        CliError::Tool(error) | CliError::Declined(error) => tool(error, target),
    }
}

/// Returns what to do about a file that cannot be read.
fn not_read(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Plan => "check the path; a plan is a YAML file",
        FileKind::Folder => "check the path, and whether you may read what is in it",
        FileKind::Migration => "check the path; name a file of your migration tool",
        #[cfg(feature = "serve")]
        FileKind::Token => "check the path; it is a text file that holds the token and nothing else",
    }
}

/// Returns what to do about a file that cannot be written.
fn not_written(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "create the directory first; -o - writes to standard output",
        io::ErrorKind::StorageFull => "nothing was left behind; make room, or name a file on another disk",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "name a file in a directory that you may write to; -o - writes to standard output"
        }
        _ => "name another file; -o - writes to standard output",
    }
}

/// Exit code 5 is for what may work later as it is; what somebody must change first in the command, the plan or the data
/// is not.
#[expect(clippy::too_many_lines, reason = "one arm a kind")]
pub(super) fn tool<'e>(error: &'e Error, target: &str) -> Described<'e> {
    match error {
        Error::Refused { findings } => {
            of("run::refused", DATABASE, "fix these problems, then run `crossfade plan` again")
                .with(Detail::Findings(findings))
        }
        Error::NotThere { near, .. } => {
            let near = near.as_ref().map(|near| format!("did you mean {near}?"));
            let exact = "names must match exactly, including upper and lower case; a part that holds a dot stands in double quotes";
            of("usage::not_there", USAGE, near.unwrap_or_else(|| exact.to_owned()))
        }
        Error::NoName { .. } => of("usage::name", USAGE, "choose another name"),
        Error::Unwritable(problems) => {
            of("usage::change", USAGE, "choose another name or type").with(Detail::Problems(problems))
        }
        Error::PlanEdited { name } => of("run::plan_edited", PLAN_INVALID, "restore the file")
            .or(format!("crossfade rollback {name}, then run the new plan")),
        Error::NotYet(gate) => match gate {
            NotYet::Quiet { quiet, left, writes, total } => {
                of("gate::quiet", BLOCKED, "stop the releases that write the old column, then run again").values(
                    "gate",
                    json!({ "gate": "quiet", "quiet_seconds": quiet.as_secs_f64(), "seconds": left.as_secs_f64(), "write_seconds": writes, "total_write_seconds": total }),
                )
            }
            NotYet::Grace { name, until, left, .. } => {
                of("gate::grace", BLOCKED, "run again then").or(format!("crossfade rollback {name} still gives applications the old name")).or(format!("crossfade tune {name} grace=... makes it longer or shorter"))
                    .values("gate", json!({ "gate": "grace", "until": until, "seconds": left.as_secs_f64() }))
            }
            NotYet::Irreversible { name, step, .. } => of(
                "gate::consent",
                BLOCKED,
                format!("to pass it: crossfade run PLAN --yes, or crossfade advance {name} --yes"),
            )
            .or(format!("to go back: crossfade rollback {name}"))
            .values("gate", json!({ "gate": "consent", "step": step })),
            NotYet::Drops { name, drops } => {
                of("gate::consent", BLOCKED, format!("to agree to it: crossfade rollback {name} --yes"))
                    .values("gate", json!({ "gate": "consent", "drops": drops }))
            }
            NotYet::Gate { name, phase, reading } => gate_is_closed(name, *phase, reading),
            NotYet::Plans { required, .. } => {
                of("gate::plans", BLOCKED, format!("`crossfade status {required}` shows its state"))
                    .values("gate", json!({ "gate": "plans", "required": required }))
            }
        },
        Error::Held { name, holder, seconds, filling } => {
            let described = of(
                "lease::held",
                BLOCKED,
                format!(
                    "let that process continue, or stop it and try again; `crossfade status {name} --watch` follows it"
                ),
            );
            let described =
                if *filling { described.or("to help it fill rows: crossfade run PLAN --join") } else { described };
            described.values("lease", json!({ "holder": holder, "seconds": seconds, "filling": filling }))
        }
        Error::NothingToApprove { name, .. } => {
            of("approval::not_needed", USAGE, format!("crossfade status {name}"))
        }
        Error::OwnApproval { .. } => of("approval::own", USAGE, "connect as the role of whoever approves, and say who with --as")
            .or("a plan with `approval: { self: true }` lets whoever started a run approve it"),
        Error::MayNotApprove { .. } => {
            of("approval::not_allowed", DATABASE, "docs/roles.md has the SQL for a role that approves")
        }
        Error::NotApproved { name, .. } => of("approval::none", USAGE, format!("crossfade status {name}")),
        Error::Over { name, .. } => of("run::over", USAGE, format!("crossfade history {name}")),
        Error::Paused { name, .. } => of("run::paused", BLOCKED, format!("crossfade resume {name}")),
        Error::Part { of: key, .. } => of("run::part", USAGE, format!("name the run of the key: {key}")),
        Error::RollingBack { name } => of("run::rolling_back", BLOCKED, format!("crossfade rollback {name}")),
        Error::RolledBack { name } => of("run::rolled_back", BLOCKED, format!("crossfade history {name}")),
        Error::CannotJoin { why: NoJoin::NoBackfill { name } } => {
            of("join::no_backfill", USAGE, format!("crossfade run takes {name} further, or crossfade advance"))
        }
        Error::CannotJoin { why: NoJoin::RolledBack { name } | NoJoin::RollingBack { name } } => {
            of("join::rolled_back", BLOCKED, format!("`crossfade status {name}` shows the state of the run"))
        }
        Error::CannotJoin { why: NoJoin::Failed { name, .. } } => {
            of("join::failed", BLOCKED, format!("crossfade history {name}; clear the cause, and run it again"))
        }
        Error::CannotJoin { why: NoJoin::Drifted { name, .. } } => {
            of("join::drifted", BLOCKED, format!("crossfade history {name}; put things back, and run it again"))
        }
        Error::TooFewConnections { .. } => of(
            "database::connections",
            DATABASE,
            "connect to PostgreSQL itself, or raise the pooler's pool size, the role's CONNECTION LIMIT or max_connections; \
             fewer `backfill.workers` need fewer",
        ),
        Error::Pooler => of("database::pooler", USAGE, "name PostgreSQL's own host and port, not the pooler's"),
        Error::SessionNotSet { .. } => {
            of("database::session", DATABASE, "connect to PostgreSQL itself, and not through a pooler")
        }
        Error::Unreachable { .. } => of("database::unreachable", DATABASE, unreachable()),
        Error::Misconfigured { key, .. } => of("usage::setting", USAGE, "crossfade tune --help").values("setting", key),
        Error::SettingRefused { key, help, .. } => {
            of("database::setting_refused", DATABASE, help.as_str()).values("setting", key)
        }
        Error::NotEarlier { .. } | Error::NoSuchPhase { .. } => {
            of("usage::phase", USAGE, "without --to everything is taken back")
        }
        Error::Nulls { rows, column, .. } => of(
            "run::nulls",
            DATABASE,
            "stop the releases that do not name the column; once those rows have a value, roll back again",
        )
        .values("nulls", json!({ "rows": rows, "column": column })),
        Error::PointOfNoReturn { step, .. } => of(
            "run::point_of_no_return",
            DATABASE,
            "write a plan for the opposite change: rename, or change the type, the other way round",
        )
        .values("step", step),
        Error::WouldLose { rows, .. } => of(
            "run::would_lose",
            DATABASE,
            "nothing was taken back; once those rows have a value in the old column, roll back again",
        )
        .values("rows", rows),
        Error::WrittenMeanwhile => {
            of("run::written_meanwhile", BLOCKED, "crossfade status says whether the new column is written")
        }
        Error::Dependants { names } => {
            of("run::dependants", DATABASE, "move or drop them, then run again").values("dependants", names)
        }
        Error::DoesNotLast { step, .. } => of("run::does_not_last", BLOCKED, later()).values("step", step),
        Error::Locked { blockers, .. } => of(
            "run::locked",
            BLOCKED,
            "end the blocking transaction, or try again when it has ended; the run continues where it stopped",
        )
        .values("blockers", blockers),
        Error::RowStaysLocked { .. } => {
            of("repair::row_locked", BLOCKED, "what was repaired stays so; repair again when the transaction is over")
        }
        Error::Mismatch(outcome) if outcome.counts.unconverted > 0 => of(
            "run::mismatch",
            MISMATCH,
            "values that do not convert cannot be repaired: UPDATE the old column of those rows to values that do, then run again",
        )
        .with(Detail::Outcome(outcome)),
        Error::Mismatch(outcome) => of(
            "run::mismatch",
            MISMATCH,
            "look at these rows, then run `crossfade verify NAME --repair old` (or `new`: the side that is right)",
        )
        .with(Detail::Outcome(outcome)),
        Error::NothingToCompare { name, yet_to_come } => of(
            "verify::nothing_to_compare",
            if *yet_to_come { BLOCKED } else { USAGE },
            format!("`crossfade status {name}` shows the state of the run"),
        ),
        Error::ComparesNothing { name } => {
            of("verify::nothing_to_compare", USAGE, format!("`crossfade status {name}` shows the state of the run"))
        }
        Error::NotFilledYet { name } => {
            of("verify::not_filled", BLOCKED, format!("crossfade status {name} --watch follows the backfill"))
        }
        Error::Rewritten { .. } => of("verify::rewritten", BLOCKED, "run the same command again"),
        Error::NotCovered { .. } => of("run::not_covered", BLOCKED, "run the same command again"),
        Error::NothingThere { near, .. } => of(
            "inventory::nothing",
            USAGE,
            match near.as_slice() {
                [] => "check the name, and whether this is the right database".to_owned(),
                near => format!("did you mean {}?", near.join(" or ")),
            },
        ),
        Error::TableGone { .. } => {
            of("run::table_gone", DRIFTED, "somebody dropped the table, or put another in its place")
        }
        Error::Drifted { facts } => of(
            "run::drifted",
            DRIFTED,
            "somebody changed one of the run's objects: restore it and run again, or roll back with `crossfade rollback`",
        )
        .values("facts", facts),
        Error::MadeOnNew { what } => {
            of("rollback::made_on_new", BLOCKED, "an index, for example, can be made again on the old column").values("what", what)
        }
        Error::NotCleaned { why } => match why {
            NoCleanup::Active { runs } => {
                let first = runs.first().map_or("NAME", String::as_str);
                of("cleanup::active", BLOCKED, format!("finish it, or go back: crossfade rollback {first}; `crossfade status` shows the runs"))
                    .values("runs", runs)
            }
            NoCleanup::Consent { drops } => {
                of("gate::consent", BLOCKED, "to agree to it: crossfade cleanup --yes")
                    .values("gate", json!({ "gate": "consent", "drops": drops }))
            }
            NoCleanup::Locked { .. } => of("cleanup::locked", BLOCKED, "try again when the transactions that use the tables have ended"),
        },
        Error::Copied { schema, .. } => {
            let schema = crate::sql::quote_ident(schema);
            of(
                "run::copied",
                DRIFTED,
                format!(
                    "in a copy that is to live on its own, `crossfade cleanup` removes the ledger with its triggers, and the columns stay; \
                     if pg_upgrade made this database from the original, which is gone, let the ledger move with it: \
                     UPDATE {schema}.ledger SET system_identifier = (SELECT system_identifier FROM pg_control_system()), \
                     database_oid = (SELECT oid FROM pg_database WHERE datname = current_database())"
                ),
            )
        }
        Error::Interrupted => of("run::interrupted", INTERRUPTED, "run the same command again to continue"),
        Error::Step { step, .. } => of(
            "run::step_failed",
            DATABASE,
            "this step left nothing behind; fix the cause, then run again, or roll back with `crossfade rollback`",
        )
        .values("step", step),
        Error::WriteFails { step, .. } => of(
            "run::write_fails",
            DATABASE,
            "what an UPDATE calls, most likely a trigger of the table, still names the old column, in the text of a function or among \
             a trigger's arguments: make it use the new name, which the table has already, then run again",
        )
        .or("`crossfade rollback` takes the run back")
        .values("step", step),
        Error::LockedTooLong { step, .. } => of(
            "run::locked_too_long",
            DATABASE,
            "run again at a quieter time, or allow more, which does not begin the run anew: `crossfade tune NAME exclusion_lock=10min`",
        )
        .or("`crossfade rollback` takes the run back")
        .values("step", step),
        Error::UndoFailed { step, .. } => of(
            "rollback::step_failed",
            DATABASE,
            "the run stays in its rollback; fix the cause, then run `crossfade rollback` again to continue it",
        )
        .values("step", step),
        Error::NoCheck { .. } => of("internal::no_check", INTERNAL, damaged()),
        Error::Catalog(CatalogError::Answer { .. }) => {
            of("catalog::answer", INTERNAL, "this is a bug, or an untested server: please report it")
        }
        Error::Ledger(error) => ledger(error, target),
        Error::Catalog(CatalogError::Database { source: error, .. }) | Error::Database(error) => {
            database(error, target)
        }
    }
}

fn ledger<'e>(error: &'e LedgerError, target: &str) -> Described<'e> {
    match error {
        LedgerError::Newer { .. } => of("ledger::newer", DATABASE, "install the newer crossfade"),
        LedgerError::Format { .. } => {
            of("ledger::format", DATABASE, "use the crossfade that started this run, or a newer one")
        }
        LedgerError::Untrusted { wrong, .. } => of(
            "ledger::untrusted",
            DATABASE,
            "connect as the role that owns the schema, or name another schema with --ledger-schema",
        )
        .or("if you trust that role with all rights of your own: --ledger-owner ROLE or CROSSFADE_LEDGER_OWNER")
        .values("wrong", wrong),
        LedgerError::NotALedger { .. } => {
            of("ledger::not_a_ledger", DATABASE, "name another schema with --ledger-schema or CROSSFADE_LEDGER_SCHEMA")
        }
        LedgerError::Gone { .. } => {
            of("ledger::gone", DRIFTED, "crossfade cleanup removes what is left; columns with values stay")
                .or("a plan with `adopt` takes the new column over as it is now")
        }
        LedgerError::NoSuchRun { missing: Some(_), .. } => of(
            "ledger::no_such_run",
            USAGE,
            "check whether this is the right database, and the right --ledger-schema; if somebody has dropped the schema in mid-run, \
             `crossfade status` says so, unless nothing with crossfade's names is left",
        ),
        LedgerError::NoSuchRun { .. } => {
            of("ledger::no_such_run", USAGE, "`crossfade status` lists the runs; `crossfade run PLAN` starts one")
        }
        LedgerError::Active { name } => of("ledger::active", BLOCKED, format!("crossfade status {name} shows it")),
        LedgerError::ColumnClaimed { other, .. } => {
            of("ledger::column_claimed", BLOCKED, format!("`crossfade status {other}` shows the state of that run"))
        }
        LedgerError::Illegal(_) => of("ledger::illegal", INTERNAL, damaged()),
        LedgerError::Unreadable { .. } => of("ledger::unreadable", INTERNAL, damaged()),
        LedgerError::Lease(LeaseError::Held { holder, seconds }) => of(
            "lease::held",
            BLOCKED,
            "let that process continue, or stop it and try again; `crossfade status --watch` follows it",
        )
        .values("lease", json!({ "holder": holder, "seconds": seconds })),
        LedgerError::Lease(LeaseError::Lost { .. }) => {
            of("lease::lost", BLOCKED, "nothing is lost; `crossfade status` shows who continues the run")
        }
        LedgerError::Lease(LeaseError::Database(error)) | LedgerError::Database(error) => database(error, target),
    }
}

/// Describes a gate in front of a phase that is closed.
fn gate_is_closed<'e>(name: &PlanName, phase: Phase, reading: &GateReading) -> Described<'e> {
    let dates = || format!("crossfade schedule {name} shows all dates");
    let gates = || format!("crossfade status {name} shows all gates");
    let (code, then) = match reading.gate {
        GateKind::Due => ("gate::due", dates()),
        GateKind::Window => ("gate::window", dates()),
        GateKind::Requires => ("gate::requires", gates()),
        GateKind::Approved => ("gate::approved", format!("crossfade approve {name} {phase}")),
        GateKind::Verified => ("gate::verified", format!("crossfade verify {name}")),
        GateKind::Quiet => ("gate::quiet", gates()),
        GateKind::Grace => ("gate::grace", gates()),
        GateKind::Consent => ("gate::consent", format!("crossfade advance {name} --yes")),
        GateKind::Hook => ("gate::hook", format!("crossfade history {name} has what the hooks printed")),
        GateKind::Unused => ("gate::unused", format!("crossfade status {name} shows who uses the old column")),
    };
    let described = of(code, BLOCKED, then);
    let described = if reading.gate.is_scheduled() {
        described.or("crossfade run PLAN does not wait for the schedule")
    } else if reading.gate == GateKind::Unused {
        described.or(format!("to go on in spite of it: crossfade advance {name} --accept-evidence REASON"))
    } else {
        described
    };
    described.values("gate", json!(reading))
}

fn database<'e>(error: &'e sqlx::Error, target: &str) -> Described<'e> {
    let state = pg::sqlstate(error);
    let (code, exit_code) = match pg::class_of(error) {
        ErrorClass::Contention => ("database::busy", BLOCKED),
        ErrorClass::Connection => ("database::unreachable", DATABASE),
        ErrorClass::Refused => ("database::refused", DATABASE),
        // What the server says has to do with the database; the rest is between us and the driver.
        ErrorClass::Other if state.is_some() => ("database::error", DATABASE),
        ErrorClass::Other => ("database::error", INTERNAL),
    };
    let hint = match (state.as_deref(), pg::class_of(error)) {
        (Some("28P01" | "28000"), _) => {
            format!("{target}: check user and password (in the URL, PGPASSWORD or ~/.pgpass) and pg_hba.conf")
        }
        (Some("3D000"), _) => format!("{target}: check the database's name"),
        (Some("25006"), _) => format!("{target} is read-only, perhaps a replica: connect to the primary"),
        (Some("42501"), _) => {
            "use the role that owns the table, and let it create the ledger: GRANT CREATE ON DATABASE ... TO ..."
                .to_owned()
        }
        (Some("53300"), _) => format!("{target} has no free connection: try again later, or raise max_connections"),
        (_, ErrorClass::Connection) => unreachable(),
        (_, ErrorClass::Refused) => format!("{target}: check the connection settings, including TLS (sslmode)"),
        (_, ErrorClass::Contention) => "try again; a run that had begun continues where it stopped".to_owned(),
        (Some(_), ErrorClass::Other) => {
            "fix the cause, then try again; a run that had begun continues where it stopped".to_owned()
        }
        (None, ErrorClass::Other) => "run again; if it happens again, report it with the output of -vv".to_owned(),
    };
    of(code, exit_code, hint)
}

fn later() -> String {
    "try again when this is resolved; `crossfade status` shows the state of the run".to_owned()
}

fn unreachable() -> String {
    "check that the server is up and can be reached from here; a run that had begun continues where it stopped"
        .to_owned()
}

fn damaged() -> String {
    "the ledger was changed by hand, or this is a bug: keep the ledger unchanged and report it".to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ident::PlanName;
    use crate::run::StepKey;

    fn name() -> PlanName {
        PlanName::new("p").unwrap()
    }

    fn said(error: impl Into<Error>) -> (&'static str, u8) {
        let error = CliError::Tool(error.into());
        let described = describe(&error, "the database");
        assert!(described.hints.iter().all(|hint| !hint.is_empty()) && !described.hints.is_empty());
        (described.code, described.exit_code)
    }

    #[test]
    fn the_codes_are_those_that_are_documented() {
        assert_eq!(said(Error::Interrupted), ("run::interrupted", 130));
        assert_eq!(said(Error::Refused { findings: vec![] }), ("run::refused", 4));
        assert_eq!(said(Error::PlanEdited { name: String::new() }), ("run::plan_edited", 3));
        assert_eq!(said(Error::Drifted { facts: vec![] }), ("run::drifted", 7));
        assert_eq!(said(LedgerError::NoSuchRun { name: String::new(), missing: None }), ("ledger::no_such_run", 2));
        assert_eq!(said(LeaseError::Held { holder: String::new(), seconds: 1.0 }), ("lease::held", 5));
        assert_eq!(said(sqlx::Error::Io(io::ErrorKind::ConnectionRefused.into())), ("database::unreachable", 4));
        // A certificate that is not trusted will not be, however often one asks.
        assert_eq!(said(sqlx::Error::Io(io::ErrorKind::InvalidData.into())), ("database::refused", 4));
        assert_eq!(said(sqlx::Error::RowNotFound), ("database::error", 1));
    }

    #[test]
    fn what_may_work_later_is_5_and_what_never_will_is_not() {
        let step = || StepKey::new(crate::run::Phase::Expand, crate::run::What::Columns);
        let second = Duration::from_secs(1);
        let quiet = NotYet::Quiet { quiet: second, left: second, writes: 1, total: 2 };
        let grace = NotYet::Grace {
            name: name(),
            until: chrono::DateTime::UNIX_EPOCH,
            zone: chrono_tz::UTC,
            left: Duration::from_secs(90),
        };
        let drop = NotYet::Irreversible { name: name(), step: step(), title: String::new(), why: String::new() };
        let later = [
            Error::NotYet(quiet),
            Error::NotYet(grace),
            Error::NotYet(drop),
            Error::NotYet(NotYet::Drops { name: name(), drops: vec![] }),
            Error::NotYet(NotYet::Plans { plan: name(), required: name() }),
            Error::Held { name: name(), holder: String::new(), seconds: 1.0, filling: true },
            Error::Paused { name: name(), by: None },
            Error::RollingBack { name: name() },
            Error::WrittenMeanwhile,
            Error::DoesNotLast { step: step(), tries: 5 },
            Error::Locked { step: step(), attempts: 1, blockers: vec![] },
            Error::NothingToCompare { name: name().to_string(), yet_to_come: true },
            Error::CannotJoin { why: NoJoin::RolledBack { name: name() } },
        ];
        for error in later {
            let text = error.to_string();
            assert_eq!(said(error).1, 5, "{text}");
        }
        let never = [
            (Error::Pooler, 2),
            (Error::Over { name: name().to_string(), state: crate::run::Standing::Done }, 2),
            (Error::Misconfigured { key: "workers".to_owned(), reason: "it cannot be 0".to_owned() }, 2),
            (Error::NotEarlier { phase: crate::run::Phase::Expand, to: crate::run::Phase::Verify }, 2),
            (Error::NothingToCompare { name: name().to_string(), yet_to_come: false }, 2),
            (Error::ComparesNothing { name: name().to_string() }, 2),
            (Error::CannotJoin { why: NoJoin::NoBackfill { name: name() } }, 2),
            (Error::PointOfNoReturn { step: step(), why: String::new() }, 4),
            (Error::WouldLose { rows: 3, table: crate::ident::TableName::new("s", "t").unwrap(), empty: vec![] }, 4),
            (Error::Dependants { names: vec![] }, 4),
            (Error::SettingRefused { key: "triggers", said: String::new(), help: "grant it".to_owned() }, 4),
            (Error::Unreachable { last: String::new() }, 4),
        ];
        for (error, code) in never {
            let text = error.to_string();
            assert_eq!(said(error).1, code, "{text}");
        }
    }
}
