//! The library as a program uses it, and what it is compared with.

use crossfade::event;
use crossfade::ident::ColumnName;
use crossfade::names::LedgerSchema;
use crossfade::pg::Connector;
use crossfade::plan::{
    AddColumn, AddConstraint, Change, ChangeType, DropColumn, DropIndex, IndexKey, NewIndex, Plan, RenameColumn, Rule,
};
use crossfade::runner::Tool;
use sqlx::{AssertSqlSafe, PgConnection};
use tokio_util::sync::CancellationToken;

/// Returns a tool on the database at `url` that tells nobody anything and has the consent to drop.
pub(crate) fn tool(url: &str) -> Tool {
    let connector = Connector::new(url.parse().unwrap());
    let actor = format!("test, process {}", std::process::id());
    Tool::new(connector, LedgerSchema::default(), actor, event::silent(), CancellationToken::new()).with_consent()
}

/// Returns what a person would type instead of running `plan`, if nobody else used the table.
pub(crate) fn plain_alter(plan: &Plan) -> Vec<String> {
    let table = plan.table.sql();
    let statements = |change: &Change| match change {
        Change::RenameColumn(RenameColumn { from, to, .. }) => {
            vec![format!("ALTER TABLE {table} RENAME COLUMN {} TO {}", from.sql(), to.sql())]
        }
        Change::ChangeType(ChangeType { column, via, to, using, default, keep_name, .. }) => {
            let using = using.as_ref().map(|using| format!(" USING ({using}\n)")).unwrap_or_default();
            let alter = format!("ALTER COLUMN {}", column.sql());
            let (drop, set) = match default {
                Some(default) => (format!("{alter} DROP DEFAULT, "), format!(", {alter} SET DEFAULT ({default}\n)")),
                None => Default::default(),
            };
            let retype = format!("ALTER TABLE {table} {drop}{alter} TYPE {to}{using}{set}");
            let rename = format!("ALTER TABLE {table} RENAME COLUMN {} TO {}", column.sql(), via.sql());
            if *keep_name { vec![retype] } else { vec![retype, rename] }
        }
        Change::AddColumn(AddColumn { name, type_name, default, not_null }) => {
            let default = default.as_ref().map(|default| format!(" DEFAULT ({default}\n)")).unwrap_or_default();
            let not_null = if *not_null { " NOT NULL" } else { "" };
            vec![format!("ALTER TABLE {table} ADD COLUMN {} {type_name}{default}{not_null}", name.sql())]
        }
        Change::DropColumn(DropColumn { column }) => vec![format!("ALTER TABLE {table} DROP COLUMN {}", column.sql())],
        Change::AddIndex(index) => vec![plain_index(plan, index)],
        Change::DropIndex(DropIndex { name }) => {
            vec![format!("DROP INDEX \"{}\".{}", plan.table.schema, name.sql())]
        }
        Change::AddConstraint(constraint) => vec![plain_constraint(plan, constraint)],
    };
    let mut all: Vec<_> = plan.changes.iter().flat_map(statements).collect();
    all.extend(plan.indexes.add.iter().map(|add| {
        let unique = if add.unique { "UNIQUE " } else { "" };
        format!("CREATE {unique}INDEX {} ON {table} ({})", add.name.sql(), final_names(plan, &add.columns))
    }));
    all
}

/// Columns under the names that they have in the end, for SQL.
fn final_names(plan: &Plan, columns: &[ColumnName]) -> String {
    let final_name = |column: &ColumnName| {
        let pair = plan.pairs().map(|(_, pair)| pair).find(|pair| pair.new == column);
        pair.map_or_else(|| column.sql(), |pair| pair.final_name().sql())
    };
    columns.iter().map(final_name).collect::<Vec<_>>().join(", ")
}

fn plain_index(plan: &Plan, index: &NewIndex) -> String {
    let unique = if index.unique { "UNIQUE " } else { "" };
    let key = match &index.key {
        IndexKey::Columns(columns) => final_names(plan, columns),
        IndexKey::Sql(sql) => format!("{sql}\n"),
    };
    let include = if index.include.is_empty() {
        String::new()
    } else {
        format!(" INCLUDE ({})", final_names(plan, &index.include))
    };
    let predicate = index.predicate.as_ref().map(|sql| format!(" WHERE ({sql}\n)")).unwrap_or_default();
    let (name, table, method) = (index.name.sql(), plan.table.sql(), &index.method);
    format!("CREATE {unique}INDEX {name} ON {table} USING {method} ({key}){include}{predicate}")
}

fn plain_constraint(plan: &Plan, constraint: &AddConstraint) -> String {
    let table = plan.table.sql();
    let add = |rule: &str| match &constraint.name {
        Some(name) => format!("ALTER TABLE {table} ADD CONSTRAINT {} {rule}", name.sql()),
        None => format!("ALTER TABLE {table} ADD {rule}"),
    };
    match &constraint.rule {
        Rule::Check(sql) => add(&format!("CHECK ({sql}\n)")),
        Rule::Unique { columns, nulls_not_distinct, deferrable } => {
            let nulls = if *nulls_not_distinct { " NULLS NOT DISTINCT" } else { "" };
            add(&format!("UNIQUE{nulls} ({}){}", final_names(plan, columns), deferrable.sql()))
        }
        Rule::ForeignKey(key) => {
            let columns: Vec<_> = key.referenced_columns.iter().map(ColumnName::sql).collect();
            let referenced = if columns.is_empty() { String::new() } else { format!(" ({})", columns.join(", ")) };
            add(&format!(
                "FOREIGN KEY ({}) REFERENCES {}{referenced}{} ON UPDATE {} ON DELETE {}{}",
                final_names(plan, &key.columns),
                key.references.sql(),
                if key.match_full { " MATCH FULL" } else { "" },
                key.on_update.sql(),
                key.on_delete.sql(),
                key.deferrable.sql()
            ))
        }
        // A constraint with a name only since PostgreSQL 18, so the name of a plan is not compared.
        Rule::NotNull(column) => {
            format!("ALTER TABLE {table} ALTER COLUMN {} SET NOT NULL", final_names(plan, std::slice::from_ref(column)))
        }
    }
}

/// All values of the table, whatever the order of its columns; of an identifier by chance only that each row has its own.
pub(crate) async fn contents(connection: &mut PgConnection, plan: &Plan) -> String {
    let by_chance = |change: &Change| match change {
        Change::AddColumn(AddColumn { name, default: Some(default), .. }) if default.contains("random") => {
            Some(name.to_string())
        }
        _ => None,
    };
    let mut said = String::new();
    let chances: Vec<_> = plan.changes.iter().filter_map(by_chance).collect();
    for column in &chances {
        let sql = format!("SELECT format('%s of %s', count(DISTINCT \"{column}\"), count(*)) FROM vehicles");
        said += &sqlx::query_scalar::<_, String>(AssertSqlSafe(sql)).fetch_one(&mut *connection).await.unwrap();
    }
    let sql = "SELECT md5(string_agg((to_jsonb(v) - $1::text[])::text, ',' ORDER BY id)) FROM vehicles v";
    let values: String = sqlx::query_scalar(sql).bind(chances).persistent(false).fetch_one(connection).await.unwrap();
    said + &values
}
