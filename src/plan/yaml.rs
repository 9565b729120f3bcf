//! YAML as a tree in which every key and value knows its place in the file.

use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::diagnostic::{Code, Problem};

/// Maps and lists nested deeper than this are refused; a plan needs six levels.
const MAX_DEPTH: usize = 16;

/// A value and its place.
#[derive(Debug)]
pub(super) struct Node {
    /// In bytes of the file. A value left out has its key's place.
    pub(super) span: Range<usize>,
    pub(super) kind: Kind,
}

/// The three kinds of YAML value.
#[derive(Debug)]
pub(super) enum Kind {
    /// Text as written, without its quotes. Whether plain text is a number is for the reader to decide, so that
    /// `name: 007` stays what it looks like.
    Scalar { text: String, plain: bool },
    /// A list.
    Seq(Vec<Node>),
    /// A map, in order, each key once.
    Map { entries: Vec<Entry>, flow: bool },
}

/// A key and its value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Range<usize>,
    pub(super) value: Node,
}

impl Node {
    /// Returns whether nothing was given, or `null`.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }
}

/// Reads `text`, which holds one document. Problems that leave the tree whole (a key given twice, a tag) are added to
/// `problems`; `None` means that there is no tree.
pub(super) fn read(text: &str, problems: &mut Vec<Problem>) -> Option<Node> {
    if let Some(problem) = forbidden_character(text) {
        problems.push(problem);
        return None;
    }
    let mut reader = Reader { parser: Parser::new_from_str(text), source: Source::new(text), problems };
    match reader.document() {
        Ok(node) => Some(node),
        Err(problem) => {
            problems.push(problem);
            None
        }
    }
}

/// The parser takes a zero byte for the end of the file, and would drop what follows without a word.
fn forbidden_character(text: &str) -> Option<Problem> {
    let (at, c) = text.char_indices().find(|(_, c)| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}'))?;
    let message = format!("not valid YAML: the file contains the control character U+{:04X}", u32::from(c));
    Some(
        Problem::new(Code::Syntax, at..at + c.len_utf8(), message)
            .help("remove it, and check that this is a UTF-8 text file"),
    )
}

/// The text, with the parser's character positions turned into bytes.
struct Source<'a> {
    text: &'a str,
    /// Where each character starts.
    starts: Vec<usize>,
}

impl<'a> Source<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, starts: text.char_indices().map(|(at, _)| at).collect() }
    }

    fn byte(&self, index: usize) -> usize {
        self.starts.get(index).copied().unwrap_or(self.text.len())
    }

    /// Returns `span` in bytes, without white space at its end.
    fn range(&self, span: Span) -> Range<usize> {
        let start = self.byte(span.start.index());
        let end = self.byte(span.end.index()).max(start);
        start..start + self.text[start..end].trim_end().len()
    }
}

struct Reader<'a, 'p> {
    parser: Parser<'a, StrInput<'a>>,
    source: Source<'a>,
    problems: &'p mut Vec<Problem>,
}

