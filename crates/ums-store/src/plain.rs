//! Plain forms of what is written, for a database that refuses it for its data.
//!
//! A step tells what became of a call, and that must not be lost because of a text beside it. So a refused step is written again with its
//! texts replaced, and so is a new message with the texts that we put beside it. Statuses, times, outcomes, recipients, what goes on the
//! suppression list, and what a caller wants to be sent stay as they are.

use std::sync::Arc;

use ums_core::{
    AttemptRecord, EventRecord, FeedbackStep, ListNotice, MessageId, NewMessage, Notice, Parked, RecipientRecord, Skip, Step, StoreError,
    Suppression,
};

use crate::encoded::Encoded;

/// What stands for a text that the database refuses.
const REPLACED: &str = "(replaced)";
/// Longest plain text, in bytes.
const PLAIN_BYTES: usize = 200;
/// Longest id of a message at a provider that stays, in bytes.
const ID_BYTES: usize = 255;

/// How much of a text is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The printable characters of ASCII, and not too many of them.
    Ascii,
    /// Nothing.
    Empty,
}

/// The forms in which a refused step is written again, one after the other.
const FORMS: [Form; 2] = [Form::Ascii, Form::Empty];

/// Writes a step; while the database refuses it for its data, in plainer forms.
///
/// # Errors
/// [`StoreError::Unavailable`] if the database refuses every form: the outcome of a call must not be forgotten, so the caller writes the step
/// again when somebody has changed the database.
pub(crate) async fn until_taken<F>(step: Step, write: impl Fn(Arc<Step>) -> F) -> Result<(), StoreError>
where
    F: Future<Output = Result<(), StoreError>>,
{
    let step = Arc::new(step);
    let mut taken = write(Arc::clone(&step)).await;
    for form in FORMS {
        let Err(StoreError::RefusedData(place)) = &taken else { break };
        tell(step.message_id, place);
        taken = write(Arc::new(form.of_step(&step))).await;
    }
    taken.map_err(give_up)
}

/// Stores new messages; while the database refuses them for their data, with plainer forms of our texts.
///
/// # Errors
/// [`StoreError::RefusedData`] if the database refuses what the caller wants to be sent.
pub(crate) async fn until_stored<T, F>(rows: Arc<[Encoded]>, write: impl Fn(Arc<[Encoded]>) -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut stored = write(Arc::clone(&rows)).await;
    for form in FORMS {
        let Err(StoreError::RefusedData(place)) = &stored else { break };
        tracing::warn!(place, "the database refuses a new message; it is written with our texts replaced");
        let plain = rows.iter().map(|row| Encoded::new(form.of_new(&row.new)));
        stored = write(plain.collect::<Result<_, _>>()?).await;
    }
    stored
}

/// Takes the steps of a batch one by one; those that the database refuses for their data, in plainer forms.
///
/// # Errors
/// As [`until_taken`].
pub(crate) async fn one_by_one<T, F>(steps: &[FeedbackStep], take: impl Fn(FeedbackStep) -> F) -> Result<Vec<T>, StoreError>
where
    F: Future<Output = Result<Vec<T>, StoreError>>,
{
    let mut answers = Vec::with_capacity(steps.len());
    for step in steps {
        let mut taken = take(step.clone()).await;
        for form in FORMS {
            let Err(StoreError::RefusedData(place)) = &taken else { break };
            if let FeedbackStep::Apply(step) = step {
                tell(step.message_id, place);
            }
            taken = take(form.of_feedback(step)).await;
        }
        answers.append(&mut taken.map_err(give_up)?);
    }
    Ok(answers)
}

fn tell(message_id: MessageId, place: &str) {
    tracing::warn!(%message_id, place, "the database refuses a text; the step is written with its texts replaced");
}

fn give_up(error: StoreError) -> StoreError {
    if let StoreError::RefusedData(place) = error {
        return StoreError::Unavailable(format!("the database refuses the step without its texts, too: {place}").into());
    }
    error
}

