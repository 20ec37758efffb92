//! Negotiation of the permessage-deflate extension (RFC 7692, 7.1).
//!
//! A client sends [`DeflateOptions::offer`] and checks the server's answer with [`DeflateOptions::accept_answer`]; a
//! server answers with [`DeflateOptions::accept_offer`]. Both return a [`DeflateAgreement`] for
//! [`Decoder::with_deflate`](crate::Decoder::with_deflate) and [`Compressor`](crate::Compressor).

use std::fmt::Write as _;

use crate::extension::{self, Extension};

/// The name of the header in which extensions are negotiated.
pub const EXTENSIONS_HEADER: &str = "sec-websocket-extensions";

const NAME: &str = "permessage-deflate";
const SERVER_NO_CONTEXT_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_NO_CONTEXT_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_MAX_WINDOW_BITS: &str = "server_max_window_bits";
const CLIENT_MAX_WINDOW_BITS: &str = "client_max_window_bits";

/// How far back compressed data may refer: the base-2 logarithm of that many bytes, 8 to 15.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowBits(u8);

impl WindowBits {
    /// 32 KiB, the default unless a smaller one was negotiated.
    pub const MAX: Self = Self(15);

    /// 256 bytes, the minimum. No compressor supports it: an end that is limited to it sends its messages uncompressed.
    pub const MIN: Self = Self(8);

    /// Creates a window of two to the power of `bits` bytes. Returns `None` unless `bits` is 8 to 15.
    pub const fn new(bits: u8) -> Option<Self> {
        match bits {
            8..=15 => Some(Self(bits)),
            _ => None,
        }
    }

    /// Returns the number on the wire.
    pub const fn as_u8(self) -> u8 {
        self.0
    }

    /// Parses "a decimal integer value without leading zeroes between 8 to 15, inclusive" (7.1.2).
    fn parse(value: &str) -> Option<Self> {
        match value.as_bytes() {
            [digit @ b'8'..=b'9'] => Some(Self(digit - b'0')),
            [b'1', digit @ b'0'..=b'5'] => Some(Self(10 + digit - b'0')),
            _ => None,
        }
    }
}

/// The compression settings of one end.
///
/// By default neither end keeps a context between messages, so an idle connection needs no memory for compression. A
/// context improves the compression of small messages that resemble each other, and costs about 300 KiB for sending and
/// 50 KiB for receiving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeflateOptions {
    /// Messages of fewer bytes are sent uncompressed. Defaults to 1,024, as in JavaScript.
    pub threshold_bytes: usize,
    /// Compression level: 1 (fastest) to 9 (smallest). Defaults to 6, as in JavaScript.
    pub level: u8,
    /// Whether this end may refer to its earlier messages. Defaults to `false`.
    pub keep_own_context: bool,
    /// Whether the peer may refer to its earlier messages. Defaults to `false`.
    pub keep_peer_context: bool,
    /// The largest window of this end. Defaults to [`WindowBits::MAX`].
    pub own_window: WindowBits,
    /// The largest window of the peer. Defaults to [`WindowBits::MAX`].
    ///
    /// It matters only if the peer keeps its context: it bounds the memory for that.
    pub peer_window: WindowBits,
}

impl Default for DeflateOptions {
    fn default() -> Self {
        Self {
            threshold_bytes: 1024,
            level: 6,
            keep_own_context: false,
            keep_peer_context: false,
            own_window: WindowBits::MAX,
            peer_window: WindowBits::MAX,
        }
    }
}

impl DeflateOptions {
    /// Returns the value of [`EXTENSIONS_HEADER`] for the request of a client.
    pub fn offer(&self) -> String {
        let mut offer = NAME.to_owned();
        let server_window = self.limits_peer_window().then_some(self.peer_window);
        push_parameters(
            &mut offer,
            &Parameters {
                server_no_context_takeover: !self.keep_peer_context,
                client_no_context_takeover: !self.keep_own_context,
                server_max_window_bits: server_window,
                client_max_window_bits: None,
            },
        );
        // Without this parameter the server must not limit the window, and some servers insist on doing so.
        offer.push_str("; ");
        offer.push_str(CLIENT_MAX_WINDOW_BITS);
        if self.own_window < WindowBits::MAX {
            let _ = write!(offer, "={}", self.own_window.0);
        }
        offer
    }

