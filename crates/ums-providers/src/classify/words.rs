//! Words by which a provider speaks of the account, the sender, the quota or its own policy, whatever code stands beside them.
//!
//! A provider answers "Sending paused for this account" with the code that it uses for a refused text, too. Such words overrule a code
//! that blames the message or the recipient, and they decide where no table names the code. They never overrule an opt-out, nor a code that
//! says that the message may have been accepted.

use ums_core::FailureClass;

use crate::failure_table::{ANY_CODE, Row, Table, find};

const SES: &str = "Amazon SES developer guide, \"Amazon SES email sending errors\"";
const SES_API: &str = "Amazon SES API reference, errors of SendEmail (v1 and v2)";
const SENDGRID: &str = "twilio.com/docs/sendgrid/api-reference/mail-send/errors";
const SENDGRID_ACCOUNT: &str = "support.sendgrid.com, \"Account under review or suspended\"";
const SENDGRID_IP: &str = "twilio.com/docs/sendgrid/ui/account-and-settings/ip-access-management";
const SNS: &str = "Amazon SNS developer guide, \"SMS sandbox\" and \"Requesting increases to your monthly SMS spend\"";
const SES_POLICY: &str = "Amazon SES developer guide, \"Using sending authorization with Amazon SES\"";
const SNS_PROTECT: &str = "AWS End User Messaging SMS user guide, \"Protect configurations\"";
const TWILIO: &str = "twilio.com/docs/api/errors";
const IAM: &str = "AWS IAM user guide, \"Troubleshooting access denied error messages\"";

const fn quota(words: &'static str, source: &'static str) -> Row {
    Row::of_code(
        ANY_CODE,
        FailureClass::QuotaExhausted,
        "the words speak of an allowance that is used up",
        source,
    )
    .saying(words)
}

const fn rate(words: &'static str, source: &'static str) -> Row {
    Row::of_code(
        ANY_CODE,
        FailureClass::Throttled,
        "the words speak of the speed of the calls",
        source,
    )
    .saying(words)
}

const fn account(words: &'static str, source: &'static str) -> Row {
    Row::of_code(ANY_CODE, FailureClass::Misconfigured, "the words speak of the account", source).saying(words)
}

const fn unsupported(words: &'static str, source: &'static str) -> Row {
    Row::of_code(
        ANY_CODE,
        FailureClass::Unsupported,
        "the words speak of a country that the account does not send to",
        source,
    )
    .saying(words)
}

const fn sender(words: &'static str, source: &'static str) -> Row {
    Row::of_code(ANY_CODE, FailureClass::Misconfigured, "the words speak of the sender", source).saying(words)
}

const fn access(words: &'static str, source: &'static str) -> Row {
    Row::of_code(
        ANY_CODE,
        FailureClass::Misconfigured,
        "the words speak of the key or of what it may do",
        source,
    )
    .saying(words)
}

