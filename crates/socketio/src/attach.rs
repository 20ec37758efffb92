//! Puts received attachments into the packet that announced them.
//!
//! When the last attachment has arrived, [`attach`] checks all placeholders in the packet's text. If they have the form
//! that every known encoder writes, nothing is built; other text is rewritten. So in every [`Args`] with attachments,
//! each placeholder has the canonical form and a valid number.

use bytes::Bytes;
use memchr::memmem;

use crate::{
    args::Args,
    attachments::{PLACEHOLDER, canonical_placeholder},
    error::DecodeError,
    limits::DecoderLimits,
    packet::{Name, Packet, RawEvent},
    scan::{Token, Tokens, unescape},
    ser::write_u64,
};

/// The key of a placeholder in the text. It can be searched for, as strings cannot contain it: their quotes are
/// escaped.
const KEY: &[u8] = br#""_placeholder""#;

/// Puts the attachments into the packet that announced them.
pub(crate) fn attach(
    packet: Packet,
    attachments: Vec<Bytes>,
    limits: &DecoderLimits,
) -> Result<Packet, DecodeError> {
    Ok(match packet {
        Packet::Event {
            namespace,
            id,
            event,
        } => {
            let (name, args) = event.into_parts();
            let event = match attach_args(args, attachments, limits)? {
                Attached::InPlace(args) => RawEvent::received(name, args),
                Attached::Rewritten { args, former } => match name {
                    Name::InText { start, end } => {
                        RawEvent::new(former.text_part(start, end), args)
                    }
                    own @ Name::Own(_) => RawEvent::received(own, args),
                },
            };
            Packet::Event {
                namespace,
                id,
                event,
            }
        }
        Packet::Ack {
            namespace,
            id,
            args,
        } => {
            let (Attached::InPlace(args) | Attached::Rewritten { args, .. }) =
                attach_args(args, attachments, limits)?;
            Packet::Ack {
                namespace,
                id,
                args,
            }
        }
        other => other,
    })
}

enum Attached {
    /// The text is unchanged.
    InPlace(Args),
    /// The text had unusual placeholders and was rewritten.
    Rewritten { args: Args, former: Args },
}

fn attach_args(
    args: Args,
    attachments: Vec<Bytes>,
    limits: &DecoderLimits,
) -> Result<Attached, DecodeError> {
    let mut budget = Budget::new(limits);
    match check(args.json().as_bytes(), &attachments, &mut budget)? {
        Spelling::Canonical => Ok(Attached::InPlace(args.with_attachments(attachments))),
        Spelling::Unusual => {
            let text = rewrite(args.json().as_bytes())?;
            let mut budget = Budget::new(limits);
            for at in memmem::find_iter(&text, PLACEHOLDER) {
                if let Some((num, _)) = canonical_placeholder(text.get(at..).unwrap_or_default()) {
                    budget.spend(&attachments, num)?;
                }
            }
            // Text like a placeholder may be something else.
            let is_used = budget.references > 0;
            let attachments = if is_used { attachments } else { Vec::new() };
            let rewritten = Args::written(text, attachments);
            Ok(Attached::Rewritten {
                args: rewritten.map_err(|_| DecodeError::IllegalPlaceholder)?,
                former: args,
            })
        }
    }
}

/// An object whose end has not been read.
struct Open {
    /// Where it begins.
    start: usize,
    /// How many bytes were written, and copied of the text, when it began.
    written: usize,
    copied: usize,
    /// The key whose value comes next.
    key: Option<Key>,
    is_placeholder: bool,
    num: Option<usize>,
}

enum Key {
    Placeholder,
    Num,
    Other,
}

impl Key {
    fn of(escaped: &[u8]) -> Self {
        match unescape(std::str::from_utf8(escaped).unwrap_or_default()).as_ref() {
            "_placeholder" => Self::Placeholder,
            "num" => Self::Num,
            _ => Self::Other,
        }
    }
}

