//! What the words of a reply speak of.
//!
//! Servers word their replies as they like, so the words are read in two ways. [`WORDS`] names phrases that tell what a reply is about.
//! [`sentence`] reads a noun for a recipient and what is said of it (`unknown user`, `mailbox … does not exist`).

use super::sentence::{self, COLON, STOP};
use super::{Enhanced, Topic};

/// What a text is about, phrases that say so, and where they are from. `|` stands between two phrases; a phrase begins with a word of the text and
/// may end within one. The first topic that fits holds, so topics whose words occur in texts about others stand last.
pub(super) const WORDS: &[(Topic, &str, &str)] = &[
    (
        Topic::Quota,
        "credits exceeded | credits remaining | daily | day limit | emails per hour | hourly | insufficient credit | limit for the day | \
         mails per hour | maximum credits | message limit | message quota | messages per hour | messaging limit | monthly | \
         more credits | no credits | not enough credit | out of credit | outbound quota | per day | quota for the day | refusequota | \
         send limit | send quota | sending limit | sending quota | submission exception quotaexceeded | submission quota | submissionquota",
        "Gmail 5.4.5; Amazon SES 454; SendGrid 451; Exchange 5.1.90 and SubmissionQuotaExceeded; cPanel's limit of mails per hour",
    ),
    (
        Topic::NotNow,
        "account is over quota | account that you tried to reach is over quota | bandwidth | box exceeds | box full | box is full | \
         box size limit | disk quota | full mailbox | inbox is full | insufficient disk | mailbox full | mailbox has exceeded | \
         mailbox is full | mailbox over | mailboxfull | maildir over | maildirquota | out of storage | over its storage | overquota | \
         quotaexceeded | receive limit | receiving mail at a rate | receiving mail too quickly | receiving messages too | \
         recipient storage | recipient thread limit | storage exceed | storage limit | storage space | \
         too many messages for the recipient | user is over | user over limit | user over quota",
        "RFC 3463 X.2.2; Gmail 4.2.1, 4.2.2, 5.2.1; Exchange STOREDRV; qmail's Maildir quota",
    ),
    (
        Topic::SomeQuota,
        "over limit | quota",
        "RFC 3463 X.2.2, where nothing says whose quota",
    ),
    (
        Topic::TooManyRecipients,
        "recipient limit | too many recipients | too much recipients",
        "RFC 5321 §4.5.3.1.10; RFC 3463 X.5.3",
    ),
    (
        Topic::System,
        "in this connection | in this session | per connection | per session",
        "what a fresh connection mends: Exim smtp_accept_max_per_connection",
    ),
    (
        Topic::Rate,
        "concurrent connection | exceeded the rate | frequency | invalid address count | invalid recipient count | invalid user count | \
         mail flood | many bad | many invalid | many non existent | many nonexistent | many rejected | many undeliverable | \
         many unknown | number of bad | number of invalid | number of non | number of unknown | rate exceeded | rate limit | ratelimit | \
         sending rate | slow down | throttl | too fast | too many concurrent | too many connections | too many emails | too many login | \
         too many mails | too many messages | too many requests | too much mail | too quickly | unknown recipient count | \
         unknown user count | unusual rate",
        "Gmail 421 4.7.28; Amazon SES 421 and 454; Postfix's anvil",
    ),
    (
        Topic::Protocol,
        "from rcpt to parameters | parameters not implemented | parameters not recognized",
        "RFC 5321 §4.2.3, code 555",
    ),
    (
        Topic::Client,
        "client host rejected | ehlo | fqdn | fully qualified | helo | host address | hostname | ip name lookup | no ptr | ptr | rdns | \
         reverse address | reverse dns | reverse lookup",
        "Postfix reject_invalid_helo_hostname, reject_unknown_client_hostname; RFC 7372 X.7.25",
    ),
    (
        Topic::Sender,
        "addresses are not verified | alignment | authentication check | authentication results | bad sender | callback | callout | \
         dkim | dmarc | domain is not allowed to send | domain is not verified | domainkeys | email address is not verified | \
         envelope from | envelope sender | forged | from address | from header | header from domain | identities failed | \
         invalid sender | mail from | mail is unauthenticated | not authorized to send from | not owned by user | originator | \
         return path | reverse path | send as | send mail as | sendasdenied | sender account | sender address | sender denied | \
         sender domain | sender email | sender id | sender is | sender mailbox | sender not | sender policy framework | sender refused | \
         sender rejected | sender unknown | sender user | sender verif | sender was | senders account | senders address | \
         senders domain | senders mail | sending address | sending domain | sending mailbox | sending user | spf | spoof | \
         unauthenticated email | unauthenticated mail | unauthenticated sender | unknown sender | unregistered domain | \
         unverified sender | verification failed for | verified sender | your domain",
        "RFC 7208, 6376, 7489, 7372; Amazon SES 554; SendGrid 550; Exchange SendAsDenied; Exim's sender verification",
    ),
    (
        Topic::Login,
        "auth first | authenticate first | authenticated | authentication failed | authentication failure | authentication is required | \
         authentication required | authentication unsuccessful | before rcpt | cannot relay | cant relay | encryption is required | \
         encryption needed | encryption required | log in | login | mail relay | must authenticate | must be authenticated | \
         must issue a starttls | need to authenticate | no relay | not authenticated | not relay | open relay | please authenticate | \
         pop before smtp | rcpthosts | relay access | relay denied | relay disallowed | relay for | relay mail | relay not | \
         relay prohibited | relay rejected | relay to | relaying | requires encryption | requires tls | smtp auth | smtpauth | \
         tls required | to relay",
        "RFC 4954 §6; RFC 3207 §4; Postfix's and Exim's relay control; qmail's rcpthosts",
    ),
    (
        Topic::System,
        "certificate | dane | encryption | mta sts | starttls | tls",
        "RFC 7672, 8461: the way to the recipient's server is not safe enough, for one of both",
    ),
    (
        Topic::Account,
        "account sending | billing | configuration set | for this account | free account | not allowed to send | outbound spam | \
         outboundspam | outgoing spam | paused | payment | plan expired | plan has expired | sandbox | sending account | \
         sending disabled | sending has been | sending is disabled | sending is suspended | sending mail has been | smtp access | \
         suspended due | tenant has exceeded | under review | unpaid | unusual sending activity | verdict is suspend | \
         verify your phone | your account | your address | your email account | your email address | your ip | your mailbox | \
         your organization | your server | your smtp | your subscription | your tenant | your user",
        "Amazon SES 554 Sending paused; Mailgun's disabled domains; Exchange 5.7.705",
    ),
    (
        Topic::Suspended,
        "account blocked | account disabled | account has been | account inactive | account is blocked | account is disabled | \
         account is inactive | account is locked | account is not active | account is suspended | account locked | account not active | \
         account suspended | account was suspended | mailbox blocked | mailbox is blocked | mailbox is suspended | mailbox suspended | \
         recipient blocked | recipient is suspended | recipient suspended | user blocked | user is blocked | user is suspended | \
         user suspended",
        "RFC 3463 X.2.1 and X.7.13, where nothing says whose account",
    ),
    (
        Topic::Size,
        "exceeds fixed | exceeds maximum | exceeds size | exceeds the maximum size | message length | message size | message too long | \
         messagesize | size exceeds | size limit | too big | too large",
        "RFC 1870 §6; RFC 3463 X.2.3, X.3.4",
    ),
    (
        Topic::Policy,
        "access denied | are listed | banned | barracuda | black list | blacklist | block list | blocked using | blocklist | \
         currently listed | denylist | dnsbl | is listed | on our block | rbl | reject listed | reputation | spamcop | spamhaus",
        "RFC 5782; Spamhaus; Postfix reject_rbl_client",
    ),
    (
        Topic::Content,
        "attachment | bare lf | bulk mail | content | header | infected | junk | line too long | link in | link to | malformed | \
         malicious | malware | message format | message id | mime | phish | reply to address | reply to domain | replyto | spam | \
         unsolicited | url | virus",
        "RFC 3463 X.6; Gmail 550 5.7.1, 552 5.7.0, 554 5.6.0",
    ),
    (
        Topic::Protocol,
        "bad sequence | bad syntax | command not | command parameter | command rejected | command unrecognized | invalid command | \
         not implemented | parameter not | parameters | syntax error | unexpected command | unknown command | unrecognised command | \
         unrecognized command | unsupported option | unsupported parameter",
        "RFC 5321 §4.2.4, §4.3.2; RFC 3461 §5.1",
    ),
    (
        Topic::Refused,
        "accept delivery of this | accept the message | accept this message | accept your message",
        "AOL 521 5.2.1: words about the message, whatever the code",
    ),
    (
        Topic::Policy,
        "abuse | administrative prohibition | administratively | blocked | blocking | denied by | not allowed | not authorized | \
         not permitted | permission denied | policies | policy | prohibited | restricted | security | sender | suspicious | \
         traffic not accepted | untrusted",
        "RFC 3463 X.7; the servers' policies",
    ),
    (
        Topic::System,
        "broken pipe | command died | command failed | command output | config error | configuration error | connection refused | \
         connection reset | could not be delivered for | disk | expired | gray listed | graylist | grey listed | greylist | hop count | \
         hops | internal error | local error | loop | mail system | no space left | out of memory | pipe | postgrey | retry time | \
         server error | software error | system error | system resources | temporarily | temporary | timed out | timeout | too old | \
         transport error | try again | try later | unreachable",
        "RFC 3463 X.3, X.4",
    ),
];

