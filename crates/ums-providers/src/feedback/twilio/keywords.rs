//! The words by which somebody opts out of text messages and in again.
//!
//! Only a message that is exactly the word counts, as at the providers: `STOP please`, `S T O P` and `STOP` with an emoji are messages. What
//! nobody sees, and what people and their phones put around a word, makes no other word: the message is compared in NFC, with full-width
//! letters and dashes made plain, without unseen characters, without white space, quotes, brackets and closing punctuation at its ends, and
//! without case. A space and a hyphen within are one (`OPT-OUT`, `OPT OUT`).
//!
//! Other languages: Twilio says by `OptOutType` what its own lists took a message for; the words here are those without which an opt-out at
//! one provider would not hold at the other.
//!
//! Sources: twilio.com/docs/messaging/tutorials/advanced-opt-out (STOP, UNSUBSCRIBE, END, QUIT, STOPALL, REVOKE, OPTOUT, CANCEL; START, YES,
//! UNSTOP; HELP, INFO); docs.aws.amazon.com/sms-voice/latest/userguide/keywords-required.html (ARRET, CANCEL, END, OPT-OUT, OPTOUT, QUIT,
//! REMOVE, STOP, TD, UNSUBSCRIBE); 47 CFR 64.1200(a)(10) ("stop", "quit", "end", "revoke", "opt out", "cancel", "unsubscribe"); STOP ALL as
//! carriers take it beside STOPALL, ARRÊT as the French write ARRET; read 2026-11-29.

use ums_core::{fold, is_unseen};

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
const STOP: [&str; 14] = [
    "ARRET",
    "ARRÊT",
    "CANCEL",
    "END",
    "OPT OUT",
    "OPTOUT",
    "QUIT",
    "REMOVE",
    "REVOKE",
    "STOP",
    "STOP ALL",
    "STOPALL",
    "TD",
    "UNSUBSCRIBE",
];
const START: [&str; 3] = ["START", "UNSTOP", "YES"];
const HELP: [&str; 2] = ["HELP", "INFO"];

/// Longest word, in characters, with room for what is left out within.
const MAX_CHARS: usize = 64;

/// What a message asks for; none when it is an ordinary one.
pub(super) fn wish(body: &str) -> Option<(Wish, &'static str)> {
    let body = body.trim_start_matches(opens).trim_end_matches(closes);
    if body.chars().nth(MAX_CHARS).is_some() {
        return None;
    }
    let said = plain(body);
    let among = |words: &[&'static str]| words.iter().copied().find(|word| fold(word) == said);
    among(&STOP)
        .map(|word| (Wish::Stop, word))
        .or_else(|| among(&START).map(|word| (Wish::Start, word)))
        .or_else(|| among(&HELP).map(|word| (Wish::Help, word)))
}

/// The text as words are compared.
fn plain(text: &str) -> String {
    let seen: String = text.chars().filter(|letter| !is_unseen(*letter)).map(narrow).collect();
    let words: Vec<&str> = seen.split([' ', '-']).filter(|word| !word.is_empty()).collect();
    fold(&words.join(" "))
}

/// A full-width letter as a plain one, every space as a space, every dash as a hyphen.
fn narrow(letter: char) -> char {
    match letter {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(letter) - 0xfee0).unwrap_or(letter),
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        letter if letter.is_whitespace() => ' ',
        letter => letter,
    }
}

/// Whether a character before a word says nothing.
fn opens(letter: char) -> bool {
    is_around(letter) || matches!(narrow(letter), '(' | '[' | '{' | '<' | '¡' | '¿' | '「' | '『' | '（')
}

/// Whether a character after a word says nothing.
fn closes(letter: char) -> bool {
    let closing = ")]}>.!?,;:…‼⁇⁈⁉。、，！？：；。」』،؛؟۔।";
    is_around(letter) || closing.contains(narrow(letter))
}

