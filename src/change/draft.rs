//! What is sensible for a type change: expressions there and back, for those who begin a plan. Which of them fits is decided by
//! whoever tries them on the server.

use crate::sql::quote_literal;

/// One of the two columns of a type change.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Side<'a> {
    /// The column for SQL, in quotes where it needs them; or an expression in parentheses.
    pub(crate) sql: &'a str,
    /// Its type without length or precision, as casts name it.
    pub(crate) base_type: &'a str,
    /// Of an enum, its labels.
    pub(crate) labels: &'a [String],
}

/// A way there and, perhaps, one back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Way {
    /// An expression over the old column; `None` where the value is taken as it is.
    pub(crate) using: Option<String>,
    /// An expression over the new column; `None` where there is none that depends on nothing but the value.
    pub(crate) reverse: Option<String>,
    /// What somebody should know who reads it; may be empty.
    pub(crate) note: &'static str,
}

/// What could be written in place of [`Way::using`], and what comes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instead {
    /// The expression.
    pub(crate) using: String,
    /// What it does with values that do not convert.
    pub(crate) note: &'static str,
}

const DATE: &str = "date";
const TIMESTAMP: &str = "timestamp without time zone";
const TIMESTAMPTZ: &str = "timestamp with time zone";

const ZONE: &str = "A time without a zone is taken for UTC. Write another zone in both expressions if it was meant so.";
const ISO: &str = "Texts are read as 2027-01-05 22:30:00, with a space or a T in the middle: casts between text and dates depend on \
     settings of the session, so they cannot be used.";
const ISO_ZONE: &str = "Texts are read as 2027-01-05 22:30:00, with a space or a T in the middle, with or without a Z at the end, and in UTC: \
     casts between text and dates depend on settings of the session, so they cannot be used.";
const EPOCH: &str = "The number is taken for seconds since 1970. If it counts milliseconds, divide by 1000.0, and multiply in `reverse`.";

fn is_text(base_type: &str) -> bool {
    ["text", "character varying", "bpchar", "character", "citext", "public.citext"].contains(&base_type)
}

fn is_integer(base_type: &str) -> bool {
    ["smallint", "integer", "bigint"].contains(&base_type)
}

fn is_number(base_type: &str) -> bool {
    is_integer(base_type) || ["numeric", "real", "double precision"].contains(&base_type)
}

/// Returns ways from `old` to `new`, the best first; the last are those without a way back.
pub(crate) fn ways(old: Side<'_>, new: Side<'_>) -> Vec<Way> {
    let special = there(old, new).map(|(using, note)| {
        let reverse = there(new, old).map_or_else(|| cast(new.sql, old.base_type), |(sql, _)| sql);
        Way { using: Some(using), reverse: Some(reverse), note }
    });
    let cast = if old.base_type == new.base_type {
        Way { using: None, reverse: Some(new.sql.to_owned()), note: "" }
    } else {
        let (using, reverse) = (cast(old.sql, new.base_type), cast(new.sql, old.base_type));
        Way { using: Some(using), reverse: Some(reverse), note: "" }
    };
    let one_way = special.iter().chain([&cast]).cloned().map(|way| Way { reverse: None, ..way });
    let one_way: Vec<_> = one_way.collect();
    special.into_iter().chain([cast]).chain(one_way).collect()
}

/// Returns an expression of the type of `to`, where a plain cast will not do.
fn there(from: Side<'_>, to: Side<'_>) -> Option<(String, &'static str)> {
    let (value, target) = (from.sql, to.base_type);
    let utc = |value: &str| format!("{value} AT TIME ZONE 'UTC'");
    Some(match (from.base_type, target) {
        (TIMESTAMP, TIMESTAMPTZ) | (TIMESTAMPTZ, TIMESTAMP) => (utc(value), ZONE),
        (DATE, TIMESTAMPTZ) => (utc(&format!("{value}::timestamp")), ZONE),
        (TIMESTAMPTZ, DATE) => (format!("({})::date", utc(value)), ZONE),
        (text, DATE) if is_text(text) => (date(value), ISO),
        (text, TIMESTAMP) if is_text(text) => (timestamp(value), ISO),
        (text, TIMESTAMPTZ) if is_text(text) => (utc(&timestamp(value)), ISO_ZONE),
        (DATE, text) if is_text(text) => (date_text(value), ISO),
        (TIMESTAMP, text) if is_text(text) => (timestamp_text(value), ISO),
        (TIMESTAMPTZ, text) if is_text(text) => (timestamp_text(&format!("({})", utc(value))), ISO_ZONE),
        (number, TIMESTAMPTZ) if is_number(number) => (format!("to_timestamp({value})"), EPOCH),
        (number, TIMESTAMP) if is_number(number) => (utc(&format!("to_timestamp({value})")), EPOCH),
        (TIMESTAMPTZ, number) if is_number(number) => {
            (cast(&format!("extract(epoch FROM {})", utc(value)), number), EPOCH)
        }
        (TIMESTAMP, number) if is_number(number) => (cast(&format!("extract(epoch FROM {value})"), number), EPOCH),
        (number, "boolean") if is_number(number) => (format!("{value} <> 0"), "Every number but 0 is true."),
        ("boolean", number) if is_number(number) && number != "integer" => {
            (cast(&format!("{value}::integer"), number), "")
        }
        (text, "bytea") if is_text(text) => (format!("convert_to({value}, 'UTF8')"), ""),
        ("bytea", text) if is_text(text) => (format!("convert_from({value}, 'UTF8')"), ""),
        (text, "text[]") if is_text(text) => {
            (format!("string_to_array({value}, ',')"), "The text is split at its commas.")
        }
        _ if !from.labels.is_empty() && !to.labels.is_empty() => (cast(&cast(value, "text"), target), ""),
        _ => return None,
    })
}

