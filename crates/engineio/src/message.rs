//! The content of `message` packets: received ([`Message`]) and to be sent ([`Outgoing`]).
//!
//! An [`Outgoing`] is encoded once and shared by every recipient. Its buffer has space for the longest WebSocket frame
//! header in front of the packet, so the finished frame and the polling text are two slices of one allocation.

use std::{
    cell::Cell,
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use kokanee_websocket::{MAX_SERVER_HEADER_BYTES, OpCode, encode_header};

/// Shared, immutable text. Clones and slices share the memory.
#[derive(Clone)]
pub struct Str(Text);

#[derive(Clone)]
#[expect(
    clippy::rc_buffer,
    reason = "unlike `Arc<str>` its memory can be reused, see `Str::received`"
)]
enum Text {
    Static(&'static str),
    /// Invariant: `start` and `end` are character boundaries of the text, in order.
    Shared {
        text: Arc<String>,
        start: usize,
        end: usize,
    },
}

/// The longest text whose memory a thread reuses.
const MAX_SPARE_BYTES: usize = 512;

type Spare = Cell<Option<Arc<String>>>;

thread_local! {
    /// The memory of a received short text that is no longer used.
    static SPARE: Spare = const { Cell::new(None) };
}

impl Str {
    /// Checks `bytes` and copies them.
    ///
    /// # Errors
    /// [`InvalidUtf8`] when they are not UTF-8.
    pub fn from_utf8(bytes: &[u8]) -> Result<Self, InvalidUtf8> {
        simdutf8::basic::from_utf8(bytes)
            .map(Self::from)
            .map_err(|_| InvalidUtf8)
    }

    /// Wraps a literal without allocating.
    pub const fn from_static(text: &'static str) -> Self {
        Self(Text::Static(text))
    }

    /// Copies the text of a message, into memory that [`reuse`](Self::reuse) has kept: a message that is handled at
    /// once costs no allocation.
    #[inline]
    #[doc(hidden)]
    pub fn received(text: &str) -> Self {
        if text.len() > MAX_SPARE_BYTES {
            return Self::from(text);
        }
        let mut shared = SPARE.take().unwrap_or_default();
        if let Some(spare) = Arc::get_mut(&mut shared) {
            spare.clear();
            spare.push_str(text);
        } else {
            shared = Arc::new(text.to_owned());
        }
        Self(Text::Shared {
            text: shared,
            start: 0,
            end: text.len(),
        })
    }

    /// Drops the text, and keeps its memory for the thread's next short text if there is no other reference to it.
    #[inline]
    #[doc(hidden)]
    pub fn reuse(self) {
        if let Text::Shared { text, .. } = self.0
            && Arc::strong_count(&text) == 1
            && text.capacity() <= 2 * MAX_SPARE_BYTES
        {
            SPARE.set(Some(text));
        }
    }

    /// Returns the text.
    #[inline]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Static(text) => text,
            Text::Shared { text, start, end } => text.get(*start..*end).unwrap_or_default(),
        }
    }

    /// Returns the text as bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Text::Static(text) => text.as_bytes(),
            Text::Shared { text, start, end } => {
                text.as_bytes().get(*start..*end).unwrap_or_default()
            }
        }
    }

    /// Returns the bytes of memory that the text keeps allocated: a slice keeps the whole text that it is part of.
    #[doc(hidden)]
    pub fn held_bytes(&self) -> usize {
        match &self.0 {
            Text::Static(_) => 0,
            Text::Shared { text, .. } => text.capacity(),
        }
    }

    /// Returns a part of the text, borrowed. `None` outside the text or inside a character.
    #[inline]
    pub fn part(&self, start: usize, end: usize) -> Option<&str> {
        match &self.0 {
            Text::Static(text) => text.get(start..end),
            Text::Shared {
                text,
                start: base,
                end: last,
            } => text
                .get(base + start..base + end)
                .filter(|_| base + end <= *last),
        }
    }

    /// Returns the text without its first byte, which is an ASCII character.
    #[inline]
    pub(crate) fn without_digit(mut self) -> Self {
        match &mut self.0 {
            Text::Static(text) => *text = text.get(1..).unwrap_or_default(),
            Text::Shared { start, .. } => *start += 1,
        }
        self
    }

    /// Returns a part of the text that shares its memory. `None` outside the text or inside a character.
    pub fn slice(&self, start: usize, end: usize) -> Option<Self> {
        self.as_str().get(start..end)?;
        Some(Self(match &self.0 {
            Text::Static(text) => Text::Static(&text[start..end]),
            Text::Shared {
                text, start: base, ..
            } => Text::Shared {
                text: Arc::clone(text),
                start: base + start,
                end: base + end,
            },
        }))
    }
}

