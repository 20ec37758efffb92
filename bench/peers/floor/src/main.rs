//! The floor of the comparison: what the frames of the load cost on tokio if nobody looks into them.
//!
//! Speaks just enough to be measured: a WebSocket handshake, the open packet, `40`, and then it knows an `echo` and a
//! `blast` event by their first bytes. No JSON, no ids, no heartbeat, no limits, no fragments: not a server.
//!
//! One task per connection, one write per read. What the events of one read broadcast is written to the recipients at
//! once, and kept only where a socket is full.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use sha1::{Digest, Sha1};
use slab::Slab;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};

const OPEN: &[u8] = br#"0{"sid":"floorfloorfloorfloor","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
const CONNECTED: &[u8] = br#"40{"sid":"roolfroolfroolfroolf"}"#;
const SCRATCH: usize = 64 * 1024;

thread_local! {
    static SCRATCH_IN: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
    /// Frames for the connection that is read, and frames for all.
    static SCRATCH_OUT: RefCell<(Vec<u8>, Vec<u8>)> = RefCell::default();
}

type Peers = Arc<Mutex<Slab<Arc<Peer>>>>;

/// What others need to write to a connection.
struct Peer {
    writer: OwnedWriteHalf,
    queue: Mutex<Queue>,
}

/// What a socket did not take, and who writes it later.
#[derive(Default)]
struct Queue {
    bytes: Vec<u8>,
    waker: Option<Waker>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let port = std::env::var("PORT")
        .ok()
        .and_then(|port| port.parse().ok())
        .unwrap_or(0);
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on {}", listener.local_addr()?);
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = accept(listener) => result,
        _ = terminate.recv() => Ok(()),
        result = tokio::signal::ctrl_c() => result,
    }
}

async fn accept(listener: TcpListener) -> io::Result<()> {
    let peers = Peers::default();
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(handshake(stream, Arc::clone(&peers)));
    }
}

/// Answers the upgrade request, sends the open packet and spawns the session, so that this future is freed.
async fn handshake(mut stream: TcpStream, peers: Peers) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 || head.len() > 8192 {
            return Ok(());
        }
    }
    let head = String::from_utf8_lossy(&head);
    let key = head
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))
        .unwrap_or_default();
    let digest = Sha1::new()
        .chain_update(key)
        .chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
        .finalize();
    let accept = base64_simd::STANDARD.encode_to_string(digest);
    let mut response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    )
    .into_bytes();
    encode(OPEN, &mut response);
    stream.write_all(&response).await?;

    let (reader, writer) = stream.into_split();
    let peer = Arc::new(Peer {
        writer,
        queue: Mutex::default(),
    });
    let index = lock(&peers).insert(Arc::clone(&peer));
    tokio::spawn(session(Session {
        reader,
        peer,
        peers,
        index,
        partial: Vec::new(),
    }));
    Ok(())
}

/// A connection after its handshake.
struct Session {
    reader: OwnedReadHalf,
    peer: Arc<Peer>,
    peers: Peers,
    index: usize,
    /// The beginning of a frame.
    partial: Vec<u8>,
}

async fn session(mut session: Session) {
    // Any end of a connection is the end of it.
    let _ = poll_fn(|cx| session.poll(cx)).await;
    lock(&session.peers).remove(session.index);
}

