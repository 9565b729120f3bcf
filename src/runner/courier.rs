//! Delivers announcements: while this process works on a run that has some, and for a moment when it is done. Nothing here
//! delays a step, and nothing makes a call fail.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use sqlx::PgConnection;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Error;
use crate::event::{Event, EventSink};
use crate::failpoint;
use crate::ledger::{Delivery, Ended, Ledger, LedgerError};
use crate::notify::{self, Answer, Destinations, Message};
use crate::pg::Connector;
use crate::plan::{Plan, Shape};

/// The interval at which a process at work looks for announcements.
const LOOK: Duration = Duration::from_secs(1);
/// How long a process stays for what is not delivered when its work is done: a request, and a little.
const GOODBYE: Duration = Duration::from_secs(8);
/// As above, of one that was told to stop.
const HURRY: Duration = Duration::from_secs(1);
/// For how long this process leaves a destination alone that has not answered.
const ASLEEP: Duration = Duration::from_mins(1);

/// The destinations that a tool can reach, and those that did not answer when it last tried. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Desk {
    destinations: Destinations,
    asleep: Arc<Mutex<BTreeMap<String, Instant>>>,
}

impl Desk {
    pub(super) fn new(destinations: Destinations) -> Self {
        Self { destinations, asleep: Arc::default() }
    }

    fn awake(&self) -> Vec<String> {
        let now = Instant::now();
        let asleep = self.asleep.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut names = self.destinations.names();
        names.retain(|name| asleep.get(name).is_none_or(|until| *until < now));
        names
    }

    /// Leaves a destination alone for a while. Returns whether that is new.
    fn to_sleep(&self, name: &str) -> bool {
        let until = Instant::now() + ASLEEP;
        self.asleep.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), until).is_none()
    }
}

/// What a delivery needs.
pub(super) struct Office {
    pub(super) connector: Connector,
    pub(super) ledger: Ledger,
    pub(super) sink: EventSink,
    pub(super) stop: CancellationToken,
    pub(super) desk: Desk,
}

/// Delivers until it is told to finish.
pub(super) struct Courier {
    task: Option<JoinHandle<()>>,
    closing: CancellationToken,
    stop: CancellationToken,
}

impl Courier {
    /// Starts to deliver: at once if `now`, because the work that begins has announcements, or else when it is done.
    pub(super) fn start(office: Office, now: bool) -> Self {
        let closing = CancellationToken::new();
        let (closed, stop) = (closing.clone(), office.stop.clone());
        let task = (!office.desk.destinations.is_empty()).then(|| {
            tokio::spawn(async move {
                if !now {
                    closed.cancelled().await;
                }
                office.carry(&closed).await;
            })
        });
        Self { task, closing, stop }
    }

    /// Delivers what is due now, and ends, whatever is left.
    pub(super) async fn finish(mut self) {
        self.closing.cancel();
        let Some(mut task) = self.task.take() else { return };
        let hurry = async {
            self.stop.cancelled().await;
            tokio::time::sleep(HURRY).await;
        };
        tokio::select! {
            _ = &mut task => {}
            () = tokio::time::sleep(GOODBYE) => task.abort(),
            () = hurry => task.abort(),
        }
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Office {
    /// Warns of destinations of a plan that this process cannot deliver to.
    pub(super) fn warn_of_destinations(&self, plan: &Plan) {
        for told in &plan.notify {
            let name = told.to.as_str();
            let flaw = match self.desk.destinations.get(name) {
                Some(destination) => destination.flaw(name, told.shape),
                None => Some(format!("{} is not set", notify::url_variable(name))),
            };
            if let Some(flaw) = flaw {
                let message = format!("{flaw}: announcements for {name} wait for a process that can deliver them");
                (self.sink)(Event::Warning { message });
            }
        }
    }

    async fn carry(&self, closing: &CancellationToken) {
        let mut connection = None;
        loop {
            let is_last = closing.is_cancelled();
            match self.deliver_due(&mut connection).await {
                Ok(()) => {}
                Err(error) => {
                    tracing::debug!(%error, "announcements");
                    connection = None;
                }
            }
            if is_last {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = closing.cancelled() => {}
            }
        }
    }

    async fn deliver_due(&self, connection: &mut Option<PgConnection>) -> Result<(), Error> {
        failpoint::hit("notify.look");
        let connection = match connection {
            Some(connection) => connection,
            none => none.insert(self.connector.connect("notify").await?),
        };
        if self.ledger.version(connection).await?.is_none() {
            return Ok(());
        }
        while let Some(delivery) = self.ledger.outbox().take(connection, &self.desk.awake()).await? {
            failpoint::hit("notify.taken");
            let ended = self.attempt(&delivery).await?;
            failpoint::hit("notify.sent");
            self.ledger.outbox().ended(connection, &delivery, &ended).await?;
        }
        Ok(())
    }

    async fn attempt(&self, delivery: &Delivery) -> Result<Ended, Error> {
        let name = &delivery.destination;
        let again = |why: String, asked| match notify::after(delivery.attempts, rand::random(), asked) {
            Some(after) => Ended::Again(after, why),
            None => Ended::GivenUp(format!("{why}, at the last of {} attempts", delivery.attempts)),
        };
        let shape = Shape::of(&delivery.shape).unwrap_or_default();
        let Some(destination) = self.desk.destinations.get(name) else {
            return Ok(again("this process does not know the destination".to_owned(), None));
        };
        if let Some(flaw) = destination.flaw(name, shape) {
            self.desk.to_sleep(name);
            return Ok(again(flaw, None));
        }
        let message = Message::new(shape, &delivery.id, &delivery.topic, delivery.at, &data(delivery)?);
        let answer = notify::post(destination, &message).await;
        tracing::debug!(to = name, id = message.id, topic = delivery.topic, ?answer, "announcement");
        let (why, asked) = match answer {
            Answer::Accepted(_) => return Ok(Ended::Delivered),
            Answer::Gone => {
                let message =
                    format!("{name} ({}) answered 410 Gone: this run tells it nothing any more", destination.shown());
                (self.sink)(Event::Warning { message });
                return Ok(Ended::Gone);
            }
            Answer::Refused(status, asked) => (format!("it answered {status}"), asked),
            Answer::Failed(why) => (why, None),
        };
        if self.desk.to_sleep(name) {
            let what = format!("announcement to {name} ({}) not delivered: {why}", destination.shown());
            (self.sink)(Event::Warning { message: format!("{what}; it is tried again later") });
        }
        Ok(again(why, asked))
    }
}

/// Returns what a message says: the announcement, and which run of which database it is of.
fn data(delivery: &Delivery) -> Result<Map<String, Value>, Error> {
    let unreadable =
        |error| LedgerError::Unreadable { what: "announcement", run: crate::ident::RunId(delivery.run_id), error };
    let mut data: Map<String, Value> = serde_json::from_str(&delivery.payload).map_err(unreadable)?;
    data.insert("run_id".to_owned(), delivery.run_id.into());
    data.insert("database".to_owned(), delivery.database.as_str().into());
    data.insert("table".to_owned(), delivery.table_name.as_str().into());
    Ok(data)
}
