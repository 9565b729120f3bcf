//! What the columns of a pair hold when an INSERT does not name them: how the sync trigger tells what was given.
//!
//! A trigger sees a row, not the statement. A value that differs from its column's default was given; the default itself may
//! or may not have been. Only defaults that can be evaluated again without harm are compared; of another one nothing is
//! known but that NULL is not it.

use super::fragment::Stage;
use super::{Active, Context};
use crate::run::{Conversion, PairFacts};

/// A default that a value can be compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    /// The expression; none is NULL.
    expression: Option<String>,
    /// The column's type, with its modifier.
    type_name: String,
    plain: bool,
}

impl Value {
    /// Whether `value` is something else, for a condition that is parsed when it is created.
    pub(super) fn differs(&self, value: &str) -> String {
        match &self.expression {
            None => format!("{value} IS DISTINCT FROM NULL"),
            Some(default) if self.plain => {
                format!("{value} IS DISTINCT FROM CAST(({default}) AS {})", self.type_name)
            }
            Some(default) => {
                format!("pg_catalog.record_image_ne(ROW({value}), ROW(CAST(({default}) AS {})))", self.type_name)
            }
        }
    }
}

/// What an INSERT that does not name a column puts there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Default {
    /// This.
    Is(Value),
    /// Something that is not NULL, and may be something else at each look.
    Unknown,
}

/// Of both columns.
#[derive(Debug)]
pub(super) struct Defaults {
    pub(super) old: Default,
    pub(super) new: Default,
    /// Whether both are there, and the one is what the other converts to.
    agree: bool,
    /// In the names of the helpers.
    suffix: &'static str,
}

/// The side that carries the default, whose name the application's own triggers use, and that decides where nothing else
/// does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Old,
    New,
}

/// Returns the side that has the default at `stage`.
pub(super) fn carrier(a: &Active<'_>, stage: Stage) -> Side {
    if super::has_moved(&a.change, stage) { Side::New } else { Side::Old }
}

/// Returns the default that the new column has while the old one has its own: where both agree by themselves, an INSERT that
/// names neither needs no trigger, and an explicit NULL is known from no value. `None` leaves it without one.
pub(super) fn beside(facts: &PairFacts) -> Option<Beside> {
    let old = &facts.old;
    if !old.default_is_repeatable {
        return None;
    }
    match (&facts.forward, &old.default, &old.type_default) {
        (Conversion::InfallibleCast, None, Some(default)) if facts.new_type_default.is_none() => {
            Some(Beside::Own(format!("({default})::{}", facts.new_type)))
        }
        (Conversion::Identity, Some(default), _) => Some(Beside::Own(default.clone())),
        (Conversion::Identity, None, Some(_)) if facts.new_type_default == old.type_default => Some(Beside::OfType),
        (Conversion::InfallibleCast, Some(default), _) => {
            // As PostgreSQL writes it down, so that it is known again.
            Some(Beside::Own(format!("({default})::{}", facts.new_type)))
        }
        _ => None,
    }
}

/// Returns the default that the new column has while the old one has its own, as ALTER COLUMN ... SET DEFAULT takes it; `None`
/// where it has none.
pub(crate) fn beside_text(facts: &PairFacts) -> Option<String> {
    match beside(facts) {
        Some(Beside::Own(default)) => Some(default),
        Some(Beside::OfType) => None,
        None => facts.new_type_default.as_ref().map(|_| "NULL".to_owned()),
    }
}

/// Returns whether the sync trigger knows an explicit NULL in the new column from no value.
pub(crate) fn knows_null(facts: &PairFacts) -> bool {
    facts.old.identity.is_none() && facts.old.effective_default().is_none() || beside(facts).is_some()
}

/// Returns whether a row that was copied before it was filled looks like one that was given NULL: the new column has a
/// default, and so NULL in it was given. Which of the two it is depends on whether the backfill has ended.
pub(super) fn asks_whether_filled(context: &Context<'_>) -> bool {
    context.active.iter().any(|a| Defaults::at(a, Stage::Soak).asks_whether_filled())
}

/// The default of the new column while the old one has its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Beside {
    /// This expression.
    Own(String),
    /// That of its type.
    OfType,
}

