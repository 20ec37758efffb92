//! Connections with Kokanee's client, on a runtime of the calling thread.
//!
//! The handlers of each client send a [`Notice`] of everything that happens. A turn takes all notices, passes them to the
//! load, and sends what it emits.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use kokanee_client::{
    ClientBuilder, ConnectFailure, DisconnectReason, Failure, RawEvent, Socket, Transport,
};
use tokio::runtime::{self, Runtime};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::error::{Error, Violation};
use crate::fleet::{ConnectionStats, Fleet};
use crate::load::{DIGITS, Emit, Load, Message, Reply, number};
use crate::options::{Options, Scenario};

/// The connections and their runtime.
#[derive(Debug)]
pub(crate) struct ClientFleet {
    /// `None` only while the fleet is dropped.
    runtime: Option<Runtime>,
    clients: Clients,
}

/// The connections. Their methods must be called within the runtime.
#[derive(Debug)]
struct Clients {
    builder: ClientBuilder,
    message: Arc<Text>,
    connections: Vec<Client>,
    stats: ConnectionStats,
    /// Whether cut connections are reconnecting.
    is_storm: bool,
    sender: UnboundedSender<Notice>,
    // Filled only during a turn, which takes all of them.
    notices: UnboundedReceiver<Notice>,
    /// What the load emits for an arrival; kept to reuse its memory.
    emits: Vec<Emit>,
}

/// One client.
#[derive(Debug)]
struct Client {
    socket: Socket,
    /// Whether its namespace accepted it.
    is_ready: bool,
    /// When it was started, or cut.
    since: Instant,
}

/// Something that happened to a client.
#[derive(Debug)]
struct Notice {
    connection: usize,
    at: Instant,
    kind: NoticeKind,
}

#[derive(Debug)]
enum NoticeKind {
    Accepted,
    Failed(Arc<ConnectFailure>),
    Lost(DisconnectReason),
    /// An event or an acknowledgement arrived; with its number if it is a reply.
    Arrived(Option<u32>),
}

impl ClientFleet {
    /// Returns a fleet without connections.
    ///
    /// # Errors
    /// [`Error::EventLoop`].
    pub(crate) fn new(options: &Options, builder: &ClientBuilder) -> Result<Self, Error> {
        let mut builder = builder
            .clone()
            .reconnection(options.scenario == Scenario::Storm)
            // The window bounds how much is buffered.
            .send_buffer_bytes(usize::MAX)
            .max_pending_acks(options.window);
        if options.scenario == Scenario::Polling {
            builder = builder.transports([Transport::Polling]);
        }
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::EventLoop)?;
        let (sender, notices) = mpsc::unbounded_channel();
        Ok(Self {
            runtime: Some(runtime),
            clients: Clients {
                builder,
                message: Arc::new(Text::new(Message::of(options))),
                connections: Vec::new(),
                stats: ConnectionStats::new(),
                is_storm: false,
                sender,
                notices,
                emits: Vec::new(),
            },
        })
    }
}

/// Drops the clients without disconnecting, and does not wait for a slow resolver.
impl Drop for ClientFleet {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Fleet for ClientFleet {
    fn stats(&self) -> &ConnectionStats {
        &self.clients.stats
    }

    fn stats_mut(&mut self) -> &mut ConnectionStats {
        &mut self.clients.stats
    }

    fn start(&mut self) -> Result<(), Error> {
        let _runtime = self.runtime.as_ref().map(Runtime::enter);
        self.clients.start()
    }

    fn cut(&mut self) {
        self.clients.cut();
    }

    fn emit(&mut self, emits: &[Emit]) -> Result<(), Error> {
        let _runtime = self.runtime.as_ref().map(Runtime::enter);
        for &emit in emits {
            self.clients.emit(emit);
        }
        Ok(())
    }

    fn turn(&mut self, load: Option<&mut dyn Load>, timeout: Duration) -> Result<(), Error> {
        let Self { runtime, clients } = self;
        let turn = clients.turn(load);
        let turn = async { tokio::time::timeout(timeout, turn).await };
        // A timeout is not an error.
        let turned = runtime.as_ref().map(|runtime| runtime.block_on(turn));
        turned.and_then(Result::ok).unwrap_or(Ok(()))
    }
}

impl Clients {
    fn start(&mut self) -> Result<(), Error> {
        let connection = self.connections.len();
        let socket = self.builder.clone().build();
        let socket = socket.map_err(|failure| Error::Connect {
            connection,
            source: Arc::new(failure),
        })?;
        self.watch(connection, &socket);
        let since = Instant::now();
        // It continues to connect in the background, and the handlers report the result.
        let _ = socket.connect().now_or_never();
        self.connections.push(Client {
            socket,
            is_ready: false,
            since,
        });
        self.stats.started += 1;
        Ok(())
    }

    /// Adds the handlers of a client.
    fn watch(&self, connection: usize, socket: &Socket) {
        let notifier = || {
            let sender = self.sender.clone();
            move |kind| {
                notify(&sender, connection, kind);
                std::future::ready(())
            }
        };
        let (notify, message) = (notifier(), Arc::clone(&self.message));
        socket.on_any(move |event: RawEvent| notify(NoticeKind::Arrived(message.read(&event))));
        let notify = notifier();
        socket.on_connect(move || notify(NoticeKind::Accepted));
        let notify = notifier();
        socket.on_disconnect(move |reason: DisconnectReason| notify(NoticeKind::Lost(reason)));
        let notify = notifier();
        socket.on_connect_error(move |failure: Failure| notify(NoticeKind::Failed(failure.0)));
    }

