//! The frame of every page, and the one way in which text gets into HTML.

use bytes::Bytes;

/// A page: what changes from one to the other.
pub(super) struct Page<'a> {
    pub(super) title: &'a str,
    pub(super) version: &'a str,
    /// The entry of the navigation that it belongs to.
    pub(super) here: &'a str,
    /// HTML beside the body; none when empty.
    pub(super) side: &'a str,
    /// HTML.
    pub(super) body: &'a str,
}

impl Page<'_> {
    pub(super) fn render(&self) -> Bytes {
        let link = |(path, text): (&str, &str)| {
            let current = if path == self.here { " aria-current=page" } else { "" };
            format!("<a href={path}{current}>{text}</a>")
        };
        let links = [("/docs", "Reference"), ("/docs/errors", "Errors"), ("/openapi.json", "OpenAPI")];
        let nav: String = links.into_iter().map(link).collect();
        let side = if self.side.is_empty() {
            String::new()
        } else {
            format!("<aside>{}</aside>", self.side)
        };
        let frame = if self.side.is_empty() { "plain" } else { "with-side" };
        format!(
            "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width, initial-scale=1\">\
             <meta name=color-scheme content=\"light dark\"><title>{} · Unified Messaging Service</title>\
             <link rel=stylesheet href=/docs/style.css></head><body><header><a class=brand href=/>Unified Messaging Service</a>\
             <nav>{nav}</nav><span class=version>{}</span></header><div class={frame}>{side}<main>{}</main></div></body></html>",
            escape(self.title),
            escape(self.version),
            self.body
        )
        .into()
    }
}

/// Text as HTML text or as a quoted attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}
