//! The events of the demo server, by a client that knows nothing but the protocol.

use crate::support::{Client, Server};
use serde_json::{Value, json};

#[test]
fn echo_answers_or_comes_back() {
    let server = Server::start(&[]);
    let mut client = Client::open(&server);
    assert_eq!(
        client.call(&json!(["echo", "a", {"b": [1, null]}])),
        json!(["a", {"b": [1, null]}])
    );
    assert_eq!(client.call(&json!(["echo"])), json!([]));
    client.emit(&json!(["echo", 1, "two"]));
    assert_eq!(client.event("echo"), json!([1, "two"]));
}

#[test]
fn who_joins_a_room_gets_its_messages_until_it_leaves() {
    let server = Server::start(&[]);
    let (mut one, mut two) = (Client::open(&server), Client::open(&server));
    assert_eq!(one.call(&json!(["rooms"])), json!([[]]));
    assert_eq!(one.call(&json!(["join", "lobby"])), json!([["lobby"]]));
    assert_eq!(two.call(&json!(["join", "lobby"])), json!([["lobby"]]));
    assert_eq!(
        one.event("joined"),
        json!([{"room": "lobby", "id": two.id}])
    );

    assert_eq!(
        one.call(&json!(["room message", {"room": "lobby", "text": "hi"}])),
        json!(["ok"])
    );
    assert_eq!(
        two.event("room message"),
        json!([{"room": "lobby", "text": "hi", "from": one.id}])
    );

    assert_eq!(two.call(&json!(["leave", "lobby"])), json!([[]]));
    assert_eq!(one.event("left"), json!([{"room": "lobby", "id": two.id}]));
    assert_eq!(one.call(&json!(["rooms"])), json!([["lobby"]]));
}

#[test]
fn a_chat_message_reaches_everybody() {
    let server = Server::start(&[]);
    let (mut one, mut two) = (Client::open(&server), Client::open(&server));
    assert_eq!(one.call(&json!(["chat message", "hello"])), json!(["ok"]));
    let heard = two.event("chat message");
    assert_eq!(one.event("chat message"), heard);
    assert_eq!(
        (&heard[0]["from"], &heard[0]["text"]),
        (&json!(one.id), &json!("hello"))
    );
    assert!(
        heard[0]["at"]
            .as_u64()
            .is_some_and(|at| at > 1_600_000_000_000)
    );
}

#[test]
fn binary_data_comes_back() {
    let server = Server::start(&[]);
    let mut client = Client::open(&server);
    client.post("451-9[\"binary\",{\"_placeholder\":true,\"num\":0}]\x1ebAQID");
    let (packet, attachment) = client.binary("461-9");
    assert_eq!(
        packet,
        "461-9[{\"bytes\":{\"_placeholder\":true,\"num\":0},\"length\":3}]"
    );
    assert_eq!(attachment, "bAQID");
    client.post("451-[\"binary\",{\"_placeholder\":true,\"num\":0}]\x1eb/w==");
    let (packet, attachment) = client.binary("451-");
    assert_eq!(packet, "451-[\"binary\",{\"_placeholder\":true,\"num\":0}]");
    assert_eq!(attachment, "b/w==");
}

#[test]
fn a_broadcast_reaches_all_others() {
    let server = Server::start(&[]);
    let (mut one, mut two, mut three) = (
        Client::open(&server),
        Client::open(&server),
        Client::open(&server),
    );
    assert_eq!(
        one.call(&json!(["broadcast", "news", 1, {"a": 2}])),
        json!([2])
    );
    assert_eq!(two.event("news"), json!([1, {"a": 2}]));
    assert_eq!(three.event("news"), json!([1, {"a": 2}]));
}

#[test]
fn call_me_passes_the_answer_on() {
    let server = Server::start(&[]);
    let mut client = Client::open(&server);
    client.ask(3, &json!(["call me", "greet", "hi"]));
    let (id, args) = client.numbered_event("greet");
    assert_eq!(args, json!(["hi"]));
    client.post(&format!("43{id}[\"hello\",2]"));
    assert_eq!(client.answer(3), json!(["hello", 2]));
}

#[test]
fn call_me_reports_that_no_answer_came() {
    let server = Server::start(&[]);
    let mut client = Client::open(&server);
    assert_eq!(
        client.call(&json!(["call me", "greet"])),
        json!([{"error": "operation has timed out"}])
    );
}

