//! Checks of all rows while applications move from one column to the other: from the end of `verify` until the old column goes, a
//! tick compares again what was compared too long ago. Whatever relies on a check proves it itself ([`super::gate`]); here, a
//! mismatch is found in the week in which it arises, and stops the schedule.

use super::drift::{self, Way};
use super::session::Session;
use super::{Error, NotYet, gate, gates, schedule};
use crate::engine::Work;
use crate::run::{GateKind, GateReading, Mode, State, Verdict};

/// Returns what is wrong with the last check, if a tick is to compare all rows again: `found` is what was found of all gates in
/// front of a run in this state. Nothing is compared outside the windows of the schedule.
pub(super) fn due<'f>(state: &State, found: &'f [GateReading]) -> Option<&'f GateReading> {
    let is_closed = |reading: &&GateReading| reading.gate == GateKind::Window && !reading.is_open();
    if state.paused || state.mode == Mode::Drifted || found.iter().any(|reading| is_closed(&reading)) {
        return None;
    }
    found.iter().find(|reading| reading.gate == GateKind::Verified && reading.verdict != Verdict::Pass)
}

/// Compares all rows if the last check is too old or counts no more, unless the run goes on with something that proves it anyway;
/// `consent` says whether somebody has agreed to what cannot be undone.
/// After a mismatch nothing goes on before they are equal.
///
/// # Errors
/// [`Error::Mismatch`]; [`NotYet::Gate`] if there is a mismatch, and no time to look again.
pub(super) async fn verify(work: &mut Work, session: &mut Session, consent: bool) -> Result<(), Error> {
    let state = work.ledger.log().state(&mut session.main, &work.run).await?;
    if !state.is_soaking(&work.run.program) {
        return Ok(());
    }
    let log = work.ledger.log().entries(&mut session.main, work.run.id).await?;
    let seen = gates::look_at(&work.ledger, &mut session.main, &work.run, &state).await?;
    let (all, now) = ((&work.run, &state, log.as_slice()), seen.snapshot.at);
    let found = gates::readings(&work.ledger, &mut session.main, all, &seen, now).await?.gates;
    let goes_on =
        gates::closed(&work.run, &state, &found, true).is_none() && !gates::waits(&work.run, &state, &found, consent);
    if goes_on && state.unequal == 0 || due(&state, &found).is_none() {
        return Ok(());
    }
    let until = schedule::closes(work, now);
    match schedule::check_fits(work, session, state.phase, until).await {
        Err(Error::NotYet(NotYet::Gate { .. })) if state.unequal == 0 => return Ok(()),
        fits => fits?,
    }
    let spec = gate::current_spec(&work.run, &state)?.clone();
    let checked = gate::check(work, session, &spec, state.phase, None).await;
    if let Err(Error::Database(_) | Error::TableGone { .. }) = &checked {
        // If others have changed the table, that is what is wrong.
        drift::look(work, session, &state, Way::Forward).await?;
    }
    let outcome = checked?;
    if outcome.is_clean() { Ok(()) } else { Err(Error::Mismatch(outcome)) }
}
