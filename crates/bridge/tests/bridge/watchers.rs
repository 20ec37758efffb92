//! One watcher is slow, and the others are not.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use kokanee_bridge::{Bridge, BridgeBuilder, SlowWatcher};
use kokanee_client::Client;
use kokanee_net::{TcpClient, TcpServer};
use kokanee_server::Server;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::Instant,
};

use crate::support::{Bed, LIMIT, within};

/// A message of the peer.
const PIECE: usize = 32 * 1024;
const PIECES: usize = 1000;
/// The longest time for which one watcher may delay the others: a second, plus what a busy machine needs.
const HOLD_UP: Duration = Duration::from_secs(4);

/// A server that disconnects no slow client, so that only the bridge protects the others.
async fn start(builder: BridgeBuilder) -> Bed {
    let io = Server::builder();
    let io = io.with_limits(|limits| limits.write_timeout = Duration::from_secs(3600));
    let io = io.build();
    Bed::start_with(io, TcpServer::bind("127.0.0.1:0").await, builder).await
}

/// A watcher whose connection only the test reads.
async fn watcher(bed: &Bed) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(16 * 1024).expect("a size");
    let url = bed.url("");
    let address = url.trim_start_matches("http://");
    let connected = socket.connect(address.parse().expect("an address")).await;
    let mut stream = connected.expect("connected");
    let request = format!(
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let join = b"40/tcp,";
    // The key of its mask is zero.
    let head = [
        0x81,
        0x80 | u8::try_from(join.len()).expect("short"),
        0,
        0,
        0,
        0,
    ];
    stream
        .write_all(&[&head, &join[..]].concat())
        .await
        .expect("sent");
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("\"peers\"") {
        let read = within(stream.read_buf(&mut seen)).await.expect("an answer");
        assert!(read > 0, "closed");
    }
    stream
}

/// A peer that sends all its messages. Returns the longest time in which another watcher got none.
async fn longest_gap(bed: &Bed) -> Duration {
    let client = Client::builder(&bed.url("/tcp"));
    let client = client.reconnection(false).build().expect("a client");
    let received = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&received);
    client.on(
        "data",
        move |kokanee_client::Data((_, data)): kokanee_client::Data<(String, Bytes)>| {
            count.fetch_add(data.len(), Ordering::Relaxed);
            async {}
        },
    );
    within(client.connect()).await.expect("connected");
    let mut raw = TcpClient::new(&bed.raw).connect().await.expect("connected");
    tokio::spawn(async move {
        let piece = vec![b'x'; PIECE];
        for _ in 0..PIECES {
            raw.send_all(&piece).await.expect("sent");
        }
        // The peer is closed when the test ends.
        std::future::pending::<()>().await;
    });
    let (mut last, mut at, mut longest) = (0, Instant::now(), Duration::ZERO);
    while last < PIECES * PIECE {
        tokio::time::sleep(Duration::from_millis(2)).await;
        longest = longest.max(at.elapsed());
        assert!(longest < LIMIT, "the others are delayed after {last} bytes");
        let now = received.load(Ordering::Relaxed);
        if now > last {
            (last, at) = (now, Instant::now());
        }
    }
    assert!(client.is_connected());
    longest
}

/// Reads everything sent to a watcher until `text` comes. Returns what follows it.
async fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut seen = Vec::new();
    let reading = async {
        loop {
            let start = seen.len().saturating_sub(text.len());
            let read = stream.read_buf(&mut seen).await.expect("it is connected");
            assert!(read > 0, "closed without {text}");
            let found = seen[start..].windows(text.len());
            let mut found = found.enumerate();
            if let Some((at, _)) = found.find(|(_, window)| *window == text.as_bytes()) {
                let rest = &seen[start + at..];
                return String::from_utf8_lossy(rest).into_owned();
            }
        }
    };
    tokio::time::timeout(3 * LIMIT, reading).await.expect(text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_that_reads_nothing_gets_the_number_of_missed_messages() {
    let bed = start(Bridge::builder()).await;
    let mut stuck = watcher(&bed).await;
    let gap = longest_gap(&bed).await;
    assert!(gap < HOLD_UP, "the others were delayed for {gap:?}");
    // It is still connected, and gets the number of missed messages.
    let missed = read_until(&mut stuck, "42/tcp,[\"missed\",\"").await;
    assert!(missed.contains("\"missed\",\"1\","), "{missed}");
    // Then it gets messages again.
    let mut raw = TcpClient::new(&bed.raw).connect().await.expect("connected");
    raw.send_all(b"again").await.expect("sent");
    read_until(&mut stuck, "again").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_that_reads_a_little_does_not_delay_others_for_long() {
    let bed = start(Bridge::builder()).await;
    let mut slow = watcher(&bed).await;
    let dripping = tokio::spawn(async move {
        let mut buffer = vec![0; 16 * 1024];
        while slow.read(&mut buffer).await.is_ok_and(|read| read > 0) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let start = Instant::now();
    let gap = longest_gap(&bed).await;
    println!(
        "the longest gap was {gap:?}, and all took {:?}",
        start.elapsed()
    );
    assert!(gap < HOLD_UP, "the others were delayed for {gap:?}");
    // At its pace they would take 200 s.
    assert!(start.elapsed() < 2 * LIMIT, "it took {:?}", start.elapsed());
    assert!(!dripping.is_finished(), "the slow one is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_watcher_is_disconnected_if_configured() {
    let bed = start(
        Bridge::builder()
            .slow_watcher(SlowWatcher::Disconnect)
            .with_limits(|limits| limits.max_hold_up = Duration::from_millis(200)),
    )
    .await;
    let mut stuck = watcher(&bed).await;
    let gap = longest_gap(&bed).await;
    assert!(gap < HOLD_UP, "the others were delayed for {gap:?}");
    let sockets = bed.io.of("/tcp").fetch_sockets().await;
    assert_eq!(sockets.len(), 1, "the healthy one is left");
    let ended: io::Result<()> = within(async {
        let mut buffer = vec![0; 64 * 1024];
        while stuck.read(&mut buffer).await? > 0 {}
        Ok(())
    })
    .await;
    // The end or a reset, depending on how the system handles unread data.
    println!("its connection ended with {ended:?}");
}
