//! Socket.IO packets: which are understood, which end the connection, and joining namespaces.

use std::{sync::Arc, time::Duration};

use kokanee_server::{ConnectError, Server};
use tokio::sync::Notify;

use crate::{
    bed::{Bed, RS, Table, assert_alive, assert_gone, assert_websocket_alive, run},
    support::{WebSocket, WebSocketEnd, frame},
};

/// Packets of a client that has joined `/` which end its connection. Attachments that follow are empty.
fn faults() -> Vec<(String, String, usize)> {
    let rows: [(&str, &str, usize); 100] = [
        ("empty message", "4", 0),
        ("type 7", "47", 0),
        ("type 9", "49[\"a\"]", 0),
        ("type x", "4x", 0),
        ("type is a space", "4 2[\"a\"]", 0),
        ("type is not ASCII", "4é", 0),
        ("type is NUL", "4\0", 0),
        ("CONNECT twice", "40", 0),
        ("CONNECT twice with auth", "40{}", 0),
        ("CONNECT / by name twice", "40/,", 0),
        ("auth is an array", "40/other,[1]", 0),
        ("auth is a string", "40/other,\"s\"", 0),
        ("auth is null", "40/other,null", 0),
        ("auth is true", "40/other,true", 0),
        ("auth is a number", "40/other,12", 0),
        ("auth is not JSON", "40/other,{", 0),
        ("auth with a tail", "40/other,{}x", 0),
        ("auth with single quotes", "40/other,{'a':1}", 0),
        ("DISCONNECT with payload", "41[\"x\"]", 0),
        ("DISCONNECT with id", "411", 0),
        (
            "DISCONNECT of a namespace that was not joined",
            "41/other,",
            0,
        ),
        (
            "EVENT of a namespace that was not joined",
            "42/other,[\"a\"]",
            0,
        ),
        ("EVENT of an unknown namespace", "42/nope,[\"a\"]", 0),
        ("ACK of a namespace that was not joined", "43/other,1[]", 0),
        ("CONNECT_ERROR", "44{\"message\":\"x\"}", 0),
        ("CONNECT_ERROR with text", "44\"x\"", 0),
        ("CONNECT_ERROR without payload", "44", 0),
        (
            "CONNECT_ERROR of another namespace",
            "44/other,{\"message\":\"x\"}",
            0,
        ),
        ("EVENT without payload", "42", 0),
        ("EVENT with id, without payload", "421", 0),
        ("EVENT with an object", "42{}", 0),
        ("EVENT with a string", "42\"a\"", 0),
        ("EVENT with null", "42null", 0),
        ("EVENT with a number", "421.5", 0),
        ("EVENT without name", "42[]", 0),
        ("name null", "42[null]", 0),
        ("name true", "42[true]", 0),
        ("name an object", "42[{\"toString\":\"foo\"}]", 0),
        ("name an array", "42[[]]", 0),
        ("name with fraction and tail", "42[1.5e,1]", 0),
        ("reserved name connect", "42[\"connect\"]", 0),
        ("reserved name connect_error", "42[\"connect_error\"]", 0),
        ("reserved name disconnect", "42[\"disconnect\",1]", 0),
        ("reserved name disconnecting", "42[\"disconnecting\"]", 0),
        ("reserved name newListener", "42[\"newListener\"]", 0),
        ("reserved name removeListener", "42[\"removeListener\"]", 0),
        ("reserved name in escapes", "42[\"\\u0063onnect\"]", 0),
        ("tail behind the array", "42[\"a\"]x", 0),
        ("two arrays", "42[\"a\"][\"b\"]", 0),
        ("array not closed", "42[\"a\"", 0),
        ("string not closed", "42[\"a", 0),
        ("comma at the end", "42[\"a\",]", 0),
        ("two commas", "42[\"a\",,1]", 0),
        ("no comma", "42[\"a\" 1]", 0),
        ("NaN", "42[\"a\",NaN]", 0),
        ("Infinity", "42[\"a\",Infinity]", 0),
        ("undefined", "42[\"a\",undefined]", 0),
        ("number with leading zero", "42[\"a\",01]", 0),
        ("number with plus", "42[\"a\",+1]", 0),
        ("number with dot", "42[\"a\",1.]", 0),
        ("number with half an exponent", "42[\"a\",1e]", 0),
        ("hexadecimal", "42[\"a\",0x1]", 0),
        ("unknown escape", "42[\"a\",\"\\x\"]", 0),
        ("half an escape", "42[\"a\",\"\\u00\"]", 0),
        ("control character", "42[\"a\",\"\x01\"]", 0),
        ("line feed in a string", "42[\"a\",\"\n\"]", 0),
        ("single quotes", "42['a']", 0),
        ("comment", "42[\"a\"/**/]", 0),
        ("object without value", "42[\"a\",{\"b\"}]", 0),
        ("object with number as key", "42[\"a\",{1:2}]", 0),
        ("wrong bracket", "42[\"a\"}", 0),
        ("id with a space", "42 [\"a\"]x", 0),
        ("id negative", "42-1[\"a\"]", 0),
        ("id of 2^63", "429223372036854775808[\"a\"]", 0),
        ("id of 2^64", "4218446744073709551616[\"a\"]", 0),
        ("id of 20 digits", "4200000000000000000001[\"a\"]", 0),
        ("ACK without payload", "431", 0),
        ("ACK with an object", "431{}", 0),
        ("ACK with a string", "431\"x\"", 0),
        ("ACK without id", "43[]", 0),
        ("ACK without anything", "43", 0),
        ("attachments without number", "45-[\"a\"]", 0),
        ("attachments without dash", "451[\"a\"]", 0),
        ("attachments alone", "45", 0),
        ("attachments alone with dash", "451-", 0),
        ("attachments x", "45x-[\"a\"]", 0),
        ("attachments -1", "45-1-[\"a\"]", 0),
        ("attachments 1.5", "451.5-[\"a\"]", 0),
        ("attachments 0x1", "450x1-[\"a\"]", 0),
        ("attachments 1e0", "451e0-[\"a\"]", 0),
        ("attachments 0", "450-[\"a\"]", 0),
        (
            "attachments 11",
            "4511-[\"a\",{\"_placeholder\":true,\"num\":0}]",
            0,
        ),
        (
            "attachments of 8 digits",
            "4512345678-[\"a\",{\"_placeholder\":true,\"num\":0}]",
            0,
        ),
        ("attachments of 400 digits", "45{1}-[\"a\"]", 0),
        (
            "placeholder a string",
            "451-[\"b\",{\"_placeholder\":true,\"num\":\"splice\"}]",
            1,
        ),
        (
            "placeholder out of range",
            "451-[\"b\",{\"_placeholder\":true,\"num\":1}]",
            1,
        ),
        (
            "placeholder negative",
            "451-[\"b\",{\"_placeholder\":true,\"num\":-1}]",
            1,
        ),
        (
            "placeholder fractional",
            "451-[\"b\",{\"_placeholder\":true,\"num\":0.5}]",
            1,
        ),
        (
            "placeholder without number",
            "451-[\"b\",{\"_placeholder\":true}]",
            1,
        ),
        (
            "binary acknowledgement without id",
            "461-[{\"_placeholder\":true,\"num\":0}]",
            1,
        ),
    ];
    let mut rows: Vec<(String, String, usize)> = rows
        .into_iter()
        .map(|(name, text, count)| {
            (
                name.to_owned(),
                text.replace("{1}", &"1".repeat(400)),
                count,
            )
        })
        .collect();
    let mut row = |name: &str, text: String| rows.push((name.to_owned(), text, 0));
    row("id of 400 digits", format!("42{}[\"a\"]", "7".repeat(400)));
    row(
        "attachments of 900,000 digits",
        format!("45{}-[]", "7".repeat(900_000)),
    );
    row(
        "id of 900,000 digits",
        format!("42{}[]", "7".repeat(900_000)),
    );
    row(
        "nested 513 deep",
        format!("42[\"a\",{}{}]", "[".repeat(512), "]".repeat(512)),
    );
    row(
        "nested 100,000 deep",
        format!("42[\"a\",{}{}]", "[".repeat(100_000), "]".repeat(100_000)),
    );
    row(
        "nested 100,000 deep, not closed",
        format!("42[\"a\",{}", "[".repeat(100_000)),
    );
    row(
        "objects nested 100,000 deep",
        format!(
            "42[\"a\",{}1{}]",
            "{\"a\":".repeat(100_000),
            "}".repeat(100_000)
        ),
    );
    row(
        "auth nested 100,000 deep",
        format!(
            "40/other,{}1{}",
            "{\"a\":".repeat(100_000),
            "}".repeat(100_000)
        ),
    );
    row("namespace of 256 bytes", format!("40/{},", "n".repeat(255)));
    row("namespace of 90 KB", format!("40/{},", "n".repeat(90_000)));
    rows
}

