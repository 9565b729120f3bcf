//! How a run is stored: the types whose JSON the ledger keeps, apart from the types that the code works with.
//!
//! Only [`write`] and [`read`] turn a plan, facts, a program, a prediction or an entry into JSON and back. Each of them has
//! a form here, declared field by field with [`form!`], so a field or a variant that is added, renamed or removed anywhere
//! else does not compile until somebody has decided here what becomes of runs that are under way. CONTRIBUTING.md
//! ("Change a stored format") says what there is to decide; the snapshots beside the tests are the format itself.

mod entry;
mod facts;
mod plan;
mod prediction;
mod program;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::Serialize;
use serde::de::{DeserializeOwned, Error as _};

use super::{Phase, RelationId, StepKey};
use crate::ident::{ColumnName, DestinationName, HookName, IdentError, PlanName, RelationName, RunTag, TableName};
use crate::plan::Extension;

/// What is stored does not stand for anything: a name that no name can be, a word that nobody knows.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Invalid(String);

/// The stored form of a `T`.
pub(crate) trait Form<T>: Sized {
    /// Returns how `value` is stored.
    fn of(value: &T) -> Self;

    /// Returns what is stored, once everything that its type promises has been checked again.
    fn back(self) -> Result<T, Invalid>;
}

/// Something that the ledger keeps as one JSON value.
pub(crate) trait Document: Sized {
    /// Its form.
    type Form: Form<Self> + Serialize + DeserializeOwned;

    /// Returns why the code could not work with it, if so.
    fn flaw(&self) -> Option<&'static str> {
        None
    }
}

/// Returns the JSON of `value` in format [`FORMAT`](super::FORMAT).
pub(crate) fn write<T: Document>(value: &T) -> serde_json::Result<String> {
    serde_json::to_string(&T::Form::of(value))
}

/// Returns what `text` stands for, in any of the formats [`READABLE`](super::READABLE).
pub(crate) fn read<T: Document>(text: &str) -> serde_json::Result<T> {
    let value = serde_json::from_str::<T::Form>(text)?.back().map_err(serde_json::Error::custom)?;
    match value.flaw() {
        Some(flaw) => Err(serde_json::Error::custom(flaw)),
        None => Ok(value),
    }
}

/// Returns 64 hex digits that stand for what the plan says: comments, white space, the order of keys and defaults
/// that are written out do not change them.
///
/// They are made of the stored form of the plan, so they are the same in every version that writes this format. The
/// fingerprint of a run under way is compared with that of a file: a version with another format must still be able to
/// make those of this one.
#[cfg_attr(feature = "internals", expect(clippy::missing_panics_doc, reason = "no plan can make it panic"))]
pub fn fingerprint(plan: &crate::plan::Plan) -> String {
    // Structs keep the order of their fields and no part of a plan is a map, so this text is canonical.
    let canonical = write(plan).expect("a plan has no part that JSON cannot say");
    crate::ident::sha256_hex(&canonical)
}

