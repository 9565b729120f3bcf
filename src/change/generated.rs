//! The rename of a generated column. Nobody can write it, so nothing is carried from one column to the other: a trigger that fires
//! last makes the mirror's values of the same expression (docs/postgres.md, "Generated columns in triggers").

use super::{Active, Context};
use crate::run::Generated;
use crate::sql::quote_ident;

/// What the column is generated from, if it is.
fn made<'a>(a: &Active<'a>) -> Option<&'a Generated> {
    a.facts.old.generated.as_ref()
}

/// Whether the pair's values are made, and never written.
pub(super) fn is_made(a: &Active<'_>) -> bool {
    made(a).is_some()
}

fn function(context: &Context<'_>, a: &Active<'_>) -> String {
    context.ledger.qualify(&context.tag.maker(a.position))
}

/// The columns that the values are made of, but for the pair's own: what whoever renames one of them must not make writes fail by.
pub(super) fn reads<'a>(a: &Active<'a>) -> impl Iterator<Item = &'a str> + use<'a> {
    made(a).into_iter().flat_map(|made| &made.reads).map(|read| read.name.as_str())
}

/// The function that makes a value. Its parameters have the names of the columns, so that the expression can stay as it is; PostgreSQL
/// keeps it as a parse tree, so no setting of whoever writes matters.
pub(super) fn create(context: &Context<'_>, a: &Active<'_>) -> Option<String> {
    let made = made(a)?;
    let parameters: Vec<_> = made.reads.iter().map(|r| format!("{} {}", quote_ident(&r.name), r.base_type)).collect();
    let value = if made.reads.iter().all(|read| read.collate.is_empty()) {
        format!("({})", made.sql)
    } else {
        // A parameter has its type's own collation; the expression means the column's.
        let columns = made.reads.iter().map(|read| {
            let name = quote_ident(&read.name);
            format!("{name}{} AS {name}", read.collate)
        });
        let columns: Vec<_> = columns.collect();
        format!("(SELECT ({}) FROM (SELECT {}) AS crossfade_row)", made.sql, columns.join(", "))
    };
    Some(format!(
        "CREATE FUNCTION {}({}) RETURNS {} IMMUTABLE PARALLEL SAFE LANGUAGE sql RETURN {value}",
        function(context, a),
        parameters.join(", "),
        a.facts.new_base_type
    ))
}

/// Drops what [`create`] made.
pub(super) fn drop(context: &Context<'_>, a: &Active<'_>) -> Option<String> {
    let types: Vec<_> = made(a)?.reads.iter().map(|read| read.base_type.as_str()).collect();
    Some(format!("DROP FUNCTION IF EXISTS {}({})", function(context, a), types.join(", ")))
}

/// The trigger's statement: the mirror `new` gets its value, whatever was given to it. Whether that came from the statement, from a trigger
/// that copies rows, or from a row that moved to another partition, nobody can tell.
pub(super) fn make(context: &Context<'_>, a: &Active<'_>, new: &str) -> String {
    let arguments: Vec<_> = reads(a).map(|name| format!("NEW.{}", quote_ident(name))).collect();
    format!("    {new} := {}({});\n", function(context, a), arguments.join(", "))
}
