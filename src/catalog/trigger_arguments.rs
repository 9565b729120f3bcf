//! Triggers that give their function the name of a column as an argument, of which PostgreSQL knows nothing (docs/postgres.md, "What a
//! rename does not reach"), and those that get other arguments by the plan.

use serde::Deserialize;
use sqlx::PgConnection;

use super::{CatalogError, Inspection, query};
use crate::change::given_in;
use crate::plan::{Change, Plan};
use crate::run::{State, TriggerArguments};

/// An argument that is the name of a column.
#[derive(Debug, Deserialize)]
pub(super) struct Argument {
    trigger: String,
    function: String,
    column: String,
    /// Whether the function asks which columns an UPDATE names.
    asks: bool,
}

/// A trigger that the plan names.
#[derive(Debug, Deserialize)]
struct Named {
    arguments: Vec<String>,
    function: String,
    /// The extension that it depends on.
    extension: Option<String>,
    flaw: Option<Flaw>,
}

/// Why a trigger cannot be made anew with other arguments.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Flaw {
    Constraint,
    /// It was made with the one of a partitioned table.
    Parent,
    Extension,
    /// The role may not execute the function.
    Execute,
    /// PostgreSQL's definition of it does not end in its arguments.
    Print,
}

impl Named {
    /// Reads the trigger of table `table` (oid); `None` where there is none. Takes no lock.
    async fn read(conn: &mut PgConnection, table: i64, name: &str) -> Result<Option<Self>, CatalogError> {
        let query = query::fixed(include_str!("trigger_to_replace.sql")).bind(table).bind(name.to_owned());
        query::read(conn, "read the triggers that get other arguments", query).await
    }

    /// Returns why it cannot be made anew with other arguments, and what to do.
    fn flaw(&self) -> Option<(String, &'static str)> {
        let why = match self.flaw? {
            Flaw::Execute => {
                let help = "GRANT EXECUTE on it to the role that runs crossfade, which makes the trigger anew";
                return Some((format!("the role may not execute {}", self.function), help));
            }
            Flaw::Constraint => "it is a constraint trigger, and PostgreSQL replaces no such trigger".to_owned(),
            Flaw::Parent => "it was made with the one of the table above".to_owned(),
            Flaw::Extension => {
                format!("it depends on extension \"{}\"", self.extension.as_deref().unwrap_or_default())
            }
            Flaw::Print => "PostgreSQL prints it in a way that crossfade does not know".to_owned(),
        };
        let help = "leave it out, and make it anew by hand before `contract`, with a function that takes the column under either name";
        Some((why, help))
    }
}

/// Returns the triggers of the plan as they are, in its order; fewer, with refusals, where one cannot get other arguments. Takes no
/// lock, so nothing is tried: to make a trigger keeps writers out.
pub(super) async fn read(
    conn: &mut PgConnection,
    table: i64,
    plan: &Plan,
    found: &mut Inspection,
) -> Result<Vec<TriggerArguments>, CatalogError> {
    let mut all = Vec::new();
    for (n, given) in plan.triggers.iter().enumerate() {
        let Some(named) = Named::read(conn, table, given.name.as_str()).await? else {
            let message =
                format!("table {} has no trigger \"{}\" (`triggers`, entry {})", plan.table, given.name, n + 1);
            found.refuse("catalog::trigger", message, "name it as `\\d` of psql does, without quotes");
            continue;
        };
        if let Some((why, help)) = named.flaw() {
            found.refuse(
                "catalog::trigger",
                format!("trigger \"{}\" cannot get other arguments: {why}", given.name),
                help,
            );
            continue;
        }
        all.push(TriggerArguments { name: given.name.as_str().to_owned(), arguments: named.arguments });
    }
    Ok(all)
}

/// Returns what others have changed of the triggers whose arguments the plan replaces.
pub(super) async fn changed(
    conn: &mut PgConnection,
    (plan, table): (&Plan, i64),
    was: &[TriggerArguments],
    state: &State,
) -> Result<Vec<String>, CatalogError> {
    let given = state.is_done(&given_in(plan));
    let mut all = Vec::new();
    for (was, plan) in was.iter().zip(&plan.triggers) {
        let expected = if given { &plan.arguments } else { &was.arguments };
        match Named::read(conn, table, &was.name).await? {
            None => all.push(format!("trigger \"{}\" was dropped", was.name)),
            Some(now) if now.arguments != *expected => {
                let lists = [expected, &now.arguments].map(|list| list.join(", "));
                all.push(format!(
                    "the arguments of trigger \"{}\" were ({}), and are ({})",
                    was.name, lists[0], lists[1]
                ));
            }
            Some(_) => {}
        }
    }
    Ok(all)
}

/// Returns the arguments that are the name of one of `columns`. Takes no lock.
pub(super) async fn naming(
    conn: &mut PgConnection,
    table: i64,
    columns: Vec<String>,
) -> Result<Vec<Argument>, CatalogError> {
    let query = query::fixed(include_str!("trigger_arguments.sql")).bind(table).bind(columns);
    query::read(conn, "read the arguments of triggers", query).await
}

/// Warns of arguments that are the name of a column which loses it, and that the plan does not replace; refuses those of functions
/// that would miss what is written under the new name while both are there.
pub(super) fn judge(plan: &Plan, all: &[Argument], found: &mut Inspection) {
    let loses = |change: &Change, column: &str| match change {
        Change::DropColumn(drop) => drop.column.as_str() == column,
        _ => change.pair().is_some_and(|pair| !pair.keeps_name() && pair.old.as_str() == column),
    };
    let lost = all.iter().filter(|of| plan.changes.iter().any(|change| loses(change, &of.column)));
    let replaced = |of: &Argument| {
        plan.triggers.iter().any(|given| given.name.as_str() == of.trigger && !given.arguments.contains(&of.column))
    };
    let both_there = |column: &str| {
        let mut pairs = plan.pairs();
        pairs.any(|(_, pair)| pair.old.as_str() == column)
    };
    let (asking, rest): (Vec<_>, Vec<_>) = lost.partition(|of| of.asks && both_there(&of.column));
    for Argument { trigger, function, column, .. } in asking {
        found.refuse(
            "catalog::trigger",
            format!(
                "trigger \"{trigger}\" calls {function}, which does nothing unless an UPDATE names \"{column}\" itself; one that names the new column does not"
            ),
            "make the trigger anew with a PL/pgSQL function of your own, which sees every change, and give that its new body in `functions` of \
             the plan",
        );
    }
    for Argument { trigger, function, column, .. } in rest.into_iter().filter(|of| !replaced(of)) {
        found.warn(
            "catalog::trigger_argument",
            format!("trigger \"{trigger}\" gives its function {function} the name \"{column}\" as an argument, which stays as it is"),
            "if that means the column, give the trigger's other arguments in `triggers` of the plan; without them, `contract` stops before the \
             old name goes",
        );
    }
}
