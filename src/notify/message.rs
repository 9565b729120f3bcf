//! What is sent.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use crate::plan::Shape;
use crate::sql::one_line;

/// A message to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// What receivers know it by, however often they get it.
    pub(crate) id: String,
    /// Its body.
    pub(crate) body: String,
}

impl Message {
    /// Returns the message about `topic`. `data` is the announcement with what the ledger knows besides.
    pub(crate) fn new(shape: Shape, id: &str, topic: &str, at: DateTime<Utc>, data: &Map<String, Value>) -> Self {
        let body = match shape {
            Shape::Standard => json!({ "type": topic, "timestamp": at, "data": data }),
            Shape::Slack => json!({ "text": slack(topic, data) }),
        };
        Self { id: id.to_owned(), body: body.to_string() }
    }
}

/// Returns the text of a message, in Slack's markup.
fn slack(topic: &str, data: &Map<String, Value>) -> String {
    let of = |key: &str| data.get(key).and_then(Value::as_str).map(escaped).unwrap_or_default();
    let sign = match topic {
        "failed" | "mismatch" | "drift" => ":x:",
        "approval_needed" | "point_of_no_return" => ":warning:",
        "done" | "phase_done" => ":white_check_mark:",
        _ => ":information_source:",
    };
    let head = data.get("head").and_then(Value::as_str).map(|head| format!("\nhead {}", escaped(head)));
    format!(
        "{sign} *{}* on `{}` (database `{}`): {}\n```{}```{}",
        of("run"),
        of("table"),
        of("database"),
        of("message"),
        of("command"),
        head.unwrap_or_default()
    )
}

/// Returns a text of which Slack makes neither links nor formatting.
fn escaped(text: &str) -> String {
    let text = one_line(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    // A backquote would end the part that is shown as it is.
    text.replace('`', "'")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data() -> Map<String, Value> {
        let data = json!({
            "run": "fleet", "database": "prod", "table": "public.vehicles", "phase": "contract", "state": "waiting",
            "message": "drop <column> `a` & \u{1b}[31mmore\nlines", "command": "crossfade advance fleet --yes",
        });
        data.as_object().unwrap().clone()
    }

    #[test]
    fn a_message_has_type_time_and_data() {
        let at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let message = Message::new(Shape::Standard, "id", "approval_needed", at, &data());
        let body: Value = serde_json::from_str(&message.body).unwrap();
        assert_eq!((&body["type"], &body["timestamp"]), (&json!("approval_needed"), &json!("2027-01-15T08:00:00Z")));
        assert_eq!(body["data"]["command"], "crossfade advance fleet --yes");
    }

    #[test]
    fn slack_gets_a_text_with_the_command_to_type() {
        let message = Message::new(Shape::Slack, "id", "approval_needed", Utc::now(), &data());
        let body: Value = serde_json::from_str(&message.body).unwrap();
        insta::assert_snapshot!(body["text"].as_str().unwrap(), @r"
        :warning: *fleet* on `public.vehicles` (database `prod`): drop &lt;column&gt; 'a' &amp; \u{1b}[31mmore\nlines
        ```crossfade advance fleet --yes```
        ");
    }
}
