//! Servers for the tests, and waits that end.

use std::{
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::Pin,
    task::Poll,
    time::Duration,
};

use kokanee_client::DisconnectReason;
use kokanee_server::{Ack, Args, Server, Socket};

/// Longest wait for anything that must happen.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// Waits for a future, and panics with `what` if it takes too long.
#[track_caller]
pub(crate) fn within<F: Future>(what: &str, future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        let waited = tokio::time::timeout(LIMIT, future).await;
        waited.unwrap_or_else(|_| panic!("{caller}: {what} has not come in {LIMIT:?}"))
    }
}

/// Waits until a client has connected, which must succeed.
#[track_caller]
pub(crate) fn accepted<T, E: std::fmt::Debug>(
    connecting: impl Future<Output = Result<T, E>>,
) -> impl Future<Output = T> {
    let connecting = within("the connection", connecting);
    async { connecting.await.expect("accepted") }
}

/// A server that answers `echo`, by acknowledgement if one is wanted.
pub(crate) fn echo_server() -> Server {
    let io = Server::new();
    add_echo(&io);
    io
}

pub(crate) fn add_echo(io: &Server) {
    io.on("echo", async |socket: Socket, args: Args, ack: Ack| {
        if ack.is_wanted() {
            ack.send_args(&args)
        } else {
            socket.emit_args("echo", &args).await
        }
    });
}

/// Serves on a port of 127.0.0.1; 0 is a free one.
pub(crate) async fn serve(io: &Server, port: u16) -> SocketAddr {
    let listener = io
        .bind(&format!("127.0.0.1:{port}"))
        .await
        .expect("a free port");
    let address = listener.local_addr();
    tokio::spawn(listener.serve());
    address
}

/// A channel that handlers write to.
pub(crate) struct Journal<T>(tokio::sync::mpsc::UnboundedReceiver<T>);

/// Both ends of a journal.
pub(crate) fn journal<T: Send + 'static>()
-> (impl Fn(T) + Clone + Send + Sync + 'static, Journal<T>) {
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    // The test may have ended.
    (move |entry| drop(sender.send(entry)), Journal(receiver))
}

/// A journal of the reasons with which a socket is disconnected.
pub(crate) fn reasons(socket: &kokanee_client::Socket) -> Journal<String> {
    let (note, reasons) = journal();
    socket.on_disconnect(move |reason: DisconnectReason| {
        note(reason.to_string());
        async {}
    });
    reasons
}

/// Waits until a socket that has lost its connection has another one.
#[track_caller]
pub(crate) fn connected_again(socket: &kokanee_client::Socket) -> impl Future<Output = ()> {
    let connected = within("connected again", socket.connected());
    async { connected.await.expect("accepted") }
}

/// Polls a future once. Returns whether it waits.
pub(crate) async fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx)))
        .await
        .is_pending()
}

impl<T> Journal<T> {
    /// The next entry.
    #[track_caller]
    pub(crate) fn next(&mut self) -> impl Future<Output = T> {
        let next = within("an entry", self.0.recv());
        async { next.await.expect("the handlers live") }
    }

    /// Whether nothing was written since.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
