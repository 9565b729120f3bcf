//! Results, events and errors as JSON. The names of fields are part of the interface: scripts read them.

use chrono::{SecondsFormat, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use crate::event::Event;
use crate::ledger::Record;
use crate::plan::Plan;
use crate::run::{Action, Program, Step, Undo};
use crate::runner::Preview;

/// Returns a result, indented, with its line break.
pub(crate) fn result(value: &impl Serialize) -> String {
    // Nothing that is printed here has keys that are not text.
    serde_json::to_string_pretty(value).map_or_else(|error| format!("{{\"error\": \"{error}\"}}\n"), |text| text + "\n")
}

/// Returns a result as one line.
pub(crate) fn line(value: &impl Serialize) -> String {
    serde_json::to_string(value).map_or_else(|error| format!("{{\"error\": \"{error}\"}}\n"), |text| text + "\n")
}

/// Returns an event as one line, with the time at which it was told.
pub(crate) fn event(event: &Event) -> String {
    let mut value = serde_json::to_value(event).unwrap_or_default();
    if let Value::Object(map) = &mut value {
        if let Event::LockWait { pause, .. } = event {
            map.remove("pause");
            map.insert("pause_seconds".to_owned(), json!(pause.as_secs_f64()));
        }
        map.insert("at".to_owned(), json!(Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true)));
    }
    value.to_string()
}

/// Returns all runs of a name and those of their parts with their logs, oldest first, as they are stored: texts that are hashed are printed
/// as they are.
pub(crate) fn history(name: &str, runs: &[Record], parts: &[Record]) -> String {
    #[derive(Serialize)]
    struct History<'a> {
        name: &'a str,
        runs: &'a [Record],
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        parts: &'a [Record],
    }
    result(&History { name, runs, parts })
}

/// Returns a stored run: `name`, `plan` with the keys of a plan file, and `steps` where they are asked for.
pub(crate) fn stored(plan: &Plan, program: Option<&Program>) -> Value {
    let mut value = json!({ "name": plan.name, "plan": crate::plan::to_json(plan) });
    if let Some(program) = program {
        value["steps"] = program.steps.iter().map(step).collect();
    }
    value
}

/// Returns the dry run: `name`, `table`, `in_place`, `run` (where the plan's run stands, if it has one), `phases`, `steps`, `estimates`, `warnings`, `refusals`,
/// `requirements`.
pub(crate) fn preview(plan: &Plan, preview: &Preview) -> Value {
    let parts: Vec<_> = preview.parts.iter().map(|part| self::preview(&part.plan, &part.preview)).collect();
    let mut value = json!({
        "name": plan.name,
        "table": plan.table.to_string(),
        "in_place": preview.in_place,
        "run": preview.run,
        "phases": preview.program.as_ref().map(|program| &program.phases),
        "steps": preview.program.iter().flat_map(|program| &program.steps).map(step).collect::<Vec<_>>(),
        "estimates": preview.estimates,
        "warnings": preview.warnings,
        "refusals": preview.refusals,
        "requirements": preview.requirements,
    });
    if !parts.is_empty() {
        value["parts"] = json!(parts);
    }
    value
}

fn step(step: &Step) -> Value {
    json!({
        "id": step.key,
        "phase": step.key.phase,
        "title": step.title,
        "sql": step.sql(),
        "lock": step.strongest_lock().to_string(),
        "transactional": step.transactional(),
        "undo": undo(&step.undo),
    })
}

/// `kind` is `sql`, `nothing` or `point_of_no_return`; `why` belongs to the last two.
fn undo(undo: &Undo) -> Value {
    let (kind, sql, why) = match undo {
        Undo::Actions { actions, .. } => ("sql", actions.iter().flat_map(Action::sql).collect(), None),
        Undo::Nothing(why) => ("nothing", vec![], Some(why)),
        Undo::PointOfNoReturn(why) => ("point_of_no_return", vec![], Some(why)),
    };
    json!({ "kind": kind, "sql": sql, "why": why })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_event_is_one_line_with_units_in_its_names() {
        let wait = Event::LockWait {
            step: "expand.columns".parse().unwrap(),
            attempt: 2,
            blockers: vec![],
            pause: Duration::from_millis(250),
        };
        let line = event(&wait);
        assert!(!line.contains('\n'));
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["event"], "lock_wait");
        assert_eq!(value["pause_seconds"], 0.25);
        assert_eq!(value.get("pause"), None);
        assert!(value["at"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn a_check_is_an_event_with_its_counts() {
        let outcome = crate::run::Outcome { counts: crate::run::Counts::default(), seconds: 1.5, keys: vec![] };
        let value: Value = serde_json::from_str(&event(&Event::Verified(outcome))).unwrap();
        assert_eq!((&value["event"], &value["rows"]), (&json!("verified"), &json!(0)));
    }
}
