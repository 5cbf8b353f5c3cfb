//! Cuts HTML into texts and tags, in one pass and without building a tree.
//!
//! Follows the tokenizer of the HTML standard as far as text needs it: comments, quoted
//! attributes, elements whose content is not markup. Malformed input gives other pieces, never an
//! error, and the time is linear in the length.

/// A piece of HTML.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Text, its references not yet replaced.
    Text(&'a str),
    /// A start tag.
    Start(Tag<'a>),
    /// The name of an end tag, as it is written.
    End(&'a str),
}

/// A start tag with the attributes that text depends on, as they are written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tag<'a> {
    /// Its name, as it is written.
    pub(crate) name: &'a str,
    /// Where a link leads.
    pub(crate) href: Option<&'a str>,
    /// What stands in for an image.
    pub(crate) alt: Option<&'a str>,
    /// Its style.
    pub(crate) style: Option<&'a str>,
    /// First number of a list.
    pub(crate) start: Option<&'a str>,
    /// Whether it has the attribute `hidden`.
    pub(crate) hidden: bool,
}

/// Elements whose content is not markup and not text for readers.
const RAW: [&str; 8] = ["script", "style", "title", "textarea", "iframe", "noembed", "noframes", "xmp"];

/// The pieces of a document.
#[derive(Debug)]
pub(crate) struct Pieces<'a> {
    rest: &'a str,
}

impl<'a> Pieces<'a> {
    pub(crate) fn of(html: &'a str) -> Self {
        Self { rest: html }
    }

    /// Takes `bytes` off the front; they end at a character's boundary.
    fn take(&mut self, bytes: usize) -> &'a str {
        let (head, tail) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = tail;
        head
    }

    /// Skips everything up to and with `end`, or all if it does not come.
    fn skip_past(&mut self, end: &str) {
        let length = self.rest.find(end).map_or(self.rest.len(), |at| at + end.len());
        self.take(length);
    }

    /// Reads the attributes and the `>` of a tag; false when the document ends before.
    fn attributes(&mut self, tag: &mut Tag<'a>) -> bool {
        loop {
            self.rest = self.rest.trim_start_matches(|c: char| is_space(c) || c == '/');
            match self.rest.as_bytes().first() {
                None => return false,
                Some(b'>') => {
                    self.take(1);
                    return true;
                }
                Some(_) => {}
            }
            // A name may begin with `=`; anything else ends it.
            let ends = |(at, c): &(usize, char)| is_space(*c) || matches!(c, '/' | '>') || (*c == '=' && *at > 0);
            let length = self.rest.char_indices().find(ends).map_or(self.rest.len(), |(at, _)| at);
            let name = self.take(length);
            let value = self.value();
            tag.keep(name, value);
        }
    }

    /// Reads `= value` if it follows.
    fn value(&mut self) -> &'a str {
        let Some(after) = self.rest.trim_start_matches(is_space).strip_prefix('=') else {
            return "";
        };
        self.rest = after.trim_start_matches(is_space);
        if let Some(quote @ (b'"' | b'\'')) = self.rest.as_bytes().first() {
            self.take(1);
            let length = self.rest.find(char::from(*quote)).unwrap_or(self.rest.len());
            let value = self.take(length);
            self.take(1);
            value
        } else {
            let length = self.rest.find(|c: char| is_space(c) || c == '>').unwrap_or(self.rest.len());
            self.take(length)
        }
    }

    /// Skips the content of an element that is not markup, up to its end tag.
    fn skip_raw(&mut self, name: &str) {
        let mut from = 0;
        while let Some(at) = self.rest.get(from..).and_then(|rest| rest.find("</")).map(|at| at + from) {
            let after = self.rest.get(at + 2..).unwrap_or_default();
            let is_end = after.get(..name.len()).is_some_and(|word| word.eq_ignore_ascii_case(name))
                && after
                    .get(name.len()..)
                    .is_none_or(|tail| tail.starts_with(|c: char| is_space(c) || matches!(c, '/' | '>')));
            if is_end {
                self.take(at);
                return;
            }
            from = at + 2;
        }
        self.rest = "";
    }

    /// Reads what begins with `<`; none for what is neither text nor a tag.
    fn markup(&mut self) -> Option<Piece<'a>> {
        let after = self.rest.get(1..).unwrap_or_default();
        if let Some(comment) = after.strip_prefix("!--") {
            // `<!-->` and `<!--->` are comments already.
            let at_once = ["->", ">"].iter().find(|end| comment.starts_with(**end)).map(|end| end.len());
            match at_once {
                Some(length) => drop(self.take(4 + length)),
                None => self.skip_past("-->"),
            }
            return None;
        }
        let letter = |text: &str| text.starts_with(|c: char| c.is_ascii_alphabetic());
        if letter(after) {
            self.take(1);
            let mut tag = Tag {
                name: self.name(),
                ..Tag::default()
            };
            if !self.attributes(&mut tag) {
                return None;
            }
            if let Some(raw) = RAW.iter().find(|raw| raw.eq_ignore_ascii_case(tag.name)) {
                self.skip_raw(raw);
            }
            return Some(Piece::Start(tag));
        }
        if after.strip_prefix('/').is_some_and(letter) {
            self.take(2);
            let name = self.name();
            return self.attributes(&mut Tag::default()).then_some(Piece::End(name));
        }
        if after.starts_with(['!', '?', '/']) {
            self.skip_past(">");
            return None;
        }
        Some(Piece::Text(self.take(1)))
    }

    fn name(&mut self) -> &'a str {
        let length = self
            .rest
            .find(|c: char| is_space(c) || matches!(c, '/' | '>'))
            .unwrap_or(self.rest.len());
        self.take(length)
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        while !self.rest.is_empty() {
            let text = self.rest.find('<').unwrap_or(self.rest.len());
            if text > 0 {
                return Some(Piece::Text(self.take(text)));
            }
            if let Some(piece) = self.markup() {
                return Some(piece);
            }
        }
        None
    }
}

