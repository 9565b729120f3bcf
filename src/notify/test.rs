//! A message to each destination of a plan, to see whether it arrives.

use std::time::Instant;

use chrono::Utc;
use serde::Serialize;
use serde_json::json;

use super::{Answer, Destinations, Message, post, url_variable};
use crate::plan::{Plan, Shape};

/// What came of a test message.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tested {
    /// The destination, as the plan calls it.
    pub to: String,
    /// Its address as it may be shown; `None` where this host has none.
    pub address: Option<String>,
    /// What the message looked like.
    pub shape: Shape,
    /// Whether the receiver has it.
    pub ok: bool,
    /// What came of it, as a clause.
    pub said: String,
    /// How long it took.
    pub seconds: f64,
}

/// Sends one message about `test` to each destination of `plan`. Nothing is repeated, and nothing kept.
pub async fn test(destinations: &Destinations, plan: &Plan) -> Vec<Tested> {
    let mut all = Vec::new();
    for told in &plan.notify {
        let (name, shape) = (told.to.as_str(), told.shape);
        let destination = destinations.get(name);
        let mut tested = Tested {
            to: name.to_owned(),
            address: destination.map(super::Destination::shown),
            shape,
            ok: false,
            said: format!("{} is not set", url_variable(name)),
            seconds: 0.0,
        };
        if let Some(destination) = destination {
            if let Some(flaw) = destination.flaw(name, shape) {
                tested.said = flaw;
            } else {
                let begun = Instant::now();
                (tested.ok, tested.said) = said(post(destination, &message(plan, shape)).await);
                tested.seconds = begun.elapsed().as_secs_f64();
            }
        }
        all.push(tested);
    }
    all
}

fn message(plan: &Plan, shape: Shape) -> Message {
    let data = json!({
        "run": plan.name.as_str(),
        "table": plan.table.to_string(),
        "database": "none",
        "message": "this is a test",
        "command": format!("crossfade status {}", plan.name),
    });
    let data = data.as_object().cloned().unwrap_or_default();
    let id = format!("test-{:016x}", rand::random::<u64>());
    Message::new(shape, &id, "test", Utc::now(), &data)
}

fn said(answer: Answer) -> (bool, String) {
    match answer {
        Answer::Accepted(status) => (true, format!("accepted ({status})")),
        Answer::Gone => (false, "it answered 410 Gone: a run would tell it nothing any more".to_owned()),
        Answer::Refused(status, _) => (false, format!("it answered {status}")),
        Answer::Failed(why) => (false, why),
    }
}
