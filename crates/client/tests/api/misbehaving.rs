//! Servers that do what no server should: the client neither panics nor hangs nor grows, and says what is wrong.

use std::time::Duration;

use kokanee_client::{
    Ack, AckError, Client, ClientBuilder, CloseDetails, CloseReason, ConnectFailure, Data,
    DisconnectReason, EmitError, Failure, Revision, Socket, Transport,
};
use kokanee_websocket::{OpCode, encode_header};

use crate::{
    raw::{ACCEPTED, OPEN, Raw, Wire},
    support::{journal, within},
};

const SHORT: Duration = Duration::from_millis(200);

fn client(raw: &Raw, transport: Transport) -> ClientBuilder {
    Client::builder(&raw.url())
        .transports([transport])
        .reconnection_delay(Duration::from_millis(5))
}

fn websocket(raw: &Raw) -> ClientBuilder {
    client(raw, Transport::WebSocket)
}

/// Connects to a server whose part is `script`.
async fn fails(builder: ClientBuilder, script: impl Future<Output = ()>) -> ConnectFailure {
    let connecting = within("a failure", builder.connect());
    let (failure, ()) = tokio::join!(connecting, script);
    failure.expect_err("nobody could connect to this")
}

// Garbage.

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

/// What the client says of a server that answers the first request with these bytes.
async fn answered(transport: Transport, answer: &str) -> ConnectFailure {
    let raw = Raw::start().await;
    fails(client(&raw, transport), async {
        let mut wire = raw.accept().await;
        wire.request().await;
        wire.write(answer.as_bytes()).await;
    })
    .await
}

#[tokio::test]
async fn what_a_proxy_says_is_not_taken_for_the_servers_word() {
    for transport in [Transport::Polling, Transport::WebSocket] {
        for (status, hint) in [
            ("401 Unauthorized", "credentials"),
            ("403 Forbidden", "allowed"),
            ("407 Proxy Authentication Required", "credentials"),
            ("429 Too Many Requests", "too many"),
            ("502 Bad Gateway", "does that run"),
            ("503 Service Unavailable", "overloaded"),
            ("504 Gateway Timeout", "in vain"),
        ] {
            let body = format!("<html><h1>{status}</h1></html>");
            let length = body.len();
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
            let failure = answered(transport, &answer).await;
            let text = failure.to_string();
            assert!(
                matches!(failure, ConnectFailure::Unavailable { .. }),
                "{text}"
            );
            assert!(text.contains(status) && text.contains(hint), "{text}");
        }
        // The server itself.
        let body = r#"{"code":4,"message":"Forbidden"}"#;
        let length = body.len();
        let answer = format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {length}\r\n\r\n{body}");
        let failure = answered(transport, &answer).await;
        assert!(
            matches!(failure, ConnectFailure::Rejected { code: 4, .. }),
            "{failure}"
        );
    }
}

#[tokio::test]
async fn a_proxy_that_passes_no_upgrade_is_named() {
    // What socket.io, python-socketio and socketioxide say of a request for a WebSocket without its headers.
    for (status, body, is_named) in [
        (
            "400 Bad Request",
            r#"{"code":3,"message":"Bad request"}"#,
            true,
        ),
        ("400 Bad Request", "\"Invalid websocket upgrade\"", true),
        ("400 Bad Request", "", true),
        ("426 Upgrade Required", "", true),
        // What else may be wrong.
        (
            "400 Bad Request",
            r#"{"code":1,"message":"Session ID unknown"}"#,
            false,
        ),
        ("400 Bad Request", "Bad request", false),
        (
            "400 Bad Request",
            "<html>plain HTTP to a port of TLS</html>",
            false,
        ),
        ("404 Not Found", "", false),
    ] {
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
        let failure = answered(Transport::WebSocket, &answer).await;
        let named = matches!(failure, ConnectFailure::NoUpgrade { .. });
        assert_eq!(named, is_named, "{body}: {failure}");
        assert_eq!(
            failure.to_string().contains("Upgrade and Connection"),
            is_named
        );
    }
}

#[tokio::test]
async fn the_servers_close_frame_is_handed_on() {
    let codes: [(&[u8], Option<u16>, &str, &str); 3] = [
        (
            b"\x03\xf0slow consumer",
            Some(1008),
            "slow consumer",
            "1008 slow consumer",
        ),
        (b"\x03\xe9", Some(1001), "", "1001"),
        (b"", None, "", ""),
    ];
    for (payload, code, reason, text) in codes {
        let raw = Raw::start().await;
        let socket = websocket(&raw).build().expect("usable options");
        let (note, mut seen) = journal();
        socket.on_disconnect(move |reason: DisconnectReason, details: CloseDetails| {
            note((reason, details));
            async {}
        });
        let (connected, mut wire) =
            tokio::join!(within("the connection", socket.connect()), raw.joined());
        connected.expect("accepted");
        wire.frame(OpCode::Close, payload).await;
        let (why, details) = seen.next().await;
        assert_eq!(why, DisconnectReason::Session(CloseReason::TransportClose));
        assert_eq!(why.to_string(), "transport close");
        assert_eq!(details.to_string(), text);
        let expected = CloseDetails {
            code,
            reason: reason.to_owned(),
        };
        assert_eq!(details, expected);
    }
    // Before the handshake it is part of the failure.
    let raw = Raw::start().await;
    let failure = fails(websocket(&raw), async {
        let mut wire = raw.websocket().await;
        wire.frame(OpCode::Close, b"\x03\xf5full").await;
        wire.closed().await;
    })
    .await;
    assert!(failure.to_string().contains("(1013 full)"), "{failure}");
}

