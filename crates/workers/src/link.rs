//! [`Link`]: one direction between two workers; and its other end, which receives.

use std::{
    collections::VecDeque,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use bytes::{Buf, Bytes, BytesMut};
use parking_lot::Mutex;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::{io::Interest, net::UnixStream, sync::Notify};

use crate::codec::{Forwarded, MOST_FRAME_BYTES, Message, decode, encode_request};

/// Bytes that may wait for a worker. If it does not take frames, the link ends, and requests go back; one frame alone may be larger.
const MOST_WAITING_BYTES: usize = 32 * 1024 * 1024;

/// Connections that may wait for a worker.
const MOST_WAITING_CONNECTIONS: usize = 1024;

/// Small frames are written together up to so many bytes.
const BATCH_BYTES: usize = 64 * 1024;

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
    /// What was taken last is not written yet.
    writing: bool,
    /// The connection, after the greeting: what nothing waits before is written at once.
    stream: Option<Arc<UnixStream>>,
    ended: bool,
}

impl Waiting {
    /// Writes a frame, without waking the task that writes what waits. Returns what is left to that task.
    fn write_now(&mut self, mut frame: Bytes) -> Option<Bytes> {
        if !self.items.is_empty() || self.writing {
            return Some(frame);
        }
        // An error is found by the task, too.
        if let Some(Ok(written)) = self.stream.as_ref().map(|stream| stream.try_write(&frame)) {
            frame.advance(written);
        }
        (!frame.is_empty()).then_some(frame)
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
        let Some(rest) = waiting.write_now(frame) else {
            return Ok(());
        };
        waiting.bytes += rest.len();
        waiting.items.push_back(Item::Frame(rest));
        self.changed.notify_one();
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
        waiting.items.push_back(Item::Request(passed));
        self.changed.notify_one();
        Ok(())
    }

    /// Returns whether all that was sent is written, or never will be.
    pub fn is_flushed(&self) -> bool {
        let waiting = self.waiting.lock();
        waiting.ended || (waiting.items.is_empty() && !waiting.writing)
    }

    /// Ends the link, and gives each request back that was not sent. Returns how many messages are lost, of which nobody has
    /// heard: 0 if the link has ended because too much waits.
    pub(crate) fn end(&self, give_back: impl Fn(Box<Passed>)) -> usize {
        let is_known;
        let (items, mut lost) = {
            let mut waiting = self.waiting.lock();
            is_known = std::mem::replace(&mut waiting.ended, true);
            waiting.stream = None;
            let items = std::mem::take(&mut waiting.items);
            (items, usize::from(waiting.writing))
        };
        for item in items {
            match item {
                Item::Request(passed) => give_back(passed),
                Item::Frame(_) => lost += 1,
            }
        }
        if is_known { 0 } else { lost }
    }

    /// Takes what is to be written next: frames until they are a batch, or a request.
    fn take(&self, frames: &mut Vec<Bytes>) -> Option<Box<Passed>> {
        let mut waiting = self.waiting.lock();
        let mut bytes = 0;
        while bytes < BATCH_BYTES {
            match waiting.items.pop_front() {
                Some(Item::Frame(frame)) => {
                    bytes += frame.len();
                    frames.push(frame);
                }
                Some(Item::Request(passed)) if frames.is_empty() => {
                    waiting.connections -= 1;
                    waiting.bytes -= passed.forwarded.unread.len();
                    waiting.writing = true;
                    return Some(passed);
                }
                Some(request) => {
                    waiting.items.push_front(request);
                    break;
                }
                None => break,
            }
        }
        waiting.bytes -= bytes;
        waiting.writing = !frames.is_empty();
        None
    }

    /// Writes a greeting and what is sent, until the other worker has ended the connection, or too much waits.
    pub(crate) async fn carry(&self, stream: &Arc<UnixStream>, hello: &[u8]) -> io::Result<()> {
        tokio::select! {
            result = self.write(stream, hello) => result,
            result = ended(stream) => result,
            () = self.overflowed.notified() => Err(io::Error::other("too much waits")),
        }
    }

    async fn write(&self, stream: &Arc<UnixStream>, hello: &[u8]) -> io::Result<()> {
        write_all(stream, hello).await?;
        self.waiting.lock().stream = Some(Arc::clone(stream));
        let mut frames = Vec::new();
        loop {
            let changed = self.changed.notified();
            if let Some(passed) = self.take(&mut frames) {
                let frame = encode_request(&passed.forwarded);
                let sent = send_with(stream, &frame, &passed.connection).await?;
                write_all(stream, &frame[sent..]).await?;
                continue;
            }
            match frames.as_slice() {
                [] => changed.await,
                [frame] => write_all(stream, frame).await?,
                several => write_all(stream, &several.concat()).await?,
            }
            frames.clear();
        }
    }
}

/// Returns when the other end has closed the connection, on which it sends nothing.
async fn ended(stream: &UnixStream) -> io::Result<()> {
    loop {
        stream.readable().await?;
        match stream.try_read(&mut [0; 1]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            _ => return Ok(()),
        }
    }
}

async fn write_all(stream: &UnixStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Sends the beginning of a frame with a descriptor. Returns how many bytes that were.
async fn send_with(stream: &UnixStream, frame: &[u8], connection: &OwnedFd) -> io::Result<usize> {
    let send = || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = [connection.as_fd()];
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        let frame = [IoSlice::new(frame)];
        Ok(sendmsg(stream, &frame, &mut control, SendFlags::NOSIGNAL)?)
    };
    stream.async_io(Interest::WRITABLE, send).await
}

/// The end of a link that receives.
pub(crate) struct Receiver<'a> {
    stream: &'a UnixStream,
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
    pub(crate) fn new(stream: &'a UnixStream) -> Self {
        Self {
            stream,
            buffer: vec![0; BATCH_BYTES].into_boxed_slice(),
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
