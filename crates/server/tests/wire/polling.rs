//! Long-polling: what GET and POST answer to the byte, what a bad request does to its session, and that nothing is lost
//! when requests break.

use std::{sync::Arc, time::Duration};

use ::http as http_types;
use kokanee_server::{Body, Server, Socket};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Semaphore,
};
use tower_service::Service;

use crate::{
    bed::{
        Bed, RS, Table, assert_alive, assert_gone, error, is_json_error, run, run_on_one_thread,
    },
    support::{Response, http},
};

const TARGET: &str = "/socket.io/?EIO=4&transport=polling";

/// The head of a POST whose body has this length.
fn head(target: &str, length: usize) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n")
}

/// The head of a POST whose body comes in chunks.
fn chunked_head(target: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
}

#[test]
fn the_handshake_is_exact() {
    run(async {
        let mut bed = Bed::new().await;
        let answer = bed.get(TARGET).await;
        let sid = crate::support::sid_of(&answer.text());
        bed.check("status", answer.status_line.as_str(), "HTTP/1.1 200 OK");
        bed.check("body", answer.text(), format!("0{{\"sid\":\"{sid}\",\"upgrades\":[\"websocket\"],\"pingInterval\":25000,\"pingTimeout\":20000,\"maxPayload\":1000000}}"));
        bed.check(
            "type",
            answer.header("content-type"),
            Some("text/plain; charset=UTF-8"),
        );
        bed.check(
            "length",
            answer.header("content-length"),
            Some(answer.body.len().to_string().as_str()),
        );
        bed.check("cache", answer.header("cache-control"), Some("no-store"));
        for absent in [
            "set-cookie",
            "access-control-allow-origin",
            "content-encoding",
            "x-xss-protection",
            "vary",
            "server",
        ] {
            bed.check(absent, answer.header(absent), None);
        }
    });
}

#[test]
fn a_refusal_does_not_wait_for_the_body_and_does_not_end_the_connection_itself() {
    run(async {
        let bed = Bed::new().await;
        let unknown = format!("{TARGET}&sid=AAAAAAAAAAAAAAAAAAAA");
        let mut http = bed.http().await;
        http.send(head(&unknown, 5)).await;
        let answer = http.response().await;
        assert_eq!(answer.brief(), (400, error(1)));
        assert_eq!(answer.header("connection"), None);
        // A body that has come is passed over.
        let mut http = bed.http().await;
        for _ in 0..3 {
            http.send(head(&unknown, 5) + "4late").await;
            assert_eq!(http.response().await.brief(), (400, error(1)));
        }
    });
}

#[test]
fn the_handshake_tells_the_settings() {
    run(async {
        let builder = Server::builder()
            .allow_upgrades(false)
            .with_limits(|limits| {
                limits.ping_interval = Duration::from_millis(12_345);
                limits.ping_timeout = Duration::from_millis(6_789);
                limits.max_message_bytes = 4_321;
            });
        let bed = Bed::with(builder).await;
        let polling = bed.open_polling().await;
        let sid = &polling.sid;
        assert_eq!(
            polling.opening,
            format!(
                "0{{\"sid\":\"{sid}\",\"upgrades\":[],\"pingInterval\":12345,\"pingTimeout\":6789,\"maxPayload\":4321}}"
            )
        );
    });
}

#[test]
fn answers_of_posts_are_exact() {
    run(async {
        let mut bed = Bed::new().await;
        let mut polling = bed.open_polling().await;
        let answer = polling.post("40").await;
        bed.check("status", answer.status_line.as_str(), "HTTP/1.1 200 OK");
        bed.check("body", answer.text(), "ok".to_owned());
        bed.check("type", answer.header("content-type"), Some("text/html"));
        bed.check("length", answer.header("content-length"), Some("2"));
        bed.check("cache", answer.header("cache-control"), Some("no-store"));
    });
}

#[test]
fn old_internet_explorers_are_told_that_this_is_no_attack() {
    run(async {
        let mut bed = Bed::new().await;
        for (name, agent, expected) in [
            ("IE 8", "Mozilla/4.0 (compatible;MSIE 8.0)", Some("0")),
            (
                "IE 11",
                "Mozilla/5.0 (Windows NT; Trident/7.0; rv:11.0) like Gecko",
                Some("0"),
            ),
            (
                "Firefox",
                "Mozilla/5.0 (X11; rv:140.0) Gecko Firefox/140.0",
                None,
            ),
        ] {
            let agent = [("User-Agent", agent)];
            let answer = bed.request(http::get(TARGET, &agent)).await;
            bed.check(
                format!("{name}: open"),
                answer.header("x-xss-protection"),
                expected,
            );
            let polling = bed.open_polling().await;
            let answer = bed
                .request(http::post(&polling.target, &agent, b"40"))
                .await;
            bed.check(
                format!("{name}: POST"),
                answer.header("x-xss-protection"),
                expected,
            );
            let answer = bed.request(http::get(&polling.target, &agent)).await;
            bed.check(
                format!("{name}: GET"),
                answer.header("x-xss-protection"),
                expected,
            );
        }
    });
}

