//! The URL of a server: where it is, and the namespace, which is its path.

/// A URL in its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerUrl {
    /// Scheme, host and port.
    pub(crate) origin: String,
    /// `/` if there is no path.
    pub(crate) namespace: String,
}

impl ServerUrl {
    /// Takes a URL apart. `http://` may be missing.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" | "ws" => "http",
            "https" | "wss" => "https",
            other => return Err(format!("{other}:// is none of http, https, ws and wss")),
        };
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let is_host = |c: char| c.is_ascii_graphic() && !"@\"<>\\^`{|}".contains(c);
        if authority.is_empty() || !authority.chars().all(is_host) {
            return Err("a URL such as http://localhost:3000 is expected".to_owned());
        }
        let namespace = match path.trim_end_matches('/') {
            "" => "/".to_owned(),
            path if path.contains(',') => {
                return Err("no namespace has a comma in its name".to_owned());
            }
            path => format!("/{path}"),
        };
        Ok(Self {
            origin: format!("{scheme}://{authority}"),
            namespace,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_the_namespace() {
        for (url, origin, namespace) in [
            ("http://localhost:3000", "http://localhost:3000", "/"),
            ("localhost:3000/chat/", "http://localhost:3000", "/chat"),
            ("wss://a.example/b/c?token=1", "https://a.example", "/b/c"),
            ("HTTP://[::1]:80", "http://[::1]:80", "/"),
        ] {
            let parsed = ServerUrl::parse(url).expect(url);
            assert_eq!(
                (parsed.origin.as_str(), parsed.namespace.as_str()),
                (origin, namespace)
            );
        }
    }

    #[test]
    fn what_is_no_address_of_a_server_is_refused() {
        for url in [
            "",
            "ftp://a",
            "http://",
            "http://user@host",
            "http://a b",
            "http://a/b,c",
        ] {
            assert!(ServerUrl::parse(url).is_err(), "{url}");
        }
    }
}
