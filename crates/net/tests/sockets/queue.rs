//! The queue in front of a writer.

use std::time::Duration;

use bytes::Bytes;
use kokanee_net::{Connection, NetError, SendQueue, TcpClient, TcpServer};

use crate::support::within;

const MAX_BYTES: usize = 10_000;

/// A queue whose writer runs, and the peer's end.
async fn start() -> (
    SendQueue,
    tokio::task::JoinHandle<Result<(), NetError>>,
    Connection,
) {
    let server = TcpServer::builder()
        .with_limits(|limits| {
            limits.max_queued_bytes = MAX_BYTES;
            limits.write_timeout = Some(Duration::from_secs(2));
        })
        .with_options(|options| options.send_buffer_bytes = Some(10_000))
        .bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let client = TcpClient::new(&server.local_addr().to_string())
        .with_options(|options| options.receive_buffer_bytes = Some(10_000));
    let (theirs, ours) = tokio::join!(client.connect(), server.accept());
    let (_, writer) = ours.expect("accepted").into_split();
    let (queue, drain) = writer.queued();
    (queue, tokio::spawn(drain.run()), theirs.expect("connected"))
}

#[tokio::test]
async fn messages_are_sent_in_order_and_then_the_end() {
    let (queue, draining, mut peer) = start().await;
    for number in 0..1000 {
        queue
            .send(format!("{number}\n").into())
            .await
            .expect("queued");
    }
    queue.finish();
    assert!(matches!(
        queue.send("late".into()).await,
        Err(NetError::Closed { .. })
    ));
    let mut all = Vec::new();
    while let Some(data) = within(peer.recv()).await.expect("data") {
        all.extend_from_slice(&data);
    }
    let expected: Vec<_> = (0..1000).map(|number| format!("{number}\n")).collect();
    assert_eq!(all, expected.concat().as_bytes());
    within(draining)
        .await
        .expect("no panic")
        .expect("all was sent");
    assert_eq!(queue.queued_bytes(), 0);
}

#[tokio::test]
async fn senders_to_a_slow_peer_wait() {
    let (queue, draining, mut peer) = start().await;
    let message = Bytes::from(vec![1; 1000]);
    let mut queued = 0;
    // Until nothing is sent any more: then the system's buffers are full, too.
    let limit = Duration::from_millis(300);
    while tokio::time::timeout(limit, queue.send(message.clone()))
        .await
        .is_ok()
    {
        queued += 1;
        assert!(queued < 10_000, "the queue is never full");
    }
    let full = queue.try_send(message.clone()).expect_err("full");
    assert!(
        matches!(full, NetError::QueueFull { max: MAX_BYTES, .. }),
        "{full}"
    );
    assert!(queue.queued_bytes() <= MAX_BYTES);

    // Larger than the queue: it is sent alone.
    let large = Bytes::from(vec![2; 3 * MAX_BYTES]);
    let sending = tokio::spawn({
        let queue = queue.clone();
        async move {
            queue.send(large).await.expect("queued");
            queue.finish();
        }
    });
    let mut received = 0;
    while let Some(data) = within(peer.recv()).await.expect("data") {
        received += data.len();
    }
    assert_eq!(received, queued * 1000 + 3 * MAX_BYTES);
    within(sending).await.expect("no panic");
    within(draining)
        .await
        .expect("no panic")
        .expect("all was sent");
}

#[tokio::test]
async fn a_peer_that_never_reads_ends_the_queue() {
    let (queue, draining, peer) = start().await;
    let sending = async {
        loop {
            if let Err(error) = queue.send(vec![1; 1000].into()).await {
                break error;
            }
        }
    };
    let error = within(sending).await;
    assert!(matches!(error, NetError::Closed { .. }), "{error}");
    let end = within(draining)
        .await
        .expect("no panic")
        .expect_err("too slow");
    assert!(matches!(end, NetError::WriteTimeout { .. }), "{end}");
    drop(peer);
}
