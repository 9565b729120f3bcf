//! Several plans for one database: in which order they can run, and what is in the way of each.

use serde::Serialize;

use crate::catalog::Finding;
use crate::ident::{ColumnName, PlanName, TableName};
use crate::pg::ErrorClass;
use crate::plan::{self, Plan, PlanErrors, made_columns, needed_columns};
use crate::run::{Requirement, Standing};
use crate::runner::{Error, Known, Preview, Tool};

/// What keeps a plan from beginning, until that plan is done.
const COLUMN_TO_COME: [&str; 2] = ["catalog::column_missing", "requires::column"];

/// Plans of a folder and how they go together.
#[derive(Debug, Clone, Serialize)]
pub struct Folder {
    /// The plans in an order in which they can run; files that hold no valid plan come last.
    pub plans: Vec<FolderPlan>,
    /// Names of plans that require each other in a circle.
    pub circles: Vec<Vec<PlanName>>,
    /// What keeps plans apart, or from being run at all.
    pub conflicts: Vec<FolderConflict>,
}

/// Why plans of a folder do not go together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FolderConflict {
    /// The files.
    pub files: Vec<String>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

/// A file of a folder.
#[derive(Debug, Clone, Serialize)]
pub struct FolderPlan {
    /// The file.
    pub file: String,
    /// The plan's name; `None` where the file holds none.
    pub name: Option<PlanName>,
    /// Its table.
    pub table: Option<String>,
    /// Where it stands.
    pub state: FolderState,
    /// The plans of the folder that it comes after.
    pub after: Vec<PlanName>,
    /// Plans that are not done, and that it waits for.
    pub waits_for: Vec<PlanName>,
    /// The problems of the file.
    pub problems: Option<PlanErrors>,
    /// What rules the plan out on this database.
    pub refusals: Vec<Finding>,
    /// What the plan requires, each with what was found.
    pub requirements: Vec<Requirement>,
    /// Its run, if it has one.
    pub run: Option<Known>,
    /// Why it could not be looked at.
    pub error: Option<String>,
}

/// Where a plan of a folder stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FolderState {
    /// The file holds no valid plan.
    Invalid,
    /// Something on the database rules it out.
    Refused,
    /// Another plan must be done first.
    Waits,
    /// Nothing is in its way.
    Ready,
    /// It has a run.
    Started,
    /// Its run is done.
    Done,
}

impl FolderPlan {
    fn of(file: &str, plan: &Plan, state: FolderState) -> Self {
        Self {
            file: file.to_owned(),
            name: Some(plan.name.clone()),
            table: Some(plan.table.to_string()),
            state,
            after: vec![],
            waits_for: vec![],
            problems: None,
            refusals: vec![],
            requirements: vec![],
            run: None,
            error: None,
        }
    }

    fn invalid(file: String, problems: Option<PlanErrors>, error: Option<String>) -> Self {
        Self {
            file,
            name: None,
            table: None,
            state: FolderState::Invalid,
            after: vec![],
            waits_for: vec![],
            problems,
            refusals: vec![],
            requirements: vec![],
            run: None,
            error,
        }
    }
}

/// Why a file of a folder holds no plan.
#[derive(Debug, Clone)]
pub enum NoPlan {
    /// It has problems.
    Problems(PlanErrors),
    /// It could not be read.
    Unreadable(String),
}

