//! A chat inside an axum application: shared state, login by cookie, presence, history, a route that emits, the clients'
//! addresses behind nginx, and a graceful shutdown.
//!
//! Run it with `cargo run --bin on-axum`; `PORT` sets the port. `curl -i -X POST http://127.0.0.1:5001/login/ada` logs in, and
//! `curl -d tea http://127.0.0.1:5001/announce` reaches all sockets.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    extract::{Path, State},
    http::header::SET_COOKIE,
    response::IntoResponse,
    routing::{get, post},
};
use kokanee::{ConnectError, Data, Extension, Handshake, Server, Socket, TrustedProxy};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tower_http::trace::TraceLayer;

/// The state that routes and handlers share.
#[derive(Default)]
struct Chat {
    /// The users who have logged in, by session.
    users: Mutex<HashMap<String, User>>,
    history: Mutex<Vec<(String, String)>>,
}

#[derive(Clone)]
struct User(String);

impl Chat {
    fn user(&self, session: &str) -> Option<User> {
        let users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        users.get(session).cloned()
    }

    fn say(&self, user: &User, text: &str) {
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.push((user.0.clone(), text.to_owned()));
    }

    fn history(&self) -> Vec<(String, String)> {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.clone()
    }
}

#[tokio::main]
async fn main() -> kokanee::Result<()> {
    let chat = Arc::new(Chat::default());
    let io = Server::builder()
        .state(Arc::clone(&chat))
        // nginx runs on this machine, and reports the addresses of the clients.
        .trust_proxies([TrustedProxy::LOOPBACK])
        .build();
    io.middleware(log_in);
    io.on_connect(enter);
    io.on("message", message);
    io.on_disconnect(async |socket: Socket, user: Extension<User>| {
        socket.broadcast().emit("left", &user.0.0).await
    });

    let app = Router::new()
        .route("/hello", get(async || "hello"))
        .route("/login/{name}", post(new_session))
        .route("/announce", post(announce))
        .with_state((io.clone(), chat))
        .layer(io.layer())
        // In front of the server, so its requests are traced too. What such layers put into the request's extensions, for
        // instance a session, is in `handshake.extensions()`.
        .layer(TraceLayer::new_for_http());

    let port = std::env::var("PORT").unwrap_or_else(|_| "5001".to_owned());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    // With the address of the peer, which the server reads with its feature `axum`.
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app)
        .with_graceful_shutdown(end(io))
        .await?;
    Ok(())
}

/// Decides whether a socket may join.
async fn log_in(
    socket: Socket,
    handshake: Handshake,
    chat: kokanee::State<Arc<Chat>>,
) -> Result<(), ConnectError> {
    let session = handshake.cookie("session").unwrap_or_default();
    let user = chat
        .user(&session)
        .ok_or_else(|| ConnectError::new("log in first").data("/login"))?;
    socket.insert(user);
    Ok(())
}

async fn enter(
    socket: Socket,
    user: Extension<User>,
    chat: kokanee::State<Arc<Chat>>,
) -> kokanee::Result<()> {
    let address = socket.handshake().address().map(|address| address.ip());
    println!("{} from {address:?}", user.0.0);
    socket.emit("history", &chat.history()).await?;
    socket.broadcast().emit("joined", &user.0.0).await?;
    Ok(())
}

async fn message(
    io: Server,
    user: Extension<User>,
    chat: kokanee::State<Arc<Chat>>,
    Data(text): Data<String>,
) -> kokanee::Result<()> {
    chat.say(&user, &text);
    io.emit("message", (&user.0.0, &text)).await?;
    Ok(())
}

async fn new_session(
    State((_, chat)): State<(Server, Arc<Chat>)>,
    Path(name): Path<String>,
) -> impl IntoResponse {
    let session = format!("{:016x}{:016x}", random(), random());
    // Pages of other sites cannot use it: browsers send it only with requests of this site's pages.
    let cookie = format!("session={session}; Path=/; HttpOnly; SameSite=Strict");
    let mut users = chat.users.lock().unwrap_or_else(PoisonError::into_inner);
    users.insert(session, User(name));
    ([(SET_COOKIE, cookie)], "welcome\n")
}

fn random() -> u64 {
    getrandom::u64().expect("the system has random numbers")
}

/// Sends the text of an ordinary request to all sockets.
async fn announce(State((io, _)): State<(Server, Arc<Chat>)>, text: String) -> String {
    match io.emit("announcement", text).await {
        Ok(recipients) => format!("announced to {}\n", recipients.count()),
        Err(error) => format!("not announced: {error}\n"),
    }
}

/// Waits for a signal, and closes the server. Without this, axum waits for open requests, and a poll takes up to 25 s.
async fn end(io: Server) {
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be handled");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    match io.close(Duration::from_secs(5)).await {
        Ok(()) => println!("all clients are gone"),
        Err(error) => println!("{error}"),
    }
}
