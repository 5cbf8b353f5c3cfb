//! The text as it is written: words, lines, paragraphs, lists and quotations.

use std::borrow::Cow;

use crate::tags::is_space;

/// Longest line that words are put on, in characters (RFC 5322 §2.1.1); longer words stand alone.
const WIDTH: usize = 78;
/// Lists and quotations within each other that are indented; deeper ones are not.
const MAX_FRAMES: usize = 16;

/// What lines stand in.
#[derive(Debug)]
enum Frame {
    /// A list, with the number of its next item if it is numbered.
    List(Option<u32>),
    /// An item, with the width of its marker.
    Item(usize),
    /// A quotation.
    Quote,
}

/// A page that is being written.
#[derive(Debug, Default)]
pub(crate) struct Page {
    text: String,
    /// Characters on the current line.
    column: usize,
    /// Line ends that come before the next word: at most 2, a blank line.
    breaks: usize,
    /// Spaces that come before the next word, unless a line end does.
    spaces: usize,
    frames: Vec<Frame>,
    /// Marker of an item whose first word has not come yet.
    marker: Option<String>,
    /// Whether spaces and line ends count.
    preformatted: usize,
}

impl Page {
    /// Writes running text; outside preformatted text white space only separates words.
    pub(crate) fn text(&mut self, text: &str) {
        if self.preformatted > 0 {
            return self.preformatted_text(text);
        }
        if text.starts_with(is_space) {
            self.space(1);
        }
        let mut first = true;
        for word in text.split(is_space).filter(|word| !word.is_empty()) {
            if !first {
                self.space(1);
            }
            self.word(word);
            first = false;
        }
        if !first && text.ends_with(is_space) {
            self.space(1);
        }
    }

    /// Writes one word; words that follow without a space between stay together.
    pub(crate) fn word(&mut self, word: &str) {
        let word = clean(word);
        if word.is_empty() {
            return;
        }
        let length = if word.is_ascii() { word.len() } else { word.chars().count() };
        let fits = self.column + self.spaces + length <= WIDTH;
        if self.text.is_empty() || self.breaks > 0 || (self.spaces > 0 && !fits) {
            self.start_line();
        } else {
            self.text.extend(std::iter::repeat_n(' ', self.spaces));
            self.column += self.spaces;
        }
        self.spaces = 0;
        self.text.push_str(&word);
        self.column += length;
    }

    /// Asks for at least so many spaces before the next word.
    pub(crate) fn space(&mut self, spaces: usize) {
        self.spaces = self.spaces.max(spaces);
    }

    /// Asks for the next word to begin a line (1) or to follow a blank line (2).
    pub(crate) fn block(&mut self, breaks: usize) {
        self.breaks = self.breaks.max(breaks);
        self.spaces = 0;
    }

    /// Ends the line; twice makes a blank one.
    pub(crate) fn line_end(&mut self) {
        self.breaks = (self.breaks + 1).min(2);
        self.spaces = 0;
    }

    /// Writes a rule between two parts.
    pub(crate) fn rule(&mut self) {
        self.block(2);
        self.word("---");
        self.block(2);
    }

    /// Begins a list; `first` is the number of its first item if it is numbered.
    pub(crate) fn begin_list(&mut self, first: Option<u32>) {
        let nested = self.frames.iter().any(|frame| matches!(frame, Frame::List(_)));
        self.block(if nested { 1 } else { 2 });
        self.push(Frame::List(first));
    }

    /// Ends the innermost list.
    pub(crate) fn end_list(&mut self) {
        self.marker = None;
        self.pop(|frame| matches!(frame, Frame::List(_)));
        let nested = self.frames.iter().any(|frame| matches!(frame, Frame::List(_)));
        self.block(if nested { 1 } else { 2 });
    }

    /// Begins an item of the innermost list; one that is still open ends.
    pub(crate) fn begin_item(&mut self) {
        self.block(1);
        if let Some(Frame::Item(_)) = self.frames.last() {
            self.frames.pop();
        }
        let marker = match self.frames.last_mut() {
            Some(Frame::List(Some(number))) => {
                let marker = format!("{number}. ");
                *number = number.saturating_add(1);
                marker
            }
            Some(Frame::List(None) | Frame::Item(_) | Frame::Quote) | None => "* ".to_owned(),
        };
        if self.push(Frame::Item(marker.len())) {
            self.marker = Some(marker);
        }
    }

