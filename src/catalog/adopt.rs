//! A column that has the new name already: taken over where the plan says so and all of it fits, else refused with what it is.

use serde::Deserialize;
use sqlx::PgConnection;

use super::columns::Column;
use super::dependants::{self, Dependant};
use super::finding::{did_you_mean, list};
use super::functions::{Function, mentions};
use super::{CatalogError, Inspection, query};
use crate::ident::MAX_IDENT_BYTES;
use crate::names::{FIRST_TRIGGER, LAST_TRIGGER};
use crate::plan::{Adopt, Pair, Plan};
use crate::run::{AdoptedColumn, PairFacts, ReplacedTrigger};
use crate::sql::quote_ident;

const CODE: &str = "catalog::adopt";
/// What the name of a column ends with that is set aside.
const BY_HAND: &str = "_by_hand";

/// What hangs on the table.
#[derive(Debug, Deserialize)]
struct Around {
    triggers: Vec<Trigger>,
    indexes: Vec<Index>,
}

#[derive(Debug, Deserialize)]
struct Trigger {
    name: String,
    /// How ALTER TABLE enables it; `None` where it is disabled.
    enabled: Option<String>,
    function: String,
    /// The text of the function, and the trigger's arguments.
    source: String,
    /// Whether its column list or its WHEN names the column.
    depends: bool,
}

/// An index on the new column.
#[derive(Debug, Deserialize)]
struct Index {
    name: String,
    qualified: String,
    /// Whether it may refuse a row.
    checks: bool,
    /// Whether it has an expression or a predicate.
    computes: bool,
    of_both: bool,
}

impl Around {
    async fn read(
        conn: &mut PgConnection,
        (table, taken): (i64, &Column),
        old: Option<&Column>,
    ) -> Result<Self, CatalogError> {
        let query = query::fixed(include_str!("adopt.sql"))
            .bind(table)
            .bind(taken.name.clone())
            .bind(taken.attnum)
            .bind(old.map_or(0, |old| i32::from(old.attnum)))
            .bind(FIRST_TRIGGER.to_owned())
            .bind(LAST_TRIGGER.to_owned());
        query::read(conn, "read what hangs on the column that is there", query).await
    }

    /// The triggers that name the column, as far as the text of their functions tells.
    fn naming<'a>(&'a self, column: &'a str) -> impl Iterator<Item = &'a Trigger> {
        self.triggers.iter().filter(move |trigger| trigger.depends || mentions(&trigger.source, column))
    }
}

/// A column that the plan takes over.
#[derive(Debug)]
pub(super) struct Adoption {
    column: Column,
    triggers: Vec<ReplacedTrigger>,
    /// The functions that no other trigger of the table calls.
    functions: Vec<String>,
    /// Indexes on both columns.
    of_both: Vec<String>,
}

/// Looks for columns that have the new names already. Returns the one that the plan takes over, with a refusal for everything in
/// which it does not fit; refuses all others with what they are.
pub(super) async fn judge(
    conn: &mut PgConnection,
    plan: &Plan,
    (table, columns): (i64, &[Column]),
    found: &mut Inspection,
) -> Result<Option<Adoption>, CatalogError> {
    let mut adoption = None;
    for (_, change) in plan.pairs() {
        let taken = columns.iter().find(|column| column.name == change.new.as_str());
        let old = columns.iter().find(|column| column.name == change.old.as_str());
        match (taken, change.adopt) {
            (None, None) => {}
            (None, Some(_)) => found.refuse(
                CODE,
                format!("{} has no column \"{}\" that could be taken over", plan.table, change.new),
                "remove `adopt`: crossfade then adds the column itself",
            ),
            (Some(taken), _) if taken.attnum < 0 => found.refuse(
                "catalog::name_taken",
                format!("the new name \"{}\" is the name of a system column of {}", change.new, plan.table),
                "choose another name",
            ),
            (Some(taken), adopt) => {
                let around = Around::read(conn, (table, taken), old).await?;
                let Some(adopt) = adopt else {
                    refuse_taken(plan, &change, (taken, &around), found);
                    continue;
                };
                let look = Look { plan, change: &change, taken, adopt, around: &around };
                look.column(found);
                look.indexes(found);
                look.dependants(conn, table, found).await?;
                adoption = Some(look.triggers(found));
            }
        }
    }
    Ok(adoption)
}

