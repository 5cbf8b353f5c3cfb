//! How fast each provider's account may be used.

use std::num::NonZeroU32;

use crate::reader::Reader;
use crate::values::ByProvider;

/// What a provider counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaceUnit {
    /// Calls.
    Messages,
    /// Everybody that a message goes to.
    Recipients,
}

/// The pace of one provider's account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaceSettings {
    /// Most in a second; none for no limit of ours.
    pub per_second: Option<NonZeroU32>,
    /// Most in any 24 hours; none for no limit of ours.
    pub per_day: Option<NonZeroU32>,
    /// What is counted.
    pub unit: PaceUnit,
}

pub(crate) fn read(reader: &mut Reader<'_>) -> ByProvider<PaceSettings> {
    ByProvider::each(|provider| PaceSettings {
        per_second: NonZeroU32::new(reader.number(&format!("pace.{provider}.per_second"), 0..=1_000_000)),
        per_day: NonZeroU32::new(reader.number(&format!("pace.{provider}.per_day"), 0..=u32::MAX)),
        unit: unit(reader, &format!("pace.{provider}.count")),
    })
}

fn unit(reader: &mut Reader<'_>, path: &str) -> PaceUnit {
    let read = reader.file_word(path, "must be messages or recipients", |word| match word {
        "messages" => Some(PaceUnit::Messages),
        "recipients" => Some(PaceUnit::Recipients),
        _ => None,
    });
    read.unwrap_or(PaceUnit::Messages)
}
