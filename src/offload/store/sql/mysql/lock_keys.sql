-- Locked rows are skipped: the worker that holds one may have looked for jobs already.
SELECT limit_key, parent, open_at <= {clock} FROM offload_limitkey FORCE INDEX (PRIMARY)
WHERE limit_key IN %(limit_keys)s
FOR UPDATE SKIP LOCKED
