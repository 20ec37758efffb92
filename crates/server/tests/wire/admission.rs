//! Which requests are let in, and every refusal to the byte.

use std::time::{Duration, Instant};

use kokanee_server::{Server, Transport};

use crate::{
    bed::{Bed, Table, assert_alive, error, is_json_error, run},
    support::{Http, PATIENCE, Polling, WebSocket, WebSocketEnd, http},
};

#[test]
fn refusals_are_json_with_a_code() {
    run(async {
        let mut bed = Bed::new().await;
        let long = "x".repeat(4000);
        let long_sid = format!("EIO=4&transport=polling&sid={}", "A".repeat(7000));
        let long_transport = format!("EIO=4&transport={long}");
        let rows: &[(&str, &str, u8)] = &[
            ("no query", "", 0),
            ("no transport", "EIO=4", 0),
            ("unknown transport", "EIO=4&transport=tobi", 0),
            ("transport in capitals", "EIO=4&transport=POLLING", 0),
            ("webtransport", "EIO=4&transport=webtransport", 0),
            ("transport __proto__", "EIO=4&transport=__proto__", 0),
            ("transport constructor", "EIO=4&transport=constructor", 0),
            ("transport toString", "EIO=4&transport=toString", 0),
            (
                "transport hasOwnProperty",
                "EIO=4&transport=hasOwnProperty",
                0,
            ),
            ("transport as array", "EIO=4&transport[]=polling", 0),
            ("transport with NUL", "EIO=4&transport=polling%00", 0),
            ("transport with space", "EIO=4&transport=+polling", 0),
            ("long transport", &long_transport, 0),
            ("transport not UTF-8", "EIO=4&transport=%ff%fe", 0),
            (
                "unknown transport goes before unknown sid",
                "EIO=4&transport=x&sid=abc",
                0,
            ),
            ("empty transport", "EIO=4&transport=", 3),
            (
                "transport twice",
                "EIO=4&transport=polling&transport=polling",
                3,
            ),
            (
                "two transports",
                "EIO=4&transport=polling&transport=websocket",
                3,
            ),
            ("no EIO", "transport=polling", 5),
            ("revision 3", "EIO=3&transport=polling", 5),
            ("revision 2", "EIO=2&transport=polling", 5),
            ("revision 5", "EIO=5&transport=polling", 5),
            ("revision 04", "EIO=04&transport=polling", 5),
            ("revision 4.0", "EIO=4.0&transport=polling", 5),
            ("revision with NUL", "EIO=4%00&transport=polling", 5),
            ("revision __proto__", "EIO=__proto__&transport=polling", 5),
            ("revision as array", "EIO[]=4&transport=polling", 5),
            ("empty EIO", "EIO=&transport=polling", 3),
            ("EIO twice", "EIO=4&EIO=4&transport=polling", 3),
            ("two revisions", "EIO=4&EIO=3&transport=polling", 3),
            ("empty sid", "EIO=4&transport=polling&sid=", 3),
            ("sid twice", "EIO=4&transport=polling&sid=a&sid=a", 3),
            ("unknown sid", "EIO=4&transport=polling&sid=abc", 1),
            (
                "unknown sid of the right form",
                "EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAA",
                1,
            ),
            ("sid __proto__", "EIO=4&transport=polling&sid=__proto__", 1),
            (
                "sid constructor",
                "EIO=4&transport=polling&sid=constructor",
                1,
            ),
            ("sid NUL", "EIO=4&transport=polling&sid=%00", 1),
            (
                "sid with line feeds",
                "EIO=4&transport=polling&sid=a%0d%0aCRITICAL:%20x",
                1,
            ),
            (
                "sid with terminal colours",
                "EIO=4&transport=polling&sid=%1b[31mred",
                1,
            ),
            ("sid not UTF-8", "EIO=4&transport=polling&sid=%ff%fe", 1),
            (
                "sid with broken escapes",
                "EIO=4&transport=polling&sid=%zz%",
                1,
            ),
            (
                "sid as a path",
                "EIO=4&transport=polling&sid=../../etc/passwd",
                1,
            ),
            (
                "sid with markup",
                "EIO=4&transport=polling&sid=%3Cscript%3E",
                1,
            ),
            ("long sid", &long_sid, 1),
            (
                "sid of 20 multi-byte characters",
                "EIO=4&transport=polling&sid=%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9",
                1,
            ),
            (
                "unknown sid of another revision",
                "EIO=3&transport=polling&sid=abc",
                1,
            ),
            (
                "transport websocket without upgrade",
                "EIO=4&transport=websocket",
                3,
            ),
            (
                "names of parameters are case-sensitive",
                "eio=4&TRANSPORT=polling",
                0,
            ),
        ];
        let mut http = bed.http().await;
        for (name, query, code) in rows {
            let answer = http.get(&format!("/socket.io/?{query}")).await;
            assert_eq!(answer.status_line, "HTTP/1.1 400 Bad Request", "{name}");
            bed.check(name, answer.brief(), (400, error(*code)));
            bed.check(
                format!("{name}: type"),
                answer.header("content-type"),
                Some("application/json"),
            );
        }
        // All of them on one connection, which is still good for a session.
        let answer = http.get("/socket.io/?EIO=4&transport=polling").await;
        bed.check("the connection survives refusals", answer.status, 200);
        bed.check("refusals open no session", bed.io.session_count(), 1);
    });
}

