//! What `SendGrid`'s own helper is tested with.

/// One of `SendGrid`'s published vectors: key, signature, time, body.
pub(in crate::feedback) struct Vector {
    pub(in crate::feedback) key: &'static str,
    pub(in crate::feedback) signature: &'static str,
    pub(in crate::feedback) timestamp: &'static str,
    pub(in crate::feedback) body: &'static str,
}

/// sendgrid-nodejs, `packages/eventwebhook/src/eventwebhook.spec.js`, read 2026-11-22.
pub(in crate::feedback) const ONE: Vector = Vector {
    key: "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==",
    signature: "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=",
    timestamp: "1600112502",
    body: concat!(
        r#"[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address","#,
        r#""sg_event_id":"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA","#,
        r#""sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0","#,
        r#""smtp-id":"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]"#,
        "\r\n"
    ),
};

/// As [`ONE`]: a batch.
pub(in crate::feedback) const BATCH: Vector = Vector {
    key: "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEQ4LIFtWztlsF7skFqOncjD1lun4H5w8XOhyOArHW9RcIx/FfEzx6cikC/yPfUvwaX/JScE7Fc9CJD2afQ9Ok3Q==",
    signature: "MEYCIQC/I4o6vCgqRYrTljjoVWB/GRWNtxeePlLMHr3x9ETeRQIhAIpV+03nREPTTHWSW0wIOA0EoMPdcNgXa70yCaqDJlu5",
    timestamp: "1619651159",
    body: concat!(
        r#"[{"email":"invalid@gmail.com","event":"processed","send_at":0,"#,
        r#""sg_event_id":"cHJvY2Vzc2VkLTE5OTQyMTEyLXFOd0JMZ1BRUWpXNkRKdktRd1NBYnctMA","#,
        r#""sg_message_id":"qNwBLgPQQjW6DJvKQwSAbw.filterdrecv-canary-547b64655b-cw6zx-1-6089EA4A-56.0","#,
        r#""smtp-id":"<qNwBLgPQQjW6DJvKQwSAbw@ismtpd0178p1mdw1.sendgrid.net>","timestamp":1619651146},"#,
        "\r\n",
        r#"{"email":"invalid@gmail.com","event":"bounce","ip":"167.89.101.76","#,
        r#""reason":"552 5.2.2 The email account that you tried to reach is over quota and inactive. Please direct the recipient to "#,
        r#"https://support.google.com/mail/?p=OverQuotaPerm c17si1130468pgv.34 - gsmtp","#,
        r#""sg_event_id":"Ym91bmNlLTAtMTk5NDIxMTItcU53QkxnUFFRalc2REp2S1F3U0Fidy0w","#,
        r#""sg_message_id":"qNwBLgPQQjW6DJvKQwSAbw.filterdrecv-canary-547b64655b-cw6zx-1-6089EA4A-56.0","#,
        r#""smtp-id":"<qNwBLgPQQjW6DJvKQwSAbw@ismtpd0178p1mdw1.sendgrid.net>","#,
        r#""status":"5.2.2","timestamp":1619651147,"tls":1,"type":"blocked"}]"#,
        "\r\n"
    ),
};
