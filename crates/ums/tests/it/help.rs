//! Help, version, completions.

use crate::program::Place;

const COMMANDS: [&[&str]; 26] = [
    &[],
    &["dev"],
    &["serve"],
    &["send"],
    &["send", "email"],
    &["send", "sms"],
    &["health"],
    &["providers", "list"],
    &["providers", "disable"],
    &["providers", "enable"],
    &["providers", "probe"],
    &["clock", "show"],
    &["clock", "trust"],
    &["messages", "list"],
    &["messages", "show"],
    &["messages", "explain"],
    &["suppressions", "show"],
    &["ses", "verify-sender"],
    &["classify"],
    &["estimate"],
    &["config", "show"],
    &["config", "check"],
    &["config", "docs"],
    &["backup"],
    &["restore"],
    &["openapi"],
    &["simulator"],
    &["completions"],
];

#[test]
fn every_command_explains_itself() {
    let place = Place::new();
    for words in COMMANDS {
        let run = place.run(&[words, &["--help"]].concat()).expect(0);
        assert!(run.out.contains("Usage: ums"), "{words:?}: {}", run.out);
        assert_eq!(run.err, "", "{words:?}");
    }
}

#[test]
fn the_version_names_a_release_and_where_it_came_from() {
    let run = Place::new().run(&["--version"]).expect(0);
    assert!(run.out.starts_with(&format!("ums {}", env!("CARGO_PKG_VERSION"))), "{}", run.out);
}

#[test]
fn without_a_command_it_shows_what_there_is_and_fails() {
    let run = Place::new().run(&[]).expect(2);
    assert!(run.err.contains("ums dev"), "{}", run.err);
}

#[test]
fn completions_are_printed_for_each_shell() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let run = place.run(&["completions", shell]).expect(0);
        assert!(run.out.contains("verify-sender"), "{shell}");
    }
}

#[test]
fn the_openapi_document_is_json_and_names_the_calls() {
    let document = Place::new().run(&["openapi"]).expect(0).json();
    for path in ["/v1/emails", "/v1/sms", "/v1/messages", "/v1/messages/{id}", "/v1/providers/health"] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
}
