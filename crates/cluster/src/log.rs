//! The log of what was sent to the members of a namespace, and what one of them has missed of it.
//!
//! A packet is stored once, whoever receives it. Its [`Position`] grows by one with each packet, so that a client which says
//! what it received last needs no search. Who was in which room when a packet was sent is known from the member's last rooms
//! and its [`History`]: memory is needed only for members whose rooms change.

use std::{
    collections::VecDeque,
    fmt,
    str::FromStr,
    time::{Duration, Instant},
};

use crate::{
    target::Target,
    texts::{Place, Texts},
};

/// The place of a packet in a [`Log`]. Written as a hexadecimal number, without leading zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Position(u64);

impl Position {
    /// Creates a position from its number.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// Returns its number.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// Returns its text.
    #[inline]
    pub fn text(self) -> PositionText {
        let mut digits = [0; PositionText::MAX_BYTES];
        let (mut start, mut rest) = (digits.len(), self.0);
        loop {
            start -= 1;
            digits[start] = b"0123456789abcdef"[(rest & 15) as usize];
            rest >>= 4;
            if rest == 0 {
                return PositionText { digits, start };
            }
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().as_str())
    }
}

/// The text of a [`Position`].
#[derive(Debug, Clone, Copy)]
pub struct PositionText {
    digits: [u8; Self::MAX_BYTES],
    start: usize,
}

impl PositionText {
    /// The length of the longest text.
    pub const MAX_BYTES: usize = 16;

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// Returns the text as bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        self.digits.get(self.start..).unwrap_or_default()
    }

    /// Makes it the text of the next position, mostly by changing its last digit.
    #[inline]
    fn increment(&mut self) {
        for at in (0..Self::MAX_BYTES).rev() {
            self.start = self.start.min(at);
            let digit = &mut self.digits[at];
            match *digit {
                b'f' => *digit = b'0',
                b'9' => return *digit = b'a',
                0 => return *digit = b'1',
                _ => return *digit += 1,
            }
        }
    }
}

/// The text is not a [`Position`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidPosition;

impl FromStr for Position {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let has_zeros = text.len() > 1 && text.starts_with('0');
        let is_canonical = !has_zeros
            && !text
                .bytes()
                .any(|byte| byte == b'+' || byte.is_ascii_uppercase());
        let number = u64::from_str_radix(text, 16).map_err(|_| InvalidPosition)?;
        is_canonical.then_some(Self(number)).ok_or(InvalidPosition)
    }
}

/// What a [`Log`] keeps at most. The oldest packets are forgotten first.
#[derive(Debug, Clone, Copy)]
pub struct LogLimits {
    /// Most packets.
    pub max_packets: usize,
    /// Most bytes: those that [`Log::push`] is given, and what the log itself needs.
    pub max_bytes: usize,
    /// Longest time.
    pub max_age: Duration,
}

/// To whom a packet was sent. `M` is the id of a member.
#[derive(Debug, Clone)]
pub enum Recipients<M> {
    /// All members.
    Everybody,
    /// One member.
    Member(M),
    /// The members in rooms, or not in rooms.
    Rooms(Box<Target>),
}

impl<M> From<&Target> for Recipients<M> {
    fn from(target: &Target) -> Self {
        if target.is_everybody() {
            Self::Everybody
        } else {
            Self::Rooms(Box::new(target.clone()))
        }
    }
}

/// What is stored of a packet.
#[derive(Debug)]
enum Content<P> {
    /// The packet itself, which its recipients share.
    Packet(P),
    /// A text for a single member: these are many and short, and have nobody to share them with.
    Text(Place),
}

/// A packet as it comes out of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed<'a, P> {
    /// One that was stored by [`Log::push`].
    Packet(&'a P),
    /// One that was stored by [`Log::push_text`].
    Text(&'a [u8]),
}

#[derive(Debug)]
struct Entry<P, M> {
    content: Content<P>,
    recipients: Recipients<M>,
    /// Memory that is free when it is forgotten.
    bytes: usize,
    sent: Instant,
}

/// The packets that were sent last, each with its recipients.
#[derive(Debug)]
pub struct Log<P, M> {
    entries: VecDeque<Entry<P, M>>,
    texts: Texts,
    /// The position of the last packet.
    end: Position,
    next_text: PositionText,
    bytes: usize,
}

impl<P, M> Default for Log<P, M> {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            texts: Texts::default(),
            end: Position::default(),
            next_text: Position(1).text(),
            bytes: 0,
        }
    }
}

/// Packets that a member may have missed are no longer in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trimmed;

impl<P, M: AsRef<str>> Log<P, M> {
    /// Returns the position of the last packet.
    pub fn end(&self) -> Position {
        self.end
    }

    /// Returns the position that the next packet will have.
    pub fn next(&self) -> Position {
        Position(self.end.0 + 1)
    }

