//! Queues are bounded, whichever side is slow.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use kokanee_bridge::Bridge;
use kokanee_client::{AckError, Client};
use kokanee_net::{TcpClient, TcpServer};
use kokanee_server::Server;

use crate::support::{Bed, LIMIT, within};

/// Waits until a number has stopped growing, and returns it.
async fn settled(number: &AtomicUsize) -> usize {
    let mut before = usize::MAX;
    let settling = async {
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let now = number.load(Ordering::Relaxed);
            if now == before {
                return now;
            }
            before = now;
        }
    };
    tokio::time::timeout(3 * LIMIT, settling)
        .await
        .expect("it settles")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_stops_reading_stops_the_peer_and_loses_nothing() {
    const BYTES: usize = 256 << 20;
    let bed = Bed::start(Bridge::builder()).await;
    // A client whose handler waits: it keeps 1,024 events, 64 MB here, and then is not read from.
    let received = Arc::new(AtomicUsize::new(0));
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let client = Client::builder(&bed.url("/tcp"));
    let client = client.reconnection(false).build().expect("a client");
    let (count, open) = (Arc::clone(&received), Arc::clone(&gate));
    client.on(
        "data",
        move |kokanee_client::Data((_, data)): kokanee_client::Data<(String, Bytes)>| {
            let (count, open) = (Arc::clone(&count), Arc::clone(&open));
            async move {
                let _ = open.acquire().await;
                count.fetch_add(data.len(), Ordering::Relaxed);
            }
        },
    );
    within(client.connect()).await.expect("connected");

    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let raw = TcpClient::new(&bed.raw).with_limits(|limits| limits.write_timeout = None);
    let mut raw = raw.connect().await.expect("connected");
    tokio::spawn(async move {
        let piece = vec![1; 64 * 1024];
        for _ in 0..BYTES / piece.len() {
            raw.send_all(&piece).await.expect("sent");
            count.fetch_add(piece.len(), Ordering::Relaxed);
        }
        raw.finish().await.expect("ended");
        raw
    });
    let stopped_at = settled(&sent).await;
    println!("the peer was stopped after {stopped_at} bytes");
    assert!(stopped_at < BYTES / 2, "{stopped_at} bytes were taken");
    assert_eq!(received.load(Ordering::Relaxed), 0);
    gate.add_permits(1 << 20);
    while received.load(Ordering::Relaxed) < BYTES {
        assert!(client.is_connected(), "the client is kept");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(received.load(Ordering::Relaxed), BYTES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_stops_reading_stops_its_client_and_is_then_disconnected() {
    let builder = TcpServer::builder().with_limits(|limits| {
        limits.write_timeout = Some(Duration::from_secs(3));
        limits.max_queued_bytes = 100_000;
    });
    let bed = Bed::start_with(
        Server::new(),
        builder.bind("127.0.0.1:0").await,
        Bridge::builder(),
    )
    .await;
    let mut client = bed.client().await;
    let raw = TcpClient::new(&bed.raw).connect().await.expect("connected");
    let (id, _) = client.open().await;
    let answered = Arc::new(AtomicUsize::new(0));
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let (socket, id, answered) = (client.socket.clone(), id.clone(), Arc::clone(&answered));
        asked.spawn(async move {
            let data = Bytes::from(vec![1; 50_000]);
            let answer = socket
                .emit_with_ack::<kokanee_server::Value>("data", (id, data))
                .timeout(3 * LIMIT);
            match answer.await {
                Ok(_) => {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                Err(AckError::Remote(_)) => {}
                Err(error) => panic!("no answer: {error}"),
            }
        });
    }
    // All are acknowledged in the end: the queued ones, and the rest when the peer was disconnected.
    tokio::time::timeout(3 * LIMIT, asked.join_all())
        .await
        .expect("answers");
    let queued = answered.load(Ordering::Relaxed);
    println!("{queued} of 1000 messages were taken");
    assert!(queued < 900, "{queued} messages were taken");
    let close = client.event("close").await;
    assert!(
        close[1]
            .as_str()
            .is_some_and(|reason| reason.contains("has read nothing for 3s")),
        "{close:?}"
    );
    assert!(client.socket.is_connected());
    drop(raw);
}