/// Declares the form of a struct or an enum: `form!(struct Stored of Internal { field: its stored form, ... })`. Fields and
/// variants have the names of the internal type; `#[serde(rename)]` keeps an old word in the JSON when those change.
///
/// The conversions name every field, so the two types cannot drift apart unnoticed. An unknown field is an error: what
/// this version cannot keep it does not drop in silence.
macro_rules! form {
    (struct $name:ident of $internal:path { $($(#[$meta:meta])* $field:ident: $type:ty,)* }) => {
        #[derive(Debug, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name { $($(#[$meta])* $field: $type,)* }

        const _: () = {
            use $internal as Internal;
            impl $crate::run::stored::Form<Internal> for $name {
                fn of(value: &Internal) -> Self {
                    let Internal { $($field,)* } = value;
                    Self { $($field: $crate::run::stored::Form::of($field),)* }
                }

                fn back(self) -> Result<Internal, $crate::run::stored::Invalid> {
                    Ok(Internal { $($field: $crate::run::stored::Form::back(self.$field)?,)* })
                }
            }
        };
    };
    ($(#[$enum_meta:meta])* enum $name:ident of $internal:path {
        $($(#[$meta:meta])* $variant:ident $(($one:ident: $one_type:ty))? $({ $($field:ident: $type:ty,)* })?,)*
    }) => {
        #[derive(Debug, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "snake_case", deny_unknown_fields)]
        $(#[$enum_meta])*
        pub(crate) enum $name { $($(#[$meta])* $variant $(($one_type))? $({ $($field: $type,)* })?,)* }

        #[cfg(test)]
        impl $name {
            /// What each variant is called in the code.
            pub(crate) const VARIANTS: &[&str] = &[$(stringify!($variant)),*];
        }

        const _: () = {
            use $internal as Internal;
            impl $crate::run::stored::Form<Internal> for $name {
                fn of(value: &Internal) -> Self {
                    match value {
                        $(Internal::$variant $(($one))? $({ $($field,)* })? => Self::$variant
                            $(($crate::run::stored::Form::of($one)))?
                            $({ $($field: $crate::run::stored::Form::of($field),)* })?,)*
                    }
                }

                fn back(self) -> Result<Internal, $crate::run::stored::Invalid> {
                    Ok(match self {
                        $(Self::$variant $(($one))? $({ $($field,)* })? => Internal::$variant
                            $(($crate::run::stored::Form::back($one)?))?
                            $({ $($field: $crate::run::stored::Form::back($field)?,)* })?,)*
                    })
                }
            }
        };
    };
}
use form;

/// Stores words of the plan format as they are written in plans.
macro_rules! words {
    ($($type:ty),* $(,)?) => {$(
        impl $crate::run::stored::Form<$type> for String {
            fn of(value: &$type) -> Self {
                value.as_str().to_owned()
            }

            fn back(self) -> Result<$type, $crate::run::stored::Invalid> {
                <$type>::of(&self).ok_or_else(|| $crate::run::stored::Invalid::word(&self))
            }
        }
    )*};
}
use words;

impl Invalid {
    /// Returns that nobody knows the word.
    fn word(word: &str) -> Self {
        Self(format!("`{word}` is not a word that this version knows"))
    }
}

/// What is stored as it is: texts, numbers and points in time, whose JSON is that of their crates.
macro_rules! plain {
    ($($type:ty),*) => {$(
        impl Form<$type> for $type {
            fn of(value: &$type) -> Self {
                value.clone()
            }

            fn back(self) -> Result<$type, Invalid> {
                Ok(self)
            }
        }
    )*};
}
plain!(
    String,
    bool,
    i16,
    i32,
    i64,
    u16,
    u32,
    usize,
    f64,
    Duration,
    chrono::DateTime<chrono::Utc>,
    chrono::NaiveDate,
    chrono::NaiveDateTime,
    chrono::NaiveTime,
    chrono_tz::Tz
);

/// Names are validated again when they are read.
macro_rules! names {
    ($($type:ty),*) => {$(
        impl Form<$type> for String {
            fn of(value: &$type) -> Self {
                value.as_str().to_owned()
            }

            fn back(self) -> Result<$type, Invalid> {
                <$type>::new(&self).map_err(|error| bad_name(&self, &error))
            }
        }
    )*};
}
names!(ColumnName, RelationName, PlanName, DestinationName, HookName);

fn bad_name(name: &str, error: &IdentError) -> Invalid {
    Invalid(format!("`{name}`: {error}"))
}

/// Declares what is stored as the text that it is shown as.
macro_rules! texts {
    ($($type:ty),*) => {$(
        impl Form<$type> for String {
            fn of(value: &$type) -> Self {
                value.to_string()
            }

            fn back(self) -> Result<$type, Invalid> {
                self.parse().map_err(|error| Invalid(format!("{error}")))
            }
        }
    )*};
}
texts!(StepKey, Phase, Extension);

impl Form<RunTag> for String {
    fn of(value: &RunTag) -> Self {
        value.as_str().to_owned()
    }

    fn back(self) -> Result<RunTag, Invalid> {
        RunTag::read(&self).ok_or_else(|| Invalid(format!("`{self}` is not a tag")))
    }
}

impl Form<RelationId> for u16 {
    fn of(value: &RelationId) -> Self {
        value.0
    }

    fn back(self) -> Result<RelationId, Invalid> {
        Ok(RelationId(self))
    }
}

impl<S: Form<T>, T> Form<Option<T>> for Option<S> {
    fn of(value: &Option<T>) -> Self {
        value.as_ref().map(S::of)
    }

    fn back(self) -> Result<Option<T>, Invalid> {
        self.map(S::back).transpose()
    }
}

impl<S: Form<T>, T> Form<Box<T>> for S {
    fn of(value: &Box<T>) -> Self {
        S::of(value)
    }

    fn back(self) -> Result<Box<T>, Invalid> {
        self.back().map(Box::new)
    }
}

impl<S: Form<T>, T> Form<Vec<T>> for Vec<S> {
    fn of(value: &Vec<T>) -> Self {
        value.iter().map(S::of).collect()
    }

    fn back(self) -> Result<Vec<T>, Invalid> {
        self.into_iter().map(S::back).collect()
    }
}

impl<A: Form<T>, B: Form<U>, T, U> Form<(T, U)> for (A, B) {
    fn of((t, u): &(T, U)) -> Self {
        (A::of(t), B::of(u))
    }

    fn back(self) -> Result<(T, U), Invalid> {
        Ok((self.0.back()?, self.1.back()?))
    }
}

/// The name of a table.
#[derive(Debug, Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    schema: String,
    name: String,
}

impl Form<TableName> for Table {
    fn of(value: &TableName) -> Self {
        let TableName { schema, name } = value.clone();
        Self { schema, name }
    }

    fn back(self) -> Result<TableName, Invalid> {
        TableName::new(&self.schema, &self.name).map_err(|error| bad_name(&self.name, &error))
    }
}
