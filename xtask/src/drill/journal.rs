//! The two journals that the judge reads: what the service promised, and what reached a provider.
//!
//! Both are append-only files of JSON lines. The promises are written by the load generator before
//! its next request, the arrivals by the simulator before it answers.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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
    message: Option<Value>,
}

impl Arrival {
    /// Whether the provider has it now, whatever it answered.
    pub(super) fn is_recorded(&self) -> bool {
        self.verdict == "recorded"
    }

    /// The mark in the subject or the text.
    pub(super) fn mark(&self) -> Option<&str> {
        let text = ["subject", "body"].into_iter().find_map(|field| self.text(&format!("/{field}")));
        text?.split_whitespace().find(|word| word.starts_with(MARK))
    }

    fn text(&self, path: &str) -> Option<&str> {
        self.message.as_ref()?.pointer(path)?.as_str()
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
