//! `kokanee tcp`: echo, listen, connect, send.

use std::{cell::Cell, fs, sync::Arc, time::Duration};

use kokanee::{
    bytes::Bytes,
    net::{
        ClientTls, Connection, FrameReader, Framing, NetError, ServerTls, TcpClient, TcpServer,
        Writer,
    },
};
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep_until, timeout},
};

use super::{
    error::SocketError,
    input,
    view::{View, seconds},
};
use crate::{
    args::{
        EndArgs, TcpArgs, TcpClientArgs, TcpCommand, TcpConnectArgs, TcpEchoArgs, TcpListenArgs,
        TcpSendArgs, TcpServerArgs, ViewArgs,
    },
    signals::Signals,
};

/// Timeout for closing connections when the program ends.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) fn view_args(args: &TcpArgs) -> &ViewArgs {
    match &args.command {
        TcpCommand::Echo(args) => &args.server.view,
        TcpCommand::Listen(args) => &args.server.view,
        TcpCommand::Connect(args) => &args.client.view,
        TcpCommand::Send(args) => &args.client.view,
    }
}

pub(crate) async fn run(args: &TcpArgs, view: &View) -> Result<(), SocketError> {
    match &args.command {
        TcpCommand::Echo(args) => echo(args, view).await,
        TcpCommand::Listen(args) if args.keep_open => {
            serve(&args.server, None, view, &Reaction::Print).await
        }
        TcpCommand::Listen(args) => listen(args, view).await,
        TcpCommand::Connect(args) => connect(args, view).await,
        TcpCommand::Send(args) => send(args, view).await,
    }
}

/// What a server does with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reaction {
    SendBack,
    Print,
}

async fn bind(args: &TcpServerArgs) -> Result<TcpServer, SocketError> {
    let mut builder = TcpServer::builder().with_limits(|limits| {
        limits.max_connections = args.max_connections;
        limits.idle_timeout = args.timeout;
    });
    if let (Some(certificate), Some(key)) = (&args.tls_cert, &args.tls_key) {
        builder = builder.tls(ServerTls::from_pem_files(certificate, key)?);
    }
    Ok(builder.bind(&args.bind.address()).await?)
}

async fn echo(args: &TcpEchoArgs, view: &View) -> Result<(), SocketError> {
    let count = args.count.map(std::num::NonZeroU64::get);
    serve(&args.server, count, view, &Reaction::SendBack).await
}

/// Serves until a signal, or until `count` connections have ended.
async fn serve(
    args: &TcpServerArgs,
    count: Option<u64>,
    view: &View,
    reaction: &Reaction,
) -> Result<(), SocketError> {
    let mut signals = Signals::watch(view.output()).map_err(SocketError::Start)?;
    let server = bind(args).await?;
    let handle = server.handle();
    view.listening(server.local_addr()).await;
    let ended = Arc::new(Notify::new());
    let serving = {
        let (view, framing, reaction) = (view.clone(), args.framing.framing(), *reaction);
        let ended = Arc::clone(&ended);
        tokio::spawn(server.serve(move |conn: Connection| {
            let (view, framing) = (view.clone(), framing.clone());
            let ended = Arc::clone(&ended);
            async move {
                react(conn, framing, reaction, &view).await;
                ended.notify_one();
            }
        }))
    };
    let enough = async {
        loop {
            ended.notified().await;
            let is_over = count.is_some_and(|count| {
                view.connection_count() >= count && handle.connection_count() <= 1
            });
            if is_over || view.is_closed() {
                return;
            }
        }
    };
    tokio::select! {
        _ = signals.first() => {}
        () = enough => {}
        ended = serving => if let Err(panic) = ended {
            std::panic::resume_unwind(panic.into_panic());
        },
    }
    handle.close(CLOSE_TIMEOUT).await;
    view.summary().await;
    Ok(())
}

