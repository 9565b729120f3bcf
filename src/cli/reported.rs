//! How the error of a command is reported: what happened, a stable code, and what to do.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};

use serde_json::{Value, json};

use super::context::{Context, Environment};
use super::described::{Described, Detail, describe};
use super::error::CliError;
use super::exit_code;
use crate::report::{Console, human, redacted};

impl CliError {
    pub(super) fn exit_code(&self) -> u8 {
        describe(self, "").exit_code
    }

    /// Prints the error on standard error. Returns the exit code.
    pub(super) fn report(&self, context: &Context) -> u8 {
        let text = if context.json() { json!({ "error": self.json(context) }).to_string() } else { self.text(context) };
        context.console.line(&redacted(text.trim_end()));
        self.exit_code()
    }

    /// Returns `{code, message, help}` and what belongs to the kind of error.
    pub(super) fn json(&self, context: &Context) -> Value {
        let target = context.target();
        let Described { code, hints, detail, .. } = describe(self, known(target.as_deref()));
        let mut value = json!({ "code": code, "message": self.message(target.as_deref()), "help": hints.join("; ") });
        match detail {
            Detail::None => {}
            Detail::Problems(problems) => value["problems"] = json!(problems),
            Detail::Troubles(_, troubles) => value["problems"] = json!(troubles),
            Detail::Findings(findings) => value["findings"] = json!(findings),
            Detail::Outcome(outcome) => value["outcome"] = json!(outcome),
            Detail::Values(key, values) => value[key] = values,
        }
        value
    }

    /// Returns the error for people.
    pub(super) fn text(&self, context: &Context) -> String {
        let look = context.err;
        let target = context.target();
        let Described { code, hints, detail, .. } = describe(self, known(target.as_deref()));
        if let Detail::Problems(problems) = detail {
            return problems.render_in(look.color, look.columns);
        }
        let mut text = String::new();
        let message = self.message(target.as_deref());
        look.wrap_lines(&mut text, (&format!("{} ", look.red(&format!("error[{code}]:"))), "  "), &message);
        match detail {
            Detail::Troubles(file, troubles) => text.push_str(&human::troubles(file, troubles, look)),
            Detail::Findings(findings) => {
                for finding in findings {
                    text.push_str(&human::one_finding(&look.red("refused"), finding, look));
                }
            }
            Detail::Outcome(outcome) => {
                text.push_str(&human::unequal((&outcome.keys, chrono_tz::UTC), outcome.counts.mismatches(), look));
            }
            Detail::None | Detail::Problems(_) | Detail::Values(..) => {}
        }
        for hint in hints {
            look.wrap(&mut text, (&format!("  {} ", look.bold("help:")), "        "), &hint);
        }
        text
    }

    /// Returns what went wrong; if no connection could be made, with its target.
    fn message(&self, target: Option<&str>) -> String {
        match (self, target) {
            (Self::Tool(error), Some(target)) => match error.database() {
                Some(sqlx::Error::Io(error)) => format!("{target} cannot be reached: {error}"),
                _ => self.to_string(),
            },
            _ => self.to_string(),
        }
    }
}

/// Returns how people name the database, known or not.
fn known(target: Option<&str>) -> &str {
    target.unwrap_or("the database")
}

/// Prints clap's message: help and version as a result, anything else as an error. Returns the exit code.
pub(super) fn usage(error: &clap::Error, args: &[OsString]) -> u8 {
    let environment = Environment::read();
    let no_color = args.iter().any(|arg| arg == "--no-color");
    let text = |terminal: bool| {
        let rendered = error.render();
        if environment.color(no_color, terminal) { rendered.ansi().to_string() } else { rendered.to_string() }
    };
    if !error.use_stderr() {
        return match crate::report::result(&text(io::stdout().is_terminal())) {
            Ok(()) => exit_code::DONE,
            Err(_) => exit_code::INTERNAL,
        };
    }
    let console = Console::default();
    if wants_json(args) {
        let message = error.render().to_string();
        let message = message.strip_prefix("error: ").unwrap_or(&message);
        let message = message.split("\n\n").next().unwrap_or_default();
        let value = json!({ "error": { "code": "usage::arguments", "message": message, "help": "crossfade --help" } });
        console.line(&redacted(&value.to_string()));
    } else {
        console.line(&redacted(text(io::stderr().is_terminal()).trim_end()));
    }
    exit_code::USAGE
}

fn wants_json(args: &[OsString]) -> bool {
    let pairs = args.iter().zip(args.iter().skip(1));
    args.iter().any(|arg| arg == "--format=json") || pairs.into_iter().any(|(a, b)| a == "--format" && b == "json")
}
