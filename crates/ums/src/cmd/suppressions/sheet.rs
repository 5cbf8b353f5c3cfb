//! The suppression list as CSV: what is read from a file, and what is written for a spreadsheet.

use std::io::{self, BufRead as _};

use anyhow::{Context as _, Result};
use ums_core::{Channel, EmailAddress, ListName, PhoneNumber, Region, SuppressionOrigin, SuppressionReason, SuppressionScope, Timestamp};
use ums_server::SuppressionEntry;

use super::records::Records;
use crate::aftermath::NewEntry;
use crate::exit::usage;

/// The columns of a file that is written; a file that is read needs `address` only.
const COLUMNS: [&str; 10] = [
    "channel",
    "address",
    "reason",
    "scope",
    "list",
    "origin",
    "provider",
    "since",
    "expires_at",
    "detail",
];
/// What a formula begins with, in one of its spellings, and the apostrophe that guards it.
const FORMULA: [char; 11] = ['=', '+', '-', '@', '＝', '＋', '－', '＠', '\r', '\n', '\''];
/// Faults of a file that are told one by one.
const FAULTS_TOLD: usize = 20;

/// Entries of a file: they stand in memory until all of it was read.
const MAX_ENTRIES: usize = 2_000_000;

/// How lines are read that leave something open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// The region of numbers without a country code.
    pub(super) region: Option<Region>,
    /// The reason of lines without one.
    pub(super) reason: SuppressionReason,
    /// The time after which entries must end.
    pub(super) now: Timestamp,
}

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    /// Entries in the order of the file.
    pub(super) entries: Vec<NewEntry>,
    /// What is wrong with the first of the other lines; never holds an address.
    faults: Vec<String>,
    /// The other lines.
    pub(super) wrong: usize,
}

impl Sheet {
    /// The faults for people, the first ones each.
    pub(super) fn told(&self) -> String {
        let mut lines: Vec<String> = self.faults.iter().map(|fault| format!("  {fault}")).collect();
        if self.wrong > FAULTS_TOLD {
            lines.push(format!("  and {} more", self.wrong - FAULTS_TOLD));
        }
        lines.join("\n")
    }

    fn add_fault(&mut self, fault: impl FnOnce() -> String) {
        self.wrong += 1;
        if self.wrong <= FAULTS_TOLD {
            self.faults.push(fault());
        }
    }
}

/// Reads a file with a line of headings.
///
/// # Errors
/// When it is no CSV file with a column `address`.
pub(super) fn read(file: impl io::Read, rules: Rules) -> Result<Sheet> {
    let mut file = io::BufReader::new(Records::new(file));
    // The reader counts a line when it reads its line feed, which is after a record that ended with the carriage return before it.
    let ends_late = file
        .fill_buf()
        .map_err(|error| unread(error.into()))?
        .windows(2)
        .any(|pair| pair == b"\r\n");
    let line_of = |position: Option<&csv::Position>| position.map_or(0, csv::Position::line) + u64::from(ends_late);
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(file);
    let headings: Vec<String> = reader
        .headers()
        .map_err(unread)?
        .iter()
        .map(|heading| heading.trim_start_matches('\u{feff}').to_ascii_lowercase())
        .collect();
    let column = |name: &str| headings.iter().position(|heading| heading == name);
    let Some(address) = column("address") else {
        return Err(usage(
            "the file has no column named address; its first line must name the columns, such as address,reason,expires_at",
        ));
    };
    let columns = Columns {
        address,
        channel: column("channel"),
        reason: column("reason"),
        list: column("list"),
        since: column("since"),
        expires_at: column("expires_at"),
        detail: column("detail"),
    };
    let mut sheet = Sheet::default();
    for record in reader.records() {
        match record {
            Ok(record) => {
                let line = line_of(record.position());
                match columns.entry(&record, rules) {
                    Ok(entry) => sheet.entries.push(entry),
                    Err(fault) => sheet.add_fault(|| format!("line {line}: {fault}")),
                }
                if sheet.entries.len() > MAX_ENTRIES {
                    return Err(usage(format!("the file has more than {MAX_ENTRIES} entries; import it in parts")));
                }
            }
            Err(error) if error.is_io_error() => return Err(unread(error)),
            Err(error) => {
                let line = line_of(error.position());
                sheet.add_fault(|| format!("line {line}: is not UTF-8 text"));
            }
        }
    }
    Ok(sheet)
}

