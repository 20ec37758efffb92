//! How sockets join and leave their namespaces, and what a server restores.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::Poll,
    time::Duration,
};

use kokanee_engineio::Revision;
use kokanee_socketio::RawEvent;
use serde_json::{Value, json};

use super::pair::{Pair, outcome};
use crate::engine::ConnectFailure;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_namespace_that_does_not_answer_is_left() {
    let mut pair = Pair::new(|builder| builder);
    let call = pair.connect();
    pair.opens();
    assert_eq!(pair.sent(), ["0"]);
    pair.wait_almost(20 * SECOND);
    assert_eq!(pair.sent(), [""; 0]);
    pair.wait(Duration::from_millis(1));
    assert_eq!(pair.sent(), ["1", "close"]);
    let failure = outcome(call);
    assert!(
        matches!(failure, Some(Err(ConnectFailure::Timeout { after })) if after == 20 * SECOND),
        "{failure:?}"
    );
}

#[test]
fn a_namespace_that_was_connected_and_does_not_answer_gets_another_connection() {
    let mut pair = Pair::connected(|builder| builder.connect_timeout(SECOND));
    pair.loses();
    assert_eq!(pair.wait_for_attempt(), SECOND);
    pair.opens();
    assert_eq!(
        pair.wait_for_attempt(),
        3 * SECOND,
        "the timeout and the second delay"
    );
    pair.opens();
    pair.server_sends(r#"0{"sid":"again"}"#);
    assert!(pair.socket.is_connected());
}

#[test]
fn one_late_namespace_does_not_disturb_another() {
    let mut pair = Pair::connected(|builder| builder);
    let admin = pair.socket.of("/admin");
    let call = pair.connect_socket(&admin);
    assert_eq!(pair.sent(), ["0/admin,"]);
    pair.wait(20 * SECOND);
    assert_eq!(pair.sent(), ["1/admin,"]);
    assert!(matches!(
        outcome(call),
        Some(Err(ConnectFailure::Timeout { .. }))
    ));
    assert!(pair.socket.is_connected());
}

#[test]
fn a_refusal_is_final() {
    let mut pair = Pair::new(|builder| builder.retry_first_connect(true));
    let call = pair.connect();
    pair.opens();
    assert_eq!(pair.sent(), ["0"]);
    pair.server_sends(r#"4{"message":"no"}"#);
    let failure = outcome(call);
    assert!(
        matches!(&failure, Some(Err(ConnectFailure::Refused { message, .. })) if message == "no"),
        "{failure:?}"
    );
    assert_eq!(pair.sent(), ["close"], "no socket wants the connection");
    pair.loses();
    assert!(pair.is_closed());
}

#[test]
fn auth_is_asked_for_before_every_connection() {
    let calls = AtomicU32::new(0);
    let auth = move || {
        let number = calls.fetch_add(1, Ordering::Relaxed);
        async move { json!({ "token": number }) }
    };
    let mut pair = Pair::new(|builder| builder.auth_with(auth));
    let call = pair.connect();
    pair.opens();
    assert_eq!(pair.sent(), [r#"0{"token":0}"#]);
    pair.server_sends(r#"0{"sid":"public"}"#);
    assert!(matches!(outcome(call), Some(Ok(()))));
    pair.loses();
    pair.wait_for_attempt();
    pair.opens();
    assert_eq!(pair.sent(), [r#"0{"token":1}"#]);
}

#[test]
fn any_value_may_be_an_auth_if_the_application_says_so() {
    let mut pair = Pair::new(|builder| builder.any_auth_with(async || json!("secret")));
    drop(pair.connect());
    pair.opens();
    assert_eq!(pair.sent(), [r#"0"secret""#]);
}

#[test]
fn raw_messages_before_the_socket_has_joined_are_kept() {
    let is_ready = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&is_ready);
    let auth = move || {
        let gate = Arc::clone(&gate);
        poll_fn(move |_| {
            let is_ready = gate.load(Ordering::Relaxed);
            if is_ready {
                Poll::Ready(Value::Null)
            } else {
                Poll::Pending
            }
        })
    };
    let mut pair = Pair::new(|builder| builder.raw_messages(true).auth_with(auth));
    let note = pair.note();
    let handler = move |event: RawEvent| {
        note(event.args().json().to_owned());
        async {}
    };
    pair.socket.on_fallback(handler);
    drop(pair.connect());
    pair.opens();
    pair.server_sends("at once");
    assert!(pair.log().is_empty());
    is_ready.store(true, Ordering::Relaxed);
    pair.server_sends("later");
    pair.wait(SECOND);
    assert_eq!(pair.log(), [r#""at once",1"#, r#""later",1"#]);
    pair.loses();
    pair.wait_for_attempt();
    pair.opens();
    pair.server_sends("again");
    assert_eq!(pair.log(), [r#""again",2"#]);
}

#[test]
fn a_server_that_restores_the_state_is_sent_the_last_offset() {
    let mut pair = Pair::new(|builder| builder);
    drop(pair.connect());
    pair.opens();
    pair.sent();
    pair.server_sends(r#"0{"sid":"public","pid":"private"}"#);
    pair.server_sends(r#"2["x","offset-1"]"#);
    pair.server_sends(r#"2["x","two words"]"#);
    // Events with an acknowledgement carry no offset.
    pair.server_sends(r#"21["x","offset-2"]"#);
    let reconnect = |pair: &mut Pair, accepted: &str| {
        pair.loses();
        pair.wait_for_attempt();
        pair.opens();
        let sent = pair.sent();
        pair.server_sends(accepted);
        assert_eq!(sent.len(), 1, "{sent:?}");
        let auth = sent[0].strip_prefix('0').expect("CONNECT");
        serde_json::from_str::<Value>(auth).expect("JSON")
    };
    assert_eq!(
        reconnect(&mut pair, r#"0{"sid":"public","pid":"private"}"#),
        json!({ "pid": "private", "offset": "offset-1" })
    );
    assert!(pair.socket.is_recovered() && pair.socket.is_recoverable());
    // It has lost the state: the offset is worth nothing any more.
    assert_eq!(
        reconnect(&mut pair, r#"0{"sid":"other","pid":"other"}"#),
        json!({ "pid": "private", "offset": "offset-1" })
    );
    assert!(!pair.socket.is_recovered());
    assert_eq!(
        reconnect(&mut pair, r#"0{"sid":"other","pid":"other"}"#),
        json!({ "pid": "other" })
    );
    drop(pair.disconnect());
    pair.loses();
    drop(pair.connect());
    pair.sent();
    pair.opens();
    assert_eq!(pair.sent(), ["0"], "the socket has left its namespace");
}

#[test]
fn events_before_the_acceptance_come_after_the_handlers_of_the_connection() {
    let mut pair = Pair::new(|builder| builder);
    let note = pair.note();
    pair.socket.on("early", {
        let note = note.clone();
        move || {
            note("early".to_owned());
            async {}
        }
    });
    pair.socket.on_connect(move || {
        note("connect".to_owned());
        async {}
    });
    drop(pair.connect());
    pair.opens();
    pair.server_sends(r#"2["early"]"#);
    assert_eq!(pair.log(), [""; 0]);
    pair.server_sends(r#"0{"sid":"public"}"#);
    pair.wait(SECOND);
    assert_eq!(pair.log(), ["connect", "early"]);
}

/// A server of Socket.IO 2 that has connected `/` by itself.
fn old_server() -> Pair {
    let mut pair = Pair::with_revision(Revision::V3, |builder| builder);
    let call = pair.connect();
    pair.opens();
    assert_eq!(pair.sent(), [""; 0], "it is not asked");
    pair.server_sends("0");
    assert!(matches!(outcome(call), Some(Ok(()))));
    pair
}

#[test]
fn an_old_server_derives_ids_from_the_session() {
    let mut pair = old_server();
    assert_eq!(pair.socket.id().as_deref(), Some("secret"));
    let admin = pair.socket.of("/admin");
    drop(pair.connect_socket(&admin));
    assert_eq!(pair.sent(), ["0/admin,"]);
    pair.server_sends("0/admin,");
    assert_eq!(admin.id().as_deref(), Some("/admin#secret"));
}

#[test]
fn an_old_server_accepts_the_root_again_by_saying_nothing_for_2_s() {
    let mut pair = old_server();
    let admin = pair.socket.of("/admin");
    drop(pair.connect_socket(&admin));
    pair.server_sends("0/admin,");
    drop(pair.disconnect());
    assert_eq!(pair.sent(), ["0/admin,", "1"]);
    let call = pair.connect();
    assert_eq!(pair.sent(), ["0"]);
    pair.wait_almost(2 * SECOND);
    assert!(!pair.socket.is_connected());
    pair.wait(Duration::from_millis(1));
    assert!(matches!(outcome(call), Some(Ok(()))));
    assert!(pair.socket.is_connected() && admin.is_connected());
}

#[test]
fn a_newer_client_says_what_an_old_server_needs() {
    let mut pair = Pair::new(|builder| builder);
    let call = pair.connect();
    pair.opens();
    pair.server_sends("0");
    let failure = outcome(call);
    assert!(
        matches!(
            failure,
            Some(Err(ConnectFailure::WrongRevision { other: 3, .. }))
        ),
        "{failure:?}"
    );
}

#[test]
fn sockets_that_nobody_uses_are_forgotten() {
    let mut pair = Pair::connected(|builder| builder);
    for _ in 0..100 {
        let other = pair.socket.of("/other");
        drop(pair.connect_socket(&other));
        pair.server_sends(r#"0/other,{"sid":"x"}"#);
        let leaving = other.clone();
        drop(pair.call(async move { leaving.disconnect().await }));
        let weak = Arc::downgrade(other.core());
        drop(other);
        // Room is made when the next one comes.
        let next = pair.socket.of("/next");
        drop(pair.connect_socket(&next));
        assert_eq!(weak.strong_count(), 0);
        let leaving = next.clone();
        drop(pair.call(async move { leaving.disconnect().await }));
    }
}
