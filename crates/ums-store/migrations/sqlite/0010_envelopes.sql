-- The envelopes of large contents: lists and claims read them in the content's stead, and never touch its pages.
-- `handling` and `metadata` stand here too: in `contents` they lie behind the content, and reading them would walk along all its pages.

CREATE TABLE envelopes (
  tenant TEXT NOT NULL,
  message_id BLOB NOT NULL,
  content TEXT NOT NULL,                -- JSON, without bodies, attachments and headers
  handling TEXT NOT NULL,               -- as in contents
  metadata TEXT NOT NULL,               -- as in contents
  bytes INTEGER NOT NULL,               -- of the whole content
  PRIMARY KEY (tenant, message_id),
  FOREIGN KEY (tenant, message_id) REFERENCES messages (tenant, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

INSERT INTO envelopes (tenant, message_id, content, handling, metadata, bytes)
SELECT tenant, message_id,
  json_set(content, '$.html', NULL, '$.text', NULL, '$.attachments', json('[]'), '$.headers', json('[]')),
  handling, metadata, octet_length(content)
FROM contents WHERE octet_length(content) > 16384 AND json_valid(content) AND json_extract(content, '$.channel') = 'email';
