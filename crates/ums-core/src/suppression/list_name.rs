//! The name of a mailing list.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::subscriber::compatible;

/// The name of a mailing list, by which people may unsubscribe from one list and keep the others.
///
/// A name is kept by NFKC and without case: `Weekly`, `weekly` and `ｗｅｅｋｌｙ` are one list, so that no spelling evades an unsubscribe.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ListName(String);

/// The error for a text that is no name of a mailing list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must have 1 to {} characters, none of them a control character", ListName::MAX_CHARS)]
pub struct InvalidListName;

impl ListName {
    /// Most characters of a name.
    pub const MAX_CHARS: usize = 64;

    /// Reads a name; spaces at its ends do not count.
    ///
    /// # Errors
    /// [`InvalidListName`] for a text that is empty, too long or holds a control character.
    pub fn parse(text: &str) -> Result<Self, InvalidListName> {
        let fits = |name: &String| (1..=Self::MAX_CHARS).contains(&name.chars().count());
        // One that grows out of size by its folding is kept as it is: names that were good stay so.
        let folded = compatible(text).trim().to_owned();
        let name = if fits(&folded) { folded } else { text.trim().to_lowercase() };
        let is_of_size = fits(&name);
        if is_of_size && !name.chars().any(char::is_control) {
            Ok(Self(name))
        } else {
            Err(InvalidListName)
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ListName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for ListName {
    type Err = InvalidListName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<String> for ListName {
    type Error = InvalidListName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<ListName> for String {
    fn from(name: ListName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_printable_and_without_case() {
        assert_eq!(ListName::parse(" Weekly News ").unwrap().as_str(), "weekly news");
        assert_eq!(ListName::parse("weekly"), ListName::parse("WEEKLY"));
        assert_eq!(ListName::parse("weekly"), ListName::parse("ＷＥＥＫＬＹ"));
        assert_eq!(ListName::parse("Straße"), ListName::parse("STRASSE"));
        assert_ne!(ListName::parse("kılı"), ListName::parse("kili"));
        assert!(ListName::parse(&"ü".repeat(64)).is_ok());
        for name in ["ß".repeat(64), "\u{fdfa}".repeat(9), "\u{a8}x".to_owned(), " ｗ\u{3000}".to_owned()] {
            let read = ListName::parse(&name).unwrap();
            assert_eq!(ListName::parse(read.as_str()).as_ref(), Ok(&read), "a name is its own name");
        }
        for bad in ["", "  ", "a\nb", "a\u{0}b", &"a".repeat(65)] {
            assert_eq!(ListName::parse(bad), Err(InvalidListName), "{bad:?}");
        }
    }
}
