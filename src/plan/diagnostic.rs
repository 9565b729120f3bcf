//! What is wrong with a plan file: every problem with a stable code, a place and, where possible, a way out.

use std::fmt::{self, Write as _};
use std::ops::Range;

use serde::ser::{Serialize, SerializeSeq, SerializeStruct, Serializer};
use unicode_width::UnicodeWidthChar;

use crate::lines;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $label:literal,)*) => {
        /// The kind of a [`Problem`]. Its text never changes once released: scripts may match on it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        /// Every code a plan file can be refused with.
        pub const CODES: &[Code] = &[$(Code::$name,)*];

        impl Code {
            /// Returns the code as it is printed: `plan::unknown_key`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => concat!("plan::", $text),)*
                }
            }

            /// What is written at the carets where a problem says nothing more precise.
            fn label(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)*
                }
            }
        }
    };
}

codes! {
    /// The text is not YAML.
    Syntax = "syntax", "here, or just before",
    /// The file holds no plan.
    Empty = "empty", "expected a plan",
    /// The file holds more than one YAML document.
    SeveralDocuments = "several_documents", "only one can be in a file",
    /// A key is given twice in one map.
    DuplicateKey = "duplicate_key", "again",
    /// Anchors, aliases, tags, merge keys or keys that are not plain words.
    YamlFeature = "yaml_feature", "not allowed in a plan",
    /// Maps and lists nested deeper than any plan needs.
    TooDeep = "too_deep", "too deep",
    /// A key that means nothing where it stands.
    UnknownKey = "unknown_key", "unknown here",
    /// A key that must be there is not.
    MissingKey = "missing_key", "something is missing here",
    /// A value of another kind than expected: a list for a text, say.
    WrongType = "wrong_type", "unexpected here",
    /// A word that is none of those allowed.
    UnknownValue = "unknown_value", "not one of the choices",
    /// A number or duration below the smallest or above the largest that makes sense.
    OutOfRange = "out_of_range", "out of range",
    /// A list or text that must hold something is empty.
    EmptyValue = "empty_value", "empty",
    /// The same value twice in a list.
    DuplicateValue = "duplicate_value", "again",
    /// A plan format this version does not read.
    UnsupportedVersion = "unsupported_version", "expected 1",
    /// A kind of change nobody knows.
    UnknownChange = "unknown_change", "expected a kind of change",
    /// An item of `changes` that holds no change, or several.
    OneChangeEach = "one_change_each", "expected exactly one",
    /// A key that only makes sense for a type change.
    NotForRename = "not_for_rename", "not for a rename",
    /// None, or several, of keys of which exactly one is needed.
    ExactlyOne = "exactly_one", "expected exactly one",
    /// A key that has no meaning beside the others.
    NotHere = "not_here", "no meaning here",
    /// A setting that nothing in this plan uses.
    NoEffect = "no_effect", "has no effect",
    /// A text that PostgreSQL, or crossfade, cannot take as a name.
    BadName = "bad_name", "not a name",
    /// A column that every table has and nobody may change.
    SystemColumn = "system_column", "not an ordinary column",
    /// Old and new name are the same.
    SameName = "same_name", "the same name",
    /// Two changes of one column.
    ColumnChangedTwice = "column_changed_twice", "again",
    /// The new name is another change's old or new name.
    NameTaken = "name_taken", "taken",
    /// The new column needs a name and has none.
    ViaRequired = "via_required", "needs `via`",
    /// `reverse` reads a column it cannot see.
    ReverseColumn = "reverse_column", "over which column?",
    /// YAML takes the rest of an expression for a comment.
    CutByComment = "cut_by_comment", "lost",
    /// An index on a column that this plan drops.
    IndexOnOldColumn = "index_on_old_column", "dropped by this plan",
    /// Two indexes of one name.
    DuplicateIndex = "duplicate_index", "again",
    /// A constraint on a column that this plan drops.
    ConstraintOnOldColumn = "constraint_on_old_column", "dropped by this plan",
    /// Two constraints of one name, or one that a column has twice.
    DuplicateConstraint = "duplicate_constraint", "again",
    /// A foreign key with more, or fewer, columns than it refers to.
    ForeignKeyColumns = "foreign_key_columns", "a different number of columns",
    /// A text that is no duration with a unit.
    BadDuration = "bad_duration", "expected a duration",
    /// A text that is no amount of data with a unit.
    BadSize = "bad_size", "expected an amount of data",
    /// A text that is no date.
    BadDate = "bad_date", "expected a date",
    /// A text that is no time of day.
    BadTime = "bad_time", "expected a time of day",
    /// A time zone nobody knows.
    UnknownTimezone = "unknown_timezone", "expected a time zone",
    /// A window of time without any time in it.
    EmptyWindow = "empty_window", "not after `from`",
    /// A phase due before one that must come first.
    WeeksBackwards = "weeks_backwards", "too early",
    /// A freeze that ends before it begins.
    FreezeBackwards = "freeze_backwards", "before `from`",
    /// A PostgreSQL version written in another way than `">=14"`.
    BadPostgresVersion = "bad_postgres_version", "expected `>=` and a number",
    /// An extension's version that cannot be compared.
    BadExtensionVersion = "bad_extension_version", "expected a version",
    /// A PostgreSQL version older than crossfade supports.
    PostgresTooOld = "postgres_too_old", "too old",
    /// A plan that waits for itself.
    RequiresItself = "requires_itself", "this plan itself",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that is wrong with a plan file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The kind of problem.
    pub code: Code,
    /// What is wrong, as one phrase.
    pub message: String,
    /// What to write at the carets: usually what was expected there.
    pub label: String,
    /// Where it is, in bytes of the file.
    pub span: Range<usize>,
    /// What to do about it.
    pub help: Option<String>,
}