/// Words about the account, its allowances and its keys; the first row whose words stand in the text decides.
pub(crate) const ACCOUNT_WORDS: Table = &[
    quota("daily…quota", SES),
    quota("daily…limit", SES),
    quota("24 hour…quota", SES),
    quota("monthly…quota", SNS),
    quota("monthly…limit", SNS),
    quota("spend…limit", SNS),
    quota("limit…spend", SNS),
    quota("spend…quota", SNS),
    quota("sending quota", SES),
    quota("quota…exceed", SES),
    quota("exceed…quota", SES),
    quota("quota…reached", SES),
    quota("no quota left", SNS),
    quota("credits exceeded", SENDGRID),
    quota("exceeded…credits", SENDGRID),
    quota("insufficient credit", SENDGRID),
    quota("not enough credit", SENDGRID),
    quota("out of credit", SENDGRID),
    quota("no credits", SENDGRID),
    quota("email limit", SENDGRID),
    quota("credits remaining", SENDGRID),
    quota("more credits", SENDGRID),
    quota("messaging limit", SENDGRID),
    quota("sending limit", SES),
    quota("insufficient funds", TWILIO),
    quota("insufficient balance", TWILIO),
    rate("sending rate", SES),
    rate("rate exceeded", SES),
    rate("rate limit", SENDGRID),
    rate("throttled", SES),
    rate("throttling", SES),
    rate("too many requests", TWILIO),
    unsupported("protect configuration", SNS_PROTECT),
    account("sending…paused", SES_API),
    account("tenant…paused", SES_API),
    account("tenant…suspended", SES_API),
    account("tenant…disabled", SES_API),
    account("sending…suspended", SES),
    account("sending…disabled", SES_API),
    account("sending…not enabled", SES_API),
    account("account…paused", SES),
    account("account…suspended", SENDGRID_ACCOUNT),
    account("account…suspension", SENDGRID_ACCOUNT),
    account("suspended account", SENDGRID_ACCOUNT),
    account("suspended…account", SENDGRID_ACCOUNT),
    account("paused…account", SES),
    account("account…shut down", SES),
    account("account…disabled", SENDGRID_ACCOUNT),
    account("disabled…account", TWILIO),
    account("account…deactivated", SENDGRID_ACCOUNT),
    account("account…cancel", SENDGRID_ACCOUNT),
    account("account…closed", TWILIO),
    account("account…terminated", SENDGRID_ACCOUNT),
    account("account…banned", SENDGRID_ACCOUNT),
    account("account…blocked", SENDGRID_ACCOUNT),
    account("account…locked", SENDGRID_ACCOUNT),
    account("account…frozen", SENDGRID_ACCOUNT),
    account("account…restricted", SENDGRID_ACCOUNT),
    account("account…on hold", SES),
    account("account…review", SENDGRID_ACCOUNT),
    account("under review", SENDGRID_ACCOUNT),
    account("additional review", SNS),
    account("review…account", SENDGRID_ACCOUNT),
    account("account…probation", SES),
    account("account…not active", TWILIO),
    account("account…inactive", TWILIO),
    account("account…not enabled", TWILIO),
    account("account…not allowed", TWILIO),
    account("account…cannot", SES),
    account("not permitted…account", SES),
    account("account…not permitted", SES),
    account("subuser", SENDGRID_ACCOUNT),
    account("account…not authorized", TWILIO),
    account("account…permission", TWILIO),
    account("account…not subscribed", SES),
    account("account…policy", SENDGRID_ACCOUNT),
    account("policy…account", SENDGRID_ACCOUNT),
    account("terms of service", SENDGRID_ACCOUNT),
    account("acceptable use", SENDGRID_ACCOUNT),
    account("account…billing", SENDGRID_ACCOUNT),
    account("billing…account", SENDGRID_ACCOUNT),
    account("past due", SENDGRID_ACCOUNT),
    account("overdue payment", SENDGRID_ACCOUNT),
    account("payment…overdue", SENDGRID_ACCOUNT),
    account("upgrade your", SENDGRID_ACCOUNT),
    account("your plan", SENDGRID_ACCOUNT),
    account("plan…expired", SENDGRID_ACCOUNT),
    account("trial…ended", SENDGRID_ACCOUNT),
    account("trial…expired", SENDGRID_ACCOUNT),
    account("trial account", TWILIO),
    account("account…trial", TWILIO),
    account("sandbox", SNS),
    account("production access", SES_API),
    account("configuration set", SES_API),
    account("configurationset", SES_API),
    account("contact list", SES_API),
    account("sending pool", SES_API),
    account("ip pool", SES_API),
    account("ip_pool", SENDGRID),
    account("not supported in…region", SNS),
    account("not available in…region", SNS),
    account("region…not support", SNS),
    account("region…not enabled", SNS),
    account("region…disabled", SNS),
    account("origination identit", SNS),
    account("origination entit", SNS),
    account("origination number", SNS),
    access("not whitelisted", SENDGRID_IP),
    access("ip…not allowed", SENDGRID_IP),
    access("ip…not authorized", SENDGRID_IP),
    access("ip access", SENDGRID_IP),
    access("access denied", IAM),
    access("access forbidden", SENDGRID),
    access("explicit deny", IAM),
    access("not authorized", IAM),
    access("unauthorized", IAM),
    access("not have permission", IAM),
    access("permission denied", IAM),
    access("insufficient permission", IAM),
    access("lacks permission", IAM),
    access("api key", SENDGRID),
    access("authorization grant", SENDGRID),
    access("security token", IAM),
    access("request signature", IAM),
    access("invalid credentials", IAM),
    access("username…password", SENDGRID),
    access("credentials…expired", IAM),
];

