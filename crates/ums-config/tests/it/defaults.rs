//! The built-in file: complete, valid, and what the design says.

use std::time::Duration;

use ums_config::{DEFAULT_CONFIG, Environment, LogFormat, StoreUrl, check_serve, show};
use ums_core::ProviderKind;

use crate::{names, read, read_changed};

#[test]
fn defaults_are_those_of_the_design() {
    let settings = read(&[]).unwrap();
    assert_eq!(
        (settings.environment, settings.log_format),
        (Environment::Production, LogFormat::Json)
    );
    assert_eq!(settings.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.store_url, StoreUrl::sqlite("ums.db"));
    assert_eq!(settings.default_region.unwrap().as_str(), "US");
    let breaker = settings.breaker.get(ProviderKind::AwsSes);
    assert_eq!(
        (
            breaker.failures,
            breaker.failure_rate_percent,
            breaker.min_calls,
            breaker.probe_successes
        ),
        (5, 50, 10, 2)
    );
    assert_eq!(
        (breaker.window, breaker.open, breaker.max_open),
        (Duration::from_mins(1), Duration::from_secs(30), Duration::from_mins(5))
    );
    assert_eq!(
        (breaker.misconfigured_open, breaker.misconfigured_max_open),
        (Duration::from_mins(1), Duration::from_mins(15))
    );
    let pace = |provider| {
        let pace = settings.pace.get(provider);
        (pace.per_second.map(u32::from), pace.per_day.map(u32::from))
    };
    assert_eq!(pace(ProviderKind::AwsSes), (Some(14), None));
    for kind in [
        ProviderKind::Smtp,
        ProviderKind::SendGrid,
        ProviderKind::AwsSns,
        ProviderKind::Twilio,
        ProviderKind::Console,
    ] {
        assert_eq!(pace(kind), (None, None));
    }
    let timeouts = settings.timeouts.get(ProviderKind::Smtp);
    assert_eq!(
        (timeouts.connect, timeouts.write_stall, timeouts.reply),
        (Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(8))
    );
    assert_eq!(
        (settings.expiry.otp, settings.expiry.bulk),
        (Duration::from_mins(10), Duration::from_hours(72))
    );
    assert_eq!(settings.limits.wait, Duration::from_secs(30));
    assert_eq!(settings.prices.per_recipient(ProviderKind::AwsSes), Some(160));
    assert_eq!(settings.prices.per_recipient(ProviderKind::SendGrid), None);
    assert_eq!(settings.prices.twilio_per_segment.get(&1), Some(&8_300));
    assert_eq!(settings.prices.twilio_per_segment.get(&44), None);
}

/// The readers ask for each name and report one that is not there, so that a file without a line
/// of the built-in one would fail; and nothing in it goes unread.
#[test]
fn every_line_of_the_built_in_file_counts() {
    let settings = read(&[]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ums.toml");
    for line in show(&settings).iter().filter(|line| line.name.contains('.')) {
        let (section, key) = line.name.rsplit_once('.').unwrap();
        let wrong = if matches!(&*line.value, "true" | "false") {
            "'no'"
        } else {
            "false"
        };
        std::fs::write(&file, format!("[{section}]\n{key} = {wrong}\n")).unwrap();
        let error = read(&[("UMS_CONFIG", file.to_str().unwrap())]).map(|_| ()).expect_err(&line.name);
        assert_eq!(names(&error), [&*line.name]);
    }
}

#[test]
fn the_built_in_file_may_serve_as_the_users_own() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ums.toml");
    std::fs::write(&file, DEFAULT_CONFIG).unwrap();
    let own = read(&[("UMS_CONFIG", file.to_str().unwrap())]).unwrap();
    let built_in = read(&[]).unwrap();
    assert_eq!(
        (own.breaker, own.pace, own.timeouts),
        (built_in.breaker, built_in.pace, built_in.timeouts)
    );
    assert_eq!(
        (own.retry, own.limits, own.prices),
        (built_in.retry, built_in.limits, built_in.prices)
    );
}

#[test]
fn providers_may_differ_from_the_section() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ums.toml");
    std::fs::write(
        &file,
        "[breaker]\nfailures = 7\n[breaker.smtp]\nfailures = 3\n[timeouts.smtp]\nreply = '30s'\n[prices.twilio_per_segment]\n44 = '0.04'\n",
    )
    .unwrap();
    let settings = read(&[("UMS_CONFIG", file.to_str().unwrap())]).unwrap();
    assert_eq!((settings.breaker.smtp.failures, settings.breaker.twilio.failures), (3, 7));
    assert_eq!(
        (settings.timeouts.smtp.reply, settings.timeouts.aws_sns.reply),
        (Duration::from_secs(30), Duration::from_secs(8))
    );
    assert_eq!(settings.prices.twilio_per_segment.get(&44), Some(&40_000));
    assert_eq!(settings.prices.twilio_per_segment.get(&1), Some(&8_300));
}

#[test]
fn serving_needs_a_key_except_in_development_on_loopback() {
    let check = |pairs: &[(&str, &str)], fine: bool| assert_eq!(check_serve(&read(pairs).unwrap()).is_ok(), fine, "{pairs:?}");
    check(&[], false);
    check(&[("UMS_API_KEY", "key")], true);
    check(&[("UMS_ENV", "development")], true);
    check(&[("UMS_ENV", "development"), ("UMS_LISTEN", "0.0.0.0:8080")], false);
    check(
        &[("UMS_ENV", "development"), ("UMS_LISTEN", "0.0.0.0:8080"), ("UMS_API_KEY", "key")],
        true,
    );
    check(&[("UMS_ENV", "development"), ("UMS_LISTEN", "[::1]:8080")], true);
    check(&[("UMS_ENV", "development"), ("UMS_LISTEN", "localhost:0")], true);
}

