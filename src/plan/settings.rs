//! The settings of a plan, each written down once: where it stands, what it takes, its default, whether it can be changed
//! in a running run, and what it does.
//!
//! The table drives reading, messages, the JSON Schema, `crossfade tune`, stored plans that are shown again, and the
//! table in README.md. To add a setting: a field in `model.rs`, and an entry here.

mod kind;
mod table;

pub use kind::{Kind, Value, Wrong};
pub(super) use kind::{duration, integer, time_text};
pub(super) use table::SECTIONS;
pub use table::SETTINGS;

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::Duration;

use super::diagnostic::Code;
use super::{
    Approvals, Backfill, BuildIndexes, Bytes, Change, Contract, CopyIndexes, Indexes, Plan, Probe, Requires, Throttle,
    Verify, Word, suggest,
};
use crate::ident::{PlanName, TableName};

/// A setting.
#[derive(Debug)]
pub struct Setting {
    /// Where it stands in a plan: `throttle.replica_lag`. The second part is its name in `crossfade tune`.
    pub path: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// The word that stands for none, where one does.
    pub off: Option<&'static str>,
    /// What holds where a plan is silent, as plans write it; empty for none.
    pub default: &'static str,
    /// A value as it may stand in a plan; empty where there is nothing better than the default.
    pub example: &'static str,
    /// Who may set it.
    pub place: Place,
    /// What it does, in one sentence or two.
    pub about: &'static str,
    get: fn(&Settings) -> Value,
    set: fn(&mut Settings, &Value),
}

/// Where a setting can be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the plan; then it stays as it is.
    Plan,
    /// In the plan, and by `crossfade tune` while the run goes on.
    Both,
    /// Only by `crossfade tune`.
    Tune,
}

/// The values of all settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Pace of the backfill.
    pub backfill: Backfill,
    /// What makes it slow down or hold.
    pub throttle: Throttle,
    /// How the check is done.
    pub verify: Verify,
    /// How the old column is dropped.
    pub contract: Contract,
    /// Which approvals count.
    pub approval: Approvals,
    /// For how long the table may be locked while the twin of an exclusion constraint is built.
    pub exclusion_lock: Option<Duration>,
    /// Sub-passes over a window, in place of what would be chosen from facts.
    pub sub_passes: Option<u32>,
    /// Pages of a window, in place of what would be chosen from facts.
    pub window_pages: Option<u32>,
}

impl Default for Settings {
    /// Returns what holds where a plan is silent: the defaults of the table.
    fn default() -> Self {
        static DEFAULT: LazyLock<Settings> = LazyLock::new(|| {
            let mut settings = Settings::blank();
            for setting in SETTINGS.iter().filter(|setting| !setting.default.is_empty()) {
                if let Ok(value) = setting.read(setting.default) {
                    (setting.set)(&mut settings, &value);
                }
            }
            settings
        });
        DEFAULT.clone()
    }
}

impl Settings {
    /// Returns settings without a limit, for the defaults to be written over.
    fn blank() -> Self {
        Self {
            backfill: Backfill {
                batch_target: Duration::ZERO,
                max_rows_per_second: None,
                workers: 0,
                long_transactions: <_>::default(),
                triggers: <_>::default(),
                wal_compression: None,
                goal_latency: None,
                latency_probe: None,
            },
            throttle: Throttle::default(),
            verify: Verify { max_age: Duration::ZERO },
            contract: Contract { grace: Duration::ZERO, quiet: Duration::ZERO, unused: Duration::ZERO },
            approval: Approvals { expiry: Duration::ZERO, own: false },
            exclusion_lock: None,
            sub_passes: None,
            window_pages: None,
        }
    }

    /// Sets a live setting, as `crossfade tune` writes it.
    ///
    /// # Errors
    /// Why the setting cannot be that, or that there is no such setting.
    pub fn tune(&mut self, key: &str, text: &str) -> Result<(), Wrong> {
        let (setting, value) = read_live(key, text)?;
        (setting.set)(self, &value);
        Ok(())
    }

    /// Returns the value of the setting that `tune` calls `key` as a number in its base unit (seconds, bytes, or what it
    /// counts); nothing where it is off.
    pub fn limit(&self, key: &str) -> Option<f64> {
        let setting = Setting::named(key)?;
        (setting.get)(self).number()
    }

    pub(super) fn put(&mut self, setting: &Setting, value: &Value) {
        (setting.set)(self, value);
    }
}

