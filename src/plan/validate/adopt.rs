//! A new column that was made by hand and is taken over.

use super::{Code, Validator};
use crate::ident::RelationName;
use crate::plan::file::AdoptFile;
use crate::plan::{Adopt, Change};

impl Validator<'_> {
    pub(super) fn adopt(&mut self, at: &str, file: &AdoptFile) -> Adopt {
        let replaces = self.triggers(&format!("{at}/replaces"), file.replaces.as_deref());
        let keeps = self.triggers(&format!("{at}/keeps"), file.keeps.as_deref());
        for (number, name) in file.keeps.iter().flatten().enumerate() {
            if file.replaces.iter().flatten().any(|other| other == name) {
                let span = self.places.value(&format!("{at}/keeps/{number}"));
                let message = format!("trigger `{name}` is both replaced and kept");
                self.report(Code::DuplicateValue, span, message, "name it in one of the two lists");
            }
        }
        Adopt { replaces, keeps, overwrite: file.overwrite.unwrap_or(false) }
    }

    fn triggers(&mut self, at: &str, names: Option<&[String]>) -> Vec<RelationName> {
        let names = names.unwrap_or_default();
        self.no_duplicates(at, names);
        let each = names.iter().enumerate();
        each.filter_map(|(number, name)| self.relation(&format!("{at}/{number}"), Some(name))).collect()
    }

    /// A plan that takes a column over changes no other column.
    pub(super) fn adopts_alone(&mut self, changes: &[(String, Change)]) {
        for (at, change) in changes {
            let kind = if matches!(change, Change::RenameColumn(_)) { "rename_column" } else { "change_type" };
            if change.pair().is_some_and(|pair| pair.adopt.is_some()) && changes.len() > 1 {
                let span = self.places.key(&format!("{at}/{kind}/adopt"));
                let message = "a plan that adopts a column makes no other change";
                self.report(Code::NotHere, span, message, "give each of the other changes a plan of its own");
            }
        }
    }
}
