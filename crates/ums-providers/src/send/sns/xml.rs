//! Texts of elements in SNS's small XML answers.

use quick_xml::Reader;
use quick_xml::events::Event;

/// The text of the first element of each name, wherever it stands. Nothing if the body is not whole XML.
pub(super) fn texts<const N: usize>(body: &[u8], names: [&str; N]) -> Option<[Option<String>; N]> {
    let text = std::str::from_utf8(body).ok()?;
    let mut reader = Reader::from_str(text);
    let mut found = [const { None }; N];
    let (mut depth, mut within, mut current) = (0_usize, None, String::new());
    loop {
        match reader.read_event().ok()? {
            Event::Start(element) => {
                depth += 1;
                within = names.iter().position(|name| element.local_name().as_ref() == *name);
                current.clear();
            }
            Event::Text(piece) if within.is_some() => current.push_str(&piece),
            Event::GeneralRef(reference) if within.is_some() => current.push_str(&resolve(&reference)?),
            Event::End(_) => {
                depth = depth.checked_sub(1)?;
                if let Some(slot) = within.take().and_then(|at| found.get_mut(at))
                    && slot.is_none()
                {
                    *slot = Some(current.trim().to_owned());
                }
            }
            Event::Eof => break,
            Event::Text(_)
            | Event::GeneralRef(_)
            | Event::Empty(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_) => {}
        }
    }
    (depth == 0).then_some(found)
}

fn resolve(reference: &quick_xml::events::BytesRef<'_>) -> Option<String> {
    if let Some(character) = reference.resolve_char_ref().ok()? {
        return Some(character.to_string());
    }
    quick_xml::escape::resolve_xml_entity(reference).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_unescaped_and_only_in_whole_documents() {
        let check = |body: &str, expected: Option<[Option<&str>; 2]>| {
            let found = texts(body.as_bytes(), ["Code", "Message"]);
            assert_eq!(found, expected.map(|texts| texts.map(|text| text.map(str::to_owned))), "{body}");
        };
        check(
            "<E xmlns=\"x\"><Code>A</Code><Message>b &lt;c&gt; &#233;</Message></E>",
            Some([Some("A"), Some("b <c> é")]),
        );
        check("<E><Code>A</Code><Code>B</Code></E>", Some([Some("A"), None]));
        check("<E><Code></Code></E>", Some([Some(""), None]));
        check("<E/>", Some([None, None]));
        check("", Some([None, None]));
        check("<E><Code>A</Code>", None);
        check("<E><Code>A</Cod", None);
        check("<html><br></html>", None);
        check("<!DOCTYPE x [<!ENTITY a \"b\">]><E><Code>&a;</Code></E>", None);
    }
}
