//! A plan written as a plan file again: what has its default is left out, and the keys are in the order of the format.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Map, Value};

use super::calendar::MOMENT;
use super::settings::{SETTINGS, time_text};
use super::{
    AddColumn, AddConstraint, AddIndex, Adopt, BuildIndexes, Bytes, Change, ChangeType, CopyIndexes, Deferrable, Disk,
    ExtraWindow, ForeignKey, Freeze, FunctionBody, Hook, IndexKey, LeftColumn, NewIndex, Notify, OnConflict, OnError,
    Plan, Publications, ReferentialAction, Referring, RenameColumn, Replicas, RequiredColumn, Requires, Rule, Schedule,
    Shape, Slots, Topic, TriggerArguments, Window,
};
use crate::ident::{ColumnName, PlanName, RelationName};
use crate::phase::Phase;

/// The word for the disk space that a run is predicted to need.
pub(super) const PREDICTED: &str = "predicted";

/// The access method of an index whose plan names none.
pub(super) const BTREE: &str = "btree";

/// Returns `plan` as a plan file. Read again, it is the same plan.
pub fn to_yaml(plan: &Plan) -> String {
    yaml(&to_json(plan))
}

/// Returns a map as YAML.
pub(super) fn yaml(file: &Value) -> String {
    let yaml = serde_yaml::to_string(file).expect("YAML can say whatever JSON can");
    if yaml.contains(OLD_LINE_BREAKS) { escaped(file) } else { yaml }
}

/// Line breaks in YAML 1.1, which `serde_yaml` writes, and none in YAML 1.2, which we and most others read: around them
/// white space would come and go.
const OLD_LINE_BREAKS: [char; 3] = ['\u{85}', '\u{2028}', '\u{2029}'];

/// Returns the file as JSON, which is YAML as well.
fn escaped(file: &Value) -> String {
    shown(&format!("{file:#}\n"))
}

/// Returns one key of a map as YAML, in lines that may be indented or follow a `#`.
pub(super) fn entry(key: &str, value: &Value) -> String {
    let yaml = yaml(&Value::Object([(key.to_owned(), value.clone())].into_iter().collect()));
    if yaml.starts_with('{') { shown(&format!("{key}: {value}\n")) } else { yaml }
}

