//! Turns what was typed into a [`Plan`], looking for everything that contradicts itself.

use std::ops::Range;

use super::diagnostic::{Code, Problem};
use super::file::{PlanFile, RequiresFile};
use super::structure::{Places, Typed, last_key};
use super::suggest;
use super::{Change, Plan, Requires, Settings};
use crate::ident::{ColumnName, IdentError, PlanName, RelationName, RunTag, TableName};
use crate::phase::Phase;

mod added;
mod changes;
mod schedule;

/// The oldest PostgreSQL supported.
const OLDEST_POSTGRES: u32 = 14;

/// Columns that every table has.
const SYSTEM_COLUMNS: [&str; 6] = ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"];

/// Returns the plan if all of it could be understood. Problems, also those that do not prevent that, are added to
/// `problems`. Parts missing from `file` have been complained about already.
///
/// If there is no problem but that, each of the keys `inert` that the plan has is one.
pub(super) fn validate(typed: Typed, source: &str, inert: &[&str], problems: &mut Vec<Problem>) -> Option<Plan> {
    let Typed { file, settings, places } = typed;
    let plan = Validator { source, places: &places, problems }.plan(&file, settings)?;
    if problems.is_empty() {
        let has = |key: &&&str| match **key {
            "schedule" => plan.schedule.is_some(),
            "approve" => !plan.approve.is_empty(),
            _ => false,
        };
        for key in inert.iter().filter(has) {
            let message = format!("`{key}` is not supported yet: nothing would wait for it");
            let help = "remove it; `crossfade run PLAN --to PHASE` goes as far as you say, when you say it";
            problems.push(Problem::new(Code::NotSupportedYet, places.key(&format!("/{key}")), message).help(help));
        }
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
        let requires = self.requires(file.requires.as_ref(), name.as_ref());
        Some(Plan {
            name: name?,
            table: table?,
            changes: changes.into_iter().map(|(_, change)| change).collect(),
            indexes,
            backfill: settings.backfill,
            throttle: settings.throttle,
            verify: settings.verify,
            contract,
            schedule,
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
                self.report(Code::RequiresItself, self.places.value(&at), "this plan requires itself", "remove it");
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
            let message = format!("`{text}` is not a minimum major version");
            self.report(Code::BadPostgresVersion, span, message, format!("write `\">={major}\"`"));
            return None;
        };
        if version < OLDEST_POSTGRES {
            let message = format!("crossfade does not support PostgreSQL {version}: it is too old");
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
