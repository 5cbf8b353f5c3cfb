//! URLs of users' applications.
//!
//! What is locked of an endpoint is locked before its notices, everywhere.

use ums_core::{Endpoint, EndpointId, EndpointUpdate, NoticeOutcome, NoticeState, StoreError, TenantId};

use super::connection::{Fault, Session, Value};
use super::row::{Columns, text};
use crate::json::to_json;

/// Keeps an endpoint. How posts to it ended stays, unless it begins anew: it was disabled and is not any more.
pub(crate) async fn save(session: &Session, endpoint: &Endpoint) -> Result<(), Fault> {
    let sql = "INSERT INTO endpoints AS e (tenant, id, endpoint, disabled) VALUES ($1, $2, $3, $4)
         ON CONFLICT (tenant, id) DO UPDATE SET endpoint = excluded.endpoint, disabled = excluded.disabled,
           failing_since = CASE WHEN e.disabled AND NOT excluded.disabled THEN NULL ELSE e.failing_since END,
           last_success_at = CASE WHEN e.disabled AND NOT excluded.disabled THEN NULL ELSE e.last_success_at END,
           last_error = CASE WHEN e.disabled AND NOT excluded.disabled THEN NULL ELSE e.last_error END";
    let saved = Endpoint {
        failing_since: None,
        last_success_at: None,
        last_error: None,
        ..endpoint.clone()
    };
    let (json, is_disabled) = (to_json(&saved)?, endpoint.disabled.is_some());
    let values: [Value<'_>; 4] = [&endpoint.tenant.as_str(), &endpoint.id.as_uuid(), &json, &is_disabled];
    session.execute(sql, &values).await.map(drop)
}

/// Changes an endpoint as it is. None if there is none.
pub(crate) async fn change(
    session: &Session,
    tenant: &TenantId,
    id: EndpointId,
    update: &EndpointUpdate,
) -> Result<Option<Endpoint>, Fault> {
    session.run("BEGIN").await?;
    let mut found = one(session, tenant, id).await?;
    if let Some(endpoint) = &mut found
        && update.apply(endpoint)
    {
        save(session, endpoint).await?;
        found = one(session, tenant, id).await?;
    }
    session.run("COMMIT").await?;
    Ok(found)
}

/// One endpoint. Its row is locked until the transaction ends.
async fn one(session: &Session, tenant: &TenantId, id: EndpointId) -> Result<Option<Endpoint>, Fault> {
    let sql = "SELECT tenant, id, endpoint, failing_since, last_success_at, last_error FROM endpoints WHERE tenant = $1 AND id = $2
         FOR NO KEY UPDATE";
    let rows = session.query(sql, &[&tenant.as_str(), &id.as_uuid()]).await?;
    let found = rows.first().map(|row| {
        endpoint(&Columns {
            row,
            table: "endpoints",
            id: &"an endpoint",
        })
    });
    Ok(found.transpose()?)
}

/// Forgets an endpoint and all notices to it. Whether there was one.
pub(crate) async fn forget(session: &Session, tenant: &TenantId, id: EndpointId) -> Result<bool, Fault> {
    let whose: [Value<'_>; 2] = [&tenant.as_str(), &id.as_uuid()];
    let (begun, forgotten, notices, ended) = tokio::join!(
        biased;
        session.run("BEGIN"),
        session.execute("DELETE FROM endpoints WHERE tenant = $1 AND id = $2", &whose),
        session.execute("DELETE FROM notices WHERE tenant = $1 AND endpoint = $2", &whose),
        session.run("COMMIT"),
    );
    begun?;
    let forgotten = forgotten?;
    notices?;
    ended?;
    Ok(forgotten == 1)
}

/// All endpoints.
pub(crate) async fn all(session: &Session) -> Result<Vec<Endpoint>, Fault> {
    let sql = "SELECT tenant, id, endpoint, failing_since, last_success_at, last_error FROM endpoints ORDER BY tenant, id";
    let mut found = Vec::new();
    for row in session.query(sql, &[]).await? {
        let columns = Columns {
            row: &row,
            table: "endpoints",
            id: &"an endpoint",
        };
        found.push(endpoint(&columns)?);
    }
    Ok(found)
}

fn endpoint(columns: &Columns<'_>) -> Result<Endpoint, StoreError> {
    Ok(Endpoint {
        failing_since: columns.optional_time("failing_since")?,
        last_success_at: columns.optional_time("last_success_at")?,
        last_error: columns.value("last_error")?,
        ..columns.json("endpoint")?
    })
}

/// Notes how a post to an endpoint ended.
pub(crate) async fn note(session: &Session, outcome: &NoticeOutcome) -> Result<(), Fault> {
    let sql = "UPDATE endpoints SET failing_since = CASE WHEN $3 THEN NULL ELSE coalesce(failing_since, $4) END,
           last_success_at = CASE WHEN $3 THEN greatest(last_success_at, $4) ELSE last_success_at END,
           last_error = CASE WHEN $3 THEN last_error ELSE $5 END
         WHERE tenant = $1 AND id = $2";
    let is_success = outcome.state == NoticeState::Delivered;
    let values: [Value<'_>; 5] = [
        &outcome.tenant.as_str(),
        &outcome.endpoint.as_uuid(),
        &is_success,
        &outcome.at.as_micros(),
        &text(&outcome.result),
    ];
    session.execute(sql, &values).await.map(drop)
}