/// Returns JSON without any character that cannot be seen.
fn shown(json: &str) -> String {
    let mut text = String::new();
    for c in json.chars() {
        if OLD_LINE_BREAKS.contains(&c) || (c.is_control() && c != '\n') {
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    text
}

/// Returns `plan` as JSON with the keys and values of a plan file; the JSON Schema of plan files describes it.
pub fn to_json(plan: &Plan) -> Value {
    let keys = Keys::default()
        .with("version", 1)
        .with("name", plan.name.as_str())
        .with("table", plan.table.to_string())
        .with("changes", plan.changes.iter().map(|change| self::change(plan, change)).collect::<Value>())
        .section("indexes", indexes(plan));
    settings(plan, keys)
        .maybe("schedule", plan.schedule.as_ref().map(schedule))
        .list("approve", plan.approve.iter().map(|phase| phase.as_str()))
        .section("requires", requires(&plan.requires))
        .list("notify", plan.notify.iter().map(notify))
        .list("hooks", plan.hooks.iter().map(hook))
        .maybe("publications", plan.publications.map(Publications::as_str))
        .list("functions", plan.functions.iter().map(function))
        .list("triggers", plan.triggers.iter().map(trigger))
        .maybe("referring", plan.referring.map(Referring::as_str).filter(|_| plan.left.is_empty()))
        .section("referring", Keys::default().list("leave", plan.left.iter().map(left)))
        .into()
}

/// The keys of a map, in the order in which they are added.
#[derive(Default)]
struct Keys(Map<String, Value>);

impl Keys {
    fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.insert(key.to_owned(), value.into());
        self
    }

    /// Adds the key if there is a value.
    fn maybe(self, key: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Adds the list unless it is empty.
    fn list<T: Into<Value>>(self, key: &str, values: impl Iterator<Item = T>) -> Self {
        let values: Vec<Value> = values.map(Into::into).collect();
        if values.is_empty() { self } else { self.with(key, values) }
    }

    /// Adds the map unless it is empty.
    fn section(self, key: &str, keys: Self) -> Self {
        if keys.0.is_empty() { self } else { self.with(key, keys) }
    }
}

impl From<Keys> for Value {
    fn from(keys: Keys) -> Self {
        Self::Object(keys.0)
    }
}

/// Returns the value unless it is the default.
fn unless_default<T: Default + PartialEq>(value: T) -> Option<T> {
    (value != T::default()).then_some(value)
}

fn change(plan: &Plan, change: &Change) -> Value {
    let (kind, keys) = match change {
        Change::RenameColumn(change) => ("rename_column", rename_column(change)),
        Change::ChangeType(change) => ("change_type", change_type(plan, change)),
        Change::AddColumn(change) => ("add_column", add_column(change)),
        Change::DropColumn(change) => ("drop_column", Keys::default().with("column", change.column.as_str())),
        Change::AddIndex(change) => ("add_index", new_index(plan, change)),
        Change::DropIndex(change) => ("drop_index", Keys::default().with("name", change.name.as_str())),
        Change::AddConstraint(change) => ("add_constraint", add_constraint(plan, change)),
    };
    Keys::default().with(kind, keys).into()
}

fn rename_column(change: &RenameColumn) -> Keys {
    Keys::default()
        .with("from", change.from.as_str())
        .with("to", change.to.as_str())
        .maybe("on_conflict", unless_default(change.on_conflict).map(OnConflict::as_str))
        .maybe("adopt", change.adopt.as_ref().map(adopt))
}

fn adopt(adopt: &Adopt) -> Keys {
    Keys::default()
        .list("replaces", adopt.replaces.iter().map(RelationName::as_str))
        .list("keeps", adopt.keeps.iter().map(RelationName::as_str))
        .maybe("overwrite", unless_default(adopt.overwrite))
}

fn change_type(plan: &Plan, change: &ChangeType) -> Keys {
    // The name that would be made up need not be said, unless something refers to it.
    let made_up = change.via.as_str() == plan.tag().name(change.column.as_str());
    let via = (!made_up || change.reverse.is_some() || change.adopt.is_some() || !change.keep_name)
        .then_some(change.via.as_str());
    Keys::default()
        .with("column", change.column.as_str())
        .with("to", change.to.as_str())
        .maybe("using", change.using.as_deref())
        .maybe("reverse", change.reverse.as_deref())
        .maybe("default", change.default.as_deref())
        .maybe("via", via)
        .maybe("keep_name", (!change.keep_name).then_some(false))
        .maybe("on_conflict", unless_default(change.on_conflict).map(OnConflict::as_str))
        .maybe("on_error", change.on_error.map(OnError::as_str))
        .maybe("adopt", change.adopt.as_ref().map(adopt))
}

fn add_column(change: &AddColumn) -> Keys {
    Keys::default()
        .with("name", change.name.as_str())
        .with("type", change.type_name.as_str())
        .maybe("default", change.default.as_deref())
        .maybe("not_null", unless_default(change.not_null))
}

fn new_index(plan: &Plan, change: &NewIndex) -> Keys {
    let keys = Keys::default().with("name", change.name.as_str());
    let keys = match &change.key {
        IndexKey::Columns(of) => keys.list("columns", columns(plan, of)),
        IndexKey::Sql(text) => keys.with("on", text.as_str()),
    };
    keys.maybe("unique", unless_default(change.unique))
        .maybe("using", (change.method != BTREE).then_some(change.method.as_str()))
        .list("include", columns(plan, &change.include))
        .maybe("where", change.predicate.as_deref())
}

fn add_constraint(plan: &Plan, change: &AddConstraint) -> Keys {
    let keys = Keys::default().maybe("name", change.name.as_ref().map(RelationName::as_str));
    let deferrable = |deferrable| unless_default(deferrable).map(Deferrable::as_str);
    match &change.rule {
        Rule::Check(text) => keys.with("check", text.as_str()),
        Rule::ForeignKey(key) => keys.with("foreign_key", foreign_key(plan, key)),
        Rule::Unique { columns: of, nulls_not_distinct, deferrable: when } => keys
            .list("unique", columns(plan, of))
            .maybe("nulls_not_distinct", unless_default(*nulls_not_distinct))
            .maybe("deferrable", deferrable(*when)),
        Rule::NotNull(column) => keys.maybe("not_null", columns(plan, std::slice::from_ref(column)).next()),
    }
}

fn foreign_key(plan: &Plan, key: &ForeignKey) -> Keys {
    let action = |action| unless_default(action).map(ReferentialAction::as_str);
    Keys::default()
        .list("columns", columns(plan, &key.columns))
        .with("references", key.references.to_string())
        .list("referenced_columns", key.referenced_columns.iter().map(ColumnName::as_str))
        .maybe("on_delete", action(key.on_delete))
        .maybe("on_update", action(key.on_update))
        .maybe("match", key.match_full.then_some("full"))
        .maybe("deferrable", unless_default(key.deferrable).map(Deferrable::as_str))
}

fn indexes(plan: &Plan) -> Keys {
    let indexes = &plan.indexes;
    Keys::default()
        .maybe("build", unless_default(indexes.build).map(BuildIndexes::as_str))
        .maybe("copy", unless_default(indexes.copy).map(CopyIndexes::as_str))
        .list("copy", indexes.copied.iter().map(RelationName::as_str))
        .list("add", indexes.add.iter().map(|index| add_index(plan, index)))
        .maybe("exclusion_lock", indexes.exclusion_lock.map(time_text))
}

/// Returns columns as plans name them: as they are called when the run is done.
fn columns<'a>(plan: &'a Plan, columns: &'a [ColumnName]) -> impl Iterator<Item = &'a str> {
    columns.iter().map(|column| {
        let pair = plan.pairs().find(|(_, pair)| pair.new == column);
        pair.map_or(column, |(_, pair)| pair.final_name()).as_str()
    })
}

fn add_index(plan: &Plan, index: &AddIndex) -> Keys {
    Keys::default()
        .with("name", index.name.as_str())
        .list("columns", columns(plan, &index.columns))
        .maybe("unique", unless_default(index.unique))
}

/// Adds the settings that are not the defaults.
fn settings(plan: &Plan, mut keys: Keys) -> Keys {
    let settings = plan.settings();
    for setting in SETTINGS.iter().filter(|setting| setting.in_plan()) {
        let Some(value) = setting.written(&settings) else { continue };
        let mut map = &mut keys.0;
        for section in setting.section().split('.') {
            let section = map.entry(section).or_insert_with(|| Value::Object(Map::new()));
            // What stands there was made right here.
            let Value::Object(inner) = section else { return keys };
            map = inner;
        }
        map.insert(setting.key().to_owned(), value);
    }
    keys
}

fn schedule(schedule: &Schedule) -> Keys {
    let weekly = schedule.weekly.iter().fold(Keys::default(), |keys, (phase, week)| keys.with(phase.as_str(), *week));
    let date = |keys: Keys, (phase, date): &(Phase, chrono::NaiveDate)| keys.with(phase.as_str(), date.to_string());
    let not_before = schedule.not_before.iter().fold(Keys::default(), date);
    let time = |keys: Keys, (phase, time): &(Phase, Duration)| keys.with(phase.as_str(), time_text(*time));
    let soak = schedule.soak.iter().fold(Keys::default(), time);
    Keys::default()
        .with("timezone", schedule.timezone.name())
        .with("start", schedule.start.to_string())
        .maybe("window", schedule.window.as_ref().map(window))
        .list("extra", schedule.extra.iter().map(extra_window))
        .section("weekly", weekly)
        .section("not_before", not_before)
        .section("soak", soak)
        .list("freeze", schedule.freeze.iter().map(freeze))
}

fn window(window: &Window) -> Keys {
    let time = |time: chrono::NaiveTime| time.format("%H:%M").to_string();
    Keys::default()
        .list("days", window.days.iter().map(|day| day.as_str()))
        .with("from", time(window.from))
        .with("to", time(window.to))
}

fn extra_window(extra: &ExtraWindow) -> Keys {
    Keys::default()
        .with("from", extra.from.format(MOMENT).to_string())
        .with("to", extra.to.format(MOMENT).to_string())
        .with("why", extra.why.as_str())
}

fn freeze(freeze: &Freeze) -> Keys {
    Keys::default()
        .with("from", freeze.from.to_string())
        .with("to", freeze.to.to_string())
        .with("why", freeze.why.as_str())
}

fn notify(notify: &Notify) -> Keys {
    let every = notify.on.len() == Topic::WORDS.len();
    Keys::default()
        .with("to", notify.to.as_str())
        .maybe("shape", unless_default(notify.shape).map(Shape::as_str))
        .list("on", notify.on.iter().filter(|_| !every).map(|topic| topic.as_str()))
}

fn hook(hook: &Hook) -> Keys {
    Keys::default()
        .with(hook.when.as_str(), hook.phase.as_str())
        .with("run", hook.run.as_str())
        .maybe("timeout", (hook.timeout != Hook::TIMEOUT).then(|| time_text(hook.timeout)))
}

fn function(function: &FunctionBody) -> Keys {
    Keys::default().with("name", function.name.as_str()).with("body", function.body.as_str())
}

fn trigger(trigger: &TriggerArguments) -> Keys {
    // Also where there are none.
    Keys::default().with("name", trigger.name.as_str()).with("arguments", trigger.arguments.clone())
}

fn requires(requires: &Requires) -> Keys {
    Keys::default()
        .maybe("postgres", requires.postgres.map(|version| format!(">={version}")))
        .list("extensions", requires.extensions.iter().map(ToString::to_string))
        .list("plans", requires.plans.iter().map(PlanName::as_str))
        .list("tables", requires.tables.iter().map(ToString::to_string))
        .list("columns", requires.columns.iter().map(required_column))
        .maybe("disk", requires.disk.as_ref().map(disk))
        .maybe("slots", requires.slots.as_ref().map(slots))
        .maybe("replicas", requires.replicas.as_ref().map(replicas))
}

fn left(column: &LeftColumn) -> Keys {
    Keys::default().with("table", column.table.to_string()).with("column", column.column.as_str())
}

fn required_column(required: &RequiredColumn) -> Keys {
    Keys::default()
        .with("table", required.table.to_string())
        .with("column", required.column.as_str())
        .maybe("type", required.type_name.as_deref())
}

fn disk(disk: &Disk) -> Keys {
    Keys::default()
        .with("free", disk.free.map_or_else(|| PREDICTED.to_owned(), Bytes::written))
        .maybe("query", disk.query.as_deref())
}

fn slots(slots: &Slots) -> Keys {
    Keys::default()
        .maybe("wal", slots.wal.map(Bytes::written))
        .maybe("inactive_wal", slots.inactive_wal.map(Bytes::written))
        .maybe("bounded", unless_default(slots.bounded))
}

fn replicas(replicas: &Replicas) -> Keys {
    Keys::default().maybe("count", replicas.count).maybe("behind", replicas.behind.map(Bytes::written))
}
