//! The recoverable state of a namespace: its log, and its sockets under the secrets of their clients.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    fmt,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Instant,
};

use kokanee_cluster::{
    History, Log, LogLimits, Member, Missed, Position, PositionText, Recipients, Target, Trimmed,
};
use kokanee_engineio::{Outgoing, RunText, SendOptions, Sid};
use kokanee_socketio::{EncodedPacket, write_offset};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{
    Recovery,
    socket::{Asked, Left, Past, Recoverable, Recovering, SocketData},
};
use crate::{clock, metrics::Metrics, socket_id::SocketId};

/// What a stored packet needs besides its text, and for each attachment.
const PACKET_BYTES: usize = 256;
const ATTACHMENT_BYTES: usize = 320;

/// How many of those who have come back may be in the list of those who have gone, besides as many as are kept.
const FEW: usize = 1024;

/// Memory that a packet takes, with the encodings that its recipients may need.
fn memory_bytes(packet: &EncodedPacket) -> usize {
    let attachments = packet.attachments();
    let bytes: usize = attachments.iter().map(Outgoing::len).sum();
    // As it was given, as a frame, and as base64.
    packet.size_bytes() + 2 * bytes + attachments.len() * ATTACHMENT_BYTES + PACKET_BYTES
}

/// The state of a socket that has gone.
pub(crate) struct Kept {
    id: SocketId,
    rooms: Vec<String>,
    data: SocketData,
    past: Past,
    /// The last event that was sent to it.
    sent: Position,
    /// The last event of the namespace when it went.
    end: Position,
    at: Instant,
    /// Closes when its `on_disconnect` handlers have ended.
    ended: Option<oneshot::Receiver<()>>,
}

enum Session<S> {
    Connected(S),
    Gone(Box<Kept>),
}

/// A socket that was found for a client.
pub(crate) struct Restored {
    pub(crate) id: SocketId,
    pub(crate) rooms: Vec<String>,
    pub(crate) data: SocketData,
    pub(crate) ended: Option<oneshot::Receiver<()>>,
    pub(crate) recovering: Recovering,
}

/// Why a client is not recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unrecovered {
    Unknown,
    Offset,
    Trimmed,
    RoomsChanged,
    TooMuch,
}

impl Unrecovered {
    /// Its name in metrics.
    fn label(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Offset => "offset",
            Self::Trimmed => "trimmed",
            Self::RoomsChanged => "rooms changed",
            Self::TooMuch => "too much",
        }
    }
}

impl fmt::Display for Unrecovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => {
                "its state is not kept: it was away too long, or another process had it"
            }
            Self::Offset => "its offset is not one of this server",
            Self::Trimmed => "what it has missed is no longer stored",
            Self::RoomsChanged => "its rooms have changed too often",
            Self::TooMuch => "it has missed too much",
        })
    }
}

/// A socket cannot be connected.
#[derive(Debug)]
pub(crate) struct NotConnected;

/// The socket has gone, and its state is not kept.
#[derive(Debug)]
pub(crate) struct Gone;

struct State<S> {
    log: Log<EncodedPacket, SocketId>,
    sessions: HashMap<Sid, Session<S>, foldhash::fast::RandomState>,
    /// Those that have gone, in the order of their going. Some may have come back.
    gone: VecDeque<(Instant, Sid)>,
    /// When it was swept last: for the log, the time is no finer than that.
    swept: Instant,
}

/// An event for many sockets, while it is sent.
pub(crate) struct Broadcast<'a> {
    packet: &'a EncodedPacket,
    with_offset: Option<EncodedPacket>,
    /// `None` if it is not stored.
    position: Option<Position>,
}

impl Broadcast<'_> {
    /// Returns the packet to be sent to a socket: with the offset, if its client may come back.
    #[inline]
    pub(crate) fn packet_for(&self, recovering: Option<&Recovering>) -> &EncodedPacket {
        let Some(recovering) = recovering else {
            return self.packet;
        };
        if let Some(position) = self.position {
            recovering.set_sent(position);
        }
        self.with_offset.as_ref().unwrap_or(self.packet)
    }
}

/// The recoverable state of a namespace, whose sockets are `S`.
pub(crate) struct Recoveries<S> {
    log_limits: LogLimits,
    settings: Recovery,
    state: Mutex<State<S>>,
    /// How many that have gone are kept.
    kept: AtomicUsize,
    recovered: AtomicU64,
    unrecovered: AtomicU64,
}

impl<S: Recoverable> Recoveries<S> {
    pub(crate) fn new(settings: Recovery) -> Self {
        Self {
            log_limits: settings.log_limits(),
            settings,
            state: Mutex::new(State {
                log: Log::default(),
                sessions: HashMap::default(),
                gone: VecDeque::new(),
                swept: clock::now(),
            }),
            kept: AtomicUsize::new(0),
            recovered: AtomicU64::new(0),
            unrecovered: AtomicU64::new(0),
        }
    }

