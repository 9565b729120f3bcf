//! Texts in SQL that no migration tool reads as anything but text.

/// Characters that a migration tool or the language around its SQL may replace, escape or split at, in whatever place.
const SPECIAL: &str = "$%{}#?\\`;";

/// Returns `text` as an expression of SQL in which special characters stand by their number: `'a' || chr(36) || 'b'`. All control
/// characters are special, so it is one line, and so is a colon that stands alone, and the second of two double quotes or hyphens.
pub(super) fn literal(text: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut plain = String::new();
    let mut before = None;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let doubled = matches!(c, '"' | '-') && before == Some(c);
        // SQLAlchemy takes `:name` for a parameter, and `::name` for a cast.
        let alone = c == ':' && before != Some(c) && rest.peek() != Some(&c);
        before = Some(c);
        if SPECIAL.contains(c) || c.is_ascii_control() || doubled || alone {
            flush(&mut plain, &mut parts);
            parts.push(format!("chr({})", u32::from(c)));
        } else {
            plain.push(c);
        }
    }
    if !plain.is_empty() || parts.is_empty() {
        parts.push(quoted(&plain));
    }
    if let [only] = parts.as_slice() { only.clone() } else { format!("({})", parts.join(" || ")) }
}

fn flush(plain: &mut String, parts: &mut Vec<String>) {
    if !plain.is_empty() {
        parts.push(quoted(plain));
        plain.clear();
    }
}

fn quoted(plain: &str) -> String {
    format!("'{}'", plain.replace('\'', "''"))
}
