//! AWS credentials: given, or from AWS's default chain; cached, and refreshed by one task at a time.
//!
//! The chain (by `aws-config`): environment, profile files as `aws configure` writes them, assumed
//! roles and credential processes named there, web identity, container, instance metadata.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::identity::Identity;
use ums_core::{Failure, FailureClass, Monotonic, Secret, Timestamp};

use super::metadata_client::MetadataClient;
use crate::http::Transport;

/// Credentials are renewed this long before they expire.
const REFRESH_BEFORE: Duration = Duration::from_mins(5);
/// A fetch that failed is not repeated for this long: those who wait for it share its outcome.
const REMEMBER_FAILURE: Duration = Duration::from_secs(5);
/// Longest wait for the chain; instance metadata alone may take several seconds to be ruled out.
const LONGEST_FETCH: Duration = Duration::from_secs(8);

/// Where AWS credentials come from. Clones share one cache.
#[derive(Clone)]
pub struct AwsCredentials(Arc<Shared>);

struct Shared {
    source: Source,
    current: RwLock<Option<Arc<Snapshot>>>,
    fetching: tokio::sync::Mutex<Option<(Monotonic, Failure)>>,
}

enum Source {
    Given,
    DefaultChain { profile: Option<String> },
}

/// One set of credentials as it was fetched.
pub(super) struct Snapshot {
    identity: Identity,
    expires: Option<Timestamp>,
}

impl Snapshot {
    fn new(credentials: Credentials) -> Self {
        let expires = credentials.expiry().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        let expires = expires.map(|since| Timestamp::default() + since);
        Self {
            expires,
            identity: credentials.into(),
        }
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    fn is_valid(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    fn is_fresh(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| now + REFRESH_BEFORE < expires)
    }
}

impl AwsCredentials {
    /// These keys, as they are.
    pub fn given(access_key_id: &str, secret_access_key: &Secret, session_token: Option<&Secret>) -> Self {
        let token = session_token.map(|token| token.expose().to_owned());
        let keys = Credentials::new(access_key_id, secret_access_key.expose(), token, None, "settings");
        Self::over(Source::Given, Some(Snapshot::new(keys)))
    }

    /// AWS's default chain, asked when first needed.
    pub fn default_chain(profile: Option<String>) -> Self {
        Self::over(Source::DefaultChain { profile }, None)
    }

    fn over(source: Source, snapshot: Option<Snapshot>) -> Self {
        let current = RwLock::new(snapshot.map(Arc::new));
        Self(Arc::new(Shared {
            source,
            current,
            fetching: tokio::sync::Mutex::default(),
        }))
    }

