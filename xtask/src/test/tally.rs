//! Counts tests over every tool of the suite, so that the last line tells how many there were.

use std::fmt;

/// Tests so far.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Tally {
    /// Reads a line of `cargo test`: `test result: ok. 7 passed; 0 failed; 1 ignored; …`.
    pub(crate) fn see_cargo(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        let Some((_, counts)) = result.split_once(". ") else {
            return;
        };
        for count in counts.split(';') {
            let mut words = count.split_whitespace();
            let number = words.next().and_then(|word| word.parse::<u64>().ok());
            match (number, words.next()) {
                (Some(number), Some("passed")) => self.passed += number,
                (Some(number), Some("failed")) => self.failed += number,
                (Some(number), Some("ignored")) => self.ignored += number,
                _ => {}
            }
        }
    }

    /// Reads the last line of our Python runner: `python tests: 40 passed, 1 failed`.
    pub(crate) fn see_python(&mut self, line: &str) {
        let Some(counts) = line.strip_prefix("python tests: ") else {
            return;
        };
        let mut numbers = counts.split(", ").filter_map(|count| count.split(' ').next()?.parse::<u64>().ok());
        self.passed += numbers.next().unwrap_or_default();
        self.failed += numbers.next().unwrap_or_default();
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, ignored } = self;
        write!(formatter, "tests: {passed} passed, {failed} failed, {ignored} ignored")
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn both_tools_are_summed() {
        let mut tally = Tally::default();
        tally.see_cargo("running 3 tests");
        tally.see_cargo("test result: ok. 7 passed; 0 failed; 1 ignored; 0 measured; 0 filtered");
        tally.see_cargo("test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured");
        tally.see_python("python tests: 40 passed, 1 failed");
        assert_eq!(tally.to_string(), "tests: 49 passed, 4 failed, 1 ignored");
    }
}
