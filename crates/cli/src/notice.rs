//! What happens to the sockets of a command, and what they send, in the order of the wire: for `listen` and `connect`.
//!
//! Handlers run at the moment at which something is read from the connection, and answers are looked for before each of them.
//! So there is one queue, filled in the order in which all of it came. A handler never waits here: if nobody takes the notices,
//! the streams of the sockets fill up, which the client stops to read for.

use std::{
    collections::VecDeque,
    future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use kokanee::{Ack, RawEvent, Transport};
use kokanee_client::{
    Attempt, CloseDetails, ConnectFailure, DisconnectReason, Events, Failure, Socket,
};
use tokio::{sync::Notify, task::unconstrained};

use crate::entry::{Entry, What};

/// Notices that wait to be taken. Beyond it the connection is read from only as far as the sockets' streams go.
const MAX_NOTICES: usize = 256;

/// Something that has happened to a socket, or that it has sent.
#[derive(Debug)]
pub(crate) struct Notice {
    /// Since 1970.
    pub(crate) time: Duration,
    pub(crate) namespace: String,
    pub(crate) kind: NoticeKind,
}

/// What has happened.
#[derive(Debug)]
pub(crate) enum NoticeKind {
    Connect {
        id: Option<String>,
        transport: Option<Transport>,
        recovered: bool,
    },
    Upgrade,
    Disconnect(DisconnectReason, CloseDetails),
    Failure(Arc<ConnectFailure>),
    Attempt(u32),
    GaveUp,
    Event(RawEvent, Ack),
    /// What we have sent, or could not send.
    Own(What),
    /// What came of an event that asked for an answer.
    Answer(What),
}

/// A queue of notices.
pub(crate) fn notices() -> (Reporter, Notices) {
    let journal = Arc::<Journal>::default();
    (Reporter(Arc::clone(&journal)), Notices(journal))
}

/// The end that sockets report to. A cheap handle.
#[derive(Clone)]
pub(crate) struct Reporter(Arc<Journal>);

/// The end that takes notices. Whoever takes them slowly slows the connection down.
pub(crate) struct Notices(Arc<Journal>);

#[derive(Default)]
struct Journal {
    state: Mutex<State>,
    news: Arc<News>,
}

/// Wakes whoever waits for a notice.
#[derive(Default)]
struct News(Notify);

impl Wake for News {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

#[derive(Default)]
struct State {
    queue: VecDeque<Notice>,
    /// What is still to become of events that were emitted.
    outcomes: FuturesUnordered<Pin<Box<dyn Future<Output = Outcome> + Send>>>,
    /// Events that leave when their namespace is connected.
    unsent: Vec<(u64, Notice)>,
    /// The number of the last event that was emitted.
    emitted: u64,
    /// What holds up the connections while the queue is long.
    streams: Vec<Events>,
}

/// What became of an event with this number.
struct Outcome {
    number: u64,
    notice: Option<Notice>,
}

impl Journal {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a notice behind all that has happened before it.
    fn push(&self, notice: Notice) {
        let mut state = self.state();
        state.settle(&self.news);
        let connected = match notice.kind {
            NoticeKind::Connect { .. } => Some(notice.namespace.clone()),
            _ => None,
        };
        state.queue.push_back(notice);
        if let Some(namespace) = connected {
            state.release(&namespace);
        }
        drop(state);
        self.news.0.notify_one();
    }
}

impl State {
    /// Adds the outcomes that are known by now, in the order in which they came.
    fn settle(&mut self, news: &Arc<News>) {
        let waker = Waker::from(Arc::clone(news));
        let mut cx = Context::from_waker(&waker);
        while let Poll::Ready(Some(outcome)) = self.outcomes.poll_next_unpin(&mut cx) {
            let Some(notice) = outcome.notice else {
                continue;
            };
            if let NoticeKind::Own(What::Failure { .. })
            | NoticeKind::Answer(What::Failure { .. }) = notice.kind
            {
                self.unsent.retain(|(number, _)| *number != outcome.number);
            }
            self.queue.push_back(notice);
        }
    }

    /// The namespace is connected: what has waited for that leaves now.
    fn release(&mut self, namespace: &str) {
        let is_due = |(_, notice): &mut (u64, Notice)| notice.namespace == namespace;
        for (_, notice) in self.unsent.extract_if(.., is_due) {
            self.queue.push_back(Notice::now(namespace, notice.kind));
        }
    }

    fn take(&mut self) -> Option<Notice> {
        let notice = self.queue.pop_front();
        if self.queue.len() < MAX_NOTICES {
            for stream in &mut self.streams {
                while stream.next().now_or_never().flatten().is_some() {}
            }
        }
        notice
    }
}

impl Notices {
    /// The next notice. Cancel safe.
    pub(crate) async fn recv(&mut self) -> Notice {
        loop {
            if let Some(notice) = self.try_recv() {
                return notice;
            }
            self.0.news.0.notified().await;
        }
    }

    /// The next notice, if there is one.
    pub(crate) fn try_recv(&mut self) -> Option<Notice> {
        let mut state = self.0.state();
        state.settle(&self.0.news);
        state.take()
    }
}

/// Lets go of the sockets, whose handlers hold the queue.
impl Drop for Notices {
    fn drop(&mut self) {
        let state = std::mem::take(&mut *self.0.state());
        drop(state);
    }
}

impl Reporter {
    /// Lets a socket report whatever happens to it.
    pub(crate) fn watch(&self, socket: &Socket) {
        self.0.state().streams.push(socket.events());
        let reporter = || {
            let journal = Arc::clone(&self.0);
            move |socket: &Socket, kind| {
                journal.push(Notice::now(socket.namespace(), kind));
                future::ready(())
            }
        };
        let report = reporter();
        socket.on_any(move |socket: Socket, event: RawEvent, ack: Ack| {
            report(&socket, NoticeKind::Event(event, ack))
        });
        let report = reporter();
        socket.on_connect(move |socket: Socket| {
            let kind = NoticeKind::Connect {
                id: socket.id(),
                transport: socket.transport(),
                recovered: socket.is_recovered(),
            };
            report(&socket, kind)
        });
        let report = reporter();
        socket.on_disconnect(
            move |socket: Socket, reason: DisconnectReason, details: CloseDetails| {
                report(&socket, NoticeKind::Disconnect(reason, details))
            },
        );
        let report = reporter();
        socket.on_connect_error(move |socket: Socket, failure: Failure| {
            report(&socket, NoticeKind::Failure(failure.0))
        });
        let report = reporter();
        socket.on_reconnect_attempt(move |socket: Socket, attempt: Attempt| {
            report(&socket, NoticeKind::Attempt(attempt.0))
        });
        let report = reporter();
        socket.on_reconnect_failed(move |socket: Socket| report(&socket, NoticeKind::GaveUp));
        let report = reporter();
        socket.on_upgrade(move |socket: Socket| report(&socket, NoticeKind::Upgrade));
    }

    /// Reports what has left on our side.
    pub(crate) fn own(&self, namespace: &str, what: What) {
        self.0.push(Notice::now(namespace, NoticeKind::Own(what)));
    }

    /// Emits an event: reports it when it leaves, and later what `emitting` says.
    pub(crate) fn emit(
        &self,
        socket: &Socket,
        sent: What,
        emitting: impl Future<Output = Option<NoticeKind>> + Send + 'static,
    ) {
        let namespace = socket.namespace().to_owned();
        let sent = Notice::now(&namespace, NoticeKind::Own(sent));
        let mut state = self.0.state();
        state.settle(&self.0.news);
        state.emitted += 1;
        let number = state.emitted;
        if socket.is_connected() {
            state.queue.push_back(sent);
        } else {
            state.unsent.push((number, sent));
        }
        let outcome = emitting.map(move |kind| Outcome {
            number,
            notice: kind.map(|kind| Notice::now(&namespace, kind)),
        });
        // What is there is always found, however much this task has done in its turn.
        state.outcomes.push(Box::pin(unconstrained(outcome)));
        // It begins now, in the order of the calls.
        state.settle(&self.0.news);
        drop(state);
        self.0.news.0.notify_one();
    }
}

impl Notice {
    fn now(namespace: &str, kind: NoticeKind) -> Self {
        Self {
            time: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
            namespace: namespace.to_owned(),
            kind,
        }
    }

    /// The entry of the log. `number` is what an event can be answered by.
    pub(crate) fn entry(&self, number: Option<u64>) -> Entry {
        let what = match &self.kind {
            NoticeKind::Connect {
                id,
                transport,
                recovered,
            } => What::Connect {
                id: id.clone().unwrap_or_default(),
                transport: transport.map_or("?", Transport::as_str),
                recovered: *recovered,
            },
            NoticeKind::Upgrade => What::Upgrade {
                transport: Transport::WebSocket.as_str(),
            },
            NoticeKind::Disconnect(reason, details) => What::Disconnect {
                reason: match details.code {
                    Some(_) => format!("{reason} ({details})"),
                    None => reason.to_string(),
                },
            },
            NoticeKind::Failure(failure) => What::Error {
                message: failure.to_string(),
                data: match &**failure {
                    ConnectFailure::Refused { data, .. } => data.clone(),
                    _ => None,
                },
            },
            NoticeKind::Attempt(attempt) => What::Reconnecting { attempt: *attempt },
            NoticeKind::GaveUp => What::Error {
                message: "no further attempt to connect is made".to_owned(),
                data: None,
            },
            NoticeKind::Event(event, _) => What::Receive {
                name: event.name().to_owned(),
                args: event.args().clone(),
                ack: number,
            },
            NoticeKind::Own(what) | NoticeKind::Answer(what) => what.clone(),
        };
        Entry {
            time: self.time,
            namespace: self.namespace.clone(),
            what,
        }
    }
}

#[cfg(test)]
mod tests {
    use kokanee_client::CloseReason;

    use super::*;

    #[test]
    fn a_disconnection_shows_what_the_server_has_said() {
        let reason = |details| {
            let reason = DisconnectReason::Session(CloseReason::TransportClose);
            let notice = Notice {
                time: Duration::ZERO,
                namespace: "/".to_owned(),
                kind: NoticeKind::Disconnect(reason, details),
            };
            match notice.entry(None).what {
                What::Disconnect { reason } => reason,
                _ => String::new(),
            }
        };
        let details = CloseDetails {
            code: Some(1008),
            reason: "slow consumer".to_owned(),
        };
        assert_eq!(reason(details), "transport close (1008 slow consumer)");
        assert_eq!(reason(CloseDetails::default()), "transport close");
    }
}
