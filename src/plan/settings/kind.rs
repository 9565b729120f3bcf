//! The kinds of value that a setting can take, and how each is read and written. Plan files and `crossfade tune` read
//! values here, with the same messages.

use std::time::Duration;

use crate::plan::diagnostic::Code;
use crate::plan::{Bytes, Word, suggest};

/// Longer than anybody means, and short enough for PostgreSQL's intervals and 64 bits of microseconds.
const LONGEST: Duration = Duration::from_hours(10 * 365 * 24);

/// What kind of value a setting takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A duration; `zero` says whether it may be nothing.
    Time {
        /// Whether nothing is a value.
        zero: bool,
    },
    /// An amount of data, more than nothing.
    Data,
    /// A whole number.
    Whole {
        /// The smallest.
        least: u32,
        /// The largest.
        most: u32,
    },
    /// Any number.
    Number,
    /// True or false.
    Truth,
    /// One of a few words.
    Words(&'static [Word]),
    /// A query.
    Sql,
}

/// A value that a setting has.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// None: `off`, `auto`, or left out.
    Off,
    /// A duration.
    Time(Duration),
    /// An amount of data.
    Data(Bytes),
    /// A whole number.
    Whole(u32),
    /// A number.
    Number(f64),
    /// True or false.
    Truth(bool),
    /// A word.
    Word(&'static str),
    /// A query.
    Sql(String),
}

/// Why a text is no value of a setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Wrong {
    pub(in crate::plan) code: Code,
    /// What is wrong, as one phrase.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

impl Wrong {
    fn new(code: Code, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: help.into() }
    }
}

impl Kind {
    /// Reads `text` as a value of the setting `key`, of which `off` stands for none.
    ///
    /// # Errors
    /// Why it is none, in the words that plan files and `tune` both use.
    pub(super) fn read(self, key: &str, off: Option<&str>, text: &str) -> Result<Value, Wrong> {
        if off == Some(text) {
            return Ok(Value::Off);
        }
        match self {
            Self::Time { zero } => time(zero, off, text),
            Self::Data => data(off, text),
            Self::Whole { least, most } => whole(key, (least, most), off, text),
            Self::Number => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Value::Number(number)),
                _ => Err(not_a_number(key, "a number", off, text)),
            },
            Self::Truth => match text {
                "true" => Ok(Value::Truth(true)),
                "false" => Ok(Value::Truth(false)),
                _ => {
                    let message = format!("`{key}`: expected true or false, found `{text}`");
                    Err(Wrong::new(Code::WrongType, message, "write `true` or `false`"))
                }
            },
            Self::Words(words) => word(key, words, text),
            Self::Sql => Ok(Value::Sql(text.to_owned())),
        }
    }

    /// Returns what a value is called in a sentence.
    pub(super) fn wanted(self) -> &'static str {
        match self {
            Self::Time { .. } => "a duration",
            Self::Data => "an amount of data",
            Self::Whole { .. } => "a whole number",
            Self::Number => "a number",
            Self::Truth => "true or false",
            Self::Words(_) | Self::Sql => "text",
        }
    }

    /// Returns whether values are numbers, which stand in plans without quotes.
    pub(in crate::plan) fn is_number(self) -> bool {
        matches!(self, Self::Whole { .. } | Self::Number)
    }
}

fn time(zero: bool, off: Option<&str>, text: &str) -> Result<Value, Wrong> {
    // humantime reads a lone 0; here every number has a unit.
    let unit = text.chars().any(char::is_alphabetic);
    let Some(time) = humantime::parse_duration(text).ok().filter(|_| unit) else {
        let help = match text.trim().parse::<u64>() {
            Ok(number) => {
                format!("a number needs a unit: `{number}ms`, `{number}s`, `{number}min`, `{number}h`, `{number}d`")
            }
            Err(_) => "expected a duration such as 100ms, 5s, 24h, 7d".to_owned(),
        };
        return Err(Wrong::new(Code::BadDuration, format!("`{text}` is not a duration"), help));
    };
    let help = match off {
        _ if time > LONGEST => "expected at most ten years".to_owned(),
        _ if zero || !time.is_zero() => return Ok(Value::Time(time)),
        Some(off) => no_limit(off),
        None => "expected more than zero".to_owned(),
    };
    Err(Wrong::new(Code::OutOfRange, format!("`{text}` is out of range"), help))
}

fn data(off: Option<&str>, text: &str) -> Result<Value, Wrong> {
    match text.parse::<Bytes>() {
        Ok(Bytes(0)) => {
            let help = off.map_or("expected more than zero".to_owned(), no_limit);
            Err(Wrong::new(Code::OutOfRange, format!("`{text}` is out of range"), help))
        }
        Ok(bytes) => Ok(Value::Data(bytes)),
        Err(error) => Err(Wrong::new(Code::BadSize, format!("`{text}` is not an amount of data"), error.to_string())),
    }
}