#[test]
fn nothing_of_a_request_comes_back_with_its_answer() {
    run(async {
        let mut bed = Bed::new().await;
        for count in [0, 2, 10, 20, 40, 90] {
            let sent: Vec<_> = (0..count).map(|n| format!("x-secret-{n}")).collect();
            let sent: Vec<_> = sent.iter().map(|name| (name.as_str(), "hidden")).collect();
            let polling = bed.open_polling().await;
            let mut http = bed.http().await;
            for (method, request, content_type) in [
                (
                    "POST",
                    http::post(&polling.target, &sent, b"40"),
                    "text/html",
                ),
                (
                    "GET",
                    http::get(&polling.target, &sent),
                    "text/plain; charset=UTF-8",
                ),
            ] {
                http.send(request).await;
                let answer = http.response().await;
                let mut names: Vec<_> = answer
                    .headers
                    .iter()
                    .map(|(name, _)| name.as_str())
                    .collect();
                names.sort_unstable();
                let case = format!("{method} with {count} headers");
                bed.check(&case, answer.header("content-type"), Some(content_type));
                let expected = vec!["cache-control", "content-length", "content-type", "date"];
                bed.check(case, names, expected);
            }
        }
    });
}

#[test]
fn a_get_waits_until_there_is_something() {
    run(async {
        let bed = Bed::new().await;
        let mut polling = bed.polling().await;
        polling.begin_poll().await;
        assert!(
            polling
                .gets()
                .is_silent_for(Duration::from_millis(200))
                .await
        );
        bed.socket().await.emit("news", 1).await.unwrap();
        assert_eq!(polling.answer().await.text(), "42[\"news\",1]");
    });
}

#[test]
fn what_waits_comes_in_one_answer_and_in_order() {
    run(async {
        let bed = Bed::new().await;
        let mut polling = bed.polling().await;
        let socket = bed.socket().await;
        for n in 0..100 {
            socket.emit("n", n).await.unwrap();
        }
        let expected: Vec<String> = (0..100).map(|n| format!("42[\"n\",{n}]")).collect();
        let mut got = String::new();
        while got.matches(RS).count() < 99 {
            if !got.is_empty() {
                got.push_str(RS);
            }
            got.push_str(&polling.poll().await);
        }
        assert_eq!(got, expected.join(RS));
    });
}

#[test]
fn packets_of_a_post_are_handled_in_order() {
    run(async {
        let bed = Bed::new().await;
        let mut polling = bed.open_polling().await;
        let many: Vec<String> = (0..40)
            .map(|n| format!("42{n}[\"echo\",{n},\"é€😀\"]"))
            .collect();
        polling.send(&format!("40{RS}{}", many.join(RS))).await;
        let mut got = Vec::new();
        while got.len() < 41 {
            got.extend(polling.poll().await.split(RS).map(str::to_owned));
        }
        assert!(got.remove(0).starts_with("40{\"sid\":"));
        let expected: Vec<String> = (0..40).map(|n| format!("43{n}[{n},\"é€😀\"]")).collect();
        assert_eq!(got, expected);
    });
}

#[test]
fn binary_travels_as_base64() {
    run(async {
        let mut bed = Bed::new().await;
        let mut polling = bed.polling().await;
        let event = "[\"echo\",{\"_placeholder\":true,\"num\":0}]";
        for (name, sent, returned) in [
            ("standard", "bAQIDBA==", "bAQIDBA=="),
            ("empty", "b", "b"),
            ("without padding", "bAQIDBA", "bAQIDBA=="),
            ("URL-safe", "b-_-_", "b+/+/"),
        ] {
            polling.send(&format!("451-{event}{RS}{sent}")).await;
            bed.check(
                name,
                polling.poll().await,
                format!("451-{event}{RS}{returned}"),
            );
        }
        let all: Vec<u8> = (0..=u8::MAX).cycle().take(768).collect();
        bed.socket()
            .await
            .emit("all", bytes::Bytes::from(all))
            .await
            .unwrap();
        let answer = polling.poll().await;
        let sent = answer
            .strip_prefix(&format!(
                "451-[\"all\",{{\"_placeholder\":true,\"num\":0}}]{RS}b"
            ))
            .expect("an event and its attachment");
        bed.check("length", sent.len(), 1024);
        polling.send(&format!("451-{event}{RS}b{sent}")).await;
        let answer = polling.poll().await;
        bed.check(
            "every byte",
            answer.ends_with(&format!("{RS}b{sent}")),
            true,
        );
    });
}

