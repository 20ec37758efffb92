//! [`Link`]: one direction between two workers; and its other end, which receives.

use std::{
    collections::VecDeque,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::Arc,
};

use bytes::{Buf, Bytes, BytesMut};
use parking_lot::Mutex;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recv, recvmsg, sendmsg,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::Notify,
};

use crate::codec::{Forwarded, MOST_FRAME_BYTES, Message, decode, encode_request};

/// Bytes that may wait for a worker. If it does not take frames, the link ends, and requests go back; one frame alone may be larger.
const MOST_WAITING_BYTES: usize = 32 * 1024 * 1024;

/// Connections that may wait for a worker.
const MOST_WAITING_CONNECTIONS: usize = 1024;

/// Frames that are written together.
const MOST_AT_ONCE: usize = 16;

/// Bytes that are received at once.
const RECEIVED_BYTES: usize = 64 * 1024;

/// Descriptors that may come at once.
const MOST_DESCRIPTORS: usize = 16;

/// A request for a session of another worker, with the connection on which it is answered.
#[derive(Debug)]
pub struct Passed {
    /// The request.
    pub forwarded: Forwarded,
    /// The connection of the client, or an end of a socket pair.
    pub connection: OwnedFd,
}

/// Says why a message is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendError {
    /// It exceeds [`MOST_FRAME_BYTES`].
    TooLarge,
    /// Too much waits already. The link has ended because of it.
    Full,
    /// The link has ended.
    Ended,
}

enum Item {
    Frame(Bytes),
    Request(Box<Passed>),
}

#[derive(Default)]
struct Waiting {
    items: VecDeque<Item>,
    bytes: usize,
    connections: usize,
    /// The connection, as soon as there is one.
    stream: Option<Arc<UnixStream>>,
    ended: bool,
}

impl Waiting {
    /// Adds what is to be written, and writes it at once if nothing else waits. Returns whether it is left to the link's task,
    /// which has to be woken.
    fn add(&mut self, item: Item) -> bool {
        self.items.push_back(item);
        // An error is found by the task, too.
        self.items.len() == 1 && self.stream.is_some() && self.write().is_err()
    }

    /// Writes what waits, until the connection is full.
    fn write(&mut self) -> io::Result<()> {
        let Some(stream) = self.stream.clone() else {
            return Ok(());
        };
        loop {
            match self.items.front() {
                Some(Item::Frame(_)) => self.write_frames(&stream)?,
                Some(Item::Request(passed)) => {
                    let mut frame = encode_request(&passed.forwarded);
                    let connection = Some(passed.connection.as_fd());
                    let sent = send(&stream, &[IoSlice::new(&frame)], connection)?;
                    self.connections -= 1;
                    self.bytes -= passed.forwarded.unread.len();
                    frame.advance(sent);
                    self.bytes += frame.len();
                    self.items.pop_front();
                    if !frame.is_empty() {
                        self.items.push_front(Item::Frame(frame));
                    }
                }
                None => return Ok(()),
            }
        }
    }

    /// Writes the frames that wait before a request.
    fn write_frames(&mut self, stream: &UnixStream) -> io::Result<()> {
        let mut slices = [IoSlice::new(&[]); MOST_AT_ONCE];
        let frames = self.items.iter().map_while(|item| match item {
            Item::Frame(frame) => Some(frame),
            Item::Request(_) => None,
        });
        let mut count = 0;
        for (slice, frame) in slices.iter_mut().zip(frames) {
            *slice = IoSlice::new(frame);
            count += 1;
        }
        let mut sent = send(stream, &slices[..count], None)?;
        self.bytes -= sent;
        while let Some(Item::Frame(frame)) = self.items.front_mut() {
            if sent < frame.len() {
                frame.advance(sent);
                break;
            }
            sent -= frame.len();
            self.items.pop_front();
        }
        Ok(())
    }
}

/// The messages that wait for a worker.
#[derive(Default)]
pub struct Link {
    waiting: Mutex<Waiting>,
    changed: Notify,
    overflowed: Notify,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Link")
    }
}