fn whole(key: &str, (least, most): (u32, u32), off: Option<&str>, text: &str) -> Result<Value, Wrong> {
    let Some(number) = integer(text) else { return Err(not_a_number(key, "a whole number", off, text)) };
    match u32::try_from(number) {
        Ok(number) if (least..=most).contains(&number) => Ok(Value::Whole(number)),
        _ => {
            let help = match off {
                Some(off) if number == 0 => no_limit(off),
                Some(off) => format!("expected a number from {least} to {most}, or `{off}`"),
                None => format!("expected a number from {least} to {most}"),
            };
            Err(Wrong::new(Code::OutOfRange, format!("{text} is out of range for `{key}`"), help))
        }
    }
}

fn word(key: &str, words: &[Word], text: &str) -> Result<Value, Wrong> {
    if let Some(known) = words.iter().find(|known| known.word == text) {
        return Ok(Value::Word(known.word));
    }
    let known: Vec<_> = words.iter().map(|known| known.word).collect();
    let message = format!("`{text}` is not known in `{key}`");
    Err(Wrong::new(Code::UnknownValue, message, suggest::did_you_mean(text, &known)))
}

fn no_limit(off: &str) -> String {
    if off == "off" { "write `off` to switch it off".to_owned() } else { format!("write `{off}` to leave it open") }
}

fn not_a_number(key: &str, wanted: &str, off: Option<&str>, text: &str) -> Wrong {
    let or_off = off.map(|off| format!(" or `{off}`")).unwrap_or_default();
    let digits: String = text.chars().filter(|c| !matches!(c, '_' | ',' | '\'' | ' ')).collect();
    let help = match integer(&digits) {
        Some(_) => format!("write `{digits}`"),
        None => format!("write {wanted}{or_off}"),
    };
    Wrong::new(Code::WrongType, format!("`{key}`: expected {wanted}{or_off}, found `{text}`"), help)
}

/// Returns the whole number that YAML 1.2 reads in `text`.
pub(in crate::plan) fn integer(text: &str) -> Option<i64> {
    if let Some(digits) = text.strip_prefix("0x") {
        i64::from_str_radix(digits, 16).ok()
    } else if let Some(digits) = text.strip_prefix("0o") {
        i64::from_str_radix(digits, 8).ok()
    } else {
        text.parse().ok()
    }
}

impl Value {
    /// Returns the value as a number in its base unit: seconds, bytes, or what it counts.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Time(time) => Some(time.as_secs_f64()),
            #[expect(clippy::cast_precision_loss, reason = "a limit")]
            Self::Data(bytes) => Some(bytes.0 as f64),
            Self::Whole(number) => Some(f64::from(*number)),
            Self::Number(number) => Some(*number),
            Self::Off | Self::Truth(_) | Self::Word(_) | Self::Sql(_) => None,
        }
    }

    /// Returns the value as plans write it; `off` is the setting's word for none.
    pub(in crate::plan) fn json(&self, off: &str) -> serde_json::Value {
        match self {
            Self::Off => off.into(),
            Self::Time(time) => time_text(*time).into(),
            Self::Data(bytes) => bytes.written().into(),
            Self::Whole(number) => (*number).into(),
            #[expect(clippy::cast_possible_truncation, reason = "it has been compared")]
            Self::Number(number) if number.fract() == 0.0 && number.abs() < 1e15 => (*number as i64).into(),
            Self::Number(number) => (*number).into(),
            Self::Truth(truth) => (*truth).into(),
            Self::Word(word) => (*word).into(),
            Self::Sql(text) => text.as_str().into(),
        }
    }
}

/// Returns the duration that `text` is, more than zero and at most ten years.
pub(in crate::plan) fn duration(text: &str) -> Result<Duration, Wrong> {
    match time(false, None, text)? {
        Value::Time(time) => Ok(time),
        _ => Ok(Duration::ZERO),
    }
}

/// Returns a duration with the largest unit that divides it: `90s`, `5min`, `7d`.
pub(in crate::plan) fn time_text(time: Duration) -> String {
    const UNITS: [(&str, u128); 7] = [
        ("d", 86_400_000_000_000),
        ("h", 3_600_000_000_000),
        ("min", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ];
    let nanos = time.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    let (unit, size) = UNITS.into_iter().find(|(_, size)| nanos.is_multiple_of(*size)).unwrap_or(("ns", 1));
    format!("{}{unit}", nanos / size)
}
