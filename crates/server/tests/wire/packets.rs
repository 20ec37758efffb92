//! Socket.IO packets that are understood: events, attachments, acknowledgements, and their order.

use std::time::Duration;

use kokanee_server::Server;

use crate::{
    bed::{Bed, RS, Table, assert_alive, assert_websocket_alive, run},
    support::{WebSocket, frame},
};

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
