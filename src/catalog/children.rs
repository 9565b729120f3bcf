//! Columns that get another type in tables that inherit them from the run's: what hangs on them there.

use sqlx::PgConnection;

use super::columns::Column;
use super::dependants::{self, Bond};
use super::made_anew::{self, MadeAnew};
use super::{CatalogError, Inspection, query};
use crate::ident::{RunTag, TableName};
use crate::run::Child;
use crate::sql::quote_ident;

/// A table that inherits, with its columns.
pub(super) struct Heir<'a> {
    pub(super) child: &'a Child,
    columns: Vec<Column>,
}

impl<'a> Heir<'a> {
    pub(super) async fn read_all(conn: &mut PgConnection, children: &'a [Child]) -> Result<Vec<Self>, CatalogError> {
        let mut all = Vec::new();
        for child in children {
            all.push(Self { child, columns: Column::read_all(conn, child.oid).await? });
        }
        Ok(all)
    }

    /// Returns the number that the column of this name has here.
    pub(super) fn attnum(&self, name: &str) -> Option<i16> {
        self.columns.iter().find(|column| column.attnum > 0 && column.name == name).map(|column| column.attnum)
    }

    fn attnums(&self, names: &[String]) -> Vec<i16> {
        names.iter().filter_map(|name| self.attnum(name)).collect()
    }

    /// Returns the columns, as ADD COLUMN says them, that it has besides these.
    pub(super) fn beside(&self, inherited: &[Column]) -> Vec<String> {
        let own = self.columns.iter().filter(|column| column.attnum > 0);
        let own = own.filter(|column| !inherited.iter().any(|other| other.name == column.name));
        own.map(|column| format!("{} {}{}", quote_ident(&column.name), column.type_name, column.collate())).collect()
    }
}

/// Refuses what hangs on columns of these names there and cannot be carried. What has a name of the run is left out. Takes no lock.
pub(super) async fn judge(
    conn: &mut PgConnection,
    (name, table): (&TableName, i64),
    heirs: &[Heir<'_>],
    names: &[String],
    tag: &RunTag,
    found: &mut Inspection,
) -> Result<(), CatalogError> {
    let query = query::fixed(include_str!("children.sql")).bind(table).bind(names.to_vec());
    let all: Vec<(String, String, String, String)> = query::read(conn, "read what tables have alone", query).await?;
    for (place, column, what, help) in all {
        let message = format!("column \"{column}\" of table {place}, which inherits from {name}, {what}");
        found.refuse("catalog::inheritance", message, help);
    }
    let own = [tag.name(""), tag.first_trigger(""), tag.last_trigger("")];
    for heir in heirs {
        let attnums: Vec<_> = heir.attnums(names).into_iter().map(i32::from).collect();
        let mut hanging = dependants::read(conn, heir.child.oid, &attnums).await?;
        hanging.retain(|h| !own.iter().any(|own| h.what.name.starts_with(own)));
        let (referred, hanging): (Vec<_>, Vec<_>) = hanging.into_iter().partition(|h| h.what.kind == "referenced");
        for what in referred.iter().map(|h| &h.what) {
            found.refuse(
                "catalog::foreign_key",
                format!("{} refers to {}, which inherits from {name}", what.description, heir.child.table),
                "crossfade cannot carry it yet: drop it for the run, and add it again afterwards (NOT VALID, then VALIDATE)",
            );
        }
        let column = |attnum| {
            let column = heir.columns.iter().find(|column| column.attnum == attnum);
            let name = column.map_or_else(String::new, |column| column.name.clone());
            (format!("{name}\" of \"{}", heir.child.table), Bond::Carried)
        };
        dependants::judge(&hanging, column, found);
    }
    Ok(())
}

/// Returns what of that is made anew in the swap; refuses what cannot be.
pub(super) async fn made_anew(
    conn: &mut PgConnection,
    heirs: &[Heir<'_>],
    names: &[String],
    found: &mut Inspection,
) -> Result<MadeAnew, CatalogError> {
    let mut all = MadeAnew::default();
    for heir in heirs {
        let attnums = heir.attnums(names);
        let numbers: Vec<_> = attnums.iter().copied().map(i32::from).collect();
        let hanging = dependants::read(conn, heir.child.oid, &numbers).await?;
        let mut here = Inspection::empty();
        let made = made_anew::judge(conn, heir.child.oid, &attnums, &hanging, &mut here).await?;
        let said = |message: &str| found.refusals.iter().any(|finding| finding.message == message);
        here.refusals.retain(|finding| !said(&finding.message));
        found.refusals.extend(here.refusals);
        all.join(made);
    }
    Ok(all)
}
