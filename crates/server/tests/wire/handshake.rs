//! The opening handshake of a WebSocket: which requests ask for one, the 101, and refusals before it.

use crate::{
    bed::{Bed, run},
    support::http,
};

#[test]
fn refused_websockets_get_text_before_any_101() {
    run(async {
        let mut bed = Bed::new().await;
        let target = |query: &str| format!("/socket.io/?{query}");
        let good = target("EIO=4&transport=websocket");
        let rows: Vec<(&str, Vec<u8>, &str)> = vec![
            (
                "no transport",
                http::upgrade(&target("EIO=4"), &[]),
                "Transport unknown",
            ),
            (
                "transport=tobi",
                http::upgrade(&target("EIO=4&transport=tobi"), &[]),
                "Transport unknown",
            ),
            (
                "transport=__proto__",
                http::upgrade(&target("EIO=4&transport=__proto__"), &[]),
                "Transport unknown",
            ),
            (
                "transport=constructor",
                http::upgrade(&target("EIO=4&transport=constructor"), &[]),
                "Transport unknown",
            ),
            (
                "transport=webtransport",
                http::upgrade(&target("EIO=4&transport=webtransport"), &[]),
                "Transport unknown",
            ),
            (
                "transport=polling",
                http::upgrade(&target("EIO=4&transport=polling"), &[]),
                "Bad request",
            ),
            (
                "unknown sid",
                http::upgrade(&target("EIO=4&transport=websocket&sid=abc"), &[]),
                "Session ID unknown",
            ),
            (
                "sid __proto__",
                http::upgrade(&target("EIO=4&transport=websocket&sid=__proto__"), &[]),
                "Session ID unknown",
            ),
            (
                "empty sid",
                http::upgrade(&target("EIO=4&transport=websocket&sid="), &[]),
                "Bad request",
            ),
            (
                "EIO twice",
                http::upgrade(&target("EIO=4&EIO=4&transport=websocket"), &[]),
                "Bad request",
            ),
            (
                "revision 3",
                http::upgrade(&target("EIO=3&transport=websocket"), &[]),
                "Unsupported protocol version",
            ),
            (
                "no revision",
                http::upgrade(&target("transport=websocket"), &[]),
                "Unsupported protocol version",
            ),
            (
                "POST",
                http::request("POST", &good, &UPGRADE, Some(b"")),
                "Bad handshake method",
            ),
            (
                "no key",
                http::request("GET", &good, &UPGRADE[..3], None),
                "Missing or invalid Sec-WebSocket-Key header",
            ),
            (
                "short key",
                key(&good, "AAAA"),
                "Missing or invalid Sec-WebSocket-Key header",
            ),
            (
                "key of 17 bytes",
                key(&good, "AAAAAAAAAAAAAAAAAAAAAAA="),
                "Missing or invalid Sec-WebSocket-Key header",
            ),
            (
                "key without base64",
                key(&good, "!!!!!!!!!!!!!!!!!!!!!!=="),
                "Missing or invalid Sec-WebSocket-Key header",
            ),
            (
                "no version",
                http::request("GET", &good, &[UPGRADE[0], UPGRADE[1], UPGRADE[3]], None),
                "Missing or invalid Sec-WebSocket-Version header",
            ),
            (
                "version 12",
                version(&good, "12"),
                "Missing or invalid Sec-WebSocket-Version header",
            ),
            (
                "version with text",
                version(&good, "13x"),
                "Missing or invalid Sec-WebSocket-Version header",
            ),
        ];
        for (name, request, message) in rows {
            let mut http = bed.http().await;
            http.send(request).await;
            let answer = http.response().await;
            // RFC 6455 4.4: a version that the server does not speak is not the client's fault.
            let (status, connection) = if name.starts_with("version") {
                ("HTTP/1.1 426 Upgrade Required", "Upgrade, close")
            } else {
                ("HTTP/1.1 400 Bad Request", "close")
            };
            bed.check(name, answer.status_line.as_str(), status);
            bed.check(name, answer.text(), message.to_owned());
            bed.check(name, answer.header("content-type"), Some("text/html"));
            bed.check(name, answer.header("connection"), Some(connection));
            if message.contains("Version header") {
                bed.check(name, answer.header("sec-websocket-version"), Some("13"));
            }
            bed.check(format!("{name}: the end"), http.end().await, Vec::new());
        }
        let old = String::from_utf8(http::request("GET", &good, &UPGRADE, None)).expect("text");
        let mut http = bed.http().await;
        http.send(old.replacen("HTTP/1.1", "HTTP/1.0", 1)).await;
        let answer = http.response().await;
        bed.check("HTTP/1.0", answer.status, 400);
        bed.check(
            "HTTP/1.0",
            answer.text(),
            "WebSocket needs HTTP/1.1".to_owned(),
        );
        bed.check("none opens a session", bed.io.session_count(), 0);
    });
}