impl Form {
    fn of_text(self, text: &str) -> String {
        match self {
            Self::Ascii => {
                let plain = text.chars().take(PLAIN_BYTES);
                plain.map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).collect()
            }
            Self::Empty => REPLACED.to_owned(),
        }
    }

    fn of_optional(self, text: Option<&String>) -> Option<String> {
        text.map(|text| self.of_text(text))
    }

    /// A provider's id of a message is whole or missing: half of it would name another message.
    fn of_id(self, id: Option<&String>) -> Option<String> {
        let stays = |id: &&String| self == Self::Ascii && id.len() <= ID_BYTES && id.bytes().all(|byte| byte.is_ascii_graphic());
        id.filter(stays).cloned()
    }

    fn of_step(self, step: &Step) -> Step {
        let mut step = step.clone();
        step.error = self.of_optional(step.error.as_ref());
        for attempt in &mut step.attempts {
            self.simplify_attempt(attempt);
        }
        self.simplify_reasons(&mut step.skips, step.recipients.as_deref_mut().unwrap_or_default());
        if let Some(act) = &mut step.act {
            act.detail = self.of_text(&act.detail);
        }
        for record in &mut step.events {
            self.simplify_event(record);
        }
        self.simplify_entries(&mut step.suppress);
        simplify_notices(&mut step.notices, &mut step.list_notices);
        step
    }

    fn of_new(self, new: &NewMessage) -> NewMessage {
        let mut new = new.clone();
        new.error = self.of_optional(new.error.as_ref());
        self.simplify_reasons(&mut new.skips, &mut new.recipients);
        simplify_notices(&mut new.notices, &mut []);
        new
    }

    fn of_feedback(self, step: &FeedbackStep) -> FeedbackStep {
        match step {
            FeedbackStep::Apply(step) => FeedbackStep::Apply(Box::new(self.of_step(step))),
            FeedbackStep::Park(parked) => {
                let mut parked: Box<Parked> = parked.clone();
                self.simplify_event(&mut parked.record);
                self.simplify_entries(&mut parked.suppress);
                simplify_notices(&mut [], &mut parked.notices);
                FeedbackStep::Park(parked)
            }
        }
    }

    fn simplify_reasons(self, skips: &mut [Skip], recipients: &mut [RecipientRecord]) {
        for skip in skips {
            skip.detail = self.of_text(&skip.detail);
        }
        for recipient in recipients {
            recipient.reason = self.of_optional(recipient.reason.as_ref());
        }
    }

    fn simplify_attempt(self, attempt: &mut AttemptRecord) {
        attempt.code = self.of_optional(attempt.code.as_ref());
        attempt.detail = self.of_optional(attempt.detail.as_ref());
        attempt.provider_message_id = self.of_id(attempt.provider_message_id.as_ref());
        for refused in &mut attempt.refused {
            refused.failure.code = self.of_text(&refused.failure.code);
            refused.failure.detail = self.of_text(&refused.failure.detail);
        }
    }

    fn simplify_event(self, record: &mut EventRecord) {
        let event = &mut record.event;
        // A repeated report must have the same id, and another report must not.
        event.id = event.id.escape_default().to_string();
        event.word = self.of_text(&event.word);
        event.code = self.of_optional(event.code.as_ref());
        event.detail = self.of_optional(event.detail.as_ref());
        event.raw = self.of_optional(event.raw.as_ref());
        event.about.provider_message_id = self.of_id(event.about.provider_message_id.as_ref());
    }

    fn simplify_entries(self, entries: &mut [Suppression]) {
        for entry in entries {
            entry.detail = self.of_optional(entry.detail.as_ref());
        }
    }
}

/// Bodies are JSON, which says everything in ASCII; they stay what they are.
fn simplify_notices(notices: &mut [Notice], of_list: &mut [ListNotice]) {
    for notice in notices.iter_mut().chain(of_list.iter_mut().map(|notice| &mut notice.notice)) {
        notice.body = ascii_json(&notice.body);
    }
}

/// The same JSON in ASCII: other characters stand within strings only, where JSON escapes them (RFC 8259, section 7).
fn ascii_json(json: &str) -> String {
    use std::fmt::Write as _;
    json.chars().fold(String::with_capacity(json.len()), |mut text, c| {
        if c.is_ascii() {
            text.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _written = write!(text, "\\u{unit:04x}");
            }
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_keeps_what_any_database_holds_or_nothing() {
        for (text, ascii) in [
            ("550 5.1.1 no such user", "550 5.1.1 no such user"),
            ("caf\u{e9} \u{1f600}\0\r\n", "caf? ????"),
            ("", ""),
        ] {
            assert_eq!(Form::Ascii.of_text(text), ascii);
            assert_eq!(Form::Empty.of_text(text), REPLACED);
        }
        assert_eq!(Form::Ascii.of_text(&"\u{e9}".repeat(5_000)), "?".repeat(PLAIN_BYTES));
    }

    #[test]
    fn an_id_is_whole_or_missing() {
        for (id, form, kept) in [
            ("0100-abc", Form::Ascii, true),
            ("0100-abc", Form::Empty, false),
            ("01\u{e9}", Form::Ascii, false),
            ("a b", Form::Ascii, false),
        ] {
            assert_eq!(form.of_id(Some(&id.to_owned())), kept.then(|| id.to_owned()), "{id}");
        }
        assert_eq!(Form::Ascii.of_id(Some(&"1".repeat(256))), None);
    }

    #[test]
    fn json_in_ascii_says_the_same() {
        let json = r#"{"a":"café 😀 \" \\ \n","ß":[1,null]}"#;
        let ascii = ascii_json(json);
        assert!(ascii.is_ascii());
        let read = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
        assert_eq!(read(&ascii), read(json));
    }
}
