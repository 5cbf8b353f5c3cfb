//! Text from HTML: what each element means for the page.

use std::borrow::Cow;

use crate::entities;
use crate::page::Page;
use crate::tags::{Piece, Pieces, Tag, is_space};

/// Elements without content and end tag.
const VOID: [&str; 13] = [
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr",
];
/// Elements whose content is not for readers. (Scripts and styles never become pieces.)
const UNREAD: [&str; 6] = ["head", "template", "svg", "math", "select", "object"];
/// Longest element name that means something.
const MAX_NAME_BYTES: usize = 10;

/// A link whose end has not come yet.
#[derive(Debug)]
struct Link {
    target: String,
    text: String,
}

/// An element whose content is skipped.
#[derive(Debug)]
struct Skipped {
    name: String,
    /// Elements of that name that are open.
    open: usize,
}

/// Reads HTML and writes the page.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    page: Page,
    link: Option<Link>,
    skipped: Option<Skipped>,
}

/// Makes text from HTML. The time is linear in the length, whatever the nesting.
pub(crate) fn read(html: &str) -> String {
    let mut reader = Reader::default();
    for piece in Pieces::of(html) {
        match piece {
            Piece::Text(text) => reader.text(&entities::decode(text)),
            Piece::Start(tag) => reader.start(&tag),
            Piece::End(name) => reader.end(&lower(name)),
        }
    }
    reader.end_link();
    reader.page.finish()
}

impl Reader {
    fn text(&mut self, text: &str) {
        if self.skipped.is_some() {
            return;
        }
        if let Some(link) = &mut self.link {
            link.text.push_str(text);
        }
        self.page.text(text);
    }

    fn start(&mut self, tag: &Tag<'_>) {
        let name = lower(tag.name);
        if self.still_skipped(&name) || self.begins_skipped(&name, tag) {
            return;
        }
        match &*name {
            "br" => self.page.line_end(),
            "hr" => self.page.rule(),
            "img" => self.text(&entities::decode(tag.alt.unwrap_or_default())),
            "a" => self.begin_link(tag.href.unwrap_or_default()),
            "ul" | "menu" => self.page.begin_list(None),
            "ol" => self
                .page
                .begin_list(Some(tag.start.and_then(|start| start.trim().parse().ok()).unwrap_or(1))),
            "li" => self.page.begin_item(),
            "blockquote" => self.page.begin_quote(),
            "pre" => self.page.begin_preformatted(),
            "td" | "th" => self.page.space(2),
            other => self.boundary(other),
        }
    }

    fn end(&mut self, name: &str) {
        if let Some(skipped) = &mut self.skipped {
            if skipped.name == name {
                skipped.open -= 1;
                if skipped.open == 0 {
                    self.skipped = None;
                }
            }
            return;
        }
        match name {
            "a" => self.end_link(),
            "ul" | "ol" | "menu" => self.page.end_list(),
            "li" => self.page.end_item(),
            "blockquote" => self.page.end_quote(),
            "pre" => self.page.end_preformatted(),
            "td" | "th" => self.page.space(2),
            other => self.boundary(other),
        }
    }

    /// Begins or ends an element that stands on lines of its own, or is a paragraph.
    fn boundary(&mut self, name: &str) {
        match name {
            "p" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "dl" | "form" | "fieldset" => self.page.block(2),
            "address" | "article" | "aside" | "body" | "caption" | "center" | "dd" | "details" | "dir" | "div" | "dt" | "figcaption"
            | "figure" | "footer" | "header" | "html" | "legend" | "main" | "nav" | "section" | "summary" | "table" | "tbody" | "tr" => {
                self.page.block(1);
            }
            _ => {}
        }
    }

    /// Counts elements within one that is skipped. A body ends a head, a paragraph a paragraph.
    fn still_skipped(&mut self, name: &str) -> bool {
        let Some(skipped) = &mut self.skipped else { return false };
        if (skipped.name == "head" && name == "body") || (skipped.name == "p" && name == "p") {
            self.skipped = None;
            return false;
        }
        if skipped.name == name {
            skipped.open += 1;
        }
        true
    }

    /// Begins to skip an element that is not for readers, or hidden as preview texts are.
    fn begins_skipped(&mut self, name: &str, tag: &Tag<'_>) -> bool {
        let hidden = tag.hidden || tag.style.is_some_and(hides);
        if !hidden && !UNREAD.contains(&name) {
            return false;
        }
        if !VOID.contains(&name) {
            self.skipped = Some(Skipped {
                name: name.to_owned(),
                open: 1,
            });
        }
        true
    }

    fn begin_link(&mut self, href: &str) {
        self.end_link();
        if let Some(target) = target(&entities::decode(href)) {
            self.link = Some(Link {
                target,
                text: String::new(),
            });
        }
    }

    /// Writes where a link leads, unless its text says so.
    fn end_link(&mut self) {
        let Some(Link { target, text }) = self.link.take() else { return };
        let said = text.trim();
        let shown = target
            .strip_prefix("mailto:")
            .map_or(&*target, |rest| rest.split('?').next().unwrap_or(rest));
        if said.is_empty() {
            self.page.word(shown);
        } else if !says(said, shown) {
            self.page.space(1);
            self.page.word(&format!("<{shown}>"));
        }
    }
}

/// A name in lower case; a long one means nothing.
fn lower(name: &str) -> Cow<'_, str> {
    if name.len() > MAX_NAME_BYTES {
        Cow::Borrowed("")
    } else if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// Whether a style hides its element.
fn hides(style: &str) -> bool {
    let plain: String = style.chars().filter(|c| !is_space(*c)).map(|c| c.to_ascii_lowercase()).collect();
    ["display:none", "visibility:hidden", "mso-hide:all"].iter().any(|rule| {
        plain
            .match_indices(rule)
            .any(|(at, _)| at == 0 || plain.get(..at).is_some_and(|before| before.ends_with([';', '"', '\''])))
    })
}

/// Where a link leads, if a reader can go there; without spaces and line ends.
fn target(href: &str) -> Option<String> {
    let href = href.trim();
    let scheme = href.split_once(':')?.0.to_ascii_lowercase();
    if !matches!(&*scheme, "http" | "https" | "mailto" | "tel" | "sms") {
        return None;
    }
    let mut target = String::with_capacity(href.len());
    for character in href.chars() {
        match character {
            ' ' => target.push_str("%20"),
            '<' => target.push_str("%3C"),
            '>' => target.push_str("%3E"),
            other if other.is_control() => {}
            other => target.push(other),
        }
    }
    Some(target)
}

/// Whether a link's text is its target: the same address, or the same digits of a phone number.
fn says(text: &str, target: &str) -> bool {
    if let Some(number) = target.strip_prefix("tel:").or_else(|| target.strip_prefix("sms:")) {
        let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
        return digits(number).ends_with(&digits(text)) && text.chars().any(|c| c.is_ascii_digit());
    }
    let bare = |text: &str| {
        let text = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"))
            .unwrap_or(text);
        text.trim_end_matches('/').to_owned()
    };
    bare(text).eq_ignore_ascii_case(&bare(target))
}
