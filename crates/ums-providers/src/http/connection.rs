//! One connection, which carries one request at a time.
//!
//! hyper's driver is polled by the task that waits for the reply: there is no task per connection
//! and no wake-up between tasks, and a call that is dropped takes its connection with it.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::header::{HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, sleep_until};
use ums_core::Shortage;

use super::stream::{Meter, Metered, READ_BUFFER, Socket};
use super::watch::{Watch, first_look};
use super::{Cause, NoReply, Outgoing, Reply, TimeLimits};
use crate::bounded_read::REST;

const OUR_NAME: HeaderValue = HeaderValue::from_static(concat!("unified-messaging/", env!("CARGO_PKG_VERSION")));

/// Most chunks of a body. Each costs as much as a small answer, and one may have one byte; servers send some KiB in each.
const MAX_CHUNKS: usize = 1_024;

/// Most chunks of a turn, after which the task rests as [`REST`] says.
const TURN_CHUNKS: usize = 32;

/// An open connection.
pub(super) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: http1::Connection<TokioIo<Metered>, Full<Bytes>>,
    meter: Arc<Meter>,
    used: bool,
}

impl Connection {
    /// Sets HTTP up on a socket; nothing is written.
    pub(super) async fn start(socket: Socket) -> Result<Self, Cause> {
        let meter = Arc::new(Meter::new());
        let stream = TokioIo::new(Metered::new(socket, Arc::clone(&meter)));
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(READ_BUFFER)
            .handshake(stream)
            .await
            .map_err(|_| Cause::Connect)?;
        Ok(Self {
            sender,
            driver,
            meter,
            used: false,
        })
    }

    /// Writes the request and reads the whole reply, of which the body has at most `max_bytes`. Gives the connection back with it
    /// when the connection can carry another request.
    pub(super) async fn run(
        mut self,
        host: &HeaderValue,
        request: &Outgoing<'_>,
        limits: &TimeLimits,
        deadline: Instant,
        max_bytes: usize,
    ) -> Result<(Reply, Option<Self>), NoReply> {
        let reused = std::mem::replace(&mut self.used, true);
        self.meter.begin(max_bytes);
        let timer = pin!(sleep_until(first_look(limits, deadline)));
        let mut watch = Watch { limits, deadline, timer };
        if reused {
            self.revive().await.map_err(|cause| NoReply {
                cause,
                sent: false,
                reused,
            })?;
        }
        match self.exchange(host, request, &mut watch, max_bytes).await {
            Ok(reply) => {
                let is_open = self.settle().await;
                Ok((reply, is_open.then_some(self)))
            }
            // The rest of a too long refusal is not needed to understand it.
            Err((Cause::TooLong, Some((status, headers)))) if !(200..300).contains(&status) => {
                let body = Bytes::new();
                Ok((Reply { status, headers, body }, None))
            }
            Err((cause, _)) => Err(NoReply {
                cause,
                sent: self.meter.handed(),
                reused,
            }),
        }
    }

    /// Writes the request and reads the reply's status; what becomes of the rest of the reply does not matter.
    pub(super) async fn run_for_status(
        mut self,
        host: &HeaderValue,
        request: &Outgoing<'_>,
        limits: &TimeLimits,
        deadline: Instant,
        max_bytes: usize,
    ) -> Result<u16, Cause> {
        self.meter.begin(max_bytes);
        let timer = pin!(sleep_until(first_look(limits, deadline)));
        let mut watch = Watch { limits, deadline, timer };
        match self.exchange(host, request, &mut watch, max_bytes).await {
            Ok(reply) => Ok(reply.status),
            Err((_, Some((status, _)))) => Ok(status),
            Err((cause, None)) => Err(cause),
        }
    }

    async fn exchange(
        &mut self,
        host: &HeaderValue,
        request: &Outgoing<'_>,
        watch: &mut Watch<'_>,
        max_bytes: usize,
    ) -> Result<Reply, (Cause, Option<(u16, HeaderMap)>)> {
        let mut outgoing = build(host, request);
        let informed = Arc::clone(&self.meter);
        hyper::ext::on_informational(&mut outgoing, move |_| informed.informed());
        let mut response = pin!(self.sender.send_request(outgoing));
        let (driver, meter) = (&mut self.driver, &*self.meter);
        let answer = poll_fn(|cx| poll_driven(driver, watch, meter, cx, |cx| response.as_mut().poll(cx))).await;
        let (head, mut body) = match answer {
            Ok(Ok(response)) => response.into_parts(),
            Ok(Err(_)) | Err(Cause::Lost | Cause::Unreadable) if meter.overran() => return Err((Cause::TooLong, None)),
            Ok(Err(error)) => return Err((cause_of(&error), None)),
            Err(cause) => return Err((cause, None)),
        };
        meter.head_ended();
        if meter.overran() {
            return Err((Cause::TooLong, None));
        }
        let status = head.status.as_u16();
        match self.read_body(&mut body, watch, max_bytes).await {
            Ok(body) => Ok(Reply {
                status,
                headers: head.headers,
                body,
            }),
            Err(cause) => {
                let cause = if self.meter.overran() { Cause::TooLong } else { cause };
                Err((cause, Some((status, head.headers))))
            }
        }
    }

