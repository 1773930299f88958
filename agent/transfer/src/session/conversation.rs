//! What is common to all conversations: opening, pings, abort; and who may say what when.

use super::lane::Lane;
use super::migrate::Migrate;
use super::query::{Query, QueryKind};
use super::{Party, SessionError};
use crate::limits::MAX_PINGS;
use crate::message::{Abort, Hello, Message, Role};

#[derive(Debug)]
enum Stage {
    Start,
    Greeted(Hello),
    Migrate(Migrate),
    Query(Query),
    Lane(Lane),
    Refused,
}

/// What one party has done that concerns the abort and pings.
#[derive(Debug, Default)]
struct Seen {
    abort: Option<Abort>,
    abort_ok: bool,
    /// Pings of this party that have not been answered.
    pings: u32,
}

/// State of a conversation as one side knows it.
#[derive(Debug)]
pub(super) struct Conversation {
    local: Party,
    stage: Stage,
    dialer: Seen,
    acceptor: Seen,
    failed: Option<&'static str>,
    /// The peer's objects are ignored: parts of them were, while our request for an end was on its way that came too late. Only of a log can
    /// anything still come then.
    deaf: bool,
}

type Rule = Result<(), &'static str>;

fn need(good: bool, why: &'static str) -> Rule {
    if good { Ok(()) } else { Err(why) }
}

impl Conversation {
    pub(super) fn new(local: Party) -> Self {
        let (dialer, acceptor) = (Seen::default(), Seen::default());
        Self {
            local,
            stage: Stage::Start,
            dialer,
            acceptor,
            failed: None,
            deaf: false,
        }
    }

    /// The error that has ended the session, if one has.
    pub(super) fn failure(&self) -> Option<SessionError> {
        self.failed.map(SessionError::Failed)
    }

    /// Ends the session.
    pub(super) fn fail(&mut self, error: &SessionError) {
        self.failed.get_or_insert(error.reason());
    }

    /// Notes a message of this side, if it is legal.
    pub(super) fn send(&mut self, message: &Message) -> Result<(), SessionError> {
        if let Some(error) = self.failure() {
            return Err(error);
        }
        let from = self.local;
        let talks = matches!(message, Message::Ping(_) | Message::Pong(_) | Message::AbortOk(_));
        // A source may answer a request to abort with the commit that it has written to its journal meanwhile.
        let answers =
            matches!(message, Message::Committed(_)) && self.is_prepared() && !self.seen(from).abort_ok;
        if !talks {
            if self.seen(from).abort.is_some() {
                return Err(SessionError::Aborting);
            }
            if let Some(abort) = self.seen(from.other()).abort.as_ref().filter(|_| !answers) {
                return Err(peer_aborted(abort));
            }
        }
        self.apply(from, message)
            .map_err(|why| out_of_order(message, from, why))
    }

    /// Notes a message of the peer; false: it crossed an abort and is to be ignored.
    pub(super) fn receive(&mut self, message: &Message) -> Result<bool, SessionError> {
        let from = self.local.other();
        let of_an_object = matches!(message, Message::ObjectStart(_) | Message::ObjectEnd(_));
        if self.is_over() || self.crossed_abort(message) || self.deaf && of_an_object {
            return Ok(false);
        }
        self.deaf |= self.seen(self.local).abort.is_some() && matches!(message, Message::Committed(_));
        self.apply(from, message)
            .map_err(|why| out_of_order(message, from, why))?;
        Ok(true)
    }

    /// False if objects of the peer are to be ignored, an error if there can be none.
    pub(super) fn heeds_objects(&self) -> Result<bool, SessionError> {
        match &self.stage {
            _ if self.is_over() || self.deaf || self.seen(self.local).abort.is_some() => Ok(false),
            Stage::Migrate(_) | Stage::Lane(_)
                if self.local == Party::Acceptor && self.dialer.abort.is_none() =>
            {
                Ok(true)
            }
            _ => Err(SessionError::OutOfOrder {
                message: "Data",
                from: self.local.other(),
                why: "only the source of a migration sends objects",
            }),
        }
    }

    /// Fails if this side may not send chunks (any more).
    pub(super) fn may_send_chunk(&self) -> Result<(), SessionError> {
        if let Some(error) = self.failure() {
            return Err(error);
        }
        if self.seen(self.local).abort.is_some() {
            return Err(SessionError::Aborting);
        }
        match &self.seen(self.local.other()).abort {
            Some(abort) => Err(peer_aborted(abort)),
            None => Ok(()),
        }
    }

    /// True once nothing more is to come.
    pub(super) fn is_over(&self) -> bool {
        let answered = |by: &Seen, of: &Seen| of.abort.is_none() || by.abort_ok;
        let aborted = self.dialer.abort.is_some() || self.acceptor.abort.is_some();
        match &self.stage {
            Stage::Refused => true,
            Stage::Migrate(migrate) if migrate.is_released() => true,
            _ => aborted && answered(&self.dialer, &self.acceptor) && answered(&self.acceptor, &self.dialer),
        }
    }

    /// True for a lane, once it has been let in.
    pub(super) fn is_lane(&self) -> bool {
        matches!(self.stage, Stage::Lane(_))
    }

    fn is_prepared(&self) -> bool {
        matches!(&self.stage, Stage::Migrate(migrate) if migrate.is_prepared())
    }

    fn is_committed(&self) -> bool {
        matches!(&self.stage, Stage::Migrate(migrate) if migrate.is_committed())
    }

