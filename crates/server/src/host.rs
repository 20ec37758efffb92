//! The host that a request is for, as `Host` and the headers of proxies name it. Called by `http.rs` and `forwarded.rs`. Spec:
//! RFC 3986 3.2.2.

/// Returns whether a text is a name, an IPv4 address, or an IPv6 address in brackets, with or without a port; or empty. Spec:
/// RFC 3986 3.2.2.
pub(crate) fn is_host(host: &[u8]) -> bool {
    if let [b'[', rest @ ..] = host {
        let Some(end) = memchr::memchr(b']', rest) else {
            return false;
        };
        let address = std::str::from_utf8(&rest[..end]);
        let is_address = address.is_ok_and(|it| it.parse::<std::net::Ipv6Addr>().is_ok());
        return is_address && is_port(&rest[end + 1..]);
    }
    let name = host.iter().take_while(|c| IN_HOST[usize::from(**c)]);
    is_port(&host[name.count()..])
}

/// Returns whether a text is a colon and a port, or empty.
fn is_port(port: &[u8]) -> bool {
    match port {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// Returns whether a byte may occur in the name of a host.
const IN_HOST: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'-' | b'.' | b'_' | b'~' | b'%' | b'!' | b'$' | b'&' | b'\''
            )
            || matches!(byte, b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=');
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::is_host;

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for host in [
            "",
            "a",
            "App.Example:8443",
            "192.0.2.1:80",
            "[2001:db8::1]",
            "[::1]:80",
            "a:",
        ] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in [
            "a b", "a/b", "user@a", "a:b", "[::1", "[a]", "a\t", "a?b", "a#b", "<a>", "h\u{e4}",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }
}
