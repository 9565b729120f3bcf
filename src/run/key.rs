//! What a step is called inside its run.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Phase, RelationId};

/// A step's key, unique in its run: a phase and what is done in it.
///
/// Written `<phase>.<what>`, with the object's name behind a colon where there may be several: `verify.compare`,
/// `index.build:idx_vehicles_status`. Words and names are in different places, so an index called `compare` is nothing
/// special.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StepKey {
    /// The phase that the step belongs to.
    pub phase: Phase,
    /// What is done.
    pub what: What,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum What {
    /// Changes a column's type in place.
    Alter(String),
    /// Adds the new columns of all pairs, with the sync trigger.
    Columns,
    /// Adds one column that has no old one.
    AddColumn(String),
    /// Builds an index.
    Build(String),
    /// Builds the mirror of an index on a column that lends a name.
    Mirror(String),
    /// Drops an index.
    DropIndex(String),
    /// Adds a constraint, or makes one of an index.
    Constraint(String),
    /// Adds a foreign key to each partition, of which that of the whole table will be made.
    Promise(String),
    /// Proves a constraint that was added without reading the rows.
    Validate(String),
    /// Fills rows.
    Fill(RelationId),
    /// Lets NULL in a new column beside a default be a value.
    Filled,
    /// Lets triggers for one column of a pair fire for the other as well.
    Listen,
    /// Drops the trigger that fills an added column of rows that are written meanwhile.
    DropTrigger(String),
    /// Gathers statistics.
    Analyze(RelationId),
    /// Compares rows.
    Compare(RelationId),
    /// Enforces NOT NULL for new rows.
    NotNullAdd,
    /// Proves NOT NULL for all rows.
    NotNullValidate,
    /// Sets NOT NULL from the proof.
    NotNullSet,
    /// Lets old columns be empty.
    RelaxOld,
    /// Exchanges the names of old and new columns.
    Swap,
    /// Fills the materialized views on new columns.
    Refill,
    /// Waits until nobody writes old columns.
    Quiet,
    /// Renames old columns away.
    Retire,
    /// Waits before the drop.
    Grace,
    /// Drops what has been retired.
    Drop,
}

/// The text is not a step's key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the key of a step")]
pub struct BadStepKey(String);

impl StepKey {
    /// Returns the key of `what` in `phase`.
    pub fn new(phase: Phase, what: What) -> Self {
        Self { phase, what }
    }

    /// Returns the key as it is stored, from which it can be read again.
    pub fn text(&self) -> String {
        format!("{}.{}", self.phase, self.what)
    }
}

impl What {
    /// The words without an object, and what they mean.
    const WORDS: [(&'static str, Self); 16] = [
        ("columns", Self::Columns),
        ("rows", Self::Fill(RelationId::MAIN)),
        ("filled", Self::Filled),
        ("listen", Self::Listen),
        ("analyze", Self::Analyze(RelationId::MAIN)),
        ("compare", Self::Compare(RelationId::MAIN)),
        ("not_null_add", Self::NotNullAdd),
        ("not_null_validate", Self::NotNullValidate),
        ("not_null_set", Self::NotNullSet),
        ("relax_old", Self::RelaxOld),
        ("swap", Self::Swap),
        ("refill", Self::Refill),
        ("quiet", Self::Quiet),
        ("retire", Self::Retire),
        ("grace", Self::Grace),
        ("drop", Self::Drop),
    ];

    fn of_object(word: &str, object: &str) -> Option<Self> {
        let name = || object.to_owned();
        let relation = || object.parse().ok().map(RelationId);
        Some(match word {
            "alter" => Self::Alter(name()),
            "add_column" => Self::AddColumn(name()),
            "drop_trigger" => Self::DropTrigger(name()),
            "build" => Self::Build(name()),
            "mirror" => Self::Mirror(name()),
            "drop_index" => Self::DropIndex(name()),
            "constraint" => Self::Constraint(name()),
            "promise" => Self::Promise(name()),
            "validate" => Self::Validate(name()),
            "rows" => Self::Fill(relation()?),
            "analyze" => Self::Analyze(relation()?),
            "compare" => Self::Compare(relation()?),
            _ => return None,
        })
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, object) = match self {
            Self::Alter(name) => ("alter", name.clone()),
            Self::AddColumn(name) => ("add_column", name.clone()),
            Self::DropTrigger(name) => ("drop_trigger", name.clone()),
            Self::Build(name) => ("build", name.clone()),
            Self::Mirror(name) => ("mirror", name.clone()),
            Self::DropIndex(name) => ("drop_index", name.clone()),
            Self::Constraint(name) => ("constraint", name.clone()),
            Self::Promise(name) => ("promise", name.clone()),
            Self::Validate(name) => ("validate", name.clone()),
            Self::Fill(relation) if *relation != RelationId::MAIN => ("rows", relation.0.to_string()),
            Self::Analyze(relation) if *relation != RelationId::MAIN => ("analyze", relation.0.to_string()),
            Self::Compare(relation) if *relation != RelationId::MAIN => ("compare", relation.0.to_string()),
            plain => {
                let word = Self::WORDS.iter().find(|(_, what)| what == plain).map_or("", |(word, _)| word);
                return f.write_str(word);
            }
        };
        write!(f, "{word}:{object}")
    }
}

