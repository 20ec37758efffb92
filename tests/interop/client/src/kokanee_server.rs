//! The server of this project, in the process of the test, with the events that `servers/events.mjs` lists.

use std::{sync::Mutex, time::Duration};

use kokanee_server::{
    Ack, AckError, Args, Auth, ConnectError, Data, EmitError, Extension, Namespace, Server,
    ServerBuilder, Socket, Value,
};
use serde_json::json;
use tokio::{task::JoinHandle, time::sleep};

use crate::within;

const TOKEN: &str = "kokanee";
/// The keys that clients have noted.
static NOTES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A server of this project on a free port.
#[derive(Debug)]
pub struct KokaneeServer {
    server: Server,
    serving: JoinHandle<()>,
    port: u16,
}

impl KokaneeServer {
    /// Starts a server with these settings on this port; 0 is any free one.
    ///
    /// # Panics
    /// The port is taken.
    pub async fn start(builder: ServerBuilder, port: u16) -> Self {
        let server = builder.build();
        for namespace in ["/", "/chat", "/private"] {
            register(&server.of(namespace));
        }
        server.of("/private").middleware(authorize);
        let listener = server.bind(&format!("127.0.0.1:{port}")).await;
        let listener = listener.expect("a free port");
        let port = listener.local_addr().port();
        let serving = tokio::spawn(listener.serve());
        Self {
            server,
            serving,
            port,
        }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address for a client, with a namespace: `/` or another.
    pub fn url(&self, namespace: &str) -> String {
        format!("http://127.0.0.1:{}{namespace}", self.port)
    }

    /// The server itself.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Ends the server in good order.
    ///
    /// # Panics
    /// It does not end.
    pub async fn stop(self) {
        let _ = self.server.close(Duration::from_secs(5)).await;
        within("the listener ends", self.serving)
            .await
            .expect("no panic");
    }
}

/// The numbers that one client has sent.
#[derive(Debug, Default)]
struct Numbers(Mutex<(u64, Option<String>)>);

fn register(namespace: &Namespace) {
    namespace.on_connect(async |socket: Socket| {
        socket.insert(Numbers::default());
    });
    namespace.on("echo", async |args: Args, ack: Ack| ack.send_args(&args));
    namespace.on("say", async |socket: Socket, args: Args| {
        socket.emit_args("said", &args).await
    });
    namespace.on("call me", call_me);
    namespace.on("burst", burst);
    namespace.on(
        "number",
        async |Data(number): Data<u64>, Extension(numbers): Extension<Numbers>| {
            let mut numbers = numbers.0.lock().expect("no panic");
            if number != numbers.0 {
                let error = format!("{number} instead of {}", numbers.0);
                numbers.1.get_or_insert(error);
            }
            numbers.0 = number + 1;
        },
    );
    namespace.on(
        "report",
        async |Extension(numbers): Extension<Numbers>, ack: Ack| {
            let report = {
                let (received, error) = &*numbers.0.lock().expect("no panic");
                json!({ "received": received, "error": error })
            };
            ack.send(report)
        },
    );
    namespace.on("ticks", ticks);
    namespace.on("note", async |Data(key): Data<String>| {
        NOTES.lock().expect("no panic").push(key);
    });
    namespace.on("noted", async |Data(key): Data<String>, ack: Ack| {
        let count = {
            let notes = NOTES.lock().expect("no panic");
            notes.iter().filter(|other| **other == key).count()
        };
        ack.send(count)
    });
    namespace.on("transport", async |socket: Socket, ack: Ack| {
        ack.send(socket.transport().as_str())
    });
    namespace.on(
        "handshake",
        async |socket: Socket, Auth(auth): Auth<serde_json::Value>, ack: Ack| {
            let handshake = socket.handshake();
            let headers = handshake.headers();
            let headers: serde_json::Map<_, _> = headers
                .iter()
                .map(|(name, value)| {
                    let value = String::from_utf8_lossy(value.as_bytes());
                    (name.as_str().to_owned(), value.into())
                })
                .collect();
            let query: serde_json::Map<_, _> = handshake
                .query_pairs()
                .into_iter()
                .map(|(name, value)| (name, value.into()))
                .collect();
            ack.send(json!({ "auth": auth, "query": query, "headers": headers }))
        },
    );
    namespace.on(
        "disconnect me",
        async |socket: Socket, Data(close): Data<Option<bool>>| {
            if close == Some(true) {
                socket.close_connection();
            } else {
                socket.disconnect();
            }
        },
    );
}

async fn call_me(socket: Socket, args: Args) -> Result<(), AckError> {
    let mut values = args.to_values()?;
    let Value::String(name) = values.remove(0) else {
        return Ok(());
    };
    let args = Args::from_values(values).map_err(EmitError::from)?;
    let answer = socket
        .emit_args_with_ack::<Vec<Value>>(&name, &args)
        .args()
        .await?;
    Ok(socket.emit_args("answered", &answer).await?)
}

async fn burst(socket: Socket, Data(count): Data<u64>, ack: Ack) -> Result<(), EmitError> {
    for number in 0..count {
        socket.emit("number", number).await?;
    }
    ack.send(())
}

async fn ticks(
    socket: Socket,
    Data((count, ms)): Data<(u64, u64)>,
    ack: Ack,
) -> Result<(), EmitError> {
    ack.send(())?;
    tokio::spawn(async move {
        for tick in 0..count {
            sleep(Duration::from_millis(ms)).await;
            if socket.emit("tick", tick).await.is_err() {
                return;
            }
        }
    });
    Ok(())
}

async fn authorize(Auth(auth): Auth<serde_json::Value>) -> Result<(), ConnectError> {
    if auth["token"] == TOKEN {
        return Ok(());
    }
    let data = json!({ "code": 401, "hint": "say the token" });
    Err(ConnectError::new("not authorized").data(data))
}
