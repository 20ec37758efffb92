//! The engine against a running server, below Socket.IO: transports, upgrade, order, ends.

use std::{collections::BTreeSet, sync::atomic::AtomicBool, time::Duration};

use bytes::Bytes;
use http::HeaderMap;
use kokanee_engineio::ClientSessionConfig;
use kokanee_server::{Args, Server, Socket};
use kokanee_socketio::{Decoder, DecoderLimits, Packet, ParserKind};
use kokanee_websocket::{OpCode, accept_key, encode_header};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use super::*;

/// Longest wait for anything that must happen.
const LIMIT: Duration = Duration::from_secs(10);

fn config(address: std::net::SocketAddr) -> EngineConfig {
    EngineConfig {
        target: Target::parse(&format!("http://{address}")).expect("a URL"),
        path: "/socket.io/".to_owned(),
        query: String::new(),
        headers: HeaderMap::new(),
        cookies: true,
        transports: vec![Transport::Polling, Transport::WebSocket],
        try_all_transports: false,
        remember_upgrade: false,
        proxy: None,
        tls: None,
        unix_socket: None,
        compression: false,
        connect_timeout: LIMIT,
        max_message_bytes: 10_000_000,
        session: Arc::default(),
        upgraded: Arc::new(AtomicBool::new(false)),
    }
}

/// A server that sends every event back, and what it listens on.
async fn serve(builder: kokanee_server::ServerBuilder) -> (Server, std::net::SocketAddr) {
    let io = builder.build();
    io.on_any(async |socket: Socket, args: Args| socket.emit_args("echo", &args).await);
    let listener = io.bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr();
    tokio::spawn(listener.serve());
    (io, address)
}

/// An engine, and what it has received.
#[derive(Debug)]
struct Peer {
    engine: Engine,
    inbox: VecDeque<Message>,
}

async fn open(config: EngineConfig) -> Result<Peer, ConnectFailure> {
    let engine = open::open(&Arc::new(config)).await?;
    Ok(Peer {
        engine,
        inbox: VecDeque::new(),
    })
}

/// The next message.
async fn next(peer: &mut Peer) -> Message {
    let Peer { engine, inbox } = peer;
    let run = std::future::poll_fn(|cx| {
        if let Some(message) = inbox.pop_front() {
            return Poll::Ready(Ok(message));
        }
        let turn = engine.poll(cx, Instant::now(), &mut |message| inbox.push_back(message));
        match inbox.pop_front() {
            Some(message) => Poll::Ready(Ok(message)),
            None => turn.map(Err),
        }
    });
    tokio::time::timeout(LIMIT, run)
        .await
        .expect("in time")
        .expect("the session goes on")
}

/// Receives until `done` likes a message.
async fn until(peer: &mut Peer, mut done: impl FnMut(Message) -> bool) {
    while !done(next(peer).await) {}
}

fn send(peer: &mut Peer, text: &str) {
    assert!(peer.engine.send(
        Instant::now(),
        &Outgoing::text(text),
        &[],
        SendOptions::default()
    ));
}

async fn join(peer: &mut Peer) {
    send(peer, "0");
    until(
        peer,
        |message| matches!(message, Message::Text(text) if text.starts_with("0{")),
    )
    .await;
}

fn number(message: Message) -> u64 {
    let mut decoder = Decoder::new(ParserKind::Default, DecoderLimits::default());
    let Ok(Some(Packet::Event { event, .. })) = decoder.decode(message) else {
        panic!("an event")
    };
    event.args().deserialize().expect("a number")
}

/// Sends numbered events, a few at a time, and checks that all come back in order.
async fn exchange(peer: &mut Peer, count: u64) {
    let mut sent = 0;
    for expected in 0..count {
        while sent < count && sent < expected + 7 {
            send(peer, &format!("2[\"n\",{sent}]"));
            sent += 1;
        }
        assert_eq!(number(next(peer).await), expected);
    }
}

#[tokio::test]
async fn every_transport_carries_messages_in_order() {
    let (_io, address) = serve(Server::builder()).await;
    for transports in [vec![Transport::WebSocket], vec![Transport::Polling]] {
        let upgrade = transports.len() > 1;
        let session = ClientSessionConfig {
            upgrade,
            ..ClientSessionConfig::default()
        };
        let first = transports[0];
        let mut peer = open(EngineConfig {
            transports,
            session: Arc::new(session),
            ..config(address)
        })
        .await
        .expect("connected");
        join(&mut peer).await;
        exchange(&mut peer, 300).await;
        assert_eq!(peer.engine.transport(), first);
        peer.engine.close(Instant::now());
        let end = std::future::poll_fn(|cx| peer.engine.poll(cx, Instant::now(), &mut drop));
        let reason = tokio::time::timeout(LIMIT, end).await.expect("in time");
        assert_eq!(reason, CloseReason::ForcedClose);
    }
}

