//! The client behind a request: its address, scheme and host, from the connection or from the proxies in front of the server.
//!
//! Limits, logs and handlers use the result. Only trusted proxies are believed. Spec: RFC 7239 (`Forwarded`);
//! `X-Forwarded-For`, `-Proto` and `-Host` are common practice without a specification.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use http::{HeaderMap, HeaderName, header, request::Parts};

use crate::{host::is_host, peer::Peer};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Names proxies that are trusted to report the address of their clients: an address, a network, or a word for several
/// networks.
///
/// Parsed from `192.0.2.7`, `10.0.0.0/8`, `2001:db8::/32`, `loopback`, `private` and `unix`.
///
/// ```
/// use kokanee_server::TrustedProxy;
///
/// assert_eq!("loopback".parse(), Ok(TrustedProxy::LOOPBACK));
/// assert!("10.0.0.0/8".parse::<TrustedProxy>().is_ok());
/// assert!("proxy.example.com".parse::<TrustedProxy>().is_err()); // names are not looked up
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrustedProxy(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Loopback,
    Private,
    Unix,
    /// An address and the number of its leading bits that are compared.
    V4(Ipv4Addr, u8),
    V6(Ipv6Addr, u8),
}

/// Reports that a text is neither an address nor a network nor one of the words.
///
/// ```
/// let error = "10.0.0.0/33".parse::<kokanee_server::TrustedProxy>().unwrap_err();
/// assert!(error.to_string().contains("is not an address"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not an address, a network such as 10.0.0.0/8, `loopback`, `private` or `unix`"
)]
pub struct InvalidProxy {
    text: String,
}

impl TrustedProxy {
    /// Covers this machine: `127.0.0.0/8` and `::1`.
    pub const LOOPBACK: Self = Self(Kind::Loopback);
    /// Covers this machine and all private and link-local networks: `10.0.0.0/8`, `172.16.0.0/12`, `192.168.0.0/16`,
    /// `169.254.0.0/16`, `fc00::/7`, `fe80::/10`.
    pub const PRIVATE: Self = Self(Kind::Private);
    /// Covers all that connect by a [Unix socket](crate::Server::listener), whose permissions say who can.
    pub const UNIX: Self = Self(Kind::Unix);

