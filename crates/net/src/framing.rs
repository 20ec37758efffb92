//! [`Framing`]: how a stream of bytes is split into messages, on tokio-util's codec traits.
//!
//! Lines and delimiters are found here instead of by `AnyDelimiterCodec`, which does not support delimiters of several
//! bytes.

use std::{fmt, str::FromStr};

use bytes::{BufMut, Bytes, BytesMut};
use memchr::memmem;
use tokio_util::codec::{Decoder, LengthDelimitedCodec};

use crate::{
    connection::{Connection, Reader, Writer},
    error::NetError,
};

/// How a stream of bytes is split into frames.
///
/// As text: `raw`, `lines`, `length-prefixed` (or `length-prefixed:2`, with the size of the prefix in bytes), and
/// `delimiter:TEXT`, in which `\n`, `\r`, `\t`, `\0`, `\\`, `\'`, `\"` and `\x1e` have the same meaning as in Rust.
///
/// # Examples
///
/// ```
/// use kokanee_net::Framing;
///
/// assert_eq!("lines".parse(), Ok(Framing::Lines));
/// assert_eq!("length-prefixed:2".parse(), Ok(Framing::LengthPrefixed { prefix_bytes: 2 }));
/// assert_eq!(r"delimiter:\r\n\r\n".parse(), Ok(Framing::Delimiter(b"\r\n\r\n".to_vec())));
/// assert!("words".parse::<Framing>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Framing {
    /// No framing: a frame is the data of one read.
    #[default]
    Raw,
    /// By line feeds. One carriage return in front of a line feed belongs to it; a line that ends with one is sent with both.
    Lines,
    /// By a length in front of each frame, in network byte order.
    LengthPrefixed {
        /// Size of the length in bytes: 1, 2, 4 or 8.
        prefix_bytes: usize,
    },
    /// By these bytes after each frame. An empty delimiter is the same as [`Raw`](Self::Raw).
    Delimiter(Vec<u8>),
}

/// The text is not a framing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a framing: {text}; raw, lines, length-prefixed, length-prefixed:1, :2, :4 or :8, and delimiter:TEXT are possible"
)]
pub struct InvalidFraming {
    text: String,
}

impl FromStr for Framing {
    type Err = InvalidFraming;

    fn from_str(text: &str) -> Result<Self, InvalidFraming> {
        let framing = match text.split_once(':') {
            None => match text {
                "raw" => Some(Self::Raw),
                "lines" => Some(Self::Lines),
                "length-prefixed" => Some(Self::LengthPrefixed { prefix_bytes: 4 }),
                _ => None,
            },
            Some(("length-prefixed", size)) => match size {
                "1" | "2" | "4" | "8" => size
                    .parse()
                    .ok()
                    .map(|prefix_bytes| Self::LengthPrefixed { prefix_bytes }),
                _ => None,
            },
            Some(("delimiter", escaped)) => unescape(escaped)
                .filter(|bytes| !bytes.is_empty())
                .map(Self::Delimiter),
            Some(_) => None,
        };
        framing.ok_or_else(|| InvalidFraming {
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Raw => f.write_str("raw"),
            Self::Lines => f.write_str("lines"),
            Self::LengthPrefixed { prefix_bytes } => write!(f, "length-prefixed:{prefix_bytes}"),
            Self::Delimiter(bytes) => write!(f, "delimiter:{}", bytes.escape_ascii()),
        }
    }
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        bytes.push(match chars.next()? {
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            '0' => 0,
            c @ ('\\' | '\'' | '"') => c as u8,
            'x' => {
                let high = chars.next()?.to_digit(16)?;
                let low = chars.next()?.to_digit(16)?;
                u8::try_from(high * 16 + low).ok()?
            }
            _ => return None,
        });
    }
    Some(bytes)
}

impl Framing {
    /// Returns whether frames are expected to be text: those of lines and delimiters.
    pub fn is_textual(&self) -> bool {
        matches!(self, Self::Lines | Self::Delimiter(_))
    }

