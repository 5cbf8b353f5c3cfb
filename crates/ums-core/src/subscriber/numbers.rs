//! Numbers that are surely one subscriber, written in two or more ways.
//!
//! A number has the calling code, an area, a *mark* that the plan asks for at one time or in one direction and not in another, and the rest.
//! A row names the marks between which nothing tells two subscribers apart. A change of plan that depends on more than the digits, or that no
//! network and no provider shows any more, is no row.
//!
//! Looked at and left out: a fixed line in all countries (texts go to mobiles); the Argentine 15, which stands within the number at a place that
//! the digits do not tell; Brazil's 7x, whose radio services kept eight digits while 97x went to others; Kosovo's +377 44 and +386 49, which
//! Monaco and Slovenia have again; Italy's leading zero, without which a number is a mobile or none; a trunk prefix after the calling code
//! (`+44 07…`), which is no E.164.

/// One way in which numbers of a plan differ and mean the same subscriber.
struct Row {
    /// What the number begins with: the calling code, or as much of it as the spellings share.
    head: &'static str,
    /// Digits between the head and the mark: the area.
    area: usize,
    /// The marks; the first is today's, and stands in the key.
    marks: &'static [&'static str],
    /// Digits after the mark.
    rest: usize,
    /// Digits that the rest may begin with, place by place.
    begins: &'static [&'static str],
}

const ROWS: &[Row] = &[
    // Mexico: +52 1 before mobiles, dropped on 2019-08-03. Both are still seen, and providers report replies by the old one.
    // Source: IFT, press release 34/2019; twilio.com/en/guidelines/mx/sms ("removed the need to add a 1 after the country code").
    Row {
        head: "+52",
        area: 0,
        marks: &["", "1"],
        rest: 10,
        begins: &["23456789"],
    },
    // Argentina: +54 9 to call a mobile from abroad, +54 to text it; the ten digits after it are one number of the national plan.
    // Source: ENACOM, Plan Fundamental de Numeración Nacional; libphonenumber AR, where a mobile is 9 and the ten digits.
    Row {
        head: "+54",
        area: 0,
        marks: &["9", ""],
        rest: 10,
        begins: &["123"],
    },
    // Brazil: the ninth digit before mobiles, area by area from 2012 to 2016.
    // Source: Anatel, Resolução 553/2010; libphonenumber BR ("pre-transition mobile numbers"; "mobile radio services were not migrated").
    Row {
        head: "+55",
        area: 2,
        marks: &["9", ""],
        rest: 8,
        begins: &["689"],
    },
    // Benin: 01 before every number since 2024-11-30.
    // Source: ARCEP Bénin, plan national de numérotage à dix chiffres; libphonenumber BJ.
    Row {
        head: "+229",
        area: 0,
        marks: &["01", ""],
        rest: 8,
        begins: &["4569"],
    },
    // Côte d'Ivoire: the operator's two digits before the eight since 2021-01-31; the second of the eight tells the operator.
    // Source: ARTCI, passage du plan national de numérotation à dix chiffres; 01 Moov, 05 MTN, 07 Orange.
    Row {
        head: "+225",
        area: 0,
        marks: &["01", ""],
        rest: 8,
        begins: &["0457", "0123"],
    },
    Row {
        head: "+225",
        area: 0,
        marks: &["05", ""],
        rest: 8,
        begins: &["0456789", "456"],
    },
    Row {
        head: "+225",
        area: 0,
        marks: &["07", ""],
        rest: 8,
        begins: &["0456789", "789"],
    },
    // Gabon: 0[256] became 6[256], 0[47] became 7[47] on 2019-11-15; the old ones were written with and without the 0.
    // Source: libphonenumber GA ("the prefixes 0[256] are changed to 6[256] respectively and similarly 0[47] changed to 7[47]").
    gabon(&["62", "02", "2"]),
    gabon(&["65", "05", "5"]),
    gabon(&["66", "06", "6"]),
    gabon(&["74", "04", "4"]),
    gabon(&["77", "07", "7"]),
    // Palestine: mobiles are reached by +970 and by +972.
    // Source: libphonenumber PS ("can be reached through the Israeli country code (972) in addition").
    Row {
        head: "+97",
        area: 0,
        marks: &["0", "2"],
        rest: 9,
        begins: &["5", "69"],
    },
];

const fn gabon(marks: &'static [&'static str]) -> Row {
    Row {
        head: "+241",
        area: 0,
        marks,
        rest: 6,
        begins: &[],
    }
}

/// A number taken apart by a row.
struct Parts<'a> {
    row: &'static Row,
    mark: &'static str,
    area: &'a str,
    rest: &'a str,
}

impl Row {
    fn split<'a>(&'static self, number: &'a str) -> Option<Parts<'a>> {
        let tail = number.strip_prefix(self.head)?;
        let (area, tail) = tail.split_at_checked(self.area)?;
        self.marks.iter().find_map(|mark| {
            let rest = tail.strip_prefix(mark).filter(|rest| self.takes(rest))?;
            Some(Parts {
                row: self,
                mark,
                area,
                rest,
            })
        })
    }

    fn takes(&self, rest: &str) -> bool {
        let begins = || self.begins.iter().zip(rest.chars()).all(|(digits, digit)| digits.contains(digit));
        rest.len() == self.rest && begins()
    }
}

impl Parts<'_> {
    fn with(&self, mark: &str) -> String {
        [self.row.head, self.area, mark, self.rest].concat()
    }

    fn today(&self) -> String {
        self.with(self.row.marks.first().copied().unwrap_or(self.mark))
    }
}

fn parts(number: &str) -> Option<Parts<'_>> {
    let is_e164 = number
        .strip_prefix('+')
        .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    ROWS.iter().filter(|_| is_e164).find_map(|row| row.split(number))
}

/// The number in today's spelling.
pub(super) fn today(number: &str) -> String {
    parts(number).map_or_else(|| number.to_owned(), |parts| parts.today())
}

/// Every spelling of the number.
pub(super) fn spellings(number: &str) -> Vec<String> {
    match parts(number) {
        None => vec![number.to_owned()],
        Some(parts) => parts.row.marks.iter().map(|mark| parts.with(mark)).collect(),
    }
}

#[cfg(test)]
mod tests;