    fn covers(self, address: IpAddr) -> bool {
        match (self.0, address.to_canonical()) {
            (Kind::Loopback, address) => address.is_loopback(),
            (Kind::Private, IpAddr::V4(it)) => {
                it.is_loopback() || it.is_private() || it.is_link_local()
            }
            (Kind::Private, IpAddr::V6(it)) => {
                it.is_loopback() || it.is_unique_local() || it.is_unicast_link_local()
            }
            (Kind::V4(network, prefix), IpAddr::V4(it)) => {
                let differ = network.to_bits() ^ it.to_bits();
                differ.checked_shr(32 - u32::from(prefix)).unwrap_or(0) == 0
            }
            (Kind::V6(network, prefix), IpAddr::V6(it)) => {
                let differ = network.to_bits() ^ it.to_bits();
                differ.checked_shr(128 - u32::from(prefix)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl From<IpAddr> for TrustedProxy {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => Kind::V4(address, 32),
            IpAddr::V6(address) => Kind::V6(address, 128),
        })
    }
}

impl FromStr for TrustedProxy {
    type Err = InvalidProxy;

    fn from_str(text: &str) -> Result<Self, InvalidProxy> {
        parse_proxy(text.trim()).ok_or_else(|| InvalidProxy {
            text: text.to_owned(),
        })
    }
}

fn parse_proxy(text: &str) -> Option<TrustedProxy> {
    match text {
        "loopback" => return Some(TrustedProxy::LOOPBACK),
        "private" => return Some(TrustedProxy::PRIVATE),
        "unix" => return Some(TrustedProxy::UNIX),
        _ => {}
    }
    let Some((address, prefix)) = text.split_once('/') else {
        return text.parse().ok().map(IpAddr::into);
    };
    let prefix: u8 = prefix.parse().ok()?;
    Some(TrustedProxy(match address.parse().ok()? {
        IpAddr::V4(address) if prefix <= 32 => Kind::V4(address, prefix),
        IpAddr::V6(address) if prefix <= 128 => match (address.to_ipv4_mapped(), prefix) {
            (Some(address), 96..) => Kind::V4(address, prefix - 96),
            _ => Kind::V6(address, prefix),
        },
        _ => return None,
    }))
}

/// Returns whether a peer of this address is trusted.
pub(crate) fn is_trusted(proxies: &[TrustedProxy], address: IpAddr) -> bool {
    proxies.iter().any(|proxy| proxy.covers(address))
}

/// The client behind a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Client {
    /// The port is 0 if no proxy reports it.
    pub(crate) address: Option<SocketAddr>,
    /// Whether the client's connection is encrypted, as far as the server knows.
    pub(crate) secure: bool,
    /// The host and port that the client has asked for, and the name of the field that says so.
    pub(crate) host: Option<(String, &'static str)>,
}

impl Client {
    /// Finds the client by following the trusted proxies from the peer.
    ///
    /// The client's address is the last one in a header that does not belong to a trusted proxy: the client itself may have
    /// written those before it. If a proxy does not report an address, its own address represents all its clients. If
    /// `Forwarded` and `X-Forwarded-For` name different clients, the proxy has not written both, and neither is believed. A value that
    /// cannot be a host and port is ignored.
    pub(crate) fn of(proxies: &[TrustedProxy], peer: &Peer, request: &Parts) -> Self {
        let headers = &request.headers;
        // Spec: RFC 9112 3.2.2. HTTP/2 has no `Host`.
        let authority = request.uri.authority();
        let authority = authority.map(|it| (it.as_str().to_owned(), "URL"));
        let mut client = Self {
            address: peer.address,
            secure: peer.secure,
            host: authority.or_else(|| Some((first(headers, &header::HOST)?, "Host"))),
        };
        let is_proxy = match peer.address {
            Some(address) => is_trusted(proxies, address.ip()),
            None => proxies.contains(&TrustedProxy::UNIX),
        };
        if !is_proxy {
            return client;
        }
        let elements = forwarded(headers);
        let nodes: Vec<_> = elements.iter().map(|it| it.node.as_deref()).collect();
        let forwarded = follow(proxies, peer.address, &nodes);
        let nodes: Vec<_> = text_of(headers, &FORWARDED_FOR)
            .filter(|line| !line.trim().is_empty())
            .flat_map(|line| line.split(',').map(|node| Some(node.trim())))
            .collect();
        let legacy = follow(proxies, peer.address, &nodes);
        let ip = |address: Option<SocketAddr>| address.map(|address| address.ip());
        client.address = match (forwarded, legacy) {
            (None, None) => peer.address,
            (Some((client, _)), None) | (None, Some((client, _))) => client,
            (Some((one, _)), Some((other, _))) if ip(one) == ip(other) => one,
            _ => {
                tracing::debug!(proxy = ?peer.address, "Forwarded and X-Forwarded-For disagree; neither is believed");
                peer.address
            }
        };
        let index = forwarded.map_or(0, |(_, index)| index);
        let element = elements.into_iter().nth(index);
        let (proto, host) = element.map_or((None, None), |element| (element.proto, element.host));
        if let Some(proto) = proto.or_else(|| first(headers, &FORWARDED_PROTO)) {
            client.secure =
                proto.eq_ignore_ascii_case("https") || proto.eq_ignore_ascii_case("wss");
        }
        let host = host.map(|host| (host, "Forwarded"));
        let legacy = || Some((first(headers, &FORWARDED_HOST)?, "X-Forwarded-Host"));
        // The proxy may pass on what a client has sent, which `Host` may not contain either.
        if let Some((host, header)) = host.or_else(legacy) {
            if !host.is_empty() && is_host(host.as_bytes()) {
                client.host = Some((host, header));
            } else {
                tracing::debug!(proxy = ?peer.address, header, "not a host; the header is ignored");
            }
        }
        client
    }
}

/// Iterates over the header's lines that are text.
fn text_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|line| line.to_str().ok())
}

