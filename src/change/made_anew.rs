//! What PostgreSQL will not take along when a column of another type gets the old one's name: views, policies, triggers with a
//! column list or a condition, extended statistics, owned sequences. They are taken down and made anew in the transaction of the
//! swap, as they are at that moment, so that what others change meanwhile is kept.
//!
//! A materialized view takes too long to fill for that. It keeps its name and its rows in the swap, and beside it stands an empty one of
//! the same definition, which so reads the column that has the name now. The next step fills that, while nobody but REFRESH waits, and
//! exchanges the two. Views that read materialized views wait with them.
//!
//! PostgreSQL writes their definitions, with the names that columns have before the swap; afterwards the same names belong to
//! the new columns.

use super::Context;
use super::fragment::Moves;
use crate::names::{FIRST_TRIGGER, LAST_TRIGGER};
use crate::run::{Action, Is, Phase, RelationId, Step, Undo, What};
use crate::sql::{LockMode, dollar_quote, quote_literal, with_values};

/// What gives a view everything else that belongs to it.
const DRESS: &str = include_str!("made_anew/dress.sql");

/// Statements around those that exchange the names of `columns`, in the order of the transaction: the same on both ways.
#[derive(Debug)]
pub(super) struct Around {
    pub(super) before: String,
    pub(super) after: String,
}

/// Returns what takes down, and makes anew, whatever hangs on `columns`. `in_place` is a change of the type that keeps the column:
/// statistics and sequences stay on it.
pub(super) fn around(context: &Context<'_>, columns: &[&str], in_place: bool) -> Around {
    let table = quote_literal(&context.table().sql());
    let [twins, parked] = prefixes(context);
    let triggers = [FIRST_TRIGGER, LAST_TRIGGER].map(quote_literal);
    let values: Vec<_> = [table, array(columns), in_place.to_string()]
        .into_iter()
        .chain(triggers)
        .chain([twins, parked, rights("", "r"), DRESS.to_owned(), rights("SEQUENCE ", "s")])
        .collect();
    Around {
        before: format!("DO {}", dollar_quote(&with_values(include_str!("made_anew/down.sql"), &values))),
        after: format!("DO {}", dollar_quote(include_str!("made_anew/up.sql"))),
    }
}

/// Returns what gives an object that is made anew the rights that it had, and takes away those that default privileges have given.
/// `kind` stands before its name, `letter` is that of `acldefault`.
fn rights(kind: &str, letter: &str) -> String {
    with_values(include_str!("made_anew/rights.sql"), &[kind.to_owned(), letter.to_owned()])
}

/// Puts `moves`, which exchange the names of `columns`, between what takes down and what makes anew.
pub(super) fn surround(context: &Context<'_>, columns: &[&str], moves: Moves) -> Moves {
    let around = around(context, columns, false);
    let between = |statements: Vec<String>| {
        let before = std::iter::once(around.before.clone());
        before.chain(statements).chain(std::iter::once(around.after.clone())).collect()
    };
    Moves { forth: between(moves.forth), back: between(moves.back) }
}

/// Returns the steps that fill the materialized views on columns that get another type: one before the swap, which does so on the way
/// back, and one behind it.
pub(super) fn refills(context: &Context<'_>) -> Option<[Step; 2]> {
    let all = &context.facts.main().materialized_views;
    if all.is_empty() {
        return None;
    }
    let [twins, parked] = prefixes(context);
    let fill = with_values(include_str!("made_anew/refill.sql"), &[twins, parked, rights("", "r"), DRESS.to_owned()]);
    let fill = Action::concurrent(format!("DO {}", dollar_quote(&fill)));
    let step = |phase, title, action| {
        Step::new(phase, What::Refill, title, action).locks(RelationId::MAIN, LockMode::AccessShare)
    };
    let all = all.join(", ");
    let back = step(
        Phase::Verify,
        format!("nothing yet: after the swap, a rollback fills {all} from the old column"),
        Action::Transaction(vec![]),
    );
    let none_waits = Is::NoView { begins: context.tag.twin_views() }.on(RelationId::MAIN);
    let forth = step(
        Phase::Switch,
        format!(
            "fill {all} from the new column, and then exchange it with what there is: until then, only REFRESH waits"
        ),
        fill.clone(),
    );
    Some([
        back.undo(Undo::Actions { needs: vec![], actions: vec![fill] }),
        forth
            .done_when([none_waits])
            .undo(Undo::nothing("what is filled follows its column, and is filled again after the swap is undone")),
    ])
}

/// What the names of twins and of parked views begin with, as literals.
fn prefixes(context: &Context<'_>) -> [String; 2] {
    [context.tag.twin_views(), context.tag.parked_views()].map(|name| quote_literal(&name))
}

/// Returns what locks the views above `columns` of `table` (quoted for SQL), the outermost first, before the table is locked:
/// as statements of applications do. Who holds some of them waits for the table no longer than 300 ms, so that PostgreSQL never
/// has to choose a victim.
pub(crate) fn lock_views(table: &str, columns: &[String]) -> String {
    let columns: Vec<_> = columns.iter().map(String::as_str).collect();
    let values = [quote_literal(table), array(&columns)];
    format!("DO {}", dollar_quote(&with_values(include_str!("made_anew/lock.sql"), &values)))
}

fn array(columns: &[&str]) -> String {
    let columns: Vec<_> = columns.iter().map(|column| quote_literal(column)).collect();
    format!("ARRAY[{}]::pg_catalog.name[]", columns.join(", "))
}
