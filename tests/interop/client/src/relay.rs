//! A TCP relay in front of a server, for what happens to a network: connections are cut, refused, or stand still.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::AbortHandle,
};

/// Passes connections on to a server until told otherwise. It ends with this value.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    target: u16,
    refuses: AtomicBool,
    /// Counts the cuts; each ends the connections that were there.
    cuts: watch::Sender<u64>,
    accepted: Mutex<Vec<Instant>>,
}

impl Relay {
    /// Starts a relay to this port of the loopback interface.
    ///
    /// # Panics
    /// The system has no free port.
    pub async fn start(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            target,
            refuses: AtomicBool::new(false),
            cuts: watch::Sender::new(0),
            accepted: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        Self {
            address,
            shared,
            accepting,
        }
    }

    /// Its address for a client, with a namespace: `/` or another.
    pub fn url(&self, namespace: &str) -> String {
        format!("http://{}{namespace}", self.address)
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Closes new connections at once, or stops to do so.
    pub fn refuse(&self, refuses: bool) {
        self.shared.refuses.store(refuses, Ordering::SeqCst);
    }

    /// When connections came, those that were refused included.
    ///
    /// # Panics
    /// Never, unless the relay has.
    pub fn accepted(&self) -> Vec<Instant> {
        self.shared.accepted.lock().expect("no panic").clone()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        shared
            .accepted
            .lock()
            .expect("no panic")
            .push(Instant::now());
        if shared.refuses.load(Ordering::SeqCst) {
            continue;
        }
        tokio::spawn(relay(client, shared.target, shared.cuts.subscribe()));
    }
}

async fn relay(mut client: TcpStream, target: u16, mut cuts: watch::Receiver<u64>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", target)).await else {
        return;
    };
    // Numbered packets in both directions would else wait for each other's acknowledgements.
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = cuts.changed() => {}
    }
}
