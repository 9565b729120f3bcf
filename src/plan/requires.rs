//! What a plan requires of the database before it begins and while it runs.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::{Bytes, PlanName, RelationName, TableName};
use crate::ident::{ColumnName, IdentError};

/// What the database must offer.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Requires {
    /// The lowest PostgreSQL major version.
    pub postgres: Option<u32>,
    /// Extensions that must be installed.
    pub extensions: Vec<Extension>,
    /// Plans whose runs must be done.
    pub plans: Vec<PlanName>,
    /// Tables that must be there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<TableName>,
    /// Columns that must be there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<RequiredColumn>,
    /// Disk space that must be free.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<Disk>,
    /// What replication slots may keep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots: Option<Slots>,
    /// Replicas that must have caught up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<Replicas>,
}

/// A column that must be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RequiredColumn {
    /// Its table.
    pub table: TableName,
    /// The column.
    pub column: ColumnName,
    /// Its type as in SQL; without a modifier, of any. `None` for any type.
    pub type_name: Option<String>,
}

impl fmt::Display for RequiredColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {} of {}", self.column, self.table)?;
        self.type_name.as_ref().map_or(Ok(()), |wanted| write!(f, " of type {wanted}"))
    }
}

/// Disk space that must be free.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// How much; `None` for what the table and its indexes are predicted to grow by from here on.
    pub free: Option<Bytes>,
    /// A query that returns the free bytes. `None` where the server's data directory can be looked at from here.
    pub query: Option<String>,
}

/// What replication slots may keep. At least one of these is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Slots {
    /// The most WAL that any slot keeps.
    pub wal: Option<Bytes>,
    /// The most WAL that a slot keeps whose reader is not connected.
    pub inactive_wal: Option<Bytes>,
    /// Whether the server must bound what a slot keeps (`max_slot_wal_keep_size`).
    pub bounded: bool,
}

/// Replicas that must have caught up. At least one of these is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Replicas {
    /// How many must be streaming at least.
    pub count: Option<u16>,
    /// The most WAL that any of them has not replayed yet.
    pub behind: Option<Bytes>,
}

/// An extension, and which versions of it will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// Its name.
    pub name: RelationName,
    /// The versions that will do; `None` for any.
    pub version: Option<(Comparison, Version)>,
}

/// Why a text is no requirement of an extension.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExtensionError {
    /// The name.
    #[error(transparent)]
    Name(#[from] IdentError),
    /// What stands behind the comparison.
    #[error("`{0}` is not a version: expected numbers with dots between them")]
    Version(String),
}

impl FromStr for Extension {
    type Err = ExtensionError;

    fn from_str(text: &str) -> Result<Self, ExtensionError> {
        let Some(at) = text.find(['<', '>', '=']) else {
            return Ok(Self { name: RelationName::new(text)?, version: None });
        };
        let (name, rest) = (RelationName::new(text[..at].trim())?, &text[at..]);
        let signs = rest.len() - rest.trim_start_matches(['<', '>', '=']).len();
        let (signs, version) = (&rest[..signs], rest[signs..].trim());
        let comparison = Comparison::ALL.into_iter().find(|comparison| comparison.sign() == signs);
        match (comparison, Version::read(version)) {
            (Some(comparison), Some(version)) => Ok(Self { name, version: Some((comparison, version)) }),
            (None, _) => Err(ExtensionError::Version(rest.trim().to_owned())),
            (_, None) => Err(ExtensionError::Version(version.to_owned())),
        }
    }
}

impl fmt::Display for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        self.version.as_ref().map_or(Ok(()), |(comparison, version)| write!(f, " {} {version}", comparison.sign()))
    }
}

impl Serialize for Extension {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Extension {
    /// Returns whether `installed` will do; `None` where it cannot be compared.
    pub(crate) fn allows(&self, installed: &str) -> Option<bool> {
        let Some((comparison, wanted)) = &self.version else { return Some(true) };
        let order = Version::read(installed)?.compare(wanted);
        Some(match comparison {
            Comparison::AtLeast => order.is_ge(),
            Comparison::AtMost => order.is_le(),
            Comparison::Above => order.is_gt(),
            Comparison::Below => order.is_lt(),
            Comparison::Exactly => order.is_eq(),
        })
    }
}

/// How a version is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `>=`
    AtLeast,
    /// `<=`
    AtMost,
    /// `>`
    Above,
    /// `<`
    Below,
    /// `=`
    Exactly,
}

impl Comparison {
    const ALL: [Self; 5] = [Self::AtLeast, Self::AtMost, Self::Above, Self::Below, Self::Exactly];

    /// Returns the sign that plans have.
    pub fn sign(self) -> &'static str {
        match self {
            Self::AtLeast => ">=",
            Self::AtMost => "<=",
            Self::Above => ">",
            Self::Below => "<",
            Self::Exactly => "=",
        }
    }
}

/// A version that is made of numbers. What extensions call their versions is up to them: others cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(Vec<u64>);

impl Version {
    fn read(text: &str) -> Option<Self> {
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
        text.split('.').map(|part| if digits(part) { part.parse().ok() } else { None }).collect::<Option<_>>().map(Self)
    }

    /// Compares number by number: 3.10 comes after 3.9, and 3.1 is 3.1.0.
    fn compare(&self, other: &Self) -> Ordering {
        let part = |of: &Self, at: usize| of.0.get(at).copied().unwrap_or(0);
        let places = 0..self.0.len().max(other.0.len());
        places.map(|at| part(self, at).cmp(&part(other, at))).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = self.0.iter().map(u64::to_string).collect();
        f.write_str(&parts.join("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extension(text: &str) -> Extension {
        text.parse().unwrap()
    }

    #[test]
    fn an_extension_is_a_name_and_maybe_a_version() {
        for text in ["postgis", "uuid-ossp", "postgis >= 3.1", "vector < 0.10.0", "a = 1", "a <= 1", "a > 1"] {
            assert_eq!(extension(text).to_string(), text);
        }
        assert_eq!(extension("postgis>=3.1"), extension("postgis >= 3.1"));
        for text in ["", "postgis >= ", "postgis >= 3.x", "postgis => 3", ">= 3", "postgis == 3", "a >= 1.", "a >= -1"]
        {
            assert!(text.parse::<Extension>().is_err(), "{text}");
        }
    }

    #[test]
    fn versions_are_compared_number_by_number() {
        let wanted = extension("postgis >= 3.9");
        for (installed, will_do) in [
            ("3.10", Some(true)),
            ("3.9.0", Some(true)),
            ("3.8.9", Some(false)),
            ("4", Some(true)),
            ("3.9dev", None),
            ("unpackaged", None),
        ] {
            assert_eq!(wanted.allows(installed), will_do, "{installed}");
        }
        assert_eq!(extension("a = 3.1").allows("3.1.0"), Some(true));
        assert_eq!(extension("a < 3.1").allows("3.1"), Some(false));
        assert_eq!(extension("a").allows("whatever"), Some(true));
    }
}
