//! What else is at work on the table: triggers, rules, replication, users of whole rows.

use serde::Deserialize;
use sqlx::PgConnection;

use super::finding::list;
use super::functions::mentions;
use super::{CatalogError, Inspection, query};
use crate::ident::TableName;
use crate::names::TRIGGER_PREFIX;

#[derive(Debug, Deserialize)]
pub(super) struct Neighbours {
    triggers: Vec<Trigger>,
    /// Name, and whether it replaces an UPDATE.
    rules: Vec<(String, bool)>,
    publications: Vec<String>,
    subscriptions: Vec<String>,
    row_columns: Vec<String>,
    row_users: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the bits of pg_trigger.tgtype")]
struct Trigger {
    name: String,
    function: String,
    language: String,
    source: String,
    enabled: bool,
    per_row: bool,
    before: bool,
    on_insert: bool,
    on_update: bool,
    by_column: bool,
    sorts_after_ours: bool,
}

impl Trigger {
    /// Whether it may change a column that its statement does not name: it mentions one, or cannot be seen through.
    fn may_change(&self, columns: &[&str]) -> bool {
        if self.function == "suppress_redundant_updates_trigger()" {
            return false;
        }
        if self.language != "plpgsql" {
            return true;
        }
        let source = self.source.to_lowercase();
        // A quoted name with a quote in it is doubled in the text; such a trigger is taken for one that may.
        let names = |column: &&str| column.contains('"') || mentions(&source, column);
        let words: Vec<_> =
            source.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty()).collect();
        let returns_other = words.windows(2).any(|w| w[0] == "return" && !matches!(w[1], "new" | "null"));
        let whole_row = {
            let text: String = source.split_whitespace().collect::<Vec<_>>().join(" ");
            ["new :=", "new:=", "new =", "new=", "into new ", "into strict new ", "into new;", "into strict new;"]
                .iter()
                .any(|assignment| text.contains(assignment))
        };
        columns.iter().any(names) || words.contains(&"execute") || returns_other || whole_row
    }
}

impl Neighbours {
    pub(super) async fn read(conn: &mut PgConnection, table: i64, first_trigger: &str) -> Result<Self, CatalogError> {
        let query = query::fixed(include_str!("neighbours.sql"))
            .bind(table)
            .bind(first_trigger.to_owned())
            .bind(TRIGGER_PREFIX.to_owned());
        query::read(conn, "read the table's triggers, rules and publications", query).await
    }

    /// Returns whether another trigger may change one of the columns before the sync trigger sees the row (docs/postgres.md,
    /// "Triggers with a column list").
    pub(super) fn change_before_us(&self, columns: &[&str]) -> bool {
        let before = |t: &&Trigger| t.enabled && t.per_row && t.before && t.on_update;
        self.triggers.iter().filter(before).any(|t| t.may_change(columns))
    }

    pub(super) fn judge(&self, table: &TableName, found: &mut Inspection) {
        for trigger in &self.triggers {
            let dml = trigger.on_insert || trigger.on_update;
            if trigger.before && trigger.per_row && dml && trigger.sorts_after_ours {
                found.refuse(
                    "catalog::trigger_order",
                    format!(
                        "trigger \"{}\" of {table} fires after crossfade's, because its name sorts after it",
                        trigger.name
                    ),
                    "rename it: the sync trigger must run after all others",
                );
            }
        }
        for (rule, _) in self.rules.iter().filter(|(_, replaces)| *replaces) {
            found.refuse(
                "catalog::rule",
                format!("rule \"{rule}\" of {table} replaces every UPDATE, including the backfill's"),
                "turn it into a trigger, or drop it for the run",
            );
        }
        for publication in &self.publications {
            found.refuse(
                "catalog::publication",
                format!("publication \"{publication}\" publishes {table}"),
                "a subscriber stops at the first row with a column that it does not have; not supported yet",
            );
        }
        for subscription in &self.subscriptions {
            found.refuse(
                "catalog::subscription",
                format!("subscription \"{subscription}\" writes to {table}"),
                "replicated rows do not fire ordinary triggers, so they would not be synced; not supported yet",
            );
        }
        for column in &self.row_columns {
            found.refuse(
                "catalog::row_type",
                format!("{column} has the row type of {table}"),
                "PostgreSQL then refuses to change the table's columns; not supported yet",
            );
        }
        self.warn(table, found);
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
