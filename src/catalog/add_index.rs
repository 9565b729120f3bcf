//! An index that the plan adds, tried on the changed copy of the table.

use sqlx::PgConnection;

use super::query::{attempt_under, run, text};
use super::rehearsal::{COPY, list};
use super::{CatalogError, Inspection};
use crate::ident::ColumnName;
use crate::plan::{IndexKey, NewIndex, Pair};
use crate::sql::quote_ident;

const WHAT: &str = "rehearse an index of the plan";
const INDEX: &str = "pg_temp.crossfade_new_index";

/// Returns the index's definition behind its table's name, as PostgreSQL writes it; `None` with a refusal.
pub(super) async fn rehearse(
    conn: &mut PgConnection,
    index: &NewIndex,
    in_place: &[Pair<'_>],
    user_path: &str,
    found: &mut Inspection,
) -> Result<Option<String>, CatalogError> {
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
    run(conn, WHAT, "SAVEPOINT crossfade_new_index".to_owned()).await?;
    let tried = attempt_under(conn, WHAT, Some(user_path), [create]).await?;
    let tail = match tried {
        Ok(_) => {
            let tail = include_str!("index_tail.sql").replace("$1::text", &crate::sql::quote_literal(INDEX));
            text(conn, WHAT, tail).await?
        }
        Err(objection) => {
            found.refuse(
                "catalog::index",
                format!("index \"{}\" of the plan cannot be built: {}", index.name, objection.message),
                "correct its columns, its method or its expressions",
            );
            None
        }
    };
    run(conn, WHAT, "ROLLBACK TO SAVEPOINT crossfade_new_index".to_owned()).await?;
    run(conn, WHAT, "RELEASE SAVEPOINT crossfade_new_index".to_owned()).await?;
    Ok(tail)
}
