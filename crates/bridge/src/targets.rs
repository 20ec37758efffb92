//! The allow list of targets that clients may ask the server to dial. Without a rule nothing is allowed.
//!
//! A name is resolved only if it is on the list as a name. Then its addresses are checked, and only checked addresses
//! are connected to. So neither another spelling of an address nor a name whose addresses change reaches a target that
//! is not on the list, and clients cannot find out which names exist.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

/// A rule that allows targets: `HOST:PORT`, where the host is an address, a network such as `10.0.0.0/8` or
/// `[fd00::/8]`, or a name, and the port a number or `*`.
///
/// An address or a network allows targets that are written as addresses: names are resolved only where a rule has that
/// name. A name is allowed with any address, except those of this machine and its local network segment (loopback,
/// link-local, unspecified, multicast): those must be on the list as addresses. `localhost` allows loopback addresses
/// only.
///
/// # Examples
///
/// ```
/// use kokanee_bridge::Rule;
///
/// for text in ["plc.local:502", "10.0.0.0/8:502", "[fd00::/8]:*", "localhost:7000"] {
///     text.parse::<Rule>().expect(text);
/// }
/// assert!("plc.local".parse::<Rule>().is_err(), "the port is missing");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    host: Host,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Network { address: IpAddr, prefix: u8 },
    Name(String),
}

/// The text is not a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a target: {text}; host:port is expected, such as plc.local:502, 10.0.0.0/8:502, [fd00::/8]:* or localhost:7000"
)]
pub struct InvalidRule {
    text: String,
}

impl FromStr for Rule {
    type Err = InvalidRule;

    fn from_str(text: &str) -> Result<Self, InvalidRule> {
        parse(text).ok_or_else(|| InvalidRule {
            text: text.to_owned(),
        })
    }
}

fn parse(text: &str) -> Option<Rule> {
    let (host, port) = text.rsplit_once(':')?;
    let port = match port {
        "*" => None,
        number => Some(number.parse().ok().filter(|port| *port != 0)?),
    };
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    let (address, prefix) = match bare.split_once('/') {
        Some((address, prefix)) => (address.parse::<IpAddr>().ok()?, Some(prefix.parse().ok()?)),
        None => match bare.parse::<IpAddr>() {
            Ok(address) => (address, None),
            Err(_) => {
                let fits = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
                let is_name = !bare.is_empty() && bare.chars().all(fits);
                let host = Host::Name(bare.trim_end_matches('.').to_ascii_lowercase());
                return is_name.then_some(Rule { host, port });
            }
        },
    };
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let prefix: u8 = prefix.unwrap_or(bits);
    (prefix <= bits).then_some(Rule {
        host: Host::Network { address, prefix },
        port,
    })
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Network { address, prefix } if address.is_ipv4() => {
                write!(f, "{address}/{prefix}")?;
            }
            Host::Network { address, prefix } => write!(f, "[{address}/{prefix}]")?,
            Host::Name(name) => f.write_str(name)?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => f.write_str(":*"),
        }
    }
}

impl Rule {
    /// Returns whether `address`, which `host` has been resolved to, is allowed.
    fn allows(&self, host: &str, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        let is_port = self.port.is_none_or(|port| port == address.port());
        is_port
            && match &self.host {
                Host::Network { address, prefix } => contains(*address, *prefix, ip),
                Host::Name(name) if !is_named(name, host) => false,
                Host::Name(name) if name == "localhost" => ip.is_loopback(),
                Host::Name(_) => !is_near(ip),
            }
    }

    /// Returns whether the rule applies to a target as written: an address, or a name to resolve.
    fn concerns(&self, host: &str, port: u16) -> bool {
        let is_about = match &self.host {
            Host::Network { .. } => host.parse::<IpAddr>().is_ok(),
            Host::Name(name) => is_named(name, host),
        };
        is_about && self.port.is_none_or(|allowed| allowed == port)
    }
}

fn is_named(name: &str, host: &str) -> bool {
    host.trim_end_matches('.').eq_ignore_ascii_case(name)
}

fn contains(network: IpAddr, prefix: u8, ip: IpAddr) -> bool {
    match (network, ip) {
        (IpAddr::V4(network), IpAddr::V4(ip)) => {
            let shift = 32 - u32::from(prefix);
            let differ = network.to_bits() ^ ip.to_bits();
            differ.checked_shr(shift).unwrap_or(0) == 0
        }
        (IpAddr::V6(network), IpAddr::V6(ip)) => {
            let shift = 128 - u32::from(prefix);
            let differ = network.to_bits() ^ ip.to_bits();
            differ.checked_shr(shift).unwrap_or(0) == 0
        }
        _ => false,
    }
}

