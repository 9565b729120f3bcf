//! An index that the plan adds, tried on the changed copy of the table.

use sqlx::PgConnection;

use super::copy::{COPY, give_back, list};
use super::unqualified::Expression;
use super::{CatalogError, Inspection};
use crate::ident::ColumnName;
use crate::plan::{IndexKey, NewIndex, Pair};
use crate::run::AddedIndex;
use crate::sql::{quote_ident, quote_literal};

const WHAT: &str = "rehearse an index of the plan";
const INDEX: &str = "pg_temp.crossfade_new_index";

/// Returns the index's definition, as PostgreSQL writes it; `None` with a refusal. `borrowed` are changes whose old columns stay.
pub(super) async fn rehearse(
    conn: &mut PgConnection,
    index: &NewIndex,
    (in_place, borrowed): (&[Pair<'_>], &[Pair<'_>]),
    user_path: &str,
    found: &mut Inspection,
) -> Result<Option<AddedIndex>, CatalogError> {
    let names = |columns: &[ColumnName]| list(columns, in_place);
    let key = match &index.key {
        IndexKey::Columns(columns) => names(columns),
        // The line break ends a comment in the plan's text.
        IndexKey::Sql(sql) => format!("{sql}\n"),
    };
    let include =
        if index.include.is_empty() { String::new() } else { format!(" INCLUDE ({})", names(&index.include)) };
    let predicate = index.predicate.as_ref().map(|sql| format!(" WHERE ({sql}\n)")).unwrap_or_default();
    let create = format!(
        "CREATE {}INDEX crossfade_new_index ON {COPY} USING {} ({key}){include}{predicate}",
        if index.unique { "UNIQUE " } else { "" },
        quote_ident(&index.method),
    );
    let mut tried = Expression {
        what: WHAT,
        subject: format!("index \"{}\" of the plan", index.name),
        make: create,
        read: include_str!("index_tail.sql").replace("$1::text", &quote_literal(INDEX)),
        made: format!("SELECT 'pg_class'::regclass, '{INDEX}'::regclass::oid"),
        user_path,
    };
    match tried.read(conn, found).await? {
        Ok(None) => Ok(None),
        Ok(Some(renamed)) => {
            let named_back: Vec<_> = std::iter::once(tried.make).chain(give_back(borrowed.iter().copied())).collect();
            tried.make = named_back.join("; ");
            // What is to be said of its expressions has been said.
            let tail = tried.read(conn, &mut Inspection::empty()).await?.ok().flatten();
            Ok(tail.map(|tail| AddedIndex { mirror: (tail != renamed).then_some(renamed), tail }))
        }
        Err(objection) => {
            found.refuse(
                "catalog::index",
                format!("index \"{}\" of the plan cannot be built: {}", index.name, objection.message),
                "correct its columns, its method or its expressions",
            );
            Ok(None)
        }
    }
}
