//! Media types with their parameters, as a `Content-Type` holds them (RFC 2045 §5.1).

use std::fmt;

/// Longest type, and longest subtype, in bytes (RFC 6838 §4.2).
const MAX_TOKEN_BYTES: usize = 127;
/// Longest media type with its parameters, in bytes, after those that only name the file were dropped.
const MAX_BYTES: usize = 255;
/// Parameters that name the file. A file has its name in a field of its own (RFC 2183 §2.3), and two names would contradict each other.
const FILE_NAMES: [&str; 2] = ["name", "filename"];

/// A text that is no media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a media type such as application/pdf, with parameters such as charset=utf-8 or none, at most {MAX_BYTES} bytes")]
pub struct NoMediaType;

/// A media type: `type/subtype` in lower case, and its parameters in order, without those that name the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType {
    essence: String,
    parameters: Vec<(String, String)>,
}

impl MediaType {
    /// Reads a media type. Values of parameters are tokens or stand in quotes.
    ///
    /// # Errors
    /// [`NoMediaType`] when the text breaks the grammar, or is too long.
    pub fn parse(text: &str) -> Result<Self, NoMediaType> {
        let (essence, rest) = text.split_once(';').unwrap_or((text, ""));
        let essence = essence.trim_matches(BLANK).to_ascii_lowercase();
        let (kind, subtype) = essence.split_once('/').ok_or(NoMediaType)?;
        if !is_name(kind) || !is_name(subtype) {
            return Err(NoMediaType);
        }
        let mut media_type = Self {
            essence,
            parameters: Vec::new(),
        };
        let mut rest = rest.trim_start_matches(BLANK);
        while !rest.is_empty() {
            rest = media_type.read_parameter(rest)?.trim_start_matches(BLANK);
        }
        if media_type.to_string().len() <= MAX_BYTES {
            Ok(media_type)
        } else {
            Err(NoMediaType)
        }
    }

    /// `application/octet-stream`: bytes of which nothing is said.
    pub fn octets() -> Self {
        Self {
            essence: "application/octet-stream".to_owned(),
            parameters: Vec::new(),
        }
    }

    /// Reads one parameter with the `;` behind it; gives back what follows.
    fn read_parameter<'a>(&mut self, text: &'a str) -> Result<&'a str, NoMediaType> {
        if let Some(rest) = text.strip_prefix(';') {
            return Ok(rest);
        }
        let (name, rest) = text.split_once('=').ok_or(NoMediaType)?;
        let name = name.trim_matches(BLANK).to_ascii_lowercase();
        let rest = rest.trim_start_matches(BLANK);
        let names_the_file = FILE_NAMES.contains(&name.split('*').next().unwrap_or_default());
        let (value, is_quoted, rest) = if let Some(quoted) = rest.strip_prefix('"') {
            let (value, rest) = unquote(quoted).ok_or(NoMediaType)?;
            (value, true, rest.trim_start_matches(BLANK))
        } else {
            let (value, rest) = rest.split_at(rest.find(';').unwrap_or(rest.len()));
            (value.trim_matches(BLANK).to_owned(), false, rest)
        };
        if names_the_file {
            return Ok(rest.find(';').map_or("", |end| rest.get(end..).unwrap_or_default()));
        }
        let is_fine = is_token(&name)
            && (rest.is_empty() || rest.starts_with(';'))
            && !value.is_empty()
            && value.bytes().all(|byte| (b' '..=b'~').contains(&byte))
            && (is_quoted || is_token(&value))
            && self.parameter(&name).is_none();
        if !is_fine {
            return Err(NoMediaType);
        }
        self.parameters.push((name, value));
        Ok(rest)
    }

    /// `type/subtype`, in lower case.
    pub fn essence(&self) -> &str {
        &self.essence
    }

    /// The type before the slash.
    pub fn kind(&self) -> &str {
        self.essence.split('/').next().unwrap_or_default()
    }

    /// The value of a parameter; `name` is in lower case.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Whether the type has parameters.
    pub fn has_parameters(&self) -> bool {
        !self.parameters.is_empty()
    }
}

