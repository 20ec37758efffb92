//! The examples that end by themselves do what they say.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

#[test]
fn typed_events_are_shared_by_server_and_client() {
    let run = Command::new(env!("CARGO_BIN_EXE_typed")).output();
    let run = run.expect("it starts");
    assert_eq!(
        String::from_utf8_lossy(&run.stdout),
        "kokanee: HELLO\n20 + 22 = 42\n200 + 200: too large\n"
    );
    assert!(run.status.success());
}

#[test]
fn the_client_talks_to_a_server() {
    // The benchmark's server takes any port; it does not know `sum`, and then no answer comes in time.
    let mut server = Command::new(env!("CARGO_BIN_EXE_kokanee-bench-server"))
        .env("PORT", "0")
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut url = String::new();
    let mut output = BufReader::new(server.stdout.take().expect("it is piped"));
    output.read_line(&mut url).expect("its address");
    let client = Command::new(env!("CARGO_BIN_EXE_client"))
        .arg(url.trim())
        .output();
    server.kill().expect("it runs");
    server.wait().expect("it has ended");
    let client = client.expect("it starts");
    let said = String::from_utf8_lossy(&client.stdout);
    assert!(said.starts_with("connected as "), "{said}");
    let error = String::from_utf8_lossy(&client.stderr);
    assert!(error.contains("Timeout"), "{error}");
}