    pub(crate) fn skips_middlewares(&self) -> bool {
        self.settings.skip_middlewares
    }

    /// Whether a socket that has gone is kept.
    pub(crate) fn keeps_any(&self) -> bool {
        self.kept.load(Ordering::Acquire) > 0
    }

    pub(crate) fn recovered(&self) -> u64 {
        self.recovered.load(Ordering::Relaxed)
    }

    pub(crate) fn unrecovered(&self) -> u64 {
        self.unrecovered.load(Ordering::Relaxed)
    }

    // Joining.

    /// Prepares a new socket.
    pub(crate) fn begin(&self, random: [u8; 15]) -> Recovering {
        let end = self.state.lock().log.end();
        let past = Past::new(end);
        Recovering::new(Sid::from_random(random), past, end, None)
    }

    /// Returns the state of the socket that a client asks for in its `auth`, if it does and may have it. The state is then no
    /// longer kept.
    pub(crate) fn claim(&self, namespace: &str, auth: &str, metrics: &Metrics) -> Option<Restored> {
        let asked = Asked::read(auth)?;
        let found = self.find(&asked);
        if let Err(reason) = found {
            self.unrecovered.fetch_add(1, Ordering::Relaxed);
            metrics.not_recovered(reason.label());
            tracing::info!(namespace, %reason, "a client is not recovered");
        }
        found.ok()
    }

    fn find(&self, asked: &Asked) -> Result<Restored, Unrecovered> {
        let mut state = self.state.lock();
        let (kept, replaced) = match state.sessions.remove(&asked.pid) {
            None => return Err(Unrecovered::Unknown),
            Some(Session::Gone(kept)) => {
                self.kept.fetch_sub(1, Ordering::Release);
                if self.is_too_old(kept.at, clock::now()) {
                    drop(state);
                    return Err(Unrecovered::Unknown);
                }
                (Some(kept), None)
            }
            // Its connection is dead, which only the client knows.
            Some(Session::Connected(socket)) => {
                let left = socket.replace();
                (
                    Self::kept(&state, &socket, left).map(Box::new),
                    Some(socket),
                )
            }
        };
        let from = match &kept {
            None => Err(Unrecovered::Unknown),
            Some(kept) => self.check(&state, kept, asked),
        };
        drop(state);
        if let Some(socket) = replaced {
            socket.end_replaced();
        }
        let (from, kept) = (from?, kept.ok_or(Unrecovered::Unknown)?);
        let recovering = Recovering::new(asked.pid, kept.past, kept.sent, Some(from));
        Ok(Restored {
            id: kept.id,
            rooms: kept.rooms,
            data: kept.data,
            ended: kept.ended,
            recovering,
        })
    }

    /// Returns the position after which the client has missed events.
    fn check(&self, state: &State<S>, kept: &Kept, asked: &Asked) -> Result<Position, Unrecovered> {
        let offset = match asked.offset {
            None => kept.past.start,
            Some(offset) => offset.map_err(|_| Unrecovered::Offset)?,
        };
        if offset > state.log.end() {
            return Err(Unrecovered::Offset);
        }
        // A client that has all that was sent to it has missed nothing before it went, however old that is.
        let from = if offset >= kept.sent {
            offset.max(kept.end)
        } else {
            offset
        };
        if from < kept.past.history.since() {
            return Err(Unrecovered::RoomsChanged);
        }
        let member = member(kept.id.as_str(), &kept.rooms, &kept.past.history);
        let missed = state.log.missed(from, &member);
        let mut left = self.settings.max_missed_bytes;
        for missed in missed.map_err(|Trimmed| Unrecovered::Trimmed)? {
            let bytes = match missed {
                Missed::Packet(packet) => packet.size_bytes(),
                Missed::Text(text) => text.len(),
            };
            left = left.checked_sub(bytes).ok_or(Unrecovered::TooMuch)?;
        }
        Ok(from)
    }

    /// Makes the state of a new socket known under the secret of its client.
    pub(crate) fn admit(&self, socket: &S, recovering: &Recovering) {
        let mut state = self.state.lock();
        let session = Session::Connected(socket.clone());
        state.sessions.insert(recovering.pid, session);
    }

