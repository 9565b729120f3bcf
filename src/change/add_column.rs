//! `add_column`: with a default that PostgreSQL keeps in the catalog no row is touched; one that differs from row to row is
//! filled in batches, and NOT NULL is proved afterwards, while writers go on.
//!
//! The backfill goes over the pages once, and an update may carry a row that is not filled yet to a page that is behind it:
//! while rows are filled, a trigger fills those that are written.

use super::fragment::{Fragment, Proof};
use super::{Context, not_null};
use crate::plan::AddColumn;
use crate::run::{Action, AddedColumn, Fill, FillValue, Is, Phase, RelationId, Step, StepKey, Undo, What};
use crate::sql::{LockMode, dollar_quote, quote_ident};

pub(super) fn fragment(context: &Context<'_>, position: usize, change: &AddColumn, facts: &AddedColumn) -> Fragment {
    let (table, name) = (context.table().sql(), change.name.sql());
    let AddedColumn { type_name, collate, default, in_catalog, not_null_name } = facts;
    let add = format!("ALTER TABLE {table} ADD COLUMN {name} {type_name}{collate}");
    let filled = default.as_ref().filter(|_| !in_catalog);
    let healer = filled.map(|default| Healer::new(context, position, &name, default));
    let mut statements = match default {
        None => vec![add],
        Some(default) if *in_catalog => {
            // With a value in the catalog, PostgreSQL need not look at the rows for NOT NULL either.
            let not_null = if change.not_null { " NOT NULL" } else { "" };
            vec![format!("{add} DEFAULT {default}{not_null}")]
        }
        // Rows that are inserted from now on have it.
        Some(default) => vec![add, format!("ALTER TABLE {table} ALTER COLUMN {name} SET DEFAULT {default}")],
    };
    statements.extend(healer.iter().flat_map(Healer::create));
    let mut undo: Vec<_> = healer.iter().flat_map(Healer::drop).collect();
    undo.push(format!("ALTER TABLE {table} DROP COLUMN IF EXISTS {name}"));
    let on = RelationId::MAIN;
    let what = What::AddColumn(change.name.to_string());
    let added = Is::Column { name: change.name.to_string(), type_name: type_name.clone() };
    let key = StepKey::new(Phase::Expand, what.clone());
    let step = Step::new(Phase::Expand, what, format!("add column {}", change.name), Action::Transaction(statements))
        .locks(on, LockMode::AccessExclusive)
        .done_when([added.clone().on(on)])
        .done_when(healer.iter().flat_map(Healer::is_there).map(|is| is.on(on)))
        .undo(Undo::by(undo));
    let end = healer.as_ref().map(|healer| {
        let title = format!("drop the trigger that filled column {} of rows as they were written", change.name);
        let what = What::DropTrigger(change.name.to_string());
        Step::new(Phase::Backfill, what, title, Action::Transaction(healer.drop()))
            .locks(on, LockMode::AccessExclusive)
            .done_when([added, Is::NoFunction { name: healer.function.clone() }].map(|is| is.on(on)))
            .supersedes([key])
            .undo(Undo::by(healer.drop().into_iter().chain(healer.create()).collect()))
    });
    let fill = filled.map(|default| Fill {
        column: name.clone(),
        total: FillValue { value: default.clone(), missing: format!("t.{name} IS NOT DISTINCT FROM NULL") },
        strict: None,
    });
    let constraint = not_null::name(context, position, not_null_name.as_deref());
    let proof = Proof { constraint, column: change.name.to_string(), late: false };
    let not_null = (change.not_null && filled.is_some()).then_some(proof);
    let steps = std::iter::once(step).chain(end).collect();
    Fragment { steps, fill, not_null: not_null.into_iter().collect(), ..Fragment::default() }
}

/// The trigger that gives an updated row its value, if it has none yet.
struct Healer {
    table: String,
    /// The column, quoted.
    column: String,
    trigger: String,
    /// The function's name in the ledger's schema.
    function: String,
    /// The same, qualified and quoted.
    qualified: String,
    body: String,
}

impl Healer {
    fn new(context: &Context<'_>, position: usize, column: &str, default: &str) -> Self {
        let function = format!("fill_{}_{}", context.tag, position + 1);
        Self {
            table: context.table().sql(),
            column: column.to_owned(),
            trigger: context.tag.last_trigger(&format!("4_fill{}", position + 1)),
            qualified: context.ledger.qualify(&function),
            function,
            body: format!("\nBEGIN\n  NEW.{column} := ({default});\n  RETURN NEW;\nEND\n"),
        }
    }

    fn create(&self) -> Vec<String> {
        let Self { table, column, qualified, body, .. } = self;
        let trigger = quote_ident(&self.trigger);
        vec![
            // The default is written for an empty search_path; this runs in an application's session.
            format!(
                "CREATE FUNCTION {qualified}() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS {}",
                dollar_quote(body)
            ),
            format!("GRANT EXECUTE ON FUNCTION {qualified}() TO PUBLIC"),
            format!(
                "CREATE TRIGGER {trigger} BEFORE UPDATE ON {table} FOR EACH ROW WHEN (NEW.{column} IS NOT DISTINCT FROM NULL) EXECUTE FUNCTION {qualified}()"
            ),
        ]
    }

    /// Each statement may be repeated.
    fn drop(&self) -> Vec<String> {
        vec![
            format!("DROP TRIGGER IF EXISTS {} ON {}", quote_ident(&self.trigger), self.table),
            format!("DROP FUNCTION IF EXISTS {}()", self.qualified),
        ]
    }

    fn is_there(&self) -> [Is; 2] {
        let sha256 = crate::ident::sha256_hex(&self.body);
        [Is::Trigger { name: self.trigger.clone() }, Is::Function { name: self.function.clone(), sha256 }]
    }
}