    /// Reads the body up to the cap. The usual reply is one frame, which is not copied.
    async fn read_body(&mut self, body: &mut Incoming, watch: &mut Watch<'_>, max_bytes: usize) -> Result<Bytes, Cause> {
        let announced = body.size_hint().lower();
        if announced > max_bytes as u64 {
            return Err(Cause::TooLong);
        }
        let (mut first, mut joined) = (Bytes::new(), BytesMut::new());
        for chunk in 1..=MAX_CHUNKS {
            // A yield would not do: the task is ready again at once, and no timer or other socket is looked at between.
            if chunk % TURN_CHUNKS == 0 {
                tokio::time::sleep(REST).await;
            }
            let (driver, meter) = (&mut self.driver, &*self.meter);
            let frame = poll_fn(|cx| poll_driven(driver, watch, meter, cx, |cx| Pin::new(&mut *body).poll_frame(cx))).await?;
            let Some(frame) = frame else {
                return Ok(if joined.is_empty() { first } else { joined.freeze() });
            };
            let frame = frame.map_err(|error| cause_of(&error))?;
            let Ok(data) = frame.into_data() else { continue };
            meter.got_data();
            if first.len() + joined.len() + data.len() > max_bytes {
                return Err(Cause::TooLong);
            }
            if first.is_empty() && joined.is_empty() {
                first = data;
                continue;
            }
            if joined.is_empty() {
                joined.extend_from_slice(&std::mem::take(&mut first));
            }
            joined.extend_from_slice(&data);
        }
        Err(Cause::TooLong)
    }

    /// Lets hyper see what the other side did while the connection lay idle.
    async fn revive(&mut self) -> Result<(), Cause> {
        poll_fn(|cx| {
            if self.driver.poll_without_shutdown(cx).is_ready() {
                return Poll::Ready(Err(Cause::Lost));
            }
            self.sender.poll_ready(cx).map_err(|_| Cause::Lost)
        })
        .await
    }

    /// Lets hyper end the exchange; whether the connection can carry another one.
    async fn settle(&mut self) -> bool {
        poll_fn(|cx| {
            let ended = self.driver.poll_without_shutdown(cx).is_ready();
            Poll::Ready(!ended && self.sender.is_ready())
        })
        .await
    }
}

/// Polls what is waited for, then the watch, then the driver, which may have brought what is waited for.
///
/// The watch comes before the driver: a peer that always has more to say uses up the task's budget, and a timer that is asked without
/// budget is never due.
fn poll_driven<T>(
    driver: &mut http1::Connection<TokioIo<Metered>, Full<Bytes>>,
    watch: &mut Watch<'_>,
    meter: &Meter,
    cx: &mut Context<'_>,
    mut awaited: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Poll<Result<T, Cause>> {
    if let Poll::Ready(value) = awaited(cx) {
        return Poll::Ready(Ok(value));
    }
    if let Poll::Ready(cause) = watch.poll_expired(meter, cx) {
        return Poll::Ready(Err(cause));
    }
    let ended = driver.poll_without_shutdown(cx).is_ready();
    if let Poll::Ready(value) = awaited(cx) {
        return Poll::Ready(Ok(value));
    }
    if ended {
        return Poll::Ready(Err(Cause::Lost));
    }
    Poll::Pending
}

fn build(host: &HeaderValue, request: &Outgoing<'_>) -> Request<Full<Bytes>> {
    let mut headers = HeaderMap::with_capacity(request.headers.len() + 3);
    headers.insert(HOST, host.clone());
    headers.insert(USER_AGENT, OUR_NAME);
    for (name, value) in request.headers {
        headers.insert(name.clone(), value.clone());
    }
    let mut outgoing = Request::new(Full::new(request.body.clone()));
    *outgoing.method_mut() = request.method.clone();
    *outgoing.uri_mut() = request.target.clone();
    *outgoing.headers_mut() = headers;
    outgoing
}

fn cause_of(error: &hyper::Error) -> Cause {
    if let Some(shortage) = Shortage::of(error) {
        Cause::Shortage(shortage)
    } else if error.is_parse() && !error.is_incomplete_message() {
        Cause::Unreadable
    } else {
        Cause::Lost
    }
}
