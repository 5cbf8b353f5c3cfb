//! SES, SNS, SendGrid, Twilio and SMTP on the wire, with faults.