    /// Encodes a payload as a frame.
    ///
    /// # Examples
    ///
    /// ```
    /// use kokanee_net::{Framing, NetError};
    ///
    /// # fn main() -> Result<(), NetError> {
    /// assert_eq!(Framing::Lines.encode(b"hello")?, "hello\n");
    /// assert_eq!(Framing::LengthPrefixed { prefix_bytes: 2 }.encode(b"hello")?, "\0\x05hello");
    /// // A line cannot contain the end of a line.
    /// assert!(matches!(Framing::Lines.encode(b"a\nb"), Err(NetError::DelimiterInFrame { .. })));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`NetError::DelimiterInFrame`] if the delimiter would split it, or [`NetError::FrameTooLarge`] if the prefix
    /// cannot represent the length.
    pub fn encode(&self, payload: &[u8]) -> Result<Bytes, NetError> {
        let (frame, end, is_one): (_, &[u8], _) = match self {
            Self::Raw => return Ok(Bytes::copy_from_slice(payload)),
            Self::LengthPrefixed { prefix_bytes } => return prefixed(*prefix_bytes, payload),
            Self::Lines => {
                // The payload's own carriage return must not be read as a part of the line end.
                let has_return = payload.ends_with(b"\r");
                let end: &[u8] = if has_return { b"\r\n" } else { b"\n" };
                let is_one = memchr::memchr(b'\n', payload).is_none();
                ([payload, end].concat(), end, is_one)
            }
            Self::Delimiter(end) => {
                let frame = [payload, end].concat();
                // The end of a payload and the beginning of the delimiter may form an earlier delimiter, for example
                // one of two line ends.
                let is_one = end.is_empty() || memmem::find(&frame, end) == Some(payload.len());
                (frame, end, is_one)
            }
        };
        if is_one {
            Ok(frame.into())
        } else {
            Err(NetError::DelimiterInFrame {
                delimiter: end.escape_ascii().to_string(),
            })
        }
    }

    /// Splits one datagram, or another complete piece of data, into its frames.
    ///
    /// # Examples
    ///
    /// ```
    /// use kokanee_net::Framing;
    ///
    /// # fn main() -> Result<(), kokanee_net::NetError> {
    /// let frames = Framing::Lines.decode_all(b"one\ntwo\n", 100)?;
    /// assert_eq!(frames, ["one", "two"]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`NetError::FrameTooLarge`] or [`NetError::FrameCut`]; frames before it are lost.
    pub fn decode_all(&self, piece: &[u8], max_bytes: usize) -> Result<Vec<Bytes>, NetError> {
        let mut splitter = Splitter::new(self, max_bytes);
        if matches!(splitter, Splitter::Raw) {
            // An empty datagram is an empty frame.
            return Ok(vec![Bytes::copy_from_slice(piece)]);
        }
        let mut buffer = BytesMut::from(piece);
        let mut frames = Vec::new();
        while let Some(frame) = splitter.next(&mut buffer)? {
            frames.push(frame);
        }
        frames.extend(splitter.last(&mut buffer, "a datagram")?);
        Ok(frames)
    }
}

fn prefixed(prefix_bytes: usize, payload: &[u8]) -> Result<Bytes, NetError> {
    let length = (payload.len() as u64).to_be_bytes();
    let (over, prefix) = length.split_at(length.len() - prefix_bytes.min(length.len()));
    if over.iter().any(|byte| *byte != 0) {
        return Err(NetError::FrameTooLarge {
            max: (1 << (8 * prefix.len())) - 1,
        });
    }
    let mut frame = BytesMut::with_capacity(prefix.len() + payload.len());
    frame.put_slice(prefix);
    frame.put_slice(payload);
    Ok(frame.freeze())
}

/// Finds the frames in received data.
#[derive(Debug)]
enum Splitter {
    Raw,
    LengthPrefixed {
        /// Boxed, as few connections have one.
        codec: Box<LengthDelimitedCodec>,
        max_bytes: usize,
        /// The codec has read the length of an incomplete frame.
        has_length: bool,
    },
    Delimited {
        delimiter: Box<[u8]>,
        is_lines: bool,
        max_bytes: usize,
        /// The number of searched bytes, which do not contain a delimiter.
        searched: usize,
    },
}

