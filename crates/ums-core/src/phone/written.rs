//! What people write and paste between the digits of a number.

use crate::is_unseen;

/// Longest text of a number, in characters.
const MAX_CHARS: usize = 60;

/// The zeros of the decimal digits that keyboards of phones write: full-width, Arabic-Indic, Extended Arabic-Indic. Their values are certain.
/// Digits of other scripts are refused.
const ZEROS: [char; 3] = ['０', '٠', '۰'];

/// The digits of a number, after a `+` if the number has one, in ASCII; none if anything else stands there that is no punctuation of numbers.
pub(super) fn digits(text: &str) -> Option<String> {
    let text = text.trim_matches(|character: char| character.is_whitespace() || is_between(character));
    if text.chars().count() > MAX_CHARS {
        return None;
    }
    let plain: String = text
        .chars()
        .filter(|character| !is_between(*character))
        .map(plain)
        .collect::<Option<_>>()?;
    let (plus, rest) = plain.strip_prefix('+').map_or(("", plain.as_str()), |rest| ("+", rest));
    rest.bytes().all(|byte| byte.is_ascii_digit()).then(|| format!("{plus}{rest}"))
}

fn plain(character: char) -> Option<char> {
    match character {
        '0'..='9' | '+' => Some(character),
        '＋' => Some('+'),
        _ => ZEROS.iter().find_map(|zero| {
            let value = u32::from(character).checked_sub(u32::from(*zero))?;
            char::from_digit(value, 10)
        }),
    }
}

/// Whether a character may stand between the digits and says nothing: a space, a hyphen, a dot, a bracket of an area code, and what cannot be
/// seen. Line breaks, tabs, slashes and commas are refused between digits, since they may part two numbers, and so is the mark that shows
/// digits in reverse (U+202E). Source: the valid punctuation of libphonenumber; Unicode.
const fn is_between(character: char) -> bool {
    let is_punctuation = matches!(
        character,
        ' ' | '-' | '.' | '(' | ')'
        // Spaces: no-break, of fixed width, narrow, mathematical, ideographic.
        | '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}'
        // Hyphens and dashes, minus, their small and full-width forms.
        | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}'
        // The full-width dot and brackets.
        | '\u{ff0e}' | '\u{ff08}' | '\u{ff09}'
    );
    is_punctuation || (is_unseen(character) && character != '\u{202e}')
}
