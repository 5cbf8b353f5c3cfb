//! Watches the bytes of a connection go by, to know where its requests begin and end, and whether
//! one of them gives its length in two ways.
//!
//! hyper settles `Content-Length` beside `Transfer-Encoding` in favour of the latter and drops the
//! former before anybody sees it. Behind a proxy that settles it the other way, a second request
//! can hide in the first (request smuggling), so such a request is refused; and only the raw bytes
//! tell. After a chunked request the service closes the connection, so chunks are not followed here.

/// Longest part of a header line that is kept. A length that does not fit can be read in two ways.
const KEPT_BYTES: usize = 256;

/// Where in the stream of requests the last byte was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before or within a request's line and headers.
    Head,
    /// Within a body; that many bytes are left.
    Body(u64),
    /// Past a chunked request, after which the connection is closed.
    Rest,
}

/// What a connection is doing, as seen from its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// A request is awaited; so many have come before.
    Awaiting(u64),
    /// A request's headers have begun; so many requests have come before.
    Head(u64),
    /// A body.
    Body,
}

/// Follows the requests of one connection.
#[derive(Debug)]
pub(crate) struct Framing {
    place: Place,
    line: Vec<u8>,
    begun: bool,
    length: Option<u64>,
    chunked: bool,
    requests: u64,
    ambiguous: bool,
}

impl Framing {
    pub(crate) fn new() -> Self {
        Self {
            place: Place::Head,
            line: Vec::new(),
            begun: false,
            length: None,
            chunked: false,
            requests: 0,
            ambiguous: false,
        }
    }

    /// What the connection is doing.
    pub(crate) fn phase(&self) -> Phase {
        match self.place {
            Place::Head if self.begun || !self.line.is_empty() => Phase::Head(self.requests),
            Place::Head => Phase::Awaiting(self.requests),
            Place::Body(_) | Place::Rest => Phase::Body,
        }
    }

    /// Whether a request gave its length in two ways, or in one that cannot be read.
    pub(crate) fn is_ambiguous(&self) -> bool {
        self.ambiguous
    }

    /// Follows the next bytes.
    pub(crate) fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.place {
                Place::Rest => return,
                Place::Body(left) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = bytes.get(here..).unwrap_or_default();
                    let left = left - here as u64;
                    self.place = if left == 0 { Place::Head } else { Place::Body(left) };
                }
                Place::Head => bytes = self.follow_head(bytes),
            }
        }
    }

    /// Follows up to the end of a line and returns what is behind it.
    fn follow_head<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (here, rest) = bytes.split_at(end.map_or(bytes.len(), |at| at + 1));
        let room = KEPT_BYTES.saturating_sub(self.line.len());
        self.line.extend_from_slice(here.get(..room.min(here.len())).unwrap_or_default());
        if end.is_some() {
            let line = std::mem::take(&mut self.line);
            self.end_line(line.trim_ascii(), line.len() == KEPT_BYTES);
        }
        rest
    }

    fn end_line(&mut self, line: &[u8], is_cut: bool) {
        match (line.is_empty(), self.begun) {
            // Empty lines before a request are skipped, as hyper does.
            (true, false) => {}
            (true, true) => self.end_head(),
            (false, false) => self.begun = true,
            (false, true) => self.header(line, is_cut),
        }
    }

    fn header(&mut self, line: &[u8], is_cut: bool) {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            // RFC 9112 §6.1: any other coding, or a second one, is read differently by different programs.
            self.ambiguous |= self.chunked || is_cut || !value.eq_ignore_ascii_case(b"chunked");
            self.chunked = true;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let digits = std::str::from_utf8(value)
                .ok()
                .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            let length = digits.and_then(|text| text.parse::<u64>().ok());
            self.ambiguous |= is_cut || length.is_none() || self.length.is_some_and(|before| Some(before) != length);
            self.length = length;
        }
    }

    fn end_head(&mut self) {
        self.requests += 1;
        self.begun = false;
        self.ambiguous |= self.chunked && self.length.is_some();
        self.place = match self.length.take() {
            _ if self.chunked || self.ambiguous => Place::Rest,
            Some(length) if length > 0 => Place::Body(length),
            _ => Place::Head,
        };
        self.chunked = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn followed(bytes: &str, step: usize) -> Framing {
        let mut framing = Framing::new();
        bytes.as_bytes().chunks(step).for_each(|chunk| framing.follow(chunk));
        framing
    }

    fn check(bytes: &str, phase: Phase, ambiguous: bool) {
        for step in [1, 7, bytes.len()] {
            let framing = followed(bytes, step);
            assert_eq!((framing.phase(), framing.is_ambiguous()), (phase, ambiguous), "{bytes:?} by {step}");
        }
    }

    #[test]
    fn phases_follow_the_bytes() {
        check("\r\n\r\n", Phase::Awaiting(0), false);
        check("G", Phase::Head(0), false);
        check("GET / HTTP/1.1\r\nhost: a\r\n", Phase::Head(0), false);
        check("GET / HTTP/1.1\r\nhost: a\r\n\r\n", Phase::Awaiting(1), false);
        check("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n1234", Phase::Body, false);
        check(
            "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n12345GET / HTTP/1.1\n\nGET",
            Phase::Head(2),
            false,
        );
        check("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", Phase::Awaiting(1), false);
        check(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET",
            Phase::Body,
            false,
        );
    }

    #[test]
    fn a_coding_other_than_one_chunked_is_ambiguous() {
        for lines in [
            "transfer-encoding: gzip, chunked",
            "transfer-encoding: chunked, chunked",
            "transfer-encoding: identity",
            "transfer-encoding:",
            "transfer-encoding: chunked;a=b",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        ] {
            check(&format!("POST / HTTP/1.1\r\n{lines}\r\n\r\n"), Phase::Body, true);
        }
        check("POST / HTTP/1.1\r\nTransfer-Encoding:  CHUNKED \r\n\r\n", Phase::Body, false);
    }

    #[test]
    fn a_length_too_long_to_be_kept_is_ambiguous() {
        for lines in [
            format!("content-length: {}51", "0".repeat(238)),
            format!("content-length:{}5", " ".repeat(300)),
            format!("transfer-encoding:{}chunked", " ".repeat(300)),
            format!("transfer-encoding: chunked{}, gzip", " ".repeat(300)),
            "content-length: +5".to_owned(),
        ] {
            check(&format!("POST / HTTP/1.1\r\n{lines}\r\n\r\n"), Phase::Body, true);
        }
    }

    #[test]
    fn two_lengths_are_ambiguous() {
        check(
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nTRANSFER-ENCODING: chunked\r\n\r\n",
            Phase::Body,
            true,
        );
        check(
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length:5\r\n\r\n",
            Phase::Body,
            true,
        );
        check(
            "POST / HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
            Phase::Body,
            true,
        );
        check("POST / HTTP/1.1\r\ncontent-length: +5x\r\n\r\n", Phase::Body, true);
        check(
            "POST / HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\n12345",
            Phase::Awaiting(1),
            false,
        );
    }
}
