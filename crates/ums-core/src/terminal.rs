//! Texts on their way to a terminal: whatever somebody else wrote in them is shown, not obeyed.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::guard;

/// A text for people: characters that a terminal would obey, or that turn the direction of the text, stand as `\u{1b}`. Line ends and tabs stay.
pub fn shown(text: &str) -> Cow<'_, str> {
    replaced(text, |shown, character| shown.extend(character.escape_unicode()))
}

/// JSON for programs, which people read in a terminal, too: the same characters stand as `\u001b`. Only strings can hold any of them.
pub fn shown_json(json: &str) -> Cow<'_, str> {
    replaced(json, |shown, character| {
        // Writing to a string does not fail. All of these characters have four digits.
        write!(shown, "\\u{:04x}", u32::from(character)).ok();
    })
}

fn replaced(text: &str, escape: impl Fn(&mut String, char)) -> Cow<'_, str> {
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_obeyed(character) {
            escape(&mut shown, character);
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

fn is_obeyed(character: char) -> bool {
    !matches!(character, '\n' | '\t') && (guard::is_forbidden(character) || guard::turns_direction(character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        for (text, expected) in [
            ("Grüße\n\t🎉", "Grüße\n\t🎉"),
            ("a\u{1b}[2Jb", "a\\u{1b}[2Jb"),
            ("a\u{9b}2Jb", "a\\u{9b}2Jb"),
            ("a\rb\u{8}\u{7f}", "a\\u{d}b\\u{8}\\u{7f}"),
            ("fdp\u{202e}\u{2066}", "fdp\\u{202e}\\u{2066}"),
        ] {
            assert_eq!(shown(text), expected, "{text:?}");
        }
    }

    #[test]
    fn json_says_the_same_to_programs() {
        let value = serde_json::json!({"a\u{1b}": "\u{9b}2J \u{7f} \u{202e}", "b": "é\n"});
        let json = serde_json::to_string_pretty(&value).unwrap();
        let written = shown_json(&json);
        assert!(!written.contains(is_obeyed) && written.contains('\n'), "{written:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&written).unwrap(), value);
    }
}
