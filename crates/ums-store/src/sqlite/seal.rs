//! Only here: the seal of a backup: SHA-256 of the file, behind its last page. SQLite's own check reads structure and would take another address for
//! the one that was written. SQLite reads as many pages as the header counts, and not what is behind them
//! (<https://www.sqlite.org/fileformat2.html>, 1.3.8, read 2026-11-29).

use std::fs::File;
use std::io::{self, BufReader, Read as _, Write};
use std::path::Path;

use ring::digest::{Context, SHA256, SHA256_OUTPUT_LEN};

/// Begins the seal.
const MAGIC: &[u8; 16] = b"ums backup seal\n";
/// Length of the seal.
const SEAL: u64 = (MAGIC.len() + SHA256_OUTPUT_LEN) as u64;
/// Bytes that are read at once.
const BLOCK: usize = 256 << 10;

/// What a file says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Every byte is as it was sealed.
    Whole,
    /// A byte is another one.
    Altered,
    /// It has no seal: no backup, or one that was cut off.
    Unsealed,
}

/// Seals a file.
pub(crate) fn seal(file: &Path) -> io::Result<()> {
    let length = std::fs::metadata(file)?.len();
    let digest = copy(&File::open(file)?, length, &mut io::sink())?;
    let mut file = File::options().append(true).open(file)?;
    file.write_all(&[MAGIC.as_slice(), digest.as_ref()].concat())
}

/// Copies what was sealed, and says whether it is whole; only then the copy is of use.
pub(crate) fn unseal(file: &Path, to: &mut impl Write) -> io::Result<Verdict> {
    let file = File::open(file)?;
    let Some(length) = file.metadata()?.len().checked_sub(SEAL) else {
        return Ok(Verdict::Unsealed);
    };
    let digest = copy(&file, length, to)?;
    let mut seal = Vec::new();
    (&file).take(SEAL).read_to_end(&mut seal)?;
    Ok(match seal.strip_prefix(MAGIC) {
        None => Verdict::Unsealed,
        Some(sealed) if sealed == digest.as_ref() => Verdict::Whole,
        Some(_) => Verdict::Altered,
    })
}

/// Copies the first bytes of a file, and gives their digest.
fn copy(file: &File, length: u64, to: &mut impl Write) -> io::Result<ring::digest::Digest> {
    let mut reader = BufReader::with_capacity(BLOCK, file.take(length));
    let mut context = Context::new(&SHA256);
    loop {
        let block = io::BufRead::fill_buf(&mut reader)?;
        if block.is_empty() {
            return Ok(context.finish());
        }
        context.update(block);
        to.write_all(block)?;
        let read = block.len();
        io::BufRead::consume(&mut reader, read);
    }
}
