SELECT id, fence, cancel_requested_at IS NOT NULL FROM offload_job
WHERE state = {RUNNING} AND worker = %(worker)s
