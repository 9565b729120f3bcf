//! The columns that refer to the keys of a plan and are changed with them: `referring: change`.

use serde::Deserialize;
use sqlx::PgConnection;

use super::{CatalogError, Finding, query};
use crate::ident::{ColumnName, TableName};
use crate::plan::{self, ChangeType, LeftColumn, Plan, Referrer, Referring, widens};

#[derive(Debug, Deserialize)]
struct Found {
    /// Whether the key is an integer column and gets a wider type.
    widens: bool,
    columns: Vec<Column>,
}

#[derive(Debug, Deserialize)]
struct Column {
    schema: String,
    table: String,
    name: String,
    of_type: String,
    /// Whether it stays as it is.
    is_kept: bool,
    /// Schema and name of each table that it refers to.
    refers_to: Vec<(String, String)>,
}

/// A column that came to refer to a key.
#[derive(Debug, Deserialize)]
pub(crate) struct LateReferrer {
    /// Schema, table and column, quoted.
    pub(crate) place: String,
    /// Its type.
    pub(crate) of_type: String,
    /// The type that the key gets, as the plan wrote it.
    #[serde(skip)]
    pub(crate) to: String,
}

/// What a plan comes to once the columns that refer to its keys are known.
#[derive(Debug)]
pub(crate) struct Family {
    /// The plan, with its parts named and columns of its own table added.
    pub(crate) key: Plan,
    /// The plans of the other tables, in the order in which they are done.
    pub(crate) parts: Vec<Plan>,
    /// What rules it out.
    pub(crate) refusals: Vec<Finding>,
    /// What a person should know of the columns that stay as they are.
    pub(crate) warnings: Vec<Finding>,
}

/// Returns what `plan` comes to: itself alone unless it says `referring: change`. Takes no lock on any table.
///
/// # Errors
/// [`CatalogError`] when the catalog cannot be read.
pub(crate) async fn family(conn: &mut PgConnection, plan: &Plan) -> Result<Family, CatalogError> {
    let (mut refusals, mut kept) = (Vec::new(), Vec::new());
    let mut all: Vec<Referrer> = Vec::new();
    let left = places(plan.left.iter().map(|left| (&left.table, left.column.as_str().to_owned())));
    let asked = plan.referring == Some(Referring::Change);
    let (mut any, mut there) = (false, false);
    for change in plan.changes.iter().filter(|_| asked).filter_map(widens) {
        let query = query::fixed(include_str!("referrers.sql"));
        let query = query.bind(plan.table.sql()).bind(change.column.as_str().to_owned()).bind(change.to.clone());
        let query = query.bind(left[0].clone()).bind(left[1].clone()).bind(left[2].clone());
        let found: Found = query::read(conn, "look for columns that refer to the key", query).await?;
        any |= found.widens;
        there = true;
        for column in found.columns {
            let name = |schema: &str, table: &str| TableName::new(schema, table);
            let Ok(table) = name(&column.schema, &column.table) else { continue };
            let Ok(of) = ColumnName::new(&column.name) else { continue };
            if column.is_kept {
                kept.push((LeftColumn { table, column: of }, column.of_type));
                continue;
            }
            if !all.iter().any(|known| known.table == table && known.column == of) {
                let refers_to =
                    column.refers_to.iter().filter_map(|(schema, table)| name(schema, table).ok()).collect();
                all.push(Referrer { table, column: of, of_type: column.of_type, to: change.to.clone(), refers_to });
            }
        }
    }
    if there && !any {
        refusals.push(Finding {
            code: "catalog::referring_type",
            message: "`referring: change` is for smallint and integer columns that become integer, bigint or numeric, and this plan changes none"
                .to_owned(),
            help: "remove `referring`, and change each column that refers to this one by a plan of its own".to_owned(),
        });
    }
    for left in plan.left.iter().filter(|left| any && kept.iter().all(|(kept, _)| kept != *left)) {
        let of = |table: &TableName, column: &ColumnName| format!("column {column} of {table}");
        let changed = all.iter().filter(|of| of.column != left.column || of.table != left.table);
        let there = changed.map(|other| of(&other.table, &other.column));
        let there: Vec<_> = there.chain(kept.iter().map(|(kept, _)| of(&kept.table, &kept.column))).collect();
        let there = if there.is_empty() { "none does".to_owned() } else { format!("these do: {}", there.join(", ")) };
        refusals.push(Finding {
            code: "catalog::referring_leave",
            message: format!(
                "`referring.leave` names {}, which is no integer column that refers to the key and would change",
                of(&left.table, &left.column)
            ),
            help: format!("remove it there, or correct its name; {there}"),
        });
    }
    let warnings = stays(&kept);
    match plan::with_parts(plan, &all) {
        Ok((key, parts)) => Ok(Family { key, parts, refusals, warnings }),
        Err(circle) => {
            let tables: Vec<_> = circle.iter().map(ToString::to_string).collect();
            refusals.push(Finding {
                code: "catalog::referring_circle",
                message: format!("tables refer to each other in a circle, so none can be changed first: {}", tables.join(", ")),
                help: "leave out `referring`, and change each column by a plan of its own, the column that refers before the one that it refers to"
                    .to_owned(),
            });
            Ok(Family { key: plan.clone(), parts: vec![], refusals, warnings })
        }
    }
}

