//! What connections and broadcasts cost in memory, counted at the allocator of this process.
//!
//! Clients are plain blocking sockets of the test's own thread, which allocate nothing while it is counted; all that is
//! counted belongs to the server and to the runtime that it runs on.

use std::{
    alloc::System,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use kokanee_server::{EmitError, Server, Socket};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Longest wait for anything that must happen.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes that are allocated now.
fn live_bytes() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// The same when nothing changes any more.
fn settled_bytes() -> usize {
    let start = Instant::now();
    let mut before = live_bytes();
    let mut same = 0;
    while same < 5 {
        assert!(start.elapsed() < PATIENCE, "memory use does not settle");
        std::thread::sleep(Duration::from_millis(20));
        let now = live_bytes();
        same = if now == before { same + 1 } else { 0 };
        before = now;
    }
    before
}

/// The tests count for the whole process, so they run one after the other.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Running {
    runtime: Runtime,
    io: Server,
    address: SocketAddr,
}

fn start(io: Server) -> Running {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let listener = runtime
        .block_on(io.bind("127.0.0.1:0"))
        .expect("a free port");
    let address = listener.local_addr();
    runtime.spawn(listener.serve());
    Running {
        runtime,
        io,
        address,
    }
}

fn many_sessions() -> Server {
    Server::builder()
        .with_limits(|limits| limits.max_pending_sessions_per_address = 10_000)
        .build()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the server accepts");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a socket option");
    stream.set_nodelay(true).expect("a socket option");
    stream
}

/// Reads until `end` has come.
fn read_until(stream: &mut TcpStream, end: &[u8]) {
    let mut buffer = [0; 4096];
    let mut filled = 0;
    while !buffer[..filled]
        .windows(end.len())
        .any(|window| window == end)
    {
        let count = stream
            .read(&mut buffer[filled..])
            .expect("the server answers");
        assert!(
            count > 0,
            "the server has closed: {:?}",
            buffer[..filled].escape_ascii()
        );
        filled += count;
    }
}

/// The bytes of a masked text frame, at most 125 bytes long. Masked with zeros, it is readable.
fn frame<const N: usize>(text: &[u8; N]) -> [u8; 131] {
    let mut frame = [0; 131];
    frame[0] = 0x81;
    frame[1] = 0x80 | u8::try_from(N).expect("a short text");
    frame[6..6 + N].copy_from_slice(text);
    frame
}

