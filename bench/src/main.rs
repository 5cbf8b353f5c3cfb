//! One sender of messages, measured.
//!
//! `bench-sender --peer NAME --url URL --concurrency N --messages M` sends M/10 messages to warm
//! up, then M that count, in a closed loop of N lanes on one thread, and prints one line of JSON:
//! `msgs_per_s`, `cpu_s_per_1k` (user and system time of this process for a thousand messages),
//! `p50_us`, `p99_us`, `warm_up_max_us` (the slowest of the first M/10, connecting included).
//! `--second URL` names the healthy provider where the first has a fault.
//! `cargo xtask bench` calls it, pins it to a core, and compares.

#![expect(clippy::disallowed_methods, reason = "it measures time")]

mod measure;
mod message;
mod peer;

use anyhow::{Context as _, Result, bail};

use crate::measure::Load;
use crate::peer::Urls;

struct Options {
    peer: String,
    urls: Urls,
    load: Load,
}

fn options(mut words: impl Iterator<Item = String>) -> Result<Options> {
    let (mut peer, mut url, mut second) = (None, None, None);
    let (mut concurrency, mut messages) = (1, 1_000);
    while let Some(word) = words.next() {
        let value = words.next().with_context(|| format!("{word} wants a value"))?;
        match word.as_str() {
            "--peer" => peer = Some(value),
            "--url" => url = Some(value),
            "--second" => second = Some(value),
            "--concurrency" => concurrency = value.parse().context("--concurrency")?,
            "--messages" => messages = value.parse().context("--messages")?,
            _ => bail!("do not understand {word}; peers: {}", peer::NAMES.join(", ")),
        }
    }
    Ok(Options {
        peer: peer.context("--peer is missing")?,
        urls: Urls {
            first: url.context("--url is missing")?,
            second: second.unwrap_or_default(),
        },
        load: Load { concurrency, messages },
    })
}

fn main() -> Result<()> {
    let options = options(std::env::args().skip(1))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let figures = runtime.block_on(peer::run(&options.peer, &options.urls, options.load))?;
    println!("{}", figures.to_json());
    Ok(())
}
