//! An error with everything that caused it.

use std::error::Error;
use std::io;

use crate::failure::redact;

/// An error and what caused it, outermost first.
pub(crate) fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&cause| {
        // `source` of an `io::Error` skips the error that it carries.
        let carried = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        carried.map(|inner| inner as &(dyn Error + 'static)).or_else(|| cause.source())
    })
}

/// An error with its causes in one line, for the log. Redacted, because a driver's text may hold anything.
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = causes(error).map(ToString::to_string).collect();
    // An error that only wraps another one says the same.
    texts.dedup();
    redact(&texts.join(": "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoreError;

    #[test]
    fn causes_are_told_in_order_once_and_redacted() {
        let refused = || io::Error::new(io::ErrorKind::ConnectionRefused, "connection refused\nfor jane@example.com");
        let wrapped = io::Error::other(refused());
        for (error, expected) in [
            (StoreError::NotFound, "there is no such message"),
            (
                StoreError::Unavailable(Box::new(refused())),
                "the store is not available: connection refused for j***@e***",
            ),
            (
                StoreError::Unavailable(Box::new(wrapped)),
                "the store is not available: connection refused for j***@e***",
            ),
        ] {
            assert_eq!(with_causes(&error), expected);
        }
    }
}
