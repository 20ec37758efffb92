//! Socket.IO packets that break the rules: they end the connection, and what came before them is answered.

use std::time::Duration;

use crate::{
    bed::{Bed, RS, Table, assert_gone, assert_websocket_alive, run},
    support::{WebSocketEnd, frame},
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
        ("tail after the array", "42[\"a\"]x", 0),
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
