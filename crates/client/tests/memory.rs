//! What idle clients cost in memory, counted at the allocator of this process.
//!
//! The server is a thread with plain blocking sockets, which allocates nothing while it is counted; all that is counted
//! belongs to the clients and to the runtime that they run on.

use std::{
    alloc::System,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc,
    time::{Duration, Instant},
};

use kokanee_client::{Client, Socket, Transport};
use kokanee_websocket::accept_key;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::runtime::{Builder, Runtime};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Longest wait for anything that must happen.
const LIMIT: Duration = Duration::from_secs(10);
const OPEN: &str = r#"0{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
const ACCEPTED: &str = r#"40{"sid":"wZX3oN0bSVIhsaknAAAI"}"#;

/// Bytes that are allocated now.
fn live_bytes() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// The same when nothing changes any more.
fn settled_bytes() -> usize {
    let start = Instant::now();
    let (mut before, mut same) = (live_bytes(), 0);
    while same < 5 {
        assert!(start.elapsed() < LIMIT, "memory use does not settle");
        std::thread::sleep(Duration::from_millis(20));
        let now = live_bytes();
        same = if now == before { same + 1 } else { 0 };
        before = now;
    }
    before
}

/// A server that accepts everybody, and is then silent. Its sockets come back when it ends.
fn serve(connections: usize) -> (SocketAddr, mpsc::Receiver<Vec<TcpStream>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (done, streams) = mpsc::channel();
    let mut open = Vec::with_capacity(connections);
    std::thread::spawn(move || {
        while open.len() < connections {
            let (mut stream, _) = listener.accept().expect("a connection");
            accept(&mut stream);
            open.push(stream);
        }
        // The test may have ended.
        let _ = done.send(open);
    });
    (address, streams)
}

fn accept(stream: &mut TcpStream) {
    stream.set_nodelay(true).expect("a socket option");
    stream
        .set_read_timeout(Some(LIMIT))
        .expect("a socket option");
    let mut head = [0; 2048];
    let mut filled = 0;
    while !head[..filled].ends_with(b"\r\n\r\n") {
        filled += stream.read(&mut head[filled..]).expect("a request");
    }
    let head = std::str::from_utf8(&head[..filled]).expect("text");
    let key = head
        .lines()
        .find_map(|line| line.strip_prefix("sec-websocket-key: "))
        .expect("a request for a WebSocket");
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        accept_key(key.as_bytes())
    );
    stream
        .write_all(answer.as_bytes())
        .expect("the client reads");
    text(stream, OPEN);
    // `40`, masked.
    let mut connect = [0; 8];
    stream.read_exact(&mut connect).expect("CONNECT");
    text(stream, ACCEPTED);
}

/// Writes a text frame of at most 125 bytes.
fn text(stream: &mut TcpStream, text: &str) {
    let length = u8::try_from(text.len()).expect("a short text");
    assert!(length < 126);
    let frame = [&[0x81, length], text.as_bytes()].concat();
    stream.write_all(&frame).expect("the client reads");
}

fn connect(runtime: &Runtime, address: SocketAddr, sockets: &mut Vec<Socket>, count: usize) {
    let url = format!("http://{address}");
    for _ in 0..count {
        let client = Client::builder(&url).transports([Transport::WebSocket]);
        sockets.push(runtime.block_on(client.connect()).expect("accepted"));
    }
}

#[test]
fn an_idle_client_costs_at_most_6_kib() {
    const CLIENTS: usize = 1000;
    const WARM: usize = 50;
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let (address, streams) = serve(WARM + CLIENTS);
    let mut sockets = Vec::with_capacity(WARM + CLIENTS);
    // The first ones pay for what belongs to the threads.
    connect(&runtime, address, &mut sockets, WARM);
    let before = settled_bytes();
    connect(&runtime, address, &mut sockets, CLIENTS);
    let open = streams.recv_timeout(LIMIT).expect("all have come");
    assert_eq!(open.len(), WARM + CLIENTS);
    assert!(sockets.iter().all(Socket::is_connected));
    let each = (settled_bytes() - before) / CLIENTS;
    println!("an idle client: {each} bytes");
    assert!(each <= 6 * 1024, "{each} bytes");

    // And when they have gone, the memory comes back.
    drop(open);
    drop(sockets);
    let left = settled_bytes().saturating_sub(before);
    println!("left of {CLIENTS} clients: {left} bytes");
    assert!(left < 200 * CLIENTS, "{left} bytes are left");
}