impl Plan {
    /// Returns a plan in which everything but these has its default. Nothing is checked: [`parse`](super::parse) what
    /// [`to_yaml`](super::to_yaml) writes for it.
    pub fn new(name: PlanName, table: TableName, changes: Vec<Change>) -> Self {
        let settings = Settings::default();
        Self {
            name,
            table,
            changes,
            indexes: Indexes {
                build: BuildIndexes::default(),
                copy: CopyIndexes::default(),
                copied: vec![],
                add: vec![],
                exclusion_lock: None,
            },
            backfill: settings.backfill,
            throttle: settings.throttle,
            verify: settings.verify,
            contract: settings.contract,
            schedule: None,
            approve: vec![],
            approval: settings.approval,
            requires: Requires::default(),
            notify: vec![],
            hooks: vec![],
            publications: None,
            functions: vec![],
            triggers: vec![],
            referring: None,
            left: vec![],
            parts: vec![],
            part_of: None,
        }
    }

    /// Returns the values of all settings.
    pub fn settings(&self) -> Settings {
        Settings {
            backfill: self.backfill.clone(),
            throttle: self.throttle.clone(),
            verify: self.verify.clone(),
            contract: self.contract.clone(),
            approval: self.approval.clone(),
            exclusion_lock: self.indexes.exclusion_lock,
            sub_passes: None,
            window_pages: None,
        }
    }
}

impl Default for Backfill {
    fn default() -> Self {
        Settings::default().backfill
    }
}

impl Setting {
    /// Returns the setting that `crossfade tune` calls `name`.
    pub fn named(name: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.place != Place::Plan && setting.name() == name)
    }

    /// Returns the name in `crossfade tune`.
    pub fn name(&self) -> &'static str {
        self.path.split('.').nth(1).unwrap_or(self.path)
    }

    /// Returns the key that stands right before the value in a plan.
    pub fn key(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }

    /// Returns the map that holds the setting in a plan: `throttle`, `throttle.probe`.
    pub(super) fn section(&self) -> &'static str {
        self.path.rsplit_once('.').map_or("", |(section, _)| section)
    }

    /// Returns whether a map that is given must hold the setting.
    pub(super) fn required(&self) -> bool {
        self.section().contains('.')
    }

    /// Returns whether plans have the setting.
    pub fn in_plan(&self) -> bool {
        self.place != Place::Tune
    }

    /// Reads `text` as a value of this setting.
    ///
    /// # Errors
    /// Why it is none.
    pub fn read(&self, text: &str) -> Result<Value, Wrong> {
        self.kind.read(self.key(), self.off, text)
    }

    /// Returns the value that `settings` has, as plans write it, unless it is the default.
    pub(super) fn written(&self, settings: &Settings) -> Option<serde_json::Value> {
        let value = (self.get)(settings);
        let default = (self.get)(&Settings::default());
        (value != default).then(|| value.json(self.off.unwrap_or_default()))
    }

    pub(super) fn wanted(&self) -> String {
        let off = self.off.map(|off| format!(" or `{off}`")).unwrap_or_default();
        format!("{}{off}", self.kind.wanted())
    }

    /// Returns what the setting takes: `a duration, such as 10s, or off`.
    pub fn takes(&self) -> String {
        let example = if self.example.is_empty() { self.default } else { self.example };
        let mut text = match self.kind {
            Kind::Time { .. } => format!("a duration, such as {example}"),
            Kind::Data => format!("an amount of data, such as {example}"),
            Kind::Whole { least, most } => format!("a number from {least} to {most}"),
            Kind::Number => "a number".to_owned(),
            Kind::Truth => "true or false".to_owned(),
            Kind::Words(words) => any_of(words),
            Kind::Sql => "a query".to_owned(),
        };
        if let Some(off) = self.off {
            let _ = write!(text, ", or {off}");
        }
        text
    }
}

/// Returns the words with commas and an `or`.
fn any_of(words: &[Word]) -> String {
    let words: Vec<_> = words.iter().map(|word| word.word).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

fn read_live(key: &str, text: &str) -> Result<(&'static Setting, Value), Wrong> {
    let Some(setting) = Setting::named(key) else {
        if SETTINGS.iter().any(|setting| setting.name() == key) {
            let help = "a running run keeps it; `crossfade rollback` it to begin again with another plan".to_owned();
            return Err(Wrong { code: Code::UnknownKey, message: format!("{key} can only be set in the plan"), help });
        }
        let names: Vec<_> = tunable().map(Setting::name).collect();
        let message = format!("there is no setting {key}");
        let help = match suggest::nearest(key, names.iter().copied()) {
            Some(name) => format!("did you mean {name}?"),
            None => format!("the settings are {}", names.join(", ")),
        };
        return Err(Wrong { code: Code::UnknownKey, message, help });
    };
    // As said before there was `off` in plans.
    let text = if text == "none" && setting.off == Some("off") { "off" } else { text };
    match setting.kind.read(setting.name(), setting.off, text) {
        Ok(value) => Ok((setting, value)),
        Err(wrong) => Err(Wrong { help: format!("{key} takes {}", setting.takes()), ..wrong }),
    }
}

/// Returns every setting that `crossfade tune` can change, by name.
pub fn tunable() -> impl Iterator<Item = &'static Setting> {
    let mut settings: Vec<_> = SETTINGS.iter().filter(|setting| setting.place != Place::Plan).collect();
    settings.sort_by_key(|setting| setting.name());
    settings.into_iter()
}

