//! Checks that the loops of a run still move, with a watchdog that ends the process if one does not.
//!
//! A loop that waits for the server is alive: it waits in the runtime, and what it waits for has a timeout of its own. A
//! loop whose thread is blocked, or that no thread of the runtime is left to poll, is not, and nothing inside the runtime
//! can notice. So each loop beats once a second from its own task, and the watchdog, a plain thread, counts the beats.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;

/// Between two beats.
const BEAT: Duration = Duration::from_secs(1);
/// The interval of the watchdog.
const LOOK: Duration = Duration::from_millis(500);

/// The beats of the loops of a process. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<Mutex<Loops>>);

#[derive(Debug, Default)]
struct Loops {
    next: u64,
    /// Name and number of beats.
    running: BTreeMap<u64, (&'static str, u64)>,
}

/// A loop that does not move any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stalled {
    /// Which one, as a noun phrase.
    pub what: &'static str,
    /// How long it has stood still while this process was running.
    pub time: Duration,
}

/// Watches until it is dropped.
#[derive(Debug)]
pub struct Watchdog {
    _stop: mpsc::Sender<()>,
}

impl Pulse {
    /// Runs `work` to its end and beats meanwhile, as often as the task is polled.
    pub(crate) async fn beating<F: Future>(&self, what: &'static str, work: F) -> F::Output {
        let beat = Beat::new(self, what);
        let mut timer = tokio::time::interval(BEAT);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(work);
        loop {
            tokio::select! {
                output = &mut work => return output,
                _ = timer.tick() => beat.once(),
            }
        }
    }

    /// Starts a thread that calls `stalled`, once, when a loop has not moved for `limit`. Time in which the whole process
    /// was stopped does not count.
    ///
    /// # Errors
    /// The system's, when there can be no further thread.
    pub fn watch(&self, limit: Duration, stalled: impl FnOnce(Stalled) + Send + 'static) -> io::Result<Watchdog> {
        let (stop, stopped) = mpsc::channel();
        let pulse = self.clone();
        let watch = move || {
            let (mut judge, mut before) = (Judge::default(), Instant::now());
            while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                let now = Instant::now();
                let beats = pulse.lock().running.clone();
                if let Some(found) = judge.look(&beats, now.duration_since(before), limit) {
                    return stalled(found);
                }
                before = now;
            }
        };
        thread::Builder::new().name("watchdog".to_owned()).spawn(watch)?;
        Ok(Watchdog { _stop: stop })
    }

    fn lock(&self) -> MutexGuard<'_, Loops> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A loop that beats until this is dropped.
struct Beat<'a> {
    pulse: &'a Pulse,
    id: u64,
}

impl<'a> Beat<'a> {
    fn new(pulse: &'a Pulse, what: &'static str) -> Self {
        let mut loops = pulse.lock();
        let id = loops.next;
        loops.next += 1;
        loops.running.insert(id, (what, 0));
        drop(loops);
        Self { pulse, id }
    }

    fn once(&self) {
        if let Some((_, beats)) = self.pulse.lock().running.get_mut(&self.id) {
            *beats += 1;
        }
    }
}

impl Drop for Beat<'_> {
    fn drop(&mut self) {
        self.pulse.lock().running.remove(&self.id);
    }
}

/// Adds up how long each loop has stood still.
#[derive(Debug, Default)]
struct Judge(BTreeMap<u64, (u64, Duration)>);

impl Judge {
    /// Looks at the loops, `elapsed` after the look before. No clock tells a process that was stopped (or a machine that
    /// was) from one whose loops stand still, but this thread was stopped with it: a look that comes late counts as one
    /// that is hardly late.
    fn look(
        &mut self,
        beats: &BTreeMap<u64, (&'static str, u64)>,
        elapsed: Duration,
        limit: Duration,
    ) -> Option<Stalled> {
        let elapsed = elapsed.min(LOOK * 2);
        let before = std::mem::take(&mut self.0);
        for (id, (_, count)) in beats {
            let still = match before.get(id) {
                Some((seen, still)) if seen == count => *still + elapsed,
                _ => Duration::ZERO,
            };
            self.0.insert(*id, (*count, still));
        }
        let (id, (_, still)) = self.0.iter().max_by_key(|(_, (_, still))| *still)?;
        let (what, _) = beats.get(id)?;
        (*still > limit).then_some(Stalled { what, time: *still })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(15);

    fn beats(counts: &[u64]) -> BTreeMap<u64, (&'static str, u64)> {
        (0..).zip(counts).map(|(id, count)| (id, (if id == 0 { "first" } else { "second" }, *count))).collect()
    }

    #[test]
    fn the_one_that_stands_still_is_named_after_the_limit() {
        let mut judge = Judge::default();
        for look in 0..=30 {
            assert_eq!(judge.look(&beats(&[look, 7]), LOOK, LIMIT), None, "{look}");
        }
        let found = judge.look(&beats(&[31, 7]), LOOK, LIMIT).unwrap();
        assert_eq!((found.what, found.time), ("second", Duration::from_millis(15_500)));
        // A beat is enough to be alive again, and who has ended is not missed.
        assert_eq!(judge.look(&beats(&[31, 8]), LOOK, LIMIT), None);
        assert_eq!(judge.look(&beats(&[32]), LOOK, LIMIT), None);
        assert_eq!(judge.look(&beats(&[]), LOOK, LIMIT), None);
    }

    #[test]
    fn time_in_which_the_process_was_stopped_does_not_count() {
        let mut judge = Judge::default();
        judge.look(&beats(&[3]), LOOK, LIMIT);
        // Stopped for an hour, and looked at before the runtime is.
        assert_eq!(judge.look(&beats(&[3]), Duration::from_hours(1), LIMIT), None);
        assert_eq!(judge.look(&beats(&[4]), LOOK, LIMIT), None);
        // Stopped again and again.
        for _ in 0..10 {
            assert_eq!(judge.look(&beats(&[4]), Duration::from_mins(1), LIMIT), None);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_loop_that_waits_is_alive_and_one_that_blocks_its_thread_is_not() {
        let (pulse, (told, hear)) = (Pulse::default(), mpsc::channel());
        let watchdog = pulse.watch(Duration::from_secs(3), move |stalled| told.send(stalled).unwrap()).unwrap();
        let waiting = tokio::spawn({
            let pulse = pulse.clone();
            async move { pulse.beating("one that waits", std::future::pending::<()>()).await }
        });
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(hear.try_recv(), Err(mpsc::TryRecvError::Empty));
        let (free, block) = mpsc::channel::<()>();
        let blocked = tokio::spawn({
            let pulse = pulse.clone();
            async move { pulse.beating("one that blocks", async move { block.recv().is_ok() }).await }
        });
        let found = tokio::task::block_in_place(|| hear.recv_timeout(Duration::from_secs(20))).unwrap();
        assert_eq!(found.what, "one that blocks");
        drop((free, watchdog));
        assert!(!blocked.await.unwrap());
        waiting.abort();
        let _ = waiting.await;
        assert!(pulse.lock().running.is_empty(), "who has ended is still watched");
    }
}
