//! `kokanee inspect` as a program: what it prints, where it points, and its exit codes.

use std::{
    io::{Read, Write},
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

/// Runs the command with this standard input.
fn inspect(args: &[&str], input: &[u8]) -> Output {
    let mut child = command(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    // The program may end without having read it.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kokanee"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("KOKANEE_") {
            command.env_remove(name);
        }
    }
    command.arg("inspect").args(args);
    command
}

fn text(output: &Output) -> &str {
    str::from_utf8(&output.stdout).expect("text")
}

/// The objects of `--json`.
fn records(args: &[&str], input: &[u8]) -> (Vec<Value>, Option<i32>) {
    let output = inspect(&[args, &["--json"]].concat(), input);
    let lines = text(&output).lines();
    let records = lines.map(|line| serde_json::from_str(line).expect("JSON"));
    (records.collect(), output.status.code())
}

#[test]
fn a_packet_is_shown_with_its_parts() {
    let output = inspect(&[r#"42/chat,7["hello",{"a":1}]"#], b"");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        text(&output),
        "Read as a payload of revision 4: 26 bytes, 1 part.\n     \
         0    message › event hello  namespace /chat, ack id 7  {\"a\": 1}\n"
    );
}

#[test]
fn a_fault_has_a_pointer_and_an_exit_code() {
    let output = inspect(&[r#"42["a",{"b":tru}]"#], b"");
    assert_eq!(output.status.code(), Some(5));
    assert_eq!(
        text(&output),
        "Read as a payload of revision 4: 17 bytes, 1 part.\n     0    message\n          \
         error at byte 15: expected true, false or null\n            \
         42[\"a\",{\"b\":tru}]\n                           ^\n"
    );
}

#[test]
fn every_layer_of_a_frame_is_in_its_record() {
    let (records, code) = records(&["81 8a 37 fa 21 3d 03 c8 7a 1f 56 d8 0d 0c 07 a7"], b"");
    assert_eq!(code, Some(0));
    assert_eq!(
        records,
        [json!({
            "direction": "sent", "offset": 0, "length": 16,
            "frame": {"opcode": "text", "fin": true, "compressed": false, "mask": "37fa213d", "payload": 10},
            "packet": {"type": "message", "revision": 4},
            "message": {"type": "event", "namespace": "/", "event": "a", "args": [10]},
        })]
    );
}

#[test]
fn lines_are_decoded_one_by_one_with_their_attachments() {
    let capture = b"> 40\n< 40{\"sid\":\"x\"}\n\n# a comment\n> 451-[\"up\",{\"_placeholder\":true,\"num\":0}]\n> bAQID\n\"42[\\\"b\\\"]\"\n";
    let (records, code) = records(&["-"], capture);
    assert_eq!(code, Some(0));
    let kinds: Vec<_> = records
        .iter()
        .map(|record| (record["line"].as_u64(), record["message"]["type"].as_str()))
        .collect();
    assert_eq!(
        kinds,
        [
            (Some(1), Some("connect")),
            (Some(2), Some("connect")),
            (Some(5), Some("binary_event")),
            (Some(6), Some("attachment")),
            (Some(7), Some("event")),
        ]
    );
    assert_eq!(records[3]["packet"]["base64"], "AQID");
}

#[test]
fn a_fault_in_one_line_does_not_hide_the_others() {
    let (records, code) = records(&["-"], b"42[\"a\"]\n42[\"b\"\n42[\"c\"]");
    assert_eq!(code, Some(5));
    assert_eq!(records.len(), 3);
    assert_eq!(records[1]["fault"]["offset"], 6);
    assert_eq!(records[2]["message"]["event"], "c");
}

#[test]
fn revision_3_is_recognised_and_can_be_said() {
    let (records, _) = records(&["2:407:42[\"é\"]"], b"");
    assert_eq!(
        records[1]["packet"],
        json!({"type": "message", "revision": 3})
    );
    let mut body = vec![1, 4, 0xff, 4, 1, 2, 3];
    body.extend_from_slice(&[0, 2, 0xff]);
    body.extend_from_slice(b"40");
    let file = format!("{}/body.bin", env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(&file, &body).expect("a file");
    let output = inspect(&[&format!("@{file}"), "--engine-io", "--json"], b"");
    let first = text(&output).lines().next().expect("a line");
    let first: Value = serde_json::from_str(first).expect("JSON");
    assert_eq!(
        first["packet"],
        json!({"type": "message", "revision": 3, "base64": "AQID"})
    );
    let output = inspect(
        &[&format!("@{file}"), "--as", "payload", "--revision", "4"],
        b"",
    );
    assert!(
        text(&output).contains("binary bodies do not exist in revision 4"),
        "{}",
        text(&output)
    );
}

#[test]
fn msgpack_is_read() {
    let packet = "84 a4 74797065 02 a3 6e7370 a1 2f a4 64617461 92 a1 61 c4 02 01 02 a2 6964 05";
    let (records, code) = records(&[packet], b"");
    assert_eq!(code, Some(0));
    assert_eq!(
        records[0]["message"],
        json!({"type": "event", "namespace": "/", "ack": 5, "event": "a", "args": [{"_binary": "AQI="}]})
    );
}

#[test]
fn captured_text_cannot_act_on_the_terminal() {
    let evil = "42[\"\u{9b}2J\",\"\u{202e}\u{7f}\"]\n44\u{1b}[31m\n< 2\u{1b}]0;x\u{7}";
    for args in [&["-"][..], &["-", "--json"]] {
        let output = inspect(args, evil.as_bytes());
        let is_bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text(&output).contains(is_bad), "{:?}", text(&output));
    }
}

#[test]
fn colours_are_used_when_asked_for_only() {
    assert!(!text(&inspect(&["40"], b"")).contains('\u{1b}'));
    assert!(text(&inspect(&["40", "--color", "always"], b"")).contains("\u{1b}["));
}

#[test]
fn wrong_usage_and_unreadable_input_have_their_codes() {
    let output = inspect(&["@/no/such/file"], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot read /no/such/file"));
    assert_eq!(inspect(&["-"], b"\n").status.code(), Some(1));
    assert_eq!(
        inspect(&["40", "--revision", "5"], b"").status.code(),
        Some(2)
    );
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let capture = "42[\"a\",1]\n".repeat(200_000);
    let file = format!("{}/many.txt", env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(&file, capture).expect("a file");
    let mut child = command(&[&format!("@{file}")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut first = [0; 10];
    let mut stdout = child.stdout.take().expect("a pipe");
    stdout.read_exact(&mut first).expect("some output");
    drop(stdout);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn nothing_is_lost_on_the_way_to_a_slow_reader() {
    let capture = "42[\"a\",1]\n".repeat(20_000);
    let output = inspect(&["-", "--json"], capture.as_bytes());
    assert_eq!(text(&output).lines().count(), 20_000);
}
