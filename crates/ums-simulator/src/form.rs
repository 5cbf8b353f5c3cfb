//! `application/x-www-form-urlencoded`, as bodies and as query strings.

/// Pairs in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    pub(crate) fn parse(text: &[u8]) -> Self {
        let pairs = text
            .split(|&byte| byte == b'&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let mut halves = pair.splitn(2, |&byte| byte == b'=');
                let name = decode(halves.next().unwrap_or_default());
                (name, decode(halves.next().unwrap_or_default()))
            })
            .collect();
        Self(pairs)
    }

    /// Returns the first value of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns the first value of that name unless it is empty.
    pub(crate) fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    pub(crate) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }
}

/// Writes pairs as a form. What RFC 3986 does not leave alone is escaped.
pub(crate) fn encode(pairs: &[(&str, String)]) -> String {
    use std::fmt::Write as _;
    let mut form = String::new();
    for (name, value) in pairs {
        if !form.is_empty() {
            form.push('&');
        }
        form.push_str(name);
        form.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                form.push(char::from(byte));
            } else {
                // Writing to a string cannot fail.
                write!(form, "%{byte:02X}").ok();
            }
        }
    }
    form
}

fn decode(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        if let Some((high, low)) = escaped {
            bytes.push(high << 4 | low);
            rest = &tail[2..];
        } else {
            bytes.push(if first == b'+' { b' ' } else { first });
            rest = tail;
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|fault| String::from_utf8_lossy(fault.as_bytes()).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded() {
        let form = Form::parse(b"To=%2B14165550123&Body=a+b%20%C3%A9%zz&Empty=&=x&&Bare");
        assert_eq!(form.get("To"), Some("+14165550123"));
        assert_eq!(form.get("Body"), Some("a b é%zz"));
        assert_eq!(form.filled("Empty"), None);
        assert_eq!(form.get("Bare"), Some(""));
        assert_eq!(Form::parse(b"a=%").get("a"), Some("%"));
    }
}
