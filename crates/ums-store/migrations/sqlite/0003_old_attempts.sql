-- The facts of attempts that the release before wrote, from their texts.
--
-- A version of its own, since it reads the whole table, and the lock under which columns are added lets nobody else work.

UPDATE attempts SET
  not_called = CASE WHEN outcome = 'failed' AND (code IN ('closing', 'lease_lost', 'not_called')
    OR (code = 'expired' AND class = 'unavailable' AND detail = 'the provider was not called')) THEN code END,
  settled_by = CASE
    WHEN detail = 'settled by feedback' AND outcome IN ('accepted', 'failed') THEN 'feedback'
    WHEN detail = 'marked as sent' AND outcome = 'accepted' THEN 'marked_sent'
    WHEN detail = 'marked as delivered' AND outcome = 'accepted' THEN 'marked_delivered'
    WHEN detail = 'marked as failed' AND outcome = 'failed' THEN 'marked_failed'
  END
WHERE recipients IS NULL AND (code IN ('closing', 'lease_lost', 'not_called', 'expired')
  OR detail IN ('settled by feedback', 'marked as sent', 'marked as delivered', 'marked as failed'));
