//! The words and marks of Rust text: without comments, literals and lifetimes.

/// Words, `::`, and every other mark by itself, in their order. A raw identifier is the word that it stands for.
pub(super) fn tokens(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(length) = comment(rest).or_else(|| literal(rest)).or_else(|| lifetime(rest)) {
            rest = after(rest, length);
            continue;
        }
        let raw = rest.strip_prefix("r#").filter(|word| word_length(word) > 0);
        rest = raw.unwrap_or(rest);
        let length = match word_length(rest) {
            0 if rest.starts_with("::") => 2,
            0 => first.len_utf8(),
            word => word,
        };
        let (token, others) = rest.split_at(length);
        if !first.is_whitespace() {
            found.push(token);
        }
        rest = others;
    }
    found
}

/// Whether a token is a name, a keyword or a number.
pub(super) fn is_word(token: &str) -> bool {
    word_length(token) > 0
}

fn word_length(text: &str) -> usize {
    text.find(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .unwrap_or(text.len())
}

/// The text after so many bytes; nothing when there are fewer.
fn after(text: &str, length: usize) -> &str {
    text.get(length..).unwrap_or_default()
}

/// Length of the comment that the text begins with. Comments in blocks may hold others.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if !text.starts_with("/*") {
        return None;
    }
    let (mut at, mut depth) = (0, 0);
    loop {
        let rest = after(text, at);
        let mark = rest.find("/*").into_iter().chain(rest.find("*/")).min()?;
        depth += if after(rest, mark).starts_with("/*") { 1 } else { -1 };
        at += mark + 2;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Length of the text, byte text or character that the text begins with.
fn literal(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r"].into_iter().find(|prefix| {
        let rest = text.strip_prefix(prefix);
        rest.is_some_and(|rest| rest.starts_with(['"', '\'']) || (prefix.ends_with('r') && rest.starts_with('#')))
    });
    let prefix = prefix.unwrap_or_default();
    let body = after(text, prefix.len());
    let length = if prefix.ends_with('r') {
        let hashes = body.len() - body.trim_start_matches('#').len();
        let inner = after(body, hashes).strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        hashes + 1 + inner.find(&end)? + end.len()
    } else if body.starts_with('"') {
        1 + closing(after(body, 1), '"')?
    } else {
        let inner = body.strip_prefix('\'')?;
        let is_escape = inner.starts_with('\\');
        let is_one_letter = inner.chars().nth(1) == Some('\'');
        // Anything else behind the mark is a lifetime or a label.
        1 + (is_escape || is_one_letter).then(|| closing(inner, '\''))??
    };
    Some(prefix.len() + length)
}

/// Length up to and with the mark that ends a literal with escapes.
fn closing(text: &str, mark: char) -> Option<usize> {
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        if letter == mark {
            return Some(at + 1);
        }
        if letter == '\\' {
            letters.next();
        }
    }
    None
}

/// Length of the lifetime or label that the text begins with.
fn lifetime(text: &str) -> Option<usize> {
    let name = text.strip_prefix('\'')?;
    Some(1 + word_length(name))
}

#[cfg(test)]
mod tests {
    use super::tokens;

    #[test]
    fn comments_literals_and_lifetimes_are_left_out() {
        for (text, expected) in [
            ("a::b /* c /* d */ e */ f // g\nh", &["a", "::", "b", "f", "h"][..]),
            (r#"x("use a; \" // b", y)"#, &["x", "(", ",", "y", ")"]),
            ("r#\"a \"b\" \\\"# c br##\"\"#\"## d", &["c", "d"]),
            (r"b'\'' 'a' '\u{7d}' '(' '\\' e", &["e"]),
            (
                "fn f<'a>(x: &'a str, y: &'static T)",
                &["fn", "f", "<", ">", "(", "x", ":", "&", "str", ",", "y", ":", "&", "T", ")"],
            ),
            ("r#type r rb b", &["type", "r", "rb", "b"]),
            ("c\"x\" b\"y\" 'label: loop {}", &[":", "loop", "{", "}"]),
            ("grün_1 \"open", &["grün_1", "\"", "open"]),
        ] {
            assert_eq!(tokens(text), expected, "{text}");
        }
    }
}
