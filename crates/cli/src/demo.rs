//! The demo server: the events of `docs/demo-events.md`. It is also an example of the library, except for the lines with
//! `log`, which print sent events.

use std::{
    panic,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use kokanee::{
    Args, Auth, ClientError, ConnectError, Data, EmitError, ExtractError, FromContext, Namespace,
    Server, Socket, SocketId, State, Value,
    bytes::Bytes,
    server::{
        JoinError,
        extract::{Context, OnEvent},
    },
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::log::{EventLog, Reply, To};

const SERVER: &str = concat!("Kokanee ", env!("CARGO_PKG_VERSION"));
const TOKEN: &str = "kokanee";
const CALL_ONE_TIMEOUT: Duration = Duration::from_secs(5);
const CALL_ALL_TIMEOUT: Duration = Duration::from_secs(2);
const LONGEST_SLEEP_MS: f64 = 10_000.0;

type Log = State<EventLog>;

/// Adds the handlers of both namespaces.
pub(crate) fn register(io: &Server) {
    io.on_connect(welcome)
        .on("echo", echo)
        .on("join", join)
        .on("leave", leave)
        .on("rooms", async |socket: Socket, reply: Reply| {
            reply.send(socket.rooms())
        })
        .on("room message", room_message)
        .on("chat message", chat_message)
        .on("binary", binary)
        .on("broadcast", broadcast)
        .on("call me", call_me)
        .on("call everybody", call_everybody)
        .on("who", who)
        .on("sleep", sleep_for)
        .on(
            "disconnect me",
            async |socket: Socket, Data(close): Data<Option<bool>>| {
                if close == Some(true) {
                    socket.close_connection();
                } else {
                    socket.disconnect();
                }
            },
        )
        .on("fail", fail);

    io.of("/private").middleware(authorize).on("echo", echo).on(
        "whoami",
        async |Auth(auth): Auth<serde_json::Value>, reply: Reply| reply.send(auth),
    );
}

/// Emits the time to all clients, once a second.
pub(crate) async fn run_clock(io: Server) {
    let start = Instant::now();
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let clock = Clock {
            time: now_ms(),
            clients: io.of("/").socket_count(),
            uptime: start.elapsed().as_secs(),
        };
        // It fails only if the arguments cannot be encoded, and three numbers always can.
        let _ = io.emit("clock", clock).await;
    }
}

fn now_ms() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

#[derive(Serialize)]
struct Clock {
    time: u64,
    clients: usize,
    uptime: u64,
}

/// The namespaces of raw peers. Part of the server's state.
#[derive(Debug)]
pub(crate) struct Bridges(pub(crate) Vec<&'static str>);

#[derive(Serialize)]
struct Welcome {
    id: SocketId,
    transport: &'static str,
    server: &'static str,
    bridges: Vec<&'static str>,
}

async fn welcome(
    socket: Socket,
    log: Log,
    State(bridges): State<Bridges>,
) -> Result<(), EmitError> {
    let welcome = Welcome {
        id: socket.id(),
        transport: socket.transport().as_str(),
        server: SERVER,
        bridges: bridges.0.clone(),
    };
    log.sent(&socket, To::Sender, "welcome", &welcome);
    socket.emit("welcome", welcome).await
}

async fn echo(socket: Socket, args: Args, reply: Reply, log: Log) -> Result<(), EmitError> {
    if reply.is_wanted() {
        return reply.send_args(&args);
    }
    log.sent(&socket, To::Sender, "echo", &args);
    socket.emit_args("echo", &args).await
}

// Rooms.

/// A client joined or left a room.
#[derive(Serialize)]
struct Presence<'a> {
    room: &'a str,
    id: SocketId,
}

/// Why `join` or `leave` failed.
#[derive(Debug, thiserror::Error)]
enum RoomError {
    #[error(transparent)]
    Refused(#[from] ClientError),
    #[error(transparent)]
    Emit(#[from] EmitError),
}

async fn join(
    socket: Socket,
    Data(room): Data<String>,
    reply: Reply,
    log: Log,
) -> Result<(), RoomError> {
    let refused = |error: JoinError| {
        let error = ClientError::new(error.to_string()).code("not_joined");
        error.data(json!({ "room": room }))
    };
    socket.join(&room).map_err(refused)?;
    let joined = Presence {
        room: &room,
        id: socket.id(),
    };
    log.sent(&socket, To::Room, "joined", &joined);
    socket.to(&room).emit("joined", joined).await?;
    Ok(reply.send(socket.rooms())?)
}

async fn leave(
    socket: Socket,
    Data(room): Data<String>,
    reply: Reply,
    log: Log,
) -> Result<(), EmitError> {
    socket.leave(&room);
    let left = Presence {
        room: &room,
        id: socket.id(),
    };
    log.sent(&socket, To::Room, "left", &left);
    socket.to(&room).emit("left", left).await?;
    reply.send(socket.rooms())
}

#[derive(Deserialize)]
struct RoomMessage {
    room: String,
    text: String,
}

#[derive(Serialize)]
struct SentRoomMessage<'a> {
    room: &'a str,
    text: &'a str,
    from: SocketId,
}

async fn room_message(
    socket: Socket,
    Data(RoomMessage { room, text }): Data<RoomMessage>,
    reply: Reply,
    log: Log,
) -> Result<(), EmitError> {
    let message = SentRoomMessage {
        room: &room,
        text: &text,
        from: socket.id(),
    };
    log.sent(&socket, To::Room, "room message", &message);
    socket.to(&room).emit("room message", message).await?;
    reply.send("ok")
}

#[derive(Serialize)]
struct SentChatMessage {
    from: SocketId,
    text: String,
    at: u64,
}

async fn chat_message(
    socket: Socket,
    namespace: Namespace,
    Data(text): Data<String>,
    reply: Reply,
    log: Log,
) -> Result<(), EmitError> {
    let message = SentChatMessage {
        from: socket.id(),
        text,
        at: now_ms(),
    };
    log.sent(&socket, To::All, "chat message", &message);
    namespace.emit("chat message", message).await?;
    reply.send("ok")
}

// Binary data.

#[derive(Serialize)]
struct Measured {
    bytes: Bytes,
    length: usize,
}

async fn binary(
    socket: Socket,
    Data(bytes): Data<Bytes>,
    reply: Reply,
    log: Log,
) -> Result<(), EmitError> {
    if reply.is_wanted() {
        let length = bytes.len();
        return reply.send(Measured { bytes, length });
    }
    log.sent(&socket, To::Sender, "binary", &bytes);
    socket.emit("binary", bytes).await
}

// Events whose name is the client's first argument.

/// An event in the arguments of an event: an example of a custom extractor.
struct Inner {
    name: String,
    args: Args,
}

impl FromContext<OnEvent> for Inner {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        let args = <Args as FromContext<OnEvent>>::from_context(context)?;
        let (name,) = args.deserialize::<(String,)>()?;
        let rest = args.to_values()?.into_iter().skip(1);
        let args = Args::from_values(rest).map_err(ExtractError::other)?;
        Ok(Self { name, args })
    }
}

async fn broadcast(
    socket: Socket,
    Inner { name, args }: Inner,
    reply: Reply,
    log: Log,
) -> Result<(), EmitError> {
    let others = socket.broadcast();
    let count = others.clone().fetch_sockets().await.len();
    others.emit_args(&name, &args).await?;
    log.sent(&socket, To::Others, &name, &args);
    reply.send(count)
}

#[derive(Serialize)]
struct Failure {
    error: String,
}

async fn call_me(
    socket: Socket,
    Inner { name, args }: Inner,
    reply: Reply,
    log: Log,
) -> Result<(), EmitError> {
    log.sent(&socket, To::Sender, &name, &args);
    let call = socket
        .emit_args_with_ack::<()>(&name, &args)
        .timeout(CALL_ONE_TIMEOUT);
    match call.args().await {
        Ok(answer) => reply.send_args(&answer),
        Err(error) => reply.send(Failure {
            error: error.to_string(),
        }),
    }
}

async fn call_everybody(
    socket: Socket,
    namespace: Namespace,
    Inner { name, args }: Inner,
    reply: Reply,
    log: Log,
) -> Result<(), kokanee::BoxError> {
    log.sent(&socket, To::All, &name, &args);
    // An acknowledgement may have no arguments.
    let call = namespace
        .timeout(CALL_ALL_TIMEOUT)
        .emit_args_with_ack::<Option<Value>>(&name, &args);
    Ok(reply.send(call.await?.answers)?)
}

// The rest.

#[derive(Serialize)]
struct Client {
    id: SocketId,
    rooms: Vec<String>,
    transport: &'static str,
}

async fn who(namespace: Namespace, reply: Reply) -> Result<(), EmitError> {
    let describe = |socket: Socket| Client {
        id: socket.id(),
        rooms: socket.rooms(),
        transport: socket.transport().as_str(),
    };
    let clients: Vec<_> = namespace
        .fetch_sockets()
        .await
        .into_iter()
        .map(describe)
        .collect();
    reply.send(clients)
}

async fn sleep_for(Data(ms): Data<f64>, reply: Reply) -> Result<(), EmitError> {
    sleep(Duration::from_secs_f64(
        ms.clamp(0.0, LONGEST_SLEEP_MS) / 1000.0,
    ))
    .await;
    reply.send("slept")
}

/// A handler that panics.
async fn fail() {
    // Unlike `panic!` this prints nothing on stderr: the event log has it.
    panic::resume_unwind(Box::new("this handler always fails"));
}

// The namespace `/private`.

#[derive(Deserialize)]
struct Login {
    token: String,
}

#[derive(Serialize)]
struct Hint {
    code: u16,
    hint: &'static str,
}

async fn authorize(
    socket: Socket,
    login: Option<Auth<Login>>,
    log: Log,
) -> Result<(), ConnectError> {
    // Takes as long as a database query might.
    sleep(Duration::from_millis(20)).await;
    if login.is_some_and(|Auth(login)| login.token == TOKEN) {
        return Ok(());
    }
    let refusal = ConnectError::new("not authorized").data(Hint {
        code: 401,
        hint: "auth must be {token: \"kokanee\"}",
    });
    log.refused(&socket, &refusal.to_string());
    Err(refusal)
}
