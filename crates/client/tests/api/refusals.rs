//! What the client says when a server, or a proxy in front of it, refuses or closes the connection.

use kokanee_client::{CloseDetails, CloseReason, ConnectFailure, DisconnectReason, Transport};
use kokanee_websocket::OpCode;

use crate::{
    raw::{OPEN, Raw, client, fails, websocket},
    support::{journal, reasons},
};

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
        let socket = raw.socket();
        let (note, mut seen) = journal();
        socket.on_disconnect(move |reason: DisconnectReason, details: CloseDetails| {
            note((reason, details));
            async {}
        });
        let mut wire = raw.join(&socket).await;
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
async fn a_close_packet_over_websocket_ends_the_session_at_once() {
    // The JavaScript client ignores it, and waits for the ping timeout.
    let raw = Raw::start().await;
    let socket = websocket(&raw)
        .reconnection(false)
        .build()
        .expect("usable options");
    let mut seen = reasons(&socket);
    let mut wire = raw.join(&socket).await;
    wire.text("1").await;
    assert_eq!(seen.next().await, "transport close");
    wire.closed().await;
    assert!(!socket.is_active());
}
