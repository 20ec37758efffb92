//! What connections and broadcasts cost in memory, counted at the allocator of this process.
//!
//! Clients are plain blocking sockets of the test's own thread, which allocate nothing while it is counted; all that is
//! counted belongs to the server and to the runtime that it runs on.

use std::{
    alloc::System,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    time::{Duration, Instant},
};

use bytes::Bytes;
use kokanee_server::{Args, EmitError, Overflow, ParserKind, Recovery, Server, Socket};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Longest wait for anything that must happen.
const LIMIT: Duration = Duration::from_secs(10);

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
        assert!(start.elapsed() < LIMIT, "memory use does not settle");
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
        .set_read_timeout(Some(LIMIT))
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
    let mut stream = open_session(address);
    stream
        .write_all(&frame(b"40")[..8])
        .expect("the server reads");
    read_until(&mut stream, b"\"}");
    stream
}

/// Opens a WebSocket.
fn open_session(address: SocketAddr) -> TcpStream {
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
        assert!(start.elapsed() < LIMIT, "the sessions end");
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

#[test]
fn an_idle_connection_that_may_come_back_costs_little_more() {
    const CONNECTIONS: usize = 1000;
    let _alone = alone();
    let each = [None, Some(Recovery::default())].map(|recovery| {
        let mut builder = Server::builder()
            .with_limits(|limits| limits.max_pending_sessions_per_address = 10_000);
        if let Some(recovery) = recovery {
            builder = builder.recovery(recovery);
        }
        let server = start(builder.build());
        let warm: Vec<TcpStream> = (0..50).map(|_| open_websocket(server.address)).collect();
        let mut clients = Vec::with_capacity(CONNECTIONS);
        let before = settled_bytes();
        clients.extend((0..CONNECTIONS).map(|_| open_websocket(server.address)));
        let each = (settled_bytes() - before) / CONNECTIONS;
        drop(warm);
        each
    });
    println!(
        "an idle connection: {} bytes, {} with recovery",
        each[0], each[1]
    );
    assert!(each[1] < each[0] + 300, "{each:?}");
}

#[test]
fn stored_events_take_no_more_memory_than_their_limit() {
    let _alone = alone();
    let text = "x".repeat(128);
    for (events, most, target) in [
        (1_000_000, 64 << 20, None),
        (100_000, usize::MAX, None),
        (100_000, 16 << 20, Some("a room")),
    ] {
        let recovery = Recovery::default().max_bytes(most);
        let server = start(Server::builder().recovery(recovery).build());
        let before = settled_bytes();
        server.runtime.block_on(async {
            for _ in 0..events {
                let sent = match target {
                    None => server.io.emit("news", &text).await,
                    Some(room) => server.io.to(room).emit("news", &text).await,
                };
                sent.expect("sent");
            }
        });
        let held = settled_bytes() - before;
        println!("{events} events of 128 bytes, at most {most} bytes: {held} bytes");
        if most == usize::MAX {
            let each = held / events;
            assert!(each < 128 + 350, "{each} bytes each");
        } else {
            // And that is not far from it.
            assert!(held < most + most / 4 && held > most / 2, "{held} bytes");
        }
    }
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

#[test]
fn what_is_dropped_takes_no_memory_while_the_task_does_not_run() {
    const EMITS: u32 = 200_000;
    let _alone = alone();
    for overflow in [Overflow::DropOldest, Overflow::DropNewest] {
        let io = Server::builder()
            .with_limits(|limits| {
                limits.overflow = overflow;
                limits.max_outbound_bytes = 100_000;
            })
            .build();
        let gate = Arc::new(Mutex::new(()));
        let (note, noted) = mpsc::channel();
        let handler_gate = Arc::clone(&gate);
        io.on("block", move || {
            let (gate, note) = (Arc::clone(&handler_gate), note.clone());
            async move {
                note.send(()).expect("the test waits");
                drop(gate.lock());
            }
        });
        let server = start(io);
        let mut client = open_websocket(server.address);
        let sockets = server.runtime.block_on(server.io.of("/").fetch_sockets());
        let blocked = gate.lock();
        client
            .write_all(&frame(b"42[\"block\"]")[..17])
            .expect("the server reads");
        noted.recv_timeout(LIMIT).expect("the handler runs");
        let before = live_bytes();
        for number in 0..EMITS {
            // Whether it is dropped at once is a matter of the policy.
            let _ = sockets[0].emit_volatile("news", number);
        }
        let held = live_bytes().saturating_sub(before);
        drop(blocked);
        println!("{overflow:?}: {held} bytes after {EMITS} events");
        // The limit, and what small packets take beside their bytes.
        assert!(held < 1 << 20, "{overflow:?}: {held} bytes");
    }
}

/// A masked frame of any size.
fn large_frame(opcode: u8, fin: bool, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![u8::from(fin) << 7 | opcode, 0x80 | 127];
    frame.extend_from_slice(&(payload.len() as u64).to_be_bytes());
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// What a connection takes of which nothing more is read, or that has ended.
fn pinned_bytes(parser: ParserKind, send: &Send<'_>) -> usize {
    let io = Server::builder().parser(parser).build();
    // Its handlers never end, and keep what they got.
    io.on("wait", async |args: Args| {
        std::future::pending::<()>().await;
        drop(args);
    });
    let server = start(io);
    let mut client = match parser {
        ParserKind::Msgpack => open_msgpack(server.address),
        _ => open_websocket(server.address),
    };
    client
        .set_write_timeout(Some(Duration::from_millis(500)))
        .expect("a socket option");
    // The thread's buffers are there after this.
    let before = settled_bytes();
    // `false` when the server reads no more.
    send(&mut |bytes| client.write_all(bytes).is_ok());
    settled_bytes().saturating_sub(before)
}

fn open_msgpack(address: SocketAddr) -> TcpStream {
    const CONNECT: &[u8] = b"\x82\xa4type\x00\xa3nsp\xa1/";
    let mut stream = open_session(address);
    stream
        .write_all(&large_frame(2, true, CONNECT))
        .expect("the server reads");
    read_until(&mut stream, b"sid");
    stream
}

/// Sends by what it is given, which says `false` when the server reads no more.
type Send<'a> = Box<dyn Fn(&mut dyn FnMut(&[u8]) -> bool) + 'a>;

#[test]
fn what_one_client_has_sent_takes_at_most_4_mb() {
    const MESSAGE: usize = 1_000_000;
    const MOST: usize = 4_000_000;
    let _alone = alone();
    let text = |bytes: usize, start: &str, end: &str| {
        let fill = "x".repeat(bytes - start.len() - end.len());
        large_frame(1, true, format!("{start}{fill}{end}").as_bytes())
    };
    let placeholders = (0..10)
        .map(|num| format!("{{\"_placeholder\":true,\"num\":{num}}}"))
        .collect::<Vec<_>>()
        .join(",");
    let partial = large_frame(2, true, &vec![7; MESSAGE])[..MESSAGE - 10].to_vec();
    let whole = large_frame(2, true, &vec![7; MESSAGE - MESSAGE / 20]);
    let msgpack = |event: &[u8], data: &[u8]| {
        let data = [b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92", event, data].concat();
        large_frame(2, true, &data)
    };
    let array = |element: &[u8], bytes: usize| {
        let elements = element.repeat(bytes / element.len());
        let count = u32::try_from(bytes / element.len()).expect("not many");
        [&b"\xdd"[..], &count.to_be_bytes(), &elements].concat()
    };
    let repeated = |frame: Vec<u8>| -> Send<'_> { Box::new(move |write| while write(&frame) {}) };
    let cases: Vec<(&str, ParserKind, Send<'_>)> = vec![
        (
            "text, attachments and a part of one that a packet waits for",
            ParserKind::Default,
            Box::new(|write| {
                let start = format!("4510-[\"wait\",{placeholders},\"");
                write(&text(MESSAGE, &start, "\"]"));
                let _ = write(&whole) && write(&whole) && write(&partial);
            }),
        ),
        (
            "ten attachments of the greatest size",
            ParserKind::Default,
            Box::new(|write| {
                let start = format!("4510-[\"wait\",{placeholders},\"");
                write(&text(1_000, &start, "\"]"));
                let _ = (0..9).all(|_| write(&whole));
            }),
        ),
        (
            "long events",
            ParserKind::Default,
            repeated(text(MESSAGE, "42[\"wait\",\"", "\"]")),
        ),
        (
            "medium events",
            ParserKind::Default,
            repeated(text(30_000, "42[\"wait\",\"", "\"]")),
        ),
        (
            "short events",
            ParserKind::Default,
            repeated(text(20, "42[\"wait\",\"", "\"]")),
        ),
        (
            "events of which most is space",
            ParserKind::Default,
            repeated(large_frame(
                1,
                true,
                format!("42[\"wait\"]{}", " ".repeat(MESSAGE - 20)).as_bytes(),
            )),
        ),
        (
            "events with attachments",
            ParserKind::Default,
            Box::new(|write| {
                let header = text(
                    100,
                    "451-[\"wait\",{\"_placeholder\":true,\"num\":0},\"",
                    "\"]",
                );
                while write(&header) && write(&whole) {}
            }),
        ),
        (
            "msgpack that is longer as text",
            ParserKind::Msgpack,
            repeated(msgpack(
                b"\xa4wait",
                &array(b"\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9b", MESSAGE - 100),
            )),
        ),
        (
            "msgpack that is much longer as text",
            ParserKind::Msgpack,
            repeated(msgpack(b"\xa4wait", &array(b"\xc2", MESSAGE - 100))),
        ),
        (
            "many empty binary values",
            ParserKind::Msgpack,
            repeated(msgpack(b"\xa4wait", &array(b"\xc4\x00", 20_000))),
        ),
        (
            "a small binary value in a large message",
            ParserKind::Msgpack,
            repeated(large_frame(
                2,
                true,
                &[
                    &b"\x84\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa4wait\xc4\x01x\xa4junk"[..],
                    &b"\xc6\x00\x0f\x00\x00"[..],
                    &vec![0; 0xf_0000],
                ]
                .concat(),
            )),
        ),
    ];
    for (case, parser, send) in cases {
        let pinned = pinned_bytes(parser, &send);
        println!("{case}: {pinned} bytes");
        assert!(pinned <= MOST, "{case}: {pinned} bytes");
    }
}