#[test]
fn what_waits_and_what_is_kept_is_bounded() {
    let day = Duration::from_hours(24);
    let settings = read(&[]).unwrap();
    assert_eq!((settings.retry.budget_percent, settings.retry.budget_floor_per_minute), (20, 60));
    assert_eq!(settings.retry.feedback_wait.transactional, Duration::from_secs(30));
    assert_eq!(
        (settings.retention.bodies, settings.retention.messages, settings.retention.keys),
        (30 * day, 400 * day, 7 * day)
    );
    assert_eq!(
        (settings.limits.batch_messages, settings.limits.backlog_messages),
        (1_000, 1_000_000)
    );
    let postgres = settings.postgres;
    assert_eq!((postgres.writers, postgres.readers, postgres.lease), (3, 4, Duration::from_mins(1)));

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ums.toml");
    let fault = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let error = read(&[("UMS_CONFIG", file.to_str().unwrap())]).map(|_| ()).expect_err(text);
        assert_eq!(error.faults.len(), 1, "{error}");
        error.faults[0].setting.clone()
    };
    assert_eq!(fault("[idempotency]\nkeep_hours = 23"), "idempotency.keep_hours");
    assert_eq!(fault("[retention]\nbodies_days = 31\nmessages_days = 30"), "retention.bodies_days");
    assert_eq!(fault("[limits]\nbatch_messages = 1001"), "limits.batch_messages");
    assert_eq!(fault("[postgres]\nlease = \"9s\""), "postgres.lease");
}

#[test]
fn what_comes_after_a_message_is_bounded() {
    let settings = read(&[]).unwrap();
    let (feedback, rates, webhooks) = (&settings.feedback, &settings.rates, &settings.webhooks);
    assert_eq!((feedback.confirm_subscriptions, feedback.sns_logs_every), (false, None));
    assert_eq!(feedback.twilio_list_every, Some(Duration::from_mins(1)));
    assert_eq!(feedback.keep, Duration::from_hours(14 * 24));
    // SES reviews accounts at 5 % and 0.1 %, and pauses them at 10 % and 0.5 %.
    assert_eq!((rates.bounce_warn, rates.bounce_hold), (50_000, 100_000));
    assert_eq!((rates.complaint_warn, rates.complaint_hold), (1_000, 5_000));
    assert_eq!(
        (webhooks.allow_http, webhooks.allow_private.len(), webhooks.retry.len()),
        (false, 0, 5)
    );

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ums.toml");
    let load = |text: &str| {
        std::fs::write(&file, text).unwrap();
        read(&[("UMS_CONFIG", file.to_str().unwrap())])
    };
    let own = load("[webhooks]\nallow_private = ['10.0.0.0/8', '::1']\n[feedback]\ntwilio_list_every = '0s'").unwrap();
    assert_eq!(
        own.webhooks.allow_private.iter().map(|network| network.prefix).collect::<Vec<_>>(),
        [8, 128]
    );
    assert_eq!(own.feedback.twilio_list_every, None);
    let fault = |text: &str| {
        let error = load(text).map(|_| ()).expect_err(text);
        assert_eq!(error.faults.len(), 1, "{error}");
        error.faults[0].setting.clone()
    };
    assert_eq!(fault("[rates]\nbounce_warn = '11%'"), "rates.bounce_warn");
    assert_eq!(fault("[rates]\ncomplaint_hold = '0%'"), "rates.complaint_hold");
    assert_eq!(fault("[feedback]\nsns_logs_every = '4s'"), "feedback.sns_logs_every");
    assert_eq!(fault("[webhooks]\nallow_private = ['localhost']"), "webhooks.allow_private[0]");
}

/// Gmail's pace holds for Gmail; another server has none, unless it is set.
#[test]
fn the_pace_of_smtp_follows_the_server() {
    let check = |host: &str, file: &str, expected: (u32, u32)| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ums.toml");
        std::fs::write(&path, file).unwrap();
        let settings = read_changed(&[("SMTP_HOST", host), ("UMS_CONFIG", path.to_str().unwrap())]).unwrap();
        let pace = settings.pace.smtp;
        let number = |limit: Option<std::num::NonZeroU32>| limit.map_or(0, u32::from);
        assert_eq!((number(pace.per_second), number(pace.per_day)), expected, "{host} {file}");
        for (name, number) in [("pace.smtp.per_second", expected.0), ("pace.smtp.per_day", expected.1)] {
            let shown = show(&settings).iter().find(|shown| shown.name == name).unwrap();
            assert_eq!(shown.value, number.to_string(), "{host} {name}");
        }
    };
    for host in ["smtp.gmail.com", "SMTP.Gmail.com", "smtp.gmail.com.", "smtp.googlemail.com"] {
        check(host, "", (1, 500));
    }
    check("smtp-relay.gmail.com", "", (0, 10_000));
    for host in [
        "mail.example.com",
        "127.0.0.1",
        "localhost",
        "email-smtp.us-east-1.amazonaws.com",
        "smtp.gmail.com.example.com",
        "notsmtp.gmail.com.example.org",
    ] {
        check(host, "", (0, 0));
    }
    check("smtp.gmail.com", "[pace.smtp]\nper_day = 2000\n", (1, 2000));
    check("smtp.gmail.com", "[pace.smtp]\nper_second = 0\nper_day = 0\n", (0, 0));
    check("mail.example.com", "[pace.smtp]\nper_second = 30\n", (30, 0));
    check("smtp.gmail.com", DEFAULT_CONFIG, (1, 500));
    check("mail.example.com", DEFAULT_CONFIG, (0, 0));
}
