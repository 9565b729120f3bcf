//! Names. A [`ColumnName`] cannot stand in for a [`TableName`], and no name is longer than
//! PostgreSQL keeps (63 bytes; the server cuts longer ones with only a NOTICE).

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The longest identifier PostgreSQL keeps, in bytes (`NAMEDATALEN - 1`).
pub const MAX_IDENT_BYTES: usize = 63;

/// Why a string cannot be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentError {
    /// The name is empty.
    #[error("a name cannot be empty")]
    Empty,
    /// The name is longer than PostgreSQL keeps.
    #[error("the name is {bytes} bytes long; PostgreSQL would silently cut it to {MAX_IDENT_BYTES}")]
    TooLong {
        /// Length in bytes.
        bytes: usize,
    },
    /// The name holds a zero byte, which no PostgreSQL identifier can.
    #[error("a name cannot contain a zero byte")]
    Nul,
    /// The text is not `table`, `schema.table` or the same with double quotes.
    #[error("expected schema.table, with double quotes around a part that contains a dot")]
    BadQualifiedName,
    /// A plan name has a character that a file name or a shell would trip over.
    #[error("expected lower-case letters, digits, `-` and `_`, starting with a letter or digit")]
    BadPlanName,
    /// A destination's name could not be part of an environment variable's.
    #[error("expected lower-case letters, digits and `_`, starting with a letter")]
    BadDestination,
    /// A hook's name could be a path, an option or a hidden file.
    #[error(
        "expected the name of a file, not a path: letters, digits, `-`, `_` and `.`, starting with a letter or digit"
    )]
    BadHook,
}

fn checked(name: &str) -> Result<&str, IdentError> {
    if name.is_empty() {
        Err(IdentError::Empty)
    } else if name.len() > MAX_IDENT_BYTES {
        Err(IdentError::TooLong { bytes: name.len() })
    } else if name.contains('\0') {
        Err(IdentError::Nul)
    } else {
        Ok(name)
    }
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Returns the name, exactly as the catalog spells it (never case-folded).
            ///
            /// # Errors
            /// [`IdentError`] when the name is empty, too long or holds a zero byte.
            pub fn new(name: &str) -> Result<Self, IdentError> {
                checked(name).map(|name| Self(name.to_owned()))
            }

            /// Returns the name without quotes.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Returns the name quoted for SQL.
            pub fn sql(&self) -> String {
                crate::sql::quote_ident(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdentError;
            fn try_from(name: String) -> Result<Self, IdentError> {
                Self::new(&name)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}

name_type! {
    /// A column's name.
    ///
    /// ```compile_fail
    /// # use crossfade::ident::{ColumnName, TableName};
    /// let table: TableName = ColumnName::new("status").unwrap();
    /// ```
    ColumnName
}
name_type! {
    /// The name of an index or of a constraint, without its schema.
    RelationName
}

/// A table's name with its schema.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableName {
    /// The schema.
    pub schema: String,
    /// The table, without its schema.
    pub name: String,
}

impl TableName {
    /// Returns the name of `name` in `schema`.
    ///
    /// # Errors
    /// [`IdentError`] when either part cannot be a name.
    pub fn new(schema: &str, name: &str) -> Result<Self, IdentError> {
        Ok(Self { schema: checked(schema)?.to_owned(), name: checked(name)?.to_owned() })
    }

    /// Returns the table that a plan file means: `table` (in schema `public`), `schema.table`,
    /// or either part in double quotes when it holds a dot. Case is kept as written.
    ///
    /// # Errors
    /// [`IdentError`] when a part cannot be a name, or there are more than two parts.
    pub fn parse(text: &str) -> Result<Self, IdentError> {
        let parts = parts(text)?;
        match parts.as_slice() {
            [name] => Self::new("public", name),
            [schema, name] => Self::new(schema, name),
            _ => Err(IdentError::BadQualifiedName),
        }
    }

    /// Returns the qualified name, quoted for SQL.
    pub fn sql(&self) -> String {
        format!("{}.{}", crate::sql::quote_ident(&self.schema), crate::sql::quote_ident(&self.name))
    }
}

/// Returns the parts of a name between dots, without their quotes: `public."a.b".c` has three. Case is kept as written.
///
/// # Errors
/// [`IdentError::BadQualifiedName`] when a quote is not closed, or something follows it. A part may be empty or too long.
pub fn parts(text: &str) -> Result<Vec<String>, IdentError> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let part = if let Some(quoted) = rest.strip_prefix('"') {
            let (part, after) = unquote(quoted)?;
            rest = after;
            part
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            let part = rest[..end].to_owned();
            rest = &rest[end..];
            part
        };
        parts.push(part);
        match rest.strip_prefix('.') {
            Some(after) => rest = after,
            None if rest.is_empty() => return Ok(parts),
            None => return Err(IdentError::BadQualifiedName),
        }
    }
}

/// Splits `abc""d"rest` into `abc"d` and `rest`.
fn unquote(text: &str) -> Result<(String, &str), IdentError> {
    let mut part = String::new();
    let mut rest = text;
    loop {
        let end = rest.find('"').ok_or(IdentError::BadQualifiedName)?;
        part.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(after) => {
                part.push('"');
                rest = after;
            }
            None => return Ok((part, rest)),
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", part(&self.schema), part(&self.name))
    }
}

