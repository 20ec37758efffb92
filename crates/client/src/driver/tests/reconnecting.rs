//! When the client reconnects, and when it gives up.

use std::time::Duration;

use super::pair::{Pair, outcome};
use crate::{
    engine::ConnectFailure,
    extract::{Attempt, Failure},
    reason::DisconnectReason,
};

const SECOND: Duration = Duration::from_secs(1);

/// Notes what the life-cycle handlers of the socket are called with.
fn watch(pair: &Pair) {
    let socket = &pair.socket;
    let note = pair.note();
    socket.on_connect({
        let note = note.clone();
        move || {
            note("connect".to_owned());
            async {}
        }
    });
    socket.on_disconnect({
        let note = note.clone();
        move |reason: DisconnectReason| {
            note(format!("disconnect, {reason}"));
            async {}
        }
    });
    socket.on_connect_error({
        let note = note.clone();
        move |_: Failure| {
            note("error".to_owned());
            async {}
        }
    });
    socket.on_reconnect_attempt({
        let note = note.clone();
        move |Attempt(number): Attempt| {
            note(format!("attempt {number}"));
            async {}
        }
    });
    socket.on_reconnect({
        let note = note.clone();
        move |Attempt(number): Attempt| {
            note(format!("reconnect {number}"));
            async {}
        }
    });
    socket.on_reconnect_failed(move || {
        note("failed".to_owned());
        async {}
    });
}