#[test]
fn a_second_get_is_refused_and_ends_the_session() {
    run(async {
        let bed = Bed::new().await;
        let mut polling = bed.polling().await;
        polling.pending_poll().await;
        let second = bed.get(&polling.target).await;
        assert_eq!(second.brief(), (400, String::new()));
        assert_eq!(second.header("content-type"), None);
        assert_eq!(polling.answer().await.brief(), (200, "1".to_owned()));
        assert_eq!(bed.reason().await, "transport error");
        assert_gone(&bed, &polling).await;
    });
}

#[test]
fn a_second_post_is_refused_and_ends_the_session() {
    run(async {
        let bed = Bed::new().await;
        let mut polling = bed.polling().await;
        let target = polling.target.clone();
        let head = format!("POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n42[\"a");
        polling.posts().send(head).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let second = bed.post(&target, "42[\"b\"]").await;
        assert_eq!(second.brief(), (400, String::new()));
        assert_eq!(bed.reason().await, "transport error");
        assert_gone(&bed, &polling).await;
        assert_eq!(
            bed.log(),
            ["connect", "disconnect: transport error"],
            "neither POST was handled"
        );
    });
}

#[test]
fn binary_posts_are_refused_at_once() {
    run(async {
        let bed = Bed::new().await;
        let mut polling = bed.polling().await;
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: 100\r\n\r\n",
            polling.target
        );
        polling.posts().send(head).await;
        // The body has not come, and nobody waits for it.
        let answer = polling.posts().response().await;
        assert_eq!(answer.brief(), (400, String::new()));
        assert_eq!(answer.header("content-type"), None);
        assert_eq!(bed.reason().await, "transport error");
        assert_gone(&bed, &polling).await;
    });
}

#[test]
fn many_binary_posts_leave_nothing_behind() {
    run(async {
        let bed = Bed::limited(|limits| limits.max_pending_sessions_per_address = 100_000).await;
        for _ in 0..300 {
            let polling = bed.open_polling().await;
            let octets = [("Content-Type", "application/octet-stream")];
            let answer = bed
                .request(http::post(&polling.target, &octets, b"\x00\x01"))
                .await;
            assert_eq!(answer.status, 400);
        }
        bed.sessions(0).await;
    });
}

#[test]
fn compressed_posts_are_not_inflated() {
    run(async {
        let mut bed = Bed::new().await;
        for encoding in ["gzip", "deflate", "br", "x"] {
            let polling = bed.open_polling().await;
            let encoding = [("Content-Encoding", encoding)];
            let answer = bed
                .request(http::post(&polling.target, &encoding, b"\x1f\x8b"))
                .await;
            bed.check(
                encoding[0].1,
                answer.status_line.as_str(),
                "HTTP/1.1 415 Unsupported Media Type",
            );
        }
    });
}

#[test]
fn too_large_posts_get_413_and_end_the_session() {
    run(async {
        let mut table = Table::default();
        table.case("announced", async {
            let bed = Bed::new().await;
            let mut polling = bed.polling().await;
            let head = head(&polling.target, 1_000_001);
            polling.posts().send(head).await;
            // Refused before any of it was read.
            let answer = polling.posts().response().await;
            assert_eq!(answer.status_line, "HTTP/1.1 413 Payload Too Large");
            assert_eq!(answer.text(), "");
            polling.posts().end().await;
            assert_eq!(bed.reason().await, "transport error");
            assert_gone(&bed, &polling).await;
        });
        table.case("chunked", async {
            let bed = Bed::limited(|limits| limits.max_message_bytes = 1000).await;
            let mut polling = bed.polling().await;
            let head = chunked_head(&polling.target);
            polling.posts().send(head).await;
            for _ in 0..11 {
                let _ = polling
                    .posts()
                    .try_send(format!("64\r\n{}\r\n", "x".repeat(100)))
                    .await;
            }
            assert_eq!(polling.posts().response().await.status, 413);
            assert_eq!(bed.reason().await, "transport error");
            assert_gone(&bed, &polling).await;
        });
        table.case("the whole of a 5 MB body is sent", async {
            let bed = Bed::new().await;
            let mut polling = bed.polling().await;
            let body = format!("42[\"a\",\"{}\"]", "x".repeat(5_000_000));
            let mut http = bed.http().await;
            let _ = http
                .try_send(http::post(&polling.target, &[], body.as_bytes()))
                .await;
            assert_eq!(http.response().await.status, 413);
            assert_eq!(bed.reason().await, "transport error");
            polling.begin_poll().await;
            assert!(is_json_error(&polling.answer().await, 1));
        });
        table.case("a pending GET gets the end", async {
            let bed = Bed::limited(|limits| limits.max_message_bytes = 1000).await;
            let mut polling = bed.polling().await;
            polling.pending_poll().await;
            assert_eq!(polling.post("x".repeat(1001)).await.status, 413);
            assert_eq!(polling.answer().await.brief(), (200, "1".to_owned()));
        });
        table.case("exactly the limit is fine", async {
            let bed = Bed::new().await;
            let mut polling = bed.polling().await;
            let body = format!("427[\"echo\",\"{}\"]", "x".repeat(1_000_000 - 15));
            assert_eq!(body.len(), 1_000_000 - 1);
            polling.send(&format!("{body} ")).await;
            assert_eq!(polling.poll().await.len(), body.len() - 7);
        });
        table.case("exactly the limit in chunks is fine", async {
            let bed = Bed::limited(|limits| limits.max_message_bytes = 100).await;
            let mut polling = bed.polling().await;
            let body = format!("42[\"a\",\"{}\"]", "x".repeat(100 - 10));
            assert_eq!(body.len(), 100);
            let (first, second) = body.split_at(37);
            let head = chunked_head(&polling.target);
            let request = format!("{head}25\r\n{first}\r\n3f\r\n{second}\r\n0\r\n\r\n");
            let answer = bed.request(request).await;
            assert_eq!(answer.brief(), (200, "ok".to_owned()));
            bed.saw("event a").await;
            assert_alive(&mut polling).await;
        });
        table.finish().await;
    });
}