/// Returns whether an address is one of this machine, or only reachable from its local network segment.
fn is_near(ip: IpAddr) -> bool {
    let is_link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast() || ip.octets()[0] == 0,
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    is_link_local || ip.is_loopback() || ip.is_unspecified() || ip.is_multicast()
}

/// Returns the addresses of `host` that the rules allow.
pub(crate) fn allowed(rules: &[Rule], host: &str, addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let is_allowed = |address: &&SocketAddr| rules.iter().any(|rule| rule.allows(host, **address));
    addresses.iter().filter(is_allowed).copied().collect()
}

/// Returns whether any rule may allow a target of this host. Only then a name is resolved.
pub(crate) fn concern(rules: &[Rule], host: &str, port: u16) -> bool {
    rules.iter().any(|rule| rule.concerns(host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(rule: &str, host: &str, address: &str) -> bool {
        let rules = [rule.parse().expect(rule)];
        !allowed(&rules, host, &[address.parse().expect(address)]).is_empty()
    }

    #[test]
    fn without_rules_nothing_is_allowed() {
        let address = "127.0.0.1:80".parse().expect("an address");
        assert!(allowed(&[], "127.0.0.1", &[address]).is_empty());
        assert!(!concern(&[], "localhost", 80));
    }

    #[test]
    fn a_network_allows_its_addresses_and_its_port() {
        assert!(allows("10.0.0.0/8:502", "plc", "10.1.2.3:502"));
        assert!(!allows("10.0.0.0/8:502", "plc", "10.1.2.3:503"));
        assert!(!allows("10.0.0.0/8:502", "plc", "11.0.0.1:502"));
        assert!(allows("10.1.2.3:*", "10.1.2.3", "10.1.2.3:1"));
        assert!(!allows("10.1.2.3:*", "10.1.2.4", "10.1.2.4:1"));
        assert!(allows("[fd00::/8]:80", "x", "[fd12::1]:80"));
        assert!(!allows("[fd00::/8]:80", "x", "[fe80::1]:80"));
        assert!(allows("0.0.0.0/0:80", "x", "8.8.8.8:80"));
        assert!(!allows("0.0.0.0/0:80", "x", "[2001:db8::1]:80"));
    }

    #[test]
    fn names_are_resolved_only_where_a_rule_has_them() {
        let concerns = |rule: &str, host| concern(&[rule.parse().expect(rule)], host, 502);
        for rule in [
            "10.0.0.0/8:502",
            "0.0.0.0/0:*",
            "[::/0]:502",
            "plc.other:502",
        ] {
            for name in ["plc.local", "localhost", "127.1", "2130706433", ""] {
                assert!(!concerns(rule, name), "{name} by {rule}");
            }
        }
        assert!(concerns("plc.local:502", "PLC.local."));
        assert!(!concerns("plc.local:503", "plc.local"));
        assert!(concerns("10.0.0.0/8:502", "10.1.2.3"));
        assert!(concerns("[::/0]:*", "::1"));
    }

    #[test]
    fn another_spelling_of_an_address_is_the_same_address() {
        assert!(allows("127.0.0.1:80", "x", "[::ffff:127.0.0.1]:80"));
        assert!(!allows("[::/0]:80", "x", "[::ffff:127.0.0.1]:80"));
    }

    #[test]
    fn a_name_leads_neither_here_nor_next_door() {
        assert!(allows("plc.example:502", "PLC.example.", "192.168.0.7:502"));
        assert!(!allows(
            "plc.example:502",
            "other.example",
            "192.168.0.7:502"
        ));
        for near in [
            "127.0.0.1:502",
            "169.254.169.254:502",
            "0.0.0.0:502",
            "224.0.0.1:502",
            "[::1]:502",
            "[fe80::1]:502",
            "[::]:502",
            "[::ffff:127.0.0.1]:502",
            "255.255.255.255:502",
        ] {
            assert!(!allows("plc.example:502", "plc.example", near), "{near}");
        }
        assert!(allows("localhost:80", "localhost", "127.0.0.1:80"));
        assert!(!allows("localhost:80", "localhost", "8.8.8.8:80"));
        assert!(!allows("localhost:80", "127.0.0.1", "127.0.0.1:80"));
    }

    #[test]
    fn rules_are_written_as_they_are_read() {
        for text in ["10.0.0.0/8:502", "[fd00::/8]:*", "plc.local:502"] {
            assert_eq!(text.parse::<Rule>().expect(text).to_string(), text);
        }
        for wrong in [
            "",
            "plc",
            "plc:",
            ":502",
            "plc:0",
            "plc:65536",
            "10.0.0.0/33:1",
            "fd00::1:80",
            "[fd00::1:80",
            "http://plc:80",
            "*:80",
            "a b:80",
        ] {
            assert!(wrong.parse::<Rule>().is_err(), "{wrong}");
        }
    }
}
