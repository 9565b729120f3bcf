//! What the engines are handed: a run whose lease is held, and the ways to reach the server and the reporter.

use tokio_util::sync::CancellationToken;

use crate::event::{Event, EventSink};
use crate::ledger::{Lease, Ledger, Run};
use crate::pg::Connector;

/// A run that this process works on.
#[derive(Clone)]
pub struct Work {
    /// How to connect.
    pub connector: Connector,
    /// The ledger.
    pub ledger: Ledger,
    /// The run.
    pub run: Run,
    /// Our lease. Every transaction proves it first ([`Ledger::fence`]).
    pub lease: Lease,
    /// Where events go.
    pub sink: EventSink,
    /// Cancelled when the work is to stop before the next unit.
    pub stop: CancellationToken,
    /// Who we are, for the log.
    pub actor: String,
}

impl Work {
    /// Returns what a check of this run works with.
    pub fn check_context(&self) -> crate::verify::Context {
        crate::verify::Context {
            connector: self.connector.clone(),
            ledger: self.ledger.clone(),
            program: self.run.program.clone(),
            sink: self.sink.clone(),
            stop: self.stop.clone(),
        }
    }

    /// Emits an event.
    pub fn emit(&self, event: Event) {
        (self.sink)(event);
    }
}