    /// Returns the text of that position.
    #[inline]
    pub fn next_text(&self) -> &PositionText {
        &self.next_text
    }

    /// Stores a text as the next packet, for one member. Forgets old ones if there are too many.
    #[inline]
    pub fn push_text(&mut self, limits: &LogLimits, sent: Instant, text: &[u8], member: M) {
        let content = Content::Text(self.texts.push(text));
        let recipients = Recipients::Member(member);
        self.add(limits, sent, content, recipients, text.len());
    }

    /// Stores a packet of so many bytes as the next one. Forgets old ones if there are too many.
    pub fn push(
        &mut self,
        limits: &LogLimits,
        sent: Instant,
        packet: P,
        recipients: Recipients<M>,
        bytes: usize,
    ) {
        let names = match &recipients {
            Recipients::Rooms(target) => {
                let rooms = target.rooms.iter().chain(&target.except);
                rooms.map(|room| room.len() + size_of::<String>()).sum()
            }
            Recipients::Everybody | Recipients::Member(_) => 0,
        };
        let content = Content::Packet(packet);
        self.add(limits, sent, content, recipients, bytes + names);
    }

    #[inline]
    fn add(
        &mut self,
        limits: &LogLimits,
        sent: Instant,
        content: Content<P>,
        recipients: Recipients<M>,
        bytes: usize,
    ) {
        let bytes = bytes + size_of::<Entry<P, M>>();
        self.bytes += bytes;
        self.end = self.next();
        self.next_text.increment();
        self.entries.push_back(Entry {
            content,
            recipients,
            bytes,
            sent,
        });
        while self.entries.len() > limits.max_packets || self.bytes > limits.max_bytes {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.entries.pop_front() else {
            return;
        };
        self.bytes -= oldest.bytes;
        if let Content::Text(place) = oldest.content {
            self.texts.drop_before(place);
        }
    }

    /// Forgets packets that are too old.
    pub fn trim(&mut self, limits: &LogLimits, now: Instant) {
        while let Some(oldest) = self.entries.front()
            && now.saturating_duration_since(oldest.sent) > limits.max_age
        {
            self.forget_oldest();
        }
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
            self.texts.clear();
        }
    }

    /// Returns the number of packets, and the bytes that they are counted with.
    pub fn size(&self) -> (usize, usize) {
        (self.entries.len(), self.bytes)
    }

    /// Returns the packets after a position that were sent to a member, or would have been if it had been there, in order.
    ///
    /// # Errors
    /// [`Trimmed`] if the log has forgotten some of those after the position.
    pub fn missed<'a>(
        &'a self,
        after: Position,
        member: &'a Member<'a>,
    ) -> Result<impl Iterator<Item = Missed<'a, P>>, Trimmed> {
        let first = self.end.0 - self.entries.len() as u64;
        let skipped = after.0.checked_sub(first).ok_or(Trimmed)?;
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        let entries = self.entries.iter().enumerate().skip(skipped);
        Ok(entries.filter_map(move |(index, entry)| {
            let at = Position(first + index as u64 + 1);
            let content = || match &entry.content {
                Content::Packet(packet) => Missed::Packet(packet),
                Content::Text(place) => Missed::Text(self.texts.get(*place)),
            };
            member.receives(&entry.recipients, at).then(content)
        }))
    }
}

/// Most changes of its rooms that are remembered of a member.
const MAX_CHANGES: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    /// The last packet that was sent before.
    at: Position,
    room: Box<str>,
    joined: bool,
}

/// How the rooms of a member have changed.
#[derive(Debug, Clone, Default)]
pub struct History {
    changes: VecDeque<Change>,
    /// Of what was sent before this, it is not known who was in which room.
    since: Position,
}

impl History {
    /// Begins a history, before which a member needs nothing.
    pub fn new(since: Position) -> Self {
        Self {
            changes: VecDeque::new(),
            since,
        }
    }

    /// Returns the position from which on the rooms are known.
    pub fn since(&self) -> Position {
        self.since
    }

    /// Notes that the member has joined or left a room, after the packet at the position was sent.
    pub fn note(&mut self, at: Position, room: &str, joined: bool) {
        // Nothing was sent before.
        if at <= self.since {
            return;
        }
        if self.changes.len() >= MAX_CHANGES
            && let Some(oldest) = self.changes.pop_front()
        {
            self.since = oldest.at;
        }
        self.changes.push_back(Change {
            at,
            room: room.into(),
            joined,
        });
    }

    /// Returns whether the member was in a room when a packet was sent. `is_in` says whether it was at the end.
    fn was_in(&self, room: &str, packet: Position, is_in: bool) -> bool {
        let next = |change: &&Change| packet <= change.at && *change.room == *room;
        self.changes
            .iter()
            .find(next)
            .map_or(is_in, |change| !change.joined)
    }
}

