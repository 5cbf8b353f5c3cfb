//! What reads strangers' bytes, for the fuzzer: the tokens of unsubscribe links.
//!
//! The unit test plays the fuzzer's seeds, so that a target that no longer fits is noticed in every test run.

use ums_core::{Secret, TenantId};

use crate::unsubscribe::LinkTarget;

/// The signing keys of the fuzzed service, newest first. The seeds are signed by the second.
const KEYS: [&str; 2] = ["new-key", "old-key"];

/// A token as it stands in a link, and as a change of a genuine one.
pub fn token(bytes: &[u8]) {
    let keys = KEYS.map(Secret::new);
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Some(target) = LinkTarget::read(text, &keys)
    {
        assert!(
            keys.iter().any(|key| target.token(key) == text),
            "a token that was read is not what the service writes"
        );
    }
    check_change(bytes, &keys);
}

/// The first bytes name a recipient, the rest what is changed in the genuine token: pairs of place and letter.
fn check_change(bytes: &[u8], keys: &[Secret; 2]) {
    let Some((id, rest)) = bytes.split_first_chunk::<16>() else {
        return;
    };
    let Ok(message_id) = format!("{:032x}", u128::from_be_bytes(*id)).parse() else {
        return;
    };
    let genuine = LinkTarget {
        tenant: TenantId::default(),
        message_id,
        recipient: rest.first().copied().unwrap_or_default(),
    };
    let token = genuine.token(&keys[0]);
    assert_eq!(LinkTarget::read(&token, keys), Some(genuine), "a genuine token is read");
    let mut changed = token.clone().into_bytes();
    for pair in rest.chunks_exact(2) {
        let at = usize::from(pair[0]) % changed.len();
        changed[at] = pair[1];
    }
    if let Ok(changed) = String::from_utf8(changed)
        && changed != token
    {
        assert_eq!(LinkTarget::read(&changed, keys), None, "a changed token is read");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_change_of_any_letter_is_seen() {
        for place in 0..=u8::MAX {
            super::token(&[[7; 16].as_slice(), &[place, b'A'], &[place, b'B']].concat());
        }
    }

    #[test]
    fn the_seeds_are_read() {
        for seed in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/token")).unwrap() {
            super::token(&std::fs::read(seed.unwrap().path()).unwrap());
        }
    }
}
