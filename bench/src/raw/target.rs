//! Where the server is, and the requests and packets that follow from it.

use std::net::{SocketAddr, ToSocketAddrs};

use crate::error::Error;
use crate::options::Options;

/// The path of a Socket.IO server if the URL names none.
const DEFAULT_PATH: &str = "/socket.io/";

/// The transport of all connections of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// HTTP long polling.
    Polling,
    /// WebSocket from the first request on.
    WebSocket,
}

/// The server of a run.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Address to connect to.
    pub(crate) address: SocketAddr,
    /// The transport.
    pub(crate) transport: Transport,
    /// Value of the `Host` header.
    pub(crate) host: String,
    /// Path of the server, with leading and trailing slash.
    pub(crate) path: String,
    /// The text between packet type and JSON: empty for `/`, `/name,` for the namespace `/name`.
    pub(crate) namespace: String,
    /// The packet that connects to the namespace.
    pub(crate) connect_packet: String,
}

impl Target {
    /// Reads the options' URL and resolves its host.
    ///
    /// # Errors
    /// [`Error::Url`] or [`Error::Resolve`].
    pub(crate) fn new(options: &Options, transport: Transport) -> Result<Self, Error> {
        let (host, path) = split_url(&options.url).ok_or_else(|| Error::Url {
            url: options.url.clone(),
        })?;
        let resolve = |source| Error::Resolve {
            host: host.clone(),
            source,
        };
        let address = host
            .to_socket_addrs()
            .map_err(resolve)?
            .next()
            .ok_or_else(|| resolve(std::io::ErrorKind::NotFound.into()))?;
        let namespace = match options.namespace.as_str() {
            "" | "/" => String::new(),
            name if name.starts_with('/') => format!("{name},"),
            name => format!("/{name},"),
        };
        let auth = options
            .auth
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        let connect_packet = format!("40{namespace}{auth}");
        Ok(Self {
            address,
            transport,
            host,
            path,
            namespace,
            connect_packet,
        })
    }

    /// Returns the start of an acknowledgement, up to its id.
    pub(crate) fn ack(&self) -> Vec<u8> {
        format!("43{}", self.namespace).into_bytes()
    }

    /// Returns the text of an event with arguments in JSON.
    pub(crate) fn event(&self, json: &str) -> String {
        format!("42{}{json}", self.namespace)
    }
}

/// Splits a URL into `host:port` and path; `None` if it is not plain HTTP.
fn split_url(url: &str) -> Option<(String, String)> {
    let rest = match url.split_once("://") {
        Some(("http" | "ws", rest)) => rest,
        Some(_) => return None,
        None => url,
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if authority.is_empty() || authority.contains('@') {
        return None;
    }
    let has_port = authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let host = if has_port {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    let path = match path.trim_end_matches('/') {
        "" => DEFAULT_PATH.to_owned(),
        path => format!("/{path}/"),
    };
    Some((host, path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Scenario;

    #[test]
    fn url_without_path_means_the_default_path() {
        let split = |url| split_url(url).unwrap();
        assert_eq!(
            split("http://127.0.0.1:3000"),
            ("127.0.0.1:3000".into(), "/socket.io/".into())
        );
        assert_eq!(
            split("localhost:3000/"),
            ("localhost:3000".into(), "/socket.io/".into())
        );
        assert_eq!(
            split("ws://host/chat?x=1"),
            ("host:80".into(), "/chat/".into())
        );
        assert_eq!(
            split("http://[::1]:8080"),
            ("[::1]:8080".into(), "/socket.io/".into())
        );
    }

    #[test]
    fn tls_and_credentials_are_refused() {
        assert_eq!(split_url("https://host"), None);
        assert_eq!(split_url("http://user@host"), None);
        assert_eq!(split_url("http://"), None);
    }

    #[test]
    fn namespace_and_auth_are_part_of_the_connect_packet() {
        let mut options = Options::new("http://127.0.0.1:1", Scenario::Echo);
        let target = |options: &Options| Target::new(options, Transport::WebSocket).unwrap();
        assert_eq!(target(&options).connect_packet, "40");
        options.namespace = "/admin".into();
        options.auth = Some(serde_json::json!({"token": "123"}));
        assert_eq!(
            target(&options).connect_packet,
            r#"40/admin,{"token":"123"}"#
        );
        assert_eq!(target(&options).event(r#"["foo"]"#), r#"42/admin,["foo"]"#);
    }
}