/// Says of the columns that stay as they are what that means.
fn stays(kept: &[(LeftColumn, String)]) -> Vec<Finding> {
    let mut named: Vec<String> = Vec::new();
    for (left, of_type) in kept {
        let place = format!("column {} of {} ({of_type})", left.column, left.table);
        if !named.contains(&place) {
            named.push(place);
        }
    }
    if named.is_empty() {
        return vec![];
    }
    vec![Finding {
        code: "catalog::referring_columns",
        message: format!("`referring.leave` keeps the types of columns that refer to the key: {}", named.join(", ")),
        help: "their foreign keys stay, but their rows cannot refer to a value that the column's type does not hold: an INSERT or UPDATE \
               of such a value fails there"
            .to_owned(),
    }]
}

/// Returns schemas, tables and columns, each as a list.
fn places<'a>(columns: impl Iterator<Item = (&'a TableName, String)>) -> [Vec<String>; 3] {
    let mut lists = [vec![], vec![], vec![]];
    for (table, column) in columns {
        lists[0].push(table.schema.clone());
        lists[1].push(table.name.clone());
        lists[2].push(column);
    }
    lists
}

/// Returns the integer columns that refer to the keys of `plan` or to columns of its `parts`, directly or through each other, and that neither
/// changes nor leaves: others made them refer after the run began. Takes no lock on any table.
///
/// # Errors
/// [`CatalogError`] when the catalog cannot be read.
pub(crate) async fn late_referrers(
    conn: &mut PgConnection,
    plan: &Plan,
    parts: &[&Plan],
) -> Result<Vec<LateReferrer>, CatalogError> {
    let mut types: Vec<_> = plan.changes.iter().filter_map(widens).map(|change| change.to.clone()).collect();
    types.sort_unstable();
    types.dedup();
    let mut late = Vec::new();
    for to in types {
        let family = || std::iter::once(plan).chain(parts.iter().copied());
        let changed = |of: &'_ Plan| -> Vec<ChangeType> {
            of.changes.iter().filter_map(widens).filter(|change| change.to == to).cloned().collect()
        };
        let known: Vec<_> = family()
            .flat_map(|of| changed(of).into_iter().map(|change| (&of.table, change.column.to_string())))
            .collect();
        // Of the two columns of a change one always has a name of ours.
        let mut passed: Vec<_> = family()
            .flat_map(|of| {
                let names = |change: ChangeType| [change.via.to_string(), of.tag().retired(&change.column)];
                changed(of).into_iter().flat_map(names).map(|name| (&of.table, name))
            })
            .collect();
        passed.extend(plan.left.iter().map(|left| (&left.table, left.column.to_string())));
        let [schemas, tables, columns] = places(known.into_iter());
        let query = query::fixed(include_str!("late_referrers.sql")).bind(schemas).bind(tables).bind(columns);
        let [schemas, tables, columns] = places(passed.into_iter());
        let query = query.bind(to.clone()).bind(schemas).bind(tables).bind(columns);
        let what = "look for columns that refer to the key since";
        let found: Vec<LateReferrer> = query::read(conn, what, query).await?;
        late.extend(found.into_iter().map(|of| LateReferrer { to: to.clone(), ..of }));
    }
    Ok(late)
}
