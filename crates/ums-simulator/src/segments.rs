//! How many parts a text message takes, for Twilio's `num_segments`.

/// GSM 03.38's basic alphabet beyond the ASCII that it shares.
const GSM_BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./:;<=>?¡ÄÖÑÜ§¿äöñüà";

/// Characters that take two septets.
const GSM_EXTENDED: &str = "^{}\\[~]|€";

/// Counts the parts of a text.
pub(crate) fn count(text: &str) -> usize {
    let septets = text.chars().map(septets).sum::<Option<usize>>();
    let (length, single, part) = match septets {
        Some(septets) => (septets, 160, 153),
        None => (text.encode_utf16().count(), 70, 67),
    };
    if length <= single { 1 } else { length.div_ceil(part) }
}

/// Septets of a character; `None` if GSM has none for it.
fn septets(c: char) -> Option<usize> {
    if c.is_ascii_alphanumeric() || GSM_BASIC.contains(c) {
        Some(1)
    } else {
        GSM_EXTENDED.contains(c).then_some(2)
    }
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn parts_are_counted() {
        assert_eq!(count(""), 1);
        assert_eq!(count(&"a".repeat(160)), 1);
        assert_eq!(count(&"a".repeat(161)), 2);
        assert_eq!(count(&"€".repeat(80)), 1);
        assert_eq!(count(&"€".repeat(81)), 2);
        assert_eq!(count(&"ж".repeat(70)), 1);
        assert_eq!(count(&"ж".repeat(71)), 2);
        assert_eq!(count(&"🙂".repeat(36)), 2);
    }
}
