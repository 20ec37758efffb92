//! Servers for the tests.

use std::{future::Future, time::Duration};

use kokanee_net::{Connection, NetError, ServerHandle, TcpServerBuilder};
use tokio::net::TcpSocket;

/// The timeout of every wait. Reached only if something is broken.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Waits for something that must happen.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(LIMIT, future)
        .await
        .expect("it happens in time")
}

/// An echo server.
pub(crate) async fn echo(mut conn: Connection) -> Result<(), NetError> {
    while let Some(data) = conn.recv().await? {
        conn.send_all(&data).await?;
    }
    Ok(())
}

/// Starts an echo server on a free port, and returns its address.
pub(crate) async fn start_echo(builder: TcpServerBuilder) -> (String, ServerHandle) {
    let server = builder.bind("127.0.0.1:0").await.expect("a free port");
    let address = server.local_addr().to_string();
    let handle = server.handle();
    tokio::spawn(server.serve(echo));
    (address, handle)
}

/// An address on which no program listens, as long as the socket that is bound to it exists.
pub(crate) fn closed_address() -> (String, TcpSocket) {
    let taken = TcpSocket::new_v4().expect("a socket");
    taken.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    (address, taken)
}
