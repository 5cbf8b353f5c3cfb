//! The queue between whoever logs and standard error.
//!
//! `tracing-appender` has such a queue, too, but at the end of the process it prints to standard output when the
//! queue is full, and waits there for ever if both outputs are one pipe.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// Most bytes that wait to be written; as many may be in the hands of the writer.
const MOST_BYTES: usize = 1_024 * 1_024;

/// Lines that wait for their writer.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    written: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    is_started: bool,
    is_writing: bool,
    writes: u64,
    dropped: u64,
}

/// How the reader of the log does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reader {
    /// Lines that were dropped since the start, because nobody took those before them, or the output is closed or full.
    pub(crate) dropped: u64,
    /// Writes that were done since the start.
    pub(crate) writes: u64,
    /// Whether a write is under way.
    pub(crate) is_writing: bool,
}

impl Queue {
    /// Starts the writer, once.
    pub(super) fn start_writing(&'static self) {
        if std::mem::replace(&mut self.lock().is_started, true) {
            return;
        }
        // A descriptor of its own: the lock of `std::io::stderr` would be held while a write is stuck.
        let Ok(stderr) = io::stderr().as_fd().try_clone_to_owned() else {
            return;
        };
        let writer = std::thread::Builder::new().name("log".to_owned());
        // Without the thread, lines are dropped and counted.
        drop(writer.spawn(move || self.write_to(&mut File::from(stderr))));
    }

    fn write_to(&self, out: &mut (impl Write + AsFd)) {
        loop {
            let lines = self.next();
            let lost = write_lines(out, &lines);
            let mut state = self.lock();
            state.is_writing = false;
            state.writes += 1;
            state.dropped += lost;
            self.written.notify_all();
        }
    }

    /// What waits; blocks until something does.
    fn next(&self) -> Vec<u8> {
        let state = self.lock();
        let mut state = self
            .filled
            .wait_while(state, |state| state.waiting.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        state.is_writing = true;
        std::mem::take(&mut state.waiting)
    }

    /// Whether lines are taken: a program that does not log writes to standard error itself.
    pub(super) fn is_started(&self) -> bool {
        self.lock().is_started
    }

    fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.waiting.len() + line.len() > MOST_BYTES {
            state.dropped += 1;
        } else {
            state.waiting.extend_from_slice(line);
            self.filled.notify_one();
        }
    }

    pub(super) fn reader(&self) -> Reader {
        let state = self.lock();
        Reader {
            dropped: state.dropped,
            writes: state.writes,
            is_writing: state.is_writing,
        }
    }

    /// Waits until nothing waits any more, at most so long; tells whether that was in time.
    pub(super) fn flush(&self, most: Duration) -> bool {
        let state = self.lock();
        let is_open = |state: &mut State| state.is_started && (state.is_writing || !state.waiting.is_empty());
        let waited = self.written.wait_timeout_while(state, most, is_open);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes all of it; gives how many lines were lost because the output is closed or full.
fn write_lines(out: &mut (impl Write + AsFd), mut lines: &[u8]) -> u64 {
    while !lines.is_empty() {
        match out.write(lines) {
            Ok(0) => break,
            Ok(written) => lines = lines.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Whoever started us may have made the output so that a write does not wait; this thread does.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut room = [PollFd::new(&*out, PollFlags::OUT)];
                if poll(&mut room, None).is_err_and(|error| error != Errno::INTR) {
                    break;
                }
            }
            Err(_) => break,
        }
    }
    lines.split(|byte| *byte == b'\n').skip(1).count() as u64
}

impl Write for &Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn lines_without_room_are_dropped_and_counted_and_nobody_waits() {
        let queue: &'static Queue = Box::leak(Box::default());
        let (mut reader, mut writer) = io::pipe().unwrap();
        std::thread::spawn(move || queue.write_to(&mut writer));
        queue.lock().is_started = true;
        let line = [b'x'; 1_024];
        for _ in 0..10 * MOST_BYTES / line.len() {
            (&mut &*queue).write_all(&line).unwrap();
        }
        let stuck = queue.reader();
        assert!(stuck.dropped > 0, "{stuck:?}");
        assert!(!queue.flush(Duration::from_millis(1)));
        std::thread::spawn(move || io::copy(&mut reader.by_ref(), &mut io::sink()));
        assert!(queue.flush(Duration::from_mins(1)));
        assert!(queue.reader().writes > stuck.writes);
    }

    #[test]
    fn a_closed_output_stops_nobody() {
        let queue: &'static Queue = Box::leak(Box::default());
        let (reader, mut writer) = io::pipe().unwrap();
        drop(reader);
        queue.lock().is_started = true;
        std::thread::spawn(move || queue.write_to(&mut writer));
        (&mut &*queue).write_all(b"line\nline\n").unwrap();
        assert!(queue.flush(Duration::from_mins(1)));
        assert_eq!(queue.reader().dropped, 2, "lines that nobody gets are counted");
    }

    #[test]
    fn an_output_that_does_not_wait_loses_nothing() {
        let (mut reader, mut writer) = io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        let lines = b"line\n".repeat(100_000);
        let all = lines.len();
        let writing = std::thread::spawn(move || write_lines(&mut writer, &lines));
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert_eq!((writing.join().unwrap(), read.len()), (0, all));
    }
}
