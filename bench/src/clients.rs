//! Connections that are Kokanee's client, on a runtime of the calling thread.
//!
//! The handlers of each client leave a [`Notice`] of what happens; a turn takes them all, tells the load, and emits what
//! follows.

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
use crate::fleet::{Census, Fleet};
use crate::load::{Answer, DIGITS, Emit, Load, Message, number};
use crate::options::{Options, Scenario};

/// The connections and their runtime.
#[derive(Debug)]
pub(crate) struct ClientFleet {
    /// There until the fleet is dropped.
    runtime: Option<Runtime>,
    clients: Clients,
}

/// The connections. Whatever they do, they do it on the runtime.
#[derive(Debug)]
struct Clients {
    builder: ClientBuilder,
    message: Arc<Text>,
    links: Vec<Link>,
    census: Census,
    /// Whether connections that were cut come back.
    is_storm: bool,
    sender: UnboundedSender<Notice>,
    // Filled only while a turn runs, which takes all of them.
    notices: UnboundedReceiver<Notice>,
    /// What the load emits at an arrival.
    emits: Vec<Emit>,
}

/// One client.
#[derive(Debug)]
struct Link {
    socket: Socket,
    /// Whether its namespace has accepted it.
    is_ready: bool,
    /// When it was started, or cut.
    since: Instant,
}

/// Something that has happened to a client.
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
    /// An event or an acknowledgement has arrived; its number if it is an answer.
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
            // What waits is bounded by the window.
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
                links: Vec::new(),
                census: Census::new(),
                is_storm: false,
                sender,
                notices,
                emits: Vec::new(),
            },
        })
    }
}

/// The clients end without a goodbye, and nobody waits for a slow resolver.
impl Drop for ClientFleet {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Fleet for ClientFleet {
    fn census(&self) -> &Census {
        &self.clients.census
    }

    fn census_mut(&mut self) -> &mut Census {
        &mut self.clients.census
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
        // Without notices until the timeout nothing has gone wrong.
        let turned = runtime.as_ref().map(|runtime| runtime.block_on(turn));
        turned.and_then(Result::ok).unwrap_or(Ok(()))
    }
}

impl Clients {
    fn start(&mut self) -> Result<(), Error> {
        let connection = self.links.len();
        let socket = self.builder.clone().build();
        let socket = socket.map_err(|failure| Error::Connect {
            connection,
            source: Arc::new(failure),
        })?;
        self.watch(connection, &socket);
        let since = Instant::now();
        // It goes on connecting; the handlers tell what becomes of it.
        let _ = socket.connect().now_or_never();
        self.links.push(Link {
            socket,
            is_ready: false,
            since,
        });
        self.census.started += 1;
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
        self.census.ready = 0;
        for link in &mut self.links {
            link.is_ready = false;
            link.since = now;
            link.socket.reconnect();
        }
    }

    /// Waits for a notice, and handles what there is.
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
        let link = &mut self.links[connection];
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
                link.is_ready = true;
                self.census.accept(link.since, at);
                self.is_storm &= !self.census.is_complete();
            }
            NoticeKind::Failed(source) => {
                if !link.socket.is_active() {
                    return Err(Error::Connect { connection, source });
                }
                self.census.fail(source.to_string());
            }
            NoticeKind::Lost(reason) => {
                // We have cut it ourselves.
                if !link.is_ready {
                    return Ok(());
                }
                if !self.is_storm || !link.socket.is_active() {
                    return Err(Error::Violation {
                        connection,
                        violation: Violation::Lost { reason },
                    });
                }
                link.is_ready = false;
                self.census.ready -= 1;
                self.census.fail(reason.to_string());
            }
        }
        Ok(())
    }

    fn emit(&self, Emit { connection, number }: Emit) {
        let socket = &self.links[connection].socket;
        let Message { event, relayed, .. } = &self.message.message;
        let text = self.message.write(number);
        if self.message.message.answer == Answer::Ack {
            let (asked, sender) = (
                socket.emit_with_ack::<()>(event, &text),
                self.sender.clone(),
            );
            tokio::spawn(async move {
                // Without an answer the connection is lost, of which there is a notice.
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
        // There is always room, so it is ready. It fails if the connection is lost, of which there is a notice.
        let _ = emit.now_or_never();
    }
}

fn notify(sender: &UnboundedSender<Notice>, connection: usize, kind: NoticeKind) {
    // Nobody takes notices any more when the run has ended.
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
    /// What stands behind the digits.
    filler: String,
}

impl Text {
    fn new(message: Message) -> Self {
        let filler = message.filler();
        Self { message, filler }
    }

    /// Returns the text with this number.
    fn write(&self, number: u32) -> Cow<'_, str> {
        match self.message.answer {
            Answer::Event(_) => format!("{number:0DIGITS$x}{}", self.filler).into(),
            Answer::Ack => self.filler.as_str().into(),
        }
    }

    /// Reads the number of an answer; `None` if the event is not one.
    fn read(&self, event: &RawEvent) -> Option<u32> {
        match &self.message.answer {
            Answer::Event(name) if name == event.name() => {}
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
    fn other_events_are_not_answers() {
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