/// What a reply in the class 4 says when it means only that the time is not right.
const NOT_YET: &[&str] = &[
    "cannot complete",
    "complete sender",
    "could not complete",
    "defer",
    "gray",
    "grey",
    "in progress",
    "later",
    "temporar",
    "try again",
];

/// Sentences about a dead address that hold no noun for it, or no plain verb.
const DEAD: &[&str] = &[
    "destinataire inconnu",
    "destinataire invalide",
    "doesnt have a yahoo",
    "domain does not accept mail",
    "empfänger unbekannt",
    "benutzer unbekannt",
    "has moved",
    "existiert nicht",
    "mx records point to non existent hosts",
    "no existe",
    "no one at this address",
    "not our customer",
    "null mx",
    "nullmx",
    "recipientnotfound",
    "exrecipnotfound",
    "recipnotfound",
    "unrouteable address",
    "unroutable address",
    "unrouteable mail domain",
    "user not local",
    "utilisateur inconnu",
];

/// Codes that are about something else by the standard, and that a vendor sends with these words for a recipient who does not exist: subject,
/// detail, words, source.
const DEAD_BY_VENDOR: &[(u16, u16, &str, &str)] = &[
    (
        4,
        1,
        "recipient address rejected access denied",
        "Microsoft, \"Fix NDR error code 550 5.4.1\": the recipient's address is invalid",
    ),
    (5, 0, "mailbox unavailable", "Outlook.com for a mailbox that does not exist"),
];