/// The bytes are not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid UTF-8")]
pub struct InvalidUtf8;

impl Default for Str {
    fn default() -> Self {
        Self::from_static("")
    }
}

impl Deref for Str {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl From<&str> for Str {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl From<String> for Str {
    fn from(mut text: String) -> Self {
        text.shrink_to_fit();
        Self(Text::Shared {
            start: 0,
            end: text.len(),
            text: Arc::new(text),
        })
    }
}

impl PartialEq for Str {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Str {}

impl Hash for Str {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl PartialEq<str> for Str {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for Str {
    fn eq(&self, other: &&str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl fmt::Debug for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

/// The content of one received `message` packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Text.
    Text(Str),
    /// Bytes.
    Binary(Bytes),
}

impl Message {
    /// Returns the size of the content in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.as_bytes().len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Returns whether the content is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Bytes in front of a packet's text: space for the longest header of a server's frame.
const HEADROOM: usize = MAX_SERVER_HEADER_BYTES;

/// A message to send, encoded once and shared by all its recipients.
///
/// Cloning is cheap once the message is [`shared`](Self::shared): a text that has just been built is in a buffer of its
/// thread, and its first clone copies it.
#[derive(Clone)]
pub struct Outgoing(Form);

enum Form {
    /// `[frame header]['4'][text]`, and the header's length.
    Text {
        frame: Frame,
        header: u8,
    },
    Binary(Arc<BinaryForms>),
}

/// The frame of a text message.
enum Frame {
    /// Newly built and not shared. The bytes in front of the offset are not part of it.
    Own(Vec<u8>, u8),
    Shared(Arc<[u8]>),
}

impl Frame {
    #[inline]
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Own(buffer, start) => buffer.get(usize::from(*start)..).unwrap_or_default(),
            Self::Shared(frame) => frame,
        }
    }