#[test]
fn harmless_queries_open_a_session() {
    run(async {
        let mut bed = Bed::new().await;
        let rows = [
            ("plain", "EIO=4&transport=polling"),
            ("cache buster", "EIO=4&transport=polling&t=abc123"),
            (
                "others twice",
                "EIO=4&transport=polling&a=1&a=2&__proto__=3",
            ),
            ("escaped", "%45IO=%34&transpor%74=polling"),
            ("order", "transport=polling&EIO=4"),
            ("empty parts", "&&EIO=4&&transport=polling&"),
            ("b64", "EIO=4&transport=polling&b64=1"),
        ];
        for (name, query) in rows {
            let answer = bed.get(&format!("/socket.io/?{query}")).await;
            bed.check(name, answer.status, 200);
            bed.check(name, answer.text().starts_with("0{\"sid\":\""), true);
        }
    });
}

#[test]
fn only_get_opens_a_session() {
    run(async {
        let mut bed = Bed::new().await;
        let target = "/socket.io/?EIO=4&transport=polling";
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
            let answer = bed
                .request(http::request(method, target, &[], Some(b"")))
                .await;
            bed.check(method, answer.brief(), (400, error(2)));
        }
        let mut http = bed.http().await;
        http.send(http::request(
            "HEAD",
            target,
            &[("Connection", "close")],
            None,
        ))
        .await;
        let answer = String::from_utf8(http.end().await).unwrap();
        bed.check(
            "HEAD",
            answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
            true,
        );
        bed.check("HEAD has no body", answer.ends_with("\r\n\r\n"), true);
    });
}

#[test]
fn other_methods_with_a_session_are_not_allowed_and_harmless() {
    run(async {
        let mut bed = Bed::new().await;
        let mut polling = bed.polling().await;
        for method in ["PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
            let answer = bed
                .request(http::request(method, &polling.target, &[], Some(b"x")))
                .await;
            bed.check(
                method,
                answer.status_line.as_str(),
                "HTTP/1.1 405 Method Not Allowed",
            );
            bed.check(method, answer.header("allow"), Some("GET, POST"));
        }
        let mut http = bed.http().await;
        http.send(http::request(
            "HEAD",
            &polling.target,
            &[("Connection", "close")],
            None,
        ))
        .await;
        let answer = String::from_utf8(http.end().await).unwrap();
        bed.check("HEAD", answer.starts_with("HTTP/1.1 405 "), true);
        assert_alive(&mut polling).await;
    });
}

