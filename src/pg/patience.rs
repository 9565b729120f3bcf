//! Connecting to a server that may be unreachable for a while.

use std::time::{Duration, Instant};

use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

use super::{Connector, ErrorClass, class_of, describe};
use crate::event::{Event, EventSink};

/// How long a server may be unreachable before crossfade gives up. The lease is lost before that; then the run must be
/// resumed by a new call.
const PATIENCE: Duration = Duration::from_mins(1);

impl Connector {
    /// Opens a connection, again and again for up to a minute while the server is away. Returns `None` when `stop` was
    /// cancelled meanwhile. Each failed try is an event, if there is a sink.
    ///
    /// # Errors
    /// The last error, when the server stays away or refuses.
    pub(crate) async fn connect_patiently(
        &self,
        purpose: &str,
        stop: &CancellationToken,
        sink: Option<&EventSink>,
    ) -> Result<Option<PgConnection>, sqlx::Error> {
        let start = Instant::now();
        let mut attempt = 0;
        loop {
            let error = match self.connect(purpose).await {
                Ok(connection) => return Ok(Some(connection)),
                Err(error) => error,
            };
            attempt += 1;
            if class_of(&error) != ErrorClass::Connection || start.elapsed() > PATIENCE {
                return Err(error);
            }
            if let Some(sink) = sink {
                sink(Event::Reconnecting { reason: describe(&error), attempt });
            }
            let pause = Duration::from_millis(100) * 2_u32.pow(attempt.min(5)).min(20);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return Ok(None),
            }
        }
    }
}
