//! Clients of the JavaScript versions 1 and 2: Engine.IO revision 3, Socket.IO revision 4, and JSONP.

use std::time::Duration;

use kokanee_server::{ConnectError, Limits, Server, Transport};

use crate::{
    bed::{Bed, Table, assert_gone, error, run},
    support::{Polling, Response, WebSocketEnd, http},
};

const TARGET: &str = "/socket.io/?EIO=3&transport=polling";

async fn bed() -> Bed {
    Bed::with(Server::builder().allow_eio3(true)).await
}

async fn quick_bed() -> Bed {
    let quick = |limits: &mut Limits| {
        limits.ping_interval = Duration::from_millis(300);
        limits.ping_timeout = Duration::from_millis(300);
    };
    Bed::with(Server::builder().allow_eio3(true).with_limits(quick)).await
}

/// Opens a session that polls with text only, and fetches everything up to `2:40`.
async fn open(bed: &Bed) -> Polling {
    let mut polling = bed.open_polling_with("EIO=3&b64=1").await;
    let mut all = polling.opening.clone();
    while !all.ends_with("2:40") {
        all.push_str(&polling.poll().await);
    }
    polling
}

#[test]
fn the_handshake_counts_its_packets_and_joins_by_itself() {
    run(async {
        let bed = bed().await;
        for query in ["EIO=3", "EIO=3&b64=1", "EIO=2"] {
            let mut polling = bed.open_polling_with(query).await;
            let sid = polling.sid.clone();
            let packet = format!(
                "0{{\"sid\":\"{sid}\",\"upgrades\":[\"websocket\"],\"pingInterval\":25000,\"pingTimeout\":20000,\"maxPayload\":1000000}}"
            );
            let mut all = polling.opening.clone();
            if !all.ends_with("2:40") {
                all.push_str(&polling.poll().await);
            }
            assert_eq!(all, format!("{}:{packet}2:40", packet.len()), "{query}");
        }
        // No revision at all means revision 3.
        let answer = bed.get("/socket.io/?transport=polling").await;
        assert_eq!(answer.status, 200);
        assert!(answer.text().contains(":0{\"sid\":"), "{answer:?}");
        assert_eq!(
            answer.header("content-type"),
            Some("text/plain; charset=UTF-8")
        );
    });
}

#[test]
fn clients_of_revision_2_poll_below_the_path() {
    run(async {
        let mut bed = bed().await;
        // cocos2d-x; and one that says no revision at all.
        for query in [
            "EIO=2&transport=polling&b64=true",
            "transport=polling&b64=1",
        ] {
            let target = format!("/socket.io/1/?{query}");
            let opening = bed.get(&target).await.text();
            let target = format!("{target}&sid={}", crate::support::sid_of(&opening));
            let mut all = opening;
            while !all.ends_with("2:40") {
                all.push_str(&bed.get(&target).await.text());
            }
            let answer = bed.post(&target, "15:421[\"echo\",\"x\"]").await;
            bed.check(query, answer.brief(), (200, "ok".to_owned()));
            let answer = bed.get(&target).await;
            bed.check(query, answer.text(), "8:431[\"x\"]".to_owned());
        }
        let upgrade = "/socket.io/1/websocket/?EIO=2&transport=websocket";
        bed.check(
            "websocket",
            bed.request(http::upgrade(upgrade, &[])).await.status,
            101,
        );
        let mut bed = Bed::new().await;
        let answer = bed
            .get("/socket.io/1/?EIO=2&transport=polling&b64=true")
            .await;
        bed.check("off by default", answer.brief(), (400, error(5)));
    });
}

