//! What readers of the text part see.

use proptest::prelude::*;

use crate::{Error, MAX_HTML_BYTES, text_from_html};

fn check(html: &str, expected: &str) {
    assert_eq!(text_from_html(html).unwrap(), expected, "{html:?}");
}

#[test]
fn a_mail_reads_as_a_letter() {
    check(
        include_str!("../tests/order.html"),
        "Thank you, Zoë!

Your order #1234 has been shipped
<https://shop.example.com/orders/1234?a=1&b=2> today — it arrives in 2–3 days.

* 1 × Coffee beans, 500 g
* 2 × Filter papers

Subtotal  $20.00
Shipping  $5.00

Questions? Write to help@example.com or see https://shop.example.com/help.

Example Shop",
    );
}

#[test]
fn paragraphs_lines_and_rules() {
    check("<p>a</p><p>b</p>", "a\n\nb");
    check("<p>a<p>b", "a\n\nb");
    check("<div>a</div><div>b</div>", "a\nb");
    check("a<br>b<br/><br>c<br><br><br><br>d", "a\nb\n\nc\n\nd");
    check("<h1>Title</h1>text", "Title\n\ntext");
    check("a<hr>b", "a\n\n---\n\nb");
    check("<div><div><div>a</div></div></div>b", "a\nb");
    check("  a \n\t b  ", "a b");
    check("a<b>b</b>c <i> d</i> e", "abc d e");
    check("no markup at all", "no markup at all");
    check("", "");
    check("<html><head><title>t</title></head><body></body></html>", "");
}

#[test]
fn lists_and_quotations() {
    check("<ul><li>a<li>b</ul>c", "* a\n* b\n\nc");
    check("<ol start=9><li>a</li><li>b</li></ol>", "9. a\n10. b");
    check("<ul><li>a<ul><li>b</li></ul></li><li>c</li></ul>", "* a\n  * b\n* c");
    check("<ul><li><p>a</p><p>b</p></li></ul>", "* a\n\n  b");
    check("<blockquote>a<br>b</blockquote>c", "> a\n> b\n\nc");
    check("</ul></li></blockquote>a", "a");
    check("<li>a</li>", "* a");
    let long = format!("<ul><li>{}</li></ul>", "word ".repeat(30));
    assert!(
        text_from_html(&long)
            .unwrap()
            .lines()
            .skip(1)
            .all(|line| line.starts_with("  word") && line.len() <= 78)
    );
}

#[test]
fn tables_and_preformatted_text() {
    check("<table><tr><th>a<th>b<tr><td>c</td><td></td><td>d</td></tr></table>", "a  b\nc  d");
    check("<table><tr><td><p>a</p></td><td><p>b</p></td></tr></table>", "a\n\nb");
    check("a<pre>  x\ty\n\n  z\n</pre>b", "a\n\n  x\ty\n\n  z\n\nb");
}

#[test]
fn links_tell_where_they_lead() {
    check("<a href='https://e.com/x?a=1&amp;b=2'>here</a>.", "here <https://e.com/x?a=1&b=2>.");
    check("<a href='https://e.com/'>e.com</a>", "e.com");
    check("<a href='mailto:a@e.com?subject=x'>a@e.com</a>", "a@e.com");
    check("<a href='mailto:a@e.com'>write</a>", "write <a@e.com>");
    check("<a href='tel:+1-416-555-0123'>(416) 555-0123</a>", "(416) 555-0123");
    check("<a href='https://e.com/buy'><img src=x></a>", "https://e.com/buy");
    check(
        "<a href='https://e.com/buy'><img src=x alt='Buy &amp; go'></a>",
        "Buy & go <https://e.com/buy>",
    );
    check("<a href='#top'>top</a> <a href='javascript:x'>x</a> <a>y</a>", "top x y");
    check("<a href='https://e.com/a b\n<c>'>x</a>", "x <https://e.com/a%20b%3Cc%3E>");
    check("<a href='https://a.e'>x<a href='https://b.e'>y", "x <https://a.e>y <https://b.e>");
}

#[test]
fn what_is_not_for_readers_is_left_out() {
    check("<style>p{}</style><script>x</script><!-- c -->a", "a");
    check("<head><title>t</title>x<body>a", "a");
    check("<div style='DISPLAY : none; x'>pre<div>view</div></div>a", "a");
    check("<div style=\"color:red;display:none\">x</div>a<span hidden>b</span>c", "ac");
    check("<p hidden>x<p>a", "a");
    check("<img alt=x style='display:none'>a", "a");
    check("<div style='not-display:none'>a</div>", "a");
    check("<!--[if mso]><table><tr><td>x</td></tr></table><![endif]-->a", "a");
    check("a&zwnj;&#8203;&shy;&nbsp;b", "a\u{200c} b");
}

#[test]
fn long_words_stand_alone() {
    let url = format!("https://example.com/{}", "x".repeat(100));
    check(&format!("go to {url} now"), &format!("go to\n{url}\nnow"));
}

#[test]
fn depth_and_length_do_not_matter() {
    let tags = ["div", "ul", "li", "blockquote", "table", "b", "pre", "a href=tel:1", "span hidden"];
    for tag in tags {
        let deep = format!("{}x", format!("<{tag}>").repeat(100_000));
        assert!(text_from_html(&deep).unwrap().trim_end().len() < 4_000_000, "{tag}");
    }
    for part in ["<", "<!--", "</", "<a href='", "&", "&#", "<script></", "<p a=", "x "] {
        let long = part.repeat(MAX_HTML_BYTES / part.len());
        assert!(text_from_html(&long).is_ok(), "{part}");
    }
    assert_eq!(text_from_html(&" ".repeat(MAX_HTML_BYTES + 1)), Err(Error::TooLarge));
}

proptest! {
    #[test]
    fn any_input_gives_clean_text(html in "(\\PC|[\x00-\x1f]|</?(p|a|ul|ol|li|pre|td|tr|div|blockquote|head|br|script)( href=(http://x|'\\PC')| hidden| style='display:none')?>|&(#[0-9]{1,6}|[a-z]{1,5});|<!--|-->){0,60}") {
        let text = text_from_html(&html).unwrap();
        prop_assert!(text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\t')), "{:?}", text);
        prop_assert!(!text.ends_with('\n'));
    }

    #[test]
    fn plain_words_stay(words in prop::collection::vec("[a-z]{1,12}", 1..60)) {
        let text = text_from_html(&format!("<p>{}</p>", words.join(" "))).unwrap();
        prop_assert_eq!(text.split_whitespace().collect::<Vec<_>>(), words);
        prop_assert!(text.lines().all(|line| line.len() <= 78));
    }
}
