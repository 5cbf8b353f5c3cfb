-- What an attempt whose outcome is settled after its call needs to know of the call.
--
-- Both may be null: an attempt that the release before wrote has neither.

ALTER TABLE attempts ADD COLUMN price_micros INTEGER;   -- what the provider takes for each recipient, known since the intent
ALTER TABLE attempts ADD COLUMN unknown_until INTEGER;  -- when an unknown outcome was settled; counts where it is 'accepted' or 'failed'
