//! AUTH PLAIN and AUTH LOGIN (RFC 4954): any credentials of the right form pass.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const ACCEPTED: &str = "235 2.7.0 Authentication successful";
const MALFORMED: &str = "501 5.5.2 Cannot decode";
const INVALID: &str = "535 5.7.8 Authentication credentials invalid";
/// `Username:` and `Password:`, encoded as the mechanism wants it.
const ASK_USER: &str = "334 VXNlcm5hbWU6";
const ASK_PASSWORD: &str = "334 UGFzc3dvcmQ6";

/// How far the login has come.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Login {
    #[default]
    None,
    AwaitsPlain,
    AwaitsUser,
    AwaitsPassword,
    Done,
}

impl Login {
    /// The next line belongs to the login.
    pub(super) fn is_open(self) -> bool {
        matches!(self, Self::AwaitsPlain | Self::AwaitsUser | Self::AwaitsPassword)
    }

    pub(super) fn is_done(self) -> bool {
        self == Self::Done
    }

    /// Begins a login; returns the reply.
    pub(super) fn begin(&mut self, mechanism: &str, initial: Option<&[u8]>) -> &'static str {
        let (next, question) = match mechanism {
            "PLAIN" => (Self::AwaitsPlain, "334 "),
            "LOGIN" => (Self::AwaitsUser, ASK_USER),
            _ => return "504 5.5.4 Mechanism not supported",
        };
        *self = next;
        match initial {
            None => question,
            Some(line) => self.go_on(line),
        }
    }

    /// Takes a line of the login; returns the reply.
    pub(super) fn go_on(&mut self, line: &[u8]) -> &'static str {
        let step = std::mem::take(self);
        if line == b"*" {
            return "501 5.7.0 Authentication cancelled";
        }
        // A lone `=` stands for nothing at all.
        let line = if line == b"=" { b"" } else { line };
        let Ok(decoded) = STANDARD.decode(line.trim_ascii()) else {
            return MALFORMED;
        };
        match step {
            Self::AwaitsPlain => self.settle(is_plain(&decoded)),
            Self::AwaitsUser if decoded.is_empty() => INVALID,
            Self::AwaitsUser => {
                *self = Self::AwaitsPassword;
                ASK_PASSWORD
            }
            Self::AwaitsPassword => self.settle(!decoded.is_empty()),
            Self::None | Self::Done => MALFORMED,
        }
    }

    fn settle(&mut self, is_valid: bool) -> &'static str {
        if is_valid {
            *self = Self::Done;
            ACCEPTED
        } else {
            INVALID
        }
    }
}

/// Tells whether this is `[authzid] NUL user NUL password`, with both filled.
fn is_plain(decoded: &[u8]) -> bool {
    let parts: Vec<&[u8]> = decoded.split(|&byte| byte == 0).collect();
    matches!(parts.as_slice(), [_, user, password] if !user.is_empty() && !password.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_and_login_pass() {
        let mut login = Login::default();
        assert_eq!(login.begin("PLAIN", Some(b"AHUAcA==")), ACCEPTED);
        assert!(login.is_done());
        let mut login = Login::default();
        assert_eq!(login.begin("LOGIN", None), ASK_USER);
        assert_eq!(login.go_on(b"dQ=="), ASK_PASSWORD);
        assert_eq!(login.go_on(b"cA=="), ACCEPTED);
    }

    #[test]
    fn bad_forms_do_not_pass() {
        let check = |mechanism: &str, initial: &[u8], reply: &str| {
            let mut login = Login::default();
            assert_eq!(login.begin(mechanism, Some(initial)), reply);
            assert_eq!(login, Login::None);
        };
        check("PLAIN", b"*", "501 5.7.0 Authentication cancelled");
        check("PLAIN", b"!!", MALFORMED);
        check("PLAIN", b"=", INVALID);
        check("PLAIN", b"AHUA", INVALID);
        check("LOGIN", b"=", INVALID);
        check("CRAM-MD5", b"", "504 5.5.4 Mechanism not supported");
    }
}
