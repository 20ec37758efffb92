//! A client with a scripted server at its other end, on a virtual clock.
//!
//! [`Pair`] is a driver without I/O: after every input it lets the manager do what there is to do, and it calls
//! `handle_timeout` exactly at the deadline.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use kokanee_engineio::{CloseReason, Message, Outgoing, Revision, SendOptions, Str, Transport};
use parking_lot::{Mutex, MutexGuard};

use super::super::{connection::State, manager::Manager, turn::Turn};
use crate::{
    client::ClientBuilder,
    engine::{ConnectFailure, wire::Wire},
    reason::CloseDetails,
    socket::Socket,
};

/// A future of the application, polled when the test asks for its outcome.
pub(super) type Call<T> = Pin<Box<dyn Future<Output = T>>>;

/// What the client has sent, and how far that has got.
#[derive(Default)]
struct Sent {
    packets: Vec<String>,
    /// The server takes nothing, so what is sent waits.
    stuck: bool,
}

/// Returns the outcome of a call that has ended.
pub(super) fn outcome<T>(mut call: Call<T>) -> Option<T> {
    let cx = &mut Context::from_waker(Waker::noop());
    match call.as_mut().poll(cx) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}

/// A wire that notes what is sent.
pub(super) struct Script {
    sent: Arc<Mutex<Sent>>,
    revision: Revision,
}

impl Script {
    fn push(&self, packet: String) {
        lock(&self.sent).packets.push(packet);
    }
}

fn lock(sent: &Mutex<Sent>) -> MutexGuard<'_, Sent> {
    sent.lock()
}

fn text(message: &Outgoing) -> String {
    match message.message() {
        Message::Text(text) => text.as_str().to_owned(),
        Message::Binary(bytes) => format!("{} bytes", bytes.len()),
    }
}

impl Wire for Script {
    fn send(&mut self, _: Instant, message: &Outgoing, _: &[Outgoing], _: SendOptions) -> bool {
        self.push(text(message));
        true
    }

    fn send_connect(&mut self, _: Instant, message: &Outgoing) {
        self.push(text(message));
    }

    fn send_disconnect(&mut self, _: Instant, message: &Outgoing) {
        self.push(text(message));
    }

    fn close(&mut self, _: Instant) {
        self.push("close".to_owned());
    }

    fn expire(&mut self, _: Instant) -> Option<CloseReason> {
        None
    }

    fn sid(&self) -> Option<&str> {
        Some("secret")
    }

    fn revision(&self) -> Revision {
        self.revision
    }

    fn transport(&self) -> Transport {
        Transport::WebSocket
    }

    fn is_flushed(&self) -> bool {
        !lock(&self.sent).stuck
    }

    fn is_complete(&self) -> bool {
        self.is_flushed()
    }

    fn close_details(&self) -> Option<CloseDetails> {
        None
    }
}

