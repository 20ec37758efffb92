//! Tunnels through a proxy: HTTP CONNECT (RFC 9110 9.3.6) and SOCKS5 (RFC 1928, RFC 1929).

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    error::ConnectFailure,
    url::{Target, without_secrets},
};

/// A proxy, and how it is spoken to.
#[derive(Clone)]
pub(crate) struct Proxy {
    kind: Kind,
    pub(crate) host: String,
    pub(crate) port: u16,
    credentials: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Http,
    Socks5,
}

/// Longest head of a proxy's answer.
const MAX_HEAD_BYTES: usize = 8192;

impl Proxy {
    /// Parses `http://[user:password@]host:port` or `socks5://…`.
    pub(crate) fn parse(url: &str) -> Result<Self, ConnectFailure> {
        let unusable = |reason: &str| ConnectFailure::Option {
            option: "proxy",
            reason: format!("{reason}: {:?}", without_secrets(url)),
        };
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let (kind, default_port) = match scheme {
            "http" => (Kind::Http, 80),
            // Names are always resolved by the proxy, which is what the h stands for.
            "socks5" | "socks5h" => (Kind::Socks5, 1080),
            _ => return Err(unusable("the scheme must be http or socks5")),
        };
        let target = Target::parse(&format!("http://{rest}")).map_err(|error| match error {
            ConnectFailure::Url { reason, .. } => unusable(reason),
            other => other,
        })?;
        let has_port = rest
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.trim_end_matches('/').parse::<u16>().is_ok());
        Ok(Self {
            kind,
            host: target.host,
            port: if has_port { target.port } else { default_port },
            credentials: target.credentials,
        })
    }

    /// Asks for a tunnel to the target on a connection to the proxy.
    pub(crate) async fn tunnel(
        &self,
        stream: &mut TcpStream,
        target: &Target,
    ) -> Result<(), ConnectFailure> {
        let tunnel = match self.kind {
            Kind::Http => self.connect_http(stream, target).await,
            Kind::Socks5 => self.connect_socks5(stream, target).await,
        };
        tunnel.map_err(|error| ConnectFailure::Proxy {
            proxy: format!("{}:{}", self.host, self.port),
            reason: error.to_string(),
        })
    }

    async fn connect_http(&self, stream: &mut TcpStream, target: &Target) -> io::Result<()> {
        let address = target.address();
        let mut request = format!("CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n");
        if let Some(credentials) = &self.credentials {
            let encoded = base64_simd::STANDARD.encode_to_string(credentials);
            request.extend(["Proxy-Authorization: Basic ", &encoded, "\r\n"]);
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        // Byte by byte: what follows the head belongs to the tunnel.
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() >= MAX_HEAD_BYTES {
                return Err(io::Error::other("its answer is too long"));
            }
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head);
        let line = head.lines().next().unwrap_or_default();
        let status = line.split(' ').nth(1).unwrap_or_default();
        if line.starts_with("HTTP/1.") && status.len() == 3 && status.starts_with('2') {
            Ok(())
        } else {
            Err(io::Error::other(line.to_owned()))
        }
    }

    async fn connect_socks5(&self, stream: &mut TcpStream, target: &Target) -> io::Result<()> {
        const NO_AUTHENTICATION: u8 = 0;
        const PASSWORD: u8 = 2;
        let methods: &[u8] = match self.credentials {
            None => &[5, 1, NO_AUTHENTICATION],
            Some(_) => &[5, 2, NO_AUTHENTICATION, PASSWORD],
        };
        stream.write_all(methods).await?;
        let mut choice = [0; 2];
        stream.read_exact(&mut choice).await?;
        match (choice, &self.credentials) {
            ([5, NO_AUTHENTICATION], _) => {}
            ([5, PASSWORD], Some(credentials)) => {
                let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
                let mut request = vec![1];
                for part in [user, password] {
                    let length = u8::try_from(part.len())
                        .map_err(|_| io::Error::other("user or password are too long"))?;
                    request.push(length);
                    request.extend_from_slice(part.as_bytes());
                }
                stream.write_all(&request).await?;
                stream.read_exact(&mut choice).await?;
                if choice[1] != 0 {
                    return Err(io::Error::other("user or password are wrong"));
                }
            }
            ([5, _], _) => return Err(io::Error::other("it demands another authentication")),
            _ => return Err(io::Error::other("it does not speak SOCKS5")),
        }
        let length = u8::try_from(target.host.len())
            .map_err(|_| io::Error::other("the host's name is too long"))?;
        let mut request = vec![5, 1, 0];
        match target.host.parse() {
            Ok(std::net::IpAddr::V4(address)) => {
                request.push(1);
                request.extend_from_slice(&address.octets());
            }
            Ok(std::net::IpAddr::V6(address)) => {
                request.push(4);
                request.extend_from_slice(&address.octets());
            }
            Err(_) => {
                request.extend_from_slice(&[3, length]);
                request.extend_from_slice(target.host.as_bytes());
            }
        }
        request.extend_from_slice(&target.port.to_be_bytes());
        stream.write_all(&request).await?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await?;
        if answer[1] != 0 {
            return Err(io::Error::other(socks5_error(answer[1])));
        }
        let bound = match answer[3] {
            1 => 4,
            4 => 16,
            3 => usize::from(stream.read_u8().await?),
            _ => return Err(io::Error::other("it does not speak SOCKS5")),
        };
        let mut rest = vec![0; bound + 2];
        stream.read_exact(&mut rest).await?;
        Ok(())
    }
}

/// Spec: RFC 1928 6.
fn socks5_error(code: u8) -> &'static str {
    match code {
        2 => "its rules do not allow the connection",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "the time to live has expired",
        7 | 8 => "it cannot do this",
        _ => "general failure",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Proxy {
        Proxy::parse(url).expect("a proxy")
    }

    #[test]
    fn proxies_are_urls() {
        let proxy = parse("socks5://me:pw@[::1]:9050");
        assert_eq!(
            (proxy.kind, proxy.host.as_str(), proxy.port),
            (Kind::Socks5, "::1", 9050)
        );
        assert_eq!(proxy.credentials.as_deref(), Some("me:pw"));
        let proxy = parse("socks5h://proxy");
        assert_eq!(proxy.port, 1080);
        assert_eq!(parse("proxy:3128").port, 3128);
        assert!(Proxy::parse("ftp://proxy").is_err());
        assert!(Proxy::parse("http://").is_err());
    }

    #[test]
    fn errors_do_not_tell_the_password() {
        for url in [
            "ftp://me:secret@proxy",
            "http://me:secret@",
            "socks5://me:sec/secret@proxy",
            "me:secret@proxy:x",
            "http://me:secret?secret@proxy:x",
        ] {
            let error = Proxy::parse(url).map(drop).expect_err(url);
            assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
        }
    }
}
