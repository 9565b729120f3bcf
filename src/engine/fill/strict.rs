//! Whether a batch may use values that raise.

use crate::run::Values;

/// Whether the next batch may raise. A value that does not convert costs a batch, so after one the next few do not raise,
/// and each time it happens again soon, twice as many.
#[derive(Debug, Clone, Copy)]
pub(super) struct Strictness {
    possible: bool,
    /// Batches to go before the next strict one.
    careful: u32,
    /// How many they were the last time.
    last: u32,
}

impl Strictness {
    const MOST: u32 = 256;

    pub(super) fn new(possible: bool) -> Self {
        Self { possible, careful: 0, last: 0 }
    }

    pub(super) fn values(self) -> Values {
        if self.possible && self.careful == 0 { Values::Strict } else { Values::Total }
    }

    pub(super) fn worked(&mut self) {
        if self.careful > 0 {
            self.careful -= 1;
        } else {
            self.last /= 2;
        }
    }

    pub(super) fn raised(&mut self) {
        self.last = (self.last * 2).clamp(1, Self::MOST);
        self.careful = self.last;
    }
}
