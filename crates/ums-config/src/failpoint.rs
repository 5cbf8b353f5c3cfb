//! Where a build for tests ends itself: `UMS_FAILPOINT=name:nth`, as `intent.committed:3`. In no page, because in a release build it
//! does nothing.

use std::num::NonZeroU32;

/// The name that is read.
pub(crate) const NAME: &str = "UMS_FAILPOINT";

/// The point of this process and how often it is passed until it ends the process; none in a release build.
pub fn failpoint() -> Option<(String, NonZeroU32)> {
    if cfg!(debug_assertions) {
        parse(&crate::Source::get(&crate::ProcessEnv, NAME)?)
    } else {
        None
    }
}

fn parse(text: &str) -> Option<(String, NonZeroU32)> {
    let (name, nth) = text.trim().rsplit_once(':').unwrap_or((text.trim(), "1"));
    Some((name.to_owned(), nth.parse().ok()?)).filter(|(name, _)| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_named_with_its_count() {
        let one = |name: &str, nth: u32| Some((name.to_owned(), NonZeroU32::new(nth).unwrap()));
        assert_eq!(parse("intent.committed:3"), one("intent.committed", 3));
        assert_eq!(parse("intent.committed"), one("intent.committed", 1));
        assert_eq!((parse(":1"), parse("a:0"), parse("a:b")), (None, None, None));
    }
}
