//! A text on a terminal that is drawn again in its place.

use std::fmt::Write as _;

use crate::lines::width;

/// Tells the terminal to show nothing of what follows until [`END`]; one that does not know it ignores it.
const BEGIN: &str = "\u{1b}[?2026h";
const END: &str = "\u{1b}[?2026l";

/// What was drawn last.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    last: String,
}

impl Screen {
    /// Returns what draws `text` over what was drawn before, on a terminal of so many columns and rows. What does not fit on
    /// the screen is cut off: the cursor cannot go back above it. Lines are written over and their rest cleared, never the whole
    /// first, and a terminal that knows synchronized updates shows all of it at once: nothing flickers.
    pub(crate) fn draw(&mut self, text: &str, columns: usize, rows: usize) -> String {
        let up: usize = self.last.lines().map(|line| height(line, columns)).sum();
        let mut drawn = String::new();
        let mut free = rows.saturating_sub(1);
        for line in text.lines() {
            let needed = height(line, columns);
            if needed > free {
                break;
            }
            free -= needed;
            let _ = writeln!(drawn, "{line}");
        }
        let over = drawn.replace('\n', "\u{1b}[K\n");
        let back = if up == 0 { String::new() } else { format!("\u{1b}[{up}A\r") };
        self.last = drawn;
        format!("{BEGIN}{back}{over}\u{1b}[J{END}")
    }
}

/// Returns how many rows a line takes, whatever sticks out beyond the last column.
fn height(line: &str, columns: usize) -> usize {
    width(line).div_ceil(columns.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_drawn_before_is_drawn_over_however_wide_it_was() {
        let mut screen = Screen::default();
        let wide = "x".repeat(170);
        let shown = |text: &str| format!("{BEGIN}{text}\u{1b}[J{END}");
        assert_eq!(screen.draw(&format!("a\n{wide}\n"), 80, 24), shown(&format!("a\u{1b}[K\n{wide}\u{1b}[K\n")));
        // One row and three.
        assert_eq!(screen.draw("b\n", 80, 24), shown("\u{1b}[4A\rb\u{1b}[K\n"));
        let lines = "c\u{1b}[K\n".repeat(4);
        assert_eq!(screen.draw(&"c\n".repeat(9), 80, 5), shown(&format!("\u{1b}[1A\r{lines}")));
        // Of the four rows that fitted.
        assert_eq!(screen.draw("\u{1b}[1md\u{1b}[0m\n", 80, 5), shown("\u{1b}[4A\r\u{1b}[1md\u{1b}[0m\u{1b}[K\n"));
    }
}