impl<'a> Reader<'a, '_> {
    fn document(&mut self) -> Result<Node, Problem> {
        let root = loop {
            match self.next()? {
                (Event::StreamStart | Event::DocumentStart(_) | Event::Nothing, _) => {}
                (Event::StreamEnd | Event::DocumentEnd, _) => return Err(self.empty()),
                (event, span) => break self.node(event, span, 0)?,
            }
        };
        if root.is_null() {
            return Err(self.empty());
        }
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(root),
                (Event::DocumentStart(_), span) => {
                    let span = self.source.range(span);
                    self.problems.push(
                        Problem::new(Code::SeveralDocuments, span, "a second document begins here")
                            .help("a file contains one plan: put the other one into its own file"),
                    );
                    return Ok(root);
                }
                _ => {}
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Problem> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(syntax(&self.source, &error)),
            None => Err(self.empty()),
        }
    }

    fn empty(&self) -> Problem {
        let end = self.source.text.trim_end().len();
        Problem::new(Code::Empty, end..end, "there is no plan in this file")
            .help("a plan has at least `version`, `name`, `table` and `changes`")
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Problem> {
        let span = self.source.range(span);
        if depth > MAX_DEPTH {
            return Err(Problem::new(Code::TooDeep, span, "maps and lists are nested too deeply")
                .help("check the brackets and the indentation"));
        }
        let tagged = match &event {
            Event::Scalar(_, _, anchor, tag) | Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) => {
                *anchor > 0 || tag.is_some()
            }
            _ => false,
        };
        if tagged {
            self.no_feature(span.clone(), "anchors (`&x`) and tags (`!x`) are not used in plan files");
        }
        match event {
            Event::Scalar(text, style, ..) => {
                let plain = style == ScalarStyle::Plain;
                Ok(Node { span, kind: Kind::Scalar { text: text.into_owned(), plain } })
            }
            Event::SequenceStart(..) => self.sequence(span, depth),
            Event::MappingStart(..) => self.mapping(span, depth),
            _ => {
                self.no_feature(span.clone(), "aliases (`*x`) are not used in plan files");
                Ok(Node { span, kind: Kind::Scalar { text: String::new(), plain: true } })
            }
        }
    }

    fn sequence(&mut self, start: Range<usize>, depth: usize) -> Result<Node, Problem> {
        let mut items: Vec<Node> = Vec::new();
        loop {
            let (event, end) = self.next()?;
            if event == Event::SequenceEnd {
                let last = items.last().map(|item| item.span.clone());
                let span = self.whole(&start, last, end);
                return Ok(Node { span, kind: Kind::Seq(items) });
            }
            items.push(self.node(event, end, depth + 1)?);
        }
    }

    fn mapping(&mut self, start: Range<usize>, depth: usize) -> Result<Node, Problem> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut last = None;
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                let flow = self.source.text[start.start..].starts_with('{');
                let start = if flow { start } else { entries.first().map_or(start, |entry| entry.key_span.clone()) };
                let span = self.whole(&start, last, span);
                return Ok(Node { span, kind: Kind::Map { entries, flow } });
            }
            let key = self.node(event, span, depth + 1)?;
            let (event, span) = self.next()?;
            let mut value = self.node(event, span, depth + 1)?;
            if value.span.is_empty() && value.is_null() {
                value.span = key.span.clone();
            }
            last = Some(value.span.clone());
            if let Some(entry) = self.entry(key, value, &entries) {
                entries.push(entry);
            }
        }
    }

    /// Returns the entry, unless its key is none or was given before.
    fn entry(&mut self, key: Node, value: Node, before: &[Entry]) -> Option<Entry> {
        let Kind::Scalar { text: name, .. } = key.kind else {
            self.no_feature(key.span, "a key must be a word");
            return None;
        };
        if name == "<<" {
            self.no_feature(key.span, "merge keys (`<<`) are not used in plan files");
            return None;
        }
        if let Some(first) = before.iter().find(|entry| entry.key == name) {
            let line = self.source.text[..first.key_span.start].matches('\n').count() + 1;
            self.problems.push(
                Problem::new(Code::DuplicateKey, key.span, format!("`{name}` is given twice"))
                    .help(format!("the first one is on line {line}; keep one of them")),
            );
            return None;
        }
        Some(Entry { key: name, key_span: key.span, value })
    }

    fn no_feature(&mut self, span: Range<usize>, message: &str) {
        self.problems.push(Problem::new(Code::YamlFeature, span, message).help("write the value in full"));
    }

    /// Returns the place of a map or list from its first to its last character. In block style the parser reports the
    /// end where the next thing begins.
    fn whole(&self, start: &Range<usize>, last: Option<Range<usize>>, end: Span) -> Range<usize> {
        let end = self.source.range(end);
        let end = if self.source.text[start.start..].starts_with(['{', '[']) { end.end } else { start.end };
        start.start..last.map_or(end, |last| last.end.max(end)).max(start.end)
    }
}

fn syntax(source: &Source<'_>, error: &ScanError) -> Problem {
    let text = source.text;
    let mut at = source.byte(error.marker().index());
    if at == text.len() {
        at = text.trim_end().len();
    }
    let end = at + text[at..].chars().next().filter(|c| *c != '\n').map_or(0, char::len_utf8);
    let problem = Problem::new(Code::Syntax, at..end, format!("not valid YAML: {}", error.info()));
    match syntax_help(text, at) {
        Some(help) => problem.help(help),
        None => problem,
    }
}

/// Returns what most likely went wrong near `at`: SQL has many characters that mean something else in YAML.
fn syntax_help(text: &str, at: usize) -> Option<String> {
    // The line of the error, the last one before it that says something, and the next.
    let line_at = |at: usize| {
        let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
        text[start..].lines().next().unwrap_or_default()
    };
    let next = text[at..].lines().nth(1).unwrap_or_default();
    let lines = [line_at(at), line_at(text[..at].trim_end().len()), next];
    lines.into_iter().find_map(line_help).map(str::to_owned).or_else(|| {
        let line = open_bracket(&text[..at])?;
        Some(format!("check whether a bracket is left open on line {line}"))
    })
}

fn line_help(line: &str) -> Option<&'static str> {
    if line.trim_start_matches(' ').starts_with('\t') {
        return Some("indent with spaces; YAML does not allow tabs there");
    }
    let value = line.split_once(": ")?.1.trim();
    if value.starts_with(['>', '@', '`', '%', '|', '&', '*', '!']) {
        Some("put quotes around the value: it starts with a character that means something else in YAML")
    } else if value.starts_with(['"', '\'']) {
        Some("put quotes around the whole value: one that starts with a quote ends at the next quote")
    } else if value.contains(": ") && !value.starts_with(['{', '[']) {
        Some("put quotes around a value that contains a colon and a space")
    } else {
        None
    }
}

/// Returns the line of the last bracket that nothing before the end of `text` closes.
fn open_bracket(text: &str) -> Option<usize> {
    let mut open = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for c in line.split(" #").next().unwrap_or_default().chars() {
            match c {
                '{' | '[' => open.push(number + 1),
                '}' | ']' => _ = open.pop(),
                _ => {}
            }
        }
    }
    open.pop()
}
