//! Turns what was typed into a [`Plan`], looking for everything that contradicts itself.

use std::collections::HashMap;
use std::ops::Range;

use super::diagnostic::{Code, Problem};
use super::file::{AddIndexFile, ChangeFile, PlanFile, RenameFile, RequiresFile, RetypeFile};
use super::structure::{Places, Typed, last_key};
use super::suggest;
use super::{AddIndex, Change, ChangeType, Indexes, Plan, RenameColumn, Requires, Settings};
use crate::ident::{ColumnName, IdentError, PlanName, RelationName, RunTag, TableName};

mod schedule;

/// The oldest PostgreSQL supported.
const OLDEST_POSTGRES: u32 = 14;

/// Columns that every table has.
const SYSTEM_COLUMNS: [&str; 6] = ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"];

/// Returns the plan if all of it could be understood. Problems, also those that do not prevent that, are added to
/// `problems`. Parts missing from `file` have been complained about already.
pub(super) fn validate(typed: Typed, source: &str, problems: &mut Vec<Problem>) -> Option<Plan> {
    let Typed { file, settings, places } = typed;
    Validator { source, places: &places, problems }.plan(&file, settings)
}

struct Validator<'a> {
    source: &'a str,
    places: &'a Places,
    problems: &'a mut Vec<Problem>,
}