#[test]
fn faults_close_the_connection() {
    run(async {
        let mut table = Table::default();
        for (name, text, attachments) in faults() {
            table.case(name, async move {
                let bed = Bed::new().await;
                bed.io.of("/other");
                let mut websocket = bed.joined().await;
                websocket.send(&text).await;
                for _ in 0..attachments {
                    let _ = websocket.try_send_raw(frame(0x82, b"")).await;
                }
                assert_eq!(websocket.drain().await, (Vec::new(), WebSocketEnd::NoCode));
                assert_eq!(bed.reason().await, "forced close");
                assert_eq!(
                    bed.log(),
                    ["connect", "disconnect: forced close"],
                    "nothing was delivered"
                );
                bed.sessions(0).await;
            });
        }
        table.finish().await;
    });
}

#[test]
fn faults_close_a_polling_connection_in_order() {
    run(async {
        let mut table = Table::default();
        // Packets that break the state may come at a bad time; then the client fetches the end with its next GET.
        let rows = [
            ("CONNECT twice", "40", "forced server close"),
            (
                "event without CONNECT",
                "42/other,[\"a\"]",
                "forced server close",
            ),
            (
                "CONNECT_ERROR",
                "44{\"message\":\"x\"}",
                "forced server close",
            ),
            ("undecodable", "4x", "forced close"),
        ];
        for (name, text, without_poll) in rows {
            table.case(format!("{name}, with a pending GET"), async move {
                let bed = Bed::new().await;
                let mut polling = bed.polling().await;
                polling.pending_poll().await;
                polling.post(text).await;
                assert_eq!(polling.answer().await.brief(), (200, "1".to_owned()));
                assert_eq!(bed.reason().await, "forced close");
                assert_gone(&bed, &polling).await;
            });
            table.case(format!("{name}, without"), async move {
                let bed = Bed::new().await;
                let mut polling = bed.polling().await;
                polling.post(text).await;
                assert_eq!(bed.reason().await, without_poll);
                assert_eq!(polling.poll().await, format!("6{RS}1"));
                assert_gone(&bed, &polling).await;
            });
            table.case(format!("{name}, with packets waiting"), async move {
                let bed = Bed::new().await;
                let mut polling = bed.polling().await;
                polling.send("421[\"echo\",1]").await;
                polling.post(text).await;
                assert_eq!(polling.poll().await, "431[1]");
                assert_eq!(polling.poll().await, format!("6{RS}1"));
                assert_gone(&bed, &polling).await;
            });
        }
        table.finish().await;
    });
}

