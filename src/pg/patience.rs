//! Connecting to a server that may be unreachable for a while.

use std::time::{Duration, Instant};

use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

use super::{Connector, ErrorClass, class_of, describe};
use crate::event::{Event, EventSink};

/// How long a server may be unreachable before crossfade gives up. The lease is lost before that; then the run must be
/// resumed by a new call.
const PATIENCE: Duration = Duration::from_mins(1);

/// Returns a pause between these, at random, so that two who were in each other's way do not keep meeting.
pub(crate) fn between(least: Duration, most: Duration) -> Duration {
    least + most.saturating_sub(least).mul_f64(rand::random())
}

/// Returns from 75 % to 125 % of `pause`, for the same reason.
pub(crate) fn about(pause: Duration) -> Duration {
    between(pause.mul_f64(0.75), pause.mul_f64(1.25))
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_differ_within_their_bounds() {
        let pause = Duration::from_millis(100);
        let pauses: Vec<_> = (0..100).map(|_| about(pause)).collect();
        assert!(pauses.iter().all(|p| (Duration::from_millis(75)..=Duration::from_millis(125)).contains(p)));
        assert!(pauses.iter().any(|p| *p != pauses[0]));
        assert_eq!(between(pause, pause), pause);
        assert_eq!(between(pause, Duration::ZERO), pause);
    }
}