/// A file that cannot be read on. What is wrong with its form is told in words, and nothing of it is imported.
fn unread(error: csv::Error) -> anyhow::Error {
    let csv::ErrorKind::Io(error) = error.into_kind() else {
        return usage("the line of headings is not UTF-8 text");
    };
    if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::FileTooLarge) {
        return usage(format!("{error}; nothing was imported"));
    }
    anyhow::Error::new(error).context("reading the file")
}

struct Columns {
    address: usize,
    channel: Option<usize>,
    reason: Option<usize>,
    list: Option<usize>,
    since: Option<usize>,
    expires_at: Option<usize>,
    detail: Option<usize>,
}

impl Columns {
    fn entry(&self, record: &csv::StringRecord, rules: Rules) -> Result<NewEntry, String> {
        let cell = |at: Option<usize>| at.and_then(|at| record.get(at)).map(unguarded).filter(|text| !text.is_empty());
        let time = |at, name| match cell(at) {
            None => Ok(None),
            Some(text) => Timestamp::parse_rfc3339(text)
                .map(Some)
                .ok_or_else(|| format!("{name} must be a time such as 2026-11-22T10:00:00Z")),
        };
        let address = cell(Some(self.address)).ok_or("address is empty")?;
        let channel = match cell(self.channel) {
            None => channel_of(address),
            Some(word) => word.parse().map_err(|error| format!("channel {error}"))?,
        };
        let reason = match cell(self.reason) {
            None => rules.reason,
            Some(word) => word.parse().map_err(|error| format!("reason {error}"))?,
        };
        let list = cell(self.list).map(ListName::parse).transpose();
        let list = list.map_err(|error| format!("list {error}"))?;
        if list.is_some() && reason.scope() == SuppressionScope::All {
            return Err("list is for reason unsubscribe only".to_owned());
        }
        let expires_at = time(self.expires_at, "expires_at")?;
        if expires_at.is_some_and(|expires_at| expires_at <= rules.now) {
            return Err("expires_at must be later than now".to_owned());
        }
        Ok(NewEntry {
            channel,
            origin: SuppressionOrigin::Import,
            address: parsed(channel, address, rules.region)?,
            reason,
            list,
            detail: cell(self.detail).map(str::to_owned),
            since: time(self.since, "since")?,
            expires_at,
        })
    }
}

/// The channel of an address that names none.
pub(super) fn channel_of(address: &str) -> Channel {
    if address.contains('@') { Channel::Email } else { Channel::Sms }
}

/// An address in the form in which messages name it.
pub(super) fn parsed(channel: Channel, address: &str, region: Option<Region>) -> Result<String, String> {
    match channel {
        Channel::Email => EmailAddress::parse(address)
            .map(|address| address.expose().to_owned())
            .map_err(|fault| format!("address {fault}")),
        Channel::Sms => PhoneNumber::parse(address, region)
            .map(|number| number.expose().to_owned())
            .map_err(|fault| format!("address {fault}")),
    }
}

/// Writes entries so that no spreadsheet takes a cell for a formula.
#[derive(Debug)]
pub(super) struct SheetWriter<W: io::Write>(csv::Writer<W>);

impl<W: io::Write> SheetWriter<W> {
    /// Begins a file with its headings.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn new(file: W) -> Result<Self> {
        let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(file);
        writer.write_record(COLUMNS).context("writing the file")?;
        Ok(Self(writer))
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// As [`SheetWriter::new`].
    pub(super) fn add(&mut self, entry: &SuppressionEntry) -> Result<()> {
        let time = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
        let cells = [
            entry.channel.to_string(),
            entry.address.clone(),
            entry.reason.to_string(),
            entry.scope.to_string(),
            entry.list.as_ref().map(ToString::to_string).unwrap_or_default(),
            entry.origin.to_string(),
            entry.provider.map(|provider| provider.to_string()).unwrap_or_default(),
            entry.since.to_string(),
            time(entry.expires_at),
            entry.detail.clone().unwrap_or_default(),
        ];
        self.0.write_record(cells.map(|cell| guarded(&cell))).context("writing the file")
    }

    /// Ends the file.
    ///
    /// # Errors
    /// As [`SheetWriter::new`].
    pub(super) fn finish(mut self) -> Result<()> {
        self.0.flush().context("writing the file")
    }
}

