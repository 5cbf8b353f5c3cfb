//! The few command line words that the tool understands.

use std::fmt;
use std::str::FromStr;

use anyhow::Result;

/// The command line cannot be understood: exit status 2.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Words not yet taken by anybody.
#[derive(Debug)]
pub(crate) struct Arguments {
    words: Vec<String>,
}

impl Arguments {
    pub(crate) fn new(words: impl Iterator<Item = String>) -> Self {
        Self { words: words.collect() }
    }

    /// Takes `name`; true if it was there.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let before = self.words.len();
        self.words.retain(|word| word != name);
        self.words.len() < before
    }

    /// Takes `-h` or `--help`.
    pub(crate) fn wants_help(&mut self) -> bool {
        let long = self.flag("--help");
        self.flag("-h") || long
    }

    /// Answers `--help`, with the list below it, or `--list`; whether one of them was given.
    pub(crate) fn answered(&mut self, help: &str, heading: &str, list: fn()) -> Result<bool> {
        if self.wants_help() {
            print!("{help}\n{heading}:\n");
            list();
            return Ok(true);
        }
        if !self.flag("--list") {
            return Ok(false);
        }
        self.finish()?;
        list();
        Ok(true)
    }

    /// Takes every `name VALUE` and `name=VALUE`; a value may be a list with commas.
    pub(crate) fn values(&mut self, name: &str) -> Result<Vec<String>> {
        let mut values = Vec::new();
        let joined = format!("{name}=");
        while let Some(at) = self.words.iter().position(|word| word == name || word.starts_with(&joined)) {
            let word = self.words.remove(at);
            let value = match word.strip_prefix(&joined) {
                Some(value) => value.to_owned(),
                None if at < self.words.len() => self.words.remove(at),
                None => return Err(Usage(format!("{name} wants a value")).into()),
            };
            values.extend(value.split(',').map(str::to_owned));
        }
        Ok(values)
    }

    /// Takes `name NUMBER`, or gives `default`.
    pub(crate) fn number<N: FromStr>(&mut self, name: &str, default: N) -> Result<N> {
        match self.values(name)?.pop() {
            None => Ok(default),
            Some(value) => value.parse().map_err(|_| Usage(format!("{name} wants a number")).into()),
        }
    }

    /// Takes all that is left, as it stands.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        std::mem::take(&mut self.words)
    }

    /// Takes the one word that is left, if there is one.
    pub(crate) fn rest_as_one(mut self) -> Result<Option<String>> {
        let word = (!self.words.is_empty()).then(|| self.words.remove(0));
        self.finish()?;
        Ok(word)
    }

    /// Refuses what nobody took.
    pub(crate) fn finish(&self) -> Result<()> {
        match self.words.first() {
            None => Ok(()),
            Some(word) => Err(Usage(format!("do not understand {word}")).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Arguments;

    fn arguments(line: &str) -> Arguments {
        Arguments::new(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn values_are_taken_in_every_spelling() {
        let mut words = arguments("--only fmt --keep-going --only=tidy,test");
        assert!(words.flag("--keep-going"));
        assert_eq!(words.values("--only").unwrap(), ["fmt", "tidy", "test"]);
        words.finish().unwrap();
    }

    #[test]
    fn an_unknown_word_and_a_missing_value_are_refused() {
        assert!(arguments("--nope").finish().is_err());
        assert!(arguments("--only").values("--only").is_err());
        assert!(arguments("--rounds x").number("--rounds", 5_u32).is_err());
    }
}