#[test]
fn requests_must_fit_their_session() {
    run(async {
        let mut bed = Bed::new().await;
        let mut polling = bed.polling().await;
        let sid = polling.sid.clone();
        let (mut websocket, other) = bed.open_websocket().await;
        let rows = [
            (
                "revision 3 of a session of revision 4",
                format!("EIO=3&transport=polling&sid={sid}"),
            ),
            ("no revision", format!("transport=polling&sid={sid}")),
            ("revision 5", format!("EIO=5&transport=polling&sid={sid}")),
            (
                "websocket without upgrade",
                format!("EIO=4&transport=websocket&sid={sid}"),
            ),
            (
                "polling a WebSocket session",
                format!("EIO=4&transport=polling&sid={other}"),
            ),
        ];
        for (name, query) in &rows {
            let target = format!("/socket.io/?{query}");
            bed.check(
                format!("GET: {name}"),
                bed.get(&target).await.brief(),
                (400, error(3)),
            );
            bed.check(
                format!("POST: {name}"),
                bed.post(&target, "41").await.brief(),
                (400, error(3)),
            );
        }
        let upgrades = [
            (
                "revision 3",
                format!("EIO=3&transport=websocket&sid={sid}"),
                "Bad request",
            ),
            (
                "no revision",
                format!("transport=websocket&sid={sid}"),
                "Bad request",
            ),
            (
                "transport=polling",
                format!("EIO=4&transport=polling&sid={sid}"),
                "Bad request",
            ),
        ];
        for (name, query, message) in upgrades {
            let target = format!("/socket.io/?{query}");
            let answer = bed.request(http::upgrade(&target, &[])).await;
            bed.check(
                format!("upgrade: {name}"),
                answer.brief(),
                (400, message.to_owned()),
            );
        }
        assert_alive(&mut polling).await;
        websocket.join().await;
    });
}

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
            bed.check(
                name,
                answer.status_line.as_str(),
                "HTTP/1.1 400 Bad Request",
            );
            bed.check(name, answer.text(), message.to_owned());
            bed.check(name, answer.header("content-type"), Some("text/html"));
            bed.check(name, answer.header("connection"), Some("close"));
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

#[test]
fn the_path_matches_exactly() {
    run(async {
        let mut bed = Bed::new().await;
        let rows = [
            ("/socket.io/", 200),
            ("/socket.io", 200),
            ("/socket.io/anything", 200),
            ("/socket.io/anything/", 200),
            ("/socket.io/1/", 200),
            ("/socket.io//", 200),
            ("/socket.io/../x", 200),
            ("/socket.io/socket.io.js", 404),
            ("/socket.io/socket.io.esm.min.js.map", 404),
            ("/socket.io/socket.io.js/", 200),
            ("/socket.io/x/socket.io.js", 200),
            ("/socket.iox", 404),
            ("/socket.iox/", 404),
            ("/socket.i", 404),
            ("/SOCKET.IO/", 404),
            ("/socket%2eio/", 404),
            ("/x/../socket.io/", 404),
            ("//socket.io/", 404),
            ("/engine.io/", 404),
            ("/", 404),
            ("http://localhost/socket.io/", 200),
        ];
        for (path, status) in rows {
            let answer = bed.get(&format!("{path}?EIO=4&transport=polling")).await;
            bed.check(path, answer.status, status);
            if status == 404 {
                bed.check(path, answer.text(), "Not Found".to_owned());
                bed.check(path, answer.header("content-type"), Some("text/plain"));
            }
        }
        for (path, status) in [("/socket.io/x", 101), ("/socket.iox/", 404), ("/x", 404)] {
            let target = format!("{path}?EIO=4&transport=websocket");
            let answer = bed.request(http::upgrade(&target, &[])).await;
            bed.check(format!("upgrade {path}"), answer.status, status);
        }
    });
}

#[test]
fn a_session_can_be_used_on_any_path_below_the_path() {
    run(async {
        let bed = Bed::new().await;
        let mut polling = bed.polling().await;
        polling.target = polling
            .target
            .replace("/socket.io/", "/socket.io/1/polling/");
        assert_alive(&mut polling).await;
        let target = polling.target.replace("=polling", "=websocket");
        let mut websocket = WebSocket::connect(bed.address, &target).await;
        websocket.send("2probe").await;
        assert_eq!(websocket.text().await, "3probe");
    });
}

