//! Requests of every kind that callers have been seen to make, and stranger ones.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use ums_core::request::{AttachmentRequest, Disposition, OneOrMany};
use ums_core::{Content, Email, SendEmail, SendSms};

fn address() -> impl Strategy<Value = String> {
    let local = select(vec![
        "a",
        "A",
        "first.last+tag",
        "o'brien",
        "!#$%&*=?^_`{|}~",
        "jürgen",
        "\"quoted local\"",
        "b",
        "c",
        "d",
        "e",
        "f",
    ]);
    let domain = select(vec![
        "example.com",
        "sub.example.org",
        "bücher.example",
        "EXAMPLE.net",
        "example.net",
    ]);
    let name = prop_oneof![
        4 => Just(String::new()),
        1 => select(vec!["Zoë", "\"Doe, Jane\"", "a  b", "=?utf-8?q?x?=", "\"q\\\"uote\"", "J. Doe; Esq."]).prop_map(str::to_owned),
        1 => "[^\\p{C}<>\"]{1,40}",
    ];
    (local, domain, name).prop_map(|(local, domain, name)| {
        if name.is_empty() {
            format!("{local}@{domain}")
        } else {
            format!("{name} <{local}@{domain}>")
        }
    })
}

fn subject() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "\\PC{1,120}",
        1 => "[ -~]{1,300}",
        1 => select(vec!["=?utf-8?b?eA==?=", "a  b", " x ", "a=?b?=c", "", "=?", "?="]).prop_map(str::to_owned),
        1 => (1_usize..400).prop_map(|n| "word ".repeat(n)),
        1 => (900_usize..2_000).prop_map(|n| "x".repeat(n)),
        1 => (1_usize..500).prop_map(|n| "🎉".repeat(n)),
    ]
}

fn header() -> impl Strategy<Value = (String, String)> {
    let structured = select(vec![
        "Auto-Submitted",
        "Feedback-ID",
        "In-Reply-To",
        "List-Help",
        "List-ID",
        "List-Post",
        "List-Unsubscribe",
        "list-unsubscribe-post",
        "Precedence",
        "References",
    ]);
    let value = prop_oneof![
        2 => "[ -~]{1,200}",
        1 => Just("<https://app.example.com/u?next=?a&b=?=1>".to_owned()),
        1 => Just("<=?utf-8?b?eA==?=@example.com>".to_owned()),
        1 => (1_usize..60).prop_map(|n| vec!["<0123456789abcdef0123456789@mail.example.com>"; n].join(" ")),
        1 => (1_usize..1_100).prop_map(|n| format!("<https://example.com/{}> , <mailto:a@example.com>", "x".repeat(n))),
    ];
    let text = prop_oneof![
        2 => "[ -~]{0,200}",
        2 => "\\PC{0,200}",
        1 => select(vec!["=?utf-8?q?x?=", "a  b", "Köln, Bonn", "https://e.example/?a=?b&c=?=1", ""]).prop_map(str::to_owned),
        1 => (1_usize..1_100).prop_map(|n| "y".repeat(n)),
        1 => (1_usize..300).prop_map(|n| "ü  z ".repeat(n)),
    ];
    prop_oneof![
        (structured.prop_map(str::to_owned), value),
        (
            select(vec!["X-Note", "x-order", "Organization", "Keywords", "X-SES-A", "Message-ID"]).prop_map(str::to_owned),
            text
        ),
    ]
}

fn file() -> impl Strategy<Value = AttachmentRequest> {
    let names = [
        "a.pdf",
        "Rechnung März.pdf",
        "no_extension",
        "setup.exe",
        "a;b.txt",
        "a,b.txt",
        "quo\"te.txt",
        ".hidden",
        "dot.",
        " space .txt",
        "名前.txt",
        "invite.ics",
        "mail.eml",
        "%41.txt",
        "utf-8''x.txt",
        "../path.txt",
        "=?utf-8?q?x?=.txt",
    ];
    let name = prop_oneof![
        6 => select(names.to_vec()).prop_map(str::to_owned),
        1 => (1_usize..250).prop_map(|n| format!("{}.txt", "n".repeat(n))),
        1 => (1_usize..120).prop_map(|n| format!("{}.txt", "ü".repeat(n))),
    ];
    let kind = prop_oneof![
        8 => select(vec![
            "application/pdf",
            "text/plain; charset=iso-8859-1",
            "text/calendar; charset=UTF-8; method=REQUEST",
            "text/calendar; method=CANCEL",
            "message/rfc822",
            "message/partial; id=\"a b\"; number=1",
            "message/delivery-status",
            "multipart/mixed; boundary=x",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document; name=\"Bericht.docx\"",
            "application/pdf; name=Bericht März.pdf",
            "text/html; charset=\"utf-8\"",
            "Image/PNG",
            "text/plain; x=\"a;b\\\"c\"",
            "text",
            "text/plain; charset",
        ])
        .prop_map(str::to_owned),
        1 => (1_usize..120).prop_map(|n| format!("application/{}", "k".repeat(n))),
    ];
    let content = prop_oneof![
        2 => vec(any::<u8>(), 0..200),
        1 => "[ -~\\r\\n]{0,200}".prop_map(String::into_bytes),
        4 => select(vec![
            &b""[..],
            b"Subject: Hi\r\n\r\nHello\r\n",
            b"Subject: Hi\r\n\r\nHello",
            b"Subject: Hi\n\nHello\n",
            b"Subject: Hi\r\n\r\n.\r\n..\r\n",
            "Subject: Hi\r\n\r\nGrüße\r\n".as_bytes(),
            b"Subject: Hi\r\n\r\nGr\xfc\xdfe\r\n",
            b"BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nEND:VCALENDAR\r\n",
            b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n",
        ])
        .prop_map(<[u8]>::to_vec),
        1 => (900_usize..1_100).prop_map(|n| vec![b'x'; n]),
    ];
    let id = option::of(select(vec!["logo", "a@b.example", "a;b", "a\\b", "a b"]));
    let disposition = option::of(select(vec![Disposition::Inline, Disposition::Attachment]));
    (name, option::of(kind), content, disposition, id).prop_map(|(filename, content_type, content, disposition, id)| AttachmentRequest {
        filename,
        content_type,
        content: content.into(),
        disposition,
        content_id: id.map(str::to_owned),
    })
}

