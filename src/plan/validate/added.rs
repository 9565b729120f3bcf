//! Indexes and constraints that a plan adds.

use super::{Code, Validator};
use crate::amounts::count;
use crate::ident::{ColumnName, RelationName, TableName};
use crate::plan::file::{AddConstraintFile, AddIndexFile, ForeignKeyFile, Match, NewIndexFile, PlanFile};
use crate::plan::settings::duration;
use crate::plan::write::BTREE;
use crate::plan::{
    AddConstraint, AddIndex, Change, CopyIndexes, DropIndex, ForeignKey, IndexKey, Indexes, NewIndex, Rule,
};

/// What names columns.
#[derive(Clone, Copy)]
enum Over {
    Index,
    Constraint,
}

impl Validator<'_> {
    pub(super) fn indexes(&mut self, file: &PlanFile, changes: &[(String, Change)]) -> Indexes {
        let Some(file) = &file.indexes else {
            return Indexes {
                build: <_>::default(),
                copy: <_>::default(),
                copied: Vec::new(),
                add: Vec::new(),
                exclusion_lock: None,
            };
        };
        let mut add: Vec<AddIndex> = Vec::new();
        for (number, file) in file.add.iter().flatten().enumerate() {
            let at = format!("/indexes/add/{number}");
            let Some(index) = self.add_index(&at, file, changes) else { continue };
            let same_name = |(_, change): &(String, Change)| index_name(change) == Some(&index.name);
            if add.iter().any(|other| other.name == index.name) || changes.iter().any(same_name) {
                let message = format!("index `{}` is named twice", index.name);
                let span = self.places.value(&format!("{at}/name"));
                self.report(Code::DuplicateIndex, span, message, "give it another name");
            }
            add.push(index);
        }
        let exclusion_lock = file.exclusion_lock.as_deref().and_then(|text| match duration(text) {
            Ok(time) => Some(time),
            Err(wrong) => {
                let span = self.places.value("/indexes/exclusion_lock");
                self.report(wrong.code, span, wrong.message, wrong.help);
                None
            }
        });
        let copied = file.copy.as_ref().map(|copied| &copied.0);
        let copy = if copied.is_some_and(Vec::is_empty) { CopyIndexes::None } else { CopyIndexes::All };
        let names = copied.into_iter().flatten().enumerate();
        let copied = names.filter_map(|(number, name)| self.relation(&format!("/indexes/copy/{number}"), Some(name)));
        let copied: Vec<_> = copied.collect();
        Indexes { build: file.build.unwrap_or_default(), copy, copied, add, exclusion_lock }
    }

    fn add_index(&mut self, at: &str, file: &AddIndexFile, changes: &[(String, Change)]) -> Option<AddIndex> {
        let name = self.relation(&format!("{at}/name"), file.name.as_deref());
        let columns = self.columns(&format!("{at}/columns"), file.columns.as_deref(), changes, Over::Index);
        Some(AddIndex { name: name?, columns, unique: file.unique.unwrap_or(false) })
    }

    pub(super) fn relation(&mut self, at: &str, name: Option<&str>) -> Option<RelationName> {
        self.name(at, name?, RelationName::new)
    }

    /// Returns the columns of a list, each under the name that it goes by until `switch`.
    fn columns(
        &mut self,
        at: &str,
        names: Option<&[String]>,
        changes: &[(String, Change)],
        over: Over,
    ) -> Vec<ColumnName> {
        let mut columns = Vec::new();
        for (number, column) in names.unwrap_or_default().iter().enumerate() {
            let at = format!("{at}/{number}");
            let Some(column) = self.name(&at, column, ColumnName::new) else { continue };
            let column = self.column_of(&at, column, changes, over);
            if columns.contains(&column) {
                let span = self.places.value(&at);
                self.report(Code::DuplicateValue, span, format!("`{column}` is given twice"), "remove one of them");
            }
            columns.push(column);
        }
        columns
    }

    /// Returns the name that `column` goes by until `switch`.
    fn column_of(&mut self, at: &str, column: ColumnName, changes: &[(String, Change)], over: Over) -> ColumnName {
        let pairs = || changes.iter().filter_map(|(_, change)| change.pair());
        if let Some(pair) = pairs().find(|pair| *pair.final_name() == column) {
            return pair.new.clone();
        }
        let (code, what) = match over {
            Over::Index => (Code::IndexOnOldColumn, "index"),
            Over::Constraint => (Code::ConstraintOnOldColumn, "constraint"),
        };
        if let Some(pair) = pairs().find(|pair| *pair.old == column) {
            let message = if pair.borrows() {
                format!("`{column}` is the name that goes: name the column of this {what} as it will be called")
            } else {
                format!("`{column}` is the old column: this {what} would go when it goes")
            };
            self.report(code, self.places.value(at), message, format!("use `{}`", pair.new));
        }
        let dropped =
            |(_, change): &(String, Change)| matches!(change, Change::DropColumn(drop) if drop.column == column);
        if changes.iter().any(dropped) {
            let message = format!("`{column}` is dropped by this plan, and this {what} with it");
            self.report(code, self.places.value(at), message, "leave the column out, or keep it");
        }
        column
    }

    pub(super) fn new_index(
        &mut self,
        at: &str,
        file: &NewIndexFile,
        changes: &[(String, Change)],
    ) -> Option<NewIndex> {
        let name = self.relation(&format!("{at}/name"), file.name.as_deref());
        for (key, text) in [("on", &file.on), ("where", &file.r#where)] {
            self.sql_text(&format!("{at}/{key}"), key, text.as_deref());
        }
        let columns = self.columns(&format!("{at}/columns"), file.columns.as_deref(), changes, Over::Index);
        let include = self.columns(&format!("{at}/include"), file.include.as_deref(), changes, Over::Index);
        for (number, column) in include.iter().enumerate().filter(|(_, column)| columns.contains(column)) {
            let span = self.places.value(&format!("{at}/include/{number}"));
            let message = format!("`{column}` is in the index's key already");
            self.report(Code::DuplicateValue, span, message, "remove it from `include`");
        }
        let method = self.method(at, file);
        let key = match (&file.columns, &file.on) {
            (Some(_), None) => IndexKey::Columns(columns),
            (None, Some(text)) => IndexKey::Sql(text.clone()),
            (None, None) => {
                let message = "an index needs `columns` or `on`";
                let help = "for example `columns: [region]` or `on: lower(email)`";
                self.report(Code::ExactlyOne, self.places.key(at), message, help);
                return None;
            }
            (Some(_), Some(_)) => {
                let message = "an index has either `columns` or `on`";
                let help = "`on` takes columns as well: keep it, and remove `columns`";
                self.report(Code::ExactlyOne, self.places.key(&format!("{at}/on")), message, help);
                return None;
            }
        };
        let unique = file.unique.unwrap_or(false);
        let predicate = file.r#where.clone();
        Some(NewIndex { name: name?, key, unique, method, include, predicate })
    }

    /// Returns the access method of an index.
    fn method(&mut self, at: &str, file: &NewIndexFile) -> String {
        let Some(method) = &file.using else { return BTREE.to_owned() };
        let word = method.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && method.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !word {
            let message = format!("`{method}` is no access method");
            let help = "expected a word such as `btree`, `hash`, `gin`, `gist` or `brin`";
            self.report(Code::BadName, self.places.value(&format!("{at}/using")), message, help);
        } else if file.unique == Some(true) && ["hash", "gin", "gist", "spgist", "brin"].contains(&method.as_str()) {
            let message = format!("an index with `using: {method}` cannot be unique");
            self.report(Code::NotHere, self.places.key(&format!("{at}/unique")), message, "only btree indexes can be");
        }
        method.clone()
    }

    pub(super) fn add_constraint(
        &mut self,
        at: &str,
        file: &AddConstraintFile,
        changes: &[(String, Change)],
    ) -> Option<AddConstraint> {
        let name = file.name.as_deref().map(|name| self.relation(&format!("{at}/name"), Some(name)));
        let rule = self.rule(at, file, changes);
        for (key, given) in
            [("nulls_not_distinct", file.nulls_not_distinct.is_some()), ("deferrable", file.deferrable.is_some())]
        {
            if given && file.unique.is_none() {
                let help = match (key, &file.foreign_key) {
                    ("deferrable", Some(_)) => "put it into `foreign_key`",
                    _ => "remove it",
                };
                let message = format!("`{key}` has no meaning without `unique`");
                self.report(Code::NotHere, self.places.key(&format!("{at}/{key}")), message, help);
            }
        }
        if name.is_none() && rule.is_some() && file.not_null.is_none() {
            let message = "`name` is missing in `add_constraint`";
            self.report(Code::MissingKey, self.places.key(at), message, "only `not_null` can do without a name");
        }
        let name = match name {
            Some(name) => Some(name?),
            None => None,
        };
        Some(AddConstraint { name, rule: rule? })
    }

    /// Returns the rule of a constraint, which is exactly one of four keys.
    fn rule(&mut self, at: &str, file: &AddConstraintFile, changes: &[(String, Change)]) -> Option<Rule> {
        let given = [
            ("check", file.check.is_some()),
            ("foreign_key", file.foreign_key.is_some()),
            ("unique", file.unique.is_some()),
            ("not_null", file.not_null.is_some()),
        ];
        let mut given = given.iter().filter(|(_, given)| *given).map(|(key, _)| *key);
        match (given.next(), given.next()) {
            (Some(_), None) => {}
            (None, _) => {
                // A key that is there but was not understood has been complained about.
                let keys = ["check", "foreign_key", "unique", "not_null"];
                if keys.iter().all(|key| self.places.exact(&format!("{at}/{key}")).is_none()) {
                    let message = "a constraint needs one of `check`, `foreign_key`, `unique`, `not_null`";
                    let help = "for example `check: price >= 0` or `unique: [vin]`";
                    self.report(Code::ExactlyOne, self.places.key(at), message, help);
                }
                return None;
            }
            (Some(first), Some(second)) => {
                let message = format!("a constraint has either `{first}` or `{second}`");
                let help = "start each constraint with its own dash: `- add_constraint: { ... }`";
                self.report(Code::ExactlyOne, self.places.key(&format!("{at}/{second}")), message, help);
                return None;
            }
        }
        if let Some(text) = &file.check {
            self.sql_text(&format!("{at}/check"), "check", Some(text));
            return Some(Rule::Check(text.clone()));
        }
        if let Some(key) = &file.foreign_key {
            return self.foreign_key(&format!("{at}/foreign_key"), key, changes).map(Rule::ForeignKey);
        }
        if let Some(columns) = &file.unique {
            return Some(Rule::Unique {
                columns: self.columns(&format!("{at}/unique"), Some(columns), changes, Over::Constraint),
                nulls_not_distinct: file.nulls_not_distinct.unwrap_or(false),
                deferrable: file.deferrable.unwrap_or_default(),
            });
        }
        let at = format!("{at}/not_null");
        let column = self.column(&at, file.not_null.as_deref())?;
        let column = self.column_of(&at, column, changes, Over::Constraint);
        let added = |(_, change): &(String, Change)| matches!(change, Change::AddColumn(new) if new.name == column && new.not_null);
        if changes.iter().any(added) {
            let message = format!("`{column}` is added as NOT NULL already");
            self.report(Code::DuplicateConstraint, self.places.value(&at), message, "remove one of the two");
        }
        Some(Rule::NotNull(column))
    }

    fn foreign_key(&mut self, at: &str, file: &ForeignKeyFile, changes: &[(String, Change)]) -> Option<ForeignKey> {
        let columns = self.columns(&format!("{at}/columns"), file.columns.as_deref(), changes, Over::Constraint);
        let references = file.references.as_deref();
        let references = references.and_then(|table| self.name(&format!("{at}/references"), table, TableName::parse));
        // Columns of another table: nothing in this plan changes them.
        let list = format!("{at}/referenced_columns");
        let referenced_columns = self.columns(&list, file.referenced_columns.as_deref(), &[], Over::Constraint);
        let (from, to) = (columns.len(), referenced_columns.len());
        if file.referenced_columns.is_some() && from != to {
            let message = format!("{} cannot refer to {to}", count(from, "column"));
            let help = "give as many `referenced_columns` as `columns`, in the same order";
            self.report(Code::ForeignKeyColumns, self.places.value(&list), message, help);
        }
        Some(ForeignKey {
            columns,
            references: references?,
            referenced_columns,
            on_delete: file.on_delete.unwrap_or_default(),
            on_update: file.on_update.unwrap_or_default(),
            match_full: file.r#match == Some(Match::Full),
            deferrable: file.deferrable.unwrap_or_default(),
        })
    }

    /// Complains about names of indexes and constraints that are given twice, and about what is said twice.
    pub(super) fn relations_are_distinct(&mut self, changes: &[(String, Change)]) {
        for (number, (at, change)) in changes.iter().enumerate() {
            let mut before = changes[..number].iter().map(|(_, change)| change);
            match change {
                Change::AddIndex(NewIndex { name, .. }) | Change::DropIndex(DropIndex { name })
                    if before.any(|other| index_name(other) == Some(name)) =>
                {
                    let adds = matches!(change, Change::AddIndex(_));
                    let (kind, help) = if adds {
                        ("add_index", "give it another name")
                    } else {
                        ("drop_index", "remove one of the two")
                    };
                    let message = format!("index `{name}` is named by another change of this plan");
                    let span = self.places.value(&format!("{at}/{kind}/name"));
                    self.report(Code::DuplicateIndex, span, message, help);
                }
                Change::AddConstraint(AddConstraint { name: Some(name), .. })
                    if before.any(|other| constraint_name(other) == Some(name) || clash(other, change)) =>
                {
                    let message = format!("there is another constraint, or an index, called `{name}` in this plan");
                    let span = self.places.value(&format!("{at}/add_constraint/name"));
                    self.report(Code::DuplicateConstraint, span, message, "give it another name");
                }
                Change::AddConstraint(AddConstraint { rule: Rule::NotNull(column), .. })
                    if before.any(|other| not_null(other) == Some(column)) =>
                {
                    let span = self.places.value(&format!("{at}/add_constraint/not_null"));
                    let message = format!("`{column}` is made NOT NULL twice");
                    self.report(Code::DuplicateConstraint, span, message, "remove one of the two");
                }
                _ => {}
            }
        }
    }
}

fn constraint_name(change: &Change) -> Option<&RelationName> {
    match change {
        Change::AddConstraint(constraint) => constraint.name.as_ref(),
        _ => None,
    }
}

/// Returns the name of the index that a change makes or drops; a unique constraint makes one of its own name.
fn index_name(change: &Change) -> Option<&RelationName> {
    match change {
        Change::AddIndex(NewIndex { name, .. }) | Change::DropIndex(DropIndex { name }) => Some(name),
        Change::AddConstraint(AddConstraint { name, rule: Rule::Unique { .. } }) => name.as_ref(),
        _ => None,
    }
}

fn not_null(change: &Change) -> Option<&ColumnName> {
    match change {
        Change::AddConstraint(AddConstraint { rule: Rule::NotNull(column), .. }) => Some(column),
        _ => None,
    }
}

/// Returns whether both are about an index of the same name.
fn clash(one: &Change, other: &Change) -> bool {
    index_name(one).is_some() && index_name(one) == index_name(other)
}
