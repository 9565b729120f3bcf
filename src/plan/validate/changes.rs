//! Changes of columns: renamed, of another type, added, dropped.

use std::collections::HashMap;

use super::{Code, Validator};
use crate::ident::{ColumnName, RunTag};
use crate::plan::file::{AddColumnFile, ChangeFile, RenameFile, RetypeFile};
use crate::plan::{AddColumn, Change, ChangeType, DropColumn, DropIndex, RenameColumn};

const SIDE_BY_SIDE: &str = "all columns exist side by side: use another name";

impl Validator<'_> {
    /// Returns the changes that could be understood, each with its path.
    pub(super) fn changes(&mut self, files: &[ChangeFile], tag: Option<&RunTag>) -> Vec<(String, Change)> {
        let paths: Vec<_> = (0..files.len()).map(|index| format!("/changes/{index}")).collect();
        let columns: Vec<_> = files.iter().zip(&paths).map(|(file, at)| self.column_change(at, file, tag)).collect();
        let known: Vec<_> =
            paths.iter().zip(&columns).filter_map(|(at, change)| Some((at.clone(), change.clone()?))).collect();
        self.names_are_distinct(&known);
        // These name columns, which have to be known by then.
        let others: Vec<_> = files.iter().zip(&paths).map(|(file, at)| self.other_change(at, file, &known)).collect();
        let all = columns.into_iter().zip(others).map(|(column, other)| column.or(other));
        let all: Vec<_> = paths.into_iter().zip(all).filter_map(|(at, change)| Some((at, change?))).collect();
        self.relations_are_distinct(&all);
        self.adopts_alone(&all);
        all
    }

    /// Returns the change that `file` is, if it is one of columns. Several, or none, are not the right form, which has
    /// been said.
    fn column_change(&mut self, at: &str, file: &ChangeFile, tag: Option<&RunTag>) -> Option<Change> {
        if let Some(file) = &file.rename_column {
            return self.rename(&format!("{at}/rename_column"), file);
        }
        if let Some(file) = &file.change_type {
            return self.retype(&format!("{at}/change_type"), file, tag);
        }
        if let Some(file) = &file.add_column {
            return self.add_column(&format!("{at}/add_column"), file);
        }
        let file = file.drop_column.as_ref()?;
        let column = self.column(&format!("{at}/drop_column/column"), file.column.as_deref())?;
        Some(Change::DropColumn(DropColumn { column }))
    }

    fn other_change(&mut self, at: &str, file: &ChangeFile, known: &[(String, Change)]) -> Option<Change> {
        if let Some(file) = &file.add_index {
            return self.new_index(&format!("{at}/add_index"), file, known).map(Change::AddIndex);
        }
        if let Some(file) = &file.drop_index {
            let name = self.relation(&format!("{at}/drop_index/name"), file.name.as_deref())?;
            return Some(Change::DropIndex(DropIndex { name }));
        }
        let file = file.add_constraint.as_ref()?;
        self.add_constraint(&format!("{at}/add_constraint"), file, known).map(Change::AddConstraint)
    }

    fn add_column(&mut self, at: &str, file: &AddColumnFile) -> Option<Change> {
        let name = self.column(&format!("{at}/name"), file.name.as_deref());
        for (key, text) in [("type", &file.r#type), ("default", &file.default)] {
            self.sql_text(&format!("{at}/{key}"), key, text.as_deref());
        }
        Some(Change::AddColumn(AddColumn {
            name: name?,
            type_name: file.r#type.clone()?.trim().to_owned(),
            default: file.default.clone(),
            not_null: file.not_null.unwrap_or(false),
        }))
    }

    fn rename(&mut self, at: &str, file: &RenameFile) -> Option<Change> {
        let old = self.column(&format!("{at}/from"), file.from.as_deref());
        let new = self.column(&format!("{at}/to"), file.to.as_deref());
        let (old, new) = (old?, new?);
        if old == new {
            let message = format!("`{old}` is renamed to itself");
            self.report(Code::SameName, self.places.value(&format!("{at}/to")), message, "give it another name");
        }
        let on_conflict = file.on_conflict.unwrap_or_default();
        let adopt = file.adopt.as_ref().map(|adopt| self.adopt(&format!("{at}/adopt"), adopt));
        Some(Change::RenameColumn(RenameColumn { from: old, to: new, on_conflict, adopt }))
    }

    fn retype(&mut self, at: &str, file: &RetypeFile, tag: Option<&RunTag>) -> Option<Change> {
        let old = self.column(&format!("{at}/column"), file.column.as_deref());
        let via = file.via.as_ref().map(|via| self.column(&format!("{at}/via"), Some(via)));
        let keep_name = file.keep_name.unwrap_or(true);
        for (key, text) in
            [("to", &file.to), ("using", &file.using), ("reverse", &file.reverse), ("default", &file.default)]
        {
            self.sql_text(&format!("{at}/{key}"), key, text.as_deref());
        }
        if !keep_name && via.is_none() {
            let span = self.places.key(&format!("{at}/keep_name"));
            let message = "without the old name, the new column needs its own name";
            self.report(Code::ViaRequired, span, message, "add `via: ` and the new column's name");
        }
        if file.adopt.is_some() && via.is_none() {
            let span = self.places.key(&format!("{at}/adopt"));
            self.report(
                Code::ViaRequired,
                span,
                "the column to adopt needs a name",
                "add `via: ` and the column's name",
            );
        }
        let old = old?;
        let new = match via {
            Some(via) => via?,
            None => ColumnName::new(&tag?.name(old.as_str())).ok()?,
        };
        if old == new {
            let span = self.places.value(&format!("{at}/via"));
            let message = format!("`via` is the name of the old column, `{old}`");
            self.report(
                Code::SameName,
                span,
                message,
                "the old and the new column exist side by side: give the new one another name",
            );
        } else if let Some(reverse) = &file.reverse {
            self.reverse(at, reverse, &old, &new, file.via.is_some());
        }
        Some(Change::ChangeType(ChangeType {
            column: old,
            via: new,
            to: file.to.clone()?.trim().to_owned(),
            using: file.using.clone(),
            reverse: file.reverse.clone(),
            default: file.default.clone(),
            keep_name,
            on_conflict: file.on_conflict.unwrap_or_default(),
            on_error: file.on_error,
            adopt: file.adopt.as_ref().map(|adopt| self.adopt(&format!("{at}/adopt"), adopt)),
        }))
    }

    /// Complains about a reverse expression that can only have been meant for another column than it can see.
    fn reverse(&mut self, at: &str, reverse: &str, old: &ColumnName, new: &ColumnName, named: bool) {
        let lower = reverse.to_lowercase();
        let mentions = |column: &ColumnName| {
            let column = column.as_str().to_lowercase();
            // Within quotes, a quote is written twice.
            lower.contains(&column) || lower.contains(&column.replace('"', "\"\""))
        };
        if mentions(new) {
            return;
        }
        let span = self.places.value(&format!("{at}/reverse"));
        if !named {
            let help = format!("add `via: {old}_new`, say, and use that name in `reverse`");
            let message = "`reverse` is an expression over the new column, which the plan does not name";
            self.report(Code::ReverseColumn, span, message, help);
        } else if mentions(old) {
            let message = format!("`reverse` reads `{old}`, but only the new column can be seen there");
            self.report(Code::ReverseColumn, span, message, format!("use `{new}`"));
        }
    }

    fn names_are_distinct(&mut self, changes: &[(String, Change)]) {
        let mut old_names: HashMap<&str, &str> = HashMap::new();
        for (at, change) in changes {
            let Some((old, key)) = old_name(change) else { continue };
            if old_names.insert(old, at).is_some() {
                let span = self.places.value(&format!("{at}/{key}"));
                let help = "a plan can change a column once; use a second plan after this one";
                self.report(Code::ColumnChangedTwice, span, format!("`{old}` is changed twice"), help);
            }
        }
        let mut new_names: HashMap<&str, &str> = HashMap::new();
        for (at, change) in changes {
            let Some((new, key)) = new_name(change) else { continue };
            let other = old_names.get(new).filter(|other| **other != at.as_str());
            let dropped =
                matches!(changes.iter().find(|(at, _)| other == Some(&at.as_str())), Some((_, Change::DropColumn(_))));
            let (what, help) = match (other, new_names.insert(new, at)) {
                (Some(_), _) if dropped => {
                    ("is dropped by another change", "drop it with its own plan, before this one")
                }
                (Some(_), _) => ("is the old name of another change's column", SIDE_BY_SIDE),
                (None, Some(_)) => ("is also the new name of another change's column", SIDE_BY_SIDE),
                _ => continue,
            };
            let span = self.places.value(&format!("{at}/{key}"));
            self.report(Code::NameTaken, span, format!("`{new}` {what}"), help);
        }
    }
}

/// Returns the column that a change finds, and the key that names it.
fn old_name(change: &Change) -> Option<(&str, &'static str)> {
    match change {
        Change::RenameColumn(change) => Some((change.from.as_str(), "rename_column/from")),
        Change::ChangeType(change) => Some((change.column.as_str(), "change_type/column")),
        Change::DropColumn(change) => Some((change.column.as_str(), "drop_column/column")),
        Change::AddColumn(_) | Change::AddIndex(_) | Change::DropIndex(_) | Change::AddConstraint(_) => None,
    }
}

/// Returns the column that a change makes, and the key that names it.
fn new_name(change: &Change) -> Option<(&str, &'static str)> {
    match change {
        Change::RenameColumn(change) => Some((change.to.as_str(), "rename_column/to")),
        Change::ChangeType(change) => Some((change.via.as_str(), "change_type/via")),
        Change::AddColumn(change) => Some((change.name.as_str(), "add_column/name")),
        Change::DropColumn(_) | Change::AddIndex(_) | Change::DropIndex(_) | Change::AddConstraint(_) => None,
    }
}
