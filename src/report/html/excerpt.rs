//! Texts that others have written, cut to what a page can hold.

use maud::{Markup, html};

use super::super::look::printable;
use crate::amounts::count;

/// How many bytes of a page a part of it may still take.
#[derive(Debug)]
pub(super) struct Room(usize);

impl Room {
    pub(super) fn new(bytes: usize) -> Self {
        Self(bytes)
    }

    /// Returns whether nothing fits any more.
    pub(super) fn is_gone(&self) -> bool {
        self.0 == 0
    }

    /// Returns a text of one line: what would not be seen is written out. What is left out at its end is said.
    pub(super) fn line(&mut self, text: &str, most: usize) -> Markup {
        self.cut(&printable(text), most)
    }

    /// Returns a text with lines of its own.
    pub(super) fn block(&mut self, text: &str, most: usize) -> Markup {
        let lines: Vec<_> = text.lines().map(|line| printable(&line.replace('\t', "    "))).collect();
        self.cut(&lines.join("\n"), most)
    }

    fn cut(&mut self, text: &str, most: usize) -> Markup {
        let room = most.min(self.0);
        let mut bytes = 0;
        let fits = |&(_, c): &(usize, char)| {
            bytes += weight(c);
            bytes > room
        };
        let Some((end, _)) = text.char_indices().find(fits) else {
            self.0 -= bytes;
            return html! { (text) };
        };
        self.0 -= room;
        let rest = count(text[end..].chars().count(), "more character");
        html! { (&text[..end]) " " span.cut { "… " (rest) } }
    }
}

/// How many bytes a character takes on a page.
fn weight(c: char) -> usize {
    match c {
        '"' => 6,
        '&' => 5,
        '<' | '>' => 4,
        c => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_where_the_room_ends_and_escaped_characters_take_more() {
        let mut room = Room::new(30);
        assert_eq!(room.line("<b>\n", 100).into_string(), "&lt;b&gt;\\n");
        assert_eq!(room.line("abcdef", 3).into_string(), "abc <span class=\"cut\">… 3 more characters</span>");
        assert!(!room.is_gone());
        let rest = room.line(&"é".repeat(100), 100).into_string();
        assert_eq!(rest.matches('é').count(), 8, "{rest}");
        assert!(room.is_gone());
        assert_eq!(room.line("x", 10).into_string(), " <span class=\"cut\">… 1 more character</span>");
        assert_eq!(room.line("", 10).into_string(), "");
    }

    #[test]
    fn a_block_keeps_its_lines_and_nothing_hidden() {
        assert_eq!(Room::new(99).block("a\tb\r\n\u{202e}c", 99).into_string(), "a    b\n\\u{202e}c");
    }
}