#[test]
fn nothing_may_come_before_connect() {
    run(async {
        let mut table = Table::default();
        for text in [
            "42[\"a\"]",
            "431[]",
            "41",
            "44{}",
            "451-[\"a\"]",
            "42/other,[\"a\"]",
        ] {
            table.case(text, async move {
                let bed = Bed::new().await;
                bed.io.of("/other");
                let (mut websocket, _) = bed.open_websocket().await;
                websocket.send(text).await;
                if text.starts_with("45") {
                    websocket.send_binary(b"").await;
                }
                assert_eq!(websocket.drain().await, (Vec::new(), WebSocketEnd::NoCode));
                assert_eq!(bed.log(), Vec::<String>::new());
            });
        }
        table.finish().await;
    });
}

/// An event that announces attachments.
fn with_attachments(name: &str, count: usize) -> String {
    let placeholders: Vec<String> = (0..count)
        .map(|n| format!("{{\"_placeholder\":true,\"num\":{n}}}"))
        .collect();
    format!("45{count}-[\"{name}\",{}]", placeholders.join(","))
}

#[test]
fn attachments_must_follow_their_packet() {
    run(async {
        let mut table = Table::default();
        let header = "451-[\"echo\",{\"_placeholder\":true,\"num\":0}]";
        for (name, text) in [
            ("an event", "42[\"a\"]"),
            ("another header", header),
            ("a CONNECT", "40/other,"),
            ("a DISCONNECT", "41"),
        ] {
            table.case(format!("{name} in between"), async move {
                let bed = Bed::new().await;
                let mut websocket = bed.joined().await;
                websocket.send(header).await;
                websocket.send(text).await;
                assert_eq!(websocket.drain().await, (Vec::new(), WebSocketEnd::NoCode));
                assert_eq!(bed.reason().await, "forced close");
            });
        }
        table.case("one too many", async move {
            let bed = Bed::new().await;
            let mut websocket = bed.joined().await;
            websocket
                .send("451-[\"a\",{\"_placeholder\":true,\"num\":0}]")
                .await;
            websocket.send_binary(b"1").await;
            websocket.send_binary(b"2").await;
            assert_eq!(websocket.drain().await, (Vec::new(), WebSocketEnd::NoCode));
            bed.saw("disconnect: forced close").await;
            assert_eq!(
                bed.log(),
                ["connect", "event a", "disconnect: forced close"]
            );
        });
        table.case("withheld", async move {
            let bed =
                Bed::limited(|limits| limits.attachments_timeout = Duration::from_millis(250))
                    .await;
            let mut websocket = bed.joined().await;
            websocket.send(&with_attachments("a", 2)).await;
            websocket.send_binary(b"1").await;
            assert_eq!(websocket.drain().await, (Vec::new(), WebSocketEnd::NoCode));
            assert_eq!(bed.reason().await, "forced close");
        });
        table.case("in time", async move {
            let bed =
                Bed::limited(|limits| limits.attachments_timeout = Duration::from_millis(250))
                    .await;
            let mut websocket = bed.joined().await;
            websocket.send(header).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            websocket.send_binary(b"1").await;
            assert_eq!(websocket.text().await, header);
            assert_eq!(websocket.binary().await, b"1");
            tokio::time::sleep(Duration::from_millis(400)).await;
            assert_websocket_alive(&mut websocket).await;
        });
        table.case("too large together", async move {
            let bed = Bed::limited(|limits| limits.max_attachment_bytes = 1000).await;
            let mut websocket = bed.joined().await;
            websocket.send(&with_attachments("a", 3)).await;
            for _ in 0..3 {
                websocket.send_binary(&[0; 400]).await;
            }
            assert_eq!(websocket.drain().await, (Vec::new(), WebSocketEnd::NoCode));
            assert_eq!(bed.reason().await, "forced close");
        });
        table.case("ten are fine", async move {
            let bed = Bed::new().await;
            let mut websocket = bed.joined().await;
            let text = with_attachments("echo", 10);
            websocket.send(&text).await;
            for n in 0..10 {
                websocket.send_binary(&[n]).await;
            }
            assert_eq!(websocket.text().await, text);
            for n in 0..10 {
                assert_eq!(websocket.binary().await, [n]);
            }
        });
        table.finish().await;
    });
}