impl FromStr for What {
    type Err = BadStepKey;

    fn from_str(text: &str) -> Result<Self, BadStepKey> {
        let bad = || BadStepKey(text.to_owned());
        if let Some((word, object)) = text.split_once(':') {
            return Self::of_object(word, object).ok_or_else(bad);
        }
        Self::WORDS.into_iter().find(|(word, _)| *word == text).map(|(_, what)| what).ok_or_else(bad)
    }
}

/// For people: a name is shown as one line, with nothing hidden in it. What is stored is [`StepKey::text`].
impl fmt::Display for StepKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::sql::one_line(&self.text()))
    }
}

impl FromStr for StepKey {
    type Err = BadStepKey;

    fn from_str(text: &str) -> Result<Self, BadStepKey> {
        let bad = || BadStepKey(text.to_owned());
        let (phase, what) = text.split_once('.').ok_or_else(bad)?;
        Ok(Self { phase: phase.parse().map_err(|_| bad())?, what: what.parse()? })
    }
}

impl TryFrom<String> for StepKey {
    type Error = BadStepKey;

    fn try_from(text: String) -> Result<Self, BadStepKey> {
        text.parse()
    }
}

impl From<StepKey> for String {
    fn from(key: StepKey) -> String {
        key.text()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<What> {
        let name = || "rows: compare.drop".to_owned();
        let mut all: Vec<_> = What::WORDS.into_iter().map(|(_, what)| what).collect();
        all.extend([name(), String::new()].into_iter().flat_map(|name| {
            [
                What::Alter,
                What::AddColumn,
                What::DropTrigger,
                What::Build,
                What::Mirror,
                What::DropIndex,
                What::Constraint,
                What::Promise,
                What::Validate,
            ]
            .map(|what| what(name.clone()))
        }));
        let relation = RelationId(7);
        all.extend([What::Fill(relation), What::Analyze(relation), What::Compare(relation)]);
        all
    }

    #[test]
    fn every_key_reads_as_it_was_written() {
        for what in all() {
            let key = StepKey::new(Phase::Verify, what);
            assert_eq!(key.text().parse(), Ok(key.clone()));
            let json = serde_json::to_string(&key).unwrap();
            assert_eq!(serde_json::from_str::<StepKey>(&json).unwrap(), key);
        }
    }

    #[test]
    fn no_two_keys_are_written_alike() {
        let mut texts: Vec<_> = all().iter().map(ToString::to_string).collect();
        texts.sort();
        assert!(texts.iter().all(|text| !text.is_empty()), "{texts:?}");
        let count = texts.len();
        texts.dedup();
        assert_eq!(texts.len(), count);
    }

    #[test]
    fn a_name_in_a_key_is_one_line_for_people() {
        let key = StepKey::new(Phase::Index, What::Build("x\ndrop table payroll;\n--\u{1b}".to_owned()));
        assert_eq!(key.to_string(), r"index.build:x\ndrop table payroll;\n--\u{1b}");
        assert_eq!(key.text().parse(), Ok(key));
    }

    #[test]
    fn an_index_may_be_called_like_a_step() {
        let index = StepKey::new(Phase::Verify, What::Build("compare".to_owned()));
        assert_ne!(index.to_string(), StepKey::new(Phase::Verify, What::Compare(RelationId::MAIN)).to_string());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in ["", "verify", "verify.", "verify.build", "verify.rows:x", "nothing.rows", "verify.rows:70000"] {
            assert!(text.parse::<StepKey>().is_err(), "{text}");
        }
    }
}
