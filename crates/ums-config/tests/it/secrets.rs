//! No secret in an error, a `Debug` or in `show`.

use ums_config::env::SETTINGS;
use ums_config::{DotEnv, Layered, LoadOptions, MapSource, Origin, load, show};

use crate::read_changed;

const MORE: &[(&str, &str)] = &[
    ("UMS_API_KEY", "canary-api-key"),
    ("UMS_SECRET_KEY", "canary-secret-key-1,canary-secret-key-2"),
    ("UMS_DATABASE_URL", "postgres://ums:canary-database@localhost/ums"),
    ("AWS_ACCESS_KEY_ID", "canary-access-key"),
    ("AWS_SESSION_TOKEN", "canary-session"),
    ("UMS_ALLOW_RECIPIENTS", "canary@example.com,+14165550123"),
];

#[test]
fn a_valid_configuration_shows_none() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ums.toml");
    std::fs::write(&file, "[http]\nproxy = 'http://user:canary-proxy@proxy.internal:3128'\n").unwrap();
    let mut changes = MORE.to_vec();
    changes.push(("UMS_CONFIG", file.to_str().unwrap()));
    let settings = read_changed(&changes).unwrap();
    assert_eq!(
        settings.http.proxy.as_ref().unwrap().expose(),
        "http://user:canary-proxy@proxy.internal:3128"
    );
    let output = format!("{settings:?} {settings:#?} {:?} {:?}", show(&settings), settings.warnings);
    assert!(!output.contains("canary") && !output.contains("4165550123"), "{output}");
    let shown = |name: &str| {
        show(&settings)
            .iter()
            .find(|line| line.name == name)
            .map(|line| line.value.clone())
            .unwrap()
    };
    assert_eq!(shown("UMS_API_KEY"), "set");
    assert_eq!(shown("UMS_DATABASE_URL"), "postgres://localhost/ums");
    assert_eq!(shown("UMS_ALLOW_RECIPIENTS"), "2 entries");
    assert_eq!(shown("http.proxy"), "set");
}

/// Every setting gets a wrong value that holds a canary, from each place that it may come from.
#[test]
fn faults_show_no_value() {
    for setting in SETTINGS {
        for value in ["canary \u{1} canary", "canary://canary canary@", "-canary,canary=ü", "\tcanary"] {
            let map = MapSource::default().with(setting.name, value);
            let dotenv = DotEnv::parse(&format!("{}=\"{value}", setting.name));
            let sources = Layered::new().over(Origin::Environment, map).over(Origin::DotEnv, dotenv);
            let output = match load(&sources, &LoadOptions::service()) {
                Ok(_) => continue,
                Err(error) => format!("{error} {error:?} {error:#?} {sources:?}"),
            };
            assert!(!output.contains("canary"), "{}: {output}", setting.name);
        }
    }
}

#[test]
fn faults_of_the_file_show_no_value() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ums.toml");
    let sources = Layered::new().over(Origin::Environment, MapSource::default().with("UMS_CONFIG", file.to_str().unwrap()));
    for text in [
        "[http]\nproxy = 'canary'",
        "[http\nproxy = canary",
        "[settings]\nUMS_ENV = 'canary'\nUMS_API_KEY = 'canary'",
        "[prices]\nas_of='canary'",
    ] {
        std::fs::write(&file, text).unwrap();
        let error = load(&sources, &LoadOptions::service()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
}
