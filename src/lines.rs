//! Sentences as lines of a terminal.

use unicode_width::UnicodeWidthStr as _;

/// Between a number and its unit, where no line may end.
pub(crate) const NO_BREAK: char = '\u{a0}';

/// The longest command that is kept in one line.
const LONGEST_COMMAND: usize = 60;

/// Returns a command as a text in which no line may end.
#[cfg(feature = "cli")]
pub(crate) fn command(text: &str) -> String {
    text.replace(' ', &NO_BREAK.to_string())
}

/// Writes a sentence as lines of fewer than `columns`: the first begins with one text, the others with another. Only spaces
/// end a line, and none within backticks, where commands stand: what is longer than a line has a line of its own.
pub(crate) fn wrap(text: &mut String, columns: usize, (first, next): (&str, &str), sentence: &str) {
    text.push_str(first);
    let mut column = width(first);
    let mut empty = true;
    for word in words(sentence) {
        let length = width(&word);
        if !empty && column + 1 + length >= columns {
            text.push('\n');
            text.push_str(next);
            column = width(next);
        } else if !empty {
            text.push(' ');
            column += 1;
        }
        text.push_str(&word.replace(NO_BREAK, " "));
        column += length;
        empty = false;
    }
    text.push('\n');
}

/// Returns the parts of a sentence between which a line may end.
fn words(sentence: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    // The command that has begun and not ended: where, and in how many words.
    let mut open: Option<usize> = None;
    for word in sentence.split(' ').filter(|word| !word.is_empty()) {
        let marks = word.matches('`').count();
        parts.push(word.to_owned());
        match open {
            None if marks % 2 == 1 => open = Some(parts.len() - 1),
            Some(from) if marks % 2 == 1 => {
                let command = parts[from..].join(" ");
                if width(&command) <= LONGEST_COMMAND {
                    parts.truncate(from);
                    parts.push(command);
                }
                open = None;
            }
            _ => {}
        }
    }
    parts
}

/// Returns the columns that a text takes; its colours and the targets of its links take none.
pub(crate) fn width(text: &str) -> usize {
    let mut parts = text.split('\u{1b}');
    let plain = parts.next().unwrap_or_default().width();
    let after = |part: &str| match part.chars().next() {
        Some(']') => 0,
        Some('\\') => part[1..].width(),
        _ => part.split_once('m').map_or(0, |(_, rest)| rest.width()),
    };
    plain + parts.map(after).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_between_words_before_column_80() {
        let mut text = String::new();
        let sentence = format!("{}12\u{a0}GB {} end", "word ".repeat(15), "x".repeat(90));
        wrap(&mut text, 80, ("\u{1b}[1mhelp:\u{1b}[0m ", "      "), &sentence);
        let lines: Vec<_> = text.lines().collect();
        let words = |count| "word ".repeat(count).trim_end().to_owned();
        assert_eq!(lines[0], format!("\u{1b}[1mhelp:\u{1b}[0m {}", words(14)));
        assert_eq!(lines[1], "      word 12 GB");
        assert_eq!(lines[2..], [format!("      {}", "x".repeat(90)), "      end".to_owned()]);
    }

    #[test]
    fn a_command_stays_in_one_line_and_a_file_has_one_line_a_sentence() {
        let sentence = "w ".repeat(30) + "then `crossfade advance vehicle-status --yes`, or not";
        let mut text = String::new();
        wrap(&mut text, 80, ("", ""), &sentence);
        assert_eq!(text.lines().nth(1), Some("`crossfade advance vehicle-status --yes`, or not"));
        let mut text = String::new();
        wrap(&mut text, usize::MAX, ("", ""), &sentence);
        assert_eq!(text, format!("{sentence}\n"));
        let mut text = String::new();
        wrap(&mut text, 20, ("", ""), &format!("aaaaaaaa {} b", command("a long command")));
        assert_eq!(text, "aaaaaaaa\na long command b\n");
    }
}
