//! Lines as the wire has them.

use ums_core::guard::MAX_LINE_BYTES;

/// Makes every line end a CRLF: no lone CR or LF is left.
pub(super) fn normalise_line_ends(bytes: &[u8]) -> Vec<u8> {
    let mut normal = Vec::with_capacity(bytes.len() + bytes.len() / 32 + 2);
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
        let (line, end) = rest.split_at(at);
        normal.extend_from_slice(line);
        normal.extend_from_slice(b"\r\n");
        let taken = if end.starts_with(b"\r\n") { 2 } else { 1 };
        rest = end.get(taken..).unwrap_or_default();
    }
    normal.extend_from_slice(rest);
    normal
}

/// Makes a message fit for the wire: every line ends in CRLF, no CR or LF stands alone, and no line is over 998 bytes (a longer one,
/// which the builder does not make, is broken).
pub(super) fn normalise_lines(message: Vec<u8>) -> Vec<u8> {
    let mut normal = if is_normal(&message) {
        message
    } else {
        normalise_line_ends(&message)
    };
    if !normal.is_empty() && !normal.ends_with(b"\r\n") {
        normal.extend_from_slice(b"\r\n");
    }
    let too_long = |line: &[u8]| line.len() > MAX_LINE_BYTES + 1;
    if normal.split(|byte| *byte == b'\n').any(too_long) {
        break_lines(&normal)
    } else {
        normal
    }
}

pub(super) fn is_normal(message: &[u8]) -> bool {
    let mut before = 0;
    for &byte in message {
        if (before == b'\r') != (byte == b'\n') {
            return false;
        }
        before = byte;
    }
    before != b'\r'
}

/// Breaks lines that are too long, never within a character. In the header a broken line goes on as a folded one, so that no text
/// becomes a header of its own.
fn break_lines(normal: &[u8]) -> Vec<u8> {
    let mut broken = Vec::with_capacity(normal.len() + normal.len() / 400);
    let mut rest = normal;
    let mut folding = true;
    while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
        let (mut line, after) = rest.split_at(end);
        rest = after.get(2..).unwrap_or_default();
        folding &= !line.is_empty();
        let mut room = MAX_LINE_BYTES;
        while line.len() > room {
            let is_within = |at: usize| line.get(at).is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000);
            let cut = (room - 3..=room).rev().find(|at| !is_within(*at)).unwrap_or(room);
            let (head, tail) = line.split_at(cut);
            broken.extend_from_slice(head);
            broken.extend_from_slice(if folding { b"\r\n " } else { b"\r\n" });
            line = tail;
            room = MAX_LINE_BYTES - usize::from(folding);
        }
        broken.extend_from_slice(line);
        broken.extend_from_slice(b"\r\n");
    }
    broken
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(in crate::mime) fn is_fit(message: &[u8]) -> bool {
        is_normal(message)
            && message.split(|byte| *byte == b'\n').all(|line| line.len() <= MAX_LINE_BYTES + 1)
            && (message.is_empty() || message.ends_with(b"\r\n"))
    }

    #[test]
    fn lines_end_in_crlf() {
        let check = |raw: &str, expected: &str| assert_eq!(String::from_utf8(normalise_lines(raw.into())).unwrap(), expected, "{raw:?}");
        check("", "");
        check("a", "a\r\n");
        check("a\nb\rc\r\nd", "a\r\nb\r\nc\r\nd\r\n");
        check("\n.\n", "\r\n.\r\n");
        check("\r.\r", "\r\n.\r\n");
        check("\r\r\n.\r\r\n", "\r\n\r\n.\r\n\r\n");
        let (x, e) = ("x".repeat(998), "é".repeat(499));
        check(&format!("{x}yy: z"), &format!("{x}\r\n yy: z\r\n"));
        check(&format!("\n{x}yy: z"), &format!("\r\n{x}\r\nyy: z\r\n"));
        check(&format!("\n{e}é"), &format!("\r\n{e}\r\né\r\n"));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_made_fit(raw in "([\\r\\n.]|\\PC){0,300}", long in 0_usize..3_000) {
            let raw = format!("{raw}{}{raw}", "é".repeat(long)).into_bytes();
            prop_assert!(is_fit(&normalise_lines(raw)));
        }

        #[test]
        fn bytes_are_made_fit_too(raw in proptest::collection::vec(any::<u8>(), 0..3_000)) {
            prop_assert!(is_fit(&normalise_lines(raw)));
        }

        #[test]
        fn a_fit_message_is_left_alone(lines in proptest::collection::vec("[ -~]{0,80}", 1..20)) {
            let message = lines.join("\r\n").into_bytes();
            let mut expected = message.clone();
            expected.extend_from_slice(b"\r\n");
            let normal = normalise_lines(message);
            prop_assert!(normal == expected || expected.starts_with(&normal));
        }
    }
}
