//! All connections of a run on one event loop: opens them, reads in batches, writes once per read.

mod connection;
mod http;
pub(crate) mod numbered;
pub(crate) mod storm;
pub(crate) mod target;
mod websocket;

use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::error::{Error, Violation};
use crate::load::{Load, Outbox};
use crate::raw::connection::Connection;
use crate::raw::target::Target;
use crate::report::Recorder;

/// Bytes of one read; the messages of a whole burst fit.
const SCRATCH: usize = 256 * 1024;
/// Events of one turn.
const EVENTS: usize = 1024;
/// Edge-triggered epoll and kqueue report new bytes behind a short read, so the second, empty read can be saved.
/// Elsewhere readiness is rearmed by a read that would block.
const SHORT_READ_IS_LAST: bool = cfg!(any(
    target_os = "linux",
    target_os = "android",
    target_os = "macos",
    target_os = "freebsd"
));

/// The connections.
#[derive(Debug)]
pub(crate) struct Fleet {
    target: Target,
    poll: Poll,
    events: Events,
    /// `None` where a connection is cut or lost.
    links: Vec<Option<Link>>,
    /// Number of links whose namespace has accepted them.
    ready: usize,
    handshakes: Recorder,
    /// Handshakes that were recorded.
    accepted: u64,
    scratch: Vec<u8>,
    outbox: Outbox,
}

/// One connection with its socket.
#[derive(Debug)]
struct Link {
    stream: TcpStream,
    protocol: Connection,
    /// What the socket did not take.
    backlog: Vec<u8>,
    is_connected: bool,
    started: Instant,
}

impl Fleet {
    /// Returns a fleet without connections.
    ///
    /// # Errors
    /// [`Error::EventLoop`].
    pub(crate) fn new(target: Target) -> Result<Self, Error> {
        Ok(Self {
            target,
            poll: Poll::new().map_err(Error::EventLoop)?,
            events: Events::with_capacity(EVENTS),
            links: Vec::new(),
            ready: 0,
            handshakes: Recorder::new(),
            accepted: 0,
            scratch: vec![0; SCRATCH],
            outbox: Outbox::default(),
        })
    }

    /// Returns the server.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Returns the number of connections that their namespace has accepted.
    pub(crate) fn ready(&self) -> usize {
        self.ready
    }

    /// Returns the number of connections that are open or under way.
    pub(crate) fn len(&self) -> usize {
        self.links.len()
    }

    /// Returns the times from the start of a connection to the accepted namespace.
    pub(crate) fn handshakes(&mut self) -> &mut Recorder {
        &mut self.handshakes
    }

    /// Returns how often a namespace has accepted a connection.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Starts one more connection.
    ///
    /// # Errors
    /// [`Error::Connection`].
    pub(crate) fn start(&mut self) -> Result<(), Error> {
        let index = self.links.len();
        self.links.push(None);
        self.restart(index, Instant::now())
    }

    /// Starts a connection that is cut or lost. The time until its namespace accepts it counts from `since`.
    ///
    /// # Errors
    /// [`Error::Connection`].
    pub(crate) fn restart(&mut self, index: usize, since: Instant) -> Result<(), Error> {
        let failed = |source| Error::Connection {
            connection: index,
            source,
        };
        let mut stream = TcpStream::connect(self.target.address).map_err(failed)?;
        self.poll
            .registry()
            .register(
                &mut stream,
                Token(index),
                Interest::READABLE | Interest::WRITABLE,
            )
            .map_err(failed)?;
        self.links[index] = Some(Link {
            stream,
            protocol: Connection::new(self.target.transport),
            backlog: Vec::new(),
            is_connected: false,
            started: since,
        });
        Ok(())
    }

    /// Closes all connections at once.
    pub(crate) fn cut(&mut self) {
        self.links.fill_with(|| None);
        self.ready = 0;
    }

    /// Lets the load emit outside of a turn, and sends it.
    ///
    /// # Errors
    /// [`Error::Connection`].
    pub(crate) fn emit(&mut self, emit: impl FnOnce(&mut Outbox)) -> Result<(), Error> {
        self.outbox.reading = None;
        emit(&mut self.outbox);
        self.send_others()
    }

    /// Waits for events for at most `timeout` and handles them.
    ///
    /// # Errors
    /// [`Error::Connection`] or [`Error::Violation`] of the first connection that fails.
    pub(crate) fn turn(
        &mut self,
        load: Option<&mut dyn Load>,
        timeout: Duration,
    ) -> Result<(), Error> {
        self.process(load, timeout, None)
    }