    /// Copies the frame into a shared buffer, without the unused bytes in front of it.
    fn share(&self) -> Arc<[u8]> {
        match self {
            Self::Own(..) => Arc::from(self.as_slice()),
            Self::Shared(frame) => Arc::clone(frame),
        }
    }
}

impl Drop for Frame {
    /// Keeps the memory for the next message of the thread.
    #[inline]
    fn drop(&mut self) {
        if let Self::Own(buffer, _) = self
            && buffer.capacity() <= MAX_KEPT_BYTES
        {
            // Fails when the thread ends.
            let _ = KEPT.try_with(|kept| kept.set(std::mem::take(buffer)));
        }
    }
}

impl Clone for Form {
    fn clone(&self) -> Self {
        match self {
            Self::Text { frame, header } => Self::Text {
                frame: Frame::Shared(frame.share()),
                header: *header,
            },
            Self::Binary(forms) => Self::Binary(Arc::clone(forms)),
        }
    }
}

/// A binary message and its encodings, each made on first use.
struct BinaryForms {
    data: Bytes,
    websocket: OnceLock<Bytes>,
    websocket_v3: OnceLock<Bytes>,
    base64: OnceLock<Bytes>,
    base64_frame: OnceLock<Bytes>,
    base64_v3: OnceLock<Bytes>,
    base64_v3_frame: OnceLock<Bytes>,
}

/// A buffer in which the text of one message is built in its final place.
///
/// ```
/// use std::io::Write;
/// let mut buffer = kokanee_engineio::TextBuffer::with_capacity(16);
/// write!(buffer, "2[\"hi\"]").expect("writing to memory cannot fail");
/// assert_eq!(&buffer.finish().polling_text().expect("it is text")[..], b"42[\"hi\"]");
/// ```
///
/// The next message of the thread reuses the buffer, once this one was copied to be sent.
#[derive(Debug)]
pub struct TextBuffer(Vec<u8>);

/// The largest buffer that a thread keeps for its next message.
const MAX_KEPT_BYTES: usize = 16 * 1024;

thread_local! {
    static KEPT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl TextBuffer {
    /// Creates a buffer with space for `text_bytes` bytes of text.
    #[inline]
    pub fn with_capacity(text_bytes: usize) -> Self {
        let mut buffer = KEPT.take();
        buffer.clear();
        buffer.reserve(HEADROOM + 1 + text_bytes);
        buffer.extend_from_slice(b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x004");
        Self(buffer)
    }

    /// Appends text.
    pub fn push_str(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    /// Returns the buffer for writers that append bytes, which must be UTF-8.
    pub fn as_mut_vec(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }

    /// Returns the text so far.
    pub fn text(&self) -> &[u8] {
        self.0.get(HEADROOM + 1..).unwrap_or_default()
    }

    /// Writes the frame header in front of the text.
    #[inline]
    pub fn finish(self) -> Outgoing {
        let mut buffer = self.0;
        let header = encode_header(OpCode::Text, buffer.len() - HEADROOM, None);
        let (block, length) = header.flush_right();
        if let Some(headroom) = buffer.first_chunk_mut() {
            *headroom = block;
        }
        let narrow = |size| u8::try_from(size).expect("HEADROOM is 10");
        Outgoing(Form::Text {
            frame: Frame::Own(buffer, narrow(HEADROOM - length)),
            header: narrow(length),
        })
    }
}

impl std::io::Write for TextBuffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Outgoing {
    /// Creates a text message.
    pub fn text(text: &str) -> Self {
        let mut buffer = TextBuffer::with_capacity(text.len());
        buffer.push_str(text);
        buffer.finish()
    }

    /// Creates a binary message.
    pub fn binary(data: Bytes) -> Self {
        Self(Form::Binary(Arc::new(BinaryForms {
            data,
            websocket: OnceLock::new(),
            websocket_v3: OnceLock::new(),
            base64: OnceLock::new(),
            base64_frame: OnceLock::new(),
            base64_v3: OnceLock::new(),
            base64_v3_frame: OnceLock::new(),
        })))
    }

    /// Makes all clones share one buffer of exactly the needed size. For messages with many recipients.
    #[must_use]
    pub fn shared(self) -> Self {
        // The clone of an unshared text is shared.
        let shared = self.clone();
        drop(self);
        shared
    }

    /// Returns the message's content. Binary content is shared, text is copied.
    pub fn message(&self) -> Message {
        match &self.0 {
            Form::Text { .. } => {
                Message::Text(Str::from_utf8(self.text_bytes()).unwrap_or_default())
            }
            Form::Binary(forms) => Message::Binary(forms.data.clone()),
        }
    }

    /// Returns the bytes of a text message; an empty slice for a binary one.
    pub fn text_bytes(&self) -> &[u8] {
        match &self.0 {
            Form::Text { frame, header } => &frame.as_slice()[usize::from(*header) + 1..],
            Form::Binary(_) => &[],
        }
    }

    /// Returns whether the message is binary.
    #[inline]
    pub fn is_binary(&self) -> bool {
        matches!(self.0, Form::Binary(_))
    }

    /// Returns the size of the content in bytes, without type byte or frame header.
    #[inline]
    pub fn len(&self) -> usize {
        match &self.0 {
            Form::Text { .. } => self.text_bytes().len(),
            Form::Binary(forms) => forms.data.len(),
        }
    }

    /// Returns whether the content is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the finished, unmasked WebSocket frame. `v3` puts the type byte in front of binary content; `base64` is
    /// for clients that do not support binary frames.
    pub fn websocket_frame(&self, v3: bool, base64: bool) -> Bytes {
        match &self.0 {
            Form::Text { frame, .. } => share(frame.share(), 0),
            Form::Binary(forms) => self.binary_frame(forms, v3, base64).clone(),
        }
    }

    /// Returns the frame of [`websocket_frame`](Self::websocket_frame), borrowed.
    #[inline]
    pub fn websocket_slice(&self, v3: bool, base64: bool) -> &[u8] {
        match &self.0 {
            Form::Text { frame, .. } => frame.as_slice(),
            Form::Binary(forms) => self.binary_frame(forms, v3, base64),
        }
    }

    /// Returns the finished, unmasked WebSocket frame of a text message. `None` for a binary one.
    #[inline]
    pub fn text_frame(&self) -> Option<&[u8]> {
        match &self.0 {
            Form::Text { frame, .. } => Some(frame.as_slice()),
            Form::Binary(_) => None,
        }
    }

    fn binary_frame<'a>(&self, forms: &'a BinaryForms, v3: bool, base64: bool) -> &'a Bytes {
        match (v3, base64) {
            (false, false) => forms
                .websocket
                .get_or_init(|| frame(OpCode::Binary, &[], &forms.data)),
            (true, false) => forms
                .websocket_v3
                .get_or_init(|| frame(OpCode::Binary, &[4], &forms.data)),
            (false, true) => forms
                .base64_frame
                .get_or_init(|| frame(OpCode::Text, &[], &self.base64(false))),
            (true, true) => forms
                .base64_v3_frame
                .get_or_init(|| frame(OpCode::Text, &[], &self.base64(true))),
        }
    }

    /// Returns the packet text of a text message (`4` and the content). `None` for a binary one.
    pub fn polling_text(&self) -> Option<Bytes> {
        match &self.0 {
            Form::Text { frame, header } => Some(share(frame.share(), usize::from(*header))),
            Form::Binary(_) => None,
        }
    }

    /// Returns the packet text: `4…` for text, `b…` (revision 3: `b4…`) for binary.
    pub fn packet_text(&self, v3: bool) -> Bytes {
        self.polling_text().unwrap_or_else(|| self.base64(v3))
    }

    fn base64(&self, v3: bool) -> Bytes {
        let Form::Binary(forms) = &self.0 else {
            return Bytes::new();
        };
        let (cell, prefix): (_, &[u8]) = if v3 {
            (&forms.base64_v3, b"b4")
        } else {
            (&forms.base64, b"b")
        };
        cell.get_or_init(|| {
            let mut text = Vec::with_capacity(prefix.len() + forms.data.len().div_ceil(3) * 4);
            text.extend_from_slice(prefix);
            text.extend_from_slice(
                base64_simd::STANDARD
                    .encode_to_string(&forms.data)
                    .as_bytes(),
            );
            Bytes::from(text)
        })
        .clone()
    }
}

/// Returns the bytes of a shared buffer from `start` on, without a copy.
fn share(buffer: Arc<[u8]>, start: usize) -> Bytes {
    Bytes::from_owner(buffer).slice(start..)
}

/// Returns one unmasked frame in one buffer.
fn frame(opcode: OpCode, prefix: &[u8], data: &[u8]) -> Bytes {
    let header = encode_header(opcode, prefix.len() + data.len(), None);
    let mut frame = Vec::with_capacity(header.as_slice().len() + prefix.len() + data.len());
    frame.extend_from_slice(header.as_slice());
    frame.extend_from_slice(prefix);
    frame.extend_from_slice(data);
    Bytes::from(frame)
}

impl PartialEq for Outgoing {
    fn eq(&self, other: &Self) -> bool {
        self.message() == other.message()
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Outgoing").field(&self.message()).finish()
    }
}
