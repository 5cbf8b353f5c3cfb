//! Bodies of type `application/x-www-form-urlencoded`.

/// The media type.
pub(crate) const CONTENT_TYPE: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// A form under construction.
pub(crate) struct Form(Vec<u8>);

impl Form {
    /// An empty form with room for so many bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Adds a field. The name is ours and needs no encoding.
    pub(crate) fn field(&mut self, name: &str, value: &str) -> &mut Self {
        if !self.0.is_empty() {
            self.0.push(b'&');
        }
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(b'=');
        for byte in value.bytes() {
            push_encoded(&mut self.0, byte);
        }
        self
    }

    /// The body.
    pub(crate) fn into_bytes(self) -> bytes::Bytes {
        self.0.into()
    }
}

/// RFC 3986's unreserved characters stand for themselves; all others, the space too, as `%XX`.
fn push_encoded(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
        out.push(byte);
    } else {
        out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

/// Percent-encodes one segment of a path.
pub(crate) fn path_segment(text: &str) -> String {
    let mut encoded = Vec::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        push_encoded(&mut encoded, byte);
    }
    encoded.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_but_the_unreserved_is_encoded() {
        let mut form = Form::with_capacity(0);
        form.field("To", "+14165550123").field("Body", "a b&c=é~\n");
        assert_eq!(form.into_bytes(), "To=%2B14165550123&Body=a%20b%26c%3D%C3%A9~%0A");
        assert_eq!(path_segment("a@b/c"), "a%40b%2Fc");
    }
}
