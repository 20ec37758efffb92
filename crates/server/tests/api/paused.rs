//! A session in memory under tokio's paused clock: its times are that clock's.

use std::time::Duration;

use kokanee_server::Server;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::Instant,
};

/// Reads a frame of at most 125 bytes.
async fn frame(stream: &mut DuplexStream) -> (u8, String) {
    let first = stream.read_u8().await.expect("a frame");
    let length = stream.read_u8().await.expect("its length");
    let mut payload = vec![0; length.into()];
    stream.read_exact(&mut payload).await.expect("its payload");
    (first & 0x0f, String::from_utf8_lossy(&payload).into_owned())
}

#[tokio::test(start_paused = true)]
async fn heartbeats_have_the_time_of_a_paused_clock() {
    let server = Server::builder()
        .with_limits(|limits| {
            limits.ping_interval = Duration::from_secs(25);
            limits.ping_timeout = Duration::from_secs(20);
        })
        .build();
    server.on_connect(async || {});
    let (mut client, stream) = tokio::io::duplex(16 * 1024);
    let request = http::Request::get("/socket.io/?EIO=4&transport=websocket")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(http_body_util::Empty::<bytes::Bytes>::new())
        .expect("a request");
    let accepting = server.clone();
    tokio::spawn(async move { accepting.accept(stream, request, &[], None).await });
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.expect("the response"));
    }
    assert!(frame(&mut client).await.1.starts_with("0{"));
    // Masked with zeros: "40".
    let join = [0x81, 0x82, 0, 0, 0, 0, b'4', b'0'];
    client.write_all(&join).await.expect("a stream");
    assert!(frame(&mut client).await.1.starts_with("40{"));

    let start = Instant::now();
    assert_eq!(frame(&mut client).await, (1, "2".to_owned()));
    assert_eq!(start.elapsed(), Duration::from_secs(25));
    // The client does not answer.
    assert_eq!(frame(&mut client).await.0, 8);
    assert_eq!(start.elapsed(), Duration::from_secs(45));
}
