//! As much of Python as it takes to read migrations: calls, their arguments, strings and lists of them. It reads what the tools write
//! and people add; what is computed it does not know.

/// Returns the length of the string or the comment that `text` begins with, or 0.
fn skipped(text: &str) -> usize {
    if text.starts_with('#') {
        return text.find('\n').unwrap_or(text.len());
    }
    for quote in ["\"\"\"", "'''", "\"", "'"] {
        let Some(inner) = text.strip_prefix(quote) else { continue };
        let mut at = 0;
        while at < inner.len() {
            if inner[at..].starts_with(quote) {
                return at + 2 * quote.len();
            }
            let escape = usize::from(inner[at..].starts_with('\\'));
            at += escape + inner[at + escape..].chars().next().map_or(0, char::len_utf8);
        }
        return text.len();
    }
    0
}

/// Returns the places in `text` that are neither in a string nor in a comment, with the depth of brackets around each.
fn places(text: &str) -> impl Iterator<Item = (usize, char, usize)> {
    let (mut at, mut depth) = (0, 0_usize);
    std::iter::from_fn(move || {
        loop {
            let skip = skipped(&text[at..]);
            if skip == 0 {
                break;
            }
            at += skip;
        }
        let c = text[at..].chars().next()?;
        let place = at;
        at += c.len_utf8();
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        Some((place, c, depth))
    })
}

/// Returns what stands between the brackets that `text` begins with.
fn inside(text: &str) -> &str {
    let end = places(text).find(|(_, c, depth)| *depth == 0 && matches!(c, ')' | ']' | '}'));
    end.map_or("", |(end, _, _)| &text[1..end])
}

/// A call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    /// The last part of its name.
    pub(crate) name: &'a str,
    /// What is between its parentheses.
    pub(crate) arguments: &'a str,
}

/// Returns the calls in `text` of functions with one of these names, in order, whatever they are in.
pub(crate) fn calls<'a>(text: &'a str, names: &[&'a str]) -> Vec<Call<'a>> {
    let mut calls = Vec::new();
    for (at, c, _) in places(text) {
        if c != '(' {
            continue;
        }
        let before = text[..at].trim_end();
        let start = before.rfind(|c: char| !(c.is_alphanumeric() || c == '_')).map_or(0, |at| at + 1);
        let start = if before.is_char_boundary(start) { start } else { before.len() };
        if names.contains(&&before[start..]) {
            calls.push(Call { name: &before[start..], arguments: inside(&text[at..]) });
        }
    }
    calls
}

/// Returns the elements between commas, without white space and comments around them.
pub(crate) fn elements(text: &str) -> Vec<&str> {
    let mut cuts = vec![0];
    cuts.extend(places(text).filter(|(_, c, depth)| *c == ',' && *depth == 0).map(|(at, _, _)| at + 1));
    cuts.push(text.len() + 1);
    let element = |pair: &[usize]| trimmed(&text[pair[0]..(pair[1] - 1).max(pair[0])]);
    let elements: Vec<_> = cuts.windows(2).map(element).collect();
    elements.into_iter().filter(|element| !element.is_empty()).collect()
}

fn trimmed(text: &str) -> &str {
    let mut text = text.trim();
    while text.starts_with('#') {
        text = text[skipped(text)..].trim_start();
    }
    // A comment behind the last element.
    match places(text).last() {
        Some((at, c, _)) if text[at + c.len_utf8()..].trim_start().starts_with('#') => {
            text[..at + c.len_utf8()].trim_end()
        }
        _ => text,
    }
}

/// Returns the value of the argument `key=`.
pub(crate) fn keyword<'a>(arguments: &'a str, key: &str) -> Option<&'a str> {
    elements(arguments).into_iter().find_map(|element| {
        let (name, value) = element.split_once('=')?;
        (name.trim() == key).then(|| value.trim())
    })
}

/// Returns the text of a string without escapes; `None` for anything else.
pub(crate) fn string(value: &str) -> Option<String> {
    let value = value.trim_start_matches(['r', 'u', 'R', 'U']);
    if skipped(value) != value.len() || value.starts_with('#') || value.contains('\\') {
        return None;
    }
    let quote = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| value.starts_with(quote))?;
    value.strip_prefix(quote)?.strip_suffix(quote).map(str::to_owned)
}

/// Returns the elements of a list, a tuple or a map.
pub(crate) fn list(value: &str) -> Vec<&str> {
    if value.starts_with(['(', '[', '{']) { elements(inside(value)) } else { vec![] }
}

/// Returns the value that is assigned to `name` at the beginning of a line, with or without a type.
pub(crate) fn assigned<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut starts: Vec<usize> = vec![0];
    starts.extend(places(text).filter(|(_, c, depth)| *c == '\n' && *depth == 0).map(|(at, _, _)| at + 1));
    starts.into_iter().find_map(|start| {
        let rest = text[start..].trim_start_matches([' ', '\t']).strip_prefix(name)?;
        let (before, value) = rest.split_once('=')?;
        let before = before.trim();
        if !before.is_empty() && !before.starts_with(':') {
            return None;
        }
        let value = value.trim_start_matches([' ', '\t']);
        let end = places(value).find(|(_, c, depth)| *c == '\n' && *depth == 0).map_or(value.len(), |(at, _, _)| at);
        Some(trimmed(&value[..end]))
    })
}
