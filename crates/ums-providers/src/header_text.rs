//! Header fields as they may stand in a message: encoded by RFC 2047 where a header allows it, quoted and folded by RFC 5322.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ums_core::guard::{HeaderForm, MAX_LINE_BYTES, foldable_pieces, header_form, looks_encoded};
use ums_core::{Header, Mailbox};

/// Bytes of text in one encoded word: with its frame it stays within 75 characters (RFC 2047 §2).
const WORD_BYTES: usize = 45;
/// A line is broken where it would become longer than this, in bytes (RFC 5322 §2.1.1).
const LINE_BYTES: usize = 76;

/// The value of a custom header, on one line.
///
/// A structured one is as the caller wrote it: readers decode nothing there, and an encoded URL is no URL (RFC 2047 §5).
pub(crate) fn value(header: &Header) -> Cow<'_, str> {
    let text = header.value.as_str();
    match header_form(&header.name) {
        // The door refuses other letters than ASCII; earlier releases let them pass.
        HeaderForm::Structured if text.is_ascii() => Cow::Borrowed(text),
        HeaderForm::Phrases if !is_plain(text) => {
            let phrases: Vec<_> = text.split(',').map(|phrase| encode(phrase.trim_matches(' '))).collect();
            Cow::Owned(phrases.join(", "))
        }
        HeaderForm::Structured | HeaderForm::Phrases | HeaderForm::Text => encode(text),
    }
}

/// A text as it may stand in an unstructured header: as it is if plain, else as encoded words.
pub(crate) fn encode(text: &str) -> Cow<'_, str> {
    if is_plain(text) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(encoded_words(text))
    }
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && !looks_encoded(text)
}

/// `Name <local@domain>`, the name encoded or quoted where it must be.
pub(crate) fn mailbox(mailbox: &Mailbox) -> String {
    let address = mailbox.address.expose();
    match mailbox.name.as_deref() {
        None => address.to_owned(),
        Some(name) => match encode(name) {
            Cow::Owned(words) => format!("{words} <{address}>"),
            Cow::Borrowed(plain) if plain.bytes().all(is_atom_or_space) && !plain.contains("  ") => format!("{plain} <{address}>"),
            Cow::Borrowed(plain) => format!("\"{}\" <{address}>", plain.replace('\\', "\\\\").replace('"', "\\\"")),
        },
    }
}

/// What a display name may hold without quotes (RFC 5322 §3.2.3).
fn is_atom_or_space(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" !#$%&'*+-/=?^_`{|}~".contains(&byte)
}

/// A text as encoded words with a space between each two, whatever it holds.
fn encoded_words(text: &str) -> String {
    let mut words = String::with_capacity(text.len() * 2);
    let mut rest = text;
    while !rest.is_empty() {
        let cut = rest.floor_char_boundary(WORD_BYTES);
        let (word, tail) = rest.split_at(cut);
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str("=?UTF-8?B?");
        STANDARD.encode_string(word, &mut words);
        words.push_str("?=");
        rest = tail;
    }
    words
}

/// The field of an unstructured header. A word that is too long for a line is encoded, and so are several spaces where a line would be
/// broken, since readers make one of them.
pub(crate) fn text_field(name: &str, text: &str) -> String {
    let room = MAX_LINE_BYTES.saturating_sub(name.len() + ": ".len());
    let breaks_badly = name.len() + ": ".len() + text.len() > LINE_BYTES && text.contains("  ");
    if breaks_badly || foldable_pieces(text).any(|piece| piece.len() > room) {
        folded(name, &encoded_words(text))
    } else {
        folded(name, &encode(text))
    }
}

/// The field of a custom header.
pub(crate) fn field(header: &Header) -> String {
    match header_form(&header.name) {
        HeaderForm::Text => text_field(&header.name, &header.value),
        HeaderForm::Structured | HeaderForm::Phrases => folded(&header.name, &value(header)),
    }
}

