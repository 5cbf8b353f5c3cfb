//! Text for header fields, in the form that header fields allow: RFC 2047 and RFC 5322 quoting.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ums_core::Mailbox;

/// Bytes of text in one encoded word: with its frame it stays within 75 characters (RFC 2047 §2).
const WORD_BYTES: usize = 45;

/// A text as it may stand in an unstructured header: as it is if plain, else as encoded words.
pub(crate) fn encode(text: &str) -> Cow<'_, str> {
    let plain = text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && !text.contains("=?");
    if plain {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(encoded_words(text))
    }
}

/// `Name <local@domain>`, the name encoded or quoted where it must be.
pub(crate) fn mailbox(mailbox: &Mailbox) -> String {
    let address = mailbox.address.expose();
    match mailbox.name.as_deref() {
        None => address.to_owned(),
        Some(name) => match encode(name) {
            Cow::Owned(words) => format!("{words} <{address}>"),
            Cow::Borrowed(plain) if plain.bytes().all(is_atom_or_space) => format!("{plain} <{address}>"),
            Cow::Borrowed(plain) => format!("\"{}\" <{address}>", plain.replace('\\', "\\\\").replace('"', "\\\"")),
        },
    }
}

/// What a display name may hold without quotes (RFC 5322 §3.2.3).
fn is_atom_or_space(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" !#$%&'*+-/=?^_`{|}~".contains(&byte)
}

/// A text as encoded words with a space between each two, whatever it holds.
pub(crate) fn encoded_words(text: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_left_quoted_or_encoded() {
        for (written, expected) in [
            ("a@example.com", "a@example.com"),
            ("Jane Doe <a@example.com>", "Jane Doe <a@example.com>"),
            ("\"Doe, Jane\" <a@example.com>", "\"Doe, Jane\" <a@example.com>"),
            ("\"a\\\"b\" <a@example.com>", "\"a\\\"b\" <a@example.com>"),
            ("Zoë <a@example.com>", "=?UTF-8?B?Wm/Dqw==?= <a@example.com>"),
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
        let decoded = mail_parser::MessageParser::default()
            .parse(format!("Subject: {words}\r\n\r\n").as_bytes())
            .unwrap()
            .subject()
            .unwrap()
            .to_owned();
        assert_eq!(decoded, text);
    }
}
