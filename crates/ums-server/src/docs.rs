//! The pages for people: made once at the start, plain HTML and one style sheet, no scripts.

mod markdown;
mod page;
mod reference;

use bytes::Bytes;
use serde_json::Value;

use crate::problem::ErrorCode;
use page::Page;
pub(crate) use page::escape;

/// The style sheet of all pages.
pub(crate) const STYLE: &str = include_str!("docs/style.css");

/// The pages, ready to be sent.
#[derive(Debug)]
pub(crate) struct Docs {
    pub(crate) landing: Bytes,
    pub(crate) reference: Bytes,
    pub(crate) errors: Bytes,
    /// In the order of [`ErrorCode::ALL`].
    pub(crate) error_pages: Vec<Bytes>,
    pub(crate) openapi: Bytes,
}

impl Docs {
    /// Makes the pages.
    pub(crate) fn new(openapi: &Value, version: &str, needs_key: bool) -> Self {
        Self {
            landing: landing(version, needs_key),
            reference: reference::render(openapi, version),
            errors: errors(version),
            error_pages: ErrorCode::ALL.iter().map(|code| error(*code, version)).collect(),
            openapi: serde_json::to_vec_pretty(openapi).unwrap_or_default().into(),
        }
    }
}

fn landing(version: &str, needs_key: bool) -> Bytes {
    let key_line = if needs_key {
        "  -H 'Authorization: Bearer YOUR_KEY' \\\n"
    } else {
        ""
    };
    let key_note = if needs_key {
        "<p>Calls under <code>/v1</code> need the service's API key.</p>"
    } else {
        "<p>This is a development service: no key is needed, and it answers on this machine only.</p>"
    };
    let sample = format!(
        "curl http://localhost:8080/v1/emails \\\n{key_line}  -H 'Content-Type: application/json' \\\n  \
         -d '{{\"to\": \"customer@example.com\", \"subject\": \"Hello\", \"text_content\": \"It works.\"}}'"
    );
    let body = format!(
        "<h1>Unified Messaging Service</h1>\
         <p class=lead>One call sends an e-mail or an SMS, and it gets through although a provider is down.</p>\
         <pre><code>{}</code></pre>{key_note}\
         <ul class=cards>\
         <li><a href=/docs>Reference</a><p>Every call, its fields and its answers, with examples.</p></li>\
         <li><a href=/docs/errors>Errors</a><p>Every code, its cause and what to do.</p></li>\
         <li><a href=/openapi.json>OpenAPI</a><p>The description for tools and generated clients.</p></li>\
         <li><a href=/v1/providers/health>Providers</a><p>How each provider does, and why{}.</p></li>\
         <li><a href=/readyz>Readiness</a><p>Whether messages are accepted; <a href=/livez>liveness</a> is beside it.</p></li>\
         <li><a href=/metrics>Metrics</a><p>Counts for Prometheus, for callers on this machine.</p></li>\
         </ul>",
        escape(&sample),
        if needs_key { " (needs the key)" } else { "" },
    );
    Page {
        title: "Unified Messaging Service",
        version,
        here: "/",
        side: "",
        body: &body,
    }
    .render()
}

fn errors(version: &str) -> Bytes {
    let row = |code: &ErrorCode| {
        let (word, status) = (code.as_str(), code.status().as_u16());
        format!(
            "<tr><td><a href=/docs/errors/{word}><code>{word}</code></a></td><td>{status}</td><td>{}</td></tr>",
            escape(code.title())
        )
    };
    let rows: String = ErrorCode::ALL.iter().map(row).collect();
    let body = format!(
        "<h1>Errors</h1><p>Faults are answered as <code>application/problem+json</code> (RFC 9457): <code>code</code> is stable, \
         <code>detail</code> says what is wrong in this case, <code>errors</code> names fields. A message that no provider took is \
         not a fault of the request: it is answered with its status and with the reason.</p>\
         <div class=scroll><table><thead><tr><th>Code</th><th>HTTP</th><th>Meaning</th></tr></thead><tbody>{rows}</tbody></table></div>"
    );
    Page {
        title: "Errors",
        version,
        here: "/docs/errors",
        side: "",
        body: &body,
    }
    .render()
}

fn error(code: ErrorCode, version: &str) -> Bytes {
    let body = format!("{}<p><a href=/docs/errors>All errors</a></p>", markdown::render(code.page()));
    Page {
        title: code.as_str(),
        version,
        here: "/docs/errors",
        side: "",
        body: &body,
    }
    .render()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages() -> Vec<String> {
        let docs = Docs::new(&crate::openapi::document("1.2.3"), "1.2.3", true);
        let all = [docs.landing, docs.reference, docs.errors].into_iter().chain(docs.error_pages);
        all.map(|page| String::from_utf8(page.to_vec()).unwrap()).collect()
    }

    #[test]
    fn pages_need_nothing_from_outside_and_no_inline_code() {
        for page in pages() {
            assert!(page.starts_with("<!doctype html>") && page.contains("1.2.3"));
            for forbidden in ["<script", "style=", "onclick", "src=", "href=http", "href=\"http", "<style"] {
                assert!(!page.contains(forbidden), "{forbidden}");
            }
        }
    }

    #[test]
    fn every_code_has_a_page_that_says_its_cause_and_what_to_do() {
        for code in ErrorCode::ALL {
            let page = code.page();
            assert!(page.starts_with(&format!(
                "# {}: {}\n\nHTTP status {}.\n",
                code.as_str(),
                code.title(),
                code.status().as_u16()
            )));
            assert!(
                page.contains("\n## Cause\n") && page.contains("\n## What to do\n"),
                "{}",
                code.as_str()
            );
        }
    }

    #[test]
    fn no_code_stands_twice() {
        let codes: std::collections::BTreeSet<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(codes.len(), ErrorCode::ALL.len());
    }
}
