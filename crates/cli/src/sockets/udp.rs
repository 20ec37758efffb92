//! `kokanee udp`: echo, listen, connect, send.

use std::time::Duration;

use kokanee::net::{Framing, NetError, UdpClient, UdpServer};
use tokio::time::{Instant, sleep_until, timeout};

use super::{error::SocketError, input, view::View};
use crate::{
    args::{UdpArgs, UdpCommand, UdpConnectArgs, UdpListenArgs, UdpSendArgs, ViewArgs},
    signals::Signals,
};

/// The timeout if none is set. It is restarted when it elapses.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) fn view_args(args: &UdpArgs) -> &ViewArgs {
    match &args.command {
        UdpCommand::Echo(args) | UdpCommand::Listen(args) => &args.view,
        UdpCommand::Connect(args) => &args.view,
        UdpCommand::Send(args) => &args.view,
    }
}

pub(crate) async fn run(args: &UdpArgs, view: &View) -> Result<(), SocketError> {
    let mut signals = Signals::watch(view.output()).map_err(SocketError::Start)?;
    let ended = match &args.command {
        // A signal is the normal end of a server.
        UdpCommand::Echo(args) => tokio::select! {
            ended = serve(args, true, view) => ended,
            _ = signals.first() => Ok(()),
        },
        UdpCommand::Listen(args) => tokio::select! {
            ended = serve(args, false, view) => ended,
            _ = signals.first() => Ok(()),
        },
        UdpCommand::Connect(args) => tokio::select! {
            ended = connect(args, view) => ended,
            signal = signals.first() => Err(SocketError::Interrupted(signal)),
        },
        UdpCommand::Send(args) => tokio::select! {
            ended = send(args, view) => ended,
            signal = signals.first() => Err(SocketError::Interrupted(signal)),
        },
    };
    view.summary().await;
    ended
}

async fn serve(args: &UdpListenArgs, sends_back: bool, view: &View) -> Result<(), SocketError> {
    let server = UdpServer::builder()
        .with_limits(|limits| limits.max_datagram_bytes = args.max_datagram_bytes)
        .with_options(|options| options.reuse_address = !args.join.is_empty())
        .bind(&args.bind.address())
        .await?;
    for group in &args.join {
        server.join_multicast(*group, None)?;
    }
    view.listening(server.local_addr()).await;
    let silence = args.timeout.unwrap_or(DAY);
    loop {
        let datagram = match timeout(silence, server.recv()).await {
            Ok(Ok(datagram)) => datagram,
            // An error of one peer does not end the server.
            Ok(Err(error @ (NetError::DatagramOverLimit { .. } | NetError::Refused { .. }))) => {
                view.fact(&error.to_string()).await;
                continue;
            }
            Ok(Err(error)) => return Err(error.into()),
            Err(_silence) => match args.timeout {
                Some(timeout) => return Err(SocketError::Silence(timeout)),
                None => continue,
            },
        };
        view.received(&datagram.data, Some(&datagram.peer)).await;
        if sends_back {
            match datagram.reply(&datagram.data).await {
                Ok(()) => view.sent(datagram.data.len()),
                Err(error) => view.fact(&error.to_string()).await,
            }
        }
        let is_last = args
            .count
            .is_some_and(|count| view.received_count() >= count.get());
        if is_last || view.is_closed() {
            return Ok(());
        }
    }
}

async fn connect(args: &UdpConnectArgs, view: &View) -> Result<(), SocketError> {
    let client = UdpClient::connect(&args.target.address()).await?;
    // Each line is one datagram.
    let mut lines = input::stdin(&Framing::Lines)?;
    // When the input has ended.
    let mut ended: Option<Instant> = None;
    let silence = args.timeout.unwrap_or(DAY);
    let mut silent_since = Instant::now();
    loop {
        let wait_from = ended.map_or(silent_since, |ended| ended.max(silent_since));
        tokio::select! {
            line = lines.recv(), if ended.is_none() => match line {
                Some(line) => {
                    client.send(&line).await?;
                    view.sent(line.len());
                }
                None => ended = Some(Instant::now()),
            },
            received = client.recv() => {
                view.received(&received?, None).await;
                silent_since = Instant::now();
                if view.is_closed() {
                    return Ok(());
                }
            }
            () = sleep_until(silent_since + silence) => match args.timeout {
                Some(_) if ended.is_some() && view.received_count() > 0 => return Ok(()),
                Some(timeout) => return Err(SocketError::Silence(timeout)),
                None => silent_since = Instant::now(),
            },
            // UDP has no end of a reply, so a timeout decides.
            () = sleep_until(wait_from + args.wait), if ended.is_some() => return Ok(()),
        }
    }
}

async fn send(args: &UdpSendArgs, view: &View) -> Result<(), SocketError> {
    let (address, messages) = input::messages(&args.messages)?;
    let client = UdpClient::connect(&address).await?;
    let mut next = Instant::now();
    for round in 0..args.messages.count.get() {
        if round > 0 && args.messages.interval > Duration::ZERO {
            next += args.messages.interval;
            sleep_until(next).await;
        }
        for message in &messages {
            client.send(message).await?;
            view.sent(message.len());
            if !args.no_answer {
                let answer = timeout(args.timeout, client.recv()).await;
                let answer = answer.map_err(|_silence| SocketError::Silence(args.timeout))?;
                view.received(&answer?, None).await;
            }
        }
    }
    Ok(())
}
