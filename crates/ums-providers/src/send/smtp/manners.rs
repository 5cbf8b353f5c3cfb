//! Refusals that are about the way of asking: the same may be had by asking in another way. And what the server taught us.

use std::sync::atomic::{AtomicBool, Ordering};

use super::reply::{enhanced_code, joined, reply_code};

/// What a refusal of AUTH speaks of when the mechanism is refused, not the credentials.
const MECHANISM_WORDS: &[&str] = &[
    "mechanism",
    "authentication type",
    "authentication method",
    "auth type",
    "auth method",
];
/// The codes of AUTH that another mechanism does not mend: wrong credentials, and a connection in clear (RFC 4954 §6).
const MECHANISM_IS_FINE: [u16; 2] = [535, 538];

/// What a refusal speaks of when the parameters of RFC 3461 §4 are refused.
const DSN_WORDS: &[&str] = &["notify", "orcpt", "envid", "ret=", "dsn", "delivery status"];
/// The other parameters that MAIL may have.
const OTHER_PARAMETERS: &[&str] = &["size", "body=", "8bitmime", "smtputf8", "auth="];
/// What a refusal without a name speaks of when a parameter is refused.
const PARAMETER_WORDS: &[&str] = &["parameter", "argument", "option", "syntax"];

fn has_any(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| text.contains(word))
}

/// Whether a refusal of AUTH is about the mechanism. 504 says so (RFC 4954 §4), 534 may ("too weak", §6; Gmail means the password), and
/// servers say it in words with 500 to 503.
pub(super) fn refuses_mechanism(reply: &str) -> bool {
    let Some(code) = reply_code(reply) else { return false };
    code == 504 || code >= 500 && !MECHANISM_IS_FINE.contains(&code) && has_any(&joined(reply).to_ascii_lowercase(), MECHANISM_WORDS)
}

/// Whether a refusal of MAIL or RCPT is about the parameters of DSN that were given. 555 and 455 are about parameters (RFC 5321
/// §4.1.1.11, §4.2.2); 500, 501 and 504 if they say so (RFC 3463 X.5.4); any other code only if it names DSN.
pub(super) fn refuses_dsn(reply: &str) -> bool {
    let Some(code) = reply_code(reply) else { return false };
    let text = joined(reply);
    let subject = enhanced_code(&text, code).and_then(|enhanced| enhanced.get(2..));
    let words = without_addresses(&text).to_ascii_lowercase();
    if code >= 400 && has_any(&words, DSN_WORDS) {
        return true;
    }
    let of_address = subject.is_some_and(|subject| subject.starts_with("1.")) || words.contains("address");
    let of_parameters = match code {
        455 | 555 => true,
        500 | 501 | 504 => subject == Some("5.4") || has_any(&words, PARAMETER_WORDS),
        _ => false,
    };
    of_parameters && !of_address && !has_any(&words, OTHER_PARAMETERS)
}