impl Problem {
    pub(super) fn new(code: Code, span: Range<usize>, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), label: code.label().to_owned(), span, help: None }
    }

    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl miette::Diagnostic for Problem {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.code))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as _)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = miette::LabeledSpan> + '_>> {
        let span = miette::LabeledSpan::new(Some(self.label.clone()), self.span.start, self.span.len());
        Some(Box::new(std::iter::once(span)))
    }
}

/// All the problems of one plan file, in the order in which they stand in it.
///
/// Serializes to a list of `{file, line, column, code, message, help}`; line and column count from 1, the column in
/// characters.
#[derive(Debug, Clone)]
pub struct PlanErrors {
    source: miette::NamedSource<String>,
    problems: Vec<Problem>,
}

impl PlanErrors {
    pub(super) fn new(file: &str, text: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| (a.span.start, a.code, &a.message).cmp(&(b.span.start, b.code, &b.message)));
        problems.dedup();
        Self { source: miette::NamedSource::new(file, text.to_owned()), problems }
    }

    /// Returns the file's name as it was given to [`crate::plan::parse`].
    pub fn file(&self) -> &str {
        self.source.name()
    }

    /// Returns the problems in the order in which they stand in the file; there is at least one.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Returns the line and the column where `problem` starts, both from 1, the column in characters.
    pub fn position(&self, problem: &Problem) -> (usize, usize) {
        let line = Line::around(self.source.inner(), problem.span.start);
        (line.number, line.text[..problem.span.start.min(line.end()) - line.start].chars().count() + 1)
    }

    /// Returns all problems as text for a person, with the lines they stand in, carets below and a last line that
    /// counts them. Nothing of the file reaches the terminal as a control character.
    pub fn render(&self, color: bool) -> String {
        self.render_in(color, usize::MAX)
    }

    /// As [`PlanErrors::render`], for a terminal of so many columns.
    pub(crate) fn render_in(&self, color: bool, columns: usize) -> String {
        let paint = Paint { color };
        let mut out = String::new();
        for problem in &self.problems {
            self.render_one(problem, paint, columns, &mut out);
        }
        let (file, count) = (printable(self.file()), self.problems.len());
        let _ = writeln!(out, "{file}: {count} problem{}", if count == 1 { "" } else { "s" });
        out
    }

    fn render_one(&self, problem: &Problem, paint: Paint, columns: usize, out: &mut String) {
        let (number, column) = self.position(problem);
        let line = Line::around(self.source.inner(), problem.span.start);
        let error = paint.red(&format!("error[{}]", problem.code));
        let message = paint.bold(&printable(&problem.message));
        let file = printable(self.file());
        lines::wrap(out, columns, (&format!("{file}:{number}:{column}: {error}: "), "  "), &message);

        let number = number.to_string();
        let margin = " ".repeat(number.len());
        let shown = line.show(&problem.span, MAX_WIDTH.min(columns.saturating_sub(number.len() + 4)));
        let bar = paint.blue("|");
        let label = printable(&problem.label);
        let carets = "^".repeat(shown.caret_width);
        let _ = writeln!(out, "{margin} {bar}");
        let _ = writeln!(out, "{} {bar} {}", paint.blue(&number), shown.text.trim_end());
        let indent = format!("{margin} {bar} {}", " ".repeat(shown.caret_start));
        if lines::width(&indent) + carets.len() + 1 + lines::width(&label) < columns {
            let _ = writeln!(out, "{indent}{}", paint.red(format!("{carets} {label}").trim_end()));
        } else {
            let _ = writeln!(out, "{indent}{}", paint.red(&carets));
            let indent = format!("{margin} {bar} ");
            lines::wrap(out, columns, (&indent, &indent), &paint.red(&label));
        }
        if let Some(help) = &problem.help {
            let first = format!("{margin} {} help: ", paint.blue("="));
            lines::wrap(out, columns, (&first, &format!("{margin}         ")), &printable(help));
        }
        out.push('\n');
    }
}

