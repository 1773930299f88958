//! Sending the same events to several listeners, each of which gets the state of things first.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A state and those who listen to its changes.
#[derive(Debug)]
pub struct Subscribers<S, E> {
    inner: Mutex<Inner<S, E>>,
}

#[derive(Debug)]
struct Inner<S, E> {
    state: S,
    senders: Vec<UnboundedSender<E>>,
}

impl<S: Default, E: Clone> Subscribers<S, E> {
    /// A state of its default, and nobody listening.
    pub fn new() -> Self {
        Self {
            inner: Mutex::new(Inner {
                state: S::default(),
                senders: Vec::new(),
            }),
        }
    }

    /// Changes the state and tells everyone what that means. Listeners that are gone are forgotten.
    pub fn update(&self, change: impl FnOnce(&mut S) -> Vec<E>) {
        let mut inner = self.lock();
        for event in change(&mut inner.state) {
            inner.senders.retain(|sender| sender.send(event.clone()).is_ok());
        }
    }

    /// A new listener; `replay` gives the events that bring it from nothing to the state as it is.
    ///
    /// The channel is not bounded: an event is a pointer, and their number is that of changes to a node's objects.
    pub fn subscribe(&self, replay: impl FnOnce(&S) -> Vec<E>) -> UnboundedReceiver<E> {
        let (sender, receiver) = unbounded_channel();
        let mut inner = self.lock();
        for event in replay(&inner.state) {
            let _ = sender.send(event);
        }
        inner.senders.push(sender);
        receiver
    }

    /// Looks at the state.
    pub fn read<T>(&self, look: impl FnOnce(&S) -> T) -> T {
        look(&self.lock().state)
    }

    fn lock(&self) -> MutexGuard<'_, Inner<S, E>> {
        // A panic elsewhere leaves the state whole: every change is made by one assignment at a time.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
