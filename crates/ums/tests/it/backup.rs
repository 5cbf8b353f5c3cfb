//! Backup and restore of a SQLite file: what is refused, what is kept, and that no restored message goes out by itself.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::http;
use crate::program::{Place, Running};

const KEY: &[&str] = &["Authorization: Bearer serve-key"];
const PROVIDERS: [&str; 3] = ["ses", "sendgrid", "smtp"];
const LATER: &str = "2099-01-01T00:00:00Z";

/// Short waits.
const QUICK: &str = "[retry]\nschedule = [\"1s\"]\n[breaker]\nopen = \"1s\"\nmax_open = \"1s\"\n";

/// A place with providers, and beside it the simulator.
fn place() -> (Place, Running) {
    let mut place = Place::new();
    let simulator = place.simulator();
    place
        .with_providers(&simulator)
        .set("UMS_API_KEY", "serve-key")
        .set("UMS_CONFIG", "ums.toml");
    std::fs::write(place.path().join("ums.toml"), QUICK).unwrap();
    (place, simulator)
}

fn serve(place: &Place) -> (Running, String) {
    let service = place.start(&["serve", "--listen", "127.0.0.1:0"], "\"serving\"");
    let line: Value = serde_json::from_str(&service.ready_line).unwrap();
    let address = line["address"].as_str().unwrap().to_owned();
    (service, address)
}

fn send(place: &Place, to: &str, more: &[&str]) -> String {
    place.send_email(to, more)["message_id"].as_str().unwrap().to_owned()
}

/// Accepts a message, and does not wait for what becomes of it.
fn post(address: &str, to: &str) -> String {
    let body = json!({"to": to, "subject": "Receipt", "text_content": "Thank you."}).to_string();
    let headers = [KEY, &["Prefer: respond-async"]].concat();
    let answer = http::request(address, "POST", "/v1/emails", &headers, body.as_bytes());
    assert_eq!(answer.status, 202, "{}", answer.body);
    answer.json()["message_id"].as_str().unwrap().to_owned()
}

fn shown(place: &Place, id: &str) -> Value {
    place.run(&["messages", "show", id, "--json"]).expect(0).json()
}

/// Waits until the simulator has received a message for somebody.
fn wait_for_arrival(simulator: &Running, to: &str) {
    while arrivals(simulator, to) == 0 {
        std::thread::yield_now();
    }
}

fn arrivals(simulator: &Running, to: &str) -> usize {
    let received = simulator.received();
    received.iter().filter(|message| message.to_string().contains(to)).count()
}

/// The files of a folder whose names hold a text.
fn files_with(place: &Place, text: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(place.path()).unwrap().map(|file| file.unwrap().path());
    files
        .filter(|file| file.file_name().unwrap().to_string_lossy().contains(text))
        .collect()
}

