//! The server's URL: where to connect, and which namespace to join.

use super::error::ConnectFailure;

/// A parsed URL.
#[derive(Clone)]
pub(crate) struct Target {
    /// TLS is asked for: `https` or `wss`.
    pub(crate) secure: bool,
    /// The host as in the URL, without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// `user:password` in the URL, sent as basic authorization.
    pub(crate) credentials: Option<String>,
    /// The query of the URL, sent with every request of the session.
    pub(crate) query: String,
    /// The path of the URL, as in JavaScript: the namespace. `/` if there is none.
    pub(crate) namespace: String,
}

impl Target {
    /// Parses `http://`, `https://`, `ws://` and `wss://` URLs; without a scheme, `http` is meant.
    pub(crate) fn parse(url: &str) -> Result<Self, ConnectFailure> {
        let fail = |reason| ConnectFailure::Url {
            url: without_secrets(url),
            reason,
        };
        if url.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(fail("it contains spaces or control characters"));
        }
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "http" | "ws" => false,
            "https" | "wss" => true,
            _ => return Err(fail("the scheme must be http, https, ws or wss")),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (credentials, address) = match authority.rsplit_once('@') {
            Some((credentials, address)) => (Some(credentials), address),
            None => (None, authority),
        };
        let (host, port) = match address.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest
                    .split_once(']')
                    .ok_or_else(|| fail("the bracket of the address is not closed"))?;
                match port {
                    "" => (host, None),
                    port => (
                        host,
                        Some(
                            port.strip_prefix(':')
                                .ok_or_else(|| fail("text after the address"))?,
                        ),
                    ),
                }
            }
            None => match address.rsplit_once(':') {
                Some((host, _)) if host.contains(':') => {
                    return Err(fail("an IPv6 address must be in brackets"));
                }
                Some((host, port)) => (host, Some(port)),
                None => (address, None),
            },
        };
        if host.is_empty() {
            return Err(fail("the host is missing"));
        }
        let port = match port {
            None | Some("") => {
                if secure {
                    443
                } else {
                    80
                }
            }
            Some(port) => port
                .parse()
                .ok()
                .filter(|&port| port != 0)
                .ok_or_else(|| fail("the port must be a number from 1 to 65535"))?,
        };
        if path.contains(',') {
            return Err(fail("a namespace cannot contain a comma"));
        }
        let decode = |text| percent_encoding::percent_decode_str(text).decode_utf8_lossy();
        Ok(Self {
            secure,
            host: host.to_ascii_lowercase(),
            port,
            credentials: credentials.map(|text| decode(text).into_owned()),
            query: query.to_owned(),
            namespace: if path.is_empty() { "/" } else { path }.to_owned(),
        })
    }

    /// Host and port for the `Host` header: the port only if it is not the scheme's own.
    pub(crate) fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        match (self.secure, self.port) {
            (false, 80) | (true, 443) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }

    /// Host and port, for people.
    pub(crate) fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// A URL for people, also one that cannot be parsed: without user, password, query and fragment.
pub(crate) fn without_secrets(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (head, tail) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
    // A password may contain everything that ends it.
    let shown = match head.rsplit_once('@') {
        _ if tail.contains('@') => "…",
        Some((_, address)) => address,
        None => head,
    };
    match scheme {
        "" => shown.to_owned(),
        scheme if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            format!("{scheme}://{shown}")
        }
        _ => "…".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Target {
        Target::parse(url).expect(url)
    }

    #[test]
    fn the_path_is_the_namespace() {
        let target = parse("https://Example.com/admin?token=1#x");
        assert_eq!(
            (target.secure, target.host.as_str(), target.port),
            (true, "example.com", 443)
        );
        assert_eq!(
            (target.namespace.as_str(), target.query.as_str()),
            ("/admin", "token=1")
        );
        assert_eq!(parse("localhost:5000").namespace, "/");
        assert_eq!(parse("ws://localhost:5000").port, 5000);
        assert_eq!(parse("http://localhost?a=b").query, "a=b");
    }

    #[test]
    fn hosts_may_be_addresses() {
        let target = parse("http://[::1]:3000/");
        assert_eq!((target.host.as_str(), target.port), ("::1", 3000));
        assert_eq!(target.authority(), "[::1]:3000");
        assert_eq!(parse("http://[::1]").authority(), "[::1]");
        assert_eq!(parse("http://127.0.0.1:80").authority(), "127.0.0.1");
        assert_eq!(
            parse("http://me:se%63ret@host").credentials.as_deref(),
            Some("me:secret")
        );
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for url in [
            "ftp://host",
            "http://",
            "http://:80",
            "http://host:0",
            "http://host:65536",
            "http://host:x",
            "http://::1",
            "http://[::1",
            "http://[::1]x",
            "http://ho st",
            "http://host/a,b",
            "http://host\n",
        ] {
            let error = Target::parse(url).map(drop).expect_err(url).to_string();
            assert!(error.starts_with("invalid URL "), "{error}");
        }
    }

    #[test]
    fn errors_do_not_tell_passwords_and_queries() {
        for (url, shown) in [
            ("http://me:secret@host:x/a?token=secret", "http://host:x/a"),
            ("http://me:secret@ho st", "http://ho st"),
            ("ftp://me:secret@host#secret", "ftp://host"),
            ("me:secret@host:0", "host:0"),
            ("http://me:sec/secret@host:0", "http://host:0"),
            ("http://me:sec?secret@host:0", "http://…"),
            ("http://host:0?secret=a@secret", "http://…"),
            ("me:secret@host://host", "…"),
        ] {
            let error = Target::parse(url).map(drop).expect_err(url);
            assert_eq!(without_secrets(url), shown);
            let text = format!("{error} {error:?}");
            assert!(!text.contains("secret"), "{text}");
        }
    }
}
