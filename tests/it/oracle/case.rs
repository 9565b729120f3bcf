//! A random table with what hangs on it, and the change of one of its columns.

use std::fmt::Write as _;

use crossfade::plan::Plan;
use crossfade::run::Phase;
use crossfade::sql::quote_ident;

use super::types::{Conversion, Kind};

/// Rows of the table at the beginning.
pub(super) const ROWS: u32 = 12;

/// A column besides `id`.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: &'static Kind,
    pub(super) not_null: bool,
    /// What stands behind the type: a collation, a default, GENERATED.
    pub(super) more: String,
    /// Whether PostgreSQL computes it.
    pub(super) generated: bool,
    /// Whether a sequence gives it numbers.
    pub(super) numbered: bool,
}

impl Column {
    pub(super) fn sql(&self) -> String {
        quote_ident(&self.name)
    }
}

/// Something that hangs on the table.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    /// What it is, for the list of what was tried.
    pub(super) kind: &'static str,
    /// Makes what it needs, which stays.
    pub(super) ground: Vec<String>,
    /// Makes it; the first statement makes the thing itself, the others add to it.
    pub(super) statements: Vec<String>,
    /// Takes it down, where plain ALTER TABLE ... TYPE refuses to go on with it.
    pub(super) undo: Option<String>,
    /// What applications do with it. `{c}` is the changed column under one of its names, `{v}` a value for it under that name, `{w}` a value of the
    /// type that it has under its own name, `{f}` one of the type that it had at first, `{n}` a number.
    pub(super) writes: Vec<String>,
    /// Whether an UPDATE of the backfill could fire it.
    pub(super) fires: bool,
}

impl Piece {
    /// Returns all that makes it.
    pub(super) fn script(&self) -> String {
        self.ground.iter().chain(&self.statements).map(String::as_str).collect::<Vec<_>>().join(";\n")
    }
}

/// What is done to the column.
#[derive(Debug, Clone)]
pub(super) enum Alteration {
    /// It gets this name.
    Rename(String),
    /// It gets another type; meanwhile the second column has this name.
    Retype(&'static Conversion, String),
}

/// All of it.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) seed: u64,
    pub(super) number: u64,
    pub(super) schema: String,
    pub(super) table: String,
    /// The columns behind `id`.
    pub(super) columns: Vec<Column>,
    pub(super) pieces: Vec<Piece>,
    /// The name of the column that is changed: `id` or one of `columns`.
    pub(super) column: String,
    pub(super) alteration: Alteration,
    /// How far the run goes that is rolled back.
    pub(super) back_from: Phase,
    /// Where the run to the end stops for writes.
    pub(super) stops: Vec<Phase>,
    /// Whether the mirror stays for a while after the names are swapped.
    pub(super) grace: bool,
    /// After how many microseconds each call is killed for the first time, if it is.
    pub(super) kills: Option<Vec<u64>>,
}

impl Case {
    /// The table, qualified and quoted.
    pub(super) fn table_sql(&self) -> String {
        format!("{}.{}", quote_ident(&self.schema), quote_ident(&self.table))
    }

    /// Returns a text for this case's schema.
    pub(super) fn own(&self, text: &str) -> String {
        text.replace("{s}", &quote_ident(&self.schema))
    }

    /// Whether the column gets another name, and not another type.
    pub(super) fn is_rename(&self) -> bool {
        matches!(self.alteration, Alteration::Rename(_))
    }

    /// The name of its plan.
    pub(super) fn plan_name(&self) -> String {
        format!("case-{}", self.number)
    }