/// The media type as a `Content-Type` holds it; values stand in quotes where they must.
impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.essence)?;
        for (name, value) in &self.parameters {
            if is_token(value) {
                write!(f, "; {name}={value}")?;
            } else {
                write!(f, "; {name}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))?;
            }
        }
        Ok(())
    }
}

const BLANK: [char; 2] = [' ', '\t'];

/// A type or a subtype (RFC 6838 §4.2).
fn is_name(text: &str) -> bool {
    (1..=MAX_TOKEN_BYTES).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
}

/// A token (RFC 2045 §5.1).
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&byte))
}

/// Reads up to the closing quote: the value without its backslashes, and what follows.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => value.push(characters.next()?.1),
            _ => value.push(character),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn media_types_are_read_as_rfc_2045_writes_them() {
        for (text, expected) in [
            ("application/pdf", Some("application/pdf")),
            (" Text/Plain ", Some("text/plain")),
            ("text/plain;", Some("text/plain")),
            ("text/plain; charset=UTF-8;", Some("text/plain; charset=UTF-8")),
            ("text/plain;charset=\"utf-8\"", Some("text/plain; charset=utf-8")),
            (
                "text/calendar; charset=UTF-8; method=REQUEST",
                Some("text/calendar; charset=UTF-8; method=REQUEST"),
            ),
            ("text/x; a=\"b;\\\"c\\\\ d\"; e=f", Some("text/x; a=\"b;\\\"c\\\\ d\"; e=f")),
            ("text/x; A = b", Some("text/x; a=b")),
            (
                "application/vnd.openxmlformats-officedocument.wordprocessingml.document; name=\"Bericht.docx\"",
                Some("application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
            ),
            ("application/pdf; name=\"März; 1.pdf\"; x=y", Some("application/pdf; x=y")),
            ("application/pdf; name=März 1.pdf; x=y", Some("application/pdf; x=y")),
            ("application/pdf; name*=utf-8''M%C3%A4rz.pdf", Some("application/pdf")),
            ("application/pdf; name*0=\"a\"; name*1=\"b\"; filename=c", Some("application/pdf")),
            ("message/rfc822", Some("message/rfc822")),
            ("", None),
            ("pdf", None),
            ("/pdf", None),
            ("application/", None),
            ("application/pdf/x", None),
            ("a b/c", None),
            ("text/plain charset=utf-8", None),
            ("text/plain; charset", None),
            ("text/plain; charset=", None),
            ("text/plain; charset=a b", None),
            ("text/plain; charset=\"a", None),
            ("text/plain; charset=\"a\"b", None),
            ("text/plain; charset=ü", None),
            ("text/plain; a=b; a=c", None),
            ("text/plain; a=\"b\r\nX: y\"", None),
        ] {
            assert_eq!(
                MediaType::parse(text).ok().map(|it| it.to_string()).as_deref(),
                expected,
                "{text:?}"
            );
        }
        assert!(MediaType::parse(&format!("text/x; a={}", "b".repeat(300))).is_err());
        assert!(MediaType::parse(&format!("text/plain; name=\"{}\"", "b".repeat(300))).is_ok());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(text in "[a-z]{1,5}/[a-z.+-]{1,9}(; ?[a-z]{1,4}=(\"([ -~&&[^\"\\\\]]|\\\\[ -~]){0,9}\"|[a-z0-9]{0,5})){0,3}") {
            if let Ok(media_type) = MediaType::parse(&text) {
                let written = media_type.to_string();
                prop_assert_eq!(MediaType::parse(&written), Ok(media_type));
                prop_assert!(written.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            }
        }

        #[test]
        fn nothing_makes_it_panic(text in "(\\PC|[;=\"\\\\/]){0,60}") {
            MediaType::parse(&text).ok();
        }
    }
}