/// Returns expressions for values of which some do not convert as [`ways`] says. `most` is the length that the new type has room for.
pub(crate) fn instead(old: Side<'_>, new: Side<'_>, most: Option<u32>) -> Vec<Instead> {
    const NULL: &str = "Values that do not convert become NULL:";
    let (value, target) = (old.sql, new.base_type);
    if !is_text(old.base_type) && old.labels.is_empty() {
        return vec![];
    }
    let trimmed = format!("btrim({value}{})", if old.labels.is_empty() { "" } else { "::text" });
    let matches = |pattern: &str| {
        let using = format!("CASE WHEN {trimmed} ~ '{pattern}' THEN {} END", cast(&trimmed, target));
        vec![Instead { using, note: NULL }]
    };
    match (target, most) {
        _ if !new.labels.is_empty() => {
            let label = |label: &String| {
                format!("WHEN {} THEN {}", quote_literal(&label.to_lowercase()), cast(&quote_literal(label), target))
            };
            let labels: Vec<_> = new.labels.iter().map(label).collect();
            let using = format!("CASE lower({trimmed}) {} END", labels.join(" "));
            vec![Instead {
                using,
                note: "Upper and lower case, and spaces around, make no difference; what is no label becomes NULL:",
            }]
        }
        ("smallint", _) => matches("^[+-]?[0-9]{1,4}$"),
        ("integer", _) => matches("^[+-]?[0-9]{1,9}$"),
        ("bigint", _) => matches("^[+-]?[0-9]{1,18}$"),
        ("numeric" | "real" | "double precision", _) => matches("^[+-]?[0-9]{1,30}([.][0-9]{1,30})?$"),
        ("uuid", _) => matches("^[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}$"),
        (text, Some(most)) if is_text(text) => {
            vec![Instead { using: format!("left({value}, {most})"), note: "Longer values are cut:" }]
        }
        _ => vec![],
    }
}

/// Returns `value`, a name, a call or a cast, as a value of the type.
fn cast(value: &str, target: &str) -> String {
    format!("{value}::{target}")
}

fn part(value: &str, from: u8, length: u8) -> String {
    format!("substring({value}, {from}, {length})::integer")
}

fn date(value: &str) -> String {
    format!("make_date({}, {}, substring({value}, 9)::integer)", part(value, 1, 4), part(value, 6, 2))
}

fn timestamp(value: &str) -> String {
    let parts = [(1, 4), (6, 2), (9, 2), (12, 2), (15, 2)].map(|(from, length)| part(value, from, length));
    format!("make_timestamp({}, rtrim(substring({value}, 18), 'Z')::double precision)", parts.join(", "))
}

fn digits(field: &str, value: &str, length: u8) -> String {
    format!("lpad(extract({field} FROM {value})::text, {length}, '0')")
}

fn date_text(value: &str) -> String {
    let day = [digits("year", value, 4), digits("month", value, 2), digits("day", value, 2)];
    day.join(" || '-' || ")
}

fn timestamp_text(value: &str) -> String {
    let seconds = format!("rtrim(rtrim({}, '0'), '.')", digits("second", value, 9));
    let time = [digits("hour", value, 2), digits("minute", value, 2), seconds];
    format!("{} || ' ' || {}", date_text(value), time.join(" || ':' || "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: &[String] = &[];

    fn side<'a>(sql: &'a str, base_type: &'a str) -> Side<'a> {
        Side { sql, base_type, labels: NONE }
    }

    #[test]
    fn the_best_way_comes_first_and_a_cast_without_a_way_back_last() {
        let all = ways(side("a", DATE), side("\"b c\"", TIMESTAMPTZ));
        let said: Vec<_> = all.iter().map(|way| (way.using.as_deref().unwrap(), way.reverse.as_deref())).collect();
        assert_eq!(
            said,
            [
                ("a::timestamp AT TIME ZONE 'UTC'", Some("(\"b c\" AT TIME ZONE 'UTC')::date")),
                ("a::timestamp with time zone", Some("\"b c\"::date")),
                ("a::timestamp AT TIME ZONE 'UTC'", None),
                ("a::timestamp with time zone", None),
            ]
        );
        let same = ways(side("a", "character varying"), side("b", "character varying"));
        assert_eq!((same[0].using.as_deref(), same[0].reverse.as_deref()), (None, Some("b")));
    }

    #[test]
    fn labels_are_written_as_literals() {
        let labels = ["It's".to_owned(), "b\\".to_owned()];
        let new = Side { labels: &labels, ..side("b", "public.mood") };
        let instead = instead(side("a", "text"), new, None);
        assert_eq!(
            instead[0].using,
            "CASE lower(btrim(a)) WHEN 'it''s' THEN 'It''s'::public.mood WHEN E'b\\\\' THEN E'b\\\\'::public.mood END"
        );
    }
}
