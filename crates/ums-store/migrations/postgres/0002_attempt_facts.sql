-- Facts of an attempt that stood in its texts, or nowhere.
--
-- All may be null: an attempt that the release before wrote has none of them.

ALTER TABLE attempts
  ADD COLUMN not_called text COLLATE "C", -- why the provider was not called; counts where the outcome is 'failed'
  ADD COLUMN settled_by text COLLATE "C", -- who settled it, when its call did not
  ADD COLUMN recipients bigint,           -- whom it was for: bit n for the recipient with idx n; null when it is not known
  ADD COLUMN refused text;                -- JSON: those whom the provider refused by name; null when nobody was
