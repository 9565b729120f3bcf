//! How a table is gone through, chosen from facts.

use super::orders::Settings;
use crate::catalog::TableFacts;

/// Pages of a window that is gone through once.
const WINDOW_PAGES: u32 = 2048;

/// How a table is gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Method {
    /// How often each window is gone through; each time one part of each page's rows is filled. A power of two.
    pub sub_passes: u32,
    /// Pages of a window.
    pub window_pages: u32,
}

impl Method {
    /// Every row of a window at once.
    pub const SINGLE: Self = Self { sub_passes: 1, window_pages: WINDOW_PAGES };

    /// Returns the method for a table.
    pub fn choose(_table: &TableFacts) -> Self {
        Self::SINGLE
    }

    /// Returns the method with what a person has set.
    pub(super) fn with(self, settings: &Settings) -> Self {
        Self {
            sub_passes: settings.sub_passes.unwrap_or(self.sub_passes),
            window_pages: settings.window_pages.unwrap_or(self.window_pages),
        }
    }
}