impl Splitter {
    fn new(framing: &Framing, max_bytes: usize) -> Self {
        let delimited = |delimiter: &[u8], is_lines| Self::Delimited {
            delimiter: delimiter.into(),
            is_lines,
            max_bytes,
            searched: 0,
        };
        match framing {
            Framing::Raw => Self::Raw,
            Framing::Delimiter(bytes) if bytes.is_empty() => Self::Raw,
            Framing::Lines => delimited(b"\n", true),
            Framing::Delimiter(bytes) => delimited(bytes, false),
            Framing::LengthPrefixed { prefix_bytes } => {
                let codec = LengthDelimitedCodec::builder()
                    .length_field_length((*prefix_bytes).clamp(1, 8))
                    .max_frame_length(max_bytes)
                    .new_codec();
                Self::LengthPrefixed {
                    codec: Box::new(codec),
                    max_bytes,
                    has_length: false,
                }
            }
        }
    }

    fn lower(&mut self, max: usize) {
        match self {
            Self::Raw => {}
            Self::LengthPrefixed {
                codec, max_bytes, ..
            } => {
                *max_bytes = max.min(*max_bytes);
                codec.set_max_frame_length(*max_bytes);
            }
            Self::Delimited { max_bytes, .. } => *max_bytes = max.min(*max_bytes),
        }
    }

    /// Returns the next complete frame.
    fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, NetError> {
        match self {
            Self::Raw => Ok((!buffer.is_empty()).then(|| buffer.split().freeze())),
            Self::LengthPrefixed {
                codec,
                max_bytes,
                has_length,
            } => {
                let before = buffer.len();
                // The codec's only error is a frame that is too large.
                let Ok(frame) = codec.decode(buffer) else {
                    return Err(NetError::FrameTooLarge { max: *max_bytes });
                };
                *has_length = frame.is_none() && (*has_length || buffer.len() < before);
                Ok(frame.map(BytesMut::freeze))
            }
            Self::Delimited {
                delimiter,
                is_lines,
                max_bytes,
                searched,
            } => {
                // The delimiter may begin in the bytes that were searched before.
                let from = searched.saturating_sub(delimiter.len() - 1);
                let Some(at) = memmem::find(&buffer[from..], delimiter).map(|at| from + at) else {
                    *searched = buffer.len();
                    return if buffer.len() > *max_bytes + delimiter.len() {
                        Err(NetError::FrameTooLarge { max: *max_bytes })
                    } else {
                        Ok(None)
                    };
                };
                if at > *max_bytes {
                    return Err(NetError::FrameTooLarge { max: *max_bytes });
                }
                *searched = 0;
                let mut frame = buffer.split_to(at + delimiter.len());
                frame.truncate(at);
                if *is_lines && frame.ends_with(b"\r") {
                    frame.truncate(at - 1);
                }
                Ok(Some(frame.freeze()))
            }
        }
    }

    /// Returns the rest when the peer has closed its side: a last line needs no line feed, a frame with a length must
    /// be complete.
    fn last(&mut self, buffer: &mut BytesMut, peer: &str) -> Result<Option<Bytes>, NetError> {
        match self {
            Self::LengthPrefixed { has_length, .. } => {
                if !*has_length && buffer.is_empty() {
                    return Ok(None);
                }
                Err(NetError::FrameCut {
                    peer: peer.to_owned(),
                    received: buffer.len(),
                })
            }
            Self::Delimited { max_bytes, .. } if buffer.len() > *max_bytes => {
                Err(NetError::FrameTooLarge { max: *max_bytes })
            }
            Self::Raw | Self::Delimited { .. } => {
                Ok((!buffer.is_empty()).then(|| buffer.split().freeze()))
            }
        }
    }
}

