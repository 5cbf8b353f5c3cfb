//! Sends one message many times by the SMTP adapter, to be measured against Postfix's `smtp-source`.
//!
//! ```text
//! taskset -c 1 smtp-sink -c 127.0.0.1:2526 1000 &
//! taskset -c 0 cargo run --release --example smtp_load -- 2526 16 20000
//! taskset -c 0 smtp-source -s 16 -m 20000 -l 1500 -f a@b.example -t c@d.example 127.0.0.1:2526
//! ```

#![expect(clippy::print_stdout, reason = "it is a measurement, printed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use ums_core::{AttemptId, Call, Clock, Email, Mailbox, MessageId, Provider, Purpose, SystemClock, SystemRandom};
use ums_providers::send::smtp::{Smtp, SmtpSettings, SmtpTls};

fn email() -> Result<Email, Box<dyn std::error::Error>> {
    Ok(Email {
        from: None,
        to: vec![Mailbox::parse("Jane Doe <jane@example.com>")?],
        cc: Vec::new(),
        bcc: Vec::new(),
        reply_to: Vec::new(),
        subject: "Your order 123 has been shipped".to_owned(),
        html: Some("<p>Your order has been shipped and will arrive soon.</p>\n".repeat(20)),
        text: Some("Your order has been shipped and will arrive soon.\n".repeat(4)),
        attachments: Vec::new(),
        headers: Vec::new(),
    })
}

async fn client(smtp: Arc<Smtp>, clock: Arc<dyn Clock>, left: Arc<AtomicU32>) -> Result<(), String> {
    let email = email().map_err(|error| error.to_string())?;
    while left
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
        .is_ok()
    {
        let call = Call {
            message_id: MessageId::new(&*clock, &SystemRandom),
            attempt_id: AttemptId::new(&*clock, &SystemRandom),
            purpose: Purpose::Transactional,
            time_left: Duration::from_mins(1),
        };
        smtp.send(&email, &call).await.map_err(|failure| failure.to_string())?;
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut numbers = std::env::args().skip(1).map(|argument| argument.parse::<u32>());
    let mut number = |default: u32| numbers.next().transpose().map(|number| number.unwrap_or(default));
    let (port, clients, messages) = (number(2526)?, number(16)?, number(20_000)?);

    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut settings = SmtpSettings::new("127.0.0.1", u16::try_from(port)?, Mailbox::parse("Shop <shop@shop.example>")?);
    settings.tls = SmtpTls::None;
    settings.max_connections = clients;
    let smtp = Arc::new(Smtp::new(settings, Arc::clone(&clock))?);

    let left = Arc::new(AtomicU32::new(messages));
    let started = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..clients {
        running.spawn(client(Arc::clone(&smtp), Arc::clone(&clock), Arc::clone(&left)));
    }
    for done in running.join_all().await {
        done?;
    }
    println!(
        "{clients} at once: {:.0} messages/s",
        f64::from(messages) / started.elapsed().as_secs_f64()
    );
    Ok(())
}