/// Refuses a column that the plan says nothing of.
fn refuse_taken(plan: &Plan, change: &Pair<'_>, (taken, around): (&Column, &Around), found: &mut Inspection) {
    let naming: Vec<_> = around.naming(&taken.name).collect();
    let mut parts = vec![taken.type_name.clone()];
    parts.extend(taken.not_null.then(|| "NOT NULL".to_owned()));
    parts.extend(taken.identity.map(|_| "identity".to_owned()));
    parts.extend(taken.default.as_ref().map(|default| format!("default {default}")));
    parts.extend(taken.generated.as_ref().map(|made| format!("generated as {}", made.sql)));
    let named: Vec<_> = naming.iter().map(|t| format!("\"{}\" by function {}", t.name, t.function)).collect();
    parts.extend((!named.is_empty()).then(|| format!("named in trigger {}", list(&named))));
    let (table, new) = (plan.table.sql(), change.new.sql());
    let drop = |t: &&Trigger| format!("DROP TRIGGER {} ON {table}; ", quote_ident(&t.name));
    let drops = naming.iter().map(drop).collect::<Vec<_>>().concat();
    let listed: Vec<_> = naming.iter().map(|trigger| trigger.name.as_str()).collect();
    let replaces = if listed.is_empty() { String::new() } else { format!(" replaces: [{}] ", listed.join(", ")) };
    // Names that begin with the run's tag are the run's own.
    let mut aside: String = change.new.to_string();
    while aside.len() > MAX_IDENT_BYTES - BY_HAND.len() {
        aside.pop();
    }
    aside.push_str(BY_HAND);
    found.refuse(
        "catalog::name_taken",
        format!("the new name \"{}\" is taken by another column of {} ({})", change.new, plan.table, parts.join(", ")),
        format!(
            "choose another name; if a run of crossfade has made the column, `crossfade status` lists it. If somebody began this change by \
             hand, write `adopt: {{{replaces}}}` into it, and crossfade takes the column over; or, once no release names it, \
             BEGIN; {drops}ALTER TABLE {table} RENAME COLUMN {new} TO {}; COMMIT; sets it aside with its values",
            quote_ident(&aside)
        ),
    );
}

/// A column to be taken over.
struct Look<'a> {
    plan: &'a Plan,
    change: &'a Pair<'a>,
    taken: &'a Column,
    adopt: &'a Adopt,
    around: &'a Around,
}

