//! Reads a request's body: so many bytes, in so much time, within so much memory for all.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use hyper::header;
use ums_delivery::{COPIES_TO_ACCEPT, MemoryBudget, Share};

use crate::accept_loop::Peer;
use crate::door::{ConnectionState, Stage};
use crate::problem::{ErrorCode, Problem};
use crate::settings::Limits;

/// Most bytes of a refused body that are read and thrown away, so that the client gets to read why.
const DISCARD_BYTES: usize = 64 * 1_024 * 1_024;
/// Longest time for that.
const DISCARD_TIME: Duration = Duration::from_secs(2);

/// Takes the memory for a body of so many bytes, read, parsed and stored. Waits for it in the order of coming, but not for long: nothing
/// of the body is in memory yet, and the caller may come again.
async fn reserve(memory: &MemoryBudget, body_bytes: usize, time: Duration) -> Result<Share, Problem> {
    let share = memory.share(body_bytes, COPIES_TO_ACCEPT);
    tokio::time::timeout(time, share).await.map_err(|_| busy())
}

fn busy() -> Problem {
    Problem::new(
        ErrorCode::Busy,
        "the messages in hand take all the memory that they may (limits.memory); try again in a moment",
    )
}

/// A body in memory.
#[derive(Debug)]
pub(crate) struct WholeBody {
    pub(crate) bytes: BytesMut,
    /// What it takes of the memory until it is stored.
    pub(crate) memory: Share,
}

/// How large a body may be, and how long what may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) most_bytes: usize,
    /// For its memory, before it is read.
    pub(crate) memory_time: Duration,
    /// For its bytes.
    pub(crate) read_time: Duration,
}

impl Bounds {
    pub(crate) fn new(most_bytes: usize, limits: &Limits) -> Self {
        Self {
            most_bytes,
            memory_time: limits.memory_time,
            read_time: limits.body_time,
        }
    }
}

/// Reads the body of a request within its bounds.
pub(crate) async fn read(request: Request, bounds: Bounds, memory: &MemoryBudget) -> Result<WholeBody, Problem> {
    let most = bounds.most_bytes.min(memory.limit());
    let length = usize::try_from(request.body().size_hint().lower()).unwrap_or(usize::MAX);
    if length > most {
        discard(request).await;
        return Err(too_large(most));
    }
    let share = match reserve(memory, length, bounds.memory_time).await {
        Ok(share) => share,
        Err(busy) => {
            discard(request).await;
            return Err(busy);
        }
    };
    let whole = WholeBody {
        bytes: BytesMut::with_capacity(length),
        memory: share,
    };
    let connection = connection_of(&request);
    let mut body = request.into_body();
    let collected = tokio::time::timeout(bounds.read_time, collect(&mut body, whole, most, memory));
    let collected = match &connection {
        Some(connection) => connection.wait(Stage::Reading, collected).await.ok_or_else(broken)?,
        None => collected.await,
    };
    let Ok(whole) = collected else {
        let detail = format!("the whole body must arrive within {} s", bounds.read_time.as_secs_f32());
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

/// Reads the body to its end. One that does not tell its length takes memory as it grows: what is free at once, because it holds some.
async fn collect(body: &mut Body, mut whole: WholeBody, most: usize, memory: &MemoryBudget) -> Result<WholeBody, Problem> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| broken())?;
        let Ok(data) = frame.into_data() else { continue };
        let length = whole.bytes.len() + data.len();
        if length > most {
            return Err(too_large(most));
        }
        if !memory.grow(&mut whole.memory, length, COPIES_TO_ACCEPT) {
            return Err(busy());
        }
        whole.bytes.extend_from_slice(&data);
    }
    Ok(whole)
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
