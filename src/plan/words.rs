//! Values that are one of a few words.

/// A word that may be written somewhere, and what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// The word.
    pub word: &'static str,
    /// What it means, in one sentence or two.
    pub about: &'static str,
}

/// Declares an enum whose values are words of the plan format. The words, and the comments on them, are what the
/// schema, the messages and the stored plans have.
macro_rules! words {
    (
        $(#[doc = $about:literal])*
        pub enum $name:ident {
            $($(#[doc = $doc:literal])+ $variant:ident = $word:literal $(($default:ident))?,)+
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[doc = $doc])+ #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Every word with its meaning, in the order in which they are told.
            pub const WORDS: &[crate::plan::Word] = &[
                $(crate::plan::Word { word: $word, about: concat!($($doc),+).trim_ascii() },)+
            ];

            /// Returns the word as plans write it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// Returns what `word` stands for.
            pub fn of(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        $($(words!(@$default $name $variant);)?)+
    };
    (@default $name:ident $variant:ident) => {
        impl Default for $name {
            fn default() -> Self {
                Self::$variant
            }
        }
    };
}

pub(super) use words;