#[test]
fn the_path_can_be_chosen() {
    run(async {
        for (setting, path) in [("/ws", "/ws"), ("/a/b/", "/a/b"), ("deep", "/deep")] {
            let mut bed = Bed::with(Server::builder().path(setting)).await;
            for (target, status) in [
                (path.to_owned(), 200),
                (format!("{path}/"), 200),
                (format!("{path}x/"), 404),
                ("/socket.io/".to_owned(), 404),
            ] {
                let answer = bed.get(&format!("{target}?EIO=4&transport=polling")).await;
                bed.check(format!("{setting}: {target}"), answer.status, status);
            }
        }
    });
}

#[test]
fn transports_can_be_switched_off() {
    run(async {
        let mut bed = Bed::with(Server::builder().transports([Transport::WebSocket])).await;
        let answer = bed.get("/socket.io/?EIO=4&transport=polling").await;
        bed.check("polling off", answer.brief(), (400, error(0)));
        bed.check("websocket on", bed.open_websocket().await.1.len(), 20);
        let mut bed = Bed::with(Server::builder().transports([Transport::Polling])).await;
        let answer = bed
            .request(http::upgrade("/socket.io/?EIO=4&transport=websocket", &[]))
            .await;
        bed.check(
            "websocket off",
            answer.brief(),
            (400, "Transport unknown".to_owned()),
        );
        let polling = bed.open_polling().await;
        bed.check(
            "no upgrade offered",
            polling.opening.contains("\"upgrades\":[],"),
            true,
        );
        let target = format!("/socket.io/?EIO=4&transport=websocket&sid={}", polling.sid);
        let answer = bed.request(http::upgrade(&target, &[])).await;
        bed.check(
            "no upgrade taken",
            answer.brief(),
            (400, "Transport unknown".to_owned()),
        );
    });
}

#[test]
fn the_application_decides_about_new_sessions_only() {
    run(async {
        let builder =
            Server::builder().allow_request(async |request: ::http::request::Parts| match request
                .headers
                .get("x-verdict")
                .map(::http::HeaderValue::as_bytes)
            {
                None => Ok(()),
                Some(b"empty") => Err(String::new()),
                Some(_) => Err("your \"key\" is <missing>\n".to_owned()),
            });
        let mut bed = Bed::with(builder).await;
        let target = "/socket.io/?EIO=4&transport=polling";
        let no = ("X-Verdict", "no");
        let answer = bed.request(http::get(target, &[no])).await;
        bed.check(
            "status",
            answer.status_line.as_str(),
            "HTTP/1.1 403 Forbidden",
        );
        bed.check(
            "message",
            answer.text(),
            "{\"code\":4,\"message\":\"your \\\"key\\\" is <missing>\\n\"}".to_owned(),
        );
        bed.check(
            "type",
            answer.header("content-type"),
            Some("application/json"),
        );
        let answer = bed
            .request(http::get(target, &[("X-Verdict", "empty")]))
            .await;
        bed.check("no message", answer.brief(), (403, error(4)));
        let upgrade = "/socket.io/?EIO=4&transport=websocket";
        let answer = bed.request(http::upgrade(upgrade, &[no])).await;
        bed.check(
            "upgrade",
            answer.brief(),
            (400, "your \"key\" is <missing>\n".to_owned()),
        );
        let answer = bed
            .request(http::upgrade(upgrade, &[("X-Verdict", "empty")]))
            .await;
        bed.check(
            "upgrade, no message",
            answer.brief(),
            (400, "Forbidden".to_owned()),
        );

        let polling = bed.open_polling().await;
        let answer = bed.request(http::post(&polling.target, &[no], b"40")).await;
        bed.check(
            "not asked about a known session",
            answer.brief(),
            (200, "ok".to_owned()),
        );
        let answer = bed
            .request(http::get("/socket.io/?EIO=3&transport=polling", &[no]))
            .await;
        bed.check("asked before the revision is checked", answer.status, 403);
    });
}

