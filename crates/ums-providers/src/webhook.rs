//! Posts to the user's application: whatever URL it was given, nothing but the open internet is contacted.
//!
//! A URL of a webhook is a wish to have this machine call somebody, so it is read strictly, its name is resolved here, every address of it
//! is judged, and the connection goes to an address that was judged: no second look-up could give another one. No redirect is followed, and
//! no proxy is used, not even one that is configured for providers: it would resolve the name itself.

mod networks;
mod target;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use tokio::time::Instant;
use ums_core::{Clock, Shortage, WebhookCall, WebhookFault, WebhookPost};

use self::networks::Networks;
use self::target::{Host, Target};
use crate::http::{Cause, Origin, Outgoing, TimeLimits, Transport, TransportSettings, TrustedRoots};

const OUR_NAME: HeaderValue = HeaderValue::from_static(concat!("ums-webhooks/", env!("CARGO_PKG_VERSION")));
/// Longest reply that is read, in bytes; nothing is made of it.
const MAX_REPLY_BYTES: usize = 4 * 1024;
/// Most addresses of a name that are tried.
const MAX_TRIED: usize = 4;

/// What can be set about the posts.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    /// Whether plain HTTP is allowed.
    pub allow_http: bool,
    /// Networks that are contacted although they are not of the open internet: address and length of the prefix.
    pub allow_private: Vec<(IpAddr, u8)>,
    /// For one post, from the look-up of the name to the end of the reply; default 15 s.
    pub timeout: Duration,
    /// Which certificate authorities are trusted.
    pub roots: TrustedRoots,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        Self {
            allow_http: false,
            allow_private: Vec::new(),
            timeout: Duration::from_secs(15),
            roots: TrustedRoots::System,
        }
    }
}

/// Finds the addresses of a name.
#[async_trait]
pub trait Resolve: Send + Sync + fmt::Debug {
    /// All addresses of a name.
    ///
    /// # Errors
    /// When there is no such name, or nobody can say.
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The operating system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// Posts to the user's application.
#[derive(Debug)]
pub struct WebhookPoster {
    allow_http: bool,
    timeout: Duration,
    networks: Networks,
    transport: Arc<Transport>,
    resolver: Arc<dyn Resolve>,
}

impl WebhookPoster {
    /// Makes a poster that asks the operating system for addresses; nothing is opened or read before the first post.
    pub fn new(settings: WebhookSettings, clock: Arc<dyn Clock>) -> Self {
        Self::with_resolver(settings, clock, Arc::new(SystemResolver))
    }

    /// Makes a poster that asks this resolver for addresses.
    pub fn with_resolver(settings: WebhookSettings, clock: Arc<dyn Clock>, resolver: Arc<dyn Resolve>) -> Self {
        let transport = TransportSettings {
            limits: TimeLimits {
                connect: settings.timeout,
                write_stall: settings.timeout,
                reply: settings.timeout,
            },
            max_idle: 0,
            max_reply_bytes: MAX_REPLY_BYTES,
            allow_plain_http: settings.allow_http,
            roots: settings.roots,
            ..TransportSettings::default()
        };
        Self {
            allow_http: settings.allow_http,
            timeout: settings.timeout,
            networks: Networks::new(settings.allow_private),
            transport: Transport::new(transport, clock),
            resolver,
        }
    }

    /// Reads a URL; what it says of its host by itself is judged, and nothing resolved.
    fn read(&self, url: &str) -> Result<Target, String> {
        let target = Target::parse(url)?;
        if !target.https && !self.allow_http {
            return Err("must be https".to_owned());
        }
        if target.known_addresses().iter().all(|address| self.networks.may_contact(*address)) {
            Ok(target)
        } else {
            Err(PRIVATE.to_owned())
        }
    }

    /// Where to connect: the addresses of the host, all of which may be contacted.
    async fn resolve(&self, target: &Target) -> Result<Vec<SocketAddr>, WebhookFault> {
        let addresses = match &target.host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => {
                let found = self.resolver.addresses(name).await;
                found.map_err(|error| match Shortage::of_lookup(&error) {
                    Some(shortage) => short(shortage),
                    None => WebhookFault::NoAnswer("dns".to_owned()),
                })?
            }
        };
        if addresses.is_empty() {
            return Err(WebhookFault::NoAnswer("dns".to_owned()));
        }
        // One that may not be contacted is enough: who mixes them is up to something, or will answer with the other one next.
        if !addresses.iter().all(|address| self.networks.may_contact(*address)) {
            return Err(WebhookFault::NotAllowed(PRIVATE.to_owned()));
        }
        let tried = addresses.into_iter().take(MAX_TRIED);
        Ok(tried.map(|address| SocketAddr::new(address, target.port)).collect())
    }

    async fn post_before(&self, call: WebhookCall, deadline: Instant) -> Result<u16, WebhookFault> {
        let target = self.read(&call.url).map_err(WebhookFault::NotAllowed)?;
        let unreadable = || WebhookFault::NotAllowed("is not a URL that can be posted to".to_owned());
        let origin = Origin::at(&target.origin).map_err(|_| unreadable())?;
        let mut headers = vec![(http::header::USER_AGENT, OUR_NAME)];
        for (name, value) in call.headers {
            let value = HeaderValue::from_str(&value).map_err(|_| unreadable())?;
            headers.push((HeaderName::from_static(name), value));
        }
        let addresses = self.resolve(&target).await?;
        let request = Outgoing {
            method: Method::POST,
            target: &target.path_and_query,
            headers: &headers,
            body: Bytes::from(call.body),
        };
        let status = self.transport.status_at(&origin, &addresses, &request, deadline).await;
        status.map_err(|cause| {
            if let Cause::Shortage(shortage) = cause {
                return short(shortage);
            }
            WebhookFault::NoAnswer(cause.code().to_owned())
        })
    }
}

fn short(shortage: Shortage) -> WebhookFault {
    WebhookFault::LocalShortage(shortage)
}

/// What is said of hosts that are not contacted. No word on which address it was: that would tell strangers what our network looks like.
const PRIVATE: &str = "its host is not on the open internet; see webhooks.allow_private";

#[async_trait]
impl WebhookPost for WebhookPoster {
    fn check_url(&self, url: &str) -> Result<(), String> {
        self.read(url).map(drop)
    }

    async fn post(&self, call: WebhookCall) -> Result<u16, WebhookFault> {
        let deadline = Instant::now() + self.timeout;
        let posted = tokio::time::timeout_at(deadline, self.post_before(call, deadline)).await;
        posted.unwrap_or_else(|_| Err(WebhookFault::NoAnswer("timeout".to_owned())))
    }
}
