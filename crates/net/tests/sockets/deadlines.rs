//! Peers that are silent or do not read.

use std::time::{Duration, Instant};

use kokanee_net::{Connection, Limits, NetError, TcpClient, TcpServer};

use crate::support::within;

const SHORT: Duration = Duration::from_millis(100);

/// Two ends of one connection. The limits are those of the first one.
async fn pair(change: impl FnOnce(&mut Limits)) -> (Connection, Connection) {
    let server = TcpServer::builder()
        .with_limits(change)
        .bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let client = TcpClient::new(&server.local_addr().to_string());
    let (theirs, ours) = tokio::join!(client.connect(), server.accept());
    (ours.expect("accepted"), theirs.expect("connected"))
}

#[tokio::test]
async fn a_silent_peer_is_noticed_at_the_read_deadline() {
    let (mut ours, mut theirs) = pair(|limits| limits.read_timeout = Some(SHORT)).await;
    theirs.send_all(b"x").await.expect("sent");
    within(ours.recv()).await.expect("data");
    let start = Instant::now();
    let error = within(ours.recv()).await.expect_err("silence");
    assert!(start.elapsed() >= SHORT);
    assert!(matches!(error, NetError::ReadTimeout { .. }), "{error}");
    assert!(
        error.to_string().ends_with("has sent nothing for 100ms"),
        "{error}"
    );
    // The connection is unchanged.
    theirs.send_all(b"late").await.expect("sent");
    assert_eq!(
        within(ours.recv()).await.expect("data").as_deref(),
        Some(&b"late"[..])
    );
}

#[tokio::test]
async fn data_in_either_direction_postpones_the_idle_deadline() {
    let (ours, mut theirs) = pair(|limits| limits.idle_timeout = Some(3 * SHORT)).await;
    let (mut reader, mut writer) = ours.into_split();
    let start = Instant::now();
    let sending = tokio::spawn(async move {
        for _ in 0..4 {
            tokio::time::sleep(SHORT).await;
            writer.send_all(b"x").await.expect("sent");
        }
        writer
    });
    let error = within(reader.recv()).await.expect_err("idle");
    assert!(start.elapsed() >= 6 * SHORT, "{:?}", start.elapsed());
    assert!(matches!(error, NetError::Idle { .. }), "{error}");
    let writer = within(sending).await.expect("no panic");
    drop((reader, writer));
    let mut bytes = 0;
    while let Some(data) = within(theirs.recv()).await.expect("data") {
        bytes += data.len();
    }
    assert_eq!(bytes, 4);
}

#[tokio::test]
async fn a_peer_that_never_reads_is_noticed_at_the_write_deadline() {
    let (mut ours, theirs) = pair(|limits| limits.write_timeout = Some(SHORT)).await;
    let sending = async {
        loop {
            if let Err(error) = ours.send_all(&vec![0; 65536]).await {
                break error;
            }
        }
    };
    let error = within(sending).await;
    assert!(matches!(error, NetError::WriteTimeout { .. }), "{error}");
    assert!(
        error.to_string().ends_with("has read nothing for 100ms"),
        "{error}"
    );
    drop(theirs);
}

#[tokio::test]
async fn a_slow_reader_is_not_a_silent_one() {
    let (mut ours, mut theirs) = pair(|limits| limits.write_timeout = Some(5 * SHORT)).await;
    let reading = tokio::spawn(async move {
        let mut bytes = 0;
        while let Some(data) = theirs.recv().await.expect("data") {
            bytes += data.len();
            if bytes % (4 << 20) < data.len() {
                tokio::time::sleep(SHORT).await;
            }
        }
        bytes
    });
    // Takes much longer than the deadline, but is never stalled for so long.
    for _ in 0..10 {
        ours.send_all(&vec![0; 4 << 20]).await.expect("sent");
    }
    drop(ours);
    assert_eq!(within(reading).await.expect("no panic"), 40 << 20);
}
