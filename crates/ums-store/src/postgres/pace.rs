//! The pace of accounts, shared by all processes, on the database's clock.
//!
//! One row for each account says until when the units that were given last as many seconds as they may take. Who asks
//! before that waits. A crash wastes what its process was given; it never makes the pace higher.
//!
//! Only here: one process at a time sends from a file, and paces itself.

use std::time::Duration;

use tokio_postgres::Row;
use ums_core::{PaceGrant, PaceRequest};

use super::connection::{Fault, Session, Value};
use super::row::one;

/// How late a process may come for the next units without losing the pace of that time.
const LATENESS: i64 = 100_000;
/// A bucket of the limit a day, in microseconds.
const HALF_HOUR: i64 = 1_800_000_000;
/// Buckets that count: those of 24 hours, and the one that has begun.
const BUCKETS: i64 = 49;

/// An account's row, under its lock.
#[derive(Clone, Copy, Debug)]
struct Account {
    now: i64,
    used_until: i64,
    /// Given within the last 24 hours or a little more.
    day: i64,
    /// The first bucket of that.
    first_half_hour: i64,
}

/// Gives units of an account's pace, or says when there are some.
pub(crate) async fn reserve(session: &Session, request: &PaceRequest) -> Result<PaceGrant, Fault> {
    let (provider, account) = (request.provider.as_str(), request.account.as_str());
    let ensure = "INSERT INTO pace (provider, account, used_until) VALUES ($1, $2, 0) ON CONFLICT (provider, account) DO NOTHING";
    let lock = "SELECT used_until FROM pace WHERE provider = $1 AND account = $2 FOR UPDATE";
    let read = "WITH clock AS MATERIALIZED (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now)
         SELECT clock.now, coalesce(sum(d.units), 0)::bigint AS day, coalesce(min(d.half_hour), 0)::bigint AS first_half_hour
         FROM clock LEFT JOIN pace_days d ON d.provider = $1 AND d.account = $2 AND d.half_hour > clock.now / 1800000000 - 49
         GROUP BY clock.now";
    let whose: [Value<'_>; 2] = [&provider, &account];
    let (begun, made, locked, read) = tokio::join!(
        biased;
        session.run("BEGIN"),
        session.execute(ensure, &whose),
        session.query(lock, &whose),
        session.query(read, &whose),
    );
    begun?;
    made?;
    let (locked, read): (Vec<Row>, Vec<Row>) = (locked?, read?);
    let state = Account {
        now: one(&read, "now")?,
        used_until: one(&locked, "used_until")?,
        day: one(&read, "day")?,
        first_half_hour: one(&read, "first_half_hour")?,
    };
    let (grant, used_until) = decide(&state, request);
    if let PaceGrant::Granted(units) = grant {
        let use_pace = "UPDATE pace SET used_until = $3 WHERE provider = $1 AND account = $2";
        let use_day = "INSERT INTO pace_days AS d (provider, account, half_hour, units) VALUES ($1, $2, $3, $4)
             ON CONFLICT (provider, account, half_hour) DO UPDATE SET units = d.units + excluded.units";
        let forget = "DELETE FROM pace_days WHERE provider = $1 AND account = $2 AND half_hour <= $3";
        let (half_hour, units) = (state.now / HALF_HOUR, i64::from(units));
        session.execute(use_pace, &[&provider, &account, &used_until]).await?;
        if request.per_day.is_some() {
            session.execute(use_day, &[&provider, &account, &half_hour, &units]).await?;
            session.execute(forget, &[&provider, &account, &(half_hour - BUCKETS)]).await?;
        }
    }
    session.run("COMMIT").await?;
    Ok(grant)
}

/// What is given, and until when the pace is used up then.
fn decide(state: &Account, request: &PaceRequest) -> (PaceGrant, i64) {
    let mut units = request.units;
    if let Some(per_day) = request.per_day {
        let left = i64::from(per_day.get()).saturating_sub(state.day);
        let Some(left) = u32::try_from(left).ok().filter(|left| *left > 0) else {
            let free_at = (state.first_half_hour + BUCKETS) * HALF_HOUR;
            return (PaceGrant::DayLimit(micros(free_at - state.now)), state.used_until);
        };
        units = units.min(left);
    }
    let Some(per_second) = request.per_second else {
        return (PaceGrant::Granted(units), state.used_until);
    };
    if state.used_until > state.now {
        return (PaceGrant::Paced(micros(state.used_until - state.now)), state.used_until);
    }
    // More than a second's units at once would keep all others waiting for longer than that.
    units = units.min(per_second.get());
    let takes = i64::from(units) * 1_000_000 / i64::from(per_second.get());
    let begins = state.used_until.max(state.now - LATENESS);
    (PaceGrant::Granted(units), begins + takes)
}

fn micros(wait: i64) -> Duration {
    Duration::from_micros(u64::try_from(wait.max(1)).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use ums_core::{AccountId, ProviderKind};

    fn request(units: u32, per_second: u32, per_day: u32) -> PaceRequest {
        PaceRequest {
            provider: ProviderKind::AwsSes,
            account: AccountId::default(),
            units,
            per_second: NonZeroU32::new(per_second),
            per_day: NonZeroU32::new(per_day),
        }
    }

    const NOW: i64 = 1_000 * HALF_HOUR + 7;

    fn state(used_until: i64, day: i64) -> Account {
        Account {
            now: NOW,
            used_until,
            day,
            first_half_hour: 960,
        }
    }

    #[test]
    fn units_are_given_as_fast_as_the_pace_and_no_faster() {
        let rows = [
            // A block of 10 at 100 a second takes 100 ms; an idle account saves up no more than its lateness.
            (state(0, 0), request(10, 100, 0), PaceGrant::Granted(10), NOW - LATENESS + 100_000),
            (state(NOW - 50, 0), request(10, 100, 0), PaceGrant::Granted(10), NOW - 50 + 100_000),
            (
                state(NOW + 250, 0),
                request(10, 100, 0),
                PaceGrant::Paced(Duration::from_micros(250)),
                NOW + 250,
            ),
            (state(NOW, 0), request(50, 1, 0), PaceGrant::Granted(1), NOW + 1_000_000),
            (state(NOW, 0), request(50, 0, 0), PaceGrant::Granted(50), NOW),
        ];
        for (state, request, grant, used_until) in rows {
            assert_eq!(decide(&state, &request), (grant, used_until), "{state:?} {request:?}");
        }
    }

    #[test]
    fn a_day_s_limit_is_never_passed() {
        assert_eq!(decide(&state(NOW, 98), &request(10, 0, 100)).0, PaceGrant::Granted(2));
        let until_the_first_leaves = Duration::from_micros(u64::try_from((960 + BUCKETS) * HALF_HOUR - NOW).unwrap());
        assert_eq!(
            decide(&state(NOW, 100), &request(10, 0, 100)).0,
            PaceGrant::DayLimit(until_the_first_leaves)
        );
        assert_eq!(
            decide(&state(NOW, 150), &request(1, 5, 100)).0,
            PaceGrant::DayLimit(until_the_first_leaves)
        );
    }
}