/// A cell that begins as formulas do gets an apostrophe before it, which spreadsheets hide; numbers in E.164 are among them.
///
/// A semicolon or tab begins another cell where spreadsheets are set to part by it.
fn guarded(cell: &str) -> String {
    let plain = cell.replace([';', '\t'], ",");
    if plain.starts_with(FORMULA) { format!("'{plain}") } else { plain }
}

/// Takes that apostrophe away again.
fn unguarded(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|rest| rest.starts_with(FORMULA)).unwrap_or(cell)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        region: None,
        reason: SuppressionReason::Manual,
        now: Timestamp::from_micros(1_795_341_600_000_000),
    };

    fn entry(address: &str, detail: &str) -> SuppressionEntry {
        SuppressionEntry {
            channel: channel_of(address),
            address: address.to_owned(),
            reason: SuppressionReason::Unsubscribe,
            scope: SuppressionScope::Bulk,
            list: Some(ListName::parse("weekly").unwrap()),
            origin: SuppressionOrigin::Operator,
            provider: None,
            message_id: None,
            detail: Some(detail.to_owned()),
            since: Timestamp::from_micros(1_795_341_600_000_000),
            expires_at: None,
            lifted_at: None,
            in_force: true,
        }
    }

    #[test]
    fn what_is_written_can_be_read_and_holds_no_formula() {
        let written = [
            entry("+14165550123", "=HYPERLINK(\"https://example.com\")"),
            entry("customer@example.com", "a, \"b\"\nc"),
            entry("quoted'@example.com", "@SUM(A1)"),
        ];
        let mut bytes = Vec::new();
        let mut writer = SheetWriter::new(&mut bytes).unwrap();
        for entry in &written {
            writer.add(entry).unwrap();
        }
        writer.finish().unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        for line in text.lines() {
            for cell in line.split(',') {
                assert!(!cell.trim_start_matches('"').starts_with(['=', '+', '-', '@']), "{line}");
            }
        }
        let sheet = read(&*bytes, RULES).unwrap();
        assert_eq!(sheet.faults, [""; 0]);
        let read: Vec<(String, Option<String>)> = sheet.entries.into_iter().map(|entry| (entry.address, entry.detail)).collect();
        let expected = written.map(|entry| (entry.address, entry.detail));
        assert_eq!(read, expected);
    }

    #[test]
    fn a_guard_covers_other_separators_and_takes_nothing_from_addresses() {
        assert_eq!(guarded("550 5.1.1 x;=cmd()\t+1"), "550 5.1.1 x,=cmd(),+1");
        assert_eq!(guarded("＝1"), "'＝1");
        assert_eq!(unguarded("'+14165550123"), "+14165550123");
        assert_eq!(unguarded("'ann@example.com"), "'ann@example.com", "a valid address of its own");
    }

    #[test]
    fn each_bad_line_is_named_without_its_address() {
        let text = "\u{feff}Address,Reason,expires_at\r\n\
                    customer@example.com,,\r\n\
                    secret-person,,\r\n\
                    other@example.com,because,\r\n\
                    third@example.com,stop,tomorrow\r\n\
                    ,manual,\r\n\
                    fourth@example.com\r\n\
                    fifth@example.com,manual,2026-11-22T10:00:00Z\r\n\
                    sixth@example.com,manual,2099-01-01T00:00:00Z\r\n";
        let sheet = read(text.as_bytes(), RULES).unwrap();
        assert_eq!(sheet.entries.len(), 3);
        assert_eq!(sheet.entries[0].reason, SuppressionReason::Manual);
        assert_eq!(sheet.wrong, 5);
        let told = sheet.told();
        for part in [
            "line 3: address",
            "line 4: reason must be one of",
            "line 5: expires_at",
            "line 6: address is empty",
            "line 8: expires_at must be later than now",
        ] {
            assert!(told.contains(part), "{part} in {told}");
        }
        assert!(!told.contains("secret") && !told.contains("other@"), "{told}");
    }

    #[test]
    fn a_file_without_addresses_is_refused() {
        assert!(read("email,reason\na@example.com,stop\n".as_bytes(), RULES).is_err());
        assert!(read("".as_bytes(), RULES).is_err());
    }
}
