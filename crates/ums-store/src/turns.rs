//! Tenants take turns: however much one of them has waiting, it does not keep the others back.

use ums_core::TenantId;

/// Most tenants that one claim looks at in a lane. Those who only wait for a later time cost a look each.
pub(crate) const LOOKS: usize = 256;

/// A lane's waiting messages, as a store can see and take them.
pub(crate) trait Lane {
    /// A message that was taken.
    type Taken;
    /// Why it cannot be seen or taken.
    type Error;

    /// The tenant with waiting messages that comes next after this one by name; the first without one.
    fn next_tenant(&mut self, after: Option<&TenantId>) -> Result<Option<TenantId>, Self::Error>;

    /// Takes the messages of a tenant that are due, earliest first.
    fn take_of(&mut self, tenant: &TenantId, limit: usize) -> Result<Vec<Self::Taken>, Self::Error>;

    /// Takes the messages of any tenant that are due, earliest first.
    fn take_any(&mut self, limit: usize) -> Result<Vec<Self::Taken>, Self::Error>;
}

/// Takes at most `room` messages, as if the tenants after `last` took one after the other in turn.
/// `last` becomes the tenant who had the last turn.
pub(crate) fn take<L: Lane>(lane: &mut L, room: usize, last: &mut Option<TenantId>) -> Result<Vec<L::Taken>, L::Error> {
    let mut taken = Vec::new();
    if room == 0 {
        return Ok(taken);
    }
    let mut waiting = tenants_after(lane, last.as_ref())?;
    while taken.len() < room && !waiting.is_empty() {
        let left = room - taken.len();
        let share = (left / waiting.len()).max(1);
        let mut still = Vec::with_capacity(waiting.len());
        for tenant in waiting {
            let asked = share.min(room - taken.len());
            if asked == 0 {
                break;
            }
            let before = taken.len();
            taken.extend(lane.take_of(&tenant, asked)?);
            if taken.len() > before {
                *last = Some(tenant.clone());
            }
            if taken.len() - before == asked {
                still.push(tenant);
            }
        }
        waiting = still;
    }
    if taken.len() < room {
        // More tenants wait than were looked at, maybe; none of them is lost sight of.
        taken.extend(lane.take_any(room - taken.len())?);
    }
    Ok(taken)
}

/// Tenants with waiting messages, beginning after the one who had the last turn, once round.
fn tenants_after<L: Lane>(lane: &mut L, last: Option<&TenantId>) -> Result<Vec<TenantId>, L::Error> {
    let mut tenants: Vec<TenantId> = Vec::new();
    let mut at = last.cloned();
    let mut has_turned = last.is_none();
    while tenants.len() < LOOKS {
        match lane.next_tenant(at.as_ref())? {
            Some(tenant) if has_turned && last.is_some_and(|last| tenant > *last) => break,
            Some(tenant) => {
                at = Some(tenant.clone());
                tenants.push(tenant);
            }
            None if has_turned => break,
            None => {
                has_turned = true;
                at = None;
            }
        }
    }
    Ok(tenants)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use super::*;

    /// How many messages of each tenant are due.
    struct Waiting(BTreeMap<TenantId, usize>);

    impl Waiting {
        fn new(rows: &[(&str, usize)]) -> Self {
            Self(rows.iter().map(|(tenant, due)| (TenantId::new(*tenant), *due)).collect())
        }

        fn take(&mut self, room: usize, last: &mut Option<TenantId>) -> BTreeMap<String, usize> {
            let Ok(taken) = take(self, room, last);
            assert!(taken.len() <= room);
            let mut counts = BTreeMap::new();
            for tenant in taken {
                *counts.entry(tenant).or_default() += 1;
            }
            counts
        }
    }

    impl Lane for Waiting {
        type Taken = String;
        type Error = Infallible;

        fn next_tenant(&mut self, after: Option<&TenantId>) -> Result<Option<TenantId>, Infallible> {
            Ok(self.0.keys().find(|tenant| after.is_none_or(|after| *tenant > after)).cloned())
        }

        fn take_of(&mut self, tenant: &TenantId, limit: usize) -> Result<Vec<String>, Infallible> {
            let due = self.0.get_mut(tenant).unwrap();
            let taken = limit.min(*due);
            *due -= taken;
            Ok(vec![tenant.to_string(); taken])
        }

        fn take_any(&mut self, limit: usize) -> Result<Vec<String>, Infallible> {
            let tenant = self.0.iter().find(|(_, due)| **due > 0).map(|(tenant, _)| tenant.clone());
            tenant.map_or(Ok(Vec::new()), |tenant| self.take_of(&tenant, limit))
        }
    }

    fn counts(rows: &[(&str, usize)]) -> BTreeMap<String, usize> {
        rows.iter().map(|(tenant, count)| ((*tenant).to_owned(), *count)).collect()
    }

    #[test]
    fn room_is_shared_as_if_each_took_one_in_turn() {
        for (waiting, room, expected) in [
            (vec![("a", 500), ("b", 3)], 10, vec![("a", 7), ("b", 3)]),
            (vec![("a", 500), ("b", 500)], 10, vec![("a", 5), ("b", 5)]),
            (vec![("a", 5), ("b", 5), ("c", 5)], 10, vec![("a", 4), ("b", 3), ("c", 3)]),
            (vec![("a", 1), ("b", 0), ("c", 1)], 10, vec![("a", 1), ("c", 1)]),
            (vec![("a", 9)], 0, vec![]),
            (vec![], 9, vec![]),
        ] {
            assert_eq!(Waiting::new(&waiting).take(room, &mut None), counts(&expected), "{waiting:?}");
        }
    }

    #[test]
    fn with_little_room_the_turn_goes_round() {
        let mut waiting = Waiting::new(&[("a", 9), ("b", 9), ("c", 9)]);
        let mut last = None;
        let turns: Vec<String> = (0..7).flat_map(|_| waiting.take(1, &mut last).into_keys()).collect();
        assert_eq!(turns, ["a", "b", "c", "a", "b", "c", "a"]);
        assert_eq!(waiting.take(2, &mut last), counts(&[("b", 1), ("c", 1)]));
    }

    #[test]
    fn a_due_message_behind_many_who_only_wait_is_taken_nevertheless() {
        let names: Vec<String> = (0..LOOKS * 2).map(|number| format!("{number:05}")).collect();
        let mut rows: Vec<(&str, usize)> = names.iter().map(|name| (name.as_str(), 0)).collect();
        rows.push(("z", 1));
        assert_eq!(Waiting::new(&rows).take(5, &mut None), counts(&[("z", 1)]));
    }

    #[test]
    fn a_tenant_who_has_gone_leaves_its_place_in_the_round() {
        let mut last = Some(TenantId::new("b"));
        assert_eq!(Waiting::new(&[("a", 9), ("c", 9)]).take(1, &mut last), counts(&[("c", 1)]));
        assert_eq!(Waiting::new(&[("a", 9), ("c", 9)]).take(1, &mut last), counts(&[("a", 1)]));
    }
}