    /// The credentials to sign with now.
    pub(super) async fn current(&self, transport: &Arc<Transport>, region: &str, time_left: Duration) -> Result<Arc<Snapshot>, Failure> {
        let now = transport.clock().now();
        let known = self.known();
        if let Some(snapshot) = known.as_ref().filter(|snapshot| snapshot.is_fresh(now)) {
            return Ok(Arc::clone(snapshot));
        }
        let usable = known.filter(|snapshot| snapshot.is_valid(now));
        let mut last_failure = match (&usable, self.0.fetching.try_lock()) {
            (_, Ok(turn)) => turn,
            // Somebody is renewing them; until then these do.
            (Some(snapshot), Err(_)) => return Ok(Arc::clone(snapshot)),
            (None, Err(_)) => self.0.fetching.lock().await,
        };
        if let Some(snapshot) = self.known().filter(|snapshot| snapshot.is_fresh(now)) {
            return Ok(snapshot);
        }
        let ticks = transport.clock().monotonic();
        let recent = last_failure
            .as_ref()
            .filter(|(at, _)| ticks.since(*at) < REMEMBER_FAILURE)
            .map(|(_, failure)| failure.clone());
        let fetched = match recent {
            Some(failure) => Err(failure),
            None => self.fetch(transport, region, time_left.min(LONGEST_FETCH)).await,
        };
        match fetched {
            Ok(snapshot) => {
                let snapshot = Arc::new(snapshot);
                *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&snapshot));
                *last_failure = None;
                Ok(snapshot)
            }
            Err(failure) => {
                *last_failure = Some((ticks, failure.clone()));
                usable.ok_or(failure)
            }
        }
    }

    /// Forgets credentials that the service called expired. Given ones cannot be renewed and stay.
    pub(super) fn discard(&self, snapshot: &Arc<Snapshot>) {
        match self.0.source {
            Source::Given => {}
            Source::DefaultChain { .. } => {
                let mut current = self.0.current.write().unwrap_or_else(PoisonError::into_inner);
                if current.as_ref().is_some_and(|known| Arc::ptr_eq(known, snapshot)) {
                    *current = None;
                }
            }
        }
    }

    /// The region that environment, profile or instance name.
    pub(super) async fn region(&self, transport: &Arc<Transport>) -> Result<String, Failure> {
        let client = MetadataClient::new(transport);
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(client.clone());
        if let Some(profile) = self.profile() {
            loader = loader.profile_name(profile);
        }
        let config = tokio::time::timeout(LONGEST_FETCH, loader.load()).await.ok();
        let region = config.and_then(|config| config.region().map(|region| region.as_ref().to_owned()));
        region.ok_or_else(|| failure(&client, "no AWS region is known; set AWS_REGION"))
    }

    fn known(&self) -> Option<Arc<Snapshot>> {
        self.0.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn profile(&self) -> Option<&str> {
        match &self.0.source {
            Source::Given => None,
            Source::DefaultChain { profile } => profile.as_deref(),
        }
    }

    async fn fetch(&self, transport: &Arc<Transport>, region: &str, limit: Duration) -> Result<Snapshot, Failure> {
        let client = MetadataClient::new(transport);
        let mut chain = DefaultCredentialsChain::builder()
            .configure(ProviderConfig::default().with_http_client(client.clone()))
            .region(Region::new(region.to_owned()));
        if let Some(profile) = self.profile() {
            chain = chain.profile_name(profile);
        }
        let fetch = async { chain.build().await.provide_credentials().await };
        match tokio::time::timeout(limit, fetch).await {
            Ok(Ok(credentials)) => Ok(Snapshot::new(credentials)),
            Ok(Err(error)) => Err(failure(&client, &words(&error))),
            Err(_) => Err(failure(
                &client,
                "AWS credentials could not be read in time; give the machine a role, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws configure`",
            )),
        }
    }
}

impl fmt::Debug for AwsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.source {
            Source::Given => f.write_str("AwsCredentials(given)"),
            Source::DefaultChain { profile } => write!(f, "AwsCredentials(default chain, profile {profile:?})"),
        }
    }
}

/// The chain came to no end that helps. Who could open no file or socket has read nothing of the configuration.
fn failure(client: &MetadataClient, words: &str) -> Failure {
    let misconfigured = || Failure::local(FailureClass::Misconfigured, "aws_credentials", words);
    client.shortage().map_or_else(misconfigured, Failure::from)
}

/// What to do about credentials that cannot be had.
fn words(error: &CredentialsError) -> String {
    const ADVICE: &str = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, run `aws configure`, or give the machine a role";
    let mut deepest: &(dyn std::error::Error + 'static) = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    match error {
        CredentialsError::CredentialsNotLoaded(_) => format!("no AWS credentials were found; {ADVICE}"),
        CredentialsError::InvalidConfiguration(_) => format!("the AWS configuration is not usable ({deepest}); {ADVICE}"),
        CredentialsError::ProviderTimedOut(_) | CredentialsError::ProviderError(_) | CredentialsError::Unhandled(_) | _ => {
            format!("AWS credentials could not be read ({deepest}); {ADVICE}")
        }
    }
}