#[test]
fn bad_packets_get_400_and_end_the_session() {
    run(async {
        let mut table = Table::default();
        let rows: Vec<(&str, Vec<u8>, &str)> = vec![
            ("empty body", b"".to_vec(), "parse error"),
            ("unknown type", b"7".to_vec(), "parse error"),
            ("letter", b"x".to_vec(), "parse error"),
            ("capital B", b"BAQID".to_vec(), "parse error"),
            ("separator alone", b"\x1e".to_vec(), "parse error"),
            ("separator behind", b"42[\"a\"]\x1e".to_vec(), "parse error"),
            (
                "two separators",
                b"42[\"a\"]\x1e\x1e42[\"b\"]".to_vec(),
                "parse error",
            ),
            ("not base64", b"b=!=".to_vec(), "parse error"),
            ("revision 3", b"7:42[\"a\"]".to_vec(), "parse error"),
            ("not UTF-8", b"42[\"\xff\"]".to_vec(), "parse error"),
            ("half a character", b"42[\"\xe2\x82".to_vec(), "parse error"),
            (
                "surrogate in UTF-8",
                b"42[\"\xed\xa0\x80\"]".to_vec(),
                "parse error",
            ),
            ("overlong NUL", b"42[\"\xc0\x80\"]".to_vec(), "parse error"),
            (
                "beyond Unicode",
                b"42[\"\xf4\x90\x80\x80\"]".to_vec(),
                "parse error",
            ),
            ("latin type", b"\xe9".to_vec(), "parse error"),
            ("NUL", b"\0".to_vec(), "parse error"),
            (
                "a megabyte of separators",
                vec![0x1e; 1_000_000],
                "parse error",
            ),
            ("ping of revision 3", b"2".to_vec(), "transport error"),
            ("probe", b"2probe".to_vec(), "transport error"),
        ];
        for (name, body, reason) in rows {
            table.case(name, async move {
                let bed = Bed::new().await;
                let mut polling = bed.polling().await;
                let answer = polling.post(body).await;
                assert_eq!(answer.brief(), (400, error(3)));
                assert_eq!(answer.header("content-type"), Some("application/json"));
                assert_eq!(bed.reason().await, reason);
                assert_gone(&bed, &polling).await;
            });
        }
        table.finish().await;
    });
}

#[test]
fn packets_before_a_bad_one_are_delivered() {
    run(async {
        let bed = Bed::new().await;
        let mut polling = bed.polling().await;
        polling.pending_poll().await;
        let answer = polling
            .post(format!("42[\"a\"]{RS}42[\"b\"]{RS}x{RS}42[\"c\"]"))
            .await;
        assert_eq!(answer.brief(), (400, error(3)));
        assert_eq!(polling.answer().await.brief(), (200, "1".to_owned()));
        assert_eq!(bed.reason().await, "parse error");
        assert_eq!(
            bed.log(),
            ["connect", "event a", "event b", "disconnect: parse error"]
        );
        assert_gone(&bed, &polling).await;
    });
}