impl Defaults {
    pub(super) fn at(a: &Active<'_>, stage: Stage) -> Self {
        let old_value = |expression: Option<&str>| {
            Default::Is(Value {
                expression: expression.map(ToOwned::to_owned),
                type_name: a.facts.old.type_name.clone(),
                plain: a.facts.old.plain_compare,
            })
        };
        let new_value = |expression: Option<&str>| {
            Default::Is(Value {
                expression: expression.map(ToOwned::to_owned),
                type_name: a.facts.new_type.clone(),
                plain: a.facts.new_plain_compare,
            })
        };
        let suffix = if carrier(a, stage) == Side::Old { "" } else { "_moved" };
        if carrier(a, stage) == Side::New {
            let new = a.facts.final_default();
            let known = (new.is_none() || a.facts.new_default_is_repeatable) && a.facts.old.identity.is_none();
            let new = if known { new_value(new) } else { Default::Unknown };
            return Self { old: old_value(None), new, agree: false, suffix };
        }
        if a.facts.old.identity.is_some() {
            return Self { old: Default::Unknown, new: new_value(None), agree: false, suffix };
        }
        let old = a.facts.old.effective_default();
        match (old, beside(a.facts)) {
            (None, _) => {
                let agree = a.facts.forward.null_to_null();
                Self { old: old_value(None), new: new_value(None), agree, suffix }
            }
            (Some(old), Some(beside)) => {
                let new = match &beside {
                    Beside::Own(default) => new_value(Some(default)),
                    Beside::OfType => new_value(a.facts.new_type_default.as_deref()),
                };
                Self { old: old_value(Some(old)), new, agree: true, suffix }
            }
            (Some(old), None) => {
                let old = if a.facts.old.default_is_repeatable { old_value(Some(old)) } else { Default::Unknown };
                Self { old, new: new_value(None), agree: false, suffix }
            }
        }
    }

    pub(super) fn agree(&self) -> bool {
        self.agree
    }

    /// Whether both columns have a default, so that NULL in the new one was given.
    pub(super) fn asks_whether_filled(&self) -> bool {
        self.agree && matches!(self.new, Default::Is(Value { expression: Some(_), .. }))
    }

    /// Whether the old column holds something else than its default, in the body of a trigger's function.
    pub(super) fn old_given(&self, context: &Context<'_>, a: &Active<'_>, value: &str) -> String {
        self.given(context, a, &self.old, 'o', value)
    }

    /// The same of the new column.
    pub(super) fn new_given(&self, context: &Context<'_>, a: &Active<'_>, value: &str) -> String {
        self.given(context, a, &self.new, 'n', value)
    }

    fn given(&self, context: &Context<'_>, a: &Active<'_>, default: &Default, side: char, value: &str) -> String {
        match default {
            Default::Is(Value { expression: Some(_), .. }) => format!("{}({value})", self.helper(context, a, side)),
            Default::Is(_) | Default::Unknown => format!("{value} IS DISTINCT FROM NULL"),
        }
    }

    fn helper(&self, context: &Context<'_>, a: &Active<'_>, side: char) -> String {
        let way = format!("{side}{}{}", a.position + 1, self.suffix);
        context.ledger.qualify(&context.tag.helper("given", &way))
    }

    /// The functions that compare with a default: parsed here, so that no name and no literal in a default is ever read by
    /// whoever writes. They are inlined.
    pub(super) fn helpers(context: &Context<'_>, a: &Active<'_>) -> Vec<String> {
        let create = |(name, source, condition): (String, &str, Option<String>)| {
            condition.map(|condition| {
                format!("CREATE FUNCTION {name}(value {source}) RETURNS boolean STABLE LANGUAGE sql RETURN {condition}")
            })
        };
        Self::all(context, a).into_iter().filter_map(create).collect()
    }

    pub(super) fn drop_helpers(context: &Context<'_>, a: &Active<'_>) -> Vec<String> {
        let all = Self::all(context, a).into_iter().filter(|(.., condition)| condition.is_some());
        all.map(|(name, source, _)| format!("DROP FUNCTION IF EXISTS {name}({source})")).collect()
    }

    /// Name, type and condition of each helper; no condition where none is needed.
    fn all<'a>(context: &Context<'_>, a: &Active<'a>) -> Vec<(String, &'a str, Option<String>)> {
        let (soak, moved) = (Self::at(a, Stage::Soak), Self::at(a, Stage::Retired));
        let condition = |default: &Default| match default {
            Default::Is(value) if value.expression.is_some() => Some(value.differs("value")),
            _ => None,
        };
        let facts = a.facts;
        let mut all = vec![
            (soak.helper(context, a, 'o'), facts.old.base_type.as_str(), condition(&soak.old)),
            (soak.helper(context, a, 'n'), facts.new_base_type.as_str(), condition(&soak.new)),
        ];
        if !a.change.borrows() {
            all.push((moved.helper(context, a, 'n'), facts.new_base_type.as_str(), condition(&moved.new)));
        }
        all
    }
}
