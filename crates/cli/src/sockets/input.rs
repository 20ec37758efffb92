//! What is sent: messages of the command line, and stdin.

use std::{
    fs,
    io::{self, BufRead, Read},
    thread,
};

use kokanee::{bytes::Bytes, net::Framing};
use tokio::sync::mpsc;

use super::error::SocketError;
use crate::args::MessageArgs;

/// Messages that were read and may wait to be sent.
const MAX_WAITING: usize = 16;
/// Maximum length of a line. The rest of a longer one is the next message.
const MAX_BYTES: u64 = 64 * 1024;

/// Returns the peer's address and the messages of the command line: text, or the bytes of `@FILE`.
pub(crate) fn messages(args: &MessageArgs) -> Result<(String, Vec<Bytes>), SocketError> {
    let (address, messages) = args.parts().map_err(SocketError::Argument)?;
    let message = |text: &String| match text.strip_prefix('@').filter(|path| !path.is_empty()) {
        None => Ok(Bytes::copy_from_slice(text.as_bytes())),
        Some(path) => match fs::read(path) {
            Ok(bytes) => Ok(bytes.into()),
            Err(error) => Err(SocketError::Argument(format!(
                "cannot read {path}: {error}"
            ))),
        },
    };
    let messages: Result<Vec<_>, _> = messages.iter().map(message).collect();
    Ok((address, messages?))
}

/// Reads stdin on a separate thread: in pieces as they arrive or, if messages are framed, by lines without line ends. It
/// pauses while too many messages wait.
pub(crate) fn stdin(framing: &Framing) -> Result<mpsc::Receiver<Bytes>, SocketError> {
    let (sender, receiver) = mpsc::channel(MAX_WAITING);
    let is_framed = *framing != Framing::Raw;
    thread::Builder::new()
        .name("input".to_owned())
        .spawn(move || {
            let mut input = io::stdin().lock();
            // An error counts as the end of the input.
            while let Ok(Some(message)) = read(&mut input, is_framed) {
                if sender.blocking_send(message).is_err() {
                    return;
                }
            }
        })
        .map_err(SocketError::Start)?;
    Ok(receiver)
}

fn read(input: &mut impl BufRead, is_framed: bool) -> io::Result<Option<Bytes>> {
    if !is_framed {
        let piece = Bytes::copy_from_slice(input.fill_buf()?);
        input.consume(piece.len());
        return Ok((!piece.is_empty()).then_some(piece));
    }
    let mut line = Vec::new();
    if input.take(MAX_BYTES).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.ends_with(b"\n") {
        line.pop();
        if line.ends_with(b"\r") {
            line.pop();
        }
    }
    Ok(Some(line.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut input: &[u8], is_framed: bool) -> Vec<Bytes> {
        let mut messages = Vec::new();
        while let Ok(Some(message)) = read(&mut input, is_framed) {
            messages.push(message);
        }
        messages
    }

    #[test]
    fn framed_input_is_read_by_lines() {
        assert_eq!(all(b"one\r\n\ntwo", true), ["one", "", "two"]);
        assert_eq!(all(b"one\ntwo", false), ["one\ntwo"]);
        let long = vec![b'x'; 70_000];
        let lengths: Vec<_> = all(&long, true).iter().map(Bytes::len).collect();
        assert_eq!(lengths, [65_536, 70_000 - 65_536]);
    }
}
