//! The judge in slices: promises are judged when they are old enough to be at an end, and then forgotten, so that a drill of hours
//! holds minutes in memory.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};

use crate::drill::checker::{self, Findings, Row, judge};
use crate::drill::journal::{Ack, Arrival, Journals, Tail};
use crate::drill::settle;
use crate::drill::stage::Server;

/// A promise is older than its row by the time of the answer at most, repetitions included.
const LATEST_ANSWER: SignedDuration = SignedDuration::from_secs(60);
/// Pause between two pages, so that the judge is a reader among others.
const PAUSE: Duration = Duration::from_millis(150);

#[derive(Debug)]
pub(super) struct Slices {
    promises: Tail<Ack>,
    arrivals: Tail<Arrival>,
    /// Not yet judged.
    promised: VecDeque<Ack>,
    came: Vec<Arrival>,
    pub(super) found: Findings,
    /// Arrivals of messages that were judged before, or that nobody was promised.
    pub(super) strays: Vec<String>,
}

impl Slices {
    pub(super) fn of(journals: &Journals) -> Result<Self> {
        Ok(Self {
            promises: Tail::open(&journals.acks)?,
            arrivals: Tail::open(&journals.arrivals)?,
            promised: VecDeque::new(),
            came: Vec::new(),
            found: Findings::default(),
            strays: Vec::new(),
        })
    }

    /// Judges what was promised before that time, and not judged yet.
    pub(super) async fn judge_before(&mut self, time: Timestamp, server: &Server) -> Result<()> {
        self.promised.extend(self.promises.news()?);
        self.came.extend(self.arrivals.news()?.into_iter().filter(Arrival::is_recorded));
        let old = self.promised.iter().take_while(|ack| ack.at < time).count();
        let acks: Vec<Ack> = self.promised.drain(..old).collect();
        let (Some(first), Some(last)) = (acks.first(), acks.last()) else {
            return Ok(());
        };
        let marks: BTreeSet<&str> = acks.iter().map(|ack| ack.mark.as_str()).collect();
        let filter = format!("&since={}&until={}", first.at - LATEST_ANSWER, last.at);
        let mut rows = settle::rows_of(server, &filter, PAUSE).await?;
        rows.retain(|row: &Row| row.mark.as_ref().is_some_and(|mark| marks.contains(mark.as_str())));
        let (arrivals, others): (Vec<Arrival>, Vec<Arrival>) = std::mem::take(&mut self.came)
            .into_iter()
            .partition(|arrival| arrival.mark().is_some_and(|mark| marks.contains(mark)));
        let (late, others): (Vec<Arrival>, Vec<Arrival>) = others.into_iter().partition(|arrival| arrival.at < first.at - LATEST_ANSWER);
        self.came = others;
        self.strays
            .extend(late.iter().map(|arrival| arrival.mark().unwrap_or("no mark").to_owned()));
        settle::ask_for_acts(server, &mut rows, &checker::repeated(&arrivals)).await?;
        self.found.add(judge(&acks, &arrivals, &rows));
        Ok(())
    }
}
