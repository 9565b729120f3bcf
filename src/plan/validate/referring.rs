//! `referring`.

use super::Validator;
use crate::ident::{ColumnName, TableName};
use crate::plan::diagnostic::Code;
use crate::plan::file::{LeftFile, ReferringFile};
use crate::plan::parts::widens;
use crate::plan::{Change, LeftColumn, Referring};

impl Validator<'_> {
    /// Returns what becomes of columns that refer to a key, and those that are left. Refuses that they change in a plan without a column
    /// whose type they could get as well.
    pub(super) fn referring(
        &mut self,
        file: Option<&ReferringFile>,
        changes: &[(String, Change)],
    ) -> (Option<Referring>, Vec<LeftColumn>) {
        let (referring, files) = match file {
            None => return (None, vec![]),
            Some(ReferringFile::Word(word)) => (*word, &[][..]),
            Some(ReferringFile::Changed(map)) => (Referring::Change, map.leave.as_deref().unwrap_or_default()),
        };
        let mut left: Vec<LeftColumn> = Vec::new();
        for (index, file) in files.iter().enumerate() {
            left.extend(self.left(&format!("/referring/leave/{index}"), file));
        }
        left.dedup();
        if referring == Referring::Change && !changes.is_empty() && changes.iter().all(|(_, c)| widens(c).is_none()) {
            let message =
                "`referring: change` has no effect: no column gets another type by a plain cast under its own name";
            let help = "columns that refer to a key can only get its type as it is: remove `using` and `keep_name` of the key, or `referring`";
            self.report(Code::NoEffect, self.places.key("/referring"), message, help);
        }
        (Some(referring), left)
    }

    fn left(&mut self, at: &str, file: &LeftFile) -> Option<LeftColumn> {
        let table = file.table.as_deref().and_then(|text| self.name(&format!("{at}/table"), text, TableName::parse));
        let column = file.column.as_deref().and_then(|text| self.name(&format!("{at}/column"), text, ColumnName::new));
        Some(LeftColumn { table: table?, column: column? })
    }
}
