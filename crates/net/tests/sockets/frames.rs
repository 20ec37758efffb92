//! Framings on real connections.

use kokanee_net::{Connection, Framing, NetError, TcpClient, TcpServer};

use crate::support::within;

/// A server that sends every frame back, with the length of it in front.
async fn start(framing: &Framing) -> TcpClient {
    let builder = TcpServer::builder().with_limits(|limits| limits.max_frame_bytes = 200_000);
    let server = builder.bind("127.0.0.1:0").await.expect("a free port");
    let client = TcpClient::new(&server.local_addr().to_string());
    let framing = framing.clone();
    tokio::spawn(server.serve(move |conn: Connection| {
        let mut framed = conn.framed(framing.clone());
        async move {
            while let Some(frame) = framed.next().await? {
                let answer = [format!("{} ", frame.len()).as_bytes(), &frame].concat();
                framed.send(&answer).await?;
            }
            Ok::<_, NetError>(())
        }
    }));
    client
}

#[tokio::test]
async fn every_framing_keeps_messages_apart() {
    for framing in [
        "lines",
        "length-prefixed",
        "length-prefixed:8",
        "delimiter:\\r\\n.\\r\\n",
    ] {
        let framing: Framing = framing.parse().expect("a framing");
        let mut framed = start(&framing)
            .await
            .connect()
            .await
            .expect("connected")
            .framed(framing);
        let large = vec![b'x'; 150_000];
        for message in [&b"one"[..], b"", b"three", &large] {
            framed.send(message).await.expect("sent");
        }
        for message in [&b"one"[..], b"", b"three", &large] {
            let answer = within(framed.next())
                .await
                .expect("a frame")
                .expect("a frame");
            let expected = [format!("{} ", message.len()).as_bytes(), message].concat();
            assert!(answer == expected, "{} bytes", answer.len());
        }
    }
}

#[tokio::test]
async fn frames_are_found_in_data_split_anywhere() {
    let mut conn = start(&Framing::Lines)
        .await
        .connect()
        .await
        .expect("connected");
    for piece in [&b"a"[..], b"b\nc", b"\r", b"\n", b"d\ne\nf"] {
        conn.send_all(piece).await.expect("sent");
        tokio::task::yield_now().await;
    }
    conn.finish().await.expect("ended");
    let mut all = Vec::new();
    while let Some(data) = within(conn.recv()).await.expect("data") {
        all.extend_from_slice(&data);
    }
    assert_eq!(
        all.escape_ascii().to_string(),
        "2 ab\\n1 c\\n1 d\\n1 e\\n1 f\\n"
    );
}

#[tokio::test]
async fn a_peer_that_never_ends_its_line_is_disconnected() {
    let mut conn = start(&Framing::Lines)
        .await
        .connect()
        .await
        .expect("connected");
    // It may close while the client is still sending.
    let mut sent = 0;
    while sent < 50_000_000 && conn.send_all(&[b'x'; 10_000]).await.is_ok() {
        sent += 10_000;
    }
    assert!(sent < 50_000_000, "the server continues to read");
}
