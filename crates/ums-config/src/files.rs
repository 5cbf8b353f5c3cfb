//! Reading of small text files, with reasons that name no content.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// Largest file that is read, in bytes; configuration files are a thousand times smaller.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// What reading a file gave.
pub(crate) enum Text {
    /// There is no such file.
    Missing,
    /// Its text.
    Read(String),
    /// It is there and cannot be read; why.
    Unreadable(&'static str),
}

/// Reads a text file of at most [`MAX_FILE_BYTES`].
pub(crate) fn read(path: &Path) -> Text {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Text::Missing,
        Err(error) => return Text::Unreadable(reason(error.kind())),
    };
    let mut text = String::new();
    match file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text) {
        Ok(length) if u64::try_from(length).is_ok_and(|length| length <= MAX_FILE_BYTES) => Text::Read(text),
        Ok(_) => Text::Unreadable("is larger than 1 MiB"),
        Err(error) => Text::Unreadable(reason(error.kind())),
    }
}

fn reason(kind: ErrorKind) -> &'static str {
    if kind == ErrorKind::PermissionDenied {
        "cannot be read: permission denied"
    } else if kind == ErrorKind::InvalidData {
        "cannot be read: it is not UTF-8 text"
    } else if kind == ErrorKind::IsADirectory {
        "cannot be read: it is a folder"
    } else {
        "cannot be read"
    }
}