#[test]
fn a_refusal_ends_the_attempts_unless_the_application_wants_more() {
    for retries in [false, true] {
        let mut pair = Pair::connected(|builder| builder.retry_refused(retries));
        watch(&pair);
        pair.loses();
        pair.wait_for_attempt();
        pair.opens();
        pair.server_sends(r#"4{"message":"no"}"#);
        assert_eq!(
            pair.log(),
            ["disconnect, transport close", "attempt 1", "error"]
        );
        assert_eq!(pair.socket.is_active(), retries);
        if retries {
            // With a longer delay, as after an attempt that has failed.
            assert_eq!(pair.wait_for_attempt(), 2 * SECOND);
            pair.opens();
            pair.server_sends(r#"0{"sid":"public"}"#);
            assert_eq!(pair.log(), ["attempt 2", "connect", "reconnect 2"]);
        }
    }
}

#[test]
fn the_first_refusal_is_the_answer_to_connect() {
    let mut pair = Pair::new(|builder| builder.retry_refused(true));
    let call = pair.connect();
    pair.opens();
    pair.server_sends(r#"4{"message":"no"}"#);
    assert!(matches!(
        outcome(call),
        Some(Err(ConnectFailure::Refused { .. }))
    ));
    assert!(!pair.socket.is_active());
}

#[test]
fn delays_double_up_to_the_longest_one() {
    let mut pair = Pair::connected(|builder| builder);
    watch(&pair);
    pair.loses();
    for (number, seconds) in [(1, 1), (2, 2), (3, 4), (4, 5), (5, 5)] {
        assert_eq!(pair.wait_for_attempt(), seconds * SECOND);
        assert!(pair.log().contains(&format!("attempt {number}")));
        pair.fails();
    }
    pair.wait_for_attempt();
    pair.opens();
    pair.log();
    pair.server_sends(r#"0{"sid":"again"}"#);
    assert_eq!(pair.log(), ["connect", "reconnect 6"]);
    // Everything begins anew.
    pair.loses();
    assert_eq!(pair.wait_for_attempt(), SECOND);
    assert_eq!(pair.log(), ["disconnect, transport close", "attempt 1"]);
}

#[test]
fn a_server_that_accepts_connections_but_no_namespace_ends_no_back_off() {
    let mut pair = Pair::connected(|builder| builder);
    pair.loses();
    for seconds in [1, 2, 4] {
        assert_eq!(pair.wait_for_attempt(), seconds * SECOND);
        pair.opens();
        pair.loses();
    }
}

#[test]
fn attempts_end_when_they_are_used_up() {
    let mut pair = Pair::connected(|builder| builder.reconnection_attempts(2));
    watch(&pair);
    pair.loses();
    let socket = pair.socket.clone();
    let waiting = pair.call(async move { socket.connected().await });
    for _ in 0..2 {
        pair.wait_for_attempt();
        pair.fails();
    }
    assert!(pair.is_closed());
    assert_eq!(
        pair.log(),
        [
            "disconnect, transport close",
            "attempt 1",
            "error",
            "attempt 2",
            "error",
            "failed"
        ]
    );
    let failure = outcome(waiting);
    assert!(
        matches!(failure, Some(Err(ConnectFailure::Unreachable { .. }))),
        "{failure:?}"
    );
    assert!(!pair.socket.is_active());
    // By hand it is the first connection again, which is not repeated.
    let call = pair.connect();
    pair.fails();
    assert!(matches!(outcome(call), Some(Err(_))));
    assert!(pair.is_closed());
}

#[test]
fn a_first_failure_is_final_unless_retries_are_asked_for() {
    let mut pair = Pair::new(|builder| builder);
    let call = pair.connect();
    pair.fails();
    assert!(matches!(
        outcome(call),
        Some(Err(ConnectFailure::Unreachable { .. }))
    ));
    assert!(pair.is_closed());

    let mut pair = Pair::new(|builder| builder.retry_first_connect(true));
    let call = pair.connect();
    pair.fails();
    assert_eq!(pair.wait_for_attempt(), SECOND);
    pair.opens();
    pair.server_sends(r#"0{"sid":"public"}"#);
    assert!(matches!(outcome(call), Some(Ok(()))));
}

#[test]
fn a_first_connection_that_is_lost_before_the_acceptance_is_final() {
    let mut pair = Pair::new(|builder| builder);
    let call = pair.connect();
    pair.opens();
    pair.loses();
    assert!(matches!(
        outcome(call),
        Some(Err(ConnectFailure::Interrupted { .. }))
    ));
    assert!(pair.is_closed());
}

#[test]
fn without_reconnection_a_loss_is_final() {
    let mut pair = Pair::connected(|builder| builder.reconnection(false));
    watch(&pair);
    pair.loses();
    assert!(pair.is_closed());
    assert_eq!(pair.log(), ["disconnect, transport close"]);
    assert!(!pair.socket.is_active());
}

#[test]
fn who_asks_for_a_connection_does_not_wait_for_the_next_attempt() {
    let mut pair = Pair::connected(|builder| builder);
    watch(&pair);
    pair.loses();
    let socket = pair.socket.clone();
    drop(pair.call(async move { socket.reconnect() }));
    assert_eq!(pair.wait_for_attempt(), Duration::ZERO);
    assert_eq!(pair.log(), ["disconnect, transport close", "attempt 1"]);
    pair.fails();
    let call = pair.connect();
    assert!(
        pair.is_opening(),
        "connect() waits for nothing, and is not an attempt"
    );
    assert_eq!(pair.log(), ["error"]);
    pair.opens();
    pair.server_sends(r#"0{"sid":"again"}"#);
    assert!(matches!(outcome(call), Some(Ok(()))));
}

#[test]
fn disconnect_ends_the_attempts_and_their_count() {
    let mut pair = Pair::connected(|builder| builder);
    pair.loses();
    pair.wait_for_attempt();
    pair.fails();
    let call = pair.disconnect();
    assert_eq!(outcome(call), Some(true));
    assert!(pair.is_closed());
    pair.wait(60 * SECOND);
    assert!(pair.is_closed());
    watch(&pair);
    let call = pair.connect();
    pair.opens();
    pair.server_sends(r#"0{"sid":"again"}"#);
    assert!(matches!(outcome(call), Some(Ok(()))));
    assert_eq!(pair.log(), ["connect"], "it is not a reconnection");
}

#[test]
fn a_socket_that_is_connected_while_the_connection_closes_gets_the_next_one() {
    let mut pair = Pair::connected(|builder| builder);
    drop(pair.disconnect());
    assert_eq!(pair.sent(), ["1", "close"]);
    let call = pair.connect();
    assert_eq!(pair.sent(), [""; 0]);
    pair.loses();
    assert!(pair.is_opening(), "at once");
    pair.opens();
    assert_eq!(pair.sent(), ["0"]);
    pair.server_sends(r#"0{"sid":"again"}"#);
    assert!(matches!(outcome(call), Some(Ok(()))));
}

#[test]
fn garbage_is_a_loss() {
    let mut pair = Pair::connected(|builder| builder);
    watch(&pair);
    pair.server_sends("garbage");
    assert_eq!(pair.wait_for_attempt(), SECOND);
    assert_eq!(pair.log(), ["disconnect, parse error", "attempt 1"]);
}