impl fmt::Display for PlanErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not a valid plan", self.file())
    }
}

impl std::error::Error for PlanErrors {}

impl miette::Diagnostic for PlanErrors {
    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        Some(&self.source)
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        Some(Box::new(self.problems.iter().map(|problem| problem as _)))
    }
}

impl Serialize for PlanErrors {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.problems.len()))?;
        for problem in &self.problems {
            list.serialize_element(&Located { errors: self, problem })?;
        }
        list.end()
    }
}

struct Located<'a> {
    errors: &'a PlanErrors,
    problem: &'a Problem,
}

impl Serialize for Located<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (line, column) = self.errors.position(self.problem);
        let mut map = serializer.serialize_struct("Problem", 6)?;
        map.serialize_field("file", self.errors.file())?;
        map.serialize_field("line", &line)?;
        map.serialize_field("column", &column)?;
        map.serialize_field("code", self.problem.code.as_str())?;
        map.serialize_field("message", &self.problem.message)?;
        map.serialize_field("help", &self.problem.help)?;
        map.end()
    }
}

/// One line of the file, without its line break.
struct Line<'a> {
    /// From 1.
    number: usize,
    /// In bytes of the file.
    start: usize,
    text: &'a str,
}

/// A line as it is printed, and where its carets go, in terminal columns.
struct Shown {
    text: String,
    caret_start: usize,
    caret_width: usize,
}

/// Lines wider than this many columns, or than the terminal, are cut around the carets.
const MAX_WIDTH: usize = 140;

impl<'a> Line<'a> {
    fn around(source: &'a str, at: usize) -> Self {
        let mut at = at.min(source.len());
        while !source.is_char_boundary(at) {
            at -= 1;
        }
        let start = source[..at].rfind('\n').map_or(0, |end| end + 1);
        let end = source[at..].find('\n').map_or(source.len(), |len| at + len);
        let text = source[start..end].trim_end_matches('\r');
        Self { number: source[..start].matches('\n').count() + 1, start, text }
    }

    fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// Lays the line out in so many columns, with carets under the part of `span` that is on it, at least one.
    fn show(&self, span: &Range<usize>, most: usize) -> Shown {
        let mut cells: Vec<(String, usize)> = Vec::new();
        let (mut column, mut caret_start, mut caret_width) = (0, None, 0);
        for (offset, c) in self.text.char_indices() {
            let at = self.start + offset;
            let (cell, width) = cell(c, column);
            if at >= span.start && at < span.end {
                caret_start.get_or_insert(column);
                caret_width += width;
            }
            column += width;
            cells.push((cell, width));
        }
        let caret_start = caret_start.unwrap_or_else(|| {
            self.text
                .char_indices()
                .zip(&cells)
                .filter(|((at, _), _)| self.start + at < span.start)
                .map(|(_, c)| c.1)
                .sum()
        });
        let (text, cut) = if column > most { excerpt(&cells, caret_start, most) } else { (join(&cells), 0) };
        let caret_start = caret_start - cut;
        Shown { text, caret_start, caret_width: caret_width.clamp(1, most.saturating_sub(caret_start).max(1)) }
    }
}

/// Returns what is printed for `c` at terminal column `column`, and how wide that is.
fn cell(c: char, column: usize) -> (String, usize) {
    const TAB: usize = 4;
    if c == '\t' {
        let width = TAB - column % TAB;
        (" ".repeat(width), width)
    } else if hidden(c) {
        (char::REPLACEMENT_CHARACTER.to_string(), 1)
    } else {
        (c.to_string(), c.width().unwrap_or(0))
    }
}

fn join(cells: &[(String, usize)]) -> String {
    cells.iter().map(|(cell, _)| cell.as_str()).collect()
}

/// Returns the part of a long line around `caret`, and by how many columns it moved to the left.
fn excerpt(cells: &[(String, usize)], caret: usize, most: usize) -> (String, usize) {
    let from = caret.saturating_sub(most / 3);
    let (mut column, mut text, mut cut) = (0, String::new(), None);
    for (cell, width) in cells {
        if column >= from && column + width <= from + most {
            cut.get_or_insert(column);
            text.push_str(cell);
        }
        column += width;
    }
    (text, cut.unwrap_or(0))
}

/// Returns whether `c` could move the cursor, hide text or reorder it.
fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Returns `text` without line breaks and characters that a terminal would act on.
fn printable(text: &str) -> String {
    text.chars().map(|c| if hidden(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[derive(Clone, Copy)]
struct Paint {
    color: bool,
}

impl Paint {
    fn with(self, sgr: &str, text: &str) -> String {
        if self.color { format!("\x1b[{sgr}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn red(self, text: &str) -> String {
        self.with("1;31", text)
    }

    fn blue(self, text: &str) -> String {
        self.with("1;34", text)
    }

    fn bold(self, text: &str) -> String {
        self.with("1", text)
    }
}
