//! The public id of a socket.

use std::{borrow::Cow, fmt, str::FromStr};

use kokanee_engineio::{SID_LENGTH, encode_id, parse_id};
use serde::{Deserialize, Serialize};

/// Identifies a socket by 20 characters of `[A-Za-z0-9_-]`: public, and unrelated to the session's secret id.
///
/// It is the client's `socket.id`, and the name of a room that only this socket is in. It can be parsed from text and
/// deserialized from an argument:
///
/// ```no_run
/// # use kokanee_server::{Data, Namespace, Server, SocketId};
/// # let io = Server::new();
/// io.on("whisper", async |io: Namespace, Data((to, text)): Data<(SocketId, String)>| {
///     io.to(to).emit("whisper", text).await
/// });
/// assert!("not an id".parse::<SocketId>().is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId([u8; SID_LENGTH]);

impl SocketId {
    pub(crate) fn from_random(random: [u8; 15]) -> Self {
        Self(encode_id(random))
    }

    /// Returns the id's text.
    ///
    /// ```
    /// # use kokanee_server::{InvalidSocketId, SocketId};
    /// let id: SocketId = "AAAAAAAAAAAAAAAAAAAA".parse()?;
    /// assert_eq!(id.as_str(), id.to_string());
    /// # Ok::<_, InvalidSocketId>(())
    /// ```
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for SocketId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for SocketId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Reports that a text is not the id of a socket.
///
/// ```
/// let error = "too short".parse::<kokanee_server::SocketId>().unwrap_err();
/// assert_eq!(error.to_string(), "not the id of a socket");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a socket")]
#[non_exhaustive]
pub struct InvalidSocketId;

impl FromStr for SocketId {
    type Err = InvalidSocketId;

    fn from_str(text: &str) -> Result<Self, InvalidSocketId> {
        parse_id(text).map(Self).ok_or(InvalidSocketId)
    }
}

impl AsRef<str> for SocketId {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl From<SocketId> for String {
    fn from(id: SocketId) -> Self {
        id.as_str().to_owned()
    }
}
