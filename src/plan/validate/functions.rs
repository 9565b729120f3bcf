//! Functions that get another body, and triggers that get other arguments.

use super::{Code, Validator};
use crate::plan::file::{FunctionFile, TriggerFile};
use crate::plan::{Change, FunctionBody, TriggerArguments};

impl Validator<'_> {
    pub(super) fn functions(&mut self, files: &[FunctionFile], changes: &[(String, Change)]) -> Vec<FunctionBody> {
        let mut all: Vec<FunctionBody> = Vec::new();
        for (index, file) in files.iter().enumerate() {
            let at = |key: &str| format!("/functions/{index}/{key}");
            self.sql_text(&at("name"), "name", file.name.as_deref());
            self.sql_text(&at("body"), "body", file.body.as_deref());
            let (Some(name), Some(body)) = (file.name.clone(), file.body.clone()) else { continue };
            self.given_once(&at("name"), &name, all.iter().any(|other| other.name == name));
            all.push(FunctionBody { name, body });
        }
        self.names_must_move("functions", all.is_empty(), changes);
        all
    }

    pub(super) fn trigger_arguments(
        &mut self,
        files: &[TriggerFile],
        changes: &[(String, Change)],
    ) -> Vec<TriggerArguments> {
        let mut all: Vec<TriggerArguments> = Vec::new();
        for (index, file) in files.iter().enumerate() {
            let at = |key: &str| format!("/triggers/{index}/{key}");
            let name = self.relation(&at("name"), file.name.as_deref());
            for (n, argument) in file.arguments.iter().flatten().enumerate() {
                if argument.contains('\0') {
                    let at = self.places.value(&format!("{}/{n}", at("arguments")));
                    self.report(
                        Code::BadName,
                        at,
                        "an argument contains a zero byte",
                        "PostgreSQL does not allow zero bytes in text",
                    );
                }
            }
            let (Some(name), Some(arguments)) = (name, file.arguments.clone()) else { continue };
            self.given_once(&at("name"), name.as_str(), all.iter().any(|other| other.name == name));
            all.push(TriggerArguments { name, arguments });
        }
        self.names_must_move("triggers", all.is_empty(), changes);
        all
    }

    fn given_once(&mut self, at: &str, name: &str, twice: bool) {
        if twice {
            let message = format!("`{name}` is given twice");
            self.report(Code::DuplicateValue, self.places.value(at), message, "remove one of them");
        }
    }

    /// Reports a key that says what follows the names of columns, where no change gives a column another one.
    fn names_must_move(&mut self, key: &str, empty: bool, changes: &[(String, Change)]) {
        let acts = |change: &Change| change.pair().is_some() || matches!(change, Change::DropColumn(_));
        if !empty && !changes.is_empty() && !changes.iter().any(|(_, change)| acts(change)) {
            let message = format!("`{key}` has no effect: this plan renames, retypes and drops no column");
            self.report(Code::NoEffect, self.places.key(&format!("/{key}")), message, "remove it");
        }
    }
}
