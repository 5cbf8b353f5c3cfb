//! How fast each provider's account may be used.

use std::num::NonZeroU32;

use crate::reader::Reader;
use crate::values::ByProvider;

/// The pace of one provider's account, in recipients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaceSettings {
    /// Most in a second; none for no limit of ours.
    pub per_second: Option<NonZeroU32>,
    /// Most in any 24 hours; none for no limit of ours.
    pub per_day: Option<NonZeroU32>,
}

pub(crate) fn read(reader: &mut Reader<'_>) -> ByProvider<PaceSettings> {
    ByProvider::each(|provider| PaceSettings {
        per_second: NonZeroU32::new(reader.number(&format!("pace.{provider}.per_second"), 0..=1_000_000)),
        per_day: NonZeroU32::new(reader.number(&format!("pace.{provider}.per_day"), 0..=u32::MAX)),
    })
}
