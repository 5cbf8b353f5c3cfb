//! Sends e-mail and SMS through whichever provider is up: one call, and it gets through although a
//! provider is down.
//!
//! | channel | primary | secondary | tertiary |
//! |---|---|---|---|
//! | e-mail | Amazon SES | SendGrid | SMTP (Gmail or any) |
//! | SMS | Amazon SNS | Twilio | console (development only) |
//!
//! A provider is configured by its settings in the environment ([`UnifiedMessagingService::from_env`])
//! or in the program ([`UnifiedMessagingService::builder`]); one without settings is left out.
//!
//! # Send an e-mail
//!
//! ```
//! use unified_messaging::{SendEmail, Status, UnifiedMessagingService};
//!
//! # async fn simulated() -> (ums_simulator::Simulator, UnifiedMessagingService) {
//! #     let simulator = ums_simulator::Simulator::start(ums_simulator::SimulatorConfig::any_ports()).await.unwrap();
//! #     let service = UnifiedMessagingService::builder()
//! #         .aws("us-east-1", "AKIAIOSFODNN7EXAMPLE", "secret")
//! #         .setting("AWS_ENDPOINT_URL_SESV2", simulator.ses_url())
//! #         .ses("shop@example.com").build().await.unwrap();
//! #     (simulator, service)
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), unified_messaging::Error> {
//! # let (_simulator, service) = simulated().await;
//! # let _ = stringify! {
//! let service = UnifiedMessagingService::from_env().await?;
//! # };
//! let email = SendEmail::new("customer@example.com", "Your receipt").html("<p>Thank you.</p>");
//! let result = service.send_email(email).await?;
//! assert_eq!(result.status, Status::Sent);
//! # service.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Send a code by SMS
//!
//! A code overtakes everything else and is given up after minutes, when nobody waits for it any more.
//!
//! ```
//! use unified_messaging::{Purpose, SendSms, Status};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), unified_messaging::Error> {
//! # let simulator = ums_simulator::Simulator::start(ums_simulator::SimulatorConfig::any_ports()).await.unwrap();
//! # let service = unified_messaging::UnifiedMessagingService::builder()
//! #     .twilio(format!("AC{}", "0".repeat(32)), "token", "+14155550100")
//! #     .setting("TWILIO_API_URL", simulator.twilio_url()).build().await?;
//! let sms = SendSms::new("+14165550123", "Your code is 123456").purpose(Purpose::Otp);
//! let result = service.send_sms(sms).await?;
//! assert_eq!(result.status, Status::Sent);
//! # service.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Handle the result
//!
//! An error means that nothing was sent and nothing will be. Everything else is a result, whose
//! status tells what became of the message.
//!
//! ```
//! use unified_messaging::{Error, SendResult, Status};
//!
//! fn tell(outcome: Result<SendResult, Error>) -> String {
//!     match outcome {
//!         Ok(result) if result.status.is_success() => format!("on its way by {:?}", result.provider()),
//!         Ok(result) if result.status == Status::Queued => "held: it is tried again by itself".to_owned(),
//!         Ok(result) => format!("not sent: {}", result.error_message.unwrap_or_default()),
//!         Err(Error::Invalid(request)) => format!("mend the request: {request}"),
//!         Err(error) => format!("try again: {error}"),
//!     }
//! }
//! # assert_eq!(tell(Err(Error::Busy)), "try again: too many messages are being worked on");
//! ```
//!
//! # Check the health of providers
//!
//! ```
//! use unified_messaging::{HealthStatus, UnifiedMessagingService};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), unified_messaging::Error> {
//! let service = UnifiedMessagingService::builder().sendgrid("SG.key", "shop@example.com").build().await?;
//! for provider in service.get_provider_health().email_providers {
//!     println!("{} is {}", provider.provider, provider.status);
//!     assert_eq!(provider.status, HealthStatus::Unknown, "nothing was sent by it yet");
//! }
//! # service.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod acts_only;
mod aftermath;
mod archive;
mod builder;
mod error;
mod sender_verification;
mod service;
mod wire;

pub use archive::Archive;
pub use builder::Builder;
pub use error::Error;
pub use sender_verification::verify_sender;
pub use service::{Outgoing, UnifiedMessagingService};
pub use ums_config::{ConfigError, LoadOptions, Settings};
pub use ums_core::{
    AttemptOutcome, AttemptResult, BounceKind, BreakerStateWord, Channel, Clock, Duplicates, Event, EventKind, EventRecord, FailureClass,
    HealthReport, HealthStatus, Hook, HookFault, HookRequest, InvalidRequest, LastFailure, MessageFilter, MessageId, MessagePage,
    MessageRecord, Metadata, NotConfigured, OnExhausted, OutcomeWord, Priority, ProviderHealth, ProviderKind, Purpose, Random,
    RecipientKind, RecipientResult, Region, Secret, SendEmail, SendResult, SendSms, Status, Store, StoreError, Suppression,
    SuppressionCursor, SuppressionFilter, SuppressionOrigin, SuppressionPage, SuppressionReason, SuppressionScope, Timestamp, Trouble,
    TroubleKind, Troubles, request,
};
pub use ums_delivery::{
    EndpointChange, EndpointError, EndpointSecrets, FeedbackTally, Mark, Messaging, NewSuppression, Observer, ReplayRequest, ReplaySlice,
    SwitchError, SwitchOff, Tried, Which,
};
pub use ums_providers::send::{IdentityStatus, IdentityVerification};
pub use wire::{ProviderHooks, machine_clock, store_url};

/// The guide's name of [`Status`].
pub type DeliveryStatus = Status;
