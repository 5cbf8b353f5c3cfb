//! The JSON of `mail/send`, as far as it is read. Everything may be missing.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Mail {
    pub(super) personalizations: Option<Vec<Personalization>>,
    pub(super) from: Option<Person>,
    pub(super) reply_to: Option<Person>,
    pub(super) reply_to_list: Option<Vec<Person>>,
    pub(super) subject: Option<String>,
    pub(super) content: Option<Vec<Content>>,
    pub(super) attachments: Option<Vec<File>>,
    pub(super) template_id: Option<String>,
    pub(super) headers: Option<BTreeMap<String, String>>,
    pub(super) categories: Option<Vec<String>>,
    pub(super) custom_args: Option<BTreeMap<String, Value>>,
    pub(super) send_at: Option<i64>,
    #[serde(rename = "mail_settings")]
    pub(super) settings: Option<MailSettings>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Personalization {
    pub(super) to: Option<Vec<Person>>,
    pub(super) cc: Option<Vec<Person>>,
    pub(super) bcc: Option<Vec<Person>>,
    pub(super) subject: Option<String>,
    pub(super) headers: Option<BTreeMap<String, String>>,
    pub(super) custom_args: Option<BTreeMap<String, Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Person {
    pub(super) email: Option<String>,
    pub(super) name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Content {
    pub(super) r#type: Option<String>,
    pub(super) value: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct File {
    pub(super) content: Option<String>,
    pub(super) filename: Option<String>,
    pub(super) r#type: Option<String>,
    pub(super) disposition: Option<String>,
    pub(super) content_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct MailSettings {
    pub(super) sandbox_mode: Option<Switch>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Switch {
    pub(super) enable: bool,
}
