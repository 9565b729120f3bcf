//! What else is at work on the table: triggers, rules, subscriptions, users of whole rows.

use serde::Deserialize;
use sqlx::PgConnection;

use super::finding::list;
use super::{CatalogError, Inspection, query};
use crate::ident::TableName;
use crate::names::{FIRST_TRIGGER, LAST_TRIGGER};
use crate::plan::Plan;

#[derive(Debug, Deserialize)]
pub(super) struct Neighbours {
    triggers: Vec<Trigger>,
    /// Name, and whether it replaces an UPDATE.
    rules: Vec<(String, bool)>,
    subscriptions: Vec<String>,
    row_columns: Vec<String>,
    row_users: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the bits of pg_trigger.tgtype")]
struct Trigger {
    name: String,
    /// Whether it is on a partition, on all of them, or on a table that inherits.
    of_members: bool,
    enabled: bool,
    per_row: bool,
    before: bool,
    on_insert: bool,
    on_update: bool,
    by_column: bool,
    /// The columns of its `UPDATE OF`.
    attnums: Vec<i16>,
    /// One of them that is generated and stored.
    generated: Option<String>,
    sorts_before_ours: bool,
    sorts_after_ours: bool,
}

impl Trigger {
    fn fires_before(&self) -> bool {
        self.per_row && self.before && (self.on_insert || self.on_update)
    }
}

impl Neighbours {
    pub(super) async fn read(conn: &mut PgConnection, table: i64) -> Result<Self, CatalogError> {
        let query = query::fixed(include_str!("neighbours.sql"))
            .bind(table)
            .bind(FIRST_TRIGGER.to_owned())
            .bind(LAST_TRIGGER.to_owned());
        query::read(conn, "read the table's triggers and rules", query).await
    }

    /// Returns whether another trigger fires before a row is written. It may read or change the columns, whatever its function
    /// looks like, and one that is disabled may be enabled (docs/postgres.md, "Other BEFORE triggers").
    pub(super) fn fire_before(&self) -> bool {
        self.triggers.iter().any(Trigger::fires_before)
    }

    /// Says that these triggers do not fire while the run lasts.
    pub(super) fn disable(&mut self, names: &[String]) {
        for trigger in self.triggers.iter_mut().filter(|trigger| names.contains(&trigger.name)) {
            trigger.enabled = false;
        }
    }

    /// Returns the names of the triggers for `UPDATE OF` the first of one of these lists of columns, and the rest of it.
    pub(super) fn listeners(&self, columns: &[Vec<i16>]) -> Vec<String> {
        self.listening(columns).map(|trigger| trigger.name.clone()).collect()
    }

    fn listening(&self, columns: &[Vec<i16>]) -> impl Iterator<Item = &Trigger> {
        let to = |trigger: &Trigger, list: &[i16]| list.iter().all(|attnum| trigger.attnums.contains(attnum));
        let listens = move |trigger: &&Trigger| {
            let mut of_it = columns.iter().filter(|list| to(trigger, &list[..1])).peekable();
            of_it.peek().is_some() && of_it.all(|list| to(trigger, list))
        };
        self.triggers.iter().filter(listens)
    }

    /// Refuses triggers for `UPDATE OF` one of these columns, which stay, where the table is partitioned (rows of a partition that is
    /// attached later are filled when such triggers fire for both columns), and those of tables that inherit from it.
    pub(super) fn judge_listeners(&self, table: &TableName, columns: &[Vec<i16>], found: &mut Inspection) {
        for trigger in self.listening(columns).filter(|trigger| trigger.of_members) {
            found.refuse(
                "catalog::partition_trigger",
                format!(
                    "trigger \"{}\" of {table}, of one of its partitions or of a table that inherits from it fires for UPDATE OF a column that \
                     is renamed",
                    trigger.name
                ),
                "crossfade cannot make it listen to both names there yet: let it fire for every UPDATE for the run, \
                 and look in its function whether the column has changed",
            );
        }
    }