impl Validator<'_> {
    fn plan(&mut self, file: &PlanFile, settings: Settings) -> Option<Plan> {
        let name = self.plan_name("/name", file.name.as_deref());
        let table = file.table.as_deref().and_then(|table| self.name("/table", table, TableName::parse));
        let tag = name.as_ref().map(RunTag::new);
        let changes = self.changes(file.changes.as_deref().unwrap_or_default(), tag.as_ref());
        let indexes = self.indexes(file, &changes);
        self.queries(&settings);
        let schedule = file.schedule.as_ref().map(|schedule| self.schedule(schedule, indexes.build));
        let mut approve = file.approve.clone().unwrap_or_default();
        self.no_duplicates("/approve", &approve);
        approve.sort_unstable();
        let requires = self.requires(file.requires.as_ref(), name.as_ref());
        Some(Plan {
            name: name?,
            table: table?,
            changes: changes.into_iter().map(|(_, change)| change).collect(),
            indexes,
            backfill: settings.backfill,
            throttle: settings.throttle,
            verify: settings.verify,
            contract: settings.contract,
            schedule: schedule.flatten(),
            approve,
            requires,
        })
    }

    fn report(&mut self, code: Code, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(Problem::new(code, span, message).help(help));
    }

    // Names.

    fn name<T>(&mut self, at: &str, text: &str, new: impl Fn(&str) -> Result<T, IdentError>) -> Option<T> {
        let error = match new(text) {
            Ok(name) => return Some(name),
            Err(error) => error,
        };
        let help = match &error {
            IdentError::TooLong { .. } => "choose a shorter name",
            IdentError::BadPlanName => "for example `vehicle-status`",
            IdentError::BadQualifiedName => "for example `public.vehicles`",
            IdentError::Empty | IdentError::Nul => "give it a name",
        };
        self.report(Code::BadName, self.places.value(at), format!("`{}`: {error}", last_key(at)), help);
        None
    }

    fn plan_name(&mut self, at: &str, text: Option<&str>) -> Option<PlanName> {
        text.and_then(|text| self.name(at, text, PlanName::new))
    }

    fn column(&mut self, at: &str, text: Option<&str>) -> Option<ColumnName> {
        let name = self.name(at, text?, ColumnName::new)?;
        if SYSTEM_COLUMNS.contains(&name.as_str()) {
            let message = format!("`{name}` is a system column");
            self.report(
                Code::SystemColumn,
                self.places.value(at),
                message,
                "every table has it, and PostgreSQL keeps it",
            );
            return None;
        }
        Some(name)
    }

    // Changes.

    /// Returns the changes that could be understood, each with its path.
    fn changes(&mut self, files: &[ChangeFile], tag: Option<&RunTag>) -> Vec<(String, Change)> {
        let mut changes = Vec::new();
        for (index, file) in files.iter().enumerate() {
            let at = format!("/changes/{index}");
            let change = match (&file.rename_column, &file.change_type) {
                (Some(rename), None) => self.rename(&format!("{at}/rename_column"), rename),
                (None, Some(retype)) => self.retype(&format!("{at}/change_type"), retype, tag),
                // None or both: not the right form, which has been said.
                _ => None,
            };
            changes.extend(change.map(|change| (at, change)));
        }
        self.names_are_distinct(&changes);
        changes
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
        Some(Change::RenameColumn(RenameColumn { from: old, to: new, on_conflict }))
    }

    fn retype(&mut self, at: &str, file: &RetypeFile, tag: Option<&RunTag>) -> Option<Change> {
        let old = self.column(&format!("{at}/column"), file.column.as_deref());
        let via = file.via.as_ref().map(|via| self.column(&format!("{at}/via"), Some(via)));
        let keep_name = file.keep_name.unwrap_or(true);
        for (key, text) in [("to", &file.to), ("using", &file.using), ("reverse", &file.reverse)] {
            self.sql_text(&format!("{at}/{key}"), key, text.as_deref());
        }
        if !keep_name && via.is_none() {
            let span = self.places.key(&format!("{at}/keep_name"));
            let message = "without the old name, the new column needs one of its own";
            self.report(Code::ViaRequired, span, message, "add `via: ` and the new column's name");
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
                "old and new column exist side by side: give the new one another name",
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
            keep_name,
            on_conflict: file.on_conflict.unwrap_or_default(),
            on_error: file.on_error,
        }))
    }

    /// Complains about a reverse expression that can only have been meant for another column than it can see.
    fn reverse(&mut self, at: &str, reverse: &str, old: &ColumnName, new: &ColumnName, named: bool) {
        let lower = reverse.to_lowercase();
        let mentions = |column: &ColumnName| lower.contains(&column.as_str().to_lowercase());
        if mentions(new) {
            return;
        }
        let span = self.places.value(&format!("{at}/reverse"));
        if !named {
            let help = format!("add `via: {old}_new`, say, and use that name in `reverse`");
            let message = "`reverse` is an expression over the new column, which has no name of your choice";
            self.report(Code::ReverseColumn, span, message, help);
        } else if mentions(old) {
            let message = format!("`reverse` reads `{old}`, but only the new column can be seen there");
            self.report(Code::ReverseColumn, span, message, format!("use `{new}`"));
        }
    }

    /// Checks a piece of SQL as far as that goes without a server.
    fn sql_text(&mut self, at: &str, key: &str, text: Option<&str>) {
        let Some(text) = text else { return };
        let span = self.places.value(at);
        if text.trim().is_empty() {
            self.report(Code::EmptyValue, span, format!("`{key}` is empty"), "leave the key out, or say what is meant");
            return;
        }
        if text.contains('\0') {
            self.report(Code::BadName, span, format!("`{key}` holds a zero byte"), "no text in PostgreSQL can");
            return;
        }
        // `payload #>> '{a}'`: for YAML everything from the # on is a comment.
        let quoted = self.source[span.start..].starts_with(['"', '\'']);
        let rest = &self.source[span.end..];
        let comment = rest.trim_start_matches([' ', '\t']);
        if !quoted && ["#>", "#-", "##", "#="].iter().any(|op| comment.starts_with(op)) {
            let line = comment.lines().next().unwrap_or_default().trim_end();
            let start = span.end + (rest.len() - comment.len());
            let message = format!("YAML takes the rest of `{key}` for a comment");
            self.report(
                Code::CutByComment,
                start..start + line.len(),
                message,
                "put quotes around the whole expression",
            );
        }
    }

    fn names_are_distinct(&mut self, changes: &[(String, Change)]) {
        let mut old_names: HashMap<&str, &str> = HashMap::new();
        let pairs = || changes.iter().filter_map(|(at, change)| Some((at, change.pair()?)));
        for (at, change) in pairs() {
            if old_names.insert(change.old.as_str(), at).is_some() {
                let message = format!("`{}` is changed twice", change.old);
                let span = self.old_name(at);
                self.report(
                    Code::ColumnChangedTwice,
                    span,
                    message,
                    "a plan can change a column once; use a second plan after this one",
                );
            }
        }
        let mut new_names: HashMap<&str, &str> = HashMap::new();
        for (at, change) in pairs() {
            let new = change.new.as_str();
            let other = old_names.get(new).filter(|other| **other != at.as_str());
            let (taken, whose) = match (other, new_names.insert(new, at)) {
                (Some(_), _) => (true, "is the old name of"),
                (None, Some(_)) => (true, "is also the new name of"),
                _ => (false, ""),
            };
            if taken {
                let message = format!("`{new}` {whose} another change's column");
                self.report(
                    Code::NameTaken,
                    self.new_name(at),
                    message,
                    "all columns exist side by side: use another name",
                );
            }
        }
    }

    fn old_name(&self, change: &str) -> Range<usize> {
        let rename = self.places.exact(&format!("{change}/rename_column/from"));
        rename.unwrap_or_else(|| self.places.value(&format!("{change}/change_type/column")))
    }

    fn new_name(&self, change: &str) -> Range<usize> {
        let rename = self.places.exact(&format!("{change}/rename_column/to"));
        rename.unwrap_or_else(|| self.places.value(&format!("{change}/change_type/via")))
    }

    // Indexes.

    fn indexes(&mut self, file: &PlanFile, changes: &[(String, Change)]) -> Indexes {
        let Some(file) = &file.indexes else {
            return Indexes { build: <_>::default(), copy: <_>::default(), add: Vec::new() };
        };
        let mut add: Vec<AddIndex> = Vec::new();
        for (number, file) in file.add.iter().flatten().enumerate() {
            let at = format!("/indexes/add/{number}");
            let Some(index) = self.add_index(&at, file, changes) else { continue };
            if add.iter().any(|other| other.name == index.name) {
                let span = self.places.value(&format!("{at}/name"));
                self.report(
                    Code::DuplicateIndex,
                    span,
                    format!("index `{}` is added twice", index.name),
                    "give it another name",
                );
            }
            add.push(index);
        }
        Indexes { build: file.build.unwrap_or_default(), copy: file.copy.unwrap_or_default(), add }
    }

    fn add_index(&mut self, at: &str, file: &AddIndexFile, changes: &[(String, Change)]) -> Option<AddIndex> {
        let name = file.name.as_deref().and_then(|name| self.name(&format!("{at}/name"), name, RelationName::new));
        let mut columns = Vec::new();
        for (number, column) in file.columns.iter().flatten().enumerate() {
            let at = format!("{at}/columns/{number}");
            let Some(column) = self.name(&at, column, ColumnName::new) else { continue };
            let column = self.index_column(&at, column, changes);
            if columns.contains(&column) {
                let span = self.places.value(&at);
                self.report(Code::DuplicateValue, span, format!("`{column}` is given twice"), "remove one of them");
            }
            columns.push(column);
        }
        Some(AddIndex { name: name?, columns, unique: file.unique.unwrap_or(false) })
    }

    /// Returns the name that `column` goes by until `switch`.
    fn index_column(&mut self, at: &str, column: ColumnName, changes: &[(String, Change)]) -> ColumnName {
        let changes = || changes.iter().filter_map(|(_, change)| change.pair());
        if let Some(change) = changes().find(|change| *change.final_name() == column) {
            return change.new.clone();
        }
        if let Some(change) = changes().find(|change| *change.old == column) {
            let message = format!("`{column}` is the old column: this index would go when it goes");
            self.report(Code::IndexOnOldColumn, self.places.value(at), message, format!("use `{}`", change.new));
        }
        column
    }

    // Settings.

    fn queries(&mut self, settings: &Settings) {
        let probe = settings.throttle.probe.as_ref().map(|probe| probe.sql.as_str());
        self.sql_text("/throttle/probe/sql", "sql", probe);
        self.sql_text("/backfill/latency_probe", "latency_probe", settings.backfill.latency_probe.as_deref());
    }

    // What the database must offer.

    fn requires(&mut self, file: Option<&RequiresFile>, plan: Option<&PlanName>) -> Requires {
        let Some(file) = file else { return Requires::default() };
        let postgres = file.postgres.as_deref().and_then(|text| self.postgres_version(text));
        let extensions = file.extensions.clone().unwrap_or_default();
        for (index, name) in extensions.iter().enumerate() {
            self.name(&format!("/requires/extensions/{index}"), name, RelationName::new);
        }
        self.no_duplicates("/requires/extensions", &extensions);
        let mut plans = Vec::new();
        for (index, name) in file.plans.iter().flatten().enumerate() {
            let at = format!("/requires/plans/{index}");
            let Some(name) = self.plan_name(&at, Some(name)) else { continue };
            if Some(&name) == plan {
                self.report(Code::RequiresItself, self.places.value(&at), "this plan waits for itself", "remove it");
            }
            plans.push(name);
        }
        self.no_duplicates("/requires/plans", file.plans.as_deref().unwrap_or_default());
        Requires { postgres, extensions, plans }
    }

    fn postgres_version(&mut self, text: &str) -> Option<u32> {
        let span = self.places.value("/requires/postgres");
        let number = |text: &str| text.trim().parse::<u32>().ok();
        let Some(version) = text.trim().strip_prefix(">=").and_then(number) else {
            let major = text.chars().filter(|c| c.is_ascii_digit() || *c == '.').collect::<String>();
            let major = major.split('.').next().and_then(number).unwrap_or(OLDEST_POSTGRES);
            let message = format!("`{text}` is not a lowest major version");
            self.report(Code::BadPostgresVersion, span, message, format!("write `\">={major}\"`"));
            return None;
        };
        if version < OLDEST_POSTGRES {
            let message = format!("PostgreSQL {version} is older than crossfade supports");
            self.report(Code::PostgresTooOld, span, message, format!("write `\">={OLDEST_POSTGRES}\"` or higher"));
            return None;
        }
        Some(version)
    }

    fn no_duplicates<T: PartialEq + std::fmt::Display>(&mut self, at: &str, values: &[T]) {
        for (index, value) in values.iter().enumerate() {
            if values[..index].contains(value) {
                let span = self.places.value(&format!("{at}/{index}"));
                self.report(Code::DuplicateValue, span, format!("`{value}` is given twice"), "remove one of them");
            }
        }
    }
}