/// A client and its server.
pub(super) struct Pair {
    /// The socket of `/`.
    pub(super) socket: Socket,
    manager: Manager<Script>,
    revision: Revision,
    now: Instant,
    sent: Arc<Mutex<Sent>>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Pair {
    pub(super) fn new(options: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Self {
        Self::with_revision(Revision::V4, options)
    }

    pub(super) fn with_revision(
        revision: Revision,
        options: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Self {
        // Without chance, delays are exact.
        let builder = ClientBuilder::new("http://localhost/").randomization_factor(0.0);
        let socket = options(builder.revision(revision))
            .assemble()
            .expect("usable options");
        let manager = Manager::new(Arc::clone(&socket.core().hub));
        let mut pair = Self {
            socket,
            manager,
            revision,
            now: Instant::now(),
            sent: Arc::default(),
            log: Arc::default(),
        };
        pair.turn();
        pair
    }

    /// A client whose socket is connected.
    pub(super) fn connected(options: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Self {
        let mut pair = Self::new(options);
        let call = pair.connect();
        pair.opens();
        assert_eq!(pair.sent(), ["0"]);
        pair.server_sends(r#"0{"sid":"public"}"#);
        assert!(matches!(outcome(call), Some(Ok(()))));
        pair
    }

    // The application.

    /// Calls an async function. It runs as far as it can.
    pub(super) fn call<T: 'static>(
        &mut self,
        future: impl Future<Output = T> + 'static,
    ) -> Call<T> {
        let mut call: Call<T> = Box::pin(future);
        let cx = &mut Context::from_waker(Waker::noop());
        if let Poll::Ready(outcome) = call.as_mut().poll(cx) {
            call = Box::pin(std::future::ready(outcome));
        }
        self.turn();
        call
    }

    pub(super) fn connect(&mut self) -> Call<Result<(), ConnectFailure>> {
        self.connect_socket(&self.socket.clone())
    }

    pub(super) fn connect_socket(&mut self, socket: &Socket) -> Call<Result<(), ConnectFailure>> {
        let socket = socket.clone();
        self.call(async move { socket.connect().await })
    }

    pub(super) fn disconnect(&mut self) -> Call<bool> {
        let socket = self.socket.clone();
        self.call(async move { socket.disconnect().await.is_ok() })
    }

    /// Emits an event, which must not have to wait.
    pub(super) fn emit(&mut self, event: &str) {
        let (socket, event) = (self.socket.clone(), event.to_owned());
        let call = self.call(async move { socket.emit(&event, ()).await });
        outcome(call).expect("room").expect("taken");
    }

    /// A function for handlers that writes to the log.
    pub(super) fn note(&self) -> impl Fn(String) + Clone + Send + Sync + use<> {
        let log = Arc::clone(&self.log);
        move |entry| {
            log.lock().push(entry);
        }
    }

    /// Takes what handlers have noted.
    pub(super) fn log(&mut self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock())
    }

    // The network.

    /// Whether the client opens a connection now.
    pub(super) fn is_opening(&self) -> bool {
        matches!(self.manager.connection.state, State::Opening)
    }

    /// Whether there is no connection, and none is to be opened.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.manager.connection.state, State::Closed)
    }

    /// The connection that the client opens is open.
    pub(super) fn opens(&mut self) {
        assert!(self.is_opening(), "nothing is being opened");
        self.manager.handle_opened(Script {
            sent: Arc::clone(&self.sent),
            revision: self.revision,
        });
        self.turn();
    }

    /// The connection that the client opens is refused.
    pub(super) fn fails(&mut self) {
        assert!(self.is_opening(), "nothing is being opened");
        let failure = ConnectFailure::Unreachable {
            address: "localhost".to_owned(),
            source: Arc::new(std::io::ErrorKind::ConnectionRefused.into()),
        };
        self.input(|manager, turn| manager.handle_open_failed(turn, failure));
    }

    /// The connection is lost.
    pub(super) fn loses(&mut self) {
        self.input(|manager, turn| manager.handle_lost(turn, CloseReason::TransportClose));
    }

    /// From now on the server takes nothing, or something again.
    pub(super) fn set_stuck(&mut self, stuck: bool) {
        lock(&self.sent).stuck = stuck;
        self.turn();
    }

    // The server.

    /// Takes what the client has sent.
    pub(super) fn sent(&mut self) -> Vec<String> {
        std::mem::take(&mut lock(&self.sent).packets)
    }

    pub(super) fn server_sends(&mut self, packet: &str) {
        let message = Message::Text(Str::from(packet.to_owned()));
        self.input(|manager, turn| manager.handle_message(turn, message));
    }

    // Time.

    /// Lets time pass.
    pub(super) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(deadline) = self.manager.deadline().filter(|&at| at <= end) {
            self.now = self.now.max(deadline);
            self.input(Manager::handle_timeout);
        }
        self.now = end;
    }

    /// Lets time pass, except the last millisecond.
    pub(super) fn wait_almost(&mut self, time: Duration) {
        self.wait(time.saturating_sub(Duration::from_millis(1)));
    }

    /// Lets time pass until the client opens a connection. Returns how long that took.
    pub(super) fn wait_for_attempt(&mut self) -> Duration {
        let start = self.now;
        while !self.is_opening() {
            let deadline = self.manager.deadline().expect("an attempt to come");
            self.wait(deadline - self.now);
        }
        self.now - start
    }

    // The driver.

    fn input(&mut self, input: impl FnOnce(&mut Manager<Script>, &mut Turn<'_, '_>)) {
        let guard = Arc::downgrade(self.socket.guard());
        let turn = &mut Turn {
            cx: &mut Context::from_waker(Waker::noop()),
            now: self.now,
            guard: &guard,
        };
        input(&mut self.manager, turn);
        self.turn();
    }

    fn turn(&mut self) {
        let guard = Arc::downgrade(self.socket.guard());
        let cx = &mut Context::from_waker(Waker::noop());
        loop {
            let turn = &mut Turn {
                cx,
                now: self.now,
                guard: &guard,
            };
            self.manager.take_commands(turn);
            let has_joined = self.manager.poll_joins(turn);
            self.manager.poll_handlers(turn);
            let is_flushed = self
                .manager
                .connection
                .open()
                .is_none_or(|open| !open.closing && open.wire.is_flushed());
            if is_flushed {
                self.manager.reply_flushed(true);
            }
            if !has_joined && self.manager.hub.sleep(cx) {
                return;
            }
        }
    }
}