impl Link {
    /// Sends an encoded message, after all that were sent before.
    ///
    /// # Errors
    /// When it is not sent.
    pub fn send(&self, frame: Bytes) -> Result<(), SendError> {
        if frame.len() > MOST_FRAME_BYTES {
            return Err(SendError::TooLarge);
        }
        let mut waiting = self.waiting.lock();
        if waiting.ended {
            return Err(SendError::Ended);
        }
        if !waiting.items.is_empty() && waiting.bytes + frame.len() > MOST_WAITING_BYTES {
            waiting.ended = true;
            self.overflowed.notify_one();
            return Err(SendError::Full);
        }
        waiting.bytes += frame.len();
        if waiting.add(Item::Frame(frame)) {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Sends a request with its connection.
    ///
    /// # Errors
    /// When it is not sent. It is returned.
    pub fn pass(&self, passed: Box<Passed>) -> Result<(), Box<Passed>> {
        let bytes = passed.forwarded.unread.len();
        let mut waiting = self.waiting.lock();
        if waiting.ended
            || waiting.connections >= MOST_WAITING_CONNECTIONS
            || (!waiting.items.is_empty() && waiting.bytes + bytes > MOST_WAITING_BYTES)
        {
            return Err(passed);
        }
        waiting.connections += 1;
        waiting.bytes += bytes;
        if waiting.add(Item::Request(passed)) {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Returns whether all that was sent is written, or never will be.
    pub fn is_flushed(&self) -> bool {
        let waiting = self.waiting.lock();
        waiting.ended || waiting.items.is_empty()
    }

    /// Ends the link, and gives each request back that was not sent. Returns how many messages are lost, of which nobody has
    /// heard: 0 if the link has ended because too much waits.
    pub(crate) fn end(&self, give_back: impl Fn(Box<Passed>)) -> usize {
        let (items, is_known) = {
            let mut waiting = self.waiting.lock();
            waiting.stream = None;
            let items = std::mem::take(&mut waiting.items);
            (items, std::mem::replace(&mut waiting.ended, true))
        };
        let mut lost = 0;
        for item in items {
            match item {
                Item::Request(passed) => give_back(passed),
                Item::Frame(_) => lost += 1,
            }
        }
        if is_known { 0 } else { lost }
    }

    /// Writes a greeting and what is sent, until the other worker has ended the connection, or too much waits.
    pub(crate) async fn carry(&self, stream: &Arc<UnixStream>, hello: Bytes) -> io::Result<()> {
        {
            let mut waiting = self.waiting.lock();
            waiting.bytes += hello.len();
            waiting.items.push_front(Item::Frame(hello));
            waiting.stream = Some(Arc::clone(stream));
        }
        loop {
            let written = self.waiting.lock().write();
            let is_full = match written {
                Ok(()) => false,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
                Err(error) => return Err(error),
            };
            // A message that the other worker takes makes room. While there is enough, that must not wake this one.
            let interest = if is_full {
                Interest::READABLE | Interest::WRITABLE
            } else {
                Interest::READABLE
            };
            let stream = watch(stream, interest)?;
            tokio::select! {
                result = ended(&stream) => return result,
                () = self.overflowed.notified() => return Err(io::Error::other("too much waits")),
                room = stream.writable(), if is_full => drop(room?),
                () = self.changed.notified(), if !is_full => {}
            }
        }
    }
}

/// Watches a connection. Streams of tokio have one interest: in everything.
#[allow(
    deprecated,
    reason = "what replaces it is unsafe, as a type may return another descriptor each time; this one does not"
)]
fn watch(stream: &UnixStream, interest: Interest) -> io::Result<AsyncFd<BorrowedFd<'_>>> {
    AsyncFd::with_interest(stream.as_fd(), interest)
}

/// Returns when the other end has closed the connection, on which it sends nothing.
async fn ended(stream: &AsyncFd<BorrowedFd<'_>>) -> io::Result<()> {
    loop {
        let mut readable = stream.readable().await?;
        let read = readable.try_io(|stream| Ok(recv(stream, &mut [0; 1], RecvFlags::empty())?));
        if let Ok(read) = read {
            return read.map(|_| ());
        }
    }
}

/// Sends the beginning of some bytes, with a descriptor if there is one. Returns how many bytes that were.
fn send(
    stream: &UnixStream,
    bytes: &[IoSlice<'_>],
    connection: Option<BorrowedFd<'_>>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if let Some(connection) = &connection {
        control.push(SendAncillaryMessage::ScmRights(std::slice::from_ref(
            connection,
        )));
    }
    loop {
        match sendmsg(stream, bytes, &mut control, SendFlags::NOSIGNAL) {
            Err(rustix::io::Errno::INTR) => {}
            sent => return Ok(sent?),
        }
    }
}

/// The end of a link that receives.
pub(crate) struct Receiver<'a> {
    stream: &'a tokio::net::UnixStream,
    buffer: Box<[u8]>,
    received: BytesMut,
    descriptors: VecDeque<OwnedFd>,
}

/// What a worker has sent.
pub(crate) enum Received {
    Message(Message),
    Request(Box<Passed>),
}

impl<'a> Receiver<'a> {
    pub(crate) fn new(stream: &'a tokio::net::UnixStream) -> Self {
        Self {
            stream,
            buffer: vec![0; RECEIVED_BYTES].into_boxed_slice(),
            received: BytesMut::new(),
            descriptors: VecDeque::new(),
        }
    }

    /// Receives the next message; `None` at the end.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Received>> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        loop {
            match decode(&mut self.received).map_err(|_| invalid())? {
                Some(Message::Request(forwarded)) => {
                    let connection = self.descriptors.pop_front().ok_or_else(invalid)?;
                    return Ok(Some(Received::Request(Box::new(Passed {
                        forwarded,
                        connection,
                    }))));
                }
                Some(message) => return Ok(Some(Received::Message(message))),
                None => {}
            }
            // A request has one descriptor, which comes with its first byte, and nothing is received together with the next one.
            if self.descriptors.len() > MOST_DESCRIPTORS {
                return Err(invalid());
            }
            let (read, descriptors) = self.receive().await?;
            if read == 0 {
                return Ok(None);
            }
            if self.received.is_empty() {
                // Nothing of a large frame is kept.
                self.received = BytesMut::with_capacity(read);
            }
            self.received.extend_from_slice(&self.buffer[..read]);
            self.descriptors.extend(descriptors);
        }
    }

    async fn receive(&mut self) -> io::Result<(usize, Vec<OwnedFd>)> {
        let (stream, buffer) = (self.stream, &mut self.buffer);
        let receive = || {
            let mut space =
                [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut buffers = [IoSliceMut::new(buffer)];
            let flags = RecvFlags::CMSG_CLOEXEC;
            let read = recvmsg(stream, &mut buffers, &mut control, flags)?.bytes;
            let mut descriptors = Vec::new();
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(some) = message {
                    descriptors.extend(some);
                }
            }
            Ok((read, descriptors))
        };
        stream.async_io(Interest::READABLE, receive).await
    }
}