/// Opens a WebSocket and joins `/`.
fn open_websocket(address: SocketAddr) -> TcpStream {
    let mut stream = connect(address);
    stream
        .write_all(
            b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\n\
              User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\n\
              Origin: http://localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
              Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .expect("the server reads");
    read_until(&mut stream, b"\"maxPayload\":1000000}");
    stream
        .write_all(&frame(b"40")[..8])
        .expect("the server reads");
    read_until(&mut stream, b"\"}");
    stream
}

#[test]
fn an_idle_websocket_connection_costs_at_most_4_kib() {
    const CONNECTIONS: usize = 1000;
    let _alone = alone();
    let server = start(many_sessions());
    // The first connections pay for what belongs to the threads.
    let mut warm: Vec<TcpStream> = (0..50).map(|_| open_websocket(server.address)).collect();
    let mut clients = Vec::with_capacity(CONNECTIONS);
    let before = settled_bytes();
    clients.extend((0..CONNECTIONS).map(|_| open_websocket(server.address)));
    assert_eq!(server.io.of("/").socket_count(), CONNECTIONS + 50);
    let each = (settled_bytes() - before) / CONNECTIONS;
    println!("an idle WebSocket connection: {each} bytes");
    assert!(each <= 4096, "{each} bytes");

    // And when they have gone, the memory comes back.
    clients.clear();
    warm.clear();
    let start = Instant::now();
    while server.io.session_count() > 0 {
        assert!(start.elapsed() < PATIENCE, "the sessions end");
        std::thread::sleep(Duration::from_millis(10));
    }
    let left = settled_bytes().saturating_sub(before);
    println!("left of {CONNECTIONS} connections: {left} bytes");
    assert!(
        left < 100 * CONNECTIONS,
        "{left} bytes are left of {CONNECTIONS} connections"
    );
}

#[test]
fn an_abandoned_polling_session_costs_at_most_2_kib() {
    const SESSIONS: usize = 1000;
    let _alone = alone();
    let server = start(many_sessions());
    let mut http = connect(server.address);
    let mut open = |count: usize| {
        for _ in 0..count {
            http.write_all(
                b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: localhost\r\n\
                  User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\n\r\n",
            )
            .expect("the server reads");
            read_until(&mut http, b"\"maxPayload\":1000000}");
        }
    };
    open(50);
    let before = settled_bytes();
    open(SESSIONS);
    assert_eq!(server.io.session_count(), SESSIONS + 50);
    let each = (settled_bytes() - before) / SESSIONS;
    println!("an abandoned polling session: {each} bytes");
    assert!(each <= 2048, "{each} bytes");
}

/// Allocations of one broadcast to this many sockets, from the call until the last has read it.
fn allocations_of_a_broadcast(recipients: usize) -> usize {
    const TEXT: &str = "a text that every one of them gets";
    // Frame header, packet types, name and quotes.
    const FRAME_BYTES: usize = 2 + "42[\"news\",\"\"]".len() + TEXT.len();
    let server = start(many_sessions());
    let mut clients: Vec<TcpStream> = (0..recipients)
        .map(|_| open_websocket(server.address))
        .collect();
    let mut broadcast = || {
        server
            .runtime
            .block_on(server.io.emit("news", TEXT))
            .expect("sent");
        let mut buffer = [0; FRAME_BYTES];
        for client in &mut clients {
            client.read_exact(&mut buffer).expect("the broadcast");
            assert_eq!(&buffer[2..7], b"42[\"n");
        }
    };
    for _ in 0..3 {
        broadcast();
    }
    settled_bytes();
    let before = ALLOCATOR.stats();
    broadcast();
    let counted = ALLOCATOR.stats() - before;
    counted.allocations + counted.reallocations
}

#[test]
fn a_broadcast_allocates_nothing_per_recipient() {
    let _alone = alone();
    let few = allocations_of_a_broadcast(10);
    let many = allocations_of_a_broadcast(1000);
    println!("a broadcast to 10: {few} allocations, to 1,000: {many}");
    assert!(
        many.saturating_sub(few) < 99,
        "{few} allocations for 10, {many} for 1,000"
    );
}

#[test]
fn a_handler_that_sends_50_mb_to_a_slow_client_keeps_memory_bounded() {
    const PART_BYTES: usize = 64 * 1024;
    const PARTS: usize = 800;
    let _alone = alone();
    let io = Server::new();
    io.on("download", async |socket: Socket| {
        let part = Bytes::from(vec![7; PART_BYTES]);
        for _ in 0..PARTS {
            socket.emit("part", &part).await?;
        }
        Ok::<_, EmitError>(())
    });
    let server = start(io);
    let mut client = open_websocket(server.address);
    let before = settled_bytes();
    client
        .write_all(&frame(b"42[\"download\"]")[..20])
        .expect("the server reads");
    let mut buffer = vec![0; PART_BYTES];
    let (mut read, mut most) = (0, 0);
    while read < PARTS * PART_BYTES {
        if read % (100 * PART_BYTES) < PART_BYTES {
            std::thread::sleep(Duration::from_millis(20));
        }
        read += client.read(&mut buffer).expect("more comes");
        most = most.max(live_bytes().saturating_sub(before));
    }
    println!("at most {most} bytes while 50 MB were sent");
    assert!(most < 3 << 20, "{most} bytes");
    assert_eq!(server.io.session_count(), 1);
}
