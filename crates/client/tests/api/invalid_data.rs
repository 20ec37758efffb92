//! Servers whose answers, frames or packets break the rules: the client neither panics nor hangs nor grows, and says what is
//! wrong.

use kokanee_client::{AckError, ConnectFailure, DisconnectReason, Transport};
use kokanee_websocket::{OpCode, encode_header};

use crate::{
    raw::{ACCEPTED, OPEN, Raw, client, connect_while, fails, websocket},
    support::{accepted, connected_again, journal, reasons, within},
};

#[tokio::test]
async fn garbage_instead_of_an_answer_is_an_error() {
    let many = "x".repeat(300_000);
    let answers: [&[u8]; 12] = [
        b"",
        b"\0\xff\x00\xff",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0{\"sid\"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n",
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 301 Moved Permanently\r\nLocation: https://elsewhere/\r\nContent-Length: 0\r\n\r\n",
        many.as_bytes(),
    ];
    for transport in [Transport::Polling, Transport::WebSocket] {
        for answer in answers {
            let raw = Raw::start().await;
            let failure = fails(client(&raw, transport), async {
                let mut wire = raw.accept().await;
                wire.request().await;
                wire.write(answer).await;
            })
            .await;
            assert!(
                matches!(
                    failure,
                    ConnectFailure::NotSocketIo { .. } | ConnectFailure::Interrupted { .. }
                ),
                "{}: {failure}",
                answer.escape_ascii()
            );
        }
    }
}

#[tokio::test]
async fn frames_that_are_none_are_an_error() {
    let huge = encode_header(OpCode::Text, usize::MAX >> 1, None);
    let frames: [&[u8]; 6] = [
        b"\xff\xff\xff\xff",
        b"\x81\x80masked",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        // A continuation of nothing, text that is not UTF-8, 8 EiB.
        b"\x80\x01x",
        b"\x81\x02\xff\xfe",
        huge.as_slice(),
    ];
    for frame in frames {
        let raw = Raw::start().await;
        let failure = fails(websocket(&raw), async {
            let mut wire = raw.websocket().await;
            wire.write(frame).await;
            wire.closed().await;
        })
        .await;
        assert!(
            matches!(failure, ConnectFailure::NotSocketIo { .. }),
            "{failure}"
        );
    }
}

#[tokio::test]
async fn open_packets_that_are_none_are_an_error() {
    for open in [
        "",
        "0",
        "0{",
        "0[]",
        "0null",
        "0{}",
        "0not json",
        r#"0{"sid":"x"}"#,
        r#"0{"sid":"","pingInterval":1,"pingTimeout":1}"#,
        r#"0{"sid":"x","pingInterval":-1,"pingTimeout":1}"#,
        "1",
        "2",
        "40",
        "6",
        "9",
        "hello",
    ] {
        for transport in [Transport::Polling, Transport::WebSocket] {
            let raw = Raw::start().await;
            let failure = fails(client(&raw, transport), async {
                let mut wire = raw.accept().await;
                if transport == Transport::WebSocket {
                    wire.upgrade().await;
                    wire.text(open).await;
                    wire.closed().await;
                } else {
                    wire.request().await;
                    wire.answer("", open).await;
                }
            })
            .await;
            assert!(
                matches!(failure, ConnectFailure::NotSocketIo { .. }),
                "{open:?}: {failure}"
            );
        }
    }
}

#[tokio::test]
async fn times_beyond_all_clocks_are_no_danger() {
    let raw = Raw::start().await;
    let script = async {
        let mut wire = raw.websocket().await;
        wire.text(r#"0{"sid":"x","pingInterval":1e22,"pingTimeout":1e22}"#)
            .await;
        assert_eq!(wire.next().await, "40");
        wire.text(ACCEPTED).await;
        wire
    };
    let (socket, _wire) = tokio::join!(accepted(websocket(&raw).connect()), script);
    assert!(socket.is_connected());
}

#[tokio::test]
async fn garbage_right_behind_the_acceptance_ends_the_connection() {
    // The JavaScript client is left with a socket that is connected to nothing.
    for garbage in [
        "4x",
        "4",
        "42[",
        "42{}",
        "45-[]",
        "451-[\"x\"]",
        "x",
        "42[1.5.5]",
    ] {
        let raw = Raw::start().await;
        let socket = raw.socket();
        let (note, mut seen) = journal();
        let noted = note.clone();
        socket.on_connect(move || {
            noted("connect".to_owned());
            async {}
        });
        socket.on_disconnect(move |reason: DisconnectReason| {
            note(format!("disconnect {reason}"));
            async {}
        });
        let script = async {
            let mut wire = raw.websocket().await;
            wire.text(OPEN).await;
            wire.next().await;
            let frame = |text: &str| {
                let header = encode_header(OpCode::Text, text.len(), None);
                [header.as_slice(), text.as_bytes()].concat()
            };
            // In one write, so that both are read at once.
            wire.write(&[frame(ACCEPTED), frame(garbage)].concat())
                .await;
            if garbage == "451-[\"x\"]" {
                // Valid so far: its attachment is the garbage.
                wire.text("42[\"y\"]").await;
            }
            wire.closed().await;
        };
        connect_while(&socket, script).await;
        assert_eq!(seen.next().await, "connect");
        assert_eq!(seen.next().await, "disconnect parse error", "{garbage}");
        assert!(!socket.is_connected(), "{garbage}");
        assert!(socket.is_active(), "it connects again");
    }
}

#[tokio::test]
async fn garbage_and_the_end_in_one_read_are_one_loss() {
    let raw = Raw::start().await;
    let socket = raw.socket();
    let mut wire = raw.join(&socket).await;
    let garbage = encode_header(OpCode::Text, 2, None);
    let end = encode_header(OpCode::Close, 0, None);
    wire.write(&[garbage.as_slice(), b"4x", end.as_slice()].concat())
        .await;
    let _wire = raw.joined().await;
    connected_again(&socket).await;
}

#[tokio::test]
async fn garbage_ends_a_connection_that_takes_nothing() {
    let raw = Raw::start().await;
    let builder = websocket(&raw).send_buffer_bytes(64 << 20);
    let socket = builder.build().expect("usable options");
    let mut seen = reasons(&socket);
    let mut wire = raw.join(&socket).await;
    // More than the system buffers, and the server reads nothing.
    let large = "x".repeat(32 << 20);
    socket.emit("x", large).await.expect("taken");
    wire.text("9").await;
    assert_eq!(seen.next().await, "parse error");
    assert!(!socket.is_connected());
}

#[tokio::test]
async fn a_refusal_of_a_connected_namespace_breaks_the_protocol() {
    let raw = Raw::start().await;
    let socket = raw.socket();
    let mut seen = reasons(&socket);
    let mut wire = raw.join(&socket).await;
    let asking = socket.emit_with_ack::<()>("x", ());
    let script = async {
        assert_eq!(wire.next().await, "420[\"x\"]");
        wire.text("44{\"message\":\"no\"}").await;
    };
    let (answer, ()) = tokio::join!(within("a failure", asking.args()), script);
    assert!(matches!(answer, Err(AckError::Disconnected)), "{answer:?}");
    assert_eq!(seen.next().await, "parse error");
    let _wire = raw.joined().await;
}

#[tokio::test]
async fn a_connection_that_ends_within_a_binary_packet_leaves_nothing_behind() {
    let raw = Raw::start().await;
    let socket = raw.socket();
    let (note, mut seen) = journal();
    socket.on("x", move |args: kokanee_client::Args| {
        note(args.json().to_owned());
        async {}
    });
    let mut wire = raw.join(&socket).await;
    wire.text("452-[\"x\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]")
        .await;
    wire.frame(OpCode::Binary, b"first").await;
    // And half of the second.
    wire.write(b"\x82\x06sec").await;
    drop(wire);
    let mut wire = raw.joined().await;
    wire.text("42[\"x\",\"whole\"]").await;
    assert_eq!(seen.next().await, "\"whole\"");
    // An attachment that belongs to nothing.
    wire.frame(OpCode::Binary, b"stray").await;
    wire.closed().await;
    let mut wire = raw.joined().await;
    wire.text("42[\"x\",\"again\"]").await;
    assert_eq!(seen.next().await, "\"again\"");
}

#[tokio::test]
async fn attachments_without_end_are_refused() {
    // More than anybody may announce, and digits without end.
    let digits = format!("45{}-[\"x\"]", "1".repeat(100_000));
    for packet in ["4510001-[\"x\"]", &digits] {
        let raw = Raw::start().await;
        let socket = raw.socket();
        let mut seen = reasons(&socket);
        let mut wire = raw.join(&socket).await;
        wire.text(packet).await;
        assert_eq!(seen.next().await, "parse error");
    }
    // Attachments that are announced, but too large together.
    let raw = Raw::start().await;
    let builder = websocket(&raw).max_message_bytes(1 << 20);
    let socket = builder.build().expect("usable options");
    let mut seen = reasons(&socket);
    let mut wire = raw.join(&socket).await;
    let placeholders: Vec<_> = (0..10)
        .map(|num| format!("{{\"_placeholder\":true,\"num\":{num}}}"))
        .collect();
    wire.text(&format!("4510-[\"x\",{}]", placeholders.join(",")))
        .await;
    for _ in 0..9 {
        wire.frame(OpCode::Binary, &vec![0; 200_000]).await;
    }
    assert_eq!(seen.next().await, "parse error");
}

#[tokio::test]
async fn a_message_larger_than_allowed_ends_the_connection() {
    let raw = Raw::start().await;
    let builder = websocket(&raw).max_message_bytes(1000);
    let socket = builder.build().expect("usable options");
    let mut seen = reasons(&socket);
    let mut wire = raw.join(&socket).await;
    wire.text(&format!("42[\"x\",\"{}\"]", "x".repeat(1000)))
        .await;
    assert_eq!(seen.next().await, "transport error");
    // And a polling answer.
    let raw = Raw::start().await;
    let builder = client(&raw, Transport::Polling).max_message_bytes(1000);
    let failure = fails(builder, async {
        let mut wire = raw.accept().await;
        wire.request().await;
        wire.answer("", &"x".repeat(5000)).await;
    })
    .await;
    assert!(
        matches!(failure, ConnectFailure::Interrupted { .. }),
        "{failure}"
    );
}
