//! Ids: UUIDv7 from the clock and random ports, and short names of tenants and accounts.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Clock, Random};

fn uuid_v7(clock: &dyn Clock, random: &dyn Random) -> Uuid {
    let mut bytes = [0; 10];
    random.fill(&mut bytes);
    uuid::Builder::from_unix_timestamp_millis(clock.now().as_unix_millis(), &bytes).into_uuid()
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes a new id. Ids sort by time of creation, in steps of a millisecond.
            pub fn new(clock: &dyn Clock, random: &dyn Random) -> Self {
                Self(uuid_v7(clock, random))
            }

            /// Wraps an id that came from a store.
            pub const fn from_uuid(id: Uuid) -> Self {
                Self(id)
            }

            /// The id as a UUID.
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

uuid_id! {
    /// Identifies a message over its whole life.
    MessageId
}
uuid_id! {
    /// Identifies one call to one provider.
    AttemptId
}

uuid_id! {
    /// Identifies an endpoint: a URL of the user's application that gets notices.
    EndpointId
}
uuid_id! {
    /// Identifies one notice to one endpoint.
    NoticeId
}

macro_rules! short_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps a name that the edge has checked.
            pub fn new(name: impl Into<Arc<str>>) -> Self {
                Self(name.into())
            }

            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self(Arc::from("default"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

short_name! {
    /// Names a tenant: the owner of messages and of a suppression list. `default` is the only tenant of a single-tenant service.
    TenantId
}
short_name! {
    /// Names an account: one set of credentials at a provider. `default` is the first account.
    AccountId
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SystemClock, SystemRandom};

    #[test]
    fn ids_are_version_7_and_differ() {
        let clock = SystemClock::new();
        let (one, two) = (MessageId::new(&clock, &SystemRandom), MessageId::new(&clock, &SystemRandom));
        assert_eq!(one.as_uuid().get_version_num(), 7);
        assert_ne!(one, two);
        assert_eq!(one.to_string().parse::<MessageId>().unwrap(), one);
    }
}
