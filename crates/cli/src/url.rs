//! The URL of a server: its address, and the namespace as its path.

/// The parts of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerUrl {
    /// Scheme, host and port.
    pub(crate) origin: String,
    /// `/` if there is no path.
    pub(crate) namespace: String,
    /// Whether it has no TLS, no user and no query.
    pub(crate) is_plain: bool,
}

impl ServerUrl {
    /// Parses a URL. `http://` may be missing.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" | "ws" => "http",
            "https" | "wss" => "https",
            other => {
                return Err(format!(
                    "the scheme must be http, https, ws or wss, not {other}"
                ));
            }
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = address.split_once('/').unwrap_or((address, ""));
        let (user, authority) = authority.rsplit_once('@').unwrap_or(("", authority));
        let is_host = |c: char| c.is_ascii_graphic() && !"\"<>\\^`{|}".contains(c);
        if authority.is_empty() || !authority.chars().all(is_host) {
            return Err("expected a URL such as http://localhost:3000".to_owned());
        }
        let namespace = match path {
            "" => "/".to_owned(),
            path if path.contains(',') => {
                return Err("the name of a namespace cannot contain a comma".to_owned());
            }
            path => format!("/{path}"),
        };
        Ok(Self {
            origin: format!("{scheme}://{authority}"),
            namespace,
            is_plain: scheme == "http" && user.is_empty() && query.is_empty(),
        })
    }
}

/// The default path of the requests.
const REQUESTS: &str = "/socket.io";

/// Returns a hint if the URL has the path of the requests in the place of the namespace.
pub(crate) fn hint(url: &str, path: &str) -> Option<String> {
    let ServerUrl {
        origin, namespace, ..
    } = ServerUrl::parse(url).ok()?;
    let before = namespace.trim_end_matches('/').strip_suffix(REQUESTS)?;
    if path != REQUESTS {
        // The user has set the path of the requests.
        return None;
    }
    let instead = match before {
        "" => format!("{origin} alone (requests go to {REQUESTS} by default)"),
        before => format!("{origin} --path {before}{REQUESTS}"),
    };
    Some(format!(
        "the path of a URL is the namespace, here {namespace}; did you mean {instead}?"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_requests_is_not_a_namespace() {
        let of = |url| hint(url, REQUESTS).unwrap_or_default();
        for url in [
            "a:1/socket.io",
            "http://a:1/socket.io/",
            "ws://u:p@a:1/socket.io?b=c",
        ] {
            assert!(
                of(url).contains("did you mean http://a:1 alone"),
                "{}",
                of(url)
            );
        }
        assert!(of("https://a/b/socket.io").contains("https://a --path /b/socket.io"));
        for url in [
            "http://a",
            "http://a/chat",
            "http://a/socket.io/chat",
            "http://a/xsocket.io",
        ] {
            assert_eq!(of(url), "", "{url}");
        }
        assert_eq!(hint("http://a/socket.io", "/io"), None);
    }

    #[test]
    fn the_path_is_the_namespace() {
        for (url, origin, namespace, is_plain) in [
            ("http://localhost:3000", "http://localhost:3000", "/", true),
            (
                "localhost:3000/chat",
                "http://localhost:3000",
                "/chat",
                true,
            ),
            // A slash at the end belongs to the name, as in JavaScript.
            ("http://a/b/", "http://a", "/b/", true),
            ("http://a/", "http://a", "/", true),
            ("wss://a.example/b/c", "https://a.example", "/b/c", false),
            ("HTTP://[::1]:80#x", "http://[::1]:80", "/", true),
            ("http://a?token=1", "http://a", "/", false),
            ("http://user:secret@a/b", "http://a", "/b", false),
        ] {
            let parsed = ServerUrl::parse(url).expect(url);
            let expected = ServerUrl {
                origin: origin.to_owned(),
                namespace: namespace.to_owned(),
                is_plain,
            };
            assert_eq!(parsed, expected, "{url}");
        }
    }

    #[test]
    fn what_is_no_address_of_a_server_is_refused() {
        for url in ["", "ftp://a", "http://", "http://a b", "http://a/b,c"] {
            assert!(ServerUrl::parse(url).is_err(), "{url}");
        }
    }
}