/// A content type by the grammar of RFC 2045 §5.1, as odd as it allows.
pub(crate) fn content_type() -> impl Strategy<Value = String> {
    let kind = prop_oneof![
        select(vec!["text", "application", "image", "message", "multipart"]).prop_map(str::to_owned),
        "[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,12}",
    ];
    let subtype = prop_oneof![4 => "[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,20}", 1 => "[a-z]{100,127}"];
    let value = prop_oneof!["[A-Za-z0-9!#$%&'*+.^_`{|}~-]{1,12}", "\"([ -!#-\\[\\]-~]|\\\\[ -~]){1,20}\""];
    let parameter = ("[A-Za-z][a-z0-9!#$&^_.+*'-]{0,8}", value).prop_map(|(name, value)| format!("; {name}={value}"));
    (kind, subtype, vec(parameter, 0..4)).prop_map(|(kind, subtype, parameters)| format!("{kind}/{subtype}{}", parameters.concat()))
}

fn body() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "(\\PC|[\\r\\n\\t]|\\r\\n\\.\\r\\n){1,300}",
        1 => (990_usize..3_000).prop_map(|n| "x".repeat(n)),
        1 => (300_usize..1_000).prop_map(|n| "é".repeat(n)),
        1 => select(vec![".", "\r\n.\r\n", "From me", "=?utf-8?q?x?=", "a "]).prop_map(str::to_owned),
    ]
}

/// A request, mostly one that the door accepts.
pub(crate) fn request() -> impl Strategy<Value = SendEmail> {
    let people = (
        vec(address(), 1..4),
        vec(address(), 0..3),
        vec(address(), 0..3),
        vec(address(), 0..3),
        option::of(address()),
    );
    let headers = btree_map(header().prop_map(|(name, _)| name), header().prop_map(|(_, value)| value), 0..1);
    let headers = (headers, vec(header(), 0..4)).prop_map(|(mut all, more)| {
        all.extend(more);
        all
    });
    let bodies = (option::of(body()), option::of(body()));
    (people, subject(), headers, vec(file(), 0..3), bodies).prop_map(|((to, cc, bcc, reply_to, from), subject, headers, files, bodies)| {
        SendEmail {
            to: to.into(),
            cc: cc.into(),
            bcc: bcc.into(),
            reply_to: reply_to.into(),
            from_email: from,
            subject,
            html_content: bodies.0,
            text_content: bodies.1,
            attachments: files,
            headers,
            ..SendEmail::default()
        }
    })
}

/// The request without what the door refuses, by the fields that it names; none if nothing acceptable is left.
pub(crate) fn without_faults(mut request: SendEmail) -> Option<Email> {
    for _ in 0..5 {
        let faults = match request.clone().parse() {
            Ok(parsed) => {
                return match parsed.content {
                    Content::Email(email) => Some(email),
                    Content::Sms(_) => None,
                };
            }
            Err(invalid) => invalid.faults,
        };
        // From the last to the first, so that the places of the others stay.
        for fault in faults.iter().rev() {
            let (field, rest) = fault.field.split_once('[').unwrap_or((&fault.field, ""));
            let place = rest.split(']').next().and_then(|place| place.parse::<usize>().ok());
            match (field, place) {
                ("to", Some(_)) => request.to = "a@example.com".into(),
                ("headers", Some(place)) => {
                    let name = request.headers.keys().nth(place).cloned();
                    drop(name.and_then(|name| request.headers.remove(&name)));
                }
                ("attachments", Some(place)) if place < request.attachments.len() => drop(request.attachments.remove(place)),
                ("attachments", _) => {}
                ("subject", _) => "Hello".clone_into(&mut request.subject),
                ("html_content", _) => request.text_content = Some("Hello".to_owned()),
                ("from_email", _) => request.from_email = None,
                ("reply_to", _) => request.reply_to = OneOrMany::default(),
                ("cc" | "bcc", _) => {
                    request.cc = OneOrMany::default();
                    request.bcc = OneOrMany::default();
                }
                _ => return None,
            }
        }
    }
    None
}

/// A text message of any letters and length.
pub(crate) fn sms() -> impl Strategy<Value = SendSms> {
    let body = prop_oneof![
        3 => "(\\PC|[\\r\\n]){0,400}",
        1 => (1_usize..1_700).prop_map(|n| "a".repeat(n)),
        1 => (1_usize..1_700).prop_map(|n| "ж".repeat(n)),
        1 => (1_usize..1_700).prop_map(|n| "€".repeat(n)),
        1 => (1_usize..1_700).prop_map(|n| "🎉".repeat(n)),
    ];
    body.prop_map(|body| SendSms::new("+14165550123", body))
}
