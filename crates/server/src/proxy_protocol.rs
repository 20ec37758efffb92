//! The PROXY protocol: a proxy sends the address of its client in front of the first request. Called by `listen.rs` for
//! trusted peers. Spec: <https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt>, versions 1 and 2.

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use tokio::{io::AsyncReadExt, net::TcpStream};

/// The first bytes of version 2.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The longest header of version 1, with its line end.
const MAX_LINE_BYTES: usize = 107;
/// The longest header of version 2 after its first 16 bytes: addresses, and additions of the proxy.
const MAX_V2_BYTES: usize = 4096;

/// Reads the header and nothing after it. Returns `None` if the connection is the proxy's own, or of an unknown client.
///
/// # Errors
/// If the header is missing, malformed or too long, or the stream has ended.
pub(crate) async fn read(stream: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut start = [0; SIGNATURE.len()];
    stream.read_exact(&mut start).await?;
    if start == SIGNATURE {
        return read_v2(stream).await;
    }
    if !start.starts_with(b"PROXY ") {
        return Err(broken("no PROXY header"));
    }
    let mut line = start.to_vec();
    let mut next = [0; MAX_LINE_BYTES];
    // Only the line is taken from the stream.
    while !line.ends_with(b"\n") {
        let room = MAX_LINE_BYTES - line.len();
        let count = stream.peek(&mut next[..room]).await?;
        if count == 0 {
            return Err(broken("PROXY header of version 1 too long or cut off"));
        }
        let end = memchr::memchr(b'\n', &next[..count]).map_or(count, |at| at + 1);
        stream.read_exact(&mut next[..end]).await?;
        line.extend_from_slice(&next[..end]);
    }
    parse_v1(&line).ok_or_else(|| broken("broken PROXY header of version 1"))
}

async fn read_v2(stream: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let [version_and_command, family, length @ ..] = head;
    let length = usize::from(u16::from_be_bytes(length));
    if length > MAX_V2_BYTES {
        return Err(broken("PROXY header of version 2 too long"));
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    parse_v2(version_and_command, family, &rest)
        .ok_or_else(|| broken("broken PROXY header of version 2"))
}

fn broken(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Parses `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n`. The outer `None` is an error.
#[expect(
    clippy::option_option,
    reason = "a broken header, and one without an address"
)]
fn parse_v1(line: &[u8]) -> Option<Option<SocketAddr>> {
    let line = std::str::from_utf8(line.strip_suffix(b"\r\n")?).ok()?;
    let mut words = line.split(' ');
    let (_, family) = (words.next()?, words.next()?);
    if family == "UNKNOWN" {
        return Some(None);
    }
    let (source, _, port, _) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let source: IpAddr = source.parse().ok()?;
    let fits = match family {
        "TCP4" => source.is_ipv4(),
        "TCP6" => source.is_ipv6(),
        _ => false,
    };
    let is_whole = fits && words.next().is_none();
    is_whole.then_some(Some(SocketAddr::new(
        source.to_canonical(),
        port.parse().ok()?,
    )))
}

/// Parses a header of version 2. The outer `None` is an error.
#[expect(
    clippy::option_option,
    reason = "a broken header, and one without an address"
)]
fn parse_v2(version_and_command: u8, family: u8, rest: &[u8]) -> Option<Option<SocketAddr>> {
    match version_and_command {
        // The proxy's own connection, mostly a health check.
        0x20 => return Some(None),
        0x21 => {}
        _ => return None,
    }
    // Source, destination, their ports.
    let (source, port): (IpAddr, &[u8]) = match family >> 4 {
        1 => {
            let source: [u8; 4] = *rest.first_chunk()?;
            (source.into(), rest.get(8..)?)
        }
        2 => {
            let source: [u8; 16] = *rest.first_chunk()?;
            (Ipv6Addr::from(source).into(), rest.get(32..)?)
        }
        // Unspecified, or a Unix socket.
        0 | 3 => return Some(None),
        _ => return None,
    };
    let ports: [u8; 4] = *port.first_chunk()?;
    let port = u16::from_be_bytes([ports[0], ports[1]]);
    Some(Some(SocketAddr::new(source.to_canonical(), port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_is_one_line() {
        let address = |line: &str| parse_v1(line.as_bytes()).map(|it| it.map(|it| it.to_string()));
        let some = |text: &str| Some(Some(text.to_owned()));
        assert_eq!(
            address("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"),
            some("192.0.2.1:56324")
        );
        assert_eq!(
            address("PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n"),
            some("[2001:db8::1]:1")
        );
        assert_eq!(address("PROXY UNKNOWN\r\n"), Some(None));
        assert_eq!(
            address("PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n"),
            Some(None)
        );
        for wrong in [
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 x\r\n",
            "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
            "PROXY TCP6 192.0.2.1 198.51.100.1 1 2\r\n",
            "PROXY TCP4 192.0.2 198.51.100.1 1 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 70000 2\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.1 1 2\r\n",
            "PROXY \r\n",
        ] {
            assert_eq!(address(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn version_2_is_binary() {
        let address = |command, family, rest: &[u8]| {
            parse_v2(command, family, rest).map(|it| it.map(|it| it.to_string()))
        };
        let v4 = [192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 0x04, 1, 187];
        let expected = Some(Some("192.0.2.1:56324".to_owned()));
        assert_eq!(address(0x21, 0x11, &v4), expected);
        assert_eq!(
            address(0x21, 0x11, &[&v4[..], &[3, 0, 1, 0]].concat()),
            expected
        );
        let mut v6 = [0; 36];
        v6[15] = 1;
        v6[33] = 9;
        assert_eq!(address(0x21, 0x21, &v6), Some(Some("[::1]:9".to_owned())));
        assert_eq!(address(0x20, 0x00, &[]), Some(None));
        assert_eq!(address(0x20, 0x11, &v4), Some(None));
        assert_eq!(address(0x21, 0x00, &[]), Some(None));
        assert_eq!(address(0x21, 0x31, &[0; 216]), Some(None));
        assert_eq!(address(0x21, 0x11, &v4[..11]), None);
        assert_eq!(address(0x21, 0x21, &v6[..35]), None);
        assert_eq!(address(0x11, 0x11, &v4), None);
        assert_eq!(address(0x22, 0x11, &v4), None);
        assert_eq!(address(0x21, 0x41, &v4), None);
    }
}