/// `Name: value` with its line end, broken before white space where a line would be too long. A reader who takes the line breaks out
/// has the value byte for byte (RFC 5322 §2.2.3).
pub(crate) fn folded(name: &str, value: &str) -> String {
    let mut field = String::with_capacity(name.len() + value.len() + value.len() / 20 + 4);
    field.push_str(name);
    field.push_str(": ");
    let mut line = field.len();
    for (number, piece) in foldable_pieces(value).enumerate() {
        if number > 0 && line + piece.len() > LINE_BYTES {
            field.push_str("\r\n");
            line = 0;
        }
        field.push_str(piece);
        line += piece.len();
    }
    field.push_str("\r\n");
    field
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(name: &str, value: &str) -> Header {
        Header {
            name: name.to_owned(),
            value: value.to_owned(),
        }
    }

    #[test]
    fn names_are_left_quoted_or_encoded() {
        for (written, expected) in [
            ("a@example.com", "a@example.com"),
            ("Jane Doe <a@example.com>", "Jane Doe <a@example.com>"),
            ("\"Doe, Jane\" <a@example.com>", "\"Doe, Jane\" <a@example.com>"),
            ("\"a\\\"b\" <a@example.com>", "\"a\\\"b\" <a@example.com>"),
            ("Zoë <a@example.com>", "=?UTF-8?B?Wm/Dqw==?= <a@example.com>"),
            ("a=?b <a@example.com>", "a=?b <a@example.com>"),
            (
                "=?UTF-8?B?eA==?= <a@example.com>",
                "=?UTF-8?B?PT9VVEYtOD9CP2VBPT0/PQ==?= <a@example.com>",
            ),
        ] {
            assert_eq!(mailbox(&Mailbox::parse(written).unwrap()), expected);
        }
    }

    #[test]
    fn long_text_becomes_several_words_that_split_no_character() {
        let text = "é".repeat(60);
        let words = encode(&text).into_owned();
        assert!(words.split(' ').all(|word| word.len() <= 75), "{words}");
        assert_eq!(read(&text_field("Subject", &text)), text);
    }

    #[test]
    fn only_text_is_encoded() {
        for (name, written, expected) in [
            (
                "List-Unsubscribe",
                "<https://app.example.com/u?next=?a&b=?=1>",
                "<https://app.example.com/u?next=?a&b=?=1>",
            ),
            ("References", "<=?utf-8?b?eA==?=@example.com>", "<=?utf-8?b?eA==?=@example.com>"),
            (
                "X-Link",
                "https://app.example.com/u?next=?a&b=?=1",
                "https://app.example.com/u?next=?a&b=?=1",
            ),
            ("X-Note", "=?utf-8?q?x?=", "=?UTF-8?B?PT91dGYtOD9xP3g/PQ==?="),
            ("Keywords", "Köln, Bonn", "=?UTF-8?B?S8O2bG4=?=, Bonn"),
            ("Keywords", "a,b", "a,b"),
        ] {
            assert_eq!(value(&header(name, written)), expected, "{name}");
        }
    }

    #[test]
    fn long_headers_are_folded_at_white_space() {
        let ids = (0..40)
            .map(|id| format!("<{id:022}@mail.example.com>"))
            .collect::<Vec<_>>()
            .join(" ");
        let field = field(&header("References", &ids));
        assert!(ids.len() > 1_400 && field.lines().all(|line| line.len() <= LINE_BYTES), "{field}");
        assert_eq!(field.replace("\r\n ", " "), format!("References: {ids}\r\n"));
    }

    #[test]
    fn spaces_at_which_a_line_would_be_broken_are_kept() {
        for words in 60..80 {
            let text = format!("{}  z", "a".repeat(words));
            assert_eq!(read(&text_field("Subject", &text)), text);
        }
    }

    fn read(subject: &str) -> String {
        let message = format!("{subject}\r\nx");
        let parsed = mail_parser::MessageParser::default().parse(message.as_bytes()).unwrap();
        parsed.subject().unwrap_or_default().to_owned()
    }

    proptest! {
        #[test]
        fn text_is_read_as_it_was_written(text in "[^ \\p{C}\\p{Z}](\\PC|=\\?|\\?=|  |q\\?|utf-8){0,200}[^ \\p{C}\\p{Z}]", long in "[a-z]{0,1200}") {
            for text in [text.clone(), format!("{text}{long}x")] {
                let field = text_field("Subject", &text);
                prop_assert!(field.split("\r\n").all(|line| line.len() <= MAX_LINE_BYTES));
                prop_assert_eq!(read(&field), text);
            }
        }
    }
}