impl Look<'_> {
    fn refuse(&self, what: &str, help: impl Into<String>, found: &mut Inspection) {
        found.refuse(
            CODE,
            format!("column \"{}\" of {} cannot be taken over: {what}", self.taken.name, self.plan.table),
            help,
        );
    }

    /// What the column itself is.
    fn column(&self, found: &mut Inspection) {
        let taken = self.taken;
        let alter = format!("ALTER TABLE {} ALTER COLUMN {}", self.plan.table.sql(), self.change.new.sql());
        if taken.generated.is_some() {
            let help = format!(
                "{alter} DROP EXPRESSION; keeps its values; one that is VIRTUAL has none: drop it, and remove `adopt`"
            );
            self.refuse("it is a generated column", help, found);
        }
        if taken.identity.is_some() {
            self.refuse("it is an identity column", format!("{alter} DROP IDENTITY;"), found);
        }
        if taken.inherited {
            self.refuse("it is inherited", "table inheritance is not supported", found);
        }
        if taken.not_null && taken.identity.is_none() {
            let help = format!(
                "{alter} DROP NOT NULL; crossfade makes it NOT NULL again where the old column is, once every row is filled"
            );
            self.refuse("it is NOT NULL, which the run proves itself", help, found);
        }
        if !taken.grantors.is_empty() {
            let what = format!("it has privileges granted by {}, who does not own the table", list(&taken.grantors));
            self.refuse(&what, "have each revoke them; the column gets those of the old one", found);
        }
        for provider in &taken.labels {
            let (table, new) = (self.plan.table.sql(), self.change.new.sql());
            let help = format!("SECURITY LABEL FOR {} ON COLUMN {table}.{new} IS NULL;", quote_ident(provider));
            self.refuse(&format!("it has a security label of {provider}"), help, found);
        }
    }

    /// An index that can refuse a row, or fail, would refuse what the sync trigger writes; any other one stays.
    fn indexes(&self, found: &mut Inspection) {
        for index in &self.around.indexes {
            let what = match index {
                Index { checks: true, .. } => "is unique, so writes of the old column could fail while rows are filled",
                Index { of_both: true, .. } => "holds the old column, too",
                Index { computes: true, .. } => "has an expression, which could fail for what is filled in",
                _ => continue,
            };
            let help = format!(
                "DROP INDEX CONCURRENTLY {}; (of a constraint: ALTER TABLE {} DROP CONSTRAINT {}); crossfade builds the indexes of the old \
                 column for the new one, and those that the plan lists under `indexes.add`",
                index.qualified,
                self.plan.table.sql(),
                quote_ident(&index.name)
            );
            self.refuse(&format!("index \"{}\" {what}", index.name), help, found);
        }
    }

    async fn dependants(
        &self,
        conn: &mut PgConnection,
        table: i64,
        found: &mut Inspection,
    ) -> Result<(), CatalogError> {
        let of = self.plan.table.sql();
        for hanging in dependants::read(conn, table, &[i32::from(self.taken.attnum)]).await? {
            let Dependant { name, kind, description } = &hanging.what;
            let name = quote_ident(name);
            let help = match kind.as_str() {
                // They follow the column, whatever becomes of it; or they are judged elsewhere.
                "view" | "materialized_view" | "statistics" | "function" | "trigger" | "index" | "not_null"
                | "identity" => continue,
                "check" | "foreign_key" | "unique" | "exclusion" | "temporal" | "primary_key" => {
                    format!("ALTER TABLE {of} DROP CONSTRAINT {name};")
                }
                "referenced" => format!("drop that constraint: ALTER TABLE ... DROP CONSTRAINT {name};"),
                "sequence" => format!("ALTER SEQUENCE {name} OWNED BY NONE; (with its schema)"),
                "policy" => {
                    // Its name is in the description alone.
                    let rest = description.strip_prefix("policy ").and_then(|rest| rest.rsplit_once(" on "));
                    let policy = rest.map_or(description.as_str(), |(policy, _)| policy);
                    format!("DROP POLICY {} ON {of};", quote_ident(policy))
                }
                "rule" | "rule_on_write" | "rule_on_delete" => format!("DROP RULE {name} ON {of};"),
                "generated_column" => format!("ALTER TABLE {of} ALTER COLUMN {name} DROP EXPRESSION;"),
                _ => "drop it, or change it so that it does not use the column".to_owned(),
            };
            self.refuse(&format!("{description} uses it, and could refuse what is filled in"), help, found);
        }
        Ok(())
    }

    /// Each trigger that names the column is either replaced or kept.
    fn triggers(&self, found: &mut Inspection) -> Adoption {
        let around = &self.around.triggers;
        let (replaces, keeps) = (&self.adopt.replaces, &self.adopt.keeps);
        for name in replaces.iter().chain(keeps) {
            if !around.iter().any(|trigger| trigger.name == name.as_str()) {
                let near = did_you_mean(name.as_str(), around.iter().map(|trigger| trigger.name.as_str()));
                let help = near
                    .map_or_else(|| "remove it from `adopt`".to_owned(), |near| format!("did you mean \"{near}\"?"));
                self.refuse(&format!("the table has no trigger \"{name}\""), help, found);
            }
        }
        for trigger in self.around.naming(&self.taken.name) {
            let name = &trigger.name;
            if !replaces.iter().chain(keeps).any(|named| named.as_str() == name) {
                let what = format!("trigger \"{name}\" (function {}) names it", trigger.function);
                let help = format!(
                    "if it keeps the two columns equal, write `replaces: [{name}]` under `adopt`, and crossfade's takes its place; if it has \
                     another purpose, `keeps: [{name}]`"
                );
                self.refuse(&what, help, found);
            }
        }
        let (gone, others): (Vec<_>, Vec<_>) =
            around.iter().partition(|trigger| replaces.iter().any(|name| name.as_str() == trigger.name));
        let only = |trigger: &&&Trigger| !others.iter().any(|other| other.function == trigger.function);
        let of_both = self.around.indexes.iter().filter(|index| index.of_both);
        Adoption {
            column: self.taken.clone(),
            of_both: of_both.map(|index| index.name.clone()).collect(),
            functions: gone.iter().filter(only).map(|trigger| trigger.function.clone()).collect(),
            triggers: gone
                .iter()
                .map(|trigger| ReplacedTrigger { name: trigger.name.clone(), enabled: trigger.enabled.clone() })
                .collect(),
        }
    }
}