impl Connection {
    /// Splits the stream into frames.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/echo_server.md")]
    /// use kokanee_net::{Framing, TcpClient};
    ///
    /// let mut lines = TcpClient::new(address).connect().await?.framed(Framing::Lines);
    /// lines.send(b"first").await?;
    /// lines.send(b"second").await?;
    /// assert_eq!(lines.next().await?.as_deref(), Some(&b"first"[..]));
    /// assert_eq!(lines.next().await?.as_deref(), Some(&b"second"[..]));
    /// # Ok(()) }
    /// ```
    pub fn framed(self, framing: Framing) -> Framed {
        Framed::new(self, framing)
    }
}

impl Reader {
    /// Splits received data into frames.
    pub fn framed(self, framing: &Framing) -> FrameReader {
        FrameReader::new(self, framing)
    }
}

/// Receives frames. It has no buffer while it is idle.
#[derive(Debug)]
pub struct FrameReader {
    reader: Reader,
    splitter: Splitter,
    buffer: BytesMut,
    is_ended: bool,
}

impl FrameReader {
    pub(crate) fn new(reader: Reader, framing: &Framing) -> Self {
        let splitter = Splitter::new(framing, reader.limits().max_frame_bytes);
        Self {
            reader,
            splitter,
            buffer: BytesMut::new(),
            is_ended: false,
        }
    }

    /// Lowers the largest size of a frame in bytes. Frames of [`Framing::Raw`] are at most 64 KiB in any case.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/echo_server.md")]
    /// use kokanee_net::{Framing, NetError, TcpClient};
    ///
    /// let (reader, mut writer) = TcpClient::new(address).connect().await?.into_split();
    /// let mut lines = reader.framed(&Framing::Lines).at_most(80);
    /// writer.send_all(&[b'x'; 100]).await?;
    /// assert!(matches!(lines.next().await, Err(NetError::FrameTooLarge { max: 80 })));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn at_most(mut self, max_bytes: usize) -> Self {
        self.splitter.lower(max_bytes);
        self
    }

    /// Receives a frame. Returns `None` when the peer has closed its side. Cancel safe.
    ///
    /// # Errors
    /// [`NetError::FrameTooLarge`] or [`NetError::FrameCut`], or as [`Reader::recv`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, NetError> {
        loop {
            if let Some(frame) = self.splitter.next(&mut self.buffer)? {
                return Ok(Some(frame));
            }
            if self.buffer.is_empty() {
                self.buffer = BytesMut::new();
            }
            if self.is_ended {
                return self
                    .splitter
                    .last(&mut self.buffer, &self.reader.peer().to_string());
            }
            let buffer = &mut self.buffer;
            let more = self
                .reader
                .recv_with(|data| buffer.extend_from_slice(data))
                .await?;
            self.is_ended = more.is_none();
        }
    }

    /// Returns the underlying reader.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }
}

/// A connection whose data is split into frames.
#[derive(Debug)]
pub struct Framed {
    frames: FrameReader,
    writer: Writer,
    framing: Framing,
}

impl Framed {
    pub(crate) fn new(connection: Connection, framing: Framing) -> Self {
        let (reader, writer) = connection.into_split();
        Self {
            frames: reader.framed(&framing),
            writer,
            framing,
        }
    }

    /// Receives a frame, as [`FrameReader::next`].
    ///
    /// # Errors
    /// As that method.
    pub async fn next(&mut self) -> Result<Option<Bytes>, NetError> {
        self.frames.next().await
    }

    /// Sends a payload as one frame.
    ///
    /// # Errors
    /// As [`Framing::encode`] and [`Connection::send_all`].
    pub async fn send(&mut self, payload: &[u8]) -> Result<(), NetError> {
        let frame = self.framing.encode(payload)?;
        self.writer.send_all(&frame).await
    }

    /// Closes this side, as [`Connection::finish`].
    ///
    /// # Errors
    /// As that method.
    pub async fn finish(&mut self) -> Result<(), NetError> {
        self.writer.finish().await
    }