#[test]
fn harmless_packets_are_ignored() {
    run(async {
        let mut bed = Bed::new().await;
        let mut polling = bed.polling().await;
        for packet in ["3", "3probe", "0", "0{\"sid\":\"x\"}", "5", "6", "6x"] {
            bed.check(
                packet,
                polling.post(packet).await.brief(),
                (200, "ok".to_owned()),
            );
        }
        assert_alive(&mut polling).await;
    });
}

#[test]
fn the_close_packet_ends_the_session() {
    run(async {
        let bed = Bed::new().await;
        let mut polling = bed.polling().await;
        polling.pending_poll().await;
        polling.send("1").await;
        assert_eq!(polling.answer().await.brief(), (200, "6".to_owned()));
        assert_eq!(bed.reason().await, "transport close");
        assert_gone(&bed, &polling).await;

        let bed = Bed::new().await;
        let mut polling = bed.polling().await;
        polling
            .send(&format!("42[\"a\"]{RS}1{RS}42[\"late\"]{RS}x"))
            .await;
        assert_eq!(bed.reason().await, "transport close");
        assert_eq!(
            bed.log(),
            ["connect", "event a", "disconnect: transport close"]
        );
        assert_eq!(polling.get().await.brief(), (200, "6".to_owned()));
        assert_gone(&bed, &polling).await;
    });
}

#[test]
fn a_get_that_the_close_packet_overtakes_is_answered_as_if_it_had_waited() {
    run(async {
        let mut table = Table::default();
        table.case("once", async {
            let bed = Bed::new().await;
            let mut polling = bed.open_polling().await;
            polling.send("1").await;
            bed.sessions(0).await;
            let answer = polling.get().await;
            assert_eq!(answer.brief(), (200, "6".to_owned()));
            assert_eq!(
                answer.header("content-type"),
                Some("text/plain; charset=UTF-8")
            );
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert_gone(&bed, &polling).await;
        });
        table.case("both at once", async {
            let bed = Bed::new().await;
            for _ in 0..200 {
                let mut polling = bed.open_polling().await;
                polling.begin_poll().await;
                let post = http::post(&polling.target, &[], b"1");
                polling.posts().send(post).await;
                assert_eq!(polling.answer().await.brief(), (200, "6".to_owned()));
                assert_eq!(polling.posts().response().await.status, 200);
                assert_gone(&bed, &polling).await;
            }
        });
        table.case("by another end", async {
            let bed = Bed::new().await;
            let mut polling = bed.polling().await;
            assert_eq!(polling.post("x").await.status, 400);
            assert_gone(&bed, &polling).await;
            let polling = bed.polling().await;
            let mut websocket = bed.probe(&polling.sid).await;
            websocket.send("2probe").await;
            websocket.text().await;
            websocket.send("5").await;
            websocket.send("1").await;
            websocket.end().await;
            assert_gone(&bed, &polling).await;
        });
        table.case("not for a POST or a WebSocket", async {
            let bed = Bed::new().await;
            let mut polling = bed.open_polling().await;
            polling.send("1").await;
            bed.sessions(0).await;
            assert_eq!(polling.post("40").await.brief(), (400, error(1)));
            let target = polling.target.replace("=polling", "=websocket");
            let answer = bed.request(http::upgrade(&target, &[])).await;
            assert_eq!(answer.status, 400);
            assert_eq!(polling.get().await.brief(), (200, "6".to_owned()));
        });
        table.finish().await;
    });
}

#[test]
fn a_refusal_before_the_end_of_the_body_can_be_read() {
    run(async {
        let mut table = Table::default();
        let long_field = format!("X: {}\r\n", "x".repeat(20_000));
        for (name, target, fields, status) in [
            ("too large", "", "", 413),
            ("encoded", "", "Content-Encoding: gzip\r\n", 415),
            (
                "binary",
                "",
                "Content-Type: application/octet-stream\r\n",
                400,
            ),
            (
                "unknown session",
                "/socket.io/?EIO=4&transport=polling&sid=x",
                "",
                400,
            ),
            (
                "new session",
                "/socket.io/?EIO=4&transport=polling",
                "",
                400,
            ),
            ("bad query", "/socket.io/?EIO=4&EIO=4", "", 400),
            ("elsewhere", "/elsewhere", "", 404),
            ("bad host", "/socket.io/", "Host: b\r\n", 400),
            ("long field", "/socket.io/", &long_field, 431),
        ] {
            for chunked in [false, true] {
                let fields = fields.to_owned();
                table.case(format!("{name}, chunked: {chunked}"), async move {
                    let bed = Bed::new().await;
                    for _ in 0..5 {
                        let polling = bed.open_polling().await;
                        let target = if target.is_empty() {
                            &polling.target
                        } else {
                            target
                        };
                        let answer = send_all(&bed, target, &fields, chunked).await;
                        assert_eq!(answer.map(|it| it.status), Some(status));
                    }
                });
            }
        }
        table.finish().await;
    });
}