#[test]
fn hostile_origins_are_refused() {
    run(async {
        let mut bed = Bed::new().await;
        let target = "/socket.io/?EIO=4&transport=polling";
        for (name, origin) in [
            ("control", "http://a\x01b"),
            ("delete", "http://a\x7fb"),
            ("NUL", "a\0b"),
        ] {
            let answer = bed.request(http::get(target, &[("Origin", origin)])).await;
            bed.check(name, answer.status, 400);
        }
        for (name, origin) in [
            ("tab", "http://a\tb"),
            ("latin", "http://a\u{e9}"),
            ("null", "null"),
            ("other site", "https://evil.example"),
        ] {
            let answer = bed.request(http::get(target, &[("Origin", origin)])).await;
            bed.check(name, answer.status, 200);
        }
    });
}

#[test]
fn sessions_that_join_nothing_are_limited() {
    run(async {
        let target = "/socket.io/?EIO=4&transport=polling";
        let upgrade = http::upgrade("/socket.io/?EIO=4&transport=websocket", &[]);
        let mut bed = Bed::limited(|limits| {
            limits.max_pending_sessions_per_address = 2;
            limits.ping_interval = Duration::from_millis(400);
            limits.ping_timeout = Duration::from_millis(400);
        })
        .await;
        let (mut first, _second) = (bed.open_polling().await, bed.open_websocket().await);
        let full = "Too many connections from this address";
        let answer = bed.get(target).await;
        bed.check(
            "status",
            answer.status_line.as_str(),
            "HTTP/1.1 429 Too Many Requests",
        );
        bed.check(
            "body",
            answer.text(),
            format!("{{\"code\":3,\"message\":\"{full}\"}}"),
        );
        bed.check("retry", answer.header("retry-after"), Some("5"));
        let answer = bed.request(&upgrade).await;
        bed.check("upgrade", answer.brief(), (429, full.to_owned()));
        first.join().await;
        bed.check("one has joined", bed.get(target).await.status, 200);
        bed.check("full again", bed.get(target).await.status, 429);
        bed.sessions(0).await;
        bed.check(
            "the silent ones have timed out",
            bed.get(target).await.status,
            200,
        );

        let mut bed = Bed::limited(|limits| limits.max_pending_sessions = 1).await;
        let polling = bed.open_polling().await;
        let answer = bed.get(target).await;
        bed.check(
            "server full",
            answer.status_line.as_str(),
            "HTTP/1.1 503 Service Unavailable",
        );
        bed.check(
            "server full",
            answer.text(),
            "{\"code\":3,\"message\":\"Server is full\"}".to_owned(),
        );
        bed.check("server full", answer.header("retry-after"), Some("5"));
        bed.check(
            "upgrade",
            bed.request(&upgrade).await.brief(),
            (503, "Server is full".to_owned()),
        );
        let answer = bed.post(&polling.target, "1").await;
        bed.check("closed", answer.brief(), (200, "ok".to_owned()));
        bed.sessions(0).await;
        bed.check("room again", bed.get(target).await.status, 200);
    });
}

#[test]
fn abandoned_sessions_keep_nobody_out() {
    run(async {
        let target = "/socket.io/?EIO=4&transport=polling";
        let mut table = Table::default();
        table.case("of their address", async move {
            let bed = Bed::limited(|limits| limits.max_pending_sessions_per_address = 2).await;
            frees_its_place(bed, target, 429).await;
        });
        table.case("of the server", async move {
            let bed = Bed::limited(|limits| limits.max_pending_sessions = 2).await;
            frees_its_place(bed, target, 503).await;
        });
        table.finish().await;
    });
}