#[test]
fn events_are_delivered_as_they_came() {
    run(async {
        let mut bed = Bed::new().await;
        let deep = format!("421[\"echo\",{}{}]", "[".repeat(500), "]".repeat(500));
        let deep_answer = format!("431[{}{}]", "[".repeat(500), "]".repeat(500));
        let deepest = format!("421[\"echo\",{}{}]", "[".repeat(511), "]".repeat(511));
        let deepest_answer = format!("431[{}{}]", "[".repeat(511), "]".repeat(511));
        let digits = "9".repeat(5000);
        let integer = format!("421[\"echo\",{digits}]");
        let integer_answer = format!("431[{digits}]");
        let rows: Vec<(&str, &str, &str)> = vec![
            ("no arguments", "421[\"echo\"]", "431[]"),
            ("id 0", "420[\"echo\",1]", "430[1]"),
            (
                "id of 2^53",
                "429007199254740992[\"echo\",1]",
                "439007199254740992[1]",
            ),
            (
                "id of 2^53 + 1",
                "429007199254740993[\"echo\",1]",
                "439007199254740993[1]",
            ),
            (
                "id of 2^63 - 1",
                "429223372036854775807[\"echo\",1]",
                "439223372036854775807[1]",
            ),
            (
                "kinds",
                "421[\"echo\",null,true,false,0,-1.5e3,\"\",[],{}]",
                "431[null,true,false,0,-1.5e3,\"\",[],{}]",
            ),
            (
                "escapes",
                "421[\"echo\",\"\\u00e9\\n\\\"\\\\\\/\"]",
                "431[\"\\u00e9\\n\\\"\\\\\\/\"]",
            ),
            (
                "NUL in an escape",
                "421[\"echo\",\"\\u0000\"]",
                "431[\"\\u0000\"]",
            ),
            (
                "astral characters",
                "421[\"echo\",\"😀\\ud83d\\ude00\"]",
                "431[\"😀\\ud83d\\ude00\"]",
            ),
            (
                "delete character",
                "421[\"echo\",\"\x7f\"]",
                "431[\"\x7f\"]",
            ),
            (
                "line separators",
                "421[\"echo\",\"\u{2028}\u{2029}\"]",
                "431[\"\u{2028}\u{2029}\"]",
            ),
            (
                "lone surrogate",
                "421[\"echo\",\"\\ud800\"]",
                "431[\"\\ud800\"]",
            ),
            (
                "halves of surrogate pairs",
                "421[\"echo\",\"hi \\ud83d\",{\"\\uDE00\\uD83D\":[\"\\udead!\"]}]",
                "431[\"hi \\ud83d\",{\"\\uDE00\\uD83D\":[\"\\udead!\"]}]",
            ),
            (
                "numbers beyond a double",
                "421[\"echo\",1e400,-1E+400,[1e-400],1e99999]",
                "431[1e400,-1E+400,[1e-400],1e99999]",
            ),
            (
                "duplicate keys",
                "421[\"echo\",{\"a\":1,\"a\":2}]",
                "431[{\"a\":1,\"a\":2}]",
            ),
            (
                "__proto__",
                "421[\"echo\",{\"__proto__\":{\"a\":1},\"constructor\":2}]",
                "431[{\"__proto__\":{\"a\":1},\"constructor\":2}]",
            ),
            (
                "placeholder in a text packet",
                "421[\"echo\",{\"_placeholder\":true,\"num\":7}]",
                "431[{\"_placeholder\":true,\"num\":7}]",
            ),
            (
                "large integer",
                "421[\"echo\",123456789012345678901234567890]",
                "431[123456789012345678901234567890]",
            ),
            ("integer of 5,000 digits", &integer, &integer_answer),
            ("500 deep", &deep, &deep_answer),
            ("512 deep", &deepest, &deepest_answer),
            ("namespace / by name", "42/,1[\"echo\",1]", "431[1]"),
            (
                "without acknowledgement",
                "42[\"echo\",1,\"x\"]",
                "42[\"echo\",1,\"x\"]",
            ),
        ];
        let mut websocket = bed.joined().await;
        for (name, sent, expected) in &rows {
            websocket.send(sent).await;
            bed.check(name, websocket.text().await, (*expected).to_owned());
        }
        let mut polling = bed.polling().await;
        for (name, sent, expected) in &rows {
            polling.send(sent).await;
            bed.check(
                format!("{name}, by polling"),
                polling.poll().await,
                (*expected).to_owned(),
            );
        }
        // White space between tokens may go or stay, the values must not change.
        websocket
            .send("421[ \"echo\" , [ 1 , 2 ] ,\t{ \"a\" : 1 }\n]")
            .await;
        let answer = websocket.text().await;
        let values: serde_json::Value =
            serde_json::from_str(answer.strip_prefix("431").unwrap()).unwrap();
        bed.check("white space", values, serde_json::json!([[1, 2], {"a": 1}]));
    });
}