/// Returns the first value of a list, which the outermost proxy has written.
fn first(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let line = text_of(headers, name).next()?;
    let value = line.split(',').next().unwrap_or_default().trim();
    (!value.is_empty()).then(|| value.to_owned())
}

/// Returns the client of `proxy`, which has no address on a Unix socket, by the reports of the proxies, and the index of the
/// report that names it.
fn follow(
    trusted: &[TrustedProxy],
    proxy: Option<SocketAddr>,
    nodes: &[Option<&str>],
) -> Option<(Option<SocketAddr>, usize)> {
    // The header may exist for another reason.
    nodes.iter().flatten().next()?;
    let mut client = None;
    for (index, node) in nodes.iter().enumerate().rev() {
        let Some(address) = node.and_then(parse_node) else {
            // It does not report an address: all its clients are counted as one.
            return Some((client.map_or(proxy, |(address, _)| address), index));
        };
        client = Some((Some(address), index));
        if !is_trusted(trusted, address.ip()) {
            break;
        }
    }
    client
}

/// Reads `192.0.2.43`, `192.0.2.43:47011`, `2001:db8::1`, `[2001:db8::1]` and `[2001:db8::1]:4711`; not `unknown` or
/// `_hidden`. Spec: RFC 7239 6.
fn parse_node(node: &str) -> Option<SocketAddr> {
    let (address, port) = if let Some(rest) = node.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let address = IpAddr::V6(address.parse().ok()?);
        (
            address,
            port.strip_prefix(':')
                .or_else(|| port.is_empty().then_some("0"))?,
        )
    } else if let Ok(address) = node.parse() {
        (address, "0")
    } else {
        let (address, port) = node.split_once(':')?;
        (IpAddr::V4(address.parse().ok()?), port)
    };
    // The port may be hidden as well.
    let port = if port.starts_with('_') {
        0
    } else {
        port.parse().ok()?
    };
    Some(SocketAddr::new(address.to_canonical(), port))
}

/// The report of one proxy in `Forwarded`.
#[derive(Debug, Default)]
struct Element {
    node: Option<String>,
    proto: Option<String>,
    host: Option<String>,
}

/// Returns the elements of all `Forwarded` headers. Returns none if any is malformed: a quote that a client has left open
/// would hide what the proxy adds after it.
fn forwarded(headers: &HeaderMap) -> Vec<Element> {
    let mut elements = Vec::new();
    for line in headers.get_all(header::FORWARDED) {
        let read = line
            .to_str()
            .ok()
            .and_then(|line| read_elements(line, &mut elements));
        if read.is_none() {
            return Vec::new();
        }
    }
    elements
}

/// Reads the elements of a line. Returns `None` if the line is malformed. Spec: RFC 7239 4.
fn read_elements(line: &str, elements: &mut Vec<Element>) -> Option<()> {
    let mut element = Element::default();
    let mut rest = line.trim_start();
    loop {
        if !rest.is_empty() && !rest.starts_with([',', ';']) {
            let (name, after) = rest.split_once('=')?;
            let (value, after) = read_value(after)?;
            let slot = match name.to_ascii_lowercase().as_str() {
                "for" => Some(&mut element.node),
                "proto" => Some(&mut element.proto),
                "host" => Some(&mut element.host),
                name if is_token(name) => None,
                _ => return None,
            };
            if let Some(slot) = slot
                && slot.replace(value).is_some()
            {
                // Each parameter may occur once.
                return None;
            }
            rest = after.trim_start();
        }
        match rest.bytes().next() {
            None => {
                elements.push(element);
                return Some(());
            }
            Some(b',') => elements.push(std::mem::take(&mut element)),
            Some(b';') => {}
            Some(_) => return None,
        }
        rest = rest[1..].trim_start();
    }
}