#[test]
fn what_waited_in_the_backup_is_not_sent_again_after_a_restore() {
    let (place, simulator) = place();
    let (service, address) = serve(&place);
    let done = send(&place, "done@example.com", &[]);
    let later = send(&place, "later@example.com", &["--send-at", LATER]);
    for provider in PROVIDERS {
        simulator.fault(provider, r#"{"mode": "error", "status": 503}"#);
    }
    let waiting = post(&address, "waiting@example.com");
    // While it runs: a backup is made, a restore is not.
    let backup = place.run(&["backup", "--to", "monday.db", "--json"]).expect(0).json();
    assert_eq!((&backup["messages"], &backup["file"]), (&json!(3), &json!("monday.db")), "{backup}");
    let refused = place.run(&["restore", "monday.db", "--force"]).expect(2);
    assert!(
        refused.err.contains("a process has the database") && refused.err.contains("stop the service"),
        "{}",
        refused.err
    );
    // What happens after the backup is lost; the message that waited has gone out.
    for provider in PROVIDERS {
        simulator.heal(provider);
    }
    wait_for_arrival(&simulator, "waiting@example.com");
    let lost = send(&place, "lost@example.com", &[]);
    assert_eq!(service.terminate().0, 0);

    let refused = place.run(&["restore", "monday.db"]).expect(2);
    assert!(
        refused.err.contains("is not empty") && refused.err.contains("--force"),
        "{}",
        refused.err
    );
    let restored = place.run(&["restore", "monday.db", "--force", "--json"]).expect(0).json();
    assert_eq!(restored["taken_at"], backup["taken_at"]);
    assert_eq!(
        (&restored["messages"], &restored["held"], &restored["scheduled"]),
        (&json!(3), &json!(1), &json!(1)),
        "{restored}"
    );

    let (service, _) = serve(&place);
    assert_eq!(shown(&place, &done)["status"], "sent");
    assert_eq!(shown(&place, &later)["status"], "scheduled");
    let held = shown(&place, &waiting);
    assert_eq!(
        (&held["status"], &held["open_recipients"]),
        (&json!("unknown"), &json!(0)),
        "{held}"
    );
    place.run(&["messages", "show", &lost]).expect(1);
    send(&place, "new@example.com", &[]);
    assert_eq!(arrivals(&simulator, "waiting@example.com"), 1, "sent once, before the restore");
    let story = place.run(&["messages", "explain", &waiting]).expect(0).out;
    assert!(story.contains("restored from a backup"), "{story}");

    // An operator decides.
    let marked = place.run(&["messages", "mark", &waiting, "sent", "--json"]).expect(0).json();
    assert_eq!(marked["status"], "sent", "{marked}");
    assert_eq!(service.terminate().0, 0);
}

#[test]
fn the_database_kept_aside_gives_its_newer_opt_outs_and_sends_nothing() {
    let (mut place, simulator) = place();
    place.run(&["migrate"]).expect(0);
    place.run(&["suppressions", "add", "old@example.com"]).expect(0);
    place.run(&["backup", "--to", "monday.db"]).expect(0);
    place.run(&["suppressions", "add", "newer@example.com"]).expect(0);
    for provider in PROVIDERS {
        simulator.fault(provider, r#"{"mode": "error", "status": 503}"#);
    }
    let (service, address) = serve(&place);
    post(&address, "waiting@example.com");
    assert_eq!(service.terminate().0, 0);
    for provider in PROVIDERS {
        simulator.heal(provider);
    }
    let restored = place.run(&["restore", "monday.db", "--force", "--json"]).expect(0).json();
    let aside = restored["kept_aside"].as_str().unwrap().to_owned();
    let exported = place
        .command(&["suppressions", "export", "--output", "newer.csv"])
        .env("UMS_DATABASE_URL", format!("sqlite://{aside}"))
        .output()
        .unwrap();
    assert!(exported.status.success(), "{exported:?}");
    assert_eq!(
        arrivals(&simulator, "waiting@example.com"),
        0,
        "reading the old database sends nothing"
    );
    place.run(&["suppressions", "show", "newer@example.com"]).expect(0);
    place.run(&["suppressions", "import", "newer.csv"]).expect(0);
    let listed = place.run(&["suppressions", "list", "--json"]).expect(0).json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 2, "{listed}");
    place.set("UMS_DATABASE_URL", "sqlite://none.db");
    let none = place.run(&["backup"]).expect(2);
    assert!(none.err.contains("there is no database at"), "{}", none.err);
}

#[test]
fn files_that_are_no_whole_backup_are_refused_and_nothing_is_changed() {
    let (place, _simulator) = place();
    let id = send(&place, "a@example.com", &[]);
    place.run(&["backup", "--to", "good.db"]).expect(0);
    let good = std::fs::read(place.path().join("good.db")).unwrap();
    let mut altered = good.clone();
    let middle = altered.len() / 2 / 4096 * 4096;
    altered[middle..middle + 4096].fill(0x5a);
    std::fs::write(place.path().join("altered.db"), &altered).unwrap();
    std::fs::write(place.path().join("cut.db"), &good[..good.len() / 2]).unwrap();
    std::fs::write(
        place.path().join("text.db"),
        "no database at all, and long enough to be read as one ".repeat(20),
    )
    .unwrap();
    std::fs::write(place.path().join("empty.db"), "").unwrap();
    for name in ["altered.db", "cut.db", "text.db", "empty.db", "missing.db", "ums.db", "."] {
        let refused = place.run(&["restore", name, "--force"]);
        assert!(
            refused.code == 2 && refused.err.contains("nothing was restored"),
            "{name}: {} {}",
            refused.code,
            refused.err
        );
    }
    assert_eq!(shown(&place, &id)["status"], "sent");
    assert_eq!((files_with(&place, ".before-"), files_with(&place, "restoring")), (vec![], vec![]));
    assert!(!place.path().join("missing.db").exists());
    let twice = place.run(&["backup", "--to", "good.db"]).expect(2);
    assert!(twice.err.contains("is there already"), "{}", twice.err);
    // A backup is no database to send from.
    let opened = place
        .command(&["messages", "list"])
        .env("UMS_DATABASE_URL", "sqlite://good.db")
        .output()
        .unwrap();
    let words = String::from_utf8(opened.stderr).unwrap();
    assert!(!opened.status.success() && words.contains("ums restore"), "{words}");
}

#[test]
fn without_postgresql_s_programs_the_lines_to_run_are_told() {
    let place = Place::new();
    std::fs::write(place.path().join("monday.dump"), "PGDMP").unwrap();
    for words in [&["backup"][..], &["restore", "monday.dump"]] {
        let words = [words, &["--database", "postgres://ums:canary@127.0.0.1:1/ums"]].concat();
        let output = place.command(&words).env("PATH", "/nowhere").output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{told}");
        for part in ["pg_dump --format=custom", "pg_restore --clean", "ums restore --mark-restored"] {
            assert!(told.contains(part) && !told.contains("canary"), "{told}");
        }
    }
}

/// Only a build for tests has these points.
#[cfg(debug_assertions)]
#[test]
fn a_command_that_is_killed_leaves_the_old_or_the_new_and_nothing_that_looks_whole() {
    let (place, _simulator) = place();
    let old = send(&place, "old@example.com", &[]);
    place.run(&["backup", "--to", "good.db"]).expect(0);
    let new = send(&place, "new@example.com", &[]);
    let killed_at = |point: &str, words: &[&str]| {
        let mut command = place.command(words);
        let output = command.env("UMS_FAILPOINT", format!("{point}:1")).output().unwrap();
        assert_eq!(output.status.code(), None, "{point}: {output:?}");
    };
    for point in ["backup.copied", "backup.written"] {
        killed_at(point, &["backup", "--to", "cut.db"]);
        assert!(!place.path().join("cut.db").exists(), "{point}");
        let left = files_with(&place, ".partial-").pop().unwrap();
        let refused = place.run(&["restore", left.to_str().unwrap(), "--force"]).expect(2);
        assert!(refused.err.contains("was cut off"), "{point}: {}", refused.err);
        std::fs::remove_file(left).unwrap();
        assert_eq!(files_with(&place, ".partial-"), Vec::<PathBuf>::new(), "nothing else is left");
    }
    // The next one does not stumble over what is left.
    place.run(&["backup", "--to", "cut.db"]).expect(0);
    for point in ["restore.staged", "restore.kept"] {
        killed_at(point, &["restore", "good.db", "--force"]);
        for id in [&old, &new] {
            assert_eq!(shown(&place, id)["status"], "sent", "{point}: the old database is there");
        }
    }
    place.run(&["restore", "good.db", "--force"]).expect(0);
    assert_eq!(shown(&place, &old)["status"], "sent");
    place.run(&["messages", "show", &new]).expect(1);
    assert_eq!(files_with(&place, "restoring"), Vec::<PathBuf>::new());
}
