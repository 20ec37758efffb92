//! What happens to the sockets of `listen` and `connect`, in the order of the wire.
//!
//! Handlers run when something is read from the connection, and each of them first queues the acknowledgements that arrived
//! before it. So one queue has everything in order of arrival. A handler never waits here: if the notices are not taken, the
//! sockets' event streams fill up, and then the client stops reading from the connection.

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

/// Notices that may wait to be taken. Above that the sockets' event streams are no longer drained.
const MAX_NOTICES: usize = 256;

/// Something that happened to a socket, or that it sent.
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
    /// Something that this client sent, or failed to send.
    Sent(What),
    /// The result of an event that asked for an acknowledgement.
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

/// The end that takes notices. Taking them slowly slows the connection down.
pub(crate) struct Notices(Arc<Journal>);

#[derive(Default)]
struct Journal {
    state: Mutex<State>,
    arrival: Arc<Arrival>,
}

/// Wakes the task that waits for a notice.
#[derive(Default)]
struct Arrival(Notify);

impl Wake for Arrival {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

#[derive(Default)]
struct State {
    queue: VecDeque<Notice>,
    /// Pending results of emitted events.
    outcomes: FuturesUnordered<Pin<Box<dyn Future<Output = Outcome> + Send>>>,
    /// Events that are sent when their namespace is connected.
    unsent: Vec<(u64, Notice)>,
    /// The number of the last emitted event.
    emitted: u64,
    /// Event streams of the sockets. Not draining them stops reading while the queue is long.
    streams: Vec<Events>,
}

/// The result of the emitted event with this number.
struct Outcome {
    number: u64,
    notice: Option<Notice>,
}

impl Journal {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a notice after the results that arrived before it.
    fn push(&self, notice: Notice) {
        let mut state = self.state();
        state.settle(&self.arrival);
        let connected = match notice.kind {
            NoticeKind::Connect { .. } => Some(notice.namespace.clone()),
            _ => None,
        };
        state.queue.push_back(notice);
        if let Some(namespace) = connected {
            state.release(&namespace);
        }
        drop(state);
        self.arrival.0.notify_one();
    }
}

impl State {
    /// Queues the results that have arrived, in order.
    fn settle(&mut self, arrival: &Arc<Arrival>) {
        let waker = Waker::from(Arc::clone(arrival));
        let mut cx = Context::from_waker(&waker);
        while let Poll::Ready(Some(outcome)) = self.outcomes.poll_next_unpin(&mut cx) {
            let Some(notice) = outcome.notice else {
                continue;
            };
            if let NoticeKind::Sent(What::Failure { .. })
            | NoticeKind::Answer(What::Failure { .. }) = notice.kind
            {
                self.unsent.retain(|(number, _)| *number != outcome.number);
            }
            self.queue.push_back(notice);
        }
    }

    /// Queues the notices of buffered events, which are sent now that the namespace is connected.
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
    /// Waits for the next notice. Cancel safe.
    pub(crate) async fn recv(&mut self) -> Notice {
        loop {
            if let Some(notice) = self.try_recv() {
                return notice;
            }
            self.0.arrival.0.notified().await;
        }
    }

    /// Returns the next notice, if there is one.
    pub(crate) fn try_recv(&mut self) -> Option<Notice> {
        let mut state = self.0.state();
        state.settle(&self.0.arrival);
        state.take()
    }
}

/// Drops the sockets, whose handlers refer to this queue.
impl Drop for Notices {
    fn drop(&mut self) {
        let state = std::mem::take(&mut *self.0.state());
        drop(state);
    }
}

impl Reporter {
    /// Adds handlers to a socket that report everything that happens to it.
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

    /// Reports something that this client sent.
    pub(crate) fn sent(&self, namespace: &str, what: What) {
        self.0.push(Notice::now(namespace, NoticeKind::Sent(what)));
    }

    /// Polls `emitting`, which emits an event. Reports the event when it is sent, and later the result.
    pub(crate) fn emit(
        &self,
        socket: &Socket,
        sent: What,
        emitting: impl Future<Output = Option<NoticeKind>> + Send + 'static,
    ) {
        let namespace = socket.namespace().to_owned();
        let sent = Notice::now(&namespace, NoticeKind::Sent(sent));
        let mut state = self.0.state();
        state.settle(&self.0.arrival);
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
        // Without tokio's budget, so that a result that has arrived is always seen.
        state.outcomes.push(Box::pin(unconstrained(outcome)));
        // Its first poll is now, in the order of the calls.
        state.settle(&self.0.arrival);
        drop(state);
        self.0.arrival.0.notify_one();
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

    /// Returns the log entry. `number` identifies an event that asks for an acknowledgement.
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
                message: "gave up reconnecting".to_owned(),
                data: None,
            },
            NoticeKind::Event(event, _) => What::Receive {
                name: event.name().to_owned(),
                args: event.args().clone(),
                ack: number,
            },
            NoticeKind::Sent(what) | NoticeKind::Answer(what) => what.clone(),
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
    fn a_disconnect_shows_the_close_code_and_reason() {
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
