//! Parts of pages: signs with words, tables, lists of facts.

use maud::{Markup, Render, html};

use super::super::look::printable;
use crate::run::{Standing, Verdict};
use crate::view::{Judgement, PartitionState, PhaseState, StepState};

/// How good something is. It is told by a sign and a word; the colour only repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Bad,
    Open,
    Plain,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::Good => "word good",
            Self::Bad => "word bad",
            Self::Open => "word open",
            Self::Plain => "word plain",
        }
    }

    fn sign(self) -> &'static str {
        match self {
            Self::Good => "✓ ",
            Self::Bad => "✗ ",
            Self::Open => "… ",
            Self::Plain => "",
        }
    }
}

/// Returns a word with the sign of its tone.
pub(super) fn word(tone: Tone, word: impl Render) -> Markup {
    html! { span class=(tone.class()) { (tone.sign()) (word) } }
}

/// Returns where a run stands.
pub(super) fn standing(state: Standing) -> Markup {
    let tone = match state {
        Standing::Done => Tone::Good,
        Standing::Failed | Standing::Drifted => Tone::Bad,
        Standing::Running | Standing::Waiting | Standing::Paused | Standing::RollingBack => Tone::Open,
        Standing::RolledBack => Tone::Plain,
    };
    word(tone, state.to_string())
}

/// Returns whether a criterion is met.
pub(super) fn judgement(judgement: Judgement) -> Markup {
    match judgement {
        Judgement::Pass => word(Tone::Good, "pass"),
        Judgement::Fail => word(Tone::Bad, "fail"),
        Judgement::Open => word(Tone::Open, "open"),
    }
}

/// Returns whether a gate is open.
pub(super) fn verdict(verdict: Verdict) -> Markup {
    match verdict {
        Verdict::Pass => word(Tone::Good, "open"),
        Verdict::Fail => word(Tone::Bad, "closed"),
        Verdict::Unknown => word(Tone::Open, "unknown"),
    }
}

/// Returns where a phase stands.
pub(super) fn phase_state(state: PhaseState) -> Markup {
    match state {
        PhaseState::Done => word(Tone::Good, "done"),
        PhaseState::UnderWay => word(Tone::Open, "begun"),
        PhaseState::ToCome => word(Tone::Plain, "not begun"),
        PhaseState::TakenBack => word(Tone::Plain, "taken back"),
    }
}

/// Returns where a step stands.
pub(super) fn step_state(state: StepState) -> Markup {
    match state {
        StepState::Done => word(Tone::Good, "done"),
        StepState::Begun => word(Tone::Open, "begun, and not known to be done"),
        StepState::ToCome => word(Tone::Plain, "not done"),
        StepState::TakenBack => word(Tone::Plain, "taken back"),
    }
}

/// Returns how far a partition is.
pub(super) fn partition_state(state: PartitionState) -> Markup {
    let tone = match state {
        PartitionState::Filled => Tone::Good,
        PartitionState::Begun => Tone::Open,
        PartitionState::ToCome => Tone::Plain,
    };
    word(tone, state.as_str())
}

/// Returns what is not known, or not yet.
pub(super) fn unknown(what: &str) -> Markup {
    html! { span.unknown { (what) } }
}

/// Returns a name or a statement as one line of code.
pub(super) fn code(text: &str) -> Markup {
    html! { code { (printable(text)) } }
}

/// Returns a command; no line ends within an option, as it could behind its hyphens.
pub(super) fn command(text: &str) -> Markup {
    let text = printable(text);
    html! {
        code {
            @for (at, word) in text.split(' ').enumerate() {
                @if at > 0 { " " }
                @if word.starts_with('-') { span.option { (word) } } @else { (word) }
            }
        }
    }
}

/// A table of so many rows is not torn apart on paper.
const SHORT: usize = 12;

/// Returns a table. On a narrow screen each row becomes a list, in which the heads stand before their cells.
pub(super) fn table(caption: &str, head: &[&str], rows: &[Vec<Markup>]) -> Markup {
    html! {
        table.short[rows.len() <= SHORT] {
            caption { (caption) }
            thead { tr { @for name in head { th scope="col" { (name) } } } }
            tbody {
                @for row in rows {
                    tr { @for (name, cell) in head.iter().zip(row) { td data-label=(name) { span { (cell) } } } }
                }
            }
        }
    }
}

/// Returns a list of facts, each with an id by which a program finds it (none where that is empty), and its name for people.
pub(super) fn facts(facts: &[(&str, &str, Markup)]) -> Markup {
    html! {
        dl {
            @for (id, name, value) in facts {
                div { dt { (name) } dd id=[(!id.is_empty()).then_some(id)] { (value) } }
            }
        }
    }
}

/// Returns a section with its title.
pub(super) fn section(title: &str, content: &Markup) -> Markup {
    html! { section { h2 { (title) } (content) } }
}