    /// Connects a socket: from now on it is a recipient. Returns what it has missed.
    ///
    /// # Errors
    /// [`NotConnected`] if that is no longer stored, as the middlewares have taken long, or if another connection has taken its
    /// place.
    pub(crate) fn connect(
        &self,
        socket: &S,
        recovering: &Recovering,
    ) -> Result<Vec<EncodedPacket>, NotConnected> {
        let state = self.state.lock();
        let end = state.log.end();
        let mut past = recovering.past.lock();
        let mut packets = Vec::new();
        if let Some(from) = recovering.recovered_from {
            let (id, rooms) = (socket.socket_id(), socket.joined_rooms());
            let member = member(id.as_str(), &rooms, &past.history);
            let missed = state.log.missed(from, &member);
            let missed = missed.map_err(|Trimmed| NotConnected)?;
            let packet = |missed| match missed {
                Missed::Packet(packet) => EncodedPacket::clone(packet),
                Missed::Text(text) => EncodedPacket::from_written(text, None),
            };
            packets = missed.map(packet).collect();
            recovering.set_sent(end);
            self.recovered.fetch_add(1, Ordering::Relaxed);
        } else if recovering.sent() == past.start {
            *past = Past::new(end);
            recovering.set_sent(end);
        }
        if socket.set_connected() {
            Ok(packets)
        } else {
            Err(NotConnected)
        }
    }

    // Sending.

    /// Stores an event for one socket and sends it with its offset by `emit`, which returns the packet if there is no room.
    ///
    /// # Errors
    /// [`Gone`] if the socket has gone and cannot come back.
    pub(crate) fn send(
        &self,
        socket: &S,
        recovering: &Recovering,
        packet: EncodedPacket,
        options: SendOptions,
        emit: impl FnOnce(EncodedPacket) -> Result<Option<EncodedPacket>, Gone>,
    ) -> Result<Option<EncodedPacket>, Gone> {
        let mut state = self.state.lock();
        if options.volatile {
            return emit(state.volatile(&packet).unwrap_or(packet));
        }
        let (position, stored) = state.with_offset(&packet);
        match emit(stored.clone()) {
            Ok(Some(_no_room)) => return Ok(Some(packet)),
            Ok(None) => recovering.set_sent(position),
            Err(Gone) => match state.sessions.get(&recovering.pid) {
                // It receives this when it comes back.
                Some(Session::Gone(_)) => {}
                // It has come back, and this is the handle of its connection that was lost.
                Some(Session::Connected(other)) if !other.is(socket) => {
                    other.send_again(stored.clone(), options, position);
                }
                _ => return Err(Gone),
            },
        }
        if packet.attachments().is_empty() {
            let (limits, sent) = (&self.log_limits, state.swept);
            let (text, id) = (stored.first().text_bytes(), socket.socket_id());
            state.log.push_text(limits, sent, text, id);
        } else {
            let recipient = Recipients::Member(socket.socket_id());
            self.store(&mut state, stored, recipient);
        }
        Ok(None)
    }

    /// Appends the offset to an event for one socket that is about to be staged, and stores it. Returns `false` if it cannot be
    /// staged: `may` is asked under the lock.
    #[inline]
    pub(crate) fn seal(
        &self,
        socket: &S,
        recovering: &Recovering,
        text: &mut RunText<'_>,
        may: impl FnOnce() -> bool,
    ) -> bool {
        if !text.has_room_for(PositionText::MAX_BYTES + 3) {
            return false;
        }
        let mut state = self.state.lock();
        if !may() {
            return false;
        }
        let position = state.log.next();
        write_offset(text.as_mut_vec(), state.log.next_text().as_bytes());
        recovering.set_sent(position);
        let (limits, sent) = (&self.log_limits, state.swept);
        state
            .log
            .push_text(limits, sent, text.text(), socket.socket_id());
        true
    }