    /// As [`turn`](Self::turn), but connections that fail are closed and added to `lost`.
    ///
    /// # Errors
    /// [`Error::EventLoop`].
    pub(crate) fn turn_with_losses(
        &mut self,
        timeout: Duration,
        lost: &mut Vec<usize>,
    ) -> Result<(), Error> {
        self.process(None, timeout, Some(lost))
    }

    fn process(
        &mut self,
        mut load: Option<&mut dyn Load>,
        timeout: Duration,
        mut lost: Option<&mut Vec<usize>>,
    ) -> Result<(), Error> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            result => result.map_err(Error::EventLoop)?,
        }
        let events = mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            let served = match &mut load {
                Some(load) => self.serve(event, Some(&mut **load)),
                None => self.serve(event, None),
            };
            if let Err(error) = served {
                let Some(lost) = &mut lost else {
                    return Err(error);
                };
                let index = event.token().0;
                if let Some(link) = self.links[index].take() {
                    self.ready -= usize::from(link.protocol.is_ready());
                    lost.push(index);
                }
            }
        }
        self.events = events;
        self.send_others()
    }

    /// Handles the readiness of one connection.
    fn serve(&mut self, event: &Event, mut load: Option<&mut dyn Load>) -> Result<(), Error> {
        let index = event.token().0;
        let Some(link) = &mut self.links[index] else {
            return Ok(());
        };
        let failed = |source| Error::Connection {
            connection: index,
            source,
        };
        if !link.is_connected && !link.connect(&self.target).map_err(failed)? {
            return Ok(());
        }
        if event.is_writable() && !link.backlog.is_empty() {
            link.flush().map_err(failed)?;
        }
        if !event.is_readable() {
            return Ok(());
        }
        loop {
            let count = match link.stream.read(&mut self.scratch) {
                Ok(0) => {
                    return Err(Error::Violation {
                        connection: index,
                        violation: Violation::Eof,
                    });
                }
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(error)),
            };
            let now = Instant::now();
            let was_ready = link.protocol.is_ready();
            self.outbox.reading = Some(index);
            let received = link.protocol.receive(
                &self.scratch[..count],
                &self.target,
                &mut self.outbox,
                |packet, outbox| {
                    load.as_mut()
                        .is_some_and(|load| load.on_event(index, packet, now, outbox))
                },
            );
            if let Err(violation) = received {
                // What it would have sent must not go to the next one.
                self.outbox.own.clear();
                self.ready += usize::from(!was_ready && link.protocol.is_ready());
                return Err(Error::Violation {
                    connection: index,
                    violation,
                });
            }
            if !was_ready && link.protocol.is_ready() {
                self.ready += 1;
                self.accepted += 1;
                self.handshakes.record(now - link.started);
            }
            if !self.outbox.own.is_empty() {
                link.write(&self.outbox.own).map_err(failed)?;
                self.outbox.own.clear();
            }
            if SHORT_READ_IS_LAST && count < self.scratch.len() {
                return Ok(());
            }
        }
    }

    /// Sends what handlers emitted on other connections than the one that was read.
    fn send_others(&mut self) -> Result<(), Error> {
        let mut out = Vec::new();
        for (connection, wire) in self.outbox.others.drain(..) {
            let Some(link) = &mut self.links[connection] else {
                continue;
            };
            link.protocol.submit(&wire, &self.target, &mut out);
            link.write(&out)
                .map_err(|source| Error::Connection { connection, source })?;
            out.clear();
        }
        Ok(())
    }
}

impl Link {
    /// Sends the first request if the TCP connection has come about; returns whether it has.
    fn connect(&mut self, target: &Target) -> io::Result<bool> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        match self.stream.peer_addr() {
            Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(false),
            result => result?,
        };
        self.stream.set_nodelay(true)?;
        // Closing resets the connection: no TIME_WAIT, so that runs can follow one another without end.
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))?;
        self.is_connected = true;
        let mut request = Vec::new();
        self.protocol.open(target, &mut request);
        self.write(&request)?;
        Ok(true)
    }

    /// Writes, and keeps what the socket does not take.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let written = if self.backlog.is_empty() {
            write_some(&mut self.stream, bytes)?
        } else {
            0
        };
        self.backlog.extend_from_slice(&bytes[written..]);
        Ok(())
    }

    /// Writes what was kept.
    fn flush(&mut self) -> io::Result<()> {
        let written = write_some(&mut self.stream, &self.backlog)?;
        self.backlog.drain(..written);
        Ok(())
    }
}

/// Writes until the socket is full and returns how much it took.
fn write_some(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match stream.write(&bytes[written..]) {
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}
