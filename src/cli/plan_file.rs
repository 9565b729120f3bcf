//! Plan files from disk.

use std::path::Path;

use super::error::{self, CliError};
use crate::plan::{self, Plan};

/// Returns the plan in `path` and its text.
pub(super) fn read(path: &Path) -> Result<(Plan, String), CliError> {
    let text = std::fs::read_to_string(path).map_err(error::file(path))?;
    let plan = plan::parse(&path.to_string_lossy(), &text)?;
    Ok((plan, text))
}
