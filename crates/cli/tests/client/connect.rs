//! `kokanee connect` without a terminal: lines in, lines out.

use std::{
    io::Write,
    process::{Output, Stdio},
};

use serde_json::Value;

use crate::{
    process::{Server, kokanee},
    run, stderr, stdout,
};

/// Runs a session with these lines as its input.
fn session(args: &[&str], lines: &str) -> Output {
    let mut child = kokanee(&[&["connect"], args].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(lines.as_bytes()).expect("written");
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

/// What a session prints as JSON.
fn records(args: &[&str], lines: &str) -> Vec<Value> {
    let output = session(&[args, &["--json"]].concat(), lines);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let lines = stdout(&output).lines();
    lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// The records of one kind.
fn of<'a>(records: &'a [Value], event: &str) -> Vec<&'a Value> {
    records
        .iter()
        .filter(|record| record["event"] == event)
        .collect()
}

#[test]
fn more_lines_than_fit_arrive_all_and_in_order() {
    const LINES: usize = 400;
    let server = Server::start(&[]);
    let padding = "x".repeat(20_000);
    let line = |n| format!("broadcast n {n} \"{padding}\"\n");
    let lines: Vec<_> = (0..LINES).map(line).collect();
    let output = session(&[&server.url(""), "--json"], &lines.concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for n in 0..LINES {
        let record = server.record_of("receive");
        let args = record["args_cut"].as_str().expect("a long argument");
        assert!(args.starts_with(&format!("\"n\", {n}, ")), "{args}");
    }
}

#[test]
fn answers_come_in_order_and_the_session_waits_for_them() {
    let server = Server::start(&[]);
    let records = records(
        &[&server.url("")],
        "?echo 1 {\"a\":2}\n?sleep 50\n?echo done\n",
    );
    let answers: Vec<_> = of(&records, "answer")
        .iter()
        .map(|record| record["args"].to_string())
        .collect();
    assert_eq!(answers, [r#"[1,{"a":2}]"#, r#"["slept"]"#, r#"["done"]"#]);
    let sent: Vec<_> = of(&records, "send")
        .iter()
        .map(|record| record["ack"].as_u64())
        .collect();
    assert_eq!(sent, [Some(1), Some(2), Some(3)]);
}

#[test]
fn lines_for_people_have_direction_and_namespace() {
    let server = Server::start(&[]);
    let output = session(&[&server.url("")], "?echo hi\n");
    let text = stdout(&output);
    assert!(text.contains("  +  /         connected by "), "{text}");
    assert!(
        text.contains("  →  /         echo \"hi\"  (ack 1)"),
        "{text}"
    );
    assert!(
        text.contains("  ←  /         ack 1 of echo after "),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn rooms_and_namespaces_are_joined() {
    let server = Server::start(&[]);
    let records = records(
        &[&server.url(""), "--auth", r#"{"token":"kokanee"}"#],
        "/join lobby\n/rooms\n/leave lobby\n/ns private\n?whoami\n",
    );
    let answers: Vec<_> = of(&records, "answer")
        .iter()
        .map(|record| format!("{} {}", record["namespace"], record["args"]))
        .collect();
    assert_eq!(
        answers,
        [
            r#""/" [["lobby"]]"#,
            r#""/" [["lobby"]]"#,
            r#""/" [[]]"#,
            r#""/private" [{"token":"kokanee"}]"#,
        ]
    );
}

#[test]
fn what_cannot_be_understood_is_said_and_skipped() {
    let server = Server::start(&[]);
    let output = session(&[&server.url("")], "/dance\necho {\n/ack 7\n?echo 1\n");
    assert_eq!(output.status.code(), Some(0));
    let told = stderr(&output);
    for part in [
        "no command /dance",
        "at the end",
        "no event waits for the answer 7",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(stdout(&output).contains("ack 1 of echo"));
}

#[test]
fn a_failure_of_the_first_connection_ends_it() {
    let server = Server::start(&[]);
    let output = run(&["connect", &server.url("/private")]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("not authorized"));
}

#[test]
fn quit_leaves_at_once() {
    let server = Server::start(&[]);
    let output = session(&[&server.url("")], "/quit\n?sleep 10000\n");
    assert_eq!(output.status.code(), Some(0));
    assert!(!stdout(&output).contains("sleep"));
}
