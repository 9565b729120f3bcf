//! The library as a program uses it, and what it is compared with.

use crossfade::event;
use crossfade::names::LedgerSchema;
use crossfade::pg::Connector;
use crossfade::plan::{Change, ChangeType, Plan, RenameColumn};
use crossfade::runner::Tool;
use tokio_util::sync::CancellationToken;

/// Returns a tool on the database at `url` that tells nobody anything.
pub(crate) fn tool(url: &str) -> Tool {
    let connector = Connector::new(url.parse().unwrap());
    let actor = format!("test, process {}", std::process::id());
    Tool::new(connector, LedgerSchema::default(), actor, event::silent(), CancellationToken::new())
}

/// Returns what a person would type instead of running `plan`, if nobody else used the table.
pub(crate) fn plain_alter(plan: &Plan) -> Vec<String> {
    let table = plan.table.sql();
    let statements = |change: &Change| match change {
        Change::RenameColumn(RenameColumn { from, to, .. }) => {
            vec![format!("ALTER TABLE {table} RENAME COLUMN {} TO {}", from.sql(), to.sql())]
        }
        Change::ChangeType(ChangeType { column, via, to, using, keep_name, .. }) => {
            let using = using.as_ref().map(|using| format!(" USING ({using}\n)")).unwrap_or_default();
            let retype = format!("ALTER TABLE {table} ALTER COLUMN {} TYPE {to}{using}", column.sql());
            let rename = format!("ALTER TABLE {table} RENAME COLUMN {} TO {}", column.sql(), via.sql());
            if *keep_name { vec![retype] } else { vec![retype, rename] }
        }
        Change::AddColumn(_) | Change::DropColumn(_) | Change::AddIndex(_) | Change::AddConstraint(_) => {
            panic!("no plan file holds this yet")
        }
    };
    let mut all: Vec<_> = plan.changes.iter().flat_map(statements).collect();
    all.extend(plan.indexes.add.iter().map(|add| {
        let final_name = |column: &crossfade::ident::ColumnName| {
            let pair = plan.pairs().map(|(_, pair)| pair).find(|pair| pair.new == column);
            pair.map_or_else(|| column.sql(), |pair| pair.final_name().sql())
        };
        let columns: Vec<_> = add.columns.iter().map(final_name).collect();
        let unique = if add.unique { "UNIQUE " } else { "" };
        format!("CREATE {unique}INDEX {} ON {table} ({})", add.name.sql(), columns.join(", "))
    }));
    all
}
