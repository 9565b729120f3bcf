//! What a plan requires, read in one go: what the catalog knows, and the plans that the ledger knows.

use sqlx::PgConnection;

use super::Error;
use super::parts::parts_of;
use crate::amounts::count;
use crate::catalog::{self, Finding, Growth};
use crate::ident::PlanName;
use crate::ledger::{Ledger, Run};
use crate::plan::{BuildIndexes, Plan};
use crate::run::{Action, Estimates, GateKind, GateReading, Mode, Requirement, State, Verdict, looks_for_referrers};

/// Returns everything that `plan` requires, each with what was found.
///
/// # Errors
/// The server's; the ledger's.
pub(super) async fn requirements(
    ledger: &Ledger,
    connection: &mut PgConnection,
    plan: &Plan,
    growth: Growth,
) -> Result<Vec<Requirement>, Error> {
    let mut all = catalog::requirements(connection, plan, growth).await?;
    for required in &plan.requires.plans {
        all.push(required_plan(ledger, connection, required).await?);
    }
    Ok(all)
}

async fn required_plan(
    ledger: &Ledger,
    connection: &mut PgConnection,
    required: &PlanName,
) -> Result<Requirement, Error> {
    let (verdict, found, help) = match ledger.log().find_opt(connection, required.as_str()).await? {
        None => (Verdict::Fail, "it has no run in this database".to_owned(), "run that plan first".to_owned()),
        Some(run) => {
            let state = ledger.log().state(connection, &run).await?;
            let help = format!("`crossfade status {required}` shows its state");
            match state.mode {
                Mode::Done => (Verdict::Pass, "it is done".to_owned(), String::new()),
                Mode::RolledBack => (Verdict::Fail, "it was rolled back".to_owned(), "run that plan first".to_owned()),
                _ => (Verdict::Fail, format!("it is in {}, {}", state.phase, state.standing()), help),
            }
        }
    };
    Ok(Requirement { key: "plans", what: format!("plan {required}"), verdict, found, help })
}

/// Returns what is not met, apart from plans, as reasons to refuse a plan: it is not a matter of waiting.
pub(super) fn refusals(requirements: &[Requirement]) -> Vec<Finding> {
    let unmet = requirements.iter().filter(|requirement| !requirement.is_met() && requirement.key != "plans");
    let finding = |requirement: &Requirement| Finding {
        code: code(requirement.key),
        message: format!("the plan requires {requirement}"),
        help: requirement.help.clone(),
    };
    unmet.map(finding).collect()
}

fn code(key: &str) -> &'static str {
    match key {
        "postgres" => "catalog::server_version",
        "extensions" => "catalog::extension_missing",
        "tables" => "requires::table",
        "columns" => "requires::column",
        "disk" => "requires::disk",
        "slots" => "requires::slots",
        "replicas" => "requires::replicas",
        _ => "requires::plan",
    }
}

/// Returns the growth that was predicted before anything was done.
pub(super) fn predicted(estimates: &Estimates) -> Growth {
    let Some(own) = estimates.orders.as_ref().map(crate::run::Orders::own) else { return Growth::NotPredicted };
    let bytes = own.heap_growth + own.toast_growth + own.all_index_bytes();
    Growth::Bytes(u64::try_from(bytes).unwrap_or(0))
}

/// Returns whether everything that the plan of a run in `state` requires is there. What nobody can tell is not.
///
/// # Errors
/// The server's; the ledger's.
pub(super) async fn gate(
    ledger: &Ledger,
    connection: &mut PgConnection,
    run: &Run,
    state: &State,
) -> Result<GateReading, Error> {
    let growth = still_to_come(ledger, connection, run, state).await?;
    let mut all = requirements(ledger, connection, &run.plan, growth).await?;
    all.extend(all_that_refer(ledger, connection, run, state).await?);
    let unmet: Vec<_> = all.iter().filter(|requirement| !requirement.is_met()).collect();
    let verdict = match () {
        () if unmet.is_empty() => Verdict::Pass,
        () if unmet.iter().any(|requirement| requirement.verdict == Verdict::Fail) => Verdict::Fail,
        () => Verdict::Unknown,
    };
    let told = |requirement: &&Requirement| format!("{requirement} ({})", requirement.help);
    let reason = if unmet.is_empty() {
        format!("{} met", count(all.len(), "requirement"))
    } else {
        unmet.iter().map(told).collect::<Vec<_>>().join("; ")
    };
    Ok(GateReading { verdict, ..GateReading::pass(GateKind::Requires, reason) })
}

/// Returns whether every column that refers to the run's key is one that it knows, where that is asked.
async fn all_that_refer(
    ledger: &Ledger,
    connection: &mut PgConnection,
    run: &Run,
    state: &State,
) -> Result<Option<Requirement>, Error> {
    if !looks_for_referrers(&run.plan, state.phase) {
        return Ok(None);
    }
    let parts = parts_of(ledger, connection, run).await?;
    let parts: Vec<_> = parts.iter().map(|(part, _)| &part.plan).collect();
    let late = catalog::late_referrers(connection, &run.plan, &parts).await?;
    let what = "no further column that refers to the key".to_owned();
    let [first, ..] = late.as_slice() else {
        let found = "there is none".to_owned();
        return Ok(Some(Requirement { key: "referring", what, verdict: Verdict::Pass, found, help: String::new() }));
    };
    let places: Vec<_> = late.iter().map(|late| format!("{} ({})", late.place, late.of_type)).collect();
    let found =
        format!("{} refers to it since the run began, and could not refer to a larger value", places.join(", "));
    let help = format!(
        "give it the type by a plan of its own (`crossfade new type '{}' {}` writes one) or by ALTER TABLE; or drop its foreign key until the run is done",
        first.place, first.to
    );
    Ok(Some(Requirement { key: "referring", what, verdict: Verdict::Fail, found, help }))
}

/// Returns what of the predicted growth is still to come: nothing once the rows are filled and the indexes built.
async fn still_to_come(
    ledger: &Ledger,
    connection: &mut PgConnection,
    run: &Run,
    state: &State,
) -> Result<Growth, Error> {
    if run.plan.requires.disk.as_ref().is_none_or(|disk| disk.free.is_some()) {
        return Ok(Growth::NotPredicted);
    }
    let needs_room =
        |action: &Action| matches!(action, Action::Fill(_) | Action::Concurrent { .. } | Action::BuildInPartitions(_));
    let mut to_do = run.program.steps.iter().filter(|step| !state.is_done(&step.key));
    if !to_do.any(|step| needs_room(&step.action)) {
        return Ok(Growth::Bytes(0));
    }
    let Some(estimates) = ledger.log().prediction(connection, run.id).await? else {
        return Ok(Growth::NotPredicted);
    };
    let (Growth::Bytes(bytes), Some(orders)) = (predicted(&estimates), &estimates.orders) else {
        return Ok(Growth::NotPredicted);
    };
    let Some(filled) = ledger.progress().filled(connection, run.id).await? else {
        return Ok(Growth::Bytes(bytes));
    };
    // What was built before the backfill began is in the sizes from which it started.
    let built = if orders.order == BuildIndexes::BeforeBackfill { orders.own().build_bytes } else { 0 };
    let grown = (filled.heap_after - filled.heap_before)
        + (filled.toast_after - filled.toast_before)
        + (filled.indexes_after - filled.indexes_before)
        + built;
    Ok(Growth::Bytes(bytes.saturating_sub(u64::try_from(grown).unwrap_or(0))))
}
