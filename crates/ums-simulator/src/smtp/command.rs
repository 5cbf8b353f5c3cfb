//! Commands, read from their lines.

/// Longest line of a command or of a login, in bytes, its end included.
pub(super) const MAX_LINE: usize = 12_288;

/// Extension parameters by name, in capitals.
pub(super) type Params = Vec<(String, String)>;

#[derive(Debug, Eq, PartialEq)]
pub(super) enum Command {
    Hello { extended: bool },
    Auth { mechanism: String, initial: Option<Vec<u8>> },
    Mail { from: String, params: Params },
    Rcpt { to: String, params: Params },
    Data,
    Reset,
    Noop,
    Verify,
    Help,
    Quit,
}

impl Command {
    /// Reads a line; the error is the reply to it.
    pub(super) fn parse(line: &[u8]) -> Result<Self, &'static str> {
        let Ok(line) = std::str::from_utf8(line) else {
            return Err("500 5.5.2 Only ASCII is understood");
        };
        let line = line.trim_end();
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim();
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" | "HELO" if rest.is_empty() => Err("501 5.5.4 Give your name"),
            "EHLO" => Ok(Self::Hello { extended: true }),
            "HELO" => Ok(Self::Hello { extended: false }),
            "AUTH" => auth(rest),
            "MAIL" => {
                let (from, params) = path(rest, "FROM:")?;
                Ok(Self::Mail { from, params })
            }
            "RCPT" => {
                let (to, params) = path(rest, "TO:")?;
                Ok(Self::Rcpt { to, params })
            }
            "DATA" => Ok(Self::Data),
            "RSET" => Ok(Self::Reset),
            "NOOP" => Ok(Self::Noop),
            "VRFY" => Ok(Self::Verify),
            "HELP" => Ok(Self::Help),
            "QUIT" => Ok(Self::Quit),
            "STARTTLS" | "EXPN" | "ETRN" | "BDAT" | "TURN" => Err("502 5.5.1 Not implemented"),
            _ => Err("500 5.5.2 Command not recognised"),
        }
    }
}

fn auth(rest: &str) -> Result<Command, &'static str> {
    let mut words = rest.split_ascii_whitespace();
    let mechanism = words.next().ok_or("501 5.5.4 Name a mechanism")?;
    let initial = words.next().map(|word| word.as_bytes().to_vec());
    Ok(Command::Auth {
        mechanism: mechanism.to_ascii_uppercase(),
        initial,
    })
}

/// Reads `FROM:<a@b> NAME=value …`.
fn path(rest: &str, keyword: &str) -> Result<(String, Params), &'static str> {
    let syntax = "501 5.5.4 Syntax: MAIL FROM:<address> or RCPT TO:<address>";
    let head = rest.get(..keyword.len()).unwrap_or_default();
    if !head.eq_ignore_ascii_case(keyword) {
        return Err(syntax);
    }
    let rest = rest[keyword.len()..].trim_start();
    let inner = rest.strip_prefix('<').ok_or(syntax)?;
    let (address, params) = inner.split_once('>').ok_or(syntax)?;
    if !address.is_ascii() {
        return Err("553 5.6.7 Addresses beyond ASCII are not taken here");
    }
    // A source route before the address is to be ignored (RFC 5321, appendix C).
    let address = match address.strip_prefix('@').and_then(|it| it.split_once(':')) {
        Some((_, address)) => address,
        None => address,
    };
    let params = params
        .split_ascii_whitespace()
        .map(|param| {
            let (name, value) = param.split_once('=').unwrap_or((param, ""));
            (name.to_ascii_uppercase(), value.to_owned())
        })
        .collect();
    Ok((address.to_owned(), params))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_with_their_parameters() {
        let params = vec![("SIZE".to_owned(), "10".to_owned()), ("ENVID".to_owned(), "x1".to_owned())];
        let from = "a@b.example".to_owned();
        assert_eq!(
            Command::parse(b"mail from: <a@b.example> size=10 ENVID=x1"),
            Ok(Command::Mail { from, params })
        );
        let bounce = Command::parse(b"MAIL FROM:<>");
        assert_eq!(
            bounce,
            Ok(Command::Mail {
                from: String::new(),
                params: Vec::new()
            })
        );
        let routed = Command::parse(b"RCPT TO:<@relay.example:a@b.example>");
        assert_eq!(
            routed,
            Ok(Command::Rcpt {
                to: "a@b.example".to_owned(),
                params: Vec::new()
            })
        );
    }

    #[test]
    fn nonsense_is_answered() {
        for line in [
            &b"MAIL FROM a@b.example"[..],
            b"MAIL",
            b"MAIL FROM:\xc3\xa9",
            b"RCPT TO:<a@b.example",
            b"\xff\xfe",
            b"",
            b"EHLO",
            b"AUTH",
        ] {
            let reply = Command::parse(line).expect_err("nonsense");
            assert!(reply.starts_with('5'), "{reply}");
        }
    }
}
