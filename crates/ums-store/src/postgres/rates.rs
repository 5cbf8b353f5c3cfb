//! Counts of what senders handed to provider accounts, and of what became of it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ums_core::{AccountId, RateRow, Timestamp};

use super::connection::{Fault, Session, Value};
use super::row::{Columns, count, text};

/// Adds counts to those that are kept.
pub(crate) async fn add(session: &Session, rows: &[RateRow]) -> Result<(), Fault> {
    if rows.is_empty() {
        return Ok(());
    }
    // One statement writes a row once, and all write them in one order.
    let mut sums: BTreeMap<(i64, &str, &str, Cow<'_, str>), [i64; 4]> = BTreeMap::new();
    for row in rows {
        let key = (
            row.bucket.as_micros(),
            row.provider.as_str(),
            row.account.as_str(),
            text(&row.sender),
        );
        let counts = [row.accepted, row.receipts, row.hard_bounces, row.complaints];
        for (sum, count) in sums.entry(key).or_default().iter_mut().zip(counts) {
            *sum = sum.saturating_add(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
    let sql = "INSERT INTO rates AS r (bucket, provider, account, sender, accepted, receipts, hard_bounces, complaints)
         SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
         ON CONFLICT (bucket, provider, account, sender) DO UPDATE SET accepted = r.accepted + excluded.accepted,
           receipts = r.receipts + excluded.receipts, hard_bounces = r.hard_bounces + excluded.hard_bounces,
           complaints = r.complaints + excluded.complaints";
    let buckets: Vec<i64> = sums.keys().map(|key| key.0).collect();
    let providers: Vec<&str> = sums.keys().map(|key| key.1).collect();
    let accounts: Vec<&str> = sums.keys().map(|key| key.2).collect();
    let senders: Vec<&str> = sums.keys().map(|key| &*key.3).collect();
    let accepted: Vec<i64> = sums.values().map(|[accepted, ..]| *accepted).collect();
    let receipts: Vec<i64> = sums.values().map(|[_, receipts, ..]| *receipts).collect();
    let bounces: Vec<i64> = sums.values().map(|[.., bounces, _]| *bounces).collect();
    let complaints: Vec<i64> = sums.values().map(|[.., complaints]| *complaints).collect();
    let values: [Value<'_>; 8] = [
        &buckets,
        &providers,
        &accounts,
        &senders,
        &accepted,
        &receipts,
        &bounces,
        &complaints,
    ];
    session.execute(sql, &values).await.map(drop)
}

/// Counts since a bucket.
pub(crate) async fn since(session: &Session, since: Timestamp) -> Result<Vec<RateRow>, Fault> {
    let sql = "SELECT bucket, provider, account, sender, accepted, receipts, hard_bounces, complaints FROM rates WHERE bucket >= $1
         ORDER BY bucket, provider, account, sender";
    let mut found = Vec::new();
    for row in session.query(sql, &[&since.as_micros()]).await? {
        let columns = Columns {
            row: &row,
            table: "rates",
            id: &"a count",
        };
        let number = |column| columns.value::<i64>(column).map(i64::unsigned_abs);
        found.push(RateRow {
            provider: columns.word("provider")?,
            account: AccountId::new(columns.value::<&str>("account")?),
            sender: columns.value("sender")?,
            bucket: columns.time("bucket")?,
            accepted: number("accepted")?,
            receipts: number("receipts")?,
            hard_bounces: number("hard_bounces")?,
            complaints: number("complaints")?,
        });
    }
    Ok(found)
}

/// Forgets counts from before a time. Returns how many.
pub(crate) async fn forget(session: &Session, before: Timestamp, limit: usize) -> Result<u64, Fault> {
    let sql = "DELETE FROM rates r USING (SELECT bucket, provider, account, sender FROM rates WHERE bucket < $1
           ORDER BY bucket, provider, account, sender LIMIT $2 FOR UPDATE SKIP LOCKED) AS old
         WHERE r.bucket = old.bucket AND r.provider = old.provider AND r.account = old.account AND r.sender = old.sender";
    session.execute(sql, &[&before.as_micros(), &count(limit)]).await
}