#[test]
fn the_auth_of_all_namespaces_together_is_bounded() {
    run(async {
        let bed = Bed::limited(|limits| limits.max_message_bytes = 10_000).await;
        for name in ["/a", "/b", "/c"] {
            bed.io.of(name);
        }
        let (mut websocket, _) = bed.open_websocket().await;
        let auth = |bytes: usize| format!("{{\"token\":\"{}\"}}", "x".repeat(bytes));
        let join = |name: &str, bytes| format!("40{name},{}", auth(bytes));
        websocket.send(&join("/a", 8_000)).await;
        assert!(websocket.text().await.starts_with("40/a,{"));
        websocket.send(&join("/b", 8_000)).await;
        assert_eq!(
            websocket.text().await,
            "44/b,{\"message\":\"auth too large\"}"
        );
        websocket.send(&join("/b", 100)).await;
        assert!(websocket.text().await.starts_with("40/b,{"));
        websocket.send("41/a,").await;
        websocket.send(&join("/c", 8_000)).await;
        assert!(websocket.text().await.starts_with("40/c,{"));
    });
}

#[test]
fn any_other_name_is_an_event() {
    run(async {
        let mut table = Table::default();
        let rows = [
            ("[\"__proto__\"]", "__proto__"),
            ("[\"constructor\"]", "constructor"),
            ("[\"\"]", ""),
            ("[\"*\"]", "*"),
            ("[\"error\",\"x\"]", "error"),
            ("[\"connection\"]", "connection"),
            ("[\"message\"]", "message"),
            ("[\"Connect\"]", "Connect"),
            ("[\"a\\ud83d\"]", "a\u{fffd}"),
            ("[1e400]", "1e400"),
            ("[\"caf\\u00e9\"]", "café"),
            ("[1,\"x\"]", "1"),
            ("[0]", "0"),
            ("[\"a\\nb\"]", "a\nb"),
        ];
        for (payload, name) in rows {
            table.case(payload, async move {
                let bed = Bed::new().await;
                let mut websocket = bed.joined().await;
                websocket.send(&format!("42{payload}")).await;
                bed.saw(&format!("event {name}")).await;
                assert_websocket_alive(&mut websocket).await;
            });
        }
        table.finish().await;
    });
}

