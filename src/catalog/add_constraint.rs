//! A constraint that the plan adds, tried on the changed copy of the table.

use sqlx::PgConnection;

use super::columns::Column;
use super::copy::{COPY, give_back, list};
use super::query::oid;
use super::query::{self, attempt};
use super::unqualified::Expression;
use super::{CatalogError, Inspection, not_null};
use crate::change::column_of_index;
use crate::ident::TableName;
use crate::plan::{AddConstraint, ForeignKey, Pair, Plan, Rule};
use crate::run::{AddedConstraint, RelationId, TableFacts};
use crate::sql::quote_ident;

const WHAT: &str = "rehearse a constraint of the plan";

/// The empty copy of the table that a foreign key refers to.
pub(super) struct Referenced;

impl Referenced {
    pub(super) const NAME: &'static str = "crossfade_referenced";
    pub(super) const COPY: &'static str = "pg_temp.crossfade_referenced";
}

/// Returns what the constraint is compiled from; `None` with a refusal. The other table of a foreign key is added to `tables`.
pub(super) async fn rehearse(
    conn: &mut PgConnection,
    (change, plan): (&AddConstraint, &Plan),
    (in_place, borrowed, user_path): (&[Pair<'_>], &[Pair<'_>], &str),
    (tables, taken): (&mut Vec<TableFacts>, &mut Vec<String>),
    found: &mut Inspection,
) -> Result<Option<AddedConstraint>, CatalogError> {
    let name = change.name.as_ref().map_or_else(String::new, ToString::to_string);
    if let Rule::NotNull(column) = &change.rule {
        let copy = oid(conn, COPY).await?;
        let columns = Column::read_all(conn, copy).await?;
        let name = column_of_index(column, in_place.iter().copied());
        match columns.iter().find(|c| c.name == name.as_str() && c.attnum > 0) {
            None => {
                let message = format!("there is no column \"{column}\" that could be NOT NULL");
                found.refuse("catalog::column_missing", message, "check the name");
            }
            Some(column) if column.not_null => found.refuse(
                "catalog::not_null",
                format!("column \"{}\" is NOT NULL already", column.name),
                "leave the change out",
            ),
            Some(_) => {
                let pair = plan.pairs().map(|(_, pair)| pair).find(|pair| pair.new == column);
                let last = pair.map_or(column, |pair| pair.final_name());
                let not_null_name = Some(not_null::name(conn, &plan.table, last.as_str(), taken).await?);
                taken.extend(not_null_name.clone());
                return Ok(Some(AddedConstraint { definition: String::new(), references: None, not_null_name }));
            }
        }
        return Ok(None);
    }
    let mut references = None;
    let definition = match &change.rule {
        Rule::Check(sql) => format!("CHECK ({sql}\n)"),
        Rule::Unique { columns, nulls_not_distinct, deferrable } => {
            let nulls = if *nulls_not_distinct { " NULLS NOT DISTINCT" } else { "" };
            format!("UNIQUE{nulls} ({}){}", list(columns, in_place), deferrable.sql())
        }
        Rule::ForeignKey(key) => {
            let Some(other) = other_table(conn, &key.references, tables, found).await? else { return Ok(None) };
            references = Some(other);
            foreign_key(key, Referenced::COPY, in_place)
        }
        Rule::NotNull(_) => return Ok(None),
    };
    let of_it = format!("FROM pg_constraint WHERE conrelid = '{COPY}'::regclass AND conname = 'crossfade_constraint'");
    let add = format!("ALTER TABLE {COPY} ADD CONSTRAINT crossfade_constraint {definition}");
    let make: Vec<_> = std::iter::once(add).chain(give_back(borrowed.iter().copied())).collect();
    let tried = Expression {
        what: WHAT,
        subject: format!("constraint \"{name}\" of the plan"),
        make: make.join("; "),
        read: format!("SELECT pg_get_constraintdef(oid) {of_it}"),
        made: format!("SELECT 'pg_constraint'::regclass, oid {of_it}"),
        user_path,
    };
    let deparsed = match tried.read(conn, found).await? {
        Ok(text) => text.unwrap_or_default(),
        Err(objection) => {
            let mut said = objection.message.replace("crossfade_constraint", &name);
            if let Rule::ForeignKey(key) = &change.rule {
                said = said.replace(Referenced::NAME, &key.references.name);
            }
            let said = said.replace("crossfade_copy", &plan.table.name);
            found.refuse(
                "catalog::constraint",
                format!("PostgreSQL refuses constraint \"{name}\": {said}"),
                "correct the constraint in the plan",
            );
            return Ok(None);
        }
    };
    let definition = match &change.rule {
        Rule::Check(_) => deparsed,
        Rule::ForeignKey(key) => foreign_key(key, &key.references.sql(), &[in_place, borrowed].concat()),
        Rule::Unique { .. } | Rule::NotNull(_) => String::new(),
    };
    Ok(Some(AddedConstraint { definition, references, not_null_name: None }))
}

fn foreign_key(key: &ForeignKey, table: &str, in_place: &[Pair<'_>]) -> String {
    let referenced = if key.referenced_columns.is_empty() {
        String::new()
    } else {
        format!(" ({})", list(&key.referenced_columns, &[]))
    };
    format!(
        "FOREIGN KEY ({}) REFERENCES {table}{referenced}{} ON UPDATE {} ON DELETE {}{}",
        list(&key.columns, in_place),
        if key.match_full { " MATCH FULL" } else { "" },
        key.on_update.sql(),
        key.on_delete.sql(),
        key.deferrable.sql()
    )
}

/// Makes an empty copy of the table that a foreign key refers to. Returns its place among `tables`.
pub(super) async fn other_table(
    conn: &mut PgConnection,
    references: &TableName,
    tables: &mut Vec<TableFacts>,
    found: &mut Inspection,
) -> Result<Option<RelationId>, CatalogError> {
    let Some(table) = super::table::Table::read(conn, references, found).await? else { return Ok(None) };
    if !table.ordinary() {
        found.refuse(
            "catalog::table_kind",
            format!("{references}, which the foreign key refers to, is not an ordinary table"),
            "only ordinary tables can be referred to",
        );
        return Ok(None);
    }
    let rights = query::fixed(
        "SELECT (has_table_privilege($1::text, 'REFERENCES') AND has_table_privilege($1::text, 'UPDATE, DELETE, TRUNCATE'))::text",
    );
    let allowed: bool = query::read(conn, WHAT, rights.bind(references.sql())).await?;
    if !allowed {
        found.refuse(
            "catalog::no_privilege",
            format!("this role may not refer to {references} by a foreign key and lock it"),
            format!("GRANT REFERENCES, UPDATE ON {} to it", quote_ident(&references.name)),
        );
        return Ok(None);
    }
    let copy = format!(
        "CREATE TEMPORARY TABLE IF NOT EXISTS crossfade_referenced (LIKE {} INCLUDING INDEXES)",
        references.sql()
    );
    let drop = format!("DROP TABLE IF EXISTS {}", Referenced::COPY);
    if let Err(objection) = attempt(conn, WHAT, [drop, copy]).await? {
        found.refuse(
            "catalog::rehearsal",
            format!("no empty copy of {} could be made: {}", references, objection.message),
            "the foreign key is rehearsed on such a copy, which needs SELECT on the table",
        );
        return Ok(None);
    }
    let place = tables.iter().position(|known| known.oid == table.oid).unwrap_or_else(|| {
        tables.push(table.facts(references));
        tables.len() - 1
    });
    Ok(u16::try_from(place).ok().map(RelationId))
}
