//! The message after DATA: its end found, its dots taken back.

use bytes::{Buf as _, Bytes, BytesMut};

/// Longest line of a message, in bytes without its line end.
const MAX_TEXT_LINE: usize = 998;

/// What ends a message.
const END: &[u8] = b"\r\n.\r\n";

/// Where the search for the end stands, between two blocks.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Bytes of the input that surely do not begin an end.
    searched: usize,
    /// A part of the message has passed already.
    is_underway: bool,
    /// The message was too long; the rest of it is thrown away.
    is_too_long: bool,
}

/// A message that has come to its end.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Taken {
    Message(Bytes),
    /// It was longer than the limit and is gone.
    TooLong,
}

impl Reading {
    /// Takes the message off the input once it is there whole.
    pub(super) fn take(&mut self, input: &mut BytesMut, limit: usize) -> Option<Taken> {
        // The line break before the dot may be the one that ended the command.
        if !self.is_underway && input.starts_with(&END[2..]) {
            input.advance(END.len() - 2);
            return Some(Taken::Message(Bytes::new()));
        }
        let Some(at) = find_end(input, self.searched) else {
            self.searched = input.len().saturating_sub(END.len() - 1);
            if input.len() > limit {
                self.is_too_long = true;
            }
            if self.is_too_long {
                self.is_underway = true;
                input.advance(self.searched);
                self.searched = 0;
            }
            return None;
        };
        let message = input.split_to(at + 2);
        input.advance(END.len() - 2);
        let fits = !self.is_too_long && message.len() <= limit;
        Some(if fits {
            Taken::Message(unstuff(message.freeze()))
        } else {
            Taken::TooLong
        })
    }
}

/// Says why a message may not stand in SMTP as it is; the text is the reply to the final dot.
///
/// Lines end in CRLF and nowhere else (RFC 5321 §2.3.8) and have at most 998 bytes (§4.5.3.1.6); bytes over 127 in the header need SMTPUTF8
/// (RFC 6531 §3.2), which is not offered. In the body they pass although `BODY=8BITMIME` was not said: Python's smtplib does not say it, and
/// no server that offers 8BITMIME was seen to mind (Postfix: `strict_8bitmime = no`).
pub(super) fn fault(message: &[u8]) -> Option<&'static str> {
    let mut in_header = true;
    let mut lines = message.split(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let is_last = lines.peek().is_none();
        if is_last && line.is_empty() {
            break;
        }
        let Some(line) = line.strip_suffix(b"\r").filter(|line| !is_last && !line.contains(&b'\r')) else {
            return Some("554 5.6.0 Bare <CR> or <LF> in the message");
        };
        if line.len() > MAX_TEXT_LINE {
            return Some("554 5.6.0 Line longer than 998 bytes");
        }
        in_header &= !line.is_empty();
        if !line.is_ascii() && in_header {
            return Some("554 5.6.9 UTF-8 in the header without SMTPUTF8");
        }
    }
    None
}

fn find_end(input: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    // Dots are rare: look for them and compare what stands around.
    while let Some(step) = input.get(at + 2..)?.iter().position(|&byte| byte == b'.') {
        let start = at + step;
        if input.get(start..start + END.len()) == Some(END) {
            return Some(start);
        }
        at = start + 1;
    }
    None
}

/// Takes back the dot that the sender put before a line that begins with one.
fn unstuff(message: Bytes) -> Bytes {
    let is_stuffed = |at: usize| message[at] == b'.' && (at == 0 || message[..at].ends_with(b"\r\n"));
    let dots = message.iter().enumerate().filter(|(_, byte)| **byte == b'.');
    let stuffed: Vec<usize> = dots.map(|(at, _)| at).filter(|at| is_stuffed(*at)).collect();
    if stuffed.is_empty() {
        return message;
    }
    let mut plain = Vec::with_capacity(message.len());
    let mut from = 0;
    for at in stuffed {
        plain.extend_from_slice(&message[from..at]);
        from = at + 1;
    }
    plain.extend_from_slice(&message[from..]);
    plain.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the text in blocks of every size; all must agree.
    fn check(text: &str, message: &str, rest: &str) {
        for size in 1..=text.len() {
            let mut reading = Reading::default();
            let mut input = BytesMut::new();
            let mut outcome = None;
            for block in text.as_bytes().chunks(size) {
                input.extend_from_slice(block);
                if outcome.is_none() {
                    outcome = reading.take(&mut input, 1_000);
                }
            }
            let expected = Taken::Message(Bytes::copy_from_slice(message.as_bytes()));
            assert_eq!(outcome, Some(expected), "blocks of {size}");
            assert_eq!(&input[..], rest.as_bytes(), "blocks of {size}");
        }
    }

    #[test]
    fn the_end_is_found_in_blocks_of_any_size() {
        check("a\r\n.\r\n", "a\r\n", "");
        check("a\r\n\r\nb\r\n.\r\nQUIT\r\n", "a\r\n\r\nb\r\n", "QUIT\r\n");
        check(".\r\nNOOP\r\n", "", "NOOP\r\n");
    }

    #[test]
    fn dots_are_taken_back_and_false_ends_are_content() {
        check("..a\r\n...\r\nb.c\r\n.\r\n", ".a\r\n..\r\nb.c\r\n", "");
        check("a\n.\nb\n.\r\nc\r\n.\nd\r\n.\r\n", "a\n.\nb\n.\r\nc\r\n\nd\r\n", "");
    }

    #[test]
    fn too_long_messages_are_read_to_their_end() {
        let mut reading = Reading::default();
        let mut input = BytesMut::new();
        for _ in 0..10 {
            input.extend_from_slice(&[b'x'; 300]);
            assert_eq!(reading.take(&mut input, 1_000), None);
        }
        assert!(input.len() < 1_300);
        input.extend_from_slice(b"\r\n.\r\nQUIT");
        assert_eq!(reading.take(&mut input, 1_000), Some(Taken::TooLong));
        assert_eq!(&input[..], b"QUIT");
    }
}