/// Words about the sender. They are looked at first; the refusal of a sender that the caller chose is no fault of the account.
pub(crate) const SENDER_WORDS: Table = &[
    sender("sender identit", SENDGRID),
    sender("verified sender", SENDGRID),
    sender("unauthenticated sender", SENDGRID),
    sender("domain…not verified", SES_API),
    sender("domain…not authenticated", SENDGRID),
    sender("identity…not verified", SES),
    sender("identities failed the check", SES),
    sender("address…not verified", SES),
    sender("address…unverified", SES),
    sender("sender…not verified", SES),
    sender("sender…not allowed", SENDGRID),
    sender("sender…not authorized", SENDGRID),
    sender("from address…not", SENDGRID),
    sender("from email…not", SENDGRID),
    sender("mail from domain", SES_API),
    sender("sending authorization", SES_POLICY),
    sender("identity policy", SES_POLICY),
    sender("identity…not allow", SES_POLICY),
    sender("domain authentication", SENDGRID),
    sender("dkim…not", SES_API),
    sender("sender email…invalid", SENDGRID),
    sender("sender address…invalid", SENDGRID),
    sender("sender…does not exist", SENDGRID),
    sender("invalid sender", SENDGRID),
    sender("no sender", SNS),
    sender("sender id", SNS),
];

/// The row whose words stand in a provider's text, if they may overrule what its code means.
pub(super) fn overruling(of_code: Option<FailureClass>, text: &str) -> Option<(&'static Row, About)> {
    let text = spoken(text);
    let sender = find(SENDER_WORDS, ANY_CODE, &text).map(|row| (row, About::Sender));
    let account = find(ACCOUNT_WORDS, ANY_CODE, &text).map(|row| (row, About::Account));
    let found = account
        .filter(|(row, _)| row.class == FailureClass::QuotaExhausted)
        .or(sender)
        .or(account);
    found.filter(|(row, _)| may_overrule(of_code, row.class))
}

/// What the words are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    Account,
    Sender,
}

/// Whether words of a class overrule a code of another.
const fn may_overrule(of_code: Option<FailureClass>, words: FailureClass) -> bool {
    match of_code {
        // The code blames the message or the recipient, or no table names it.
        None | Some(FailureClass::InvalidMessage | FailureClass::InvalidRecipient) => true,
        // The code has found the account; the words tell that an allowance is used up.
        Some(FailureClass::Misconfigured | FailureClass::Throttled) => matches!(words, FailureClass::QuotaExhausted),
        Some(
            FailureClass::RecipientBlocked
            | FailureClass::ProviderUnsubscribed
            | FailureClass::Unsupported
            | FailureClass::QuotaExhausted
            | FailureClass::Unavailable
            | FailureClass::Unknown
            | FailureClass::LocalShortage,
        ) => false,
    }
}

/// What the provider says itself, in lower case: addresses and what it quotes are the message's words, not its own.
fn spoken(text: &str) -> String {
    let mut spoken = String::with_capacity(text.len());
    let mut quote: Option<char> = None;
    for word in text.split_whitespace() {
        let bare = word.trim_end_matches(['.', ',', ';', ':', '!', ')']);
        let opens = bare.chars().next().filter(|first| quote.is_none() && QUOTES.contains(first));
        let inside = opens.map_or(bare, |first| &bare[first.len_utf8()..]);
        let is_quoted = quote.is_some() || opens.is_some();
        quote = quote.or(opens).filter(|quote| !inside.ends_with(closing(*quote)));
        if !is_quoted && !word.contains('@') {
            spoken.push_str(word);
            spoken.push(' ');
        }
    }
    spoken.to_lowercase()
}

const QUOTES: [char; 4] = ['\'', '"', '`', '“'];

const fn closing(quote: char) -> [char; 2] {
    match quote {
        '`' => ['`', '\''],
        '“' => ['”', '"'],
        other => [other, other],
    }
}

/// The words of a code that no table names: `AccountSendingPausedException`, `ACCOUNT_SENDING_PAUSED`.
pub(super) fn words_of(code: &str) -> String {
    let mut words = String::with_capacity(code.len() + 8);
    let mut last_was_lower = false;
    for c in code.chars() {
        if c.is_ascii_uppercase() && last_was_lower {
            words.push(' ');
        }
        last_was_lower = c.is_ascii_lowercase();
        words.push(if matches!(c, '_' | '-' | '.') {
            ' '
        } else {
            c.to_ascii_lowercase()
        });
    }
    words
}