    pub(super) fn judge(&self, plan: &Plan, found: &mut Inspection) {
        let table = &plan.table;
        for trigger in &self.triggers {
            let order = [(trigger.sorts_before_ours, "before"), (trigger.sorts_after_ours, "after")];
            for (_, order) in order.into_iter().filter(|(so, _)| *so && trigger.fires_before()) {
                found.refuse(
                    "catalog::trigger_order",
                    format!(
                        "trigger \"{}\" of {table} fires {order} crossfade's, because its name sorts {order} it",
                        trigger.name
                    ),
                    "rename it: the sync trigger must stand around all others",
                );
            }
        }
        self.judge_generated(plan, found);
        for (rule, _) in self.rules.iter().filter(|(_, replaces)| *replaces) {
            found.refuse(
                "catalog::rule",
                format!("rule \"{rule}\" of {table} replaces every UPDATE, including the backfill's"),
                "turn it into a trigger, or drop it for the run",
            );
        }
        for subscription in &self.subscriptions {
            found.refuse(
                "catalog::subscription",
                format!("subscription \"{subscription}\" writes to {table}"),
                "replicated rows do not fire ordinary triggers, so they would not be synced; not supported yet",
            );
        }
        // A column without a default is added, and one is renamed.
        let refused = self.row_columns.iter().filter(|_| !plan.only_borrows());
        for column in refused {
            found.refuse(
                "catalog::row_type",
                format!("{column} has the row type of {table}"),
                "PostgreSQL then refuses to change the table's columns; not supported yet",
            );
        }
        self.warn(table, found);
    }

    /// Refuses triggers for `UPDATE OF` a generated column, which would fire for every UPDATE as soon as the table has a BEFORE trigger
    /// (docs/postgres.md, "UPDATE OF a generated column").
    fn judge_generated(&self, plan: &Plan, found: &mut Inspection) {
        let fires_anyway = self.triggers.iter().any(|other| other.per_row && other.before && other.on_update);
        if fires_anyway || plan.pairs().next().is_none() {
            return;
        }
        for trigger in self.triggers.iter().filter(|trigger| trigger.enabled && trigger.on_update) {
            let Some(column) = &trigger.generated else { continue };
            found.refuse(
                "catalog::generated_listener",
                format!(
                    "trigger \"{}\" of {} fires for UPDATE OF the generated column \"{column}\": PostgreSQL would fire it for every UPDATE, \
                     because the run needs a BEFORE trigger",
                    trigger.name, plan.table
                ),
                "let it fire for UPDATE OF the columns that the generated one is made from, or for every UPDATE, and look in its function \
                 whether the column has changed",
            );
        }
    }

    fn warn(&self, table: &TableName, found: &mut Inspection) {
        let fired = self.triggers.iter().filter(|t| t.enabled && t.on_update && !t.by_column);
        let fired: Vec<_> = fired.map(|t| format!("\"{}\"", t.name)).collect();
        if !fired.is_empty() {
            found.warn(
                "catalog::trigger_on_backfill",
                format!("the backfill updates every row of {table} once, and fires {}", list(&fired)),
                "check that this is acceptable: timestamps change, audit rows are written, notifications are sent; or set `backfill: { triggers: skip }`",
            );
        }
        let rules: Vec<_> =
            self.rules.iter().filter(|(_, replaces)| !replaces).map(|(rule, _)| format!("\"{rule}\"")).collect();
        if !rules.is_empty() {
            found.warn(
                "catalog::rule_on_table",
                format!("statements on {table} are rewritten by rule {}", list(&rules)),
                "check what each does to an UPDATE of every row",
            );
        }
        if !self.row_users.is_empty() {
            found.warn(
                "catalog::whole_row",
                format!("whole rows of {table} are used by {}", list(&self.row_users)),
                "they include the new column as soon as it is added, and the old one until it is dropped",
            );
        }
    }
}