/// Checks a live setting before it is stored.
///
/// # Errors
/// That there is no such setting, or why its value cannot be that.
pub fn check(key: &str, text: &str) -> Result<(), Wrong> {
    read_live(key, text).map(|_| ())
}

/// Returns every setting that `tune` can change and what it takes, a line for each.
pub fn listing() -> String {
    let width = tunable().map(|setting| setting.name().len()).max().unwrap_or(0);
    let line = |setting: &Setting| format!("  {:<width$}  {}\n", setting.name(), setting.takes());
    tunable().map(line).collect()
}

/// Returns the settings as a table in Markdown, for README.md.
pub fn markdown() -> String {
    let mut text = "| key | takes | default | `tune` | what it does |\n|---|---|---|---|---|\n".to_owned();
    for setting in SETTINGS {
        let default = match (setting.default, setting.off) {
            ("", Some(off)) => off,
            ("", None) => "none",
            (default, _) => default,
        };
        let (path, tune) = match setting.place {
            Place::Plan => (setting.path, "no"),
            Place::Both => (setting.path, "yes"),
            Place::Tune => (setting.name(), "only there"),
        };
        let takes = setting.takes();
        let _ = writeln!(text, "| `{path}` | {takes} | {default} | {tune} | {} |", setting.about.replace('|', "\\|"));
    }
    text
}

/// A type that a setting's value is kept in.
trait Held: Sized {
    fn value(&self) -> Value;
    /// Returns the value, if it is of the right kind.
    fn held(value: &Value) -> Option<Self>;
}

impl<T: Held> Held for Option<T> {
    fn value(&self) -> Value {
        self.as_ref().map_or(Value::Off, T::value)
    }

    fn held(value: &Value) -> Option<Self> {
        if *value == Value::Off { Some(None) } else { T::held(value).map(Some) }
    }
}

macro_rules! held {
    ($($type:ty, $kind:ident: $to:expr, $from:expr;)+) => {$(
        impl Held for $type {
            fn value(&self) -> Value {
                let to: fn(&Self) -> _ = $to;
                Value::$kind(to(self))
            }

            fn held(value: &Value) -> Option<Self> {
                match value {
                    Value::$kind(value) => {
                        let from: fn(_) -> Option<Self> = $from;
                        from(value)
                    }
                    _ => None,
                }
            }
        }
    )+};
}

held! {
    Duration, Time: |time| *time, |time: &Duration| Some(*time);
    Bytes, Data: |bytes| *bytes, |bytes: &Bytes| Some(*bytes);
    bool, Truth: |truth| *truth, |truth: &bool| Some(*truth);
    u32, Whole: |number| *number, |number: &u32| Some(*number);
    u16, Whole: |number| (*number).into(), |number: &u32| Self::try_from(*number).ok();
    String, Sql: Clone::clone, |text: &String| Some(text.clone());
    super::LongTransactions, Word: |word| word.as_str(), |word: &&str| Self::of(word);
    super::Triggers, Word: |word| word.as_str(), |word: &&str| Self::of(word);
    super::WalCompression, Word: |word| word.as_str(), |word: &&str| Self::of(word);
}

/// Writes a value over a field.
fn put<T: Held>(field: &mut T, value: &Value) {
    if let Some(value) = T::held(value) {
        *field = value;
    }
}

fn probe_query(settings: &Settings) -> Value {
    settings.throttle.probe.as_ref().map_or(Value::Off, |probe| Value::Sql(probe.sql.clone()))
}

fn probe_limit(settings: &Settings) -> Value {
    settings.throttle.probe.as_ref().map_or(Value::Off, |probe| Value::Number(probe.limit))
}

fn set_probe_query(settings: &mut Settings, value: &Value) {
    settings.throttle.probe = match value {
        Value::Sql(sql) => Some(Probe { sql: sql.clone(), limit: 0.0 }),
        _ => None,
    };
}

/// Without a query there is nothing to limit.
fn set_probe_limit(settings: &mut Settings, value: &Value) {
    match value {
        Value::Number(limit) => {
            if let Some(probe) = &mut settings.throttle.probe {
                probe.limit = *limit;
            }
        }
        _ => settings.throttle.probe = None,
    }
}

#[cfg(test)]
mod tests;