    /// Answers the offers of a client: the values of [`EXTENSIONS_HEADER`] in its request.
    ///
    /// Returns what was agreed and the value for the response; `None` if no offer is acceptable; the response must not
    /// have the header then.
    pub fn accept_offer<'v>(
        &self,
        values: impl IntoIterator<Item = &'v str>,
    ) -> Option<(DeflateAgreement, String)> {
        values
            .into_iter()
            .filter_map(extension::parse)
            .flatten()
            .filter(|extension| extension.name == NAME)
            .find_map(|offer| self.accept_one_offer(&offer))
    }

    /// Checks the answer of a server to [`offer`](Self::offer): the values of [`EXTENSIONS_HEADER`] in its response.
    ///
    /// Returns `None` if the server does not compress.
    ///
    /// # Errors
    /// [`NegotiationError`] if the answer does not fit the offer. "The client MUST fail the WebSocket connection." (RFC
    /// 7692, 5.1)
    pub fn accept_answer<'v>(
        &self,
        values: impl IntoIterator<Item = &'v str>,
    ) -> Result<Option<DeflateAgreement>, NegotiationError> {
        let mut agreement = None;
        for value in values {
            for answer in extension::parse(value).ok_or(NegotiationError::Malformed)? {
                if answer.name != NAME {
                    return Err(NegotiationError::NotOffered);
                }
                if agreement.is_some() {
                    return Err(NegotiationError::Repeated);
                }
                agreement = Some(self.accept_one_answer(&answer)?);
            }
        }
        Ok(agreement)
    }

    fn accept_one_offer(&self, offer: &Extension<'_>) -> Option<(DeflateAgreement, String)> {
        let offered = Offered::read(offer)?;
        // "A server declines an extension negotiation offer if the server doesn't support it" (7.1.2.1): an extension
        // is useless if the side that would compress cannot.
        if offered.server_max_window_bits == Some(WindowBits::MIN) {
            return None;
        }
        let own_window = offered
            .server_max_window_bits
            .map_or(self.own_window, |window| window.min(self.own_window));
        let client_window = match offered.client_max_window_bits {
            ClientWindow::Unsaid => WindowBits::MAX,
            ClientWindow::Limitable => self.peer_window,
            ClientWindow::AtMost(window) => window.min(self.peer_window),
        };
        let own = Context {
            is_kept: self.keep_own_context && !offered.server_no_context_takeover,
            window: own_window,
        };
        let peer = Context {
            // If the client does not allow its window to be limited, the server does not keep it either.
            is_kept: self.keep_peer_context
                && !offered.client_no_context_takeover
                && client_window <= self.peer_window,
            window: client_window,
        };
        let mut answer = NAME.to_owned();
        push_parameters(
            &mut answer,
            &Parameters {
                server_no_context_takeover: !own.is_kept,
                client_no_context_takeover: !peer.is_kept,
                server_max_window_bits: (own.window < WindowBits::MAX
                    || offered.server_max_window_bits.is_some())
                .then_some(own.window),
                client_max_window_bits: (peer.window < WindowBits::MAX).then_some(peer.window),
            },
        );
        Some((self.agreement(own, peer), answer))
    }

    fn accept_one_answer(
        &self,
        answer: &Extension<'_>,
    ) -> Result<DeflateAgreement, NegotiationError> {
        let answered = Offered::read(answer).ok_or(NegotiationError::InvalidParameter)?;
        let client_window = match answered.client_max_window_bits {
            ClientWindow::Unsaid => WindowBits::MAX,
            ClientWindow::Limitable => return Err(NegotiationError::InvalidParameter),
            ClientWindow::AtMost(window) => window,
        };
        let server_window = answered.server_max_window_bits.unwrap_or(WindowBits::MAX);
        if !self.keep_peer_context && !answered.server_no_context_takeover {
            return Err(NegotiationError::Unmet {
                parameter: SERVER_NO_CONTEXT_TAKEOVER,
            });
        }
        if self.limits_peer_window() && server_window > self.peer_window {
            return Err(NegotiationError::Unmet {
                parameter: SERVER_MAX_WINDOW_BITS,
            });
        }
        let own = Context {
            is_kept: self.keep_own_context && !answered.client_no_context_takeover,
            window: client_window.min(self.own_window),
        };
        let peer = Context {
            is_kept: !answered.server_no_context_takeover,
            window: server_window,
        };
        Ok(self.agreement(own, peer))
    }

    /// Returns whether the peer's window is to be limited: one that is not kept costs nothing and needs no limit.
    fn limits_peer_window(&self) -> bool {
        self.keep_peer_context && self.peer_window < WindowBits::MAX
    }

    fn agreement(&self, own: Context, peer: Context) -> DeflateAgreement {
        DeflateAgreement {
            own,
            peer,
            threshold_bytes: self.threshold_bytes,
            level: self.level.clamp(1, 9),
        }
    }
}

