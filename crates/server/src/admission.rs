//! Admission: the checks of a request below the server's path, in the order of the JavaScript server.

use std::sync::Arc;

use http::{HeaderMap, header, request::Parts};
use kokanee_engineio::{Revision, Sid, Transport};

use crate::{
    forwarded::Client,
    inner::{AllowRequest, ServerInner},
    mailbox::Mailbox,
    origin::Pages,
    peer::Peer,
    refusal::Refusal,
};

/// The parameters of a request that the server uses.
#[derive(Debug)]
pub(crate) struct Query {
    /// `None` if the server does not know the transport.
    pub(crate) transport: Option<Transport>,
    pub(crate) sid: ClaimedSid,
    pub(crate) revision: Revision,
    pub(crate) base64: bool,
    /// The digits of `j`: the client uses JSONP.
    pub(crate) jsonp: Option<String>,
}

/// The session that a request names.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ClaimedSid {
    None,
    Sid(Sid),
    /// A text that cannot be an id.
    Malformed,
}

impl Query {
    /// Parses the parameters as browsers do. Returns `None` if a parameter that the server uses is repeated or empty: two
    /// readers of the same request must not see different values.
    pub(crate) fn parse(query: &str) -> Option<Self> {
        let decoded: Vec<_>;
        let mut values = Values::default();
        // Most queries have nothing to decode.
        if memchr::memchr2(b'%', b'+', query.as_bytes()).is_none() {
            let mut rest = Some(query);
            while let Some(parameters) = rest {
                let (parameter, others) = cut(parameters, b'&');
                let (name, value) = cut(parameter, b'=');
                values.take(name, value.unwrap_or_default())?;
                rest = others;
            }
        } else {
            decoded = form_urlencoded::parse(query.as_bytes())
                .filter(|(name, _)| PARAMETERS.contains(&&**name))
                .collect();
            for (name, value) in &decoded {
                values.take(name, value)?;
            }
        }
        Some(Self {
            transport: match values.transport {
                Some("polling") => Some(Transport::Polling),
                Some("websocket") => Some(Transport::WebSocket),
                _ => None,
            },
            sid: match values.sid {
                None => ClaimedSid::None,
                Some(sid) => Sid::parse(sid).map_or(ClaimedSid::Malformed, ClaimedSid::Sid),
            },
            revision: match values.revision {
                Some("4") => Revision::V4,
                _ => Revision::V3,
            },
            base64: values.base64,
            jsonp: values.jsonp,
        })
    }
}

/// Returns the text before and the text after an ASCII character, if it occurs. Faster than `split_once` for short texts.
fn cut(text: &str, at: u8) -> (&str, Option<&str>) {
    match memchr::memchr(at, text.as_bytes()) {
        Some(index) => (&text[..index], Some(&text[index + 1..])),
        None => (text, None),
    }
}

/// The names of the parameters.
const PARAMETERS: [&str; 5] = ["transport", "sid", "EIO", "b64", "j"];

/// The values of the parameters, as they are read.
#[derive(Default)]
struct Values<'a> {
    transport: Option<&'a str>,
    sid: Option<&'a str>,
    revision: Option<&'a str>,
    base64: bool,
    jsonp: Option<String>,
}

impl<'a> Values<'a> {
    /// Adds one parameter. Returns `None` if it is invalid.
    fn take(&mut self, name: &str, value: &'a str) -> Option<()> {
        let slot = match name {
            "transport" => &mut self.transport,
            "sid" => &mut self.sid,
            "EIO" => &mut self.revision,
            "b64" => {
                self.base64 = !value.is_empty();
                return Some(());
            }
            "j" => {
                self.jsonp = Some(value.chars().filter(char::is_ascii_digit).collect());
                return Some(());
            }
            _ => return Some(()),
        };
        let is_first = slot.is_none() && !value.is_empty();
        *slot = Some(value);
        is_first.then_some(())
    }
}

/// A request that passed the checks.
pub(crate) enum Admitted {
    /// It opens a session, if the application and [`is_served`](ServerInner::is_served) allow it.
    New {
        transport: Transport,
        client: Client,
        pages: Pages,
    },
    /// It belongs to a session.
    Known { mailbox: Arc<Mailbox> },
}

/// Returns whether the request asks for a WebSocket.
pub(crate) fn is_websocket_request(headers: &HeaderMap) -> bool {
    let has = |name, token: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| {
                value
                    .split(',')
                    .any(|part| part.trim().eq_ignore_ascii_case(token))
            })
    };
    has(header::UPGRADE, "websocket") && has(header::CONNECTION, "upgrade")
}

impl ServerInner {
    /// Checks a request, in the order of the JavaScript server, which is visible to clients.
    pub(crate) fn admit(
        &self,
        parts: &Parts,
        query: &Query,
        to_websocket: bool,
        peer: &Peer,
    ) -> Result<Admitted, Refusal> {
        let transport = query
            .transport
            .filter(|transport| self.transports.contains(transport))
            .ok_or(Refusal::TransportUnknown)?;
        match query.sid {
            ClaimedSid::None => {}
            ClaimedSid::Malformed => return Err(Refusal::SessionUnknown),
            ClaimedSid::Sid(sid) => {
                let mailbox = self.sessions.find(&sid).ok_or(Refusal::SessionUnknown)?;
                let mismatch = if to_websocket {
                    transport != Transport::WebSocket || !self.session_config.allow_upgrades
                } else {
                    mailbox.transport() != transport
                };
                if mismatch || mailbox.revision != query.revision {
                    return Err(Refusal::BadRequest);
                }
                return Ok(Admitted::Known { mailbox });
            }
        }
        if self.is_closing() {
            return Err(Refusal::Closing);
        }
        if parts.method != http::Method::GET {
            return Err(Refusal::BadHandshakeMethod);
        }
        if to_websocket != (transport == Transport::WebSocket) {
            return Err(Refusal::BadRequest);
        }
        let client = Client::of(&self.trusted_proxies, peer, parts);
        let pages = self.check_origin(&parts.headers, &client)?;
        Ok(Admitted::New {
            transport,
            client,
            pages,
        })
    }

    /// Asks the application whether a session may be opened.
    pub(crate) async fn consent(&self, hook: &AllowRequest, parts: Parts) -> Result<(), Refusal> {
        hook.ask(parts)
            .await
            .map_err(|message| Refusal::Forbidden((!message.is_empty()).then_some(message)))?;
        if self.is_closing() {
            return Err(Refusal::Closing);
        }
        Ok(())
    }

    /// Returns whether sessions of this revision may be opened.
    pub(crate) fn is_served(&self, revision: Revision) -> bool {
        revision != Revision::V3 || self.allow_eio3
    }
}
