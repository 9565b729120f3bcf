//! Turns what was typed into a [`Plan`], looking for everything that contradicts itself.

use std::ops::Range;

use super::diagnostic::{Code, Problem};
use super::file::PlanFile;
use super::structure::{Places, Typed, last_key};
use super::suggest;
use super::{Change, Plan, Settings};
use crate::ident::{ColumnName, IdentError, PlanName, RunTag, TableName};
use crate::phase::Phase;

mod added;
mod adopt;
mod changes;
mod functions;
mod referring;
mod requires;
mod schedule;
mod tell;

/// Columns that every table has.
const SYSTEM_COLUMNS: [&str; 6] = ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"];

/// Returns the plan if all of it could be understood. Problems, also those that do not prevent that, are added to
/// `problems`. Parts missing from `file` have been complained about already.
pub(super) fn validate(typed: Typed, source: &str, problems: &mut Vec<Problem>) -> Option<Plan> {
    let Typed { file, settings, places } = typed;
    let plan = Validator { source, places: &places, problems }.plan(&file, settings)?;
    if cfg!(not(feature = "notify")) && !plan.notify.is_empty() {
        let message = "this crossfade was built without the feature `notify`: it tells nobody";
        let help = "remove `notify`, or use a crossfade that has the feature";
        problems.push(Problem::new(Code::NoEffect, places.key("/notify"), message).help(help));
    }
    Some(plan)
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
        if changes.len() == file.changes.as_ref().map_or(0, Vec::len) {
            self.contract(&changes);
        }
        let schedule = file.schedule.as_ref().map(|schedule| self.schedule(schedule, indexes.build));
        let schedule = schedule.flatten();
        let mut contract = settings.contract;
        let soak = schedule.iter().flat_map(|schedule| &schedule.soak).find(|(phase, _)| *phase == Phase::Switch);
        if let Some((_, soak)) = soak
            && self.places.exact("/contract/quiet").is_none()
        {
            contract.unused = *soak;
        }
        let mut approve = file.approve.clone().unwrap_or_default();
        self.no_duplicates("/approve", &approve);
        approve.sort_unstable();
        let requires = self.requires(file.requires.as_ref(), (name.as_ref(), table.as_ref()), &changes);
        let notify = self.notify(file.notify.as_deref().unwrap_or_default());
        let hooks = self.hooks(file.hooks.as_deref().unwrap_or_default());
        let functions = self.functions(file.functions.as_deref().unwrap_or_default(), &changes);
        let triggers = self.trigger_arguments(file.triggers.as_deref().unwrap_or_default(), &changes);
        let (referring, left) = self.referring(file.referring.as_ref(), &changes);
        Some(Plan {
            name: name?,
            table: table?,
            changes: changes.into_iter().map(|(_, change)| change).collect(),
            indexes,
            backfill: settings.backfill,
            throttle: settings.throttle,
            verify: settings.verify,
            contract,
            approval: settings.approval,
            schedule,
            approve,
            requires,
            notify,
            hooks,
            publications: file.publications,
            functions,
            triggers,
            referring,
            left,
            parts: vec![],
            part_of: None,
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
            IdentError::BadDestination => "for example `ops`: its address is in CROSSFADE_NOTIFY_OPS_URL",
            IdentError::BadHook => {
                "put a script of such a name into the directory that --hooks names; arguments belong into it"
            }
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
                "every table has it, and PostgreSQL maintains it",
            );
            return None;
        }
        Some(name)
    }

    /// Checks a piece of SQL as far as that goes without a server.
    fn sql_text(&mut self, at: &str, key: &str, text: Option<&str>) {
        let Some(text) = text else { return };
        let span = self.places.value(at);
        if text.trim().is_empty() {
            self.report(Code::EmptyValue, span, format!("`{key}` is empty"), "leave the key out, or give it a value");
            return;
        }
        if text.contains('\0') {
            self.report(
                Code::BadName,
                span,
                format!("`{key}` contains a zero byte"),
                "PostgreSQL does not allow zero bytes in text",
            );
            return;
        }
        // `payload #>> '{a}'`: for YAML everything from the # on is a comment.
        let quoted = self.source[span.start..].starts_with(['"', '\'']);
        let rest = &self.source[span.end..];
        let comment = rest.trim_start_matches([' ', '\t']);
        if !quoted && ["#>", "#-", "##", "#="].iter().any(|op| comment.starts_with(op)) {
            let line = comment.lines().next().unwrap_or_default().trim_end();
            let start = span.end + (rest.len() - comment.len());
            let message = format!("YAML treats the rest of `{key}` as a comment");
            self.report(
                Code::CutByComment,
                start..start + line.len(),
                message,
                "put quotes around the whole expression",
            );
        }
    }

    // Settings.

    fn queries(&mut self, settings: &Settings) {
        let probe = settings.throttle.probe.as_ref().map(|probe| probe.sql.as_str());
        self.sql_text("/throttle/probe/sql", "sql", probe);
        self.sql_text("/backfill/latency_probe", "latency_probe", settings.backfill.latency_probe.as_deref());
    }

    /// Complains about settings of a phase that the plan does not have.
    fn contract(&mut self, changes: &[(String, Change)]) {
        let pairs = changes.iter().any(|(_, change)| change.pair().is_some());
        let drops = pairs || changes.iter().any(|(_, change)| matches!(change, Change::DropColumn(_)));
        for (key, acts) in [("grace", drops), ("quiet", pairs)] {
            let at = format!("/contract/{key}");
            if !acts && self.places.exact(&at).is_some() {
                let why = if drops { "keeps no two columns equal, so it counts no writes" } else { "drops no column" };
                let message = format!("`{key}` has no effect: this plan {why}");
                self.report(Code::NoEffect, self.places.key(&at), message, "remove it");
            }
        }
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
