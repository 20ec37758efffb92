//! HTTP/1.1 as the handshake and long polling need it: requests as text, responses with a known or chunked length.

use crate::error::Violation;
use crate::raw::target::Target;

/// The response head and body at the start of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response {
    /// Status code.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: Vec<u8>,
    /// Length of head and body as they were sent.
    pub(crate) length: usize,
}

/// Appends the request that upgrades to WebSocket.
pub(crate) fn upgrade(target: &Target, out: &mut Vec<u8>) {
    let Target { path, host, .. } = target;
    out.extend_from_slice(
        format!(
            "GET {path}?EIO=4&transport=websocket HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: a29rYW5lZS1iZW5jaC1rZQ==\r\n\r\n"
        )
        .as_bytes(),
    );
}

/// Appends a polling GET. `sid` is empty in the handshake.
pub(crate) fn get(target: &Target, sid: &str, out: &mut Vec<u8>) {
    request_line("GET", target, sid, out);
    out.extend_from_slice(b"\r\n");
}

/// Appends a polling POST of a payload.
pub(crate) fn post(target: &Target, sid: &str, payload: &[u8], out: &mut Vec<u8>) {
    request_line("POST", target, sid, out);
    let length = payload.len();
    out.extend_from_slice(
        format!("Content-Type: text/plain;charset=UTF-8\r\nContent-Length: {length}\r\n\r\n")
            .as_bytes(),
    );
    out.extend_from_slice(payload);
}

fn request_line(method: &str, target: &Target, sid: &str, out: &mut Vec<u8>) {
    for part in [method, " ", &target.path, "?EIO=4&transport=polling"] {
        out.extend_from_slice(part.as_bytes());
    }
    if !sid.is_empty() {
        out.extend_from_slice(b"&sid=");
        out.extend_from_slice(sid.as_bytes());
    }
    for part in [" HTTP/1.1\r\nHost: ", &target.host, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Reads the head of an upgrade response and returns its length, or `None` while it is incomplete.
///
/// # Errors
/// [`Violation::Status`] if the status is not 101, [`Violation::Http`] if it is not a response of HTTP.
pub(crate) fn upgraded(buffer: &[u8]) -> Result<Option<usize>, Violation> {
    let Some(end) = head_end(buffer)? else {
        return Ok(None);
    };
    match status(&buffer[..end])? {
        101 => Ok(Some(end)),
        _ => Err(bad_status(buffer)),
    }
}

/// Reads the first response of a buffer, or `None` while it is incomplete.
///
/// # Errors
/// [`Violation::Http`] if the head is malformed or the length of the body is unknown.
pub(crate) fn response(buffer: &[u8]) -> Result<Option<Response>, Violation> {
    let Some(end) = head_end(buffer)? else {
        return Ok(None);
    };
    let (head, rest) = buffer.split_at(end);
    let status = status(head)?;
    if let Some(value) = header(head, b"content-length") {
        let length = std::str::from_utf8(value)
            .ok()
            .and_then(|text| text.parse::<usize>().ok());
        let length = length.ok_or(Violation::Http)?;
        return Ok(rest.get(..length).map(|body| Response {
            status,
            body: body.to_vec(),
            length: end + length,
        }));
    }
    if header(head, b"transfer-encoding")
        .is_some_and(|value| value.eq_ignore_ascii_case(b"chunked"))
    {
        return Ok(chunked(rest)?.map(|(body, length)| Response {
            status,
            body,
            length: end + length,
        }));
    }
    Err(Violation::Http)
}

/// Describes a response with the wrong status.
pub(crate) fn bad_status(buffer: &[u8]) -> Violation {
    let line = buffer
        .split(|&byte| byte == b'\r')
        .next()
        .unwrap_or_default();
    Violation::Status {
        status: Violation::excerpt(line),
    }
}

/// Joins the chunks of a body; returns it with its length on the wire.
fn chunked(buffer: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Violation> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let rest = &buffer[at..];
        let Some(line_end) = find(rest, b"\r\n") else {
            return Ok(None);
        };
        let line = std::str::from_utf8(&rest[..line_end]).map_err(|_| Violation::Http)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| Violation::Http)?;
        let end = (line_end + 2).checked_add(size).ok_or(Violation::Http)?;
        let Some(chunk) = rest.get(line_end + 2..end) else {
            return Ok(None);
        };
        match rest.get(end..).and_then(|tail| tail.first_chunk()) {
            Some(b"\r\n") => {}
            Some(_) => return Err(Violation::Http),
            None => return Ok(None),
        }
        at += end + 2;
        if size == 0 {
            return Ok(Some((body, at)));
        }
        body.extend_from_slice(chunk);
    }
}

