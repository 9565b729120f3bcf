//! The dry run: what a run would do, what blocks it, and what it would cost.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;

use super::{Error, requirements};
use crate::amounts::{number, plural};
use crate::catalog::{self, ConversionCount, Finding, Growth};
use crate::change::{self, compile};
use crate::engine::fill::privileged::{self, Refused};
use crate::estimate;
use crate::ledger::{Ledger, LoggedEntry, Run};
use crate::plan::{Pair, Plan, Schedule, Triggers};
use crate::run::{Entry, Estimates, Facts, Phase, Program, Requirement, Standing, State, StepKey};

/// How many keys of rows that do not convert are listed.
const SAMPLE_KEYS: usize = 5;

/// Why a name may not be found.
const UNDER_THE_OWNERS_PATH: &str = "correct the function; names without a schema in it are looked up in the search_path that the table owner's sessions begin with (ALTER ROLE ... SET search_path)";

/// What a run would do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Preview {
    /// Its steps; empty when there are refusals that keep it from being compiled.
    pub program: Option<Program>,
    /// What it would cost.
    pub estimates: Estimates,
    /// What a person should know first.
    pub warnings: Vec<Finding>,
    /// What rules the plan out.
    pub refusals: Vec<Finding>,
    /// What the plan requires, each with what was found. What is not met is among the refusals, but for plans that must
    /// be done first: those are waited for.
    pub requirements: Vec<Requirement>,
    /// PostgreSQL only touches the catalog: no backfill, nothing to switch.
    pub in_place: bool,
    /// The plans of the columns that refer to the plan's key and are changed with it, in the order in which they are done. What is refused
    /// of them is among the refusals too.
    pub parts: Vec<PartPreview>,
    /// The plan with them, and with further columns of its own table that refer to the key; `None` where there are none.
    pub whole: Option<Plan>,
    /// The run of this plan, if there is one that is under way or done: then `program` is its program.
    pub run: Option<Known>,
    /// What the catalog says of the table.
    pub(crate) facts: Option<Facts>,
}

/// What a run would do for the columns of one table that refer to the plan's key.
#[derive(Debug, Clone, PartialEq)]
pub struct PartPreview {
    /// The plan that was made for them.
    pub plan: Plan,
    /// What its run would do.
    pub preview: Preview,
}

/// The run of a plan that is asked about.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Known {
    /// The phase it is in.
    pub phase: Phase,
    /// Where it stands in the log.
    pub state: Standing,
    /// When it came there: to the phase, or to its end.
    pub since: DateTime<Utc>,
    /// The steps that are still to be done.
    pub to_do: Vec<StepKey>,
}

impl Known {
    /// Returns the run whose log this is.
    pub(super) fn of(run: &Run, state: &State, log: &[LoggedEntry]) -> Self {
        let turned =
            |entry: &Entry| matches!(entry, Entry::PhaseDone { .. } | Entry::UndoStarted { .. } | Entry::UndoDone);
        let since = log.iter().rev().find(|line| turned(&line.entry)).map_or(run.created_at, |line| line.at);
        let to_do = run.program.steps.iter().map(|step| &step.key).filter(|key| !state.is_done(key)).cloned().collect();
        Self { phase: state.phase, state: state.standing(), since, to_do }
    }
}

impl Preview {
    /// Returns the word behind `--format` for the statements in full: a script is for one table.
    #[cfg(feature = "cli")]
    pub(crate) fn whole_sql(&self) -> &'static str {
        if self.parts.is_empty() { "sql" } else { "json" }
    }

    /// Returns the run of `plan`, which this is the preview of, as a script for psql. Where something rules the plan out the
    /// script says so, and fails.
    pub fn script(&self, plan: &Plan) -> String {
        match &self.facts {
            Some(facts) if self.refusals.is_empty() && facts.main().has_members() => {
                let reason = if facts.main().partitioned {
                    "is partitioned, and a script cannot follow partitions that come and go"
                } else {
                    "has tables that inherit from it, and a script cannot follow those that come and go"
                };
                let reason = format!("{} {reason}: use `crossfade run`", plan.table);
                change::refused(plan, &[reason])
            }
            Some(_) if self.refusals.is_empty() && !self.parts.is_empty() => {
                let reason = "columns of other tables are changed with the key, and a script is for one table: use `crossfade run`";
                change::refused(plan, &[reason.to_owned()])
            }
            Some(facts) if self.refusals.is_empty() => change::script(plan, facts),
            _ if self.run.is_some() => {
                let reason = format!("plan {} has a run already; `crossfade status {0}` shows it", plan.name);
                change::refused(plan, &[reason])
            }
            _ => {
                let reason = |finding: &Finding| format!("[{}] {}", finding.code, finding.message);
                change::refused(plan, &self.refusals.iter().map(reason).collect::<Vec<_>>())
            }
        }
    }
}

