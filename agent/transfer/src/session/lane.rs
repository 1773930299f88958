//! A lane: pages of a migration's memory on a connection of their own.
//!
//! Objects of pages follow one another, each of any container and round; the target says which it keeps. A lane knows nothing of the
//! migration's state: whoever lets it in has to know that the migration is at a point where pages may come.

use super::Party;
use crate::limits::MAX_UNSTORED;
use crate::message::Message;

/// What has been said so far.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// The last object that was begun.
    begun: u32,
    /// True while it has not ended.
    open: bool,
    /// The last object that is kept.
    stored: u32,
}

impl Lane {
    /// Fails with the rule that the message breaks; nothing has changed then.
    pub(super) fn apply(&mut self, from: Party, message: &Message) -> Result<(), &'static str> {
        match (from, message) {
            (Party::Dialer, Message::ObjectStart(start)) => {
                if start.kind != PAGES {
                    return Err("a lane carries pages only");
                }
                if self.open {
                    return Err("the object before is still open");
                }
                if start.id.saturating_sub(self.stored) > MAX_UNSTORED {
                    return Err("too many objects before it are not known to be stored");
                }
                self.begun = start.id;
                self.open = true;
                Ok(())
            }
            (Party::Dialer, Message::ObjectEnd(end)) => {
                if !self.open || end.id != self.begun {
                    return Err("the object is not open");
                }
                self.open = false;
                Ok(())
            }
            (Party::Acceptor, Message::Stored(stored)) => {
                let ended = self.begun.saturating_sub(u32::from(self.open));
                if stored.objects > ended {
                    return Err("that object has not ended");
                }
                if stored.objects <= self.stored {
                    return Err("it has been sent");
                }
                self.stored = stored.objects;
                Ok(())
            }
            _ => Err("not a message of a lane"),
        }
    }
}

/// The kind of an object of pages on the wire.
const PAGES: u32 = 5;