/// A reply without what stands in angle brackets: an address may hold any word.
fn without_addresses(text: &str) -> String {
    let mut depth = 0_u32;
    let kept = text.chars().filter(|letter| {
        match letter {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
    });
    kept.collect()
}

/// What the server of an account taught all its connections, until the process ends.
#[derive(Debug, Default)]
pub(super) struct Learned {
    refuses_dsn: AtomicBool,
    prefers_login: AtomicBool,
}

impl Learned {
    /// Whether the server announces DSN and took a message only without its parameters.
    pub(super) fn refuses_dsn(&self) -> bool {
        self.refuses_dsn.load(Ordering::Relaxed)
    }

    pub(super) fn note_dsn_refused(&self) {
        self.refuses_dsn.store(true, Ordering::Relaxed);
    }

    /// Whether the server announces PLAIN and does not take it.
    pub(super) fn prefers_login(&self) -> bool {
        self.prefers_login.load(Ordering::Relaxed)
    }

    pub(super) fn note_login_preferred(&self, preferred: bool) {
        self.prefers_login.store(preferred, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_refused_mechanism_is_told_from_refused_credentials() {
        for (reply, refuses) in [
            ("504 5.7.4 Unrecognized authentication type", true),
            ("504 5.5.4 Unrecognized authentication type", true),
            ("504 PLAIN authentication mechanism not supported", true),
            ("504", true),
            ("534 5.7.9 Authentication mechanism is too weak", true),
            ("502 5.5.1 Unsupported authentication mechanism", true),
            ("503 AUTH mechanism not available", true),
            ("500 5.3.3 Unrecognized authentication method", true),
            ("535 5.7.8 Username and Password not accepted", false),
            ("535 5.7.8 Error: authentication failed: Invalid authentication mechanism", false),
            ("535 5.7.3 Authentication unsuccessful", false),
            ("534 5.7.9 Application-specific password required", false),
            (
                "534-5.7.14 Please log in via your web browser\r\n534 5.7.14 and then try again",
                false,
            ),
            ("538 5.7.11 Encryption required for requested authentication mechanism", false),
            ("530 5.7.0 Must issue a STARTTLS command first", false),
            ("454 4.7.0 Temporary authentication failure: no mechanism available", false),
            ("432 4.7.12 A password transition is needed", false),
            ("421 4.7.0 mechanism", false),
        ] {
            assert_eq!(refuses_mechanism(reply), refuses, "{reply}");
        }
    }

    #[test]
    fn refused_parameters_of_dsn_are_told_from_refused_addresses() {
        for (reply, refuses) in [
            ("555 5.5.4 Unsupported option: NOTIFY=SUCCESS", true),
            ("555 5.5.4 Unsupported option: ENVID=0199", true),
            ("555 MAIL FROM/RCPT TO parameters not recognized or not implemented", true),
            ("555 5.5.4 NOTIFY parameter unrecognized", true),
            ("555", true),
            ("455 4.5.4 Server unable to accommodate parameters", true),
            ("501 5.7.1 DSN support is disabled", true),
            ("501 5.5.4 Invalid arguments", true),
            ("501 Syntax error in parameters or arguments", true),
            ("504 5.5.4 RET=HDRS not supported", true),
            ("504 Command parameter not implemented", true),
            ("500 5.5.2 bad syntax", true),
            ("550 5.7.1 DSN not allowed here", true),
            ("501 5.1.3 Bad recipient address syntax", false),
            ("501 Bad address syntax", false),
            ("555 5.5.4 Unsupported option: SIZE=1000", false),
            ("555 5.5.4 Unsupported option: SMTPUTF8", false),
            ("504 5.5.2 <vm>: Helo command rejected: need fully-qualified hostname", false),
            ("501 <my_app_1>: Helo command rejected: Invalid name", false),
            ("504 5.5.2 <joe>: Recipient address rejected: need fully-qualified address", false),
            ("550 5.1.1 <dsn@example.com>: Recipient address rejected: User unknown", false),
            ("550 5.1.1 <notify@example.com> no such user", false),
            ("550 5.7.1 Relaying denied", false),
            ("503 5.5.1 Bad sequence of commands", false),
            ("452 4.5.3 Too many recipients", false),
            ("451 4.7.1 Greylisted, try again", false),
            ("250 2.1.5 Ok, DSN", false),
        ] {
            assert_eq!(refuses_dsn(reply), refuses, "{reply}");
        }
    }

    proptest! {
        /// Whoever is unknown, and whatever the address is: asking without DSN changes nothing.
        #[test]
        fn an_address_decides_nothing(local in "[a-z=]{1,20}|notify|dsn|envid=", code in 550_u16..554) {
            let reply = format!("{code} 5.1.1 <{local}@example.com>: no such user");
            prop_assert!(!refuses_dsn(&reply));
        }

        #[test]
        fn wrong_credentials_are_never_tried_by_another_mechanism(words in "\\PC{0,40}", tail in "( mechanism| authentication type)?") {
            let wrong = format!("535 5.7.8 {words}{tail}");
            prop_assert!(!refuses_mechanism(&wrong));
        }
    }
}
