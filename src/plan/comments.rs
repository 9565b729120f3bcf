//! A plan written as a plan file with comments, for somebody who is going to edit it.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::Plan;
use super::write::{entry, to_json};
use crate::lines;
use crate::sql::one_line;

/// Lines of a comment end before this column, where they can.
const COLUMNS: usize = 80;

/// A comment in a plan file.
#[derive(Debug, Clone, PartialEq)]
pub struct Comment {
    /// The key that it belongs to, by its path: `changes/0/change_type/using`. Empty for the whole file.
    pub at: String,
    /// Whether it stands below the key and its value, and not above.
    pub below: bool,
    /// What it says; an empty line where this is empty.
    pub sentence: String,
    /// Keys that may take the key's place or stand beside it, commented out.
    pub keys: Vec<(String, Value)>,
}

impl Comment {
    /// Returns a sentence that stands above a key.
    pub fn above(at: &str, sentence: impl Into<String>) -> Self {
        Self { at: at.to_owned(), below: false, sentence: sentence.into(), keys: vec![] }
    }

    /// Returns a sentence that stands below a key, with keys that follow it.
    pub fn below(at: &str, sentence: impl Into<String>, keys: Vec<(String, Value)>) -> Self {
        Self { at: at.to_owned(), below: true, sentence: sentence.into(), keys }
    }

    fn write(&self, indent: &str, text: &mut String) {
        let mark = format!("{indent}# ");
        if self.sentence.is_empty() && self.keys.is_empty() {
            text.push('\n');
        }
        if !self.sentence.is_empty() {
            lines::wrap(text, COLUMNS, (&mark, &mark), &one_line(&self.sentence));
        }
        for (key, value) in &self.keys {
            for line in entry(key, value).lines() {
                text.push_str(format!("{mark}{line}").trim_end());
                text.push('\n');
            }
        }
    }
}

/// Returns `plan` as a plan file with `comments`. Read again, it is the same plan, whatever the comments say. A comment at a key
/// that the file does not have is left out.
pub fn to_commented_yaml(plan: &Plan, comments: &[Comment]) -> String {
    let mut text = String::new();
    let of_file = |below| comments.iter().filter(move |comment| comment.at.is_empty() && comment.below == below);
    of_file(false).for_each(|comment| comment.write("", &mut text));
    if let Value::Object(keys) = to_json(plan) {
        map(&keys, "", comments, "", &mut text);
    }
    of_file(true).for_each(|comment| comment.write("", &mut text));
    text
}

/// Writes the keys of the map at the path `at`.
fn map(keys: &Map<String, Value>, at: &str, comments: &[Comment], indent: &str, text: &mut String) {
    for (key, value) in keys {
        let path = if at.is_empty() { key.clone() } else { format!("{at}/{key}") };
        let inside = comments.iter().any(|comment| comment.at.starts_with(&format!("{path}/")));
        let of_key = |below| comments.iter().filter(|comment| comment.at == path).filter(move |c| c.below == below);
        of_key(false).for_each(|comment| comment.write(indent, text));
        let deeper = format!("{indent}  ");
        match value {
            Value::Object(keys) if inside => {
                let _ = writeln!(text, "{indent}{key}:");
                map(keys, &path, comments, &deeper, text);
            }
            Value::Array(items) if inside && items.iter().all(Value::is_object) => {
                let _ = writeln!(text, "{indent}{key}:");
                for (number, keys) in items.iter().filter_map(Value::as_object).enumerate() {
                    let mut item = String::new();
                    map(keys, &format!("{path}/{number}"), comments, &format!("{deeper}  "), &mut item);
                    // The first line of an item begins with its dash.
                    let _ = write!(text, "{deeper}- {}", item.get(deeper.len() + 2..).unwrap_or_default());
                }
            }
            _ => {
                for line in entry(key, value).lines() {
                    let _ = writeln!(text, "{indent}{line}");
                }
            }
        }
        of_key(true).for_each(|comment| comment.write(indent, text));
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::ident::{ColumnName, PlanName, TableName};
    use crate::plan::{Change, OnConflict, RenameColumn, parse};

    fn plan(table: &str, from: &str, to: &str) -> Plan {
        let change = RenameColumn {
            from: ColumnName::new(from).unwrap(),
            to: ColumnName::new(to).unwrap(),
            on_conflict: OnConflict::default(),
            adopt: None,
        };
        let table = TableName::new("public", table).unwrap();
        Plan::new(PlanName::new("p").unwrap(), table, vec![Change::RenameColumn(change)])
    }

    #[test]
    fn comments_stand_beside_their_keys() {
        let comments = [
            Comment::above("", "A plan."),
            Comment::below("changes/0/rename_column/from", "Or:", vec![("from".to_owned(), json!("two\nlines"))]),
            Comment::above("changes/0/rename_column/to", "The new name."),
            Comment::above("hooks", "Not here."),
            Comment::below("", "", vec![]),
            Comment::below("", "More:", vec![("contract".to_owned(), json!({ "grace": "1d" }))]),
        ];
        assert_snapshot!(to_commented_yaml(&plan("t", "a", "b"), &comments), @r"
        # A plan.
        version: 1
        name: p
        table: public.t
        changes:
          - rename_column:
              from: a
              # Or:
              # from: |-
              #   two
              #   lines
              # The new name.
              to: b

        # More:
        # contract:
        #   grace: 1d
        ");
    }

    proptest! {
        /// Whatever a name or a comment holds, no comment becomes a key and no name a comment.
        #[test]
        fn a_plan_with_comments_is_the_same_plan(
            table in "[^\\x00]{1,15}", from in "[^\\x00]{1,15}", to in "[^\\x00]{1,14}", said in "\\PC*|[^\\x00]*", value in "[^\\x00]*"
        ) {
            let plan = plan(&table, &from, &format!("{to}{from}").chars().take(15).collect::<String>());
            prop_assume!(plan.pairs().all(|(_, pair)| pair.old != pair.new));
            let keys = || vec![("using".to_owned(), json!(value)), ("contract".to_owned(), json!({ "grace": value }))];
            let paths = ["", "name", "changes", "changes/0/rename_column", "changes/0/rename_column/from", "changes/0/rename_column/to"];
            let comments: Vec<_> = paths
                .iter()
                .flat_map(|at| [Comment::above(at, said.clone()), Comment::below(at, said.clone(), keys())])
                .collect();
            let text = to_commented_yaml(&plan, &comments);
            let read = parse("p.yaml", &text);
            prop_assert!(read.as_ref().is_ok_and(|read| *read == plan), "{text}\n{read:?}");
        }
    }
}
