//! Publications of the table: how their subscribers get through a change of its columns (docs/postgres.md, "Logical replication").

use serde::Deserialize;
use sqlx::PgConnection;

use super::{CatalogError, Inspection, query};
use crate::plan::{AddColumn, Change, DropColumn, Pair, Plan, Publications};
use crate::run::Publication;

/// The first version with column lists.
const LISTS: u32 = 150_000;

/// What is published of a table.
#[derive(Debug, Deserialize)]
pub(super) struct Published {
    /// Whether subscribers know its rows by all columns (REPLICA IDENTITY FULL).
    full: bool,
    /// The columns by which they know them otherwise.
    identity: Vec<String>,
    publications: Vec<Of>,
}

/// A publication of the table.
#[derive(Debug, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "what is asked of a publication has no order")]
struct Of {
    name: String,
    all_tables: bool,
    /// FOR TABLE names the table.
    by_name: bool,
    owned: bool,
    owner: String,
    /// UPDATE or DELETE is published.
    sends_changes: bool,
    /// It is for schemas as well.
    has_schemas: bool,
    /// The columns that it publishes, where it lists them.
    listed: Option<Vec<String>>,
    /// Those that its list or its row filter names.
    uses: Vec<String>,
    /// What it would publish without a list.
    publishable: Vec<String>,
}

impl Of {
    fn publishes(&self, column: &str) -> bool {
        self.listed.as_ref().is_none_or(|listed| listed.iter().any(|name| name == column))
    }

    /// Returns why it cannot be given a list of columns.
    fn cannot_be_narrowed(&self, of: &Published, version: u32) -> Option<String> {
        if version < LISTS {
            Some("PostgreSQL has lists of columns since version 15".to_owned())
        } else if !self.by_name {
            Some("it publishes the table with its schema or its parent, and takes no list of columns then".to_owned())
        } else if self.has_schemas {
            Some("it is FOR TABLES IN SCHEMA as well, and takes no list of columns then".to_owned())
        } else if of.full && self.sends_changes {
            Some(
                "the table has REPLICA IDENTITY FULL: PostgreSQL refuses an UPDATE while a list leaves out a column"
                    .to_owned(),
            )
        } else if !self.owned {
            Some(format!("it belongs to role \"{}\", as which this session may not act", self.owner))
        } else {
            None
        }
    }
}