    fn cut(&mut self) {
        let now = Instant::now();
        self.is_storm = true;
        self.stats.ready = 0;
        for client in &mut self.connections {
            client.is_ready = false;
            client.since = now;
            client.socket.reconnect();
        }
    }

    /// Waits for a notice, and handles all that are queued.
    async fn turn(&mut self, mut load: Option<&mut dyn Load>) -> Result<(), Error> {
        let mut next = self.notices.recv().await;
        while let Some(notice) = next {
            match &mut load {
                Some(load) => self.handle(notice, Some(&mut **load))?,
                None => self.handle(notice, None)?,
            }
            next = self.notices.try_recv().ok();
        }
        Ok(())
    }

    fn handle(&mut self, notice: Notice, load: Option<&mut dyn Load>) -> Result<(), Error> {
        let Notice {
            connection,
            at,
            kind,
        } = notice;
        let client = &mut self.connections[connection];
        match kind {
            NoticeKind::Arrived(number) => {
                if let Some(load) = load {
                    load.on_arrival(connection, number, at, &mut self.emits);
                    let mut emits = std::mem::take(&mut self.emits);
                    for emit in emits.drain(..) {
                        self.emit(emit);
                    }
                    self.emits = emits;
                }
            }
            NoticeKind::Accepted => {
                client.is_ready = true;
                self.stats.accept(client.since, at);
                self.is_storm &= !self.stats.is_complete();
            }
            NoticeKind::Failed(source) => {
                if !client.socket.is_active() {
                    return Err(Error::Connect { connection, source });
                }
                self.stats.fail(source.to_string());
            }
            NoticeKind::Lost(reason) => {
                // This run cut the connection.
                if !client.is_ready {
                    return Ok(());
                }
                if !self.is_storm || !client.socket.is_active() {
                    return Err(Error::Violation {
                        connection,
                        violation: Violation::Lost { reason },
                    });
                }
                client.is_ready = false;
                self.stats.ready -= 1;
                self.stats.fail(reason.to_string());
            }
        }
        Ok(())
    }

    fn emit(&self, Emit { connection, number }: Emit) {
        let socket = &self.connections[connection].socket;
        let Message { event, relayed, .. } = &self.message.message;
        let text = self.message.write(number);
        if self.message.message.reply == Reply::Ack {
            let (asked, sender) = (
                socket.emit_with_ack::<()>(event, &text),
                self.sender.clone(),
            );
            tokio::spawn(async move {
                // It fails only if the connection is lost, which has a notice of its own.
                if asked.args().await.is_ok() {
                    notify(&sender, connection, NoticeKind::Arrived(Some(number)));
                }
            });
            return;
        }
        let emit = match relayed {
            None => socket.emit(event, &text),
            Some(relayed) => socket.emit(event, (relayed, &text)),
        };
        // The send buffer has room, so this is ready immediately. It fails only if the connection is lost, which has a notice.
        let _ = emit.now_or_never();
    }
}

fn notify(sender: &UnboundedSender<Notice>, connection: usize, kind: NoticeKind) {
    // The run may have ended.
    let _ = sender.send(Notice {
        connection,
        at: Instant::now(),
        kind,
    });
}

/// The text of a [`Message`].
#[derive(Debug)]
struct Text {
    message: Message,
    /// The text after the digits.
    filler: String,
}

impl Text {
    fn new(message: Message) -> Self {
        let filler = message.filler();
        Self { message, filler }
    }

    /// Returns the text with this number.
    fn write(&self, number: u32) -> Cow<'_, str> {
        match self.message.reply {
            Reply::Event(_) => format!("{number:0DIGITS$x}{}", self.filler).into(),
            Reply::Ack => self.filler.as_str().into(),
        }
    }

    /// Reads the number of a reply; `None` if the event is not one.
    fn read(&self, event: &RawEvent) -> Option<u32> {
        match &self.message.reply {
            Reply::Event(name) if name == event.name() => {}
            _ => return None,
        }
        let text = event.args().json().strip_prefix('"')?;
        let (digits, rest) = text.split_at_checked(DIGITS)?;
        let rest = rest.strip_prefix(self.filler.as_str())?;
        rest.starts_with('"')
            .then(|| number(digits.as_bytes()))
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use kokanee_client::Args;

    use super::*;

    fn text(ack: bool) -> Text {
        let options = Options {
            payload: 10,
            ack,
            ..Options::new("http://127.0.0.1:1", Scenario::Echo)
        };
        Text::new(Message::of(&options))
    }

    fn event<T: serde::Serialize>(name: &str, args: T) -> RawEvent {
        RawEvent::new(name, Args::from_serialize(&args).expect("arguments"))
    }

    #[test]
    fn number_comes_back_with_the_text() {
        let text = text(false);
        let sent = text.write(0x12ab);
        assert_eq!(sent, "000012abxx");
        assert_eq!(text.read(&event("echo", &sent)), Some(0x12ab));
        assert_eq!(text.read(&event("echo", (&sent, "offset"))), Some(0x12ab));
    }

    #[test]
    fn other_events_are_not_replies() {
        let text = text(false);
        for (name, sent) in [
            ("clock", "000012abxx"),
            ("echo", "000012abyy"),
            ("echo", "000012abxxx"),
            ("echo", "000012agxx"),
            ("echo", ""),
        ] {
            assert_eq!(text.read(&event(name, sent)), None, "{name} {sent}");
        }
    }

    #[test]
    fn text_of_an_acknowledged_event_has_no_number() {
        let text = text(true);
        assert_eq!(text.write(7), "xxxxxxxxxx");
        assert_eq!(text.read(&event("echo", "00000007xx")), None);
    }
}
