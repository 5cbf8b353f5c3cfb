//! Segments: the billed parts of a text message, in GSM-7 with its extension table or in UCS-2.
//!
//! The count is an estimate: Twilio may keep grapheme clusters together, and SNS may keep words together; each can add a segment.
//! Table: 3GPP TS 23.038 §6.2.1.

use serde::Serialize;

use crate::channel::words;

words! {
    /// The alphabet that a text message travels in.
    Encoding {
        /// GSM 7-bit default alphabet with its extension table.
        Gsm7 = "gsm7",
        /// UTF-16 code units.
        Ucs2 = "ucs2",
    }
}

/// The basic alphabet in the order of its code points; the escape is left out.
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?\
¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// Characters that take an escape and so two septets.
const EXTENSION: &str = "\u{c}^{}\\[~]|€";

/// Most units of one segment. A segment of several is shorter, because each carries a header that joins them.
#[derive(Clone, Copy)]
struct Limits {
    /// Of a text that fits one segment.
    alone: usize,
    /// Of each segment of a longer text.
    of_several: usize,
}

/// Limits in septets.
const GSM7_LIMITS: Limits = Limits {
    alone: 160,
    of_several: 153,
};
/// Limits in UTF-16 units.
const UCS2_LIMITS: Limits = Limits { alone: 70, of_several: 67 };

/// The number of segments of a text message, and the reason for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Segments {
    /// The alphabet of the whole message.
    pub encoding: Encoding,
    /// Number of segments; 1 for an empty text.
    pub segments: usize,
    /// Septets (GSM-7) or UTF-16 units (UCS-2) of the whole text.
    pub units: usize,
    /// The characters that are not in GSM-7, each once, in order of appearance.
    pub offending: Vec<char>,
}

impl Segments {
    /// Counts the segments of a text.
    pub fn of(text: &str) -> Self {
        let mut offending: Vec<char> = Vec::new();
        for character in text.chars() {
            if septets(character).is_none() && !offending.contains(&character) {
                offending.push(character);
            }
        }
        let (encoding, limits) = if offending.is_empty() {
            (Encoding::Gsm7, GSM7_LIMITS)
        } else {
            (Encoding::Ucs2, UCS2_LIMITS)
        };
        let parts = split(text, encoding, limits);
        Self {
            encoding,
            segments: parts.len(),
            units: parts.iter().sum(),
            offending,
        }
    }
}

/// The units of each segment. No character lies in two segments: neither an escape pair nor a surrogate pair is split.
fn split(text: &str, encoding: Encoding, limits: Limits) -> Vec<usize> {
    let width = |character: char| match encoding {
        Encoding::Gsm7 => septets(character).unwrap_or(1),
        Encoding::Ucs2 => character.len_utf16(),
    };
    let total: usize = text.chars().map(width).sum();
    if total <= limits.alone {
        return vec![total];
    }
    let mut parts = vec![0];
    for character in text.chars() {
        match parts.last_mut() {
            Some(part) if *part + width(character) <= limits.of_several => *part += width(character),
            _ => parts.push(width(character)),
        }
    }
    parts
}

/// Septets of a character in GSM-7; none if the alphabet lacks the character.
fn septets(character: char) -> Option<usize> {
    let plain = character.is_ascii_alphanumeric() || character == ' ';
    if plain || BASIC.contains(character) {
        Some(1)
    } else if EXTENSION.contains(character) {
        Some(2)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, encoding: Encoding, units: usize, segments: usize) {
        let counted = Segments::of(text);
        assert_eq!(
            (counted.encoding, counted.units, counted.segments),
            (encoding, units, segments),
            "{text:?}"
        );
    }

    #[test]
    fn the_alphabet_has_its_127_characters() {
        assert_eq!(BASIC.chars().count(), 127);
        assert_eq!(EXTENSION.chars().count(), 10);
    }

    #[test]
    fn limits_of_one_and_of_several_parts() {
        check("", Encoding::Gsm7, 0, 1);
        check(&"a".repeat(160), Encoding::Gsm7, 160, 1);
        check(&"a".repeat(161), Encoding::Gsm7, 161, 2);
        check(&"a".repeat(306), Encoding::Gsm7, 306, 2);
        check(&"a".repeat(307), Encoding::Gsm7, 307, 3);
        check(&"я".repeat(70), Encoding::Ucs2, 70, 1);
        check(&"я".repeat(71), Encoding::Ucs2, 71, 2);
        check(&"€".repeat(80), Encoding::Gsm7, 160, 1);
    }

    #[test]
    fn pairs_are_never_split() {
        check(&format!("{}€{}", "a".repeat(152), "a".repeat(152)), Encoding::Gsm7, 306, 3);
        check(&"😀".repeat(67), Encoding::Ucs2, 134, 3);
    }

    #[test]
    fn offending_characters_are_named_once() {
        let counted = Segments::of("être `là` à l’école");
        assert_eq!(counted.encoding, Encoding::Ucs2);
        assert_eq!(counted.offending, vec!['ê', '`', '’']);
    }

    proptest! {
        #[test]
        fn parts_add_up_and_fit(text in "[a-z€\\[я😀]{0,400}") {
            let counted = Segments::of(&text);
            let limits = if counted.encoding == Encoding::Gsm7 { GSM7_LIMITS } else { UCS2_LIMITS };
            let parts = split(&text, counted.encoding, limits);
            prop_assert_eq!(parts.iter().sum::<usize>(), counted.units);
            let limit = if parts.len() == 1 { limits.alone } else { limits.of_several };
            prop_assert!(parts.iter().all(|part| *part <= limit));
            prop_assert!(counted.segments >= counted.units.div_ceil(limits.alone));
        }
    }
}
