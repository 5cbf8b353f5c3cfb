-- The envelopes of large contents: lists and claims read them in the content's stead, and never fetch it. An envelope counts while the
-- content is longer; a content that was emptied is not.

CREATE TABLE envelopes (
  tenant text COLLATE "C" NOT NULL,
  message_id uuid NOT NULL,
  content text NOT NULL,                -- JSON, without bodies, attachments and headers
  handling text NOT NULL,               -- as in contents
  metadata text NOT NULL,               -- as in contents
  PRIMARY KEY (tenant, message_id),
  FOREIGN KEY (tenant, message_id) REFERENCES contents (tenant, message_id) ON DELETE CASCADE
);

-- A content that is not JSON gets none, and is read whole.
-- Differs because jsonb fails at such a content, and at the character U+0000, instead of saying so before.
DO $$
DECLARE large record;
BEGIN
  FOR large IN SELECT tenant, message_id FROM contents WHERE octet_length(content) > 16384 LOOP
    BEGIN
      INSERT INTO envelopes (tenant, message_id, content, handling, metadata)
      SELECT tenant, message_id,
        (content::jsonb || '{"html": null, "text": null, "attachments": [], "headers": []}')::text, handling, metadata
      FROM contents WHERE tenant = large.tenant AND message_id = large.message_id;
    EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
      NULL;
    END;
  END LOOP;
END $$;