impl Adoption {
    /// Returns the name of the column, if there is one, and those of the triggers whose place crossfade's takes.
    pub(super) fn names(this: Option<&Self>) -> (Vec<String>, Vec<String>) {
        let triggers = this.iter().flat_map(|this| &this.triggers).map(|trigger| trigger.name.clone());
        (this.iter().map(|this| this.column.name.clone()).collect(), triggers.collect())
    }

    /// Returns whether an index is on both columns, for which it was refused.
    pub(super) fn refuses(this: Option<&Self>, index: &str) -> bool {
        this.is_some_and(|this| this.of_both.iter().any(|name| name == index))
    }

    /// Marks the functions that only triggers call which are replaced.
    pub(super) fn mark(this: Option<&Self>, functions: &mut [Function]) {
        for function in functions {
            function.replaced = this.is_some_and(|this| this.replaces(function));
        }
    }

    /// Returns the facts of pairs, with the column that is taken over: a plan that does this makes no other change.
    pub(super) fn complete(
        this: Option<&Self>,
        plan: &Plan,
        pairs: Vec<(Pair<'_>, PairFacts)>,
        found: &mut Inspection,
    ) -> Vec<PairFacts> {
        let adopted = |(change, mut facts): (Pair<'_>, PairFacts)| {
            facts.adopted = this.and_then(|this| this.facts((plan, &change), &facts, found));
            facts
        };
        pairs.into_iter().map(adopted).collect()
    }

    fn replaces(&self, function: &Function) -> bool {
        self.functions.contains(&function.signature) && function.other_tables.is_empty()
    }

    /// Refuses a column that is not what the plan makes, and returns it as a part of the facts.
    fn facts(
        &self,
        (plan, change): (&Plan, &Pair<'_>),
        facts: &PairFacts,
        found: &mut Inspection,
    ) -> Option<AdoptedColumn> {
        let (taken, table, new) = (&self.column, plan.table.sql(), change.new.sql());
        if facts.metadata_only {
            found.refuse(
                CODE,
                format!("PostgreSQL changes the type of column \"{}\" in place, so column \"{}\" is not needed", change.old, change.new),
                format!("remove `adopt` and `via`; ALTER TABLE {table} DROP COLUMN {new}; drops the column, once no release names it"),
            );
            return None;
        }
        let (is, wanted) = (taken.type_name.clone() + &taken.collate(), facts.new_type.clone() + &facts.new_collate);
        if is != wanted {
            found.refuse(
                CODE,
                format!("column \"{}\" of {} cannot be taken over: its type is {is}, and the plan makes it {wanted}", change.new, plan.table),
                format!(
                    "ALTER TABLE {table} ALTER COLUMN {new} TYPE {wanted} USING {new}::{}; it rewrites the table under ACCESS EXCLUSIVE, \
                     unless PostgreSQL need not touch the values: where that takes too long, drop the column once no release names it, and \
                     remove `adopt`",
                    facts.new_type
                ),
            );
            return None;
        }
        let overwrites = change.adopt.is_some_and(|adopt| adopt.overwrite);
        let value = match &facts.forward {
            crate::run::Conversion::Expression { sql, .. } => format!("({sql})"),
            _ => change.old.sql(),
        };
        let count = format!(
            "SELECT count(*) FROM {table} WHERE {new} IS NOT NULL AND pg_catalog.record_image_ne(ROW({new}), ROW(CAST({value} AS {})))",
            facts.new_type
        );
        found.warn(
            CODE,
            if overwrites {
                format!("column \"{0}\" is taken over, and values of it that are not what \"{1}\" converts to are overwritten for good", change.new, change.old)
            } else {
                format!("column \"{0}\" is taken over; rows in which it has a value that is not what \"{1}\" converts to stop the run at `verify`", change.new, change.old)
            },
            format!("{count}; counts them now"),
        );
        Some(AdoptedColumn {
            column: taken.facts(true),
            type_storage: taken.type_storage.clone(),
            triggers: self.triggers.clone(),
        })
    }
}
