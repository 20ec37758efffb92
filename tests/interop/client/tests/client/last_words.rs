//! What is sent right before the end reaches its handler: with every server, over every transport, with every face of the
//! client. JavaScript servers drop an event if the goodbye is read in the same turn, servers with a thread or greenlet for
//! each event if that starts later.

use std::{process::Stdio, time::Duration};

use kokanee_client::{ParserKind, Revision, SimpleClient, blocking};
use kokanee_client_interop::{Kind, KokaneeServer, Program, within};
use tokio::{io::AsyncWriteExt, process::Command, time::sleep};

use crate::support::{Server, Way, call, revision, values};

/// How often each is tried.
const ROUNDS: u64 = 16;
const WAYS: [Way; 3] = [Way::Polling, Way::WebSocket, Way::Upgrade];

/// Sends `note` with a key, and ends.
#[derive(Debug, Clone, Copy)]
enum Face {
    Client,
    Dropped,
    Simple,
    Blocking,
    Emit,
    Connect,
}

const FACES: [Face; 6] = [
    Face::Client,
    Face::Dropped,
    Face::Simple,
    Face::Blocking,
    Face::Emit,
    Face::Connect,
];

impl Face {
    /// Notes the key, three times with the faces that have several lines.
    async fn note(self, server: &Server, way: Way, key: &str) -> u64 {
        let client = server.client(way, "/");
        match self {
            Self::Client => {
                let socket = within("connected", client.connect()).await.unwrap();
                for _ in 0..3 {
                    socket.emit("note", key).await.unwrap();
                }
                within("the end", socket.disconnect()).await.unwrap();
                3
            }
            Self::Dropped => {
                let socket = within("connected", client.connect()).await.unwrap();
                socket.emit("note", key).await.unwrap();
                1
            }
            Self::Simple => {
                let client = within("connected", SimpleClient::with(client)).await;
                let client = client.unwrap();
                client.emit("note", key).await.unwrap();
                within("the end", client.disconnect()).await.unwrap();
                1
            }
            Self::Blocking => {
                let key = key.to_owned();
                let client = blocking::Client::builder(&server.url("/"));
                let client = server.configure(way, client);
                let note = move || {
                    let socket = client.connect().unwrap();
                    socket.emit("note", key).unwrap();
                    socket.disconnect().unwrap();
                };
                within("the end", tokio::task::spawn_blocking(note))
                    .await
                    .unwrap();
                1
            }
            Self::Emit => {
                run("emit", server, way, &["note", &format!("{key:?}")], "").await;
                1
            }
            Self::Connect => {
                let line = format!("note {key:?}\n");
                run("connect", server, way, &[], &line.repeat(3)).await;
                3
            }
        }
    }
}

/// Runs the program with these arguments and lines.
async fn run(command: &str, server: &Server, way: Way, args: &[&str], input: &str) {
    let program = std::env::current_exe().unwrap();
    let program = program.ancestors().nth(2).unwrap().join("kokanee");
    let transports = match way {
        Way::Polling => "polling",
        Way::WebSocket => "websocket",
        Way::Upgrade => "polling,websocket",
    };
    let revision = if server.revision.is_v3() { "3" } else { "4" };
    let url = format!("http://127.0.0.1:{}", server.port);
    let mut child = Command::new(&program)
        .args([command, &url])
        .args(args)
        .args(["--transports", transports, "--revision", revision])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    let status = within("the end", child.wait()).await.unwrap();
    assert!(status.success(), "{command}: {status}");
}

async fn are_handled(server: &Server) {
    for way in WAYS {
        for face in FACES {
            let key = format!("{face:?} {way:?}");
            let mut noted = 0;
            for _ in 0..ROUNDS {
                noted += face.note(server, way, &key).await;
            }
            // They are in the handlers' hands, which may take a moment.
            let socket = server.connect(way).await;
            let is_noted = async {
                while call(&socket, "noted", values(serde_json::json!([key]))).await
                    != values(serde_json::json!([noted]))
                {
                    sleep(Duration::from_millis(10)).await;
                }
            };
            within(&key, is_noted).await;
            socket.disconnect().await.unwrap();
        }
    }
}

/// Leaving one namespace of several leaves a gap, too.
async fn are_handled_before_one_namespace_is_left(server: &Server) {
    for way in WAYS {
        let socket = server.connect(way).await;
        let chat = socket.of("/chat");
        let key = format!("chat {way:?}");
        for _ in 0..ROUNDS {
            within("the other namespace", chat.connect()).await.unwrap();
            chat.emit("note", &key).await.unwrap();
            within("the end", chat.disconnect()).await.unwrap();
        }
        let is_noted = async {
            while call(&socket, "noted", values(serde_json::json!([key]))).await
                != values(serde_json::json!([ROUNDS]))
            {
                sleep(Duration::from_millis(10)).await;
            }
        };
        within(&key, is_noted).await;
        socket.disconnect().await.unwrap();
    }
}

async fn with_program(kind: Kind, options: &[&str]) {
    let program = Program::start(kind, options, 0).await;
    let server = Server {
        port: program.port(),
        revision: revision(kind),
        parser: ParserKind::Default,
    };
    are_handled(&server).await;
    if kind != Kind::Socketioxide {
        are_handled_before_one_namespace_is_left(&server).await;
    }
    program.stop().await;
}

#[tokio::test]
#[ignore = "needs Node and its packages"]
async fn socket_io_4_handles_the_last_words() {
    with_program(Kind::SocketIo4, &[]).await;
}

#[tokio::test]
#[ignore = "needs Node and its packages"]
async fn socket_io_3_handles_the_last_words() {
    with_program(Kind::SocketIo3, &[]).await;
}

#[tokio::test]
#[ignore = "needs Node and its packages"]
async fn socket_io_2_handles_the_last_words() {
    with_program(Kind::SocketIo2, &[]).await;
}

#[tokio::test]
#[ignore = "needs Python and its packages"]
async fn python_handles_the_last_words() {
    with_program(Kind::Python, &[]).await;
}

#[tokio::test]
#[ignore = "needs Python and its packages"]
async fn flask_on_gevent_handles_the_last_words() {
    with_program(Kind::Flask, &[]).await;
}

#[tokio::test]
#[ignore = "needs Python and its packages"]
async fn flask_on_threads_handles_the_last_words() {
    with_program(Kind::Flask, &["--threads"]).await;
}

#[tokio::test]
#[ignore = "needs the benchmark's peers"]
async fn socketioxide_handles_the_last_words() {
    with_program(Kind::Socketioxide, &[]).await;
}

#[tokio::test]
#[ignore = "needs the program"]
async fn kokanee_handles_the_last_words() {
    let kokanee = KokaneeServer::start(kokanee_server::Server::builder(), 0).await;
    are_handled(&Server {
        port: kokanee.port(),
        revision: Revision::V4,
        parser: ParserKind::Default,
    })
    .await;
    kokanee.stop().await;
}