#[tokio::test]
async fn a_handler_does_not_wait_for_an_answer_for_ever() {
    let raw = Raw::start().await;
    let socket = websocket(&raw).build().expect("usable options");
    let (note, mut seen) = journal();
    socket.on("x", move |socket: Socket| {
        let note = note.clone();
        async move {
            let answer = socket.emit_with_ack::<()>("inside", ()).args().await;
            note(answer);
        }
    });
    let (connected, mut wire) =
        tokio::join!(within("the connection", socket.connect()), raw.joined());
    connected.expect("accepted");
    let mut outside = Box::pin(socket.emit_with_ack::<()>("outside", ()).args());
    let mut is_waiting = async || {
        let poll =
            |cx: &mut std::task::Context<'_>| std::task::Poll::Ready(outside.as_mut().poll(cx));
        std::future::poll_fn(poll).await.is_pending()
    };
    assert!(is_waiting().await);
    assert_eq!(wire.next().await, "420[\"outside\"]");
    wire.text("42[\"x\"]").await;
    assert_eq!(wire.next().await, "421[\"inside\"]");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(10)).await;
    tokio::time::resume();
    let answer = seen.next().await;
    assert!(matches!(answer, Err(AckError::Timeout)), "{answer:?}");
    assert!(is_waiting().await, "it holds up nobody");
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
    let (socket, _wire) = tokio::join!(within("the connection", websocket(&raw).connect()), script);
    assert!(socket.expect("accepted").is_connected());
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
        let socket = websocket(&raw).build().expect("usable options");
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
        let (connected, ()) = tokio::join!(within("the connection", socket.connect()), script);
        connected.expect("it was accepted first");
        assert_eq!(seen.next().await, "connect");
        assert_eq!(seen.next().await, "disconnect parse error", "{garbage}");
        assert!(!socket.is_connected(), "{garbage}");
        assert!(socket.is_active(), "it connects again");
    }
}

#[tokio::test]
async fn garbage_and_the_end_in_one_read_are_one_loss() {
    let raw = Raw::start().await;
    let socket = websocket(&raw).build().expect("usable options");
    let (connected, mut wire) =
        tokio::join!(within("the connection", socket.connect()), raw.joined());
    connected.expect("accepted");
    let garbage = encode_header(OpCode::Text, 2, None);
    let end = encode_header(OpCode::Close, 0, None);
    wire.write(&[garbage.as_slice(), b"4x", end.as_slice()].concat())
        .await;
    let _wire = raw.joined().await;
    within("connected again", socket.connected())
        .await
        .expect("accepted");
}

#[tokio::test]
async fn garbage_ends_a_connection_that_takes_nothing() {
    let raw = Raw::start().await;
    let builder = websocket(&raw).send_buffer_bytes(64 << 20);
    let socket = builder.build().expect("usable options");
    let (note, mut seen) = journal();
    socket.on_disconnect(move |reason: DisconnectReason| {
        note(reason.to_string());
        async {}
    });
    let (connected, mut wire) =
        tokio::join!(within("the connection", socket.connect()), raw.joined());
    connected.expect("accepted");
    // More than the system buffers, and the server reads nothing.
    let large = "x".repeat(32 << 20);
    socket.emit("x", large).await.expect("taken");
    wire.text("9").await;
    assert_eq!(seen.next().await, "parse error");
    assert!(!socket.is_connected());
}

#[tokio::test]
async fn a_refusal_without_a_reason_is_a_refusal() {
    for (refusal, text) in [
        ("44", "refused by the server: not accepted"),
        ("44\"no\"", "refused by the server: no"),
        ("44{}", "refused by the server: not accepted"),
        ("44{\"message\":7}", "refused by the server: not accepted"),
        ("44{\"message\":\"no\"}", "refused by the server: no"),
        ("41", "refused by the server: disconnected by the server"),
    ] {
        let raw = Raw::start().await;
        let failure = fails(websocket(&raw), async {
            let mut wire = raw.websocket().await;
            wire.text(OPEN).await;
            wire.next().await;
            wire.text(refusal).await;
            wire.closed().await;
        })
        .await;
        assert_eq!(failure.to_string(), text, "{refusal}");
    }
}

// Half a handshake.

#[tokio::test]
async fn servers_that_fall_silent_are_given_up_in_time() {
    for depth in 0..4 {
        let raw = Raw::start().await;
        let builder = websocket(&raw).connect_timeout(SHORT);
        let failure = fails(builder, async {
            let mut wire = raw.accept().await;
            if depth > 0 {
                wire.upgrade().await;
            }
            if depth > 1 {
                wire.text(OPEN).await;
            }
            if depth > 2 {
                // Not the namespace that was asked for.
                wire.text("40/other,{\"sid\":\"x\"}").await;
            }
            wire.closed().await;
        })
        .await;
        assert!(
            matches!(failure, ConnectFailure::Timeout { after } if after == SHORT),
            "{depth}: {failure}"
        );
    }
}

#[tokio::test]
async fn servers_that_close_half_way_are_an_error() {
    for depth in 0..4 {
        let raw = Raw::start().await;
        let failure = fails(websocket(&raw), async {
            let mut wire = raw.accept().await;
            if depth > 0 {
                wire.request().await;
            }
            if depth > 1 {
                drop(wire);
                return;
            }
            wire.write(b"HTTP/1.1 101 Swi").await;
        })
        .await;
        assert!(
            matches!(failure, ConnectFailure::Interrupted { .. }),
            "{depth}: {failure}"
        );
        let raw = Raw::start().await;
        let failure = fails(websocket(&raw), async {
            let mut wire = raw.websocket().await;
            if depth > 0 {
                wire.text(OPEN).await;
                wire.next().await;
            }
        })
        .await;
        assert!(
            matches!(
                failure,
                ConnectFailure::Interrupted { .. } | ConnectFailure::NotSocketIo { .. }
            ),
            "{depth}: {failure}"
        );
    }
}