/// White space, what nobody sees, and quotes.
fn is_around(letter: char) -> bool {
    letter.is_whitespace() || is_unseen(letter) || "\"'`´“”„‟‘’‚‛«»‹›〝〞＂".contains(narrow(letter))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
            " . ",
            "STOP PLEASE",
            "don't stop",
            "STOP STOP",
            "S T O P",
            "STOP 🙏",
            "STOP1",
            "+STOP",
            "non-stop",
            "un stop",
            "one-end",
            "stop, please",
            "yes please",
            "arrêté",
            "ѕtор",
            &"STOP".repeat(1_000),
            &format!("STOP{}", " x".repeat(1_000)),
        ] {
            assert_eq!(wish(other), None, "{other}");
        }
    }

    #[test]
    fn what_stands_around_a_word_makes_no_other_word() {
        for (said, word) in [
            ("ＳＴＯＰ", "STOP"),
            ("ｓｔｏｐ！", "STOP"),
            ("\u{a0}STOP\u{3000}", "STOP"),
            ("\u{202b}\u{feff}Stop\u{200b}\u{200f}\r\n", "STOP"),
            ("s\u{ad}top", "STOP"),
            ("“Stop”.", "STOP"),
            ("«STOP»", "STOP"),
            ("(stop)", "STOP"),
            ("stop…", "STOP"),
            ("STOP。", "STOP"),
            ("¡STOP!", "STOP"),
            ("Stop?!", "STOP"),
            ("arre\u{302}t", "ARRÊT"),
            ("opt\u{2011}out", "OPT OUT"),
            ("Opt  Out.", "OPT OUT"),
            ("stop\nall", "STOP ALL"),
            ("STOP-ALL", "STOP ALL"),
        ] {
            assert_eq!(wish(said), Some((Wish::Stop, word)), "{said}");
        }
        assert_eq!(wish("'Start'."), Some((Wish::Start, "START")));
        assert_eq!(wish("Ｈelp?"), Some((Wish::Help, "HELP")));
    }

    /// The words that went wrong.
    #[test]
    fn the_table_of_words_holds() {
        #[derive(serde::Deserialize)]
        struct Cases {
            opt_out: Vec<String>,
            not: Vec<String>,
        }
        let cases = include_str!("../../../tests/fixtures/twilio/opt-out-words.json");
        let cases: Cases = serde_json::from_str(cases).unwrap();
        let is_stop = |said: &str| wish(said).is_some_and(|(wish, _)| wish == Wish::Stop);
        for said in &cases.opt_out {
            assert!(is_stop(said), "{said}");
        }
        for said in &cases.not {
            assert!(!is_stop(said), "{said}");
        }
    }

    proptest! {
        #[test]
        fn a_word_is_the_word_whatever_is_around_it(
            word in prop::sample::select(STOP.to_vec()),
            before in "[ \u{a0}\u{200b}\u{202a}\"“'«(]{0,4}",
            after in "[ \u{3000}\u{feff}\"”'».!,…)？]{0,4}",
            wide in any::<bool>(),
            lower in any::<bool>(),
        ) {
            let word_as_written = if lower { word.to_lowercase() } else { word.to_owned() };
            let widened = |letter: char| match letter {
                '!'..='~' if wide => char::from_u32(u32::from(letter) + 0xfee0).unwrap(),
                letter => letter,
            };
            let said: String = word_as_written.chars().map(widened).collect();
            prop_assert_eq!(wish(&format!("{before}{said}{after}")), Some((Wish::Stop, word)));
        }

        #[test]
        fn a_word_with_other_words_is_a_message(word in prop::sample::select(STOP.to_vec()), other in "[a-z]{1,8}") {
            prop_assume!(wish(&format!("{word}{other}")).is_none() && !(word == "STOP" && other == "all"));
            let said = [format!("{word} {other}"), format!("{other} {word}"), format!("{other}{word}")];
            prop_assume!(other != "un" && other != "opt");
            for said in said {
                prop_assert_eq!(wish(&said), None, "{}", said);
            }
        }

        #[test]
        fn nothing_panics(said in "\\PC{0,80}") {
            wish(&said);
        }
    }
}
