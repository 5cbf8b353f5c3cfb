//! The little Markdown that our own pages use: headings, paragraphs, lists, code and links.

use super::page::escape;

/// Renders a page's text.
pub(super) fn render(text: &str) -> String {
    text.split("\n\n")
        .map(str::trim)
        .filter(|block| !block.is_empty())
        .map(block)
        .collect()
}

fn block(text: &str) -> String {
    if let Some(heading) = text.strip_prefix("## ") {
        return format!("<h2>{}</h2>", inline(heading));
    }
    if let Some(heading) = text.strip_prefix("# ") {
        return format!("<h1>{}</h1>", inline(heading));
    }
    if text.starts_with("- ") {
        let item = |item: &str| format!("<li>{}</li>", inline(item.trim_start_matches("- ")));
        let items: String = text.split("\n- ").map(item).collect();
        return format!("<ul>{items}</ul>");
    }
    format!("<p>{}</p>", inline(text))
}

/// Renders code in back quotes and links within the site; the rest is text.
pub(super) fn inline(text: &str) -> String {
    let mut html = String::new();
    for (index, part) in text.split('`').enumerate() {
        if index % 2 == 1 {
            html.extend([format!("<code>{}</code>", escape(part))]);
        } else {
            html.push_str(&links(part));
        }
    }
    html
}

fn links(mut text: &str) -> String {
    let mut html = String::new();
    while let Some((before, rest)) = text.split_once('[')
        && let Some((label, rest)) = rest.split_once("](/")
        && let Some((path, after)) = rest.split_once(')')
    {
        html.extend([format!("{}<a href=\"/{}\">{}</a>", escape(before), escape(path), escape(label))]);
        text = after;
    }
    html.push_str(&escape(text));
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_little_markdown_is_rendered() {
        let html = render("# A <b>\n\nUse `x < y` and\n[the docs](/docs).\n\n- one\n- two `2`\n\n## End\n");
        let wanted = "<h1>A &lt;b&gt;</h1><p>Use <code>x &lt; y</code> and\n<a href=\"/docs\">the docs</a>.</p>\
                      <ul><li>one</li><li>two <code>2</code></li></ul><h2>End</h2>";
        assert_eq!(html, wanted);
    }

    #[test]
    fn brackets_without_a_link_stay_text() {
        assert_eq!(inline("cc[1] or [::1]"), "cc[1] or [::1]");
    }
}
