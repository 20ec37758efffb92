//! Decides which pages may open sessions if browsers send their visitors' cookies along: the server's own and those that are
//! allowed. Called for new sessions by `admission.rs`. Spec: RFC 6454 4 and 6.1, RFC 6455 10.2.

use std::borrow::Cow;

use http::{HeaderMap, header};

use crate::{cors::Cors, forwarded::Client, inner::ServerInner, refusal::Refusal};

/// What a page is allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pages {
    /// Connect as its visitor.
    WithCredentials,
    /// Connect, but without its visitor's credentials: `*` allows it.
    WithoutCredentials,
}

impl ServerInner {
    /// Decides what the page of a request may do. If browsers send credentials, a page of another site could act as its
    /// visitor: such pages must be allowed by name, or are served without the credentials if all are allowed. If credentials
    /// are not used, all pages may connect, as with the JavaScript server.
    pub(crate) fn check_origin(
        &self,
        headers: &HeaderMap,
        client: &Client,
    ) -> Result<Pages, Refusal> {
        let credentials =
            self.cookie.is_some() || self.cors.as_ref().is_some_and(|cors| cors.credentials);
        let Some(origin) = headers.get(header::ORIGIN).filter(|_| credentials) else {
            return Ok(Pages::WithCredentials);
        };
        let origin = String::from_utf8_lossy(origin.as_bytes());
        let host = client.host.as_ref().map(|(host, _)| host.as_str());
        let is_own = host.is_some_and(|host| is_own(&origin, host, client.secure));
        // A page of any site can have the origin `null`.
        if is_own
            || (origin != "null" && self.cors.as_ref().is_some_and(|cors| cors.names(&origin)))
        {
            return Ok(Pages::WithCredentials);
        }
        let all = self.cors.as_ref().is_some_and(Cors::allows_all);
        if let Some(skipped) = self.origin_log.pass() {
            let compared = client.host.as_ref().map_or("nothing", |(host, _)| host);
            let header = client.host.as_ref().map_or("no Host", |(_, header)| header);
            let consequence = if all {
                "served without its cookies"
            } else {
                "refused"
            };
            tracing::warn!(
                %origin,
                compared,
                header,
                skipped,
                "page of another origin {consequence}: it differs from the host that was asked for; allow it by name with \
                 cors (--cors), or name the proxy that changes the host with trust_proxies (--trust-proxy)"
            );
        }
        if all {
            return Ok(Pages::WithoutCredentials);
        }
        Err(Refusal::Forbidden(Some(explanation(&origin, client))))
    }
}

/// Describes what was compared, and what the operator of the server can do.
fn explanation(origin: &str, client: &Client) -> String {
    let compared = match &client.host {
        Some((host, "URL")) => format!("{} of the URL", plain(host)),
        Some((host, header)) => format!("{} of the header {header}", plain(host)),
        None => "no host, as the request names none".to_owned(),
    };
    let hint = if origin == "null" {
        "and where cookies are used, `null` is never allowed: it can be any page"
    } else {
        "nor allowed by name: see the setting cors (--cors); if a proxy changes the host, see trust_proxies (--trust-proxy)"
    };
    format!(
        "Forbidden: the page's origin {} is not the server's own (compared with {compared}), {hint}",
        plain(origin)
    )
}

/// Returns text from a header, made safe for an answer that a browser may interpret as HTML.
fn plain(text: &str) -> Cow<'_, str> {
    const MAX_LEN: usize = 100;
    let is_plain = |c: char| c.is_ascii_graphic() && !"<>&\"'".contains(c);
    if text.len() <= MAX_LEN && text.chars().all(is_plain) {
        return text.into();
    }
    let chars = text.chars().take(MAX_LEN);
    chars.map(|c| if is_plain(c) { c } else { '?' }).collect()
}

/// Returns whether a page of this origin was served by the host that its request is for. A missing port is the scheme's
/// default. If the client uses TLS, the page must be a secure one; if not, a proxy may have terminated TLS without saying so.
fn is_own(origin: &str, host: &str, secure: bool) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else {
        return false;
    };
    let default_port = if scheme.eq_ignore_ascii_case("https") {
        443
    } else if scheme.eq_ignore_ascii_case("http") && !secure {
        80
    } else {
        return false;
    };
    let (Some((name, port)), Some((other_name, other_port))) =
        (split_port(authority), split_port(host))
    else {
        return false;
    };
    !name.is_empty()
        && name.eq_ignore_ascii_case(other_name)
        && port.unwrap_or(default_port) == other_port.unwrap_or(default_port)
}

/// Splits host and port. Returns `None` if the port is not a number of 16 bits.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    match authority.rsplit_once(':') {
        Some((name, "")) => Some((name, None)),
        // The colons of an IPv6 address are inside brackets.
        Some((name, port)) if !port.ends_with(']') => Some((name, Some(port.parse().ok()?))),
        _ => Some((authority, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_origin_is_scheme_host_and_port() {
        for (origin, host, secure, expected) in [
            ("http://a.example", "a.example", false, true),
            ("http://a.example:80", "a.example", false, true),
            ("http://a.example", "a.example:80", false, true),
            ("HTTP://A.Example", "a.exAMPLE", false, true),
            ("https://a.example", "a.example", false, true),
            ("https://a.example", "a.example:443", false, true),
            ("https://a.example:443", "a.example", true, true),
            ("http://a.example:3000", "a.example:3000", false, true),
            ("http://[::1]:3000", "[::1]:3000", false, true),
            ("http://[::1]", "[::1]", false, true),
            ("http://a.example", "a.example", true, false),
            ("https://a.example", "a.example:80", false, false),
            ("http://a.example:81", "a.example", false, false),
            ("http://a.example", "a.example:81", false, false),
            ("https://a.example:8443", "a.example", true, false),
            ("http://a.example.evil.example", "a.example", false, false),
            ("http://[::1]:3000", "[::1]:3001", false, false),
            ("http://a.example/", "a.example", false, false),
            ("http://u@a.example", "a.example", false, false),
            ("http://a.example:x", "a.example", false, false),
            ("http://", "", false, false),
            ("http://:80", ":80", false, false),
            ("a.example", "a.example", false, false),
            ("null", "null", false, false),
            ("file://", "", false, false),
            ("capacitor://localhost", "localhost", false, false),
            ("ionic://localhost", "localhost", true, false),
        ] {
            assert_eq!(
                is_own(origin, host, secure),
                expected,
                "{origin} {host} {secure}"
            );
        }
    }

    #[test]
    fn a_hostile_origin_is_not_repeated_as_it_is() {
        assert_eq!(plain("https://a.example:1"), "https://a.example:1");
        assert_eq!(plain("<b>\u{e9}\r\n"), "?b????");
        assert_eq!(plain(&"a".repeat(1000)).len(), 100);
    }
}