#[test]
fn placeholders_are_filled() {
    run(async {
        let mut bed = Bed::new().await;
        let mut websocket = bed.joined().await;
        let rows = [
            (
                "the same attachment twice",
                "451-1[\"echo\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":0}]",
                1..=2,
            ),
            (
                "deep inside",
                "451-1[\"echo\",{\"a\":[{\"_placeholder\":true,\"num\":0}]}]",
                1..=1,
            ),
            (
                "another order of keys",
                "451-1[\"echo\",{\"num\":0,\"_placeholder\":true}]",
                1..=1,
            ),
            (
                "not true",
                "451-1[\"echo\",{\"_placeholder\":false,\"num\":0}]",
                0..=0,
            ),
            ("unused", "451-1[\"echo\",1]", 0..=1),
        ];
        for (name, text, counts) in rows {
            websocket.send(text).await;
            websocket.send_binary(b"abc").await;
            let answer = websocket.text().await;
            // An attachment that is used twice may come once or twice, and one that is not used may be left out.
            let count = match answer
                .strip_prefix("46")
                .and_then(|rest| rest.split_once("-1["))
            {
                Some((count, _)) => count.parse().unwrap(),
                None => 0,
            };
            bed.check(format!("{name}: {answer}"), counts.contains(&count), true);
            for _ in 0..count {
                bed.check(name, websocket.binary().await, b"abc".to_vec());
            }
        }
        assert_websocket_alive(&mut websocket).await;
    });
}

#[test]
fn answers_that_nobody_asked_for_are_ignored() {
    run(async {
        let bed = Bed::new().await;
        let mut websocket = bed.joined().await;
        for text in ["430[]", "4399[1,2]", "4399[1,2]", "439223372036854775807[]"] {
            websocket.send(text).await;
        }
        websocket
            .send("461-5[{\"_placeholder\":true,\"num\":0}]")
            .await;
        websocket.send_binary(b"x").await;
        assert_websocket_alive(&mut websocket).await;
        let socket = bed.socket().await;
        let asked = tokio::spawn(async move { socket.emit_with_ack::<u32>("q", 1).await });
        let question = websocket.text().await;
        let id: u64 = question
            .strip_prefix("42")
            .unwrap()
            .split('[')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        for n in [1, 2] {
            websocket.send(&format!("43{id}[{n}]")).await;
        }
        assert_eq!(asked.await.unwrap().unwrap(), 1, "the first answer counts");
        assert_websocket_alive(&mut websocket).await;
    });
}

// Namespaces.

#[test]
fn connects_are_answered() {
    run(async {
        let mut table = Table::default();
        let rows: [(&str, &str); 12] = [
            ("40", "40{\"sid\":\"*\"}"),
            ("40{\"token\":\"x\"}", "40{\"sid\":\"*\"}"),
            ("40{}", "40{\"sid\":\"*\"}"),
            ("40/,", "40{\"sid\":\"*\"}"),
            ("40/other,", "40/other,{\"sid\":\"*\"}"),
            ("40/other", "40/other,{\"sid\":\"*\"}"),
            ("40/other,{\"token\":\"x\"}", "40/other,{\"sid\":\"*\"}"),
            ("40/nope,", "44/nope,{\"message\":\"Invalid namespace\"}"),
            ("40/nope", "44/nope,{\"message\":\"Invalid namespace\"}"),
            (
                "40/nope,{\"token\":1}",
                "44/nope,{\"message\":\"Invalid namespace\"}",
            ),
            ("40/OTHER,", "44/OTHER,{\"message\":\"Invalid namespace\"}"),
            ("40/é\"\\,", "44/é\"\\,{\"message\":\"Invalid namespace\"}"),
        ];
        for (sent, expected) in rows {
            table.case(sent, async move {
                let bed = Bed::new().await;
                bed.io.of("/other");
                let (mut websocket, _) = bed.open_websocket().await;
                websocket.send(sent).await;
                let answer = websocket.text().await;
                if let Some((before, after)) = expected.split_once('*') {
                    let id = answer
                        .strip_prefix(before)
                        .and_then(|rest| rest.strip_suffix(after));
                    let id = id.unwrap_or_else(|| panic!("{answer:?}"));
                    assert_eq!(id.len(), 20);
                } else {
                    assert_eq!(answer, expected);
                    // The connection stays, so that another one can be tried.
                    websocket.join().await;
                }
            });
        }
        table.finish().await;
    });
}