#[tokio::test]
async fn upgrades_lose_and_reorder_nothing() {
    let (_io, address) = serve(Server::builder()).await;
    let mut done = BTreeSet::new();
    for _ in 0..50 {
        let mut peer = open(config(address)).await.expect("connected");
        join(&mut peer).await;
        exchange(&mut peer, 200).await;
        done.insert(peer.engine.take_upgrade_event() == Some(UpgradeEvent::Done));
        assert_eq!(peer.engine.transport(), Transport::WebSocket);
    }
    assert_eq!(done, BTreeSet::from([true]));
}

#[tokio::test]
async fn old_servers_are_spoken_to_in_their_revision() {
    let (_io, address) = serve(Server::builder().allow_eio3(true)).await;
    for transports in [
        vec![Transport::WebSocket],
        vec![Transport::Polling, Transport::WebSocket],
    ] {
        let session = ClientSessionConfig {
            revision: Revision::V3,
            ..ClientSessionConfig::default()
        };
        let mut peer = open(EngineConfig {
            transports,
            session: Arc::new(session),
            ..config(address)
        })
        .await
        .expect("connected");
        until(
            &mut peer,
            |message| matches!(message, Message::Text(text) if text == "0"),
        )
        .await;
        exchange(&mut peer, 200).await;
    }
}

#[tokio::test]
async fn failures_say_what_is_wrong() {
    let (_io, address) = serve(Server::builder()).await;
    let fails = async |config: EngineConfig| open(config).await.expect_err("a failure").to_string();
    for transports in [vec![Transport::Polling], vec![Transport::WebSocket]] {
        let with = |change: &dyn Fn(&mut EngineConfig)| {
            let mut config = EngineConfig {
                transports: transports.clone(),
                ..config(address)
            };
            change(&mut config);
            config
        };
        let error = fails(with(&|config| config.path = "/elsewhere/".to_owned())).await;
        assert_eq!(
            error,
            "not a Socket.IO server: it answered HTTP 404 Not Found; is the path \"/elsewhere/\" right?"
        );
        let error = fails(with(&|config| {
            config.session = Arc::new(ClientSessionConfig {
                revision: Revision::V3,
                ..ClientSessionConfig::default()
            });
        }))
        .await;
        assert_eq!(
            error,
            "the server does not speak revision 3 of Engine.IO; try revision 4"
        );
        let error = fails(with(&|config| config.target.port = 1)).await;
        assert!(
            error.starts_with("cannot connect to 127.0.0.1:1: "),
            "{error}"
        );
        let error = fails(with(&|config| {
            config.target.host = "kokanee.invalid".to_owned();
        }))
        .await;
        assert!(
            error.starts_with("cannot find the address of kokanee.invalid: "),
            "{error}"
        );
    }
}

