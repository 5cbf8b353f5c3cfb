//! The two journals that the judge reads: what the service promised, and what reached a provider.
//!
//! Both are append-only files of JSON lines. The promises are written by the load generator before
//! its next request, the arrivals by the simulator before it answers.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A message that was answered 2xx with an id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Ack {
    pub(super) at: Timestamp,
    /// Stands in its metadata and in its subject or text, and in no other message of the drill.
    pub(super) mark: String,
    pub(super) id: String,
    pub(super) key: String,
    pub(super) may_duplicate: bool,
    pub(super) status: u16,
}

/// The promises, being written.
#[derive(Debug)]
pub(super) struct AckJournal {
    file: Mutex<File>,
}

impl AckJournal {
    pub(super) fn create(path: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(path);
        Ok(Self {
            file: Mutex::new(file.with_context(|| format!("making {}", path.display()))?),
        })
    }

    /// Appends them in one write: they are there before the next request goes out.
    pub(super) fn write(&self, acks: &[Ack]) -> Result<()> {
        let mut lines = Vec::new();
        for ack in acks {
            serde_json::to_writer(&mut lines, ack)?;
            lines.push(b'\n');
        }
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&lines).context("writing the journal of promises")
    }
}

/// A message at a provider's door.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Arrival {
    pub(super) at: Timestamp,
    /// The simulator's word for the provider.
    pub(super) provider: String,
    pub(super) verdict: String,
    pub(super) fault: Option<String>,
    message: Option<Told>,
}

/// What a message says of itself: a text message has no subject.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Told {
    subject: Option<String>,
    body: Option<String>,
}

impl Arrival {
    /// Whether the provider has it now, whatever it answered.
    pub(super) fn is_recorded(&self) -> bool {
        self.verdict == "recorded"
    }

    /// The mark in the subject or the text.
    pub(super) fn mark(&self) -> Option<&str> {
        let message = self.message.as_ref()?;
        let text = message.subject.as_ref().or(message.body.as_ref())?;
        text.split_whitespace().find(|word| word.starts_with(MARK))
    }
}

/// Begins every mark.
pub(super) const MARK: &str = "drill-";

/// The files of a drill.
#[derive(Debug, Clone)]
pub(super) struct Journals {
    pub(super) acks: PathBuf,
    pub(super) arrivals: PathBuf,
}

impl Journals {
    pub(super) fn within(folder: &Path) -> Self {
        Self {
            acks: folder.join("acks.jsonl"),
            arrivals: folder.join("arrivals.jsonl"),
        }
    }

    pub(super) fn read_acks(&self) -> Result<Vec<Ack>> {
        read(&self.acks)
    }

    pub(super) fn read_arrivals(&self) -> Result<Vec<Arrival>> {
        read(&self.arrivals)
    }
}

/// Every whole line; a last one without its end is still being written.
fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    text.split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .map(|line| serde_json::from_str(line).with_context(|| format!("a line of {}", path.display())))
        .collect()
}

/// A journal that is read while it is written: what came since the last look.
#[derive(Debug)]
pub(super) struct Tail<T> {
    file: BufReader<File>,
    /// A line whose end is not yet written.
    begun: String,
    kind: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Tail<T> {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("reading {}", path.display()))?;
        Ok(Self {
            file: BufReader::new(file),
            begun: String::new(),
            kind: PhantomData,
        })
    }

    /// Every line that was ended since the last look.
    pub(super) fn news(&mut self) -> Result<Vec<T>> {
        let mut news = Vec::new();
        while self.file.read_line(&mut self.begun)? > 0 {
            if self.begun.ends_with('\n') {
                news.push(serde_json::from_str(&self.begun).context("a line of a journal")?);
                self.begun.clear();
            }
        }
        Ok(news)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::Tail;

    #[test]
    fn a_tail_gives_each_line_once_and_none_before_its_end() {
        let path = std::env::temp_dir().join(format!("xtask-tail-{}", std::process::id()));
        let mut file = std::fs::File::create(&path).unwrap();
        let mut tail: Tail<u32> = Tail::open(&path).unwrap();
        file.write_all(b"1\n2\n3").unwrap();
        assert_eq!(tail.news().unwrap(), [1, 2]);
        file.write_all(b"4\n").unwrap();
        assert_eq!(tail.news().unwrap(), [34]);
        assert!(tail.news().unwrap().is_empty());
        std::fs::remove_file(&path).unwrap();
    }
}