    /// Stores an event for many sockets, once. `send` sends it: to each recipient what [`Broadcast::packet_for`] returns.
    pub(crate) fn broadcast(
        &self,
        target: &Target,
        packet: &EncodedPacket,
        options: SendOptions,
        send: impl FnOnce(&Broadcast<'_>),
    ) {
        let mut state = self.state.lock();
        if options.volatile {
            return send(&Broadcast {
                packet,
                with_offset: state.volatile(packet),
                position: None,
            });
        }
        let (position, stored) = state.with_offset(packet);
        send(&Broadcast {
            packet,
            with_offset: Some(stored.clone()),
            position: Some(position),
        });
        self.store(&mut state, stored, target.into());
    }

    fn store(&self, state: &mut State<S>, packet: EncodedPacket, recipients: Recipients<SocketId>) {
        let (bytes, sent) = (memory_bytes(&packet), state.swept);
        state
            .log
            .push(&self.log_limits, sent, packet, recipients, bytes);
    }

    /// Changes the rooms of a socket, between two events. `change` calls the function that it gets with each room that was
    /// joined (true) or left.
    pub(crate) fn change_rooms<R>(
        &self,
        recovering: &Recovering,
        change: impl FnOnce(&mut dyn FnMut(&str, bool)) -> R,
    ) -> R {
        let state = self.state.lock();
        let mut past = recovering.past.lock();
        change(&mut |room, joined| past.history.note(state.log.end(), room, joined))
    }

    // Leaving.

    /// Takes a socket out of its namespace with `leave`, and keeps its state if it may come back.
    pub(crate) fn leave(&self, socket: &S, recovering: &Recovering, keep: bool) -> Left {
        let mut state = self.state.lock();
        let left = socket.leave_namespace();
        let session = state.sessions.get(&recovering.pid);
        // Another connection may have taken its place.
        if !matches!(session, Some(Session::Connected(other)) if other.is(socket)) {
            return left;
        }
        state.sessions.remove(&recovering.pid);
        if keep && let Some(kept) = Self::kept(&state, socket, left.clone()) {
            let at = kept.at;
            let session = Session::Gone(Box::new(kept));
            state.sessions.insert(recovering.pid, session);
            state.gone.push_back((at, recovering.pid));
            let kept = self.kept.fetch_add(1, Ordering::Release) + 1;
            if state.gone.len() > 2 * kept + FEW {
                state.drop_returned();
            }
            if kept > self.settings.max_sessions {
                let forgotten = self.forget_first(&mut state);
                drop(state);
                // Without the lock: dropping its data runs code of the application.
                drop(forgotten);
            }
        }
        left
    }

    fn kept(state: &State<S>, socket: &S, left: Left) -> Option<Kept> {
        let recovering = socket.recovering()?;
        // A client that was never accepted does not know its secret.
        if !left.was_connected && !recovering.is_recovered() {
            return None;
        }
        let (sent, end) = (recovering.sent(), state.log.end());
        Some(Kept {
            id: socket.socket_id(),
            rooms: left.rooms,
            data: socket.data(),
            past: recovering.past.lock().clone(),
            sent,
            // One that was not accepted has not received anything since it went.
            end: match recovering.recovered_from {
                Some(from) if !left.was_connected => from,
                _ => end,
            },
            at: clock::now(),
            ended: socket.end_signal(),
        })
    }

    fn is_too_old(&self, at: Instant, now: Instant) -> bool {
        now.saturating_duration_since(at) > self.settings.max_disconnection
    }

    /// Forgets the socket that has gone first. The caller drops it after it has released the lock.
    fn forget_first(&self, state: &mut State<S>) -> Option<Session<S>> {
        while let Some((at, pid)) = state.gone.pop_front() {
            let forgotten = self.forget(state, at, pid);
            if forgotten.is_some() {
                return forgotten;
            }
        }
        None
    }

    /// Forgets the socket that has gone at this time, unless it has come back since.
    fn forget(&self, state: &mut State<S>, at: Instant, pid: Sid) -> Option<Session<S>> {
        match state.sessions.entry(pid) {
            Entry::Occupied(session) if matches!(session.get(), Session::Gone(kept) if kept.at == at) =>
            {
                self.kept.fetch_sub(1, Ordering::Release);
                Some(session.remove())
            }
            _ => None,
        }
    }

    /// Forgets what is too old. Returns whether something is left that will be.
    pub(crate) fn sweep(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        let mut forgotten = Vec::new();
        state.swept = now;
        state.log.trim(&self.log_limits, now);
        while let Some(&(at, pid)) = state.gone.front()
            && self.is_too_old(at, now)
        {
            state.gone.pop_front();
            forgotten.extend(self.forget(&mut state, at, pid));
        }
        if state.gone.is_empty() {
            state.gone = VecDeque::new();
        }
        let is_empty = state.sessions.is_empty() && state.log.size().0 == 0;
        drop(state);
        // Without the lock: dropping their data runs code of the application.
        drop(forgotten);
        !is_empty
    }
}

impl<S> State<S> {
    fn with_offset(&self, packet: &EncodedPacket) -> (Position, EncodedPacket) {
        let offset = self.log.next_text().as_bytes();
        (self.log.next(), packet.with_offset(offset))
    }

    /// Drops from the list of those who have gone who has come back.
    #[cold]
    fn drop_returned(&mut self) {
        let sessions = &self.sessions;
        self.gone.retain(
            |(at, pid)| matches!(sessions.get(pid), Some(Session::Gone(kept)) if kept.at == *at),
        );
    }

    /// A volatile event is not stored. But a client takes its last argument for an offset if that is a text: then the true one
    /// follows.
    fn volatile(&self, packet: &EncodedPacket) -> Option<EncodedPacket> {
        packet
            .ends_with_text()
            .then(|| packet.with_offset(self.log.end().text().as_bytes()))
    }
}

fn member<'a>(id: &'a str, rooms: &'a [String], history: &'a History) -> Member<'a> {
    Member { id, rooms, history }
}
