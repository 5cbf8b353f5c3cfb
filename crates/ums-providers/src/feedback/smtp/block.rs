//! Blocks of fields: how reports are written (RFC 3464 §2.1), and how they are written in fact.

use crate::feedback::reading;

/// Longest field that is kept, in bytes.
const MAX_FIELD_BYTES: usize = 4 * 1024;
/// Lines of a report that are read: far more than one about all recipients of a message has.
const MAX_LINES: usize = 20_000;

/// Fields that stand together, names in lower case.
#[derive(Clone, Debug, Default)]
pub(super) struct Block(Vec<(String, String)>);

impl Block {
    /// The first value of a field that is not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(other, value)| other == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// All values of a field that are not empty.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(other, value)| other == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// Whether it tells of a recipient, not of the message.
    pub(super) fn is_about_recipient(&self) -> bool {
        self.get("action").is_some()
            || self.get("status").is_some() && (self.get("final-recipient").is_some() || self.get("original-recipient").is_some())
    }

    /// Whom we wrote to: the address before it was forwarded, if that is told, else the one that it ended at.
    pub(super) fn recipient(&self) -> Option<String> {
        ["original-recipient", "final-recipient", "x-actual-recipient"]
            .iter()
            .find_map(|name| self.get(name).and_then(address))
    }

    /// The fields as text.
    pub(super) fn to_text(&self) -> String {
        let fields = self.0.iter();
        fields.fold(String::new(), |text, (name, value)| text + name + ": " + value + "\n")
    }

    fn names_recipient(&self) -> bool {
        self.get("final-recipient").is_some() || self.get("original-recipient").is_some()
    }
}

/// Reads the blocks of a report. Blank lines part them; where they lack, a second `Final-Recipient` does; where there are too many, what lacks its
/// recipient is added to the block before.
pub(super) fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for group in groups(text) {
        let mut block = Block::default();
        for (name, value) in group {
            let begins_next = matches!(name.as_str(), "final-recipient" | "original-recipient") && block.get(&name).is_some();
            if begins_next {
                blocks.push(std::mem::take(&mut block));
            }
            block.0.push((name, value));
        }
        match blocks.last_mut() {
            Some(last) if !block.names_recipient() && last.names_recipient() && last.get("action").is_none() => last.0.append(&mut block.0),
            Some(_) | None => blocks.push(block),
        }
    }
    blocks
}

/// Fields, unfolded, in groups between blank lines.
fn groups(text: &str) -> Vec<Vec<(String, String)>> {
    let mut groups = vec![Vec::new()];
    // A lone CR ends a line, too: some gateways lose the LF.
    let lines = text
        .split('\n')
        .flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'));
    for line in lines.take(MAX_LINES) {
        if line.trim().is_empty() {
            groups.push(Vec::new());
            continue;
        }
        let Some(group) = groups.last_mut() else { continue };
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = group.last_mut() {
                let value: &mut String = value;
                if value.len() < MAX_FIELD_BYTES {
                    if !value.is_empty() {
                        value.push(' ');
                    }
                    value.push_str(reading::cut(line.trim(), MAX_FIELD_BYTES));
                }
            }
            continue;
        }
        if let Some((name, value)) = line.split_once(':') {
            let value = reading::cut(value.trim(), MAX_FIELD_BYTES).to_owned();
            group.push((name.trim().to_ascii_lowercase(), value));
        }
    }
    for group in &mut groups {
        group.retain(|(_, value)| !value.is_empty());
    }
    groups.retain(|group| !group.is_empty());
    groups
}

/// An address of a report: `rfc822; ann@example.com`, with or without its type, angle brackets, or a comment.
pub(super) fn address(value: &str) -> Option<String> {
    let value = match value.split_once(';') {
        Some((kind, rest)) if !kind.contains('@') => rest,
        Some(_) | None => value,
    };
    let value = value.trim();
    let value = match (value.find('<'), value.rfind('>')) {
        (Some(start), Some(end)) if start < end => value.get(start + 1..end)?,
        _ => value.split(" (").next()?,
    };
    let value = decoded(value.trim().trim_matches(['<', '>']).trim());
    let (local, domain) = value.rsplit_once('@')?;
    if local.is_empty() || domain.is_empty() {
        return None;
    }
    reading::recipient(&value)
}

/// Undoes the two codings of addresses: `+2B` (RFC 3461) and `\x{E4}` (RFC 6533).
fn decoded(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['+', '\\']) {
        let (before, coded) = rest.split_at(at);
        plain.push_str(before);
        let (code, len) = if coded.starts_with('+') {
            // Lower case is no xtext: `ann+2b@example.com` is an address as it stands.
            let digits = coded
                .get(1..3)
                .filter(|digits| digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F')));
            // Only what had to be coded: `ann+20@example.com` may be an address as well.
            let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
            (code.filter(|code| matches!(code, 0x2B | 0x3D)), 3)
        } else {
            let digits = coded
                .strip_prefix("\\x{")
                .and_then(|inner| inner.split_once('}'))
                .map(|(digits, _)| digits);
            (
                digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()),
                digits.map_or(1, |digits| digits.len() + 4),
            )
        };
        if let Some(decoded) = code.and_then(char::from_u32) {
            plain.push(decoded);
            rest = coded.get(len..).unwrap_or_default();
        } else {
            plain.push_str(coded.get(..1).unwrap_or_default());
            rest = coded.get(1..).unwrap_or_default();
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_systems_write_them() {
        for (value, expected) in [
            ("rfc822; ann@example.com", Some("ann@example.com")),
            ("RFC822;ann@example.com", Some("ann@example.com")),
            ("rfc822 ;  <ann@example.com>", Some("ann@example.com")),
            ("rfc822;<ann@example.com> (Ann)", Some("ann@example.com")),
            ("ann@example.com", Some("ann@example.com")),
            ("<ann@example.com>", Some("ann@example.com")),
            ("rfc822; ann@example.com (user unknown)", Some("ann@example.com")),
            ("rfc822; ann+2Bnews@example.com", Some("ann+news@example.com")),
            ("rfc822; ann+20@example.com", Some("ann+20@example.com")),
            ("rfc822; ann+news@example.com", Some("ann+news@example.com")),
            ("utf-8; \\x{E4}nn@example.com", Some("änn@example.com")),
            ("utf-8; änn@example.com", Some("änn@example.com")),
            ("rfc822; \\x{zz}@example.com", Some("\\x{zz}@example.com")),
            ("rfc822; ann", None),
            ("x-unix; |/usr/bin/procmail", None),
            ("rfc822;", None),
            ("@example.com", None),
            ("", None),
        ] {
            assert_eq!(address(value).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn blocks_are_parted_by_blank_lines_or_by_the_next_recipient() {
        let text = "Reporting-MTA: dns; a\r\nX: 1\r\n  folded\r\n\r\nFinal-Recipient: rfc822; a@example.com\r\nAction: failed\r\nFinal-Recipient: rfc822; b@example.com\r\n\r\nAction: delayed\r\n";
        let blocks = blocks(text);
        assert_eq!(blocks.len(), 3);
        assert_eq!(blocks[0].get("x"), Some("1 folded"));
        assert_eq!(
            (blocks[1].recipient().as_deref(), blocks[1].get("action")),
            (Some("a@example.com"), Some("failed"))
        );
        assert_eq!(
            (blocks[2].recipient().as_deref(), blocks[2].get("action")),
            (Some("b@example.com"), Some("delayed"))
        );
    }
}