/// Serves one connection, and prints how it ended.
async fn react(conn: Connection, framing: Framing, reaction: Reaction, view: &View) {
    let peer = conn.peer().clone();
    view.connected_by(&peer).await;
    let start = Instant::now();
    let (reader, mut writer) = conn.into_split();
    let mut frames = reader.framed(&framing);
    let exchange = async {
        while let Some(data) = frames.next().await? {
            view.received(&data, Some(&peer)).await;
            if reaction == Reaction::SendBack {
                writer.send_all(&framing.encode(&data)?).await?;
                view.sent(data.len());
            }
        }
        writer.finish().await
    };
    let how = match exchange.await {
        Ok(()) => String::new(),
        Err(error) => format!(": {error}"),
    };
    view.fact(&format!(
        "closed {peer} after {}{how}",
        seconds(start.elapsed())
    ))
    .await;
}

async fn listen(args: &TcpListenArgs, view: &View) -> Result<(), SocketError> {
    let mut signals = Signals::watch(view.output()).map_err(SocketError::Start)?;
    let server = bind(&args.server).await?;
    view.listening(server.local_addr()).await;
    let conn = tokio::select! {
        accepted = server.accept() => accepted?,
        // A signal is the normal end of a server.
        _ = signals.first() => return Ok(()),
    };
    // So that further connections are refused instead of left pending.
    drop(server);
    view.connected_by(conn.peer()).await;
    let framing = args.server.framing.framing();
    converse(conn, &framing, &args.end, &mut signals, view).await
}

fn client(
    address: &str,
    args: &TcpClientArgs,
    idle: Option<Duration>,
) -> Result<TcpClient, SocketError> {
    let client = TcpClient::new(address).with_limits(|limits| {
        limits.connect_timeout = args.connect_timeout;
        limits.idle_timeout = idle;
    });
    if !args.tls {
        return Ok(client);
    }
    let mut tls = match &args.ca {
        _ if args.insecure => ClientTls::danger_accept_invalid_certificates(),
        None => ClientTls::system(),
        Some(path) => {
            let pem = fs::read(path).map_err(|error| {
                SocketError::Argument(format!("cannot read {}: {error}", path.display()))
            })?;
            ClientTls::trusting(&pem)?
        }
    };
    if let Some(name) = &args.server_name {
        tls = tls.server_name(name);
    }
    Ok(client.tls(tls))
}

/// Connects, unless a signal comes first.
async fn open(
    client: &TcpClient,
    signals: &mut Signals,
    view: &View,
) -> Result<Connection, SocketError> {
    let conn = tokio::select! {
        connected = client.connect() => connected?,
        signal = signals.first() => return Err(SocketError::Interrupted(signal)),
    };
    view.connected_to(conn.peer()).await;
    Ok(conn)
}

async fn connect(args: &TcpConnectArgs, view: &View) -> Result<(), SocketError> {
    let mut signals = Signals::watch(view.output()).map_err(SocketError::Start)?;
    let client = client(&args.target.address(), &args.client, args.timeout)?;
    let conn = open(&client, &mut signals, view).await?;
    let framing = args.client.framing.framing();
    converse(conn, &framing, &args.end, &mut signals, view).await
}

/// Connects stdin and stdout with a connection until the peer closes it, or until nothing is received for `--wait` after the
/// end of the input.
async fn converse(
    conn: Connection,
    framing: &Framing,
    end: &EndArgs,
    signals: &mut Signals,
    view: &View,
) -> Result<(), SocketError> {
    let input = input::stdin(framing)?;
    let (reader, mut writer) = conn.into_split();
    let mut frames = reader.framed(framing);
    let last_received = Cell::new(Instant::now());
    let reading = async {
        while let Some(data) = frames.next().await? {
            last_received.set(Instant::now());
            view.received(&data, None).await;
            if view.is_closed() {
                break;
            }
        }
        Ok::<_, NetError>(())
    };
    let writing = async {
        forward(input, &mut writer, framing, view).await?;
        if !end.no_finish {
            writer.finish().await?;
        }
        // The sending side is closed, but the peer may still send.
        let Some(wait) = end.wait else {
            return std::future::pending().await;
        };
        last_received.set(Instant::now());
        loop {
            let until = last_received.get() + wait;
            if until <= Instant::now() {
                return Ok::<_, NetError>(());
            }
            sleep_until(until).await;
        }
    };
    let ended = tokio::select! {
        read = reading => read.map_err(SocketError::from),
        written = writing => written.map_err(SocketError::from),
        signal = signals.first() => Err(SocketError::Interrupted(signal)),
    };
    view.summary().await;
    ended
}