/// The negotiated parameters of compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeflateAgreement {
    pub(crate) own: Context,
    pub(crate) peer: Context,
    pub(crate) threshold_bytes: usize,
    pub(crate) level: u8,
}

impl DeflateAgreement {
    /// Returns whether this end refers to its earlier messages, so that each connection needs a
    /// [`Compressor`](crate::Compressor) with a state of its own.
    pub const fn keeps_own_context(&self) -> bool {
        self.own.is_kept
    }

    /// Returns whether the peer may refer to its earlier messages.
    pub const fn keeps_peer_context(&self) -> bool {
        self.peer.is_kept
    }

    /// Returns the largest window of this end.
    pub const fn own_window(&self) -> WindowBits {
        self.own.window
    }

    /// Returns the largest window of the peer.
    pub const fn peer_window(&self) -> WindowBits {
        self.peer.window
    }
}

/// What compressed messages of one end may refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Context {
    /// Whether a message may refer to earlier ones.
    pub(crate) is_kept: bool,
    pub(crate) window: WindowBits,
}

/// A server's answer does not fit the client's offer; the client must close the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NegotiationError {
    /// The header does not follow its grammar.
    #[error("malformed sec-websocket-extensions header")]
    Malformed,
    /// An extension that was not offered.
    #[error("the server answers with an extension that was not offered")]
    NotOffered,
    /// More than one answer to one offer.
    #[error("the server answers permessage-deflate more than once")]
    Repeated,
    /// A parameter that is unknown, comes twice or has a wrong value.
    #[error("invalid parameter in the server's answer to permessage-deflate")]
    InvalidParameter,
    /// The server did not confirm what the offer demands.
    #[error("the server does not confirm {parameter}")]
    Unmet {
        /// The name of the parameter.
        parameter: &'static str,
    },
}

/// The parameters of an offer or an answer as they were received.
#[derive(Debug, Default)]
struct Offered {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<WindowBits>,
    client_max_window_bits: ClientWindow,
}

/// The parameter `client_max_window_bits`, which may come without a value in an offer.
#[derive(Debug, Default, PartialEq, Eq)]
enum ClientWindow {
    #[default]
    Unsaid,
    /// The server may limit the window.
    Limitable,
    AtMost(WindowBits),
}

impl Offered {
    /// Reads the parameters. Returns `None` if one is unknown, comes twice or has a wrong value (7.1).
    fn read(extension: &Extension<'_>) -> Option<Self> {
        let mut read = Self::default();
        for (name, value) in &extension.parameters {
            let is_first = match (*name, value) {
                (SERVER_NO_CONTEXT_TAKEOVER, None) => {
                    !std::mem::replace(&mut read.server_no_context_takeover, true)
                }
                (CLIENT_NO_CONTEXT_TAKEOVER, None) => {
                    !std::mem::replace(&mut read.client_no_context_takeover, true)
                }
                (SERVER_MAX_WINDOW_BITS, Some(value)) => {
                    let window = WindowBits::parse(value)?;
                    read.server_max_window_bits.replace(window).is_none()
                }
                (CLIENT_MAX_WINDOW_BITS, value) => {
                    let window = match value {
                        Some(value) => ClientWindow::AtMost(WindowBits::parse(value)?),
                        None => ClientWindow::Limitable,
                    };
                    std::mem::replace(&mut read.client_max_window_bits, window)
                        == ClientWindow::Unsaid
                }
                _ => return None,
            };
            if !is_first {
                return None;
            }
        }
        Some(read)
    }
}

/// The parameters of an offer or an answer to send.
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<WindowBits>,
    client_max_window_bits: Option<WindowBits>,
}

fn push_parameters(header: &mut String, parameters: &Parameters) {
    let flags = [
        (
            SERVER_NO_CONTEXT_TAKEOVER,
            parameters.server_no_context_takeover,
        ),
        (
            CLIENT_NO_CONTEXT_TAKEOVER,
            parameters.client_no_context_takeover,
        ),
    ];
    for (name, is_set) in flags {
        if is_set {
            header.push_str("; ");
            header.push_str(name);
        }
    }
    let windows = [
        (SERVER_MAX_WINDOW_BITS, parameters.server_max_window_bits),
        (CLIENT_MAX_WINDOW_BITS, parameters.client_max_window_bits),
    ];
    for (name, window) in windows {
        if let Some(window) = window {
            let _ = write!(header, "; {name}={}", window.0);
        }
    }
}