    /// The changed column's kind.
    pub(super) fn kind(&self) -> &'static Kind {
        let found = self.columns.iter().find(|column| column.name == self.column);
        found.map_or(&super::types::KINDS[1], |column| column.kind)
    }

    /// Whether a sequence gives the changed column its numbers.
    pub(super) fn is_numbered(&self) -> bool {
        self.columns.iter().any(|column| column.name == self.column && column.numbered)
    }

    /// Returns what makes the table and its rows.
    pub(super) fn create(&self) -> Vec<String> {
        let schema = quote_ident(&self.schema);
        let mut all = vec![format!("CREATE SCHEMA {schema}"), format!("GRANT USAGE ON SCHEMA {schema} TO neighbour")];
        let uses = |name: &&(&str, &str)| self.columns.iter().any(|column| column.kind.name == name.0);
        all.extend(super::types::OWN_TYPES.iter().filter(uses).map(|(_, sql)| self.own(sql)));
        let mut columns = "id integer NOT NULL".to_owned();
        for column in &self.columns {
            let not_null = if column.not_null { " NOT NULL" } else { "" };
            let _ = write!(
                columns,
                ",\n  {} {}{}{not_null}",
                column.sql(),
                self.own(column.kind.name),
                self.own(&column.more)
            );
        }
        all.push(format!("CREATE TABLE {} (\n  {columns}\n)", self.table_sql()));
        let rows: Vec<_> = (1..=ROWS).map(|k| self.row(k, k, &|column, k| column.kind.literal(k))).collect();
        all.push(format!(
            "INSERT INTO {} ({}) VALUES\n  {}",
            self.table_sql(),
            self.given().join(", "),
            rows.join(",\n  ")
        ));
        all.iter().map(|sql| self.own(sql)).collect()
    }

    /// Returns all that is made before the run.
    pub(super) fn script(&self) -> String {
        self.create().into_iter().chain(self.pieces.iter().map(Piece::script)).collect::<Vec<_>>().join(";\n")
    }

    /// The columns that an INSERT can name.
    pub(super) fn given(&self) -> Vec<String> {
        let given = self.columns.iter().filter(|column| !column.generated).map(Column::sql);
        std::iter::once("id".to_owned()).chain(given).collect()
    }

    /// Returns a row of all columns, with the values of a number.
    pub(super) fn row(&self, id: u32, k: u32, literal: &dyn Fn(&Column, u32) -> String) -> String {
        let mut values = vec![id.to_string()];
        for (n, column) in (0..).zip(&self.columns) {
            if !column.generated {
                // A NULL under the name of a column of another type looks like one that the statement does not give.
                let may_be_empty =
                    !column.not_null && (column.name != self.column || column.more.is_empty() || self.is_rename());
                let empty = may_be_empty && (k + 3 * n).is_multiple_of(5);
                values.push(if empty { "NULL".to_owned() } else { literal(column, k) });
            }
        }
        format!("({})", values.join(", "))
    }

    /// Returns the plan file.
    pub(super) fn plan_text(&self) -> String {
        let yaml = |text: &str| serde_json::to_string(text).expect("a string is JSON");
        let column = yaml(&self.column);
        let change = match &self.alteration {
            Alteration::Rename(to) => format!("rename_column: {{ from: {column}, to: {} }}", yaml(to)),
            Alteration::Retype(conversion, via) => {
                let using = match conversion.using {
                    "" => String::new(),
                    using => format!("using: {}, ", yaml(&self.own(&using.replace("{x}", &quote_ident(&self.column))))),
                };
                let reverse = self.own(&conversion.reverse.replace("{x}", &quote_ident(via)));
                format!(
                    "change_type: {{ column: {column}, to: {}, via: {}, {using}reverse: {} }}",
                    yaml(&self.own(conversion.to)),
                    yaml(via),
                    yaml(&reverse)
                )
            }
        };
        let grace = if self.grace { "1h" } else { "0s" };
        // Triggers for every UPDATE would fire once for each row of the backfill, as its warning says.
        let skip = self.pieces.iter().any(|piece| piece.fires);
        let triggers = if skip { "backfill: { triggers: skip }\n" } else { "" };
        // PostgreSQL builds exclusion constraints only with the table locked.
        let retypes = matches!(self.alteration, Alteration::Retype(..));
        let lock = if retypes { "indexes: { exclusion_lock: 1min }\n" } else { "" };
        format!(
            "version: 1\nname: {}\ntable: {}\nchanges:\n  - {change}\n{lock}{triggers}contract: {{ grace: {grace}, quiet: 0s }}\n",
            self.plan_name(),
            yaml(&format!("{}.{}", quote_ident(&self.schema), quote_ident(&self.table))),
        )
    }

    /// Returns the plan.
    pub(super) fn plan(&self) -> Plan {
        let text = self.plan_text();
        crossfade::plan::parse("plan.yaml", &text).unwrap_or_else(|error| panic!("{error:?}\n{text}"))
    }
}
