//! Admission: the checks of a request below the server's path, in the order of the JavaScript server.

use std::sync::Arc;

use http::request::Parts;
use kokanee_engineio::{Revision, Sid, Transport, owner_of};

use crate::{
    extensions::OriginChecked,
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

/// Returns the [owner](crate::ServerBuilder::owner) of the session that a request names, from the query of its target. `None` if
/// it names no session, or a text that cannot be an id.
pub fn owner_of_request(query: &str) -> Option<[u8; 3]> {
    match Query::parse(query)?.sid {
        ClaimedSid::Sid(sid) => owner_of(sid.as_str()),
        ClaimedSid::None | ClaimedSid::Malformed => None,
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
    New(NewSession),
    /// It belongs to a session.
    Known { mailbox: Arc<Mailbox> },
}

/// What is known of a session that a request opens.
pub(crate) struct NewSession {
    pub(crate) transport: Transport,
    pub(crate) client: Client,
    pub(crate) pages: Pages,
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
                    transport != Transport::WebSocket || !self.session_config().allow_upgrades
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
        let pages = if parts.extensions.get::<OriginChecked>().is_some() {
            Pages::WithCredentials
        } else {
            self.check_origin(&parts.headers, &client)?
        };
        Ok(Admitted::New(NewSession {
            transport,
            client,
            pages,
        }))
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use http::{HeaderValue, Method, Request, header};

    use super::*;
    use crate::{
        cookie::Cookie,
        cors::Cors,
        request_head::RequestHead,
        server::{Server, ServerBuilder},
    };

    const SID: &str = "AQEBAQEBAQEBAQEBAQEB";

    fn parse(query: &str) -> Query {
        Query::parse(query).unwrap_or_else(|| panic!("{query:?} is refused"))
    }

    #[test]
    fn the_parameters_of_a_request_are_read() {
        let query = parse(&format!("EIO=4&transport=websocket&sid={SID}&t=abc"));
        assert_eq!(query.transport, Some(Transport::WebSocket));
        assert!(matches!(query.sid, ClaimedSid::Sid(sid) if sid.as_str() == SID));
        assert_eq!(query.revision, Revision::V4);
        assert!(!query.base64);
        assert_eq!(query.jsonp, None);
        let query = parse("");
        assert_eq!(query.transport, None);
        assert!(matches!(query.sid, ClaimedSid::None));
        assert_eq!(query.revision, Revision::V3);
    }

    #[test]
    fn every_revision_other_than_4_is_taken_for_3() {
        for (query, revision) in [
            ("EIO=4", Revision::V4),
            ("EIO=3", Revision::V3),
            ("EIO=5", Revision::V3),
            ("EIO=04", Revision::V3),
            ("EIO=x", Revision::V3),
            ("eio=4", Revision::V3),
            ("transport=polling", Revision::V3),
        ] {
            assert_eq!(parse(query).revision, revision, "{query}");
        }
    }

    #[test]
    fn repeated_and_empty_parameters_are_refused() {
        let good = format!("EIO=4&transport=polling&sid={SID}");
        assert!(Query::parse(&good).is_some());
        for parameter in ["EIO=4", "transport=polling", &format!("sid={SID}")] {
            let (name, _) = parameter.split_once('=').expect("a value");
            let others = good.replace(parameter, "x=1");
            for bad in [
                format!("{good}&{parameter}"),
                format!("{parameter}&{good}"),
                format!("{others}&{name}="),
                format!("{others}&{name}"),
                // The same after decoding.
                format!("{good}&{parameter}&x=%20"),
                format!("{others}&{name}=&x=+"),
            ] {
                assert!(Query::parse(&bad).is_none(), "{bad}");
            }
        }
    }

    #[test]
    fn other_parameters_may_be_repeated_and_empty() {
        for query in [
            "&&EIO=4&",
            "EIO=4&x=1&x=2&y&z=&=v",
            "EIO=4&x=%20&x=%20&y=&%00",
            "EIO=4&b64=1&b64=1&j=1&j=2",
        ] {
            assert_eq!(parse(query).revision, Revision::V4, "{query}");
        }
    }

    #[test]
    fn names_and_values_are_percent_decoded() {
        for query in [
            "%45IO=4&transport=pollin%67",
            "E%49%4F=%34&%74ransport=%70olling",
            "EIO=4&transport=polling&x=a+b",
        ] {
            let parsed = parse(query);
            assert_eq!(parsed.transport, Some(Transport::Polling), "{query}");
            assert_eq!(parsed.revision, Revision::V4, "{query}");
        }
        // One name in two spellings.
        assert!(Query::parse("EIO=4&%45IO=4").is_none());
        // A broken escape is text.
        assert_eq!(parse("transport=polling%").transport, None);
        assert_eq!(parse("transport=+polling").transport, None);
    }

    #[test]
    fn transports_that_the_server_does_not_have_are_unknown() {
        for (query, transport) in [
            ("transport=polling", Some(Transport::Polling)),
            ("transport=websocket", Some(Transport::WebSocket)),
            ("transport=webtransport", None),
            ("transport=POLLING", None),
            ("transport=polling%20", None),
            ("EIO=4", None),
        ] {
            assert_eq!(parse(query).transport, transport, "{query}");
        }
    }

    #[test]
    fn ids_that_cannot_be_one_are_malformed() {
        for sid in [
            "x",
            &SID[1..],
            &format!("{SID}A"),
            "AQEBAQEBAQEBAQEBAQE.",
            "%00",
        ] {
            let query = parse(&format!("sid={sid}"));
            assert!(matches!(query.sid, ClaimedSid::Malformed), "{sid}");
        }
        let escaped = SID.replace('Q', "%51");
        let query = parse(&format!("sid={escaped}"));
        assert!(matches!(query.sid, ClaimedSid::Sid(sid) if sid.as_str() == SID));
    }

    #[test]
    fn jsonp_and_base64_are_read_as_the_javascript_server_does() {
        for (query, jsonp) in [
            ("j=0", Some("0")),
            ("j=12", Some("12")),
            ("j=alert(1)2", Some("12")),
            ("j=%31%32", Some("12")),
            ("j=", Some("")),
            ("J=1", None),
        ] {
            assert_eq!(parse(query).jsonp.as_deref(), jsonp, "{query}");
        }
        for (query, base64) in [
            ("b64=1", true),
            ("b64=true", true),
            // As text, it is not empty.
            ("b64=0", true),
            ("b64=%31", true),
            ("b64=", false),
            ("b64", false),
            ("", false),
        ] {
            assert_eq!(parse(query).base64, base64, "{query}");
        }
    }

    /// A server with one polling session of revision 4, whose id is [`SID`].
    fn server(builder: ServerBuilder) -> Arc<ServerInner> {
        let inner = Arc::clone(builder.build().inner());
        let (parts, ()) = Request::new(()).into_parts();
        inner.sessions.insert(&Arc::new(Mailbox::new(
            Sid::parse(SID).expect("an id"),
            Revision::V4,
            Transport::Polling,
            RequestHead::new(&parts, false),
            None,
            Arc::clone(&inner.limits),
            inner.sessions.metrics.clone(),
        )));
        inner
    }

    /// What the server decides about a GET.
    fn verdict(
        server: &ServerInner,
        query: &str,
        to_websocket: bool,
        change: impl FnOnce(&mut Parts),
    ) -> Result<Admitted, Refusal> {
        let (mut parts, ()) = Request::new(()).into_parts();
        change(&mut parts);
        server.admit(&parts, &parse(query), to_websocket, &Peer::default())
    }

    fn refusal(server: &ServerInner, query: &str, to_websocket: bool) -> Option<Refusal> {
        verdict(server, query, to_websocket, |_| {}).err()
    }

    #[test]
    fn new_sessions_are_admitted_by_the_transport_of_their_request() {
        let server = server(Server::builder());
        for (query, to_websocket, expected) in [
            ("EIO=4&transport=polling", false, Transport::Polling),
            ("EIO=4&transport=websocket", true, Transport::WebSocket),
            // Whether the revision is served is decided when the session is opened.
            ("transport=polling", false, Transport::Polling),
        ] {
            match verdict(&server, query, to_websocket, |_| {}) {
                Ok(Admitted::New(new)) => {
                    assert_eq!(new.transport, expected, "{query}");
                    assert_eq!(new.pages, Pages::WithCredentials);
                }
                _ => panic!("{query} is no new session"),
            }
        }
        for (query, to_websocket) in [
            ("EIO=4&transport=polling", true),
            ("EIO=4&transport=websocket", false),
        ] {
            let refused = refusal(&server, query, to_websocket);
            assert_eq!(refused, Some(Refusal::BadRequest), "{query}");
        }
    }

    #[test]
    fn requests_of_a_session_must_fit_it() {
        let fits = server(Server::builder());
        let no_upgrades = server(Server::builder().allow_upgrades(false));
        for (server, query, to_websocket, expected) in [
            (&fits, "EIO=4&transport=polling", false, None),
            (&fits, "EIO=4&transport=websocket", true, None),
            (
                &fits,
                "EIO=4&transport=websocket",
                false,
                Some(Refusal::BadRequest),
            ),
            (
                &fits,
                "EIO=4&transport=polling",
                true,
                Some(Refusal::BadRequest),
            ),
            (
                &fits,
                "EIO=3&transport=polling",
                false,
                Some(Refusal::BadRequest),
            ),
            (&no_upgrades, "EIO=4&transport=polling", false, None),
            (
                &no_upgrades,
                "EIO=4&transport=websocket",
                true,
                Some(Refusal::BadRequest),
            ),
        ] {
            let query = format!("{query}&sid={SID}");
            match verdict(server, &query, to_websocket, |_| {}) {
                Ok(Admitted::Known { mailbox }) => {
                    assert_eq!(expected, None, "{query}");
                    assert_eq!(mailbox.sid.as_str(), SID);
                }
                Ok(Admitted::New(_)) => panic!("{query} is no new session"),
                Err(refusal) => assert_eq!(Some(refusal), expected, "{query}"),
            }
        }
    }

    #[test]
    fn unknown_transports_and_sessions_are_refused_in_this_order() {
        let polling = server(Server::builder().transports([Transport::Polling]));
        let other = "sid=BQEBAQEBAQEBAQEBAQEB";
        for (query, to_websocket, expected) in [
            ("EIO=4".to_owned(), false, Refusal::TransportUnknown),
            (
                format!("transport=x&{other}"),
                false,
                Refusal::TransportUnknown,
            ),
            // Switched off.
            (
                "transport=websocket".to_owned(),
                true,
                Refusal::TransportUnknown,
            ),
            (
                format!("EIO=4&transport=polling&{other}"),
                false,
                Refusal::SessionUnknown,
            ),
            (
                "EIO=4&transport=polling&sid=x".to_owned(),
                false,
                Refusal::SessionUnknown,
            ),
        ] {
            let refused = refusal(&polling, &query, to_websocket);
            assert_eq!(refused, Some(expected), "{query}");
        }
    }

    #[test]
    fn only_a_get_opens_a_session() {
        let server = server(Server::builder());
        for method in [Method::POST, Method::PUT, Method::HEAD, Method::DELETE] {
            for (query, to_websocket) in [
                ("EIO=4&transport=polling", false),
                // Before the check of the transport.
                ("EIO=4&transport=polling", true),
            ] {
                let refused = verdict(&server, query, to_websocket, |parts| {
                    parts.method = method.clone();
                });
                assert_eq!(refused.err(), Some(Refusal::BadHandshakeMethod), "{method}");
            }
            // The session decides about the methods of its requests.
            let query = format!("EIO=4&transport=polling&sid={SID}");
            let known = verdict(&server, &query, false, |parts| {
                parts.method = method.clone();
            });
            assert!(matches!(known, Ok(Admitted::Known { .. })), "{method}");
        }
    }

    #[test]
    fn a_server_that_closes_serves_the_sessions_that_it_has() {
        let server = server(Server::builder());
        server.closing.store(true, Ordering::Relaxed);
        let query = "EIO=4&transport=polling";
        // Before the check of the method.
        let refused = verdict(&server, query, false, |parts| parts.method = Method::POST);
        assert_eq!(refused.err(), Some(Refusal::Closing));
        assert_eq!(refusal(&server, &format!("{query}&sid={SID}"), false), None);
    }

    #[test]
    fn pages_of_other_origins_are_refused_or_lose_their_credentials() {
        let from_elsewhere = |parts: &mut Parts| {
            let page = HeaderValue::from_static("http://elsewhere.example");
            parts.headers.insert(header::ORIGIN, page);
        };
        let query = "EIO=4&transport=polling";
        let with_cookie = server(Server::builder().cookie(Cookie::default()));
        let refused = verdict(&with_cookie, query, false, from_elsewhere).err();
        assert!(
            matches!(refused, Some(Refusal::Forbidden(Some(_)))),
            "{refused:?}"
        );
        let known = format!("{query}&sid={SID}");
        assert!(
            verdict(&with_cookie, &known, false, from_elsewhere).is_ok(),
            "the page needs the id, which is a secret"
        );
        let for_all = server(
            Server::builder()
                .cookie(Cookie::default())
                .cors(Cors::any()),
        );
        match verdict(&for_all, query, false, from_elsewhere) {
            Ok(Admitted::New(new)) => assert_eq!(new.pages, Pages::WithoutCredentials),
            _ => panic!("all pages may connect"),
        }
    }
}
