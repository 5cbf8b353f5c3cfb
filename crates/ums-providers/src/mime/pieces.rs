//! A composed message in pieces: its files are encoded while they are written, so that no second form of a file stands in memory.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ums_core::{Failure, FailureClass};

use super::lines::normalise_lines;

/// Bytes of a file in one line of base64, and the characters that they make (RFC 2045 §6.8).
const LINE_BYTES: usize = 57;
const LINE_CHARACTERS: usize = 76;
const LINE_END: &[u8] = b"\r\n";
/// Bytes that are encoded at a time: whole lines, about 64 KiB of them.
const BLOCK_BYTES: usize = LINE_BYTES * 840;

/// Stands in the composed text where the base64 of a file belongs. No text holds this byte: it is in no UTF-8.
pub(super) const PLACE_OF_FILE: u8 = 0xff;

/// A message, ready for the wire but for the dots.
#[derive(Debug)]
pub(crate) struct Message(Vec<Piece>);

#[derive(Debug)]
enum Piece {
    /// Lines with CRLF. Only the first piece begins a line: what follows a file begins with a CRLF.
    Text(String),
    /// A file that is written as lines of base64, without a CRLF behind the last one.
    File(Arc<[u8]>),
}

impl Message {
    /// Puts the files in their places in the composed text, in order.
    pub(super) fn new(text: Vec<u8>, files: Vec<Arc<[u8]>>) -> Result<Self, Failure> {
        let text = normalise_lines(text);
        if files.is_empty() {
            return Ok(Self(vec![Piece::text(text)?]));
        }
        let mut pieces = Vec::with_capacity(2 * files.len() + 1);
        let mut files = files.into_iter();
        for part in text.split(|byte| *byte == PLACE_OF_FILE) {
            if !pieces.is_empty() {
                pieces.extend(files.next().map(Piece::File));
            }
            pieces.push(Piece::text(part.to_vec())?);
        }
        Ok(Self(pieces))
    }

    /// Bytes of the message.
    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(Piece::len).sum()
    }

    /// Makes the message ready for SMTP: doubles the dot that begins a line (RFC 5321 §4.5.2). Base64 has none.
    pub(crate) fn with_dots_doubled(self) -> Self {
        let doubled = self.0.into_iter().enumerate().map(|(index, piece)| match piece {
            Piece::Text(text) => Piece::Text(double_dots(text, index == 0)),
            Piece::File(file) => Piece::File(file),
        });
        Self(doubled.collect())
    }

    /// The message in blocks of at most about 64 KiB.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = Block<'_>> {
        self.0.iter().flat_map(Piece::blocks)
    }
}

impl Piece {
    fn text(text: Vec<u8>) -> Result<Self, Failure> {
        String::from_utf8(text)
            .map(Self::Text)
            .map_err(|_| Failure::local(FailureClass::Unsupported, "not_utf8", "the message is not valid UTF-8"))
    }

    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::File(file) => {
                let characters = file.len().div_ceil(3) * 4;
                characters + characters.div_ceil(LINE_CHARACTERS).saturating_sub(1) * LINE_END.len()
            }
        }
    }

    fn blocks(&self) -> impl Iterator<Item = Block<'_>> {
        let (text, file): (&[u8], &[u8]) = match self {
            Self::Text(text) => (text.as_bytes(), &[]),
            Self::File(file) => (&[], file),
        };
        let last = file.len().div_ceil(BLOCK_BYTES).saturating_sub(1);
        let lines = file.chunks(BLOCK_BYTES).enumerate();
        let encoded = lines.map(move |(index, bytes)| Block::File {
            bytes,
            is_last: index == last,
        });
        text.chunks(BLOCK_BYTES).map(Block::Text).chain(encoded)
    }
}

/// A block of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Block<'a> {
    /// Bytes as they are.
    Text(&'a [u8]),
    /// Bytes of a file, to be encoded.
    File {
        /// Whole lines of base64, unless it is the last block.
        bytes: &'a [u8],
        /// Whether the file ends with it.
        is_last: bool,
    },
}

