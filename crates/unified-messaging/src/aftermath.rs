//! What comes after a message is sent: feedback, whom not to contact, and what your application is told.

use ums_core::{
    Channel, EmailAddress, Event, PhoneNumber, Region, Suppression, SuppressionCursor, SuppressionFilter, SuppressionOrigin,
    SuppressionPage, SuppressionReason, TenantId,
};
use ums_core::{InvalidRequest, request::FieldFault};
use ums_delivery::{FeedbackTally, NewSuppression, Which};

use crate::{Error, UnifiedMessagingService};

impl UnifiedMessagingService {
    /// Takes what a provider reported, once it was found genuine: it becomes the message's story and status, and an entry of the
    /// suppression list where it says so.
    ///
    /// # Errors
    /// [`Error::Store`]: have it told again; what was kept already is known the second time.
    pub async fn take_feedback(&self, events: Vec<Event>) -> Result<FeedbackTally, Error> {
        Ok(self.engine().take_feedback(events).await?)
    }

    /// Puts an e-mail address or a phone number on the suppression list: attempts that begin after this returned contact it no more,
    /// by whichever provider. An unsubscribe bars mail to many alone; receipts and codes still go out. Whether it is new on the list.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), unified_messaging::Error> {
    /// # let service = unified_messaging::UnifiedMessagingService::builder().sendgrid("SG.key", "shop@example.com").build().await?;
    /// use unified_messaging::{Purpose, SendEmail, Status, SuppressionReason};
    ///
    /// service.suppress("customer@example.com", SuppressionReason::Unsubscribe).await?;
    /// let news = SendEmail::new("customer@example.com", "News").text("We are open again.").purpose(Purpose::Bulk);
    /// assert_eq!(service.send_email(news).await?.status, Status::Unsubscribed);
    /// # service.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is neither an address nor a number, [`Error::Store`].
    pub async fn suppress(&self, address: &str, reason: SuppressionReason) -> Result<bool, Error> {
        let (channel, address) = read(address, self.default_region())?;
        let entry = NewSuppression {
            channel,
            address,
            reason,
            list: None,
            origin: SuppressionOrigin::Operator,
            detail: None,
            since: None,
            expires_at: None,
        };
        let new = self.engine().suppress(&TenantId::default(), vec![entry]).await?;
        Ok(new.first().copied().unwrap_or(false))
    }

    /// Takes an address off the suppression list, for all reasons and mailing lists. Says how many entries were in force.
    ///
    /// # Errors
    /// As [`UnifiedMessagingService::suppress`].
    pub async fn unsuppress(&self, address: &str) -> Result<u64, Error> {
        let (channel, address) = read(address, self.default_region())?;
        Ok(self
            .engine()
            .unsuppress(&TenantId::default(), channel, &address, &Which::default())
            .await?)
    }

    /// Why an address is not contacted; empty when it is.
    ///
    /// # Errors
    /// As [`UnifiedMessagingService::suppress`].
    pub async fn suppressions_of(&self, address: &str) -> Result<Vec<Suppression>, Error> {
        let (channel, address) = read(address, self.default_region())?;
        Ok(self.engine().suppressions_of(&TenantId::default(), channel, &address).await?)
    }

    /// The suppression list in the order of channel, address and reason; at most `limit` entries, after `cursor`.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn list_suppressions(
        &self,
        filter: &SuppressionFilter,
        cursor: Option<&SuppressionCursor>,
        limit: usize,
    ) -> Result<SuppressionPage, Error> {
        Ok(self.engine().suppressions(&TenantId::default(), filter, cursor, limit).await?)
    }
}

/// Reads an address with an `@`, or a number.
fn read(address: &str, region: Option<Region>) -> Result<(Channel, String), Error> {
    let fault = |reason: String| {
        Error::Invalid(InvalidRequest {
            faults: vec![FieldFault {
                field: "address".into(),
                reason,
            }],
        })
    };
    if address.contains('@') {
        let address = EmailAddress::parse(address).map_err(|bad| fault(bad.to_string()))?;
        return Ok((Channel::Email, address.expose().to_owned()));
    }
    let number = PhoneNumber::parse(address, region).map_err(|bad| fault(bad.to_string()))?;
    Ok((Channel::Sms, number.expose().to_owned()))
}
