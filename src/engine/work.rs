//! What the engines get: a run whose lease is held, and access to the server and the reporter.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Error;
use crate::event::{Event, EventSink};
use crate::ledger::{Lease, Ledger, Run};
use crate::pg::Connector;
use crate::pulse::Pulse;
use crate::run::{Actor, StepKey};

/// A run that this process works on.
#[derive(Clone)]
pub struct Work {
    /// How to connect.
    pub connector: Connector,
    /// The ledger.
    pub ledger: Ledger,
    /// The run.
    pub run: Run,
    /// Our lease: we lead the run, or have joined its backfill. Every transaction proves it first ([`Leases::fence`](crate::ledger::Leases::fence)).
    pub lease: Lease,
    /// Where events go.
    pub sink: EventSink,
    /// Cancelled when the work is to stop before the next unit.
    pub stop: CancellationToken,
    /// User, host and process, for the log.
    pub actor: Actor,
    /// Where the loops show that they are alive.
    pub pulse: Pulse,
}

impl Work {
    /// Returns the span that everything done for the run is in. An error span, so that a warning says which run it is about
    /// however little is logged.
    pub(crate) fn span(&self) -> tracing::Span {
        tracing::error_span!("run", plan = %self.run.name(), run_id = self.run.id.0)
    }

    /// Returns the span of the run's heartbeat, which goes on beside it: its warnings say which run they are about.
    pub(crate) fn heartbeat_span(&self) -> tracing::Span {
        tracing::error_span!("heartbeat", plan = %self.run.name(), run_id = self.run.id.0)
    }

    /// Returns the span of a step, inside that of the run.
    pub(crate) fn step_span(step: &StepKey) -> tracing::Span {
        tracing::error_span!("step", key = %step, phase = %step.phase)
    }

    /// Emits an event.
    pub fn emit(&self, event: Event) {
        (self.sink)(event);
    }

    /// Sleeps.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when told to stop meanwhile.
    pub(crate) async fn sleep(&self, time: Duration) -> Result<(), Error> {
        tokio::select! {
            () = tokio::time::sleep(time) => Ok(()),
            () = self.stop.cancelled() => Err(Error::Interrupted),
        }
    }
}