/// A text made ready: lower case, single spaces, no punctuation, and without addresses, links and hosts, whose parts are no words.
pub(super) struct Text {
    /// With a space at both ends.
    plain: String,
    /// Words in order; [`STOP`] between sentences.
    words: Vec<String>,
}

/// Words of a text that are read: a reply has few.
const MAX_WORDS: usize = 400;

impl Text {
    pub(super) fn read(text: &str) -> Self {
        let mut words = Vec::new();
        for token in text.split_whitespace().filter(|token| !is_name(token)).take(MAX_WORDS) {
            let mut word = String::new();
            let mut letters = token.chars().flat_map(char::to_lowercase).peekable();
            while let Some(c) = letters.next() {
                match c {
                    '\'' | '’' => {}
                    _ if c.is_alphanumeric() => word.push(c),
                    _ => {
                        push(&mut words, &mut word);
                        // A dot within a name ends no sentence.
                        let is_within = c == '.' && letters.peek().is_some_and(|next| next.is_alphanumeric());
                        match c {
                            ':' => words.push(COLON.to_owned()),
                            ';' | '.' | '!' | '?' if !is_within => words.push(STOP.to_owned()),
                            _ => {}
                        }
                    }
                }
            }
            push(&mut words, &mut word);
        }
        let spoken: Vec<&str> = words
            .iter()
            .map(String::as_str)
            .filter(|word| ![STOP, COLON].contains(word))
            .collect();
        Self {
            plain: format!(" {} ", spoken.join(" ")),
            words,
        }
    }

    /// What the phrases are about.
    pub(super) fn topic(&self) -> Option<Topic> {
        let row = WORDS.iter().find(|(_, row, _)| phrases(row).any(|phrase| self.says(phrase)));
        row.map(|(topic, ..)| *topic)
    }

    /// Whether the time is not right, as the text says.
    pub(super) fn says_not_yet(&self) -> bool {
        NOT_YET.iter().any(|phrase| self.says(phrase))
    }

    /// Whether a vendor sends this code with these words for a recipient who does not exist.
    pub(super) fn condemns_by_vendor(&self, code: Enhanced) -> bool {
        let mut rows = DEAD_BY_VENDOR.iter();
        rows.any(|(subject, detail, words, _)| (code.subject, code.detail) == (*subject, *detail) && self.says(words))
    }

    /// Whether a phrase stands in the text, from the beginning of a word.
    pub(super) fn says(&self, phrase: &str) -> bool {
        self.plain
            .match_indices(phrase)
            .any(|(at, _)| self.plain.as_bytes().get(at.wrapping_sub(1)) == Some(&b' '))
    }

    /// Whether the text says that the mailbox, or its domain, does not exist or is closed.
    pub(super) fn speaks_of_dead_address(&self) -> bool {
        DEAD.iter().any(|phrase| self.says(phrase)) || self.has_sentence(true)
    }

    /// Whether the text says that there is no such mailbox or domain, rather than that an account is stopped.
    pub(super) fn speaks_of_missing_address(&self) -> bool {
        DEAD.iter().any(|phrase| self.says(phrase)) || self.has_sentence(false)
    }

    fn has_sentence(&self, or_closed: bool) -> bool {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        sentence::is_of_dead_address(&words, or_closed)
    }
}

/// The phrases of a row.
pub(super) fn phrases(row: &str) -> impl Iterator<Item = &str> {
    row.split('|').map(str::trim)
}

fn push(words: &mut Vec<String>, word: &mut String) {
    if !word.is_empty() {
        words.push(std::mem::take(word));
    }
}

/// Whether a token is an address, a link or the name of a host: what stands in it says nothing.
fn is_name(token: &str) -> bool {
    let bare = token.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let is_host = bare.matches('.').count() >= 2
        && bare
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-'))
        && bare.bytes().any(|byte| byte.is_ascii_lowercase());
    // `mailbox:<ann@example.com>` begins with a word.
    token.contains("://") || bare.starts_with("www.") || is_host || (token.contains('@') && !token.contains(':'))
}
