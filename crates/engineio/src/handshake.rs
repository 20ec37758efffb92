//! The content of the open packet: the parameters of a new session.
//!
//! The server encodes it, the client decodes it. Spec: Engine.IO, "Handshake".

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::message::Str;

/// The parameters of a session, as the open packet carries them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// The session's id.
    pub sid: Str,
    /// Names of the transports that the client may upgrade to.
    pub upgrades: Vec<Str>,
    /// Time from one heartbeat to the next.
    pub ping_interval: Duration,
    /// How long the answer to a heartbeat may take.
    pub ping_timeout: Duration,
    /// How many bytes the server accepts in one long-polling body. Older servers do not send it.
    pub max_payload: Option<usize>,
}

impl Handshake {
    /// Returns the JSON of the open packet, without the packet's type. Durations are in whole milliseconds.
    ///
    /// [`OutPacket::open`](crate::OutPacket::open) builds the packet.
    ///
    /// ```
    /// use std::time::Duration;
    /// use kokanee_engineio::Handshake;
    /// let handshake = Handshake {
    ///     sid: "lv_VI97HAXpY6yYWAAAC".into(),
    ///     upgrades: vec!["websocket".into()],
    ///     ping_interval: Duration::from_secs(25),
    ///     ping_timeout: Duration::from_secs(20),
    ///     max_payload: Some(1_000_000),
    /// };
    /// assert_eq!(
    ///     handshake.encode(),
    ///     "{\"sid\":\"lv_VI97HAXpY6yYWAAAC\",\"upgrades\":[\"websocket\"],\
    ///      \"pingInterval\":25000,\"pingTimeout\":20000,\"maxPayload\":1000000}"
    /// );
    /// ```
    pub fn encode(&self) -> Str {
        let json = HandshakeJson {
            sid: &self.sid,
            upgrades: self.upgrades.iter().map(Str::as_str).collect(),
            ping_interval: milliseconds(self.ping_interval),
            ping_timeout: milliseconds(self.ping_timeout),
            max_payload: self.max_payload,
        };
        Str::from(
            serde_json::to_string(&json).expect("text and numbers can always be written as JSON"),
        )
    }

    /// Parses the JSON of an open packet.
    ///
    /// Unknown keys are ignored, `upgrades` and `maxPayload` may be missing or null, a `maxPayload` of 0 is ignored,
    /// and durations may be fractions; those of more than a year are read as a year.
    ///
    /// # Errors
    /// [`HandshakeError`] when the JSON is malformed, lacks a key, has an empty `sid` or an impossible duration.
    pub fn decode(json: &str) -> Result<Self, HandshakeError> {
        let received: ReceivedJson =
            serde_json::from_str(json).map_err(|error| HandshakeError::Json {
                size: json.len(),
                reason: error.to_string(),
            })?;
        if received.sid.is_empty() {
            return Err(HandshakeError::EmptySid);
        }
        Ok(Self {
            sid: received.sid.into(),
            upgrades: received
                .upgrades
                .unwrap_or_default()
                .into_iter()
                .map(Str::from)
                .collect(),
            ping_interval: duration("pingInterval", received.ping_interval)?,
            ping_timeout: duration("pingTimeout", received.ping_timeout)?,
            max_payload: received.max_payload.filter(|&bytes| bytes > 0),
        })
    }
}

