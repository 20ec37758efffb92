//! Servers that are programs of other languages: `servers/`.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    process::{Child, ChildStdin, Command},
};

use crate::within;

/// The interpreter with the packages of requirements.txt.
const PYTHON: &str = "../.venv/bin/python";
/// What `cargo xtask interop` builds of the benchmark's peers.
const SOCKETIOXIDE: &str = "../../../bench/peers/target/debug/socketioxide-interop";

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// socket.io 4, on Node.
    SocketIo4,
    /// socket.io 3, on Node.
    SocketIo3,
    /// socket.io 2, on Node: revision 3 of Engine.IO.
    SocketIo2,
    /// python-socketio, on uvicorn.
    Python,
    /// Flask-SocketIO, on gevent, or on threads with the option `--threads`.
    Flask,
    /// socketioxide, on axum.
    Socketioxide,
    /// Python's server of files: no Socket.IO at all.
    Files,
}

impl Kind {
    /// The command that starts it.
    fn command(self, here: &Path) -> Command {
        let (interpreter, file) = match self {
            Self::SocketIo4 => ("node", "socket-io-4.mjs"),
            Self::SocketIo3 => ("node", "socket-io-3.mjs"),
            Self::SocketIo2 => ("node", "socket-io-2.mjs"),
            Self::Python => (PYTHON, "server.py"),
            Self::Flask => (PYTHON, "flask_server.py"),
            Self::Files => (PYTHON, "files.py"),
            Self::Socketioxide => return Command::new(here.join(SOCKETIOXIDE)),
        };
        let interpreter = match interpreter {
            PYTHON => here.join(PYTHON),
            other => PathBuf::from(other),
        };
        let mut command = Command::new(interpreter);
        command.arg(here.join("servers").join(file));
        command
    }
}

/// A server in a process of its own. It ends with this value.
#[derive(Debug)]
pub struct Program {
    child: Child,
    /// The server ends when this is closed.
    input: Option<ChildStdin>,
    port: u16,
}

impl Program {
    /// Starts a server with these options on this port; 0 is any free one.
    ///
    /// # Panics
    /// It does not start.
    pub async fn start(kind: Kind, options: &[&str], port: u16) -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut child = kind
            .command(here)
            .args(options)
            .args(["--port", &port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {kind:?}: {error}"));
        let input = child.stdin.take();
        let output = child.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(output).lines();
        let port = within("the server listens", async {
            loop {
                match lines.next_line().await {
                    Ok(Some(line)) => {
                        if let Some(port) = line.strip_prefix("listening ") {
                            return port.parse().expect("a port");
                        }
                    }
                    end => panic!("{kind:?} has ended: {end:?}"),
                }
            }
        })
        .await;
        // Keeps the pipe from filling up, and from breaking.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { child, input, port }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address for a client, with a namespace: `/` or another.
    pub fn url(&self, namespace: &str) -> String {
        format!("http://127.0.0.1:{}{namespace}", self.port)
    }

    /// Ends the server in good order.
    ///
    /// # Panics
    /// It does not end.
    pub async fn stop(mut self) {
        self.input = None;
        within("the server ends", self.child.wait())
            .await
            .expect("it is running");
    }

    /// Ends the server without a chance to say goodbye.
    ///
    /// # Panics
    /// It cannot be ended.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it is running");
    }
}

/// A port of the loopback interface that nobody listens on, for a server that is restarted.
///
/// # Panics
/// The system has none.
pub async fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await;
    let address = listener.and_then(|listener| listener.local_addr());
    address.expect("a free port").port()
}
