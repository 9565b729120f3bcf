//! Functions that get another body.

use super::{Code, Validator};
use crate::plan::file::FunctionFile;
use crate::plan::{Change, FunctionBody};

impl Validator<'_> {
    pub(super) fn functions(&mut self, files: &[FunctionFile], changes: &[(String, Change)]) -> Vec<FunctionBody> {
        let mut all: Vec<FunctionBody> = Vec::new();
        for (index, file) in files.iter().enumerate() {
            let at = |key: &str| format!("/functions/{index}/{key}");
            self.sql_text(&at("name"), "name", file.name.as_deref());
            self.sql_text(&at("body"), "body", file.body.as_deref());
            let (Some(name), Some(body)) = (file.name.clone(), file.body.clone()) else { continue };
            if all.iter().any(|other| other.name == name) {
                let message = format!("`{name}` is given twice");
                self.report(Code::DuplicateValue, self.places.value(&at("name")), message, "remove one of them");
            }
            all.push(FunctionBody { name, body });
        }
        let acts = |change: &Change| change.pair().is_some() || matches!(change, Change::DropColumn(_));
        let places = &self.places;
        if !all.is_empty() && !changes.is_empty() && !changes.iter().any(|(_, change)| acts(change)) {
            let message = "`functions` has no effect: this plan renames, retypes and drops no column";
            self.report(Code::NoEffect, places.key("/functions"), message, "remove it");
        }
        all
    }
}
