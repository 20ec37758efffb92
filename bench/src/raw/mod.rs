//! The raw generator: all connections of a run on one event loop, which opens them, reads in batches and writes once per
//! read. It is meant to cost less than any server: prebuilt frames, no JSON.

mod connection;
mod http;
mod numbered;
mod outbox;
mod storm;
mod target;
mod websocket;

use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::error::{Error, Violation};
use crate::fleet::{ConnectionStats, Fleet};
use crate::load::{Emit, Load, Message};
use crate::options::{Options, Scenario};
use crate::raw::connection::Connection;
use crate::raw::numbered::Numbered;
use crate::raw::outbox::Outbox;
use crate::raw::storm::Storm;
use crate::raw::target::{Target, Transport};

/// Bytes of one read; the messages of a whole burst fit.
const SCRATCH: usize = 256 * 1024;
/// Events of one turn.
const EVENTS: usize = 1024;
/// Edge-triggered epoll and kqueue report new bytes after a short read, so a second, empty read is not needed. On other
/// systems readiness is rearmed by a read that would block.
const SHORT_READ_IS_LAST: bool = cfg!(any(
    target_os = "linux",
    target_os = "android",
    target_os = "macos",
    target_os = "freebsd"
));

/// The connections.
#[derive(Debug)]
pub(crate) struct RawFleet {
    target: Target,
    message: Numbered,
    poll: Poll,
    events: Events,
    /// `None` where a connection is cut or lost.
    links: Vec<Option<Link>>,
    stats: ConnectionStats,
    spread: Duration,
    /// While cut connections reconnect.
    storm: Option<Storm>,
    scratch: Vec<u8>,
    outbox: Outbox,
    /// What the load emits for an arrival; kept to reuse its memory.
    emits: Vec<Emit>,
}

/// One connection with its socket.
#[derive(Debug)]
struct Link {
    stream: TcpStream,
    protocol: Connection,
    /// Bytes that the socket did not accept yet.
    backlog: Vec<u8>,
    is_connected: bool,
    started: Instant,
}

impl RawFleet {
    /// Returns a fleet without connections.
    ///
    /// # Errors
    /// [`Error::Url`], [`Error::Resolve`] or [`Error::EventLoop`].
    pub(crate) fn new(options: &Options) -> Result<Self, Error> {
        let transport = match options.scenario {
            Scenario::Polling => Transport::Polling,
            _ => Transport::WebSocket,
        };
        let target = Target::new(options, transport)?;
        let message = Numbered::new(&target, &Message::of(options));
        Ok(Self {
            target,
            message,
            poll: Poll::new().map_err(Error::EventLoop)?,
            events: Events::with_capacity(EVENTS),
            links: Vec::new(),
            stats: ConnectionStats::new(),
            spread: options.spread,
            storm: None,
            scratch: vec![0; SCRATCH],
            outbox: Outbox::default(),
            emits: Vec::new(),
        })
    }

    /// Starts a connection that is new, cut or lost. The time until its namespace accepts it counts from `since`.
    fn connect(&mut self, index: usize, since: Instant) -> Result<(), Error> {
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

    /// Runs a turn in a storm: starts connections that are due, and schedules retries for failed ones.
    fn turn_of_storm(&mut self, storm: &mut Storm, timeout: Duration) -> Result<(), Error> {
        let now = Instant::now();
        let mut lost = Vec::new();
        while let Some(index) = storm.due(now) {
            if let Err(error) = self.connect(index, storm.start) {
                self.stats.fail(error.reason());
                lost.push(index);
            }
        }
        let next = storm.next(now).unwrap_or(timeout);
        self.process(None, next.min(timeout), Some(&mut lost))?;
        storm.repeat(&lost, Instant::now());
        Ok(())
    }

    /// Waits for events for at most `timeout` and handles them. Connections that fail are closed and added to `lost`, if
    /// that is given.
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
                    self.stats.ready -= usize::from(link.protocol.is_ready());
                    self.stats.fail(error.reason());
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
                    let Some(load) = load.as_mut() else {
                        return false;
                    };
                    let number = self.message.read(packet);
                    let is_known = load.on_arrival(index, number, now, &mut self.emits);
                    for emit in self.emits.drain(..) {
                        self.message.send(emit, outbox);
                    }
                    is_known
                },
            );
            if let Err(violation) = received {
                // Its bytes must not go to the next connection.
                self.outbox.own.clear();
                self.stats.ready += usize::from(!was_ready && link.protocol.is_ready());
                return Err(Error::Violation {
                    connection: index,
                    violation,
                });
            }
            if !was_ready && link.protocol.is_ready() {
                self.stats.accept(link.started, now);
            }
            if !self.outbox.own.is_empty() {
                link.write(&self.outbox.own).map_err(failed)?;
                self.outbox.own.clear();
            }
            // The end of the stream may have come together with these bytes, and is reported once.
            if SHORT_READ_IS_LAST && count < self.scratch.len() && !event.is_read_closed() {
                return Ok(());
            }
        }
    }

    /// Sends what the load emitted on connections other than the one that was read.
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

impl Fleet for RawFleet {
    fn stats(&self) -> &ConnectionStats {
        &self.stats
    }

    fn stats_mut(&mut self) -> &mut ConnectionStats {
        &mut self.stats
    }

    fn start(&mut self) -> Result<(), Error> {
        let index = self.links.len();
        self.links.push(None);
        self.stats.started += 1;
        self.connect(index, Instant::now())
    }

    fn cut(&mut self) {
        let now = Instant::now();
        self.links.fill_with(|| None);
        self.stats.ready = 0;
        self.storm = Some(Storm::new(self.links.len(), self.spread, now));
    }

    fn emit(&mut self, emits: &[Emit]) -> Result<(), Error> {
        self.outbox.reading = None;
        for &emit in emits {
            self.message.send(emit, &mut self.outbox);
        }
        self.send_others()
    }

    fn turn(&mut self, load: Option<&mut dyn Load>, timeout: Duration) -> Result<(), Error> {
        let Some(mut storm) = self.storm.take() else {
            return self.process(load, timeout, None);
        };
        self.turn_of_storm(&mut storm, timeout)?;
        self.storm = (!self.stats.is_complete()).then_some(storm);
        Ok(())
    }
}

impl Link {
    /// Sends the first request if the TCP connection is established; returns whether it is.
    fn connect(&mut self, target: &Target) -> io::Result<bool> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        match self.stream.peer_addr() {
            Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(false),
            result => result?,
        };
        self.stream.set_nodelay(true)?;
        // Closing resets the connection, so that repeated runs leave no TIME_WAIT.
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))?;
        self.is_connected = true;
        let mut request = Vec::new();
        self.protocol.open(target, &mut request);
        self.write(&request)?;
        Ok(true)
    }

    /// Writes, and buffers what the socket does not accept.
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

    /// Writes the buffer.
    fn flush(&mut self) -> io::Result<()> {
        let written = write_some(&mut self.stream, &self.backlog)?;
        self.backlog.drain(..written);
        Ok(())
    }
}

/// Writes until the socket is full, and returns how many bytes it accepted.
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