#[test]
fn refusals_carry_message_and_data() {
    run(async {
        let bed = Bed::new().await;
        bed.io
            .of("/plain")
            .middleware(async || Err::<(), _>("no \"entry\""));
        bed.io.of("/data").middleware(async || {
            Err::<(), _>(ConnectError::new("no").data(serde_json::json!({"code": 1})))
        });
        let (mut websocket, _) = bed.open_websocket().await;
        websocket.send("40/plain,").await;
        assert_eq!(
            websocket.text().await,
            "44/plain,{\"message\":\"no \\\"entry\\\"\"}"
        );
        websocket.send("40/data,").await;
        assert_eq!(
            websocket.text().await,
            "44/data,{\"message\":\"no\",\"data\":{\"code\":1}}"
        );
        // It was not joined, so it can be tried again, and gets no events.
        websocket.send("40/data,").await;
        websocket.text().await;
        websocket.send("42/data,[\"a\"]").await;
        assert_eq!(websocket.end().await, WebSocketEnd::NoCode);
    });
}

#[test]
fn an_event_right_behind_connect_is_delivered_after_the_acceptance() {
    run(async {
        let mut table = Table::default();
        for slow in [false, true] {
            for by_polling in [false, true] {
                table.case(
                    format!("slow middleware: {slow}, polling: {by_polling}"),
                    async move {
                        let bed = Bed::new().await;
                        bed.io.middleware(move || async move {
                            if slow {
                                tokio::time::sleep(Duration::from_millis(100)).await;
                            }
                            Ok::<(), ConnectError>(())
                        });
                        let sent = ["40", "421[\"echo\",1]", "422[\"echo\",2]"];
                        let mut got = Vec::new();
                        if by_polling {
                            let mut polling = bed.open_polling().await;
                            polling.send(&sent.join(RS)).await;
                            while got.len() < 3 {
                                got.extend(polling.poll().await.split(RS).map(str::to_owned));
                            }
                        } else {
                            let (mut websocket, _) = bed.open_websocket().await;
                            websocket
                                .send_raw(sent.map(|text| frame(0x81, text.as_bytes())).concat())
                                .await;
                            while got.len() < 3 {
                                got.push(websocket.text().await);
                            }
                        }
                        assert!(got[0].starts_with("40{\"sid\":"), "{got:?}");
                        assert_eq!(got[1..], ["431[1]", "432[2]"]);
                        assert_eq!(bed.log(), ["connect", "event echo", "event echo"]);
                    },
                );
            }
        }
        table.finish().await;
    });
}

#[test]
fn an_event_behind_a_refused_connect_is_never_delivered() {
    run(async {
        let bed = Bed::new().await;
        let decide = Arc::new(Notify::new());
        let wait = Arc::clone(&decide);
        bed.io.middleware(move || {
            let wait = Arc::clone(&wait);
            async move {
                wait.notified().await;
                Err::<(), _>("refused")
            }
        });
        let (mut websocket, _) = bed.open_websocket().await;
        websocket
            .send_raw(
                ["40", "42[\"secret\"]", "421[\"echo\",1]"]
                    .map(|text| frame(0x81, text.as_bytes()))
                    .concat(),
            )
            .await;
        assert!(websocket.is_silent_for(Duration::from_millis(100)).await);
        decide.notify_one();
        assert_eq!(websocket.text().await, "44{\"message\":\"refused\"}");
        assert!(websocket.is_silent_for(Duration::from_millis(100)).await);
        assert_eq!(bed.log(), Vec::<String>::new());

        // A second CONNECT while the first is being decided is one too many.
        websocket
            .send_raw(
                ["40", "40"]
                    .map(|text| frame(0x81, text.as_bytes()))
                    .concat(),
            )
            .await;
        assert_eq!(websocket.drain().await, (Vec::new(), WebSocketEnd::NoCode));
        assert_eq!(bed.log(), Vec::<String>::new());
    });
}

