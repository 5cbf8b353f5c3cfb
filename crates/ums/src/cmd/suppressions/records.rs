//! A CSV file as it is read: no record of it takes more than so many bytes, whatever quotation marks are left open in it.

use std::io::{self, Read};

/// Longest record in bytes. An address has at most 254, a detail is cut to 500.
pub(super) const MAX_RECORD: usize = 64 << 10;
/// Largest file in bytes.
const MAX_FILE: u64 = 1 << 30;

/// Where in a record a byte stands, as the reader of CSV sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before a cell: only here a quotation mark opens one.
    Start,
    Plain,
    Quoted,
    /// After a mark in a quoted cell, which ends the cell or is the first of two.
    Mark,
}

/// Passes a file on, and fails in a record or a file that is too long.
#[derive(Debug)]
pub(super) struct Records<R> {
    file: R,
    place: Place,
    /// Bytes of the record, and of the file.
    length: usize,
    total: u64,
    /// Lines so far, and the line that the record begins in.
    line: u64,
    begins: u64,
}

impl<R> Records<R> {
    pub(super) fn new(file: R) -> Self {
        Self {
            file,
            place: Place::Start,
            length: 0,
            total: 0,
            line: 1,
            begins: 1,
        }
    }

    fn pass(&mut self, byte: u8) -> Result<(), String> {
        self.line += u64::from(byte == b'\n');
        self.place = match (self.place, byte) {
            (Place::Start | Place::Mark, b'"') | (Place::Quoted, _) if byte != b'"' || self.place != Place::Quoted => Place::Quoted,
            (Place::Quoted, _) => Place::Mark,
            (_, b'\n' | b'\r') => {
                (self.length, self.begins) = (0, self.line);
                self.place = Place::Start;
                return Ok(());
            }
            (_, b',') => Place::Start,
            _ => Place::Plain,
        };
        self.length += 1;
        if self.length <= MAX_RECORD {
            return Ok(());
        }
        let why = if self.place == Place::Quoted {
            ", or its quotation mark is never closed"
        } else {
            ""
        };
        Err(format!("line {}: is longer than {} KiB{why}", self.begins, MAX_RECORD >> 10))
    }
}

impl<R: Read> Read for Records<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(to)?;
        self.total += read as u64;
        if self.total > MAX_FILE {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "the file is larger than 1 GiB; import it in parts",
            ));
        }
        for byte in &to[..read] {
            self.pass(*byte).map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))?;
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<usize, String> {
        let mut all = Vec::new();
        let read = Records::new(text.as_bytes()).read_to_end(&mut all);
        read.map_err(|error| error.to_string())
    }

    #[test]
    fn long_files_of_short_records_pass_and_a_long_record_does_not() {
        let lines = "a\"b,\"c\nd\"\"e\",\"\"\r\n".repeat(MAX_RECORD);
        assert_eq!(check(&lines), Ok(lines.len()));
        let long = "x".repeat(MAX_RECORD + 1);
        assert_eq!(check(&format!("one\ntwo\n{long}")).unwrap_err(), "line 3: is longer than 64 KiB");
        let open = format!("one\n\"two,\n{}", "x\n".repeat(MAX_RECORD));
        let why = check(&open).unwrap_err();
        assert!(why.starts_with("line 2: ") && why.contains("never closed"), "{why}");
        let endless = Records::new(io::repeat(b'"')).read_to_end(&mut Vec::new());
        assert_eq!(endless.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn records_end_where_the_reader_of_csv_ends_them() {
        for text in [
            "a\nb\n",
            "\"a\nb\"\nc\n",
            "a\"b\nc\"d\n",
            "\"a\"\"\nb\"\nc\n",
            "\"a\"b\nc\n",
            " \"a\nb\"\n",
            "a,\"\n\"\nb\n",
        ] {
            let mut reader = csv::ReaderBuilder::new()
                .has_headers(false)
                .flexible(true)
                .from_reader(text.as_bytes());
            let expected = reader.records().count();
            let mut records = Records::new(io::empty());
            let mut ends = 0;
            for byte in text.bytes() {
                records.pass(byte).unwrap();
                ends += usize::from(records.length == 0);
            }
            assert_eq!(ends, expected, "{text:?}");
        }
    }
}
