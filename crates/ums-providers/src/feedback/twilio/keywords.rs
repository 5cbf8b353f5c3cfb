//! The words by which somebody opts out of text messages and in again.
//!
//! Only a message that is exactly the word counts, in any case, as at the providers: `STOP PLEASE` is a message.
//! Sources: twilio.com/docs/messaging/tutorials/advanced-opt-out; AWS End User Messaging SMS guide; read 2026-11-22.

/// What a message asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// No more messages.
    Stop,
    /// Messages again.
    Start,
    /// An explanation, which the provider gives.
    Help,
}

/// The words of both providers, so that an opt-out holds whichever of them a message came by.
const STOP: [&str; 13] = [
    "ARRET",
    "ARRÊT",
    "CANCEL",
    "END",
    "OPT-OUT",
    "OPTOUT",
    "QUIT",
    "REMOVE",
    "REVOKE",
    "STOP",
    "STOPALL",
    "TD",
    "UNSUBSCRIBE",
];
const START: [&str; 3] = ["START", "UNSTOP", "YES"];
const HELP: [&str; 2] = ["HELP", "INFO"];

/// What a message asks for; none when it is an ordinary one.
pub(super) fn wish(body: &str) -> Option<(Wish, &'static str)> {
    let word = body.trim();
    // The longest word is short; what is longer is not worth upper-casing.
    if word.len() > 32 {
        return None;
    }
    let word = word.to_uppercase();
    let among = |words: &[&'static str]| words.iter().copied().find(|other| *other == word);
    among(&STOP)
        .map(|word| (Wish::Stop, word))
        .or_else(|| among(&START).map(|word| (Wish::Start, word)))
        .or_else(|| among(&HELP).map(|word| (Wish::Help, word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_word_counts_in_any_case() {
        for word in STOP {
            assert_eq!(wish(&format!(" {}\r\n", word.to_lowercase())), Some((Wish::Stop, word)));
        }
        for word in START {
            assert_eq!(wish(word), Some((Wish::Start, word)));
        }
        for word in HELP {
            assert_eq!(wish(word), Some((Wish::Help, word)));
        }
        for other in [
            "",
            "STOP PLEASE",
            "don't stop",
            "STOP STOP",
            "yes please",
            "ＳＴＯＰ",
            &"STOP".repeat(1_000),
        ] {
            assert_eq!(wish(other), None, "{other}");
        }
    }
}