/// Returns the length of a response's head, or `None` while it is incomplete. Fails immediately if it does not start like HTTP.
fn head_end(buffer: &[u8]) -> Result<Option<usize>, Violation> {
    const START: &[u8] = b"HTTP/";
    let known = buffer.len().min(START.len());
    if buffer[..known] != START[..known] {
        return Err(Violation::Http);
    }
    Ok(find(buffer, b"\r\n\r\n").map(|at| at + 4))
}

fn find(buffer: &[u8], needle: &[u8]) -> Option<usize> {
    buffer
        .windows(needle.len())
        .position(|window| window == needle)
}

fn status(head: &[u8]) -> Result<u16, Violation> {
    let code = head
        .strip_prefix(b"HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .ok_or(Violation::Http)?;
    std::str::from_utf8(code)
        .ok()
        .and_then(|code| code.parse().ok())
        .ok_or(Violation::Http)
}

fn header<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    head.split(|&byte| byte == b'\n').find_map(|line| {
        let (key, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":")?;
        key.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZED: &[u8] =
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\ncontent-LENGTH: 2\r\n\r\nokHTTP/1.1";
    const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n42[\r\nA;x=y\r\n\"0123456\"]\r\n0\r\n\r\n";

    #[test]
    fn what_is_not_http_is_not_waited_for() {
        // The alert of a server that expects TLS.
        let alert = b"\x15\x03\x03\x00\x02\x02\x32";
        assert_eq!(upgraded(alert), Err(Violation::Http));
        assert_eq!(response(alert), Err(Violation::Http));
        assert_eq!(response(b"HT"), Ok(None));
    }

    #[test]
    fn body_ends_at_its_content_length() {
        let response = response(SIZED).unwrap().unwrap();
        assert_eq!(
            (response.status, response.body.as_slice()),
            (200, b"ok".as_slice())
        );
        assert_eq!(&SIZED[response.length..], b"HTTP/1.1");
    }

    #[test]
    fn chunks_are_joined() {
        let response = response(CHUNKED).unwrap().unwrap();
        assert_eq!(response.body, b"42[\"0123456\"]");
        assert_eq!(response.length, CHUNKED.len());
    }

    #[test]
    fn incomplete_responses_are_awaited() {
        for length in 0..SIZED.len() - 8 {
            assert_eq!(response(&SIZED[..length]), Ok(None), "{length}");
        }
        for length in 0..CHUNKED.len() {
            assert_eq!(response(&CHUNKED[..length]), Ok(None), "{length}");
        }
    }

    #[test]
    fn body_without_a_known_end_is_refused() {
        assert_eq!(response(b"HTTP/1.1 200 OK\r\n\r\n"), Err(Violation::Http));
        assert_eq!(response(b"SIP/2.0 200 OK\r\n\r\n"), Err(Violation::Http));
    }

    #[test]
    fn upgrade_needs_status_101() {
        assert_eq!(
            upgraded(b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x01"),
            Ok(Some(36))
        );
        let refused = upgraded(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "unexpected response: HTTP/1.1 400 Bad Request"
        );
    }
}
