//! `referring`.

use super::Validator;
use crate::plan::diagnostic::Code;
use crate::plan::parts::widens;
use crate::plan::{Change, Referring};

impl Validator<'_> {
    /// Refuses `referring: change` in a plan without a column whose type the columns that refer to it could get as well.
    pub(super) fn referring(&mut self, referring: Option<Referring>, changes: &[(String, Change)]) {
        if referring != Some(Referring::Change)
            || changes.is_empty()
            || changes.iter().any(|(_, c)| widens(c).is_some())
        {
            return;
        }
        let message =
            "`referring: change` has no effect: no column gets another type by a plain cast under its own name";
        let help = "columns that refer to a key can only get its type as it is: remove `using` and `keep_name` of the key, or `referring`";
        self.report(Code::NoEffect, self.places.key("/referring"), message, help);
    }
}
