//! The short conversations: "how did it end?", "that address has moved", and "what do you have in the place of these files?".

use super::Party;
use crate::message::Message;

/// Questions of the dialer, each answered before the next.
#[derive(Debug)]
pub(super) struct Query {
    kind: QueryKind,
    asked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QueryKind {
    Verdict,
    Carry,
    HostFiles,
}

impl Query {
    pub(super) fn new(kind: QueryKind) -> Self {
        Self { kind, asked: false }
    }

    pub(super) fn is_asked(&self) -> bool {
        self.asked
    }

    /// Fails with the rule that the message breaks.
    pub(super) fn apply(&mut self, from: Party, message: &Message) -> Result<(), &'static str> {
        let question = match (self.kind, message) {
            (QueryKind::Verdict, Message::VerdictRequest(_))
            | (QueryKind::Carry, Message::CarryMove(_) | Message::CarryEnded(_))
            | (QueryKind::HostFiles, Message::WantedFiles(_)) => true,
            (QueryKind::Verdict, Message::Verdict(_))
            | (QueryKind::Carry, Message::CarryOk(_))
            | (QueryKind::HostFiles, Message::FoundFiles(_)) => false,
            _ => return Err("it belongs to another kind of session"),
        };
        match (question, from, self.asked) {
            (true, Party::Dialer, false) => self.asked = true,
            (false, Party::Acceptor, true) => self.asked = false,
            (true, Party::Dialer, true) => return Err("the question before it has not been answered"),
            (false, Party::Acceptor, false) => return Err("nothing has been asked"),
            _ => return Err("the other side's message"),
        }
        Ok(())
    }
}