/// Leaves two sessions alone, and opens others until one is taken: long before the two would have ended by themselves.
async fn frees_its_place(bed: Bed, target: &str, full: u16) {
    let (first, (mut second, _)) = (bed.open_polling().await, bed.open_websocket().await);
    let start = Instant::now();
    loop {
        let answer = bed.get(target).await;
        if answer.status == 200 {
            break;
        }
        assert_eq!(answer.status, full);
        assert!(start.elapsed() < PATIENCE, "{answer:?}");
        let wait = answer.header("retry-after").and_then(|it| it.parse().ok());
        tokio::time::sleep(Duration::from_secs(wait.expect("seconds"))).await;
    }
    assert_eq!(bed.get(&first.target).await.brief(), (400, error(1)));
    // The other one is as old, and is the next.
    assert_eq!(bed.get(target).await.status, 200);
    second.end().await;
    assert_eq!(bed.get(target).await.status, full);
}

#[test]
fn five_thousand_clients_of_one_address_are_let_in() {
    run(async {
        let bed = Bed::new().await;
        let mut http = bed.http().await;
        for _ in 0..5_000 {
            let answer = http.get("/socket.io/?EIO=4&transport=polling").await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        assert_eq!(bed.io.session_count(), 5_000);
    });
}

#[test]
fn a_server_that_shuts_down_takes_no_sessions() {
    run(async {
        let bed = Bed::new().await;
        let mut polling = bed.polling().await;
        // The end of this session waits to be fetched, so the server is not done yet.
        bed.socket().await.emit("news", "last").await.unwrap();
        let io = bed.io.clone();
        let closing = tokio::spawn(async move { io.close(Duration::from_secs(8)).await });
        bed.saw("disconnect: server shutting down").await;
        let answer = bed.get("/socket.io/?EIO=4&transport=polling").await;
        let body = "{\"code\":3,\"message\":\"Server is shutting down\"}".to_owned();
        assert_eq!(answer.brief(), (503, body));
        assert_eq!(answer.header("retry-after"), Some("5"));
        assert_eq!(polling.poll().await, "42[\"news\",\"last\"]");
        assert_eq!(polling.poll().await, "6\x1e1");
        closing.await.unwrap().expect("all was done in time");
    });
}

#[test]
fn session_ids_are_random_and_of_a_fixed_form() {
    run(async {
        let bed = Bed::limited(|limits| limits.max_pending_sessions_per_address = 1000).await;
        let mut seen = std::collections::HashSet::new();
        let mut ends = std::collections::HashSet::new();
        for _ in 0..100 {
            let sid = bed.open_polling().await.sid;
            assert_eq!(sid.len(), 20, "{sid}");
            assert!(
                sid.bytes()
                    .all(|c| c.is_ascii_alphanumeric() || b"-_".contains(&c)),
                "{sid}"
            );
            ends.insert(sid[16..].to_owned());
            assert!(seen.insert(sid), "an id came twice");
        }
        // No counter at the end, as the JavaScript server has.
        assert!(ends.len() > 95);
        assert!(!ends.contains("AAAA") || !ends.contains("AAAB"));
    });
}

#[test]
fn two_sessions_open_on_one_pipelined_connection() {
    run(async {
        let bed = Bed::new().await;
        let mut http = Http::connect(bed.address).await;
        let get = http::get("/socket.io/?EIO=4&transport=polling", &[]);
        http.send([get.clone(), get].concat()).await;
        let (first, second) = (http.response().await, http.response().await);
        assert_eq!((first.status, second.status), (200, 200));
        assert_ne!(first.body, second.body);
        assert_eq!(bed.io.session_count(), 2);
    });
}

#[test]
fn sessions_end_alone() {
    run(async {
        let bed = Bed::new().await;
        let mut first = bed.polling().await;
        let mut second = Polling::open(bed.address, "EIO=4").await;
        second.join().await;
        assert!(is_json_error(&first.post("9").await, 3));
        assert_alive(&mut second).await;
        let (mut websocket, _) = bed.open_websocket().await;
        websocket.send("9").await;
        assert_eq!(websocket.end().await, WebSocketEnd::NoCode);
        assert_alive(&mut second).await;
    });
}