    /// Splits the connection into its reading and its writing half.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/echo_server.md")]
    /// use kokanee_net::{Framing, TcpClient};
    ///
    /// let lines = TcpClient::new(address).connect().await?.framed(Framing::Lines);
    /// let (mut frames, mut writer) = lines.into_split();
    /// tokio::spawn(async move { writer.send_all(b"from another task\n").await });
    /// assert_eq!(frames.next().await?.as_deref(), Some(&b"from another task"[..]));
    /// # Ok(()) }
    /// ```
    pub fn into_split(self) -> (FrameReader, Writer) {
        (self.frames, self.writer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(framing: &Framing, pieces: &[&[u8]], max: usize) -> Result<Vec<Bytes>, NetError> {
        let mut splitter = Splitter::new(framing, max);
        let (mut buffer, mut frames) = (BytesMut::new(), Vec::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            while let Some(frame) = splitter.next(&mut buffer)? {
                frames.push(frame);
            }
        }
        frames.extend(splitter.last(&mut buffer, "peer")?);
        Ok(frames)
    }

    #[test]
    fn framings_have_names() {
        for text in [
            "raw",
            "lines",
            "length-prefixed:1",
            "length-prefixed:2",
            "length-prefixed:4",
            "length-prefixed:8",
            "delimiter:\\x00",
            "delimiter:\\r\\n\\r\\n",
            "delimiter:;:;",
            "delimiter:\\'\\\"\\\\",
        ] {
            let framing: Framing = text.parse().expect(text);
            assert_eq!(framing.to_string(), text);
        }
        assert_eq!(
            "delimiter:\\0".parse(),
            Ok(Framing::Delimiter(b"\0".to_vec()))
        );
        for wrong in [
            "",
            "line",
            "length-prefixed:3",
            "delimiter:",
            "delimiter:\\q",
            "delimiter:\\x1",
        ] {
            assert!(wrong.parse::<Framing>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn lines_end_with_or_without_a_carriage_return() {
        let frames = cut(&Framing::Lines, &[b"one\r", b"\ntwo\n\nth", b"ree"], 100);
        assert_eq!(frames.expect("valid"), ["one", "two", "", "three"]);
    }

    #[test]
    fn a_delimiter_may_come_in_pieces() {
        let framing = Framing::Delimiter(b"<END>".to_vec());
        let frames = cut(&framing, &[b"a<E", b"ND>b<EN", b"d<END", b"><END>"], 100);
        assert_eq!(frames.expect("valid"), ["a", "b<ENd", ""]);
    }

    #[test]
    fn a_length_says_where_the_frame_ends() {
        let framing = Framing::LengthPrefixed { prefix_bytes: 2 };
        let frames = cut(&framing, &[b"\0\x03ab", b"c\0\0\0", b"\x01d"], 100);
        assert_eq!(frames.expect("valid"), ["abc", "", "d"]);
        for cut_short in [b"\0\x03ab".as_slice(), b"\0\x03", b"\0"] {
            let result = cut(&framing, &[cut_short], 100);
            assert!(
                matches!(result, Err(NetError::FrameCut { .. })),
                "{result:?}"
            );
        }
    }

    #[test]
    fn a_frame_has_a_largest_size() {
        let too_large = |framing: &Framing, data: &[u8]| {
            let result = cut(framing, &[data], 4);
            assert!(
                matches!(result, Err(NetError::FrameTooLarge { max: 4 })),
                "{result:?}"
            );
        };
        too_large(&Framing::Lines, b"12345\n");
        too_large(&Framing::Lines, b"1234567");
        too_large(&Framing::Delimiter(b";".to_vec()), b"123456");
        // Also at the end, without a delimiter.
        too_large(&Framing::Lines, b"12345");
        too_large(
            &Framing::LengthPrefixed { prefix_bytes: 4 },
            b"\xff\xff\xff\xff",
        );
        assert_eq!(
            cut(&Framing::Lines, &[b"1234\r\n"], 5).expect("fits"),
            ["1234"]
        );
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for framing in [
            "raw",
            "lines",
            "length-prefixed:1",
            "length-prefixed:8",
            "delimiter:ab",
        ] {
            let framing: Framing = framing.parse().expect("valid");
            for payload in ["hello", "", "hello\r", "\r\r"] {
                let frame = framing.encode(payload.as_bytes()).expect("encoded");
                assert_eq!(framing.decode_all(&frame, 100).expect("decoded"), [payload]);
            }
        }
        // An empty delimiter delimits nothing.
        let nothing = Framing::Delimiter(Vec::new());
        assert_eq!(nothing.encode(b"hello").expect("encoded"), "hello");
        assert_eq!(
            cut(&nothing, &[b"hel", b"lo"], 100).expect("valid"),
            ["hel", "lo"]
        );
    }

    #[test]
    fn a_frame_is_never_sent_as_two() {
        let error = Framing::Lines.encode(b"a\nb").expect_err("two lines");
        assert_eq!(
            error.to_string(),
            "frame would not arrive unchanged: the delimiter \\n would split it"
        );
        let blank_line = Framing::Delimiter(b"\r\n\r\n".to_vec());
        assert!(blank_line.encode(b"a\r\nb").is_ok());
        for payload in [b"a\r\n\r\nb".as_slice(), b"a\r\n", b"\r\n"] {
            assert!(blank_line.encode(payload).is_err(), "{payload:?}");
        }
        let framing = Framing::LengthPrefixed { prefix_bytes: 1 };
        assert!(framing.encode(&[0; 255]).is_ok());
        let error = framing.encode(&[0; 256]).expect_err("too long");
        assert!(
            matches!(error, NetError::FrameTooLarge { max: 255 }),
            "{error}"
        );
    }

    proptest! {
        /// The frames do not depend on how the bytes are split, and no bytes cause a panic or a large buffer.
        #[test]
        fn frames_do_not_depend_on_the_pieces(
            framing in prop::sample::select(vec![
                "lines", "length-prefixed:1", "length-prefixed:2", "length-prefixed:8", "delimiter:ab", "delimiter:aab",
            ]),
            // Few different bytes, so that they often form frames.
            data in prop::collection::vec(prop::sample::select(vec![0, 1, 2, 3, b'a', b'b', b'\r', b'\n', 255]), 0..200),
            splits in prop::collection::vec(0_usize..200, 0..10),
        ) {
            let framing: Framing = framing.parse().expect("a framing");
            let mut splits = splits;
            splits.push(0);
            splits.push(data.len());
            splits.retain(|at| *at <= data.len());
            splits.sort_unstable();
            let pieces: Vec<_> = splits.windows(2).map(|two| &data[two[0]..two[1]]).collect();
            let whole = cut(&framing, &[&data], 50).map_err(|error| error.to_string());
            let in_pieces = cut(&framing, &pieces, 50).map_err(|error| error.to_string());
            prop_assert_eq!(whole, in_pieces);
        }

        /// Payloads arrive unchanged and one by one.
        #[test]
        fn frames_arrive_as_they_were_sent(
            framing in prop::sample::select(vec![
                "lines", "length-prefixed:1", "length-prefixed:4", "delimiter:a", "delimiter:aa", "delimiter:aba",
                "delimiter:\\r\\n\\r\\n",
            ]),
            payloads in prop::collection::vec(
                prop::collection::vec(prop::sample::select(vec![b'a', b'b', b'\r', b'\n']), 0..8),
                0..6,
            ),
        ) {
            let framing: Framing = framing.parse().expect("a framing");
            let (mut sent, mut stream) = (Vec::new(), Vec::new());
            for payload in payloads {
                let encoded = framing.encode(&payload);
                let is_possible = match &framing {
                    Framing::Lines => !payload.contains(&b'\n'),
                    Framing::Delimiter(bytes) => {
                        let whole = [&payload[..], bytes].concat();
                        whole.windows(bytes.len()).filter(|window| window == bytes).count() == 1
                    }
                    _ => true,
                };
                prop_assert_eq!(encoded.is_ok(), is_possible);
                if let Ok(frame) = encoded {
                    stream.extend_from_slice(&frame);
                    sent.push(payload);
                }
            }
            prop_assert_eq!(framing.decode_all(&stream, 100).expect("valid"), sent);
        }
    }
}
