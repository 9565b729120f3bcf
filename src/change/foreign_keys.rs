//! Foreign keys of partitioned tables. PostgreSQL before 18 adds one to such a table only if it holds for all rows, and reads them while
//! nobody can write. So each partition gets one and has it proved, and then the whole gets its own, which takes those as its parts
//! and reads no row (docs/postgres.md, "Partitioned tables").

use super::Context;
use crate::run::{Action, Is, Phase, RelationId, Step, Undo, What};
use crate::sql::{LockMode, dollar_quote, quote_ident, quote_literal, with_values};

/// A foreign key that is made in each partition first.
pub(super) struct Divided<'a> {
    /// The partitioned table.
    pub(super) table: RelationId,
    /// The table that it refers to.
    pub(super) other: RelationId,
    /// Its name in partitions until it is that of the whole.
    pub(super) called: String,
    /// Its name as that of the whole.
    pub(super) own: String,
    /// What stands behind its name.
    pub(super) definition: &'a str,
    /// Whether it holds for all rows.
    pub(super) validated: bool,
    pub(super) comment: Option<&'a str>,
}

/// Whether a foreign key between these tables has parts.
pub(super) fn has_parts(context: &Context<'_>, tables: [Option<RelationId>; 2]) -> bool {
    tables.into_iter().flatten().any(|table| is_partitioned(context, table))
}

/// Whether the table is partitioned.
pub(super) fn is_partitioned(context: &Context<'_>, table: RelationId) -> bool {
    context.facts.tables.get(usize::from(table.0)).is_some_and(|table| table.partitioned)
}

/// Returns the name of the table, for SQL.
pub(super) fn place(context: &Context<'_>, table: RelationId) -> String {
    context.facts.tables.get(usize::from(table.0)).map_or_else(String::new, |table| table.name.sql())
}

fn block(body: &str, values: &[String]) -> String {
    format!("DO {}", dollar_quote(&with_values(body, values)))
}

/// Returns the statements that drop what is called so on `table`, and in its partitions as far as it is made there; they may be repeated.
pub(super) fn drop(table: &str, name: &str) -> Vec<String> {
    let whole = format!("ALTER TABLE IF EXISTS {table} DROP CONSTRAINT IF EXISTS {}", quote_ident(name));
    vec![whole, block(include_str!("foreign_keys/drop.sql"), &[table, name].map(quote_literal))]
}

/// Returns the statement that gives the foreign key `of` of `table`, and its parts, the names of `own` and of its parts, which get names that
/// begin with `parked`.
pub(super) fn exchange(table: &str, own: &str, of: &str, parked: &str) -> String {
    block(include_str!("foreign_keys/exchange.sql"), &[table, own, of, parked].map(quote_literal))
}

impl Divided<'_> {
    /// Adds it to each partition, for new rows only.
    pub(super) fn promise(&self, context: &Context<'_>) -> String {
        let values = [&place(context, self.table), &self.called, self.definition].map(quote_literal);
        block(include_str!("foreign_keys/promise.sql"), &values)
    }

    /// Proves it in one partition after the other.
    pub(super) fn prove(&self, context: &Context<'_>) -> Action {
        let values = [&place(context, self.table), &self.called].map(|text| quote_literal(text));
        Action::concurrent(block(include_str!("foreign_keys/prove.sql"), &values))
    }

    /// Makes it that of the whole.
    pub(super) fn join(&self, context: &Context<'_>) -> String {
        let rest = if self.validated { "" } else { " NOT VALID" };
        let mut values =
            [&place(context, self.table), &self.called, &self.own, self.definition, rest].map(quote_literal).to_vec();
        values.push(self.comment.map_or_else(|| "NULL".to_owned(), quote_literal));
        block(include_str!("foreign_keys/join.sql"), &values)
    }

    /// Proves it where it is to hold for all rows, and makes it that of the whole.
    pub(super) fn finish(&self, context: &Context<'_>) -> Vec<Action> {
        let prove = self.validated.then(|| self.prove(context));
        prove.into_iter().chain([Action::Transaction(vec![self.join(context)])]).collect()
    }

    /// The step that adds it to each partition. `key` is the name by which steps know it, `title` what it is called in words.
    pub(super) fn promised(&self, context: &Context<'_>, phase: Phase, (key, title): (&str, &str)) -> Step {
        let title = format!("add {title} to each partition, for new rows only");
        let action = Action::Transaction(vec![self.promise(context)]);
        let step = Step::new(phase, What::Promise(key.to_owned()), title, action);
        let back = drop(&place(context, self.table), &self.called);
        self.locks(step, LockMode::ShareRowExclusive).undo(Undo::by(back))
    }

    /// The steps that prove it, and make it that of the whole.
    pub(super) fn finished(&self, context: &Context<'_>, phase: Phase, (key, title): (&str, &str)) -> Vec<Step> {
        let prove = self.validated.then(|| {
            let title = format!("prove {title} in one partition after the other, while writes continue");
            Step::new(phase, What::Validate(key.to_owned()), title, self.prove(context))
                .locks(self.table, LockMode::ShareUpdateExclusive)
                .undo(Undo::nothing("a validated constraint goes when it is dropped"))
        });
        let name = self.own.clone();
        let is = if self.validated { Is::Constraint { name } } else { Is::SomeConstraint { name } };
        let title = format!("make {title} one of the whole table, of what the partitions have: no row is read");
        let action = Action::Transaction(vec![self.join(context)]);
        let join = Step::new(phase, What::Constraint(key.to_owned()), title, action).done_when([is.on(self.table)]);
        prove.into_iter().chain([self.locks(join, LockMode::AccessExclusive)]).collect()
    }

    /// The table that refers first, as the checks of applications do.
    fn locks(&self, step: Step, mode: LockMode) -> Step {
        let step = step.locks(self.table, mode);
        if self.other == self.table { step } else { step.locks(self.other, mode) }
    }
}
