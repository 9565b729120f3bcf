//! The form of a plan file: which keys there are, what each of them takes, and what it means. The one description that
//! parsing, messages and the JSON Schema follow.

use super::Word;
use super::settings::Setting;

/// What is expected at one place of a plan file.
#[derive(Debug, Clone)]
pub(super) enum Form {
    /// A map with some of these keys.
    Map(Map),
    /// A list of these, at least so many.
    List { of: Box<Self>, least: usize },
    /// Any text.
    Text,
    /// A whole number between these two.
    Whole { least: i64, most: i64 },
    /// `true` or `false`.
    Truth,
    /// The number of the plan format.
    Version,
    /// One of these words.
    Words(Vec<Word>),
    /// One of these words, or a list of names. The first word means all there are, the second none.
    WordOrNames(Vec<Word>),
    /// One of these words, or a map in its place.
    WordOrMap(Vec<Word>, Map),
    /// Whatever the setting takes.
    Setting(&'static Setting),
}

/// A map and its keys.
#[derive(Debug, Clone)]
pub(super) struct Map {
    pub(super) keys: Vec<Key>,
    /// Whether exactly one of the keys must be there, as in an item of `changes`.
    pub(super) one: bool,
}

/// A key of a map.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) form: Form,
    pub(super) required: bool,
    /// The description that editors show.
    pub(super) about: String,
    /// A value as it may stand in a plan.
    pub(super) example: Option<&'static str>,
    /// What holds where the key is left out.
    pub(super) default: Option<&'static str>,
}

impl Key {
    pub(super) fn new(name: &'static str, form: Form, about: &str) -> Self {
        let name = name.trim_start_matches("r#");
        Self { name, form, required: false, about: about.to_owned(), example: None, default: None }
    }

    pub(super) fn required(self) -> Self {
        Self { required: true, ..self }
    }

    pub(super) fn example(self, example: &'static str) -> Self {
        Self { example: Some(example), ..self }
    }

    pub(super) fn default(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    /// Says that a list holds something.
    pub(super) fn not_empty(mut self) -> Self {
        if let Form::List { least, .. } = &mut self.form {
            *least = 1;
        }
        self
    }

    /// Says between which numbers a value is.
    pub(super) fn between(self, least: i64, most: i64) -> Self {
        Self { form: Form::Whole { least, most }, ..self }
    }
}

impl Map {
    pub(super) fn key(&self, name: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    pub(super) fn names(&self) -> Vec<&'static str> {
        self.keys.iter().map(|key| key.name).collect()
    }
}

impl Form {
    /// Returns the map that is expected here, if one is.
    pub(super) fn map(&self) -> Option<&Map> {
        match self {
            Self::Map(map) | Self::WordOrMap(_, map) => Some(map),
            _ => None,
        }
    }

    /// Returns what is expected here, for a sentence.
    pub(super) fn wanted(&self) -> String {
        match self {
            Self::Map(_) => "a map".to_owned(),
            Self::List { .. } => "a list".to_owned(),
            Self::Whole { .. } | Self::Version => "a whole number".to_owned(),
            Self::Truth => "true or false".to_owned(),
            Self::Text | Self::Words(_) => "text".to_owned(),
            Self::WordOrNames(words) => {
                let words: Vec<_> = words.iter().map(|word| word.word).collect();
                format!("{} or a list of names", words.join(", "))
            }
            Self::WordOrMap(words, _) => {
                let words: Vec<_> = words.iter().map(|word| word.word).collect();
                format!("{} or a map", words.join(", "))
            }
            Self::Setting(setting) => setting.wanted(),
        }
    }
}

/// A type whose values stand in plan files in one form.
pub(super) trait Formed {
    fn form() -> Form;
}

impl Formed for String {
    fn form() -> Form {
        Form::Text
    }
}

impl Formed for bool {
    fn form() -> Form {
        Form::Truth
    }
}

impl Formed for u16 {
    fn form() -> Form {
        Form::Whole { least: 0, most: u16::MAX.into() }
    }
}

impl<T: Formed> Formed for Vec<T> {
    fn form() -> Form {
        Form::List { of: Box::new(T::form()), least: 0 }
    }
}

/// Declares what was typed under some keys, together with its form. Every key may be missing from the value; whether it
/// may be missing from a file is said in brackets, with the other things that [`Key`] has.
macro_rules! typed {
    ($(
        $(#[doc = $about:literal])*
        struct $name:ident $([$one:ident])? {
            $($(#[doc = $doc:literal])+ $key:ident: $type:ty $([$($note:ident $(($($value:expr),+))?),+])?,)*
        }
    )+) => {$(
        $(#[doc = $about])*
        #[derive(Debug, Default, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            $($(#[doc = $doc])+ pub(super) $key: Option<$type>,)*
        }

        impl crate::plan::form::Formed for $name {
            fn form() -> crate::plan::form::Form {
                use crate::plan::form::{Form, Key, Map};
                let keys = vec![$(
                    Key::new(stringify!($key), <$type>::form(), concat!($($doc),+).trim())
                        $($(.$note($($($value),+)?))+)?,
                )*];
                let notes: &[&str] = &[$(stringify!($one)),*];
                Form::Map(Map { keys, one: notes == ["one"] })
            }
        }
    )+};
}

pub(super) use typed;