#[test]
fn call_everybody_collects_the_answers() {
    let server = Server::start(&[]);
    let (mut one, mut two) = (Client::open(&server), Client::open(&server));
    one.ask(4, &json!(["call everybody", "greet", "all"]));
    for client in [&mut one, &mut two] {
        let (id, args) = client.numbered_event("greet");
        assert_eq!(args, json!(["all"]));
        client.post(&format!("43{id}[{}]", json!(client.id)));
    }
    let answers = one.answer(4);
    let mut answers: Vec<&str> = answers[0]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    answers.sort_unstable();
    let mut ids = [&*one.id, &two.id];
    ids.sort_unstable();
    assert_eq!(answers, ids);
}

#[test]
fn who_lists_all_sockets() {
    let server = Server::start(&[]);
    let (mut one, two) = (Client::open(&server), Client::open(&server));
    one.call(&json!(["join", "lobby"]));
    let clients = one.call(&json!(["who"]));
    let clients = clients[0].as_array().expect("a list");
    assert_eq!(clients.len(), 2);
    assert!(clients.contains(&json!({"id": one.id, "rooms": ["lobby"], "transport": "polling"})));
    assert!(clients.contains(&json!({"id": two.id, "rooms": [], "transport": "polling"})));
}

#[test]
fn events_behind_a_sleep_wait() {
    let server = Server::start(&[]);
    let mut client = Client::open(&server);
    client.post("421[\"sleep\",200]\x1e422[\"echo\"]");
    // Both answers may come in one payload, but never the second one alone.
    assert_eq!(client.answer(1), json!(["slept"]));
    assert_eq!(client.answer(2), json!([]));
    let answered: Vec<Value> = std::iter::repeat_with(|| server.record_of("answer"))
        .take(2)
        .map(|record| record["name"].clone())
        .collect();
    assert_eq!(answered, ["sleep", "echo"]);
}

#[test]
fn disconnect_me_disconnects() {
    let server = Server::start(&[]);
    let client = Client::open(&server);
    client.emit(&json!(["disconnect me", true]));
    client.until_gone();
    let record = server.record_of("disconnect");
    assert_eq!(
        (&record["socket"], &record["reason"]),
        (&json!(client.id), &json!("server namespace disconnect"))
    );
}

#[test]
fn a_handler_that_fails_costs_its_event_only() {
    let server = Server::start(&[]);
    let mut client = Client::open(&server);
    assert_eq!(
        client.call(&json!(["fail"]))[0]["error"]["code"],
        "internal"
    );
    assert_eq!(
        client.call(&json!(["join", 5]))[0]["error"]["code"],
        "invalid_payload"
    );
    assert_eq!(
        client.call(&json!(["call me"]))[0]["error"]["code"],
        "invalid_payload"
    );
    assert_eq!(client.call(&json!(["echo", 1])), json!([1]));
}

#[test]
fn the_clock_ticks() {
    let server = Server::start(&[]);
    let mut client = Client::open(&server);
    let (first, second) = (client.event("clock"), client.event("clock"));
    assert!(first[0]["time"].as_u64() < second[0]["time"].as_u64());
    assert_eq!(second[0]["clients"], 1);
    assert!(second[0]["uptime"].is_u64());
}

#[test]
fn private_refuses_a_wrong_token() {
    let server = Server::start(&[]);
    for auth in ["", "{}", "{\"token\":\"guess\"}", "{\"token\":7}"] {
        let refusal = Client::handshake(&server, "/private").refused(auth);
        let data = json!({"code": 401, "hint": "auth must be {token: \"kokanee\"}"});
        assert_eq!(
            refusal,
            json!({"message": "not authorized", "data": data}),
            "{auth}"
        );
    }
    assert_eq!(server.record_of("refuse")["message"], "not authorized");
}

#[test]
fn private_accepts_the_right_token() {
    let server = Server::start(&[]);
    let mut client = Client::handshake(&server, "/private");
    client.connect("{\"token\":\"kokanee\",\"name\":\"me\"}");
    assert_eq!(
        client.call(&json!(["whoami"])),
        json!([{"token": "kokanee", "name": "me"}])
    );
    assert_eq!(client.call(&json!(["echo", "x"])), json!(["x"]));
    client.emit(&json!(["echo", "y"]));
    assert_eq!(client.event("echo"), json!(["y"]));
}

#[test]
fn events_before_the_acceptance_wait() {
    let server = Server::start(&[]);
    let mut client = Client::handshake(&server, "/private");
    client.post("40/private,{\"token\":\"kokanee\"}\x1e42/private,5[\"echo\",1]");
    assert_eq!(client.answer(5), json!([1]));
}
