//! The latest value of something: told by some, looked at by others.
//!
//! A `tokio::sync::watch` hands out guards of a lock that lets writers first: a thread that takes a second guard while
//! it holds one stands still for ever once a writer has queued between the two, and so do the writer and everybody who
//! comes after. This is the only module that sees such guards, and none of them outlives a call: callers get copies.

#![expect(clippy::disallowed_methods, reason = "the one place that may, because no guard leaves it")]

use tokio::sync::watch;

/// A value that is replaced now and then. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Latest<T>(watch::Sender<T>);

impl<T: Clone> Latest<T> {
    /// Returns one with its first value.
    pub(crate) fn new(value: T) -> Self {
        Self(watch::Sender::new(value))
    }

    /// Returns the value as it is now.
    pub(crate) fn get(&self) -> T {
        self.0.borrow().clone()
    }

    /// Replaces the value.
    pub(crate) fn set(&self, value: T) {
        self.0.send_replace(value);
    }

    /// Changes the value. `change` must not look at this value by any other way.
    pub(crate) fn change(&self, change: impl FnOnce(&mut T)) {
        self.0.send_modify(change);
    }

    /// Changes the value, and wakes those who follow it only if `change` says that it did.
    pub(crate) fn change_if(&self, change: impl FnOnce(&mut T) -> bool) {
        self.0.send_if_modified(change);
    }

    /// Returns the way to follow the value.
    pub(crate) fn follow(&self) -> Following<T> {
        Following(self.0.subscribe())
    }
}

/// Somebody's view of a [`Latest`], which knows what it has seen.
#[derive(Debug, Clone)]
pub(crate) struct Following<T>(watch::Receiver<T>);

/// Nobody is left who could tell another value.
#[derive(Debug)]
pub(crate) struct Gone;

impl<T: Clone> Following<T> {
    /// Returns the value as it is now, without having seen it.
    pub(crate) fn peek(&self) -> T {
        self.0.borrow().clone()
    }

    /// Returns the value as it is now; [`Following::changed`] waits for the next one.
    pub(crate) fn get(&mut self) -> T {
        self.0.borrow_and_update().clone()
    }

    /// Waits for a value that was not seen yet.
    pub(crate) async fn changed(&mut self) -> Result<(), Gone> {
        self.0.changed().await.map_err(|_| Gone)
    }

    /// Waits for a value that `wanted` holds for, and returns it.
    pub(crate) async fn wait_for(&mut self, wanted: impl FnMut(&T) -> bool) -> Result<T, Gone> {
        self.0.wait_for(wanted).await.map(|value| value.clone()).map_err(|_| Gone)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, mpsc};
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// With guards in place of copies, readers and writer stand still within a fraction of a second.
    #[test]
    fn two_looks_in_one_expression_do_not_stop_a_writer() {
        const READERS: usize = 4;
        let orders = Latest::new((2_u64, 3_u64));
        let over = Arc::new(AtomicBool::new(false));
        let (done, ended) = mpsc::channel();
        for _ in 0..READERS {
            let (mut following, over, done) = (orders.follow(), Arc::clone(&over), done.clone());
            thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    assert_eq!(following.peek().0.saturating_mul(following.get().1) % 6, 0);
                }
                done.send(()).unwrap();
            });
        }
        thread::spawn(move || {
            for n in 1..200_000 {
                orders.set((2 * n, 3 * n));
            }
            over.store(true, Ordering::Relaxed);
            done.send(()).unwrap();
        });
        for _ in 0..=READERS {
            ended.recv_timeout(Duration::from_secs(30)).expect("readers and writer keep each other waiting");
        }
    }

    #[tokio::test]
    async fn a_value_is_seen_once() {
        let latest = Latest::new(1);
        let mut following = latest.follow();
        assert_eq!((following.peek(), following.get()), (1, 1));
        latest.change_if(|_| false);
        latest.change(|value| *value += 1);
        following.changed().await.unwrap();
        assert_eq!(following.get(), 2);
        latest.set(5);
        assert_eq!(following.wait_for(|value| *value > 4).await.unwrap(), 5);
        drop(latest);
        assert!(following.changed().await.is_err());
    }
}