/// An open packet without a usable handshake.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum HandshakeError {
    /// The content is not the JSON of a handshake.
    #[error("handshake of {size} bytes is malformed: {reason}")]
    Json {
        /// Size of the JSON in bytes.
        size: usize,
        /// The JSON parser's message.
        reason: String,
    },
    /// The session has no id.
    #[error("handshake with an empty sid")]
    EmptySid,
    /// A duration is negative or not finite.
    #[error("handshake with {key} of {milliseconds} ms")]
    Duration {
        /// The key in the JSON.
        key: &'static str,
        /// Its value.
        milliseconds: f64,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HandshakeJson<'a> {
    sid: &'a str,
    upgrades: Vec<&'a str>,
    ping_interval: u64,
    ping_timeout: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_payload: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReceivedJson {
    sid: String,
    upgrades: Option<Vec<String>>,
    ping_interval: f64,
    ping_timeout: f64,
    max_payload: Option<usize>,
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Longest duration that is read from the wire; longer ones mean "never", and would overflow clocks.
const MAX_DURATION: Duration = Duration::from_secs(365 * 24 * 60 * 60);

fn duration(key: &'static str, milliseconds: f64) -> Result<Duration, HandshakeError> {
    Duration::try_from_secs_f64(milliseconds / 1000.0)
        .map(|duration| duration.min(MAX_DURATION))
        .map_err(|_| HandshakeError::Duration { key, milliseconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake() -> Handshake {
        Handshake {
            sid: "lv_VI97HAXpY6yYWAAAC".into(),
            upgrades: vec!["websocket".into()],
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            max_payload: Some(1_000_000),
        }
    }

    const WIRE: &str = r#"{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;

    fn with_interval(interval: &str) -> Result<Handshake, HandshakeError> {
        Handshake::decode(&format!(
            r#"{{"sid":"x","pingInterval":{interval},"pingTimeout":20000}}"#
        ))
    }

    #[test]
    fn keys_are_written_in_the_order_of_the_protocol() {
        assert_eq!(handshake().encode(), WIRE);
        let none = Handshake {
            upgrades: Vec::new(),
            max_payload: None,
            ..handshake()
        };
        assert_eq!(
            none.encode(),
            r#"{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":[],"pingInterval":25000,"pingTimeout":20000}"#
        );
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        assert_eq!(Handshake::decode(WIRE), Ok(handshake()));
        let odd = Handshake {
            sid: "\"\\\u{1e}€😀".into(),
            upgrades: vec!["websocket".into(), "webtransport".into()],
            ping_interval: Duration::from_millis(1),
            ping_timeout: Duration::from_millis(u64::from(u32::MAX)),
            max_payload: Some(1),
        };
        assert_eq!(Handshake::decode(&odd.encode()), Ok(odd));
    }

    #[test]
    fn unknown_keys_and_missing_extras_are_tolerated() {
        let decoded = Handshake::decode(
            r#" {"extra":[[{"a":null}]],"pingTimeout":5000.0,"sid":"abc","pingInterval":0.5,"upgrades":null,"maxPayload":0}"#,
        );
        let expected = Handshake {
            sid: "abc".into(),
            upgrades: Vec::new(),
            ping_interval: Duration::from_micros(500),
            ping_timeout: Duration::from_secs(5),
            max_payload: None,
        };
        assert_eq!(decoded, Ok(expected));
    }

    #[test]
    fn malformed_handshakes_are_refused() {
        for json in [
            "",
            "{",
            "null",
            "[]",
            "{}",
            "\"sid\"",
            r#"{"sid":1,"pingInterval":1,"pingTimeout":1}"#,
            r#"{"pingInterval":1,"pingTimeout":1}"#,
            r#"{"sid":"x","pingTimeout":1}"#,
            r#"{"sid":"x","pingInterval":"1","pingTimeout":1}"#,
            r#"{"sid":"x","pingInterval":1,"pingTimeout":1,"upgrades":[1]}"#,
            r#"{"sid":"x","pingInterval":1,"pingTimeout":1,"maxPayload":-1}"#,
            r#"{"sid":"x","pingInterval":1,"pingTimeout":1} x"#,
        ] {
            let error = Handshake::decode(json).expect_err(json);
            assert!(
                matches!(error, HandshakeError::Json { size, .. } if size == json.len()),
                "{json}: {error}"
            );
        }
        assert_eq!(
            Handshake::decode(r#"{"sid":"","pingInterval":1,"pingTimeout":1}"#),
            Err(HandshakeError::EmptySid)
        );
    }

    #[test]
    fn impossible_durations_are_refused() {
        for (interval, milliseconds) in [("-1", -1.0), ("1e300", 1e300), ("-0.5", -0.5)] {
            let error = HandshakeError::Duration {
                key: "pingInterval",
                milliseconds,
            };
            assert_eq!(with_interval(interval), Err(error));
        }
        assert_eq!(
            with_interval("0").map(|handshake| handshake.ping_interval),
            Ok(Duration::ZERO)
        );
    }

    #[test]
    fn durations_of_centuries_are_shortened_to_a_year() {
        for interval in ["1e14", "1e22"] {
            assert_eq!(
                with_interval(interval).map(|handshake| handshake.ping_interval),
                Ok(MAX_DURATION)
            );
        }
    }

    #[test]
    fn unknown_values_may_be_nested_to_any_depth() {
        let nested = format!(
            r#"{{"x":{}{},"sid":"#,
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        let json = format!(r#"{nested}"x","pingInterval":1,"pingTimeout":1}}"#);
        assert!(Handshake::decode(&json).is_ok());
    }
}
