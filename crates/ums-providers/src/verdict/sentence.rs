//! Sentences about an address that is dead: a noun for a recipient, and what is said of it.

/// Ends a sentence.
pub(super) const STOP: &str = "|";
/// Ends a part of a sentence, which goes on about the same thing.
pub(super) const COLON: &str = ":";

/// Nouns for a recipient.
const NOUNS: &[&str] = &[
    "account",
    "accounts",
    "address",
    "addressee",
    "addresses",
    "alias",
    "inbox",
    "localpart",
    "mailbox",
    "mailboxes",
    "person",
    "rcpt",
    "recipient",
    "recipients",
    "user",
    "userid",
    "username",
    "users",
];
/// Nouns for a recipient's domain.
const DOMAINS: &[&str] = &["domain", "host"];
/// What is said before a noun.
const BEFORE: &[&str] = &["unknown", "invalid", "nonexistent", "existent", "unrecognized", "such", "inactive"];
/// What is said after a noun, anywhere in the sentence.
const AFTER: &[&str] = &["nonexistent", "unknown", "unrecognized"];
/// What is said right after a noun, or after a form of `to be`.
const STATES: &[&str] = &[
    "closed",
    "deactivated",
    "deleted",
    "disabled",
    "discontinued",
    "inactive",
    "invalid",
    "terminated",
];
const FORMS_OF_BE: &[&str] = &["are", "been", "currently", "is", "now", "or", "permanently", "was", "were"];
const NEGATIONS: &[&str] = &[
    "arent", "cannot", "cant", "couldnt", "didnt", "doesnt", "dont", "isnt", "never", "no", "non", "not", "wasnt",
];
/// What a negation denies of an address that is dead.
const DENIED: &[&str] = &[
    "active",
    "exist",
    "existent",
    "existing",
    "exists",
    "found",
    "known",
    "listed",
    "longer",
    "present",
    "recognized",
    "valid",
];
/// Words between a noun and what is said of it.
const NEAR: usize = 9;

/// What a sentence is about, when it is about no recipient: headers, links, names of machines, certificates, numbers of recipients.
const SOMETHING_ELSE: &[&[&str]] = &[
    &["certificate"],
    &["count"],
    &["dane"],
    &["encryption"],
    &["link"],
    &["links"],
    &["maximum"],
    &["message", "id"],
    &["number", "of"],
    &["ptr"],
    &["sts"],
    &["tls"],
    &["tlsa"],
    &["too", "many"],
    &["url"],
    &["urls"],
];
/// What `unknown` and `invalid` may be said of beside a recipient.
const FAULTS: &[&str] = &[
    "command",
    "commands",
    "error",
    "errors",
    "failure",
    "option",
    "options",
    "parameter",
    "parameters",
    "problem",
    "reason",
    "response",
];
/// Whose a noun is, when it is the sender's.
const SENDERS: &[&str] = &["authenticated", "sender", "senders", "sending", "submitting", "your"];
/// Words between an owner and a noun: `your e-mail address`.
const ATTRIBUTES: &[&str] = &["account", "e", "email", "from", "login", "mail", "own", "smtp", "user"];
/// What an SMTP client says that a server replied to: `(in reply to RCPT TO command)` names no header.
const REPLIED_TO: &[&str] = &["auth", "data", "ehlo", "end", "helo", "mail", "rcpt"];

fn is_of_something_else(sentence: &[&str]) -> bool {
    let names_header = |three: &[&str]| matches!(three, ["reply", "to", next] if !REPLIED_TO.contains(next));
    SOMETHING_ELSE
        .iter()
        .any(|words| sentence.windows(words.len()).any(|window| window == *words))
        || sentence.windows(3).any(names_header)
        || sentence.ends_with(&["reply", "to"])
}

/// Whether a text has a sentence that names a recipient and says that there is none, or that it is closed. The words are in lower
/// case, with [`STOP`] and [`COLON`] for the punctuation.
pub(super) fn is_of_dead_address(words: &[&str], or_closed: bool) -> bool {
    let sentences = words.split(|word| *word == STOP).filter(|sentence| !is_of_something_else(sentence));
    let mut parts = sentences.flat_map(|sentence| sentence.split(|word| *word == COLON));
    parts.any(|part| sentence_is_of_dead_address(part, or_closed))
}

/// Whether a sentence names a recipient and says that there is none, or that it is closed.
fn sentence_is_of_dead_address(words: &[&str], or_closed: bool) -> bool {
    (0..words.len()).any(|at| {
        let word = words.get(at).copied().unwrap_or_default();
        let is_noun = NOUNS.contains(&word) && !(word == "rcpt" && words.iter().any(|word| FAULTS.contains(word)));
        let names = (is_noun || DOMAINS.contains(&word)) && !is_senders(words, at);
        names && (is_denied_before(words, at) || is_denied_after(words, at, is_noun && or_closed))
    })
}

/// `your mailbox`, `the sender's account`, `the user you authenticated as`.
fn is_senders(words: &[&str], noun: usize) -> bool {
    let before = words.get(..noun).unwrap_or_default();
    let owner = before.iter().rev().find(|word| !ATTRIBUTES.contains(word));
    owner.is_some_and(|owner| SENDERS.contains(owner))
        || words.get(noun + 1) == Some(&"you") && words.get(noun + 2) == Some(&"authenticated")
}

/// `no such user`, `unknown or illegal alias`, `not a valid mailbox`, `no mailbox`, `don't know that user`.
fn is_denied_before(words: &[&str], noun: usize) -> bool {
    let before = words.get(noun.saturating_sub(3)..noun).unwrap_or_default();
    let is_none = before.last() == Some(&"no");
    let is_not = before
        .windows(3)
        .any(|three| matches!(three, ["not", "a" | "an", "valid" | "known" | "active" | "existing"]));
    let is_not_known = before
        .windows(2)
        .any(|two| matches!(two, [not, "know" | "recognize" | "recognise"] if NEGATIONS.contains(not)));
    let says = before.iter().enumerate().any(|(at, word)| {
        // `no such`, and `existent` of `non-existent`, want their negation.
        let negated = || before.get(at.wrapping_sub(1)).is_some_and(|word| NEGATIONS.contains(word));
        BEFORE.contains(word) && !is_of_fault(before, at) && (!matches!(*word, "such" | "existent") || negated())
    });
    is_none || is_not || is_not_known || says
}

/// `unknown error`.
fn is_of_fault(words: &[&str], at: usize) -> bool {
    words.get(at + 1).is_some_and(|next| FAULTS.contains(next))
}

/// `user unknown`, `mailbox for ann does not exist`, `account that you tried to reach is disabled`.
fn is_denied_after(words: &[&str], noun: usize, may_be_closed: bool) -> bool {
    let after = words.get(noun + 1..words.len().min(noun + 1 + NEAR)).unwrap_or_default();
    after.iter().enumerate().any(|(at, word)| {
        let rest = after.get(at + 1..after.len().min(at + 4)).unwrap_or_default();
        // `the recipient closed the connection` is about something else.
        let has_object = rest
            .first()
            .is_some_and(|word| matches!(*word, "a" | "by" | "connection" | "the" | "to"));
        let is_state = if at == 0 {
            !has_object
        } else {
            after.get(at - 1).is_some_and(|word| FORMS_OF_BE.contains(word))
        };
        (AFTER.contains(word) && !is_of_fault(after, at))
            || (may_be_closed && is_state && STATES.contains(word))
            || (NEGATIONS.contains(word) && rest.iter().any(|word| DENIED.contains(word)))
    })
}