/// Returns a name as a part of a longer one: in double quotes where it holds a dot or a double quote.
pub(crate) fn part(name: &str) -> String {
    if name.contains(['.', '"']) { crate::sql::quote_ident(name) } else { name.to_owned() }
}

/// The name of a plan, and so of its run: unique in a database.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PlanName(String);

impl PlanName {
    /// Returns the plan's name.
    ///
    /// # Errors
    /// [`IdentError`] unless it is 1 to 63 lower-case letters, digits, `-` or `_` and starts with a letter or digit.
    pub fn new(name: &str) -> Result<Self, IdentError> {
        let name = checked(name)?;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        if name.starts_with(plain) && name.chars().all(|c| plain(c) || c == '-' || c == '_') {
            Ok(Self(name.to_owned()))
        } else {
            Err(IdentError::BadPlanName)
        }
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PlanName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for PlanName {
    type Error = IdentError;
    fn try_from(name: String) -> Result<Self, IdentError> {
        Self::new(&name)
    }
}

impl From<PlanName> for String {
    fn from(name: PlanName) -> String {
        name.0
    }
}

/// Declares a name that consists of certain characters.
macro_rules! plain_name {
    ($(#[$doc:meta])* $name:ident, $error:ident, $first:expr, $rest:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Returns the name.
            ///
            /// # Errors
            /// [`IdentError`] when a character is not allowed in it, or it is too long.
            pub fn new(name: &str) -> Result<Self, IdentError> {
                let name = checked(name)?;
                let (first, rest): (fn(char) -> bool, fn(char) -> bool) = ($first, $rest);
                let fits = name.starts_with(first) && name.chars().all(|c| first(c) || rest(c));
                if fits { Ok(Self(name.to_owned())) } else { Err(IdentError::$error) }
            }

            /// Returns the name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdentError;
            fn try_from(name: String) -> Result<Self, IdentError> {
                Self::new(&name)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}

plain_name! {
    /// Where announcements go, by a name that each host resolves for itself. It is a part of environment variables' names.
    DestinationName, BadDestination, |c| c.is_ascii_lowercase(), |c| c.is_ascii_digit() || c == '_'
}
plain_name! {
    /// An executable in a directory that the operator of the host has chosen: the name of a file, never a path.
    HookName, BadHook, |c| c.is_ascii_alphanumeric(), |c| matches!(c, '-' | '_' | '.')
}

/// Eight hex digits in the name of every object that a run creates, the same for a plan in every database.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RunTag(String);

impl RunTag {
    /// Returns the tag of `plan`.
    pub fn new(plan: &PlanName) -> Self {
        Self(sha256_hex(plan.as_str())[..8].to_owned())
    }

    /// Returns the tag whose eight digits these are, or `None` where they are none.
    pub(crate) fn read(digits: &str) -> Option<Self> {
        let hex = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
        (digits.len() == 8 && digits.bytes().all(hex)).then(|| Self(digits.to_owned()))
    }

    /// Returns the eight digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns `cf_<tag>_<rest>`, with `rest` shortened (on a character) so that the name keeps all its bytes.
    pub fn name(&self, rest: &str) -> String {
        let mut name = format!("cf_{}_{rest}", self.0);
        if name.len() > MAX_IDENT_BYTES {
            let hash = &sha256_hex(rest)[..6];
            let mut end = MAX_IDENT_BYTES - hash.len() - 1;
            while !name.is_char_boundary(end) {
                end -= 1;
            }
            name.truncate(end);
            name = format!("{name}_{hash}");
        }
        name
    }
}

impl fmt::Display for RunTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number of a run in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RunId(pub i64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Returns the SHA-256 of `text` as 64 hex digits.
pub fn sha256_hex(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// Returns two hex digits a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_names_are_read_as_written() {
        let parse = |text| TableName::parse(text).unwrap();
        assert_eq!(parse("vehicles"), TableName::new("public", "vehicles").unwrap());
        assert_eq!(parse("Fleet.Vehicles"), TableName::new("Fleet", "Vehicles").unwrap());
        assert_eq!(parse(r#""a.b"."c""d""#), TableName::new("a.b", "c\"d").unwrap());
        assert_eq!(TableName::parse("a.b.c"), Err(IdentError::BadQualifiedName));
        assert_eq!(TableName::parse("\"a"), Err(IdentError::BadQualifiedName));
        assert_eq!(TableName::parse("a."), Err(IdentError::Empty));
        for name in [r#""a.b"."c""d""#, "public.vehicles"] {
            assert_eq!(parse(name).to_string(), name);
        }
    }

    #[test]
    fn generated_names_never_exceed_the_limit_and_stay_distinct() {
        let tag = RunTag::new(&PlanName::new("p").unwrap());
        let long = "é".repeat(40);
        let (a, b) = (tag.name(&format!("{long}a")), tag.name(&format!("{long}b")));
        assert!(a.len() <= MAX_IDENT_BYTES && b.len() <= MAX_IDENT_BYTES);
        assert_ne!(a, b);
        assert_eq!(tag.name("status"), format!("cf_{tag}_status"));
    }
}