#[test]
fn lengths_are_utf_16() {
    run(async {
        let mut bed = bed().await;
        let mut polling = open(&bed).await;
        for (sent, answer) in [
            ("15:421[\"echo\",\"x\"]", "8:431[\"x\"]"),
            ("15:421[\"echo\",\"€\"]", "8:431[\"€\"]"),
            ("16:421[\"echo\",\"😀\"]", "9:431[\"😀\"]"),
            ("0:15:421[\"echo\",\"x\"]", "8:431[\"x\"]"),
        ] {
            polling.send(sent).await;
            bed.check(sent, polling.poll().await, answer.to_owned());
        }
        polling
            .send("15:421[\"echo\",\"€\"]15:422[\"echo\",\"é\"]")
            .await;
        let mut all = polling.poll().await;
        while all.matches(':').count() < 2 {
            all.push_str(&polling.poll().await);
        }
        bed.check("two packets", all, "8:431[\"€\"]8:432[\"é\"]".to_owned());
    });
}

#[test]
fn bad_payloads_end_the_session() {
    run(async {
        let mut table = Table::default();
        let rows: [(&str, &[u8], &str); 15] = [
            ("empty body", b"", "parse error"),
            ("no length", b":4x", "parse error"),
            ("colons", b"::::::::", "parse error"),
            ("letters as length", b"abc:4x", "parse error"),
            ("negative length", b"-1:4x", "parse error"),
            ("fractional length", b"1.5:4x", "parse error"),
            ("hexadecimal length", b"0x2:42", "parse error"),
            ("length with a space", b" 2:42", "parse error"),
            ("too long", b"20:42[\"a\"]", "parse error"),
            (
                "huge length",
                b"99999999999999999999999999:4",
                "parse error",
            ),
            ("digits after", b"7:42[\"a\"]12", "parse error"),
            ("revision 4", b"42[\"a\"]", "parse error"),
            (
                "half of an astral character",
                "13:421[\"echo\",\"😀\"]".as_bytes(),
                "parse error",
            ),
            ("not UTF-8", b"7:42[\"\xff\"]", "parse error"),
            ("a pong", b"1:3", "transport error"),
        ];
        for (name, body, reason) in rows {
            table.case(name, async move {
                let bed = bed().await;
                let mut polling = open(&bed).await;
                let answer = polling.post(body).await;
                assert_eq!(answer.brief(), (400, error(3)));
                assert_eq!(bed.reason().await, reason);
                assert_gone(&bed, &polling).await;
            });
        }
        table.finish().await;
    });
}

#[test]
fn binary_payloads_go_both_ways() {
    run(async {
        let bed = bed().await;
        let mut polling = bed.open_polling_with("EIO=3").await;
        if !polling.opening.ends_with("2:40") {
            polling.poll().await;
        }
        let event = b"451-[\"echo\",{\"_placeholder\":true,\"num\":0}]";
        assert_eq!(event.len(), 42);
        let mut payload = vec![0x00, 4, 2, 0xff];
        payload.extend_from_slice(event);
        payload.extend_from_slice(&[0x01, 5, 0xff, 4, 1, 2, 3, 4]);
        let octets = [("Content-Type", "application/octet-stream")];
        let answer = bed
            .request(http::post(&polling.target, &octets, &payload))
            .await;
        assert_eq!(answer.brief(), (200, "ok".to_owned()));
        let answer = polling.get().await;
        assert_eq!(
            answer.header("content-type"),
            Some("application/octet-stream")
        );
        assert_eq!(answer.body, payload);
        // Text alone stays text.
        polling.send("15:421[\"echo\",\"€\"]").await;
        let answer = polling.get().await;
        assert_eq!(
            answer.header("content-type"),
            Some("text/plain; charset=UTF-8")
        );
        assert_eq!(answer.text(), "8:431[\"€\"]");
    });
}

#[test]
fn bad_binary_payloads_end_the_session() {
    run(async {
        let mut table = Table::default();
        let rows: [(&str, Vec<u8>); 8] = [
            ("unknown kind", vec![2, 1, 0xff, b'2']),
            ("digit above 9", vec![0, 10, 0xff, b'2']),
            ("ASCII digits", b"\x001\xff2".to_vec()),
            ("no end of the length", vec![0, 1, 2, 3]),
            (
                "311 digits",
                [vec![0], vec![1; 311], vec![0xff, b'2']].concat(),
            ),
            ("too long", vec![0, 9, 0xff, b'2']),
            ("unknown type", vec![1, 1, 0xff, 9]),
            ("empty", vec![]),
        ];
        for (name, body) in rows {
            table.case(name, async move {
                let bed = bed().await;
                let polling = open(&bed).await;
                let octets = [("Content-Type", "application/octet-stream")];
                let answer = bed
                    .request(http::post(&polling.target, &octets, &body))
                    .await;
                assert_eq!(answer.brief(), (400, error(3)));
                assert_eq!(bed.reason().await, "parse error");
                assert_gone(&bed, &polling).await;
            });
        }
        table.finish().await;
    });
}

