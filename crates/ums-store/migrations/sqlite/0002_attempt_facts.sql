-- Facts of an attempt that stood in its texts, or nowhere.
--
-- All may be null: an attempt that the release before wrote has none of them.

ALTER TABLE attempts ADD COLUMN not_called TEXT;     -- why the provider was not called; counts where the outcome is 'failed'
ALTER TABLE attempts ADD COLUMN settled_by TEXT;     -- who settled it, when its call did not
ALTER TABLE attempts ADD COLUMN recipients INTEGER;  -- whom it was for: bit n for the recipient with idx n; null when it is not known
ALTER TABLE attempts ADD COLUMN refused TEXT;        -- JSON: those whom the provider refused by name; null when nobody was
