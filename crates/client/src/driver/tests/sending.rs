//! What waits for a connection, is sent again, or fails with it.

use std::time::Duration;

use kokanee_handler::AckError;
use kokanee_socketio::Args;

use super::pair::{Call, Pair, outcome};

const SECOND: Duration = Duration::from_secs(1);

fn ask(pair: &mut Pair, event: &str) -> Call<Result<Args, AckError>> {
    let (socket, event) = (pair.socket.clone(), event.to_owned());
    pair.call(async move { socket.emit_with_ack::<()>(&event, ()).args().await })
}

fn reconnect(pair: &mut Pair) {
    pair.wait_for_attempt();
    pair.opens();
    assert_eq!(pair.sent(), ["0"]);
    pair.server_sends(r#"0{"sid":"again"}"#);
}

#[test]
fn what_is_emitted_without_a_connection_leaves_with_the_next_one_in_order() {
    let mut pair = Pair::connected(|builder| builder);
    pair.loses();
    for event in ["a", "b", "c"] {
        pair.emit(event);
    }
    pair.socket.emit_volatile("dropped", ()).expect("no error");
    pair.wait_for_attempt();
    pair.opens();
    assert_eq!(pair.sent(), ["0"], "not before the namespace has accepted");
    pair.server_sends(r#"0{"sid":"again"}"#);
    assert_eq!(pair.sent(), [r#"2["a"]"#, r#"2["b"]"#, r#"2["c"]"#]);
}

#[test]
fn a_question_fails_with_the_connection_on_which_it_has_left() {
    let mut pair = Pair::connected(|builder| builder);
    let left = ask(&mut pair, "left");
    assert_eq!(pair.sent(), [r#"20["left"]"#]);
    pair.loses();
    assert!(matches!(outcome(left), Some(Err(AckError::Disconnected))));
    let buffered = ask(&mut pair, "buffered");
    let given_up = ask(&mut pair, "given up");
    drop(given_up);
    reconnect(&mut pair);
    assert_eq!(pair.sent(), [r#"21["buffered"]"#]);
    pair.server_sends("31[true]");
    let answer = outcome(buffered).expect("an end").expect("answered");
    assert_eq!(answer.json(), "true");
}

#[test]
fn a_question_for_the_present_connection_fails_if_it_comes_after_its_end() {
    let mut pair = Pair::connected(|builder| builder);
    let socket = pair.socket.clone();
    let ask = |event: &'static str| {
        let question = socket.emit_with_ack::<()>(event, ()).unbuffered();
        async move { question.args().await }
    };
    let answered = pair.call(ask("answered"));
    assert_eq!(pair.sent(), [r#"20["answered"]"#]);
    pair.server_sends("30[1]");
    assert_eq!(outcome(answered).unwrap().unwrap().json(), "1");
    pair.loses();
    let late = pair.call(ask("late"));
    assert!(matches!(outcome(late), Some(Err(AckError::Disconnected))));
    reconnect(&mut pair);
    assert_eq!(pair.sent(), [""; 0]);
}

#[test]
fn an_event_is_sent_again_until_it_is_acknowledged_and_then_the_next_one() {
    let mut pair = Pair::connected(|builder| builder.retries(3).ack_timeout(SECOND));
    pair.emit("a");
    pair.emit("b");
    assert_eq!(pair.sent(), [r#"20["a"]"#]);
    pair.wait_almost(SECOND);
    assert_eq!(pair.sent(), [""; 0]);
    pair.wait(Duration::from_millis(1));
    assert_eq!(pair.sent(), [r#"20["a"]"#]);
    pair.server_sends("30[]");
    assert_eq!(pair.sent(), [r#"21["b"]"#]);
    // The answer to the first try comes late.
    pair.server_sends("30[]");
    assert_eq!(pair.sent(), [""; 0]);
    pair.server_sends("31[]");
    pair.wait(60 * SECOND);
    assert_eq!(pair.sent(), [""; 0]);
}

#[test]
fn an_event_that_is_never_acknowledged_is_given_up_after_its_tries() {
    let mut pair = Pair::connected(|builder| builder.retries(2).ack_timeout(SECOND));
    let call = ask(&mut pair, "a");
    pair.emit("b");
    pair.wait_almost(3 * SECOND);
    assert_eq!(pair.sent(), [r#"20["a"]"#; 3], "once, and two retries");
    pair.wait(Duration::from_millis(1));
    assert!(matches!(outcome(call), Some(Err(AckError::Timeout))));
    assert_eq!(pair.sent(), [r#"21["b"]"#]);
}

#[test]
fn an_event_that_is_not_acknowledged_is_the_first_on_the_next_connection() {
    let mut pair = Pair::connected(|builder| builder.retries(1).ack_timeout(SECOND));
    pair.emit("a");
    assert_eq!(pair.sent(), [r#"20["a"]"#]);
    pair.loses();
    pair.emit("b");
    // Nothing is counted while there is no connection.
    reconnect(&mut pair);
    assert_eq!(pair.sent(), [r#"20["a"]"#]);
    pair.server_sends("30[]");
    assert_eq!(pair.sent(), [r#"21["b"]"#]);
}

#[test]
fn disconnect_ends_when_everything_has_left() {
    let mut pair = Pair::connected(|builder| builder);
    let other = pair.socket.of("/other");
    drop(pair.connect_socket(&other));
    pair.server_sends(r#"0/other,{"sid":"x"}"#);
    pair.sent();
    pair.set_stuck(true);
    pair.emit("last");
    let call = pair.disconnect();
    assert_eq!(pair.sent(), [r#"2["last"]"#, "1"]);
    assert!(outcome(call).is_none(), "the server takes nothing");
    pair.set_stuck(false);
    drop(pair.connect());
    let call = pair.disconnect();
    assert_eq!(outcome(call), Some(true));
}

#[test]
fn disconnect_says_if_something_has_not_left() {
    let mut pair = Pair::connected(|builder| builder);
    pair.set_stuck(true);
    pair.emit("last");
    let call = pair.disconnect();
    pair.loses();
    assert_eq!(outcome(call), Some(false));

    let mut pair = Pair::connected(|builder| builder);
    pair.loses();
    pair.emit("kept for another connection");
    let call = pair.disconnect();
    assert_eq!(outcome(call), Some(false));
}
