-- The envelopes of large contents: lists and claims read them in the content's stead, and never fetch it.

CREATE TABLE envelopes (
  tenant text COLLATE "C" NOT NULL,
  message_id uuid NOT NULL,
  content text NOT NULL,                -- JSON, without bodies, attachments and headers
  handling text NOT NULL,               -- as in contents
  metadata text NOT NULL,               -- as in contents
  bytes bigint NOT NULL,                -- of the whole content
  PRIMARY KEY (tenant, message_id),
  FOREIGN KEY (tenant, message_id) REFERENCES contents (tenant, message_id) ON DELETE CASCADE
);

-- Differs because jsonb cannot hold the character U+0000: a content with it has no envelope, and is read whole.
INSERT INTO envelopes (tenant, message_id, content, handling, metadata, bytes)
SELECT tenant, message_id,
  (content::jsonb || '{"html": null, "text": null, "attachments": [], "headers": []}'::jsonb)::text,
  handling, metadata, octet_length(content)
FROM contents WHERE CASE WHEN octet_length(content) > 16384 THEN position('\u0000' IN content) = 0 ELSE false END;
