//! URLs of users' applications, and what posts to them have taught.

use rusqlite::{Connection, Row, params};
use ums_core::{Endpoint, EndpointId, EndpointUpdate, NoticeOutcome, NoticeState, StoreError, TenantId};

use super::connection::store_error;
use super::notices;
use super::row::Columns;
use crate::json::to_json;

/// Keeps an endpoint, new or changed. What posts have taught stays, unless it is posted to again after it was not.
pub(crate) fn save(connection: &Connection, endpoint: &Endpoint) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached(
            "INSERT INTO endpoints (tenant, id, endpoint, disabled) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (tenant, id) DO UPDATE SET endpoint = ?3, disabled = ?4,
               failing_since = CASE WHEN disabled AND NOT ?4 THEN NULL ELSE failing_since END,
               last_success_at = CASE WHEN disabled AND NOT ?4 THEN NULL ELSE last_success_at END,
               last_error = CASE WHEN disabled AND NOT ?4 THEN NULL ELSE last_error END",
        )
        .map_err(store_error)?;
    let kept = Endpoint {
        failing_since: None,
        last_success_at: None,
        last_error: None,
        ..endpoint.clone()
    };
    let row = params![
        endpoint.tenant.as_str(),
        endpoint.id.as_uuid().into_bytes(),
        to_json(&kept)?,
        endpoint.disabled.is_some()
    ];
    statement.execute(row).map(drop).map_err(store_error)
}

/// Changes an endpoint as it is. None if there is none.
pub(crate) fn change(
    connection: &Connection,
    tenant: &TenantId,
    id: EndpointId,
    update: &EndpointUpdate,
) -> Result<Option<Endpoint>, StoreError> {
    let Some(mut endpoint) = one(connection, tenant, id)? else {
        return Ok(None);
    };
    if !update.apply(&mut endpoint) {
        return Ok(Some(endpoint));
    }
    save(connection, &endpoint)?;
    one(connection, tenant, id)
}

/// Forgets an endpoint and all notices to it. Says whether there was one.
pub(crate) fn forget(connection: &Connection, tenant: &TenantId, id: EndpointId) -> Result<bool, StoreError> {
    notices::forget_endpoint(connection, tenant, id)?;
    let mut statement = connection
        .prepare_cached("DELETE FROM endpoints WHERE tenant = ?1 AND id = ?2")
        .map_err(store_error)?;
    let removed = statement.execute(params![tenant.as_str(), id.as_uuid().into_bytes()]);
    Ok(removed.map_err(store_error)? == 1)
}

/// All endpoints of all tenants.
pub(crate) fn all(connection: &Connection) -> Result<Vec<Endpoint>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT endpoint, failing_since, last_success_at, last_error FROM endpoints ORDER BY tenant, id")
        .map_err(store_error)?;
    let mut rows = statement.query([]).map_err(store_error)?;
    let mut endpoints = Vec::new();
    while let Some(row) = rows.next().map_err(store_error)? {
        endpoints.push(endpoint(row)?);
    }
    Ok(endpoints)
}

fn one(connection: &Connection, tenant: &TenantId, id: EndpointId) -> Result<Option<Endpoint>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT endpoint, failing_since, last_success_at, last_error FROM endpoints WHERE tenant = ?1 AND id = ?2")
        .map_err(store_error)?;
    let mut rows = statement
        .query(params![tenant.as_str(), id.as_uuid().into_bytes()])
        .map_err(store_error)?;
    rows.next().map_err(store_error)?.map(endpoint).transpose()
}

fn endpoint(row: &Row<'_>) -> Result<Endpoint, StoreError> {
    let columns = Columns {
        row,
        table: "endpoints",
        id: &"an endpoint",
    };
    Ok(Endpoint {
        failing_since: columns.optional_time("failing_since")?,
        last_success_at: columns.optional_time("last_success_at")?,
        last_error: columns.value("last_error")?,
        ..columns.json("endpoint")?
    })
}

/// Notes how a post ended.
pub(crate) fn note(connection: &Connection, outcome: &NoticeOutcome) -> Result<(), StoreError> {
    let sql = if outcome.state == NoticeState::Delivered {
        "UPDATE endpoints SET failing_since = NULL, last_success_at = max(coalesce(last_success_at, ?3), ?3)
         WHERE tenant = ?1 AND id = ?2 AND ?4 IS NOT NULL"
    } else {
        "UPDATE endpoints SET failing_since = coalesce(failing_since, ?3), last_error = ?4 WHERE tenant = ?1 AND id = ?2"
    };
    let mut statement = connection.prepare_cached(sql).map_err(store_error)?;
    let row = params![
        outcome.tenant.as_str(),
        outcome.endpoint.as_uuid().into_bytes(),
        outcome.at.as_micros(),
        outcome.result
    ];
    statement.execute(row).map(drop).map_err(store_error)
}
