//! Other bodies for functions that name a column in their text, and other arguments for triggers that name one, of which PostgreSQL
//! knows nothing: given in the transaction in which columns get their last names, and put back with them.
//!
//! Nothing else changes: the statement is PostgreSQL's own definition of the function with another text behind AS, or of the trigger
//! with another list at its end, so owner, grants and options stay as they are at that moment.

use super::Context;
use super::fragment::Moves;
use crate::ident::TableName;
use crate::plan::Plan;
use crate::run::{Phase, StepKey, What};
use crate::sql::{dollar_quote, quote_literal, with_values};

/// PostgreSQL would look for the types that a body names under the `search_path` of whoever replaces it, which is not that of those
/// who call it.
const UNCHECKED: &str = "SET LOCAL check_function_bodies = off";

/// Returns the step in which functions get the bodies, and triggers the arguments, of `plan`.
pub(crate) fn given_in(plan: &Plan) -> StepKey {
    if plan.takes_names_away() {
        StepKey::new(Phase::Contract, What::Retire)
    } else {
        StepKey::new(Phase::Switch, What::Swap)
    }
}

/// Returns what gives the plan's functions their other bodies and its triggers their other arguments in this step, and what puts the
/// old ones back; each may be repeated.
pub(super) fn moves(context: &Context<'_>, step: &StepKey) -> Moves {
    if given_in(context.plan) != *step {
        return Moves::default();
    }
    let both = context.facts.functions.iter().zip(&context.plan.functions);
    let both = both.map(|(facts, plan)| (&facts.signature, facts.body.as_str(), plan.body.as_str()));
    let unchecked = (both.len() > 0).then(|| UNCHECKED.to_owned());
    let forth = both.clone().map(|(signature, was, other)| replace(signature, (was, other), false));
    let back = both.map(|(signature, was, other)| replace(signature, (other, was), true));
    let mut moves = Moves {
        forth: unchecked.clone().into_iter().chain(forth).collect(),
        back: unchecked.into_iter().chain(back).collect(),
    };
    for (facts, plan) in context.facts.triggers.iter().zip(&context.plan.triggers) {
        let given = |lists, back| give_arguments(context.table(), &facts.name, lists, back);
        moves.forth.push(given((&facts.arguments, &plan.arguments), false));
        moves.back.push(given((&plan.arguments, &facts.arguments), true));
    }
    moves
}

/// Returns the statement that gives the trigger `becomes` as its arguments in place of `was`. It fails where it has others; where
/// the trigger is gone, it fails unless this is the way back.
fn give_arguments(table: &TableName, name: &str, (was, becomes): (&[String], &[String]), back: bool) -> String {
    let list = |of: &[String]| {
        format!(
            "ARRAY[{}]::pg_catalog.text[]",
            of.iter().map(|text| quote_literal(text)).collect::<Vec<_>>().join(", ")
        )
    };
    let values = [quote_literal(&table.sql()), quote_literal(name), list(was), list(becomes), back.to_string()];
    format!("DO {}", dollar_quote(&with_values(include_str!("bodies/arguments.sql"), &values)))
}

/// Returns the statement that gives the function `becomes` as its body in place of `was`. It fails where the function has a third
/// one; where it is gone, it fails unless this is the way back.
pub(crate) fn replace(signature: &str, (was, becomes): (&str, &str), back: bool) -> String {
    let values = [quote_literal(signature), quote_literal(was), quote_literal(becomes), back.to_string()];
    format!("DO {}", dollar_quote(&with_values(include_str!("bodies/replace.sql"), &values)))
}