impl Block<'_> {
    /// Writes the block behind what `to` holds.
    pub(crate) fn append_to(self, to: &mut Vec<u8>) {
        let (bytes, is_last) = match self {
            Self::Text(bytes) => return to.extend_from_slice(bytes),
            Self::File { bytes, is_last } => (bytes, is_last),
        };
        let mut lines = bytes.chunks(LINE_BYTES).peekable();
        let mut line = [0; LINE_CHARACTERS];
        while let Some(bytes) = lines.next() {
            // The buffer holds a whole line, so that it always has room.
            let length = STANDARD.encode_slice(bytes, &mut line).unwrap_or_default();
            to.extend_from_slice(line.get(..length).unwrap_or_default());
            if !is_last || lines.peek().is_some() {
                to.extend_from_slice(LINE_END);
            }
        }
    }
}

/// Doubles the dot that begins a line; `begins_line` says whether the text itself begins one. Every line ends in CRLF.
fn double_dots(text: String, begins_line: bool) -> String {
    let at_start = begins_line && text.starts_with('.');
    if !at_start && !text.contains("\n.") {
        return text;
    }
    let mut doubled = String::with_capacity(text.len() + text.len() / 64 + 16);
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if line.starts_with('.') && (begins_line || index > 0) {
            doubled.push('.');
        }
        doubled.push_str(line);
    }
    doubled
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The message in one.
    pub(in crate::mime) fn whole(message: &Message) -> Vec<u8> {
        let mut bytes = Vec::new();
        message.blocks().for_each(|block| block.append_to(&mut bytes));
        bytes
    }

    fn of_text(text: &str) -> Message {
        Message::new(text.as_bytes().to_vec(), Vec::new()).unwrap()
    }

    #[test]
    fn dots_are_doubled_at_line_starts_only() {
        let check = |text: &str, expected: &str| {
            let doubled = of_text(text).with_dots_doubled();
            assert_eq!(String::from_utf8(whole(&doubled)).unwrap(), expected, "{text:?}");
        };
        check("a\r\n", "a\r\n");
        check(".\r\n", "..\r\n");
        check("a\r\n..b\r\nc.d\r\n", "a\r\n...b\r\nc.d\r\n");
        check("", "");
    }

    #[test]
    fn a_dot_behind_a_file_begins_no_line() {
        let message = Message::new(b"a\r\n\xff.b\r\n.c\r\n".to_vec(), vec![Arc::from(*b"xyz")]).unwrap();
        assert_eq!(whole(&message.with_dots_doubled()), b"a\r\neHl6.b\r\n..c\r\n");
    }

    /// What a server makes of a message with doubled dots and the final one: the message, and what follows it.
    fn received(payload: &str) -> (String, &str) {
        let mut message = String::new();
        let mut rest = payload;
        while let Some((line, after)) = rest.split_once("\r\n") {
            rest = after;
            if line == "." {
                return (message, rest);
            }
            message.push_str(line.strip_prefix('.').unwrap_or(line));
            message.push_str("\r\n");
        }
        panic!("no end");
    }

    proptest! {
        #[test]
        fn a_file_is_written_as_the_builder_writes_it(bytes in proptest::collection::vec(any::<u8>(), 0..400), blocks in 0_usize..3, over in 0_usize..60) {
            let mut bytes = bytes;
            let length = bytes.len();
            if blocks > 0 {
                bytes.resize(blocks * BLOCK_BYTES + over * usize::from(length > 200), 7);
            }
            let message = Message(vec![Piece::File(bytes.clone().into())]);
            let encoded = lettre::message::Body::new_with_encoding(bytes, lettre::message::header::ContentTransferEncoding::Base64).unwrap();
            prop_assert_eq!(message.len(), encoded.as_ref().len());
            prop_assert!(whole(&message) == encoded.as_ref());
        }

        #[test]
        fn one_end_on_the_wire_and_nothing_behind_it(text in "([\\r\\n.a]|\\PC){0,60}") {
            let normal = String::from_utf8(normalise_lines(text.clone().into_bytes())).unwrap();
            let doubled = whole(&of_text(&text).with_dots_doubled());
            let payload = String::from_utf8(doubled).unwrap() + ".\r\n";
            prop_assert_eq!(payload.match_indices("\r\n.\r\n").count() + usize::from(payload == ".\r\n"), 1);
            let (message, rest) = received(&payload);
            prop_assert_eq!(rest, "");
            prop_assert_eq!(message, normal);
        }
    }
}
