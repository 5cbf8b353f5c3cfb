//! `ums config`: all faults at once, by name, never a value.

use crate::program::Place;

#[test]
fn every_fault_is_named_at_once_and_no_value_is_printed() {
    let mut place = Place::new();
    place
        .set("SENDGRID_API_KEY", "SG.canary-key")
        .set("TWILIO_ACCOUNT_SID", "AC-canary-sid")
        .set("SMTP_HOST", "canary.example.com")
        .set("SMTP_PORT", "canary-port")
        .set("UMS_EMAIL_CHAIN", "aws_ses,canary-provider")
        .set("UMS_DEFAULT_REGION", "canary-region")
        .set("UMS_ENV", "canary-env");
    let run = place.run(&["config", "check"]).expect(2);
    for name in [
        "SENDGRID_FROM_EMAIL",
        "TWILIO_AUTH_TOKEN",
        "SMTP_PORT",
        "SMTP_FROM_EMAIL",
        "UMS_EMAIL_CHAIN",
        "UMS_DEFAULT_REGION",
        "UMS_ENV",
    ] {
        assert!(run.out.contains(name), "no {name} in {}", run.out);
    }
    assert!(!run.out.contains("canary") && !run.err.contains("canary"), "{}{}", run.out, run.err);
    let json = place.run(&["config", "check", "--json"]).expect(2).json();
    assert_eq!(json["ok"], false);
    assert!(json["faults"].as_array().unwrap().len() >= 7, "{json}");
}

#[test]
fn commands_that_need_settings_refuse_wrong_ones_before_anything_is_sent() {
    let mut place = Place::new();
    place.set("SENDGRID_API_KEY", "SG.canary-key").set("UMS_ENV", "staging");
    for words in [
        &["serve"][..],
        &["health"],
        &["messages", "list"],
        &["send", "sms", "--to", "+14165550123", "--body", "x"],
    ] {
        let run = place.run(words).expect(2);
        assert!(
            run.err.contains("SENDGRID_FROM_EMAIL") && run.err.contains("UMS_ENV"),
            "{words:?}: {}",
            run.err
        );
        assert!(!run.err.contains("canary"), "{}", run.err);
    }
}

#[test]
fn a_right_configuration_shows_its_chains() {
    let mut place = Place::new();
    place
        .set("SENDGRID_API_KEY", "SG.canary-key")
        .set("SENDGRID_FROM_EMAIL", "shop@example.com");
    let run = place.run(&["config", "check"]).expect(0);
    assert!(
        run.out.contains("e-mail: sendgrid") && run.out.contains("SMS:    no provider"),
        "{}",
        run.out
    );
    let run = place.run(&["config", "check", "--serve"]).expect(2);
    assert!(run.out.contains("UMS_API_KEY"), "{}", run.out);
}

#[test]
fn show_masks_secrets_and_tells_where_values_came_from() {
    let mut place = Place::new();
    place
        .set("SENDGRID_API_KEY", "SG.canary-key")
        .set("SENDGRID_FROM_EMAIL", "shop@example.com");
    std::fs::write(place.path().join(".env"), "export UMS_DEFAULT_REGION=CA # home\n").unwrap();
    let run = place.run(&["config", "show"]).expect(0);
    assert!(!run.out.contains("canary"), "{}", run.out);
    let json = place.run(&["config", "show", "--all", "--json"]).expect(0).json();
    let line = |name: &str| json.as_array().unwrap().iter().find(|line| line["name"] == name).unwrap().clone();
    assert_eq!(line("SENDGRID_API_KEY")["value"], "set");
    assert_eq!(
        (
            line("UMS_DEFAULT_REGION")["value"].as_str(),
            line("UMS_DEFAULT_REGION")["origin"].as_str()
        ),
        (Some("CA"), Some("dot_env"))
    );
    assert_eq!(line("UMS_LISTEN")["origin"], "default");
}

#[test]
fn the_reference_is_printed_in_each_form() {
    let place = Place::new();
    assert!(place.run(&["config", "docs"]).expect(0).out.starts_with("# Environment"));
    assert!(
        place
            .run(&["config", "docs", "--format", "env"])
            .expect(0)
            .out
            .contains("# SENDGRID_API_KEY=")
    );
    assert!(
        place
            .run(&["config", "docs", "--format", "toml"])
            .expect(0)
            .out
            .contains("[breaker]")
    );
}

#[test]
fn a_log_filter_that_cannot_be_read_is_told() {
    let mut place = Place::new();
    place.set("UMS_LOG", "ums=shouting");
    let run = place.run(&["health"]).expect(2);
    assert!(run.err.contains("UMS_LOG"), "{}", run.err);
}
