//! Random tables, and a random change of one of their columns.

use crossfade::run::Phase;
use crossfade::sql::quote_ident;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use super::case::{Alteration, Case, Column, Piece};
use super::dependants::MAKERS;
use super::types::{CONVERSIONS, KINDS, Kind};

/// What chance decides.
pub(super) struct Dice(StdRng);

impl Dice {
    /// Returns true in so many of a hundred cases.
    pub(super) fn percent(&mut self, percent: u32) -> bool {
        self.0.random_range(0..100) < percent
    }

    /// Returns a number below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end)
    }

    /// Returns one of them.
    pub(super) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        *all.choose(&mut self.0).expect("a choice has something to choose from")
    }
}

/// A table that gets its dependants.
pub(super) struct Draft {
    pub(super) dice: Dice,
    pub(super) case: Case,
    /// How many names were given.
    names: usize,
}

/// A column as dependants see it.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub(super) kind: &'static Kind,
    /// Its place behind `id`; `None` for `id`.
    at: Option<usize>,
}

impl Draft {
    /// Returns a name that was not given before, and that now and then is an odd one.
    pub(super) fn name(&mut self, usual: &str) -> String {
        self.names += 1;
        let n = self.names;
        if self.dice.percent(65) {
            return format!("{usual}_{n}");
        }
        match self.dice.below(8) {
            0 => format!("Upper {usual} {n}"),
            1 => format!("it's {n}"),
            2 => format!("a\"{usual}\"{n}"),
            3 => format!("100 % of %s {n}"),
            4 => format!("größe_{n}"),
            5 => format!("${n}"),
            6 => format!("{usual:_<60}{n:03}"),
            _ => format!("a.b\\{n}"),
        }
    }

    /// As [`Self::name`], quoted for SQL.
    pub(super) fn quoted(&mut self, usual: &str) -> String {
        let name = self.name(usual);
        quote_ident(&name)
    }

    /// Returns the columns that dependants may have.
    pub(super) fn targets(&self) -> Vec<Target> {
        let behind =
            self.case.columns.iter().enumerate().map(|(at, column)| Target { kind: column.kind, at: Some(at) });
        std::iter::once(Target { kind: &KINDS[1], at: None }).chain(behind).collect()
    }

    /// Returns the name of a column, quoted.
    pub(super) fn column(&self, target: Target) -> String {
        target.at.map_or_else(|| "id".to_owned(), |at| self.case.columns[at].sql())
    }

    /// Whether it is the column that changes.
    pub(super) fn changes(&self, target: Target) -> bool {
        target.at.map_or("id", |at| &self.case.columns[at].name) == self.case.column
    }

    /// Returns how applications name a column.
    pub(super) fn spoken(&self, target: Target) -> String {
        if self.changes(target) { "{c}".to_owned() } else { self.column(target) }
    }

    /// Returns a column whose values can do that, mostly the one that changes.
    pub(super) fn pick(&mut self, word: &str) -> Option<Target> {
        let fits: Vec<_> =
            self.targets().into_iter().filter(|target| word.is_empty() || target.kind.can(word)).collect();
        let changing = fits.iter().find(|target| self.changes(**target));
        match changing {
            Some(&changing) if self.dice.percent(75) => Some(changing),
            _ if fits.is_empty() => None,
            _ => Some(self.dice.of(&fits)),
        }
    }

    /// Returns a column, any but this.
    pub(super) fn other(&mut self, than: Target) -> Option<Target> {
        let others: Vec<_> = self.targets().into_iter().filter(|target| target.at != than.at).collect();
        (!others.is_empty()).then(|| self.dice.of(&others))
    }

    /// Whether the case is a rename.
    pub(super) fn is_rename(&self) -> bool {
        matches!(self.case.alteration, Alteration::Rename(_))
    }
}