const UPGRADE: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

fn key(target: &str, key: &str) -> Vec<u8> {
    http::request(
        "GET",
        target,
        &[
            UPGRADE[0],
            UPGRADE[1],
            UPGRADE[2],
            ("Sec-WebSocket-Key", key),
        ],
        None,
    )
}

fn version(target: &str, version: &str) -> Vec<u8> {
    let version = ("Sec-WebSocket-Version", version);
    http::request(
        "GET",
        target,
        &[UPGRADE[0], UPGRADE[1], version, UPGRADE[3]],
        None,
    )
}

#[test]
fn websocket_requests_are_recognised_as_rfc_6455_says() {
    run(async {
        let mut bed = Bed::new().await;
        let target = "/socket.io/?EIO=4&transport=websocket";
        let rows: [(&str, &str, &str, u16); 8] = [
            ("plain", "Upgrade", "websocket", 101),
            ("lower case", "upgrade", "websocket", 101),
            ("capitals", "UPGRADE", "WebSocket", 101),
            ("Firefox", "keep-alive, Upgrade", "websocket", 101),
            ("several protocols", "Upgrade", "h2c, websocket", 101),
            ("no connection token", "keep-alive", "websocket", 400),
            ("another protocol", "Upgrade", "h2c", 400),
            ("a longer token", "Upgradexyz", "websocket", 400),
        ];
        for (name, connection, upgrade, status) in rows {
            let headers = [
                ("Connection", connection),
                ("Upgrade", upgrade),
                UPGRADE[2],
                UPGRADE[3],
            ];
            let answer = bed
                .request(http::request("GET", target, &headers, None))
                .await;
            bed.check(name, answer.status, status);
        }
    });
}

#[test]
fn the_101_is_exact() {
    run(async {
        let mut bed = Bed::new().await;
        let target = "/socket.io/?EIO=4&transport=websocket";
        let plain = bed.request(http::upgrade(target, &[])).await;
        bed.check(
            "status",
            plain.status_line.as_str(),
            "HTTP/1.1 101 Switching Protocols",
        );
        bed.check("upgrade", plain.header("upgrade"), Some("websocket"));
        bed.check("connection", plain.header("connection"), Some("Upgrade"));
        bed.check(
            "accept",
            plain.header("sec-websocket-accept"),
            Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        );
        for absent in [
            "sec-websocket-protocol",
            "sec-websocket-extensions",
            "set-cookie",
            "content-length",
            "access-control-allow-origin",
        ] {
            bed.check(absent, plain.header(absent), None);
        }
        let deflate = (
            "Sec-WebSocket-Extensions",
            "permessage-deflate; client_max_window_bits",
        );
        let answer = bed.request(http::upgrade(target, &[deflate])).await;
        bed.check(
            "no compression",
            answer.header("sec-websocket-extensions"),
            None,
        );
        let answer = bed
            .request(http::upgrade(
                target,
                &[("Sec-WebSocket-Protocol", "chat, superchat")],
            ))
            .await;
        bed.check(
            "first protocol",
            answer.header("sec-websocket-protocol"),
            Some("chat"),
        );
        let long = "a,".repeat(4000);
        let answer = bed
            .request(http::upgrade(target, &[("Sec-WebSocket-Protocol", &long)]))
            .await;
        bed.check(
            "long protocol list",
            answer.header("sec-websocket-protocol"),
            Some("a"),
        );
        let spaces = format!("a{}b", " ".repeat(8000));
        let answer = bed
            .request(http::upgrade(
                target,
                &[("Sec-WebSocket-Protocol", &spaces)],
            ))
            .await;
        bed.check("hostile protocol", matches!(answer.status, 101 | 400), true);
        let extensions = format!("a;b=\"{}", ";c=\"".repeat(2000));
        let answer = bed
            .request(http::upgrade(
                target,
                &[("Sec-WebSocket-Extensions", &extensions)],
            ))
            .await;
        bed.check("hostile extensions", answer.status, 101);
    });
}