/// Copies arguments after an opening bracket, and writes every placeholder in canonical form. Everything else is
/// unchanged.
fn rewrite(text: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut out = Vec::from(b"[");
    let mut copied = 0;
    // `None` for an array.
    let mut open: Vec<Option<Open>> = Vec::new();
    let mut tokens = Tokens::new(text);
    while let Some(token) = tokens.next() {
        let end = text.len() - tokens.rest().len();
        if let Some(Some(object)) = open.last_mut() {
            match (object.key.take(), token) {
                (_, Token::Close) => {}
                (None, Token::String(key)) => {
                    object.key = Some(Key::of(key));
                    continue;
                }
                // The last member of a name counts.
                (Some(Key::Placeholder), value) => {
                    object.is_placeholder = value == Token::Scalar(b"true");
                }
                (Some(Key::Num), Token::Scalar(number)) => {
                    let number = std::str::from_utf8(number).unwrap_or_default();
                    object.num = number.parse().ok();
                }
                (Some(Key::Num), _) => object.num = None,
                (Some(Key::Other) | None, _) => {}
            }
        }
        match token {
            Token::Array => open.push(None),
            Token::Object => open.push(Some(Open {
                start: end - 1,
                written: out.len(),
                copied,
                key: None,
                is_placeholder: false,
                num: None,
            })),
            Token::Close => {
                let Some(Some(object)) = open.pop() else {
                    continue;
                };
                if object.is_placeholder {
                    let num = object.num.ok_or(DecodeError::IllegalPlaceholder)?;
                    // Everything inside it is discarded.
                    out.truncate(object.written);
                    out.extend_from_slice(
                        text.get(object.copied..object.start).unwrap_or_default(),
                    );
                    out.extend_from_slice(PLACEHOLDER.as_bytes());
                    write_u64(&mut out, num as u64);
                    out.push(b'}');
                    copied = end;
                }
            }
            Token::String(_) | Token::Scalar(_) => {}
        }
    }
    out.extend_from_slice(text.get(copied..).unwrap_or_default());
    Ok(out)
}

/// The attachments that placeholders refer to, against the limits. An attachment counts once for each of its
/// placeholders, because the reader gets that many copies.
struct Budget<'a> {
    limits: &'a DecoderLimits,
    references: usize,
    bytes: usize,
}

impl<'a> Budget<'a> {
    fn new(limits: &'a DecoderLimits) -> Self {
        Self {
            limits,
            references: 0,
            bytes: 0,
        }
    }

    fn spend(&mut self, attachments: &[Bytes], num: usize) -> Result<(), DecodeError> {
        let attachment = attachments.get(num);
        let attachment = attachment.ok_or(DecodeError::IllegalPlaceholder)?;
        self.references += 1;
        self.bytes += attachment.len();
        if self.references > self.limits.max_attachments {
            return Err(DecodeError::TooManyAttachments {
                max: self.limits.max_attachments,
            });
        }
        if self.bytes > self.limits.max_attachment_bytes {
            return Err(DecodeError::AttachmentsTooLarge {
                max: self.limits.max_attachment_bytes,
            });
        }
        Ok(())
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Spelling {
    Canonical,
    Unusual,
}

/// Checks the placeholders in valid JSON text.
fn check(
    text: &[u8],
    attachments: &[Bytes],
    budget: &mut Budget<'_>,
) -> Result<Spelling, DecodeError> {
    // No known encoder escapes letters. If one did, the key may be escaped.
    let escaped_letter = |at: usize| matches!(text.get(at + 4), Some(b'5' | b'6' | b'7'));
    if memmem::find_iter(text, br"\u00").any(escaped_letter) {
        return Ok(Spelling::Unusual);
    }
    for at in memmem::find_iter(text, KEY) {
        let before = at.checked_sub(1);
        // After a backslash it is a part of a string.
        if before.and_then(|before| text.get(before)) == Some(&b'\\') {
            continue;
        }
        let Some((num, _)) = before.and_then(|before| canonical_placeholder(text.get(before..)?))
        else {
            return Ok(Spelling::Unusual);
        };
        budget.spend(attachments, num)?;
    }
    Ok(Spelling::Canonical)
}