#[test]
fn base64_is_for_clients_without_binary() {
    run(async {
        let bed = bed().await;
        let mut polling = open(&bed).await;
        polling
            .send("47:451-7[\"echo\",{\"_placeholder\":true,\"num\":0},\"€\"]")
            .await;
        polling.send("6:b4CQg=").await;
        let mut all = polling.poll().await;
        while !all.contains("b4") {
            all.push_str(&polling.poll().await);
        }
        assert_eq!(
            all,
            "40:461-7[{\"_placeholder\":true,\"num\":0},\"€\"]6:b4CQg="
        );
    });
}

#[test]
fn the_client_pings() {
    run(async {
        let bed = quick_bed().await;
        let mut polling = open(&bed).await;
        for _ in 0..5 {
            polling.send("1:2").await;
            assert_eq!(polling.poll().await, "1:3");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        polling.send("6:2probe").await;
        assert_eq!(polling.poll().await, "1:3", "its data is not sent back");
        polling.pending_poll().await;
        assert_eq!(polling.answer().await.brief(), (200, "1:1".to_owned()));
        assert_eq!(bed.reason().await, "ping timeout");
        assert_gone(&bed, &polling).await;

        let bed = quick_bed().await;
        let (mut websocket, _) = bed.open_websocket_with("EIO=3").await;
        assert_eq!(websocket.text().await, "40");
        for _ in 0..5 {
            websocket.send("2").await;
            assert_eq!(websocket.text().await, "3");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert_eq!(websocket.drain().await, (Vec::new(), WebSocketEnd::NoCode));
        assert_eq!(bed.reason().await, "ping timeout");
    });
}

#[test]
fn a_pong_of_the_client_is_a_fault() {
    run(async {
        let bed = bed().await;
        let (mut websocket, _) = bed.open_websocket_with("EIO=3").await;
        assert_eq!(websocket.text().await, "40");
        websocket.send("3").await;
        assert_eq!(websocket.end().await, WebSocketEnd::NoCode);
        assert_eq!(bed.reason().await, "transport error");
    });
}

#[test]
fn overlapping_requests_end_the_session() {
    run(async {
        let bed = bed().await;
        let mut polling = open(&bed).await;
        polling.pending_poll().await;
        assert_eq!(bed.get(&polling.target).await.brief(), (400, String::new()));
        assert_eq!(polling.answer().await.brief(), (200, "1:1".to_owned()));
        assert_eq!(bed.reason().await, "transport error");
    });
}

#[test]
fn websocket_frames_carry_the_type_of_binary() {
    run(async {
        let bed = bed().await;
        let (mut websocket, _) = bed.open_websocket_with("EIO=3").await;
        assert_eq!(websocket.text().await, "40");
        let event = "451-[\"echo\",{\"_placeholder\":true,\"num\":0}]";
        websocket.send(event).await;
        websocket.send_binary(b"\x04\x01\x02\x03\x04").await;
        assert_eq!(websocket.text().await, event);
        assert_eq!(websocket.binary().await, b"\x04\x01\x02\x03\x04");
        websocket.send(event).await;
        websocket.send("b4AQIDBA==").await;
        assert_eq!(websocket.text().await, event);
        assert_eq!(websocket.binary().await, b"\x04\x01\x02\x03\x04");

        let (mut websocket, _) = bed.open_websocket_with("EIO=3&b64=1").await;
        assert_eq!(websocket.text().await, "40");
        websocket.send(event).await;
        websocket.send("b4AQIDBA==").await;
        assert_eq!(websocket.text().await, event);
        assert_eq!(websocket.text().await, "b4AQIDBA==");
    });
}

#[test]
fn an_upgrade_keeps_the_heartbeat() {
    run(async {
        let bed = quick_bed().await;
        let mut polling = open(&bed).await;
        let mut websocket = bed.websocket(&format!("EIO=3&sid={}", polling.sid)).await;
        polling.begin_poll().await;
        websocket.send("2probe").await;
        assert_eq!(websocket.text().await, "3probe");
        assert_eq!(polling.answer().await.brief(), (200, "1:6".to_owned()));
        websocket.send("5").await;
        for _ in 0..4 {
            websocket.send("2").await;
            assert_eq!(websocket.text().await, "3");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        websocket.send("421[\"echo\",1]").await;
        assert_eq!(websocket.text().await, "431[1]");
        assert_eq!(websocket.end().await, WebSocketEnd::NoCode);
        assert_eq!(bed.reason().await, "ping timeout");
    });
}

#[test]
fn revisions_do_not_mix() {
    run(async {
        let mut bed = bed().await;
        let polling = open(&bed).await;
        let target = format!("/socket.io/?EIO=4&transport=polling&sid={}", polling.sid);
        bed.check("GET", bed.get(&target).await.brief(), (400, error(3)));
        bed.check(
            "POST",
            bed.post(&target, "1").await.brief(),
            (400, error(3)),
        );
        let target = format!("/socket.io/?EIO=4&transport=websocket&sid={}", polling.sid);
        let answer = bed.request(http::upgrade(&target, &[])).await;
        bed.check("upgrade", answer.brief(), (400, "Bad request".to_owned()));
        let mut modern = bed.open_polling().await;
        bed.check(
            "revision 4 beside it",
            modern.join().await.starts_with("40{\"sid\":"),
            true,
        );
    });
}

#[test]
fn namespaces_of_old_clients() {
    run(async {
        let mut table = Table::default();
        let rows = [
            ("joined", "40/foo,", "40/foo,"),
            ("without comma", "40/foo", "40/foo,"),
            ("with a query", "40/foo?token=1234&uid=abcd,", "40/foo,"),
            ("refused with text", "40/no,", "44/no,\"Not authorized\""),
            ("refused with data", "40/data,", "44/data,{\"code\":7}"),
            (
                "unknown",
                "40/zzz,",
                "44/zzz,{\"message\":\"Invalid namespace\"}",
            ),
        ];
        for (name, sent, expected) in rows {
            table.case(name, async move {
                let bed = bed().await;
                bed.io.of("/foo");
                bed.io
                    .of("/no")
                    .middleware(async || Err::<(), _>("Not authorized"));
                bed.io.of("/data").middleware(async || {
                    Err::<(), _>(ConnectError::new("no").data(serde_json::json!({"code": 7})))
                });
                let (mut websocket, _) = bed.open_websocket_with("EIO=3").await;
                assert_eq!(websocket.text().await, "40");
                websocket.send(sent).await;
                assert_eq!(websocket.text().await, expected);
                websocket.send("421[\"echo\",1]").await;
                assert_eq!(websocket.text().await, "431[1]");
            });
        }
        table.case("the query is the auth", async {
            let bed = bed().await;
            bed.io.of("/foo").middleware(
                async |kokanee_server::Auth(auth): kokanee_server::Auth<serde_json::Value>| {
                    Err::<(), _>(auth.to_string())
                },
            );
            let (mut websocket, _) = bed.open_websocket_with("EIO=3").await;
            assert_eq!(websocket.text().await, "40");
            websocket.send("40/foo?token=a%20b&__proto__=x,").await;
            assert_eq!(
                websocket.text().await,
                "44/foo,\"{\\\"token\\\":\\\"a b\\\",\\\"__proto__\\\":\\\"x\\\"}\""
            );
        });
        table.case("CONNECT of / is one too many", async {
            let bed = bed().await;
            let (mut websocket, _) = bed.open_websocket_with("EIO=3").await;
            assert_eq!(websocket.text().await, "40");
            websocket.send("40").await;
            assert_eq!(websocket.end().await, WebSocketEnd::NoCode);
            assert_eq!(bed.reason().await, "forced close");
        });
        table.case("/ is refused", async {
            let bed = bed().await;
            bed.io.middleware(async || Err::<(), _>("Not authorized"));
            let (mut websocket, _) = bed.open_websocket_with("EIO=3").await;
            assert_eq!(websocket.text().await, "44\"Not authorized\"");
        });
        table.finish().await;
    });
}

// JSONP.

/// The payload inside a JSONP answer with this index.
fn jsonp(answer: &Response, index: &str) -> String {
    let text = answer.text();
    let inner = text
        .strip_prefix(&format!("___eio[{index}]("))
        .and_then(|rest| rest.strip_suffix(");"));
    let inner = inner.unwrap_or_else(|| panic!("{text:?}"));
    serde_json::from_str(inner).expect("a JSON string")
}

#[test]
fn jsonp_wraps_payloads() {
    run(async {
        let mut bed = bed().await;
        let answer = bed.get(&format!("{TARGET}&b64=1&j=0")).await;
        let opening = jsonp(&answer, "0");
        bed.check("open", opening.contains(":0{\"sid\":\""), true);
        bed.check(
            "type",
            answer.header("content-type"),
            Some("text/javascript; charset=UTF-8"),
        );
        bed.check(
            "nosniff",
            answer.header("x-content-type-options"),
            Some("nosniff"),
        );
        let target = format!(
            "{TARGET}&b64=1&sid={}&j=1",
            crate::support::sid_of(&opening)
        );
        if !opening.ends_with("2:40") {
            bed.check(
                "join",
                jsonp(&bed.get(&target).await, "1"),
                "2:40".to_owned(),
            );
        }
        let form = [("Content-Type", "application/x-www-form-urlencoded")];
        let post = |body: &str| http::post(&target, &form, body.as_bytes());
        let answer = bed
            .request(post("d=19%3A421%5B%22echo%22%2C%22a%2Bb%20%E2%82%AC%22%5D"))
            .await;
        bed.check("POST", answer.brief(), (200, "ok".to_owned()));
        bed.check(
            "echo",
            jsonp(&bed.get(&target).await, "1"),
            "12:431[\"a+b €\"]".to_owned(),
        );
        // A line feed travels as \n, a backslash before n as \\n.
        let answer = bed
            .request(post("d=16%3A421%5B%22echo%22%2C%22%5C%5Cn%22%5D"))
            .await;
        bed.check("POST with escapes", answer.brief(), (200, "ok".to_owned()));
        bed.check(
            "escapes",
            jsonp(&bed.get(&target).await, "1"),
            "9:431[\"\\n\"]".to_owned(),
        );
        let answer = bed.request(post("x=1")).await;
        bed.check(
            "POST without its field",
            answer.brief(),
            (200, "ok".to_owned()),
        );
        // Line separators would end a line of script.
        let answer = bed
            .request(post(
                "d=16%3A421%5B%22echo%22%2C%22%E2%80%A8%E2%80%A9%22%5D",
            ))
            .await;
        bed.check("POST with line separators", answer.status, 200);
        let answer = bed.get(&target).await;
        bed.check(
            "no line separators",
            answer.text().contains(['\u{2028}', '\u{2029}']),
            false,
        );
        bed.check(
            "line separators",
            jsonp(&answer, "1").ends_with("431[\"\u{2028}\u{2029}\"]"),
            true,
        );
    });
}

#[test]
fn the_index_of_jsonp_is_digits() {
    run(async {
        let mut bed = bed().await;
        for (sent, index) in [
            ("alert(1)//", "1"),
            ("%3C/script%3E7", "7"),
            ("0", "0"),
            ("", ""),
            ("abc", ""),
        ] {
            let answer = bed.get(&format!("{TARGET}&b64=1&j={sent}")).await;
            bed.check(sent, answer.status, 200);
            bed.check(
                sent,
                answer.text().starts_with(&format!("___eio[{index}](")),
                true,
            );
        }
    });
}

#[test]
fn jsonp_is_text_even_if_the_client_does_not_say_that_it_needs_that() {
    run(async {
        let bed = bed().await;
        let answer = bed.get(&format!("{TARGET}&j=0")).await;
        let sid = crate::support::sid_of(&jsonp(&answer, "0"));
        let socket = bed.socket().await;
        let bytes = kokanee_server::Value::from(bytes::Bytes::from_static(b"\xff\xfe"));
        socket.emit("b", bytes).await.expect("sent");
        let mut packets = String::new();
        while !packets.contains("b4//4=") {
            let answer = bed.get(&format!("{TARGET}&sid={sid}&j=0")).await;
            packets.push_str(&jsonp(&answer, "0"));
        }
        assert!(packets.contains("451-[\"b\","), "{packets}");
    });
}

#[test]
fn jsonp_is_for_revision_4_too() {
    run(async {
        let mut bed = Bed::new().await;
        let answer = bed.get("/socket.io/?EIO=4&transport=polling&j=0").await;
        let sid = crate::support::sid_of(&jsonp(&answer, "0"));
        let open = format!(
            "___eio[0](\"0{{\\\"sid\\\":\\\"{sid}\\\",\\\"upgrades\\\":[\\\"websocket\\\"],\\\"pingInterval\\\":25000,\\\"pingTimeout\\\":20000,\\\"maxPayload\\\":1000000}}\");"
        );
        bed.check("open", answer.text(), open);
        for (name, value) in [
            ("content-type", "text/javascript; charset=UTF-8"),
            ("x-content-type-options", "nosniff"),
        ] {
            bed.check(name, answer.header(name), Some(value));
        }
        let target = format!("/socket.io/?EIO=4&transport=polling&sid={sid}&j=0");
        let form = [("Content-Type", "application/x-www-form-urlencoded")];
        let post = |body: &str| http::post(&target, &form, body.as_bytes());
        let taken = (200, "ok".to_owned());
        bed.check(
            "join",
            bed.request(post("d=40")).await.brief(),
            taken.clone(),
        );
        let joined = jsonp(&bed.get(&target).await, "0");
        bed.check("joined", joined.starts_with("40{\"sid\":\""), true);
        // Two packets, the second one with attachments; a line feed travels as \n, a backslash before n as \\n.
        let body = "d=421%5B%22echo%22%2C%22a%2Bb%20%E2%82%AC%5C%5Cn%22%5D%1E452-2%5B%22echo%22%2C%7B%22_placeholder%22%3Atrue%2C%22num%22%3A0%7D%2C%7B%22_placeholder%22%3Atrue%2C%22num%22%3A1%7D%5D%1Eb%2F%2F4%3D%1EbAQ%3D%3D";
        bed.check("POST", bed.request(post(body)).await.brief(), taken.clone());
        let mut all = String::new();
        while !all.ends_with("bAQ==") {
            all.push_str(&jsonp(&bed.get(&target).await, "0"));
        }
        bed.check(
            "echo",
            all.replace('\u{1e}', "|"),
            "431[\"a+b €\\n\"]|462-2[{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]|b//4=|bAQ==".to_owned(),
        );
        bed.check(
            "POST without its field",
            bed.request(post("x=1")).await.brief(),
            taken.clone(),
        );
        bed.check("close", bed.request(post("d=1")).await.brief(), taken);
        // The GET that was on its way.
        bed.check(
            "late GET",
            jsonp(&bed.get(&target).await, "0"),
            "6".to_owned(),
        );
        bed.check("gone", bed.get(&target).await.brief(), (400, error(1)));
        let bed = Bed::with(Server::builder().transports([Transport::Polling])).await;
        let answer = bed.get(&format!("{TARGET}&j=0")).await;
        assert_eq!(answer.brief(), (400, error(5)), "off by default");
    });
}