#[tokio::test]
async fn a_refusal_of_a_connected_namespace_breaks_the_protocol() {
    let raw = Raw::start().await;
    let socket = websocket(&raw).build().expect("usable options");
    let (note, mut seen) = journal();
    socket.on_disconnect(move |reason: DisconnectReason| {
        note(reason.to_string());
        async {}
    });
    let (connected, mut wire) =
        tokio::join!(within("the connection", socket.connect()), raw.joined());
    connected.expect("accepted");
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
async fn a_silent_namespace_does_not_stop_reconnecting() {
    let raw = Raw::start().await;
    let socket = websocket(&raw)
        .connect_timeout(SHORT)
        .build()
        .expect("usable options");
    let connecting = within("the connection", socket.connect());
    let (connected, first) = tokio::join!(connecting, raw.joined());
    connected.expect("accepted");
    drop(first);
    // The second connection is never accepted, the third is.
    let mut second = raw.websocket().await;
    second.text(OPEN).await;
    second.closed().await;
    let _third = raw.joined().await;
    within("connected again", socket.connected())
        .await
        .expect("accepted");
}

// In the middle of a packet.

#[tokio::test]
async fn a_connection_that_ends_within_a_binary_packet_leaves_nothing_behind() {
    let raw = Raw::start().await;
    let socket = websocket(&raw).build().expect("usable options");
    let (note, mut seen) = journal();
    socket.on("x", move |args: kokanee_client::Args| {
        note(args.json().to_owned());
        async {}
    });
    let (connected, mut wire) =
        tokio::join!(within("the connection", socket.connect()), raw.joined());
    connected.expect("accepted");
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

// Heartbeats.

#[tokio::test]
async fn a_server_that_never_pings_is_left() {
    let raw = Raw::start().await;
    let socket = websocket(&raw).build().expect("usable options");
    let (note, mut seen) = journal();
    socket.on_disconnect(move |reason: DisconnectReason| {
        note(reason.to_string());
        async {}
    });
    let script = async {
        let mut wire = raw.websocket().await;
        wire.text(r#"0{"sid":"x","upgrades":[],"pingInterval":100,"pingTimeout":100}"#)
            .await;
        wire.next().await;
        wire.text(ACCEPTED).await;
        wire.closed().await;
    };
    let (connected, ()) = tokio::join!(within("the connection", socket.connect()), script);
    connected.expect("accepted");
    assert_eq!(seen.next().await, "ping timeout");
    let _wire = raw.joined().await;
    within("connected again", socket.connected())
        .await
        .expect("accepted");
}

#[tokio::test]
async fn what_is_sent_after_the_time_of_a_connection_is_for_the_next_one() {
    let raw = Raw::start().await;
    let socket = websocket(&raw).build().expect("usable options");
    let script = async {
        let mut wire = raw.websocket().await;
        wire.text(r#"0{"sid":"x","upgrades":[],"pingInterval":50,"pingTimeout":50}"#)
            .await;
        wire.next().await;
        wire.text(ACCEPTED).await;
        wire
    };
    let (connected, _wire) = tokio::join!(within("the connection", socket.connect()), script);
    connected.expect("accepted");
    // The whole process stands still, as on a machine that is suspended.
    std::thread::sleep(Duration::from_millis(200));
    socket.emit("late", 1).await.expect("kept");
    let mut wire = raw.joined().await;
    assert_eq!(wire.next().await, "42[\"late\",1]");
}

#[tokio::test]
async fn a_goodbye_that_the_server_does_not_wait_for_is_no_loss() {
    let raw = Raw::start().await;
    let (connected, mut wire) = tokio::join!(
        within("the connection", websocket(&raw).connect()),
        raw.joined()
    );
    let socket = connected.expect("accepted");
    socket.emit("bye", ()).await.expect("sent");
    assert_eq!(wire.next().await, "42[\"bye\"]");
    drop(wire);
    within("the end", socket.disconnect())
        .await
        .expect("all has left");
}

#[tokio::test]
async fn a_goodbye_follows_the_pong_of_a_server_that_has_read_everything() {
    let raw = Raw::start().await;
    let (connected, mut wire) = tokio::join!(
        within("the connection", websocket(&raw).connect()),
        raw.joined()
    );
    let socket = connected.expect("accepted");
    socket.emit("last", 1).await.expect("sent");
    let mut disconnecting = Box::pin(within("the end", socket.disconnect()));
    let ping = tokio::select! {
        biased;
        _ = &mut disconnecting => panic!("nothing was asked"),
        ping = async {
            assert_eq!(wire.next_or_ping().await, "42[\"last\",1]");
            wire.next_or_ping().await
        } => ping,
    };
    let payload = ping.strip_prefix("ping ").expect("a ping").to_owned();
    let script = async move {
        wire.frame(OpCode::Pong, b"another").await;
        wire.frame(OpCode::Pong, payload.as_bytes()).await;
        assert_eq!(wire.next_or_ping().await, "41");
        assert_eq!(wire.next_or_ping().await, "closed");
        drop(wire);
    };
    let (ended, ()) = tokio::join!(disconnecting, script);
    ended.expect("all has left");
}

#[tokio::test]
async fn a_poll_that_ends_empty_before_the_posts_answer_is_no_loss() {
    let raw = Raw::start().await;
    let (socket, mut gets, mut posts) = polling(&raw).await;
    socket.emit("last", ()).await.expect("sent");
    assert_eq!(posts.post().await.1, "42[\"last\"]");
    let script = async {
        posts.answer("", "ok").await;
        assert_eq!(posts.post().await.1, "41\u{1e}1");
        // python-socketio on threads. The client looks at it first.
        gets.answer("Content-Type: text/plain\r\n", "").await;
        posts.answer("", "ok").await;
    };
    let (ended, ()) = tokio::join!(within("the end", socket.disconnect()), script);
    ended.expect("all has left");
}

#[tokio::test]
async fn a_close_packet_over_websocket_ends_the_session_at_once() {
    // The JavaScript client ignores it, and waits for the ping timeout.
    let raw = Raw::start().await;
    let socket = websocket(&raw)
        .reconnection(false)
        .build()
        .expect("usable options");
    let (note, mut seen) = journal();
    socket.on_disconnect(move |reason: DisconnectReason| {
        note(reason.to_string());
        async {}
    });
    let (connected, mut wire) =
        tokio::join!(within("the connection", socket.connect()), raw.joined());
    connected.expect("accepted");
    wire.text("1").await;
    assert_eq!(seen.next().await, "transport close");
    wire.closed().await;
    assert!(!socket.is_active());
}

// Floods.

/// Sends a message as often as the client takes it. Returns how often: not without bound.
async fn flood(wire: &mut Wire, message: &str) -> usize {
    const LIMIT: usize = 256 << 20;
    let header = encode_header(OpCode::Text, message.len(), None);
    let frame = [header.as_slice(), message.as_bytes()].concat();
    let taken = wire.flood(&frame, LIMIT).await;
    // Some 8 MiB wait in the client, the rest in the buffers of the system.
    assert!(taken < 64 << 20, "{taken} bytes were taken");
    taken / frame.len()
}

#[tokio::test]
async fn a_flood_of_events_is_read_as_fast_as_they_are_handled() {
    let raw = Raw::start().await;
    let socket = websocket(&raw).build().expect("usable options");
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let (note, mut seen) = journal();
    let handler_gate = std::sync::Arc::clone(&gate);
    socket.on("x", move |Data(text): Data<String>| {
        let (gate, note) = (std::sync::Arc::clone(&handler_gate), note.clone());
        async move {
            let _permit = gate.acquire().await;
            note(text.len());
        }
    });
    let (connected, mut wire) =
        tokio::join!(within("the connection", socket.connect()), raw.joined());
    connected.expect("accepted");
    let event = format!("42[\"x\",\"{}\"]", "x".repeat(100_000));
    let taken = flood(&mut wire, &event).await;
    // It goes on when the handlers do.
    gate.add_permits(1 << 20);
    for _ in 0..taken {
        assert_eq!(seen.next().await, 100_000);
    }
    assert!(socket.is_connected());
}

#[tokio::test]
async fn a_flood_of_questions_is_read_as_fast_as_the_answers() {
    let raw = Raw::start().await;
    let socket = websocket(&raw).build().expect("usable options");
    socket.on("x", move |Data(text): Data<String>, ack: Ack| async move {
        ack.send(text)
    });
    let (connected, mut wire) =
        tokio::join!(within("the connection", socket.connect()), raw.joined());
    connected.expect("accepted");
    let question = format!("421[\"x\",\"{}\"]", "x".repeat(100_000));
    let taken = flood(&mut wire, &question).await;
    // It goes on when they are read.
    let answer = format!("431[\"{}\"]", "x".repeat(100_000));
    for _ in 0..taken {
        assert!(wire.next().await == answer, "another answer");
    }
    assert!(socket.is_connected());
}

#[tokio::test]
async fn a_flood_of_nothing_costs_nothing() {
    let raw = Raw::start().await;
    let socket = websocket(&raw).build().expect("usable options");
    let (note, mut seen) = journal();
    socket.on("end", move || {
        note(());
        async {}
    });
    let (connected, mut wire) =
        tokio::join!(within("the connection", socket.connect()), raw.joined());
    connected.expect("accepted");
    let frames: Vec<u8> = [
        "2",
        "6",
        "4399[]",
        "43999999[1]",
        "40{\"sid\":\"other\"}",
        "40/nowhere,{\"sid\":\"x\"}",
        "44/nowhere,{\"message\":\"no\"}",
        "41/nowhere,",
        "42/nowhere,[\"x\"]",
        "42[\"nobody listens\"]",
    ]
    .iter()
    .flat_map(|text| {
        let header = encode_header(OpCode::Text, text.len(), None);
        [header.as_slice(), text.as_bytes()].concat()
    })
    .collect();
    let reader = async {
        for _ in 0..2000 {
            wire.write(&frames).await;
        }
        wire.text("42[\"end\"]").await;
    };
    within("the flood", reader).await;
    seen.next().await;
    assert!(socket.is_connected());
    assert_eq!(socket.id().as_deref(), Some("public"));
}

#[tokio::test]
async fn attachments_without_end_are_refused() {
    // More than anybody may announce, and digits without end.
    let digits = format!("45{}-[\"x\"]", "1".repeat(100_000));
    for packet in ["4510001-[\"x\"]", &digits] {
        let raw = Raw::start().await;
        let socket = websocket(&raw).build().expect("usable options");
        let (note, mut seen) = journal();
        socket.on_disconnect(move |reason: DisconnectReason| {
            note(reason.to_string());
            async {}
        });
        let (connected, mut wire) =
            tokio::join!(within("the connection", socket.connect()), raw.joined());
        connected.expect("accepted");
        wire.text(packet).await;
        assert_eq!(seen.next().await, "parse error");
    }
    // Attachments that are announced, but too large together.
    let raw = Raw::start().await;
    let builder = websocket(&raw).max_message_bytes(1 << 20);
    let socket = builder.build().expect("usable options");
    let (note, mut seen) = journal();
    socket.on_disconnect(move |reason: DisconnectReason| {
        note(reason.to_string());
        async {}
    });
    let (connected, mut wire) =
        tokio::join!(within("the connection", socket.connect()), raw.joined());
    connected.expect("accepted");
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
    let (note, mut seen) = journal();
    socket.on_disconnect(move |reason: DisconnectReason| {
        note(reason.to_string());
        async {}
    });
    let (connected, mut wire) =
        tokio::join!(within("the connection", socket.connect()), raw.joined());
    connected.expect("accepted");
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

#[tokio::test]
async fn an_emit_that_waits_for_room_ends_with_the_connection() {
    let raw = Raw::start().await;
    let builder = websocket(&raw).retries(1).reconnection(false);
    let builder = builder.send_buffer_bytes(1000);
    let (connected, wire) = tokio::join!(within("the connection", builder.connect()), raw.joined());
    let socket = connected.expect("accepted");
    // The server acknowledges nothing, so they wait here.
    let waiting = loop {
        let mut emit = Box::pin(socket.emit("x", "x".repeat(100)));
        if tokio::time::timeout(SHORT, &mut emit).await.is_err() {
            break emit;
        }
    };
    drop(wire);
    within("the end of the wait", waiting)
        .await
        .expect("there is room for it, or would be an error");
    assert!(!socket.is_connected());
    // And then there is none.
    let mut emits = 0;
    let failure = loop {
        match within("an answer", socket.emit("x", "x".repeat(100))).await {
            Ok(()) => emits += 1,
            Err(failure) => break failure,
        }
        assert!(emits < 10, "the buffer has an end");
    };
    assert_eq!(
        failure.to_string(),
        "not connected, and the send buffer of 1000 bytes is full"
    );
}

/// A server of long-polling whose client has joined `/`: the connections of its GETs and of its POSTs.
async fn joined_by_polling(raw: &Raw) -> (Wire, Wire) {
    let mut gets = raw.accept().await;
    gets.request().await;
    gets.answer("", OPEN).await;
    let (_, mut posts) = tokio::join!(gets.request(), raw.accept());
    assert_eq!(posts.post().await.1, "40");
    posts.answer("", "ok").await;
    gets.answer("", ACCEPTED).await;
    gets.request().await;
    (gets, posts)
}

/// A client that has joined `/` by polling, and its connections.
async fn polling(raw: &Raw) -> (Socket, Wire, Wire) {
    let connecting = client(raw, Transport::Polling).connect();
    let (connected, (gets, posts)) =
        tokio::join!(within("the connection", connecting), joined_by_polling(raw));
    (connected.expect("accepted"), gets, posts)
}

#[tokio::test]
async fn cookies_may_come_with_any_answer() {
    let raw = Raw::start().await;
    let (socket, mut gets, mut posts) = polling(&raw).await;
    gets.answer("Set-Cookie: node=a\r\n", "2").await;
    assert!(gets.request().await.contains("cookie: node=a\r\n"));
    assert_eq!(posts.post().await.1, "3");
    posts.answer("Set-Cookie: node=b\r\n", "ok").await;
    socket.emit("x", ()).await.expect("sent");
    let (head, body) = posts.post().await;
    assert_eq!(body, "42[\"x\"]");
    assert!(head.contains("cookie: node=b\r\n"), "{head}");
}

#[tokio::test]
async fn a_transport_that_is_swallowed_leaves_time_for_the_next() {
    let raw = Raw::start().await;
    let builder = Client::builder(&raw.url())
        .transports([Transport::WebSocket, Transport::Polling])
        .try_all_transports(true)
        .connect_timeout(Duration::from_secs(2));
    let script = async {
        let mut swallowed = raw.accept().await;
        swallowed.request().await;
        (swallowed, joined_by_polling(&raw).await)
    };
    let (connected, _wires) = tokio::join!(within("the connection", builder.connect()), script);
    assert_eq!(
        connected.expect("accepted").transport(),
        Some(Transport::Polling)
    );
}

#[tokio::test]
async fn a_client_whose_handlers_are_behind_still_posts() {
    let raw = Raw::start().await;
    let (socket, mut gets, mut posts) = polling(&raw).await;
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let (note, mut seen) = journal();
    socket.on("x", move |socket: Socket| {
        let (gate, note) = (std::sync::Arc::clone(&gate), note.clone());
        async move {
            note(socket.emit("answer", ()).await.is_ok());
            let _never = gate.acquire().await;
        }
    });
    gets.answer("", &vec!["42[\"x\"]"; 2000].join("\u{1e}"))
        .await;
    assert!(seen.next().await);
    assert_eq!(posts.post().await.1, "42[\"answer\"]");
    posts.answer("", "ok").await;
    socket.emit("more", ()).await.expect("sent");
    assert_eq!(posts.post().await.1, "42[\"more\"]");
    posts.answer("", "ok").await;
    let script = async {
        assert_eq!(posts.post().await.1, "41\u{1e}1");
        posts.answer("", "ok").await;
    };
    let (ended, ()) = tokio::join!(within("the end", socket.disconnect()), script);
    ended.expect("all has left");
}

#[tokio::test]
async fn disconnect_of_one_namespace_waits_for_its_post() {
    let raw = Raw::start().await;
    let (socket, mut gets, mut posts) = polling(&raw).await;
    let other = socket.of("/other");
    let script = async {
        assert_eq!(posts.post().await.1, "40/other,");
        posts.answer("", "ok").await;
        gets.answer("", "40/other,{\"sid\":\"other\"}").await;
    };
    let (connected, ()) = tokio::join!(within("the connection", other.connect()), script);
    connected.expect("accepted");
    let mut disconnecting = Box::pin(within("the end", other.disconnect()));
    tokio::select! {
        biased;
        _ = &mut disconnecting => panic!("nothing was posted"),
        (_, body) = posts.post() => assert_eq!(body, "41/other,"),
    }
    let waits = std::future::poll_fn(|cx| std::task::Poll::Ready(disconnecting.as_mut().poll(cx)));
    assert!(waits.await.is_pending(), "the server has not answered");
    posts.answer("", "ok").await;
    disconnecting.await.expect("all has left");
    assert!(socket.is_connected());
}

#[tokio::test]
async fn what_waits_for_one_namespace_does_not_hold_up_another() {
    let raw = Raw::start().await;
    let builder = websocket(&raw).send_buffer_bytes(1000);
    let (connected, mut wire) =
        tokio::join!(within("the connection", builder.connect()), raw.joined());
    let socket = connected.expect("accepted");
    let other = socket.of("/other");
    let text = "x".repeat(600);
    other.emit("x", &text).await.expect("kept");
    let full = other.emit("x", &text).await;
    assert!(
        matches!(full, Err(EmitError::BufferFull { max: 1000 })),
        "{full:?}"
    );
    for _ in 0..3 {
        within("room", socket.emit("y", ())).await.expect("sent");
        assert_eq!(wire.next().await, "42[\"y\"]");
    }
    // What is kept goes away with its socket.
    let script = async {
        assert_eq!(wire.next().await, "40/other,");
        wire.text("40/other,{\"sid\":\"other\"}").await;
        assert!(wire.next().await.starts_with("42/other,[\"x\","));
    };
    let (connected, ()) = tokio::join!(within("the connection", other.connect()), script);
    connected.expect("accepted");
    within("room", other.emit("y", ())).await.expect("sent");
    assert_eq!(wire.next().await, "42/other,[\"y\"]");
}

// Order.

#[tokio::test]
async fn the_last_failure_comes_before_the_end_of_all_attempts() {
    // The JavaScript client says `reconnect_failed` first.
    let socket = Client::builder("http://127.0.0.1:1")
        .reconnection_delay(Duration::from_millis(1))
        .reconnection_attempts(2)
        .retry_first_connect(true)
        .build()
        .expect("usable options");
    let (note, mut seen) = journal();
    let noted = note.clone();
    socket.on_connect_error(move |_: Failure| {
        noted("connect error");
        async {}
    });
    socket.on_reconnect_failed(move |_: Socket| {
        note("failed");
        async {}
    });
    let failure = within("a failure", socket.connect()).await;
    assert!(
        matches!(failure, Err(ConnectFailure::Unreachable { .. })),
        "{failure:?}"
    );
    for expected in ["connect error", "connect error", "connect error", "failed"] {
        assert_eq!(seen.next().await, expected);
    }
    assert!(!socket.is_active());
}

#[tokio::test]
async fn volatile_events_are_dropped_while_the_namespace_has_not_accepted() {
    // The JavaScript client keeps them if the transport happens to be writable.
    let raw = Raw::start().await;
    let socket = websocket(&raw).build().expect("usable options");
    let script = async {
        let mut wire = raw.websocket().await;
        wire.text(OPEN).await;
        assert_eq!(wire.next().await, "40");
        socket.emit_volatile("dropped", 1).expect("dropped");
        socket.emit("kept", 2).await.expect("kept");
        wire.text(ACCEPTED).await;
        assert_eq!(wire.next().await, "42[\"kept\",2]");
    };
    let (connected, ()) = tokio::join!(within("the connection", socket.connect()), script);
    connected.expect("accepted");
}

#[tokio::test]
async fn only_what_can_be_an_offset_is_one() {
    // The JavaScript client takes any text at the end of any event, which costs it the recovery.
    let raw = Raw::start().await;
    let socket = websocket(&raw).build().expect("usable options");
    socket.on("ask", async |ack: Ack| ack.send(()));
    let script = async {
        let mut wire = raw.websocket().await;
        wire.text(OPEN).await;
        assert_eq!(wire.next().await, "40");
        wire.text(r#"40{"sid":"public","pid":"private"}"#).await;
        wire.text(r#"42["x",1,"Q84fHBt"]"#).await;
        wire.text(r#"42["volatile","a sentence, no offset"]"#).await;
        wire.text(r#"427["ask","text"]"#).await;
        assert_eq!(wire.next().await, "437[]");
    };
    let (connected, ()) = tokio::join!(within("the connection", socket.connect()), script);
    connected.expect("accepted");
    let mut wire = raw.websocket().await;
    wire.text(OPEN).await;
    assert_eq!(
        wire.next().await,
        r#"40{"pid":"private","offset":"Q84fHBt"}"#
    );
    wire.text(r#"40{"sid":"public","pid":"private"}"#).await;
    within("recovered", async {
        while !socket.is_recovered() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn volatile_events_never_wait_for_room() {
    let raw = Raw::start().await;
    let builder = websocket(&raw).send_buffer_bytes(1000);
    let (connected, mut wire) =
        tokio::join!(within("the connection", builder.connect()), raw.joined());
    let socket = connected.expect("accepted");
    // In one turn of this thread: the connection's task takes nothing meanwhile.
    for number in 0..100 {
        socket.emit_volatile("x", number).expect("sent or dropped");
    }
    assert_eq!(wire.next().await, "42[\"x\",0]");
}

#[tokio::test]
async fn questions_wait_for_room_as_other_events() {
    let raw = Raw::start().await;
    let builder = websocket(&raw).send_buffer_bytes(1000);
    let (connected, mut wire) =
        tokio::join!(within("the connection", builder.connect()), raw.joined());
    let socket = connected.expect("accepted");
    // In one turn of this thread: the connection's task takes nothing meanwhile.
    socket.emit("x", "x".repeat(600)).await.expect("sent");
    let mut asking = Box::pin(socket.emit_with_ack::<()>("never", ()).args());
    let waits = std::future::poll_fn(|cx| std::task::Poll::Ready(asking.as_mut().poll(cx)));
    assert!(waits.await.is_pending());
    drop(asking);
    let mut asking = Box::pin(socket.emit_with_ack::<i32>("sum", ()).args());
    let script = async {
        assert!(wire.next().await.starts_with("42[\"x\","));
        assert_eq!(wire.next().await, "421[\"sum\"]");
        wire.text("431[7]").await;
    };
    let (answer, ()) = tokio::join!(within("an answer", &mut asking), script);
    assert_eq!(answer.expect("answered").json(), "7");
}

#[tokio::test]
async fn an_event_whose_answer_nobody_waits_for_is_not_sent_later() {
    let raw = Raw::start().await;
    let socket = websocket(&raw).build().expect("usable options");
    let asking = socket.emit_with_ack::<()>("late", ()).timeout(SHORT);
    let answer = within("a failure", asking.args()).await;
    assert!(matches!(answer, Err(AckError::Timeout)), "{answer:?}");
    socket.emit("kept", ()).await.expect("kept");
    let script = async {
        let mut wire = raw.joined().await;
        assert_eq!(wire.next().await, "42[\"kept\"]");
    };
    let (connected, ()) = tokio::join!(within("the connection", socket.connect()), script);
    connected.expect("accepted");
}

#[tokio::test]
async fn an_answer_is_for_the_connection_on_which_it_was_asked_for() {
    let raw = Raw::start().await;
    let socket = websocket(&raw).build().expect("usable options");
    let (note, mut asked) = journal();
    socket.on("ask", move |ack: Ack| {
        note(ack);
        async {}
    });
    let (connected, mut wire) =
        tokio::join!(within("the connection", socket.connect()), raw.joined());
    connected.expect("accepted");
    wire.text("427[\"ask\"]").await;
    let old = asked.next().await;
    drop(wire);
    let mut wire = raw.joined().await;
    wire.text("427[\"ask\"]").await;
    let new = asked.next().await;
    assert!(matches!(old.send("old"), Err(EmitError::Disconnected)));
    new.send("new").expect("sent");
    assert_eq!(wire.next().await, "437[\"new\"]");
}

#[tokio::test]
async fn a_dropped_reader_does_not_hold_up_the_others() {
    let raw = Raw::start().await;
    let socket = websocket(&raw).build().expect("usable options");
    let (note, mut seen) = journal();
    socket.on("x", move || {
        note(());
        async {}
    });
    let events = socket.events();
    let (connected, mut wire) =
        tokio::join!(within("the connection", socket.connect()), raw.joined());
    connected.expect("accepted");
    let header = encode_header(OpCode::Text, 7, None);
    let frame = [header.as_slice(), b"42[\"x\"]"].concat();
    wire.write(&frame.repeat(1000)).await;
    // So many may wait for the reader.
    for _ in 0..256 {
        seen.next().await;
    }
    drop(events);
    for _ in 256..1000 {
        seen.next().await;
    }
}

// What the application does wrong.

#[tokio::test]
async fn an_auth_function_that_panics_is_a_failure() {
    for late in [false, true] {
        let raw = Raw::start().await;
        let builder = websocket(&raw).auth_with(move || {
            assert!(late, "at once");
            async { Some(()).filter(|()| false).expect("later") }
        });
        let failure = fails(builder, async {
            let mut wire = raw.websocket().await;
            wire.text(OPEN).await;
            wire.closed().await;
        })
        .await;
        let text = failure.to_string();
        assert!(
            text.starts_with("invalid option auth: its function has panicked"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn auth_must_be_an_object() {
    let raw = Raw::start().await;
    let failure = websocket(&raw)
        .auth("token")
        .build()
        .expect_err("no object");
    assert_eq!(failure.to_string(), "invalid option auth: it is no object");
    let failure = fails(websocket(&raw).auth_with(|| async { 7 }), async {
        let mut wire = raw.websocket().await;
        wire.text(OPEN).await;
        wire.closed().await;
    })
    .await;
    assert_eq!(failure.to_string(), "invalid option auth: it is no object");
}

#[tokio::test]
async fn namespaces_that_the_wire_cannot_carry_are_refused() {
    let raw = Raw::start().await;
    let (connected, _wire) = tokio::join!(
        within("the connection", websocket(&raw).connect()),
        raw.joined()
    );
    let socket = connected.expect("accepted");
    for namespace in ["a,b", "/x?y"] {
        let failure = within("a failure", socket.of(namespace).connect()).await;
        assert!(
            matches!(
                failure,
                Err(ConnectFailure::Option {
                    option: "namespace",
                    ..
                })
            ),
            "{failure:?}"
        );
    }
    assert!(socket.is_connected());
}

#[tokio::test]
async fn times_without_end_are_no_danger() {
    let raw = Raw::start().await;
    let builder = websocket(&raw)
        .connect_timeout(Duration::MAX)
        .ack_timeout(Duration::MAX)
        .reconnection_delay_max(Duration::MAX)
        .retries(1);
    let (connected, mut wire) =
        tokio::join!(within("the connection", builder.connect()), raw.joined());
    let socket = connected.expect("accepted");
    socket.emit("x", ()).await.expect("sent");
    assert_eq!(wire.next().await, "420[\"x\"]");
}

// The end.

#[tokio::test]
async fn giving_up_fails_what_waits_for_answers() {
    let socket = Client::builder("http://127.0.0.1:1")
        .build()
        .expect("usable options");
    let mut asking = Box::pin(socket.emit_with_ack::<()>("x", ()).args());
    let waits = std::future::poll_fn(|cx| std::task::Poll::Ready(asking.as_mut().poll(cx)));
    assert!(waits.await.is_pending());
    let failure = within("a failure", socket.connect()).await;
    assert!(
        matches!(failure, Err(ConnectFailure::Unreachable { .. })),
        "{failure:?}"
    );
    let answer = within("a failure", asking).await;
    assert!(matches!(answer, Err(AckError::Disconnected)), "{answer:?}");
}

#[tokio::test]
async fn the_first_failure_is_returned_every_time() {
    let raw = Raw::start().await;
    let socket = websocket(&raw).build().expect("usable options");
    let (connected, mut wire) =
        tokio::join!(within("the connection", socket.connect()), raw.joined());
    connected.expect("accepted");
    let script = async {
        wire.closed().await;
        // Neither is there anybody any more.
        drop((wire, raw));
    };
    let (ended, ()) = tokio::join!(within("the end", socket.disconnect()), script);
    ended.expect("all has left");
    let failure = within("a failure", socket.connect()).await;
    assert!(
        matches!(failure, Err(ConnectFailure::Unreachable { .. })),
        "{failure:?}"
    );
}

#[test]
fn the_end_of_the_runtime_leaves_nobody_waiting() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
    };
    let (client, other) = (runtime(), runtime());
    let (socket, _wire) = client.block_on(async {
        let raw = Raw::start().await;
        let (connected, wire) = tokio::join!(
            within("the connection", websocket(&raw).connect()),
            raw.joined()
        );
        (connected.expect("accepted"), wire)
    });
    let mut asking = Box::pin(socket.emit_with_ack::<()>("x", ()).args());
    let waits = std::future::poll_fn(|cx| std::task::Poll::Ready(asking.as_mut().poll(cx)));
    assert!(other.block_on(waits).is_pending());
    drop(client);
    let answer = other.block_on(async { within("a failure", asking).await });
    assert!(matches!(answer, Err(AckError::Disconnected)), "{answer:?}");
    assert!(!socket.is_connected() && !socket.is_active());
}

#[test]
fn disconnect_returns_when_the_close_is_on_the_wire() {
    let server = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let client = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let raw = server.block_on(Raw::start());
    let builder = websocket(&raw);
    let connecting = client.spawn(builder.connect());
    let mut wire = server.block_on(raw.joined());
    let socket = client
        .block_on(connecting)
        .expect("no panic")
        .expect("accepted");
    let (reading, read) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        server.block_on(async {
            for _ in 0..3 {
                // The test may have failed.
                let _ = reading.send(wire.next().await);
            }
        });
    });
    client.block_on(async {
        socket.emit("last", 1).await.expect("sent");
        within("the end", socket.disconnect())
            .await
            .expect("all has left");
    });
    // Nobody is left who could write.
    client.shutdown_background();
    let read: Vec<_> = read.into_iter().collect();
    assert_eq!(read, ["42[\"last\",1]", "41", "closed"]);
}

#[tokio::test]
async fn disconnect_does_not_wait_for_a_server_that_does_not_react() {
    let raw = Raw::start().await;
    let (connected, mut wire) = tokio::join!(
        within("the connection", websocket(&raw).connect()),
        raw.joined()
    );
    let socket = connected.expect("accepted");
    // The server reads nothing and ends nothing, for which it has 10 s.
    let end = tokio::time::timeout(Duration::from_secs(5), socket.disconnect());
    end.await.expect("on the wire").expect("all has left");
    within("the end said again", socket.disconnect())
        .await
        .expect("all has left");
    assert_eq!(wire.next().await, "41");
    assert_eq!(wire.next().await, "closed");
}

/// A server of Socket.IO 2 whose client has opened a session. It connects `/` by itself.
async fn opened_by_old_server(raw: &Raw) -> Wire {
    let mut wire = raw.websocket().await;
    wire.text(OPEN).await;
    wire.text("40").await;
    wire
}

#[tokio::test]
async fn the_root_of_an_old_server_waits_for_no_auth() {
    let raw = Raw::start().await;
    let builder = websocket(&raw)
        .revision(Revision::V3)
        .auth_with(std::future::pending::<u32>);
    let (connected, mut wire) = tokio::join!(
        within("the connection", builder.connect()),
        opened_by_old_server(&raw)
    );
    let socket = connected.expect("accepted");
    socket.emit("x", 1).await.expect("sent");
    assert_eq!(wire.next().await, "42[\"x\",1]");
}

#[tokio::test]
async fn the_root_of_an_old_server_is_joined_late_and_again() {
    let raw = Raw::start().await;
    let builder = Client::builder(&format!("{}/admin", raw.url()))
        .transports([Transport::WebSocket])
        .revision(Revision::V3);
    let script = async {
        let mut wire = opened_by_old_server(&raw).await;
        assert_eq!(wire.next().await, "40/admin,");
        wire.text("40/admin,").await;
        wire
    };
    let (connected, mut wire) = tokio::join!(within("the connection", builder.connect()), script);
    let admin = connected.expect("accepted");
    let root = admin.of("/");
    within("what is connected", root.connect())
        .await
        .expect("accepted");
    assert_eq!(root.id().as_deref(), Some("secret"));
    root.disconnect().await.expect("all has left");
    assert_eq!(wire.next().await, "41");
    let script = async {
        assert_eq!(wire.next().await, "40");
        wire.text("40").await;
    };
    let (again, ()) = tokio::join!(within("the connection", root.connect()), script);
    again.expect("accepted");
    // Without a middleware such a server does not answer what it has accepted before, but it refuses.
    root.disconnect().await.expect("all has left");
    assert_eq!(wire.next().await, "41");
    let script = async {
        assert_eq!(wire.next().await, "40");
        wire.text("44\"no\"").await;
    };
    let (refused, ()) = tokio::join!(within("a refusal", root.connect()), script);
    refused.expect_err("refused");
    within("silence", root.connect()).await.expect("accepted");
    assert!(admin.is_connected() && root.is_connected());
}

#[tokio::test]
async fn events_before_the_acceptance_are_handled_after_it() {
    let raw = Raw::start().await;
    let socket = websocket(&raw).build().expect("usable options");
    let (note, mut seen) = journal();
    let noted = note.clone();
    socket.on_connect(move |_: Socket| {
        noted("connected".to_owned());
        async {}
    });
    socket.on("hello", move |Data(name): Data<String>, ack: Ack| {
        note(name);
        async move { ack.send("thanks") }
    });
    let script = async {
        let mut wire = raw.websocket().await;
        wire.text(OPEN).await;
        assert!(wire.next().await.starts_with("40"));
        wire.text("425[\"hello\",\"one\"]").await;
        wire.text("42[\"hello\",\"two\"]").await;
        wire.text(ACCEPTED).await;
        assert_eq!(wire.next().await, "435[\"thanks\"]");
        wire
    };
    let (connected, _wire) = tokio::join!(within("the connection", socket.connect()), script);
    connected.expect("accepted");
    for expected in ["connected", "one", "two"] {
        assert_eq!(seen.next().await, expected);
    }
}