/// Returns a token or the content of a quoted string, and the text after it.
fn read_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ';', ' ', '\t']).unwrap_or(text.len());
        // Addresses with a port or in brackets must be quoted, but often are not.
        let is_value = |c: char| c.is_ascii_graphic() && c != '"' && c != '\\';
        let value =
            Some(&text[..end]).filter(|value| !value.is_empty() && value.chars().all(is_value))?;
        return Some((value.to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            other => value.push(other),
        }
    }
    None
}

fn is_token(text: &str) -> bool {
    let is_token_char = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !text.is_empty() && text.chars().all(is_token_char)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client(trusted: &[&str], peer: &str, headers: &[(&'static str, &str)]) -> Client {
        let trusted: Vec<TrustedProxy> = trusted.iter().map(|it| it.parse().expect(it)).collect();
        let peer = Peer {
            address: (peer != "unix").then(|| peer.parse().expect(peer)),
            ..Peer::default()
        };
        let (mut parts, ()) = http::Request::new(()).into_parts();
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).expect("a value");
            parts.headers.append(*name, value);
        }
        Client::of(&trusted, &peer, &parts)
    }

    fn address(trusted: &[&str], peer: &str, headers: &[(&'static str, &str)]) -> String {
        let address = client(trusted, peer, headers).address;
        address.expect("an address").to_string()
    }

    #[test]
    fn nobody_is_believed_unless_it_is_trusted() {
        let says = [
            ("x-forwarded-for", "1.2.3.4"),
            ("forwarded", "for=1.2.3.4;proto=https;host=a.example"),
            ("x-forwarded-host", "a.example"),
            ("host", "b.example"),
        ];
        for trusted in [&[][..], &["10.0.0.0/8"], &["::1"]] {
            let client = client(trusted, "127.0.0.1:5", &says);
            assert_eq!(client.address, Some("127.0.0.1:5".parse().expect("valid")));
            assert!(!client.secure);
            assert_eq!(client.host, Some(("b.example".to_owned(), "Host")));
        }
    }

    #[test]
    fn a_peer_on_a_unix_socket_is_believed_by_its_word() {
        let says = [
            ("x-forwarded-for", "6.6.6.6, 1.2.3.4"),
            ("x-forwarded-proto", "https"),
        ];
        let believed = client(&["unix"], "unix", &says);
        assert_eq!(believed.address, Some("1.2.3.4:0".parse().expect("valid")));
        assert!(believed.secure);
        let silent = client(&["unix"], "unix", &[]);
        assert_eq!(silent.address, None);
        for (trusted, peer) in [("private", "unix"), ("unix", "127.0.0.1:5")] {
            let client = client(&[trusted], peer, &says);
            assert!(!client.secure, "{trusted} {peer}");
            assert_ne!(client.address, believed.address);
        }
    }

    #[test]
    fn the_last_address_that_is_not_a_proxys_is_the_clients() {
        let trusted = ["loopback", "10.0.0.0/8"];
        for (header, expected) in [
            ("1.2.3.4", "1.2.3.4:0"),
            ("6.6.6.6, 1.2.3.4", "1.2.3.4:0"),
            ("6.6.6.6, 1.2.3.4, 10.1.1.1", "1.2.3.4:0"),
            ("6.6.6.6,1.2.3.4,10.1.1.1 , 127.0.0.9", "1.2.3.4:0"),
            ("10.1.1.1, 10.1.1.2", "10.1.1.1:0"),
            ("1.2.3.4:567", "1.2.3.4:567"),
            ("2001:db8::1", "[2001:db8::1]:0"),
            ("[2001:db8::1]", "[2001:db8::1]:0"),
            ("[2001:db8::1]:77", "[2001:db8::1]:77"),
            ("::ffff:1.2.3.4", "1.2.3.4:0"),
            ("unknown", "127.0.0.1:5"),
            ("1.2.3.4, garbage", "127.0.0.1:5"),
            ("1.2.3.4, garbage, 10.0.0.9", "10.0.0.9:0"),
            ("1.2.3.4,", "127.0.0.1:5"),
            ("", "127.0.0.1:5"),
            ("1.2.3.4:99999", "127.0.0.1:5"),
            ("1.2.3", "127.0.0.1:5"),
        ] {
            let headers = [("x-forwarded-for", header)];
            assert_eq!(
                address(&trusted, "127.0.0.1:5", &headers),
                expected,
                "{header}"
            );
        }
        // Several lines are one list.
        let lines = [
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-for", "1.2.3.4"),
        ];
        assert_eq!(address(&trusted, "127.0.0.1:5", &lines), "1.2.3.4:0");
        // Written as IPv6, the peer is the same.
        assert_eq!(
            address(&trusted, "[::ffff:127.0.0.1]:5", &lines),
            "1.2.3.4:0"
        );
    }

    #[test]
    fn forwarded_is_read_as_rfc_7239_says() {
        for (header, expected) in [
            ("for=1.2.3.4", "1.2.3.4:0"),
            ("For=1.2.3.4;Proto=http;by=203.0.113.43", "1.2.3.4:0"),
            ("for=\"1.2.3.4:4711\"", "1.2.3.4:4711"),
            ("for=1.2.3.4:4711", "1.2.3.4:4711"),
            (
                "for=\"[2001:db8:cafe::17]:4711\"",
                "[2001:db8:cafe::17]:4711",
            ),
            ("for=\"[2001:db8:cafe::17]\"", "[2001:db8:cafe::17]:0"),
            ("for=\"1.2.3.4:_port\"", "1.2.3.4:0"),
            ("for=6.6.6.6, for=1.2.3.4", "1.2.3.4:0"),
            (
                "for=6.6.6.6,for=1.2.3.4 ; proto=https, for=127.0.0.2",
                "1.2.3.4:0",
            ),
            ("for=\"\\1.2.3.4\"", "1.2.3.4:0"),
            ("for=unknown", "127.0.0.1:5"),
            ("for=_hidden", "127.0.0.1:5"),
            ("for=1.2.3.4, for=_hidden", "127.0.0.1:5"),
            ("for=1.2.3.4, for=unknown, for=127.0.0.2", "127.0.0.2:0"),
            ("proto=https", "127.0.0.1:5"),
            ("for=1.2.3.4, proto=https", "127.0.0.1:5"),
            ("", "127.0.0.1:5"),
            // What a client has left open does not swallow the proxy's word, nor is any of it believed.
            ("for=\"x, for=1.2.3.4", "127.0.0.1:5"),
            ("for=\"x, for=\"1.2.3.4\"", "127.0.0.1:5"),
            ("for=9.9.9.9;for=1.2.3.4", "127.0.0.1:5"),
            ("for", "127.0.0.1:5"),
            ("for=", "127.0.0.1:5"),
            ("=1.2.3.4", "127.0.0.1:5"),
            ("f or=1.2.3.4", "127.0.0.1:5"),
        ] {
            let headers = [("forwarded", header)];
            assert_eq!(
                address(&["loopback"], "127.0.0.1:5", &headers),
                expected,
                "{header}"
            );
        }
    }

    #[test]
    fn two_headers_that_disagree_are_not_believed() {
        let says = |one, other| [("forwarded", one), ("x-forwarded-for", other)];
        let of = |headers: [(&'static str, &str); 2]| address(&["private"], "10.0.0.1:5", &headers);
        assert_eq!(of(says("for=1.2.3.4", "1.2.3.4")), "1.2.3.4:0");
        assert_eq!(of(says("for=\"1.2.3.4:9\"", "1.2.3.4")), "1.2.3.4:9");
        assert_eq!(of(says("for=6.6.6.6", "1.2.3.4")), "10.0.0.1:5");
        // One that names no client says nothing else.
        assert_eq!(of(says("proto=https", "1.2.3.4")), "1.2.3.4:0");
        assert_eq!(of(says("for=1.2.3.4", "")), "1.2.3.4:0");
    }

    #[test]
    fn what_cannot_be_a_host_is_ignored() {
        for value in ["a b", "a/path", "user@a", "a:port", "[::1", "a?b"] {
            let quoted = format!("host=\"{value}\"");
            for header in [("x-forwarded-host", value), ("forwarded", quoted.as_str())] {
                let client = client(
                    &["loopback"],
                    "127.0.0.1:5",
                    &[header, ("host", "inner:80")],
                );
                assert_eq!(
                    client.host,
                    Some(("inner:80".to_owned(), "Host")),
                    "{value}"
                );
            }
        }
    }

    #[test]
    fn scheme_and_host_are_the_outermost_proxys() {
        let of = |headers: &[(&'static str, &str)]| {
            let client = client(&["loopback"], "127.0.0.1:5", headers);
            (client.secure, client.host)
        };
        let host = |host: &str, header| Some((host.to_owned(), header));
        assert_eq!(
            of(&[
                ("x-forwarded-proto", "https, http"),
                ("x-forwarded-host", "App.Example, inner"),
                ("host", "inner:80"),
            ]),
            (true, host("App.Example", "X-Forwarded-Host"))
        );
        assert_eq!(
            of(&[
                (
                    "forwarded",
                    "for=1.2.3.4;host=\"app.example:8443\";proto=https, for=127.0.0.1;proto=http;host=inner"
                ),
                ("x-forwarded-host", "other"),
            ]),
            (true, host("app.example:8443", "Forwarded"))
        );
        assert_eq!(of(&[("host", "a")]), (false, host("a", "Host")));
    }

    #[test]
    fn proxies_are_addresses_networks_and_words() {
        let covers = |proxy: &str, address: &str| {
            let proxy: TrustedProxy = proxy.parse().expect(proxy);
            proxy.covers(address.parse().expect(address))
        };
        assert!(covers("10.0.0.0/8", "10.255.0.1") && !covers("10.0.0.0/8", "11.0.0.1"));
        assert!(covers("10.1.2.3", "10.1.2.3") && !covers("10.1.2.3", "10.1.2.4"));
        assert!(covers("0.0.0.0/0", "8.8.8.8") && !covers("0.0.0.0/0", "2001:db8::1"));
        assert!(
            covers("2001:db8::/32", "2001:db8:1::1") && !covers("2001:db8::/32", "2001:db9::1")
        );
        assert!(covers("::/0", "2001:db8::1") && !covers("::/0", "8.8.8.8"));
        assert!(covers("::ffff:10.0.0.0/104", "10.1.1.1"));
        assert!(covers("10.1.2.3", "::ffff:10.1.2.3"));
        assert!(covers("loopback", "127.3.0.1") && covers("loopback", "::1"));
        assert!(!covers("loopback", "10.0.0.1") && !covers("loopback", "::2"));
        for near in [
            "127.0.0.1",
            "10.0.0.1",
            "172.31.0.1",
            "192.168.9.9",
            "169.254.1.1",
            "fd00::1",
            "fe80::1",
        ] {
            assert!(covers("private", near), "{near}");
        }
        for far in ["172.32.0.1", "8.8.8.8", "2001:db8::1", "100.64.0.1"] {
            assert!(!covers("private", far), "{far}");
        }
        for wrong in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "a.example",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "*",
        ] {
            assert!(wrong.parse::<TrustedProxy>().is_err(), "{wrong}");
        }
    }
}