/// Sends the messages of the input.
async fn forward(
    mut input: mpsc::Receiver<Bytes>,
    writer: &mut Writer,
    framing: &Framing,
    view: &View,
) -> Result<(), NetError> {
    while let Some(message) = input.recv().await {
        writer.send_all(&framing.encode(&message)?).await?;
        view.sent(message.len());
    }
    Ok(())
}

async fn send(args: &TcpSendArgs, view: &View) -> Result<(), SocketError> {
    let (address, messages) = input::messages(&args.messages)?;
    let framing = args.client.framing.framing();
    let frames: Result<Vec<_>, _> = messages
        .iter()
        .map(|message| framing.encode(message))
        .collect();
    let frames = frames?;
    let mut signals = Signals::watch(view.output()).map_err(SocketError::Start)?;
    let client = client(&address, &args.client, None)?;
    let conn = open(&client, &mut signals, view).await?;
    let (reader, mut writer) = conn.into_split();
    let mut answer = reader.framed(&framing);
    let sending = async {
        let mut next = Instant::now();
        for round in 0..args.messages.count.get() {
            if round > 0 && args.messages.interval > Duration::ZERO {
                next += args.messages.interval;
                sleep_until(next).await;
            }
            for (frame, message) in frames.iter().zip(&messages) {
                writer.send_all(frame).await?;
                view.sent(message.len());
            }
        }
        if !args.no_finish {
            writer.finish().await?;
        }
        Ok::<_, NetError>(())
    };
    let exchange = async {
        if args.no_answer {
            return Ok(sending.await?);
        }
        // Concurrently, because a peer may stop reading until its replies are read.
        let receiving = receive(args, &mut answer, view);
        tokio::pin!(sending, receiving);
        tokio::select! {
            biased;
            sent = &mut sending => sent?,
            received = &mut receiving => {
                received?;
                // With --answers all expected replies have arrived. Otherwise the peer closed the connection too early.
                return if args.answers.is_some() { Ok(()) } else { Err(SocketError::Unsent) };
            }
        }
        receiving.await
    };
    let ended = tokio::select! {
        ended = exchange => ended,
        signal = signals.first() => Err(SocketError::Interrupted(signal)),
    };
    view.summary().await;
    ended
}

/// Prints the reply until the peer closes its side, all expected messages have arrived, or the timeout.
async fn receive(
    args: &TcpSendArgs,
    frames: &mut FrameReader,
    view: &View,
) -> Result<(), SocketError> {
    loop {
        match timeout(args.timeout, frames.next()).await {
            Ok(Ok(Some(data))) => view.received(&data, None).await,
            Ok(Ok(None)) if args.answers.is_some() => {
                let peer = frames.reader().peer().to_string();
                return Err(NetError::Closed { peer }.into());
            }
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) => return Err(error.into()),
            // A peer may keep the connection open after the reply.
            Err(_silence) if args.answers.is_none() && view.received_count() > 0 => return Ok(()),
            Err(_silence) => return Err(SocketError::Silence(args.timeout)),
        }
        if args
            .answers
            .is_some_and(|answers| view.received_count() >= answers.get())
        {
            return Ok(());
        }
    }
}
