//! Amounts of data.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Units as PostgreSQL's settings have them, in powers of 1024. (The crates for this count in powers of 1000 when they
/// read `GB`: then `10GB` here would be another amount than in `max_slot_wal_keep_size`.)
const UNITS: [(&str, u64); 5] = [("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10), ("B", 1)];

/// A number of bytes. Written as PostgreSQL's settings are: `10GB` is 10 times 1024³.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Bytes(pub u64);

/// A text that is no amount of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BytesError {
    /// It has no unit.
    #[error("a number needs a unit: kB, MB, GB or TB")]
    NoUnit,
    /// It is something else.
    #[error("expected an amount such as 100MB or 10GB")]
    Other,
}

impl FromStr for Bytes {
    type Err = BytesError;

    fn from_str(text: &str) -> Result<Self, BytesError> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| BytesError::Other)?;
        let unit = unit.trim();
        if unit.is_empty() {
            return Err(BytesError::NoUnit);
        }
        // Nobody means bits, or a different amount, by another case.
        let factor = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or(BytesError::Other)?.1;
        let bytes = number.checked_mul(factor).filter(|bytes| i64::try_from(*bytes).is_ok());
        bytes.map(Self).ok_or(BytesError::Other)
    }
}

impl Bytes {
    /// Returns the exact amount as a setting has it: `10GB`, `1536kB`.
    pub(super) fn written(self) -> String {
        let divides = |(_, factor): &(&str, u64)| self.0 >= *factor && self.0.is_multiple_of(*factor);
        let (unit, factor) = UNITS.into_iter().find(divides).unwrap_or(("B", 1));
        format!("{}{unit}", self.0 / factor)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = UNITS.into_iter().find(|(_, factor)| self.0 >= *factor).unwrap_or(("B", 1));
        let (whole, tenth) = (self.0 / factor, self.0 % factor * 10 / factor);
        if whole < 100 && tenth > 0 { write!(f, "{whole}.{tenth} {unit}") } else { write!(f, "{whole} {unit}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_those_of_postgresql() {
        for (text, bytes, shown) in [
            ("10GB", 10 << 30, "10 GB"),
            ("100 MB", 100 << 20, "100 MB"),
            ("1536kb", 1536 << 10, "1.5 MB"),
            ("0B", 0, "0 B"),
            ("2000B", 2000, "1.9 kB"),
            ("3TB", 3 << 40, "3 TB"),
        ] {
            let parsed: Bytes = text.parse().unwrap();
            assert_eq!((parsed.0, parsed.to_string().as_str()), (bytes, shown));
            assert_eq!(parsed.written().parse(), Ok(parsed));
        }
        assert_eq!("10".parse::<Bytes>(), Err(BytesError::NoUnit));
        for text in ["", "GB", "-1GB", "1.5GB", "10 GiBs", "99999999TB"] {
            assert_eq!(text.parse::<Bytes>(), Err(BytesError::Other), "{text}");
        }
    }
}