#[test]
fn a_client_that_leaves_while_it_is_being_let_in_is_gone() {
    run(async {
        let bed = Bed::new().await;
        let decide = Arc::new(Notify::new());
        let wait = Arc::clone(&decide);
        bed.io.middleware(move || {
            let wait = Arc::clone(&wait);
            async move {
                wait.notified().await;
                Ok::<(), ConnectError>(())
            }
        });
        let (mut websocket, _) = bed.open_websocket().await;
        websocket
            .send_raw(
                ["40", "42[\"secret\"]", "41"]
                    .map(|text| frame(0x81, text.as_bytes()))
                    .concat(),
            )
            .await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        decide.notify_one();
        assert!(websocket.is_silent_for(Duration::from_millis(100)).await);
        assert_eq!(bed.log(), Vec::<String>::new());
        assert_eq!(bed.io.fetch_sockets().await.len(), 0);
    });
}

#[test]
fn namespaces_are_left_and_joined_again() {
    run(async {
        let bed = Bed::new().await;
        bed.io.of("/other");
        let mut websocket = bed.joined().await;
        websocket.send("40/other,").await;
        assert!(websocket.text().await.starts_with("40/other,{"));
        websocket.send("41").await;
        assert_eq!(bed.reason().await, "client namespace disconnect");
        websocket.join().await;
        assert_websocket_alive(&mut websocket).await;
        websocket.send("41/other,").await;
        websocket.send("41").await;
        websocket.send("42[\"late\"]").await;
        assert_eq!(websocket.end().await, WebSocketEnd::NoCode);
        assert!(!bed.log().contains(&"event late".to_owned()));
    });
}

#[test]
fn a_hundred_namespaces_are_the_limit() {
    run(async {
        let bed = Bed::new().await;
        for n in 0..101 {
            bed.io.of(&format!("/n{n}"));
        }
        let (mut websocket, _) = bed.open_websocket().await;
        for n in 0..100 {
            websocket.send(&format!("40/n{n},")).await;
            assert!(websocket.text().await.starts_with(&format!("40/n{n},{{")));
        }
        websocket.send("40/n100,").await;
        assert_eq!(
            websocket.drain().await,
            (Vec::new(), WebSocketEnd::Code(1008))
        );
        bed.sessions(0).await;
    });
}

#[test]
fn events_of_one_client_wait_for_slow_handlers_and_keep_their_order() {
    run(async {
        let bed =
            Bed::with(Server::builder().with_limits(|limits| limits.max_queued_events = 4)).await;
        bed.io.on(
            "slow",
            async |kokanee_server::Data(n): kokanee_server::Data<u32>, ack: kokanee_server::Ack| {
                tokio::time::sleep(Duration::from_millis(2)).await;
                ack.send(n)
            },
        );
        let all: Vec<u8> = (0..300)
            .flat_map(|n| frame(0x81, format!("42{n}[\"slow\",{n}]").as_bytes()))
            .collect();
        let mut websocket: WebSocket = bed.joined().await;
        websocket.send_raw(all).await;
        for n in 0..300 {
            assert_eq!(websocket.text().await, format!("43{n}[{n}]"));
        }
        let mut polling = bed.polling().await;
        let body: Vec<String> = (0..300).map(|n| format!("42{n}[\"slow\",{n}]")).collect();
        let target = polling.target.clone();
        let (server, body) = (bed.address, body.join(RS));
        let posting = tokio::spawn(async move {
            let mut http = crate::support::Http::connect(server).await;
            http.post(&target, body).await
        });
        let mut got = Vec::new();
        while got.len() < 300 {
            got.extend(polling.poll().await.split(RS).map(str::to_owned));
        }
        let expected: Vec<String> = (0..300).map(|n| format!("43{n}[{n}]")).collect();
        assert_eq!(got, expected);
        assert_eq!(posting.await.unwrap().brief(), (200, "ok".to_owned()));
        assert_alive(&mut polling).await;
    });
}

#[test]
fn an_answer_given_before_a_bad_packet_still_arrives() {
    run(async {
        let bed = Bed::new().await;
        let mut websocket = bed.joined().await;
        let good_and_bad =
            ["427[\"echo\",1]", "49[\"a\"]"].map(|text| frame(0x81, text.as_bytes()));
        websocket.send_raw(good_and_bad.concat()).await;
        assert_eq!(websocket.text().await, "437[1]");
        assert_eq!(websocket.end().await, WebSocketEnd::NoCode);
    });
}
