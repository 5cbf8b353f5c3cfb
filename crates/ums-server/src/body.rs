//! Reads a request's body: so many bytes, in so much time, within so much memory for all.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use hyper::header;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::accept_loop::Peer;
use crate::door::{ConnectionState, Stage};
use crate::problem::{ErrorCode, Problem};
use crate::settings::Limits;

/// Step in which memory is taken from the common store.
const STEP_BYTES: usize = 64 * 1_024;
/// Most bytes of a refused body that are read and thrown away, so that the client gets to read why.
const DISCARD_BYTES: usize = 64 * 1_024 * 1_024;
/// Longest time for that.
const DISCARD_TIME: Duration = Duration::from_secs(2);

/// The memory that bodies may take together.
#[derive(Clone, Debug)]
pub(crate) struct BodyMemory(Arc<Semaphore>);

impl BodyMemory {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self::of(limits.body_memory_bytes)
    }

    pub(crate) fn of(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.div_ceil(STEP_BYTES))))
    }

    fn take(&self, bytes: usize, held: &mut Option<OwnedSemaphorePermit>) -> Result<(), Problem> {
        let wanted = bytes
            .div_ceil(STEP_BYTES)
            .saturating_sub(held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits));
        let permit = u32::try_from(wanted)
            .ok()
            .and_then(|steps| Arc::clone(&self.0).try_acquire_many_owned(steps).ok());
        let Some(permit) = permit else {
            return Err(Problem::new(
                ErrorCode::Busy,
                "too many large requests are being read; try again in a moment",
            ));
        };
        match held {
            Some(held) => held.merge(permit),
            None => *held = Some(permit),
        }
        Ok(())
    }
}

/// A body in memory.
#[derive(Debug)]
pub(crate) struct WholeBody {
    pub(crate) bytes: Bytes,
    /// Its share of the memory, given back when the request is done.
    _memory: Option<OwnedSemaphorePermit>,
}

/// Reads the body of a request, at most `most` bytes, within `time`, counted from now.
pub(crate) async fn read(request: Request, most: usize, time: Duration, memory: &BodyMemory) -> Result<WholeBody, Problem> {
    if request.body().size_hint().lower() > most as u64 {
        discard(request).await;
        return Err(too_large(most));
    }
    let connection = connection_of(&request);
    let mut body = request.into_body();
    let collected = tokio::time::timeout(time, collect(&mut body, most, memory));
    let collected = match &connection {
        Some(connection) => connection.wait(Stage::Reading, collected).await.ok_or_else(broken)?,
        None => collected.await,
    };
    let Ok(whole) = collected else {
        let detail = format!("the whole body must arrive within {} s", time.as_secs_f32());
        return Err(Problem::new(ErrorCode::BodyTooSlow, detail));
    };
    if whole.is_err() {
        discard_rest(body, connection).await;
    }
    whole
}

/// The connection that the request came on.
fn connection_of(request: &Request) -> Option<Arc<ConnectionState>> {
    request.extensions().get::<Peer>().map(|peer| Arc::clone(&peer.connection))
}

fn broken() -> Problem {
    Problem::new(ErrorCode::BodyBroken, "the body ended early, or its chunks are malformed")
}

fn too_large(most: usize) -> Problem {
    Problem::new(ErrorCode::BodyTooLarge, format!("the body must be at most {most} bytes"))
}

async fn collect(body: &mut Body, most: usize, memory: &BodyMemory) -> Result<WholeBody, Problem> {
    let mut held = None;
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| broken())?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > most {
            return Err(too_large(most));
        }
        memory.take(bytes.len() + data.len(), &mut held)?;
        bytes.extend_from_slice(&data);
    }
    Ok(WholeBody {
        bytes: bytes.freeze(),
        _memory: held,
    })
}

/// Reads and throws away the body of a refused request: closing while the client still writes
/// would reset the connection and lose the answer. A client that waits to be asked for its body
/// is not asked.
pub(crate) async fn discard(request: Request) {
    if !request.headers().contains_key(header::EXPECT) {
        let connection = connection_of(&request);
        discard_rest(request.into_body(), connection).await;
    }
}

async fn discard_rest(mut body: Body, connection: Option<Arc<ConnectionState>>) {
    let all = async {
        let mut left = DISCARD_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                break;
            }
        }
    };
    let all = tokio::time::timeout(DISCARD_TIME, all);
    let ended = match connection {
        Some(connection) => connection.wait(Stage::Reading, all).await.is_none_or(|ended| ended.is_ok()),
        None => all.await.is_ok(),
    };
    if !ended {
        tracing::debug!("a refused body did not end");
    }
}
