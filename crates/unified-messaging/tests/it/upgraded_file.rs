//! A SQLite file of the release before.

use serde_json::json;
use tempfile::TempDir;

use crate::upgrade::{Before, lacks};

/// A copy of the file as the release before left it, and what that release showed of it.
fn file() -> (TempDir, String, Before) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ums.sqlite");
    std::fs::write(&path, include_bytes!("../fixtures/before/ums.sqlite")).unwrap();
    let url = format!("sqlite://{}", path.display());
    (folder, url, Before::read(include_str!("../fixtures/before/sqlite.json")))
}

#[tokio::test]
async fn a_file_of_the_release_before_shows_what_it_showed() {
    let (_folder, url, before) = file();
    let store = ums_store::open(&url, before.clock.clone()).await.unwrap();
    before.is_shown_by(&*store).await;
}

#[tokio::test]
async fn a_file_of_the_release_before_is_carried_on() {
    let (_folder, url, before) = file();
    let store = ums_store::open(&url, before.clock.clone()).await.unwrap();
    before.is_carried_on(store).await;
}

#[tokio::test]
async fn attempts_of_the_release_before_that_called_nobody_are_no_calls() {
    let (_folder, url, before) = file();
    let store = ums_store::open(&url, before.clock.clone()).await.unwrap();
    before.is_told_apart_by_calls(store).await;
}

#[test]
fn what_a_release_adds_is_no_difference_and_what_it_changes_is() {
    let before = json!({"status": "sent", "attempts": [{"outcome": "failed"}], "error": null});
    let added = json!({"status": "sent", "attempts": [{"outcome": "failed", "why": "closing"}], "error": null, "more": 1});
    assert_eq!(lacks(&before, &added, ""), Vec::<String>::new());
    for (changed, told) in [
        (
            json!({"status": "failed", "attempts": [{"outcome": "failed"}]}),
            ".status is \"failed\", not \"sent\"",
        ),
        (
            json!({"status": "sent", "attempts": []}),
            ".attempts is [], not [{\"outcome\":\"failed\"}]",
        ),
        (
            json!({"status": "sent", "attempts": [{}]}),
            ".attempts[0].outcome is null, not \"failed\"",
        ),
    ] {
        assert_eq!(lacks(&before, &changed, ""), [told]);
    }
}