/// A member that has gone, as far as its packets are concerned.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// Its id, which is the name of a room, too.
    pub id: &'a str,
    /// The rooms that it was in last.
    pub rooms: &'a [String],
    /// How they have changed before.
    pub history: &'a History,
}

impl Member<'_> {
    fn was_in(&self, room: &str, packet: Position) -> bool {
        let is_in = self.rooms.iter().any(|other| other == room);
        room == self.id || self.history.was_in(room, packet, is_in)
    }

    fn receives<M: AsRef<str>>(&self, recipients: &Recipients<M>, packet: Position) -> bool {
        match recipients {
            Recipients::Everybody => true,
            Recipients::Member(id) => id.as_ref() == self.id,
            Recipients::Rooms(target) => {
                let is_in = |room: &String| self.was_in(room, packet);
                (target.rooms.is_empty() || target.rooms.iter().any(is_in))
                    && !target.except.iter().any(is_in)
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests choose the time")]
mod tests {
    use super::*;

    const LIMITS: LogLimits = LogLimits {
        max_packets: 100,
        max_bytes: 100_000,
        max_age: Duration::from_secs(60),
    };

    fn to(rooms: &[&str], except: &[&str]) -> Recipients<String> {
        let names = |rooms: &[&str]| rooms.iter().map(|room| (*room).to_owned()).collect();
        Recipients::from(&Target {
            rooms: names(rooms),
            except: names(except),
        })
    }

    struct Bed {
        log: Log<u32, String>,
        now: Instant,
        limits: LogLimits,
    }

    impl Bed {
        fn new(limits: LogLimits) -> Self {
            let log = Log::default();
            let now = Instant::now();
            Self { log, now, limits }
        }

        fn push(&mut self, packet: u32, recipients: Recipients<String>) -> Position {
            self.log
                .push(&self.limits, self.now, packet, recipients, 100);
            self.log.end()
        }

        fn push_text(&mut self, text: &str, member: &str) -> Position {
            let (text, member) = (text.as_bytes(), member.to_owned());
            self.log.push_text(&self.limits, self.now, text, member);
            self.log.end()
        }

        fn missed(
            &self,
            after: Position,
            rooms: &[&str],
            history: &History,
        ) -> Result<Vec<u32>, Trimmed> {
            let rooms: Vec<String> = rooms.iter().map(|room| (*room).to_owned()).collect();
            let (id, rooms) = ("me", rooms.as_slice());
            let member = Member { id, rooms, history };
            let missed = self.log.missed(after, &member)?;
            let number = |missed| match missed {
                Missed::Packet(packet) => *packet,
                Missed::Text(text) => {
                    let text = std::str::from_utf8(text).expect("text");
                    text.parse().expect("a number")
                }
            };
            Ok(missed.map(number).collect())
        }
    }

    #[test]
    fn a_member_has_missed_what_was_sent_to_it_after_a_position() {
        let mut bed = Bed::new(LIMITS);
        let start = bed.log.end();
        let first = bed.push(1, to(&[], &[]));
        bed.push(2, to(&["red"], &[]));
        bed.push(3, to(&["blue"], &[]));
        bed.push(4, Recipients::Member("me".to_owned()));
        bed.push(5, Recipients::Member("you".to_owned()));
        bed.push(6, to(&[], &["red"]));
        bed.push(7, to(&["blue", "me"], &[]));
        bed.push(8, to(&[], &["me"]));
        bed.push(9, to(&["red"], &["blue"]));
        let history = History::default();
        assert_eq!(
            bed.missed(start, &["red"], &history),
            Ok(vec![1, 2, 4, 7, 9])
        );
        assert_eq!(bed.missed(first, &[], &history), Ok(vec![4, 6, 7]));
        assert_eq!(bed.missed(bed.log.end(), &["red"], &history), Ok(vec![]));
        let beyond = Position::from_number(1000);
        assert_eq!(bed.missed(beyond, &["red"], &history), Ok(vec![]));
    }

    #[test]
    fn texts_are_stored_side_by_side() {
        let mut bed = Bed::new(LogLimits {
            max_packets: 20_000,
            max_bytes: usize::MAX,
            ..LIMITS
        });
        let history = History::default();
        let start = bed.log.end();
        for number in 0..30_000 {
            let next = bed.log.next();
            assert_eq!(bed.log.next_text().as_str(), next.to_string());
            let member = if number % 2 == 0 { "me" } else { "you" };
            bed.push_text(&format!("{number:010}"), member);
        }
        assert_eq!(bed.missed(start, &[], &history), Err(Trimmed));
        let kept = Position::from_number(10_000);
        let expected: Vec<u32> = (10_000..30_000).step_by(2).collect();
        assert_eq!(bed.missed(kept, &[], &history), Ok(expected));
        // 200,000 bytes in blocks of 65,536: those before are free.
        assert_eq!(bed.log.texts.block_count(), 4);
        // One that is longer than a block.
        let before = bed.push_text(&format!("{}7", "0".repeat(100_000)), "you");
        bed.push_text(&format!("{}7", "0".repeat(100_000)), "me");
        bed.push(8, to(&[], &[]));
        assert_eq!(bed.missed(before, &[], &history), Ok(vec![7, 8]));
        bed.now += 2 * LIMITS.max_age;
        bed.log.trim(&bed.limits, bed.now);
        assert_eq!((bed.log.size(), bed.log.texts.block_count()), ((0, 0), 0));
        let before = bed.log.end();
        bed.push_text("9", "me");
        assert_eq!(bed.missed(before, &[], &history), Ok(vec![9]));
    }

    #[test]
    fn rooms_count_as_they_were_when_a_packet_was_sent() {
        let mut bed = Bed::new(LIMITS);
        let start = bed.log.end();
        let mut history = History::new(start);
        // Nothing was sent before, so it is in this room from the start.
        history.note(start, "lobby", true);
        bed.push(1, to(&["red"], &[]));
        bed.push(2, to(&["lobby"], &[]));
        history.note(bed.log.end(), "red", true);
        history.note(bed.log.end(), "lobby", false);
        bed.push(3, to(&["red"], &[]));
        bed.push(4, to(&["lobby"], &[]));
        bed.push(5, to(&[], &["red"]));
        history.note(bed.log.end(), "red", false);
        bed.push(6, to(&["red"], &[]));
        history.note(bed.log.end(), "red", true);
        bed.push(7, to(&["red"], &[]));
        let missed = bed.missed(start, &["red"], &history);
        assert_eq!(missed, Ok(vec![2, 3, 7]));
    }

    #[test]
    fn a_long_history_forgets_its_beginning() {
        let mut bed = Bed::new(LIMITS);
        let mut history = History::default();
        for number in 0..70 {
            bed.push(number, to(&[], &[]));
            history.note(bed.log.end(), "room", number % 2 == 0);
        }
        assert_eq!(history.since(), Position::from_number(6));
        assert_eq!(history.changes.len(), MAX_CHANGES);
    }

    #[test]
    fn the_oldest_packets_are_forgotten() {
        let mut bed = Bed::new(LogLimits {
            max_packets: 3,
            ..LIMITS
        });
        let positions: Vec<_> = (0..5)
            .map(|number| bed.push(number, to(&[], &[])))
            .collect();
        let history = History::default();
        assert_eq!(bed.missed(positions[0], &[], &history), Err(Trimmed));
        assert_eq!(bed.missed(positions[1], &[], &history), Ok(vec![2, 3, 4]));

        let mut bed = Bed::new(LogLimits {
            max_bytes: 3 * (100 + size_of::<Entry<u32, String>>()),
            ..LIMITS
        });
        for number in 0..5 {
            bed.push(number, to(&[], &[]));
        }
        assert_eq!(bed.log.size(), (3, bed.limits.max_bytes));
        // The names of rooms count.
        bed.push(
            5,
            to(&["a room with a long name, longer than a packet"], &[]),
        );
        assert_eq!(bed.log.size().0, 2);

        let mut bed = Bed::new(LIMITS);
        let first = bed.push(1, to(&[], &[]));
        bed.now += LIMITS.max_age;
        let second = bed.push(2, to(&[], &[]));
        bed.log.trim(&LIMITS, bed.now);
        assert_eq!(bed.log.size().0, 2);
        bed.now += Duration::from_millis(1);
        bed.log.trim(&LIMITS, bed.now);
        assert_eq!(bed.missed(first, &[], &history), Ok(vec![2]));
        bed.now += LIMITS.max_age;
        bed.log.trim(&LIMITS, bed.now);
        assert_eq!(bed.log.size(), (0, 0));
        // Whoever has all misses nothing, also when nothing is left.
        assert_eq!(bed.missed(second, &[], &history), Ok(vec![]));
        assert_eq!(bed.missed(first, &[], &history), Err(Trimmed));
    }

    #[test]
    fn only_a_position_as_it_is_written_is_read() {
        let position = Position::from_number(0x1f);
        assert_eq!(position.to_string(), "1f");
        assert_eq!("1f".parse(), Ok(position));
        assert_eq!("0".parse(), Ok(Position::default()));
        for text in [
            "",
            "00",
            "01f",
            "+1f",
            "1F",
            "1g",
            "-1",
            "11111111111111111",
            "Q84fmOU",
        ] {
            assert_eq!(text.parse::<Position>(), Err(InvalidPosition), "{text}");
        }
    }
}
