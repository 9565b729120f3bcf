//! Reasons to refuse a plan, and warnings.

use serde::Serialize;

use crate::run::Facts;

/// One thing found, with the object's name in the message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable code, such as `catalog::view`.
    pub code: &'static str,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

impl Finding {
    pub(super) fn new(code: &'static str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: help.into() }
    }
}

/// What the server says about a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspection {
    /// What the plan is compiled from; `None` where a refusal left nothing to compile.
    pub facts: Option<Facts>,
    /// Each stops the plan.
    pub refusals: Vec<Finding>,
    /// Each is worth reading before the run.
    pub warnings: Vec<Finding>,
}

impl Inspection {
    pub(super) fn empty() -> Self {
        Self { facts: None, refusals: Vec::new(), warnings: Vec::new() }
    }

    pub(super) fn refuse(&mut self, code: &'static str, message: impl Into<String>, help: impl Into<String>) {
        self.refusals.push(Finding::new(code, message, help));
    }

    pub(super) fn warn(&mut self, code: &'static str, message: impl Into<String>, help: impl Into<String>) {
        self.warnings.push(Finding::new(code, message, help));
    }
}

/// Returns `: did you mean "x"?` for the candidate nearest to `name`, or nothing when none is near.
pub(super) fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |candidate: &str| {
        if candidate.to_lowercase() == name.to_lowercase() {
            return 1.0;
        }
        strsim::jaro_winkler(&candidate.to_lowercase(), &name.to_lowercase())
    };
    let scored = candidates.into_iter().map(|candidate| (distance(candidate), candidate));
    scored.filter(|(score, _)| *score >= 0.8).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, candidate)| candidate)
}

/// Returns the names as a list for people: `a, b and c`.
pub(super) fn list<S: AsRef<str>>(names: &[S]) -> String {
    match names {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [all @ .., last] => {
            let all: Vec<_> = all.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", all.join(", "), last.as_ref())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered_if_it_is_near() {
        let names = ["status", "plate", "Licence"];
        assert_eq!(did_you_mean("statsu", names), Some("status"));
        assert_eq!(did_you_mean("licence", names), Some("Licence"));
        assert_eq!(did_you_mean("xyz", names), None);
    }

    #[test]
    fn names_are_listed_with_an_and() {
        assert_eq!(list(&["a"]), "a");
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
    }
}