/// Returns the case of a number, always the same for the same seed.
pub(super) fn case(seed: u64, number: u64, rename: bool) -> Case {
    let mut dice = Dice(StdRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(number)));
    let conversion = dice.of(&CONVERSIONS.iter().collect::<Vec<_>>());
    let case = Case {
        seed,
        number,
        schema: if dice.percent(70) { format!("case_{number}") } else { format!("Case {number}'s") },
        table: String::new(),
        columns: vec![],
        pieces: vec![],
        column: "id".to_owned(),
        alteration: Alteration::Rename(String::new()),
        back_from: dice.of(&[
            Phase::Expand,
            Phase::Index,
            Phase::Backfill,
            Phase::Verify,
            Phase::Switch,
            Phase::Switch,
        ]),
        stops: stops(&mut dice),
        grace: dice.percent(15),
        kills: dice.percent(15).then(|| (0..8).map(|_| 1 << dice.below(20)).collect()),
    };
    let mut draft = Draft { dice, case, names: 0 };
    draft.case.table = draft.name("t");
    for _ in 0..=draft.dice.below(5) {
        let kind = draft.dice.of(&KINDS.iter().collect::<Vec<_>>());
        add_column(&mut draft, kind);
    }
    let new_name = draft.name("b");
    if rename {
        let at = draft.dice.below(draft.case.columns.len());
        draft.case.column = draft.case.columns[at].name.clone();
        draft.case.alteration = Alteration::Rename(new_name);
    } else {
        if conversion.from != "integer" || conversion.to != "bigint" || draft.dice.percent(60) {
            let kind = KINDS.iter().find(|kind| kind.name == conversion.from).expect("conversions begin with a kind");
            add_column(&mut draft, kind);
            let column = draft.case.columns.last().expect("one was added");
            draft.case.column = column.name.clone();
        }
        draft.case.alteration = Alteration::Retype(conversion, new_name);
    }
    generated_column(&mut draft);
    for _ in 0..draft.dice.below(9) {
        let (kind, make) = draft.dice.of(MAKERS);
        if let Some(made) = make(&mut draft) {
            draft.case.pieces.push(Piece { kind, ..made });
        }
    }
    draft.case
}

/// Mostly one: a call costs more than anything else in a case.
fn stops(dice: &mut Dice) -> Vec<Phase> {
    const BEFORE: [Phase; 4] = [Phase::Expand, Phase::Index, Phase::Backfill, Phase::Verify];
    match dice.below(4) {
        0 => vec![dice.of(&BEFORE), Phase::Switch],
        1 => vec![dice.of(&BEFORE)],
        _ => vec![Phase::Switch],
    }
}

fn add_column(draft: &mut Draft, kind: &'static Kind) {
    let name = draft.name("a");
    let (not_null, mut more, mut numbered) = (draft.dice.percent(30), String::new(), false);
    match draft.dice.below(12) {
        0..=2 => more = format!(" DEFAULT {}", kind.literal(777)),
        3 if ["integer", "bigint"].contains(&kind.name) => {
            let given = draft.dice.of(&["ALWAYS", "BY DEFAULT"]);
            (more, numbered) = (format!(" GENERATED {given} AS IDENTITY (START WITH 1000000)"), true);
        }
        4 if kind.can("text") => more.push_str(" COLLATE \"C\""),
        _ => {}
    }
    // PostgreSQL gives an identity column its NOT NULL; nobody gives values for one that is always generated.
    let (not_null, generated) = (not_null || numbered, more.contains("ALWAYS"));
    draft.case.columns.push(Column { name, kind, not_null, more, generated, numbered });
}

/// Now and then a column that is computed from another.
fn generated_column(draft: &mut Draft) {
    let percent = if draft.is_rename() { 15 } else { 3 };
    if !draft.dice.percent(percent) {
        return;
    }
    let Some(from) = draft.pick("") else { return };
    let column = draft.column(from);
    let (kind, sql) = if from.kind.can("whole") {
        ("bigint", format!("{column}::bigint * 2"))
    } else if from.kind.can("text") {
        ("integer", format!("length({column})"))
    } else {
        ("boolean", format!("{column} IS NULL"))
    };
    let kind = KINDS.iter().find(|k| k.name == kind).expect("a kind");
    let name = draft.name("g");
    let more = format!(" GENERATED ALWAYS AS ({sql}) STORED");
    draft.case.columns.push(Column { name, kind, not_null: false, more, generated: true, numbered: false });
}
