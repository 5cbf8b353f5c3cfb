//! Counts for rates in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use ums_core::{AccountId, RateRow, RateStore, StoreError, Timestamp};

use super::MemoryStore;

#[derive(Default)]
pub(super) struct Rates {
    rows: BTreeMap<(Timestamp, &'static str, AccountId, String), RateRow>,
}

impl Rates {
    fn add(&mut self, row: RateRow) {
        let key = (row.bucket, row.provider.as_str(), row.account.clone(), row.sender.clone());
        match self.rows.get_mut(&key) {
            Some(kept) => {
                kept.accepted += row.accepted;
                kept.receipts += row.receipts;
                kept.hard_bounces += row.hard_bounces;
                kept.complaints += row.complaints;
            }
            None => drop(self.rows.insert(key, row)),
        }
    }

    /// Forgets at most `limit` rows from before a time. Says how many.
    pub(super) fn forget(&mut self, before: Timestamp, limit: usize) -> usize {
        let old: Vec<_> = self.rows.keys().take_while(|key| key.0 < before).take(limit).cloned().collect();
        for key in &old {
            self.rows.remove(key);
        }
        old.len()
    }
}

#[async_trait]
impl RateStore for MemoryStore {
    async fn add_rates(&self, rows: Vec<RateRow>) -> Result<(), StoreError> {
        let mut state = self.state();
        for row in rows {
            state.rates.add(row);
        }
        Ok(())
    }

    async fn rates(&self, since: Timestamp) -> Result<Vec<RateRow>, StoreError> {
        let state = self.state();
        let rows = state.rates.rows.values().filter(|row| row.bucket >= since);
        Ok(rows.cloned().collect())
    }
}
