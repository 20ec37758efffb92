//! Runs the examples, and checks that they do what their comments say.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use kokanee::{
    Client, Transport,
    client::{ConnectFailure, Socket},
};

/// Longest wait for anything that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// An example that runs until the test is over.
struct Example {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Example {
    /// Starts it in a directory, on any port. Returns the URL that it prints, too.
    fn start(program: &str, directory: &Path) -> (Self, String) {
        let mut child = Command::new(program)
            .env("PORT", "0")
            .current_dir(directory)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut example = Self { child, output };
        let line = example.line();
        let url = line.find("http://").map(|at| line[at..].to_owned());
        (example, url.unwrap_or_else(|| panic!("no URL in {line:?}")))
    }

    /// The next line of its output.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("text");
        line.trim_end().to_owned()
    }

    /// Sends SIGINT, and waits until it has ended. Returns how long that took.
    fn interrupt(&mut self) -> Duration {
        let start = Instant::now();
        let pid = self.child.id().to_string();
        let killed = Command::new("kill").args(["-INT", &pid]).status();
        assert!(killed.expect("kill is there").success());
        while self.child.try_wait().expect("a child").is_none() {
            assert!(start.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
        start.elapsed()
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A temporary directory, removed on drop.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let path = std::env::temp_dir().join(format!("kokanee-{name}-{}", std::process::id()));
        for (file, content) in files {
            let file = path.join(file);
            std::fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
            std::fs::write(file, content).expect("a file");
        }
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // A failure leaves it in the temporary directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Sends one HTTP request and returns the whole answer.
fn request(url: &str, head: &str, body: &str) -> String {
    let address = url.strip_prefix("http://").expect("a URL");
    let mut stream = TcpStream::connect(address).expect("it listens");
    let length = body.len();
    write!(
        stream,
        "{head} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: text/plain\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

async fn within<F: Future>(what: &str, future: F) -> F::Output {
    let done = tokio::time::timeout(PATIENCE, future).await;
    done.unwrap_or_else(|_| panic!("nothing within {PATIENCE:?}: {what}"))
}

/// The server of JavaScript's "get started", <https://socket.io/docs/v4/tutorial/step-5>.
const JAVASCRIPT: &str = r"
import express from 'express';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { dirname, join } from 'node:path';
import { Server } from 'socket.io';

const app = express();
const server = createServer(app);
const io = new Server(server);

const __dirname = dirname(fileURLToPath(import.meta.url));

app.get('/', (req, res) => {
  res.sendFile(join(__dirname, 'index.html'));
});

io.on('connection', (socket) => {
  socket.on('chat message', (msg) => {
    io.emit('chat message', msg);
  });
});

server.listen(3000, () => {
  console.log('server running at http://localhost:3000');
});
";

#[test]
fn the_chat_of_get_started_is_no_longer_than_in_javascript() {
    let lines = |text: &str| {
        let is_code = |line: &&str| !line.trim().is_empty() && !line.starts_with("//!");
        text.lines().filter(is_code).count()
    };
    let (ours, theirs) = (
        lines(include_str!("../src/get_started.rs")),
        lines(JAVASCRIPT),
    );
    assert!(ours <= theirs, "{ours} lines, {theirs} in JavaScript");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chat_of_get_started_reaches_everybody() {
    let client = "/* the official client */";
    let directory = Directory::new(
        "get-started",
        &[
            ("index.html", "<!DOCTYPE html>the page"),
            ("node_modules/socket.io-client/dist/socket.io.js", client),
        ],
    );
    let (_example, url) = Example::start(env!("CARGO_BIN_EXE_get-started"), &directory.0);
    assert!(request(&url, "GET /", "").ends_with("<!DOCTYPE html>the page"));
    assert!(request(&url, "GET /socket.io/socket.io.js", "").ends_with(client));
    let one = within("a connection", Client::connect(&url))
        .await
        .expect("accepted");
    let two = within("a connection", Client::connect(&url))
        .await
        .expect("accepted");
    let mut events = [one.events(), two.events()];
    one.emit("chat message", "hello").await.expect("sent");
    for events in &mut events {
        let event = within("the message", events.next())
            .await
            .expect("an event");
        assert_eq!(event.name(), "chat message");
        assert_eq!(event.data::<String>().expect("text"), "hello");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_axum_logs_in_by_cookie_and_ends_at_once() {
    let directory = Directory::new("on-axum", &[("empty", "")]);
    let (mut example, url) = Example::start(env!("CARGO_BIN_EXE_on-axum"), &directory.0);
    assert!(request(&url, "GET /hello", "").ends_with("hello"));

    let refused = within("an answer", Client::connect(&url)).await;
    let Err(ConnectFailure::Refused { message, data, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(message, "log in first");
    assert_eq!(data.expect("data").to_string(), "\"/login\"");

    let connect = async |name: &str, from: &str, transport: Transport| -> Socket {
        let answer = request(&url, &format!("POST /login/{name}"), "");
        let (_, cookie) = answer.split_once("set-cookie: ").expect("a cookie");
        let (cookie, _) = cookie.split_once(';').expect("attributes");
        let client = Client::builder(&url)
            .header("cookie", cookie)
            .header("x-forwarded-for", from)
            .transports([transport]);
        within("a connection", client.connect())
            .await
            .expect("accepted")
    };
    let ada = connect("ada", "192.0.2.7", Transport::WebSocket).await;
    assert_eq!(example.line(), "ada from Some(192.0.2.7)");
    let mut seen = ada.events();
    // With a poll under way, for which axum alone would wait.
    let bob = connect("bob", "192.0.2.8", Transport::Polling).await;
    assert_eq!(example.line(), "bob from Some(192.0.2.8)");
    bob.emit("message", "hi").await.expect("sent");
    for expected in ["joined", "message"] {
        let event = loop {
            let event = within(expected, seen.next()).await.expect("an event");
            if event.name() != "history" {
                break event;
            }
        };
        assert_eq!(event.name(), expected);
    }
    assert!(request(&url, "POST /announce", "tea").ends_with("announced to 2\n"));
    let event = within("the announcement", seen.next())
        .await
        .expect("an event");
    assert_eq!(event.name(), "announcement");

    let took = example.interrupt();
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(example.line(), "all clients are gone");
}

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
    // The benchmark's server listens on any port. It does not know `sum`, so no answer comes in time.
    let server = env!("CARGO_BIN_EXE_kokanee-bench-server");
    let (_server, url) = Example::start(server, Path::new("."));
    let client = Command::new(env!("CARGO_BIN_EXE_client"))
        .arg(&url)
        .output();
    let client = client.expect("it starts");
    let said = String::from_utf8_lossy(&client.stdout);
    assert!(said.starts_with("connected as "), "{said}");
    let error = String::from_utf8_lossy(&client.stderr);
    assert!(error.contains("Timeout"), "{error}");
}