impl Tool {
    /// Returns how the plans of several files go together, and what a run of each would meet. Nothing is changed. A file
    /// that holds no plan, or a plan that is refused, does not keep the others from being looked at.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn preview_all(&self, files: Vec<(String, Result<Plan, NoPlan>)>) -> Result<Folder, Error> {
        let (mut valid, mut invalid) = (Vec::new(), Vec::new());
        for (file, plan) in files {
            match plan {
                Ok(plan) => valid.push((file, plan)),
                Err(NoPlan::Problems(problems)) => invalid.push(FolderPlan::invalid(file, Some(problems), None)),
                Err(NoPlan::Unreadable(error)) => invalid.push(FolderPlan::invalid(file, None, Some(error))),
            }
        }
        let all: Vec<_> = valid.iter().map(|(_, plan)| plan).collect();
        let order = plan::order(&all);
        let names = |places: &[usize]| places.iter().map(|place| all[*place].name.clone()).collect::<Vec<_>>();
        let mut plans: Vec<FolderPlan> = Vec::new();
        for place in &order.order {
            let (file, plan) = &valid[*place];
            let mut row = match self.preview(plan).await {
                Ok(preview) => judged((file, plan), preview, &all, &plans),
                Err(error) if error.class() == ErrorClass::Connection => return Err(error),
                Err(error) => {
                    FolderPlan { error: Some(error.to_string()), ..FolderPlan::of(file, plan, FolderState::Refused) }
                }
            };
            row.after = names(&order.after[*place]);
            plans.push(row);
        }
        plans.append(&mut invalid);
        let conflict = |conflict: plan::Conflict| FolderConflict {
            files: conflict.plans.iter().map(|place| valid[*place].0.clone()).collect(),
            message: conflict.message,
            help: conflict.help,
        };
        let circles = order.circles.iter().map(|circle| names(circle)).collect();
        let conflicts = order.conflicts.into_iter().map(conflict).collect();
        Ok(Folder { plans, circles, conflicts })
    }
}

/// Returns what the preview of a plan comes to, beside the other plans of the folder; `before` are those that are judged.
fn judged((file, plan): (&str, &Plan), preview: Preview, all: &[&Plan], before: &[FolderPlan]) -> FolderPlan {
    let mut row = FolderPlan::of(file, plan, FolderState::Ready);
    row.requirements = preview.requirements;
    if let Some(run) = preview.run {
        row.state = if run.state == Standing::Done { FolderState::Done } else { FolderState::Started };
        row.run = Some(run);
        return row;
    }
    let unmet = |name: &&PlanName| {
        let what = format!("plan {name}");
        row.requirements
            .iter()
            .any(|requirement| requirement.key == "plans" && requirement.what == what && !requirement.is_met())
    };
    row.waits_for = plan.requires.plans.iter().filter(unmet).cloned().collect();
    row.refusals = preview.refusals;
    // Nobody in this folder brings it.
    for name in row.waits_for.iter().filter(|name| all.iter().all(|plan| plan.name != **name)) {
        let found = row.requirements.iter().find(|requirement| requirement.what == format!("plan {name}"));
        row.refusals.push(Finding {
            code: "requires::plan",
            message: format!(
                "the plan requires plan {name}, which is not in this folder, and {}",
                found.map_or("not done", |f| &f.found)
            ),
            help: "run it first, or add its file".to_owned(),
        });
    }
    let to_come = columns_to_come(plan, all, before);
    if !to_come.is_empty() && !row.waits_for.is_empty() {
        row.refusals.retain(|finding| {
            let about = |(_, column): &(TableName, ColumnName)| {
                finding.message.contains(&format!("\"{column}\""))
                    || finding.message.contains(&format!("column {column} of"))
            };
            !(COLUMN_TO_COME.contains(&finding.code) && to_come.iter().any(about))
        });
    }
    row.state = match () {
        () if !row.refusals.is_empty() => FolderState::Refused,
        () if !row.waits_for.is_empty() => FolderState::Waits,
        () => FolderState::Ready,
    };
    row
}

/// Returns the columns that `plan` needs and that plans of the folder which are not done will bring.
fn columns_to_come(plan: &Plan, all: &[&Plan], before: &[FolderPlan]) -> Vec<(TableName, ColumnName)> {
    let open = |maker: &&&Plan| {
        let done = |row: &FolderPlan| row.state == FolderState::Done && row.name.as_ref() == Some(&maker.name);
        maker.name != plan.name && !before.iter().any(done)
    };
    let open: Vec<_> = all.iter().filter(open).collect();
    let comes = |(table, column): &(TableName, ColumnName)| {
        open.iter().any(|maker| made_columns(maker, table).contains(column))
    };
    needed_columns(plan).into_iter().filter(comes).collect()
}
