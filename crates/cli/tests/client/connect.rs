//! `kokanee connect` without a terminal: lines in, lines out.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Output, Stdio},
    thread,
};

use kokanee_websocket::accept_key;

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
        "unknown command /dance",
        "at the end",
        "no event is waiting for ack 7",
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

/// What is worth a line of the order: kind, name, and number of the answer.
fn order(records: &[Value]) -> Vec<String> {
    let line = |record: &Value| {
        let event = record["event"].as_str().expect("a kind");
        match (record["name"].as_str(), record["ack"].as_u64()) {
            (Some(name), Some(number)) => format!("{event} {name} {number}"),
            (Some(name), None) => format!("{event} {name}"),
            _ => event.to_owned(),
        }
    };
    records.iter().map(line).collect()
}

#[test]
fn what_waits_for_a_connection_is_sent_after_it() {
    let server = Server::start(&[]);
    let url = server.url("");
    let args = [
        &*url,
        "--transports",
        "websocket",
        "--mute",
        "welcome",
        "--mute",
        "clock",
    ];
    let records = records(&args, "/disconnect\n?echo 1\n/reconnect\n");
    assert_eq!(
        order(&records)[..5],
        [
            "connect",
            "disconnect",
            "connect",
            "send echo 1",
            "answer echo 1"
        ],
        "{records:?}"
    );
}

/// Writes a WebSocket frame as servers do.
fn frame(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).expect("short");
    assert!(length < 126);
    [&[0x81, length], text.as_bytes()].concat()
}

/// Reads the next text of a client.
fn read_text(stream: &mut TcpStream) -> String {
    let mut head = [0; 6];
    stream.read_exact(&mut head).expect("a frame");
    let mut text = vec![0; usize::from(head[1] & 0x7f)];
    stream.read_exact(&mut text).expect("a frame");
    for (at, byte) in text.iter_mut().enumerate() {
        *byte ^= head[2 + at % 4];
    }
    String::from_utf8(text).expect("text")
}

/// A server of one client, which answers after two events that ask for it. `answers` is what it then sends with one write.
fn serve_once(answers: Vec<u8>) -> (String, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a request");
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("text");
        let fields = head.lines().filter_map(|line| line.split_once(": "));
        let mut keys = fields.filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
        let (_, key) = keys.next().expect("a key");
        let mut start = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            accept_key(key.as_bytes())
        )
        .into_bytes();
        let open = r#"0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":9999}"#;
        start.extend(frame(open));
        stream.write_all(&start).expect("it reads");
        assert_eq!(read_text(&mut stream), "40");
        stream
            .write_all(&frame(r#"40{"sid":"x"}"#))
            .expect("it reads");
        assert_eq!(read_text(&mut stream), r#"420["q"]"#);
        assert_eq!(read_text(&mut stream), r#"421["q"]"#);
        stream.write_all(&answers).expect("it reads");
        // Until it has gone.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    (url, serving)
}

#[test]
fn records_have_the_order_of_the_wire() {
    const MANY: usize = 3000;
    let event = |n: usize| frame(&format!(r#"42["e{n}"]"#));
    let mut sent = [event(0), frame("431[]"), event(1), frame("430[]")].concat();
    sent.extend((2..MANY).flat_map(event));
    let (url, serving) = serve_once(sent);
    let args = [&*url, "--transports", "websocket", "--wait", "5s"];
    // It ends by a number of events, not by time.
    let mut child = kokanee(&[&["connect", "--json"], &args[..]].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(b"?q\n?q\n").expect("written");
    let stdout = std::io::BufReader::new(child.stdout.take().expect("a pipe"));
    let lines = std::io::BufRead::lines(stdout).take(5 + MANY);
    let records: Vec<_> = lines
        .map(|line| serde_json::from_str(&line.expect("a line")).expect("JSON"))
        .collect();
    let mut expected = vec![
        "connect",
        "send q 1",
        "send q 2",
        "receive e0",
        "answer q 2",
    ];
    expected.extend(["receive e1", "answer q 1"]);
    let rest: Vec<_> = (2..MANY).map(|n| format!("receive e{n}")).collect();
    expected.extend(rest.iter().map(String::as_str));
    assert_eq!(order(&records), expected);
    stdin.write_all(b"/quit\n").expect("written");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    serving.join().expect("served");
}

#[test]
fn events_are_printed_for_a_while_after_the_input() {
    let server = Server::start(&[]);
    let output = session(&[&server.url(""), "--mute", "welcome"], "echo hi\n");
    assert!(
        stdout(&output).contains("←  /         echo \"hi\""),
        "{output:?}"
    );
}

#[test]
fn muted_events_are_not_shown() {
    let server = Server::start(&[]);
    let received = |args: &[&str], lines: &str| -> Vec<String> {
        let url = server.url("");
        let args = [&[&*url], args].concat();
        let records = records(&args, &format!("{lines}?rooms\n"));
        // What was sent before an answer comes before it.
        let received = of(&records, "receive").into_iter();
        let names = received.map(|record| record["name"].as_str().expect("a name").to_owned());
        names.filter(|name| name != "clock").collect()
    };
    assert_eq!(received(&[], "echo 1\n"), ["welcome", "echo"]);
    assert_eq!(received(&["--mute", "echo"], "echo 1\n"), ["welcome"]);
    let muted = ["--mute", "welcome", "--mute", "chat message"];
    assert_eq!(
        received(&muted, "\"chat message\" 1\n/mute echo\necho 1\n"),
        [""; 0]
    );
    let typed = "/mute echo \"chat message\"\n/unmute echo\necho 1\n\"chat message\" 1\n";
    assert_eq!(received(&[], typed), ["welcome", "echo"]);
    let output = session(
        &[&server.url("")],
        "/mute echo\n/mute x\n/unmute y\n/unmute\n",
    );
    let told = stderr(&output);
    for part in [
        "muted: echo\n",
        "muted: echo  x\n",
        "y was not muted",
        "no events are muted",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}
