//! Which requests are let in, and every refusal to the byte.

use kokanee_server::{Server, Transport};

use crate::{
    bed::{Bed, assert_alive, error, run},
    support::{WebSocket, http},
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