impl Session {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        {
            let mut queue = lock(&self.peer.queue);
            if queue.waker.is_none() {
                queue.waker = Some(cx.waker().clone());
            }
        }
        // A short read clears the readiness, which saves the read that finds nothing.
        for _ in 0..16 {
            self.poll_flush(cx)?;
            let result = SCRATCH_IN.with_borrow_mut(|scratch| {
                let mut buffer = ReadBuf::new(scratch);
                ready!(Pin::new(&mut self.reader).poll_read(cx, &mut buffer))?;
                if buffer.filled().is_empty() {
                    return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
                }
                Poll::Ready(self.on_bytes(buffer.filled_mut()))
            });
            ready!(result)?;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes what a full socket left over.
    fn poll_flush(&self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut queue = lock(&self.peer.queue);
        while !queue.bytes.is_empty() {
            match self.peer.writer.as_ref().poll_write_ready(cx) {
                Poll::Ready(result) => result?,
                Poll::Pending => return Ok(()),
            }
            let written = try_write(&self.peer.writer, &queue.bytes)?;
            queue.bytes.drain(..written);
            if queue.bytes.is_empty() {
                queue.bytes = Vec::new();
            }
        }
        Ok(())
    }

    /// Handles all frames of a read and writes their answers.
    fn on_bytes(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        SCRATCH_OUT.with_borrow_mut(|(own, all)| {
            if self.partial.is_empty() {
                let used = frames(bytes, own, all)?;
                self.partial.extend_from_slice(&bytes[used..]);
            } else {
                let mut partial = std::mem::take(&mut self.partial);
                partial.extend_from_slice(bytes);
                let used = frames(&mut partial, own, all)?;
                if used < partial.len() {
                    partial.drain(..used);
                    self.partial = partial;
                }
            }
            if !own.is_empty() {
                self.peer.send(own)?;
                own.clear();
            }
            if !all.is_empty() {
                for (_, peer) in lock(&self.peers).iter() {
                    // A peer that fails ends in its own task.
                    let _ = peer.send(all);
                }
                all.clear();
            }
            Ok(())
        })
    }
}

impl Peer {
    /// Writes at once, and queues what the socket does not take.
    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let mut queue = lock(&self.queue);
        let written = if queue.bytes.is_empty() {
            try_write(&self.writer, bytes)?
        } else {
            0
        };
        if written < bytes.len() {
            queue.bytes.extend_from_slice(&bytes[written..]);
            if let Some(waker) = &queue.waker {
                waker.wake_by_ref();
            }
        }
        Ok(())
    }
}

/// Handles all complete frames and returns their length.
fn frames(bytes: &mut [u8], own: &mut Vec<u8>, all: &mut Vec<u8>) -> io::Result<usize> {
    let mut used = 0;
    while let Some((start, end)) = first_frame(&bytes[used..]) {
        let (header, payload) = bytes[used..used + end].split_at_mut(start);
        unmask(
            [
                header[start - 4],
                header[start - 3],
                header[start - 2],
                header[start - 1],
            ],
            payload,
        );
        match header[0] & 0x0f {
            0x8 => return Err(ErrorKind::ConnectionAborted.into()),
            0x1 if payload.starts_with(br#"42["echo","#) => encode(payload, own),
            0x1 if payload.starts_with(br#"42["blast","#) => encode(payload, all),
            0x1 if payload.starts_with(b"40") => encode(CONNECTED, own),
            _ => {}
        }
        used += end;
    }
    Ok(used)
}

/// Returns where the payload of the first frame starts and ends, if it is complete.
fn first_frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let (start, length): (usize, usize) = match bytes.get(1)? & 0x7f {
        126 => (
            8,
            usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)),
        ),
        127 => (
            14,
            usize::try_from(u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)).ok()?,
        ),
        length => (6, usize::from(length)),
    };
    let end = start.checked_add(length)?;
    (bytes.len() >= end).then_some((start, end))
}

fn unmask(key: [u8; 4], payload: &mut [u8]) {
    let word = u64::from_ne_bytes([
        key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3],
    ]);
    let (chunks, rest) = payload.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.into_iter().cycle()) {
        *byte ^= key;
    }
}

/// Appends a text frame.
fn encode(payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x81);
    match payload.len() {
        length @ 0..=125 => out.push(length.to_le_bytes()[0]),
        length => match u16::try_from(length) {
            Ok(length) => {
                out.push(126);
                out.extend_from_slice(&length.to_be_bytes());
            }
            Err(_) => {
                out.push(127);
                out.extend_from_slice(&(length as u64).to_be_bytes());
            }
        },
    }
    out.extend_from_slice(payload);
}

/// Writes until the socket is full and returns how much it took.
fn try_write(writer: &OwnedWriteHalf, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match writer.try_write(&bytes[written..]) {
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
