//! POSTs that break the rules, and the close packet: what is answered, what is delivered before, and that the session ends.

use crate::{
    bed::{Bed, RS, Table, assert_alive, assert_gone, error, is_json_error, run},
    support::{Response, http},
};

/// The head of a POST whose body has this length.
fn head(target: &str, length: usize) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n")
}

/// The head of a POST whose body comes in chunks.
fn chunked_head(target: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
}

#[test]
fn a_refusal_does_not_wait_for_the_body_and_does_not_end_the_connection_itself() {
    run(async {
        let bed = Bed::new().await;
        let unknown = "/socket.io/?EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAA";
        let mut http = bed.http().await;
        http.send(head(unknown, 5)).await;
        let answer = http.response().await;
        assert_eq!(answer.brief(), (400, error(1)));
        assert_eq!(answer.header("connection"), None);
        // A body that has come is passed over.
        let mut http = bed.http().await;
        for _ in 0..3 {
            http.send(head(unknown, 5) + "4late").await;
            assert_eq!(http.response().await.brief(), (400, error(1)));
        }
    });
}

#[test]
fn a_second_post_is_refused_and_ends_the_session() {
    run(async {
        let bed = Bed::new().await;
        let mut polling = bed.polling().await;
        let target = polling.target.clone();
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n"
        );
        polling.posts().send(head).await;
        polling.posts().may_continue().await;
        polling.posts().send("42[\"a").await;
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
            (
                "separator at the end",
                b"42[\"a\"]\x1e".to_vec(),
                "parse error",
            ),
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
fn an_aborted_post_ends_the_session() {
    run(async {
        for reset in [false, true] {
            let bed = Bed::new().await;
            let polling = bed.polling().await;
            let mut http = bed.http().await;
            http.send(format!(
                "POST {} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n",
                polling.target
            ))
            .await;
            http.may_continue().await;
            http.send("42[\"a\"]").await;
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
