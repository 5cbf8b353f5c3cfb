//! One key for each subscriber, whatever the spelling of the address.
//!
//! The suppression list keeps an address as it was reported, and a look at the list asks for every spelling of it: entries that another
//! release wrote hold, and nothing is rewritten. What is compared in memory is compared by [`subscriber_key`]. What is *sent* to is never
//! changed: the caller's number stays as the caller wrote it.
//!
//! Folded, because mail systems or numbering plans make them one: the letter case of an e-mail address, the forms of its domain by IDNA, the
//! dot of the root at its end, and the numbers of the [table](numbers). Not folded, because two people may have them: tags (`ann+news@`) and
//! dots (`a.nn@`), which only some providers ignore; `googlemail.com` and `gmail.com`; `ß` and `ss`, `ı` and `i`, full-width letters before
//! the `@`, which are other characters there (RFC 6532 §3.1 asks for NFC, no more). The suppression list alone folds the last three, except `ı`
//! ([`listed_key`]).

mod numbers;

use icu_normalizer::ComposingNormalizer;

use crate::Channel;

/// The key by which subscribers are compared: equal for two addresses of one subscriber, different for those of two.
pub fn subscriber_key(channel: Channel, address: &str) -> String {
    match channel {
        Channel::Email => folded_mail(address),
        Channel::Sms => numbers::today(address),
    }
}

/// The key by which the suppression list compares: as [`subscriber_key`], and an e-mail address's characters by NFKC and full case folding, too
/// (`ａnn` and `ann`, `straße` and `strasse`). Only the list does so: it spares an address too many rather than one too few.
pub fn listed_key(channel: Channel, address: &str) -> String {
    match channel {
        Channel::Email => listed_mail(address),
        Channel::Sms => numbers::today(address),
    }
}

/// An e-mail address as the suppression list keeps it.
pub(crate) fn listed_mail(address: &str) -> String {
    let folded = folded_mail(address);
    match folded.rsplit_once('@').filter(|(local, _)| !local.is_ascii()) {
        // The domain is another mailbox's where IDNA keeps it apart.
        Some((local, domain)) => format!("{}@{domain}", compatible(local)),
        None => folded,
    }
}

/// Folds by NFKC and full case folding, so that what looks or sounds like one text is one. `ı` stays, as in Unicode's own table.
pub(crate) fn compatible(text: &str) -> String {
    let nfkc = ComposingNormalizer::new_nfkc();
    let mut folded = String::with_capacity(text.len());
    for letter in nfkc.normalize(text).chars() {
        if letter == 'ı' {
            folded.push(letter);
        } else {
            folded.extend(letter.to_uppercase().flat_map(char::to_lowercase));
        }
    }
    nfkc.normalize(&folded).into_owned()
}

/// Whether an address is spelled as its numbering plan has it today. E-mail addresses have no older spelling.
pub(crate) fn is_todays_spelling(channel: Channel, address: &str) -> bool {
    channel == Channel::Email || numbers::today(address) == address
}

/// Every spelling of a subscriber under which the suppression list may keep an entry, each once.
pub fn spellings(channel: Channel, address: &str) -> Vec<String> {
    match channel {
        Channel::Email => {
            let mut all = vec![listed_mail(address)];
            // As releases before wrote it.
            for earlier in [folded_mail(address), address.to_lowercase()] {
                if !all.contains(&earlier) {
                    all.push(earlier);
                }
            }
            all
        }
        Channel::Sms => numbers::spellings(address),
    }
}

/// An e-mail address without what its spellings differ in.
pub(crate) fn folded_mail(address: &str) -> String {
    if address.is_ascii() {
        let mut folded = address.to_ascii_lowercase();
        if folded.ends_with('.') {
            folded.pop();
        }
        return folded;
    }
    match address.rsplit_once('@') {
        Some((local, domain)) => format!("{}@{}", fold(local), ascii_domain(domain)),
        None => fold(address),
    }
}

/// A domain in ASCII by UTS 46, which folds case, width and the four dots of IDNA; RFC 5890 §2.3.2.4 makes both forms equivalent.
fn ascii_domain(domain: &str) -> String {
    let ascii = idna::domain_to_ascii(domain).unwrap_or_else(|_| fold(domain));
    ascii.strip_suffix('.').map(str::to_owned).unwrap_or(ascii)
}