/// Sends 1.2 MB as an ordinary client does, which reads nothing before it has sent everything.
async fn send_all(bed: &Bed, target: &str, fields: &str, chunked: bool) -> Option<Response> {
    let mut request = format!("POST {target} HTTP/1.1\r\nHost: x\r\n{fields}").into_bytes();
    if chunked {
        request.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
        for _ in 0..12 {
            request.extend_from_slice(b"186a0\r\n");
            request.resize(request.len() + 100_000, b'x');
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"0\r\n\r\n");
    } else {
        request.extend_from_slice(b"Content-Length: 1200000\r\n\r\n");
        request.resize(request.len() + 1_200_000, b'x');
    }
    let mut http = bed.http().await;
    http.send_slowly();
    http.try_send(request).await.ok()?;
    http.try_response().await
}

#[test]
fn an_aborted_get_loses_nothing() {
    run(async {
        for reset in [false, true] {
            let bed = Bed::new().await;
            let mut polling = bed.polling().await;
            for round in 0..10 {
                let mut http = bed.http().await;
                http.send(http::get(&polling.target, &[])).await;
                assert!(http.is_silent_for(Duration::from_millis(20)).await);
                if reset {
                    http.reset();
                } else {
                    drop(http);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
                bed.socket().await.emit("n", round).await.unwrap();
                assert_eq!(polling.poll().await, format!("42[\"n\",{round}]"));
            }
            assert_eq!(bed.log(), ["connect"]);
            assert_alive(&mut polling).await;
        }
    });
}

#[test]
fn answers_that_a_client_does_not_take_are_not_lost_however_many_there_are() {
    run(async {
        let padding = "x".repeat(2000);
        // With a body that comes in two parts, hyper goes on to the next request before an answer has left.
        for parts in [["", ""], ["x", "y"]] {
            let bed = Bed::new().await;
            let mut polling = bed.polling().await;
            let socket = bed.socket().await;
            // A pipe instead of TCP, because its buffer is known: no answer fits.
            let (mut client, stream) = tokio::io::duplex(512);
            let io = bed.io.clone();
            let served = tokio::spawn(async move { io.serve_stream(stream, None).await });
            let head = format!(
                "GET {} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
                polling.target,
                parts.concat().len()
            );
            for n in 0..3 {
                client.write_all(head.as_bytes()).await.unwrap();
                client.write_all(parts[0].as_bytes()).await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
                client.write_all(parts[1].as_bytes()).await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
                socket.emit("n", (n, &padding)).await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            // An answer is on its way.
            let mut begun = [0; 15];
            client.read_exact(&mut begun).await.unwrap();
            assert_eq!(&begun, b"HTTP/1.1 200 OK");
            drop(client);
            served.await.unwrap();
            let packet = |n| format!("42[\"n\",{n},\"{padding}\"]");
            let expected = [packet(0), packet(1), packet(2)].join(RS);
            assert_eq!(polling.poll().await, expected, "{parts:?}");
            assert_eq!(bed.log(), ["connect"]);
        }
    });
}

/// A GET as a host of the server makes it.
fn hosted_get(bed: &Bed, target: &str) -> impl Future<Output = http_types::Response<Body>> {
    let request = http_types::Request::get(target)
        .header("host", "x")
        .body(http_body_util::Empty::<bytes::Bytes>::new())
        .expect("a request");
    let answer = bed.io.clone().call(request);
    async { answer.await.expect("infallible") }
}

#[test]
fn what_is_sent_in_the_moment_in_which_a_get_is_given_up_is_not_lost() {
    run_on_one_thread(async {
        let bed = Bed::new().await;
        let mut polling = bed.polling().await;
        let socket = bed.socket().await;
        let mut get = Box::pin(hosted_get(&bed, &polling.target));
        let waits = tokio::time::timeout(Duration::from_millis(50), &mut get).await;
        assert!(waits.is_err(), "the GET was answered at once");
        socket.emit("bye", 1).await.unwrap();
        socket.close_connection();
        drop(get);
        assert_eq!(polling.poll().await, format!("42[\"bye\",1]{RS}41"));
    });
}

#[test]
fn an_answer_that_is_dropped_by_its_host_goes_back() {
    run(async {
        let bed = Bed::new().await;
        let mut polling = bed.polling().await;
        let socket = bed.socket().await;
        socket.emit("n", 1).await.unwrap();
        let answer = hosted_get(&bed, &polling.target).await;
        assert_eq!(answer.status(), 200);
        drop(answer);
        assert_eq!(polling.poll().await, "42[\"n\",1]");
    });
}

#[test]
fn answers_that_are_not_taken_count_for_the_limit() {
    run(async {
        let bed = Bed::limited(|limits| limits.max_outbound_bytes = 64 * 1024).await;
        let polling = bed.polling().await;
        let large = "x".repeat(40 * 1024);
        let mut answers = Vec::new();
        // One on its way may be of any size, two are more than the limit.
        for _ in 0..3 {
            let get = hosted_get(&bed, &polling.target);
            bed.io.emit("n", &large).await.unwrap();
            answers.push(get.await);
        }
        assert_eq!(bed.reason().await, "slow consumer");
        drop(answers);
    });
}

#[test]
fn answers_that_have_left_do_not_count_for_the_limit() {
    run(async {
        let bed = Bed::limited(|limits| limits.max_outbound_bytes = 64 * 1024).await;
        let mut polling = bed.polling().await;
        let large = "x".repeat(40 * 1024);
        for _ in 0..5 {
            bed.io.emit("n", &large).await.unwrap();
            assert_eq!(polling.poll().await, format!("42[\"n\",\"{large}\"]"));
        }
        assert_eq!(bed.log(), ["connect"]);
    });
}

#[test]
fn nothing_is_lost_or_doubled_when_gets_break_at_any_time() {
    run(async {
        let bed = Bed::new().await;
        let mut polling = bed.polling().await;
        let socket = bed.socket().await;
        let emitter = tokio::spawn(async move {
            for n in 0..300 {
                socket.emit("n", n).await.unwrap();
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        let mut got: Vec<String> = Vec::new();
        let mut round = 0;
        while got.last().is_none_or(|last| last != "42[\"n\",299]") {
            round += 1;
            assert!(round < 2000);
            if round % 2 == 0 {
                let mut http = bed.http().await;
                http.send(http::get(&polling.target, &[])).await;
                tokio::time::sleep(Duration::from_micros(round * 37 % 900)).await;
                // Half closed: what the server has sent before it saw that is read, so the two agree on it.
                http.shutdown().await;
                if let Some(answer) = http.try_response().await {
                    assert_eq!(answer.status, 200, "round {round}: {answer:?}");
                    got.extend(answer.text().split(RS).map(str::to_owned));
                }
                continue;
            }
            let answer = polling.get().await;
            assert_eq!(answer.status, 200, "round {round}: {answer:?}");
            got.extend(answer.text().split(RS).map(str::to_owned));
        }
        emitter.await.unwrap();
        let expected: Vec<String> = (0..300).map(|n| format!("42[\"n\",{n}]")).collect();
        assert_eq!(got, expected);
    });
}

#[test]
fn an_aborted_post_ends_the_session() {
    run(async {
        for reset in [false, true] {
            let bed = Bed::new().await;
            let polling = bed.polling().await;
            let mut http = bed.http().await;
            http.send(format!(
                "POST {} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n42[\"a\"]",
                polling.target
            ))
            .await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            if reset {
                http.reset();
            } else {
                drop(http);
            }
            assert_eq!(bed.reason().await, "transport error");
            assert_eq!(bed.log(), ["connect", "disconnect: transport error"]);
            assert_gone(&bed, &polling).await;
        }
    });
}

#[test]
fn a_post_goes_on_when_the_events_that_it_waits_for_are_gone() {
    run(async {
        let gate = Arc::new(Semaphore::new(0));
        let limited = Server::builder().with_limits(|limits| limits.max_queued_events = 2);
        let bed = Bed::with(limited).await;
        let permits = Arc::clone(&gate);
        bed.io.on("slow", move |socket: Socket| {
            let gate = Arc::clone(&permits);
            async move {
                let _permit = gate.acquire().await;
                socket.disconnect();
            }
        });
        bed.io.of("/a");
        let mut polling = bed.polling().await;
        polling.send("40/a,").await;
        assert!(polling.poll().await.starts_with("40/a,{"));
        let slow = "42[\"slow\"]";
        let body = [slow, slow, slow, "42/a,[\"x\"]"].join(RS);
        let post = http::post(&polling.target, &[], body.as_bytes());
        polling.posts().send(post).await;
        let waits = polling.posts().is_silent_for(Duration::from_millis(50));
        assert!(waits.await, "the handler is behind");
        gate.add_permits(1);
        assert_eq!(
            polling.posts().response().await.brief(),
            (200, "ok".to_owned())
        );
    });
}

#[test]
fn a_post_without_body_is_an_empty_one() {
    run(async {
        let bed = Bed::new().await;
        let polling = bed.polling().await;
        let answer = bed
            .request(format!(
                "POST {} HTTP/1.1\r\nHost: x\r\n\r\n",
                polling.target
            ))
            .await;
        assert_eq!(answer.brief(), (400, error(3)));
        assert_eq!(bed.reason().await, "parse error");
    });
}

#[test]
fn posts_may_wait_for_permission_and_come_in_pieces() {
    run(async {
        let bed = Bed::new().await;
        let mut polling = bed.polling().await;
        let mut http = bed.http().await;
        http.send(format!(
            "POST {} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\r\n",
            polling.target
        ))
        .await;
        for byte in "42[\"a\"]".bytes() {
            http.send([byte]).await;
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        assert_eq!(http.response().await.brief(), (200, "ok".to_owned()));
        bed.saw("event a").await;
        let request = http::post(&polling.target, &[], b"42[\"b\"]");
        for byte in request {
            http.send([byte]).await;
        }
        assert_eq!(http.response().await.brief(), (200, "ok".to_owned()));
        bed.saw("event b").await;
        assert_alive(&mut polling).await;
    });
}

#[test]
fn a_close_by_the_server_is_fetched_in_order() {
    run(async {
        let bed = Bed::new().await;
        let mut polling = bed.polling().await;
        polling.send("42[\"bye\"]").await;
        assert_eq!(bed.reason().await, "server namespace disconnect");
        assert_eq!(polling.poll().await, "41");
        let answer = polling.post("42[\"late\"]").await;
        assert_eq!(
            answer.brief(),
            (400, error(3)),
            "a POST while the end waits"
        );
        assert_eq!(polling.poll().await, format!("6{RS}1"));
        assert_gone(&bed, &polling).await;
        assert_eq!(
            bed.log(),
            [
                "connect",
                "event bye",
                "disconnect: server namespace disconnect"
            ]
        );

        let bed = Bed::new().await;
        let mut polling = bed.polling().await;
        polling.pending_poll().await;
        polling.send("42[\"bye\"]").await;
        assert_eq!(polling.answer().await.text(), "41");
        assert_eq!(polling.poll().await, format!("6{RS}1"));
        assert_gone(&bed, &polling).await;
    });
}

#[test]
fn a_close_that_nobody_fetches_is_forgotten() {
    run(async {
        let bed = Bed::limited(|limits| limits.close_timeout = Duration::from_millis(200)).await;
        let mut polling = bed.polling().await;
        polling.send("42[\"bye\"]").await;
        assert_eq!(bed.reason().await, "server namespace disconnect");
        bed.sessions(0).await;
        assert_gone(&bed, &polling).await;
    });
}

#[test]
fn answers_are_compressed_if_the_client_can_and_it_is_worth_it() {
    run(async {
        let mut bed = Bed::new().await;
        let polling = bed.polling().await;
        let socket = bed.socket().await;
        let long = "x".repeat(2000);
        let rows = [
            ("gzip", "gzip", &*long, Some("gzip")),
            ("deflate", "deflate", &long, Some("deflate")),
            ("both", "deflate, gzip, br", &long, Some("gzip")),
            (
                "by weight",
                "gzip;q=0.5, deflate;q=0.9",
                &long,
                Some("deflate"),
            ),
            ("refused", "gzip;q=0, deflate;q=0", &long, None),
            ("brotli only", "br", &long, None),
            ("identity", "identity", &long, None),
            ("short", "gzip", "x", None),
        ];
        for (name, accept, text, encoding) in rows {
            socket.emit("text", text).await.unwrap();
            let answer = bed
                .request(http::get(&polling.target, &[("Accept-Encoding", accept)]))
                .await;
            bed.check(name, answer.header("content-encoding"), encoding);
            let plain = format!("42[\"text\",\"{text}\"]");
            let body = match encoding {
                None => answer.body.clone(),
                Some("gzip") => inflate(flate2::read::GzDecoder::new(&answer.body[..])),
                Some(_) => inflate(flate2::read::ZlibDecoder::new(&answer.body[..])),
            };
            bed.check(name, String::from_utf8(body).unwrap(), plain);
        }
        socket.emit_uncompressed("text", &long).await.unwrap();
        let answer = bed
            .request(http::get(&polling.target, &[("Accept-Encoding", "gzip")]))
            .await;
        bed.check(
            "uncompressed by wish",
            answer.header("content-encoding"),
            None,
        );

        let mut bed = Bed::with(Server::builder().http_compression(None)).await;
        let polling = bed.polling().await;
        bed.socket().await.emit("text", &long).await.unwrap();
        let answer = bed
            .request(http::get(&polling.target, &[("Accept-Encoding", "gzip")]))
            .await;
        bed.check("switched off", answer.header("content-encoding"), None);
    });
}

fn inflate(mut reader: impl std::io::Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).expect("compressed data");
    bytes
}
