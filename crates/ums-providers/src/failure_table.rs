//! Tables of failures: what a provider's code and words mean, why, and where the vendor or the RFC says so.
//!
//! Every adapter's table consists of [`Row`]s. They decide at run time, and `docs/providers` shows them.
//!
//! Among the rows of a code the words decide: a row whose words stand in the provider's text comes before the row without words. Rows of
//! one code are read in order, so the more particular words stand first.

use ums_core::FailureClass;

/// One row of a table of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The provider's code; [`ANY_CODE`] in a row whose words decide alone.
    pub code: &'static str,
    /// Words, in lower case, that the provider's text must hold; `…` stands for any text between two of them. Empty where the code decides
    /// alone.
    pub words: &'static str,
    /// What the failure means.
    pub class: FailureClass,
    /// Why it means that: half a sentence for people.
    pub why: &'static str,
    /// Where the vendor or the RFC says so.
    pub source: &'static str,
}

/// The code of a row whose words decide alone.
pub const ANY_CODE: &str = "*";

/// The rows of one provider, or of several that share them.
pub type Table = &'static [Row];

impl Row {
    /// A row whose code decides alone.
    pub const fn of_code(code: &'static str, class: FailureClass, why: &'static str, source: &'static str) -> Self {
        Self {
            code,
            words: "",
            class,
            why,
            source,
        }
    }

    /// The same row for a text that holds these words, in lower case.
    #[must_use]
    pub const fn saying(self, words: &'static str) -> Self {
        Self { words, ..self }
    }

    /// Whether the row's words stand in a text in lower case, one after the other.
    pub fn words_stand_in(&self, text: &str) -> bool {
        let mut rest = text;
        self.words.split('…').all(|words| match rest.split_once(words) {
            Some((_, after)) => {
                rest = after;
                true
            }
            None => false,
        })
    }
}

/// The row for a code and a text in lower case: the first of the code whose words stand in the text, else the code's row without words.
pub fn find<'a>(rows: impl IntoIterator<Item = &'a Row>, code: &str, text: &str) -> Option<&'a Row> {
    let mut of_code_alone = None;
    for row in rows.into_iter().filter(|row| row.code == code) {
        if row.words.is_empty() {
            of_code_alone = of_code_alone.or(Some(row));
        } else if row.words_stand_in(text) {
            return Some(row);
        }
    }
    of_code_alone
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: Table = &[
        Row::of_code("A", FailureClass::InvalidMessage, "", ""),
        Row::of_code("A", FailureClass::Misconfigured, "", "").saying("sending…paused"),
        Row::of_code("B", FailureClass::Throttled, "", ""),
    ];

    #[test]
    fn the_words_decide_among_the_rows_of_a_code() {
        use FailureClass as C;
        for (code, text, class) in [
            ("A", "", Some(C::InvalidMessage)),
            ("A", "sending is paused", Some(C::Misconfigured)),
            ("A", "paused sending", Some(C::InvalidMessage)),
            ("B", "sending paused", Some(C::Throttled)),
            ("C", "sending paused", None),
        ] {
            assert_eq!(find(ROWS, code, text).map(|row| row.class), class, "{code} {text}");
        }
    }
}