/// Returns what a run of `plan` would do. Works in transactions that are rolled back.
///
/// # Errors
/// The server's; what is wrong with plan or table is in the preview, not an error.
pub(super) async fn preview(ledger: &Ledger, connection: &mut PgConnection, plan: &Plan) -> Result<Preview, Error> {
    let found = catalog::inspect(connection, plan, ledger.schema()).await?;
    let (mut refusals, mut warnings) = (found.refusals, found.warnings);
    let Some(facts) = found.facts else {
        let required = requirements::requirements(ledger, connection, plan, Growth::NotPredicted).await?;
        refusals.splice(0..0, requirements::refusals(&required));
        return Ok(Preview { warnings, refusals, requirements: required, ..Preview::default() });
    };
    if refusals.is_empty() {
        let check = catalog::try_conversions(connection, plan, &facts, SAMPLE_KEYS).await?;
        if let Some(said) = &check.refused {
            refusals.push(Finding {
                code: "catalog::conversion_fails",
                message: format!("the conversion fails, whatever the value: {said}"),
                help: UNDER_THE_OWNERS_PATH.to_owned(),
            });
        }
        for count in check.changes.iter().filter(|_| check.refused.is_none()) {
            if let Some(change) = plan.changes[count.change].pair() {
                judge(&change, count, &mut refusals, &mut warnings);
            }
        }
    }
    for (position, change) in plan.pairs() {
        let Some(facts) = facts.pair(position) else { continue };
        if !facts.reverse.null_to_null() && !facts.old.not_null {
            warnings.push(Finding {
                code: "catalog::null_comes_back",
                message: format!("`reverse` of column {} returns a value for NULL", change.old),
                help: format!(
                    "a NULL that a release writes to {} becomes what `using` makes of that value",
                    change.new
                ),
            });
        }
    }
    if refusals.is_empty() {
        refusals.extend(catalog::rows_too_long(connection, &plan.table, &facts).await?);
    }
    let refused = privileged::refused(connection, &plan.backfill).await?;
    let program = compile(plan, &facts, ledger.schema());
    if refusals.is_empty() && refused.is_empty() && program.fills().next().is_some() {
        let table = (&plan.table, facts.main().oid);
        refusals.extend(catalog::try_one_row(connection, table, &plan.backfill).await?);
    }
    for Refused { key, said, help } in refused {
        let message = format!("the server refuses `backfill.{key}` of the plan: {said}");
        refusals.push(Finding { code: "catalog::setting_refused", message, help });
    }
    warnings.extend(plan.schedule.as_ref().and_then(Schedule::clock_changes).map(|message| Finding {
        code: "schedule::clocks_change",
        message,
        help: "a time of day that does not exist counts as the moment after the gap; of one that comes twice, a window opens at the first and closes at the second".to_owned(),
    }));
    if plan.backfill.triggers == Triggers::Skip {
        warnings.retain(|finding| finding.code != "catalog::trigger_on_backfill");
    }
    let in_place = (0..facts.changes.len()).all(|at| facts.pair(at).is_some_and(|pair| pair.metadata_only));
    let fills = program.fills().next();
    let estimates = match fills {
        Some((_, spec)) => estimate::estimate(connection, plan, &facts, spec, refusals.is_empty()).await?,
        None => Estimates { rows: facts.main().rows, ..Estimates::default() },
    };
    let growth = requirements::predicted(&estimates);
    let required = requirements::requirements(ledger, connection, plan, growth).await?;
    refusals.splice(0..0, requirements::refusals(&required));
    let (program, facts) = (Some(program), Some(facts));
    Ok(Preview {
        program,
        estimates,
        warnings,
        refusals,
        requirements: required,
        in_place,
        parts: vec![],
        whole: None,
        run: None,
        facts,
    })
}

/// Returns the first of `rows` rows by their keys, which are JSON objects: `id = 1; id = 7; and 3 more`.
fn listed(keys: &[String], rows: i64) -> String {
    let key = |json: &String| match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(json) {
        Ok(parts) => {
            let value = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            parts.iter().map(|(column, part)| format!("{column} = {}", value(part))).collect::<Vec<_>>().join(", ")
        }
        Err(_) => json.clone(),
    };
    let mut all: Vec<_> = keys.iter().map(key).collect();
    let more = rows - i64::try_from(keys.len()).unwrap_or(rows);
    if more > 0 {
        all.push(format!("and {} more", number(more)));
    }
    all.join("; ")
}

/// Refusals and warnings from converting all rows.
fn judge(change: &Pair<'_>, count: &ConversionCount, refusals: &mut Vec<Finding>, warnings: &mut Vec<Finding>) {
    if count.raising > 0 {
        let finding = Finding {
            code: "catalog::does_not_convert",
            message: format!(
                "in {} the value of column {} does not convert: {}",
                plural(count.raising, "row"),
                change.old,
                listed(&count.keys, count.raising)
            ),
            help: match change.on_error {
                None => "change those rows, or `using`; or set `on_error: leave` to leave them empty, and repair them before `verify`",
                Some(_) => "the new column stays empty in those rows: change them, or `using`, or `verify` stops at them",
            }
            .to_owned(),
        };
        if change.on_error.is_none() { refusals.push(finding) } else { warnings.push(finding) }
    }
    if count.empty > 0 {
        refusals.push(Finding {
            code: "catalog::becomes_null",
            message: format!(
                "in {} column {} would become NULL, but it is NOT NULL",
                plural(count.empty, "row"),
                change.old
            ),
            help: "make `using` return a value for them, or drop NOT NULL first".to_owned(),
        });
    }
    if let Some(lossy) = count.lossy.filter(|lossy| *lossy > 0) {
        warnings.push(Finding {
            code: "catalog::lossy",
            message: format!(
                "in {} the value of column {} would not come back unchanged through `reverse`",
                plural(lossy, "row"),
                change.old
            ),
            help: "their old values stay until a release writes the new column; `contract` drops them".to_owned(),
        });
    }
}
