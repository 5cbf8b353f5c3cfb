//! What a store shows of everything in it, as JSON: read the same way where the fixture is written and where it is opened.

use serde_json::{Map, Value, json};
use ums_core::{MessageFilter, MessageId, NoticeFilter, Store, SuppressionFilter, TenantId, Timestamp};

/// Most rows of a kind.
const ALL: usize = 1_000;

/// Messages by their case, and what is kept beside them.
pub(crate) async fn shown(store: &dyn Store, now: Timestamp) -> Value {
    let tenant = TenantId::default();
    let page = store.messages(&tenant, &MessageFilter::default(), None, ALL).await.unwrap();
    let mut messages = Map::new();
    for record in page.messages.iter().rev() {
        let case = record.message.metadata["case"].as_str().unwrap().to_owned();
        let before = messages.insert(case.clone(), message(store, record.message.id).await);
        assert!(before.is_none(), "two messages are {case}");
    }
    let list = store
        .suppressions(&tenant, &SuppressionFilter::default(), None, now, ALL)
        .await
        .unwrap();
    let notices = store.notices(&tenant, &NoticeFilter::default(), None, ALL).await.unwrap();
    let mut breakers = store.breakers().await.unwrap();
    breakers.sort_by_key(|breaker| breaker.provider);
    let breakers: Vec<Value> = breakers
        .iter()
        .map(|breaker| json!({"provider": breaker.provider, "account": breaker.account, "state": breaker.state}))
        .collect();
    let notices: Vec<Value> = notices
        .notices
        .iter()
        .map(|notice| json!({"id": notice.id, "kind": notice.kind, "state": notice.state, "tries": notice.tries, "due_at": notice.due_at}))
        .collect();
    json!({
        "messages": messages,
        "suppressions": list.entries,
        "endpoints": store.endpoints().await.unwrap(),
        "notices": notices,
        "breakers": breakers,
        "cursor": store.feedback_cursor("aws_sns.default").await.unwrap(),
    })
}

/// One message: the result that callers see, and the story behind it.
pub(crate) async fn message(store: &dyn Store, id: MessageId) -> Value {
    let record = store.message(&TenantId::default(), id).await.unwrap().unwrap();
    json!({
        "result": record.result(),
        "due_at": record.work.due_at(),
        "expires_at": record.message.expires_at,
        "skips": record.skips,
        "acts": record.acts,
        "events": record.events,
    })
}