/// What a change does to what subscribers see.
enum Seen<'a> {
    /// The column gets another name; another one lends it until then.
    Renamed(Pair<'a>),
    /// A column of another type takes its name.
    Retyped(Pair<'a>),
    /// A column more.
    Added(&'a AddColumn),
    /// The same column gets another type.
    InPlace(&'a str),
    /// A column less, or one under a name that nobody knows.
    Gone(&'a str),
}

impl Seen<'_> {
    fn column(&self) -> &str {
        match self {
            Self::Renamed(pair) | Self::Retyped(pair) => pair.old.as_str(),
            Self::Added(change) => change.name.as_str(),
            Self::InPlace(column) | Self::Gone(column) => column,
        }
    }
}

impl Published {
    pub(super) async fn read(conn: &mut PgConnection, table: i64) -> Result<Self, CatalogError> {
        let query = query::fixed(include_str!("publications.sql")).bind(table);
        query::read(conn, "read the publications of the table", query).await
    }

    /// Returns what the run has to know of them; `in_place` says of a pair, by its old column, whether it needs no second column.
    pub(super) fn facts(&self, plan: &Plan, in_place: impl Fn(&Pair<'_>) -> bool) -> Vec<Publication> {
        let second = plan.pairs().any(|(_, pair)| !in_place(&pair));
        let narrows = second && plan.publications == Some(Publications::Narrow);
        let facts = |of: &Of| Publication { name: of.name.clone(), narrowed: narrows && of.listed.is_none() };
        self.publications.iter().map(facts).collect()
    }

    /// Refuses what would stop a subscriber, unless the plan says how it gets through; says what subscribers have to do.
    pub(super) fn judge(
        &self,
        plan: &Plan,
        version: u32,
        in_place: impl Fn(&Pair<'_>) -> bool,
        found: &mut Inspection,
    ) {
        let changes: Vec<_> = plan.changes.iter().filter_map(|change| seen(change, &in_place)).collect();
        for of in &self.publications {
            for change in &changes {
                self.judge_one(of, change, (plan, version), found);
            }
        }
        let silent = self.publications.is_empty() || changes.is_empty();
        if plan.publications.is_some() && silent {
            found.warn(
                "catalog::publications",
                format!("`publications` has no effect: {} is in no publication that the plan touches", plan.table),
                "nothing has to be done",
            );
        }
    }

    /// As [`Self::judge`], for a plan that may choose the way: what rules out both.
    pub(super) fn judge_any(&self, plan: &Plan, version: u32, in_place: bool, found: &mut Inspection) {
        let refused = |way| {
            let mut found = Inspection::empty();
            self.judge(&Plan { publications: Some(way), ..plan.clone() }, version, |_| in_place, &mut found);
            found.refusals
        };
        let narrow = refused(Publications::Narrow);
        if !narrow.is_empty() && !refused(Publications::SubscriberFirst).is_empty() {
            found.refusals.extend(narrow);
        }
    }

    fn judge_one(&self, of: &Of, change: &Seen<'_>, (plan, version): (&Plan, u32), found: &mut Inspection) {
        const CODE: &str = "catalog::publication";
        let (table, column, name) = (&plan.table, change.column(), &of.name);
        let published = format!("publication \"{name}\" publishes {table}");
        match change {
            _ if of.all_tables && !matches!(change, Seen::InPlace(_)) => found.refuse(
                CODE,
                format!("publication \"{name}\" is FOR ALL TABLES, so it publishes {table}, and crossfade's own tables as well"),
                "subscribers have none of those, and stop; PostgreSQL can leave no column of such a publication out: publish the tables by \
                 name or by schema instead",
            ),
            // A new column is not in the list.
            Seen::Added(_) if of.listed.is_some() => {}
            Seen::Added(_) if plan.publications == Some(Publications::SubscriberFirst) => found.warn(
                "catalog::subscriber_first",
                format!("{published} with all columns, so with \"{column}\" as soon as it is there"),
                format!("add column \"{column}\" on every subscriber before the run: one that does not have it stops"),
            ),
            Seen::Added(_) => found.refuse(
                CODE,
                format!("{published} with all columns, and a subscriber that has no column \"{column}\" stops"),
                "add the column on every subscriber first, and say so: `publications: subscriber_first`",
            ),
            Seen::InPlace(_) if of.owned || !of.uses.iter().any(|used| used == column) => {}
            Seen::InPlace(_) => found.refuse(
                CODE,
                format!("publication \"{name}\" names column \"{column}\", and belongs to role \"{}\", as which this session may not act", of.owner),
                "GRANT that role to the one that runs crossfade, or take the table out of the publication for the run",
            ),
            Seen::Renamed(_) if !of.publishes(column) => {}
            Seen::Gone(_) | Seen::Retyped(_) if !of.publishes(column) && !of.uses.iter().any(|used| used == column) => {}
            Seen::Gone(_) => found.refuse(
                CODE,
                format!("{published} with column \"{column}\", and a subscriber stops where the column goes or gets another name"),
                format!(
                    "list the other columns before the run: ALTER PUBLICATION \"{name}\" DROP TABLE {table}, then ADD TABLE {table} (...), \
                     since PostgreSQL 15"
                ),
            ),
            Seen::Renamed(pair) => self.judge_rename(of, pair, (plan, version), found),
            Seen::Retyped(pair) => self.judge_type(of, pair, (plan, version), found),
        }
    }

    fn judge_rename(&self, of: &Of, pair: &Pair<'_>, (plan, version): (&Plan, u32), found: &mut Inspection) {
        let (old, new, name) = (pair.old.as_str(), pair.new.as_str(), &of.name);
        let narrow = of.listed.is_none().then(|| of.cannot_be_narrowed(self, version)).flatten();
        let first = if of.listed.is_some() {
            Some(format!(
                "it lists the columns that it publishes, and \"{new}\" would not be among them before the rename"
            ))
        } else if !self.full && self.identity.iter().any(|column| column == old) {
            Some(format!(
                "subscribers know rows by column \"{old}\" (the replica identity), and would have to know them by \"{new}\" from one \
                 moment to the next"
            ))
        } else {
            None
        };
        let first_chosen = plan.publications == Some(Publications::SubscriberFirst);
        // One with a list sends no second column.
        if (of.listed.is_none() || first_chosen) && chosen(of, plan, (&narrow, &first), found).is_none() {
            return;
        }
        if first_chosen {
            found.warn(
                "catalog::subscriber_first",
                format!("publication \"{name}\" sends column \"{new}\" as soon as the run adds it"),
                format!(
                    "before the run, add column \"{new}\" on every subscriber, of the same type and without NOT NULL, and fill it there; in \
                     the end only \"{new}\" is sent: \"{old}\" must be able to be empty there before the grace period ends"
                ),
            );
        } else {
            found.warn(
                "catalog::subscriber_renames",
                format!("publication \"{name}\" sends column \"{old}\" under the name \"{new}\" from the moment `contract` gives it that name"),
                "each subscriber stops then, and loses nothing: rename the column there as well, and it goes on; `approve: [contract]` \
                     makes the run wait for you before that",
            );
        }
    }

    fn judge_type(&self, of: &Of, pair: &Pair<'_>, (plan, version): (&Plan, u32), found: &mut Inspection) {
        let (old, new, name) = (pair.old.as_str(), pair.new.as_str(), &of.name);
        let moves = (!pair.keeps_name() || pair.adopt.is_some())
            .then(|| "the column that takes its place has another name, or is there already".to_owned());
        let narrow = moves.clone().or_else(|| match of.listed {
            None => of.cannot_be_narrowed(self, version),
            Some(_) => {
                (!of.owned).then(|| format!("it belongs to role \"{}\", as which this session may not act", of.owner))
            }
        });
        let first = moves.or_else(|| {
            if of.listed.is_some() {
                Some("it lists the columns that it publishes, and does not send the second one".to_owned())
            } else if self.full && of.sends_changes {
                Some(
                    "the table has REPLICA IDENTITY FULL: subscribers know rows by all columns, and would not have the old one's values \
                     under each of its names"
                        .to_owned(),
                )
            } else {
                None
            }
        });
        let goes_along = of.listed.is_some() && narrow.is_none() && plan.publications.is_none();
        if !goes_along && chosen(of, plan, (&narrow, &first), found).is_none() {
            return;
        }
        if plan.publications == Some(Publications::SubscriberFirst) {
            let retired = plan.tag().retired(pair.old);
            found.warn(
                "catalog::subscriber_first",
                format!(
                    "publication \"{name}\" sends column \"{new}\" as soon as the run adds it, and the old column as \"{new}\" from \
                     `switch` and as \"{retired}\" from `contract` on"
                ),
                format!(
                    "before the run, add columns \"{new}\" and \"{retired}\" of type text on every subscriber: they take what is sent, and \
                     can be dropped there when the run has ended"
                ),
            );
        }
        found.warn(
            "catalog::subscriber_types",
            format!("publication \"{name}\" sends values of the new type as column \"{old}\" from phase `switch` on"),
            format!("give column \"{old}\" of every subscriber a type that takes them before that: one that does not take a value stops"),
        );
    }

    /// Returns what others have changed of the publications in a way that stops subscribers; `second` are the columns that must not
    /// be published.
    pub(super) fn changed(&self, plan: &Plan, was: &[Publication], second: &[String]) -> Vec<String> {
        let table = &plan.table;
        let mut all = Vec::new();
        for of in &self.publications {
            let Some(was) = was.iter().find(|was| was.name == of.name) else {
                let carries = |column: &String| of.publishes(column);
                if second.is_empty() || second.iter().any(carries) {
                    all.push(format!("publication \"{}\" publishes {table}, and did not when the run began", of.name));
                }
                continue;
            };
            if !was.narrowed {
                continue;
            }
            let wanted: Vec<_> = of.publishable.iter().filter(|column| !second.contains(column)).cloned().collect();
            if of.listed.as_ref() != Some(&wanted) {
                let columns: Vec<_> = wanted.iter().map(|column| crate::sql::quote_ident(column)).collect();
                all.push(format!(
                    "publication \"{}\" does not publish the columns of {table} that it should while the run lasts: ALTER PUBLICATION \
                     ... DROP TABLE {table}, then ADD TABLE {table} ({}) in the same transaction",
                    of.name,
                    columns.join(", ")
                ));
            }
        }
        all
    }
}

/// Returns `Some` where the plan has chosen a way that is open; else it is refused. The ways: why each is closed.
fn chosen(
    of: &Of,
    plan: &Plan,
    (narrow, first): (&Option<String>, &Option<String>),
    found: &mut Inspection,
) -> Option<()> {
    let published = format!("publication \"{}\" publishes {}", of.name, plan.table);
    let (closed, word) = match plan.publications {
        Some(way @ Publications::Narrow) => (narrow, Some(way.as_str())),
        Some(way @ Publications::SubscriberFirst) => (first, Some(way.as_str())),
        None => (&None, None),
    };
    let ways = [
        (narrow, "`publications: narrow`: crossfade keeps the second column out of the publication"),
        (first, "`publications: subscriber_first`: you add the column on every subscriber before the run"),
    ];
    let open: Vec<_> = ways.iter().filter(|(closed, _)| closed.is_none()).map(|(_, way)| *way).collect();
    let shut: Vec<_> = ways
        .iter()
        .filter_map(|(closed, way)| {
            let word = way.split("`: ").next()?;
            Some(format!("{word}` cannot be: {}", closed.as_ref()?))
        })
        .collect();
    let help = if open.is_empty() {
        format!("{}; take the table out of the publication for the run", shut.join("; "))
    } else {
        format!("say how its subscribers get through: {}", open.join("; or "))
    };
    match (word, closed) {
        (Some(_), None) => return Some(()),
        (Some(word), Some(why)) => {
            found.refuse("catalog::publication", format!("{published}, and `{word}` cannot be: {why}"), help);
        }
        (None, _) => found.refuse(
            "catalog::publication",
            format!("{published}, and a subscriber stops at the first row with a column that it does not have"),
            help,
        ),
    }
    None
}

/// Returns what subscribers see of a change; `None` where they see nothing.
fn seen(change: &Change, in_place: impl Fn(&Pair<'_>) -> bool) -> Option<Seen<'_>> {
    if let Some(pair) = change.pair() {
        return match pair {
            _ if in_place(&pair) => Some(Seen::InPlace(pair.old.as_str())),
            _ if pair.borrows() => Some(Seen::Renamed(pair)),
            _ if pair.renames() => Some(Seen::Gone(pair.old.as_str())),
            _ => Some(Seen::Retyped(pair)),
        };
    }
    match change {
        Change::AddColumn(change) => Some(Seen::Added(change)),
        Change::DropColumn(DropColumn { column }) => Some(Seen::Gone(column.as_str())),
        _ => None,
    }
}
