//! What is stored as JSON, made on the caller's thread: a writer has better things to do.

use ums_core::{NewMessage, StoreError};

/// A message to be stored, with the texts of its columns.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) new: NewMessage,
    pub(crate) content: String,
    pub(crate) handling: String,
    pub(crate) metadata: String,
}

impl Encoded {
    pub(crate) fn new(new: NewMessage) -> Result<Self, StoreError> {
        let message = &new.message;
        let (content, handling, metadata) = (to_json(&message.content)?, to_json(&message.handling)?, to_json(&message.metadata)?);
        Ok(Self {
            new,
            content,
            handling,
            metadata,
        })
    }

    /// Bytes that it will take, about.
    pub(crate) fn bytes(&self) -> usize {
        self.content.len() + self.handling.len() + self.metadata.len()
    }
}

/// A value as JSON for a column.
pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Unavailable(Box::new(error)))
}