    /// True for what the peer sent before it saw our abort, and for an abort that came too late.
    fn crossed_abort(&self, message: &Message) -> bool {
        let local = self.local;
        if matches!(message, Message::Abort(_)) {
            return local == Party::Dialer && self.is_committed();
        }
        if self.seen(local).abort.is_none() || matches!(message, Message::AbortOk(_) | Message::Refuse(_)) {
            return false;
        }
        let decided = local == Party::Acceptor && self.is_prepared() && self.dialer.abort.is_none();
        if decided && matches!(message, Message::Committed(_)) {
            // The source had decided before it saw our request: the request is void.
            return false;
        }
        !matches!(message, Message::Ping(_) | Message::Pong(_))
    }

    fn seen(&self, party: Party) -> &Seen {
        match party {
            Party::Dialer => &self.dialer,
            Party::Acceptor => &self.acceptor,
        }
    }

    fn seen_mut(&mut self, party: Party) -> &mut Seen {
        match party {
            Party::Dialer => &mut self.dialer,
            Party::Acceptor => &mut self.acceptor,
        }
    }

    fn apply(&mut self, from: Party, message: &Message) -> Rule {
        match message {
            Message::Ping(_) => {
                need(self.is_welcomed(), "Welcome comes first")?;
                need(self.seen(from).pings < MAX_PINGS, "too many pings are unanswered")?;
                self.seen_mut(from).pings += 1;
                return Ok(());
            }
            Message::Pong(_) => {
                let asker = self.seen_mut(from.other());
                asker.pings = asker.pings.checked_sub(1).ok_or("there is no ping to answer")?;
                return Ok(());
            }
            Message::Abort(abort) => return self.abort(from, abort),
            Message::AbortOk(_) => {
                need(
                    self.seen(from.other()).abort.is_some(),
                    "there is no abort to answer",
                )?;
                need(!self.seen(from).abort_ok, "it has been sent")?;
                self.seen_mut(from).abort_ok = true;
                return Ok(());
            }
            _ => {}
        }
        let aborting = self.seen(from).abort.is_some() || self.seen(from).abort_ok;
        need(!aborting, "nothing but the answer follows an abort")?;
        if let Message::Refuse(_) = message {
            return self.refuse(from);
        }
        match &mut self.stage {
            Stage::Start => match (from, message) {
                (Party::Dialer, Message::Hello(hello)) => {
                    self.stage = Stage::Greeted(hello.clone());
                    Ok(())
                }
                _ => Err("Hello comes first"),
            },
            Stage::Greeted(hello) => match (from, message) {
                (Party::Acceptor, Message::Welcome(welcome)) => {
                    let offered = hello.min_version..=hello.max_version;
                    need(offered.contains(&welcome.version), "that version was not offered")?;
                    self.stage = welcomed(hello.role)?;
                    Ok(())
                }
                _ => Err("Welcome comes first"),
            },
            Stage::Migrate(migrate) => {
                migrate.apply(from, message)?;
                if matches!(message, Message::Committed(_)) {
                    self.acceptor.abort = None;
                }
                Ok(())
            }
            Stage::Query(query) => query.apply(from, message),
            Stage::Lane(lane) => lane.apply(from, message),
            Stage::Refused => Err("the session was refused"),
        }
    }

    fn is_welcomed(&self) -> bool {
        matches!(self.stage, Stage::Migrate(_) | Stage::Query(_) | Stage::Lane(_))
    }

    fn abort(&mut self, from: Party, abort: &Abort) -> Rule {
        let Stage::Migrate(migrate) = &self.stage else {
            return Err("only a migration can be aborted; close the connection");
        };
        need(!migrate.is_committed(), "the migration is committed")?;
        need(
            self.seen(from).abort.is_none() && !self.seen(from).abort_ok,
            "it is being aborted",
        )?;
        self.seen_mut(from).abort = Some(abort.clone());
        Ok(())
    }

    fn refuse(&mut self, from: Party) -> Rule {
        need(from == Party::Acceptor, "only who was called can refuse")?;
        let open = match &self.stage {
            Stage::Greeted(_) => true,
            Stage::Migrate(migrate) => migrate.awaits_manifest_ok(),
            Stage::Query(query) => query.is_asked(),
            Stage::Start | Stage::Lane(_) | Stage::Refused => false,
        };
        need(open, "there is nothing to refuse")?;
        self.stage = Stage::Refused;
        Ok(())
    }
}

fn welcomed(role: i32) -> Result<Stage, &'static str> {
    match Role::try_from(role) {
        Ok(Role::Migrate) => Ok(Stage::Migrate(Migrate::default())),
        Ok(Role::AskVerdict) => Ok(Stage::Query(Query::new(QueryKind::Verdict))),
        Ok(Role::Carry) => Ok(Stage::Query(Query::new(QueryKind::Carry))),
        Ok(Role::HostFiles) => Ok(Stage::Query(Query::new(QueryKind::HostFiles))),
        Ok(Role::Lane) => Ok(Stage::Lane(Lane::default())),
        Ok(Role::Unspecified) | Err(_) => Err("Hello named no role"),
    }
}

fn out_of_order(message: &Message, from: Party, why: &'static str) -> SessionError {
    SessionError::OutOfOrder {
        message: message.name(),
        from,
        why,
    }
}

fn peer_aborted(abort: &Abort) -> SessionError {
    SessionError::PeerAborted {
        step: abort.step.clone(),
        reason: abort.reason.clone(),
        message: abort.message.clone(),
    }
}