impl<'a> Tag<'a> {
    /// Keeps an attribute that text depends on; the first of a name counts.
    fn keep(&mut self, name: &str, value: &'a str) {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("hidden") {
            self.hidden = true;
        }
        let kept = [
            ("href", &mut self.href),
            ("alt", &mut self.alt),
            ("style", &mut self.style),
            ("start", &mut self.start),
        ];
        if let Some((_, place)) = kept.into_iter().find(|(known, _)| is(known)) {
            place.get_or_insert(value);
        }
    }
}

/// White space of HTML.
pub(crate) fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r' | '\x0c')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(html: &str, expected: &str) {
        let pieces: Vec<String> = Pieces::of(html)
            .map(|piece| match piece {
                Piece::Text(text) => format!("'{text}'"),
                Piece::Start(tag) => format!("<{} {:?} {:?}>", tag.name, tag.href, tag.hidden).replace(" None false", ""),
                Piece::End(name) => format!("</{name}>"),
            })
            .collect();
        assert_eq!(pieces.join(" "), expected, "{html:?}");
    }

    #[test]
    fn tags_are_cut_as_browsers_do() {
        check("a<b>c</b>", "'a' <b> 'c' </b>");
        check("<a href='x'>", "<a Some(\"x\") false>");
        check("<A HREF = \"a>b\" href=no>c", "<A Some(\"a>b\") false> 'c'");
        check("<a href=x/y>", "<a Some(\"x/y\") false>");
        check("<p hidden>", "<p None true>");
        check("<br/><br />", "<br> <br>");
        check("1 < 2 <3", "'1 ' '<' ' 2 ' '<' '3'");
        check("a<!-- <b> -->c", "'a' 'c'");
        check("a<!-->b<!--->c<!--[if mso]><b>x</b><![endif]-->d", "'a' 'b' 'c' 'd'");
        check("<!DOCTYPE html><?xml ?></>a", "'a'");
        check("<style>a > b </styles> </STYLE >x", "<style> </STYLE> 'x'");
        check("<script>if (a</b) '<p>'", "<script>");
        check("a<b", "'a'");
        check("a<b href='", "'a'");
        check("a</b", "'a'");
        check("a<!--", "'a'");
        check("<ü>", "'<' 'ü>'");
        check("<b =x ==y>z", "<b> 'z'");
    }
}