    /// Ends the innermost item.
    pub(crate) fn end_item(&mut self) {
        self.marker = None;
        let in_list = self.frames.iter().rposition(|frame| matches!(frame, Frame::List(_)));
        let item = self.frames.iter().rposition(|frame| matches!(frame, Frame::Item(_)));
        if item > in_list {
            self.pop(|frame| matches!(frame, Frame::Item(_)));
        }
        self.block(1);
    }

    /// Begins a quotation.
    pub(crate) fn begin_quote(&mut self) {
        self.block(2);
        self.push(Frame::Quote);
    }

    /// Ends the innermost quotation.
    pub(crate) fn end_quote(&mut self) {
        self.pop(|frame| matches!(frame, Frame::Quote));
        self.block(2);
    }

    /// Begins text whose spaces and line ends count.
    pub(crate) fn begin_preformatted(&mut self) {
        self.block(2);
        self.preformatted += 1;
    }

    /// Ends it.
    pub(crate) fn end_preformatted(&mut self) {
        self.preformatted = self.preformatted.saturating_sub(1);
        self.block(2);
    }

    /// The page, without blank lines at its end.
    pub(crate) fn finish(mut self) -> String {
        self.text.truncate(self.text.trim_end().len());
        self.text
    }

    fn push(&mut self, frame: Frame) -> bool {
        let fits = self.frames.len() < MAX_FRAMES;
        if fits {
            self.frames.push(frame);
        }
        fits
    }

    /// Takes off the innermost frame of a kind with all within it.
    fn pop(&mut self, kind: impl Fn(&Frame) -> bool) {
        if let Some(at) = self.frames.iter().rposition(kind) {
            self.frames.truncate(at);
        }
    }

    /// Ends the line, and begins the next with the marks of what it stands in.
    fn start_line(&mut self) {
        if !self.text.is_empty() {
            self.text.truncate(self.text.trim_end_matches(' ').len());
            self.text.extend(std::iter::repeat_n('\n', self.breaks.max(1)));
        }
        self.breaks = 0;
        let start = self.text.len();
        let marker = self.marker.take();
        let last = self.frames.len().saturating_sub(1);
        for (at, frame) in self.frames.iter().enumerate() {
            match (frame, &marker) {
                (Frame::Item(_), Some(marker)) if at == last => self.text.push_str(marker),
                (Frame::Item(width), _) => self.text.extend(std::iter::repeat_n(' ', *width)),
                (Frame::Quote, _) => self.text.push_str("> "),
                (Frame::List(_), _) => {}
            }
        }
        self.column = self.text.len() - start;
    }

    fn preformatted_text(&mut self, text: &str) {
        let mut lines = text.split('\n');
        self.preformatted_line(lines.next().unwrap_or_default());
        for line in lines {
            self.line_end();
            self.preformatted_line(line);
        }
    }

    fn preformatted_line(&mut self, line: &str) {
        let line: String = line
            .chars()
            .filter(|c| *c != '\r')
            .filter_map(|c| if c == '\t' { Some(c) } else { printable(c) })
            .collect();
        if line.is_empty() {
            return;
        }
        if self.text.is_empty() || self.breaks > 0 {
            self.start_line();
        } else {
            self.text.extend(std::iter::repeat_n(' ', self.spaces));
        }
        self.spaces = 0;
        self.column += line.chars().count();
        self.text.push_str(&line);
    }
}

/// The word as it is written; most words are so already.
fn clean(word: &str) -> Cow<'_, str> {
    if word.bytes().all(|byte| byte.is_ascii_graphic()) {
        Cow::Borrowed(word)
    } else {
        Cow::Owned(word.chars().filter_map(printable).collect())
    }
}

/// The character as it is written; none for controls and for fillers that show nothing.
fn printable(character: char) -> Option<char> {
    match character {
        '\u{a0}' | '\u{2007}' | '\u{202f}' | '\u{2028}' | '\u{2029}' => Some(' '),
        '\u{ad}' | '\u{34f}' | '\u{200b}' | '\u{2060}' | '\u{feff}' => None,
        other if other.is_control() => None,
        other => Some(other),
    }
}