/// Folds case character by character and composes, so that two spellings of one text are equal. The capital form decides (`ς` and `σ` are
/// both `Σ`); a letter without one of a single character stays (`ß`), and so does `ı`, whose capital is another letter's.
pub fn fold(text: &str) -> String {
    let nfc = ComposingNormalizer::new_nfc();
    let mut folded = String::with_capacity(text.len());
    for letter in nfc.normalize(text).chars() {
        let mut upper = letter.to_uppercase();
        let capital = match (upper.next(), upper.next()) {
            (Some(capital), None) if letter != 'ı' => capital,
            _ => letter,
        };
        folded.extend(capital.to_lowercase());
    }
    nfc.normalize(&folded).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(channel: Channel, one: &str, other: &str) -> bool {
        subscriber_key(channel, one) == subscriber_key(channel, other)
    }

    #[test]
    fn spellings_of_one_mailbox_have_one_key() {
        for (a, b) in [
            ("ann@example.com", "Ann@EXAMPLE.com"),
            ("ann@example.com", "ann@example.com."),
            ("kunde@bücher.example", "kunde@xn--bcher-kva.example"),
            ("kunde@BÜCHER.example", "Kunde@XN--BCHER-KVA.EXAMPLE."),
            ("kunde@bu\u{308}cher.example", "kunde@bücher.example"),
            ("kunde@bücher。example", "kunde@bücher．example．"),
            ("kunde@ｂücher.example", "kunde@bücher.example"),
            ("JÜRGEN@example.com", "ju\u{308}rgen@example.com"),
            ("ΝΙΚΟΣ@example.com", "νικος@example.com"),
            ("νικοσ@example.com", "νικος@example.com"),
            ("İpek@example.com", "i\u{307}pek@example.com"),
        ] {
            assert!(one(Channel::Email, a, b), "{a} {b}");
        }
    }

    #[test]
    fn mailboxes_that_two_people_may_have_keep_two_keys() {
        for (a, b) in [
            ("ann+news@example.com", "ann@example.com"),
            ("a.nn@gmail.com", "ann@gmail.com"),
            ("ann@googlemail.com", "ann@gmail.com"),
            ("straße@example.com", "strasse@example.com"),
            ("ann@straße.example", "ann@strasse.example"),
            ("kırmızı@example.com", "kirmizi@example.com"),
            ("ａnn@example.com", "ann@example.com"),
            ("jurgen@example.com", "jürgen@example.com"),
            ("ann@mail.example.com", "ann@example.com"),
        ] {
            assert!(!one(Channel::Email, a, b), "{a} {b}");
        }
    }

    #[test]
    fn the_list_alone_folds_what_looks_alike() {
        let listed = |address: &str| listed_key(Channel::Email, address);
        for (a, b) in [
            ("ａnn@example.com", "ann@example.com"),
            ("straße@example.com", "STRASSE@example.com"),
            ("o\u{fb03}ce@example.com", "office@example.com"),
            ("ann\u{2460}@example.com", "Ann1@example.com"),
            ("νικος@example.com", "ΝΙΚΟΣ@example.com"),
        ] {
            assert_eq!(listed(a), listed(b), "{a} {b}");
            assert!(spellings(Channel::Email, a).contains(&listed(b)), "{a} {b}");
        }
        for (a, b) in [
            ("kırmızı@example.com", "kirmizi@example.com"),
            ("ann@straße.example", "ann@strasse.example"),
            ("jurgen@example.com", "jürgen@example.com"),
            ("ann+news@example.com", "ann@example.com"),
        ] {
            assert_ne!(listed(a), listed(b), "{a} {b}");
        }
        assert_ne!(subscriber_key(Channel::Email, "ａnn@example.com"), "ann@example.com");
    }

    #[test]
    fn an_entry_of_the_release_before_is_found_by_the_spelling_that_it_has() {
        for address in ["ΝΙΚΟΣ@example.com", "kunde@Bücher.example", "Ann@example.com.", "ann@example.com"] {
            assert!(spellings(Channel::Email, address).contains(&address.to_lowercase()), "{address}");
        }
    }

    proptest! {
        #[test]
        fn a_key_is_its_own_key_and_case_does_not_change_it(address in "[a-zäöüσςéıß.+]{1,8}@[a-zäöüσ]{1,8}\\.example") {
            let key = subscriber_key(Channel::Email, &address);
            prop_assert_eq!(&subscriber_key(Channel::Email, &key), &key);
            prop_assert_eq!(&subscriber_key(Channel::Email, &format!("{address}.")), &key);
            // The capital of ß is not ß, and that of ı is not its own.
            if !address.contains(['ß', 'ı']) {
                prop_assert_eq!(&subscriber_key(Channel::Email, &address.to_uppercase()), &key);
            }
            prop_assert!(spellings(Channel::Email, &address).contains(&key));
            let listed = listed_key(Channel::Email, &address);
            prop_assert_eq!(&listed_key(Channel::Email, &listed), &listed);
            prop_assert_eq!(&listed_key(Channel::Email, &key), &listed, "what is one elsewhere is one on the list");
        }
    }
}