#[tokio::test]
async fn bytes_travel_both_ways_compressed_or_not() {
    let io = Server::new();
    io.on("blob", async |socket: Socket, args: Args| {
        socket.emit_args("blob", &args).await
    });
    let listener = io.bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr();
    tokio::spawn(listener.serve());
    for transports in [vec![Transport::Polling], vec![Transport::WebSocket]] {
        let mut peer = open(EngineConfig {
            transports,
            compression: true,
            session: Arc::new(ClientSessionConfig {
                upgrade: false,
                ..ClientSessionConfig::default()
            }),
            ..config(address)
        })
        .await
        .expect("connected");
        join(&mut peer).await;
        let bytes = Bytes::from(vec![7; 100_000]);
        let sent = peer.engine.send(
            Instant::now(),
            &Outgoing::text("51-[\"blob\",{\"_placeholder\":true,\"num\":0}]"),
            &[Outgoing::binary(bytes.clone())],
            SendOptions::default(),
        );
        assert!(sent);
        until(&mut peer, |message| match message {
            Message::Text(_) => false,
            Message::Binary(received) => {
                assert_eq!(received, bytes);
                true
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_server_that_goes_away_is_noticed() {
    for transports in [vec![Transport::Polling], vec![Transport::WebSocket]] {
        let (io, address) = serve(Server::builder()).await;
        let mut peer = open(EngineConfig {
            transports,
            session: Arc::new(ClientSessionConfig {
                upgrade: false,
                ..ClientSessionConfig::default()
            }),
            ..config(address)
        })
        .await
        .expect("connected");
        join(&mut peer).await;
        let (ended, _) = tokio::join!(
            tokio::time::timeout(
                LIMIT,
                std::future::poll_fn(|cx| peer.engine.poll(cx, Instant::now(), &mut drop))
            ),
            io.close(Duration::from_secs(1)),
        );
        assert!(matches!(
            ended.expect("in time"),
            CloseReason::TransportClose | CloseReason::TransportError
        ));
    }
}

// A server that does not read.

const SHORT: Duration = Duration::from_millis(200);
/// More than the buffers of the system.
const LARGE: usize = 32 << 20;

fn frame(opcode: OpCode, content: &[u8]) -> Vec<u8> {
    [
        encode_header(opcode, content.len(), None).as_slice(),
        content,
    ]
    .concat()
}

/// An engine on a WebSocket, and its other end, which takes little at a time.
async fn open_unread(close_timeout: Duration) -> (Engine, TcpStream) {
    let listener = TcpSocket::new_v4().expect("a socket");
    listener
        .set_recv_buffer_size(4096)
        .expect("a socket option");
    listener
        .bind(([127, 0, 0, 1], 0).into())
        .expect("a free port");
    let listener = listener.listen(1).expect("a listener");
    let config = Arc::new(EngineConfig {
        transports: vec![Transport::WebSocket],
        session: Arc::new(ClientSessionConfig {
            write_timeout: SHORT,
            close_timeout,
            ..ClientSessionConfig::default()
        }),
        ..config(listener.local_addr().expect("bound"))
    });
    let accept = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("a request"));
        }
        let head = String::from_utf8(head).expect("text");
        let key = head
            .lines()
            .find_map(|line| line.strip_prefix("sec-websocket-key: "))
            .expect("a request for a WebSocket");
        let accepted = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            accept_key(key.as_bytes())
        );
        stream
            .write_all(accepted.as_bytes())
            .await
            .expect("written");
        let open = br#"0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":20000}"#;
        stream
            .write_all(&frame(OpCode::Text, open))
            .await
            .expect("written");
        stream
    };
    let (engine, stream) = tokio::join!(open::open(&config), accept);
    (engine.expect("connected"), stream)
}

fn send_bytes(engine: &mut Engine, bytes: usize) {
    let message = Outgoing::text(&"x".repeat(bytes));
    assert!(engine.send(Instant::now(), &message, &[], SendOptions::default()));
}

async fn end(engine: &mut Engine) -> CloseReason {
    let end = std::future::poll_fn(|cx| engine.poll(cx, Instant::now(), &mut drop));
    tokio::time::timeout(LIMIT, end).await.expect("in time")
}

#[tokio::test]
async fn a_server_that_takes_nothing_is_left() {
    let (mut engine, _stream) = open_unread(SHORT).await;
    send_bytes(&mut engine, LARGE);
    assert_eq!(end(&mut engine).await, CloseReason::TransportError);
}

#[tokio::test]
async fn closing_does_not_wait_for_ever() {
    let (mut engine, _stream) = open_unread(SHORT).await;
    send_bytes(&mut engine, LARGE);
    engine.close(Instant::now());
    assert_eq!(end(&mut engine).await, CloseReason::ForcedClose);
    // And when all is written, but the server does not end.
    let (mut engine, _stream) = open_unread(SHORT).await;
    engine.close(Instant::now());
    assert_eq!(end(&mut engine).await, CloseReason::ForcedClose);
}

#[tokio::test]
async fn what_was_sent_last_arrives_though_something_was_not_read() {
    const LAST: usize = 200_000;
    let (mut engine, mut stream) = open_unread(LIMIT).await;
    engine.set_paused(Instant::now(), true);
    for _ in 0..10 {
        let unread = frame(OpCode::Text, &[b'4'; 1000]);
        stream.write_all(&unread).await.expect("written");
    }
    send_bytes(&mut engine, LAST);
    engine.close(Instant::now());
    // Everything is with the system, but not with the server.
    let ended = std::future::poll_fn(|cx| match engine.poll(cx, Instant::now(), &mut drop) {
        Poll::Pending if !engine.is_flushed() => Poll::Pending,
        turn => Poll::Ready(turn.is_ready()),
    });
    let ended = tokio::time::timeout(LIMIT, ended).await.expect("in time");
    let reading = async {
        let mut read = Vec::new();
        stream.read_to_end(&mut read).await.expect("no reset");
        drop(stream);
        read.len()
    };
    let ending = async move {
        if !ended {
            end(&mut engine).await;
        }
        drop(engine);
    };
    let (read, ()) = tokio::join!(reading, ending);
    assert!(read > LAST, "{read} bytes");
}
